/*
 * micro_patterns: what bench-micro's driver (micro.c) knows of a pattern, and where the patterns
 * are.
 *
 * A pattern is prepared once, run for one slice that is thrown away and for those that count, and
 * finished. Only `run` is timed. Each table ends with an entry without a name. The rows, in the
 * order of the tables:
 *   patterns_small.c    pair batch random wide, calloc aligned sized-delete
 *   patterns_remote.c   remote, remote-many remote-both
 *   patterns_linked.c   list-build list-walk tree
 *   patterns_large.c    realloc-growth large
 *   patterns_growth.c   growth: growth-1MiB touch-1MiB ... growth-16GiB touch-16GiB
 */
#ifndef BENCH_MICRO_PATTERNS_H
#define BENCH_MICRO_PATTERNS_H

#include "clock.h"
#include "small_blocks.h"

#include <stdbool.h>

enum pattern_traits {
    BY_DEFAULT = 1, /* run when nothing else is asked for */
    THREADS = 2,    /* timed by the wall clock whatever is asked for */
    HUGE_HEAP = 4,  /* run with --huge-heap only */
};

struct pattern {
    const char *name;
    /* NULL, or a name under which --only and --list know several rows */
    const char *group;
    bool (*prepare)(size_t amount); /* or NULL; false: said why, and the row is left out */
    void (*run)(size_t operations); /* a multiple of `unit` */
    void (*reset)(void);            /* or NULL; after each run, not timed */
    void (*finish)(size_t amount);  /* or NULL */
    size_t operations;              /* in one slice, at scale 1: some milliseconds */
    size_t unit;                    /* operations that belong together */
    size_t amount;                  /* what stands before the first slice: blocks, or bytes */
    unsigned traits;                /* of enum pattern_traits */
};

extern const struct pattern small_patterns[];
extern const struct pattern remote_patterns[];
extern const struct pattern linked_patterns[];
extern const struct pattern large_patterns[];
extern const struct pattern growth_patterns[];

/* The processors this process was given, for pin_to; set by the driver before a pattern runs. */
extern cpu_set_t allowed;

#endif
