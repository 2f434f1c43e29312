/*
 * options: what a user may set (see options.h).
 *
 * One table names each key, the values it takes, and which change of it hardens. The table is all
 * there is: doc/options.md and doc/moat.7 describe the same rows.
 */
#include "meta/options.h"

#include "base/format.h"
#include "os/os.h"
#include "report/report.h"

/* A program's own settings; see include/moat.h. Absent in most programs. */
extern const char *moat_default_options(void) __attribute__((weak, visibility("default")));

enum { STDERR = 2, MILLISECONDS_PER_HOUR = 3600000, DEFAULT_PURGE_DELAY_MS = 10 };
/* A reservation below this holds no heap worth the name; the upper bound is what a pointer can
   span. */
#define REGION_MIN (4 * SEGMENT_SIZE)
#define REGION_MAX ((uint64_t)PTRDIFF_MAX)

enum option_id {
    OPTION_GUARDS,
    OPTION_SIZED,
    OPTION_ZERO_REALLOC,
    OPTION_PURGE_DELAY,
    OPTION_VERBOSE,
    OPTION_REGION,
    OPTIONS
};

/* What a privileged process takes from its environment, compared with what is set already. */
enum option_rule {
    TAKE_STRONGER, /* a word of at least the same strength */
    TAKE_SMALLER,  /* a number that is not larger */
    TAKE_ANY,      /* neither value is weaker */
    TAKE_NONE
};

enum option_form { FORM_WORD, FORM_NUMBER, FORM_SIZE };

struct option_word {
    const char *word; /* NULL: end of the list */
    unsigned value;
    unsigned strength; /* for TAKE_STRONGER */
};

struct option_row {
    const char *key;
    enum option_form form;
    enum option_rule rule;
    const struct option_word *words; /* FORM_WORD */
    uint64_t minimum, maximum;       /* numbers and sizes; 0 is always allowed for a size */
};

static const struct option_word guards_words[] = {{"auto", GUARDS_AUTO, 1},
                                                  {"mprotect", GUARDS_MPROTECT, 1},
                                                  {"off", GUARDS_OFF, 0},
                                                  {NULL, 0, 0}};
static const struct option_word sized_words[] = {
    {"abort", SIZED_ABORT, 2}, {"report", SIZED_REPORT, 1}, {"off", SIZED_OFF, 0}, {NULL, 0, 0}};
static const struct option_word zero_realloc_words[] = {
    {"free", true, 0}, {"alloc", false, 0}, {NULL, 0, 0}};

static const struct option_row rows[OPTIONS] = {
    [OPTION_GUARDS] = {"guards", FORM_WORD, TAKE_STRONGER, guards_words, 0, 0},
    [OPTION_SIZED] = {"sized", FORM_WORD, TAKE_STRONGER, sized_words, 0, 0},
    [OPTION_ZERO_REALLOC] = {"zero_realloc", FORM_WORD, TAKE_ANY, zero_realloc_words, 0, 0},
    /* Freed memory keeps its contents until it is purged. */
    [OPTION_PURGE_DELAY] = {"purge_delay", FORM_NUMBER, TAKE_SMALLER, NULL, 0,
                            MILLISECONDS_PER_HOUR},
    /* A line on descriptor 2, whatever that is in this process. */
    [OPTION_VERBOSE] = {"verbose", FORM_NUMBER, TAKE_SMALLER, NULL, 0, 1},
    /* Less room for random addresses, and for the program. */
    [OPTION_REGION] = {"region", FORM_SIZE, TAKE_NONE, NULL, REGION_MIN, REGION_MAX},
};

void options_set_defaults(struct options *options) {
    *options = (struct options){.guards = GUARDS_AUTO,
                                .sized = SIZED_ABORT,
                                .zero_realloc_frees = true,
                                .purge_delay_ms = DEFAULT_PURGE_DELAY_MS,
                                .verbose = false,
                                .region_limit = 0};
}

static uint64_t get(const struct options *options, enum option_id id) {
    switch (id) {
    case OPTION_GUARDS: return (uint64_t)options->guards;
    case OPTION_SIZED: return (uint64_t)options->sized;
    case OPTION_ZERO_REALLOC: return options->zero_realloc_frees;
    case OPTION_PURGE_DELAY: return options->purge_delay_ms;
    case OPTION_VERBOSE: return options->verbose;
    case OPTION_REGION: return options->region_limit;
    case OPTIONS: break;
    }
    return 0;
}

