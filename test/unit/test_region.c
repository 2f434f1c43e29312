/*
 * test_region: the address range of the segments (src/meta/region.h): runs against a model,
 * windows and tables in step, what lies in the way, limits, guards.
 */
#define _GNU_SOURCE
#include "core.h"

#include <stdio.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static bool open_segment(uint32_t index) {
    struct guarded whole = {SEGMENT_SIZE - ro.os_page, 1, GUARD_NONE, false, 0};
    return guard_open(segment_address(index), 0, &whole);
}

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
        ck_assert(region_take(1, 1, &index));
        ck_assert_uint_ge(index, 1);
        ck_assert_uint_lt(index, ro.region->extent);
        ck_assert(region_contains(segment_address(index)));
        ck_assert(region_contains(segment_address(index) + SEGMENT_SIZE - 1));
        ck_assert_uint_eq(segment_address(index) % SEGMENT_SIZE, 0);
    }
    ck_assert(!region_contains(ro.region_base - 1));
    uintptr_t end = segment_address(ro.region->extent);
    ck_assert(region_contains(end - 1));
    ck_assert(!region_contains(end));
    ck_assert_int_eq(harness_range_state(segment_address(1) - 1), HARNESS_RESERVED);
    ck_assert_int_eq(harness_range_state(end), HARNESS_FOREIGN);
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
    bool got = region_take(count, align, &index);
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
    ck_assert_uint_eq(ro.region->span, MODEL_SLOTS);
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
        core_require(region_in_use() == taken);
        core_require(region_validate());
    }
}
END_TEST

START_TEST(an_exhausted_region_says_no_and_stays_usable) {
    uint32_t taken[256], count = 0, index = 0, more = 0;
    while (region_take(1, 1, &index)) taken[count++] = index;
    ck_assert_uint_eq(count, 255); /* 1 GiB, less the first */
    for (int i = 0; i < 3; i++) ck_assert(!region_take(1, 1, &more));
    ck_assert(!region_take(UINT32_MAX / 2, 1, &more));
    ck_assert_uint_eq(more, 0);
    check_region();
    region_give(taken[77], 1);
    ck_assert(region_take(1, 1, &index));
    ck_assert_uint_eq(index, taken[77]);
    for (uint32_t i = 0; i < count; i++) region_give(taken[i], 1);
    ck_assert(region_take(255, 1, &index));
    ck_assert_uint_eq(index, 1);
    check_region();
}
END_TEST

/* Each call of a growth fails in turn: nothing is taken, and the next attempt succeeds. */
START_TEST(a_failed_growth_takes_nothing) {
    static const enum os_call kinds[] = {OS_RESERVE, OS_COMMIT, OS_PROTECT};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (uint64_t n = 1;; n++) {
            uint32_t index = 0;
            core_start_ready("region=1G");
            while (region_take(1, 1, &index) && index + 1 < ro.region->extent) {
            }
            uint32_t before = region_in_use(), extent = ro.region->extent;
            harness_fail_from(kinds[kind], n);
            bool got = region_take(1, 1, &index);
            bool met = harness_failures() != 0;
            ck_assert_uint_eq(region_in_use(), before + got);
            if (!got) ck_assert_uint_eq(ro.region->extent, extent);
            check_region();
            harness_fail_none();
            ck_assert(got || region_take(1, 1, &index));
            check_region();
            if (!met) break;
            ck_assert_uint_lt(n, 1000);
        }
}
END_TEST

static uint64_t mappings_asked;

static bool count_mappings(long number, const long *arguments, long *result) {
    (void)arguments;
    (void)result;
    mappings_asked += number == SYS_mmap;
    return false;
}

static uint32_t fill_extent(void) {
    uint32_t index = 0;
    do core_require(region_take(1, 1, &index));
    while (region_in_use() < ro.region->extent);
    return index;
}

/* The lowest run by looking at each segment; UINT32_MAX: none below the extent. */
static uint32_t lowest_run(uint32_t count, uint32_t align) {
    uint32_t length = 0, base = (uint32_t)(ro.region_base >> SEGMENT_SHIFT);
    for (uint32_t index = 1; index < ro.region->extent; index++) {
        bool is_free = (region_free_segments(ro.region, index / 64) >> index % 64 & 1) != 0;
        bool may_begin = length != 0 || (base + index) % align == 0;
        length = is_free && may_begin ? length + 1 : 0;
        /* a run that began at an aligned address goes on at others */
        if (length == count) return index + 1 - count;
    }
    return UINT32_MAX;
}

