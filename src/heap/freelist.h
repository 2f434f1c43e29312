/*
 * freelist: the encoded address of the next free block, in the first word of a free block.
 *
 *   link = rotl(address of the next block, 42) ^ page secret ^ own address
 *
 * What is decoded counts by its distance from the page's start, which has nothing but zeros below
 * the page's size: the low 22 bits of the address, the only ones in which blocks of a page differ,
 * fill the top of the link, and 42 more must be those of the start.
 *
 * How many blocks a list has stands in the page's record, so no link marks the end: the last one
 * names any block of the page. The only code that reads or writes links. Free memory belongs to the
 * attacker: whatever stands there, freelist_is_block accepts only a block boundary below the page's
 * limit, so a link can name nothing but a block of its own page; the caller's test of the block's
 * two map bits makes that a free block (doc/design.md, "Links").
 */
#ifndef MOAT_FREELIST_H
#define MOAT_FREELIST_H

#include "base/atomic.h"
#include "base/bits.h"

#define FREELIST_ROTATION 42u

static_assert(SEGMENT_SHIFT + FREELIST_ROTATION == 64,
              "an offset in a segment fills the top of the rotated word exactly");

/* The reciprocal for offset_on_boundary; block_size >= 2. Lemire, Kaser, Kurz: Faster remainder by
   direct computation (2019). */
MOAT_INLINE uint64_t block_reciprocal(size_t block_size) { return UINT64_MAX / block_size + 1; }

/* Whether offset (below 2^32) is a multiple of the block size: the fraction offset / size is
   zero. */
MOAT_INLINE bool offset_on_boundary(uint64_t offset, uint64_t reciprocal) {
    return offset * reciprocal < reciprocal;
}

MOAT_INLINE uint64_t freelist_load(uintptr_t address) {
    return atomic_load_relaxed((const uint64_t *)address);
}
MOAT_INLINE void freelist_store(uintptr_t address, uint64_t link) {
    atomic_store_relaxed((uint64_t *)address, link);
}

MOAT_INLINE uint64_t freelist_encode(uintptr_t next, uint64_t secret, uintptr_t address) {
    if (!HARDENED_LINKS) return next;
    return rotl64(next, FREELIST_ROTATION) ^ secret ^ address;
}

MOAT_INLINE uint64_t freelist_decode(uint64_t link, uint64_t secret, uintptr_t address) {
    if (!HARDENED_LINKS) return link;
    return rotr64(link ^ secret ^ address, FREELIST_ROTATION);
}

/* What the link at an address decodes to. The memory is read once, by the instruction that mixes
   it: no second look at what somebody may be writing. */
MOAT_INLINE uint64_t freelist_next(uint64_t secret, uintptr_t address) {
    if (!HARDENED_LINKS) return freelist_load(address);
    uint64_t mixed = atomic_xor_with_relaxed(secret ^ address, (const cpu_any_word *)address);
    return rotr64(mixed, FREELIST_ROTATION);
}

/* Whether a decoded link names a block of the page, by its distance from the page's start. */
MOAT_INLINE bool freelist_is_block(uint64_t offset, uint64_t limit, uint64_t reciprocal) {
    if (!HARDENED_LINKS) return true;
    return MOAT_LIKELY(offset < limit) && MOAT_LIKELY(offset_on_boundary(offset, reciprocal));
}

#endif
