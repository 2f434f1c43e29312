/*
 * size_class: which block size serves a request.
 *
 * Sixteen-byte steps up to 128 bytes, then eight steps a doubling up to 1 MiB, so that the waste
 * above 128 bytes stays below 12.5 %. An alignment is served by the smallest class whose size is a
 * multiple of it: pages start on multiples of their own size, so every block of such a class is
 * aligned and no user pointer ever lies inside a block. Pure functions; callable at any time.
 */
#ifndef MOAT_SIZE_CLASS_H
#define MOAT_SIZE_CLASS_H

#include "base/bits.h"

#define LINEAR_CLASSES 8u /* 16, 32, … 128 */
#define LINEAR_MAX ((size_t)128)
#define STEPS_PER_DOUBLING 8u
#define SIZE_CLASSES (LINEAR_CLASSES + 13u * STEPS_PER_DOUBLING)
#define SIZE_CLASS_NONE UINT32_MAX

/* Requests of up to this many bytes find their page through the heap's direct table. */
#define DIRECT_MAX ((size_t)1024)
#define DIRECT_ENTRIES (DIRECT_MAX / GRANULE + 1)

/* From 1: in an owner word and where something is kept for each kind, 0 means "no page". */
enum page_kind { PAGE_SMALL = 1, PAGE_MEDIUM, PAGE_LARGE, PAGE_KINDS };

/* The class of a request of 1..LARGE_MAX bytes. */
MOAT_INLINE uint32_t size_class_of(size_t size) {
    size_t last = size - 1;
    if (last < LINEAR_MAX) return (uint32_t)(last >> GRANULE_SHIFT);
    unsigned top = high_bit(last); /* 7 and above */
    return LINEAR_CLASSES + (top - 7) * STEPS_PER_DOUBLING + (uint32_t)((last >> (top - 3)) & 7);
}

/* The block size of a class, bytes. */
MOAT_INLINE size_t size_class_bytes(uint32_t size_class) {
    if (size_class < LINEAR_CLASSES) return ((size_t)size_class + 1) << GRANULE_SHIFT;
    uint32_t step = size_class - LINEAR_CLASSES;
    return (size_t)(9 + (step & 7)) << (GRANULE_SHIFT + step / STEPS_PER_DOUBLING);
}

/* The request whose class serves a size with an alignment (a power of two, at most LARGE_MAX; size
   1..LARGE_MAX): the size rounded up to a multiple of the alignment. Of the classes that are
   multiples of it that is the smallest: where classes are closer than the alignment each of its
   multiples is one, elsewhere the steps between classes are multiples of it, and so are all
   classes. */
MOAT_INLINE size_t aligned_request(size_t alignment, size_t size) {
    return round_up(size, alignment);
}

/* The class of that request; SIZE_CLASS_NONE when only a huge allocation serves it. */
MOAT_INLINE uint32_t size_class_of_aligned(size_t alignment, size_t size) {
    size_t request = aligned_request(alignment, size);
    return request <= LARGE_MAX ? size_class_of(request) : SIZE_CLASS_NONE;
}

MOAT_INLINE enum page_kind size_class_page_kind(uint32_t size_class) {
    return size_class <= size_class_of(SMALL_MAX)    ? PAGE_SMALL
           : size_class <= size_class_of(MEDIUM_MAX) ? PAGE_MEDIUM
                                                     : PAGE_LARGE;
}

/* A page of each kind is eight times as large as one of the kind before: 1, 8, 64 slots. As a shift
   of what a small page has. */
MOAT_INLINE unsigned page_kind_shift(enum page_kind kind) {
    return 3 * ((unsigned)kind - PAGE_SMALL);
}

MOAT_INLINE size_t page_kind_size(enum page_kind kind) {
    return SLOT_SIZE << page_kind_shift(kind);
}

#endif
