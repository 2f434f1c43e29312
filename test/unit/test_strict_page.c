/*
 * test_strict_page: pages of the strict level (src/heap/strict_page.h): the order of blocks, what
 * is collected and when, frees that overlap.
 */
#include "core.h"

#include "heap/quarantine.h"
#include "heap/strict_page.h"
#include "meta/request.h"

static struct core_thread owner, other;

static void setup(void) {
    core_start_ready("level=strict:quarantine=0:region=1G");
    owner = other = CORE_THREAD;
}

enum { BLOCK = 1000, CLASS = 1024, BLOCKS = 63 }; /* of a page of 64 KiB, perhaps with a guard */
static char *blocks[4096];

/* --- No fast path ----------------------------------------------------------------------------- */

START_TEST(no_page_is_found_by_a_fast_path) {
    for (size_t size = 1; size <= DIRECT_MAX; size += 7) {
        void *block = core_alloc(&owner, size);
        struct heap *heap = core_heap(&owner);
        ck_assert_ptr_eq(heap_direct_page(heap, size), &page_empty);
        ck_assert_uint_eq(page_local_heap(core_page(block)), 0);
    }
    ck_assert_ptr_null(alloc_block_fast(64));
    ck_assert(!alloc_free_fast(core_alloc(&owner, 64)));
    core_check_as(&owner);
}
END_TEST

/* --- Order ------------------------------------------------------------------------------------ */

static unsigned number_in_page(const void *block) {
    const struct page *page = core_page(block);
    return (unsigned)(((uintptr_t)block - page->start) / page->block_size);
}

/* Where each of the first blocks of fresh pages lies: each place about equally often. */
START_TEST(every_free_block_is_as_likely_to_be_next) {
    enum { TURNS = 12600 };
    static unsigned first[64], behind_last;
    unsigned capacity = 0;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        char *one = core_alloc(&owner, BLOCK), *two = core_alloc(&owner, BLOCK);
        capacity = core_page(one)->capacity;
        first[number_in_page(one)]++;
        behind_last += two == one + CLASS;
        core_give(&owner, one);
        core_give(&owner, two);
    }
    double expected = (double)TURNS / capacity;
    for (unsigned i = 0; i < capacity; i++) {
        ck_assert_double_gt(first[i], expected * 0.65); /* five standard deviations */
        ck_assert_double_lt(first[i], expected * 1.35);
    }
    ck_assert_double_lt(behind_last, expected * 1.35);
}
END_TEST

START_TEST(the_last_free_blocks_of_a_page_are_found_too) {
    for (unsigned turn = 0; turn < 200; turn++) {
        core_setup();
        setup();
        harness_set_seed(turn);
        void *first = core_alloc(&owner, BLOCK);
        struct page *page = core_page(first);
        for (unsigned i = 1; i < page->capacity; i++)
            core_require(core_page(core_alloc(&owner, BLOCK)) == page);
        core_require(page->free_count == 0);
        core_require(core_page(core_alloc(&owner, BLOCK)) != page);
        core_check_as(&owner);
    }
}
END_TEST

/* --- Collecting ------------------------------------------------------------------------------- */

START_TEST(what_is_not_released_is_not_collected) {
    void *block = core_alloc(&owner, BLOCK), *beside = core_alloc(&owner, BLOCK);
    struct page *page = core_page(block);
    uint32_t free_count = page->free_count;
    ck_assert_int_eq(remote_claim((uintptr_t)block), REMOTE_FREED);
    core_give(&owner, beside);
    atomic_store_relaxed(&page->pending, PENDING_FULL - 1);
    page_collect(page, PAGE_SMALL);
    ck_assert_uint_eq(page->free_count, free_count + 1);
    ck_assert(core_is_live(block) && core_is_claimed(block));
    ck_assert(!core_is_live(beside) && !core_is_claimed(beside));
    request_release((uintptr_t)block);
    remote_announce(core_segment(block), PAGE_SMALL, (uintptr_t)block);
    page_collect(page, PAGE_SMALL);
    ck_assert_uint_eq(page->free_count, free_count + 2);
    ck_assert(!core_is_live(block) && !core_is_claimed(block));
    core_check_as(&owner);
}
END_TEST

