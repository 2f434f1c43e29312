/*
 * test_region_spare: what the tables hold of free segments goes back (src/meta/region_spare.c),
 * and no late claim is lost on the way.
 */
#define _GNU_SOURCE
#include "core.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { SEGMENTS = 120, LET_BE = 28 };

static uint32_t first;

static void take_segments(uint32_t count) {
    ck_assert(region_take(count, 1, &first));
    for (uint32_t i = first; i < first + count; i++) {
        struct map_word *map = map_word_of(segment_address(i));
        region_note_pages(i);
        atomic_or_relaxed(&map->live, (uint64_t)1);
        atomic_and_relaxed(&map->live, ~(uint64_t)1);
        page_at(i * (uint32_t)SLOTS_PER_SEGMENT)->secret = 1;
    }
}

/* So many segments are free again, and the tables hold something of each. */
static void leave_segments(uint32_t count) {
    take_segments(count);
    region_give(first, count);
}

static bool holds_something(uint32_t index) {
    return page_at(index * (uint32_t)SLOTS_PER_SEGMENT)->secret != 0;
}

static unsigned count_holding(uint32_t count) {
    unsigned holding = 0;
    for (uint32_t i = first; i < first + count; i++) holding += holds_something(i);
    return holding;
}

static unsigned shed_in_steps(void) {
    unsigned steps = 0;
    while (region_shed_tables(false)) steps++;
    return steps;
}

static void setup(void) {
    core_setup();
    core_start_ready("region=1G");
}

static bool map_is_resident(uint32_t index) {
    unsigned char resident = 0;
    void *page = (void *)round_down((uintptr_t)map_word_of(segment_address(index)), ro.os_page);
    core_require(mincore(page, ro.os_page, &resident) == 0);
    return resident & 1;
}

START_TEST(all_but_the_lowest_go_back_in_steps) {
    leave_segments(SEGMENTS);
    unsigned steps = shed_in_steps();
    ck_assert_uint_ge(steps, (SEGMENTS - LET_BE) / 8);
    ck_assert_uint_le(steps, (SEGMENTS - LET_BE) / 8 + 3);
    ck_assert_uint_le(count_holding(SEGMENTS), LET_BE);
    ck_assert_uint_ge(count_holding(SEGMENTS), LET_BE - 8);
    ck_assert(holds_something(first));
    ck_assert(map_is_resident(first));
    for (uint32_t i = first; i < first + SEGMENTS; i++)
        ck_assert_int_eq(map_is_resident(i), holds_something(i));
    ck_assert_uint_eq(harness_call_count(OS_REMAP), steps);
}
END_TEST

START_TEST(by_force_all_of_it_goes_back) {
    leave_segments(SEGMENTS);
    ck_assert(region_shed_tables(true));
    ck_assert_uint_eq(count_holding(SEGMENTS), 0);
    ck_assert_int_eq(ro.region->spare, 0);
    ck_assert(!region_shed_tables(true));
}
END_TEST

/* Huge blocks and their like: nobody claims there. */
START_TEST(what_never_had_pages_is_dropped_where_it_is) {
    leave_segments(SEGMENTS);
    for (uint32_t i = first; i < first + SEGMENTS; i += 2) ro.region->paged[i / 64] &= ~bit64(i);
    ck_assert(region_shed_tables(true));
    ck_assert_uint_eq(count_holding(SEGMENTS), 0);
    for (uint32_t i = first; i < first + SEGMENTS; i++) ck_assert(!map_is_resident(i));
    ck_assert_uint_eq(harness_call_count(OS_REMAP), SEGMENTS / 2);
    ck_assert_int_eq(ro.region->spare, 0);
}
END_TEST

START_TEST(what_is_taken_keeps_what_it_has) {
    uint32_t taken = 0, rest = 0;
    leave_segments(SEGMENTS);
    ck_assert(region_take(SEGMENTS / 2, 1, &taken));
    ck_assert_uint_eq(taken, first);
    ck_assert(region_shed_tables(true));
    ck_assert_uint_eq(count_holding(SEGMENTS / 2), SEGMENTS / 2);
    ck_assert_uint_eq(count_holding(SEGMENTS), SEGMENTS / 2);
    /* what went back counts anew once it was taken again */
    ck_assert(region_take(SEGMENTS / 2, 1, &rest));
    region_give(rest, SEGMENTS / 2);
    region_give(taken, SEGMENTS / 2);
    ck_assert_int_eq(ro.region->spare, SEGMENTS);
    ck_assert(region_shed_tables(true));
    ck_assert_uint_eq(count_holding(SEGMENTS), 0);
}
END_TEST

