/*
 * test_segment: 4 MiB with pages of one kind (src/heap/segment.h): birth and end, pages in slots,
 * purging, the abandoned ones.
 */
#define _GNU_SOURCE
#include "segments.h"

#include <sys/mman.h>

static uint32_t class_of_kind(enum page_kind kind) {
    return size_class_of(kind == PAGE_SMALL ? 512 : kind == PAGE_MEDIUM ? 32 * KIB : MIB);
}

static void destroy(void *segment) { segment_destroy(segment); }

/* OS pages of the range that hold memory. */
static size_t resident(uintptr_t start, size_t size) {
    static unsigned char pages[SEGMENT_SIZE / 4096];
    size_t count = 0;
    core_require(mincore((void *)start, size, pages) == 0);
    for (size_t i = 0; i < size / ro.os_page; i++) count += pages[i] & 1;
    return count;
}

START_TEST(a_new_segment_is_owned_empty_and_usable_up_to_its_guard) {
    for (int kind = PAGE_SMALL; kind <= PAGE_LARGE; kind++) {
        size_t committed = ro.region->committed;
        struct segment *segment = make_segment((enum page_kind)kind);
        uintptr_t start = segment_start(segment);
        ck_assert_uint_eq(segment->owner, word_of((enum page_kind)kind));
        ck_assert(owner_has_pages(segment->owner));
        ck_assert_ptr_eq(owner_heap(segment->owner), &owner->owner);
        ck_assert_int_eq(owner_page_kind(segment->owner), kind);
        ck_assert_uint_eq(segment->free_pages, segment_page_slots((enum page_kind)kind));
        ck_assert_uint_eq(segment_pages_in_use(segment, (enum page_kind)kind), 0);
        ck_assert_ptr_eq(segment_of(start), segment);
        ck_assert_ptr_eq(segment_of(start + SEGMENT_SIZE - 1), segment);
        ck_assert(harness_range_is(start, SEGMENT_SIZE - ro.os_page, HARNESS_COMMITTED));
        ck_assert_int_eq(harness_range_state(start + SEGMENT_SIZE - 1) == HARNESS_COMMITTED, 0);
        ck_assert_uint_eq(ro.region->committed, committed + SEGMENT_SIZE);
        memset((void *)start, 1, SEGMENT_SIZE - ro.os_page);
    }
}
END_TEST

START_TEST(a_segment_that_ends_gives_its_memory_back) {
    uint32_t in_use = region_in_use();
    size_t committed = harness_committed_bytes();
    struct segment *segment = make_segment(PAGE_SMALL);
    uintptr_t start = segment_start(segment);
    size_t with_tables = harness_committed_bytes() - (SEGMENT_SIZE - ro.os_page);
    segment_destroy(segment);
    ck_assert_uint_eq(segment->owner, OWNER_UNUSED);
    ck_assert_uint_eq(region_in_use(), in_use);
    ck_assert_uint_eq(ro.region->committed, 0);
    ck_assert(harness_range_is(start, SEGMENT_SIZE, HARNESS_RESERVED));
    ck_assert_uint_eq(harness_committed_bytes(), with_tables);
    ck_assert_uint_ge(with_tables, committed);
}
END_TEST

START_TEST(a_segment_with_a_page_cannot_end) {
    struct segment *segment = make_segment(PAGE_MEDIUM);
    segment_page_create(segment, class_of_kind(PAGE_MEDIUM), &generator);
    core_expect_report(REPORT_CORRUPT_METADATA, destroy, segment);
}
END_TEST

START_TEST(a_failed_birth_takes_nothing) {
    uint32_t in_use = region_in_use();
    segment_destroy(make_segment(PAGE_SMALL)); /* its tables are ready */
    harness_fail_from(OS_COMMIT, 1);
    ck_assert_ptr_null(segment_create(word_of(PAGE_SMALL), false, &generator));
    ck_assert_uint_eq(region_in_use(), in_use);
    ck_assert_uint_eq(ro.region->committed, 0);
    ck_assert(region_validate());
    harness_fail_none();
    make_segment(PAGE_SMALL);
}
END_TEST