/* --- Frees that overlap ----------------------------------------------------------------------- */

static void *target;
static bool other_won;

/* All of another thread's free, between two steps of the owner's. */
static void other_frees(void) {
    other_won = remote_claim((uintptr_t)target) == REMOTE_FREED;
    if (!other_won) return;
    memset(target, 0, CLASS);
    quarantine_put(NULL, (uintptr_t)target, CLASS);
}

static void other_frees_and_it_is_collected(void) {
    other_frees();
    page_collect(core_page(target), PAGE_SMALL);
}

static void two_frees(void (*meanwhile)(void)) {
    unsigned won = 0, lost = 0;
    for (uint64_t step = 1;; step++) {
        setup();
        core_alloc(&owner, BLOCK);
        target = core_alloc(&owner, BLOCK);
        core_interleave(step, meanwhile);
        enum report_kind kind = core_report_of(core_free, target);
        if (!core_interleave_end()) break;
        ck_assert_str_eq(core_kind_name(kind),
                         core_kind_name(other_won ? REPORT_DOUBLE_FREE : REPORT_KINDS));
        won += other_won;
        lost += !other_won;
        ck_assert_uint_lt(step, 1000);
    }
    ck_assert(won != 0 && lost != 0);
}

START_TEST(of_two_frees_at_once_one_is_reported) { two_frees(other_frees); }
END_TEST

START_TEST(also_if_the_block_is_collected_between_them) {
    two_frees(other_frees_and_it_is_collected);
}
END_TEST

static void take_all(void *size) {
    for (unsigned i = 0; i < BLOCKS; i++) (void)core_alloc(&owner, *(size_t *)size);
}

/* It came when its block was free again; then another free of the group has the page collected, and
   whoever claimed has not looked yet. */
START_TEST(a_late_claim_is_not_collected_as_another_free) {
    void *beside = core_alloc(&owner, BLOCK);
    target = core_alloc(&owner, BLOCK);
    struct page *page = core_page(target);
    ck_assert_ptr_eq(core_page(core_alloc(&owner, BLOCK)), page); /* it does not end */
    other_frees_and_it_is_collected();
    uint32_t free_count = page->free_count;
    struct map_word *word = map_word_of((uintptr_t)target);
    atomic_or_acq_rel(&word->claim, map_bit_of((uintptr_t)target));
    core_give(&owner, beside);
    atomic_store_relaxed(&page->pending, PENDING_FULL - 1);
    page_collect(page, PAGE_SMALL);
    ck_assert_uint_eq(page->free_count, free_count + 1);
    ck_assert(core_is_claimed(target));
    size_t size = BLOCK;
    core_expect_report(REPORT_DOUBLE_FREE, take_all, &size);
    ck_assert_uint_eq(core_address, (uintptr_t)target);
}
END_TEST

static void claim_is_taken_back(void) {
    atomic_and_release(&map_word_of((uintptr_t)target)->claim, ~map_bit_of((uintptr_t)target));
}
static void retire(void *page) { page_retire(page); }

/* Then its thread reports itself. */
START_TEST(a_late_claim_may_be_gone_while_its_page_ends) {
    unsigned reported = 0, passed = 0;
    for (uint64_t step = 1;; step++) {
        setup();
        target = core_alloc(&owner, BLOCK);
        struct page *page = core_page(target);
        other_frees_and_it_is_collected();
        atomic_or_acq_rel(&map_word_of((uintptr_t)target)->claim, map_bit_of((uintptr_t)target));
        core_interleave(step, claim_is_taken_back);
        enum report_kind kind = core_report_of(retire, page);
        if (!core_interleave_end()) break;
        ck_assert(kind == REPORT_DOUBLE_FREE || kind == REPORT_KINDS);
        reported += kind == REPORT_DOUBLE_FREE;
        passed += kind == REPORT_KINDS;
    }
    ck_assert(reported != 0 && passed != 0);
}
END_TEST

static uint64_t kept_word;

