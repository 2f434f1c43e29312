/*
 * test_heap_purge: memory that nobody uses goes back (src/heap/heap_purge.c): after the delay, in
 * short steps, and at once when it is asked for.
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

#define BLOCKS 8192
static void *blocks[BLOCKS];

/* Something for the generic path to do, so that it looks at the clock. */
static void be_active(struct core_thread *thread) {
    for (unsigned i = 0; i < 400; i++) core_give(thread, core_alloc(thread, 1100 + 16 * (i % 64)));
}

START_TEST(unused_memory_goes_back_after_the_delay) {
    be_active(&owner);
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    for (size_t i = 0; i < 400; i++) blocks[i] = core_alloc(&owner, 100 * KIB);
    ck_assert_uint_ge(harness_committed_bytes(), baseline + 400 * 100 * KIB);
    for (size_t i = 0; i < 400; i++) core_give(&owner, blocks[i]);
    be_active(&owner);
    ck_assert_uint_ge(harness_committed_bytes(), baseline + 300 * 100 * KIB); /* not before */
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(ro.options.purge_delay_ms);
        be_active(&owner);
    }
    /* what be_active() itself uses */
    ck_assert_uint_le(harness_committed_bytes(), baseline + 2 * SEGMENT_SIZE);
    alloc_collect(true);
    ck_assert_uint_le(harness_committed_bytes(),
                      baseline + ro.region->extent *
                                     (PAGE_TABLE_BYTES_PER_SEGMENT + MAP_TABLE_BYTES_PER_SEGMENT) *
                                     2);
    check_all();
}
END_TEST

/* However many segments a heap has, one call looks at sixteen of them; the walk comes to its end,
   and gives everything back, also when the segment before which it stands leaves the heap
   meanwhile. */
START_TEST(a_step_of_the_purge_walk_looks_at_few_segments) {
    enum { SEGMENTS = 1280, STEP = 16, EACH = 4 };
    core_start_ready("region=8G");
    struct heap *heap = core_begin(&owner);
    size_t count = 0;
    while (heap->segments < SEGMENTS) blocks[count++] = core_alloc(&owner, MIB);
    ck_assert_uint_le(count, SEGMENTS * EACH);
    heap_enter(heap);
    unsigned steps = 0;
    do {
        heap_purge(heap, false);
        steps++;
    } while (heap->purge_list != PURGE_IDLE);
    ck_assert_uint_ge(steps, SEGMENTS / STEP);
    heap_purge(heap, false); /* the next walk begins, and stands before a segment, */
    uint32_t next = heap->purge_segment;
    ck_assert_uint_ne(next, 0);
    heap_leave(heap);
    for (size_t i = 0; i < count; i++)
        if (segment_index(core_segment(blocks[i])) == next) {
            core_give(&owner, blocks[i]);
            blocks[i] = NULL;
        }
    heap_enter(heap);
    struct segment *leaving = segment_at(next);
    heap_list_remove(heap, leaving); /* which leaves */
    ck_assert_uint_ne(heap->purge_segment, next);
    heap_list_add(heap, leaving);
    while (heap->purge_list != PURGE_IDLE) heap_purge(heap, false);
    heap_leave(heap);
    for (size_t i = 0; i < count; i++)
        if (blocks[i] != NULL) core_give(&owner, blocks[i]);
    check_all();
    alloc_collect(true);
    ck_assert_uint_eq(core_stats().segments, 0);
}
END_TEST

static unsigned dirty_segments(const struct heap *heap) {
    unsigned count = 0;
    for (unsigned list = 0; list < 64; list++)
        for (uint32_t index = heap->lists[list].first; index != 0;
             index = segment_at(index)->in_heap.next)
            count += segment_at(index)->dirty != 0;
    return count;
}

/* A call that gives memory back does so for two segments; the next ones go on, each of them, until
   there is no more. */
