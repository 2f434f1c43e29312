/*
 * test_huge_covered: blocks of the strict level that have a run of their own (src/heap/huge.c): how
 * their runs are closed and used again with one system call each, and what holds meanwhile.
 */
#include "core.h"

#include "alloc/strict.h"
#include "heap/huge.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct core_thread owner;

static void start(const char *options) {
    core_start_ready(options);
    owner = CORE_THREAD;
    core_be(&owner);
}
static void setup(void) { start("level=strict:region=4G"); }

static bool can_read(uintptr_t address) { return os_can_read((const uint64_t *)address); }

/* False: the kernel has no markers, and there is nothing to see. */
static bool has_markers(void) { return ro.region->markers == MARKERS_PROVED; }

static uintptr_t run_of(const void *block) { return segment_start(core_segment(block)); }

static char *make(size_t size) {
    char *block = alloc_block(size);
    core_require(block != NULL);
    return block;
}

/* Inside a run of its own, zero, and nothing beside it can be touched. */
static void expect_right(const char *block, size_t size) {
    uintptr_t run = run_of(block), end = round_up((uintptr_t)block + size, ro.os_page);
    core_require(owner_kind(core_segment(block)->owner) == OWNER_HUGE);
    core_require(harness_range_is(run, end - run, HARNESS_COMMITTED));
    core_require(!can_read(end) && !can_read(run - ro.os_page));
    core_require(!can_read(run + SEGMENT_SIZE - ro.os_page));
    for (size_t i = 0; i < size; i++)
        if (block[i] != 0) ck_abort_msg("byte %zu of %zu is not zero", i, size);
}

static void write_and_free(char *block, size_t size) {
    uintptr_t first = round_up((uintptr_t)block, 8), last = (uintptr_t)block + size - 1;
    memset(block, 7, size);
    alloc_free(block);
    core_require(!can_read(first) && !can_read(round_down(last, 8)));
    core_require(owner_kind(core_segment(block)->owner) == OWNER_FREED);
}

static size_t some_size(uint64_t *random) {
    return GUARDED_FROM + core_below(random, LARGE_MAX - GUARDED_FROM);
}

/* As many runs wait as it takes for one of them to be used again. */
static void fill_waiting(void) {
    char *blocks[HUGE_WAITING_LEAST + 1];
    for (unsigned i = 0; i <= HUGE_WAITING_LEAST; i++) blocks[i] = make(20000);
    for (unsigned i = 0; i <= HUGE_WAITING_LEAST; i++) write_and_free(blocks[i], 20000);
}

/* --- What a pair costs ------------------------------------------------------------------------ */

static unsigned calls;

static bool count_call(long number, const long *arguments, long *result) {
    (void)number, (void)arguments, (void)result;
    calls++;
    return false;
}

/* One that opens, one that closes, whatever the sizes are. */
START_TEST(a_pair_takes_two_system_calls) {
    enum { PAIRS = 300 };
    uint64_t random = 1;
    fill_waiting();
    if (!has_markers()) return;
    ck_assert_uint_eq(ro.huge->covered, HUGE_WAITING_LEAST + 1);
    harness_set_kernel(count_call);
    for (unsigned i = 0; i < PAIRS; i++) {
        size_t size = i < PAIRS / 2 ? 20000 : some_size(&random);
        char *block = make(size);
        block[0] = block[size - 1] = 1;
        alloc_free(block);
    }
    harness_set_kernel(NULL);
    ck_assert_uint_eq(calls, 2 * PAIRS);
    check_all();
}
END_TEST

/* --- Which run is used again ------------------------------------------------------------------ */

