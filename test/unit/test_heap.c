/*
 * test_heap: a thread's pages (src/heap/heap.h, heap_queue.c, heap_pool.c): queues and full pages,
 * and whose heap is whose.
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

enum { CAPACITY = 8192 };
static void *blocks[CAPACITY];

static size_t queue_length(const struct heap *heap, uint32_t size_class) {
    size_t length = 0;
    for (uint32_t index = heap->queues[size_class].first; index != 0;
         index = page_at(index)->in_queue.next)
        length++;
    return length;
}

/* --- Queues ---------------------------------------------------------------------------------- */

START_TEST(the_direct_table_follows_the_queues) {
    struct heap *heap = core_begin(&owner);
    for (size_t size = 1; size <= DIRECT_MAX; size++) {
        void *block = core_alloc(&owner, size);
        ck_assert_ptr_eq(heap->direct[(size + 15) / 16], core_page(block));
        core_require(heap_validate(heap));
    }
    ck_assert_ptr_eq(heap->direct[0], &page_empty);
    check_all();
}
END_TEST

START_TEST(any_work_of_one_thread_keeps_the_heap_valid) {
    uint64_t random = (uint64_t)_i;
    struct heap *heap = core_begin(&owner);
    size_t count = 0, largest = (size_t)64 << (2 * _i);
    for (unsigned step = 0; step < 12000; step++) {
        if (core_below(&random, 100) < (step / 3000 % 2 == 0 ? 60 : 40) && count < CAPACITY) {
            blocks[count++] =
                core_alloc(&owner, 1 + core_below(&random, 1 + core_below(&random, largest)));
        } else if (count > 0) {
            size_t which = core_below(&random, count);
            core_give(&owner, blocks[which]);
            blocks[which] = blocks[--count];
        }
        if (step % 64 == 0) {
            core_require(heap_validate(heap));
            check_all();
        }
        if (step % 1000 == 999) harness_clock_advance(200);
    }
    while (count > 0) core_give(&owner, blocks[--count]);
    alloc_collect(true);
    ck_assert_uint_eq(core_stats().used_blocks, 0);
    ck_assert_uint_eq(core_stats().segments, 0);
    check_all();
}
END_TEST

/* Large blocks: the page goes when it is empty, also when blocks were taken and lists have moved
   since its events were set. */
START_TEST(an_empty_page_of_large_blocks_goes_at_once) {
    uint64_t random = (uint64_t)_i;
    enum { SIZE = 20 * KIB, MOST = 12 };
    void *held[MOST];
    unsigned count = 0;
    for (unsigned step = 0; step < 3000; step++) {
        bool draining = step % 97 > 80;
        if (count > 0 && (draining || count == MOST || core_below(&random, 2) == 0)) {
            unsigned which = (unsigned)core_below(&random, count);
            core_give(&owner, held[which]);
            held[which] = held[--count];
        } else {
            held[count++] = core_alloc(&owner, SIZE);
        }
        core_require((core_heap(&owner)->queues[size_class_of(SIZE)].first == 0) == (count == 0));
    }
    while (count > 0) core_give(&owner, held[--count]);
    check_all();
}
END_TEST

START_TEST(a_full_page_leaves_the_queue_and_local_frees_bring_it_back) {
    size_t count = core_fill_page(&owner, 800, blocks, CAPACITY);
    struct heap *heap = core_heap(&owner);
    struct page *page = core_page(blocks[0]);
    ck_assert(!page->in_full); /* nobody has asked it in vain yet */
    void *more = core_alloc(&owner, 800);
    ck_assert_ptr_ne(core_page(more), page);
    ck_assert(page->in_full);
    ck_assert_uint_eq(queue_length(heap, page->size_class), 1);
    check_all();
    core_give(&owner, blocks[--count]);
    ck_assert(page->in_full); /* one is too few to be worth it */
    check_all();
    core_give(&owner, blocks[--count]);
    ck_assert(!page->in_full);
    ck_assert_uint_eq(queue_length(heap, page->size_class), 2);
    check_all();
}
END_TEST

