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

/* Blocks of ten segments are made, and all freed. */
#define ROUND 2000
static void go_up(void) {
    for (size_t i = 0; i < ROUND; i++) blocks[i] = core_alloc(&owner, 20000);
    for (unsigned i = 0; i < 3; i++) { /* a walk comes by */
        harness_clock_advance(ro.options.purge_delay_ms);
        be_active(&owner);
    }
}
static void be_active_for(struct core_thread *thread, unsigned milliseconds) {
    for (unsigned i = 0; i < milliseconds; i += 10) {
        harness_clock_advance(10);
        be_active(thread);
    }
}
static void go_down(unsigned milliseconds) {
    for (size_t i = 0; i < ROUND; i++) core_give(&owner, blocks[i]);
    be_active_for(&owner, milliseconds);
}

/* A program that goes up and down keeps its memory, once what went back was wanted again: until it
   has not gone up for a quarter of a second. */
START_TEST(who_wants_again_what_went_back_keeps_it) {
    be_active(&owner);
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    go_up();
    size_t peak = harness_committed_bytes();
    go_down(100);
    ck_assert_uint_le(harness_committed_bytes(), baseline + 3 * SEGMENT_SIZE);
    for (unsigned i = 0; i < 4; i++) {
        go_up();
        ck_assert_uint_le(harness_committed_bytes(), peak + 2 * SEGMENT_SIZE);
        go_down(100);
        ck_assert_uint_ge(harness_committed_bytes(), peak - 3 * SEGMENT_SIZE);
        check_all();
    }
    go_up();
    go_down(600);
    ck_assert_uint_le(harness_committed_bytes(), baseline + 3 * SEGMENT_SIZE);
    check_all();
}
END_TEST

/* Small blocks and large ones by turns: a segment does not change its kind, which would give its
   memory back, where it is wanted again. */
START_TEST(who_goes_up_and_down_with_blocks_of_two_kinds_keeps_them_apart) {
    enum { SMALL = 8000, SMALLS = 5000, LARGE = 500 * KIB, LARGES = 2 };
    void *large[LARGES];
    uint64_t calls = 0;
    for (unsigned round = 0; round < 6; round++) {
        if (round == 3) calls = harness_call_count(OS_PURGE);
        for (size_t i = 0; i < SMALLS; i++) blocks[i] = core_alloc(&owner, SMALL);
        for (size_t i = 0; i < SMALLS; i++) core_give(&owner, blocks[i]);
        for (size_t i = 0; i < LARGES; i++) large[i] = core_alloc(&owner, LARGE);
        for (size_t i = 0; i < LARGES; i++) core_give(&owner, large[i]);
        harness_clock_advance(1);
        be_active(&owner);
        check_all();
    }
    ck_assert_uint_eq(harness_call_count(OS_PURGE), calls);
    alloc_collect(true);
    ck_assert_uint_gt(harness_call_count(OS_PURGE), calls);
    check_all();
}
END_TEST

/* What a large page does not use of what another left goes back after the delay. */
START_TEST(what_a_page_in_use_does_not_use_goes_back_after_the_delay) {
    for (unsigned abandoned = 0; abandoned < 2; abandoned++) {
        struct core_thread *thread = abandoned ? &other : &owner;
        core_give(thread, core_alloc(thread, MIB));
        void *block = core_alloc(thread, 100 * KIB);
        const struct segment *segment = core_segment(block);
        ck_assert_uint_gt(segment_surplus(segment), MIB / 2);
        if (abandoned) core_end(thread);
        for (unsigned i = 0; i < 4; i++) {
            be_active(&owner);
            harness_clock_advance(ro.options.purge_delay_ms);
        }
        ck_assert_uint_eq(segment_surplus(segment), 0);
        core_give(&owner, block);
        check_all();
    }
}
END_TEST

