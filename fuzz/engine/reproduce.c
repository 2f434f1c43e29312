/*
 * reproduce: one input and its finding. See the header.
 */
#include "engine/reproduce.h"

#include <stdbool.h>
#include <string.h>

#include "engine/finding.h"
#include "engine/minimise.h"
#include "engine/record.h"

static struct input input;
static uint8_t bytes[INPUT_MAX_SIZE];
static size_t size;
static struct finding wanted, found;
static void (*runs)(const uint8_t *bytes, size_t size); /* as it was found */

static bool read_input(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return false;
    }
    size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    if (input_decode(&input, bytes, size)) return true;
    fprintf(stderr, "%s: no input of this version\n", path);
    return false;
}

/* What the input finds; false: nothing. */
static bool find(const struct reproduce *of) {
    runs = of->search;
    if (finding_of(of->replay, bytes, size, &wanted)) {
        runs = of->replay;
        return true;
    }
    return finding_of(of->search, bytes, size, &wanted);
}

static bool finds_the_same(void *context, const struct input *smaller) {
    (void)context;
    size = input_encode(smaller, bytes, sizeof bytes);
    return finding_of(runs, bytes, size, &found) && finding_is_same(&wanted, &found);
}

/* The last lines of what was said. */
static void print_said(const struct finding *finding) {
    enum { LINES = 40 };
    unsigned lines = 0;
    const char *at = finding->said + strlen(finding->said);
    while (at > finding->said && lines <= LINES) lines += *--at == '\n';
    if (at > finding->said) at++;
    fputs(at, stdout);
}

static struct recipe recipe_of(const struct reproduce *of) {
    const char *words = wanted.words[0] != '\0' ? wanted.words : NULL;
    return (struct recipe){&input, of->harness, of->style, words};
}

static int make_small(const struct reproduce *of, const char *path) {
    char small[4096];
    unsigned before = input.op_count;
    if (snprintf(small, sizeof small, "%s.small", path) >= (int)sizeof small) return 2;
    if (!finds_the_same(NULL, &input)) {
        fprintf(stderr, "%s: what it finds is not in its operations and schedule\n", path);
        return 1;
    }
    unsigned tries = minimise(&input, finds_the_same, NULL);
    size = input_encode(&input, bytes, sizeof bytes);
    FILE *file = fopen(small, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(small);
        return 2;
    }
    (void)finding_of(runs, bytes, size, &found);
    struct recipe recipe = recipe_of(of);
    printf("%s: %u operations of %u, after %u tries\n\nfinding: %s\n\n", small, input.op_count,
           before, tries, wanted.words);
    recipe_text(stdout, &recipe);
    printf("\n");
    print_said(&found);
    return 0;
}

/* Of the calls, up to the last before the process ended. */
static FILE *lines;
static void run_recorded(const uint8_t *given, size_t length) {
    record_to(lines);
    runs(given, length);
}

static bool calls_do(FILE *file) {
    char line[4096];
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strstr(line, RECORD_NEEDS) != NULL) return false;
    return true;
}

static int print_calls(const struct reproduce *of) {
    struct recipe recipe = recipe_of(of);
    lines = tmpfile();
    if (lines == NULL) return 2;
    (void)finding_of(run_recorded, bytes, size, &found);
    if (calls_do(lines))
        recipe_of_calls(stdout, &recipe, lines);
    else
        recipe_of_harness(stdout, &recipe);
    fclose(lines);
    return 0;
}

int reproduce(const struct reproduce *of, enum reproduce_as as, const char *path) {
    if (!read_input(path)) return 2;
    bool fails = find(of);
    struct recipe recipe = recipe_of(of);
    if (!fails && as == REPRODUCE_SMALL) {
        fprintf(stderr, "%s: nothing fails\n", path);
        return 1;
    }
    if (as == REPRODUCE_SMALL) return make_small(of, path);
    if (as == REPRODUCE_C && of->style == RECIPE_CALLS) return print_calls(of);
    if (as == REPRODUCE_TEXT)
        recipe_text(stdout, &recipe);
    else
        recipe_of_harness(stdout, &recipe);
    return 0;
}
