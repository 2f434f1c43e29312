/*
 * test_huge_limits: huge runs and segments that the kernel will not take apart, as at its limit of
 * mappings (src/heap/huge.h, src/meta/region.h).
 */
#define _GNU_SOURCE
#include "core.h"

#include "heap/huge.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static char *make(size_t size) {
    char *block = huge_alloc(size, 1, false);
    ck_assert_ptr_nonnull(block);
    return block;
}

static unsigned owed(void) {
    unsigned count = 0;
    for (uint32_t i = 0; i < ro.region->extent; i++)
        count += has_bit(ro.region->barred[i / 64] & ~ro.region->taken[i / 64], i);
    return count;
}

/* Some at each take. */
static void take_owed(void) {
    for (unsigned left = owed(); owed() != 0; left--) {
        ck_assert_uint_ne(left, 0);
        alloc_free(make(2 * MIB));
    }
}

enum { HUGE = 4, LARGE = 8 };

struct blocks {
    char *huge[HUGE];
    void *large[LARGE];
};

static void make_blocks(struct blocks *blocks) {
    for (unsigned i = 0; i < HUGE; i++) {
        blocks->huge[i] = make((5 + i) * MIB);
        memset(blocks->huge[i], 7, 5 * MIB);
    }
    for (unsigned i = 0; i < LARGE; i++)
        ck_assert_ptr_nonnull(blocks->large[i] = alloc_block(900 * KIB));
}

static void free_blocks(const struct blocks *blocks) {
    for (unsigned i = 0; i < HUGE; i++) alloc_free(blocks->huge[i]);
    for (unsigned i = 0; i < LARGE; i++) alloc_free(blocks->large[i]);
    alloc_collect(true);
}

/* Nobody has them for that long, and no longer; nor does anybody who has one of theirs again meet
   what was in it. */
START_TEST(what_the_kernel_would_not_take_goes_back_later) {
    core_start_ready("region=256M:purge_delay=0");
    alloc_free(make(3 * MIB)); /* tables, a first window */
    void *small = alloc_block(100);
    uint32_t in_use = region_in_use();
    size_t splits = ro.region->splits, committed = ro.region->committed;
    for (unsigned round = 0; round < 3; round++) {
        struct blocks blocks;
        make_blocks(&blocks);
        harness_fail_from(OS_DECOMMIT, 1);
        free_blocks(&blocks);
        unsigned left = owed();
        ck_assert_uint_ge(left, 9);
        ck_assert_uint_eq(ro.region->committed, committed);
        void *other = alloc_block(3 * MIB);
        for (unsigned i = 0; i < HUGE; i++) {
            ck_assert(!core_is_live(blocks.huge[i]));
            ck_assert_ptr_ne(other, blocks.huge[i]);
        }
        alloc_free(other);
        ck_assert_uint_ge(owed(), left);
        check_all();
        harness_fail_none();
        take_owed();
        ck_assert_uint_eq(region_in_use(), in_use);
        ck_assert_uint_eq(ro.region->committed, committed);
        ck_assert_uint_eq(ro.region->splits, splits);
        other = make(8 * MIB);
        for (size_t at = 0; at < 8 * MIB; at += 4096) core_require(((char *)other)[at] == 0);
        alloc_free(other);
        check_all();
    }
    alloc_free(small);
}
END_TEST

/* With what its parent was owed, and what it could not take back of its parent's itself; also where
   a thread that does not come along had the region's lock. */
START_TEST(a_forked_child_is_owed_what_its_parent_was) {
    core_start_ready("region=256M:purge_delay=0");
    void *small = alloc_block(100);
    uint32_t in_use = region_in_use(), index;
    struct blocks blocks;
    make_blocks(&blocks);
    ck_assert(region_take(2, 1, &index)); /* in the hand of a thread that does not come along */
    harness_fail_from(OS_DECOMMIT, 1);
    free_blocks(&blocks);
    unsigned left = owed();
    ck_assert_uint_ge(left, 9);
    ro.locks[LOCK_REGION].word = (uint32_t)_i;
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert_uint_eq(owed(), left + 2);
    check_all();
    harness_fail_none();
    take_owed();
    ck_assert_uint_eq(region_in_use(), in_use);
    check_all();
    alloc_free(small);
}
END_TEST