/* What was freed into full pages, too little to bring them back, is there when there is nothing
   else; and where memory is short one block is enough, or every malloc at the limit would look
   through the whole heap. */
START_TEST(blocks_that_wait_in_full_pages_are_found_before_memory_runs_out) {
    enum { SIZE = 64 };
    size_t count = core_fill_page(&owner, SIZE, blocks, CAPACITY);
    struct page *page = core_page(blocks[0]);
    core_alloc(&owner, SIZE);
    count -= 2;
    void *waiting[2] = {blocks[count], blocks[count + 1]};
    for (int i = 0; i < 2; i++) core_give(&owner, waiting[i]);
    ck_assert(page->in_full);
    harness_limit_committed(harness_committed_bytes());
    core_be(&owner);
    int found = 0;
    for (void *block; (block = alloc_block(SIZE)) != NULL;)
        found += block == waiting[0] || block == waiting[1];
    ck_assert_int_eq(found, 2);
    ck_assert(page->in_full);
    alloc_free(blocks[--count]);
    ck_assert(!page->in_full);
    ck_assert_ptr_eq(alloc_block(SIZE), blocks[count]);
    harness_fail_none();
    check_all();
}
END_TEST

START_TEST(a_full_page_freed_into_by_another_thread_is_used_again) {
    size_t count = core_fill_page(&owner, 1000, blocks, CAPACITY);
    core_alloc(&owner, 1000);
    struct page *page = core_page(blocks[0]);
    ck_assert(page->in_full);
    core_begin(&other);
    core_give(&other, blocks[5]);
    core_check_as(&owner);
    bool again = false;
    for (unsigned i = 0; i < 3 * count && !again; i++)
        again = core_alloc(&owner, 1000) == blocks[5];
    ck_assert(again);
    check_all();
}
END_TEST

START_TEST(an_empty_page_is_given_up_unless_it_is_the_last_of_its_class) {
    size_t count = core_fill_page(&owner, 8 * KIB, blocks, CAPACITY);
    struct page *first = core_page(blocks[0]);
    blocks[count] = core_alloc(&owner, 8 * KIB);
    struct page *second = core_page(blocks[count]);
    ck_assert_uint_eq(page_segment(first)->pages_used, 2);
    core_give(&owner, blocks[count]); /* alone in the queue: the other is set aside */
    ck_assert_uint_eq(page_segment(first)->pages_used, 2);
    for (size_t i = 0; i < count; i++) core_give(&owner, blocks[i]);
    ck_assert_uint_eq(page_segment(first)->pages_used, 1);
    struct heap *heap = core_heap(&owner);
    ck_assert_uint_eq(queue_length(heap, second->size_class), 1);
    for (unsigned i = 0; i < 100; i++) core_give(&owner, core_alloc(&owner, 8 * KIB));
    ck_assert_uint_eq(page_segment(first)->pages_used, 1);
    check_all();
}
END_TEST

START_TEST(an_empty_segment_serves_another_kind_of_page) {
    for (unsigned i = 0; i < 20; i++) {
        core_give(&owner, core_alloc(&owner, 100));
        alloc_collect(false); /* the unused page goes back to its segment */
        core_give(&owner, core_alloc(&owner, 30 * KIB));
        alloc_collect(false);
        core_give(&owner, core_alloc(&owner, 300 * KIB));
        alloc_collect(false);
    }
    ck_assert_uint_eq(core_stats().segments, 1);
    check_all();
}
END_TEST

/* --- Whose heap ------------------------------------------------------------------------------ */

static void enter_twice(void *heap) {
    heap_enter(heap);
    heap_enter(heap);
}

static void allocate_some(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 10; i++) alloc_block(2000);
}

START_TEST(a_call_from_a_signal_handler_that_interrupted_it_is_reported) {
    core_expect_report(REPORT_REENTRANT_CALL, enter_twice, core_begin(&owner));
    core_setup();
    owner = CORE_THREAD;
    core_heap(&owner);
    struct heap *heap = core_begin(&owner);
    heap_enter(heap); /* here the signal comes */
    core_expect_report(REPORT_REENTRANT_CALL, allocate_some, NULL);
    core_expect_report(REPORT_REENTRANT_CALL, core_check, NULL);
}
END_TEST

