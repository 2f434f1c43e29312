/*
 * test_huge: allocations in runs of segments (src/heap/huge.h): extent and guards, the cache,
 * resizing, and who wins a free.
 */
#include "core.h"

#include "heap/huge.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { SEGMENT = SEGMENT_SIZE };

/* Fills a block with a pattern of its own, sparsely: each OS page and the last byte. */
static void fill(char *block, size_t size, char seed) {
    for (size_t at = 0; at < size; at += ro.os_page) block[at] = (char)(seed + (char)(at >> 12));
    block[size - 1] = seed;
}
static void expect_filled(const char *block, size_t size, char seed) {
    for (size_t at = 0; at + ro.os_page < size; at += ro.os_page)
        core_require(block[at] == (char)(seed + (char)(at >> 12)));
}

static char *make(size_t size) {
    char *block = huge_alloc(size, 1, false);
    ck_assert_ptr_nonnull(block);
    return block;
}

static enum huge_result give(void *block) {
    struct segment *segment = core_segment(block);
    return huge_free(segment, segment->owner);
}

static struct stats look(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

/* What a block of that size is made to have: eight lengths a doubling from 1 to 64 MiB, OS pages
   below and above. */
static size_t length_of(size_t size) {
    if (size > LARGE_MAX)
        for (size_t power = MIB; power < 64 * MIB; power *= 2)
            for (size_t eighths = 9; eighths <= 16; eighths++) {
                size_t length = power / 8 * eighths;
                bool guard_fits = length % SEGMENT_SIZE != 0 || size > length - ro.os_page;
                /* else it needs a segment more */
                if (size <= length) return guard_fits ? length : length - ro.os_page;
            }
    return round_up(size, ro.os_page);
}

/* The block's whole length is usable, what follows is inaccessible, and so is what stands before
   it. */
static void expect_extent(const char *block, size_t size) {
    size_t bytes = length_of(size);
    core_require((uintptr_t)block % SEGMENT_SIZE == 0);
    core_require(harness_range_is((uintptr_t)block, bytes, HARNESS_COMMITTED));
    core_require(harness_range_state((uintptr_t)block + bytes) != HARNESS_COMMITTED);
    core_require(harness_range_state((uintptr_t)block - 1) != HARNESS_COMMITTED);
    core_require(alloc_usable_size(block) == bytes);
    core_require(owner_kind(core_segment(block)->owner) == OWNER_HUGE);
}

START_TEST(a_block_has_its_length_and_inaccessible_memory_around_it) {
    static const size_t sizes[] = {
        1,           4096,    LARGE_MAX + 1, SEGMENT - 4097, SEGMENT - 4096,
        SEGMENT - 1, SEGMENT, SEGMENT + 1,   9 * MIB,        100 * MIB};
    size_t before = ro.region->committed;
    size_t sum = 0;
    char *blocks[sizeof sizes / sizeof *sizes];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        blocks[i] = make(sizes[i]);
        expect_extent(blocks[i], sizes[i]);
        fill(blocks[i], sizes[i], (char)i);
        sum += length_of(sizes[i]);
    }
    ck_assert_uint_eq(ro.region->committed, before + sum);
    ck_assert_uint_eq(look().huge, sizeof sizes / sizeof *sizes);
    ck_assert_uint_eq(look().huge_bytes, sum);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        expect_filled(blocks[i], sizes[i], (char)i);
        ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    }
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->committed, before);
    ck_assert_uint_eq(look().huge, 0);
    check_all();
}
END_TEST

/* Between any two neighbours one OS page at least is inaccessible. */
START_TEST(neighbours_never_touch) {
    uint64_t random = 4;
    char *blocks[60];
    size_t sizes[60];
    for (unsigned i = 0; i < 60; i++) {
        sizes[i] = LARGE_MAX + 1 + core_below(&random, 3 * SEGMENT_SIZE);
        if (i % 3 == 0) sizes[i] = SEGMENT_SIZE - ro.os_page;
        blocks[i] = make(sizes[i]);
        if (i % 7 == 0) ck_assert_ptr_nonnull(alloc_block(1000 + i));
    }
    for (unsigned i = 0; i < 60; i++) expect_extent(blocks[i], sizes[i]);
}
END_TEST

