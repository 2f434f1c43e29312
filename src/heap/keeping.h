/*
 * keeping: what is kept beyond the purge delay, because programs that go up and down want it again.
 *
 * Memory that goes back and is fetched anew costs more than all else that an allocator does. So
 * whoever gives memory back notes how much, and whoever takes memory that was not at hand notes
 * that too: if what went back is wanted again within a second, it should have been kept, and is
 * from then on. A second without such a need, and it goes back after the delay again.
 *
 * What is kept is bounded by what was in use: use and keeping together are at most nine eighths of
 * the most that was in use in the last eighth to quarter of a second. So a peak that does not come
 * again is kept for a quarter of a second at most, by who goes up and down; by others not at all.
 *
 * Everything is counted in units of SLOT_SIZE, and in milliseconds. Owner only, or under the lock
 * of what it belongs to: a heap (heap_purge.c), the cache of huge runs (huge.c). Those of what
 * ended threads left (struct heap_pool), and of all that is in use (usage.h), are everybody's,
 * without a lock: of two changes at once one may be lost, and a little is kept, or goes back, that
 * should not. So every field is atomic, relaxed.
 */
#ifndef MOAT_KEEPING_H
#define MOAT_KEEPING_H

#include "base/atomic.h"

/* Milliseconds between giving back and wanting again that count as one need; and from the last need
   to the end of keeping. */
#define KEEPING_TIME 1000u
/* Milliseconds over which the most in use is looked for: the window that is open, and the one
   before it. */
#define KEEPING_WINDOW 125u
/* Units that must have been wanted again in a window: less is not worth it. */
#define KEEPING_NEED 16u

struct keeping {
    uint64_t given_at; /* milliseconds: when memory last went back */
    uint64_t
        needed_at; /* milliseconds: when what went back, or would have, was last wanted again */
    uint64_t window_at;   /* milliseconds: when the window was opened */
    uint32_t given;       /* units that went back and were not wanted again */
    uint32_t missed;      /* of these wanted again in the window */
    uint32_t most;        /* units in use, the most in the window */
    uint32_t most_before; /* and in the one before it */
};

/* Milliseconds since then; below 0 by a clock that was read before. */
MOAT_INLINE int64_t keeping_since(const uint64_t *then, uint64_t now) {
    return (int64_t)(now - atomic_load_settled(then));
}

/* Units went back. */
MOAT_INLINE void keeping_gave(struct keeping *keeping, uint32_t units, uint64_t now) {
    if (units == 0) return;
    bool is_old = keeping_since(&keeping->given_at, now) > KEEPING_TIME;
    uint32_t given = is_old ? 0 : atomic_load_unseen(&keeping->given);
    given += units < UINT32_MAX - given ? units : UINT32_MAX - given;
    atomic_store_unseen(&keeping->given, given);
    atomic_store_unseen(&keeping->given_at, now);
}

/* Units were taken that were not at hand. */
MOAT_INLINE void keeping_missed(struct keeping *keeping, uint32_t units, uint64_t now) {
    uint32_t given = atomic_load_unseen(&keeping->given);
    if (given == 0 || keeping_since(&keeping->given_at, now) > KEEPING_TIME) return;
    if (units > given) units = given;
    uint32_t missed = atomic_load_unseen(&keeping->missed) + units;
    atomic_store_unseen(&keeping->given, given - units);
    atomic_store_unseen(&keeping->missed, missed);
    if (missed >= KEEPING_NEED) atomic_store_unseen(&keeping->needed_at, now);
}

/* Whether anything is kept. */
MOAT_INLINE bool keeping_is_on(const struct keeping *keeping, uint64_t now) {
    return atomic_load_unseen(&keeping->needed_at) != 0 &&
           keeping_since(&keeping->needed_at, now) < KEEPING_TIME;
}

/* Something was taken that is kept beyond the delay: it would have been missed. */
MOAT_INLINE void keeping_served(struct keeping *keeping, uint64_t now) {
    if (keeping_is_on(keeping, now)) atomic_store_unseen(&keeping->needed_at, now);
}

/* So many units are in use now. */
MOAT_INLINE void keeping_observe(struct keeping *keeping, uint32_t used, uint64_t now) {
    int64_t age = keeping_since(&keeping->window_at, now);
    uint32_t most = atomic_load_unseen(&keeping->most);
    if (age >= KEEPING_WINDOW) {
        atomic_store_unseen(&keeping->most_before, age < 2 * KEEPING_WINDOW ? most : 0);
        atomic_store_unseen(&keeping->missed, 0);
        atomic_store_unseen(&keeping->window_at, now);
        atomic_store_unseen(&keeping->most, used);
    } else if (used > most) {
        atomic_store_unseen(&keeping->most, used);
    }
}

/* The most that was in use lately. */
MOAT_INLINE uint64_t keeping_most(const struct keeping *keeping) {
    uint64_t most = atomic_load_unseen(&keeping->most);
    uint64_t before = atomic_load_unseen(&keeping->most_before);
    return most > before ? most : before;
}

/* Whether so many units beside what is in use are no more than may be kept, where anything is. */
MOAT_INLINE bool keeping_fits(const struct keeping *keeping, uint32_t used, uint64_t kept) {
    uint64_t most = keeping_most(keeping);
    return used + kept <= most + most / 8;
}

/* Whether so many units may be kept beside what is in use. */
MOAT_INLINE bool keeping_allows(const struct keeping *keeping, uint32_t used, uint64_t kept,
                                uint64_t now) {
    return keeping_is_on(keeping, now) && keeping_fits(keeping, used, kept);
}

#endif
