/*
 * rows: the tables of src/ as the compiler reads them, a row a line, cells between tabs. The
 * scripts beside this file compare them with the documents.
 *
 *   options   key, form, values, default
 *   reports   "kind", name, MAY_GO_ON or ALWAYS_ENDS; "stop", its text with <detail> where there is
 *             one
 *   stats     name, meaning
 */
#include "meta/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Most words have no list. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct word {
    const char *word;
    uint64_t value;
    unsigned strength;
    enum option_list_form list;
};

/* One of the three forms a value has. */
struct values {
    const struct word *words;
    size_t count;
    uint64_t least, most;
    const char *form;
};

/* What stands behind a word in the documents. */
static const char *const lists[] = {
    [LIST_NONE] = "", [LIST_NAMES] = ":NAME,NAME", [LIST_PATH] = ":PATH", [LIST_NUMBER] = ":N"};

static void print_option(const char *key, uint64_t default_value, struct values values) {
    printf("%s\t%s\t", key, values.form);
    bool is_number = values.most != 0;
    if (is_number) printf("%" PRIu64 " %" PRIu64, values.least, values.most);
    for (size_t i = 0; i < values.count; i++)
        printf("%s%s%s", i == 0 && !is_number ? "" : " ", values.words[i].word,
               lists[values.words[i].list]);
    if (strcmp(values.form, "kinds") == 0) printf("\tabort\n");
    for (size_t i = 0; i < values.count; i++)
        if (values.words[i].value == default_value) printf("\t%s\n", values.words[i].word);
    if (is_number) printf("\t%" PRIu64 "\n", default_value);
}

#define COUNT(...) (sizeof((const struct word[]){__VA_ARGS__}) / sizeof(struct word))
#define WORDS(...)                                                                                 \
    (struct values) {                                                                              \
        .form = "word", .count = COUNT(__VA_ARGS__), .words = (const struct word[]) {              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define WORDS_WITH_LIST(list, ...) WORDS(__VA_ARGS__)
#define KINDS()                                                                                    \
    (struct values) { .form = "kinds" }
#define NUMBER(minimum, maximum)                                                                   \
    (struct values) { .form = "number", .least = (minimum), .most = (maximum) }
/* The default is one of the numbers. */
#define NUMBER_OR_WORD(minimum, maximum, ...)                                                      \
    (struct values) {                                                                              \
        .form = "number", .least = (minimum), .most = (maximum), .count = COUNT(__VA_ARGS__),      \
        .words = (const struct word[]) {                                                           \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define SIZE(minimum, maximum)                                                                     \
    (struct values) { .form = "size", .least = (minimum), .most = (maximum) }

static void print_options(void) {
#define OPTION(key, field, type, default_value, rule, values)                                      \
    print_option(#key, (uint64_t)(default_value), values);
#include "meta/options.def"
}

static void print_reports(void) {
#define KIND(id, name, after) printf("kind\t%s\t%s\n", name, #after);
#define STOP(id, before, after)                                                                    \
    printf("stop\t%s%s%s\n", before, (after)[0] != '\0' ? "<detail>" : "", after);
#include "report/kinds.def"
}

static void print_stats(void) {
#define STAT(name, line, unit, text, meaning) printf("%s\t%s\n", #name, meaning);
#include "alloc/stats.def"
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*print)(void);
    } tables[] = {{"options", print_options}, {"reports", print_reports}, {"stats", print_stats}};
    for (size_t i = 0; count == 2 && i < sizeof tables / sizeof *tables; i++) {
        if (strcmp(arguments[1], tables[i].name) != 0) continue;
        tables[i].print();
        return 0;
    }
    fprintf(stderr, "usage: rows TABLE\n");
    return 2;
}