START_TEST(every_alignment_up_to_a_gibibyte_is_kept) {
    core_start_ready("purge_delay=300");
    for (size_t alignment = LARGE_MAX; alignment <= ALIGN_MAX; alignment *= 2)
        for (unsigned i = 0; i < 4; i++) {
            char *block = alloc_aligned(alignment, i % 2 != 0 ? 100 : 5 * MIB);
            ck_assert_ptr_nonnull(block);
            ck_assert_uint_eq((uintptr_t)block % alignment, 0);
            block[0] = block[99] = 1;
            if (i > 1) alloc_free(block);
        }
    check_all();
}
END_TEST

START_TEST(a_zeroed_block_is_zero_from_the_cache_too) {
    for (unsigned i = 0; i < 6; i++) {
        harness_fail_none();
        if (i % 3 == 2) harness_fail_nth(OS_PURGE, 1);
        char *block = huge_alloc(3 * MIB + i, 1, true);
        ck_assert_ptr_nonnull(block);
        for (size_t at = 0; at < 3 * MIB; at += 64) core_require(block[at] == 0);
        memset(block, 1, 3 * MIB);
        ck_assert_int_eq(give(block), HUGE_OK);
    }
}
END_TEST

/* --- The cache ------------------------------------------------------------------------------- */

START_TEST(a_freed_run_is_used_again) {
    char *block = make(5 * MIB);
    uint64_t word = core_segment(block)->owner;
    ck_assert_int_eq(give(block), HUGE_OK);
    uint64_t commits = harness_call_count(OS_COMMIT);
    char *again = make(5 * MIB);
    ck_assert_ptr_eq(again, block);
    ck_assert_uint_eq(harness_call_count(OS_COMMIT), commits);
    ck_assert_uint_ne(core_segment(again)->owner, word); /* another generation */
    expect_extent(again, 5 * MIB);
}
END_TEST

START_TEST(a_cached_run_is_made_to_fit) {
    char *block = make(6 * MIB);
    ck_assert_int_eq(give(block), HUGE_OK);
    block = make(5 * MIB); /* shorter */
    expect_extent(block, 5 * MIB);
    ck_assert_int_eq(give(block), HUGE_OK);
    block = make(7 * MIB); /* longer, same segments */
    expect_extent(block, 7 * MIB);
    memset(block, 1, 7 * MIB);
    ck_assert_uint_eq(ro.region->committed, 7 * MIB);
    ck_assert_int_eq(give(block), HUGE_OK);
    char *small = make(2 * MIB); /* one segment of two: not more than twice too long */
    ck_assert_ptr_eq(small, block);
    expect_extent(small, 2 * MIB);
    ck_assert_uint_eq(ro.region->committed, 7 * MIB); /* with its rest */
}
END_TEST

START_TEST(a_run_that_is_much_too_long_or_too_short_is_not_taken) {
    char *longer = make(40 * MIB), *shorter = make(2 * MIB);
    ck_assert_int_eq(give(longer), HUGE_OK);
    ck_assert_int_eq(give(shorter), HUGE_OK);
    char *block = make(9 * MIB);
    ck_assert_ptr_ne(block, longer);
    ck_assert_ptr_ne(block, shorter);
    ck_assert_ptr_eq(make(30 * MIB), longer);
}
END_TEST

START_TEST(the_best_fit_is_taken) {
    char *blocks[3] = {make(25 * MIB), make(17 * MIB), make(21 * MIB)};
    for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    ck_assert_ptr_eq(make(16 * MIB), blocks[1]);
}
END_TEST

START_TEST(an_aligned_block_never_comes_from_the_cache_unaligned) {
    for (unsigned i = 0; i < 20; i++) ck_assert_int_eq(give(make(6 * MIB)), HUGE_OK);
    char *block = huge_alloc(6 * MIB, 64 * MIB, false);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq((uintptr_t)block % (64 * MIB), 0);
}
END_TEST

