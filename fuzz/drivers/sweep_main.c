/*
 * sweep_main: bugs that are planted by rule, one after another, in one binary.
 *
 *   fuzz_sweep [--only KIND] [--hunt | --fresh] [--seconds S] [--seed N] [--csv FILE] [PLACE...]
 *   fuzz_sweep --least N [...] PLACE...
 *   fuzz_sweep --list
 *
 * The seams announce each access to a shared word with its place and its order, and each rare
 * branch (MOAT_LIKELY, MOAT_UNLIKELY, MOAT_CHECK) that is about to be taken; the linker has all
 * places in two sections. So a bug needs no other build:
 *
 *   order    what a load may be given is reckoned by a weaker order: acquire and release become
 *            relaxed, acquire-release loses the one or the other, seq-cst becomes acquire-release
 *   branch   the program goes on as if the rare thing had not come about: a check that is gone
 *   try      a compare-and-exchange that failed says that it did not: a retry that is gone
 *
 * Of an order, a child process first runs each program of fuzz_explore whose first runs come by
 * it, in all interleavings with 2 preemptions and one old value, plain data watched; --hunt and
 * --fresh: it does not. Then, and for all else at once, a child runs inputs for S seconds of
 * processor time (10) until one fails: those of `interleave`, with stale reads and plain data
 * watched, fresh and, but for --fresh, changed; for branches and tries by turns with those of `ops`
 * and of `threads`. Places that a few thousand inputs do not come by are left out: --list names
 * them. A place is its file, its function and its number among those of its kind there, in the
 * order of lines: so it keeps its name when lines elsewhere move. PLACE is some of that in whole
 * words, as "heap_pool.c" or "remote.c:announce:1". Prints a line for each bug, and how many were
 * found; FILE gets the same as a table: place, kind, change, found (1 or 0), seconds, what was
 * said. Exit status: 0, 2 for a usage error. What survives is no failure of it, and explained in
 * doc/fuzzing.md; but with --least, which takes its places as they are, it is 1 if fewer than N are
 * found.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/crew.h"
#include "engine/dispatch.h"
#include "engine/explore.h"
#include "engine/hunt.h"
#include "engine/mutate.h"
#include "engine/program.h"
#include "engine/scenarios.h"
#include "engine/team.h"
#include "harness/harness.h"

enum {
    BUGS_MAX = 1024,
    SAID_MAX = 90,
    WARM_UP_INPUTS = 3000,
    WARM_UP_RUNS = 300, /* of each scenario */
    RUNS_MAX = 100000,
    EXIT_NOT_ALL = 3,
    CREW_THREADS = 3,
    /* Beyond its processor time, for the scenarios, or one run that does not end. */
    EXPLORE_SECONDS = 120,
    /* Beyond its processor time, for a child that waits for what never comes. */
    PATIENCE_SECONDS = 60
};

enum bug_kind { BUG_ORDER, BUG_BRANCH, BUG_TRY };
static const char *const kind_names[] = {"order", "branch", "try"};

struct bug {
    enum bug_kind kind;
    const char *file; /* with its line the place */
    uint32_t line;
    const char *function;
    unsigned ordinal; /* among the lines of its function that have a place of its kind, from 1 */
    const struct atomic_site *site; /* of an order */
    uint8_t weaker;
    bool reached;
    uint64_t scenarios; /* of an order: a bit for each that comes by */
};

static struct bug bugs[BUGS_MAX];
static unsigned count;
static struct run run;
static struct input input;
static const struct bug *planted;
static bool learns = true, explores = true;

/* --- The bugs -------------------------------------------------------------------------------- */

static const char *order_name(unsigned order) {
    switch (order) {
    case __ATOMIC_RELAXED: return "relaxed";
    case __ATOMIC_ACQUIRE: return "acquire";
    case __ATOMIC_RELEASE: return "release";
    case __ATOMIC_ACQ_REL: return "acquire-release";
    case __ATOMIC_SEQ_CST: return "seq-cst";
    default: return "other";
    }
}

static void describe(const struct bug *bug, char text[SAID_MAX]) {
    if (bug->kind == BUG_ORDER)
        snprintf(text, SAID_MAX, "%s becomes %s", order_name(bug->site->order),
                 order_name(bug->weaker));
    else
        snprintf(text, SAID_MAX, "%s", bug->kind == BUG_TRY ? "not tried again" : "not taken");
}

static bool is_at(const struct bug *bug, enum bug_kind kind, const char *file, uint32_t line) {
    return bug->line == line && bug->kind == kind && strcmp(bug->file, file) == 0;
}