START_TEST(none_is_used_again_before_as_many_wait) {
    uintptr_t freed[HUGE_WAITING_LEAST];
    (void)make(20000); /* the first marker */
    if (!has_markers()) return;
    for (unsigned i = 0; i < HUGE_WAITING_LEAST; i++) {
        char *block = make(20000);
        freed[i] = run_of(block);
        for (unsigned k = 0; k < i; k++) core_require(freed[k] != freed[i]);
        alloc_free(block);
    }
    ck_assert_uint_eq(ro.huge->covered, HUGE_WAITING_LEAST);
    alloc_free(make(20000));
    char *block = make(20000); /* of those before it */
    bool again = false;
    for (unsigned i = 0; i < HUGE_WAITING_LEAST; i++) again |= freed[i] == run_of(block);
    ck_assert(again);
    alloc_free(block);
}
END_TEST

/* Over many pairs each of the others comes about as often as after any other number of pairs: a run
   that has just been freed is not the next, and waits for as many pairs as there are that wait, in
   the mean. */
START_TEST(which_is_used_again_is_drawn) {
    enum { PAIRS = 20000, SEGMENTS = 1024 };
    static unsigned freed_at[SEGMENTS];
    unsigned long sum = 0, count = 0, soon = 0, next = 0;
    if (_i != 0) alloc_free(alloc_block(16)); /* the thread gets a heap, and with it a generator */
    fill_waiting();
    ck_assert_int_eq(is_heap(owner.word), _i != 0);
    if (!has_markers()) return;
    for (unsigned i = 1; i <= PAIRS; i++) {
        char *block = make(20000);
        uint32_t index = segment_index(core_segment(block));
        if (freed_at[index] != 0) {
            unsigned waited = i - freed_at[index];
            sum += waited;
            soon += waited <= HUGE_WAITING_LEAST / 4;
            next += waited == 1;
            count++;
        }
        alloc_free(block);
        freed_at[index] = i;
    }
    ck_assert_uint_eq(next, 0);
    double mean = (double)sum / (double)count, share = (double)soon / (double)count;
    ck_assert_double_ge(mean, 0.95 * (HUGE_WAITING_LEAST + 1));
    ck_assert_double_le(mean, 1.05 * (HUGE_WAITING_LEAST + 1));
    ck_assert_double_ge(share, 0.19); /* 1 - (1 - 1/64)^15 = 0.21 */
    ck_assert_double_le(share, 0.23);
}
END_TEST

START_TEST(no_more_wait_than_may_and_what_is_due_goes_back) {
    enum { MANY = HUGE_WAITING_MAX + 30 };
    char *blocks[MANY];
    uint32_t before = region_in_use();
    for (unsigned i = 0; i < MANY; i++) blocks[i] = make(20000);
    if (!has_markers()) return;
    for (unsigned i = 0; i < MANY; i++) write_and_free(blocks[i], 20000);
    ck_assert_uint_eq(ro.huge->entries, HUGE_WAITING_MAX);
    ck_assert_uint_eq(ro.huge->covered, HUGE_WAITING_MAX);
    ck_assert_uint_le(region_in_use(), before + HUGE_WAITING_MAX + 1);
    ck_assert(!huge_purge(false, os_milliseconds()));
    harness_clock_advance(2000);
    for (unsigned left = HUGE_WAITING_MAX; left-- > 0;) {
        ck_assert(huge_purge(false, os_milliseconds()));
        ck_assert_uint_eq(ro.huge->covered, left);
    }
    ck_assert(!huge_purge(true, 0));
    ck_assert_uint_le(region_in_use(), before + 1);
    ck_assert_uint_eq(ro.region->splits, 0);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert(owner_kind(core_segment(blocks[i])->owner) == OWNER_UNUSED ||
                  harness_range_is(run_of(blocks[i]), SEGMENT_SIZE, HARNESS_RESERVED));
    check_all();
}
END_TEST

START_TEST(without_a_quarantine_the_next_block_may_have_it) {
    start("level=strict:region=1G:quarantine=0");
    char *block = make(20000);
    uintptr_t run = run_of(block);
    write_and_free(block, 20000);
    block = make(30000);
    ck_assert_uint_eq(run_of(block), run);
    expect_right(block, 30000);
    alloc_free(block);
}
END_TEST

