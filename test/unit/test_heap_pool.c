/*
 * heap_pool: the stack of heaps that came back, with other threads' births and ends at each step of
 * one.
 */
#include "core.h"

#include <stdio.h>
#include <sys/resource.h>

static struct core_thread aba_taker, aba_returner, aba_keeper;

static void take_both_and_return_the_first(void) {
    core_begin(&aba_returner);
    core_begin(&aba_keeper);
    core_end(&aba_returner);
    core_be(&aba_taker);
}

/* At each step of one thread's birth, a second takes the same heap and returns it, and a third
   keeps the next. */
/* The other way round: at each step of one thread's end, a heap is taken, another returned. */
static void take_one_and_return_another(void) {
    core_begin(&aba_keeper);
    core_end(&aba_returner);
    core_be(&aba_taker);
}

START_TEST(no_heap_is_lost_or_returned_twice_however_ends_interleave) {
    unsigned steps = 0;
    for (uint64_t step = 1;; step++, steps++) {
        struct core_thread spare = CORE_THREAD, later[3] = {CORE_THREAD, CORE_THREAD, CORE_THREAD};
        aba_taker = aba_returner = aba_keeper = CORE_THREAD;
        core_setup();
        core_begin(&spare);
        core_begin(&aba_returner);
        core_begin(&aba_taker);
        core_end(&spare);
        uint32_t made = ro.pool->made;
        core_be(&aba_taker);
        core_interleave(step, take_one_and_return_another);
        core_end(&aba_taker);
        bool ran = core_interleave_end();
        if (!ran) take_one_and_return_another();
        for (unsigned i = 0; i < 2; i++) core_begin(&later[i]);
        ck_assert_uint_eq(ro.pool->made, made); /* both came back */
        core_begin(&later[2]);
        ck_assert_uint_eq(ro.pool->made, made + 1); /* and nothing else */
        for (unsigned i = 0; i < 3; i++)
            ck_assert_ptr_ne(core_heap(&later[i]), core_heap(&aba_keeper));
        ck_assert_ptr_ne(core_heap(&later[0]), core_heap(&later[1]));
        core_be(NULL);
        core_teardown();
        if (!ran) break;
    }
    ck_assert_uint_ge(steps, 3);
}
END_TEST

START_TEST(no_heap_is_taken_twice_however_births_and_ends_interleave) {
    unsigned steps = 0;
    for (uint64_t step = 1;; step++, steps++) {
        struct core_thread first = CORE_THREAD, second = CORE_THREAD;
        aba_taker = aba_returner = aba_keeper = CORE_THREAD;
        core_setup();
        core_begin(&first);
        core_begin(&second);
        core_end(&first);
        core_end(&second);
        core_be(&aba_taker);
        core_interleave(step, take_both_and_return_the_first);
        struct heap *taken = core_begin(&aba_taker);
        bool ran = core_interleave_end();
        if (!ran) break;
        struct core_thread next = CORE_THREAD;
        struct heap *taken_next = core_begin(&next);
        ck_assert_ptr_ne(taken, core_heap(&aba_keeper));
        ck_assert_ptr_ne(taken_next, core_heap(&aba_keeper));
        ck_assert_ptr_ne(taken_next, taken);
        core_end(&next);
        core_end(&aba_taker);
        core_end(&aba_keeper);
        core_be(NULL);
        core_teardown();
    }
    ck_assert_uint_ge(steps, 3);
}
END_TEST

/* Each takes no mapping for its segment any more, beside its stack: neighbours are as it is. */
START_TEST(of_very_many_threads_further_ones_cost_no_mapping) {
    enum { THREADS = 40 };
    static struct core_thread threads[THREADS];
    core_start("region=1G");
    ck_assert_ptr_nonnull(core_alloc(&(struct core_thread){THREAD_NEW}, 100));
    if (_i == 0) { /* few: each is charged for no more than it is likely to need */
        size_t before = core_stats().committed;
        threads[0] = CORE_THREAD;
        ck_assert_ptr_nonnull(core_alloc(&threads[0], 100));
        ck_assert_uint_eq(core_stats().committed - before, 256 * KIB);
        core_be(NULL);
        return;
    }
    ro.region->splits += ro.mappings_max / 64;
    size_t before = 0, splits = ro.region->splits;
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = CORE_THREAD;
        ck_assert_ptr_nonnull(core_alloc(&threads[i], 100));
        if (ro.region->markers != MARKERS_PROVED) { /* then the whole costs as many */
            ck_assert_uint_eq(ro.region->splits, splits + 1);
            return;
        }
        if (i == 0) before = harness_mapping_count();
    }
    ck_assert_uint_le(harness_mapping_count(), before + 2); /* tables grow */
    ck_assert_uint_eq(ro.region->splits, splits);
    ck_assert_uint_eq(ro.region->guards_missing, 0);
    core_be(NULL);
    check_all();
}
END_TEST

/* A limit on data is no reason to have none, and a higher one is asked for. */
START_TEST(under_a_limit_on_data_further_threads_share_a_heap) {
    enum { THREADS = 90 };
    static struct core_thread threads[THREADS];
    static void *blocks[THREADS];
    struct rlimit limit = {256 * MIB, RLIM_INFINITY};
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limit on data\n");
        return;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = CORE_THREAD;
        blocks[i] = core_alloc(&threads[i], 20000);
        ck_assert_ptr_nonnull(blocks[i]);
    }
    ck_assert_uint_eq(ro.pool->made, 1 + 64);
    const struct segment *last = core_segment(blocks[THREADS - 1]);
    ck_assert_ptr_eq(owner_heap(last->owner), &heap_at(HEAP_LATE)->owner);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    core_begin(&threads[THREADS - 1]);
    alloc_free(blocks[THREADS - 1]);
    for (unsigned i = 0; i < 64; i++) alloc_free(core_alloc(&threads[THREADS - 1], 20000));
    ck_assert_uint_eq(ro.pool->made, 1 + 64 + 1);
    core_be(NULL);
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("heap_pool");
    TCase *group = tcase_create("interleavings");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_add_test(group, no_heap_is_lost_or_returned_twice_however_ends_interleave);
    tcase_add_test(group, no_heap_is_taken_twice_however_births_and_ends_interleave);
    tcase_add_loop_test(group, of_very_many_threads_further_ones_cost_no_mapping, 0, 2);
    tcase_add_test(group, under_a_limit_on_data_further_threads_share_a_heap);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
