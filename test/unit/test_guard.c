/*
 * test_guard: which memory of a run can be touched (src/meta/guard.h), with markers, without, and
 * where each system call fails in turn.
 */
#define _GNU_SOURCE
#include "core.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "alloc/memory_lock.h"
#include "meta/guard.h"

enum { ROUNDS = 300 };

/* --- What must hold -------------------------------------------------------------------------- */

static bool can_touch(uintptr_t address) { return os_can_read((const uint64_t *)address); }

static void expect_open(uintptr_t start, const struct guarded *guarded) {
    uintptr_t behind = start + guarded->bytes;
    uintptr_t last = start + ((uintptr_t)guarded->run << SEGMENT_SHIFT) - ro.os_page;
    core_require(harness_range_is(start, guarded->bytes, HARNESS_COMMITTED));
    core_require(can_touch(start) && can_touch(behind - ro.os_page));
    if (guarded->means == GUARD_NONE) return;
    core_require(!can_touch(behind) && !can_touch(last));
    core_require(harness_range_state(behind) != HARNESS_COMMITTED);
    core_require(harness_range_state(last) != HARNESS_COMMITTED);
}

static void expect_closed(uintptr_t start, uint32_t run) {
    core_require(harness_range_is(start, (size_t)run << SEGMENT_SHIFT, HARNESS_RESERVED));
}

static struct guarded some(uint64_t *random, uint32_t most) {
    struct guarded guarded = {0, 1 + (uint32_t)core_below(random, most), GUARD_NONE, false, 0};
    size_t pages = ((size_t)guarded.run << SEGMENT_SHIFT) / ro.os_page;
    size_t least = guarded.run == 1 ? 1 : pages - SEGMENT_SIZE / ro.os_page;
    guarded.bytes = (least + core_below(random, pages - least)) * ro.os_page;
    return guarded;
}

/* The first and the last usable OS page are written and keep what was written as long as they are
   usable. */
static void write_ends(uintptr_t start, const struct guarded *guarded, char mark) {
    *(volatile char *)start = mark;
    *(volatile char *)(start + guarded->bytes - 1) = mark;
}

/* --- Runs ------------------------------------------------------------------------------------ */

static const struct {
    const char *options;
    void (*prepare)(void);
    uint8_t means;
} worlds[] = {
    {"region=1G", NULL, GUARD_MARKER},
    {"region=1G:guards=mprotect", NULL, GUARD_SPLIT},
    {"region=1G:guards=off", NULL, GUARD_NONE},
    {"region=1G", harness_ignore_markers, GUARD_SPLIT},
};

static void start_in_world(int number) {
    core_start(worlds[number].options);
    if (worlds[number].prepare != NULL) worlds[number].prepare();
    ck_assert(init_once());
}

/* On a kernel without markers the first world is as the second. */
static uint8_t means_of_world(int number) {
    bool refused = ro.region->markers == MARKERS_REFUSED;
    return worlds[number].means == GUARD_MARKER && refused ? GUARD_SPLIT : worlds[number].means;
}

START_TEST(runs_are_opened_resized_and_closed) {
    enum { MOST = 4 };
    uint64_t random = (uint64_t)_i;
    uint32_t index = 0;
    start_in_world(_i);
    ck_assert(region_take(MOST, 1, &index));
    uintptr_t start = segment_address(index);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct guarded guarded = some(&random, MOST);
        core_require(guard_open(start, 0, &guarded));
        core_require(guarded.means == means_of_world(_i));
        for (unsigned i = 0; i < 4; i++) {
            expect_open(start, &guarded);
            write_ends(start, &guarded, (char)(i + 1));
            size_t kept = guarded.bytes;
            struct guarded next = some(&random, MOST);
            core_require(guard_resize(start, &guarded, next.bytes, next.run));
            core_require(guarded.bytes == next.bytes && guarded.run == next.run);
            core_require(*(volatile char *)start == (char)(i + 1));
            if (kept <= guarded.bytes)
                core_require(*(volatile char *)(start + kept - 1) == (char)(i + 1));
            /* what is new is zero, or was in the run before */
            expect_closed(start + ((uintptr_t)guarded.run << SEGMENT_SHIFT), MOST - guarded.run);
        }
        core_require(guard_close(start, &guarded));
        expect_closed(start, MOST);
    }
    ck_assert_uint_eq(ro.region->splits, 0);
    ck_assert_uint_eq(ro.region->guards_missing, 0);
}
END_TEST