/* What the kernel will not take back is not handed out again until it does, and holds no memory. */
START_TEST(a_segment_that_cannot_be_taken_apart_is_emptied_and_kept_away) {
    struct segment *segment = make_segment(PAGE_SMALL);
    uintptr_t start = segment_start(segment);
    memset((void *)start, 7, MIB);
    ck_assert_uint_gt(resident(start, MIB), 0);
    harness_fail_from(OS_DECOMMIT, 1);
    segment_destroy(segment);
    ck_assert_uint_eq(segment->owner, OWNER_UNUSED);
    ck_assert_uint_eq(resident(start, MIB), 0);
    ck_assert(region_validate());
    for (int i = 0; i < 300; i++) {
        struct segment *other = segment_create(word_of(PAGE_SMALL), false, &generator);
        if (other == NULL) break;
        ck_assert_ptr_ne(other, segment);
    }
    harness_fail_none();
    ck_assert_ptr_eq(segment_create(word_of(PAGE_SMALL), false, &generator), segment);
    for (size_t i = 0; i < MIB; i += ro.os_page) ck_assert_int_eq(((char *)start)[i], 0);
}
END_TEST

/* --- Pages ----------------------------------------------------------------------------------- */

/* Given an empty segment, when pages are made till none is left, then each slot came once, and
   pages do not overlap. */
START_TEST(pages_fill_a_segment_slot_by_slot) {
    for (int k = PAGE_SMALL; k <= PAGE_LARGE; k++) {
        enum page_kind kind = (enum page_kind)k;
        struct segment *segment = make_segment(kind);
        unsigned slots = popcount64(segment_page_slots(kind));
        uint64_t seen = 0;
        bool in_order = true;
        unsigned before = 0;
        ck_assert_uint_eq(slots, SEGMENT_SIZE / page_kind_size(kind));
        for (unsigned i = 0; i < slots; i++) {
            struct page *page = segment_page_create(segment, class_of_kind(kind), &generator);
            unsigned slot = page_slot(page);
            ck_assert_ptr_eq(page_segment(page), segment);
            ck_assert_uint_eq(page->start, segment_start(segment) + slot * SLOT_SIZE);
            ck_assert_uint_eq(page->start % page_kind_size(kind), 0);
            ck_assert_uint_eq(seen & bit64(slot), 0);
            seen |= bit64(slot);
            in_order &= i == 0 || slot > before;
            before = slot;
            ck_assert_ptr_eq(page_of(page->start + page_kind_size(kind) - 1, kind), page);
            ck_assert(page->start + (size_t)page->capacity * page->block_size <=
                      segment_start(segment) + SEGMENT_SIZE - ro.os_page);
            ck_assert(segment_validate(segment));
        }
        ck_assert_uint_eq(seen, segment_page_slots(kind));
        ck_assert_uint_eq(segment->free_pages, 0);
        if (kind == PAGE_SMALL) ck_assert(!in_order);
    }
}
END_TEST

/* Its own guards: see test_segment_guards.c. */
START_TEST(the_segments_guard_takes_from_the_last_page) {
    for (int k = PAGE_SMALL; k <= PAGE_LARGE; k++) {
        enum page_kind kind = (enum page_kind)k;
        const struct segment *segment = make_segment(kind);
        uint64_t slots = segment_page_slots(kind);
        unsigned last = high_bit(slots);
        for (; slots != 0; slots &= slots - 1) {
            size_t guard = low_bit(slots) == last ? ro.os_page : 0;
            ck_assert_uint_eq(segment_page_bytes(segment, kind, low_bit(slots)),
                              page_kind_size(kind) - guard);
        }
    }
}
END_TEST

