/*
 * livemap: two bits for every granule of the region, out of band.
 *
 *   live    set at the address that was handed to the user, for as long as it is theirs
 *   claim   set by a remote free (fetch_or), cleared by the owner's collect (fetch_and)
 *
 * In pages the owner alone writes live bits, with plain loads and stores. Huge and zero-size blocks
 * have no owner: there live bits are written by read-modify-write only. The claim is the remote
 * free.
 *
 * The words alternate, so that both bits of a block share a cache line. The map is there below
 * the region's extent.
 */
#ifndef MOAT_LIVEMAP_H
#define MOAT_LIVEMAP_H

#include "base/atomic.h"
#include "base/bits.h"
#include "meta/region.h"

/* The bits of 64 granules, 1 KiB of the region. */
struct map_word {
    uint64_t live;
    uint64_t claim;
};

#define MAP_WORD_SPAN (64 * GRANULE)
#define MAP_WORDS_PER_SEGMENT (SEGMENT_SIZE / MAP_WORD_SPAN)

static_assert(sizeof(struct map_word) == 16 && MAP_WORD_SPAN == 1024,
              "map_word_of turns an address into a word by a shift of six");
static_assert(MAP_WORDS_PER_SEGMENT * sizeof(struct map_word) == MAP_TABLE_BYTES_PER_SEGMENT,
              "the region maps the table by this size");

/* The address must lie in the range the tables cover. */
MOAT_INLINE struct map_word *map_word_of(uintptr_t address) {
    return (struct map_word *)(ro.map_bias + ((address >> 6) & ~(uintptr_t)15));
}

/* The same of a granule that is counted from the region's base. Its number is also a place, see
   map_place_of. */
MOAT_INLINE struct map_word *map_word_of_granule(uint64_t granule) {
    return (struct map_word *)(ro.maps + ((granule >> 2) & ~(uint64_t)15));
}

MOAT_INLINE uint64_t map_bit_of(uintptr_t address) {
    return bit64((unsigned)(address >> GRANULE_SHIFT));
}
/* The place of that bit, for the fast paths: one instruction tests or sets the bit there. Bits
   above the lowest six do not count. */
MOAT_INLINE uint64_t map_place_of(uintptr_t address) { return address >> GRANULE_SHIFT; }

/* Owner's view: is the block live and unclaimed? */
MOAT_INLINE bool map_in_use(const struct map_word *word, uint64_t bit) {
    return (atomic_load_relaxed(&word->live) & ~atomic_load_relaxed(&word->claim) & bit) != 0;
}

/* Owner's view: may the block be handed out? */
MOAT_INLINE bool map_is_free(const struct map_word *word, uint64_t bit) {
    return ((atomic_load_relaxed(&word->live) | atomic_load_relaxed(&word->claim)) & bit) == 0;
}

/* Most words have no claim at all: one instruction sees that. */
MOAT_INLINE bool map_claimed(const struct map_word *word, uint64_t place) {
    return MOAT_UNLIKELY(!atomic_equals_relaxed(&word->claim, 0)) &&
           has_bit(atomic_load_relaxed(&word->claim), place);
}

/* malloc's step (doc/design.md, "The two bits of a block"): live 0, claim 0 -> live 1; false, and
   nothing changed, if it was not so. Owner only: no read-modify-write, nobody else writes live bits
   of a page. */
MOAT_INLINE bool map_take(struct map_word *word, uint64_t place) {
    if (MOAT_UNLIKELY(map_claimed(word, place))) return false;
    uint64_t live = atomic_load_relaxed(&word->live);
    if (MOAT_UNLIKELY(cpu_test_and_set(&live, place))) return false;
    atomic_store_relaxed(&word->live, live);
    return true;
}

/* The local free's step: live 1, claim 0 -> live 0; false, and nothing changed, if it was not so.
   Owner only. */
MOAT_INLINE bool map_give(struct map_word *word, uint64_t place) {
    if (MOAT_UNLIKELY(map_claimed(word, place))) return false;
    uint64_t live = atomic_load_relaxed(&word->live);
    if (MOAT_UNLIKELY(!cpu_test_and_clear(&live, place))) return false;
    atomic_store_relaxed(&word->live, live);
    return true;
}

/* Collect's step for the claimed blocks of a word. Owner only. */
MOAT_INLINE void map_clear_live(struct map_word *word, uint64_t bits) {
    atomic_store_relaxed(&word->live, atomic_load_relaxed(&word->live) & ~bits);
}

#endif
