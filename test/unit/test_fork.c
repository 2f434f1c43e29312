/*
 * test_fork: what a child makes of its parent's state (src/process/fork.c): blocks of vanished
 * threads, threads caught at any step, children without handlers, children of children. A test
 * initialises the allocator once, as a process does.
 */
#define _GNU_SOURCE
#include "core.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

enum { COUNT = 40 };
static const size_t sizes[] = {16, 100, 1000, 8 * KIB, 20 * KIB, 200 * KIB, 3 * MIB, 0};
static unsigned char *blocks[COUNT];

static size_t size_of(unsigned i) { return sizes[i % (sizeof sizes / sizeof *sizes)]; }

static void make_block(unsigned i) {
    blocks[i] = alloc_block(size_of(i));
    core_require(blocks[i] != NULL);
    for (size_t at = 0; at < size_of(i); at += 61) blocks[i][at] = (unsigned char)(i + at);
}
static void expect_block(unsigned i) {
    core_require(core_is_live(blocks[i]) && !core_is_claimed(blocks[i]));
    for (size_t at = 0; at < size_of(i); at += 61)
        core_require(blocks[i][at] == (unsigned char)(i + at));
}

/* Allocates much, of all sizes: nothing of it may overlap a block that is in use. */
static void allocate_apart(void) {
    for (unsigned i = 0; i < (CORE_SANITIZED ? 80 : 400); i++) {
        size_t size = size_of(i) + i % 3;
        unsigned char *block = alloc_block(size);
        core_require(block != NULL);
        memset(block, 0xee, size < 10000 ? size : 10000);
        for (unsigned k = 0; k < COUNT - 1; k++) core_require(block != blocks[k]);
        if (i % 3 != 0) alloc_free(block);
    }
}

/* Where the memory has been used for something else since, the report may call the address no
   block. */
static void expect_second_free_reported(void) {
    for (unsigned i = 0; i < COUNT; i += 3) {
        enum report_kind kind = core_report_of(core_free, blocks[i]);
        ck_assert_msg(kind == REPORT_DOUBLE_FREE || kind == REPORT_INVALID_FREE, "block %u: %s", i,
                      core_kind_name(kind));
    }
}

/* --- Blocks of threads that did not come along ----------------------------------------------- */

static pthread_barrier_t gate;

static void *make_all(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    return NULL;
}

static void the_other_makes_blocks(void) {
    core_be(&other);
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
}

static void use_what_is_left(void) {
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    allocate_apart();
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    core_require(check_all() > 0);
    for (unsigned i = 0; i < COUNT; i++) alloc_free(blocks[i]);
    core_require(check_all() > 0);
    unsigned again = 0;
    /* Rebuilt pages are used, at the latest when the thread's own segment is. */
    for (unsigned i = 0; i < SEGMENT_SIZE / 100 + COUNT; i++)
        again += alloc_block(100) == blocks[1];
    core_require(again == 1);
}

static void free_everything(void) {
    for (unsigned i = 0; i < COUNT; i++) alloc_free(blocks[i]);
    alloc_collect(true);
    core_require(ro.region->committed == 0);
}

static void free_everything_twice(void) {
    for (unsigned i = 0; i < COUNT; i++) alloc_free(blocks[i]);
    expect_second_free_reported();
}

/* A new thread may get the heap of one that vanished: the pages of that one must not look like its
   own. */
static void meet_no_page_of_ones_own(void) {
    for (unsigned i = 0; i < COUNT; i++)
        if (owner_has_pages(core_segment(blocks[i])->owner))
            core_require(page_local_heap(core_page(blocks[i])) == 0);
}

START_TEST(a_child_uses_the_blocks_of_threads_that_vanished) {
    pthread_t thread;
    ck_assert_int_eq(pthread_barrier_init(&gate, NULL, 2), 0);
    /* the forking thread has a heap of its own, or none */
    if (_i != 0) alloc_free(alloc_block(100));
    ck_assert_int_eq(pthread_create(&thread, NULL, make_all, NULL), 0);
    pthread_barrier_wait(&gate);
    core_in_child(meet_no_page_of_ones_own);
    core_in_child(use_what_is_left);
    core_in_child(free_everything);
    core_in_child(free_everything_twice);
    pthread_barrier_wait(&gate);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    check_all();
}
END_TEST

START_TEST(a_child_uses_its_own_blocks) {
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    core_in_child(use_what_is_left);
    core_in_child(free_everything);
    core_in_child(free_everything_twice);
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    free_everything();
}
END_TEST

