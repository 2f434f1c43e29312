/*
 * replay_main: runs a harness over the inputs it is given, without a fuzzer.
 *
 *   fuzz_<harness>_replay [--repeat N] [--verbose] FILE-OR-FOLDER…
 *   fuzz_<harness>_replay --torture [--every N] FILE-OR-FOLDER…
 *   fuzz_<harness>_replay [--kernel] [--single] --speed SECONDS
 *   fuzz_<harness>_replay --minimise FILE | --text FILE | --c FILE | --c-of-harness FILE
 *   fuzz_<harness>_replay [--audit] [--fresh] [--scheduler NAME] --search SECONDS [SEED]
 *
 * Folders are searched to the bottom, in the order of their names. With --repeat each input runs N
 * times (2 unless told) and its runs must leave the same trace; then once with memory from the
 * kernel, which may lie elsewhere. An input whose name begins with report- must end in a report.
 * Prints how many inputs ran, how many of them ended in an expected report, and how many were no
 * inputs of this version. Exit status: 0; 1 when a trace differs, a report is missing or no input
 * ran; 2 for a usage or file error; a failure that the harness finds ends the process by abort(),
 * after the name of the input.
 *
 * --torture runs each input again and again: of each kind of system call the first fails, then the
 * second, and so on until no call of that number is made; then of each failpoint (base/seam.h) the
 * first passing, the second, and so on up to the eighth. Folders named grown are left out; with
 * --every all inputs but each N-th are.
 *
 * --minimise writes FILE.small: as few operations, with as plain values, as find the same, in the
 * words of who found it; and prints it. --text prints operations and schedule; --c a program that
 * does the same again (engine/recipe.h), --c-of-harness one against the harness in any case.
 * fuzz/reproduce/reproduce.sh compiles and runs both.
 *
 * --speed prints how many fresh inputs, of 50 operations where the harness lets that be chosen, run
 * in a second of processor time: as the mutator makes them, and without those operations that stand
 * for up to a thousand (--single: these alone, which is for profilers); with --kernel, with memory
 * from the kernel. --search runs inputs, one after another, until so many seconds of processor time
 * have passed or one fails, which is then in the file found-SEED: fresh ones, and as many that come
 * of one which came by a new pair of places (engine/hunt.h), if the harness has such; --fresh: none
 * of these. --audit: as slowly as inputs are replayed, with the engine looking at itself.
 * --scheduler: raw, pct, walk or random, for virtual threads.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/hunt.h"
#include "engine/input.h"
#include "engine/reproduce.h"
#include "engine/run.h"
#include "engine/schedule.h"
#include "engine/target.h"
#include "harness/harness.h"

static unsigned torture_every = 1, offered;
static bool only_single, is_audited, is_tortured, learns = true;
static unsigned ran, reported, silent, unread, unstable, repeat = 2;
static unsigned long faults;

static bool must_report(const char *path) {
    static const char mark[] = "report-";
    const char *name = strrchr(path, '/');
    return strncmp(name ? name + 1 : path, mark, sizeof mark - 1) == 0;
}

/* A lock may be tried hundreds of times in a run, and what comes of it is not new each time. */
static unsigned most_of(unsigned kind) {
    enum { PASSINGS_MAX = 8 };
    return kind < subject_moat.fault_kinds ? UINT32_MAX : PASSINGS_MAX;
}

/* Each call of each kind, and each passing of each failpoint, fails in a run of its own. */
static void torture(uint8_t *bytes, size_t size) {
    if (size > INPUT_FAILPOINT_AT) bytes[INPUT_FAULT_BUDGET_AT] = bytes[INPUT_FAILPOINT_AT] = 0;
    bool fired = true;
    for (run_fault.kind = 0; run_fault.kind < subject_moat.fault_kinds + subject_moat.fail_points;
         run_fault.kind++, fired = true)
        for (run_fault.n = 1; fired && run_fault.n <= most_of(run_fault.kind); run_fault.n++) {
            (void)LLVMFuzzerTestOneInput(bytes, size);
            fired = target_failures() != 0;
            faults += fired;
        }
    run_fault.n = 0;
}

