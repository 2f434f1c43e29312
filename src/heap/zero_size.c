/*
 * zero_size: the addresses of malloc(0) (see zero_size.h).
 *
 * Taken by fetch_or and given back by fetch_and on the live map, whose old value says who was
 * first. A hint says where a free granule was found last; it may be wrong in either direction.
 */
#include "heap/zero_size.h"
#include "meta/locks.h"
#include "base/thread.h"

/* Adds a segment unless another thread has meanwhile. */
static bool add_segment(struct zero_size_state *zero, uint32_t seen, uint32_t align) {
    locks_acquire(LOCK_ZERO_SIZE);
    uint32_t count = atomic_load_relaxed(&zero->count), index;
    bool ok = count != seen;
    if (!ok && count < ZERO_SIZE_SEGMENTS_MAX && region_take(1, align, 1, &index)) {
        segment_at(index)->place = count; /* where it stands in the table, for zero_size_free */
        /* pairs with the load of free */
        atomic_store_release(&segment_at(index)->owner, (uint64_t)OWNER_ZERO_SIZE);
        zero->segments[count] = index;
        atomic_store_release(&zero->count, count + 1); /* pairs with zero_size_alloc */
        ok = true;
    }
    locks_release(LOCK_ZERO_SIZE);
    return ok;
}

/* Takes the lowest free granule of a map word among those in the mask; 0 if there is none. */
static uintptr_t take(struct map_word *word, uintptr_t first, uint64_t mask) {
    for (;;) {
        uint64_t open = ~atomic_load_relaxed(&word->live) & mask;
        if (open == 0) return 0;
        uint64_t bit = open & -open;
        if ((atomic_or_acq_rel(&word->live, bit) & bit) == 0)
            return first + low_bit(bit) * GRANULE; /* pairs with zero_size_free */
    }
}

/* The granules of a map word whose addresses are aligned, as a mask: the word's first address is a
   multiple of MAP_WORD_SPAN. */
static uint64_t aligned_granules(uintptr_t first, size_t alignment) {
    uint64_t mask = 0;
    if ((first & (alignment - 1) & ~(MAP_WORD_SPAN - 1)) != 0) return 0;
    size_t step = alignment > GRANULE ? alignment : GRANULE;
    for (size_t offset = 0; offset < MAP_WORD_SPAN; offset += step)
        mask |= bit64((unsigned)(offset / GRANULE));
    return mask;
}

void *zero_size_alloc(size_t alignment) {
    THREAD_INSIDE();
    struct zero_size_state *zero = ro.zero_size;
    for (;;) {
        uint32_t count = atomic_load_acquire(&zero->count); /* pairs with add_segment */
        uint32_t words = count * (uint32_t)MAP_WORDS_PER_SEGMENT,
                 from = atomic_load_relaxed(&zero->hint);
        for (uint32_t i = 0; i < words; i++) {
            uint32_t at = (from + i) % words;
            uintptr_t segment = segment_address(zero->segments[at / MAP_WORDS_PER_SEGMENT]);
            uintptr_t first = segment + at % MAP_WORDS_PER_SEGMENT * MAP_WORD_SPAN;
            uintptr_t address = take(map_word_of(first), first, aligned_granules(first, alignment));
            if (address == 0) continue;
            if (at != from && alignment <= GRANULE) atomic_store_relaxed(&zero->hint, at);
            return (void *)address;
        }
        if (!add_segment(zero, count,
                         alignment > SEGMENT_SIZE ? (uint32_t)(alignment >> SEGMENT_SHIFT) : 1))
            return NULL;
    }
}

bool zero_size_free(uintptr_t address) {
    THREAD_INSIDE();
    uint64_t bit = map_bit_of(address);
    /* pairs with take */
    if ((atomic_and_acq_rel(&map_word_of(address)->live, ~bit) & bit) == 0) return false;
    uint32_t at = segment_of(address)->place * (uint32_t)MAP_WORDS_PER_SEGMENT +
                  (uint32_t)(address / MAP_WORD_SPAN % MAP_WORDS_PER_SEGMENT);
    if (at < atomic_load_relaxed(&ro.zero_size->hint))
        atomic_store_relaxed(&ro.zero_size->hint, at);
    return true;
}
