/*
 * texts: texts of options, judged by what options.def says of them. See the header.
 *
 * The model knows each item's meaning because it wrote the item: it parses nothing. What the
 * library prints is taken at the seam, by the system call that would write it.
 */
#define _GNU_SOURCE
#include "engine/texts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/rng.h"
#include "harness/harness.h"
#include "report/report.h"

enum { TEXT_MAX = 64 * 1024, VALUE_MAX = 512, LINE_MAX = 4096, WORDS_MAX = 5 };

enum rule {
    TAKE_STRONGER,
    TAKE_STRONGER_WORD,
    TAKE_FEWER,
    TAKE_SMALLER,
    TAKE_LARGER,
    TAKE_ANY,
    TAKE_NONE
};
struct word {
    const char *text;
    uint64_t value;
    unsigned strength;
    enum option_list_form list;
};
struct key {
    const char *name;
    enum rule rule;
    enum { FORM_WORDS, FORM_NUMBER, FORM_SIZE, FORM_KINDS } form;
    uint64_t least, most;
    struct word words[WORDS_MAX];
    size_t list; /* where struct options keeps the list of a word; 0: nowhere */
};

#define WORDS(...) .form = FORM_WORDS, .words = {__VA_ARGS__}
#define WORDS_WITH_LIST(member, ...) WORDS(__VA_ARGS__), .list = offsetof(struct options, member)
#define NUMBER(minimum, maximum) .form = FORM_NUMBER, .least = (minimum), .most = (maximum)
#define NUMBER_OR_WORD(minimum, maximum, ...) NUMBER(minimum, maximum), .words = {__VA_ARGS__}
#define SIZE(minimum, maximum) .form = FORM_SIZE, .least = (minimum), .most = (maximum)
#define KINDS() .form = FORM_KINDS
/* A word whose form is left out has none: LIST_NONE is 0. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct key keys[] = {
#define OPTION(key, field, type, default_value, take, values) {.name = #key, .rule = take, values},
#include "meta/options.def"
};
#pragma GCC diagnostic pop
enum { KEYS = sizeof keys / sizeof keys[0] };

static const char *const kinds[REPORT_KINDS] = {
#define KIND(id, name, after) [REPORT_##id] = name,
#include "report/kinds.def"
};

const struct texts_subject texts_moat = {options_parse, options_load};

/* What the model believes. */
struct belief {
    uint64_t values[KEYS];
    char lists[KEYS][OPTION_LIST_MAX + 1];
    unsigned refused; /* items, so far */
};

static struct {
    char name[sizeof "MOAT_OPTIONS=" - 1]; /* as it stands in the environment */
    char text[TEXT_MAX];
} variable = {"MOAT_OPTIONS=", ""};
static size_t length; /* of the text */

static char last_line[LINE_MAX];
static size_t last_length;
static unsigned lines;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "fuzz: failure: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nfuzz: at the text \"%s\"\n", variable.text);
    va_end(arguments);
    abort();
}

static void read_all(const struct options *options, uint64_t values[KEYS]) {
    unsigned at = 0;
#define OPTION(key, field, type, default_value, rule, of) values[at++] = (uint64_t)options->field;
#include "meta/options.def"
}

/* What the library prints is lines, each by a call of its own. */
static bool hear(long number, const long *arguments, long *result) {
    if (number != SYS_write || arguments[0] != STDERR_FILENO) return false;
    const char *bytes = (const char *)arguments[1];
    last_length = (size_t)arguments[2] < LINE_MAX ? (size_t)arguments[2] : LINE_MAX - 1;
    memcpy(last_line, bytes, last_length);
    last_line[last_length] = '\0';
    for (long i = 0; i < arguments[2]; i++) lines += bytes[i] == '\n';
    *result = arguments[2];
    return true;
}

/* --- Items ----------------------------------------------------------------------------------- */

/* An item: what it says, and what it means. */
struct item {
    char value[VALUE_MAX];
    bool is_right;
    uint64_t means;
    unsigned strength;
    const char *list; /* in `value`; NULL: the word has none */
};

/* The mutator favours one pick, and the low digits of the value say which key it is. */
static unsigned choice_of(const struct input_op *op) { return op->pick + (op->value >> 20); }

