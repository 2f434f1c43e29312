/*
 * zero_size: zero-size blocks.
 *
 * malloc(0) is a unique address in an inaccessible segment. There are no lists and no owner: the
 * live map is the allocator, a block is taken by fetch_or and freed by fetch_and, and the old value
 * of the bit says who was first.
 */
#ifndef MOAT_ZERO_SIZE_H
#define MOAT_ZERO_SIZE_H

#include "heap/segment.h"

#define ZERO_SIZE_SEGMENTS_MAX 1024u

struct zero_size_state {
    uint32_t count; /* atomic: segments in use; release store, acquire load */
    uint32_t segments[ZERO_SIZE_SEGMENTS_MAX]; /* written once, before count */
    /* atomic, relaxed: map word, counted over all segments, where a free granule was found last */
    uint32_t hint;
};

/* alignment: a power of two up to ALIGN_MAX; the address is a multiple of it and of GRANULE. NULL:
   out of addresses. */
void *zero_size_alloc(size_t alignment);
/* False: it was not live. */
bool zero_size_free(uintptr_t address);

#endif
