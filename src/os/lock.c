/*
 * lock: the two slow paths of the futex mutex (see lock.h).
 *
 * A waiter stores 2 before it sleeps, and takes the lock with 2 as well: it cannot know whether
 * others still wait, so the next release wakes one in vain rather than leave one asleep. Keeps
 * errno; may run before initialisation.
 */
#include "os/lock.h"

#include "os/os.h"

/* Held times are a few system calls at most: a short look is often enough, a long one only burns
   the holder's processor. Virtual threads shall come to sleep. */
#define SPINS (IN_HARNESS ? 2u : 64u)

MOAT_COLD bool lock_spin(struct lock *lock) {
    for (unsigned i = 0; i < SPINS; i++) {
        uint32_t seen = atomic_load_relaxed(&lock->word);
        /* pairs with lock_release */
        if (seen == 0 && atomic_cas_acquire(&lock->word, &seen, 1)) return true;
        if (seen == 2) break; /* others sleep already: join them, do not overtake */
        cpu_pause();
    }
    return false;
}

MOAT_COLD bool lock_wait(struct lock *lock) {
    if (atomic_exchange_acquire(&lock->word, 2) == 0) return true; /* pairs with lock_release */
    os_futex_wait(&lock->word, 2);
    return false;
}

MOAT_COLD void lock_acquire_slow(struct lock *lock) {
    if (lock_spin(lock)) return;
    while (!lock_wait(lock)) {
    }
}

MOAT_COLD void lock_release_slow(struct lock *lock) { os_futex_wake(&lock->word, 1); }
