/*
 * test_housekeeping: threads that only free look after unused memory too (heap_keep_house), and
 * wait for nobody while they do.
 */
#include "core.h"

static struct core_thread owner, other;

enum { CAPACITY = 16384 };
static void *blocks[CAPACITY];

static void setup(void) {
    core_start_ready("region=4G");
    owner = other = CORE_THREAD;
}

/* Frees all, the last `late` of them after the purge delay; nobody allocates. Returns the committed
   bytes that are left of `count` blocks. */
static size_t free_in_two_parts(struct core_thread *thread, size_t count, size_t late) {
    core_be(thread);
    for (size_t i = 0; i < count; i++) {
        if (i == count - late) harness_clock_advance(ro.options.purge_delay_ms * 2);
        alloc_free(blocks[i]);
    }
    return harness_committed_bytes();
}

static void allocate(size_t size, size_t count) {
    for (size_t i = 0; i < count; i++) blocks[i] = core_alloc(&owner, size);
}

START_TEST(a_thread_that_only_frees_its_own_gives_back) {
    allocate(200 * KIB, 400);
    size_t peak = harness_committed_bytes();
    size_t left = free_in_two_parts(&owner, 400, 100);
    ck_assert_uint_le(left, peak - 150 * 200 * KIB);
    check_all();
}
END_TEST

/* With a heap and without one; what it frees belongs to nobody any more. */
START_TEST(a_thread_that_only_frees_what_ended_threads_left_gives_back) {
    for (unsigned with_heap = 0; with_heap < 2; with_heap++) {
        setup();
        allocate(20 * KIB, 4000);
        size_t peak = harness_committed_bytes();
        core_end(&owner);
        if (with_heap) core_begin(&other);
        size_t left = free_in_two_parts(&other, 4000, 2000);
        ck_assert_uint_le(left, peak - 1900 * 20 * KIB);
        check_all();
        core_stop();
    }
    setup();
}
END_TEST

/* Freed huge blocks wait in a cache; frees of blocks that need no heap are activity too. */
START_TEST(the_cache_of_huge_blocks_is_emptied_by_frees) {
    static void *empty[2000];
    for (unsigned with_heap = 0; with_heap < 2; with_heap++) {
        setup();
        for (size_t i = 0; i < 2000; i++) empty[i] = core_alloc(&owner, 0);
        void *huge = core_alloc(&owner, 20 * MIB);
        struct core_thread *thread = with_heap ? &owner : &other;
        core_be(thread);
        alloc_free(huge);
        size_t peak = harness_committed_bytes();
        harness_clock_advance(ro.options.purge_delay_ms * 2);
        for (size_t i = 0; i < 2000; i++) alloc_free(empty[i]);
        ck_assert_uint_le(harness_committed_bytes(), peak - 20 * MIB);
        check_all();
        core_stop();
    }
    setup();
}
END_TEST

/* --- Locks that somebody has ------------------------------------------------------------------ */

static void free_everything(enum lock_rank held) {
    allocate(200 * KIB, 400);
    void *huge = core_alloc(&owner, 20 * MIB);
    alloc_free(huge);
    locks_acquire(held);
    free_in_two_parts(&owner, 400, 100); /* hangs if it waits */
    locks_release(held);
}

START_TEST(who_frees_waits_for_no_lock) {
    static const enum lock_rank held[] = {LOCK_REGION, LOCK_LATE_HEAP, LOCK_POOL, LOCK_HUGE_CACHE,
                                          LOCK_ZERO_SIZE};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        setup();
        free_everything(held[i]);
        check_all();
        core_stop();
    }
    setup();
}
END_TEST

START_TEST(segments_given_while_another_has_the_lock_are_found) {
    free_everything(LOCK_REGION);
    uint32_t index, extent = ro.region->extent, free = extent - region_in_use();
    ck_assert_uint_gt(free, 8);
    /* as a search has left it that found none before they were given */
    for (unsigned i = 0; i < RUN_LENGTHS; i++) ro.region->none_below[i] = extent;
    for (uint32_t i = 0; i < free; i++) ck_assert(region_take(1, 1, &index));
    ck_assert_uint_eq(ro.region->extent, extent);
    ck_assert_uint_eq(region_in_use(), extent);
}
END_TEST

static uint32_t given_index;
static void give_again(void *unused) {
    (void)unused;
    region_give(given_index, 1);
}

START_TEST(a_segment_given_twice_is_reported_whoever_has_the_lock) {
    uint32_t index;
    core_begin(&owner);
    ck_assert(region_take(1, 1, &index));
    given_index = index;
    locks_acquire(LOCK_REGION);
    region_give(index, 1);
    core_expect_report(REPORT_CORRUPT_METADATA, give_again, NULL);
    core_start_ready("region=4G");
}
END_TEST

/* What was kept because it was wanted again: a free is not to leave all of it at once. */
START_TEST(empty_segments_are_left_a_few_at_a_time) {
    enum { AT_ONCE = 8 };
    core_start_ready("region=4G:purge_delay=100000");
    owner = other = CORE_THREAD;
    struct heap *heap = core_begin(&owner);
    allocate(1 * MIB, 120);
    heap->keeping.needed_at = heap->keeping.window_at = heap->now;
    heap->keeping.most = heap->keeping.most_before = 1u << 20;
    for (size_t i = 0; i < 120; i++) alloc_free(blocks[i]);
    ck_assert_uint_ge(heap->segments, 30);
    heap->keeping.needed_at = 0;
    core_give(&owner, core_alloc(&owner, 300 * KIB)); /* a page begins and ends */
    while (heap->segments > 2) {
        uint32_t before = heap->segments;
        heap_enter(heap);
        heap_shed_empty(heap);
        heap_leave(heap);
        ck_assert_uint_le(before - heap->segments, AT_ONCE);
        ck_assert_uint_lt(heap->segments, before);
    }
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("housekeeping");
    TCase *group = tcase_create("housekeeping");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_thread_that_only_frees_its_own_gives_back);
    tcase_add_test(group, empty_segments_are_left_a_few_at_a_time);
    tcase_add_test(group, a_thread_that_only_frees_what_ended_threads_left_gives_back);
    tcase_add_test(group, the_cache_of_huge_blocks_is_emptied_by_frees);
    tcase_add_test(group, who_frees_waits_for_no_lock);
    tcase_add_test(group, segments_given_while_another_has_the_lock_are_found);
    tcase_add_test(group, a_segment_given_twice_is_reported_whoever_has_the_lock);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
