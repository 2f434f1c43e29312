/*
 * test_quarantine: how long freed blocks wait (src/heap/quarantine.h), how many, and who lets them
 * go.
 */
#include "core.h"

#include "heap/quarantine.h"
#include "meta/request.h"

static struct core_thread owner, other;

static void start(const char *options) {
    core_start_ready(options);
    owner = other = CORE_THREAD;
}
static void setup(void) { start("level=strict:region=1G"); }

enum { BLOCK = 100, MANY = 1000 };
static void *blocks[MANY];

static struct quarantine *quarantine_of(const struct core_thread *thread) {
    return &core_heap(thread)->quarantine;
}

static bool waits(const void *block) {
    return core_is_claimed(block) && !request_is_released((uintptr_t)block);
}

START_TEST(it_has_no_more_blocks_than_it_may) {
    for (unsigned i = 0; i < MANY; i++) blocks[i] = core_alloc(&owner, BLOCK);
    for (unsigned i = 0; i < MANY; i++) {
        core_give(&owner, blocks[i]);
        ck_assert_uint_eq(quarantine_of(&owner)->count, i < 128 ? i + 1 : 128);
        ck_assert(waits(blocks[i]));
    }
    ck_assert_uint_eq(quarantine_of(&owner)->bytes, 128 * 112);
    core_check_as(&owner);
}
END_TEST

START_TEST(nor_more_bytes) {
    start("level=strict:region=1G:quarantine_size=1M");
    for (unsigned i = 0; i < MANY; i++) {
        core_give(&owner, core_alloc(&owner, 14000));
        ck_assert_uint_le(quarantine_of(&owner)->bytes, MIB);
    }
    ck_assert_uint_gt(quarantine_of(&owner)->count, 60);
    ck_assert_uint_lt(quarantine_of(&owner)->count, 128);
    start("level=strict:region=1G:quarantine_size=0");
    core_give(&owner, core_alloc(&owner, BLOCK));
    ck_assert_uint_eq(quarantine_of(&owner)->count, 0);
}
END_TEST

/* With 128 places a block stays for 128 frees on average, some for a few and some for hundreds. */
START_TEST(which_one_goes_is_drawn) {
    enum { WATCHED = 600 };
    double sum = 0;
    unsigned early = 0;
    for (unsigned turn = 0; turn < WATCHED; turn++) {
        void *watched = core_alloc(&owner, BLOCK);
        unsigned frees = 0;
        for (unsigned i = 0; i < 128; i++) core_give(&owner, core_alloc(&owner, BLOCK));
        core_give(&owner, watched);
        for (; waits(watched) && frees < 5000; frees++)
            core_give(&owner, core_alloc(&owner, BLOCK));
        sum += frees;
        early += frees <= 32;
    }
    ck_assert_double_gt(sum / WATCHED, 108);
    ck_assert_double_lt(sum / WATCHED, 148);
    ck_assert_uint_gt(early, WATCHED * 14 / 100); /* 22 % */
    ck_assert_uint_lt(early, WATCHED * 30 / 100);
}
END_TEST

START_TEST(a_block_waits_with_the_thread_that_has_freed_it) {
    void *block = core_alloc(&owner, BLOCK);
    core_alloc(&other, BLOCK);
    core_give(&other, block);
    ck_assert_uint_eq(quarantine_of(&other)->count, 1);
    ck_assert_uint_eq(quarantine_of(&owner)->count, 0);
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
}
END_TEST

/* What 128 others have pushed out. */
static unsigned draw_some(size_t size, unsigned frees) {
    for (unsigned i = 0; i < 128 + frees; i++) blocks[i] = core_alloc(&owner, size);
    for (unsigned i = 0; i < 128 + frees; i++) core_give(&owner, blocks[i]);
    unsigned waiting = 0;
    for (unsigned i = 0; i < 128 + frees; i++) waiting += waits(blocks[i]);
    ck_assert_uint_eq(quarantine_of(&owner)->count, 128);
    return waiting;
}

static void allocate(void *unused) {
    (void)unused;
    alloc_block(BLOCK);
}

