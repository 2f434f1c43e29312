/*
 * locks: waiting for a lock, unless nobody is left to release it (see locks.h).
 */
#include "meta/locks.h"

/* Who comes here in a child that is not recovered was inside the allocator at the fork (a signal
   handler has forked), maybe just here, or ends the thread before its first call that leaves the
   fast paths. */
void locks_wait(enum lock_rank rank) {
    struct lock *lock = &ro.locks[rank];
    bool is_taken = lock_spin(lock);
    while (!is_taken) {
        /* pairs with the stores of fork.c */
        if (atomic_load_acquire(ro.fork_mark) != ro_mark_recovered()) {
            fork_free_lock(rank);
            is_taken = lock_try(lock);
        } else {
            is_taken = lock_wait(lock);
        }
    }
    lock_note_holder(lock, thread_identity());
}
