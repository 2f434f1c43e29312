/*
 * lock: a three-state futex mutex.
 *
 * The word is 0 free, 1 held, 2 held and somebody may wait. meta/locks.h has all locks and the
 * order in which they may be taken. A build with assertions also notes who holds one.
 */
#ifndef MOAT_LOCK_H
#define MOAT_LOCK_H

#include "base/thread.h"

struct MOAT_LINE lock {
    uint32_t word;
#ifdef MOAT_DEBUG
    uintptr_t holder; /* thread_identity(), 0: nobody; written by the holder, atomic */
#endif
};

void lock_acquire_slow(struct lock *lock);
/* Looks whether it is released soon. True: it was, and is taken. */
bool lock_spin(struct lock *lock);
/* Takes the lock, or waits once, like all who have not got it by lock_spin(). True: it is taken. */
bool lock_wait(struct lock *lock);
void lock_release_slow(struct lock *lock);

#ifdef MOAT_DEBUG
MOAT_INLINE void lock_note_holder(struct lock *lock, uintptr_t holder) {
    atomic_store_unseen(&lock->holder, holder);
}
MOAT_INLINE bool lock_is_held_by_me(const struct lock *lock) {
    return atomic_load_unseen(&lock->holder) == thread_identity();
}
#else
MOAT_INLINE void lock_note_holder(const struct lock *lock, uintptr_t holder) {
    (void)lock;
    (void)holder;
}
MOAT_INLINE bool lock_is_held_by_me(const struct lock *lock) {
    (void)lock;
    return false;
}
#endif

MOAT_INLINE void lock_acquire(struct lock *lock) {
    uint32_t expected = 0;
    /* pairs with lock_release */
    if (MOAT_UNLIKELY(!atomic_cas_acquire(&lock->word, &expected, 1))) lock_acquire_slow(lock);
    lock_note_holder(lock, thread_identity());
}

MOAT_INLINE bool lock_try(struct lock *lock) {
    uint32_t expected = 0; /* the exchange pairs with lock_release */
    if (FAILPOINT(LOCK_HELD) || !atomic_cas_acquire(&lock->word, &expected, 1)) return false;
    lock_note_holder(lock, thread_identity());
    return true;
}

MOAT_INLINE void lock_release(struct lock *lock) {
    lock_note_holder(lock, 0);
    /* pairs with lock_acquire */
    if (MOAT_UNLIKELY(atomic_exchange_release(&lock->word, 0) == 2)) lock_release_slow(lock);
}

/* In a forked child: the only thread forgets who held it. */
MOAT_INLINE void lock_reset(struct lock *lock) {
    lock_note_holder(lock, 0);
    atomic_store_relaxed(&lock->word, 0);
}

#endif
