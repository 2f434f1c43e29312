/*
 * usage: what the process uses, and what lies idle in it: memory that could go back to the kernel.
 *
 * Whoever gives memory back waits for the purge delay, and keeps what is wanted again (keeping.h),
 * each for itself. All of that together is bounded here, by what was in use lately: else a program
 * that goes from one kind of blocks to another would have all it uses once for each kind.
 *
 * All is counted in units of SLOT_SIZE where nothing else is said. All threads write here, so
 * heaps do it now and then; what is read is what was true a moment ago. Every field is atomic,
 * relaxed.
 */
#ifndef MOAT_USAGE_H
#define MOAT_USAGE_H

#include "heap/keeping.h"
#include "meta/ro.h"

struct usage {
    uint64_t used;       /* by pages, of all heaps, as told; of what is nobody's nothing counts */
    uint64_t idle;       /* what could go back there, likewise */
    int64_t left;        /* and what could go back in what is nobody's; a child begins at 0 */
    size_t runs;         /* bytes of huge runs, live or cached */
    size_t cached;       /* bytes of the cached ones; stored under their lock */
    struct keeping all;  /* the most that was in use */
    bool is_vague;       /* in a forked child: it is not known who has survived */
    int64_t inheritable; /* there: bytes; see usage_may_leave_alone */
};

/* Units that may lie idle whatever is in use. */
#define IDLE_LEAST ((uint32_t)(4 * MIB / SLOT_SIZE))

/* In use by heaps and by huge blocks. */
MOAT_INLINE uint32_t usage_in_use(void) {
    const struct usage *usage = ro.usage;
    size_t runs = atomic_load_unseen(&usage->runs), cached = atomic_load_unseen(&usage->cached);
    size_t live = runs > cached ? runs - cached : 0;
    return (uint32_t)atomic_load_unseen(&usage->used) + (uint32_t)(live >> SLOT_SHIFT);
}

/* Idle in heaps, in what ended threads left, and in the cache of huge runs. */
MOAT_INLINE uint64_t usage_idle(void) {
    const struct usage *usage = ro.usage;
    int64_t left = atomic_load_unseen(&usage->left);
    return atomic_load_unseen(&usage->idle) + (left > 0 ? (uint64_t)left : 0) +
           (atomic_load_unseen(&usage->cached) >> SLOT_SHIFT);
}

/* A forked child begins. */
void usage_begin_child(void);
/* There: whether so many bytes more, which are free in a page of its parent's, may stay unused: see
   heap_queue.c. All of them at most a sixteenth of what was in use at the fork, and IDLE_LEAST. */
bool usage_may_leave_alone(size_t bytes);

/* What is in use is as much now; milliseconds. */
MOAT_INLINE void usage_observe(uint64_t now) {
    keeping_observe(&ro.usage->all, usage_in_use(), now);
}

/* Whether more lies idle than may, beside what is in use a quarter of the most that was lately, and
   IDLE_LEAST: then it goes back whatever the time, as fast as memory is taken. */
bool usage_is_past_bound(uint64_t now);
MOAT_INLINE bool usage_has_surplus(uint64_t now) {
    return MOAT_UNLIKELY(usage_idle() > IDLE_LEAST) && usage_is_past_bound(now);
}

#endif