START_TEST(cached_runs_go_back_after_the_delay) {
    char *block = make(5 * MIB);
    ck_assert_int_eq(give(block), HUGE_OK);
    ck_assert_uint_eq(ro.region->committed, 5 * MIB);
    ck_assert_uint_eq(ro.usage->cached, 5 * MIB);
    harness_clock_advance(ro.options.purge_delay_ms - 1);
    ck_assert(!huge_purge(false, os_milliseconds()));
    harness_clock_advance(1);
    ck_assert(huge_purge(false, os_milliseconds()));
    ck_assert_uint_eq(ro.region->committed, 0);
    ck_assert_uint_eq(ro.usage->cached, 0);
    ck_assert_uint_eq(ro.huge->next_purge, UINT64_MAX);
    ck_assert(harness_range_is((uintptr_t)block, 8 * MIB, HARNESS_RESERVED));
    check_all();
}
END_TEST

/* Of the cached runs that are long enough the one is taken that fits best: as it is, if it was of
   that class. */
START_TEST(a_block_is_served_by_the_cached_run_of_its_class) {
    static const size_t lengths[] = {2 * MIB, 2 * MIB + 256 * KIB, 3 * MIB + 512 * KIB, 3 * MIB};
    char *cached[sizeof lengths / sizeof *lengths];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) cached[i] = make(lengths[i]);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        ck_assert_int_eq(give(cached[i]), HUGE_OK);
    size_t committed = ro.region->committed;
    for (size_t i = sizeof lengths / sizeof *lengths; i-- > 0;)
        ck_assert_ptr_eq(make(lengths[i] - 100 * KIB), cached[i]);
    ck_assert_uint_eq(ro.region->committed, committed);
    check_all();
}
END_TEST

START_TEST(runs_that_are_due_go_back_one_by_one) {
    char *blocks[3];
    for (unsigned i = 0; i < 3; i++) blocks[i] = make(5 * MIB);
    for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    harness_clock_advance(ro.options.purge_delay_ms);
    for (size_t left = 3; left-- > 0;) {
        ck_assert(huge_purge(false, os_milliseconds()));
        ck_assert_uint_eq(ro.usage->cached, left * 5 * MIB);
    }
    ck_assert(!huge_purge(false, os_milliseconds()));
}
END_TEST

START_TEST(the_cache_is_bounded) {
    char *blocks[40];
    core_start_ready("region=8G");
    for (unsigned i = 0; i < 40; i++) blocks[i] = make(20 * MIB);
    for (unsigned i = 0; i < 40; i++) ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    ck_assert_uint_le(ro.usage->cached, HUGE_CACHE_BYTES);
    ck_assert_uint_eq(ro.usage->cached, ro.region->committed);
    ck_assert_uint_ge(ro.usage->cached, HUGE_CACHE_BYTES - 20 * MIB);
    huge_purge(true, 0);
    for (unsigned i = 0; i < 40; i++) blocks[i] = make(2 * MIB);
    for (unsigned i = 0; i < 40; i++) ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    ck_assert_uint_le(ro.usage->cached, HUGE_CACHE_ENTRIES * 2 * MIB);
    char *whole = make(300 * MIB); /* alone more than the bound */
    size_t cached = ro.usage->cached;
    ck_assert_int_eq(give(whole), HUGE_OK);
    ck_assert_uint_eq(ro.usage->cached, cached);
}
END_TEST

START_TEST(without_a_delay_nothing_is_cached) {
    core_start_ready("region=1G:purge_delay=0");
    ck_assert_int_eq(give(make(5 * MIB)), HUGE_OK);
    ck_assert_uint_eq(ro.region->committed, 0);
}
END_TEST

START_TEST(a_full_region_is_served_from_the_cache_given_back) {
    core_start_ready("region=64M");
    char *blocks[5];
    for (unsigned i = 0; i < 5; i++) blocks[i] = make(9 * MIB);
    ck_assert_ptr_null(huge_alloc(9 * MIB, 1, false));
    for (unsigned i = 0; i < 5; i++) ck_assert_int_eq(give(blocks[i]), HUGE_OK);
    char *block = make(50 * MIB); /* no entry fits, and together they hold the space */
    expect_extent(block, 50 * MIB);
    check_all();
}
END_TEST

