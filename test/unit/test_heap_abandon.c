/*
 * test_heap_abandon: segments that threads leave behind, and who takes them over
 * (src/heap/heap_abandon.c).
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

#define BLOCKS 8192
static void *blocks[BLOCKS];

/* --- Abandoned and adopted ------------------------------------------------------------------- */

/* Something for the generic path to do, so that it looks at the clock. */
static void be_active(struct core_thread *thread) {
    for (unsigned i = 0; i < 400; i++) core_give(thread, core_alloc(thread, 1100 + 16 * (i % 64)));
}

/* A thread that ends with these blocks in use; returns how many. */
static size_t leave_blocks(struct core_thread *thread, size_t size, size_t count) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = core_alloc(thread, size);
        memset(blocks[i], (int)i, size);
    }
    core_end(thread);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_ne(core_segment(blocks[i])->owner & OWNER_ABANDONED, 0);
    return count;
}

static void expect_contents(size_t size, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < size; at++)
            core_require(((unsigned char *)blocks[i])[at] == (unsigned char)i);
}

START_TEST(what_an_ended_thread_left_is_adopted_by_who_needs_memory) {
    static const size_t sizes[] = {48, 8 * KIB, 40 * KIB, 500 * KIB};
    for (size_t i = 0; i < 4; i++) {
        setup();
        size_t count = leave_blocks(&owner, sizes[i], 5);
        size_t segments = core_stats().segments;
        ck_assert_uint_ge(core_stats().abandoned, 1);
        core_check_as(&other);
        for (unsigned k = 0; k < 10 && core_stats().abandoned > 0; k++)
            core_alloc(&other, sizes[i]);
        ck_assert_uint_eq(core_stats().abandoned, 0);
        if (sizes[i] < 100 * KIB) ck_assert_uint_eq(core_stats().segments, segments);
        expect_contents(sizes[i], count);
        for (size_t k = 0; k < count; k++) {
            ck_assert_ptr_eq(owner_heap(core_segment(blocks[k])->owner), &core_heap(&other)->owner);
            core_give(&other, blocks[k]);
            ck_assert(!core_is_live(blocks[k])); /* a local free */
        }
        check_all();
    }
}
END_TEST

/* However many: a thread takes segments over when it needs memory, and this one does not. */
START_TEST(frees_leave_an_abandoned_segment_to_who_needs_memory) {
    static const size_t sizes[] = {200, 20 * KIB, 200 * KIB};
    for (size_t k = 0; k < 3; k++) {
        setup();
        size_t count = leave_blocks(&owner, sizes[k], 19);
        core_begin(&other)->frees_to_look = (int32_t)count; /* no walk comes by */
        for (size_t i = 0; i < count - 1; i++) {
            core_give(&other, blocks[i]);
            ck_assert(core_is_live(blocks[i]) && core_is_claimed(blocks[i]));
            core_expect_free_report(REPORT_DOUBLE_FREE, blocks[i]);
        }
        ck_assert_uint_eq(core_stats().abandoned, 1);
        struct core_thread needy = CORE_THREAD;
        core_alloc(&needy, sizes[k]);
        ck_assert_uint_eq(core_stats().abandoned, 0);
        ck_assert_ptr_eq(owner_heap(core_segment(blocks[0])->owner), &core_heap(&needy)->owner);
        ck_assert(!core_is_live(blocks[0]) || core_is_live(blocks[count - 1]));
        check_all();
    }
}
END_TEST

/* Else a few threads would gather everything that ended ones have left, and new threads would find
   nothing to allocate from. */
START_TEST(frees_here_and_there_leave_abandoned_segments_to_others) {
    struct core_thread makers[2] = {CORE_THREAD, CORE_THREAD};
    enum { EACH = 64 };
    for (size_t i = 0; i < 2 * EACH; i++) blocks[i] = core_alloc(&makers[i % 2], 200);
    core_end(&makers[0]);
    core_end(&makers[1]);
    ck_assert_uint_eq(core_stats().abandoned, 2);
    core_begin(&other);
    for (size_t i = 0; i < 2 * EACH - 2; i++) {
        core_give(&other, blocks[i]);
        ck_assert(core_is_live(blocks[i]) && core_is_claimed(blocks[i]));
        core_expect_free_report(REPORT_DOUBLE_FREE, blocks[i]);
    }
    ck_assert_uint_eq(core_stats().abandoned, 2);
    core_give(&other, blocks[2 * EACH - 2]);
    core_give(&other, blocks[2 * EACH - 1]);
    ck_assert_uint_eq(core_stats().abandoned, 2); /* empty, for whoever needs one, */
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(ro.options.purge_delay_ms);
        be_active(&other);
    }
    ck_assert_uint_eq(core_stats().used_blocks, 0); /* and they go back after the delay */
    ck_assert_uint_eq(core_stats().abandoned, 0);
    check_all();
}
END_TEST