START_TEST(a_few_that_were_drawn_wait_for_the_next_allocation) {
    ck_assert_uint_eq(draw_some(BLOCK, 10), 138);
    ck_assert_uint_eq(quarantine_of(&owner)->drawn_count, 10);
    core_expect_free_report(REPORT_DOUBLE_FREE, (void *)quarantine_of(&owner)->drawn[9]);
    uintptr_t drawn = quarantine_of(&owner)->drawn[0];
    core_alloc(&owner, 5000);
    ck_assert_uint_eq(quarantine_of(&owner)->drawn_count, 0);
    ck_assert(!core_is_claimed((void *)drawn));
    core_check_as(&owner);
}
END_TEST

START_TEST(more_of_them_or_larger_ones_are_let_go) {
    ck_assert_uint_eq(draw_some(BLOCK, 100), 128 + 16);
    core_check_as(&owner);
    start("level=strict:region=1G");
    ck_assert_uint_eq(draw_some(1500, 10), 128);
    core_check_as(&owner);
}
END_TEST

START_TEST(what_others_own_does_not_wait) {
    for (unsigned i = 0; i < 200; i++) blocks[i] = core_alloc(&owner, BLOCK);
    core_alloc(&other, BLOCK);
    for (unsigned i = 0; i < 200; i++) core_give(&other, blocks[i]);
    ck_assert_uint_eq(quarantine_of(&other)->drawn_count, 0);
    ck_assert_uint_eq(quarantine_of(&other)->count, 128);
}
END_TEST

/* Of a page that is set aside: it is woken. */
START_TEST(what_waits_is_announced_where_its_page_is_in_no_queue) {
    unsigned count = 0;
    do blocks[count] = core_alloc(&owner, BLOCK);
    while (!core_page(blocks[0])->in_full && ++count < MANY);
    struct page *page = core_page(blocks[0]);
    ck_assert(page->in_full);
    for (unsigned i = 0; i < 138; i++) core_give(&owner, blocks[i]);
    ck_assert_uint_eq(quarantine_of(&owner)->drawn_count, 10);
    for (unsigned i = 0; i < 16; i++) core_alloc(&owner, 5000);
    ck_assert_uint_eq(quarantine_of(&owner)->drawn_count, 0);
    ck_assert(!page->in_full);
    ck_assert_uint_ge(page->free_count, 10);
    core_check_as(&owner);
}
END_TEST

START_TEST(what_waits_goes_when_its_thread_ends) {
    ck_assert_uint_eq(draw_some(BLOCK, 10), 138);
    core_end(&owner);
    core_be(&other);
    alloc_collect(true);
    ck_assert_uint_eq(core_stats().used_blocks, 0);
}
END_TEST

START_TEST(a_write_into_what_waits_is_reported_by_the_next_allocation) {
    draw_some(BLOCK, 10);
    uintptr_t drawn = quarantine_of(&owner)->drawn[4];
    ((char *)drawn)[99] = 1;
    core_be(&owner);
    core_expect_report(REPORT_WRITE_AFTER_FREE, allocate, NULL);
    ck_assert_uint_eq(core_address, drawn);
}
END_TEST

START_TEST(a_page_that_they_empty_goes) {
    start("level=strict:region=1G:quarantine=1");
    unsigned count = 0; /* in the first of two pages */
    do blocks[count] = core_alloc(&owner, 1000);
    while (core_page(blocks[count]) == core_page(blocks[0]) && ++count < MANY);
    ck_assert_uint_lt(count, MANY);
    struct page *page = core_page(blocks[0]);
    for (unsigned i = 0; i < count; i++) core_give(&owner, blocks[i]);
    for (unsigned i = 0; i < 16; i++) blocks[i] = core_alloc(&owner, BLOCK);
    ck_assert_int_eq(page_used(page), 1);
    core_give(&owner, blocks[0]);
    ck_assert_uint_eq(quarantine_of(&owner)->drawn_count, 1);
    core_alloc(&owner, BLOCK);
    ck_assert(has_bit(page_segment(page)->free_pages, page_slot(page)));
    core_check_as(&owner);
}
END_TEST

static void fill(void) {
    for (unsigned i = 0; i < 100; i++) blocks[i] = core_alloc(&owner, BLOCK);
    for (unsigned i = 0; i < 100; i++) core_give(&owner, blocks[i]);
    ck_assert_uint_eq(quarantine_of(&owner)->count, 100);
}