/* --- Resizing -------------------------------------------------------------------------------- */

static char *resize(char *block, size_t size) { return alloc_resize(block, size); }

START_TEST(a_block_grows_and_shrinks_within_its_run) {
    char *block = make(5 * MIB);
    uint64_t word = core_segment(block)->owner;
    fill(block, 5 * MIB, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ptr_eq(resize(block, 7 * MIB + 5), block);
        expect_extent(block, 7 * MIB + 5);
        expect_filled(block, 5 * MIB, 3);
        for (size_t at = 5 * MIB; at < 7 * MIB; at += 512) core_require(block[at] == 0);
        memset(block + 5 * MIB, 1, 2 * MIB);
        ck_assert_ptr_eq(resize(block, 5 * MIB), block);
        expect_extent(block, 5 * MIB);
        ck_assert_uint_eq(ro.region->committed, 5 * MIB);
    }
    ck_assert_uint_eq(core_segment(block)->owner, word);
    check_all();
}
END_TEST

START_TEST(a_block_that_shrinks_gives_its_segments_back) {
    char *block = make(30 * MIB);
    uint32_t before = region_in_use();
    fill(block, 2 * MIB, 5);
    ck_assert_ptr_eq(resize(block, 2 * MIB), block);
    ck_assert_uint_eq(region_in_use(), before - 7);
    expect_extent(block, 2 * MIB);
    expect_filled(block, 2 * MIB, 5);
    ck_assert_ptr_eq(resize(block, 30 * MIB), block); /* nobody has taken them */
    ck_assert_uint_eq(region_in_use(), before);
    check_all();
    ck_assert_int_eq(give(block), HUGE_OK);
}
END_TEST

START_TEST(a_block_grows_into_free_segments_behind_it) {
    core_start_ready("region=64M");
    char *block = make(5 * MIB);
    fill(block, 5 * MIB, 3);
    uint64_t moves = harness_call_count(OS_REMAP);
    uint32_t index = segment_index(core_segment(block));
    ck_assert_uint_lt(ro.region->extent - index, 3); /* the region grows for it */
    ck_assert_ptr_eq(resize(block, 11 * MIB), block);
    expect_extent(block, 11 * MIB);
    expect_filled(block, 5 * MIB, 3);
    ck_assert_uint_eq(harness_call_count(OS_REMAP), moves);
    ck_assert_uint_eq(core_segment(block)->run, 3);
    ck_assert_int_eq(give(block), HUGE_OK);
    huge_purge(true, 0);
    ck_assert_uint_eq(region_in_use(), 1);
    check_all();
}
END_TEST

/* Two blocks in a row; the first cannot be extended. */
static char *make_hemmed_in(size_t size) {
    char *block = make(size);
    uint32_t next = segment_index(core_segment(block)) + core_segment(block)->run;
    char *wall = make(2 * MIB);
    ck_assert_uint_eq(segment_index(core_segment(wall)), next);
    return block;
}

START_TEST(a_block_that_cannot_grow_is_moved_without_a_copy) {
    core_start_ready("region=256M");
    char *block = make_hemmed_in(5 * MIB);
    fill(block, 5 * MIB, 3);
    uint64_t moves = harness_call_count(OS_REMAP);
    size_t committed = ro.region->committed;
    char *moved = resize(block, 20 * MIB);
    ck_assert_ptr_nonnull(moved);
    ck_assert_ptr_ne(moved, block);
    ck_assert_uint_eq(harness_call_count(OS_REMAP), moves + 1);
    expect_extent(moved, 20 * MIB);
    expect_filled(moved, 5 * MIB, 3);
    fill(moved, 20 * MIB, 4);
    ck_assert_uint_eq(ro.region->committed, committed + 15 * MIB);
    ck_assert(harness_range_is((uintptr_t)block, 5 * MIB, HARNESS_RESERVED));
    ck_assert_int_eq(owner_kind(core_segment(block)->owner), OWNER_FREED);
    ck_assert(!core_is_live(block) && core_is_live(moved));
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
}
END_TEST

