/*
 * test_heap: a thread's pages (src/heap.h): queues and full pages, threads that come and go, adoption, and giving memory back.
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

enum { ROOM = 8192 };
static void *blocks[ROOM];

static struct stats look(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

static size_t queue_length(const struct heap *heap, uint32_t class) {
    size_t length = 0;
    for (uint32_t index = heap->queues[class].first; index != 0; index = page_at(index)->next) length++;
    return length;
}

static void check_as(struct core_thread *thread) {
    core_be(thread);
    check_all();
}

/* --- Queues ----------------------------------------------------------------------------------------------------------------- */

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
        if (core_below(&random, 100) < (step / 3000 % 2 == 0 ? 60 : 40) && count < ROOM) {
            blocks[count++] = core_alloc(&owner, 1 + core_below(&random, 1 + core_below(&random, largest)));
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
    ck_assert_uint_eq(look().used_blocks, 0);
    ck_assert_uint_eq(look().segments, 0);
    check_all();
}
END_TEST

/* Large blocks: the page goes when it is empty, also when blocks were taken and lists have moved since its events were set. */
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
        core_require((core_heap(&owner)->queues[class_of_size(SIZE)].first == 0) == (count == 0));
    }
    while (count > 0) core_give(&owner, held[--count]);
    check_all();
}
END_TEST

START_TEST(a_full_page_leaves_the_queue_and_a_local_free_brings_it_back) {
    size_t count = core_fill_page(&owner, 1000, blocks, ROOM);
    struct heap *heap = core_heap(&owner);
    struct page *page = core_page(blocks[0]);
    ck_assert(!page->full); /* nobody has asked it in vain yet */
    void *more = core_alloc(&owner, 1000);
    ck_assert_ptr_ne(core_page(more), page);
    ck_assert(page->full);
    ck_assert_uint_eq(queue_length(heap, page->class), 1);
    check_all();
    core_give(&owner, blocks[--count]);
    ck_assert(!page->full);
    ck_assert_uint_eq(page->pending, 0);
    ck_assert_uint_eq(queue_length(heap, page->class), 2);
    check_all();
}
END_TEST

START_TEST(a_full_page_freed_into_by_another_thread_is_used_again) {
    size_t count = core_fill_page(&owner, 1000, blocks, ROOM);
    core_alloc(&owner, 1000);
    struct page *page = core_page(blocks[0]);
    ck_assert(page->full);
    core_begin(&other);
    core_give(&other, blocks[5]);
    check_as(&owner);
    bool again = false;
    for (unsigned i = 0; i < 3 * count && !again; i++) again = core_alloc(&owner, 1000) == blocks[5];
    ck_assert(again);
    check_all();
}
END_TEST

START_TEST(an_empty_page_is_given_up_unless_it_is_the_last_of_its_class) {
    size_t count = core_fill_page(&owner, 8 * KIB, blocks, ROOM);
    struct page *first = core_page(blocks[0]);
    blocks[count] = core_alloc(&owner, 8 * KIB);
    struct page *second = core_page(blocks[count]);
    ck_assert_uint_eq(page_segment(first)->pages_used, 2);
    core_give(&owner, blocks[count]); /* alone in the queue: the other is set aside */
    ck_assert_uint_eq(page_segment(first)->pages_used, 2);
    for (size_t i = 0; i < count; i++) core_give(&owner, blocks[i]);
    ck_assert_uint_eq(page_segment(first)->pages_used, 1);
    struct heap *heap = core_heap(&owner);
    ck_assert_uint_eq(queue_length(heap, second->class), 1);
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
        core_give(&owner, core_alloc(&owner, MIB));
        alloc_collect(false);
    }
    ck_assert_uint_eq(look().segments, 1);
    check_all();
}
END_TEST

