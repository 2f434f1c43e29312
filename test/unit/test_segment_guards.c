/*
 * test_segment_guards: the guard at the end of each page (src/heap/segment.c): where there are
 * markers, where they are refused, at first or later, where memory is locked, and what becomes of
 * it when the segment takes pages of another kind or its owner is gone.
 */
#include "segments.h"

/* A page that is not the last of its segment, whose guard is the segment's. */
static struct page *make_inner_page(struct segment *segment, uint32_t size_class) {
    size_t size = page_kind_size(size_class_page_kind(size_class));
    struct page *page = make_page(segment, size_class);
    if (page->start + size == segment_start(segment) + SEGMENT_SIZE)
        page = make_page(segment, size_class);
    return page;
}

static bool has_guard(const struct page *page, enum page_kind kind) {
    uintptr_t last = page->start + page_kind_size(kind) - ro.os_page;
    return harness_range_state(last) != HARNESS_COMMITTED && !os_can_read((const uint64_t *)last);
}

static bool kernel_has_markers(void) {
    return atomic_load_relaxed(&ro.region->markers) == MARKERS_PROVED;
}

/* The class of the blocks of `size` bytes. */
static uint32_t class_of(size_t size) { return size_class_of(size); }

/* Of each class each block ends before the page's guard, and all before it can be written. */
START_TEST(the_blocks_of_each_class_end_before_a_guard) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        enum page_kind kind = size_class_page_kind(size_class);
        struct segment *segment = make_segment(kind);
        struct page *page = make_page(segment, size_class);
        size_t bytes = page_kind_size(kind) - ro.os_page;
        if (!kernel_has_markers()) return; /* the next tests have what holds then */
        ck_assert(has_guard(page, kind));
        ck_assert_uint_eq(segment_page_bytes(segment, kind, page_slot(page)), bytes);
        ck_assert_uint_eq(page->capacity, bytes / page->block_size);
        memset((void *)page->start, 1, bytes);
        ck_assert_uint_lt(bytes - (size_t)page->capacity * page->block_size, page->block_size);
        segment_page_destroy(segment, page);
        segment_destroy(segment);
    }
}
END_TEST

/* What lies between the last block and the guard. (The guard itself is never touched, and costs
   address space alone. Large pages are segments, and end as they always have.) */
START_TEST(no_class_wastes_more_than_an_eighth_of_a_page) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        enum page_kind kind = size_class_page_kind(size_class);
        if (kind == PAGE_LARGE) continue;
        size_t size = page_kind_size(kind), bytes = size - ro.os_page;
        size_t waste = bytes % size_class_bytes(size_class);
        ck_assert_msg(waste * 8 <= size, "class of %zu bytes: %zu", size_class_bytes(size_class),
                      waste);
    }
}
END_TEST

START_TEST(a_guard_is_made_once_and_survives_a_purge) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *page = make_inner_page(segment, class_of(512));
    if (!kernel_has_markers()) return;
    uint64_t calls = harness_call_count(OS_GUARD);
    for (unsigned round = 0; round < 3; round++) {
        memset((void *)page->start, 1, SLOT_SIZE - ro.os_page);
        segment_page_destroy(segment, page);
        if (round != 0) ck_assert(segment_purge(segment));
        ck_assert(has_guard(page, PAGE_SMALL));
        segment->dirty |= bit64(page_slot(page)); /* the lowest, so the next */
        ck_assert_ptr_eq(make_page(segment, class_of(512)), page);
    }
    ck_assert_uint_eq(harness_call_count(OS_GUARD), calls);
    ck_assert(has_guard(page, PAGE_SMALL));
}
END_TEST

static const struct {
    const char *options;
    void (*prepare)(void);
} without[] = {
    {"region=1G:guards=off", NULL},        {"region=1G:guards=mprotect", NULL},
    {"region=1G:dump=heap", NULL},         {"region=1G:madvise=off", NULL},
    {"region=1G", harness_ignore_markers},
};

/* Then pages reach as far as their slots, and nothing is missing. */
START_TEST(where_there_are_no_markers_pages_have_no_guard) {
    core_start(without[_i].options);
    if (without[_i].prepare != NULL) without[_i].prepare();
    ck_assert(init_once());
    random_seed_fixed(&generator, 3);
    owner = heap_at(1);
    for (int k = PAGE_SMALL; k <= PAGE_MEDIUM; k++) {
        enum page_kind kind = (enum page_kind)k;
        struct page *page = make_inner_page(make_segment(kind), class_of(KIB << (5 * (k - 1))));
        ck_assert_uint_eq(core_page_bytes(page), page_kind_size(kind));
        memset((void *)page->start, 1, page_kind_size(kind));
    }
    ck_assert_uint_eq(ro.region->guards_missing, 0);
}
END_TEST