static void nothing(void) {}

/* A small region would be gone over in one step. */
START_TEST(a_step_of_the_search_is_short) {
    enum { MANY = 64 * 200 };
    core_start_ready("region=64G");
    uint32_t high = 0;
    take_segments(LET_BE + 10);
    ck_assert(region_take(MANY, 1, &high)); /* nothing to find there */
    region_give(first, LET_BE + 10);
    core_interleave(UINT64_MAX, nothing);
    (void)region_shed_tables(false);
    ck_assert(!core_interleave_end());
    ck_assert_uint_lt(core_step, 3 * 64 + 20);
    unsigned steps = 0;
    while (count_holding(LET_BE + 10) > LET_BE && steps++ < 200) (void)region_shed_tables(false);
    ck_assert_uint_lt(steps, MANY / 64 / 64 + 8);
}
END_TEST

/* --- Claims that come late ------------------------------------------------------------------- */

static uint32_t late_index;

static void claim_late(void) {
    struct map_word *map = map_word_of(segment_address(late_index) + 5 * MAP_WORD_SPAN);
    atomic_or_relaxed(&map->claim, bit64(3));
}

static uintptr_t late_address(void) {
    return segment_address(late_index) + 5 * MAP_WORD_SPAN + 3 * GRANULE;
}

static void shed(void *unused) {
    (void)unused;
    (void)region_shed_tables(true);
}

START_TEST(a_claim_that_came_before_the_move_is_reported) {
    leave_segments(SEGMENTS);
    late_index = first + (uint32_t)_i;
    claim_late();
    core_expect_report(REPORT_DOUBLE_FREE, shed, NULL);
    ck_assert_uint_eq(core_address, late_address());
}
END_TEST

/* The kernel moves pages in one step: a claim comes before it or after it. */
static bool behind_the_move, moved, has_claimed;
static bool play_claim(long number, const long *arguments, long *result) {
    (void)arguments;
    (void)result;
    bool now = behind_the_move ? moved && number == SYS_madvise : number == SYS_mremap;
    if (now && !has_claimed) claim_late();
    has_claimed |= now;
    moved |= number == SYS_mremap;
    return false;
}

START_TEST(a_claim_before_the_kernels_step_is_reported) {
    leave_segments(SEGMENTS);
    late_index = first + SEGMENTS - 1;
    behind_the_move = moved = has_claimed = false;
    harness_set_kernel(play_claim);
    core_expect_report(REPORT_DOUBLE_FREE, shed, NULL);
    ck_assert_uint_eq(core_address, late_address());
}
END_TEST

static void own_again(void *unused) {
    (void)unused;
    struct random random;
    random_seed_fixed(&random, 1);
    struct segment *segment =
        segment_create(owner_word((uintptr_t)heap_at(1), PAGE_SMALL), false, &random);
    core_require(segment_index(segment) == late_index);
    struct page *page = NULL;
    do {
        page = segment_page_create(segment, size_class_of(16), &random);
        core_require(page != NULL);
        while (page->carved < page->capacity) {
            page_carve(page, &random);
            while (page->free_count != 0) (void)page_pop(page);
        }
    } while (late_address() - page->start >= SLOT_SIZE);
}

START_TEST(a_claim_behind_the_kernels_step_meets_the_next_owner) {
    leave_segments(1);
    late_index = first;
    behind_the_move = true;
    moved = has_claimed = false;
    harness_set_kernel(play_claim);
    ck_assert(region_shed_tables(true));
    harness_set_kernel(NULL);
    ck_assert(has_claimed);
    core_expect_report(REPORT_DOUBLE_FREE, own_again, NULL);
    ck_assert_uint_eq(core_address, late_address());
}
END_TEST

/* --- What the kernel may refuse -------------------------------------------------------------- */

