/*
 * explore: every interleaving of a small program, up to a number of preemptions.
 *
 * Depth first, each interleaving a run of its own from the start. Threads are switched before
 * accesses to words that several of them touch, and at system calls. Of orders that differ only in
 * accesses that do not touch each other one is run (sleep sets). A preemption is a switch away from
 * a thread that could go on. What is shared is not known at the start: whenever a run shows one
 * more such word, the search begins again.
 *
 * With a bound on old values, each load is also given each older value that C11 allows, so many of
 * them in one run.
 */
#ifndef ENGINE_EXPLORE_H
#define ENGINE_EXPLORE_H

#include "engine/run.h"

struct explore_bounds {
    unsigned preemptions;
    unsigned old;  /* loads that are given another value than the newest */
    uint64_t runs; /* of all interleavings no more than these */
};

struct explore_result {
    uint64_t runs;
    unsigned shared;  /* words that several threads touch */
    unsigned deepest; /* places to switch, and loads with a choice, in one run */
    bool complete;    /* false: there were more than `bounds.runs`, or a run was too deep */
};

struct explore_result explore(struct run *run, const struct subject *subject,
                              const struct input *input, struct explore_bounds bounds);

#endif