/* Neighbours that are opened one after the other stay one mapping where there are markers. */
START_TEST(with_markers_many_runs_are_one_mapping) {
    enum { RUNS = 100 };
    start_in_world(0);
    size_t before = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        uint32_t index = 0;
        struct guarded guarded = {MIB, 1, GUARD_NONE, false, 0};
        ck_assert(region_take(1, 1, &index));
        ck_assert(guard_open(segment_address(index), 0, &guarded));
        if (guarded.means != GUARD_MARKER) return; /* the kernel has none: see the next test */
        if (i == 0) before = harness_mapping_count();
    }
    ck_assert_uint_le(harness_mapping_count(), before + 1);
}
END_TEST

static bool refuse_markers(long number, const long *arguments, long *result) {
    *result = -EINVAL;
    return number == SYS_madvise && arguments[2] == 102;
}

/* A program may lock what is mapped before its first block, and unlock it later. */
START_TEST(what_locked_memory_refuses_proves_nothing) {
    uint32_t index = 0;
    start_in_world(0);
    ck_assert(region_take(1, 1, &index));
    uintptr_t page = segment_address(index);
    ck_assert(os_commit((void *)page, SEGMENT_SIZE));
    bool there = guard_mark(page); /* does the kernel have markers? */
    ro.region->markers = MARKERS_UNKNOWN;
    memory_lock_begins();
    memory_lock_changed((struct memory_lock){false, false, false});
    harness_set_kernel(refuse_markers);
    ck_assert(!guard_mark(page + ro.os_page));
    ck_assert_int_eq(ro.region->markers, MARKERS_UNKNOWN);
    harness_set_kernel(NULL);
    memory_unlocked();
    ck_assert(guard_mark(page + 2 * ro.os_page) == there);
    ck_assert_int_eq(ro.region->markers, there ? MARKERS_PROVED : MARKERS_REFUSED);
    ck_assert_uint_eq(ro.region->guards_missing, 0);
}
END_TEST

/* Without them each costs two, until a quarter of what the process may have is used up. */
START_TEST(splits_end_at_a_quarter_of_what_a_process_may_have) {
    struct guarded guarded = {MIB, 1, GUARD_NONE, false, 0};
    uint32_t index = 0;
    start_in_world(1);
    ck_assert(region_take(1, 1, &index));
    ro.region->splits = ro.mappings_max / 4 - 1;
    ck_assert(guard_open(segment_address(index), 0, &guarded));
    ck_assert_int_eq(guarded.means, GUARD_SPLIT);
    ck_assert(region_take(1, 1, &index));
    ck_assert(guard_open(segment_address(index), 0, &guarded));
    ck_assert_int_eq(guarded.means, GUARD_NONE);
    ck_assert_uint_eq(ro.region->guards_missing, 1);
    ck_assert(!guard_take_split());
    ck_assert(guard_close(segment_address(index), &guarded));
    ck_assert(!guard_take_split());
    guarded.means = GUARD_SPLIT;
    ck_assert(guard_close(segment_address(index), &guarded));
    ck_assert(guard_take_split());
}
END_TEST

/* The program's own mappings may be too many: then some that were put by are given up, and guards
   are left out until as many can be had again. */
