/*
 * test_region: the address range of the segments (src/meta/region.h): runs against a model,
 * exhaustion, growth under a limit, guards.
 */
#define _GNU_SOURCE
#include "core.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct lock *region_lock(void) { return &ro.locks[LOCK_REGION]; }

static void give_twice(void *index) { region_give(*(uint32_t *)index, 1); }

static void check_region(void) {
    core_require(region_validate());
    core_require(region_lock()->word == 0);
}

/* --- Runs ------------------------------------------------------------------------------------ */

START_TEST(a_run_is_where_the_region_is_and_never_the_first_segment) {
    for (int i = 0; i < 100; i++) {
        uint32_t index = 0;
        ck_assert(region_take(1, 1, 1, &index));
        ck_assert_uint_ge(index, 1);
        ck_assert_uint_lt(index, ro.region->window_end);
        ck_assert(region_contains(segment_address(index)));
        ck_assert(region_contains(segment_address(index) + SEGMENT_SIZE - 1));
        ck_assert_uint_eq(segment_address(index) % SEGMENT_SIZE, 0);
    }
    ck_assert(!region_contains(ro.region_base - 1));
    ck_assert(!region_contains(ro.region_base + ro.region_span));
    ck_assert_int_eq(harness_range_state(ro.region_base), HARNESS_RESERVED);
    check_region();
}
END_TEST

enum { MODEL_SLOTS = 64, MODEL_RUNS = 64 };

struct model {
    bool taken[MODEL_SLOTS];
    uint32_t index[MODEL_RUNS], count[MODEL_RUNS], runs;
};

static bool model_has_room(const struct model *model, uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++)
        if (i >= MODEL_SLOTS || model->taken[i]) return false;
    return true;
}

static void model_mark(struct model *model, uint32_t first, uint32_t count, bool taken) {
    for (uint32_t i = first; i < first + count; i++) model->taken[i] = taken;
}

static bool is_aligned(uint32_t index, uint32_t align) {
    return (segment_address(index) >> SEGMENT_SHIFT) % align == 0;
}

static void take_and_compare(struct model *model, uint32_t count, uint32_t align) {
    uint32_t index = UINT32_MAX;
    bool possible = false;
    for (uint32_t first = 1; first < MODEL_SLOTS; first++)
        possible |= is_aligned(first, align) && model_has_room(model, first, count);
    bool got = region_take(count, align, 1, &index);
    core_require(got == possible);
    if (!got) return;
    core_require(is_aligned(index, align) && model_has_room(model, index, count));
    model_mark(model, index, count, true);
    model->index[model->runs] = index;
    model->count[model->runs++] = count;
}

static void extend_and_compare(struct model *model, uint32_t run, uint32_t more) {
    uint32_t end = model->index[run] + model->count[run];
    bool possible = model_has_room(model, end, more);
    core_require(region_extend(model->index[run], model->count[run], more) == possible);
    if (!possible) return;
    model_mark(model, end, more, true);
    model->count[run] += more;
}

static void give_and_forget(struct model *model, uint32_t run) {
    region_give(model->index[run], model->count[run]);
    model_mark(model, model->index[run], model->count[run], false);
    model->runs--;
    model->index[run] = model->index[model->runs];
    model->count[run] = model->count[model->runs];
}

START_TEST(runs_agree_with_a_model) {
    uint64_t random = (uint64_t)_i;
    core_start_ready("region=256M");
    ck_assert_uint_eq(ro.region->window_end, MODEL_SLOTS);
    struct model model = {.runs = 0};
    model.taken[0] = true;
    for (unsigned step = 0; step < 4000; step++) {
        size_t what = core_below(&random, 5);
        if (what < 2 && model.runs < MODEL_RUNS)
            take_and_compare(&model, 1 + (uint32_t)core_below(&random, 1 + core_below(&random, 12)),
                             1u << core_below(&random, 5));
        else if (what == 2 && model.runs > 0)
            extend_and_compare(&model, (uint32_t)core_below(&random, model.runs),
                               1 + (uint32_t)core_below(&random, 3));
        else if (model.runs > 0)
            give_and_forget(&model, (uint32_t)core_below(&random, model.runs));
        uint32_t taken = 0;
        for (uint32_t i = 0; i < MODEL_SLOTS; i++) taken += model.taken[i];
        core_require(ro.region->in_use == taken);
        core_require(region_validate());
    }
}
END_TEST

START_TEST(an_exhausted_region_says_no_and_stays_usable) {
    uint32_t taken[256], count = 0, index = 0, more = 0;
    while (region_take(1, 1, 1, &index)) taken[count++] = index;
    ck_assert_uint_eq(count, 255); /* 1 GiB, less the first */
    for (int i = 0; i < 3; i++) ck_assert(!region_take(1, 1, 1, &more));
    ck_assert(!region_take(UINT32_MAX / 2, 1, 1, &more));
    ck_assert_uint_eq(more, 0);
    check_region();
    region_give(taken[77], 1);
    ck_assert(region_take(1, 1, 1, &index));
    ck_assert_uint_eq(index, taken[77]);
    for (uint32_t i = 0; i < count; i++) region_give(taken[i], 1);
    ck_assert(region_take(255, 1, 1, &index));
    ck_assert_uint_eq(index, 1);
    check_region();
}
END_TEST

