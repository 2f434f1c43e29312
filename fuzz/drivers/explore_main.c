/*
 * explore_main: named small programs, each in every interleaving.
 *
 *   fuzz_explore [--preemptions N] [--runs N] [--list] [NAME…]
 *
 * A program of two threads is run with all of 3 preemptions unless told, one of three threads with
 * 2. Prints for each how many runs that were, over how many words. Exit status: 0; 1 when one has
 * more runs than --runs allows (100000 unless told); a failure ends the process by abort() with the
 * switches that led to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/explore.h"
#include "engine/program.h"

enum { STEPS_MAX = 12, OLDEST = 0, NEWEST = 255 };

struct step {
    uint8_t thread, code, pick, other, kind;
    uint32_t value;
};

struct scenario {
    const char *name;
    uint8_t threads, prologue;
    struct step steps[STEPS_MAX]; /* up to the first that is all zero but for its place */
    uint8_t count;
};

#define TAKE(thread, size)                                                                         \
    { thread, OP_MALLOC, 0, 0, SIZE_SMALL, size }
#define TAKE_HUGE(thread, more)                                                                    \
    { thread, OP_MALLOC, 0, 0, SIZE_HUGE, more }
/* A fourth of the only page that its segment has. */
#define TAKE_LARGE(thread)                                                                         \
    { thread, OP_MALLOC, 0, 0, SIZE_LARGE, 983040 }
#define TAKE_NOTHING(thread)                                                                       \
    { thread, OP_MALLOC, 0, 0, SIZE_ZERO, 0 }
/* `log` of the count less one. */
#define TAKE_MANY(thread, log, size)                                                               \
    { thread, OP_MALLOC_MANY, 0, log, SIZE_SMALL, size }
#define FREE(thread, which)                                                                        \
    { thread, OP_FREE, which, 0, 0, 0 }
#define RESIZE_HUGE(thread, which, more)                                                           \
    { thread, OP_REALLOC, which, 0, SIZE_HUGE, more }
#define FREE_MANY(thread, log)                                                                     \
    { thread, OP_FREE_MANY, 0, log, 0, 0 }
#define CLOCK(thread)                                                                              \
    { thread, OP_CLOCK, 0, 0, 0, 200 }
#define TRIM(thread)                                                                               \
    { thread, OP_TRIM, 0, 0, 0, 0 }
/* `reborn`: what follows is another thread's. */
#define END(thread, reborn)                                                                        \
    { thread, OP_THREAD_END, 0, reborn, 0, 0 }

static const struct scenario scenarios[] = {
    {"free-free", 2, 2, {TAKE(0, 64), TAKE(0, 64), FREE(0, OLDEST), FREE(1, NEWEST)}, 4},
    {"free-pop", 2, 1, {TAKE_MANY(0, 1, 1024), TAKE(0, 1024), FREE(1, OLDEST)}, 3},
    {"free-collect",
     2,
     2,
     {TAKE_MANY(0, 2, 8192), FREE(1, OLDEST), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST)},
     5},
    {"free-mark-full",
     2,
     1,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST)},
     4},
    {"free-wake",
     2,
     2,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), FREE(1, OLDEST), TAKE_MANY(0, 1, 8192)},
     4},
    {"free-abandon", 2, 1, {TAKE_MANY(0, 1, 1024), END(0, 1), FREE(1, OLDEST)}, 3},
    {"wake-abandon",
     2,
     4,
     {TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), END(0, 1), FREE(1, OLDEST)},
     6},
    {"free-adopt", 2, 2, {TAKE_MANY(0, 2, 8192), END(0, 1), FREE(0, OLDEST), TAKE(1, 8192)}, 4},
    {"free-sweep", 2, 2, {TAKE(0, 8192), END(0, 0), FREE(0, OLDEST), TRIM(1)}, 4},
    {"free-retire",
     2,
     1,
     {TAKE_MANY(0, 1, 8192), FREE(0, OLDEST), FREE(0, OLDEST), FREE(1, NEWEST)},
     4},
    {"heap-pool",
     2,
     2,
     {TAKE(0, 64), TAKE(1, 64), END(0, 1), TAKE(0, 64), END(1, 1), TAKE(1, 64)},
     6},
    {"huge-free-resize",
     2,
     2,
     {TAKE_HUGE(0, 5000), TAKE_HUGE(1, 5000), FREE(0, OLDEST), RESIZE_HUGE(1, NEWEST, 3000000)},
     4},
    {"visit",
     2,
     4,
     {TAKE_MANY(0, 3, 8192), TAKE(0, 8192), TAKE(1, 64), FREE_MANY(1, 3), TRIM(1), CLOCK(1),
      TRIM(1), TAKE(0, 8192)},
     8},
    {"zero-size", 2, 1, {TAKE_NOTHING(0), FREE(0, OLDEST), TAKE_NOTHING(1), FREE(1, NEWEST)}, 4},
    {"free-free-pop",
     3,
     1,
     {TAKE_MANY(0, 1, 1024), TAKE(0, 1024), FREE(1, OLDEST), FREE(2, NEWEST)},
     4},
    {"free-free-collect",
     3,
     1,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), FREE(1, OLDEST), FREE(2, NEWEST)},
     4},
    {"free-abandon-adopt",
     3,
     1,
     {TAKE_MANY(0, 1, 8192), END(0, 1), FREE(1, OLDEST), TAKE(2, 8192)},
     4},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static struct run run;
static struct input input;

static void make(const struct scenario *scenario) {
    input = (struct input){
        .threads = scenario->threads, .prologue = scenario->prologue, .op_count = scenario->count};
    for (unsigned i = 0; i < scenario->count; i++) {
        const struct step *step = &scenario->steps[i];
        input.ops[i] = (struct input_op){step->code, step->pick, step->other,
                                         program_kind(step->thread, step->kind), step->value};
    }
}

static bool is_wanted(const char *name, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return count == 0;
}

int main(int argc, char **argv) {
    unsigned preemptions = 0, ran = 0;
    uint64_t runs_max = 100000;
    bool complete = true, list = false;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[at], "--preemptions") == 0 && at + 1 < argc) {
            preemptions = (unsigned)strtoul(argv[++at], NULL, 10);
        } else if (strcmp(argv[at], "--runs") == 0 && at + 1 < argc) {
            runs_max = strtoull(argv[++at], NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--preemptions N] [--runs N] [--list] [NAME...]\n", argv[0]);
            return 2;
        }
    }
    for (unsigned i = 0; i < SCENARIOS; i++) {
        const struct scenario *scenario = &scenarios[i];
        if (!is_wanted(scenario->name, argv + at, argc - at)) continue;
        ran++;
        if (list) {
            puts(scenario->name);
            continue;
        }
        unsigned most = preemptions != 0 ? preemptions : scenario->threads == 2 ? 3 : 2;
        make(scenario);
        fprintf(stderr, "explore: %s\n", scenario->name); /* before it runs: a failure ends it */
        struct explore_result result = explore(&run, &subject_moat, &input, most, runs_max);
        printf("%s: %llu runs of %u threads, %u preemptions, %u shared words, up to %u places%s\n",
               scenario->name, (unsigned long long)result.runs, scenario->threads, most,
               result.shared, result.deepest, result.complete ? "" : ": NOT ALL");
        complete = complete && result.complete;
    }
    if (ran == 0) fprintf(stderr, "no such scenario: see --list\n");
    return complete && ran > 0 ? 0 : 1;
}
