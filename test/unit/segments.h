/*
 * segments: what the tests of segments begin with: a heap that owns them, and segments with pages.
 */
#ifndef MOAT_UNIT_SEGMENTS_H
#define MOAT_UNIT_SEGMENTS_H

#include "core.h"

static struct random generator;
static struct heap *owner;

static void setup(void) {
    core_setup();
    random_seed_fixed(&generator, 3);
    owner = heap_at(1);
}

MOAT_INLINE uint64_t word_of(enum page_kind kind) { return owner_word((uintptr_t)owner, kind); }

MOAT_INLINE struct segment *make_segment(enum page_kind kind) {
    struct segment *segment = segment_create(word_of(kind), false, &generator);
    ck_assert_ptr_nonnull(segment);
    ck_assert(segment_validate(segment));
    return segment;
}

MOAT_INLINE struct page *make_page(struct segment *segment, uint32_t size_class) {
    struct page *page = segment_page_create(segment, size_class, &generator);
    ck_assert_ptr_nonnull(page);
    ck_assert(segment_validate(segment));
    return page;
}

#endif
