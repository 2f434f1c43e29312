/*
 * test_remote: frees by threads that do not own the segment (src/heap/remote.h): what each result
 * changes, wake-ups, and interleavings.
 *
 * Two ways to meet the owner: real threads, and every single point of one thread's steps at which
 * the other's whole step can come between (the atomic seam shows where).
 */
#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

static enum remote_result free_remotely(void *block) {
    return remote_free(core_segment(block), core_kind_of(block), (uintptr_t)block);
}

enum { BLOCK = 8 * KIB, CAPACITY = 4096 };
static void *blocks[CAPACITY];

/* --- Results --------------------------------------------------------------------------------- */

START_TEST(the_claim_is_the_free_and_the_block_stays_as_it_is) {
    uint64_t *block = core_alloc(&owner, 64);
    struct page *page = core_page(block);
    *block = 0x1234;
    int32_t used = page_used(page);
    ck_assert_int_eq(free_remotely(block), REMOTE_FREED);
    ck_assert(core_is_live(block) && core_is_claimed(block));
    ck_assert_uint_eq(*block, 0x1234); /* freed memory is not touched before it is collected */
    ck_assert_int_eq(page_used(page), used);
    ck_assert_uint_eq(page->pending,
                      bit64(page_claim_group(PAGE_SMALL, (uintptr_t)block - page->start)));
    /* the page is in its queue: nobody need be woken */
    ck_assert_uint_eq(core_heap(&owner)->owner.wake, 0);
    ck_assert_int_eq(free_remotely(block), REMOTE_CLAIMED_BEFORE);
    ck_assert(core_is_live(block) && core_is_claimed(block));
}
END_TEST

START_TEST(what_is_not_live_is_refused_and_nothing_changes) {
    char *block = core_alloc(&owner, 64);
    core_give(&owner, core_alloc(&owner, 64));
    struct page before = *core_page(block);
    char *wrong[] = {block + 16, block + 48, (char *)before.local_free,
                     (char *)before.start + before.limit + 640};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(free_remotely(wrong[i]), REMOTE_NOT_LIVE);
        ck_assert(!core_is_claimed(wrong[i]));
    }
    ck_assert_mem_eq(core_page(block), &before, sizeof before);
}
END_TEST

/* Allocates until the first page of the size is set aside; the blocks of that page come first. */
static struct page *make_full_page(size_t *count) {
    *count = core_fill_page(&owner, BLOCK, blocks, CAPACITY);
    struct page *page = core_page(blocks[0]);
    void *more = core_alloc(&owner, BLOCK);
    ck_assert_ptr_ne(core_page(more), page);
    blocks[*count] = more;
    ck_assert(page->in_full);
    ck_assert_uint_eq(page->pending, PENDING_FULL);
    return page;
}

START_TEST(the_first_claim_of_a_full_page_wakes_its_owner) {
    size_t count = 0;
    struct page *page = make_full_page(&count);
    struct heap *heap = core_heap(&owner);
    struct segment *segment = page_segment(page);
    ck_assert_int_eq(free_remotely(blocks[3]), REMOTE_FREED);
    ck_assert_uint_eq(segment->woken, bit64(page_slot(page)));
    ck_assert_uint_eq(heap->owner.wake, bit64(segment_index(segment) / 64));
    segment->woken = heap->owner.wake = 0;
    ck_assert_int_eq(free_remotely(blocks[4]), REMOTE_FREED); /* the second need not */
    ck_assert_uint_eq(segment->woken | heap->owner.wake, 0);
    segment->woken = bit64(page_slot(page));
    wake_segment(&heap->owner, segment_index(segment));
    core_be(&owner);
    heap_enter(heap);
    heap_poll(heap);
    heap_leave(heap);
    ck_assert(!page->in_full && page->pending == 0);
    ck_assert_int_eq(page_used(page), (int32_t)count - 2);
    check_all();
}
END_TEST

START_TEST(spurious_wakes_do_nothing) {
    size_t count = 0;
    struct page *page = make_full_page(&count);
    struct heap *heap = core_heap(&owner);
    struct segment *segment = page_segment(page);
    core_be(&owner);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t word = segment_index(segment) / 64, from = word * 64;
        uint32_t mapped = ro.region->extent - from < 64 ? ro.region->extent - from : 64;
        ro.woken_segments[word] = low_mask(mapped);
        heap->owner.wake = ~(uint64_t)0;
        segment->woken = i == 0 ? ~bit64(page_slot(page)) : i == 1 ? 0 : ~(uint64_t)0;
        heap_enter(heap);
        heap_poll(heap);
        heap_leave(heap);
        /* a full page in vain: it joins its queue, and leaves it again */
        ck_assert_int_eq(page->in_full, i < 2);
        check_all();
    }
}
END_TEST