START_TEST(only_segments_of_the_kind_that_is_needed_are_adopted) {
    struct core_thread makers[4] = {CORE_THREAD, CORE_THREAD, CORE_THREAD, CORE_THREAD};
    for (size_t i = 0; i < 4; i++) blocks[i] = core_alloc(&makers[i], i == 3 ? 20 * KIB : 100);
    for (size_t i = 0; i < 4; i++) core_end(&makers[i]);
    ck_assert_uint_eq(core_stats().abandoned, 4);
    core_alloc(&other, 20 * KIB);
    ck_assert_ptr_eq(owner_heap(core_segment(blocks[3])->owner), &core_heap(&other)->owner);
    ck_assert_uint_eq(core_stats().abandoned, 3);
    core_alloc(&other, 300 * KIB); /* there is none of large blocks */
    ck_assert_uint_eq(core_stats().abandoned, 3);
    ck_assert_uint_eq(core_stats().segments, 5);
    core_alloc(&other, 100);
    ck_assert_uint_eq(core_stats().abandoned, 2);
    check_all();
}
END_TEST

/* What has no pages serves any kind. */
/* A thread for each request, of which one block stays: with forty segments left before that have no
   room for it, and four that have room for another size alone. */
START_TEST(segments_without_room_do_not_hide_the_one_with_room) {
    enum { FULL = 40, SIZE = 500 * KIB };
    for (unsigned i = 0; i < FULL; i++) {
        struct core_thread maker = CORE_THREAD;
        void *block;
        do block = core_alloc(&maker, i % 10 != 0 ? SIZE : SIZE / 2);
        while (i % 10 != 0 ? page_has_room(core_page(block)) : false);
        core_end(&maker);
    }
    size_t before = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct core_thread request = CORE_THREAD;
        void *block = core_alloc(&request, SIZE);
        core_give(&request, core_alloc(&request, SIZE));
        core_end(&request);
        core_begin(&other);
        alloc_free(block);
        if (i == 2) before = core_stats().segments;
    }
    ck_assert_uint_le(core_stats().segments, before);
    core_check_as(&other);
}
END_TEST

static void free_the_first(void) {
    core_begin(&other);
    alloc_free(blocks[0]);
    core_be(&owner);
}

/* At each point of a thread's end another frees a block of a segment that is left without room: who
   needs room finds it. */
START_TEST(a_free_at_any_point_of_a_threads_end_leaves_room_that_is_found) {
    for (uint64_t step = 1;; step++) {
        setup();
        size_t count = 0;
        core_begin(&other);
        do blocks[count++] = core_alloc(&owner, 500 * KIB);
        while (page_has_room(core_page(blocks[0])));
        core_interleave(step, free_the_first);
        core_end(&owner);
        bool ran = core_interleave_end();
        core_begin(&other);
        if (!ran) alloc_free(blocks[0]);
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        ck_assert_ptr_eq(core_alloc(&other, 500 * KIB), blocks[0]);
        ck_assert_uint_eq(core_stats().segments, 1);
        if (!ran) break;
        ck_assert_uint_lt(step, 5000);
    }
}
END_TEST

START_TEST(an_abandoned_segment_without_pages_is_adopted_for_any_kind) {
    struct core_thread maker = CORE_THREAD;
    core_begin(&maker);
    for (size_t i = 0; i < 40; i++) blocks[i] = core_alloc(&maker, MIB);
    /* all but one of the empty ones are left to others */
    for (size_t i = 0; i < 40; i++) core_give(&maker, blocks[i]);
    size_t segments = core_stats().segments;
    ck_assert_uint_ge(core_stats().abandoned, 2);
    core_alloc(&other, 100);
    core_alloc(&other, 20 * KIB);
    ck_assert_uint_eq(core_stats().segments, segments);
    check_all();
}
END_TEST

START_TEST(claims_that_came_before_the_end_are_taken_in) {
    for (size_t i = 0; i < 20; i++) blocks[i] = core_alloc(&owner, 200);
    core_begin(&other);
    for (size_t i = 0; i < 10; i++) core_give(&other, blocks[i]);
    core_end(&owner);
    for (size_t i = 0; i < 20; i++) ck_assert_int_eq(core_is_live(blocks[i]), i >= 10);
    ck_assert_int_eq(page_used(core_page(blocks[0])), 10);
    ck_assert_int_eq(core_segment(blocks[0])->remaining, 10);
    core_check_as(&other);
}
END_TEST

