/*
 * test_huge_again: huge blocks of programs that want again what went back (src/heap/huge.c): their
 * runs stay in the cache, up to a bound, and new ones ask for huge pages where the program uses all
 * of what it has.
 */
#include "core.h"

#include "heap/huge.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define SIZE (8 * MIB)

/* Calls that ask for huge pages. */
static unsigned asked;
static uintptr_t asked_start;
static size_t asked_bytes;

static bool watch_advice(long number, const long *arguments, long *result) {
    (void)result;
    if (number != SYS_madvise || arguments[2] != MADV_HUGEPAGE) return false;
    asked++;
    asked_start = (uintptr_t)arguments[0];
    asked_bytes = (size_t)arguments[1];
    return false;
}

static void start(const char *options) {
    core_start_ready(options);
    harness_set_kernel(watch_advice);
    asked = 0;
}

static void setup(void) {
    core_setup();
    start("region=8G");
}

static char *make(size_t size) {
    char *block = huge_alloc(size, 1, false);
    ck_assert_ptr_nonnull(block);
    return block;
}

static void give(char *block) {
    struct segment *segment = core_segment(block);
    ck_assert_int_eq(huge_free(segment, segment->owner), HUGE_OK);
}

/* The time goes on, in steps, and somebody comes by. */
static void pass(unsigned milliseconds) {
    for (; milliseconds > 0; milliseconds -= milliseconds < 10 ? milliseconds : 10) {
        harness_clock_advance(milliseconds < 10 ? milliseconds : 10);
        while (huge_purge(false, os_milliseconds())) continue;
    }
}

/* A block goes back after the delay, and is wanted again at once. */
static char *want_again(size_t size) {
    give(make(size));
    pass(ro.options.purge_delay_ms + 10);
    ck_assert_uint_eq(ro.usage->cached, 0);
    return make(size);
}

START_TEST(what_is_wanted_again_stays) {
    give(want_again(SIZE));
    pass(200);
    ck_assert_uint_eq(ro.usage->cached, SIZE);
    give(make(SIZE)); /* from the cache */
    ck_assert_uint_eq(ro.usage->cached, SIZE);
    pass(600);
    ck_assert_uint_eq(ro.usage->cached, 0);
    check_all();
}
END_TEST

START_TEST(who_uses_it_again_and_again_keeps_it_for_ever) {
    give(want_again(SIZE));
    uint64_t commits = harness_call_count(OS_COMMIT);
    for (unsigned i = 0; i < 100; i++) {
        char *block = make(SIZE);
        pass(50);
        give(block);
        pass(100);
    }
    ck_assert_uint_eq(harness_call_count(OS_COMMIT), commits);
    check_all();
}
END_TEST

/* Sixteen blocks stay for a while, and then what a small program needs. */
START_TEST(no_more_stays_than_the_latest_peak) {
    char *blocks[16];
    give(want_again(SIZE));
    for (unsigned i = 0; i < 16; i++) blocks[i] = make(SIZE);
    for (unsigned i = 0; i < 16; i++) give(blocks[i]);
    pass(100);
    ck_assert_uint_eq(ro.usage->cached, 16 * SIZE); /* the peak itself */
    for (unsigned i = 0; i < 60; i++) {             /* a small program from now on */
        char *block = make(SIZE);
        pass(10);
        give(block);
    }
    ck_assert_uint_le(ro.usage->cached, SIZE + SIZE / 8);
    check_all();
}
END_TEST

START_TEST(the_cache_grows_with_what_is_in_use) {
    enum { LIVE = 100, EACH = 20 * MIB };
    static char *blocks[LIVE + 20];
    for (unsigned i = 0; i < LIVE + 20; i++) blocks[i] = make(EACH);
    for (unsigned i = LIVE; i < LIVE + 20; i++) give(blocks[i]);
    ck_assert_uint_gt(ro.usage->cached, HUGE_CACHE_BYTES);
    ck_assert_uint_le(ro.usage->cached, (size_t)LIVE * EACH / HUGE_CACHE_SHARE + EACH);
}
END_TEST