/* --- Whose heap ------------------------------------------------------------------------------------------------------------- */

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
    const uintptr_t junk[] = {1,
                              0x4141414141414141,
                              (uintptr_t)heap + 8,
                              (uintptr_t)&junk,
                              fixed.heaps_base - HEAP_SIZE,
                              fixed.heaps_base + fixed.heaps_max * HEAP_SIZE,
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

START_TEST(heaps_are_used_again) {
    struct core_thread threads[40];
    for (unsigned i = 0; i < 40; i++) {
        threads[i] = CORE_THREAD;
        struct heap *heap = core_begin(&threads[i]);
        for (unsigned j = 0; j < i; j++) ck_assert_ptr_ne(heap, core_heap(&threads[j]));
        core_alloc(&threads[i], 100);
    }
    uint32_t made = fixed.pool->made;
    for (unsigned i = 0; i < 40; i++) core_end(&threads[i]);
    for (unsigned i = 0; i < 1000; i++) {
        struct core_thread thread = CORE_THREAD;
        core_give(&thread, core_alloc(&thread, 100));
        core_end(&thread);
    }
    ck_assert_uint_eq(fixed.pool->made, made);
    check_as(&owner);
}
END_TEST

START_TEST(without_a_heap_left_the_late_heap_serves) {
    struct core_thread threads[8];
    core_begin(&owner);
    fixed.pool->limit = fixed.pool->writable; /* no more can be made */
    unsigned late = 0;
    for (unsigned i = 0; i < 8; i++) {
        threads[i] = CORE_THREAD;
        char *block = core_alloc(&threads[i], 100);
        memset(block, 1, 100);
        late += threads[i].word == THREAD_NEW;
        ck_assert_uint_eq(fixed.pool->late_lock.word, 0);
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

/* --- Abandoned and adopted -------------------------------------------------------------------------------------------------- */

/* A thread that ends with these blocks in use; returns how many. */
static size_t leave_blocks(struct core_thread *thread, size_t size, size_t count) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = core_alloc(thread, size);
        memset(blocks[i], (int)i, size);
    }
    core_end(thread);
    for (size_t i = 0; i < count; i++) ck_assert_uint_ne(core_segment(blocks[i])->owner & OWNER_ABANDONED, 0);
    return count;
}

static void expect_contents(size_t size, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < size; at++) core_require(((unsigned char *)blocks[i])[at] == (unsigned char)i);
}

START_TEST(what_an_ended_thread_left_is_adopted_by_who_needs_memory) {
    static const size_t sizes[] = {48, 8 * KIB, 40 * KIB, 500 * KIB};
    for (size_t i = 0; i < 4; i++) {
        setup();
        size_t count = leave_blocks(&owner, sizes[i], 5);
        size_t segments = look().segments;
        ck_assert_uint_ge(look().abandoned, 1);
        check_as(&other);
        for (unsigned k = 0; k < 10 && look().abandoned > 0; k++) core_alloc(&other, sizes[i]);
        ck_assert_uint_eq(look().abandoned, 0);
        if (sizes[i] < 100 * KIB) ck_assert_uint_eq(look().segments, segments);
        expect_contents(sizes[i], count);
        for (size_t k = 0; k < count; k++) {
            ck_assert_ptr_eq(owner_heap(core_segment(blocks[k])->owner), &core_heap(&other)->owner);
            core_give(&other, blocks[k]);
            ck_assert(!core_is_live(blocks[k])); /* a local free */
        }
        check_all();
    }
}
END_TEST

START_TEST(frees_in_a_row_into_an_abandoned_segment_take_it_over) {
    leave_blocks(&owner, 200, FREES_TO_CLAIM + 4);
    core_begin(&other);
    for (size_t i = 0; i < FREES_TO_CLAIM; i++) {
        ck_assert_uint_eq(look().abandoned, 1);
        core_give(&other, blocks[i]);
    }
    ck_assert_uint_eq(look().abandoned, 0);
    ck_assert_ptr_eq(owner_heap(core_segment(blocks[0])->owner), &core_heap(&other)->owner);
    for (size_t i = 0; i < FREES_TO_CLAIM; i++) {
        ck_assert(!core_is_live(blocks[i]) && !core_is_claimed(blocks[i]));
        core_expect_free_report(REPORT_DOUBLE_FREE, blocks[i]);
    }
    check_all();
}
END_TEST

