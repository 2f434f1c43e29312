/*
 * options: what a user may set (see options.h).
 *
 * options.def names each key, the values it takes, and which change of it hardens. The table is all
 * there is: nothing here knows an option, and doc/options.md and doc/moat.7 describe the same rows.
 * It has no pointers: the first allocation may come while the program is being relocated, and
 * nobody has filled those in yet.
 */
#include "meta/options.h"

#include "base/format.h"
#include "os/os.h"
#include "report/report.h"

/* A program's own settings; see include/moat.h. Absent in most programs. */
extern const char *moat_default_options(void) __attribute__((weak, visibility("default")));

enum option_id {
#define OPTION(key, field, type, default_value, rule, values) OPTION_##key,
#include "meta/options.def"
    OPTIONS
};

/* What a privileged process takes from its environment, compared with what is set already. */
enum option_rule {
    TAKE_STRONGER, /* a word of at least the same strength */
    /* the same, but none with a text behind it: what that names is not for others to choose */
    TAKE_STRONGER_WORD,
    TAKE_FEWER,   /* a set with nothing that is not in the other */
    TAKE_SMALLER, /* a number that is not larger */
    TAKE_LARGER,  /* one that is not smaller */
    TAKE_ANY,     /* neither value is weaker */
    TAKE_NONE
};

enum option_form { FORM_WORD, FORM_NUMBER, FORM_SIZE, FORM_KINDS };

struct option_word {
    char word[16]; /* empty: end of the list */
    unsigned value;
    unsigned strength; /* for TAKE_STRONGER… */
    enum option_list_form list;
};

struct option_row {
    char key[16];
    enum option_form form;
    enum option_rule rule;
    struct option_word words[5]; /* FORM_WORD, and the end */
    uint64_t minimum, maximum;   /* numbers and sizes; 0 is always allowed for a size */
    size_t list;                 /* offset in struct options of a word's list; 0: no word has one */
};

#define WORDS(...) .form = FORM_WORD, .words = {__VA_ARGS__}
#define WORDS_WITH_LIST(member, ...) WORDS(__VA_ARGS__), .list = offsetof(struct options, member)
#define NUMBER(least, most) .form = FORM_NUMBER, .minimum = (least), .maximum = (most)
#define NUMBER_OR_WORD(least, most, ...) NUMBER(least, most), .words = {__VA_ARGS__}
#define KINDS() .form = FORM_KINDS
#define SIZE(least, most) .form = FORM_SIZE, .minimum = (least), .maximum = (most)

/* A word whose form is left out has none: LIST_NONE is 0. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct option_row rows[OPTIONS] = {
#define OPTION(name, field, type, default_value, its_rule, values)                                 \
    [OPTION_##name] = {.key = #name, .rule = its_rule, values},
#include "meta/options.def"
};
#pragma GCC diagnostic pop

void options_set_defaults(struct options *options) {
    *options = (struct options){
#define OPTION(key, field, type, default_value, rule, values) .field = default_value,
#include "meta/options.def"
    };
}

static uint64_t get(const struct options *options, enum option_id id) {
    const uint64_t fields[OPTIONS] = {
#define OPTION(key, field, type, default_value, rule, values) (uint64_t) options->field,
#include "meta/options.def"
    };
    return fields[id];
}

static void set(struct options *options, enum option_id id, uint64_t value) {
#define OPTION(key, field, type, default_value, rule, values)                                      \
    if (id == OPTION_##key) options->field = (type)value;
#include "meta/options.def"
}

/* --- Values ---------------------------------------------------------------------------------- */

/* A piece of the text: no copy is made. */
struct span {
    const char *start;
    size_t length;
};

static bool span_is(struct span span, const char *word) {
    size_t i = 0;
    while (i < span.length && word[i] != '\0' && span.start[i] == word[i]) i++;
    return i == span.length && word[i] == '\0';
}

static bool parse_word(const struct option_row *row, struct span text, uint64_t *value) {
    for (const struct option_word *word = row->words; word->word[0] != '\0'; word++) {
        if (!span_is(text, word->word)) continue;
        *value = word->value;
        return true;
    }
    return false;
}

/* Cuts off what stands behind the first such character; an empty span if there is none. */
static struct span cut_at(struct span *span, char c) {
    size_t i = 0;
    while (i < span->length && span->start[i] != c) i++;
    size_t skip = i < span->length ? i + 1 : i; /* the character too */
    struct span rest = {span->start + skip, span->length - skip};
    span->length = i;
    return rest;
}

/* No name is empty, and none has a '=': that would be the next option behind a forgotten list. */
static bool is_names(struct span text) {
    size_t name = 0; /* characters of the name so far */
    for (size_t i = 0; i < text.length; i++) {
        if (text.start[i] == '=') return false;
        if (text.start[i] == ',' && name == 0) return false;
        name = text.start[i] == ',' ? 0 : name + 1;
    }
    return name != 0;
}