/* By force all of it goes back at once. */
START_TEST(what_is_kept_goes_back_when_it_is_asked_for) {
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    for (unsigned i = 0; i < 3; i++) {
        go_up();
        go_down(100);
    }
    size_t kept = harness_committed_bytes();
    ck_assert_uint_ge(kept, baseline + 6 * SEGMENT_SIZE);
    alloc_collect(true);
    ck_assert_uint_le(harness_committed_bytes(), baseline + 3 * SEGMENT_SIZE);
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

/* A thread makes blocks of ten segments, frees all and ends. Returns what was accessible. */
static size_t live_and_end(void) {
    struct core_thread maker = CORE_THREAD;
    for (size_t i = 0; i < ROUND; i++) blocks[i] = core_alloc(&maker, 20000);
    size_t peak = harness_committed_bytes();
    for (size_t i = 0; i < ROUND; i++) core_give(&maker, blocks[i]);
    core_end(&maker);
    return peak;
}

/* Likewise where threads follow each other, and each wants what the one before it left. */
START_TEST(what_ended_threads_left_is_kept_where_it_is_wanted_again) {
    be_active(&owner);
    void *held = core_alloc(&owner, MIB); /* by whom walks come by */
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    size_t peak = live_and_end();
    be_active_for(&owner, 100);
    ck_assert_uint_le(harness_committed_bytes(), baseline + 3 * SEGMENT_SIZE);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_le(live_and_end(), peak + 2 * SEGMENT_SIZE);
        be_active_for(&owner, 100);
        ck_assert_uint_ge(harness_committed_bytes(), peak - 3 * SEGMENT_SIZE);
        check_all();
    }
    be_active_for(&owner, 600);
    ck_assert_uint_le(harness_committed_bytes(), baseline + 3 * SEGMENT_SIZE);
    ck_assert_uint_eq(ro.usage->used, core_heap(&owner)->told);
    core_give(&owner, held);
    check_all();
}
END_TEST

/* Where all threads end no walk comes by any more: each leaves a segment, as ever. And who has
   slept keeps nothing by what was so before. */
START_TEST(where_all_threads_end_nothing_is_kept) {
    enum { THREADS = 4, EACH = BLOCKS / THREADS };
    struct core_thread threads[THREADS];
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned t = 0; t < THREADS; t++) {
            threads[t] = CORE_THREAD;
            for (size_t i = 0; i < EACH; i++) blocks[t * EACH + i] = core_alloc(&threads[t], 20000);
        }
        harness_clock_advance(ro.options.purge_delay_ms);
        for (unsigned t = 0; t < THREADS; t++)
            for (size_t i = 0; i < EACH; i++) core_give(&threads[t], blocks[t * EACH + i]);
        if (round == 2) harness_clock_advance(30000);
        for (unsigned t = 0; t < THREADS; t++) core_end(&threads[t]);
        ck_assert_int_ge(ro.usage->left, 0);
        check_all();
    }
    ck_assert_uint_le(harness_committed_bytes(), baseline + (THREADS + 2) * SEGMENT_SIZE);
    alloc_collect(true);
    ck_assert_int_eq(ro.usage->left, 0);
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

/* The walks of one thread, over some time. */
static void let_time_pass(struct core_thread *thread) {
    core_begin(thread);
    for (unsigned i = 0; i < 40; i++) {
        harness_clock_advance(ro.options.purge_delay_ms);
        for (unsigned n = 0; n < 50; n++) alloc_free(alloc_block(5000));
    }
}

/* Its thread has handed all it had to others, and sleeps. */
START_TEST(what_others_freed_in_the_heap_of_a_sleeping_thread_goes_back) {
    static const size_t sizes[] = {100, 2000, 20 * KIB, 200 * KIB};
    for (size_t k = 0; k < 4; k++) {
        core_start_ready("region=1G");
        owner = other = CORE_THREAD;
        size_t count = 12 * MIB / sizes[k] < BLOCKS ? 12 * MIB / sizes[k] : BLOCKS;
        for (size_t i = 0; i < count; i++) blocks[i] = core_alloc(&other, sizes[k]);
        core_begin(&owner);
        for (size_t i = 0; i < count; i++) alloc_free(blocks[i]);
        uint64_t purges = harness_call_count(OS_PURGE);
        let_time_pass(&owner);
        ck_assert_uint_gt(harness_call_count(OS_PURGE), purges);
        /* what is left: the page its fast path allocates from */
        size_t left = 0;
        for (size_t i = 0; i < count; i++) left += core_is_live(blocks[i]);
        ck_assert_uint_le(left, sizes[k] <= DIRECT_MAX ? SLOT_SIZE / sizes[k] : 0);
        for (size_t i = 0; i < count; i += 97)
            core_expect_free_report(REPORT_DOUBLE_FREE, blocks[i]);
        core_check_as(&other);
        core_alloc(&other, sizes[k]);
        ck_assert_uint_eq(core_heap(&other)->visit, VISIT_NONE);
        core_check_as(&other);
        core_stop();
    }
    setup();
}
END_TEST