/* So that a block that grows is moved. */
static char *make_hemmed_in(size_t size) {
    char *block = make(size);
    uint32_t next = segment_index(core_segment(block)) + core_segment(block)->run;
    ck_assert_uint_eq(segment_index(core_segment(make(2 * MIB))), next);
    return block;
}

/* A run whose pages were moved there is a mapping of its own until it gets new ones, and is counted
   as one once. */
START_TEST(a_run_that_gets_new_pages_counts_no_split_twice) {
    core_start_ready("region=256M:purge_delay=1000");
    size_t splits = ro.region->splits;
    char *block = make_hemmed_in(5 * MIB);
    block = alloc_resize(block, 20 * MIB);
    ck_assert_uint_gt(ro.region->splits, splits);
    alloc_free(block);
    char *again = alloc_zeroed(20 * MIB);
    ck_assert_ptr_eq(again, block); /* out of the cache */
    alloc_free(again);
    size_t committed = ro.region->committed;
    for (unsigned i = 0; i < 4; i++) { /* no memory for new pages, or none taken back */
        harness_fail_nth(i % 2 == 0 ? OS_COMMIT : OS_DECOMMIT, 1);
        ck_assert_ptr_nonnull(again = alloc_zeroed(20 * MIB));
        harness_fail_none();
        alloc_free(again);
        ck_assert_uint_eq(ro.region->committed, committed);
    }
    huge_purge(true, 0);
    ck_assert_uint_eq(ro.region->splits, splits);
    check_all();
}
END_TEST

/* There are no mappings for what does not merge with what is open behind it. */
static bool play_full_table(long number, const long *arguments, long *result) {
    if (number != SYS_mprotect || arguments[2] == PROT_NONE) return false;
    uintptr_t start = (uintptr_t)arguments[0], end = start + (size_t)arguments[1];
    bool is_put_by =
        arguments[2] == PROT_READ && start - (uintptr_t)&moat_ro_pages >= sizeof moat_ro_pages;
    bool is_alone = region_contains(start) && harness_range_state(end) != HARNESS_COMMITTED;
    *result = -ENOMEM;
    return is_put_by || is_alone;
}

START_TEST(without_mappings_memory_comes_where_it_merges) {
    static const size_t sizes[] = {2 * MIB, 5 * MIB, MIB / 2};
    core_start_ready("guards=mprotect:region=256M:purge_delay=0");
    size_t size = sizes[_i];
    char *blocks[6];
    for (unsigned i = 0; i < 6; i++) blocks[i] = make(2 * MIB);
    for (unsigned i = 1; i < 5; i++) alloc_free(blocks[i]);
    harness_set_kernel(play_full_table);
    char *block = alloc_block(size);
    ck_assert_ptr_nonnull(block);
    uint32_t behind = segment_index(core_segment(blocks[5]));
    ck_assert_uint_eq(segment_index(core_segment(block)), behind - (size > 4 * MIB ? 2 : 1));
    char *another = alloc_block(2 * MIB);
    ck_assert_ptr_nonnull(another);
    check_all();
    harness_set_kernel(NULL);
    alloc_free(block);
    alloc_free(another);
    alloc_free(blocks[0]);
    alloc_free(blocks[5]);
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_limits");
    TCase *group = tcase_create("limits");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, what_the_kernel_would_not_take_goes_back_later);
    tcase_add_loop_test(group, a_forked_child_is_owed_what_its_parent_was, 0, 2);
    tcase_add_test(group, a_run_that_gets_new_pages_counts_no_split_twice);
    tcase_add_loop_test(group, without_mappings_memory_comes_where_it_merges, 0, 3);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