START_TEST(a_page_given_back_is_dirty_until_it_is_purged) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *page = segment_page_create(segment, class_of_kind(PAGE_SMALL), &generator);
    struct page *other = segment_page_create(segment, class_of_kind(PAGE_SMALL), &generator);
    ck_assert(page->never_reused);
    uint64_t slot = bit64(page_slot(page));
    char *memory = (char *)page->start;
    memset(memory, 9, 40 * KIB);
    memset((char *)other->start, 8, 40 * KIB);
    segment_page_destroy(segment, page);
    ck_assert_uint_eq(segment->dirty, slot);
    ck_assert_uint_eq(segment->untouched & slot, 0);
    ck_assert(segment_validate(segment));
    ck_assert_int_eq(memory[100], 9);
    /* Its class gets touched memory first, which is not zero. */
    ck_assert_ptr_eq(segment_page_create(segment, class_of_kind(PAGE_SMALL), &generator), page);
    ck_assert_int_eq(memory[100], 9);
    ck_assert(!page->never_reused);
    segment_page_destroy(segment, page);
    ck_assert(segment_purge(segment));
    ck_assert_uint_eq(segment->dirty, 0);
    ck_assert_uint_eq(segment->untouched & slot, 0); /* it was handed out once */
    ck_assert_uint_eq(resident(segment_start(segment) + low_bit(slot) * SLOT_SIZE, SLOT_SIZE), 0);
    for (size_t i = 0; i < 40 * KIB; i++) core_require(memory[i] == 0);
    for (size_t i = 0; i < 40 * KIB; i++) core_require(((char *)other->start)[i] == 8);
    ck_assert(segment_validate(segment));
}
END_TEST

/* Any set of dirty pages of any kind: after the purge these are gone, and only these; the guard
   stays. */
START_TEST(a_purge_takes_the_dirty_pages_and_no_others) {
    uint64_t random = (uint64_t)_i;
    enum page_kind kind = (enum page_kind)(PAGE_SMALL + _i % (PAGE_KINDS - PAGE_SMALL));
    struct segment *segment = make_segment(kind);
    struct page *pages[SLOTS_PER_SEGMENT];
    unsigned count = 0;
    bool dirty[SLOTS_PER_SEGMENT] = {false};
    while (segment->free_pages != 0) {
        pages[count] = segment_page_create(segment, class_of_kind(kind), &generator);
        *(char *)pages[count]->start = 1;
        ((char *)pages[count]->start)[core_page_bytes(pages[count]) - 1] = 1;
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        dirty[i] = core_below(&random, 2) != 0;
        if (dirty[i]) segment_page_destroy(segment, pages[i]);
    }
    if (core_below(&random, 2) != 0) {
        harness_fail_nth(OS_PURGE, 1);
        bool all = segment_purge(segment);
        ck_assert_int_eq(all, segment->dirty == 0);
        ck_assert(segment_validate(segment));
    }
    ck_assert(segment_purge(segment));
    for (unsigned i = 0; i < count; i++) {
        const char *memory = (const char *)pages[i]->start;
        core_require(memory[0] == !dirty[i] && memory[core_page_bytes(pages[i]) - 1] == !dirty[i]);
    }
    ck_assert_int_ne(harness_range_state(segment_start(segment) + SEGMENT_SIZE - 1),
                     HARNESS_COMMITTED);
    ck_assert(!os_can_read((const uint64_t *)(segment_start(segment) + SEGMENT_SIZE - ro.os_page)));
}
END_TEST

START_TEST(an_empty_segment_takes_pages_of_another_kind) {
    enum { NEVER_USED, PURGED, DIRTY, PASTS };
    for (unsigned past = 0; past < PASTS; past++)
        for (int from = PAGE_SMALL; from <= PAGE_LARGE; from++)
            for (int to = PAGE_SMALL; to <= PAGE_LARGE; to++) {
                struct segment *segment = make_segment((enum page_kind)from);
                uint32_t size_class = class_of_kind((enum page_kind)from);
                if (past != NEVER_USED)
                    segment_page_destroy(segment,
                                         segment_page_create(segment, size_class, &generator));
                if (past == PURGED) ck_assert(segment_purge(segment));
                ck_assert(segment_retype(segment, word_of((enum page_kind)to)));
                ck_assert(segment_validate(segment));
                ck_assert_uint_eq(segment->free_pages, segment_page_slots((enum page_kind)to));
                ck_assert_int_eq(segment->dirty != 0, past == DIRTY);
                ck_assert_int_eq(segment->untouched == segment->free_pages, past == NEVER_USED);
                struct page *page =
                    segment_page_create(segment, class_of_kind((enum page_kind)to), &generator);
                ck_assert_int_eq(page->never_reused, past == NEVER_USED);
                ck_assert_int_eq(core_kind_of((void *)page->start), to);
                segment_page_destroy(segment, page);
                segment_destroy(segment);
            }
}
END_TEST

