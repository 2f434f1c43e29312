/*
 * test_zero: zero-size blocks (src/heap/zero_size.h): unique inaccessible addresses from the live
 * map alone.
 */
#include "core.h"

#include "heap/zero_size.h"

enum { PER_SEGMENT = SEGMENT_SIZE / GRANULE };

static int by_address(const void *a, const void *b) {
    uintptr_t one = *(const uintptr_t *)a, two = *(const uintptr_t *)b;
    return one < two ? -1 : one > two;
}

static void expect_unique(uintptr_t *addresses, size_t count) {
    qsort(addresses, count, sizeof *addresses, by_address);
    for (size_t i = 1; i < count; i++) core_require(addresses[i] != addresses[i - 1]);
}

START_TEST(every_block_has_an_address_of_its_own_that_cannot_be_touched) {
    static uintptr_t addresses[5000];
    for (size_t i = 0; i < 5000; i++) {
        void *block = alloc_block(0);
        core_require(block != NULL);
        addresses[i] = (uintptr_t)block;
        core_require(addresses[i] % GRANULE == 0);
        core_require(alloc_usable_size(block) == 0);
        core_require(alloc_owns(block));
        core_require(harness_range_state(addresses[i]) == HARNESS_RESERVED);
    }
    ck_assert(!os_can_read((const uint64_t *)addresses[77]));
    expect_unique(addresses, 5000);
    for (size_t i = 0; i < 5000; i++) alloc_free((void *)addresses[i]);
    check_all();
}
END_TEST

START_TEST(every_verb_gives_a_zero_size_block) {
    void *blocks[] = {alloc_block(0), alloc_zeroed(0), alloc_aligned(4096, 0),
                      alloc_resize(NULL, 0), alloc_resize(alloc_block(100), 0)};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        ck_assert_ptr_nonnull(blocks[i]);
        ck_assert_uint_eq(alloc_usable_size(blocks[i]), 0);
        ck_assert_int_eq(owner_kind(core_segment(blocks[i])->owner), OWNER_ZERO_SIZE);
    }
    alloc_free(blocks[0]);
    alloc_free_sized(blocks[1], 0);
    alloc_free_aligned_sized(blocks[2], 16, 0, FAMILY_MALLOC);
    char *grown = alloc_resize(blocks[3], 50);
    ck_assert_ptr_nonnull(grown);
    grown[49] = 1;
    core_expect_free_report(REPORT_DOUBLE_FREE, blocks[3]);
}
END_TEST

/* "Aligned, unique, usable size 0" all hold; and what a right program says at a sized free is
   accepted. */
START_TEST(an_aligned_zero_size_block_is_aligned) {
    core_start_ready("purge_delay=300"); /* space for three of a gibibyte */
    for (size_t alignment = 1; alignment <= ALIGN_MAX; alignment *= 2) {
        void *blocks[3];
        for (unsigned i = 0; i < 3; i++) {
            blocks[i] = alloc_aligned(alignment, 0);
            ck_assert_ptr_nonnull(blocks[i]);
            ck_assert_msg((uintptr_t)blocks[i] % alignment == 0, "%p for an alignment of %zu",
                          blocks[i], alignment);
            for (unsigned k = 0; k < i; k++) ck_assert_ptr_ne(blocks[i], blocks[k]);
        }
        for (unsigned i = 0; i < 3; i++)
            alloc_free_aligned_sized(blocks[i], alignment, 0, FAMILY_MALLOC);
    }
}
END_TEST

static void free_aligned_to_a_page(void *block) {
    alloc_free_aligned_sized(block, 4096, 0, FAMILY_MALLOC);
}

START_TEST(a_right_aligned_sized_free_of_a_zero_size_block_is_no_misuse) {
    void *blocks[10];
    for (unsigned i = 0; i < 10; i++) blocks[i] = alloc_aligned(4096, 0);
    for (unsigned i = 0; i < 10; i++)
        core_expect_report(REPORT_KINDS, free_aligned_to_a_page, blocks[i]);
}
END_TEST

START_TEST(a_second_free_is_reported_and_a_freed_address_comes_again) {
    void *block = zero_size_alloc(GRANULE);
    ck_assert(zero_size_free((uintptr_t)block));
    ck_assert(!zero_size_free((uintptr_t)block));
    ck_assert_ptr_eq(zero_size_alloc(GRANULE), block);
    alloc_free(block);
    core_expect_free_report(REPORT_DOUBLE_FREE, block);
    ck_assert_uint_eq(core_address, (uintptr_t)block);
}
END_TEST