START_TEST(what_is_due_goes_back_in_short_steps_that_follow_at_each_call) {
    enum { SEGMENTS = 120, SIZE = 64 * KIB, STEP = 2 };
    core_start_ready("region=8G");
    struct heap *heap = core_begin(&owner);
    size_t count = 0;
    while (heap->segments <= SEGMENTS) blocks[count++] = core_alloc(&owner, SIZE);
    const struct segment *kept = NULL;
    for (size_t i = 0; i < count; i++) {
        if (core_segment(blocks[i]) != kept)
            kept = core_segment(blocks[i]);
        else
            core_give(&owner, blocks[i]);
    }
    unsigned dirty = dirty_segments(heap), calls = 0;
    ck_assert_uint_ge(dirty, SEGMENTS - 1);
    harness_clock_advance(2 * ro.options.purge_delay_ms);
    heap_enter(heap);
    for (unsigned before = dirty; before != 0 && calls < 1000; calls++) {
        heap_tick(heap);
        unsigned after = dirty_segments(heap);
        ck_assert_uint_le(before - after, STEP);
        before = after;
    }
    heap_leave(heap);
    /* some find nothing: at the walk's beginning, or in short lists */
    ck_assert_uint_le(calls, dirty / STEP + 64);
    check_all();
}
END_TEST

START_TEST(abandoned_memory_goes_back_after_the_delay) {
    core_begin(&other);
    for (size_t i = 0; i < 200; i++) blocks[i] = core_alloc(&owner, 100 * KIB);
    core_end(&owner);
    ck_assert_uint_ge(core_stats().abandoned, 5);
    core_be(&owner);
    for (size_t i = 0; i < 200; i++)
        if (i % 40 != 0)
            remote_free(core_segment(blocks[i]), core_kind_of(blocks[i]), (uintptr_t)blocks[i]);
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(ro.options.purge_delay_ms);
        be_active(&other);
    }
    ck_assert_uint_le(core_stats().segments, 8);
    for (size_t i = 0; i < 200; i += 40) core_give(&other, blocks[i]);
    alloc_collect(true);
    ck_assert_uint_eq(core_stats().segments, 0);
    check_all();
}
END_TEST

START_TEST(a_trim_gives_everything_unused_back_at_once) {
    for (size_t i = 0; i < 300; i++) blocks[i] = core_alloc(&owner, 1 + i * 1000);
    for (size_t i = 0; i < 300; i++) core_give(&owner, blocks[i]);
    core_alloc(&other, 100);
    core_end(&other);
    core_be(&owner);
    ck_assert(alloc_collect(true));
    ck_assert_uint_eq(core_stats().segments, 1); /* the other thread's, with its block */
    ck_assert_uint_eq(ro.region->committed, SEGMENT_SIZE);
    check_all();
}
END_TEST

START_TEST(a_trim_reaches_another_heap_at_its_threads_next_generic_call) {
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = core_alloc(&other, 2000);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 1024 != 0) core_give(&other, blocks[i]);
    core_begin(&owner);
    uint64_t purges = harness_call_count(OS_PURGE);
    alloc_trim();
    /* nobody but its thread touches its pages */
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    core_alloc(&other, 30000); /* no time has passed: nothing else is due */
    ck_assert_uint_ge(harness_call_count(OS_PURGE), purges + 4);
    purges = harness_call_count(OS_PURGE);
    core_give(&other, blocks[0]);
    core_alloc(&other, 40000); /* asked once, answered once */
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    uint32_t trims = ro.pool->trims;
    core_be(&owner);
    ck_assert_ptr_null(alloc_block(PTRDIFF_MAX)); /* what can never be had disturbs nobody */
    ck_assert_uint_eq(ro.pool->trims, trims);
    core_check_as(&other);
    core_check_as(&owner);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("heap_purge");
    TCase *group = tcase_create("heap_purge");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, unused_memory_goes_back_after_the_delay);
    tcase_add_test(group, a_step_of_the_purge_walk_looks_at_few_segments);
    tcase_add_test(group, what_is_due_goes_back_in_short_steps_that_follow_at_each_call);
    tcase_add_test(group, abandoned_memory_goes_back_after_the_delay);
    tcase_add_test(group, a_trim_gives_everything_unused_back_at_once);
    tcase_add_test(group, a_trim_reaches_another_heap_at_its_threads_next_generic_call);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