/* --- What its next owner finds ---------------------------------------------------------------- */

/* Blocks that are resized meanwhile, too. */
START_TEST(a_run_that_is_used_again_is_as_good_as_new) {
    static const char *const options[] = {"level=strict:region=4G",
                                          "level=strict:region=4G:guards=mprotect",
                                          "level=strict:region=4G:quarantine=0"};
    enum { LIVE = 12, ROUNDS = 1200 };
    char *blocks[LIVE] = {0};
    size_t sizes[LIVE] = {0};
    uint64_t random = (uint64_t)_i;
    start(options[_i]);
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t i = core_below(&random, LIVE);
        if (blocks[i] != NULL) write_and_free(blocks[i], sizes[i]);
        sizes[i] = some_size(&random);
        blocks[i] = make(sizes[i]);
        expect_right(blocks[i], sizes[i]);
        size_t k = core_below(&random, LIVE);
        if (blocks[k] == NULL || round % 3 != 0) continue;
        memset(blocks[k], 0, sizes[k]);
        sizes[k] = some_size(&random) * (1 + core_below(&random, 8) / 7 * 5);
        blocks[k] = alloc_resize(blocks[k], sizes[k]);
        core_require(blocks[k] != NULL);
        if (sizes[k] <= LARGE_MAX) expect_right(blocks[k], sizes[k]);
    }
    check_all();
    for (unsigned i = 0; i < LIVE; i++) alloc_free(blocks[i]);
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->splits, 0);
    ck_assert_uint_eq(ro.huge->entries, 0);
}
END_TEST

/* What the program has mapped over a block is no memory that markers empty: calloc takes none that
   was used before. */
START_TEST(calloc_is_zero_where_the_program_had_mapped_something_else) {
    enum { SIZE = 40000, ROUNDS = 40 };
    for (unsigned i = 0; i < ROUNDS; i++) {
        char *block = make(SIZE);
        char *inside = (char *)round_up((uintptr_t)block, ro.os_page);
        core_require(mmap(inside, 4 * ro.os_page, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == inside);
        memset(inside, 'S', 4 * ro.os_page);
        alloc_free(block);
    }
    for (unsigned i = 0; i < 3 * HUGE_WAITING_MAX; i++) {
        char *block = alloc_zeroed(SIZE);
        core_require(block != NULL);
        expect_right(block, SIZE);
        write_and_free(block, SIZE);
    }
}
END_TEST

START_TEST(a_second_free_is_known_while_it_waits_and_when_it_is_used_again) {
    char *block = make(20000);
    alloc_free(block);
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
    start("level=strict:region=1G:quarantine=0");
    block = make(20000);
    alloc_free(block);
    char *again = make(20000 + GRANULE);
    ck_assert_uint_eq(run_of(again), run_of(block));
    core_expect_free_report(REPORT_INVALID_FREE, block);
}
END_TEST

START_TEST(a_forked_child_uses_them_again_too) {
    enum { PAIRS = 200 };
    int status = 0;
    char *kept = make(20000);
    memset(kept, 7, 20000);
    fill_waiting();
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < PAIRS; i++) {
            char *block = make(30000);
            core_require(run_of(block) != run_of(kept));
            expect_right(block, 30000);
            write_and_free(block, 30000);
        }
        core_require(!has_markers() || ro.huge->covered == HUGE_WAITING_LEAST + 1);
        core_require(kept[0] == 7 && kept[19999] == 7);
        check_all();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect_right(make(20000), 20000);
}
END_TEST

/* Of a cache whose lock a thread held that is gone, nothing is trusted. */
START_TEST(nothing_is_drawn_from_a_cache_that_was_given_up) {
    fill_waiting();
    huge_recover_cache();
    ck_assert_uint_eq(ro.huge->covered, 0);
    expect_right(make(20000), 20000);
}
END_TEST