static void *blocks_of_many[8 * CAPACITY];

static size_t pages_set_aside(size_t count) {
    size_t aside = 0;
    for (size_t i = 0; i < count; i++)
        aside += core_page(blocks_of_many[i])->start == (uintptr_t)blocks_of_many[i] &&
                 core_page(blocks_of_many[i])->in_full;
    return aside;
}

static void nothing(void) {}

/* Accesses to shared words by which the owner takes in one wake-up, with so many segments. */
static uint64_t steps_of_a_poll(unsigned segments) {
    core_start_ready("region=64G");
    owner = other = CORE_THREAD;
    size_t count = 0;
    make_full_page(&count);
    struct heap *heap = core_heap(&owner);
    while (heap->segments < segments) core_alloc(&owner, 1000 * KIB);
    ck_assert_int_eq(free_remotely(blocks[3]), REMOTE_FREED);
    core_be(&owner);
    heap_enter(heap);
    core_interleave(UINT64_MAX, nothing);
    heap_poll(heap);
    core_interleave_end();
    uint64_t steps = core_step;
    heap_leave(heap);
    ck_assert(!core_page(blocks[3])->in_full);
    check_all();
    core_stop();
    return steps;
}

/* A word more for 4096 segments more: no search goes over segments one by one. */
START_TEST(a_wake_up_takes_few_steps_in_a_heap_of_any_size) {
    core_stop();
    uint64_t small = steps_of_a_poll(2), large = steps_of_a_poll(2000);
    ck_assert_uint_le(large, small + 2);
    setup();
}
END_TEST

/* Of so many that no call takes long; the others keep their wake-ups, and whoever looks at
   everything follows them all. */
START_TEST(a_poll_takes_in_some_and_the_next_goes_on) {
    enum { PAGES = 700, EACH = (int)(SLOT_SIZE / BLOCK) };
    size_t count = 0;
    while (count < PAGES * EACH) blocks_of_many[count++] = core_alloc(&owner, BLOCK);
    for (size_t i = 0; i < count; i += EACH / 2)
        ck_assert_int_eq(free_remotely(blocks_of_many[i]), REMOTE_FREED);
    struct heap *heap = core_heap(&owner);
    core_be(&owner);
    unsigned polls = 0;
    for (size_t left = pages_set_aside(count); left != 0; polls++) {
        heap_enter(heap);
        if (_i != 0)
            heap_poll_all(heap);
        else
            heap_poll(heap);
        heap_leave(heap);
        check_all();
        size_t now = pages_set_aside(count);
        ck_assert_uint_lt(now, left);
        if (_i == 0) ck_assert_uint_le(left - now, WAKES_PER_POLL + SLOTS_PER_SEGMENT);
        left = now;
    }
    if (_i != 0) ck_assert_uint_eq(polls, 1);
    if (_i == 0) ck_assert_uint_ge(polls, PAGES / 2 / (WAKES_PER_POLL + SLOTS_PER_SEGMENT));
    ck_assert_uint_eq(heap->owner.wake, 0);
}
END_TEST

/* All pages of a segment are full: who looks for room does not look there before one is freed. */
START_TEST(the_first_claim_in_a_segment_left_without_room_leads_others_to_it) {
    static void *all[SLOTS_PER_SEGMENT * 8];
    size_t count = 0;
    uint32_t index = 0;
    do blocks[0] = all[count++] = core_alloc(&owner, BLOCK);
    while (core_segment(blocks[0])->free_pages != 0 || page_has_room(core_page(blocks[0])));
    struct heap *heap = core_heap(&owner);
    core_end(&owner);
    core_begin(&other);
    ck_assert_uint_eq(core_page(all[5])->pending, PENDING_FULL);
    ck_assert(!abandoned_find(PAGE_SMALL, 0, &index));
    heap->owner.wake = 0;
    ck_assert_int_eq(free_remotely(all[5]), REMOTE_FREED);
    ck_assert_uint_eq(heap->owner.wake, 0);
    ck_assert(abandoned_find(PAGE_SMALL, 0, &index));
    abandoned_add(PAGE_SMALL, index);
    ck_assert_ptr_eq(core_alloc(&other, BLOCK), all[5]);
    core_check_as(&other);
}
END_TEST