static bool is_number(struct span text) {
    for (size_t i = 0; i < text.length; i++)
        if (text.start[i] < '0' || text.start[i] > '9') return false;
    return text.length != 0 && text.length <= 6;
}

static bool is_list(enum option_list_form form, struct span text) {
    if (text.length > OPTION_LIST_MAX) return false;
    switch (form) {
    case LIST_NONE: break;
    case LIST_NAMES: return is_names(text);
    case LIST_PATH: return text.length != 0 && text.start[0] == '/';
    case LIST_NUMBER: return is_number(text);
    }
    return text.length == 0;
}

bool option_list_has(const struct option_list *list, const char *name) {
    size_t length = 0;
    while (length < OPTION_LIST_MAX && list->text[length] != '\0') length++;
    struct span rest = {list->text, length};
    while (rest.length != 0) {
        struct span first = rest;
        rest = cut_at(&first, ',');
        if (span_is(first, name)) return true;
    }
    return false;
}

/* log2 of what a suffix multiplies by; 0 if the character is none. */
static unsigned suffix_shift(char c) {
    switch (c) {
    case 'K': return 10;
    case 'M': return 20;
    case 'G': return 30;
    case 'T': return 40;
    default: return 0;
    }
}

static bool parse_number(const struct option_row *row, struct span text, uint64_t *value) {
    unsigned shift =
        row->form == FORM_SIZE && text.length > 1 ? suffix_shift(text.start[text.length - 1]) : 0;
    size_t digits = text.length - (shift != 0 ? 1 : 0);
    uint64_t number = 0;
    if (digits == 0) return false;
    for (size_t i = 0; i < digits; i++) {
        char c = text.start[i];
        if (c < '0' || c > '9') return false;
        if (__builtin_mul_overflow(number, 10u, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(c - '0'), &number)) return false;
    }
    if (__builtin_mul_overflow(number, (uint64_t)1 << shift, &number)) return false;
    *value = number;
    return (number >= row->minimum && number <= row->maximum) ||
           (row->form == FORM_SIZE && number == 0);
}

/* --- Sets of kinds --------------------------------------------------------------------------- */

static const char kind_names[REPORT_KINDS][24] = {
#define KIND(id, name, after) [REPORT_##id] = name,
#include "report/kinds.def"
};

static bool parse_going_on(struct span text, bool *going_on) {
    *going_on = span_is(text, "report");
    return *going_on || span_is(text, "abort");
}

static bool parse_kinds(struct span text, uint64_t *value) {
    bool going_on = false, comma = false;
    struct span first = text, rest = cut_at(&first, ',');
    if (!parse_going_on(first, &going_on)) return false;
    comma = first.length < text.length;
    *value = going_on ? REPORT_MAY_GO_ON : 0;
    while (comma) {
        struct span name = rest;
        struct span next = cut_at(&name, ',');
        comma = name.length < rest.length;
        rest = next;
        struct span what = cut_at(&name, '=');
        unsigned kind = 0;
        while (kind < REPORT_KINDS && !span_is(name, kind_names[kind])) kind++;
        if (kind == REPORT_KINDS || !parse_going_on(what, &going_on)) return false;
        uint64_t bit = (uint64_t)1 << kind;
        if (going_on && (REPORT_MAY_GO_ON & bit) == 0) return false;
        *value = going_on ? *value | bit : *value & ~bit;
    }
    return true;
}

static void print_kinds(struct format *line, uint64_t value) {
    format_string(line, "abort");
    for (unsigned kind = 0; kind < REPORT_KINDS; kind++) {
        if ((value >> kind & 1) == 0) continue;
        format_string(line, ",");
        format_string(line, kind_names[kind]);
        format_string(line, "=report");
    }
}

static bool parse_value(const struct option_row *row, struct span text, uint64_t *value) {
    switch (row->form) {
    case FORM_WORD: return parse_word(row, text, value);
    case FORM_KINDS: return parse_kinds(text, value);
    case FORM_NUMBER:
    case FORM_SIZE: break;
    }
    return parse_word(row, text, value) || parse_number(row, text, value);
}

/* --- Items ----------------------------------------------------------------------------------- */

static unsigned strength(const struct option_row *row, uint64_t value) {
    for (const struct option_word *word = row->words; word->word[0] != '\0'; word++)
        if (word->value == value) return word->strength;
    return 0;
}

static enum option_list_form list_form(const struct option_row *row, uint64_t value) {
    for (const struct option_word *word = row->words; word->word[0] != '\0'; word++)
        if (word->value == value) return word->list;
    return LIST_NONE;
}

static bool takes_list(const struct option_row *row, uint64_t value) {
    return list_form(row, value) != LIST_NONE;
}

/* Nobody knows whether one list is weaker than another: a word with a list is taken only in place
   of a weaker word. */