START_TEST(a_move_that_the_kernel_refuses_becomes_a_copy) {
    core_start_ready("region=256M");
    char *block = make_hemmed_in(5 * MIB);
    fill(block, 5 * MIB, 3);
    harness_fail_nth(OS_REMAP, 1);
    char *moved = resize(block, 20 * MIB);
    ck_assert_ptr_nonnull(moved);
    expect_extent(moved, 20 * MIB);
    expect_filled(moved, 5 * MIB, 3);
    ck_assert(!core_is_live(block));
    check_all();
}
END_TEST

static char *theirs; /* what another thread maps while a move fails */

static bool play_lost_move(long number, const long *arguments, long *result) {
    if (number != SYS_mremap) return false;
    size_t size = (size_t)arguments[1];
    char *to = (char *)arguments[4];
    core_require(munmap(to, size) == 0);
    theirs =
        mmap(to, size / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    core_require(theirs == to);
    memset(theirs, 7, size / 2);
    *result = -ENOMEM;
    return true;
}

/* A move that fails may have left a hole: what lies in it by then is somebody else's for good, in a
   forked child too. */
START_TEST(what_lies_where_a_failed_move_went_is_left_alone) {
    core_start_ready("region=256M");
    size_t splits = ro.region->splits;
    char *block = make_hemmed_in(5 * MIB);
    fill(block, 5 * MIB, 3);
    harness_set_kernel(play_lost_move);
    char *moved = resize(block, 20 * MIB);
    harness_set_kernel(NULL);
    ck_assert_ptr_nonnull(moved);
    expect_filled(moved, 5 * MIB, 3); /* by a copy */
    alloc_free(moved);
    ck_assert(alloc_collect(true));
    ck_assert_uint_eq(ro.region->splits, splits);
    check_all();
    *ro.fork_mark = FORK_WIPED;
    for (size_t size = 2 * MIB, i = 0; i < 100; i++) {
        char *other = alloc_block(size);
        if (other == NULL) break;
        ck_assert(other + size <= theirs || other >= theirs + 5 * MIB);
        fill(other, size, 1);
    }
    for (size_t i = 0; i < 5 * MIB / 2; i++) core_require(theirs[i] == 7);
    check_all();
    ck_assert_int_eq(munmap(theirs, 5 * MIB / 2), 0);
}
END_TEST

/* Whatever call fails on the way, the block is as it was, or it was resized; nothing leaks. */
START_TEST(a_resize_that_fails_changes_nothing) {
    static const size_t to[] = {2 * MIB, 7 * MIB, 12 * MIB, 900 * MIB, 1000, SIZE_MAX};
    for (unsigned hemmed = 0; hemmed < 2; hemmed++)
        for (size_t i = 0; i < sizeof to / sizeof *to; i++)
            for (uint64_t n = 1; n < 10; n++) {
                core_start_ready("region=256M");
                char *block = hemmed != 0 ? make_hemmed_in(5 * MIB) : make(5 * MIB);
                fill(block, 5 * MIB, 3);
                harness_fail_nth(HARNESS_ANY_CALL, n);
                char *now = resize(block, to[i]);
                harness_fail_none();
                ck_assert(to[i] < 256 * MIB || now == NULL);
                if (now == NULL) {
                    expect_extent(block, 5 * MIB);
                    expect_filled(block, 5 * MIB, 3);
                    now = block;
                } else {
                    expect_filled(now, to[i] < 5 * MIB ? to[i] : 5 * MIB, 3);
                    now[to[i] - 1] = 1;
                }
                alloc_free(now);
                check_all();
            }
}
END_TEST

/* What it was to grow by is accessible to nobody, also where the kernel refuses to close it. */
START_TEST(a_growth_that_cannot_be_undone_is_given_to_nobody) {
    core_start_ready("region=256M");
    char *block = make(5 * MIB);
    alloc_free(make(30 * MIB)); /* mapped, and free */
    huge_purge(true, 0);
    fill(block, 5 * MIB, 3);
    uint32_t behind = segment_index(core_segment(block)) + core_segment(block)->run;
    harness_fail_from(HARNESS_ANY_CALL, 2); /* the first opens two segments behind it */
    ck_assert_ptr_null(resize(block, 15 * MIB));
    harness_fail_none();
    expect_filled(block, 5 * MIB, 3);
    for (uint32_t index = behind; index < behind + 2; index++)
        ck_assert(harness_range_state(segment_address(index)) != HARNESS_COMMITTED ||
                  has_bit(ro.region->barred[index / 64], index));
    ck_assert_uint_eq(core_segment(block)->run, 2);
    char *other = make(15 * MIB); /* who takes segments asks again */
    expect_extent(other, 15 * MIB);
    for (uint32_t index = behind; index < behind + 2; index++)
        ck_assert(!has_bit(ro.region->barred[index / 64], index));
    alloc_free(other);
    alloc_free(block);
    check_all();
}
END_TEST

START_TEST(a_huge_block_becomes_a_small_one_and_back) {
    char *block = make(3 * MIB);
    fill(block, 3 * MIB, 5);
    char *small = resize(block, 500);
    ck_assert_ptr_nonnull(small);
    ck_assert_int_eq(core_kind_of(small), PAGE_SMALL);
    ck_assert_int_eq(small[0], 5);
    small[499] = 9;
    block = resize(small, 4 * MIB);
    ck_assert_ptr_nonnull(block);
    expect_extent(block, 4 * MIB);
    ck_assert_int_eq(block[499], 9);
    ck_assert(!core_is_live(small));
}
END_TEST

/* --- Frees ----------------------------------------------------------------------------------- */

START_TEST(a_second_free_loses_in_every_state) {
    char *block = make(5 * MIB);
    struct segment *segment = core_segment(block);
    uint64_t word = segment->owner;
    ck_assert_int_eq(huge_free(segment, word), HUGE_OK);
    ck_assert_int_eq(huge_free(segment, word), HUGE_LOST); /* in the cache */
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
    core_setup();
    block = make(5 * MIB);
    segment = core_segment(block);
    word = segment->owner;
    ck_assert_int_eq(huge_free(segment, word), HUGE_OK);
    huge_purge(true, 0);
    ck_assert_int_eq(huge_free(segment, word), HUGE_LOST); /* given back */
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
    core_setup();
    block = make(5 * MIB);
    segment = core_segment(block);
    word = segment->owner;
    ck_assert_int_eq(huge_free(segment, word), HUGE_OK);
    ck_assert_ptr_eq(make(5 * MIB), block);
    void *resized = block;
    ck_assert_int_eq(huge_free(segment, word), HUGE_LOST); /* used anew: the generation tells */
    ck_assert_int_eq(huge_resize(segment, word, 6 * MIB, &resized), HUGE_LOST);
    expect_extent(block, 5 * MIB);
}
END_TEST

START_TEST(an_address_inside_is_no_block) {
    char *block = make(9 * MIB);
    core_expect_free_report(REPORT_INVALID_FREE, block + 16);
    core_expect_free_report(REPORT_INVALID_FREE, block + SEGMENT_SIZE);
    core_expect_free_report(REPORT_INVALID_FREE, block + 9 * MIB - 16);
    core_expect_free_report(REPORT_INVALID_FREE, block + 10 * MIB);
    expect_extent(block, 9 * MIB);
}
END_TEST

static struct segment *raced;
static uint64_t raced_word;
static unsigned wins;
static pthread_barrier_t gate;

static void *race_to_free(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 400; i++) {
        pthread_barrier_wait(&gate);
        if (huge_free(raced, raced_word) == HUGE_OK) __atomic_add_fetch(&wins, 1, __ATOMIC_RELAXED);
        pthread_barrier_wait(&gate);
    }
    return NULL;
}

