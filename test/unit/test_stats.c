/*
 * test_stats: counting what is there (src/alloc/stats.h): each number against what the test itself
 * did.
 */
#include "core.h"

#include "moat.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

static struct stats look(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

START_TEST(before_the_first_allocation_everything_is_zero) {
    struct stats none = {0};
    core_start(NULL);
    struct stats now = look();
    ck_assert_mem_eq(&now, &none, sizeof none);
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
}
END_TEST

START_TEST(blocks_and_bytes_are_those_in_use) {
    uint64_t random = 3;
    void *blocks[300];
    size_t bytes = 0, huge = 0, huge_bytes = 0;
    for (unsigned i = 0; i < 300; i++) {
        size_t size = 1 + core_below(&random, i % 50 == 0 ? 3 * MIB : 70000);
        blocks[i] = core_alloc(i % 2 != 0 ? &owner : &other, size);
        bytes += alloc_usable_size(blocks[i]);
        huge += size > LARGE_MAX;
        huge_bytes += size > LARGE_MAX ? alloc_usable_size(blocks[i]) : 0;
        struct stats now = look();
        core_require(now.used_blocks == i + 1 && now.used_bytes == bytes);
        core_require(now.huge == huge && now.huge_bytes == huge_bytes);
        core_require(now.committed == ro.region->committed && now.committed >= now.used_bytes);
    }
    for (unsigned i = 300; i-- > 0;) {
        bytes -= alloc_usable_size(blocks[i]);
        core_give(i % 2 != 0 ? &owner : &other, blocks[i]);
        struct stats now = look();
        core_require(now.used_blocks == i && now.used_bytes == bytes);
    }
}
END_TEST

START_TEST(pages_and_segments_are_counted_where_they_are_used) {
    core_alloc(&owner, 100);
    core_alloc(&owner, 200);
    core_alloc(&owner, 30 * KIB);
    ck_assert_uint_eq(look().segments, 2);
    ck_assert_uint_eq(look().pages, 3);
    core_alloc(&owner, 0);
    ck_assert_uint_eq(look().segments, 3);
    ck_assert_uint_eq(look().used_blocks, 3);
    void *huge = core_alloc(&owner, 9 * MIB);
    ck_assert_uint_eq(look().segments, 4);
    core_give(&owner, huge);
    ck_assert_uint_eq(look().segments, 3);
    ck_assert_uint_eq(look().abandoned, 0);
    core_end(&owner);
    ck_assert_uint_eq(look().abandoned, 2);
    ck_assert_uint_eq(look().segments, 3);
    ck_assert_uint_eq(look().used_blocks, 3);
}
END_TEST

START_TEST(reserved_heaps_locks_and_guards_are_counted) {
    core_begin(&owner);
    struct stats before = look();
    ck_assert_uint_eq(before.reserved, (size_t)ro.region->extent << SEGMENT_SHIFT);
    ck_assert_uint_eq(before.heaps, ro.pool->made);
    ck_assert_uint_eq(before.guards_missing, 0);
    core_begin(&other);
    ck_assert_uint_eq(look().heaps, before.heaps + 1);
    ck_assert_uint_eq(look().locks_taken, before.locks_taken + 1); /* the pool's */
    void *block = core_alloc(&owner, 100);
    size_t locks = look().locks_taken;
    for (unsigned i = 0; i < 1000; i++) core_give(&owner, core_alloc(&owner, 100));
    core_give(&other, block);
    ck_assert_uint_eq(look().locks_taken, locks); /* none on these paths */
    harness_fail_from(OS_GUARD, 1);
    harness_fail_from(OS_DECOMMIT, 1);
    core_alloc(&owner, 30 * KIB);
    ck_assert_uint_eq(look().guards_missing, 1);
}
END_TEST

START_TEST(the_public_view_is_the_same) {
    struct moat_stats public;
    core_alloc(&owner, 5000);
    core_alloc(&owner, 5 * MIB);
    core_alloc(&other, 40 * KIB);
    core_end(&owner);
    struct stats now = look();
    moat_stats_get(&public);
#define STAT(name, line, unit, text, meaning) ck_assert_uint_eq(public.name, now.name);
#include "alloc/stats.def"
    ck_assert_uint_eq(public.used_blocks, 3);
    ck_assert_uint_eq(public.abandoned, 1);
    ck_assert_uint_eq(public.huge, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("stats");
    TCase *group = tcase_create("stats");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, before_the_first_allocation_everything_is_zero);
    tcase_add_test(group, blocks_and_bytes_are_those_in_use);
    tcase_add_test(group, pages_and_segments_are_counted_where_they_are_used);
    tcase_add_test(group, reserved_heaps_locks_and_guards_are_counted);
    tcase_add_test(group, the_public_view_is_the_same);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