START_TEST(what_an_ended_thread_left_empty_is_used_first_and_goes_back_after_the_delay) {
    for (size_t i = 0; i < 40; i++) blocks[i] = core_alloc(&owner, MIB);
    size_t segments = core_stats().segments;
    ck_assert_uint_ge(segments, 10);
    for (size_t i = 0; i < 40; i++) core_give(&owner, blocks[i]);
    core_end(&owner);
    ck_assert_uint_le(core_stats().segments, segments);
    ck_assert_uint_eq(core_stats().abandoned, core_stats().segments);
    size_t left = core_stats().segments;
    core_alloc(&other, 100);
    ck_assert_uint_le(core_stats().segments, left > 0 ? left : 1);
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(ro.options.purge_delay_ms);
        be_active(&other);
    }
    ck_assert_uint_le(core_stats().segments, 2);
    check_all();
}
END_TEST

/* A thread that only frees must not grow the process: who frees the last block gives the segment
   back. */
START_TEST(the_last_free_gives_an_abandoned_segment_back) {
    for (unsigned round = 0; round < 50; round++) {
        struct core_thread maker = CORE_THREAD;
        size_t count = leave_blocks(&maker, 3000, 30);
        core_be(&other); /* has never allocated */
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_eq(core_stats().segments, 1);
            core_give(&other, blocks[i]);
        }
        ck_assert_uint_eq(other.word, THREAD_NEW);
        ck_assert_uint_eq(core_stats().segments, 0);
        ck_assert_uint_eq(ro.region->committed, 0);
    }
}
END_TEST

START_TEST(who_may_not_sweep_leaves_it_to_the_next) {
    size_t count = leave_blocks(&owner, 3000, 30);
    core_be(&other);
    ro.locks[LOCK_LATE_HEAP].word = 1; /* somebody is in the late heap */
    for (size_t i = 0; i < count; i++) core_give(&other, blocks[i]);
    ck_assert_uint_eq(core_stats().segments, 1);
    ro.locks[LOCK_LATE_HEAP].word = 0;
    core_alloc(&other, 3000);
    ck_assert_uint_eq(core_stats().segments, 1); /* found and used */
    check_all();
}
END_TEST

static void *free_half(void *parity) {
    for (size_t i = (size_t)(uintptr_t)parity; i < 600; i += 2) alloc_free(blocks[i]);
    return NULL;
}
static void *adopt_all(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 200; i++) core_require(alloc_block(2500) != NULL);
    return NULL;
}

/* Two threads that free and one that looks for memory reach for the same abandoned segments at
   once. */
START_TEST(claims_by_free_and_by_bitmap_at_once_have_one_winner) {
    for (unsigned round = 0; round < 30; round++) {
        setup();
        pthread_t threads[3];
        struct core_thread maker = CORE_THREAD;
        for (size_t i = 0; i < 600; i++)
            blocks[i] = core_alloc(&maker, i % 2 != 0 ? 2500 : 20 * KIB);
        core_end(&maker);
        core_be(NULL);
        ck_assert_int_eq(pthread_create(&threads[0], NULL, free_half, (void *)0), 0);
        ck_assert_int_eq(pthread_create(&threads[1], NULL, adopt_all, NULL), 0);
        ck_assert_int_eq(pthread_create(&threads[2], NULL, free_half, (void *)1), 0);
        for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        check_all();
        alloc_collect(true);
        ck_assert_uint_eq(core_stats().used_blocks, 200);
        check_all();
    }
}
END_TEST

static void *free_the_block(void *unused) {
    (void)unused;
    core_be(&other);
    alloc_free(blocks[3]);
    return NULL;
}
static struct core_thread third;
static void take_over(void) {
    core_alloc(&third, 200);
    core_be(&other);
}
static void sweep_all(void) {
    core_begin(&third);
    alloc_collect(true);
    core_be(&other);
}

/* At each point of a free into an abandoned segment, another thread adopts it, or sweeps it; the
   free is by a thread without a heap, and with one. */
START_TEST(an_adoption_at_any_point_of_a_free_loses_nothing) {
    static void (*const acts[])(void) = {take_over, sweep_all};
    enum { NO_HEAP, HEAP, FREERS };
    for (unsigned freer = NO_HEAP; freer < FREERS; freer++)
        for (unsigned act = 0; act < 2; act++)
            for (uint64_t step = 1;; step++) {
                setup();
                struct core_thread maker = CORE_THREAD;
                third = CORE_THREAD;
                for (size_t i = 0; i < 8; i++) blocks[i] = core_alloc(&maker, 200);
                if (freer != NO_HEAP) core_begin(&other);
                core_end(&maker);
                core_be(&other);
                core_interleave(step, acts[act]);
                free_the_block(NULL);
                bool ran = core_interleave_end();
                struct core_thread last = CORE_THREAD;
                core_begin(&last);
                struct core_thread *const all[] = {&third, &other, &last};
                for (unsigned i = 0; i < 3; i++) {
                    core_be(all[i]);
                    if (is_heap(all[i]->word))
                        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
                }
                core_expect_free_report(REPORT_DOUBLE_FREE, blocks[3]);
                ck_assert_uint_lt(step, 5000);
                if (!ran) break;
            }
}
END_TEST