/* --- Interleavings --------------------------------------------------------------------------- */

/* The owner, for as long as it takes: allocates until the freed block comes back. Any lost claim or
   wake-up shows here. */
static void expect_reuse(const void *freed) {
    for (unsigned i = 0; i < 64; i++) {
        void *block = core_alloc(&owner, BLOCK);
        core_require(core_is_live(block));
        if (block == freed) {
            core_be(&owner);
            check_all();
            return;
        }
    }
    ck_abort_msg("the freed block was never found again");
}

static void *target;

/* The owner allocates until it finds the page full: then it collects, or marks it and goes on. */
static void owner_sets_aside(void) {
    core_be(&owner);
    unsigned taken = 0;
    do {
        blocks[CAPACITY - 1] = alloc_block(BLOCK);
    } while (!core_page(target)->in_full && blocks[CAPACITY - 1] != target && ++taken < 32);
    core_be(&other);
}
static void owner_polls(void) {
    struct heap *heap = core_heap(&owner);
    core_be(&owner);
    heap_enter(heap);
    heap_poll(heap);
    heap_leave(heap);
    core_be(&other);
}
static void owner_collects(void) { page_collect(core_page(target), PAGE_SMALL); }
static void owner_frees_another(void) { core_give(&owner, blocks[1]), core_be(&other); }
static void owner_ends(void) { core_end(&owner), core_be(&other); }
static void other_frees(void) { core_require(free_remotely(target) == REMOTE_FREED); }

/* Where the page is when a race begins. */
enum start {
    FILLED,   /* in its queue, nobody has asked it in vain yet */
    ASIDE,    /* marked full, and set aside */
    REJOINED, /* in its queue again after a local free, with the mark of last time */
    STARTS
};

static void start_race(enum start start) {
    size_t count = 0;
    core_setup();
    owner = other = CORE_THREAD;
    if (start == FILLED)
        count = core_fill_page(&owner, BLOCK, blocks, CAPACITY);
    else
        make_full_page(&count);
    target = blocks[2];
    blocks[CAPACITY - 1] = NULL;
    if (start != REJOINED) return;
    core_give(&owner, blocks[3]);
    blocks[3] = NULL;
    ck_assert(!core_page(target)->in_full && core_page(target)->pending == PENDING_FULL);
}

/* When the owner's whole step comes before any access of a remote free, then the block is found
   again. */
static void interleave_remote_free(enum start start, void (*act)(void)) {
    for (uint64_t step = 1;; step++) {
        start_race(start);
        core_be(&other);
        core_interleave(step, act);
        enum remote_result result = free_remotely(target);
        bool ran = core_interleave_end();
        ck_assert_int_eq(result, REMOTE_FREED);
        if (owner.word == THREAD_ENDED) owner = CORE_THREAD;
        if (blocks[CAPACITY - 1] != target) expect_reuse(target);
        ck_assert_uint_lt(step, 1000);
        if (!ran) {
            ck_assert_uint_ge(step, 3); /* the live bit, the claim, pending */
            break;
        }
    }
}

START_TEST(no_claim_is_lost_when_the_owner_acts_in_the_middle_of_it) {
    static void (*const acts[])(void) = {owner_sets_aside, owner_polls, owner_collects,
                                         owner_frees_another, owner_ends};
    for (int start = FILLED; start < STARTS; start++)
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
            /* the owner never does that to a page set aside */
            if (start == ASIDE && acts[i] == owner_collects) continue;
            interleave_remote_free((enum start)start, acts[i]);
        }
}
END_TEST

/* The owner empties the page, gives the segment back, and a huge block takes the slot. */
static void owner_makes_the_segment_huge(void) {
    core_be(&owner);
    for (unsigned i = 0; i < CAPACITY; i++)
        if (blocks[i] != NULL && blocks[i] != target) alloc_free(blocks[i]);
    alloc_collect(true);
    core_require(alloc_block(3 * MIB) != NULL);
    core_be(&other);
}

/* A wake-up that comes late finds an owner word that is no heap's any more, and must not follow
   it. */