/* Replays one file. A file that is longer than any input is cut, as the fuzzers would. */
static bool replay_file(const char *path) {
    static uint8_t bytes[INPUT_MAX_SIZE];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return false;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    uint64_t trace = 0;
    fprintf(stderr, "replay: %s\n", path); /* before it runs: a failure ends the process */
    if (is_tortured && offered++ % torture_every != 0) return true;
    if (is_tortured) {
        ran++;
        torture(bytes, size);
        return true;
    }
    for (unsigned i = 0; i < repeat; i++) {
        if (LLVMFuzzerTestOneInput(bytes, size) != 0) {
            unread++;
            return true;
        }
        if (i > 0 && trace != target_trace()) {
            fprintf(stderr, "%s: run %u left trace %016llx, the first %016llx\n", path, i + 1,
                    (unsigned long long)target_trace(), (unsigned long long)trace);
            unstable++;
            break;
        }
        trace = target_trace();
    }
    run_by_kernel = true;
    (void)LLVMFuzzerTestOneInput(bytes, size);
    run_by_kernel = false;
    if (run_verbose)
        fprintf(stderr, "trace %016llx, report %d\n", (unsigned long long)trace, target_reported());
    ran++;
    if (target_reported() >= 0) {
        reported++;
    } else if (must_report(path)) {
        fprintf(stderr, "%s: ended without a report\n", path);
        silent++;
    }
    return true;
}

static bool replay_path(const char *path);

static bool replay_folder(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        return false;
    }
    bool read = true;
    for (int i = 0; i < count; i++) {
        char inside[4096];
        int length = snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        /* what a search has found is much, and torture takes a hundred runs of each */
        bool is_left_out = is_tortured && strcmp(entries[i]->d_name, "grown") == 0;
        if (entries[i]->d_name[0] != '.' && !is_left_out)
            read = length < (int)sizeof inside && replay_path(inside) && read;
        free(entries[i]);
    }
    free(entries);
    return read;
}

static bool replay_path(const char *path) {
    struct stat facts;
    if (stat(path, &facts) != 0) {
        perror(path);
        return false;
    }
    return S_ISDIR(facts.st_mode) ? replay_folder(path) : replay_file(path);
}

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void one_for_many(struct input *input) {
    for (unsigned i = 0; i < input->op_count; i++) {
        if (input->ops[i].code == OP_MALLOC_MANY) input->ops[i].code = OP_MALLOC;
        if (input->ops[i].code == OP_FREE_MANY) input->ops[i].code = OP_FREE;
    }
}

static const uint8_t *searched;
static size_t searched_size;
static uint64_t searched_seed;

/* The run has failed: what it ran is worth keeping. */
static void keep_searched(int number) {
    char name[64];
    snprintf(name, sizeof name, "found-%llu", (unsigned long long)searched_seed);
    FILE *file = fopen(name, "wb");
    if (file != NULL && fwrite(searched, 1, searched_size, file) == searched_size)
        fprintf(stderr, "fuzz: the input is in %s\n", name);
    if (file != NULL) fclose(file);
    signal(number, SIG_DFL);
    raise(number);
}

static void measure(double seconds, bool single, const char *what) {
    enum { INPUTS = 512, OPERATIONS = 50 };
    static uint8_t bytes[INPUTS][INPUT_MAX_SIZE / 4];
    static size_t sizes[INPUTS];
    static struct input input;
    for (unsigned i = 0; i < INPUTS; i++) {
        target_make(&input, i, OPERATIONS);
        if (single) one_for_many(&input);
        sizes[i] = input_encode(&input, bytes[i], sizeof bytes[i]);
        searched = bytes[i];
        searched_size = sizes[i];
        searched_seed = i;
        (void)LLVMFuzzerTestOneInput(bytes[i], sizes[i]);
    }
    unsigned long count = 0;
    double start = processor_seconds(), passed = 0;
    for (; passed < seconds; count++) {
        (void)LLVMFuzzerTestOneInput(bytes[count % INPUTS], sizes[count % INPUTS]);
        passed = processor_seconds() - start;
    }
    printf("%.0f executions a second, %s\n", (double)count / passed, what);
}

/* From here on fresh inputs run, and one that fails is kept. */
static void leave_replay(void) {
    signal(SIGABRT, keep_searched);
    signal(SIGSEGV, keep_searched);
    harness_audit(is_audited);
    run_is_audited = is_audited;
}

static int search(double seconds, uint64_t seed) {
    static const struct hunt_source source = {target_make, LLVMFuzzerCustomMutator};
    double start = processor_seconds(), passed = 0;
    unsigned long count = 0;
    leave_replay();
    hunt_begin(&source, seed, learns);
    for (; passed < seconds; count++, passed = processor_seconds() - start) {
        searched_seed = seed << 32 | count;
        searched = hunt_next(&searched_size);
        (void)LLVMFuzzerTestOneInput(searched, searched_size);
        hunt_ran();
    }
    printf("%lu inputs in %.1f s, %u kept, none failed\n", count, passed, hunt_kept());
    return 0;
}

