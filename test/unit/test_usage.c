/*
 * test_usage: what lies idle is bounded as a whole (src/heap/usage.h), and goes back as other
 * memory is taken (src/heap/heap_step.c).
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

#define BLOCKS 8192
static void *blocks[BLOCKS];

/* --- Phases ---------------------------------------------------------------------------------- */

#define PHASE (64 * MIB)

static size_t take_all(size_t size) {
    size_t count = PHASE / size;
    for (size_t i = 0; i < count; i++) blocks[i] = core_alloc(&owner, size);
    return count;
}

static void give_all(size_t count) {
    for (size_t i = 0; i < count; i++) core_give(&owner, blocks[i]);
}

/* What is in use, and what lies idle: see test/field/phases.c for what the kernel says. */
static void check_memory(void) {
    size_t bytes = (usage_in_use() + usage_idle()) << SLOT_SHIFT;
    ck_assert_uint_le(bytes, PHASE + PHASE / 2 + 3 * SEGMENT_SIZE);
}

/* Whatever the time: none passes here. */
static void check_phases(const size_t *sizes, size_t count) {
    core_alloc(&owner, 100);
    for (size_t i = 0; i < 3 * count; i++) {
        size_t taken = take_all(sizes[i % count]);
        check_memory();
        give_all(taken);
        check_all();
    }
}

START_TEST(huge_blocks_do_not_come_beside_what_a_heap_does_not_use) {
    check_phases((const size_t[]){20000, 8 * MIB}, 2);
}
END_TEST

START_TEST(huge_blocks_of_one_size_do_not_come_beside_those_of_another) {
    check_phases((const size_t[]){3 * MIB, 16 * MIB}, 2);
}
END_TEST

START_TEST(no_kind_comes_beside_another) {
    check_phases((const size_t[]){10000, 5 * MIB, 300 * KIB, 16 * MIB, 40000}, 5);
}
END_TEST

/* The memory that a block grows by is taken, too. */
START_TEST(a_block_that_grows_does_not_come_beside_what_a_heap_does_not_use) {
    give_all(take_all(20000));
    char *block = core_alloc(&owner, 4 * MIB);
    for (size_t size = 8 * MIB; size <= PHASE; size += 4 * MIB) block = alloc_resize(block, size);
    check_memory();
    core_give(&owner, block);
    check_all();
}
END_TEST

/* A thread without a heap gives back what it can: cached runs. */
START_TEST(who_has_no_heap_gives_cached_runs_back) {
    give_all(take_all(3 * MIB));
    core_be(&other);
    for (unsigned i = 0; i < 4; i++) blocks[i] = alloc_block(16 * MIB);
    ck_assert_uint_eq(other.word, THREAD_NEW);
    check_memory();
    for (unsigned i = 0; i < 4; i++) alloc_free(blocks[i]);
    check_all();
}
END_TEST

START_TEST(nothing_that_an_ended_thread_has_told_is_left) {
    core_alloc(&owner, 100);
    for (unsigned i = 0; i < 4; i++) {
        struct core_thread thread = CORE_THREAD;
        for (size_t n = 0; n < 100; n++) blocks[n] = core_alloc(&thread, 300 * KIB);
        for (size_t n = 0; n < 100; n++) core_give(&thread, blocks[n]);
        /* walks release the last page, and tell */
        struct heap *heap = core_heap(&thread);
        heap_enter(heap);
        for (unsigned step = 0; step < 20; step++) heap_purge(heap, false);
        ck_assert_uint_eq(heap->told, 0);
        ck_assert_uint_gt(heap->told_idle, 0);
        heap_leave(heap);
        core_end(&thread);
        core_be(&owner);
        check_all();
    }
    ck_assert_uint_eq(ro.usage->used, core_heap(&owner)->told);
    ck_assert_uint_eq(ro.usage->idle, core_heap(&owner)->told_idle);
}
END_TEST

/* --- What is counted ------------------------------------------------------------------------- */

/* The kernel takes none of it back. */
START_TEST(locked_memory_is_no_surplus) {
    give_all(take_all(20000));
    ro.region->memory_was_locked = true;
    for (unsigned i = 0; i < 8; i++) blocks[i] = core_alloc(&owner, 8 * MIB);
    ck_assert_uint_gt(usage_idle(), PHASE / 2 >> SLOT_SHIFT);
    ck_assert(!usage_has_surplus(core_heap(&owner)->now));
    ro.region->memory_was_locked = false;
    ro.region->memory_is_locked = true;
    ck_assert(!usage_has_surplus(core_heap(&owner)->now));
    ro.region->memory_is_locked = false;
    ck_assert(usage_has_surplus(core_heap(&owner)->now));
    for (unsigned i = 0; i < 8; i++) core_give(&owner, blocks[i]);
    check_all();
}
END_TEST