/* Where lock follows use, free slots are closed while the last one is in use: then the segment goes
   back without a marker, which the next user of its memory would meet. */
START_TEST(a_segment_that_was_closed_in_parts_leaves_no_marker) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *pages[SLOTS_PER_SEGMENT] = {NULL}, *kept = NULL;
    for (unsigned i = 0; segment->free_pages != 0; i++)
        pages[i] = make_page(segment, class_of(512));
    for (unsigned i = 0; i < SLOTS_PER_SEGMENT && pages[i] != NULL; i++) {
        if (page_slot(pages[i]) == SLOTS_PER_SEGMENT - 1)
            kept = pages[i];
        else
            segment_page_destroy(segment, pages[i]);
    }
    ck_assert_ptr_nonnull(kept);
    uintptr_t start = segment_start(segment), last = start + SEGMENT_SIZE - ro.os_page;
    ro.region->memory_is_locked = ro.region->lock_follows_use = true;
    ck_assert(segment_close(segment));
    ck_assert(harness_range_is(last, ro.os_page, HARNESS_RESERVED));
    memset((void *)kept->start, 1, (size_t)kept->capacity * kept->block_size);
    segment_page_destroy(segment, kept);
    segment_destroy(segment);
    ck_assert(harness_range_is(start, SEGMENT_SIZE, HARNESS_RESERVED));
    ro.region->memory_is_locked = ro.region->lock_follows_use = false;
}
END_TEST

/* Markers fail on locked memory: there pages have none, and those that were made before stay. */
START_TEST(pages_of_locked_memory_have_no_guard) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *before = make_inner_page(segment, class_of(512));
    if (!kernel_has_markers()) return;
    uint64_t calls = harness_call_count(OS_GUARD);
    ro.region->memory_is_locked = true;
    struct page *page = make_inner_page(segment, class_of(512));
    ck_assert(!has_guard(page, PAGE_SMALL) && has_guard(before, PAGE_SMALL));
    ck_assert_uint_eq(core_page_bytes(page), SLOT_SIZE);
    memset((void *)page->start, 1, SLOT_SIZE);
    ck_assert_uint_eq(harness_call_count(OS_GUARD), calls);
    ck_assert_uint_eq(ro.region->guards_missing, 0);
    /* a slot without one gets it with its next page */
    ro.region->memory_is_locked = false;
    segment_page_destroy(segment, page);
    ck_assert_ptr_eq(make_page(segment, class_of(512)), page);
    ck_assert(has_guard(page, PAGE_SMALL));
    ck_assert_uint_eq(core_page_bytes(page), SLOT_SIZE - ro.os_page);
}
END_TEST

/* The kernel has markers, and has no memory for one more. */
START_TEST(a_guard_that_cannot_be_had_is_counted_and_done_without) {
    struct segment *segment = make_segment(PAGE_SMALL);
    if (!kernel_has_markers()) return;
    size_t missing = ro.region->guards_missing;
    make_inner_page(segment, class_of(512));
    harness_fail_from(OS_GUARD, 1);
    struct page *page = make_inner_page(segment, class_of(512));
    ck_assert_uint_eq(core_page_bytes(page), SLOT_SIZE);
    memset((void *)page->start, 1, SLOT_SIZE);
    ck_assert_uint_gt(ro.region->guards_missing, missing);
    harness_fail_none();
    page = make_inner_page(segment, class_of(512));
    ck_assert(has_guard(page, PAGE_SMALL));
}
END_TEST

/* --- Another kind ---------------------------------------------------------------------------- */

static struct segment *emptied_segment(void) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *pages[20];
    for (unsigned i = 0; i < 20; i++) pages[i] = make_page(segment, class_of(512));
    for (unsigned i = 0; i < 20; i++) segment_page_destroy(segment, pages[i]);
    return segment;
}

/* No guard of a small page is left inside a larger one. */
START_TEST(a_segment_of_another_kind_has_no_guards_within_pages) {
    for (int k = PAGE_MEDIUM; k <= PAGE_LARGE; k++) {
        enum page_kind kind = (enum page_kind)k;
        struct segment *segment = emptied_segment();
        ck_assert(segment_retype(segment, word_of(kind)));
        ck_assert(segment_validate(segment));
        while (segment->free_pages != 0) {
            struct page *page = make_page(segment, class_of(kind == PAGE_MEDIUM ? 9000 : MIB));
            memset((void *)page->start, 1, core_page_bytes(page));
            if (kernel_has_markers()) ck_assert(has_guard(page, kind));
        }
    }
}
END_TEST