START_TEST(without_mappings_a_run_goes_without_a_guard) {
    uint32_t index = 0;
    start_in_world(1);
    ck_assert(guard_take_split()); /* the first of all */
    for (uint64_t refused = 0; refused <= 2; refused++) {
        struct guarded guarded[3] = {
            {MIB, 1, 0, false, 0}, {MIB, 1, 0, false, 0}, {MIB, 1, 0, false, 0}};
        size_t missing = ro.region->guards_missing;
        for (unsigned i = 0; i < 3; i++) {
            ck_assert(region_take(1, 1, &index));
            harness_fail_budget(refused);
            if (i == 1 && refused != 0) harness_fail_from(OS_COMMIT, 1);
            if (i == 2 && refused != 0) harness_fail_nth(OS_RESERVE, 1);
            ck_assert(guard_open(segment_address(index), 0, &guarded[i]));
            bool is_short = refused != 0 && i != 0;
            ck_assert_msg(guarded[i].means == (is_short ? GUARD_NONE : GUARD_SPLIT),
                          "run %u, %u refused", i, (unsigned)refused);
            ck_assert(ro.region->mappings_short == is_short);
            ck_assert((ro.region->put_by == 0) == is_short);
            harness_fail_none();
            harness_fail_budget(UINT64_MAX);
        }
        ck_assert_uint_eq(ro.region->guards_missing, missing + (refused != 0 ? 2 : 0));
        ck_assert(guard_take_split());
        ck_assert(!ro.region->mappings_short && ro.region->put_by != 0);
        guard_give_split();
    }
}
END_TEST

/* --- Covered runs ----------------------------------------------------------------------------- */

static void expect_covered(uintptr_t start) {
    size_t size = GUARD_COVERED_MAX + ro.os_page;
    core_require(harness_range_is(start, size, HARNESS_GUARDED));
    for (size_t at = 0; at < size; at += ro.os_page) core_require(!can_touch(start + at));
    core_require(!can_touch(start + SEGMENT_SIZE - ro.os_page));
}

/* Where a run of three OS pages lies that markers guard; 0: the kernel has none. */
static uintptr_t open_to_be_covered(struct guarded *guarded) {
    uint32_t index = 0;
    start_in_world(0);
    *guarded = (struct guarded){3 * ro.os_page, 1, GUARD_NONE, false, 0};
    ck_assert(region_take(1, 1, &index));
    ck_assert(guard_open(segment_address(index), 0, guarded));
    return guarded->means == GUARD_MARKER ? segment_address(index) : 0;
}

/* Between its lives the guard lies behind any size, and a resize leaves it as good as another. */
START_TEST(a_covered_run_is_opened_and_covered_by_one_call_each) {
    uint64_t random = 7;
    size_t most = GUARD_COVERED_MAX / ro.os_page;
    struct guarded guarded;
    uintptr_t start = open_to_be_covered(&guarded);
    if (start == 0) return;
    for (unsigned round = 0; round < ROUNDS; round++) {
        write_ends(start, &guarded, 7);
        core_require(guard_cover(start, &guarded));
        core_require(guarded.means == GUARD_COVERED && guarded.bytes == 0);
        expect_covered(start);
        uint64_t calls = harness_call_count(OS_GUARD);
        core_require(guard_uncover(start, (1 + core_below(&random, most)) * ro.os_page, &guarded));
        core_require(harness_call_count(OS_GUARD) == calls + 1);
        expect_open(start, &guarded);
        for (size_t at = 0; at < guarded.bytes; at += 8)
            core_require(*(const uint64_t *)(start + at) == 0);
        for (unsigned i = round % 3; i < 2; i++) {
            size_t bytes = (1 + core_below(&random, most)) * ro.os_page;
            core_require(guard_resize(start, &guarded, bytes, 1));
            expect_open(start, &guarded);
        }
    }
    ck_assert(guard_close(start, &guarded));
    ck_assert_uint_eq(ro.region->splits, 0);
}
END_TEST

/* A resize after which no guard was to be had leaves markers further up: the next one that grows
   takes them away. */
START_TEST(a_run_without_guard_has_no_marker_in_what_it_grows_to) {
    struct guarded guarded;
    uintptr_t start = open_to_be_covered(&guarded);
    if (start == 0) return;
    ck_assert(guard_cover(start, &guarded));
    ck_assert(guard_uncover(start, 4 * ro.os_page, &guarded));
    ro.region->memory_is_locked = true;
    harness_fail_from(OS_DECOMMIT, 1);
    ck_assert(guard_resize(start, &guarded, 8 * ro.os_page, 1));
    ck_assert_int_eq(guarded.means, GUARD_NONE);
    ck_assert(guard_resize(start, &guarded, 20 * ro.os_page, 1));
    for (size_t at = 0; at < guarded.bytes; at += ro.os_page) ck_assert(can_touch(start + at));
    harness_fail_none();
    ro.region->memory_is_locked = false;
    ck_assert(guard_close(start, &guarded));
}
END_TEST