/* An inline function has a place in each file that uses it: one bug for all. */
static void add(const struct bug *bug) {
    const char *inside = strstr(bug->file, "src/");
    if (inside == NULL || strncmp(inside, "src/harness/", strlen("src/harness/")) == 0) return;
    for (unsigned i = 0; i < count; i++)
        if (is_at(&bugs[i], bug->kind, bug->file, bug->line) && bugs[i].weaker == bug->weaker &&
            bugs[i].site->kind == bug->site->kind)
            return;
    if (count < BUGS_MAX) bugs[count++] = *bug;
}

static const struct atomic_site nowhere;

static void add_order(const struct atomic_site *site, uint8_t weaker) {
    add(&(struct bug){BUG_ORDER, site->file, site->line, site->function, .site = site,
                      .weaker = weaker});
}
static void add_other(enum bug_kind kind, const char *file, uint32_t line, const char *function) {
    add(&(struct bug){kind, file, line, function, .site = &nowhere});
}

static const char *place_of(const struct bug *bug) { return strstr(bug->file, "src/"); }
static void name_place(const struct bug *bug, char name[SAID_MAX]) {
    snprintf(name, SAID_MAX, "%s:%s:%u", place_of(bug), bug->function, bug->ordinal);
}

/* As they stand in the source. */
static int compare(const void *left, const void *right) {
    const struct bug *one = left, *other = right;
    if (one->kind != other->kind) return (int)one->kind - (int)other->kind;
    int files = strcmp(place_of(one), place_of(other));
    if (files != 0) return files;
    if (one->line != other->line) return one->line < other->line ? -1 : 1;
    if (one->site->kind != other->site->kind) return (int)one->site->kind - other->site->kind;
    return (int)one->weaker - other->weaker;
}

/* How many lines of its function before it have a place of its kind. They are sorted. */
static void count_places(void) {
    for (unsigned i = 0; i < count; i++) {
        uint32_t before = 0;
        bugs[i].ordinal = 1;
        for (unsigned j = 0; j < i; j++) {
            if (bugs[j].kind != bugs[i].kind || strcmp(bugs[j].file, bugs[i].file) != 0 ||
                strcmp(bugs[j].function, bugs[i].function) != 0 || bugs[j].line == bugs[i].line)
                continue;
            if (bugs[j].line != before) bugs[i].ordinal++;
            before = bugs[j].line;
        }
    }
}

static void find_bugs(void) {
    for (const struct atomic_site *site = __start_atomic_sites; site < __stop_atomic_sites;
         site++) {
        if (site->order == __ATOMIC_ACQUIRE || site->order == __ATOMIC_RELEASE)
            add_order(site, __ATOMIC_RELAXED);
        if (site->order == __ATOMIC_ACQ_REL) {
            add_order(site, __ATOMIC_RELEASE);
            add_order(site, __ATOMIC_ACQUIRE);
        }
        if (site->order == __ATOMIC_SEQ_CST)
            add_order(site, site->kind == ATOMIC_LOAD ? __ATOMIC_ACQUIRE : __ATOMIC_ACQ_REL);
        if (site->kind == ATOMIC_TRY) add_other(BUG_TRY, site->file, site->line, site->function);
    }
#ifdef MOAT_SWEPT
    for (const struct branch_site *site = __start_branch_sites; site < __stop_branch_sites; site++)
        add_other(BUG_BRANCH, site->file, site->line, site->function);
#endif
    qsort(bugs, count, sizeof bugs[0], compare);
    count_places();
}

static bool is_planted(enum bug_kind kind, const char *file, uint32_t line) {
    return planted != NULL && is_at(planted, kind, file, line);
}
static bool leaves_out(const struct branch_site *site) {
    return is_planted(BUG_BRANCH, site->file, site->line);
}
static bool lies(const struct atomic_site *site) {
    return is_planted(BUG_TRY, site->file, site->line);
}

static void plant(const struct bug *bug) {
    planted = bug;
    if (bug->kind == BUG_ORDER) views_weaken(bug->site, bug->weaker);
    harness_on_branch = leaves_out;
    harness_on_failed_try = lies;
}

/* --- Small programs, whole ------------------------------------------------------------------- */

/* Returns whether that were all runs. */
static bool explore_scenario(unsigned number, struct explore_bounds bounds) {
    scenario_make(&scenarios[number], &input);
    return explore(&run, &subject_moat, &input, bounds).complete;
}

/* Returns whether all was run of each that comes by the place. */
static bool explore_bug(const struct bug *bug) {
    static const struct explore_bounds bounds = {.preemptions = 2, .old = 1, .runs = RUNS_MAX};
    bool complete = true;
    team_is_watched = true;
    for (unsigned i = 0; i < scenarios_count; i++)
        if (bug->scenarios >> i & 1) complete &= explore_scenario(i, bounds);
    return complete;
}