static void append(struct item *item, const char *text) {
    size_t at = strlen(item->value);
    snprintf(item->value + at, sizeof item->value - at, "%s", text);
}

static void append_many(struct item *item, char c, size_t count) {
    size_t at = strlen(item->value);
    memset(item->value + at, c, count);
    item->value[at + count] = '\0';
}

static const struct list {
    const char *text;
    unsigned more;    /* so many characters follow */
    bool is_right[4]; /* by form */
} lists[] = {
    {"libone.so", 0, {[LIST_NAMES] = true}},
    {"libone.so,libtwo.so", 0, {[LIST_NAMES] = true}},
    {"a", OPTION_LIST_MAX - 1, {[LIST_NAMES] = true}},
    {"a", OPTION_LIST_MAX, {false}},
    {"/tmp/moat-report", 0, {[LIST_NAMES] = true, [LIST_PATH] = true}},
    {"/", OPTION_LIST_MAX - 1, {[LIST_NAMES] = true, [LIST_PATH] = true}},
    {"/", OPTION_LIST_MAX, {false}},
    {"7", 0, {[LIST_NAMES] = true, [LIST_NUMBER] = true}},
    {"999999", 0, {[LIST_NAMES] = true, [LIST_NUMBER] = true}},
    {"1000000", 0, {[LIST_NAMES] = true}},
    {"", 0, {false}},
    {",a", 0, {false}},
    {"a,", 0, {false}},
    {"a,,b", 0, {false}},
    {"level=strict", 0, {false}},
    {"-1", 0, {[LIST_NAMES] = true}},
};
enum { LISTS = sizeof lists / sizeof lists[0] };

static void word_item(struct item *item, const struct key *key, const struct input_op *op) {
    unsigned count = 1; /* each has one */
    while (count < WORDS_MAX && key->words[count].text != NULL) count++;
    const struct word *word = &key->words[choice_of(op) % count];
    append(item, word->text);
    item->is_right = true;
    item->means = word->value;
    item->strength = word->strength;
    if (word->list == LIST_NONE) return;
    const struct list *list = &lists[op->other / 4 % LISTS];
    append(item, ":");
    item->list = item->value + strlen(item->value);
    append(item, list->text);
    append_many(item, 'a', list->more);
    item->is_right = list->is_right[word->list];
}

/* Mostly a number that lies near one of the limits. */
static uint64_t draw_number(const struct key *key, const struct input_op *op) {
    uint64_t near[] = {key->least, key->most, 0, op->value, UINT64_MAX, (uint64_t)op->value << 32};
    return near[choice_of(op) % 6] + op->kind % 3 - 1;
}

static void number_item(struct item *item, const struct key *key, const struct input_op *op) {
    static const char *const units[] = {"", "K", "M", "G", "T"};
    unsigned unit = key->form == FORM_SIZE ? op->other / 4 % 5 : 0;
    uint64_t number = draw_number(key, op);
    if (choice_of(op) / 6 % 4 == 0) number >>= 10 * unit; /* the limit itself, in that unit */
    snprintf(item->value, sizeof item->value, "%s%llu%s", choice_of(op) & 128 ? "00" : "",
             (unsigned long long)number, units[unit]);
    bool fits = number <= UINT64_MAX >> (10 * unit);
    item->means = number << (10 * unit);
    bool is_none = key->form == FORM_SIZE && item->means == 0;
    item->is_right = fits && (is_none || (item->means >= key->least && item->means <= key->most));
}

/* A set of kinds: what all do, then single ones, right or wrong. */
static void kinds_item(struct item *item, const struct input_op *op) {
    static const char *const after[] = {"=report", "=abort", "=report", "=maybe", "=", ""};
    struct rng random = {(uint64_t)op->pick << 32 | op->value};
    item->is_right = true;
    item->means = choice_of(op) & 1 ? REPORT_MAY_GO_ON : 0;
    append(item, choice_of(op) & 1 ? "report" : "abort");
    for (unsigned left = op->other / 4 % 4; left > 0; left--) {
        unsigned kind = rng_below(&random, REPORT_KINDS);
        unsigned what = rng_below(&random, rng_below(&random, 4) == 0 ? 6 : 2);
        bool is_known = rng_below(&random, 16) != 0, goes_on = what % 2 == 0;
        append(item, ",");
        append(item, is_known ? kinds[kind] : "no-such-kind");
        append(item, after[what]);
        uint64_t bit = (uint64_t)1 << kind;
        item->is_right &= is_known && what < 3 && (!goes_on || (bit & REPORT_MAY_GO_ON) != 0);
        item->means = goes_on ? item->means | bit : item->means & ~bit;
    }
}

