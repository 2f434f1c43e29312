/*
 * weaken_main: every order in src/ one step weaker, one place after another, in one binary.
 *
 *   fuzz_weaken [--seconds S] [--seed N] [--csv FILE] [NUMBER...]
 *   fuzz_weaken --list
 *
 * The seams announce each access to a shared word with its place and its order, and the linker has
 * all places in one section; what a load may be given is reckoned by the order that is announced
 * (engine/views.c). So a weaker one needs no other build: acquire and release become relaxed,
 * acquire-release loses the one or the other. For each, and for places that `interleave` comes to
 * alone, a child process runs fresh inputs with stale reads for S seconds of processor time (10),
 * until one fails. Prints a line for each, and how many were found; FILE gets the same as a table:
 * number, place, order, weaker, found (1 or 0), seconds, what was said. Exit status: 0, 2 for a
 * usage error. What survives is no failure of this program: doc/fuzzing.md explains each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/program.h"
#include "engine/target.h"
#include "engine/team.h"

enum { MUTATIONS_MAX = 1024, SAID_MAX = 90, WARM_UP_INPUTS = 4000 };

struct mutation {
    const struct atomic_site *site;
    uint8_t weaker;
    bool reached;
};

static struct mutation mutations[MUTATIONS_MAX];
static unsigned count;
static struct run run;
static struct input input;

static const char *name_of(unsigned order) {
    switch (order) {
    case __ATOMIC_RELAXED: return "relaxed";
    case __ATOMIC_ACQUIRE: return "acquire";
    case __ATOMIC_RELEASE: return "release";
    case __ATOMIC_ACQ_REL: return "acquire-release";
    case __ATOMIC_SEQ_CST: return "seq-cst";
    default: return "other";
    }
}

static const char *file_of(const struct atomic_site *site) {
    const char *inside = strstr(site->file, "src/");
    return inside != NULL ? inside : site->file;
}

static bool is_same(const struct atomic_site *one, const struct atomic_site *other) {
    return one->line == other->line && one->kind == other->kind &&
           strcmp(one->file, other->file) == 0;
}

static void add(const struct atomic_site *site, uint8_t weaker) {
    for (unsigned i = 0; i < count; i++)
        if (is_same(mutations[i].site, site) && mutations[i].weaker == weaker) return;
    if (count < MUTATIONS_MAX) mutations[count++] = (struct mutation){site, weaker, false};
}

/* Places and what they become, sorted, so that a number stays what it is from build to build. */
static int compare(const void *left, const void *right) {
    const struct mutation *one = left, *other = right;
    int files = strcmp(file_of(one->site), file_of(other->site));
    if (files != 0) return files;
    if (one->site->line != other->site->line) return one->site->line < other->site->line ? -1 : 1;
    if (one->site->kind != other->site->kind) return (int)one->site->kind - other->site->kind;
    return (int)one->weaker - other->weaker;
}

static void find_mutations(void) {
    const struct atomic_site *site = __start_atomic_sites;
    for (; site < __stop_atomic_sites; site++) {
        if (site->order == __ATOMIC_ACQUIRE || site->order == __ATOMIC_RELEASE)
            add(site, __ATOMIC_RELAXED);
        if (site->order == __ATOMIC_ACQ_REL) {
            add(site, __ATOMIC_RELEASE);
            add(site, __ATOMIC_ACQUIRE);
        }
        if (site->order == __ATOMIC_SEQ_CST)
            add(site, site->kind == ATOMIC_LOAD ? __ATOMIC_ACQUIRE : __ATOMIC_ACQ_REL);
    }
    qsort(mutations, count, sizeof mutations[0], compare);
}

static void note_reached(const struct atomic_site *site) {
    if (site->order == __ATOMIC_RELAXED) return;
    for (unsigned i = 0; i < count; i++)
        if (mutations[i].site->line == site->line && is_same(mutations[i].site, site))
            mutations[i].reached = true;
}

static void run_one(uint64_t seed) {
    struct rng random = {seed};
    program_make(&input, &random);
    program_adapt(&input);
    team_run(&run, &subject_moat, &input);
}