START_TEST(a_late_wake_up_passes_over_a_segment_that_became_huge) {
    unsigned huge = 0;
    for (uint64_t step = 1;; step++) {
        size_t count = 0;
        core_setup();
        owner = other = CORE_THREAD;
        memset(blocks, 0, sizeof blocks);
        make_full_page(&count);
        target = blocks[2];
        core_be(&other);
        core_interleave(step, owner_makes_the_segment_huge);
        ck_assert_int_eq(free_remotely(target), REMOTE_FREED);
        bool ran = core_interleave_end();
        huge += owner_kind(core_segment(target)->owner) == OWNER_HUGE;
        if (!ran) break;
    }
    ck_assert_uint_gt(huge, 0);
}
END_TEST

/* The other way round: the whole remote free comes before any access of the owner's step. */
static void interleave_owner(enum start start, void (*act)(void)) {
    for (uint64_t step = 1;; step++) {
        start_race(start);
        core_interleave(step, other_frees);
        act();
        if (!core_interleave_end()) other_frees();
        bool ran = core_step >= step;
        if (owner.word == THREAD_ENDED) owner = CORE_THREAD;
        if (blocks[CAPACITY - 1] != target) expect_reuse(target);
        core_be(&owner);
        check_all();
        ck_assert_uint_lt(step, 4000);
        if (!ran) break;
    }
}

START_TEST(no_claim_is_lost_when_it_comes_in_the_middle_of_the_owners_step) {
    static void (*const acts[])(void) = {owner_sets_aside, owner_polls, owner_collects,
                                         owner_frees_another, owner_ends};
    for (int start = FILLED; start < STARTS; start++)
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
            if (start == ASIDE && acts[i] == owner_collects) continue;
            interleave_owner((enum start)start, acts[i]);
        }
}
END_TEST

static enum report_kind second_free_kind;

static void other_frees_too(void) {
    enum remote_result result = free_remotely(target);
    second_free_kind = result == REMOTE_FREED ? REPORT_KINDS : REPORT_DOUBLE_FREE;
}
static void free_by_owner(void *block) { core_give(&owner, block); }
static void take_many(void *unused) {
    (void)unused;
    core_be(&owner);
    for (unsigned i = 0; i < 64; i++) {
        void *block = alloc_block(BLOCK);
        /* never given out twice */
        for (unsigned j = 0; j < i; j++) core_require(blocks[1000 + j] != block);
        blocks[1000 + i] = block;
    }
}

/* Two frees of one block at once, local and remote: one of them, or the next pop or collect of the
   block, reports it. */
START_TEST(two_frees_at_once_are_reported_before_the_block_is_given_out_twice) {
    for (uint64_t step = 1;; step++) {
        core_setup();
        owner = other = CORE_THREAD;
        core_fill_page(&owner, BLOCK, blocks, CAPACITY);
        target = blocks[2];
        second_free_kind = REPORT_KINDS;
        core_interleave(step, other_frees_too);
        enum report_kind kind = core_report_of(free_by_owner, target);
        bool ran = core_interleave_end();
        if (!ran) break;
        if (kind == REPORT_KINDS && second_free_kind == REPORT_KINDS)
            kind = core_report_of(take_many, NULL);
        if (kind == REPORT_KINDS) kind = second_free_kind;
        ck_assert_str_eq(core_kind_name(kind), core_kind_name(REPORT_DOUBLE_FREE));
        ck_assert_uint_lt(step, 1000);
    }
}
END_TEST

static void other_claims(void) {
    map_word_of((uintptr_t)target)->claim |= map_bit_of((uintptr_t)target);
}

/* The other thread stops after its claim, before its mark in `pending`: no collect sees the claim,
   so the pop must. */
START_TEST(a_block_that_was_claimed_while_it_was_freed_is_never_given_out) {
    for (uint64_t step = 1;; step++) {
        core_setup();
        owner = other = CORE_THREAD;
        core_fill_page(&owner, BLOCK, blocks, CAPACITY);
        target = blocks[2];
        core_interleave(step, other_claims);
        enum report_kind kind = core_report_of(free_by_owner, target);
        if (!core_interleave_end()) break;
        if (kind == REPORT_KINDS) kind = core_report_of(take_many, NULL);
        ck_assert_str_eq(core_kind_name(kind), core_kind_name(REPORT_DOUBLE_FREE));
        ck_assert_uint_eq(core_address, (uintptr_t)target);
        ck_assert_uint_lt(step, 1000);
    }
}
END_TEST