START_TEST(a_misaligned_address_is_no_block) {
    char *block = zero_size_alloc(GRANULE);
    core_expect_free_report(REPORT_INVALID_FREE, block + 8);
    ck_assert(zero_size_free((uintptr_t)block));
}
END_TEST

/* Given a segment without space, the next block comes from another, and what is freed in either is
   found again. */
START_TEST(a_full_segment_continues_in_the_next) {
    static uintptr_t addresses[2 * PER_SEGMENT + 100];
    size_t count = sizeof addresses / sizeof *addresses;
    for (size_t i = 0; i < count; i++) {
        addresses[i] = (uintptr_t)zero_size_alloc(GRANULE);
        core_require(addresses[i] != 0);
    }
    ck_assert_uint_eq(ro.zero_size->count, 3);
    uintptr_t some[3] = {addresses[5], addresses[PER_SEGMENT + 5], addresses[2 * PER_SEGMENT + 5]};
    expect_unique(addresses, count);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(zero_size_free(some[i]));
        bool again = false; /* every segment but the last is full otherwise */
        for (size_t k = 0; k < PER_SEGMENT && !again; k++)
            again = (uintptr_t)zero_size_alloc(GRANULE) == some[i];
        ck_assert(again);
    }
    check_all();
}
END_TEST

static size_t steps;
static void count_step(const volatile void *word) {
    (void)word;
    steps++;
}

static const size_t alignments[] = {32, 256, KIB, 4 * KIB, 64 * KIB, 256 * KIB, SEGMENT_SIZE};

/* Each alignment has as many blocks in a segment as there are places, and whichever is freed is
   found as soon, whatever else is live. */
START_TEST(a_search_for_an_aligned_block_takes_as_few_steps) {
    static uintptr_t addresses[SEGMENT_SIZE / 32 + 20];
    size_t alignment = alignments[_i], each = SEGMENT_SIZE / alignment, count = each + 20;
    for (size_t i = 0; i < count; i++) {
        steps = 0;
        harness_set_atomic_hook(count_step);
        addresses[i] = (uintptr_t)zero_size_alloc(alignment);
        harness_set_atomic_hook(NULL);
        core_require(addresses[i] != 0 && addresses[i] % alignment == 0);
        core_require(steps < 40 || i % each == 0);
    }
    ck_assert_uint_eq(ro.zero_size->count, (count + each - 1) / each);
    for (size_t i = 0; i < count; i += 1 + count / 300) {
        ck_assert(zero_size_free(addresses[i]));
        steps = 0;
        harness_set_atomic_hook(count_step);
        uintptr_t again = (uintptr_t)zero_size_alloc(alignment);
        harness_set_atomic_hook(NULL);
        ck_assert_uint_lt(steps, 40);
        core_require(again % alignment == 0);
    }
    ck_assert_uint_eq(ro.zero_size->count, (count + each - 1) / each);
    check_all();
}
END_TEST

/* Counted in accesses to shared words, not in time: with three segments live, whichever is freed.
*/
START_TEST(a_search_takes_as_few_steps_whatever_is_live) {
    static uintptr_t addresses[2 * PER_SEGMENT + 100];
    size_t count = sizeof addresses / sizeof *addresses;
    for (size_t i = 0; i < count; i++) addresses[i] = (uintptr_t)zero_size_alloc(GRANULE);
    for (size_t i = 0; i < count; i += 7919) ck_assert(zero_size_free(addresses[i]));
    for (size_t i = 0; i < count; i += 7919) {
        steps = 0;
        harness_set_atomic_hook(count_step);
        void *block = zero_size_alloc(GRANULE);
        core_require(zero_size_free((uintptr_t)block));
        harness_set_atomic_hook(NULL);
        ck_assert_uint_lt(steps, 40);
        core_require(zero_size_alloc(GRANULE) != NULL);
    }
    ck_assert_uint_eq(ro.zero_size->count, 3);
    check_all();
}
END_TEST

/* Before the count is stored, under the lock, the new segment must be open: who sees the count and
   finds nothing would add another. */
static unsigned counts_stored;
static void require_open_before_count(const volatile void *word) {
    bool adding = ro.locks[LOCK_ZERO_SIZE].word != 0 && ro.zero_size->segments[0] != 0;
    if (word != &ro.zero_size->count || !adding) return;
    counts_stored++;
    ck_assert_uint_eq(ro.zero_size->open[0][0] & 1, 1);
}