static void wrong_item(struct item *item, const struct input_op *op) {
    static const char *const wrong[] = {
        "",
        "on off",
        "1x",
        "-1",
        "0x10",
        "yes",
        "ON",
        "+1",
        " 1",
        "1 ",
        "99999999999999999999",
        "==1",
        "maybe",
        "auto,",
        "K",
        "1KK",
        "1k",
        "10E",
        "abort,",
        "report,,double-free=report",
        "a\nb",
        "\xff\xfe",
        "\x1b[31m",
        "18446744073709551616",
        "18446744073709551615T",
    };
    enum { WRONG = sizeof wrong / sizeof wrong[0] };
    unsigned which = choice_of(op) % (WRONG + 1);
    if (which == WRONG)
        append_many(item, 'x', 300);
    else
        append(item, wrong[which]);
}

static void write_item(struct item *item, const struct key *key, const struct input_op *op) {
    item->value[0] = '\0';
    item->is_right = false;
    item->means = item->strength = 0;
    item->list = NULL;
    bool has_words = key->words[0].text != NULL;
    if (op->other % 4 == 0)
        wrong_item(item, op);
    else if (key->form == FORM_KINDS)
        kinds_item(item, op);
    else if (key->form == FORM_WORDS || (has_words && op->other % 4 == 1))
        word_item(item, key, op);
    else
        number_item(item, key, op);
}

/* --- The model ------------------------------------------------------------------------------- */

static unsigned strength_of(const struct key *key, uint64_t value) {
    for (unsigned i = 0; i < WORDS_MAX && key->words[i].text != NULL; i++)
        if (key->words[i].value == value) return key->words[i].strength;
    return 0;
}

static bool hardens(const struct key *key, uint64_t now, const struct item *item) {
    unsigned strength = key->form == FORM_WORDS ? strength_of(key, now) : 0;
    bool has_list = item->list != NULL;
    switch (key->rule) {
    case TAKE_STRONGER: return item->strength >= strength + has_list;
    case TAKE_STRONGER_WORD: return !has_list && item->strength >= strength;
    case TAKE_FEWER: return (item->means & ~now) == 0;
    case TAKE_SMALLER: return item->means <= now;
    case TAKE_LARGER: return item->means >= now;
    case TAKE_ANY: return true;
    case TAKE_NONE: break;
    }
    return item->means == now;
}

static void add_text(const char *text) {
    size_t more = strlen(text);
    memcpy(variable.text + length, text, more + 1);
    length += more;
}

/* No option has such a name; a name without a value is one with the value "". */
static void add_unknown(const struct input_op *op) {
    static const char *const unknown[] = {
        "unknown=1",     "=1",        "LEVEL=strict", "leve=strict", "levels=x", "x", "level ",
        " level=strict", "le\nvel=1", "region",       "on"};
    add_text(unknown[choice_of(op) % (sizeof unknown / sizeof unknown[0])]);
    if (op->other & 1) add_text("=");
}

static void add(struct belief *belief, const struct input_op *op, bool privileged) {
    static struct item item;
    unsigned at = op->value % (KEYS + 1);
    if (op->kind % 8 == 0) add_text(":"); /* an item of nothing */
    if (at == KEYS) {
        add_unknown(op);
        belief->refused++;
    } else {
        const struct key *key = &keys[at];
        write_item(&item, key, op);
        add_text(key->name);
        add_text("=");
        add_text(item.value);
        if (!item.is_right || (privileged && !hardens(key, belief->values[at], &item))) {
            belief->refused++;
        } else {
            belief->values[at] = item.means;
            strcpy(belief->lists[at], item.list != NULL ? item.list : "");
        }
    }
    add_text(":");
}

