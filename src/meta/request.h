/*
 * request: what was asked for, of every block of the strict level, out of band.
 *
 * Two bytes for each granule of the region; a block's first ones are its own. They say by which
 * family of functions the block was made and how many of its bytes lie behind those that were asked
 * for (the slack, which holds the canary). Of a huge block the words of the run's first granules
 * say it: the family, how far behind the start of its run it begins (the lead), and how many bytes
 * were asked for; its slack goes to the end of the OS page. The table is there below the region's
 * extent.
 *
 * Whoever takes a block writes its record before the block is handed out; then it is for whoever
 * frees the block, once the claim bit, or a huge block's owner word, is won; and when the block
 * leaves the quarantine it says REQUEST_RELEASED, so that its page's owner collects it. All of it
 * is read and written by atomic accesses, for racing misuses. A block that is resized where it is
 * has a record and a canary that agree after each store, so that a child forked meanwhile finds it
 * right.
 */
#ifndef MOAT_REQUEST_H
#define MOAT_REQUEST_H

#include "base/atomic.h"
#include "base/bits.h"
#include "meta/region.h"

/* Who a block was made by, or is freed by. */
enum family {
    FAMILY_ANY, /* of a free: nobody knows. Of a record: no block lives here */
    FAMILY_MALLOC,
    FAMILY_NEW,
    FAMILY_NEW_ARRAY,
    REQUEST_RELEASED /* of a record: freed, and out of quarantine */
};

struct request {
    enum family family;
    size_t slack; /* bytes of the block behind those that were asked for */
};

#define REQUEST_FAMILY_BITS 3u
#define REQUEST_LOW_BITS (16u - REQUEST_FAMILY_BITS)

static_assert(REQUEST_RELEASED < 1 << REQUEST_FAMILY_BITS, "a family has its bits");
static_assert(GRANULE <= (size_t)1 << REQUEST_LOW_BITS, "a block of one granule needs no more");

MOAT_INLINE uint16_t *request_words(uintptr_t block) {
    return &ro.requests[(block - ro.region_base) >> GRANULE_SHIFT];
}

/* `block_size`: bytes; of one granule there is no second word. */
MOAT_INLINE void request_store(uintptr_t block, size_t block_size, struct request request) {
    uint16_t *words = request_words(block);
    size_t low = request.slack & low_mask(REQUEST_LOW_BITS);
    if (block_size > GRANULE)
        atomic_store_relaxed(&words[1], (uint16_t)(request.slack >> REQUEST_LOW_BITS));
    atomic_store_relaxed(&words[0], (uint16_t)(request.family | low << REQUEST_FAMILY_BITS));
}

MOAT_INLINE struct request request_load(uintptr_t block, size_t block_size) {
    const uint16_t *words = request_words(block);
    uint16_t first = atomic_load_relaxed(&words[0]);
    size_t high = block_size > GRANULE ? atomic_load_relaxed(&words[1]) : 0;
    return (struct request){(enum family)(first & low_mask(REQUEST_FAMILY_BITS)),
                            high << REQUEST_LOW_BITS | first >> REQUEST_FAMILY_BITS};
}

/* Whether the slack of a block can become the other by one store. */
MOAT_INLINE bool request_can_change(size_t slack, size_t other) {
    return slack >> REQUEST_LOW_BITS == other >> REQUEST_LOW_BITS;
}
/* Of a block in use, by its user: what was stored before is seen before it, what is stored after it
   after it. */
MOAT_INLINE void request_change(uintptr_t block, struct request from, struct request to) {
    size_t mask = low_mask(REQUEST_LOW_BITS);
    uint16_t old = (uint16_t)(from.family | (from.slack & mask) << REQUEST_FAMILY_BITS);
    uint16_t new = (uint16_t)(to.family | (to.slack & mask) << REQUEST_FAMILY_BITS);
    /* pairs with the copy of a fork */
    (void)atomic_cas_acq_rel(request_words(block), &old, new);
}

MOAT_INLINE void request_set_family(uintptr_t block, enum family family) {
    uint16_t *word = request_words(block);
    uint16_t slack = atomic_load_relaxed(word) & (uint16_t)~low_mask(REQUEST_FAMILY_BITS);
    atomic_store_relaxed(word, (uint16_t)(slack | family));
}

/* The block may be collected: whoever sees it sees all that was done to the block before. */
MOAT_INLINE void request_release(uintptr_t block) {
    /* pairs with request_is_released */
    atomic_store_release(request_words(block), (uint16_t)REQUEST_RELEASED);
}
MOAT_INLINE bool request_is_released(uintptr_t block) {
    /* pairs with request_release */
    return atomic_load_acquire(request_words(block)) == REQUEST_RELEASED;
}
MOAT_INLINE void request_clear(uintptr_t block) {
    atomic_store_relaxed(request_words(block), (uint16_t)0);
}

/* Of a huge block, by the start of its run. */
MOAT_INLINE uint64_t *request_size_word(uintptr_t run) {
    return (uint64_t *)(void *)(request_words(run) + 4);
}
static_assert(SEGMENT_SIZE / GRANULE % 4 == 0, "a run's size has an aligned word");

MOAT_INLINE void request_store_run(uintptr_t run, enum family family, size_t lead, size_t size) {
    uint16_t *words = request_words(run);
    atomic_store_relaxed(&words[2], (uint16_t)(lead >> GRANULE_SHIFT));
    atomic_store_relaxed(request_size_word(run), (uint64_t)size);
    atomic_store_relaxed(&words[0], (uint16_t)family);
}
MOAT_INLINE size_t request_lead(uintptr_t run) {
    return (size_t)atomic_load_relaxed(&request_words(run)[2]) << GRANULE_SHIFT;
}
MOAT_INLINE size_t request_size(uintptr_t run) {
    return atomic_load_relaxed(request_size_word(run));
}
/* Before the run that a block moves to is live. */
MOAT_INLINE void request_copy_run(uintptr_t from, uintptr_t to) {
    const uint16_t *words = request_words(from);
    request_store_run(to,
                      (enum family)(atomic_load_relaxed(&words[0]) & low_mask(REQUEST_FAMILY_BITS)),
                      request_lead(from), request_size(from));
}
/* As request_change. */
MOAT_INLINE void request_change_size(uintptr_t run, size_t from, size_t to) {
    uint64_t old = from;
    /* pairs with the copy of a fork */
    (void)atomic_cas_acq_rel(request_size_word(run), &old, (uint64_t)to);
}

#endif