START_TEST(a_thread_that_ends_lets_all_go) {
    fill();
    core_end(&owner);
    core_be(&other);
    alloc_collect(true);
    ck_assert_uint_eq(core_stats().used_blocks, 0);
}
END_TEST

START_TEST(a_trim_lets_all_go) {
    fill();
    alloc_trim();
    ck_assert_uint_eq(quarantine_of(&owner)->count, 0);
    ck_assert_uint_eq(core_stats().used_blocks, 0);
}
END_TEST

START_TEST(so_does_a_trim_by_another_thread_at_the_next_call) {
    fill();
    core_alloc(&other, BLOCK);
    alloc_trim();
    core_alloc(&owner, BLOCK);
    ck_assert_uint_eq(quarantine_of(&owner)->count, 0);
}
END_TEST

/* What waits is used rather than no memory be found. */
START_TEST(a_lack_of_memory_lets_all_go) {
    start("level=strict:region=16M:quarantine_size=64M");
    unsigned count = 0;
    core_be(&owner);
    while ((blocks[count] = alloc_block(15000)) != NULL) ck_assert_uint_lt(++count, MANY);
    ck_assert_uint_gt(count, 128);
    for (unsigned i = 0; i < count; i++) core_give(&owner, blocks[i]);
    for (unsigned i = 0; i < count; i++) ck_assert_ptr_nonnull(core_alloc(&owner, 15000));
}
END_TEST

static void trim(void *unused) {
    (void)unused;
    alloc_trim();
}

START_TEST(what_was_written_to_is_reported_and_not_let_go) {
    fill();
    ((char *)blocks[7])[99] = 1;
    core_be(&owner);
    core_expect_report(REPORT_WRITE_AFTER_FREE, trim, NULL);
    ck_assert_uint_eq(core_address, (uintptr_t)blocks[7]);
}
END_TEST

/* In a forked child a thread whose heap was visited leaves its pages; what another thread of the
   child has in quarantine there stays, what it has itself goes. */
START_TEST(a_heap_that_is_left_keeps_what_others_have_in_quarantine) {
    void *of_other = core_alloc(&owner, BLOCK), *own = core_alloc(&owner, BLOCK);
    core_alloc(&other, BLOCK);
    core_give(&other, of_other);
    core_give(&owner, own);
    ck_assert(waits(of_other) && waits(own));
    core_heap(&owner)->visit = VISIT_LEFT;
    core_alloc(&owner, 3000);
    ck_assert_uint_eq(core_heap(&owner)->visit, VISIT_NONE);
    ck_assert_uint_eq(quarantine_of(&owner)->count, 0);
    ck_assert(waits(of_other) && !waits(own));
    core_expect_free_report(REPORT_DOUBLE_FREE, of_other);
    core_check_as(&owner);
    core_check_as(&other);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("quarantine");
    TCase *group = tcase_create("quarantine");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, it_has_no_more_blocks_than_it_may);
    tcase_add_test(group, nor_more_bytes);
    tcase_add_test(group, which_one_goes_is_drawn);
    tcase_add_test(group, a_block_waits_with_the_thread_that_has_freed_it);
    tcase_add_test(group, a_few_that_were_drawn_wait_for_the_next_allocation);
    tcase_add_test(group, more_of_them_or_larger_ones_are_let_go);
    tcase_add_test(group, what_others_own_does_not_wait);
    tcase_add_test(group, what_waits_is_announced_where_its_page_is_in_no_queue);
    tcase_add_test(group, what_waits_goes_when_its_thread_ends);
    tcase_add_test(group, a_write_into_what_waits_is_reported_by_the_next_allocation);
    tcase_add_test(group, a_page_that_they_empty_goes);
    tcase_add_test(group, a_thread_that_ends_lets_all_go);
    tcase_add_test(group, a_trim_lets_all_go);
    tcase_add_test(group, so_does_a_trim_by_another_thread_at_the_next_call);
    tcase_add_test(group, a_lack_of_memory_lets_all_go);
    tcase_add_test(group, what_was_written_to_is_reported_and_not_let_go);
    tcase_add_test(group, a_heap_that_is_left_keeps_what_others_have_in_quarantine);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
