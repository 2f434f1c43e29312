/*
 * schedule: which virtual thread runs next, by the scheduler that the input names.
 *
 * Asked before each access to a word that several threads touch, and at each system call. It knows
 * threads by their numbers and nothing of what they do. Everything is decided by the input and its
 * seed. Beside the input's own switches (raw) there are three that draw lots:
 *
 *   pct      a random priority each; at depth - 1 points drawn beforehand the thread that runs
 *            falls below all others. Finds a bug of that depth with a chance that can be computed.
 *   walk     each step is taken by a thread drawn in proportion to the steps it still has to make,
 *            so that every interleaving is about as likely as any other (SURW).
 *   random   a coin at each step: what the others have to beat.
 */
#ifndef ENGINE_SCHEDULE_H
#define ENGINE_SCHEDULE_H

#include "engine/input.h"
#include "engine/rng.h"
#include "engine/views.h"

enum { SCHEDULE_DEPTH_MAX = 4 };

struct schedule {
    const struct input *input;
    struct rng random;
    unsigned kind;
    unsigned threads;
    uint64_t step; /* asked so often */
    unsigned used; /* bytes of the input's schedule */
    unsigned keep; /* steps until the next byte */
    uint32_t priority[VIEWS_THREADS];
    uint64_t change[SCHEDULE_DEPTH_MAX]; /* steps at which pct lowers a priority */
    uint32_t left[VIEWS_THREADS];        /* steps that walk expects of each thread */
};

/* The scheduler of a name, or -1. */
int schedule_named(const char *name);
/* `kind`: a scheduler. `round`: its lots are others in each. `expected`: steps that each thread
   made when it ran without being interrupted. */
void schedule_begin(struct schedule *schedule, const struct input *input, unsigned kind,
                    unsigned round, const uint32_t expected[VIEWS_THREADS]);
/* The thread that takes the next step: one of the set `ready`, which `self` may be in. */
unsigned schedule_next(struct schedule *schedule, unsigned self, unsigned ready);
/* The thread cannot go on before another has: one of the set. */
unsigned schedule_yield(struct schedule *schedule, unsigned self, unsigned ready);
/* Which of `count` values a load is given; 0: the newest. */
unsigned schedule_choose_value(struct schedule *schedule, unsigned count);

#endif
