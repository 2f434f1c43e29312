/*
 * explore_main: named small programs, each in every interleaving.
 *
 *   fuzz_explore [--preemptions N] [--old N] [--runs N] [--list] [NAME…]
 *
 * Unless told otherwise a program is run twice: in all interleavings with 3 preemptions (2 of three
 * threads), each load given the newest value; and in all with 2 preemptions in which one load is
 * given each older value that C11 allows. Prints for each how many runs that were, over how many
 * words. Exit status: 0; 1 when one has more runs than --runs allows (200000
 * unless told); a failure ends the process by abort() with the switches that led to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/explore.h"
#include "engine/scenarios.h"
#include "engine/wanted.h"

enum { RUNS_MAX = 200000 };

static struct run run;
static struct input input;

static uint64_t runs; /* of all together */

/* Returns whether that were all runs. */
static bool explore_scenario(const struct scenario *scenario, struct explore_bounds bounds) {
    scenario_make(scenario, &input);
    fprintf(stderr, "explore: %s\n", scenario->name); /* before it runs: a failure ends it */
    struct explore_result result = explore(&run, &subject_moat, &input, bounds);
    printf("%s: %llu runs of %u threads, %u preemptions, %u old values, %u shared words, "
           "up to %u places%s\n",
           scenario->name, (unsigned long long)result.runs, scenario->threads, bounds.preemptions,
           bounds.old, result.shared, result.deepest, result.complete ? "" : ": NOT ALL");
    runs += result.runs;
    return result.complete;
}

int main(int argc, char **argv) {
    bool complete = true, list = false, bounded = false;
    struct explore_bounds bounds = {.preemptions = 2, .runs = RUNS_MAX};
    unsigned ran = 0;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[at], "--preemptions") == 0 && at + 1 < argc) {
            bounds.preemptions = (unsigned)strtoul(argv[++at], NULL, 10);
            bounded = true;
        } else if (strcmp(argv[at], "--old") == 0 && at + 1 < argc) {
            bounds.old = (unsigned)strtoul(argv[++at], NULL, 10);
            bounded = true;
        } else if (strcmp(argv[at], "--runs") == 0 && at + 1 < argc) {
            bounds.runs = strtoull(argv[++at], NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--preemptions N] [--old N] [--runs N] [--list] [NAME...]\n",
                    argv[0]);
            return 2;
        }
    }
    for (unsigned i = 0; i < scenarios_count; i++) {
        const struct scenario *scenario = &scenarios[i];
        if (!is_wanted(scenario->name, argv + at, argc - at)) continue;
        ran++;
        if (list) {
            puts(scenario->name);
        } else if (bounded) {
            complete &= explore_scenario(scenario, bounds);
        } else {
            struct explore_bounds deep = {scenario_preemptions(scenario), 0, bounds.runs};
            struct explore_bounds stale = {2, 1, bounds.runs};
            complete &= explore_scenario(scenario, deep) & explore_scenario(scenario, stale);
        }
    }
    if (!list)
        printf("every interleaving: %u programs, %llu runs\n", ran, (unsigned long long)runs);
    if (ran == 0) fprintf(stderr, "no such scenario: see --list\n");
    return complete && ran > 0 ? 0 : 1;
}