/* Once it is released its page may be gone, and its segment be a huge block's. */
static void segment_is_used_anew(void) {
    struct segment *segment = segment_of((uintptr_t)target);
    kept_word = segment->owner;
    if (request_is_released((uintptr_t)target))
        atomic_store_relaxed(&segment->owner, (uint64_t)OWNER_FREED);
}

static unsigned pages_marked(void) {
    unsigned marked = 0;
    for (uint32_t i = 0; i < ro.region->extent * SLOTS_PER_SEGMENT; i++)
        marked += atomic_load_relaxed(&page_at(i)->pending) != 0;
    return marked;
}

START_TEST(what_is_let_go_marks_the_page_it_lay_in) {
    unsigned after = 0;
    for (uint64_t step = 1;; step++) {
        setup();
        target = core_alloc(&owner, BLOCK);
        ck_assert_int_eq(remote_claim((uintptr_t)target), REMOTE_FREED);
        memset(target, 0, CLASS);
        core_interleave(step, segment_is_used_anew);
        quarantine_put(NULL, (uintptr_t)target, CLASS);
        if (!core_interleave_end()) break;
        after += segment_of((uintptr_t)target)->owner != kept_word;
        segment_of((uintptr_t)target)->owner = kept_word;
        ck_assert(page_has_claims(core_page(target)));
        ck_assert_uint_eq(pages_marked(), 1);
    }
    ck_assert_uint_ne(after, 0);
}
END_TEST

/* --- After a fork ----------------------------------------------------------------------------- */

START_TEST(what_gone_threads_were_freeing_is_zero_and_released) {
    char *block = core_alloc(&owner, BLOCK);
    struct page *page = core_page(block);
    memset(block, 0xff, BLOCK);
    ck_assert_int_eq(remote_claim((uintptr_t)block), REMOTE_FREED);
    strict_page_release_all(page, page->start, core_page_bytes(page));
    ck_assert(request_is_released((uintptr_t)block));
    for (size_t i = 0; i < CLASS; i++) ck_assert_int_eq(block[i], 0);
    atomic_store_relaxed(&page->pending, PENDING_FULL - 1);
    page_collect(page, PAGE_SMALL);
    ck_assert(!core_is_live(block));
    core_check_as(&owner);
}
END_TEST

START_TEST(a_rebuilt_page_keeps_what_is_in_quarantine) {
    for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = core_alloc(&owner, BLOCK);
    struct page *page = core_page(blocks[0]);
    uint32_t live = page->capacity - page->free_count;
    ck_assert_int_eq(remote_claim((uintptr_t)blocks[0]), REMOTE_FREED);
    ck_assert_uint_eq(
        page_rebuild(page, page->start, core_page_bytes(page), heap_random(core_heap(&owner))),
        live);
    ck_assert(core_is_live(blocks[0]) && core_is_claimed(blocks[0]));
    memset(blocks[0], 0, CLASS);
    request_release((uintptr_t)blocks[0]);
    ck_assert_uint_eq(
        page_rebuild(page, page->start, core_page_bytes(page), heap_random(core_heap(&owner))),
        live - 1);
    ck_assert(page_validate(page, core_page_bytes(page)));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("strict_page");
    TCase *group = tcase_create("strict_page");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, no_page_is_found_by_a_fast_path);
    tcase_add_test(group, every_free_block_is_as_likely_to_be_next);
    tcase_add_test(group, the_last_free_blocks_of_a_page_are_found_too);
    tcase_add_test(group, what_is_not_released_is_not_collected);
    tcase_add_test(group, of_two_frees_at_once_one_is_reported);
    tcase_add_test(group, also_if_the_block_is_collected_between_them);
    tcase_add_test(group, what_gone_threads_were_freeing_is_zero_and_released);
    tcase_add_test(group, a_rebuilt_page_keeps_what_is_in_quarantine);
    tcase_add_test(group, a_late_claim_is_not_collected_as_another_free);
    tcase_add_test(group, a_late_claim_may_be_gone_while_its_page_ends);
    tcase_add_test(group, what_is_let_go_marks_the_page_it_lay_in);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