START_TEST(the_lowest_run_is_found_among_any_holes) {
    enum { SEGMENTS = 700, PATTERNS = 300 };
    static const uint32_t counts[] = {1, 2, 3, 5, 8, 16, 17, 31, 62, 63, 64, 65, 100, 130};
    uint64_t random = 7;
    uint32_t index = 0;
    core_start_ready("region=8G");
    while (ro.region->extent < SEGMENTS) ck_assert(region_take(1, 1, &index));
    for (unsigned pattern = 0; pattern < PATTERNS; pattern++) {
        uint64_t share = core_below(&random, 6);
        for (uint32_t word = 0; word * 64 < ro.region->extent; word++) {
            uint64_t taken = core_next(&random);
            for (uint64_t k = 0; k < share; k++) taken &= core_next(&random);
            if (share != 0 && core_below(&random, 3) == 0) taken = 0;
            ro.region->taken[word] = word == 0 ? taken | 1 : taken;
        }
        uint32_t count = counts[core_below(&random, sizeof counts / sizeof *counts)];
        for (uint32_t number = 0; number < RUN_LENGTHS; number++) ro.region->none_below[number] = 0;
        uint32_t align = pattern % 4 == 0 ? 2u << core_below(&random, 4) : 1;
        if (align != 1) count = 1 + count % 4;
        uint32_t expected = lowest_run(count, align);
        if (expected == UINT32_MAX) continue;
        ck_assert(region_take(count, align, &index));
        if (align == 1) ck_assert_uint_eq(index, expected);
        ck_assert_uint_eq(((ro.region_base >> SEGMENT_SHIFT) + index) % align, 0);
    }
    core_stop();
    core_setup();
}
END_TEST

static void nobody_comes_between(void) {}

/* Every second segment is free: no two are, and a word tells so in one step. */
START_TEST(holes_that_are_too_short_cost_no_steps_of_their_own) {
    uint32_t index = 0;
    core_start_ready("region=16G");
    while (ro.region->extent < 2000) ck_assert(region_take(1, 1, &index));
    uint32_t last = fill_extent();
    for (uint32_t i = 1; i < last; i += 2) region_give(i, 1);
    core_interleave(UINT64_MAX, nobody_comes_between);
    ck_assert(region_take(40, 1, &index));
    core_interleave_end();
    ck_assert_uint_gt(index, last);
    ck_assert_uint_lt(core_step, ro.region->extent / 64 * 2 + 100);
}
END_TEST

/* Each window counts against the limit of locked memory, used or not. */
START_TEST(where_memory_is_locked_windows_are_single_segments) {
    core_start_ready("region=1G");
    for (unsigned i = 0; i < 8; i++) (void)fill_extent();
    uint32_t extent = ro.region->extent, index = 0;
    atomic_store_relaxed(&ro.region->memory_is_locked, true);
    for (uint32_t i = 1; i <= 8; i++) {
        ck_assert(region_take(1, 1, &index));
        ck_assert_uint_eq(ro.region->extent, extent + i);
    }
    ck_assert(region_take(3, 1, &index)); /* as many as are wanted */
    ck_assert_uint_eq(ro.region->extent, extent + 11);
    atomic_store_relaxed(&ro.region->memory_is_locked, false);
    ck_assert(region_take(1, 1, &index));
    ck_assert_uint_gt(ro.region->extent, extent + 12);
    check_region();
}
END_TEST

static bool refuse_data(long number, const long *arguments, long *result) {
    mappings_asked += number == SYS_mmap;
    if (number != SYS_mmap || arguments[2] == PROT_NONE) return false;
    *result = -(long)ENOMEM;
    return true;
}

/* Addresses are there, and nothing is in the way: a limit on data is met at any place. */
START_TEST(where_tables_cannot_grow_no_other_place_is_tried) {
    core_start_ready("region=4G");
    for (unsigned i = 0; i < 6; i++) (void)fill_extent();
    uint32_t extent = ro.region->extent, index = 0;
    for (unsigned i = 1; i <= 3; i++) {
        mappings_asked = 0;
        harness_set_kernel(refuse_data);
        ck_assert(!region_take(1, 1, &index));
        harness_set_kernel(NULL);
        ck_assert_uint_lt(mappings_asked, i == 1 ? 60 : 10);
        ck_assert_uint_eq(ro.region->extent, extent);
        check_region();
    }
    ck_assert_uint_eq(ro.region->growth_blocked, 0);
    ck_assert(region_take(1, 1, &index));
    check_region();
}
END_TEST

