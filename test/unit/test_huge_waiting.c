/*
 * test_huge_waiting: a freed run that waits in the cache (src/heap/huge.c): its first OS page is
 * inaccessible, by whatever means there are, and all of it is usable again when it serves.
 */
#include "core.h"

#include "heap/huge.h"

static char *make(size_t size, bool zero) {
    char *block = huge_alloc(size, 1, zero);
    ck_assert_ptr_nonnull(block);
    return block;
}

static void give(void *block) {
    struct segment *segment = core_segment(block);
    ck_assert_int_eq(huge_free(segment, segment->owner), HUGE_OK);
}

static bool can_read(const char *block) { return os_can_read((const uint64_t *)block); }

static const struct {
    const char *options;
    void (*prepare)(void);
    bool closed;
} worlds[] = {
    {"region=1G:purge_delay=300", NULL, true},
    {"region=1G:purge_delay=300:guards=mprotect", NULL, true},
    {"region=1G:purge_delay=300:madvise=off", NULL, true},
    {"region=1G:purge_delay=300", harness_ignore_markers, true},
    {"region=1G:purge_delay=300:guards=off", NULL, false},
};

static void start(int world) {
    core_start(worlds[world].options);
    if (worlds[world].prepare != NULL) worlds[world].prepare();
    ck_assert(init_once());
}

START_TEST(a_run_that_waits_cannot_be_touched_where_its_block_began) {
    enum { SIZE = 3 * MIB };
    start(_i);
    size_t splits = 0;
    for (unsigned round = 0; round < 6; round++) {
        char *block = make(SIZE, round % 2 != 0);
        if (round == 0) splits = ro.region->splits;
        ck_assert(can_read(block));
        if (round % 2 != 0)
            for (size_t at = 0; at < SIZE; at += 8) core_require(*(uint64_t *)(block + at) == 0);
        memset(block, 7, SIZE);
        give(block);
        ck_assert_int_eq(!can_read(block), worlds[_i].closed);
        ck_assert(can_read(block + ro.os_page)); /* the rest is kept */
        ck_assert_uint_eq(ro.region->splits, splits);
    }
    ck_assert_uint_eq(ro.region->guards_missing, 0);
    check_all();
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->splits, 0);
}
END_TEST

/* Also where the next block is shorter or longer. */
START_TEST(whatever_serves_from_the_cache_is_usable) {
    uint64_t random = (uint64_t)_i;
    start(_i);
    for (unsigned round = 0; round < 200; round++) {
        size_t size = LARGE_MAX + 1 + core_below(&random, 9 * MIB);
        char *block = make(size, core_below(&random, 4) == 0);
        size_t bytes = alloc_usable_size(block);
        for (size_t at = 0; at < bytes; at += ro.os_page) block[at] = 1;
        block[bytes - 1] = 1;
        give(block);
        if (round % 3 == 0) give(make(5 * MIB, false));
    }
    check_all();
}
END_TEST

/* Each of these calls refused, once or for good: memory waits open, and that is counted, or it goes
   back; who allocates has a block in any case. */
START_TEST(calls_that_fail_cost_a_guard_or_the_run) {
    static const enum os_call kinds[] = {OS_GUARD, OS_PROTECT, OS_COMMIT};
    for (int world = 0; world < 3; world++)
        for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (uint64_t n = 1; n <= 8; n++) {
                start(world);
                give(make(3 * MIB, false));
                harness_fail_nth(kinds[k], n);
                for (unsigned round = 0; round < 3; round++) {
                    char *block = huge_alloc(3 * MIB, 1, false);
                    if (block == NULL) continue; /* that call was for its memory */
                    memset(block, 7, 3 * MIB);
                    give(block);
                }
                harness_fail_none();
                char *block = make(3 * MIB, true);
                for (size_t at = 0; at < 3 * MIB; at += 64) core_require(block[at] == 0);
                memset(block, 7, 3 * MIB);
                check_all();
            }
}
END_TEST

START_TEST(a_guard_that_cannot_be_had_is_counted) {
    start(0);
    char *block = make(3 * MIB, false);
    size_t missing = ro.region->guards_missing;
    harness_fail_from(OS_GUARD, 1);
    harness_fail_from(OS_PROTECT, 1);
    give(block);
    ck_assert(can_read(block));
    ck_assert_uint_eq(ro.region->guards_missing, missing + 1);
    harness_fail_none();
    ck_assert_ptr_eq(make(3 * MIB, false), block);
}
END_TEST

/* What is in the way of opening it again costs the run, not the request. */
START_TEST(a_run_that_cannot_be_opened_goes_back) {
    for (int world = 0; world < 2; world++) {
        start(world);
        char *block = make(3 * MIB, false), *other;
        bool marker = ro.region->markers == MARKERS_PROVED;
        memset(block, 7, 3 * MIB);
        give(block);
        harness_fail_nth(marker ? OS_GUARD : OS_COMMIT, 1);
        ck_assert_ptr_nonnull(other = make(3 * MIB, false));
        harness_fail_none();
        for (size_t at = 0; at < 3 * MIB; at += ro.os_page) core_require(other[at] == 0);
        ck_assert_uint_eq(ro.huge->entries, 0);
        check_all();
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_waiting");
    TCase *group = tcase_create("huge_waiting");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, a_run_that_waits_cannot_be_touched_where_its_block_began, 0,
                        sizeof worlds / sizeof *worlds);
    tcase_add_loop_test(group, whatever_serves_from_the_cache_is_usable, 0,
                        sizeof worlds / sizeof *worlds);
    tcase_add_test(group, calls_that_fail_cost_a_guard_or_the_run);
    tcase_add_test(group, a_guard_that_cannot_be_had_is_counted);
    tcase_add_test(group, a_run_that_cannot_be_opened_goes_back);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