START_TEST(a_failed_table_takes_nothing) {
    uint32_t index = 0, before = ro.region->in_use;
    for (uint64_t n = 1; n <= 2; n++) {
        harness_fail_nth(OS_COMMIT, n);
        ck_assert(!region_take(1, 1, 1, &index));
        ck_assert_uint_eq(ro.region->in_use, before);
        check_region();
    }
    ck_assert(region_take(1, 1, 1, &index));
}
END_TEST

START_TEST(a_run_of_which_few_tables_are_needed_makes_few_writable) {
    uint32_t index = 0;
    ck_assert(region_take(100, 64, 1, &index));
    size_t chunk_end = round_up(index + 1, TABLE_CHUNK);
    ck_assert(harness_range_is((uintptr_t)page_at(index * 64), PAGE_TABLE_BYTES_PER_SEGMENT,
                               HARNESS_COMMITTED));
    ck_assert_int_ne(harness_range_state((uintptr_t)page_at((uint32_t)chunk_end * 64)),
                     HARNESS_COMMITTED);
    ck_assert(region_take(20, 1, 20, &index));
    ck_assert(harness_range_is((uintptr_t)page_at(index * 64), 20 * PAGE_TABLE_BYTES_PER_SEGMENT,
                               HARNESS_COMMITTED));
    ck_assert(harness_range_is((uintptr_t)segment_at(index), 20 * sizeof(struct segment),
                               HARNESS_COMMITTED));
    ck_assert(harness_range_is((uintptr_t)&ro.local_heaps[index * 64],
                               20 * LOCAL_TABLE_BYTES_PER_SEGMENT, HARNESS_COMMITTED));
}
END_TEST

START_TEST(a_segment_given_back_twice_is_reported) {
    uint32_t index = 0;
    ck_assert(region_take(1, 1, 1, &index));
    region_give(index, 1);
    core_expect_report(REPORT_CORRUPT_METADATA, give_twice, &index);
}
END_TEST

START_TEST(the_first_segment_is_not_the_same_in_every_start) {
    uint32_t seen[16], same = 0;
    for (unsigned i = 0; i < 16; i++) {
        core_start("region=1G");
        harness_set_seed(i);
        ck_assert(init_once());
        ck_assert(region_take(1, 1, 1, &seen[i]));
        for (unsigned j = 0; j < i; j++) same += seen[i] == seen[j];
    }
    ck_assert_uint_le(same, 4); /* of 120 pairs; one in 255 is expected */
}
END_TEST

START_TEST(a_damaged_count_or_bitmap_does_not_validate) {
    struct region *region = ro.region;
    ck_assert(region_validate());
    region->in_use++;
    ck_assert(!region_validate());
    region->in_use--;
    region->taken[1] ^= bit64(5);
    ck_assert(!region_validate());
    region->taken[1] ^= bit64(5);
    uint32_t span = region->span;
    region->span = region->window_end - 1;
    ck_assert(!region_validate());
    region->span = span;
    ck_assert(region_validate());
}
END_TEST

/* --- Growth ---------------------------------------------------------------------------------- */

/* A first window that leaves space to grow, as under an address-space limit, without limiting this
   process. */
static void start_with_room_to_grow(void) {
    struct random random;
    struct region_plan plan = {0, 0, 0};
    core_start_ready("region=64M");
    random_seed_fixed(&random, 1);
    harness_set_seed(2);
    ck_assert(region_reserve(&random, 512 * MIB, 0, &plan));
    ck_assert_uint_eq(plan.window, 128 * MIB);
    ck_assert_uint_eq(plan.span, 512 * MIB);
    ck_assert_uint_eq(plan.base % SEGMENT_SIZE, 0);
}

START_TEST(a_limit_leaves_most_of_the_address_space_to_the_program) { start_with_room_to_grow(); }
END_TEST

static bool limit_address_space(size_t bytes) {
    struct rlimit limit = {bytes, bytes};
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limited address space\n");
        return false;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    core_start_ready("purge_delay=300");
    return true;
}

START_TEST(under_a_limit_the_region_grows_to_what_the_limit_allows) {
    if (!limit_address_space(GIB)) return;
    uint32_t first = ro.region->window_end, count = 0, index = 0;
    ck_assert_uint_le(first, 64);
    ck_assert_uint_eq(ro.region->span, 4 * first);
    for (; region_take(1, 1, 1, &index); count++) {
        core_require(index >= 1 && index < ro.region->window_end &&
                     ro.region->window_end <= ro.region->span);
        core_require(harness_range_is(segment_address(index), SEGMENT_SIZE, HARNESS_RESERVED));
        core_require(region_commit_segment(segment_address(index)));
    }
    check_region();
    ck_assert_uint_gt(ro.region->window_end, first);
    ck_assert_uint_ge(count, 128); /* half of the limit at least */
    for (int i = 0; i < 3; i++) ck_assert(!region_take(1, 1, 1, &index));
    check_region();
}
END_TEST