/* What another mapping behind a table forbids is counted, costs a few calls an attempt, and is
   possible again when that mapping has gone. */
START_TEST(a_mapping_behind_a_table_stops_growth_for_that_long) {
    core_start_ready("region=4G");
    if (region_table_bytes((enum region_table)_i, 1) == 0) return; /* of the strict level alone */
    uint32_t last = fill_extent(), extent = ro.region->extent, index = 0;
    const struct table *table = &ro.region->tables[_i];
    uintptr_t behind = table->start + table->mapped;
    /* the small tables have room for some segments more in their last page */
    size_t least = (size_t)(table->mapped / region_table_bytes((enum region_table)_i, 1)) + 1;
    uint32_t count = (uint32_t)least - extent > 0 ? (uint32_t)least - extent + 1 : 1;
    void *theirs = mmap((void *)behind, ro.os_page, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_uint_eq((uintptr_t)theirs, behind);
    for (unsigned i = 1; i <= 3; i++) {
        mappings_asked = 0;
        harness_set_kernel(count_mappings);
        ck_assert(!region_take(count, 1, &index));
        harness_set_kernel(NULL);
        ck_assert_uint_lt(mappings_asked, i == 1 ? 60 : 10);
        ck_assert_uint_eq(ro.region->growth_blocked, i);
        ck_assert(ro.region->tables_blocked);
        ck_assert_uint_eq(ro.region->extent, extent);
        check_region();
        /* what is given back is had again */
        region_give(last, 1);
        ck_assert(region_take(1, 1, &index));
        ck_assert_uint_eq(index, last);
    }
    ck_assert_uint_eq(core_stats().growth_blocked, 3);
    ck_assert_int_eq(munmap(theirs, ro.os_page), 0);
    ck_assert(region_take(count, 1, &index));
    ck_assert(!ro.region->tables_blocked);
    ck_assert_uint_eq(ro.region->growth_blocked, 3);
    check_region();
}
END_TEST

static bool tables_reach(uint32_t segments) {
    const uintptr_t starts[] = {(uintptr_t)ro.segments, (uintptr_t)ro.pages,
                                (uintptr_t)ro.local_heaps, ro.maps, (uintptr_t)ro.requests};
    for (enum region_table i = 0; i < REGION_TABLES; i++) {
        size_t bytes = round_up(region_table_bytes(i, segments), ro.os_page);
        if (bytes == 0) continue; /* of another level */
        if (!harness_range_is(starts[i], bytes, HARNESS_COMMITTED)) return false;
        if (harness_range_state(starts[i] + bytes) != HARNESS_FOREIGN) return false;
    }
    return true;
}

START_TEST(windows_double_and_the_tables_follow) {
    uint32_t index = 0, extent = ro.region->extent, windows = 0;
    core_start_ready("region=8G");
    ck_assert_uint_eq(extent, 2);
    while (region_in_use() < 1500) {
        core_require(region_take(1, 1, &index));
        core_require(ro.region->extent <= 2 * extent + 256);
        windows += ro.region->extent != extent;
        extent = ro.region->extent;
        core_require(tables_reach(extent));
        core_require(ro_extent() == (uint64_t)extent * (SEGMENT_SIZE / GRANULE));
    }
    ck_assert_uint_le(windows, 8 + 1500 / 256 + 1);
    check_region();
}
END_TEST

static unsigned looks;

/* What a free of another thread would find, at this access of the one that grows. */
static void expect_tables_up_to_the_extent(const volatile void *word) {
    (void)word;
    uint32_t segments = (uint32_t)(ro_extent() >> (SEGMENT_SHIFT - GRANULE_SHIFT));
    const uintptr_t starts[] = {(uintptr_t)ro.segments, (uintptr_t)ro.pages,
                                (uintptr_t)ro.local_heaps, ro.maps, (uintptr_t)ro.requests};
    for (enum region_table i = 0; i < REGION_TABLES; i++)
        core_require(
            harness_range_is(starts[i], region_table_bytes(i, segments), HARNESS_COMMITTED));
    looks++;
}

/* At no access to a shared word of a growth, nor when one of its calls fails, is the extent ahead
   of a table. */
START_TEST(the_extent_is_never_ahead_of_the_tables) {
    for (uint64_t n = 0; n < 40; n++) {
        uint32_t index = 0;
        core_start_ready("region=8G");
        if (n != 0) harness_fail_nth(HARNESS_ANY_CALL, n);
        looks = 0;
        harness_set_atomic_hook(expect_tables_up_to_the_extent);
        for (unsigned i = 0; i < 40; i++) (void)region_take(1, 1, &index);
        harness_set_atomic_hook(NULL);
        ck_assert_uint_gt(looks, 100);
        check_region();
    }
}
END_TEST

START_TEST(segments_are_taken_in_address_order) {
    uint32_t index = 0, last = 0;
    for (int i = 0; i < 200; i++, last = index) {
        ck_assert(region_take(1, 1, &index));
        ck_assert_uint_eq(index, last + 1);
    }
    region_give(50, 1);
    region_give(20, 3);
    ck_assert(region_take(2, 1, &index));
    ck_assert_uint_eq(index, 20);
    ck_assert(region_take(1, 1, &index));
    ck_assert_uint_eq(index, 22);
    ck_assert(region_take(1, 1, &index));
    ck_assert_uint_eq(index, 50);
}
END_TEST

START_TEST(a_segment_given_back_twice_is_reported) {
    uint32_t index = 0;
    ck_assert(region_take(1, 1, &index));
    region_give(index, 1);
    core_expect_report(REPORT_CORRUPT_METADATA, give_twice, &index);
}
END_TEST

START_TEST(a_damaged_bitmap_or_extent_does_not_validate) {
    struct region *region = ro.region;
    ck_assert(region_validate());
    region->taken[0] ^= bit64(0); /* is barred */
    ck_assert(!region_validate());
    region->taken[0] ^= bit64(0);
    uint32_t span = region->span;
    region->span = region->extent - 1;
    ck_assert(!region_validate());
    region->span = span;
    ck_assert(region_validate());
}
END_TEST

/* --- Growth ---------------------------------------------------------------------------------- */

static bool limit_address_space(size_t bytes) {
    struct rlimit limit = {bytes, bytes};
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limited address space\n");
        return false;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    return true;
}

/* Set before the start or after it, the limit is what ends the growth. */
START_TEST(under_a_limit_the_region_grows_to_what_the_limit_allows) {
    if (_i == 0 && !limit_address_space(GIB)) return;
    core_start_ready(NULL);
    if (_i == 1 && !limit_address_space(GIB)) return;
    uint32_t count = 0, index = 0;
    for (; region_take(1, 1, &index); count++) {
        core_require(index >= 1 && index < ro.region->extent);
        core_require(harness_range_is(segment_address(index), SEGMENT_SIZE, HARNESS_RESERVED));
        core_require(open_segment(index));
    }
    check_region();
    ck_assert_uint_ge(count, 240); /* of 256 */
    for (int i = 0; i < 3; i++) ck_assert(!region_take(1, 1, &index));
    check_region();
}
END_TEST

START_TEST(a_run_may_be_longer_than_any_window) {
    uint32_t index = 0;
    core_start_ready("region=8G");
    ck_assert(region_take(1000, 1, &index));
    ck_assert_uint_eq(index, 1);
    ck_assert(os_commit((void *)segment_address(index), (size_t)1000 << SEGMENT_SHIFT));
    ck_assert(region_take(3, 128, &index));
    ck_assert(is_aligned(index, 128));
    ck_assert(region_extend(index, 3, 600));
    ck_assert(!region_extend(1, 1000, 600)); /* the other run is in the way */
    check_region();
}
END_TEST

static void map_something_at(uint32_t first, uint32_t count) {
    uintptr_t where = segment_address(first);
    void *other = mmap((void *)where, (size_t)count << SEGMENT_SHIFT, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_uint_eq((uintptr_t)other, where);
}

/* Something else may have come to lie where the region would grow: it is left alone, with a guard
   behind it, and growth goes on. */
START_TEST(growth_goes_around_what_something_else_has_mapped) {
    uint32_t index = 0;
    core_start_ready("region=4G");
    map_something_at(5, 3);
    map_something_at(60, 1);
    for (int count = 0; count < 200; count++) {
        core_require(region_take(1, 1, &index));
        core_require((index < 5 || index > 8) && index != 60 && index != 61);
    }
    check_region();
    ck_assert(region_take(300, 1, &index));
    check_region();
}
END_TEST

/* The thread that grew has published the extent, and no more. */
START_TEST(a_child_goes_around_what_its_parent_was_going_around) {
    uint32_t index = 0;
    core_start_ready("region=4G");
    map_something_at(5, 3);
    for (int i = 0; i < 5; i++) ck_assert(region_take(1, 1, &index));
    for (uint32_t i = 5; i <= 8; i++) {
        ck_assert(has_bit(ro.region->barred[0] & ro.region->taken[0], i));
        ro.region->taken[0] &= ~bit64(i);
    }
    region_lock()->word = 1;
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    for (uint32_t i = 5; i <= 8; i++) ck_assert(has_bit(ro.region->taken[0], i));
    for (int count = 0; count < 100; count++) {
        core_require(region_take(1, 1, &index));
        core_require(index < 5 || index > 8);
    }
    check_region();
}
END_TEST

/* It had cleared the bit, and not said yet that there is something to be found. */
START_TEST(what_a_gone_thread_had_given_back_is_found_in_a_child) {
    uint32_t given = 0, index = 0;
    core_start_ready("region=4G");
    ck_assert(region_take(1, 1, &given) && region_take(1, 1, &index));
    region_bar(index, 1); /* nobody takes this one back */
    ro.region->taken[0] &= ~bit64(given);
    ro.region->none_below[0] = ro.region->extent; /* as searches have left it */
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert(region_take(1, 1, &index));
    ck_assert_uint_eq(index, given);
    check_region();
}
END_TEST

/* Short holes, as many as may be, are not looked at again by each search for a longer run. */
START_TEST(a_search_for_a_run_passes_over_short_holes_once) {
    enum { HOLES = 500 };
    uint32_t index = 0;
    core_start_ready("region=64G");
    ck_assert(region_take(2 * HOLES + 2, 1, &index));
    for (uint32_t i = 0; i < HOLES; i++) region_give(index + 1 + 2 * i, 1);
    ck_assert(region_take(2, 1, &index));
    ck_assert_uint_ge(ro.region->none_below[1], 2 * HOLES);
    ck_assert(region_take(3, 1, &index));
    ck_assert_uint_ge(ro.region->none_below[2], 2 * HOLES);
    region_give(3, 1); /* 2 and 4 were holes */
    ck_assert_uint_eq(ro.region->none_below[2], 2);
    ck_assert(region_take(3, 1, &index));
    ck_assert_uint_eq(index, 2);
    check_region();
}
END_TEST

/* --- Guards ---------------------------------------------------------------------------------- */

static uintptr_t commit_one(const char *options) {
    uint32_t index = 0;
    core_start_ready(options);
    ck_assert(region_take(1, 1, &index));
    ck_assert(open_segment(index));
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
    last = commit_one("region=1G:dump=heap"); /* a debugger's core file would end at a marker */
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
        ck_assert(region_take(1, 1, &index));
        ck_assert(open_segment(index));
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
    harness_fail_from(OS_DECOMMIT, 1);
    uint32_t index = 0;
    ck_assert(region_take(1, 1, &index));
    ck_assert(open_segment(index));
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
    tcase_add_test(group, a_failed_growth_takes_nothing);
    tcase_add_test(group, the_lowest_run_is_found_among_any_holes);
    tcase_add_test(group, holes_that_are_too_short_cost_no_steps_of_their_own);
    tcase_add_test(group, where_memory_is_locked_windows_are_single_segments);
    tcase_add_test(group, where_tables_cannot_grow_no_other_place_is_tried);
    tcase_add_loop_test(group, a_mapping_behind_a_table_stops_growth_for_that_long, 0,
                        REGION_TABLES);
    tcase_add_test(group, windows_double_and_the_tables_follow);
    tcase_add_test(group, the_extent_is_never_ahead_of_the_tables);
    tcase_add_test(group, segments_are_taken_in_address_order);
    tcase_add_test(group, a_segment_given_back_twice_is_reported);
    tcase_add_test(group, a_damaged_bitmap_or_extent_does_not_validate);
    tcase_add_loop_test(group, under_a_limit_the_region_grows_to_what_the_limit_allows, 0, 2);
    tcase_add_test(group, a_run_may_be_longer_than_any_window);
    tcase_add_test(group, growth_goes_around_what_something_else_has_mapped);
    tcase_add_test(group, a_child_goes_around_what_its_parent_was_going_around);
    tcase_add_test(group, what_a_gone_thread_had_given_back_is_found_in_a_child);
    tcase_add_test(group, a_search_for_a_run_passes_over_short_holes_once);
    tcase_add_test(group, the_last_os_page_of_a_segment_is_inaccessible);
    tcase_add_test(group, a_kernel_without_guard_markers_is_asked_once);
    tcase_add_test(group, a_guard_that_cannot_be_had_is_counted);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
