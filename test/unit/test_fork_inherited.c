/*
 * test_fork_inherited: a child leaves its parent's pages alone (src/heap/heap_queue.c), at both
 * levels: what its siblings' attackers have learned of them is of no use, and no memory is lost.
 */
#include "core.h"

static struct core_thread owner;

/* Each test at both levels. */
static void start(int level) {
    core_start_ready(level == 0 ? "region=1G" : "level=strict:region=1G:quarantine=0");
    owner = CORE_THREAD;
    core_be(&owner);
}

enum { SIZE = 100, COUNT = 200, MANY = 3000, SPARSE = 400000, EACH_LEFT = 16 };
static void *blocks[COUNT];

static void make_blocks(void) {
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = alloc_block(SIZE);
        core_require(blocks[i] != NULL);
    }
}

static bool is_in_a_page_of_the_parent(const void *block) {
    for (unsigned i = 0; i < COUNT; i++)
        if (core_page(block) == core_page(blocks[i])) return true;
    return false;
}

static bool any_lies_in_a_page_of_the_parent(void) {
    bool any = false;
    for (unsigned i = 0; i < MANY; i++) {
        void *block = alloc_block(SIZE);
        core_require(block != NULL);
        any |= is_in_a_page_of_the_parent(block);
    }
    core_require(check_all() > 0);
    return any;
}

static void expect_other_pages(void) { core_require(!any_lies_in_a_page_of_the_parent()); }

static void expect_freed_not_to_come_back(void) {
    for (unsigned i = 0; i < COUNT / 8; i++) alloc_free(blocks[i]);
    expect_other_pages();
}

static void expect_most_freed_to_come_back(void) {
    for (unsigned i = 0; i < COUNT * 3 / 4; i++) alloc_free(blocks[i]);
    core_require(any_lies_in_a_page_of_the_parent());
}

/* What is freed is not handed out by the fast path of the default level either. */
START_TEST(a_child_makes_pages_of_its_own) {
    start(_i);
    make_blocks();
    core_in_child(expect_other_pages);
    core_in_child(expect_freed_not_to_come_back);
    core_in_child(expect_most_freed_to_come_back);
    ck_assert(any_lies_in_a_page_of_the_parent());
}
END_TEST

/* Something too large is refused, which is no shortage of pages. */
static void be_refused_and_free_by_a_guess(void) {
    harness_limit_committed(harness_committed_bytes() + 2 * SEGMENT_SIZE);
    core_require(alloc_block(16 * SEGMENT_SIZE) == NULL);
    alloc_free(blocks[COUNT / 2]);
    expect_other_pages();
}

/* Pages that the forking thread has set aside, too; some of what comes back is in use by then. */
START_TEST(also_of_full_ones) {
    start(_i);
    do make_blocks();
    while (!core_page(blocks[0])->in_full);
    core_in_child(expect_other_pages);
    core_in_child(expect_freed_not_to_come_back);
    core_in_child(be_refused_and_free_by_a_guess);
}
END_TEST

static void have_a_child(void) {
    core_in_child(expect_other_pages);
    expect_other_pages();
}

START_TEST(a_child_of_a_child_does_too) {
    start(_i);
    make_blocks();
    core_in_child(have_a_child);
}
END_TEST

/* They are adopted as memory is needed. */
/* Of a thread that has ended. */
static void leave_blocks(void) {
    struct core_thread ended = CORE_THREAD;
    core_begin(&ended);
    for (unsigned i = 0; i < COUNT; i++) blocks[i] = core_alloc(&ended, SIZE);
    core_end(&ended);
}

static void adopt_and_expect_other_pages(void) {
    core_begin(&owner);
    expect_freed_not_to_come_back();
}

START_TEST(so_it_does_with_pages_of_threads_that_have_ended) {
    start(_i);
    leave_blocks();
    core_in_child(adopt_and_expect_other_pages);
}
END_TEST

START_TEST(a_refused_request_changes_nothing) {
    start(_i);
    make_blocks();
    core_in_child(be_refused_and_free_by_a_guess);
}
END_TEST

/* Its parent could get no segment once; that is no reason for the child. */
START_TEST(nor_does_a_shortage_of_its_parent) {
    start(_i);
    make_blocks();
    harness_limit_committed(harness_committed_bytes());
    while (alloc_block(SIZE) != NULL) {
    }
    harness_limit_committed(SIZE_MAX);
    for (unsigned i = 0; i < COUNT / 8; i++) alloc_free(blocks[i]);
    core_in_child(expect_other_pages);
}
END_TEST

/* Of few blocks one that is freed does not come back either. */
static unsigned few;
static void free_one_of_few(void) {
    alloc_free(blocks[0]);
    for (unsigned i = 0; i < MANY; i++) {
        void *block = alloc_block(SIZE);
        core_require(core_page(block) != core_page(blocks[1]));
    }
}

START_TEST(nor_does_one_block_of_few) {
    for (few = 2; few <= 6; few++) {
        start(_i);
        for (unsigned i = 0; i < few; i++) blocks[i] = alloc_block(SIZE);
        core_in_child(free_one_of_few);
    }
}
END_TEST

/* What was free when the child began is not counted as in use then: at the strict level each free
   waits to be collected, at the other one what others freed. */
START_TEST(what_nobody_collected_was_not_in_use) {
    struct core_thread freer = CORE_THREAD;
    start(_i);
    make_blocks();
    for (unsigned i = COUNT / 4; i < COUNT * 3 / 4; i++) core_give(&freer, blocks[i]);
    core_be(&owner);
    core_in_child(expect_other_pages);
}
END_TEST