/* Blocks that are not freed yet, or that the thread has freed itself, keep their page; so does the
   page that its fast path takes blocks from. */
START_TEST(a_visitor_ends_no_page_that_its_thread_may_touch) {
    core_start_ready("region=1G");
    owner = other = CORE_THREAD;
    size_t count = core_fill_page(&other, 2000, blocks, BLOCKS);
    size_t more = core_fill_page(&other, 2000, blocks + count, BLOCKS - count);
    core_alloc(&other, 2000); /* two pages are full, a third serves */
    core_begin(&owner);
    for (size_t i = 1; i < count; i++) alloc_free(blocks[i]); /* all but one */
    let_time_pass(&owner);
    ck_assert(core_is_live(blocks[1]) && core_is_claimed(blocks[1]));
    core_give(&other, blocks[count]); /* one by its thread, the others here */
    core_be(&owner);
    for (size_t i = count + 1; i < count + more; i++) alloc_free(blocks[i]);
    let_time_pass(&owner);
    ck_assert(!core_is_live(blocks[count + 1]) && !core_is_claimed(blocks[count + 1]));
    ck_assert(core_is_live(blocks[0]));
    core_give(&other, blocks[0]);
    core_check_as(&other);
    check_all();
    core_stop();
    setup();
}
END_TEST

/* What only generic paths touch goes back at once, whoever asks, if the thread has slept; what a
   fast path may come by waits for its thread: here the page it allocates from, which it has
   emptied. */
START_TEST(a_trim_reaches_another_heap_and_the_rest_of_it_at_its_threads_next_generic_call) {
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = core_alloc(&other, 2000);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 1024 != 0) core_give(&other, blocks[i]);
    core_begin(&owner);
    uint64_t purges = harness_call_count(OS_PURGE);
    alloc_trim(); /* announces itself */
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    harness_clock_advance(ro.options.purge_delay_ms);
    alloc_trim();
    ck_assert_uint_ge(harness_call_count(OS_PURGE), purges + 4);
    uint32_t trims = ro.pool->trims;
    core_check_as(&other);
    core_be(&owner);
    ck_assert_ptr_null(alloc_block(PTRDIFF_MAX)); /* what can never be had disturbs nobody */
    ck_assert_uint_eq(ro.pool->trims, trims);
    check_all();
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
    tcase_add_test(group, who_wants_again_what_went_back_keeps_it);
    tcase_add_test(group, who_goes_up_and_down_with_blocks_of_two_kinds_keeps_them_apart);
    tcase_add_test(group, what_a_page_in_use_does_not_use_goes_back_after_the_delay);
    tcase_add_test(group, what_is_kept_goes_back_when_it_is_asked_for);
    tcase_add_test(group, abandoned_memory_goes_back_after_the_delay);
    tcase_add_test(group, what_ended_threads_left_is_kept_where_it_is_wanted_again);
    tcase_add_test(group, where_all_threads_end_nothing_is_kept);
    tcase_add_test(group, a_trim_gives_everything_unused_back_at_once);
    tcase_add_test(group, what_others_freed_in_the_heap_of_a_sleeping_thread_goes_back);
    tcase_add_test(group, a_visitor_ends_no_page_that_its_thread_may_touch);
    tcase_add_test(group,
                   a_trim_reaches_another_heap_and_the_rest_of_it_at_its_threads_next_generic_call);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
