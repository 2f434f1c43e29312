/*
 * locks: every lock of the process in the order in which a thread may take them.
 *
 * Whoever holds one takes only later ones, and is inside the allocator (base/thread.h). malloc and
 * free of a small block on the fast path, a remote free, and a generic path that finds what it
 * needs in the heap take none. No lock is held across a fork: in the child a lock may stand as held
 * by a thread that did not come along (process/fork.c). Another lock: a line in enum lock_rank, and
 * what a child does about it in fork.c; the assertion and the tests go over all of them. Init's own
 * lock (process/init.c) comes before all: it exists before these do.
 */
#ifndef MOAT_LOCKS_H
#define MOAT_LOCKS_H

#include "meta/ro.h"
#include "os/lock.h"

/* Outermost first. */
enum lock_rank {
    LOCK_VISITS,     /* looking after heaps of threads that sleep */
    LOCK_LATE_HEAP,  /* the heap that is nobody's */
    LOCK_POOL,       /* making heaps */
    LOCK_HUGE_CACHE, /* freed runs that wait */
    LOCK_ZERO_SIZE,  /* adding a segment for zero-size blocks */
    LOCK_TRACES,     /* taking the stack of a sample */
    LOCK_REGION,     /* address space */
    LOCK_RANDOM,     /* where seeds come from */
    LOCKS
};

/* For assertions: this thread holds none that comes after `rank`, nor that one. */
MOAT_INLINE bool locks_may_take(enum lock_rank rank) {
    for (unsigned i = rank; i < LOCKS; i++)
        if (lock_is_held_by_me(&ro.locks[i])) return false;
    return true;
}

/* A hook (see src/README.md). In a forked child that is not recovered yet, the lock's holder did
   not come along: puts right what it may have left half changed, and frees the lock. */
MOAT_COLD void fork_free_lock(enum lock_rank rank);

/* Waits for a lock that was held a moment ago. */
MOAT_COLD void locks_wait(enum lock_rank rank);

MOAT_INLINE void locks_acquire(enum lock_rank rank) {
    MOAT_ASSERT(locks_may_take(rank));
    if (MOAT_UNLIKELY(!lock_try(&ro.locks[rank]))) locks_wait(rank);
}
/* Does not wait. */
MOAT_INLINE bool locks_try(enum lock_rank rank) { return lock_try(&ro.locks[rank]); }
MOAT_INLINE void locks_release(enum lock_rank rank) { lock_release(&ro.locks[rank]); }

/* In a forked child: whether a thread stood between acquire and release, of which the child may
   have any part of what it did. If not, what the lock guards is at rest. */
MOAT_INLINE bool locks_was_held(enum lock_rank rank) {
    return atomic_load_relaxed(&ro.locks[rank].word) != 0;
}
MOAT_INLINE void locks_reset(enum lock_rank rank) { lock_reset(&ro.locks[rank]); }

#endif