START_TEST(what_the_kernel_refuses_is_asked_for_again_when_there_is_more) {
    static const enum os_call calls[] = {OS_PURGE, OS_REMAP, OS_RESERVE, OS_COMMIT};
    core_start_ready("region=2G");
    uint32_t other = 0;
    leave_segments(SEGMENTS);
    ck_assert(region_take(SEGMENTS, 1, &first));
    ck_assert(region_take(LET_BE + 1, 1, &other));
    region_give(first, SEGMENTS);
    harness_fail_from(calls[_i], 1);
    ck_assert(!region_shed_tables(false));
    ck_assert_int_eq(ro.region->spare, SEGMENTS);
    uint64_t asked = harness_call_count(calls[_i]);
    ck_assert(!region_shed_tables(false));
    ck_assert_uint_eq(harness_call_count(calls[_i]), asked);
    harness_fail_none();
    ck_assert(!region_shed_tables(false));
    region_give(other, LET_BE + 1);
    ck_assert(region_shed_tables(false));
    ck_assert(region_shed_tables(true));
    ck_assert_int_eq(ro.region->spare, 0);
    ck_assert_uint_eq(count_holding(SEGMENTS), 0);
    ck_assert(region_validate());
}
END_TEST

START_TEST(by_force_it_is_asked_twice_a_call) {
    leave_segments(SEGMENTS);
    harness_fail_from(OS_REMAP, 1);
    for (unsigned i = 1; i < 5; i++) {
        ck_assert(!region_shed_tables(true));
        ck_assert_uint_eq(harness_call_count(OS_REMAP), 2 * i); /* for eight, for one */
    }
    harness_fail_none();
    ck_assert(region_shed_tables(true));
    ck_assert_int_eq(ro.region->spare, 0);
}
END_TEST