/* --- Which of them are ever come by ---------------------------------------------------------- */

static uint64_t scenario_bit; /* of the one that runs; 0: it is a fresh input */

static void note(enum bug_kind kind, const char *file, uint32_t line) {
    for (unsigned i = 0; i < count; i++) {
        if (!is_at(&bugs[i], kind, file, line)) continue;
        bugs[i].reached = true;
        bugs[i].scenarios |= scenario_bit;
    }
}
static void note_order(const struct atomic_site *site) {
    if (site != NULL && site->order != __ATOMIC_RELAXED) note(BUG_ORDER, site->file, site->line);
}
static bool note_branch(const struct branch_site *site) {
    note(BUG_BRANCH, site->file, site->line);
    return false;
}
static bool note_try(const struct atomic_site *site) {
    note(BUG_TRY, site->file, site->line);
    return false;
}

/* --- Looking for them ------------------------------------------------------------------------ */

static void make_program(struct input *made, uint64_t seed, unsigned operations) {
    struct rng random = {seed};
    program_make(made, &random);
    (void)operations;
}

static size_t change_program(uint8_t *bytes, size_t size, size_t max_size, unsigned seed) {
    return program_mutate_bytes(bytes, size, max_size, seed);
}

static const struct hunt_source programs = {make_program, change_program};

static void run_at_once(void) {
    size_t size;
    const uint8_t *bytes = hunt_next(&size);
    if (!input_decode(&input, bytes, size)) abort();
    program_adapt(&input);
    team_run(&run, &subject_moat, &input);
    hunt_ran();
}

static void run_in_order(uint64_t seed, unsigned threads) {
    struct rng random = {seed};
    mutate_fresh(&input, &random, threads);
    if (threads == 1)
        dispatch_input(&run, &subject_moat, &input);
    else
        crew_run(&run, &subject_moat, &input);
}

static void run_one(uint64_t seed, enum bug_kind kind) {
    unsigned turn = kind == BUG_ORDER ? 0 : (unsigned)(seed % 3);
    team_is_watched = kind == BUG_ORDER;
    if (turn == 0)
        run_at_once();
    else
        run_in_order(seed, turn == 1 ? 1 : CREW_THREADS);
}

static void find_reached(void) {
    views_on_site = note_order;
    harness_on_branch = note_branch;
    harness_on_failed_try = note_try;
    hunt_begin(&programs, 0, true);
    for (unsigned i = 0; i < WARM_UP_INPUTS; i++) run_one(i, i % 2 == 0 ? BUG_ORDER : BUG_BRANCH);
    team_is_watched = false;
    for (unsigned i = 0; i < scenarios_count; i++) {
        scenario_bit = UINT64_C(1) << i;
        (void)explore_scenario(i, (struct explore_bounds){.preemptions = 1, .runs = WARM_UP_RUNS});
    }
    scenario_bit = 0;
    views_on_site = NULL;
    harness_on_branch = NULL;
    harness_on_failed_try = NULL;
}