static void fork_again(void) {
    core_in_child(use_what_is_left);
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    free_everything();
}

START_TEST(a_child_of_a_child_does_too) {
    the_other_makes_blocks();
    core_begin(&owner);
    core_in_child(fork_again);
    core_be(&other);
    use_what_is_left();
}
END_TEST

static void claims_are_done(void) {
    for (unsigned i = 0; i < COUNT; i++)
        if (i % 2 != 0 || size_of(i) >= MIB || size_of(i) == 0) alloc_free(blocks[i]);
    alloc_collect(true);
    core_require(ro.region->committed == 0);
}

/* Blocks that were freed remotely and not collected are free in the child, whoever owned them. */
START_TEST(claims_that_were_waiting_count_as_frees) {
    core_be(_i == 0 ? &owner : &other); /* the owner forks, or a third thread does */
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    struct core_thread third = CORE_THREAD;
    core_begin(&third);
    for (unsigned i = 0; i < COUNT; i += 2)
        if (size_of(i) < MIB && size_of(i) != 0) alloc_free(blocks[i]);
    core_be(&owner);
    core_in_child(claims_are_done);
}
END_TEST

/* --- Caught at any step ---------------------------------------------------------------------- */

static struct core_thread *forker;
static void (*child_body)(void);
static unsigned forks;

/* Forks in the name of the other virtual thread. */
static void fork_now(void) {
    uintptr_t *before = harness_thread_word();
    void (*none)(const volatile void *) = NULL;
    harness_set_atomic_hook(none);
    core_be(forker);
    core_in_child(child_body);
    harness_set_thread_word(before);
    forks++;
}

/* The one that vanished was freeing, or making, the last block; all the others are as they were. */
static void others_are_whole(void) {
    for (unsigned i = 0; i < COUNT - 1; i++) expect_block(i);
    allocate_apart();
    for (unsigned i = 0; i < COUNT - 1; i++) expect_block(i);
    core_require(check_all() > 0);
    for (unsigned i = 0; i < COUNT - 1; i++) alloc_free(blocks[i]);
    alloc_collect(true);
    check_all();
}

enum caught { IN_REMOTE_FREE, IN_LOCAL_FREE, IN_ALLOCATION, IN_THREAD_END, CAUGHT_KINDS };

static void be_caught(enum caught what, struct core_thread *maker, uint64_t step) {
    struct core_thread third = CORE_THREAD;
    if (what == IN_REMOTE_FREE) core_begin(&third);
    core_be(what == IN_REMOTE_FREE ? &third : maker);
    core_interleave(step, fork_now);
    if (what == IN_ALLOCATION)
        for (unsigned i = 0; i < 6; i++) blocks[COUNT - 1] = alloc_block(8 * KIB);
    else if (what == IN_THREAD_END)
        heap_thread_end(core_heap(maker));
    else
        alloc_free(blocks[COUNT - 1]);
}

/* A thread is anywhere within that step when another one forks: the child has lost nothing but,
   perhaps, that one block. */
START_TEST(a_thread_may_vanish_at_any_step) {
    unsigned stride = (_i == IN_THREAD_END   ? 17
                       : _i == IN_ALLOCATION ? 5
                                             : 1) *
                      (CORE_SANITIZED ? 11 : 1);
    core_begin(&owner);
    forker = &owner;
    child_body = others_are_whole;
    for (uint64_t step = 1;; step += step < (CORE_SANITIZED ? 4 : 40) ? 1 : stride) {
        struct core_thread maker = CORE_THREAD;
        core_be(&maker);
        for (unsigned i = 0; i < COUNT; i++) make_block(i);
        if (_i == IN_LOCAL_FREE || _i == IN_REMOTE_FREE) { /* its page is full and set aside */
            alloc_free(blocks[COUNT - 1]);
            void *page[64];
            core_fill_page(&maker, 8 * KIB, page, 64);
            blocks[COUNT - 1] = page[0];
            core_alloc(&maker, 8 * KIB);
        }
        be_caught((enum caught)_i, &maker, step);
        bool ran = core_interleave_end();
        if (_i == IN_THREAD_END) maker.word = THREAD_ENDED;
        core_be(&owner);
        for (unsigned i = 0; i < COUNT - 1; i++) alloc_free(blocks[i]);
        if (maker.word != THREAD_ENDED) core_end(&maker);
        core_be(&owner);
        alloc_collect(true);
        if (!ran || step > 1900) break;
    }
    ck_assert_uint_gt(forks, 2);
}
END_TEST