/* Else a few threads would gather everything that ended ones have left, and new threads would find nothing to allocate from. */
START_TEST(frees_here_and_there_leave_abandoned_segments_to_others) {
    struct core_thread makers[2] = {CORE_THREAD, CORE_THREAD};
    enum { EACH = 4 * FREES_TO_CLAIM };
    for (size_t i = 0; i < 2 * EACH; i++) blocks[i] = core_alloc(&makers[i % 2], 200);
    core_end(&makers[0]);
    core_end(&makers[1]);
    ck_assert_uint_eq(look().abandoned, 2);
    core_begin(&other);
    for (size_t i = 0; i < 2 * EACH - 2; i++) {
        core_give(&other, blocks[i]);
        ck_assert(core_is_live(blocks[i]) && core_is_claimed(blocks[i]));
        core_expect_free_report(REPORT_DOUBLE_FREE, blocks[i]);
    }
    ck_assert_uint_eq(look().abandoned, 2);
    core_give(&other, blocks[2 * EACH - 2]);
    core_give(&other, blocks[2 * EACH - 1]);
    ck_assert_uint_eq(look().abandoned, 0); /* with the last block the segment goes back */
    ck_assert_uint_eq(look().segments, 0);
    check_all();
}
END_TEST

START_TEST(claims_that_came_before_the_end_are_taken_in) {
    for (size_t i = 0; i < 20; i++) blocks[i] = core_alloc(&owner, 200);
    core_begin(&other);
    for (size_t i = 0; i < 10; i++) core_give(&other, blocks[i]);
    core_end(&owner);
    for (size_t i = 0; i < 20; i++) ck_assert_int_eq(core_is_live(blocks[i]), i >= 10);
    ck_assert_int_eq(page_used(core_page(blocks[0])), 10);
    ck_assert_int_eq(core_segment(blocks[0])->remaining, 10);
    check_as(&other);
}
END_TEST

/* Something for the generic path to do, so that it looks at the clock. */
static void be_active(struct core_thread *thread) {
    for (unsigned i = 0; i < 400; i++) core_give(thread, core_alloc(thread, 1100 + 16 * (i % 64)));
}

START_TEST(what_an_ended_thread_left_empty_is_used_first_and_goes_back_after_the_delay) {
    for (size_t i = 0; i < 40; i++) blocks[i] = core_alloc(&owner, MIB);
    size_t segments = look().segments;
    ck_assert_uint_ge(segments, 10);
    for (size_t i = 0; i < 40; i++) core_give(&owner, blocks[i]);
    core_end(&owner);
    ck_assert_uint_le(look().segments, segments);
    ck_assert_uint_eq(look().abandoned, look().segments);
    size_t left = look().segments;
    core_alloc(&other, 100);
    ck_assert_uint_le(look().segments, left > 0 ? left : 1);
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(fixed.options.purge_delay_ms);
        be_active(&other);
    }
    ck_assert_uint_le(look().segments, 2);
    check_all();
}
END_TEST

/* A thread that only frees must not grow the process: who frees the last block gives the segment back. */
START_TEST(the_last_free_gives_an_abandoned_segment_back) {
    for (unsigned round = 0; round < 50; round++) {
        struct core_thread maker = CORE_THREAD;
        size_t count = leave_blocks(&maker, 3000, 30);
        core_be(&other); /* has never allocated */
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_eq(look().segments, 1);
            core_give(&other, blocks[i]);
        }
        ck_assert_uint_eq(other.word, THREAD_NEW);
        ck_assert_uint_eq(look().segments, 0);
        ck_assert_uint_eq(fixed.region->committed, 0);
    }
}
END_TEST

START_TEST(who_may_not_sweep_leaves_it_to_the_next) {
    size_t count = leave_blocks(&owner, 3000, 30);
    core_be(&other);
    fixed.pool->late_lock.word = 1; /* somebody is in the late heap */
    for (size_t i = 0; i < count; i++) core_give(&other, blocks[i]);
    ck_assert_uint_eq(look().segments, 1);
    fixed.pool->late_lock.word = 0;
    core_alloc(&other, 3000);
    ck_assert_uint_eq(look().segments, 1); /* found and used */
    check_all();
}
END_TEST

static void *free_half(void *parity) {
    for (size_t i = (size_t)(uintptr_t)parity; i < 600; i += 2) alloc_free(blocks[i]);
    return NULL;
}
static void *adopt_all(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < 200; i++) core_require(alloc_block(2500) != NULL);
    return NULL;
}