/* Its memory is as it was, or the caller closes it by other means. */
static void expect_no_cover(struct guarded guarded) {
    struct guarded before = guarded;
    ck_assert(!guard_cover(segment_address(1), &guarded));
    ck_assert_mem_eq(&before, &guarded, sizeof before);
}

START_TEST(what_cannot_be_covered_is_left_alone) {
    struct guarded guarded = {MIB, 1, GUARD_MARKER, false, 0};
    start_in_world(_i);
    if (means_of_world(_i) != GUARD_MARKER) {
        guarded.means = means_of_world(_i); /* as such a run is open */
        expect_no_cover(guarded);
        return;
    }
    guarded.apart = true;
    expect_no_cover(guarded);
    guarded = (struct guarded){MIB + ro.os_page, 1, GUARD_MARKER, false, 0};
    expect_no_cover(guarded);
    guarded = (struct guarded){MIB, 1, GUARD_SPLIT, false, 0};
    expect_no_cover(guarded);
    guarded.means = GUARD_NONE;
    expect_no_cover(guarded);
    guarded.means = GUARD_MARKER;
    ro.region->memory_is_locked = true;
    expect_no_cover(guarded);
    ro.region->memory_is_locked = false;
    harness_fail_from(OS_GUARD, 1);
    expect_no_cover(guarded);
}
END_TEST

/* --- Limits ----------------------------------------------------------------------------------- */

/* A limit on data counts what may be written: a block's tail must not. */
START_TEST(under_a_data_limit_only_what_is_used_is_charged) {
    struct guarded guarded = {MIB, 1, GUARD_NONE, false, 0};
    struct rlimit limit = {16 * GIB, 16 * GIB};
    uint32_t index = 0;
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limit on data\n");
        return;
    }
    start_in_world(0);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert(region_take(1, 1, &index));
    ck_assert(guard_open(segment_address(index), 0, &guarded));
    ck_assert_int_eq(guarded.means, GUARD_SPLIT);
    expect_open(segment_address(index), &guarded);
    ck_assert_int_eq(harness_range_state(segment_address(index) + 2 * MIB), HARNESS_RESERVED);
}
END_TEST

/* It may be shut in where nobody may ask. */
START_TEST(a_child_asks_for_limits_once_until_it_sets_one) {
    struct rlimit limit = {16 * GIB, RLIM_INFINITY};
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limit on data\n");
        return;
    }
    start_in_world(0);
    ck_assert(!guard_charge_matters());
    guard_keep_limits();
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert(!guard_charge_matters());
    guard_ask_for_limits();
    ck_assert(guard_charge_matters());
    ck_assert(!guard_space_is_limited());
    guard_keep_limits(); /* what holds then is kept */
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert(guard_charge_matters());
    ck_assert(!guard_space_is_limited());
}
END_TEST

/* --- Failures -------------------------------------------------------------------------------- */

static const enum os_call kinds[] = {OS_COMMIT, OS_DECOMMIT, OS_PROTECT, OS_GUARD, OS_PURGE};

