/*
 * views: what each virtual thread may see of the shared words.
 *
 * For every word that was accessed it keeps its last stores, each with the clock of its thread and
 * with what a thread that acquires it learns: C11's rules without fences. Accesses that say seq_cst
 * are in the order of the run. A load may be given any
 * store that is not older than one that the thread knows of, by coherence or because it happened
 * before. Threads are given vector clocks; a store that releases carries its thread's. What was
 * there at the start, and what was written by other means than atomic.h, everybody knows.
 *
 * It also knows which words several threads touched, so that a scheduler can leave the others
 * alone. One real thread; forgets everything at views_begin().
 */
#ifndef ENGINE_VIEWS_H
#define ENGINE_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/seam.h"

enum { VIEWS_THREADS = 4 };

/* What a thread knows of the others: events of each that happened before. */
struct view {
    uint32_t clock[VIEWS_THREADS];
};

/* `keep`: which words were shared in the run before is remembered. `tracks`: what threads know of
   each other is kept. `choose`: a load is given one of `count` values, 0 the newest; NULL: that. */
void views_begin(bool keep, bool tracks, unsigned (*choose)(unsigned count));

/* What is kept of a word until the next views_begin(); NULL: there are too many, and an access to
   it tells everybody everything. */
struct word;
struct word *views_find(const volatile void *address, unsigned size);
/* Before the access; the thread that runs is `thread`. */
void views_step(unsigned thread, const struct atomic_site *site, struct word *word);
uint64_t views_loaded(uint64_t newest);
void views_tried(bool exchanged);
/* The thread that ran is about to stop for another. */
void views_leave(void);

/* What the word has in memory now. */
uint64_t views_native(const volatile void *word, unsigned size);
/* Whether several threads have touched the word, in this run or one that it remembers, and one has
   written it: where all only read, it is the same who comes first. */
bool views_is_shared(const struct word *word, unsigned thread);
/* Words that are. */
unsigned views_shared_words(void);

/* Order among threads that the program makes by means of its own. */
void views_publish(unsigned thread, struct view *view);
void views_receive(unsigned thread, const struct view *view);
/* A barrier on all threads. */
void views_barrier(void);

/* What the thread does until its next access to a shared word is this event of its clock; and
   whether a thread has an event of another in its view. */
uint32_t views_event(unsigned thread);
bool views_knows(unsigned thread, unsigned other, uint32_t event);

/* The accesses at this place have that order from now on, whatever src/ says; NULL: none have. */
void views_weaken(const struct atomic_site *site, uint8_t order);
/* Called with the place of each access; NULL: nobody wants to know. */
extern void (*views_on_site)(const struct atomic_site *site);

#endif