static char *theirs; /* what another thread maps while a move fails */
static bool play_lost_move(long number, const long *arguments, long *result) {
    if (number != SYS_mremap || theirs != NULL) return false;
    size_t size = (size_t)arguments[1];
    core_require(munmap((void *)arguments[4], size) == 0);
    theirs = mmap((void *)arguments[4], size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    core_require(theirs == (void *)arguments[4]);
    memset(theirs, 7, size);
    *result = -ENOMEM;
    return true;
}

START_TEST(what_lies_where_a_failed_move_went_is_left_alone) {
    leave_segments(8);
    harness_set_kernel(play_lost_move);
    ck_assert(region_shed_tables(true));
    harness_set_kernel(NULL);
    ck_assert_ptr_nonnull(theirs);
    ck_assert_int_eq(ro.region->spare, 0);
    ck_assert_uint_ne(ro.region->aside, (uintptr_t)theirs);
    for (size_t i = 0; i < 8 * MAP_TABLE_BYTES_PER_SEGMENT; i++) core_require(theirs[i] == 7);
}
END_TEST

/* It unmaps the place before it fails; `error`: why. Of several segments, or of each. */
static size_t most_moved;
static long move_error;
static bool play_move_that_unmaps(long number, const long *arguments, long *result) {
    if (number != SYS_mremap || (size_t)arguments[1] <= most_moved) return false;
    core_require(munmap((void *)arguments[4], (size_t)arguments[1]) == 0);
    *result = move_error;
    return true;
}

START_TEST(a_move_that_failed_can_be_tried_again) {
    leave_segments(SEGMENTS);
    most_moved = 0;
    move_error = -ENOMEM;
    harness_set_kernel(play_move_that_unmaps);
    for (int i = 0; i < 3; i++) ck_assert(!region_shed_tables(true));
    harness_fail_from(OS_COMMIT, 1);
    ck_assert(!region_shed_tables(true));
    ck_assert_uint_eq(ro.region->aside, 0);
    harness_fail_none();
    ck_assert(!region_shed_tables(true));
    harness_set_kernel(NULL);
    ck_assert(region_shed_tables(true));
    ck_assert_int_eq(ro.region->spare, 0);
}
END_TEST

/* A kernel that does not move two mappings at once. */
START_TEST(what_is_not_moved_together_is_moved_one_by_one) {
    leave_segments(SEGMENTS);
    most_moved = MAP_TABLE_BYTES_PER_SEGMENT;
    move_error = -EFAULT;
    harness_set_kernel(play_move_that_unmaps);
    ck_assert(region_shed_tables(true));
    harness_set_kernel(NULL);
    ck_assert_int_eq(ro.region->spare, 0);
    for (uint32_t i = first; i < first + SEGMENTS; i++) ck_assert(!map_is_resident(i));
}
END_TEST

/* A thread that did not come along stood between the failure and its mending. */
START_TEST(a_child_gives_up_a_place_with_a_hole) {
    leave_segments(SEGMENTS);
    ck_assert(region_shed_tables(true));
    uintptr_t aside = ro.region->aside;
    leave_segments(SEGMENTS);
    if (_i == 1) ck_assert(os_unreserve((void *)aside, MAP_TABLE_BYTES_PER_SEGMENT));
    ro.locks[LOCK_REGION].word = 1;
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert_uint_eq(ro.region->aside, _i == 1 ? 0 : aside);
    ck_assert(region_shed_tables(true));
    ck_assert_int_eq(ro.region->spare, 0);
}
END_TEST

/* Nor is it told from memory that it found. */
START_TEST(a_call_that_finds_no_memory_does_not_move_tables_each_time) {
    core_start_ready("region=256M");
    (void)alloc_free(alloc_block(100));
    harness_fail_from(OS_COMMIT, 1);
    for (int i = 0; i < 4; i++) ck_assert_ptr_null(alloc_block(30 * MIB));
    uint64_t purges = harness_call_count(OS_PURGE), moves = harness_call_count(OS_REMAP);
    for (int i = 0; i < 4; i++) ck_assert_ptr_null(alloc_block(30 * MIB));
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    ck_assert_uint_eq(harness_call_count(OS_REMAP), moves);
}
END_TEST

/* A move would unlock what the program has locked. */
START_TEST(locked_memory_stays) {
    leave_segments(SEGMENTS);
    atomic_store_relaxed(&ro.region->memory_was_locked, true);
    ck_assert(!region_shed_tables(true));
    ck_assert_uint_eq(harness_call_count(OS_REMAP), 0);
    ck_assert_uint_eq(count_holding(SEGMENTS), SEGMENTS);
    atomic_store_relaxed(&ro.region->memory_was_locked, false);
    ck_assert(region_shed_tables(true));
}
END_TEST

START_TEST(who_looks_in_passing_waits_for_nobody) {
    leave_segments(SEGMENTS);
    locks_acquire(LOCK_REGION);
    ck_assert(!region_shed_tables(false));
    locks_release(LOCK_REGION);
    ck_assert(region_shed_tables(false));
}
END_TEST

/* A thread that was counting has not come along. */
START_TEST(a_child_counts_anew) {
    leave_segments(SEGMENTS);
    ro.region->spare = -7;
    *ro.fork_mark = FORK_WIPED;
    alloc_free(alloc_block(100));
    int64_t spare = ro.region->spare;
    ck_assert_int_ge(spare, SEGMENTS - 2);
    ck_assert_int_le(spare, SEGMENTS);
    ck_assert(region_shed_tables(true));
    ck_assert_int_eq(ro.region->spare, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("region_spare");
    TCase *group = tcase_create("region_spare");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, all_but_the_lowest_go_back_in_steps);
    tcase_add_test(group, by_force_all_of_it_goes_back);
    tcase_add_test(group, what_never_had_pages_is_dropped_where_it_is);
    tcase_add_test(group, what_is_taken_keeps_what_it_has);
    tcase_add_test(group, a_step_of_the_search_is_short);
    tcase_add_loop_test(group, a_claim_that_came_before_the_move_is_reported, 0, SEGMENTS);
    tcase_add_test(group, a_claim_before_the_kernels_step_is_reported);
    tcase_add_test(group, a_claim_behind_the_kernels_step_meets_the_next_owner);
    tcase_add_loop_test(group, what_the_kernel_refuses_is_asked_for_again_when_there_is_more, 0, 4);
    tcase_add_test(group, by_force_it_is_asked_twice_a_call);
    tcase_add_test(group, what_lies_where_a_failed_move_went_is_left_alone);
    tcase_add_test(group, a_move_that_failed_can_be_tried_again);
    tcase_add_test(group, what_is_not_moved_together_is_moved_one_by_one);
    tcase_add_loop_test(group, a_child_gives_up_a_place_with_a_hole, 0, 2);
    tcase_add_test(group, a_call_that_finds_no_memory_does_not_move_tables_each_time);
    tcase_add_test(group, locked_memory_stays);
    tcase_add_test(group, who_looks_in_passing_waits_for_nobody);
    tcase_add_test(group, a_child_counts_anew);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