START_TEST(a_new_segment_is_open_before_it_counts) {
    harness_set_atomic_hook(require_open_before_count);
    void *block = zero_size_alloc(GRANULE);
    harness_set_atomic_hook(NULL);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(counts_stored, 1);
}
END_TEST

START_TEST(a_granule_that_no_hint_leads_to_does_not_validate) {
    void *block = zero_size_alloc(GRANULE);
    ck_assert(zero_size_validate());
    ro.zero_size->open[0][0] = 0;
    ck_assert(!zero_size_validate());
    zero_size_recover();
    ck_assert(zero_size_validate());
    core_segment(block)->hints = 0;
    ck_assert(!zero_size_validate());
}
END_TEST

/* Several threads at once, each second granule of which another frees. */
static void *take_and_give(void *unused) {
    uintptr_t mine[64] = {0};
    (void)unused;
    for (unsigned i = 0; i < 60000; i++) {
        uintptr_t *one = &mine[(i * 2654435761u) >> 26];
        if (*one != 0) core_require(zero_size_free(*one));
        *one = (uintptr_t)zero_size_alloc(GRANULE);
        core_require(*one != 0);
    }
    for (unsigned i = 0; i < 64; i++)
        if (mine[i] != 0) core_require(zero_size_free(mine[i]));
    return NULL;
}

START_TEST(threads_at_once_lose_no_granule) {
    pthread_t threads[4];
    static uintptr_t filled[PER_SEGMENT - 100];
    for (size_t i = 0; i < sizeof filled / sizeof *filled; i++)
        filled[i] = (uintptr_t)zero_size_alloc(GRANULE);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    ck_assert(zero_size_validate());
    ck_assert_uint_le(ro.zero_size->count, 2);
}
END_TEST

START_TEST(out_of_segments_is_null_and_a_free_makes_room) {
    core_start_ready("region=32M");
    size_t count = 0;
    uintptr_t last = 0;
    for (uintptr_t address; (address = (uintptr_t)zero_size_alloc(GRANULE)) != 0; count++)
        last = address;
    ck_assert_uint_eq(count, 7 * (size_t)PER_SEGMENT);
    ck_assert_ptr_null(alloc_block(0));
    ck_assert_ptr_null(alloc_block(1));
    ck_assert(zero_size_free(last));
    ck_assert_ptr_eq(alloc_block(0), (void *)last);
    ck_assert(region_validate());
}
END_TEST

START_TEST(a_failed_segment_is_null_and_tried_again) {
    uint32_t index = 0;
    for (uint64_t n = 1; n < 3; n++) {
        core_setup();
        ck_assert(region_take(1, 1, &index)); /* the first window; the next needs more tables */
        harness_fail_from(OS_RESERVE, n);
        ck_assert_ptr_null(zero_size_alloc(GRANULE));
        ck_assert_uint_eq(ro.zero_size->count, 0);
        harness_fail_none();
        ck_assert_ptr_nonnull(zero_size_alloc(GRANULE));
    }
}
END_TEST

/* Freeing and taking stay cheap when the first segments are full: the search does not begin at
   their start each time. */
START_TEST(a_free_in_a_later_segment_is_found_without_a_long_search) {
    for (size_t i = 0; i < 3 * (size_t)PER_SEGMENT + 10; i++)
        core_require(zero_size_alloc(GRANULE) != NULL);
    uintptr_t mine = (uintptr_t)zero_size_alloc(GRANULE);
    ck_assert(zero_size_free(mine));
    ck_assert_ptr_eq(zero_size_alloc(GRANULE), (void *)mine);
    core_interleave(UINT64_MAX, core_stop); /* counts accesses only */
    ck_assert(zero_size_free(mine));
    ck_assert_ptr_eq(zero_size_alloc(GRANULE), (void *)mine);
    uint64_t accesses = core_step;
    core_interleave_end();
    ck_assert_msg(accesses < 100, "%u accesses", (unsigned)accesses);
}
END_TEST

enum { RACERS = 4, EACH = 20000 };
static uintptr_t taken[RACERS * EACH];

static void *take_many(void *number) {
    unsigned self = *(unsigned *)number;
    for (unsigned i = 0; i < EACH; i++) {
        uintptr_t address = (uintptr_t)zero_size_alloc(GRANULE);
        core_require(address != 0);
        if (i % 3 == 0) {
            core_require(zero_size_free(address));
            address = (uintptr_t)zero_size_alloc(GRANULE);
        }
        taken[self * EACH + i] = address;
    }
    return NULL;
}