/* Two threads that free and one that looks for memory reach for the same abandoned segments at once. */
START_TEST(claims_by_free_and_by_bitmap_at_once_have_one_winner) {
    for (unsigned round = 0; round < 30; round++) {
        setup();
        pthread_t threads[3];
        struct core_thread maker = CORE_THREAD;
        for (size_t i = 0; i < 600; i++) blocks[i] = core_alloc(&maker, i % 2 != 0 ? 2500 : 20 * KIB);
        core_end(&maker);
        core_be(NULL);
        ck_assert_int_eq(pthread_create(&threads[0], NULL, free_half, (void *)0), 0);
        ck_assert_int_eq(pthread_create(&threads[1], NULL, adopt_all, NULL), 0);
        ck_assert_int_eq(pthread_create(&threads[2], NULL, free_half, (void *)1), 0);
        for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        check_all();
        alloc_collect(true);
        ck_assert_uint_eq(look().used_blocks, 200);
        check_all();
    }
}
END_TEST

static void *free_the_block(void *unused) {
    (void)unused;
    core_be(&other);
    alloc_free(blocks[3]);
    return NULL;
}
static struct core_thread third;
static void take_over(void) {
    core_alloc(&third, 200);
    core_be(&other);
}
static void sweep_all(void) {
    core_begin(&third);
    alloc_collect(true);
    core_be(&other);
}

/* At each point of a free into an abandoned segment, another thread adopts it, or sweeps it. */
START_TEST(an_adoption_at_any_point_of_a_free_loses_nothing) {
    static void (*const acts[])(void) = {take_over, sweep_all};
    for (unsigned may_own = 0; may_own < 2; may_own++)
        for (unsigned act = 0; act < 2; act++)
            for (uint64_t step = 1;; step++) {
                setup();
                struct core_thread maker = CORE_THREAD;
                third = CORE_THREAD;
                for (size_t i = 0; i < 8; i++) blocks[i] = core_alloc(&maker, 200);
                if (may_own != 0) core_begin(&other);
                core_end(&maker);
                core_be(&other);
                core_interleave(step, acts[act]);
                free_the_block(NULL);
                bool ran = core_interleave_end();
                struct core_thread last = CORE_THREAD;
                core_begin(&last);
                struct core_thread *const all[] = {&third, &other, &last};
                for (unsigned i = 0; i < 3; i++) {
                    core_be(all[i]);
                    if (is_heap(all[i]->word)) ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
                }
                core_expect_free_report(REPORT_DOUBLE_FREE, blocks[3]);
                ck_assert_uint_lt(step, 5000);
                if (!ran) break;
            }
}
END_TEST

static void look_for_memory(void) {
    struct core_thread *const maker = &owner;
    core_alloc(&third, 200);
    core_alloc(&third, 30 * KIB);
    core_be(maker);
}

/* At each point of a thread's end another one looks for abandoned segments: it gets them, or they can be found afterwards. */
START_TEST(a_search_at_any_point_of_a_threads_end_loses_no_segment) {
    for (uint64_t step = 1;; step += step < 60 ? 1 : 7) {
        setup();
        third = CORE_THREAD;
        for (size_t i = 0; i < 8; i++) blocks[i] = core_alloc(&owner, i % 2 != 0 ? 200 : 30 * KIB);
        core_interleave(step, look_for_memory);
        core_end(&owner);
        bool ran = core_interleave_end();
        core_begin(&third);
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        for (size_t i = 0; i < 8; i++) core_give(&third, blocks[i]);
        alloc_collect(true);
        ck_assert_uint_eq(look().used_blocks, ran ? 2 : 0);
        ck_assert_int_eq(core_report_of(core_check, NULL), REPORT_KINDS);
        if (!ran) break;
        ck_assert_uint_lt(step, 20000);
    }
}
END_TEST

static void *live_and_die(void *unused) {
    (void)unused;
    void *mine[20];
    for (unsigned i = 0; i < 20; i++) mine[i] = alloc_block(100 + 400 * i);
    for (unsigned i = 1; i < 20; i++) alloc_free(mine[i]);
    return mine[0];
}