START_TEST(of_frees_at_once_one_wins) {
    pthread_t threads[3];
    ck_assert_int_eq(pthread_barrier_init(&gate, NULL, 4), 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_to_free, NULL), 0);
    for (unsigned i = 1; i <= 400; i++) {
        char *block = make(LARGE_MAX + i * 3000);
        raced = core_segment(block);
        raced_word = raced->owner;
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
        ck_assert_uint_eq(wins, i);
    }
    for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->committed, 0);
    ck_assert_uint_eq(region_in_use(), 1);
}
END_TEST

static enum huge_result second_result;
static void free_it_too(void) { second_result = huge_free(raced, raced_word); }

/* At each point of a free or a resize another free of the same block comes: one of the two
   loses. */
START_TEST(a_free_at_any_point_of_another_one_loses) {
    for (unsigned resizing = 0; resizing < 2; resizing++)
        for (uint64_t step = 1;; step++) {
            core_setup();
            char *block = make(5 * MIB);
            void *resized = block;
            raced = core_segment(block);
            raced_word = raced->owner;
            core_interleave(step, free_it_too);
            enum huge_result first = resizing != 0
                                         ? huge_resize(raced, raced_word, 7 * MIB, &resized)
                                         : huge_free(raced, raced_word);
            bool ran = core_interleave_end();
            if (!ran) break;
            /* freed after the resize was done */
            bool lawful = resizing != 0 && first == HUGE_OK && step > 2;
            ck_assert_int_eq((first == HUGE_OK) + (second_result == HUGE_OK),
                             lawful && second_result == HUGE_OK ? 2 : 1);
            ck_assert_uint_lt(step, 1000);
        }
}
END_TEST