START_TEST(a_run_may_be_longer_than_the_first_window) {
    if (!limit_address_space(2 * GIB)) return;
    uint32_t first = ro.region->window_end, index = 0;
    ck_assert(region_take(first + first / 4, 1, 1, &index));
    ck_assert(
        os_commit((void *)segment_address(index), (size_t)(first + first / 4) << SEGMENT_SHIFT));
    check_region();
}
END_TEST

/* Something else may have come to lie in the range that the tables cover: it is left alone, and
   growth goes on behind it. */
START_TEST(growth_goes_around_what_something_else_has_mapped) {
    if (!limit_address_space(4 * GIB)) return;
    uint32_t first = ro.region->window_end, count = 0, index = 0;
    uintptr_t where = segment_address(first + 2);
    void *other = mmap((void *)where, 3 * SEGMENT_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_uint_eq((uintptr_t)other, where);
    for (; region_take(1, 1, 1, &index); count++)
        core_require(index < first + 2 || index >= first + 5);
    check_region();
    ck_assert_msg(count > first + 16, "%u segments in all, %u in the first window", count, first);
}
END_TEST

/* --- Guards ---------------------------------------------------------------------------------- */

static uintptr_t commit_one(const char *options) {
    uint32_t index = 0;
    core_start_ready(options);
    ck_assert(region_take(1, 1, 1, &index));
    ck_assert(region_commit_segment(segment_address(index)));
    ck_assert(
        harness_range_is(segment_address(index), SEGMENT_SIZE - ro.os_page, HARNESS_COMMITTED));
    return segment_address(index) + SEGMENT_SIZE - ro.os_page;
}

START_TEST(the_last_os_page_of_a_segment_is_inaccessible) {
    uintptr_t last = commit_one("region=1G");
    ck_assert_int_ne(harness_range_state(last), HARNESS_COMMITTED);
    ck_assert(!os_can_read((const uint64_t *)last));
    last = commit_one("region=1G:guards=mprotect");
    ck_assert_int_ne(harness_range_state(last), HARNESS_COMMITTED);
    ck_assert(!os_can_read((const uint64_t *)last));
    ck_assert_uint_eq(harness_call_count(OS_GUARD), 0);
    last = commit_one("region=1G:guards=off");
    ck_assert_int_eq(harness_range_state(last), HARNESS_COMMITTED);
}
END_TEST

START_TEST(a_kernel_without_guard_markers_is_asked_once) {
    core_start_ready("region=1G");
    harness_fail_from(OS_GUARD, 1);
    for (int i = 0; i < 5; i++) {
        uint32_t index = 0;
        ck_assert(region_take(1, 1, 1, &index));
        ck_assert(region_commit_segment(segment_address(index)));
        ck_assert(
            !os_can_read((const uint64_t *)(segment_address(index) + SEGMENT_SIZE - ro.os_page)));
    }
    ck_assert_uint_eq(harness_call_count(OS_GUARD), 1);
    ck_assert_uint_eq(ro.region->guards_missing, 0);
}
END_TEST

START_TEST(a_guard_that_cannot_be_had_is_counted) {
    core_start_ready("region=1G");
    harness_fail_from(OS_GUARD, 1);
    harness_fail_from(OS_PROTECT, 1);
    uint32_t index = 0;
    ck_assert(region_take(1, 1, 1, &index));
    ck_assert(region_commit_segment(segment_address(index)));
    ck_assert_uint_eq(ro.region->guards_missing, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("region");
    TCase *group = tcase_create("region");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_run_is_where_the_region_is_and_never_the_first_segment);
    tcase_add_loop_test(group, runs_agree_with_a_model, 0, 4);
    tcase_add_test(group, an_exhausted_region_says_no_and_stays_usable);
    tcase_add_test(group, a_failed_table_takes_nothing);
    tcase_add_test(group, a_run_of_which_few_tables_are_needed_makes_few_writable);
    tcase_add_test(group, a_segment_given_back_twice_is_reported);
    tcase_add_test(group, the_first_segment_is_not_the_same_in_every_start);
    tcase_add_test(group, a_damaged_count_or_bitmap_does_not_validate);
    tcase_add_test(group, a_limit_leaves_most_of_the_address_space_to_the_program);
    tcase_add_test(group, under_a_limit_the_region_grows_to_what_the_limit_allows);
    tcase_add_test(group, a_run_may_be_longer_than_the_first_window);
    tcase_add_test(group, growth_goes_around_what_something_else_has_mapped);
    tcase_add_test(group, the_last_os_page_of_a_segment_is_inaccessible);
    tcase_add_test(group, a_kernel_without_guard_markers_is_asked_once);
    tcase_add_test(group, a_guard_that_cannot_be_had_is_counted);
    suite_add_tcase(suite, group);
    return core_run(suite);
}
