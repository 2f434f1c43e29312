/*
 * locks: waiting for a lock, unless nobody is left to release it (see locks.h).
 */
#include "meta/locks.h"

/* Who comes here in a child that is not recovered was inside the allocator at the fork (a signal
   handler has forked), or ends the thread before its first call that leaves the fast paths. */
void locks_wait(enum lock_rank rank) {
    /* pairs with the stores of fork.c */
    while (atomic_load_acquire(ro.fork_mark) != ro_mark_recovered()) {
        fork_free_lock(rank);
        if (lock_try(&ro.locks[rank])) return;
    }
    lock_acquire(&ro.locks[rank]);
}