/* Caught anywhere: what its segment and pages say of themselves is worth nothing. */
static void damage_records(void) {
    for (unsigned i = 0; i < COUNT; i++) {
        struct segment *segment = core_segment(blocks[i]);
        if (!owner_has_pages(segment->owner)) continue;
        struct page *page = core_page(blocks[i]);
        page->free = page->local_free = 1;
        page->free_count = 3;
        page->returns.countdown = 99;
        page->limit = 1;
        page->carved = (uint16_t)(page->carved / 2);
        segment->free_pages ^= segment_page_slots(owner_page_kind(segment->owner));
        segment->untouched = segment->free_pages;
        segment->pages_used = 77;
    }
}

static void nothing_is_lost(void) {
    for (unsigned i = 0; i < COUNT; i++) {
        expect_block(i);
        uint64_t word = core_segment(blocks[i])->owner;
        core_require(!owner_has_pages(word) || (word & OWNER_REBUILD) != 0);
    }
    damage_records();
    allocate_apart();
    core_require(check_all() > 0);
    for (unsigned i = 0; i < COUNT; i++) {
        expect_block(i);
        alloc_free(blocks[i]);
    }
    core_require(check_all() > 0);
    core_expect_free_report(REPORT_DOUBLE_FREE, blocks[1]);
}

static void everything_goes_back(void) {
    damage_records();
    free_everything();
}

START_TEST(a_heap_caught_in_its_generic_path_is_made_anew_from_the_maps) {
    the_other_makes_blocks();
    core_begin(&owner);
    core_heap(&other)->seqcount++;
    core_in_child(nothing_is_lost);
    core_in_child(everything_goes_back);
    core_heap(&other)->seqcount++;
    core_be(&other);
    check_all();
}
END_TEST

/* Whoever visited it did not come along: the thread that did has its heap, with nothing in it. */
START_TEST(a_heap_that_was_visited_is_made_anew_for_its_thread) {
    the_other_makes_blocks();
    core_heap(&other)->visit = VISIT_GOING_ON;
    core_in_child(nothing_is_lost);
    core_in_child(everything_goes_back);
    core_heap(&other)->visit = VISIT_NONE;
    check_all();
}
END_TEST

static void wait_for_the_visitor(void) {
    struct heap *heap = core_heap(&other);
    alarm(30);
    uintptr_t outside = thread_enter();
    *ro.fork_mark = FORK_WIPED; /* as for a child without handlers */
    heap_enter_busy(heap, outside);
    core_require(*ro.fork_mark == FORK_WIPED);
    core_require((heap->seqcount & 1) != 0 && heap->visit == VISIT_NONE);
    heap_leave(heap);
    nothing_is_lost();
}

START_TEST(who_waits_for_a_visitor_that_did_not_come_along_goes_on) {
    the_other_makes_blocks();
    core_heap(&other)->visit = VISIT_GOING_ON;
    uintptr_t outside = thread_enter(); /* the child is not put in order by the handler */
    pid_t child = fork();
    if (child == 0) {
        thread_leave(outside);
        wait_for_the_visitor();
        _exit(0);
    }
    thread_leave(outside);
    core_expect_good_end(child);
    core_heap(&other)->visit = VISIT_NONE;
    check_all();
}
END_TEST

/* The child is the thread that was interrupted: a call is reported as the handler's, and its heap
   goes on when the handler returns. */
static struct heap *interrupted;

static void go_on_after_the_handler(void) {
    struct heap *heap = interrupted;
    ck_assert_int_eq(core_report_of(core_free, blocks[0]), REPORT_REENTRANT_CALL);
    heap_leave(heap);
    ck_assert_ptr_eq(core_heap(&owner), heap);
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t word = core_segment(blocks[i])->owner;
        core_require(!owner_has_pages(word) || owner_heap(word) == &heap->owner);
        alloc_free(blocks[i]);
    }
    check_all();
    core_expect_free_report(REPORT_DOUBLE_FREE, blocks[1]);
}

START_TEST(a_fork_from_a_signal_handler_that_interrupted_malloc_keeps_the_heap) {
    core_be(&owner);
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    struct heap *heap = interrupted = core_heap(&owner);
    heap_enter(heap); /* here the signal comes */
    core_in_child(go_on_after_the_handler);
    heap_leave(heap);
    check_all();
}
END_TEST

static void *half_freed, *half_taken;