static bool keeps_hardening(const struct option_row *row, uint64_t now, uint64_t wanted) {
    switch (row->rule) {
    case TAKE_STRONGER:
        return strength(row, wanted) >= strength(row, now) + (takes_list(row, wanted) ? 1 : 0);
    case TAKE_STRONGER_WORD:
        return !takes_list(row, wanted) && strength(row, wanted) >= strength(row, now);
    case TAKE_FEWER: return (wanted & ~now) == 0;
    case TAKE_SMALLER: return wanted <= now;
    case TAKE_LARGER: return wanted >= now;
    case TAKE_ANY: return true;
    case TAKE_NONE: break;
    }
    return wanted == now;
}

static unsigned find_row(struct span key) {
    unsigned id = 0;
    while (id < OPTIONS && !span_is(key, rows[id].key)) id++;
    return id;
}

/* Zeros behind it: a list that is gone leaves nothing. */
static void set_list(struct options *options, const struct option_row *row, struct span list) {
    if (row->list == 0) return;
    struct option_list *kept = (struct option_list *)((char *)options + row->list);
    __builtin_memset(kept, 0, sizeof *kept);
    __builtin_memcpy(kept->text, list.start, list.length);
}

MOAT_COLD static void parse_item(struct options *options, struct span item, bool privileged) {
    struct span key = item, text = cut_at(&key, '='), list = {text.start, 0};
    unsigned id = find_row(key);
    if (id == OPTIONS) {
        report_warning("unknown option: ", key.length != 0 ? key.start : "(no name)", key.length);
        return;
    }
    const struct option_row *row = &rows[id];
    if (row->list != 0) list = cut_at(&text, ':');
    uint64_t value = 0;
    if (!parse_value(row, text, &value) || !is_list(list_form(row, value), list))
        report_warning("bad value of an option, ignored: ", item.start, item.length);
    else if (privileged && !keeps_hardening(row, get(options, (enum option_id)id), value))
        report_warning("a privileged process does not take this from its environment: ", item.start,
                       item.length);
    else {
        set(options, (enum option_id)id, value);
        set_list(options, row, list);
    }
}

/* Characters up to the next colon, or to the end. */
static size_t piece_length(const char *text) {
    size_t length = 0;
    while (text[length] != '\0' && text[length] != ':') length++;
    return length;
}

/* Up to the colon that ends an item: behind a word that takes a list it is the second. */
static size_t item_length(const char *text) {
    size_t length = piece_length(text);
    struct span key = {text, length}, word = cut_at(&key, '=');
    unsigned id = find_row(key);
    uint64_t value = 0;
    if (text[length] == '\0' || id == OPTIONS || rows[id].list == 0) return length;
    if (!parse_word(&rows[id], word, &value) || !takes_list(&rows[id], value)) return length;
    return length + 1 + piece_length(text + length + 1);
}

void options_parse(struct options *options, const char *text, bool privileged) {
    if (text == NULL) return;
    while (*text != '\0') {
        struct span item = {text, item_length(text)};
        if (item.length != 0) parse_item(options, item, privileged);
        text += item.length;
        if (*text == ':') text++;
    }
}

static void print_list(struct format *line, const struct options *options,
                       const struct option_row *row) {
    const struct option_list *list =
        (const struct option_list *)((const char *)options + row->list);
    format_string(line, ":");
    format_string(line, list->text);
}

static void print_value(struct format *line, const struct option_row *row, uint64_t value) {
    const struct option_word *word = row->words;
    while (word->word[0] != '\0' && word->value != value) word++;
    if (row->form == FORM_KINDS)
        print_kinds(line, value);
    else if (word->word[0] != '\0')
        format_string(line, word->word);
    else
        format_decimal(line, value);
}

/* verbose=1: what holds, in the form that MOAT_OPTIONS takes. */
static void print_settings(const struct options *options) {
    char text_buffer[64 + OPTIONS * 64 + 2 * OPTION_LIST_MAX + REPORT_KINDS * 32];
    struct format line = format_in(text_buffer, sizeof text_buffer);
    format_string(&line, "moat: options: ");
    for (unsigned id = 0; id < OPTIONS; id++) {
        uint64_t value = get(options, (enum option_id)id);
        format_string(&line, id == 0 ? "" : ":");
        format_string(&line, rows[id].key);
        format_string(&line, "=");
        print_value(&line, &rows[id], value);
        if (takes_list(&rows[id], value)) print_list(&line, options, &rows[id]);
    }
    format_end_line(&line);
    os_write(OS_STDERR, text_buffer, line.length);
}

MOAT_COLD void options_load(struct options *options) {
    options_set_defaults(options);
    if (moat_default_options != NULL) options_parse(options, moat_default_options(), false);
    options_parse(options, os_environment("MOAT_OPTIONS"), os_is_privileged());
    if (options->verbose) print_settings(options);
}
