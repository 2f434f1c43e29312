/*
 * lock: a three-state futex mutex (layer 2).
 *
 * 0 free, 1 held, 2 held and somebody may wait. Small-block malloc and free take none. Lock order,
 * outermost first:
 *   init < late heap < pool < huge cache < zero-size segments < region
 * fork takes them in this order and the child re-initialises them.
 */
#ifndef MOAT_LOCK_H
#define MOAT_LOCK_H

#include "base/atomic.h"

struct lock {
    uint32_t word;
};

void lock_acquire_slow(struct lock *lock);
void lock_release_slow(struct lock *lock);

MOAT_INLINE void lock_acquire(struct lock *lock) {
    uint32_t expected = 0;
    /* pairs with lock_release */
    if (MOAT_UNLIKELY(!atomic_cas_acquire(&lock->word, &expected, 1))) lock_acquire_slow(lock);
}

MOAT_INLINE bool lock_try(struct lock *lock) {
    uint32_t expected = 0;
    return atomic_cas_acquire(&lock->word, &expected, 1); /* pairs with lock_release */
}

MOAT_INLINE void lock_release(struct lock *lock) {
    /* pairs with lock_acquire */
    if (MOAT_UNLIKELY(atomic_exchange_release(&lock->word, 0) == 2)) lock_release_slow(lock);
}

/* In a forked child: the only thread forgets who held it. */
MOAT_INLINE void lock_reset(struct lock *lock) { atomic_store_relaxed(&lock->word, 0); }

#endif
