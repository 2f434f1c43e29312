/*
 * locks: every lock of the process in the order in which a thread may take them.
 *
 * Whoever holds one takes only later ones, and is inside the allocator (base/thread.h). malloc and
 * free of a small block on the fast path, a remote free, and a generic path that finds what it
 * needs in the heap take none. Another lock: a line in enum lock_rank; fork, the assertion and the
 * tests go over all of them. Init's own lock (process/init.c) comes before all: it exists before
 * these do.
 */
#ifndef MOAT_LOCKS_H
#define MOAT_LOCKS_H

#include "meta/ro.h"
#include "os/lock.h"

/* Outermost first. */
enum lock_rank {
    LOCK_LATE_HEAP,  /* the heap that is nobody's */
    LOCK_POOL,       /* making heaps */
    LOCK_HUGE_CACHE, /* freed runs that wait */
    LOCK_ZERO_SIZE,  /* adding a segment for zero-size blocks */
    LOCK_REGION,     /* address space */
    LOCKS
};

/* For assertions: this thread holds none that comes after `rank`, nor that one. */
MOAT_INLINE bool locks_may_take(enum lock_rank rank) {
    for (unsigned i = rank; i < LOCKS; i++)
        if (lock_is_held_by_me(&ro.locks[i])) return false;
    return true;
}

MOAT_INLINE void locks_acquire(enum lock_rank rank) {
    MOAT_ASSERT(locks_may_take(rank));
    lock_acquire(&ro.locks[rank]);
}
/* Does not wait. */
MOAT_INLINE bool locks_try(enum lock_rank rank) { return lock_try(&ro.locks[rank]); }
MOAT_INLINE void locks_release(enum lock_rank rank) { lock_release(&ro.locks[rank]); }

/* Around a fork: the forking thread holds them all, in the child nobody does. */
MOAT_INLINE void locks_acquire_all(void) {
    for (unsigned i = 0; i < LOCKS; i++) locks_acquire((enum lock_rank)i);
}
MOAT_INLINE void locks_release_all(void) {
    for (unsigned i = LOCKS; i-- > 0;) locks_release((enum lock_rank)i);
}
MOAT_INLINE void locks_reset_all(void) {
    for (unsigned i = 0; i < LOCKS; i++) lock_reset(&ro.locks[i]);
}

#endif
