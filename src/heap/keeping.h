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
 * of what it belongs to: a heap (heap_purge.c), the cache of huge runs (huge.c).
 */
#ifndef MOAT_KEEPING_H
#define MOAT_KEEPING_H

#include "base/base.h"

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

/* Units went back. */
MOAT_INLINE void keeping_gave(struct keeping *keeping, uint32_t units, uint64_t now) {
    if (units == 0) return;
    if (now - keeping->given_at > KEEPING_TIME) keeping->given = 0;
    keeping->given += units < UINT32_MAX - keeping->given ? units : UINT32_MAX - keeping->given;
    keeping->given_at = now;
}

/* Units were taken that were not at hand. */
MOAT_INLINE void keeping_missed(struct keeping *keeping, uint32_t units, uint64_t now) {
    if (keeping->given == 0 || now - keeping->given_at > KEEPING_TIME) return;
    if (units > keeping->given) units = keeping->given;
    keeping->given -= units;
    keeping->missed += units;
    if (keeping->missed >= KEEPING_NEED) keeping->needed_at = now;
}

/* Whether anything is kept. */
MOAT_INLINE bool keeping_is_on(const struct keeping *keeping, uint64_t now) {
    return keeping->needed_at != 0 && now - keeping->needed_at < KEEPING_TIME;
}

/* Something was taken that is kept beyond the delay: it would have been missed. */
MOAT_INLINE void keeping_served(struct keeping *keeping, uint64_t now) {
    if (keeping_is_on(keeping, now)) keeping->needed_at = now;
}

/* So many units are in use now. */
MOAT_INLINE void keeping_observe(struct keeping *keeping, uint32_t used, uint64_t now) {
    uint64_t age = now - keeping->window_at;
    if (age >= KEEPING_WINDOW) {
        keeping->most_before = age < 2 * KEEPING_WINDOW ? keeping->most : 0;
        keeping->most = 0;
        keeping->missed = 0;
        keeping->window_at = now;
    }
    if (used > keeping->most) keeping->most = used;
}

/* Whether so many units may be kept beside what is in use. */
MOAT_INLINE bool keeping_allows(const struct keeping *keeping, uint32_t used, uint64_t kept,
                                uint64_t now) {
    uint64_t most = keeping->most > keeping->most_before ? keeping->most : keeping->most_before;
    return keeping_is_on(keeping, now) && used + kept <= most + most / 8;
}

#endif