static void halves_are_settled(void) {
    bool again = false;
    for (unsigned i = 0; i < COUNT; i++) expect_block(i);
    harness_limit_committed(harness_committed_bytes()); /* all pages are used then */
    for (void *block; (block = alloc_block(112)) != NULL;) {
        core_require(block != half_taken);
        again |= block == half_freed;
    }
    core_require(again);
    core_require(check_all() > 0);
    for (unsigned i = 0; i < COUNT; i++) alloc_free(blocks[i]);
    core_require(check_all() > 0);
}

/* The owner's bit is written, the list and the count are not: the bit is the truth. */
START_TEST(a_thread_caught_between_the_live_bit_and_the_list) {
    the_other_makes_blocks();
    half_freed = core_alloc(&other, 112);
    ck_assert(map_give(map_word_of((uintptr_t)half_freed), map_place_of((uintptr_t)half_freed)));
    core_alloc(&other, 112);
    struct page *page = core_page(half_freed);
    if (page->free_count == 0) page_carve(page, heap_random(core_heap(&other)));
    half_taken = (void *)(page->free);
    ck_assert(map_take(map_word_of((uintptr_t)half_taken), map_place_of((uintptr_t)half_taken)));
    core_begin(&owner);
    core_in_child(halves_are_settled);
}
END_TEST

static void claim_is_collected(void) {
    bool again = false;
    harness_limit_committed(harness_committed_bytes()); /* all pages are used then */
    for (void *block; (block = alloc_block(size_of(1))) != NULL;) again |= block == blocks[1];
    core_require(again);
    core_require(check_all() > 0);
}

/* A remote free that had claimed and not yet said so, into a page of the thread that forks: set
   aside, or in its queue. */
START_TEST(a_thread_caught_between_the_claim_and_its_mark) {
    core_be(&owner);
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    for (unsigned i = 0; _i != 0 && !core_page(blocks[1])->in_full; i++) {
        ck_assert_ptr_nonnull(alloc_block(size_of(1)));
        ck_assert_uint_lt(i, 5000);
    }
    map_word_of((uintptr_t)blocks[1])->claim |= map_bit_of((uintptr_t)blocks[1]);
    core_in_child(claim_is_collected);
}
END_TEST

/* --- Without handlers ------------------------------------------------------------------------ */

static pid_t fork_without_handlers(void) { return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

static void *come_first(void *unused) { return alloc_free(alloc_block(9000)), unused; }

/* A thread that the child has made comes first: the thread that was visited goes on with what its
   fast paths have in hand, and puts its heap in order itself. */
static void another_thread_comes_first(void) {
    pthread_t thread;
    core_require(pthread_create(&thread, NULL, come_first, NULL) == 0 &&
                 pthread_join(thread, NULL) == 0 && core_heap(&other)->visit == VISIT_LEFT);
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t word = core_segment(blocks[i])->owner;
        core_require(!owner_has_pages(word) || owner_heap(word) == &core_heap(&other)->owner);
    }
    alloc_free(alloc_block(9000));
    core_require(core_heap(&other)->visit == VISIT_NONE);
    free_everything_twice();
}

START_TEST(a_visited_heap_is_left_to_its_thread_if_another_comes_first) {
    the_other_makes_blocks();
    core_heap(&other)->visit = VISIT_GOING_ON;
    pid_t child = fork_without_handlers();
    if (child == 0) {
        another_thread_comes_first();
        _exit(0);
    }
    core_expect_good_end(child);
    core_heap(&other)->visit = VISIT_NONE;
    check_all();
}
END_TEST

START_TEST(a_child_made_without_handlers_recovers) {
    core_be(_i == 0 ? &owner : &other);
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    core_begin(&owner);
    ro.locks[LOCK_LATE_HEAP].word = ro.locks[LOCK_REGION].word = 1; /* of a thread that stays */
    heap_at(HEAP_LATE)->cannot_grow = true;                         /* for its call */
    pid_t child = fork_without_handlers();
    if (child == 0) {
        core_require(*ro.fork_mark == 0);
        use_what_is_left();
        core_require(*ro.fork_mark == FORK_RECOVERED);
        core_require(!heap_at(HEAP_LATE)->cannot_grow);
        _exit(0);
    }
    ro.locks[LOCK_LATE_HEAP].word = ro.locks[LOCK_REGION].word = 0;
    heap_at(HEAP_LATE)->cannot_grow = false;
    core_expect_good_end(child);
    ck_assert_uint_eq(*ro.fork_mark, FORK_RECOVERED);
    core_be(_i == 0 ? &owner : &other);
    use_what_is_left();
}
END_TEST

