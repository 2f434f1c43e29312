/*
 * test_heap_shortage: allocations that find no memory, again and again (src/heap/heap_purge.c:
 * heap_scour).
 *
 * A failure that repeats takes few steps, however large the heap is; and whatever is freed, by
 * whomever, the next allocation that it could serve succeeds.
 */
#include "core.h"

static struct core_thread owner, other;

enum { SIZE = 8 * KIB, CAPACITY = 210000 };
static void *blocks[CAPACITY];
static size_t count;

static void setup(void) {
    core_start_ready("region=4G:purge_delay=1000");
    owner = other = CORE_THREAD;
    count = 0;
}

/* The owner allocates to the end of what may be had; `segments` more than there are. */
static void fill(unsigned segments) {
    harness_limit_committed(harness_committed_bytes() + segments * SEGMENT_SIZE);
    core_begin(&owner);
    while ((blocks[count] = alloc_block(SIZE)) != NULL) core_require(++count < CAPACITY);
    ck_assert_ptr_null(alloc_block(SIZE));
}

static void nothing(void) {}

/* Accesses to shared words of a call that fails. */
static uint64_t steps_of_failure(void) {
    core_interleave(UINT64_MAX, nothing);
    ck_assert_ptr_null(alloc_block(SIZE));
    core_interleave_end();
    return core_step;
}

START_TEST(a_failure_that_repeats_takes_few_steps_in_a_heap_of_any_size) {
    uint64_t steps[2];
    for (unsigned i = 0; i < 2; i++) {
        setup();
        fill(i == 0 ? 24 : 400);
        steps[i] = steps_of_failure();
        ck_assert_uint_lt(steps[i], 300);
        check_all();
        core_stop();
    }
    ck_assert_uint_le(steps[1], steps[0] + 8);
    setup();
}
END_TEST

/* A page's worth of blocks of another size, in use. */
static void *others[SLOT_SIZE / 512];
static size_t other_count;
static void fill_another_page(void) {
    core_begin(&owner);
    do others[other_count++] = alloc_block(500);
    while (core_page(others[other_count - 1]) == core_page(others[0]) &&
           other_count < sizeof others / sizeof *others);
}

static void by_owner(void) { core_give(&owner, blocks[3]); }
static void by_another(void) {
    core_begin(&other);
    alloc_free(blocks[3]);
}
static void by_a_new_thread(void) {
    struct core_thread fresh = CORE_THREAD;
    core_be(&fresh);
    alloc_free(blocks[3]);
}
static void free_the_others(void) {
    for (size_t i = 0; i < other_count; i++) alloc_free(others[i]);
}
static void another_size_by_owner(void) {
    core_be(&owner);
    free_the_others();
}
static void another_size_by_another(void) {
    core_begin(&other);
    free_the_others();
}

/* Each way by which something may become free, after a failure that found nothing. */
START_TEST(whatever_is_freed_serves_the_next_allocation) {
    static void (*const ways[])(void) = {by_owner, by_another, by_a_new_thread,
                                         another_size_by_owner, another_size_by_another};
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        setup();
        other_count = 0;
        core_begin(&other);
        fill_another_page();
        fill(2);
        for (unsigned k = 0; k < 3; k++) ck_assert_ptr_null(alloc_block(SIZE));
        ways[i]();
        core_be(&owner);
        ck_assert_msg(alloc_block(SIZE) != NULL, "way %u", i);
        check_all();
        core_stop();
    }
    setup();
}
END_TEST

/* What an ended thread leaves, and what is freed of that, one block after the other. */
START_TEST(what_ended_threads_left_serves_too) {
    for (unsigned last = 0; last < 2; last++) {
        setup();
        void *left[20];
        for (unsigned i = 0; i < 20; i++) left[i] = core_alloc(&other, 200 * KIB);
        fill(2);
        core_end(&other);
        core_be(&owner);
        for (unsigned k = 0; k < 3; k++) ck_assert_ptr_null(alloc_block(SIZE));
        struct core_thread freer = CORE_THREAD;
        for (unsigned i = 0; i < 20; i++) {
            if (last != 0) core_begin(&freer);
            core_give(&freer, left[i]);
            core_be(&owner);
            if (i % 5 == 0 && i != 0 && segment_of((uintptr_t)left[0])->owner != 0 && i < 19)
                (void)alloc_block(SIZE);
        }
        ck_assert_ptr_nonnull(alloc_block(SIZE));
        check_all();
        core_stop();
    }
    setup();
}
END_TEST

/* An empty segment that a page of another kind was tried in, which had no room to become usable. */
START_TEST(what_was_too_little_for_a_large_block_serves_small_ones) {
    core_begin(&owner);
    ck_assert_ptr_nonnull(alloc_block(100));
    harness_limit_committed(harness_committed_bytes() + 800 * KIB);
    void *medium = alloc_block(20000);
    ck_assert_ptr_nonnull(medium);
    alloc_free(medium);
    ck_assert_ptr_null(alloc_block(800000));
    size_t size = 0;
    while (alloc_block(SIZE) != NULL) size += SIZE;
    ck_assert_uint_gt(size, 300 * KIB);
    check_all();
}
END_TEST

static unsigned looks;
static void release_after_a_while(const volatile void *word) {
    uint32_t *lock = &ro.locks[LOCK_LATE_HEAP].word;
    if (word == lock && ++looks == 20) __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* Under a limit the first segment of a thread comes after one for all: it is waited for where its
   maker is not run for a while, or those who come meanwhile would have taken all there is. */
START_TEST(nobody_has_the_last_memory_before_there_is_some_for_all) {
    enum { MORE = 20 };
    struct core_thread more[MORE];
    ro.region->limits_kept = ro.region->data_limited = true;
    ro.locks[LOCK_LATE_HEAP].word = 1;
    looks = 0;
    harness_set_atomic_hook(release_after_a_while);
    ck_assert_ptr_nonnull(core_alloc(&owner, 100));
    harness_set_atomic_hook(NULL);
    ck_assert_uint_ge(looks, 20);
    ck_assert_uint_eq(heap_at(HEAP_LATE)->segments, 1);
    harness_limit_committed(harness_committed_bytes());
    for (unsigned i = 0; i < MORE; i++) {
        more[i] = CORE_THREAD;
        ck_assert_ptr_nonnull(core_alloc(&more[i], 100));
    }
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("heap_shortage");
    TCase *group = tcase_create("heap_shortage");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_failure_that_repeats_takes_few_steps_in_a_heap_of_any_size);
    tcase_add_test(group, whatever_is_freed_serves_the_next_allocation);
    tcase_add_test(group, what_ended_threads_left_serves_too);
    tcase_add_test(group, what_was_too_little_for_a_large_block_serves_small_ones);
    tcase_add_test(group, nobody_has_the_last_memory_before_there_is_some_for_all);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