START_TEST(threads_born_and_ending_do_not_grow_the_process) {
    size_t after_few = 0;
    for (unsigned i = 0; i < 600; i++) {
        pthread_t thread;
        void *left = NULL;
        ck_assert_int_eq(pthread_create(&thread, NULL, live_and_die, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, &left), 0);
        alloc_free(left);
        if (i == 20) after_few = fixed.region->committed;
    }
    ck_assert_uint_le(fixed.region->committed, after_few);
    ck_assert_uint_le(fixed.pool->made, 4);
    check_all();
}
END_TEST

/* --- Giving memory back ----------------------------------------------------------------------------------------------------- */

START_TEST(unused_memory_goes_back_after_the_delay) {
    be_active(&owner);
    alloc_collect(true);
    size_t baseline = harness_committed_bytes();
    for (size_t i = 0; i < 400; i++) blocks[i] = core_alloc(&owner, 100 * KIB);
    ck_assert_uint_ge(harness_committed_bytes(), baseline + 400 * 100 * KIB);
    for (size_t i = 0; i < 400; i++) core_give(&owner, blocks[i]);
    be_active(&owner);
    ck_assert_uint_ge(harness_committed_bytes(), baseline + 300 * 100 * KIB); /* not before */
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(fixed.options.purge_delay_ms);
        be_active(&owner);
    }
    ck_assert_uint_le(harness_committed_bytes(), baseline + 2 * SEGMENT_SIZE); /* what be_active() itself uses */
    alloc_collect(true);
    ck_assert_uint_le(harness_committed_bytes(),
                      baseline + TABLE_CHUNK * 2 * (PAGE_TABLE_BYTES_PER_SEGMENT + MAP_BYTES_PER_SEGMENT) * 4);
    check_all();
}
END_TEST

START_TEST(abandoned_memory_goes_back_after_the_delay) {
    core_begin(&other);
    for (size_t i = 0; i < 200; i++) blocks[i] = core_alloc(&owner, 100 * KIB);
    core_end(&owner);
    ck_assert_uint_ge(look().abandoned, 5);
    core_be(&owner);
    for (size_t i = 0; i < 200; i++)
        if (i % 40 != 0) remote_free(core_segment(blocks[i]), core_kind_of(blocks[i]), (uintptr_t)blocks[i]);
    for (unsigned i = 0; i < 8; i++) {
        harness_clock_advance(fixed.options.purge_delay_ms);
        be_active(&other);
    }
    ck_assert_uint_le(look().segments, 8);
    for (size_t i = 0; i < 200; i += 40) core_give(&other, blocks[i]);
    alloc_collect(true);
    ck_assert_uint_eq(look().segments, 0);
    check_all();
}
END_TEST

START_TEST(a_trim_gives_everything_unused_back_at_once) {
    for (size_t i = 0; i < 300; i++) blocks[i] = core_alloc(&owner, 1 + i * 1000);
    for (size_t i = 0; i < 300; i++) core_give(&owner, blocks[i]);
    core_alloc(&other, 100);
    core_end(&other);
    core_be(&owner);
    ck_assert(alloc_collect(true));
    ck_assert_uint_eq(look().segments, 1); /* the other thread's, with its block */
    ck_assert_uint_eq(fixed.region->committed, SEGMENT_SIZE);
    check_all();
}
END_TEST

START_TEST(a_trim_reaches_another_heap_at_its_threads_next_generic_call) {
    for (size_t i = 0; i < ROOM; i++) blocks[i] = core_alloc(&other, 2000);
    for (size_t i = 0; i < ROOM; i++)
        if (i % 1024 != 0) core_give(&other, blocks[i]);
    core_begin(&owner);
    uint64_t purges = harness_call_count(OS_PURGE);
    alloc_trim();
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges); /* nobody but its thread touches its pages */
    core_alloc(&other, 30000);                               /* no time has passed: nothing else is due */
    ck_assert_uint_ge(harness_call_count(OS_PURGE), purges + 4);
    purges = harness_call_count(OS_PURGE);
    core_give(&other, blocks[0]);
    core_alloc(&other, 40000); /* asked once, answered once */
    ck_assert_uint_eq(harness_call_count(OS_PURGE), purges);
    uint32_t trims = fixed.pool->trims;
    core_be(&owner);
    ck_assert_ptr_null(alloc_block(PTRDIFF_MAX)); /* what can never be had disturbs nobody */
    ck_assert_uint_eq(fixed.pool->trims, trims);
    check_as(&other);
    check_as(&owner);
}
END_TEST