/* --- Huge pages ------------------------------------------------------------------------------ */

/* One block of the cache, written to as `use` says, is used again; then another is needed. */
static char *churn(void (*use)(char *block)) {
    char *block = want_again(SIZE);
    use(block);
    give(block);
    block = make(SIZE);
    return make(SIZE);
}

static void use_all(char *block) { memset(block, 1, SIZE); }
static void use_a_page_of_each_huge_one(char *block) {
    for (size_t at = 0; at < SIZE; at += 2 * MIB) block[at] = 1;
}

START_TEST(new_runs_of_who_uses_all_ask_for_huge_pages) {
    char *block = churn(use_all);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(asked_start, (uintptr_t)block);
    ck_assert_uint_eq(asked_bytes, SIZE);
    size_t splits = ro.region->splits;
    give(block); /* the mapping of its own counts until the run goes back */
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->splits, splits - 1);
    check_all();
}
END_TEST

START_TEST(what_is_used_sparsely_stays_sparse) {
    (void)churn(use_a_page_of_each_huge_one);
    ck_assert_uint_eq(asked, 0);
}
END_TEST

/* The block is used once more, and dropped. */
static char *use_again(char *block, void (*use)(char *block)) {
    use(block);
    give(block);
    return make(SIZE);
}

static void clear_all(char *block) { memset(block, 0, SIZE); }

/* Nobody can tell at first that the zeros are not the kernel's. */
START_TEST(zeros_that_are_written_are_use_too) {
    char *block = use_again(want_again(SIZE), clear_all);
    (void)make(SIZE);
    ck_assert_uint_eq(asked, 0);
    block = use_again(block, clear_all);
    (void)make(SIZE);
    ck_assert_uint_eq(asked, 1);
}
END_TEST

/* Nor does what was watched tell of more than its user wrote. */
START_TEST(what_is_used_sparsely_again_stays_sparse) {
    char *block = use_again(want_again(SIZE), use_all);
    ck_assert_uint_ne(ro.huge->dense_at, 0);
    block = use_again(block, use_a_page_of_each_huge_one);
    ck_assert_uint_eq(ro.huge->dense_at, 0);
    (void)use_again(block, clear_all);
    ck_assert_uint_ne(ro.huge->dense_at, 0);
}
END_TEST

static bool is_resident(const char *at) {
    unsigned char resident = 0;
    ck_assert_int_eq(mincore((void *)((uintptr_t)at & ~(ro.os_page - 1)), 1, &resident), 0);
    return resident & 1;
}

/* To watch a user costs a few OS pages, and in huge ones nothing. */
START_TEST(who_is_watched_pays_a_few_pages) {
    unsigned resident = 0;
    char *block = use_again(want_again(SIZE), use_a_page_of_each_huge_one);
    for (size_t at = 0; at < SIZE; at += ro.os_page) resident += is_resident(block + at);
    ck_assert_uint_ge(resident, 15);
    ck_assert_uint_le(resident, 32 + SIZE / (2 * MIB));
    (void)use_again(block, use_all);
    block = make(SIZE);
    ck_assert_uint_eq(asked, 1);
    use_a_page_of_each_huge_one(block);
    uint64_t dense_at = ro.huge->dense_at;
    give(block);
    ck_assert_ptr_eq(make(SIZE), block); /* of zeros in huge pages nobody knows */
    ck_assert_uint_eq(ro.huge->dense_at, dense_at);
    ck_assert_uint_eq(core_segment(block)->watched, 0);
}
END_TEST

