/*
 * test_sizeclass: which block size serves a request (src/meta/size_class.h): every size, and every
 * alignment near every boundary.
 */
#include "core.h"

#include "meta/size_class.h"

START_TEST(block_sizes_grow_by_whole_granules_and_end_at_the_largest) {
    core_require(size_class_bytes(0) == GRANULE);
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        core_require(size_class_bytes(size_class) % GRANULE == 0);
        if (size_class > 0)
            core_require(size_class_bytes(size_class) > size_class_bytes(size_class - 1));
        ck_assert_uint_eq(size_class_of(size_class_bytes(size_class)), size_class);
    }
    core_require(size_class_bytes(SIZE_CLASSES - 1) == LARGE_MAX);
}
END_TEST

START_TEST(every_size_gets_the_smallest_class_that_fits) {
    uint32_t expected = 0;
    for (size_t size = 1; size <= LARGE_MAX; size++) {
        if (size > size_class_bytes(expected)) expected++;
        if (size_class_of(size) != expected)
            ck_abort_msg("size %zu: class %u, not %u", size, size_class_of(size), expected);
    }
}
END_TEST

START_TEST(at_most_an_eighth_is_wasted_above_128_bytes) {
    for (size_t size = 1; size <= LARGE_MAX; size++) {
        size_t waste = size_class_bytes(size_class_of(size)) - size;
        bool small = size <= LINEAR_MAX ? waste < GRANULE : waste * 8 < size;
        if (!small) ck_abort_msg("size %zu wastes %zu", size, waste);
    }
}
END_TEST

/* The answer by definition: the first class that is large enough and a multiple of the
   alignment. */
static uint32_t aligned_by_definition(size_t alignment, size_t size) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++)
        if (size_class_bytes(size_class) >= size && size_class_bytes(size_class) % alignment == 0)
            return size_class;
    return SIZE_CLASS_NONE;
}

START_TEST(an_alignment_gets_the_smallest_class_that_is_a_multiple_of_it) {
    static const int around[] = {-17, -16, -15, -1, 0, 1, 15, 16, 17};
    for (size_t alignment = 1; alignment <= ALIGN_MAX; alignment *= 2)
        for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++)
            for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
                size_t size = size_class_bytes(size_class) + (size_t)(ptrdiff_t)around[i];
                if (size == 0 || size > LARGE_MAX) continue;
                uint32_t got = size_class_of_aligned(alignment, size);
                if (got != aligned_by_definition(alignment, size))
                    ck_abort_msg("alignment %zu, size %zu: class %u", alignment, size, got);
            }
}
END_TEST

START_TEST(an_alignment_up_to_the_largest_block_always_has_a_class) {
    for (size_t alignment = 1; alignment <= LARGE_MAX; alignment *= 2)
        for (size_t size = 1; size <= LARGE_MAX; size += size < 4096 ? 1 : 977)
            core_require(size_class_of_aligned(alignment, size) != SIZE_CLASS_NONE);
    core_require(size_class_of_aligned(2 * LARGE_MAX, 1) == SIZE_CLASS_NONE);
    core_require(size_class_of_aligned(ALIGN_MAX, LARGE_MAX) == SIZE_CLASS_NONE);
}
END_TEST

/* A page starts on a multiple of its size; then each block of the class is aligned. */
START_TEST(every_block_of_an_aligned_class_is_aligned) {
    for (size_t alignment = GRANULE; alignment <= LARGE_MAX; alignment *= 2)
        for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
            uint32_t got = size_class_of_aligned(alignment, size_class_bytes(size_class));
            size_t page = page_kind_size(size_class_page_kind(got));
            core_require(page % alignment == 0);
            for (size_t offset = 0; offset < page; offset += size_class_bytes(got))
                core_require(offset % alignment == 0);
        }
}
END_TEST

START_TEST(the_page_kind_follows_the_block_size) {
    core_require(page_kind_size(PAGE_SMALL) == 64 * KIB);
    core_require(page_kind_size(PAGE_MEDIUM) == 512 * KIB);
    core_require(page_kind_size(PAGE_LARGE) == SEGMENT_SIZE);
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        size_t size = size_class_bytes(size_class);
        enum page_kind expected = size <= 8 * KIB    ? PAGE_SMALL
                                  : size <= 64 * KIB ? PAGE_MEDIUM
                                                     : PAGE_LARGE;
        core_require(size_class_page_kind(size_class) == expected);
        /* Some blocks fit beside the guard, of the largest OS page too, and a record can count
           them. */
        size_t least = page_kind_size(expected) - (expected == PAGE_SMALL ? 4 * KIB : 64 * KIB);
        core_require(least / size >= 3);
        core_require(page_kind_size(expected) / size <= UINT16_MAX);
    }
}
END_TEST

START_TEST(the_direct_table_has_an_entry_for_every_small_size) {
    for (size_t size = 1; size <= DIRECT_MAX; size++) {
        size_t granules = (size + GRANULE - 1) >> GRANULE_SHIFT;
        core_require(granules < DIRECT_ENTRIES);
        core_require(size_class_of(size) == size_class_of(granules * GRANULE));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sizeclass");
    TCase *group = tcase_create("sizeclass");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, block_sizes_grow_by_whole_granules_and_end_at_the_largest);
    tcase_add_test(group, every_size_gets_the_smallest_class_that_fits);
    tcase_add_test(group, at_most_an_eighth_is_wasted_above_128_bytes);
    tcase_add_test(group, an_alignment_gets_the_smallest_class_that_is_a_multiple_of_it);
    tcase_add_test(group, an_alignment_up_to_the_largest_block_always_has_a_class);
    tcase_add_test(group, every_block_of_an_aligned_class_is_aligned);
    tcase_add_test(group, the_page_kind_follows_the_block_size);
    tcase_add_test(group, the_direct_table_has_an_entry_for_every_small_size);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