START_TEST(sizes_beyond_the_region_are_refused) {
    ck_assert_ptr_null(huge_alloc(ro.region_span, 1, false));
    ck_assert_ptr_null(huge_alloc(ro.region_span + 1, 1, false));
    ck_assert_ptr_null(huge_alloc(PTRDIFF_MAX, 1, false));
    ck_assert_ptr_null(huge_alloc((size_t)UINT32_MAX << SEGMENT_SHIFT, 1, false));
    check_all();
}
END_TEST

static void add_cache_tests(TCase *group) {
    tcase_add_test(group, a_freed_run_is_used_again);
    tcase_add_test(group, a_cached_run_is_made_to_fit);
    tcase_add_test(group, a_run_that_is_much_too_long_or_too_short_is_not_taken);
    tcase_add_test(group, the_best_fit_is_taken);
    tcase_add_test(group, an_aligned_block_never_comes_from_the_cache_unaligned);
    tcase_add_test(group, cached_runs_go_back_after_the_delay);
    tcase_add_test(group, a_block_is_served_by_the_cached_run_of_its_class);
    tcase_add_test(group, runs_that_are_due_go_back_one_by_one);
    tcase_add_test(group, the_cache_is_bounded);
    tcase_add_test(group, without_a_delay_nothing_is_cached);
    tcase_add_test(group, a_full_region_is_served_from_the_cache_given_back);
}

int main(void) {
    Suite *suite = suite_create("huge");
    TCase *group = tcase_create("huge");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_block_has_its_length_and_inaccessible_memory_around_it);
    tcase_add_test(group, neighbours_never_touch);
    tcase_add_test(group, every_alignment_up_to_a_gibibyte_is_kept);
    tcase_add_test(group, a_zeroed_block_is_zero_from_the_cache_too);
    add_cache_tests(group);
    tcase_add_test(group, a_block_grows_and_shrinks_within_its_run);
    tcase_add_test(group, a_block_that_shrinks_gives_its_segments_back);
    tcase_add_test(group, a_block_grows_into_free_segments_behind_it);
    tcase_add_test(group, a_block_that_cannot_grow_is_moved_without_a_copy);
    tcase_add_test(group, a_move_that_the_kernel_refuses_becomes_a_copy);
    tcase_add_test(group, what_lies_where_a_failed_move_went_is_left_alone);
    tcase_add_test(group, a_resize_that_fails_changes_nothing);
    tcase_add_test(group, a_growth_that_cannot_be_undone_is_given_to_nobody);
    tcase_add_test(group, a_huge_block_becomes_a_small_one_and_back);
    tcase_add_test(group, a_second_free_loses_in_every_state);
    tcase_add_test(group, an_address_inside_is_no_block);
    tcase_add_test(group, of_frees_at_once_one_wins);
    tcase_add_test(group, a_free_at_any_point_of_another_one_loses);
    tcase_add_test(group, sizes_beyond_the_region_are_refused);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