START_TEST(a_damaged_segment_does_not_validate) {
    struct segment *segment = make_segment(PAGE_MEDIUM), whole;
    segment_page_destroy(segment,
                         segment_page_create(segment, class_of_kind(PAGE_MEDIUM), &generator));
    segment_page_create(segment, class_of_kind(PAGE_MEDIUM), &generator);
    whole = *segment;
    ck_assert(segment_validate(segment));
    segment->pages_used++;
    ck_assert(!segment_validate(segment));
    *segment = whole;
    segment->free_pages |= 2; /* no page of that kind begins there */
    ck_assert(!segment_validate(segment));
    *segment = whole;
    segment->dirty |= segment_pages_in_use(segment, PAGE_MEDIUM);
    ck_assert(!segment_validate(segment));
    *segment = whole;
    segment->untouched |= segment_pages_in_use(segment, PAGE_MEDIUM);
    ck_assert(!segment_validate(segment));
    *segment = whole;
    ck_assert(segment_validate(segment));
}
END_TEST

/* --- Abandoned segments ---------------------------------------------------------------------- */

/* The bitmap against a model, at the ends of words and of the whole. */
START_TEST(an_abandoned_segment_is_found_from_anywhere_before_it) {
    core_start_ready("purge_delay=300"); /* the largest region: many words of the bitmap */
    uint32_t span = ro.region->span, index = 0;
    const uint32_t set[] = {1,    2,    63,   64,       65,        127,       128,      4095,
                            4096, 4097, 8191, span / 2, span - 65, span - 64, span - 2, span - 1};
    uint32_t count = sizeof set / sizeof *set;
    ck_assert_uint_gt(span, 16384);
    for (uint32_t from = 0; from < span; from += 999)
        ck_assert(!abandoned_find(PAGE_SMALL, from, &index));
    for (uint32_t i = 0; i < count; i++) {
        abandoned_add(PAGE_SMALL, set[i]);
        ck_assert(!abandoned_find(PAGE_SMALL, set[i] + 1, &index));
        ck_assert(abandoned_find(PAGE_SMALL, i % 2 != 0 ? set[i] : 0, &index));
        ck_assert_uint_eq(index, set[i]);
        ck_assert(!abandoned_find(PAGE_SMALL, 0, &index)); /* found once */
    }
    for (uint32_t i = 0; i < count; i++) abandoned_add(PAGE_SMALL, set[i]);
    for (uint32_t i = count; i-- > 0;) {
        ck_assert(abandoned_find(PAGE_SMALL, set[i], &index));
        ck_assert_uint_eq(index, set[i]);
    }
    ck_assert(!abandoned_find(PAGE_SMALL, 0, &index));
}
END_TEST

START_TEST(any_set_of_abandoned_segments_is_found_in_order) {
    uint64_t random = (uint64_t)_i;
    core_start_ready("purge_delay=300");
    uint32_t span = ro.region->span;
    bool *model = calloc(span + 1, sizeof *model);
    ck_assert_ptr_nonnull(model);
    for (unsigned step = 0; step < 3000; step++) {
        uint32_t where = (uint32_t)core_below(&random, core_below(&random, 2) != 0 ? span : 300),
                 index = 0, expected = where;
        if (core_below(&random, 2) != 0) {
            abandoned_add(PAGE_SMALL, where);
            model[where] = true;
            continue;
        }
        while (expected < span && !model[expected]) expected++;
        core_require(abandoned_find(PAGE_SMALL, where, &index) == (expected < span));
        if (expected == span) continue;
        core_require(index == expected);
        model[index] = false;
    }
    free(model);
}
END_TEST

enum { RACERS = 4, RACED = 6000 };
static uint32_t raced_found[RACERS * RACED];