/* --- Failures and limits ---------------------------------------------------------------------- */

/* Each call about markers, and those in its place, refused once or for good: what is freed is
   inaccessible, and who allocates has a block. */
START_TEST(calls_that_fail_cost_a_run_and_nothing_else) {
    static const enum os_call kinds[] = {OS_GUARD, OS_COMMIT, OS_DECOMMIT, OS_PURGE};
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int for_long = 0; for_long < 2; for_long++)
            for (uint64_t n = 1; n <= 8; n++) {
                uint64_t random = n;
                start("level=strict:region=1G:quarantine=0");
                char *block = make(50000);
                if (for_long)
                    harness_fail_from(kinds[k], n);
                else
                    harness_fail_nth(kinds[k], n);
                for (unsigned round = 0; round < 3 && block != NULL; round++) {
                    memset(block, 7, 20000);
                    alloc_free(block);
                    core_require(owner_kind(core_segment(block)->owner) == OWNER_FREED);
                    core_require(kinds[k] == OS_DECOMMIT || !can_read((uintptr_t)block));
                    block = alloc_block(some_size(&random));
                }
                harness_fail_none();
                if (block != NULL) alloc_free(block);
                size_t size = some_size(&random);
                block = make(size);
                expect_right(block, size);
                check_all();
            }
}
END_TEST

/* A limit that comes late: runs that are there are used, and go back where memory is short. */
START_TEST(a_limit_that_comes_late_leaves_the_runs_that_wait) {
    struct rlimit limit = {16 * GIB, 16 * GIB};
    if (CORE_SANITIZED) return;
    fill_waiting();
    if (!has_markers()) return;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    char *block = make(20000);
    expect_right(block, 20000);
    ck_assert_uint_eq(ro.huge->covered, HUGE_WAITING_LEAST);
    char *other = make(20000); /* too few wait: it shares a page */
    ck_assert_int_eq(owner_kind(core_segment(other)->owner), OWNER_MEDIUM);
    alloc_collect(true);
    ck_assert_uint_eq(ro.huge->entries, 0);
    alloc_free(block);
}
END_TEST

/* Where memory is locked there are no markers, and what is there is let be. */
START_TEST(locked_memory_uses_none_again) {
    fill_waiting();
    if (!has_markers()) return;
    ro.region->memory_is_locked = true;
    uint32_t covered = ro.huge->covered;
    char *block = make(20000);
    ck_assert_uint_eq(ro.huge->covered, covered);
    write_and_free(block, 20000);
    ck_assert_uint_eq(ro.huge->covered, covered);
    ck_assert(harness_range_is(run_of(block), SEGMENT_SIZE, HARNESS_RESERVED));
    ro.region->memory_is_locked = false;
    expect_right(make(20000), 20000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_covered");
    TCase *group = tcase_create("huge_covered");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_pair_takes_two_system_calls);
    tcase_add_test(group, none_is_used_again_before_as_many_wait);
    tcase_add_loop_test(group, which_is_used_again_is_drawn, 0, 2);
    tcase_add_test(group, no_more_wait_than_may_and_what_is_due_goes_back);
    tcase_add_test(group, without_a_quarantine_the_next_block_may_have_it);
    tcase_add_loop_test(group, a_run_that_is_used_again_is_as_good_as_new, 0, 3);
    tcase_add_test(group, calloc_is_zero_where_the_program_had_mapped_something_else);
    tcase_add_test(group, a_second_free_is_known_while_it_waits_and_when_it_is_used_again);
    tcase_add_test(group, a_forked_child_uses_them_again_too);
    tcase_add_test(group, nothing_is_drawn_from_a_cache_that_was_given_up);
    tcase_add_test(group, calls_that_fail_cost_a_run_and_nothing_else);
    tcase_add_test(group, a_limit_that_comes_late_leaves_the_runs_that_wait);
    tcase_add_test(group, locked_memory_uses_none_again);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