/* One run through a life with the calls of a kind failing from the n-th on, or that one alone. */
static bool live_with_failure(enum os_call kind, uint64_t n, bool for_long, int world) {
    uint32_t index = 0;
    struct guarded guarded = {MIB, 2, GUARD_NONE, false, 0};
    start_in_world(world);
    core_require(region_take(2, 1, &index));
    uintptr_t start = segment_address(index);
    if (for_long)
        harness_fail_from(kind, n);
    else
        harness_fail_nth(kind, n);
    static const struct {
        size_t bytes;
        uint32_t run;
    } steps[] = {{5 * MIB, 2}, {6 * MIB, 2}, {3 * MIB, 1}, {7 * MIB, 2}, {MIB, 1}};
    bool open = guard_open(start, 0, &guarded);
    if (!open) expect_closed(start, 2);
    for (size_t i = 0; open && i < sizeof steps / sizeof *steps; i++) {
        struct guarded before = guarded;
        write_ends(start, &guarded, 7);
        bool ok = guard_resize(start, &guarded, steps[i].bytes, steps[i].run);
        if (!ok) core_require(memcmp(&before, &guarded, sizeof before) == 0);
        expect_open(start, &guarded);
        core_require(*(volatile char *)start == 7);
        if (!ok) core_require(*(volatile char *)(start + guarded.bytes - 1) == 7);
    }
    bool met = harness_failures() != 0;
    harness_fail_none();
    if (open) core_require(guard_close(start, &guarded));
    core_require(ro.region->splits == 0);
    expect_closed(start, 2);
    return met;
}

START_TEST(each_call_that_fails_leaves_a_run_as_it_was_or_as_it_should_be) {
    for (int world = 0; world < 3; world++)
        for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
            for (int for_long = 0; for_long < 2; for_long++)
                for (uint64_t n = 1; live_with_failure(kinds[kind], n, for_long != 0, world); n++)
                    ck_assert_uint_lt(n, 100);
}
END_TEST

/* As valgrind answers the question whether a word can be read. */
static bool play_all_can_be_read(long number, const long *arguments, long *result) {
    if (number != SYS_rt_sigprocmask || arguments[0] != INT_MAX) return false;
    *result = -EINVAL;
    return true;
}

START_TEST(a_marker_that_is_not_proved_is_none) {
    uint32_t index = 0;
    core_start_ready("region=1G");
    ck_assert(region_take(1, 1, &index));
    uintptr_t start = segment_address(index), last = start + SLOT_SIZE - ro.os_page;
    ck_assert(guard_open_part(start, 0, SLOT_SIZE));
    harness_set_kernel(play_all_can_be_read);
    ck_assert(!guard_mark(last));
    harness_set_kernel(NULL);
    ck_assert(harness_range_is(start, SLOT_SIZE, HARNESS_COMMITTED));
    memset((void *)last, 1, ro.os_page);
    ck_assert_int_eq(ro.region->markers, MARKERS_REFUSED);
}
END_TEST

START_TEST(a_kernel_that_refuses_markers_is_asked_once) {
    start_in_world(0);
    harness_fail_from(OS_GUARD, 1);
    for (int i = 0; i < 5; i++) {
        uint32_t index = 0;
        struct guarded guarded = {MIB, 1, GUARD_NONE, false, 0};
        ck_assert(region_take(1, 1, &index));
        ck_assert(guard_open(segment_address(index), 0, &guarded));
        expect_open(segment_address(index), &guarded);
        ck_assert_int_eq(guarded.means, GUARD_SPLIT);
    }
    ck_assert_uint_eq(harness_call_count(OS_GUARD), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("guard");
    TCase *group = tcase_create("guard");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, runs_are_opened_resized_and_closed, 0,
                        sizeof worlds / sizeof *worlds);
    tcase_add_test(group, with_markers_many_runs_are_one_mapping);
    tcase_add_test(group, what_locked_memory_refuses_proves_nothing);
    tcase_add_test(group, splits_end_at_a_quarter_of_what_a_process_may_have);
    tcase_add_test(group, without_mappings_a_run_goes_without_a_guard);
    tcase_add_test(group, a_covered_run_is_opened_and_covered_by_one_call_each);
    tcase_add_test(group, a_run_without_guard_has_no_marker_in_what_it_grows_to);
    tcase_add_loop_test(group, what_cannot_be_covered_is_left_alone, 0,
                        sizeof worlds / sizeof *worlds);
    tcase_add_test(group, under_a_data_limit_only_what_is_used_is_charged);
    tcase_add_test(group, a_child_asks_for_limits_once_until_it_sets_one);
    tcase_add_test(group, each_call_that_fails_leaves_a_run_as_it_was_or_as_it_should_be);
    tcase_add_test(group, a_marker_that_is_not_proved_is_none);
    tcase_add_test(group, a_kernel_that_refuses_markers_is_asked_once);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