/* Another thread had the lock of the huge cache and was caught in change: the count says two, the
   second place still has what a user got from it, or what stands in the first. */
START_TEST(a_child_without_handlers_trusts_no_cache_that_was_in_change) {
    void *blocks_of[4];
    core_start_ready("purge_delay=100000");
    owner = CORE_THREAD;
    core_be(&owner);
    for (int i = 0; i < 4; i++) blocks_of[i] = core_alloc(&owner, 3 * MIB);
    for (int i = 0; i < 4; i++) core_give(&owner, blocks_of[i]);
    for (int i = 0; i < 3; i++) blocks_of[i] = core_alloc(&owner, 3 * MIB);
    core_require(ro.huge->entries == 1);
    ro.locks[LOCK_HUGE_CACHE].word = 1;
    ro.huge->entries = 2;
    pid_t child = fork_without_handlers();
    if (child == 0) {
        void *got[3];
        for (int i = 0; i < 3; i++) {
            got[i] = alloc_block(3 * MIB);
            core_require(got[i] != NULL);
            for (int k = 0; k < i; k++) core_require(got[i] != got[k]);
            for (int k = 0; k < 3; k++) core_require(got[i] != blocks_of[k]);
        }
        _exit(0);
    }
    ro.locks[LOCK_HUGE_CACHE].word = 0;
    ro.huge->entries = 1;
    core_expect_good_end(child);
}
END_TEST

/* A handler forks that has interrupted this thread inside the allocator, where it may have taken a
   heap, or a segment: what it has in hand in the child is nobody's to take back until it is
   outside. */
START_TEST(a_fork_by_a_handler_leaves_alone_what_the_interrupted_call_has_in_hand) {
    uint32_t index;
    core_begin(&owner);
    core_begin(&other);
    core_end(&other);
    core_be(&owner);
    uint32_t ready = (uint32_t)ro.pool->free_heaps;
    ck_assert_uint_ne(ready, 0);
    uint32_t taken = region_in_use();
    uintptr_t outside = thread_enter();
    ck_assert(region_take(1, 1, &index) && os_commit((void *)segment_address(index), 4096));
    ro.pool->free_heaps = heap_at(ready)->next_free; /* the one on top is in its hand */
    pid_t child = fork();
    if (child == 0) {
        core_require(thread_word() == THREAD_BUSY && *ro.fork_mark == FORK_WIPED);
        core_require((uint32_t)ro.pool->free_heaps != ready && region_in_use() == taken + 1);
        *(char *)segment_address(index) = 1;
        thread_leave(outside); /* and forgets both */
        alloc_free(alloc_block(9000));
        alloc_collect(true);
        check_all();
        core_require((uint32_t)ro.pool->free_heaps == ready && region_in_use() == taken);
        core_require(!harness_range_is(segment_address(index), 4096, HARNESS_COMMITTED));
        _exit(0);
    }
    thread_leave(outside);
    core_expect_good_end(child);
}
END_TEST

/* The interrupted call needs a lock whose holder did not come along: nobody else will release
   it. */
START_TEST(an_interrupted_call_gets_a_lock_that_nobody_is_left_to_release) {
    enum lock_rank rank = (enum lock_rank)_i;
    the_other_makes_blocks();
    core_begin(&owner);
    uintptr_t outside = thread_enter();
    ro.locks[rank].word = 1;
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        locks_acquire(rank);
        locks_release(rank);
        core_require(*ro.fork_mark == FORK_WIPED);
        thread_leave(outside);
        use_what_is_left();
        core_require(*ro.fork_mark == FORK_RECOVERED);
        _exit(0);
    }
    ro.locks[rank].word = 0;
    thread_leave(outside);
    core_expect_good_end(child);
}
END_TEST

/* The late heap's holder was anywhere in it. */
START_TEST(a_late_heap_that_was_in_use_is_left_like_a_gone_threads) {
    other.word = THREAD_ENDED;
    the_other_makes_blocks();
    struct heap *late = heap_try_late();
    core_require(late != NULL);
    core_begin(&owner);
    core_in_child(nothing_is_lost);
    core_in_child(everything_goes_back);
    core_be(&other);
    heap_release(late);
    check_all();
}
END_TEST