START_TEST(threads_never_get_the_same_address) {
    pthread_t threads[RACERS];
    unsigned numbers[RACERS];
    for (unsigned i = 0; i < RACERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    expect_unique(taken, RACERS * EACH);
    for (size_t i = 0; i < RACERS * EACH; i++) core_require(zero_size_free(taken[i]));
}
END_TEST

static uintptr_t contested;
static bool second_won;
static void free_it_too(void) { second_won = zero_size_free(contested); }

START_TEST(of_two_frees_at_once_one_wins) {
    for (uint64_t step = 1;; step++) {
        contested = (uintptr_t)zero_size_alloc(GRANULE);
        core_interleave(step, free_it_too);
        bool first_won = zero_size_free(contested);
        if (!core_interleave_end()) break;
        ck_assert_int_ne(first_won, second_won);
        ck_assert_uint_lt(step, 100);
    }
}
END_TEST

/* A remote free of a page that lay there before makes its marks late. */
START_TEST(late_marks_of_other_pages_hide_no_granule) {
    void *block = zero_size_alloc(GRANULE);
    ck_assert_ptr_nonnull(block);
    struct segment *segment = core_segment(block);
    for (unsigned i = 1; i < MAP_WORDS_PER_SEGMENT * 64; i++)
        core_require(zero_size_alloc(GRANULE) != NULL);
    for (unsigned slot = 0; slot < SLOTS_PER_SEGMENT; slot++)
        segment_page(segment, slot)->pending |= bit64(0) | PENDING_FULL;
    segment->woken = ~(uint64_t)0;
    ck_assert(zero_size_free((uintptr_t)block));
    ck_assert(zero_size_validate());
    ck_assert_ptr_eq(zero_size_alloc(GRANULE), block);
}
END_TEST

/* Of a small block, whose page and segment end between the look and the claim of its second free.
   What is made of the segment next is a place of zero-size blocks, or a run. */
START_TEST(a_second_free_as_the_segment_ends_is_reported_at_its_next_use) {
    size_t size = _i == 0 ? 0 : 2 * MIB;
    void *block = alloc_block(100);
    struct segment *segment = core_segment(block);
    uintptr_t claimed = _i == 0 ? (uintptr_t)block : segment_start(segment);
    alloc_free(block);
    alloc_collect(true);
    ck_assert_int_eq(owner_kind(segment->owner), OWNER_UNUSED);
    map_word_of(claimed)->claim |= map_bit_of(claimed);
    core_expect_report(REPORT_DOUBLE_FREE, core_take, &size);
    ck_assert_uint_eq(core_address, claimed);
    map_word_of(claimed)->claim = 0;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("zero");
    TCase *group = tcase_create("zero");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, every_block_has_an_address_of_its_own_that_cannot_be_touched);
    tcase_add_test(group, every_verb_gives_a_zero_size_block);
    tcase_add_test(group, an_aligned_zero_size_block_is_aligned);
    tcase_add_test(group, a_right_aligned_sized_free_of_a_zero_size_block_is_no_misuse);
    tcase_add_test(group, a_second_free_is_reported_and_a_freed_address_comes_again);
    tcase_add_test(group, a_misaligned_address_is_no_block);
    tcase_add_test(group, a_full_segment_continues_in_the_next);
    tcase_add_test(group, a_search_takes_as_few_steps_whatever_is_live);
    tcase_add_loop_test(group, a_search_for_an_aligned_block_takes_as_few_steps, 0,
                        sizeof alignments / sizeof *alignments);
    tcase_add_test(group, a_new_segment_is_open_before_it_counts);
    tcase_add_test(group, a_granule_that_no_hint_leads_to_does_not_validate);
    tcase_add_test(group, threads_at_once_lose_no_granule);
    tcase_add_test(group, out_of_segments_is_null_and_a_free_makes_room);
    tcase_add_test(group, a_failed_segment_is_null_and_tried_again);
    tcase_add_test(group, a_free_in_a_later_segment_is_found_without_a_long_search);
    tcase_add_test(group, threads_never_get_the_same_address);
    tcase_add_test(group, of_two_frees_at_once_one_wins);
    tcase_add_loop_test(group, a_second_free_as_the_segment_ends_is_reported_at_its_next_use, 0, 2);
    tcase_add_test(group, late_marks_of_other_pages_hide_no_granule);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
