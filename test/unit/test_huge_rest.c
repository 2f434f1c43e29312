/*
 * test_huge_rest: cached runs that serve shorter blocks keep what these have less
 * (src/heap/huge.c, guard_narrow in src/meta/guard.c).
 */
#include "core.h"

#include "heap/huge.h"
#include "meta/locks.h"
#include "os/os.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define LONG (3 * MIB)
#define SHORT (2 * MIB)

static char *make(size_t size) {
    char *block = huge_alloc(size, 1, false);
    core_require(block != NULL);
    return block;
}

static void give(void *block) {
    struct segment *segment = core_segment(block);
    core_require(huge_free(segment, segment->owner) == HUGE_OK);
}

static size_t rests(void) { return ro.region->rests * ro.os_page; }
static size_t less(size_t one, size_t other) { return huge_round(one) - huge_round(other); }

/* A block that comes, shorter, from the cache. */
static char *make_shorter(size_t long_size, size_t size) {
    char *block = make(long_size);
    memset(block, 7, long_size);
    give(block);
    core_require(make(size) == block);
    return block;
}

/* Every other one has guards by splits. The program wants again what was cut from its runs. */
static void start(int loop) {
    core_start_ready(loop % 2 == 0 ? "" : "guards=mprotect");
    for (unsigned i = 0; i < 2; i++) {
        give(make(9 * MIB));
        give(make(6 * MIB));
    }
    alloc_collect(true);
    ck_assert(keeping_is_on(&ro.huge->keeping, os_milliseconds()));
    ck_assert_uint_eq(rests(), 0);
}

/* Who does not leaves none: a start that reads a file, and then has a shorter block for long. */
START_TEST(a_run_that_was_used_once_keeps_nothing) {
    core_start_ready("");
    (void)make_shorter(LONG, SHORT);
    ck_assert_uint_eq(rests(), 0);
}
END_TEST

START_TEST(a_run_keeps_what_a_shorter_block_does_not_use) {
    start(_i);
    char *block = make_shorter(LONG, SHORT);
    uint64_t purges = harness_call_count(OS_PURGE), decommits = harness_call_count(OS_DECOMMIT);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(alloc_usable_size(block), huge_round(SHORT));
        ck_assert(harness_range_state((uintptr_t)block + huge_round(SHORT)) != HARNESS_COMMITTED);
        ck_assert_uint_eq(rests(), less(LONG, SHORT));
        ck_assert_uint_eq(ro.region->committed, huge_round(LONG));
        check_all();
        give(block);
        ck_assert_ptr_eq(make(LONG), block);
        ck_assert_uint_eq(rests(), 0);
        ck_assert_int_eq(block[LONG - 1], 7); /* no new memory */
        give(block);
        ck_assert_ptr_eq(make(SHORT), block);
    }
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    ck_assert_uint_eq(harness_call_count(OS_DECOMMIT), decommits);
}
END_TEST

/* The run goes back as a whole; until then all of it is cached. */
START_TEST(it_goes_back_with_the_run) {
    start(_i);
    char *block = make_shorter(LONG, SHORT);
    give(block);
    ck_assert_uint_eq(rests(), 0);
    ck_assert_uint_eq(ro.usage->cached, huge_round(LONG));
    check_all();
    alloc_collect(true);
    ck_assert_uint_eq(ro.usage->cached, 0);
    ck_assert_uint_eq(rests(), 0);
    ck_assert_uint_eq(ro.region->committed, 0);
    check_all();
}
END_TEST

START_TEST(all_of_them_are_bounded) {
    enum { COUNT = 12 };
    char *blocks[COUNT];
    start(_i);
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = make_shorter(LONG, SHORT);
        ck_assert_uint_le(rests(), GUARD_REST_MAX);
    }
    ck_assert_uint_eq(rests(), GUARD_REST_MAX / less(LONG, SHORT) * less(LONG, SHORT));
    check_all();
    for (unsigned i = 0; i < COUNT; i++) give(blocks[i]);
    alloc_collect(true);
    ck_assert_uint_eq(rests(), 0);
}
END_TEST