/* --- Damage ----------------------------------------------------------------------------------------------------------------- */

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
    heap->queues[page->class].last = 0;
    ck_assert(!heap_validate(heap));
    heap->queues[page->class].last = page_index(page);
    page->prev = page_index(page);
    ck_assert(!heap_validate(heap));
    page->prev = 0;
    page->full = true;
    ck_assert(!heap_validate(heap));
    page->full = false;
    page->left--;
    ck_assert(!heap_validate(heap));
    page->left++;
    page_segment(page)->owner ^= HEAP_SIZE;
    ck_assert(!heap_validate(heap));
    page_segment(page)->owner ^= HEAP_SIZE;
    ck_assert(heap_validate(heap));
}
END_TEST

static void add_queue_tests(TCase *group) {
    tcase_add_test(group, the_direct_table_follows_the_queues);
    tcase_add_loop_test(group, any_work_of_one_thread_keeps_the_heap_valid, 0, 8);
    tcase_add_loop_test(group, an_empty_page_of_large_blocks_goes_at_once, 0, 8);
    tcase_add_test(group, a_full_page_leaves_the_queue_and_a_local_free_brings_it_back);
    tcase_add_test(group, a_full_page_freed_into_by_another_thread_is_used_again);
    tcase_add_test(group, an_empty_page_is_given_up_unless_it_is_the_last_of_its_class);
    tcase_add_test(group, an_empty_segment_serves_another_kind_of_page);
    tcase_add_test(group, a_call_from_a_signal_handler_that_interrupted_it_is_reported);
    tcase_add_test(group, a_thread_word_that_was_overwritten_is_reported_and_never_followed);
    tcase_add_test(group, heaps_are_used_again);
    tcase_add_test(group, without_a_heap_left_the_late_heap_serves);
    tcase_add_test(group, heaps_that_cannot_be_made_writable_are_done_without);
    tcase_add_test(group, after_the_exit_hook_a_thread_never_owns_again);
    tcase_add_test(group, a_second_free_of_a_late_block_is_reported);
}

int main(void) {
    Suite *suite = suite_create("heap");
    TCase *group = tcase_create("heap");
    core_unused();
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    add_queue_tests(group);
    tcase_add_test(group, what_an_ended_thread_left_is_adopted_by_who_needs_memory);
    tcase_add_test(group, frees_in_a_row_into_an_abandoned_segment_take_it_over);
    tcase_add_test(group, frees_here_and_there_leave_abandoned_segments_to_others);
    tcase_add_test(group, claims_that_came_before_the_end_are_taken_in);
    tcase_add_test(group, what_an_ended_thread_left_empty_is_used_first_and_goes_back_after_the_delay);
    tcase_add_test(group, the_last_free_gives_an_abandoned_segment_back);
    tcase_add_test(group, who_may_not_sweep_leaves_it_to_the_next);
    tcase_add_test(group, claims_by_free_and_by_bitmap_at_once_have_one_winner);
    tcase_add_test(group, an_adoption_at_any_point_of_a_free_loses_nothing);
    tcase_add_test(group, a_search_at_any_point_of_a_threads_end_loses_no_segment);
    tcase_add_test(group, threads_born_and_ending_do_not_grow_the_process);
    tcase_add_test(group, unused_memory_goes_back_after_the_delay);
    tcase_add_test(group, abandoned_memory_goes_back_after_the_delay);
    tcase_add_test(group, a_trim_gives_everything_unused_back_at_once);
    tcase_add_test(group, a_trim_reaches_another_heap_at_its_threads_next_generic_call);
    tcase_add_test(group, a_damaged_heap_does_not_validate);
    suite_add_tcase(suite, group);
    return core_run(suite);
}