/* Marks go with the memory they are in, and what comes in its place is zero. */
START_TEST(a_run_that_was_cut_is_not_watched) {
    char *block = use_again(want_again(SIZE), use_all);
    struct segment *segment = core_segment(block);
    ck_assert_uint_eq(segment->watched, SIZE);
    void *moved = block;
    ck_assert_int_eq(huge_resize(segment, segment->owner, 5 * MIB, &moved), HUGE_OK);
    ck_assert_uint_eq(segment->watched, 0);
    ck_assert_int_eq(huge_resize(segment, segment->owner, SIZE, &moved), HUGE_OK);
    give(block);
    ck_assert_ptr_eq(make(SIZE), block);
    ck_assert_uint_eq(ro.huge->dense_at, 0);
    give(block);
    ck_assert_ptr_eq(make(SIZE - MIB), block);
    ck_assert_uint_le(segment->watched, SIZE - MIB);
}
END_TEST

/* What is added to a run of the cache is new memory as well. */
START_TEST(what_a_run_grows_by_comes_in_huge_pages) {
    char *block = use_again(want_again(SIZE), use_all);
    give(block);
    use_all(block = make(SIZE + MIB));
    ck_assert_uint_eq(asked, 0);
    give(block);
    ck_assert_ptr_eq(make(SIZE + 3 * MIB), block);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(asked_start, (uintptr_t)block);
    ck_assert_uint_eq(asked_bytes, SIZE + 2 * MIB);
    give(block);
    check_all();
}
END_TEST

/* A program may change its ways. */
START_TEST(no_more_comes_in_huge_pages_than_was_seen_to_be_used) {
    (void)churn(use_all);
    for (unsigned i = 0; i < 20; i++) (void)make(SIZE);
    ck_assert_uint_le(asked, 2);
}
END_TEST

START_TEST(who_only_grows_asks_for_none) {
    for (unsigned i = 0; i < 20; i++) use_all(make(SIZE));
    ck_assert_uint_eq(asked, 0);
}
END_TEST

START_TEST(nor_do_zeroed_or_shorter_blocks) {
    char *block = churn(use_all);
    asked = 0;
    for (unsigned i = 0; i < 2; i++) block = use_again(block, use_all);
    ck_assert_ptr_nonnull(huge_alloc(SIZE, 1, true));
    (void)make(3 * MIB);
    ck_assert_uint_eq(asked, 0);
    (void)make(9 * MIB);
    ck_assert_uint_eq(asked, 1);
    ck_assert_uint_eq(asked_bytes, 8 * MIB); /* whole ones */
}
END_TEST

START_TEST(nor_does_anybody_with_thp_off) {
    start("region=8G:thp=off");
    (void)churn(use_all);
    ck_assert_uint_eq(asked, 0);
}
END_TEST

/* At the limit of mappings a block is had all the same. */
START_TEST(without_a_mapping_to_spare_nobody_asks) {
    size_t taken = 0;
    while (guard_take_split()) taken++;
    use_all(churn(use_all));
    ck_assert_uint_eq(asked, 0);
    while (taken-- > 0) guard_give_split();
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_again");
    TCase *group = tcase_create("cache");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_add_test(group, what_is_wanted_again_stays);
    tcase_add_test(group, who_uses_it_again_and_again_keeps_it_for_ever);
    tcase_add_test(group, no_more_stays_than_the_latest_peak);
    tcase_add_test(group, the_cache_grows_with_what_is_in_use);
    suite_add_tcase(suite, group);
    group = tcase_create("huge pages");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_add_test(group, new_runs_of_who_uses_all_ask_for_huge_pages);
    tcase_add_test(group, what_is_used_sparsely_stays_sparse);
    tcase_add_test(group, zeros_that_are_written_are_use_too);
    tcase_add_test(group, what_is_used_sparsely_again_stays_sparse);
    tcase_add_test(group, who_is_watched_pays_a_few_pages);
    tcase_add_test(group, a_run_that_was_cut_is_not_watched);
    tcase_add_test(group, what_a_run_grows_by_comes_in_huge_pages);
    tcase_add_test(group, no_more_comes_in_huge_pages_than_was_seen_to_be_used);
    tcase_add_test(group, who_only_grows_asks_for_none);
    tcase_add_test(group, nor_do_zeroed_or_shorter_blocks);
    tcase_add_test(group, nor_does_anybody_with_thp_off);
    tcase_add_test(group, without_a_mapping_to_spare_nobody_asks);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