/* Adds its own numbers, taking out whatever it meets. */
static void *add_and_find(void *first) {
    uint32_t from = *(uint32_t *)first, index = 0;
    for (uint32_t i = 0; i < RACED; i++) {
        abandoned_add(PAGE_SMALL, from + i * RACERS);
        if (i % 3 != 0 && abandoned_find(PAGE_SMALL, i % 2 != 0 ? from : 0, &index))
            __atomic_add_fetch(&raced_found[index], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(no_abandoned_segment_is_lost_between_threads) {
    core_start_ready("purge_delay=300");
    ck_assert_uint_ge(ro.region->span, RACERS * RACED);
    pthread_t threads[RACERS];
    uint32_t first[RACERS], index = 0;
    for (uint32_t i = 0; i < RACERS; i++) {
        first[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_and_find, &first[i]), 0);
    }
    for (uint32_t i = 0; i < RACERS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    while (abandoned_find(PAGE_SMALL, 0, &index)) raced_found[index]++;
    for (uint32_t i = 0; i < RACERS * RACED; i++)
        if (raced_found[i] != 1) ck_abort_msg("segment %u was found %u times", i, raced_found[i]);
}
END_TEST

static void add_again(void) { abandoned_add(PAGE_SMALL, 70); }

/* A bit that is added at any moment of a search that finds nothing is found by the next one. */
START_TEST(a_bit_added_during_a_search_is_found_later) {
    for (uint64_t step = 1;; step++) {
        uint32_t index = 0, again = 0;
        abandoned_add(PAGE_SMALL, 70);
        /* leaves a summary bit without a word behind it */
        ck_assert(abandoned_find(PAGE_SMALL, 0, &index));
        core_interleave(step, add_again);
        bool found = abandoned_find(PAGE_SMALL, 0, &index);
        if (!core_interleave_end()) break;
        ck_assert(found || abandoned_find(PAGE_SMALL, 0, &again));
        ck_assert(!abandoned_find(PAGE_SMALL, 0, &again));
        ck_assert_uint_lt(step, 100);
    }
}
END_TEST

START_TEST(only_an_abandoned_segment_can_be_claimed_and_only_once) {
    struct segment *segment = make_segment(PAGE_MEDIUM);
    struct owner *other = &heap_at(2)->owner;
    uint64_t seen = 0;
    ck_assert(!segment_reclaim(segment, other, &seen));
    ck_assert_uint_eq(seen, word_of(PAGE_MEDIUM));
    segment->owner = OWNER_ORPHAN | (uint64_t)PAGE_MEDIUM;
    ck_assert(!segment_reclaim(segment, other, &seen));
    segment->owner = OWNER_ABANDONED | OWNER_REBUILD | (uint64_t)PAGE_MEDIUM;
    ck_assert(segment_reclaim(segment, other, &seen));
    ck_assert_uint_eq(seen, OWNER_ABANDONED | OWNER_REBUILD | (uint64_t)PAGE_MEDIUM);
    ck_assert_uint_eq(segment->owner, (uint64_t)(uintptr_t)other | (uint64_t)PAGE_MEDIUM);
    ck_assert(!segment_reclaim(segment, &heap_at(3)->owner, &seen));
    for (uint64_t state = OWNER_HUGE; state <= OWNER_ZERO_SIZE; state++) {
        segment->owner = state | (uint64_t)5 << OWNER_GENERATION_SHIFT;
        ck_assert(!segment_reclaim(segment, other, &seen));
        ck_assert(!owner_has_pages(segment->owner));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("segment");
    TCase *group = tcase_create("segment");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_new_segment_is_owned_empty_and_usable_up_to_its_guard);
    tcase_add_test(group, a_segment_that_ends_gives_its_memory_back);
    tcase_add_test(group, a_segment_with_a_page_cannot_end);
    tcase_add_test(group, a_failed_birth_takes_nothing);
    tcase_add_test(group, a_segment_that_cannot_be_taken_apart_is_emptied_and_kept_away);
    tcase_add_test(group, pages_fill_a_segment_slot_by_slot);
    tcase_add_test(group, the_segments_guard_takes_from_the_last_page);
    tcase_add_test(group, a_page_given_back_is_dirty_until_it_is_purged);
    tcase_add_loop_test(group, a_purge_takes_the_dirty_pages_and_no_others, 0, 12);
    tcase_add_test(group, an_empty_segment_takes_pages_of_another_kind);
    tcase_add_test(group, a_damaged_segment_does_not_validate);
    tcase_add_test(group, an_abandoned_segment_is_found_from_anywhere_before_it);
    tcase_add_loop_test(group, any_set_of_abandoned_segments_is_found_in_order, 0, 4);
    tcase_add_test(group, no_abandoned_segment_is_lost_between_threads);
    tcase_add_test(group, a_bit_added_during_a_search_is_found_later);
    tcase_add_test(group, only_an_abandoned_segment_can_be_claimed_and_only_once);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
