/*
 * zero_size: zero-size blocks.
 *
 * malloc(0) is a unique address in an inaccessible segment. There are no lists and no owner: the
 * live map is the allocator, a block is taken by fetch_or and freed by fetch_and, and the old value
 * of the bit says who was first.
 *
 * Three levels of hints lead to a free granule in a bounded number of steps, however many are live.
 * A bit says "there may be one below":
 *
 *   zero_size_state.open   a bit a segment
 *   segment.hints          a bit for each 64 of its map words
 *   page.hints             of the segment's 64 page records: a bit a map word
 *
 * No remote free writes these words, as it may `woken` and `pending` of pages that lay there
 * before.
 *
 * Whoever frees sets them from below, each if the word below was 0 before: else whoever made it so
 * sets the rest. Whoever finds nothing below clears the bit, and looks below once more: a free that
 * came between the two is seen, or sets the bit again.
 *
 * Each alignment has segments of its own, in which only multiples of it are handed out: so what a
 * bit says is true for whoever looks at it.
 */
#ifndef MOAT_ZERO_SIZE_H
#define MOAT_ZERO_SIZE_H

#include "heap/segment.h"

#define ZERO_SIZE_SEGMENTS_MAX 1024u
#define ZERO_SIZE_WORDS (ZERO_SIZE_SEGMENTS_MAX / 64)
/* From a granule to a segment, and one for all above, whose segments have a block each. */
#define ZERO_SIZE_ALIGNMENTS (SEGMENT_SHIFT - GRANULE_SHIFT + 2)

struct zero_size_state {
    uint32_t count; /* atomic: segments in use; release store, acquire load */
    uint32_t segments[ZERO_SIZE_SEGMENTS_MAX];            /* written once, before count */
    uint64_t open[ZERO_SIZE_ALIGNMENTS][ZERO_SIZE_WORDS]; /* atomic; of segments of an alignment */
};

/* alignment: a power of two up to ALIGN_MAX; the address is a multiple of it and of GRANULE. NULL:
   out of addresses. */
void *zero_size_alloc(size_t alignment);
/* False: it was not live. */
bool zero_size_free(uintptr_t address);
/* In a forked child, of each such segment: another thread may have been caught while it added
   it. */
void zero_size_recover_segment(uint32_t index);
/* And then once: or between two levels. */
void zero_size_recover(void);

/* Every free granule can be found: for checks, at rest. */
bool zero_size_validate(void);

#endif