static void look_for_memory(void) {
    struct core_thread *const maker = &owner;
    core_alloc(&third, 200);
    core_alloc(&third, 30 * KIB);
    core_be(maker);
}

/* At each point of a thread's end another one looks for abandoned segments: it gets them, or they
   can be found afterwards. */
START_TEST(a_search_at_any_point_of_a_threads_end_loses_no_segment) {
    for (uint64_t step = 1;; step += step < 60 ? 1 : 7) {
        setup();
        third = CORE_THREAD;
        for (size_t i = 0; i < 8; i++) blocks[i] = core_alloc(&owner, i % 2 != 0 ? 200 : 30 * KIB);
        core_interleave(step, look_for_memory);
        core_end(&owner);
        bool ran = core_interleave_end();
        core_begin(&third);
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        for (size_t i = 0; i < 8; i++) core_give(&third, blocks[i]);
        alloc_collect(true);
        ck_assert_uint_eq(core_stats().used_blocks, ran ? 2 : 0);
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        if (!ran) break;
        ck_assert_uint_lt(step, 20000);
    }
}
END_TEST

static void *live_and_die(void *unused) {
    (void)unused;
    void *mine[20];
    for (unsigned i = 0; i < 20; i++) mine[i] = alloc_block(100 + 400 * i);
    for (unsigned i = 1; i < 20; i++) alloc_free(mine[i]);
    return mine[0];
}

START_TEST(threads_born_and_ending_do_not_grow_the_process) {
    size_t after_few = 0;
    for (unsigned i = 0; i < 600; i++) {
        pthread_t thread;
        void *left = NULL;
        ck_assert_int_eq(pthread_create(&thread, NULL, live_and_die, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, &left), 0);
        alloc_free(left);
        if (i == 20) after_few = ro.region->committed;
    }
    ck_assert_uint_le(ro.region->committed, after_few);
    ck_assert_uint_le(ro.pool->made, 4);
    check_all();
}
END_TEST

/* That it had none when it was left is remembered in a hint, which nobody takes away. */
START_TEST(a_segment_once_without_room_is_found_right_when_it_is_empty) {
    enum { COUNT = 12 };
    void *large[COUNT], *more[2];
    for (unsigned i = 0; i < COUNT; i++) large[i] = core_alloc(&owner, 1000 * KIB);
    core_end(&owner);
    core_begin(&other);
    struct segment *first = core_segment(large[0]), *last = core_segment(large[COUNT - 1]);
    ck_assert_ptr_ne(first, last);
    alloc_free(large[0]);
    alloc_free(large[COUNT - 1]);
    for (unsigned i = 0; i < 2; i++) more[i] = core_alloc(&other, 1000 * KIB);
    for (unsigned i = 1; i + 1 < COUNT; i++)
        if (core_segment(large[i]) == first || core_segment(large[i]) == last) alloc_free(large[i]);
    for (unsigned i = 0; i < 2; i++) core_give(&other, more[i]);
    ck_assert_uint_eq(first->pages_used + last->pages_used, 0);
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("heap_abandon");
    TCase *group = tcase_create("heap_abandon");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, what_an_ended_thread_left_is_adopted_by_who_needs_memory);
    tcase_add_test(group, frees_leave_an_abandoned_segment_to_who_needs_memory);
    tcase_add_test(group, frees_here_and_there_leave_abandoned_segments_to_others);
    tcase_add_test(group, only_segments_of_the_kind_that_is_needed_are_adopted);
    tcase_add_test(group, segments_without_room_do_not_hide_the_one_with_room);
    tcase_add_test(group, a_free_at_any_point_of_a_threads_end_leaves_room_that_is_found);
    tcase_add_test(group, an_abandoned_segment_without_pages_is_adopted_for_any_kind);
    tcase_add_test(group, claims_that_came_before_the_end_are_taken_in);
    tcase_add_test(group,
                   what_an_ended_thread_left_empty_is_used_first_and_goes_back_after_the_delay);
    tcase_add_test(group, the_last_free_gives_an_abandoned_segment_back);
    tcase_add_test(group, who_may_not_sweep_leaves_it_to_the_next);
    tcase_add_test(group, claims_by_free_and_by_bitmap_at_once_have_one_winner);
    tcase_add_test(group, an_adoption_at_any_point_of_a_free_loses_nothing);
    tcase_add_test(group, a_search_at_any_point_of_a_threads_end_loses_no_segment);
    tcase_add_test(group, threads_born_and_ending_do_not_grow_the_process);
    tcase_add_test(group, a_segment_once_without_room_is_found_right_when_it_is_empty);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