/* The text of these operations, and what it changes. */
static void write_text(struct belief *belief, const struct input *input, unsigned first,
                       unsigned end, bool privileged) {
    length = 0;
    variable.text[0] = '\0';
    belief->refused = 0;
    for (unsigned i = first; i < end && length < TEXT_MAX - 2 * VALUE_MAX; i++)
        add(belief, &input->ops[i], privileged);
    if (length > 0 && input->seed & 4) variable.text[--length] = '\0'; /* the last has no end */
}

/* --- What is judged -------------------------------------------------------------------------- */

static void compare(const struct options *options, const struct belief *belief, const char *how) {
    uint64_t found[KEYS];
    read_all(options, found);
    for (unsigned i = 0; i < KEYS; i++) {
        if (found[i] != belief->values[i])
            fail("option %s is %llu and not %llu %s", keys[i].name, (unsigned long long)found[i],
                 (unsigned long long)belief->values[i], how);
        if (keys[i].list == 0) continue;
        const struct option_list *list =
            (const struct option_list *)((const char *)options + keys[i].list);
        size_t end = strlen(belief->lists[i]);
        if (strcmp(list->text, belief->lists[i]) != 0)
            fail("the list of %s is %s and not %s %s", keys[i].name, list->text, belief->lists[i],
                 how);
        for (; end <= OPTION_LIST_MAX; end++)
            if (list->text[end] != '\0') fail("the list of %s has an old end", keys[i].name);
    }
}

static void expect_lines(unsigned printed, unsigned expected) {
    if (printed != expected) fail("%u lines were printed where %u were due", printed, expected);
}

static void begin_belief(struct belief *belief, struct options *options) {
    memset(options, 0xa5, sizeof *options);
    options_set_defaults(options);
    read_all(options, belief->values);
    for (unsigned i = 0; i < KEYS; i++) belief->lists[i][0] = '\0';
}

/* What it prints, parsed again, is what holds. */
static void judge_line(const struct texts_subject *subject, const struct belief *belief) {
    static const char before[] = "moat: options: ";
    static struct options again;
    size_t skip = sizeof before - 1;
    if (strncmp(last_line, before, skip) != 0 || last_line[last_length - 1] != '\n')
        fail("verbose=1 printed: %s", last_line);
    last_line[last_length - 1] = '\0';
    options_set_defaults(&again);
    lines = 0;
    subject->parse(&again, last_line + skip, false);
    if (lines != 0) fail("the line of verbose=1 has what is not taken");
    compare(&again, belief, "by the line of verbose=1");
}

/* By the environment, after what the program has: nothing. */
static void judge_load(const struct texts_subject *subject, const struct input *input,
                       struct belief *belief, struct options *options) {
    char *own[] = {(char *)&variable, NULL}, **kept = environ;
    begin_belief(belief, options);
    write_text(belief, input, 0, input->op_count, false);
    lines = 0;
    environ = own;
    subject->load(options);
    environ = kept;
    compare(options, belief, "from the environment");
    unsigned printed = lines;
    if (options->verbose) judge_line(subject, belief);
    expect_lines(printed, belief->refused + options->verbose);
}

uint64_t texts_run(const struct texts_subject *subject, const struct input *input) {
    static struct options options;
    static struct belief belief;
    bool privileged = (input->seed & 1) != 0, has_own = (input->seed & 2) != 0;
    unsigned own = has_own ? (unsigned)(input->seed >> 8) % (input->op_count + 1) : 0;
    harness_set_kernel(hear);
    begin_belief(&belief, &options);
    lines = 0;
    write_text(&belief, input, 0, own, false);
    subject->parse(&options, length != 0 ? variable.text : NULL, false);
    unsigned refused = belief.refused;
    compare(&options, &belief, "by the program");
    write_text(&belief, input, own, input->op_count, privileged);
    subject->parse(&options, variable.text, privileged);
    compare(&options, &belief, privileged ? "in a privileged process" : "by the environment");
    expect_lines(lines, refused + belief.refused);
    uint64_t trace = rng_mix(length + lines);
    for (unsigned i = 0; i < KEYS; i++) trace = rng_mix(trace ^ belief.values[i]);
    if (!privileged) judge_load(subject, input, &belief, &options);
    harness_set_kernel(NULL);
    return trace;
}
