/*
 * team: two to four virtual threads inside the allocator at once.
 *
 * The first `prologue` operations of an input are carried out one after another, each as the thread
 * it belongs to. Then the threads run at once: each carries out its own operations in their order,
 * and before every access to a shared word, and at every system call, a scheduler says who goes on.
 * At last all have come to an end: invariants, contents, frees of all blocks by all threads, thread
 * ends, and the state at rest. Every step is one of this real thread, so the same input is the same
 * run.
 *
 * A schedule that draws lots is drawn over the words that several threads touch. Which those are,
 * and how long each thread is, a run before it shows that interrupts nobody.
 */
#ifndef ENGINE_TEAM_H
#define ENGINE_TEAM_H

#include "engine/run.h"
#include "engine/views.h"

/* What a thread is about to do. */
struct team_access {
    const volatile void *word; /* NULL: a system call, or its end */
    bool writes;
};

/* Who decides. All are called on the thread that runs now. */
struct team_plan {
    /* The next thread, one of the set `ready`; `self` is in it. */
    unsigned (*next)(void *context, unsigned self, unsigned ready);
    /* The same when `self` cannot go on. */
    unsigned (*yield)(void *context, unsigned self, unsigned ready);
    /* Which of `count` values a load is given; 0: the newest. NULL: always that. */
    unsigned (*value)(void *context, unsigned count);
    void *context;
    bool between;    /* asked between two operations of a thread as well */
    bool everywhere; /* asked at every word, not only at those that are shared */
    bool keep;       /* which words were shared in the run before is remembered */
    bool again;      /* the program ran before: it begins where its prologue ended */
};

/* One run with a plan. False: a limit on steps or threads that wait ended it, which is a failure
   that was reported already unless a handler took it. */
void team_run_with(struct run *run, const struct subject *subject, const struct input *input,
                   const struct team_plan *plan);
/* Those that begin again are over: nothing is kept of the program. */
void team_leave(struct run *run);
/* A whole input: the run that shows, and the one that its scheduler decides. */
void team_run(struct run *run, const struct subject *subject, const struct input *input);

/* What thread `number` does next, while others run. */
struct team_access team_pending(unsigned number);
/* Scheduling points of the last run, of all threads. */
uint64_t team_points(void);

/* From now on plain data that two threads touch without an order is a failure (engine/watch.h). */
extern bool team_is_watched;

#endif