static double processor_seconds(int who) {
    struct rusage used;
    getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* A bug may let it run or wait for ever: it dies of that, and a group of its own dies with it. */
static void search(const struct bug *bug, double seconds, uint64_t seed, int said) {
    struct rlimit most = {(rlim_t)seconds + EXPLORE_SECONDS, (rlim_t)seconds + EXPLORE_SECONDS};
    setpgid(0, 0);
    dup2(said, STDERR_FILENO);
    setrlimit(RLIMIT_CPU, &most);
    alarm(((unsigned)seconds + EXPLORE_SECONDS) * 4 + PATIENCE_SECONDS);
    plant(bug);
    bool complete = !explores || bug->kind != BUG_ORDER || explore_bug(bug);
    hunt_begin(&programs, seed, learns);
    double start = processor_seconds(RUSAGE_SELF);
    for (uint64_t number = 0; processor_seconds(RUSAGE_SELF) - start < seconds; number++)
        run_one(seed << 32 | number, bug->kind);
    _exit(complete ? 0 : EXIT_NOT_ALL);
}

/* What the child said first about its failure, or by which signal it ended. */
static void first_words(int fd, int status, char text[SAID_MAX]) {
    static const char *const marks[] = {"fuzz: failure: ", "moat harness: ", "moat: "};
    static char all[4096];
    ssize_t length = pread(fd, all, sizeof all - 1, 0);
    all[length > 0 ? length : 0] = '\0';
    snprintf(text, SAID_MAX, "%s",
             !WIFSIGNALED(status)          ? ""
             : WTERMSIG(status) == SIGXCPU ? "runs for ever"
             : WTERMSIG(status) == SIGALRM ? "waits for ever"
             : WTERMSIG(status) == SIGSEGV ? "a fault"
                                           : "");
    for (unsigned i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *found = strstr(all, marks[i]);
        if (found == NULL) continue;
        snprintf(text, SAID_MAX, "%s", found + strlen(marks[i]));
        text[strcspn(text, "\n")] = '\0';
        break;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at == '"') *at = '\'';
}

static bool try_bug(const struct bug *bug, double seconds, uint64_t seed, FILE *csv) {
    char place[SAID_MAX], change[SAID_MAX], text[SAID_MAX] = "";
    FILE *said = tmpfile();
    if (said == NULL) abort();
    double before = processor_seconds(RUSAGE_CHILDREN);
    pid_t child = fork();
    if (child == 0) search(bug, seconds, seed, fileno(said));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    kill(-child, SIGKILL); /* children of a fork that hang */
    double took = processor_seconds(RUSAGE_CHILDREN) - before;
    bool not_all = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_ALL;
    bool found = status != 0 && !not_all;
    if (not_all) snprintf(text, sizeof text, "(not all was run)");
    if (found) first_words(fileno(said), status, text);
    fclose(said);
    name_place(bug, place);
    describe(bug, change);
    printf("%s %s: %s after %.2f s %s\n", place, change, found ? "found" : "nothing", took, text);
    fflush(stdout);
    if (csv != NULL) {
        fprintf(csv, "%s,%s,%s,%d,%.2f,\"%s\"\n", place, kind_names[bug->kind], change, found, took,
                text);
        fflush(csv);
    }
    return found;
}

static int list(void) {
    char place[SAID_MAX], change[SAID_MAX];
    for (unsigned i = 0; i < count; i++) {
        name_place(&bugs[i], place);
        describe(&bugs[i], change);
        printf("%s (line %u) %s%s\n", place, bugs[i].line, change,
               bugs[i].reached ? "" : " (not reached)");
    }
    return 0;
}

static bool is_of_a_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* Whether the place has that name in it, in whole words: "take:1" is not in "pool.c:take:12". */
static bool is_called(const char *place, const char *name) {
    size_t length = strlen(name);
    if (length == 0) return true;
    for (const char *at = strstr(place, name); at != NULL; at = strstr(at + 1, name)) {
        bool begins = at == place || !is_of_a_word(at[-1]) || !is_of_a_word(at[0]);
        if (begins && (!is_of_a_word(at[length - 1]) || !is_of_a_word(at[length]))) return true;
    }
    return false;
}

static bool is_wanted(const struct bug *bug, const char *only, char **places) {
    char place[SAID_MAX];
    if (!bug->reached) return false;
    if (only != NULL && strcmp(kind_names[bug->kind], only) != 0) return false;
    name_place(bug, place);
    for (char **at = places; *at != NULL; at++)
        if (is_called(place, *at)) return true;
    return *places == NULL;
}

int main(int argc, char **argv) {
    double seconds = 10;
    uint64_t seed = 1;
    FILE *csv = NULL;
    const char *only = NULL;
    unsigned least = 0;
    bool only_list = false;
    int first = 1;
    for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
        const char *value = first + 1 < argc ? argv[first + 1] : "";
        if (strcmp(argv[first], "--list") == 0) {
            only_list = true;
            continue;
        }
        if (strcmp(argv[first], "--fresh") == 0) {
            learns = explores = false;
            continue;
        }
        if (strcmp(argv[first], "--hunt") == 0) {
            explores = false;
            continue;
        }
        if (strcmp(argv[first], "--seconds") == 0)
            seconds = strtod(value, NULL);
        else if (strcmp(argv[first], "--seed") == 0)
            seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[first], "--least") == 0)
            least = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[first], "--only") == 0)
            only = value;
        else if (strcmp(argv[first], "--csv") != 0 || (csv = fopen(value, "w")) == NULL)
            return 2;
        first++;
    }
    crew_pin();
    find_bugs();
    if (least == 0) find_reached();
    if (only_list) return list();
    if (csv != NULL) fprintf(csv, "place,kind,change,found,seconds,said\n");
    unsigned tried = 0, found = 0, reached = 0;
    for (unsigned i = 0; i < count; i++) {
        bugs[i].reached |= least != 0;
        if (least != 0) bugs[i].scenarios = UINT64_MAX;
        reached += bugs[i].reached;
        if (!is_wanted(&bugs[i], only, argv + first)) continue;
        tried++;
        found += try_bug(&bugs[i], seconds, seed, csv);
    }
    printf("%u bugs by rule, %u of them where inputs come by; %u tried, %u found\n", count, reached,
           tried, found);
    return found < least ? 1 : 0;
}