/* And a guard that stays where it is in the way keeps the segment from its new kind. */
START_TEST(guards_that_cannot_be_taken_away_keep_the_kind) {
    struct segment *segment = emptied_segment();
    if (!kernel_has_markers()) return;
    harness_fail_nth(OS_GUARD, 1);
    ck_assert(!segment_retype(segment, word_of(PAGE_MEDIUM)));
    ck_assert(segment_validate(segment));
    ck_assert_uint_eq(segment->owner, word_of(PAGE_SMALL));
    ck_assert(has_guard(make_page(segment, class_of(512)), PAGE_SMALL));
}
END_TEST

/* The heap does without such a segment. */
START_TEST(a_heap_takes_another_segment_then) {
    struct core_thread thread = CORE_THREAD;
    struct heap *heap = core_begin(&thread);
    heap_enter(heap);
    struct segment *empty =
        segment_create(owner_word((uintptr_t)heap, PAGE_SMALL), false, heap_random(heap));
    ck_assert_ptr_nonnull(empty);
    segment_page_destroy(empty, segment_page_create(empty, class_of(512), heap_random(heap)));
    heap_list_add(heap, empty);
    heap_leave(heap);
    if (!kernel_has_markers()) return;
    harness_fail_from(OS_GUARD, 1);
    char *medium = core_alloc(&thread, 20 * KIB);
    ck_assert_ptr_nonnull(medium);
    harness_fail_none();
    ck_assert_ptr_eq(core_segment(medium), empty); /* the same place, anew */
    ck_assert_uint_eq(empty->guarded, 0);
    memset(medium, 1, 20 * KIB);
    core_check_as(&thread);
}
END_TEST

/* --- A forked child -------------------------------------------------------------------------- */

/* Its owner was gone between a bit and its marker. */
START_TEST(a_rebuilt_segment_has_its_guards) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *page = make_inner_page(segment, class_of(512));
    if (!kernel_has_markers()) return;
    uintptr_t last = page->start + SLOT_SIZE - ro.os_page;
    segment_page_destroy(segment, page);
    ck_assert(os_guard_remove((void *)last, ro.os_page));
    ck_assert(!has_guard(page, PAGE_SMALL));
    ck_assert_int_eq(segment_rebuild(segment, PAGE_SMALL, &generator), 0);
    ck_assert(has_guard(page, PAGE_SMALL));
    ck_assert(segment_validate(segment));
}
END_TEST

/* Its owner was gone between closing slots and saying so. */
START_TEST(what_a_rebuilt_segment_calls_usable_is_accessible) {
    struct segment *segment = segment_create(owner_word(0, PAGE_SMALL), true, &generator);
    ck_assert_ptr_nonnull(segment);
    uint64_t usable = segment->usable;
    unsigned first = low_bit(usable);
    ck_assert_uint_ne(usable, UINT64_MAX);
    uintptr_t start = segment_start(segment) + first * SLOT_SIZE;
    ck_assert(region_decommit(start, SLOT_SIZE));
    harness_fail_nth(OS_COMMIT, (uint64_t)_i);
    ck_assert_int_eq(segment_rebuild(segment, PAGE_SMALL, &generator), 0);
    harness_fail_none();
    ck_assert_uint_eq(segment->usable, _i == 1 ? 0 : usable);
    ck_assert(_i == 1 || harness_range_state(start) == HARNESS_COMMITTED);
    ck_assert(segment_validate(segment));
    segment_destroy(segment);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("segment_guards");
    TCase *group = tcase_create("segment_guards");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_blocks_of_each_class_end_before_a_guard);
    tcase_add_test(group, no_class_wastes_more_than_an_eighth_of_a_page);
    tcase_add_test(group, a_guard_is_made_once_and_survives_a_purge);
    tcase_add_loop_test(group, where_there_are_no_markers_pages_have_no_guard, 0,
                        sizeof without / sizeof *without);
    tcase_add_test(group, a_segment_that_was_closed_in_parts_leaves_no_marker);
    tcase_add_test(group, pages_of_locked_memory_have_no_guard);
    tcase_add_test(group, a_guard_that_cannot_be_had_is_counted_and_done_without);
    tcase_add_test(group, a_segment_of_another_kind_has_no_guards_within_pages);
    tcase_add_test(group, guards_that_cannot_be_taken_away_keep_the_kind);
    tcase_add_test(group, a_heap_takes_another_segment_then);
    tcase_add_test(group, a_rebuilt_segment_has_its_guards);
    tcase_add_loop_test(group, what_a_rebuilt_segment_calls_usable_is_accessible, 0, 2);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