/* What is cached has its own bound: only where a block of the same size has the run again its rest
   counts, and goes back if there are others. */
START_TEST(those_of_cached_runs_are_not_among_them) {
    enum { LARGER = 2, COUNT = 8, ALL = LARGER + COUNT };
    char *blocks[ALL];
    start(_i);
    for (unsigned i = 0; i < LARGER; i++) blocks[i] = make_shorter(9 * MIB, 6 * MIB);
    ck_assert_uint_eq(rests(), LARGER * less(9 * MIB, 6 * MIB));
    for (unsigned i = 0; i < LARGER; i++) give(blocks[i]);
    for (unsigned i = 0; i < COUNT; i++) blocks[i] = make_shorter(LONG, SHORT);
    ck_assert_uint_eq(rests(), COUNT * less(LONG, SHORT));
    for (unsigned i = 0; i < COUNT; i++) give(blocks[i]);
    ck_assert_uint_eq(rests(), 0);
    for (unsigned i = 0; i < ALL; i++) {
        blocks[i] = make(i < LARGER ? 6 * MIB : SHORT);
        ck_assert_uint_le(rests(), GUARD_REST_MAX);
    }
    ck_assert_uint_ge(rests(), GUARD_REST_MAX - less(LONG, SHORT));
    check_all();
    for (unsigned i = 0; i < ALL; i++) give(blocks[i]);
}
END_TEST

/* A program that wants nothing again any more, and has a block of the same size for long. */
START_TEST(a_block_of_the_same_size_has_it_no_longer_than_it_is_wanted) {
    start(_i);
    char *block = make_shorter(LONG, SHORT);
    give(block);
    ro.huge->keeping.needed_at = 0;
    ck_assert_ptr_eq(make(SHORT), block);
    ck_assert_uint_eq(rests(), 0);
    ck_assert_uint_eq(ro.region->committed, huge_round(SHORT));
    check_all();
    give(block);
}
END_TEST

/* Of a live block that is resized: what it has more is what was there, what it has less goes back,
   and its rest with it. */
START_TEST(a_resize_in_place_has_it_too) {
    start(_i);
    char *block = make_shorter(LONG, SHORT);
    ck_assert_ptr_eq(alloc_resize(block, SHORT + MIB / 2), block);
    ck_assert_uint_eq(rests(), less(LONG, SHORT + MIB / 2));
    check_all();
    ck_assert_ptr_eq(alloc_resize(block, SHORT + MIB / 2), block);
    ck_assert_uint_eq(rests(), less(LONG, SHORT + MIB / 2));
    ck_assert_ptr_eq(alloc_resize(block, SHORT - MIB / 2), block);
    ck_assert_uint_eq(rests(), 0);
    ck_assert_ptr_eq(alloc_resize(block, LONG), block);
    ck_assert_int_ne(block[LONG - 1], 7);
    check_all();
}
END_TEST

/* A run of more segments than the shorter block needs keeps them; it moves away from all of it. */
START_TEST(a_longer_run_stays_as_long) {
    start(_i);
    char *block = make_shorter(9 * MIB, 6 * MIB);
    ck_assert_uint_eq(core_segment(block)->run, huge_run_length(huge_round(9 * MIB)));
    memset(block, 5, 6 * MIB);
    char *behind = make(SEGMENT_SIZE); /* somebody follows */
    char *moved = alloc_resize(block, 100 * MIB);
    ck_assert_ptr_nonnull(moved);
    ck_assert_int_eq(moved[6 * MIB - 1], 5);
    ck_assert_uint_eq(rests(), 0);
    check_all();
    give(moved);
    give(behind);
    alloc_collect(true);
    ck_assert_uint_eq(ro.region->committed, 0);
}
END_TEST