START_TEST(a_thread_word_that_was_overwritten_is_reported_and_never_followed) {
    struct heap *heap = core_begin(&owner);
    struct heap *another = core_begin(&other);
    const uintptr_t junk[] = {0,
                              1,
                              0x4141414141414141,
                              (uintptr_t)heap + 8,
                              (uintptr_t)&junk,
                              ro.heaps_base - HEAP_SIZE,
                              ro.heaps_base + ro.heaps_max * HEAP_SIZE,
                              (uintptr_t)another,
                              (uintptr_t)another + HEAP_SIZE, /* a heap that nobody has yet */
                              (uintptr_t)heap_at(HEAP_LATE)};
    core_be(&owner);
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        owner.word = junk[i];
        enum report_kind kind = core_report_of(allocate_some, NULL);
        ck_assert_msg(kind == REPORT_CORRUPT_METADATA, "word %zu: %s", i, core_kind_name(kind));
    }
}
END_TEST

/* Off the fast path a free looks whose heap it is before it uses anything of it. */
START_TEST(a_free_by_the_heap_of_another_thread_is_reported) {
    static const size_t sizes[] = {100, 20 * KIB, 300 * KIB};
    for (size_t i = 0; i < 3; i++) {
        struct core_thread ending = CORE_THREAD;
        void *abandoned = core_alloc(&ending, sizes[i]);
        core_end(&ending);
        void *medium = core_alloc(&other, 20 * KIB);
        core_begin(&owner);
        struct core_thread impostor = {other.word};
        core_be(&impostor);
        core_expect_free_report(REPORT_CORRUPT_METADATA, abandoned);
        core_expect_free_report(REPORT_CORRUPT_METADATA, medium);
    }
}
END_TEST

START_TEST(heaps_are_used_again) {
    struct core_thread threads[40];
    for (unsigned i = 0; i < 40; i++) {
        threads[i] = CORE_THREAD;
        struct heap *heap = core_begin(&threads[i]);
        for (unsigned j = 0; j < i; j++) ck_assert_ptr_ne(heap, core_heap(&threads[j]));
        core_alloc(&threads[i], 100);
    }
    uint32_t made = ro.pool->made;
    for (unsigned i = 0; i < 40; i++) core_end(&threads[i]);
    for (unsigned i = 0; i < 1000; i++) {
        struct core_thread thread = CORE_THREAD;
        core_give(&thread, core_alloc(&thread, 100));
        core_end(&thread);
    }
    ck_assert_uint_eq(ro.pool->made, made);
    core_check_as(&owner);
}
END_TEST

START_TEST(without_a_heap_left_the_late_heap_serves) {
    struct core_thread threads[8];
    core_begin(&owner);
    ro.pool->made = ro.pool->mapped = HEAPS_MAX; /* no more can be made */
    unsigned late = 0;
    for (unsigned i = 0; i < 8; i++) {
        threads[i] = CORE_THREAD;
        char *block = core_alloc(&threads[i], 100);
        memset(block, 1, 100);
        late += threads[i].word == THREAD_NEW;
        ck_assert_uint_eq(ro.locks[LOCK_LATE_HEAP].word, 0);
        blocks[i] = block;
    }
    ck_assert_uint_ge(late, 1);
    for (unsigned i = 0; i < 8; i++) core_give(&threads[i], blocks[i]);
    core_be(&threads[7]);
    alloc_collect(true);
    check_all();
}
END_TEST

START_TEST(heaps_that_cannot_be_made_writable_are_done_without) {
    harness_fail_from(OS_COMMIT, 1);
    for (unsigned i = 0; i < 20; i++) {
        struct core_thread thread = CORE_THREAD;
        core_be(&thread);
        void *block = alloc_block(100);
        if (block != NULL) alloc_free(block);
    }
    harness_fail_none();
    for (unsigned i = 0; i < 20; i++) {
        struct core_thread thread = CORE_THREAD;
        core_alloc(&thread, 100);
        ck_assert(is_heap(thread.word));
    }
}
END_TEST