/* Another thread was about to use one segment, and had committed it, and to give another back. */
static void what_was_in_hand_comes_back(void) {
    free_everything();
    core_require(region_in_use() == 2); /* number 0, and the one for blocks of size 0 */
    check_all();
}

START_TEST(segments_in_the_hand_of_a_gone_thread_are_taken_back) {
    uint32_t first, second;
    the_other_makes_blocks();
    core_begin(&owner);
    ck_assert(region_take(1, 1, &first) && region_take(3, 1, &second));
    ck_assert(os_commit((void *)segment_address(first), SEGMENT_SIZE));
    map_word_of(segment_address(second))->live |= 1; /* a huge block that was nearly made */
    core_in_child(what_was_in_hand_comes_back);
}
END_TEST

static struct heap_random parents;
static void expect_other_numbers(void) {
    struct heap *heap = core_heap(&owner);
    alloc_block(9000); /* a new page: draws */
    core_require(memcmp(heap_random(heap)->key, parents.random.key, sizeof parents.random.key) !=
                 0);
    core_require(heap_random(heap)->seeded != 0);
}

START_TEST(a_child_draws_other_numbers) {
    struct heap *heap = core_begin(&owner);
    core_alloc(&owner, 100);
    parents = ro.randoms[heap->index];
    ck_assert_uint_ne(parents.random.seeded, 0);
    core_in_child(expect_other_numbers);
    pid_t child = fork_without_handlers();
    if (child == 0) {
        expect_other_numbers();
        _exit(0);
    }
    core_expect_good_end(child);
    ck_assert_mem_eq(&ro.randoms[heap->index], &parents, sizeof parents);
}
END_TEST

/* --- While everybody works ------------------------------------------------------------------- */

static bool done;
static void *churn(void *seed) {
    uint64_t random = (uint64_t)(uintptr_t)seed;
    void *mine[50] = {NULL};
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        size_t which = core_below(&random, 50);
        alloc_free(mine[which]);
        mine[which] =
            alloc_block(core_below(&random, core_below(&random, 20) == 0 ? 2 * MIB : 5000));
    }
    for (unsigned i = 0; i < 50; i++) alloc_free(mine[i]);
    return NULL;
}

START_TEST(a_storm_of_forks_while_threads_allocate) {
    pthread_t threads[3];
    for (unsigned i = 0; i < COUNT; i++) make_block(i);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < (CORE_SANITIZED ? 5 : 25); i++) core_in_child(use_what_is_left);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    use_what_is_left();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fork");
    TCase *group = tcase_create("fork");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 100);
    tcase_add_loop_test(group, a_child_uses_the_blocks_of_threads_that_vanished, 0, 2);
    tcase_add_test(group, a_child_uses_its_own_blocks);
    tcase_add_test(group, a_child_of_a_child_does_too);
    tcase_add_loop_test(group, claims_that_were_waiting_count_as_frees, 0, 2);
    tcase_add_loop_test(group, a_thread_may_vanish_at_any_step, 0, CAUGHT_KINDS);
    tcase_add_test(group, a_thread_caught_between_the_live_bit_and_the_list);
    tcase_add_loop_test(group, a_thread_caught_between_the_claim_and_its_mark, 0, 2);
    tcase_add_test(group, a_heap_caught_in_its_generic_path_is_made_anew_from_the_maps);
    tcase_add_test(group, a_heap_that_was_visited_is_made_anew_for_its_thread);
    tcase_add_test(group, a_visited_heap_is_left_to_its_thread_if_another_comes_first);
    tcase_add_test(group, who_waits_for_a_visitor_that_did_not_come_along_goes_on);
    tcase_add_test(group, a_fork_from_a_signal_handler_that_interrupted_malloc_keeps_the_heap);
    tcase_add_loop_test(group, a_child_made_without_handlers_recovers, 0, 2);
    tcase_add_test(group, a_child_without_handlers_trusts_no_cache_that_was_in_change);
    tcase_add_test(group, a_fork_by_a_handler_leaves_alone_what_the_interrupted_call_has_in_hand);
    tcase_add_loop_test(group, an_interrupted_call_gets_a_lock_that_nobody_is_left_to_release, 0,
                        LOCKS);
    tcase_add_test(group, a_late_heap_that_was_in_use_is_left_like_a_gone_threads);
    tcase_add_test(group, segments_in_the_hand_of_a_gone_thread_are_taken_back);
    tcase_add_test(group, a_child_draws_other_numbers);
    tcase_add_test(group, a_storm_of_forks_while_threads_allocate);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