static uint32_t most_in_use;
static void look_at_use(void) {
    if (usage_in_use() > most_in_use) most_in_use = usage_in_use();
}

/* Whoever looks while a run leaves the cache does not take it for a live one. */
START_TEST(a_cached_run_that_goes_back_does_not_count_as_in_use) {
    struct heap *heap = core_begin(&owner);
    for (uint64_t step = 1;; step++) {
        core_give(&owner, core_alloc(&owner, 8 * MIB));
        ck_assert_uint_gt(ro.usage->cached, 0);
        uint32_t in_use = most_in_use = usage_in_use();
        core_interleave(step, look_at_use);
        if (_i == 0)
            ck_assert(huge_give_one(heap->now));
        else
            ck_assert(huge_purge(true, heap->now));
        bool ran = core_interleave_end();
        ck_assert_uint_eq(ro.usage->cached, 0);
        ck_assert_uint_eq(most_in_use, in_use);
        if (!ran) break;
    }
    check_all();
}
END_TEST

enum { LEFT = 900, EACH_KEPT = 30 };

enum first { TAKES, COLLECTS, CHECKS, FIRSTS };

/* Takes, or gives back, what a thread had that left one block in many. */
static enum first first;
static void use_what_is_left(void) {
    core_be(&owner);
    alloc_free(alloc_block(100)); /* by which the child begins */
    core_require(ro.usage->left == 0);
    if (first == COLLECTS) alloc_collect(true);
    if (first == CHECKS) core_require(check_all() != 0 && ro.usage->left > 0);
    core_require(ro.usage->left >= 0);
    for (unsigned i = 0; i < LEFT; i++) {
        if (i % EACH_KEPT == 0) continue;
        blocks[i] = alloc_block(20000);
        core_require(ro.usage->left >= 0);
    }
    for (unsigned i = 0; i < LEFT; i++) alloc_free(blocks[i]);
    alloc_collect(true);
    core_require(ro.usage->left == 0 && check_all() == 0);
}

/* What ended threads left before a fork does not count in the child, until it is looked at. */
START_TEST(a_child_begins_with_nothing_left) {
    for (unsigned i = 0; i < LEFT; i++) blocks[i] = core_alloc(&other, 20000);
    for (unsigned i = 0; i < LEFT; i++)
        if (i % EACH_KEPT != 0) core_give(&other, blocks[i]);
    core_end(&other);
    ck_assert_int_gt(ro.usage->left, 0);
    first = (enum first)_i;
    core_in_child(use_what_is_left);
}
END_TEST

/* --- Steps ----------------------------------------------------------------------------------- */

/* More lies idle than may, but not where it can be had: few steps look for it, however much was
   taken; and the purge walk goes on as before. */
START_TEST(few_steps_look_in_vain) {
    enum { SEGMENTS = 1280, STEP = 16, STEPS = 8, LISTS = 64 };
    core_start_ready("region=8G");
    struct heap *heap = core_begin(&owner);
    size_t count = 0;
    while (heap->segments < SEGMENTS) blocks[count++] = core_alloc(&owner, MIB);
    ck_assert_uint_le(count, BLOCKS);
    ro.usage->left = (int64_t)(8 * GIB >> SLOT_SHIFT); /* of which no table knows */
    core_be(&owner);
    heap_make_up(4 * GIB);
    ck_assert_uint_gt(heap->purge_list, 0);
    ck_assert_uint_le(heap->purge_list, STEPS * STEP * LISTS / SEGMENTS + 1);
    ck_assert(usage_has_surplus(heap->now) && !heap_is_in_step(heap));
    ro.usage->left = 0;
    give_all(count);
    check_all();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("usage");
    TCase *group = tcase_create("usage");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, huge_blocks_do_not_come_beside_what_a_heap_does_not_use);
    tcase_add_test(group, huge_blocks_of_one_size_do_not_come_beside_those_of_another);
    tcase_add_test(group, no_kind_comes_beside_another);
    tcase_add_test(group, a_block_that_grows_does_not_come_beside_what_a_heap_does_not_use);
    tcase_add_test(group, who_has_no_heap_gives_cached_runs_back);
    tcase_add_test(group, nothing_that_an_ended_thread_has_told_is_left);
    tcase_add_test(group, locked_memory_is_no_surplus);
    tcase_add_loop_test(group, a_cached_run_that_goes_back_does_not_count_as_in_use, 0, 2);
    tcase_add_loop_test(group, a_child_begins_with_nothing_left, TAKES, FIRSTS);
    tcase_add_test(group, few_steps_look_in_vain);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