START_TEST(after_the_exit_hook_a_thread_never_owns_again) {
    void *before = core_alloc(&owner, 100), *other_before = core_alloc(&owner, 5000);
    core_end(&owner);
    for (unsigned i = 0; i < 100; i++) {
        void *block = core_alloc(&owner, 100);
        ck_assert_ptr_eq(owner_heap(core_segment(block)->owner), heap_at(HEAP_LATE));
        core_give(&owner, block);
        ck_assert(core_is_claimed(block)); /* nobody's heap: a remote free, even here */
    }
    core_give(&owner, before);
    core_give(&owner, other_before);
    ck_assert_uint_eq(owner.word, THREAD_ENDED);
    check_all();
}
END_TEST

START_TEST(a_second_free_of_a_late_block_is_reported) {
    core_alloc(&owner, 100);
    core_end(&owner);
    void *block = core_alloc(&owner, 100);
    core_give(&owner, block);
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
}
END_TEST

/* --- Damage ---------------------------------------------------------------------------------- */

START_TEST(a_damaged_heap_does_not_validate) {
    void *block = core_alloc(&owner, 100);
    struct heap *heap = core_heap(&owner);
    struct page *page = core_page(block);
    ck_assert(heap_validate(heap));
    heap->direct[7] = (struct page *)(uintptr_t)&page_empty;
    ck_assert(!heap_validate(heap));
    heap->direct[7] = page;
    heap->direct[0] = page;
    ck_assert(!heap_validate(heap));
    heap->direct[0] = (struct page *)(uintptr_t)&page_empty;
    heap->listed ^= 4;
    ck_assert(!heap_validate(heap));
    heap->listed ^= 4;
    page->in_queue.prev = 0;
    ck_assert(!heap_validate(heap));
    page->in_queue.prev = page_index(page);
    heap->queues[page->size_class].first = 0;
    ck_assert(!heap_validate(heap));
    heap->queues[page->size_class].first = page_index(page);
    page->in_full = true;
    ck_assert(!heap_validate(heap));
    page->in_full = false;
    page->free_count--;
    ck_assert(!heap_validate(heap));
    page->free_count++;
    page_segment(page)->owner ^= HEAP_SIZE;
    ck_assert(!heap_validate(heap));
    page_segment(page)->owner ^= HEAP_SIZE;
    ck_assert(heap_validate(heap));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("heap");
    TCase *group = tcase_create("heap");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_direct_table_follows_the_queues);
    tcase_add_loop_test(group, any_work_of_one_thread_keeps_the_heap_valid, 0, 8);
    tcase_add_loop_test(group, an_empty_page_of_large_blocks_goes_at_once, 0, 8);
    tcase_add_test(group, a_full_page_leaves_the_queue_and_local_frees_bring_it_back);
    tcase_add_test(group, blocks_that_wait_in_full_pages_are_found_before_memory_runs_out);
    tcase_add_test(group, a_full_page_freed_into_by_another_thread_is_used_again);
    tcase_add_test(group, an_empty_page_is_given_up_unless_it_is_the_last_of_its_class);
    tcase_add_test(group, an_empty_segment_serves_another_kind_of_page);
    tcase_add_test(group, a_call_from_a_signal_handler_that_interrupted_it_is_reported);
    tcase_add_test(group, a_thread_word_that_was_overwritten_is_reported_and_never_followed);
    tcase_add_test(group, a_free_by_the_heap_of_another_thread_is_reported);
    tcase_add_test(group, heaps_are_used_again);
    tcase_add_test(group, without_a_heap_left_the_late_heap_serves);
    tcase_add_test(group, heaps_that_cannot_be_made_writable_are_done_without);
    tcase_add_test(group, after_the_exit_hook_a_thread_never_owns_again);
    tcase_add_test(group, a_second_free_of_a_late_block_is_reported);
    tcase_add_test(group, a_damaged_heap_does_not_validate);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