/* As replay_file() does. */
static void run_as_replayed(const uint8_t *bytes, size_t size) {
    if (LLVMFuzzerTestOneInput(bytes, size) != 0) return;
    uint64_t trace = target_trace();
    (void)LLVMFuzzerTestOneInput(bytes, size);
    if (target_trace() != trace) {
        fprintf(stderr, "fuzz: failure: another run of the same input left another trace\n");
        abort();
    }
    run_by_kernel = true;
    (void)LLVMFuzzerTestOneInput(bytes, size);
}

static void run_as_searched(const uint8_t *bytes, size_t size) {
    harness_audit(false);
    run_is_audited = false;
    (void)LLVMFuzzerTestOneInput(bytes, size);
}

static int reproduce_as(enum reproduce_as as, const char *path) {
    char harness[64];
    const char *name = strstr(target_source, "fuzz_"), *next;
    while (name != NULL && (next = strstr(name + 1, "fuzz_")) != NULL) name = next;
    name = name != NULL ? name + strlen("fuzz_") : target_source;
    snprintf(harness, sizeof harness, "%.*s", (int)strcspn(name, "."), name);
    const struct reproduce of = {harness, target_style, run_as_replayed, run_as_searched};
    return reproduce(&of, as, path);
}

/* The way that the option asks for; REPRODUCE_WAYS: it is another option. */
static enum reproduce_as reproduce_named(const char *option) {
    static const char *const options[] = {"--minimise", "--text", "--c", "--c-of-harness"};
    unsigned as = 0;
    while (as < REPRODUCE_WAYS && strcmp(option, options[as]) != 0) as++;
    return as;
}

static int measure_speed(double seconds) {
    leave_replay();
    measure(seconds, true, "single operations");
    if (!only_single) measure(seconds, false, "as the mutator makes them");
    return 0;
}

int main(int argc, char **argv) {
    bool read = true, given = false;
    harness_audit(true);
    run_is_audited = true;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        enum reproduce_as as = reproduce_named(argv[i]);
        if (as != REPRODUCE_WAYS && i + 1 < argc) return reproduce_as(as, argv[i + 1]);
        if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
            repeat = (unsigned)strtoul(argv[++i], NULL, 10);
            if (repeat == 0) repeat = 1;
        } else if (strcmp(argv[i], "--kernel") == 0) {
            run_by_kernel = true;
        } else if (strcmp(argv[i], "--single") == 0) {
            only_single = true;
        } else if (strcmp(argv[i], "--torture") == 0) {
            is_tortured = true;
        } else if (strcmp(argv[i], "--every") == 0 && i + 1 < argc) {
            torture_every = (unsigned)strtoul(argv[++i], NULL, 10);
            if (torture_every == 0) torture_every = 1;
        } else if (strcmp(argv[i], "--audit") == 0) {
            is_audited = true;
        } else if (strcmp(argv[i], "--speed") == 0 && i + 1 < argc) {
            return measure_speed(strtod(argv[i + 1], NULL));
        } else if (strcmp(argv[i], "--scheduler") == 0 && i + 1 < argc) {
            run_scheduler = schedule_named(argv[++i]);
        } else if (strcmp(argv[i], "--search") == 0 && i + 1 < argc) {
            return search(strtod(argv[i + 1], NULL),
                          i + 2 < argc ? strtoull(argv[i + 2], NULL, 10) : 0);
        } else if (strcmp(argv[i], "--fresh") == 0) {
            learns = false;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            run_verbose = true;
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "usage: %s [--repeat N] [--verbose] FILE-OR-FOLDER...\n", argv[0]);
            return 2;
        } else {
            given = true;
            read = replay_path(argv[i]) && read;
        }
    }
    if (!given) {
        fprintf(stderr, "usage: %s [--repeat N] [--verbose] FILE-OR-FOLDER...\n", argv[0]);
        return 2;
    }
    if (is_tortured) {
        printf("%u inputs, %lu failures, one in each run\n", ran, faults);
        return read && faults > 0 ? 0 : 1;
    }
    printf("%u inputs ran %u times each, %u ended in an expected report, %u should have and did "
           "not, %u were no inputs, %u "
           "differed from run to run\n",
           ran, repeat, reported, silent, unread, unstable);
    if (!read) return 2;
    return unstable > 0 || silent > 0 || ran == 0 ? 1 : 0;
}
