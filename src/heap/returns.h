/*
 * returns: how many blocks a page's owner has freed into it, and at which of them something is due.
 *
 * The owner's free must count the block, and must notice the two rare cases: the page is empty now,
 * or a page that was set aside has enough blocks again. One subtraction does both: `countdown` is
 * `event_above` less the blocks returned, and the free that makes it negative has more to do. So
 * the number of blocks is not stored: it is the difference of the two.
 *
 * A page of four blocks, all handed out, watched for the moment when it is empty:
 *
 *     step                                        event_above   countdown   returned   event?
 *     returns_expect(r, 3): above three returned       3            3           0
 *     returns_add: first free                          3            2           1        no
 *     returns_add: second free                         3            1           2        no
 *     returns_take: both go on the free list           3            3           0
 *     (one is handed out again: three are out, so the page is empty after three more)
 *     returns_expect(r, 2)                             2            2           0
 *     returns_add, returns_add: third, fourth free     2            0           2        no
 *     returns_add: the last one                        2           -1           3        yes
 *
 * Written by the page's owner alone; read by anyone (statistics), who may see a moment's mixture.
 * test/unit/test_returns.c is this example.
 */
#ifndef MOAT_RETURNS_H
#define MOAT_RETURNS_H

#include "base/atomic.h"

struct returns {
    int32_t countdown;   /* event_above less the blocks returned; below 0: past the event */
    int32_t event_above; /* a free that leaves more blocks returned than this has more to do */
};

/* No number of returned blocks is above this. */
#define RETURNS_NEVER INT32_MAX

/* Blocks returned and not taken since. Subtracted without signs: a mixture may leave int32_t. */
MOAT_INLINE uint32_t returns_count(const struct returns *returns) {
    return (uint32_t)atomic_load_relaxed(&returns->event_above) -
           (uint32_t)atomic_load_relaxed(&returns->countdown);
}

/* From now on more than `event_above` returned blocks are an event. Keeps the count, by way of
   which it goes: the difference of two events may overflow. */
MOAT_INLINE void returns_expect(struct returns *returns, int32_t event_above) {
    returns->countdown = event_above - (int32_t)returns_count(returns);
    returns->event_above = event_above;
}

/* One more block was returned. True: this is an event. */
MOAT_INLINE bool returns_add(struct returns *returns) { return --returns->countdown < 0; }

/* More blocks were returned at once; whether that is an event, the caller sees by the count. */
MOAT_INLINE void returns_add_some(struct returns *returns, int32_t blocks) {
    returns->countdown -= blocks;
}

/* All of them were taken. The same number of further ones is an event. */
MOAT_INLINE void returns_take(struct returns *returns) {
    returns->countdown = returns->event_above;
}

#endif