/* --- Real threads ---------------------------------------------------------------------------- */

enum { FREERS = 3, ROUNDS = 60, BATCH = 600 };
static pthread_barrier_t gate;
static unsigned freed[FREERS];

/* Frees all blocks of the batch that are left, from its own place on: each block is freed by all,
   and one must win. */
static void *free_all(void *number) {
    unsigned self = *(unsigned *)number;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&gate);
        for (unsigned i = 0; i < BATCH; i++) {
            void *block = blocks[(i + self * (BATCH / FREERS)) % BATCH];
            freed[self] += free_remotely(block) == REMOTE_FREED;
        }
        pthread_barrier_wait(&gate);
    }
    return NULL;
}

START_TEST(of_many_frees_of_a_block_one_wins) {
    pthread_t threads[FREERS];
    unsigned numbers[FREERS], sum = 0;
    ck_assert_int_eq(pthread_barrier_init(&gate, NULL, FREERS + 1), 0);
    for (unsigned i = 0; i < FREERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, free_all, &numbers[i]), 0);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < BATCH; i++)
            blocks[i] = core_alloc(&owner, 16 + round * 137 % 9000);
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
    }
    for (unsigned i = 0; i < FREERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        sum += freed[i];
    }
    ck_assert_uint_eq(sum, ROUNDS * BATCH);
    alloc_collect(true);
    check_all();
    struct stats stats;
    stats_collect(&stats);
    ck_assert_uint_eq(stats.used_blocks, 0);
}
END_TEST

static void *shared[256];
static bool done;

static void *free_what_comes(void *unused) {
    (void)unused;
    uint64_t random = (uint64_t)(uintptr_t)&random;
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        void *block =
            __atomic_exchange_n(&shared[core_below(&random, 256)], NULL, __ATOMIC_ACQ_REL);
        if (block != NULL) alloc_free(block);
    }
    return NULL;
}

/* Pages that fill up and are freed into by others at the same time: the owner is always woken, so
   it does not grow. */
START_TEST(an_owner_whose_blocks_others_free_does_not_grow) {
    pthread_t threads[2];
    uint64_t random = 11;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, free_what_comes, NULL), 0);
    for (unsigned i = 0; i < 60000; i++) {
        unsigned place = (unsigned)core_below(&random, 256);
        char *block = alloc_block(4 * KIB + 16 * (i % 3));
        core_require(block != NULL);
        block[0] = (char)i;
        void *before = __atomic_exchange_n(&shared[place], block, __ATOMIC_ACQ_REL);
        if (before != NULL) alloc_free(before);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 256; i++) alloc_free(shared[i]);
    check_all();
    struct stats stats;
    stats_collect(&stats);
    ck_assert_uint_le(stats.segments, 4); /* at most 256 blocks of 4 KiB were out at a time */
    alloc_collect(true);
    stats_collect(&stats);
    ck_assert_uint_eq(stats.used_blocks, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("remote");
    TCase *group = tcase_create("remote");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_claim_is_the_free_and_the_block_stays_as_it_is);
    tcase_add_test(group, what_is_not_live_is_refused_and_nothing_changes);
    tcase_add_test(group, the_first_claim_of_a_full_page_wakes_its_owner);
    tcase_add_test(group, spurious_wakes_do_nothing);
    tcase_add_test(group, a_wake_up_takes_few_steps_in_a_heap_of_any_size);
    tcase_add_loop_test(group, a_poll_takes_in_some_and_the_next_goes_on, 0, 2);
    tcase_add_test(group, the_first_claim_in_a_segment_left_without_room_leads_others_to_it);
    tcase_add_test(group, no_claim_is_lost_when_the_owner_acts_in_the_middle_of_it);
    tcase_add_test(group, a_late_wake_up_passes_over_a_segment_that_became_huge);
    tcase_add_test(group, no_claim_is_lost_when_it_comes_in_the_middle_of_the_owners_step);
    tcase_add_test(group, two_frees_at_once_are_reported_before_the_block_is_given_out_twice);
    tcase_add_test(group, a_block_that_was_claimed_while_it_was_freed_is_never_given_out);
    tcase_add_test(group, of_many_frees_of_a_block_one_wins);
    tcase_add_test(group, an_owner_whose_blocks_others_free_does_not_grow);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