static double processor_seconds(int who) {
    struct rusage used;
    getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void search(const struct mutation *mutation, double seconds, uint64_t seed, int said) {
    dup2(said, STDERR_FILENO);
    views_weaken(mutation->site, mutation->weaker);
    double start = processor_seconds(RUSAGE_SELF);
    for (uint64_t number = 0; processor_seconds(RUSAGE_SELF) - start < seconds; number++)
        run_one(seed << 32 | number);
    _exit(0);
}

/* What the child said first about its failure, or nothing. */
static void first_words(int fd, char text[SAID_MAX]) {
    static const char *const marks[] = {"fuzz: failure: ", "moat harness: ", "moat: "};
    static char all[4096];
    ssize_t length = pread(fd, all, sizeof all - 1, 0);
    all[length > 0 ? length : 0] = '\0';
    text[0] = '\0';
    for (unsigned i = 0; i < sizeof marks / sizeof marks[0] && text[0] == '\0'; i++) {
        const char *found = strstr(all, marks[i]);
        if (found == NULL) continue;
        snprintf(text, SAID_MAX, "%s", found + strlen(marks[i]));
        text[strcspn(text, "\n")] = '\0';
        for (char *at = text; *at != '\0'; at++)
            if (*at == '"') *at = '\'';
    }
}

static bool try_mutation(unsigned number, double seconds, uint64_t seed, FILE *csv) {
    const struct mutation *mutation = &mutations[number];
    const struct atomic_site *site = mutation->site;
    char text[SAID_MAX] = "";
    FILE *said = tmpfile();
    if (said == NULL) abort();
    double before = processor_seconds(RUSAGE_CHILDREN);
    pid_t child = fork();
    if (child == 0) search(mutation, seconds, seed, fileno(said));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    double took = processor_seconds(RUSAGE_CHILDREN) - before;
    bool found = status != 0;
    if (found) first_words(fileno(said), text);
    fclose(said);
    printf("%u %s:%u %s -> %s: %s after %.2f s %s\n", number, file_of(site), site->line,
           name_of(site->order), name_of(mutation->weaker), found ? "found" : "nothing", took,
           text);
    fflush(stdout);
    if (csv != NULL) {
        fprintf(csv, "%u,%s:%u,%s,%s,%d,%.2f,\"%s\"\n", number, file_of(site), site->line,
                name_of(site->order), name_of(mutation->weaker), found, took, text);
        fflush(csv);
    }
    return found;
}

static int list(void) {
    for (unsigned i = 0; i < count; i++)
        printf("%u %s:%u %s -> %s%s\n", i, file_of(mutations[i].site), mutations[i].site->line,
               name_of(mutations[i].site->order), name_of(mutations[i].weaker),
               mutations[i].reached ? "" : " (not reached)");
    return 0;
}

static void find_reached(void) {
    views_on_site = note_reached;
    for (unsigned i = 0; i < WARM_UP_INPUTS; i++) run_one(i);
    views_on_site = NULL;
}

int main(int argc, char **argv) {
    double seconds = 10;
    uint64_t seed = 1;
    FILE *csv = NULL;
    bool only_list = false;
    int first = 1;
    for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
        const char *value = first + 1 < argc ? argv[first + 1] : "";
        if (strcmp(argv[first], "--list") == 0) {
            only_list = true;
            continue;
        }
        if (strcmp(argv[first], "--seconds") == 0)
            seconds = strtod(value, NULL);
        else if (strcmp(argv[first], "--seed") == 0)
            seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[first], "--csv") != 0 || (csv = fopen(value, "w")) == NULL)
            return 2;
        first++;
    }
    team_is_watched = true;
    find_mutations();
    find_reached();
    if (only_list) return list();
    if (csv != NULL) fprintf(csv, "number,place,order,weaker,found,seconds,said\n");
    unsigned tried = 0, found = 0, reached = 0;
    for (unsigned i = 0; i < count; i++) {
        bool wanted = first >= argc;
        for (int at = first; at < argc; at++) wanted |= strtoul(argv[at], NULL, 10) == i;
        reached += mutations[i].reached;
        if (!wanted || !mutations[i].reached) continue;
        tried++;
        found += try_mutation(i, seconds, seed, csv);
    }
    printf("%u orders in src/ can be weaker, %u of them where interleave comes by; %u tried, %u "
           "found\n",
           count, reached, tried, found);
    return 0;
}