static void set(struct options *options, enum option_id id, uint64_t value) {
    switch (id) {
    case OPTION_GUARDS: options->guards = (enum guards_mode)value; break;
    case OPTION_SIZED: options->sized = (enum sized_mode)value; break;
    case OPTION_ZERO_REALLOC: options->zero_realloc_frees = value != 0; break;
    case OPTION_PURGE_DELAY: options->purge_delay_ms = (uint32_t)value; break;
    case OPTION_VERBOSE: options->verbose = value != 0; break;
    case OPTION_REGION: options->region_limit = (size_t)value; break;
    case OPTIONS: break;
    }
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
    for (const struct option_word *word = row->words; word->word != NULL; word++) {
        if (!span_is(text, word->word)) continue;
        *value = word->value;
        return true;
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

/* --- Items ----------------------------------------------------------------------------------- */

static unsigned strength(const struct option_row *row, uint64_t value) {
    for (const struct option_word *word = row->words; word->word != NULL; word++)
        if (word->value == value) return word->strength;
    return 0;
}

static bool keeps_hardening(const struct option_row *row, uint64_t now, uint64_t wanted) {
    switch (row->rule) {
    case TAKE_STRONGER: return strength(row, wanted) >= strength(row, now);
    case TAKE_SMALLER: return wanted <= now;
    case TAKE_ANY: return true;
    case TAKE_NONE: break;
    }
    return wanted == now;
}

static void parse_item(struct options *options, struct span item, bool privileged) {
    struct span key = {item.start, 0};
    while (key.length < item.length && item.start[key.length] != '=') key.length++;
    unsigned id = 0;
    while (id < OPTIONS && !span_is(key, rows[id].key)) id++;
    if (id == OPTIONS) {
        report_warning("unknown option: ", key.length != 0 ? key.start : "(no name)", key.length);
        return;
    }
    const struct option_row *row = &rows[id];
    size_t skip = key.length < item.length ? key.length + 1 : key.length; /* the '=' too */
    struct span text = {item.start + skip, item.length - skip};
    uint64_t value = 0;
    if (!(row->form == FORM_WORD ? parse_word(row, text, &value) : parse_number(row, text, &value)))
        report_warning("bad value of an option, ignored: ", item.start, item.length);
    else if (privileged && !keeps_hardening(row, get(options, (enum option_id)id), value))
        report_warning("a privileged process does not take this from its environment: ", item.start,
                       item.length);
    else
        set(options, (enum option_id)id, value);
}

void options_parse(struct options *options, const char *text, bool privileged) {
    if (text == NULL) return;
    while (*text != '\0') {
        struct span item = {text, 0};
        while (text[item.length] != '\0' && text[item.length] != ':') item.length++;
        if (item.length != 0) parse_item(options, item, privileged);
        text += item.length;
        if (*text == ':') text++;
    }
}

/* verbose=1: what holds, in the form that MOAT_OPTIONS takes. */
static void print_settings(const struct options *options) {
    char text_buffer[256];
    struct format line = format_in(text_buffer, sizeof text_buffer);
    format_string(&line, "moat: options: ");
    for (unsigned id = 0; id < OPTIONS; id++) {
        uint64_t value = get(options, (enum option_id)id);
        format_string(&line, id == 0 ? "" : ":");
        format_string(&line, rows[id].key);
        format_string(&line, "=");
        if (rows[id].form != FORM_WORD) format_decimal(&line, value);
        for (const struct option_word *word = rows[id].words; word != NULL && word->word != NULL;
             word++)
            if (word->value == value) format_string(&line, word->word);
    }
    format_end_line(&line);
    os_write(STDERR, text_buffer, line.length);
}

void options_load(struct options *options) {
    options_set_defaults(options);
    if (moat_default_options != NULL) options_parse(options, moat_default_options(), false);
    options_parse(options, os_environment("MOAT_OPTIONS"), os_is_privileged());
    if (options->verbose) print_settings(options);
}