START_TEST(zeroed_memory_comes_without) {
    start(_i);
    char *block = make_shorter(LONG, SHORT);
    give(block);
    block = alloc_zeroed(SHORT);
    ck_assert_uint_eq(rests(), 0);
    block = alloc_resize(block, LONG);
    check_all();
    alloc_free(block);
}
END_TEST

/* What the kernel refuses changes nothing: the rest goes back as it did before. */
START_TEST(without_a_guard_there_is_no_rest) {
    start(_i);
    char *block = make(LONG);
    memset(block, 7, LONG);
    give(block);
    harness_fail_from(_i % 2 == 0 ? OS_GUARD : OS_PROTECT, 1);
    block = make(SHORT);
    harness_fail_none();
    ck_assert_uint_eq(rests(), 0);
    check_all();
    give(block);
}
END_TEST

/* The rest is a mapping of its own: the kernel gives it back before it refuses what lies behind. */
static uintptr_t refused_from;
static bool play_refusal(long number, const long *arguments, long *result) {
    uintptr_t start = (uintptr_t)arguments[0], end = start + (size_t)arguments[1];
    if (number != SYS_mprotect || start >= refused_from || end <= refused_from) return false;
    core_require(mprotect((void *)start, refused_from - start, PROT_READ | PROT_WRITE) == 0);
    *result = -ENOMEM;
    return true;
}

START_TEST(what_a_refused_resize_had_opened_is_closed) {
    start(1);
    char *block = make_shorter(LONG, SHORT);
    void *same = block;
    struct segment *segment = core_segment(block);
    refused_from = (uintptr_t)block + huge_round(LONG);
    harness_set_kernel(play_refusal);
    ck_assert_int_eq(huge_resize(segment, segment->owner, huge_round(LONG) + 64 * KIB, &same),
                     HUGE_NO_MEMORY);
    harness_set_kernel(NULL);
    ck_assert(!os_can_read((const uint64_t *)(block + huge_round(SHORT))));
    ck_assert_uint_eq(rests(), less(LONG, SHORT));
    check_all();
    give(block);
}
END_TEST

/* Those of live blocks, whether the cache comes along or another thread was at it. */
static size_t expected;
static void expect_rests(void) {
    alloc_free(alloc_block(100));
    core_require(rests() == expected);
    check_all();
}

START_TEST(a_child_counts_what_it_has) {
    start(_i);
    char *cached = make_shorter(9 * MIB, 7 * MIB);
    (void)make_shorter(LONG, SHORT);
    give(cached);
    expected = less(LONG, SHORT);
    core_in_child(expect_rests);
    locks_acquire(LOCK_HUGE_CACHE);
    core_in_child(expect_rests);
    locks_release(LOCK_HUGE_CACHE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_rest");
    TCase *group = tcase_create("rests");
    tcase_add_checked_fixture(group, NULL, core_teardown);
    tcase_add_test(group, a_run_that_was_used_once_keeps_nothing);
    tcase_add_test(group, what_a_refused_resize_had_opened_is_closed);
    tcase_add_loop_test(group, a_run_keeps_what_a_shorter_block_does_not_use, 0, 2);
    tcase_add_loop_test(group, it_goes_back_with_the_run, 0, 2);
    tcase_add_loop_test(group, all_of_them_are_bounded, 0, 2);
    tcase_add_loop_test(group, those_of_cached_runs_are_not_among_them, 0, 2);
    tcase_add_loop_test(group, a_block_of_the_same_size_has_it_no_longer_than_it_is_wanted, 0, 2);
    tcase_add_loop_test(group, a_resize_in_place_has_it_too, 0, 2);
    tcase_add_loop_test(group, a_longer_run_stays_as_long, 0, 2);
    tcase_add_loop_test(group, zeroed_memory_comes_without, 0, 2);
    tcase_add_loop_test(group, without_a_guard_there_is_no_rest, 0, 2);
    tcase_add_loop_test(group, a_child_counts_what_it_has, 0, 2);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