/* --- No memory is lost ------------------------------------------------------------------------ */

static void expect_all_to_be_used(void) {
    unsigned met = 0;
    for (unsigned i = 0; i < COUNT; i += 2) alloc_free(blocks[i]);
    harness_limit_committed(harness_committed_bytes());
    for (void *block; (block = alloc_block(SIZE)) != NULL;)
        for (unsigned i = 0; i < COUNT; i += 2) met += block == blocks[i];
    core_require(met == COUNT / 2);
}

START_TEST(when_memory_is_short_all_pages_serve) {
    start(_i);
    make_blocks();
    core_in_child(expect_all_to_be_used);
}
END_TEST

/* What ended threads left, and the heap that is nobody's has taken up, serves a thread too that
   gets no segment. */
static void expect_late_pages_to_be_used(void) {
    struct heap *late;
    core_begin(&owner);
    late = heap_acquire_late();
    core_require(heap_adopt_one(late, core_page(blocks[0])->size_class));
    core_require(core_page(blocks[0])->inherited);
    heap_release(late);
    harness_limit_committed(harness_committed_bytes());
    bool any = false;
    for (void *block; (block = alloc_block(SIZE)) != NULL;)
        any |= is_in_a_page_of_the_parent(block);
    core_require(any);
}

START_TEST(when_memory_is_short_those_of_no_thread_do_too) {
    start(_i);
    leave_blocks();
    core_in_child(expect_late_pages_to_be_used);
}
END_TEST

static void expect_all_to_go_back(void) {
    alloc_free(alloc_block(SIZE));
    for (unsigned i = 0; i < COUNT; i++) alloc_free(blocks[i]);
    alloc_collect(true);
    core_require(ro.region->committed == 0);
}

START_TEST(what_is_freed_goes_back) {
    start(_i);
    make_blocks();
    core_in_child(expect_all_to_go_back);
}
END_TEST

/* Of a parent that has little left in many pages a child uses most of them again. */
static void take_as_much_again(void) {
    size_t before = harness_committed_bytes();
    for (unsigned i = 0; i < SPARSE; i++)
        if (i % EACH_LEFT != 0) core_require(alloc_block(SIZE) != NULL);
    core_require(harness_committed_bytes() <= before + before / 16 + 3 * SEGMENT_SIZE);
    core_require(check_all() > 0);
}

START_TEST(sparse_pages_are_left_alone_as_far_as_memory_may_lie_idle) {
    static void *sparse[SPARSE];
    start(_i);
    for (unsigned i = 0; i < SPARSE; i++) sparse[i] = alloc_block(SIZE);
    for (unsigned i = 0; i < SPARSE; i++)
        if (i % EACH_LEFT != 0) alloc_free(sparse[i]);
    core_in_child(take_as_much_again);
}
END_TEST

/* Each process of the line leaves one block in a page of its own, and has freed what else it
   allocated. */
enum { GENERATIONS = 130, EACH = 600 };
static unsigned generation;

/* Bytes that were handed out once and are not in use, in all pages. */
static size_t free_bytes(void) {
    size_t bytes = 0;
    for (uint32_t index = 1; index < ro.region->extent; index++) {
        struct segment *segment = segment_at(index);
        if (!owner_has_pages(segment->owner)) continue;
        uint64_t slots = segment_pages_in_use(segment, owner_page_kind(segment->owner));
        for (; slots != 0; slots &= slots - 1) {
            const struct page *page = segment_page(segment, low_bit(slots));
            bytes += (size_t)(page->carved - page_used(page)) * page->block_size;
        }
    }
    return bytes;
}

static void go_on(void) {
    void *own[EACH];
    for (unsigned i = 0; i < EACH; i++) own[i] = alloc_block(SIZE);
    for (unsigned i = 1; i < EACH; i++) alloc_free(own[i]);
    core_require(free_bytes() <= 6 * MIB);
    if (++generation < GENERATIONS) core_in_child(go_on);
}

START_TEST(the_last_of_a_long_line_has_not_what_each_had) {
    start(_i);
    generation = 0;
    go_on();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fork_inherited");
    TCase *group = tcase_create("fork_inherited");
    tcase_add_checked_fixture(group, NULL, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, a_child_makes_pages_of_its_own, 0, 2);
    tcase_add_loop_test(group, also_of_full_ones, 0, 2);
    tcase_add_loop_test(group, a_child_of_a_child_does_too, 0, 2);
    tcase_add_loop_test(group, so_it_does_with_pages_of_threads_that_have_ended, 0, 2);
    tcase_add_loop_test(group, a_refused_request_changes_nothing, 0, 2);
    tcase_add_loop_test(group, nor_does_a_shortage_of_its_parent, 0, 2);
    tcase_add_loop_test(group, nor_does_one_block_of_few, 0, 2);
    tcase_add_loop_test(group, what_nobody_collected_was_not_in_use, 0, 2);
    tcase_add_loop_test(group, when_memory_is_short_all_pages_serve, 0, 2);
    tcase_add_loop_test(group, when_memory_is_short_those_of_no_thread_do_too, 0, 2);
    tcase_add_loop_test(group, what_is_freed_goes_back, 0, 2);
    tcase_add_loop_test(group, sparse_pages_are_left_alone_as_far_as_memory_may_lie_idle, 0, 2);
    tcase_add_loop_test(group, the_last_of_a_long_line_has_not_what_each_had, 0, 2);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
