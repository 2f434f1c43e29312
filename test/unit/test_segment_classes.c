/*
 * test_segment_classes: what one page leaves to the next in its slot (src/heap/segment.c): slots
 * remember their class, another class meets zeros, and no link of a page that has ended can be read
 * by whoever gets its memory.
 */
#include "segments.h"

static void end_page(struct segment *segment, struct page *page) {
    segment_page_destroy(segment, page);
    ck_assert(segment_validate(segment));
}

/* All of its blocks, each on a list once. Returns their bytes. */
static size_t fill(struct page *page, int byte) {
    while (page->carved < page->capacity) {
        page->free_count = 0;
        page_carve(page, &generator);
    }
    memset((void *)page->start, byte, page->limit);
    return page->limit;
}

static bool is_filled(const struct page *page, int byte, size_t size) {
    const char *memory = (const char *)page->start;
    for (size_t i = 0; i < size; i++)
        if (memory[i] != byte) return false;
    return true;
}

/* Two sizes of each kind, the third is none of theirs. */
static const size_t sizes[PAGE_KINDS][3] = {
    [PAGE_SMALL] = {48, 512, 96},
    [PAGE_MEDIUM] = {9000, 32 * KIB, 20000},
    [PAGE_LARGE] = {MIB, 100 * KIB, 300 * KIB},
};

/* --- Which slot ------------------------------------------------------------------------------ */

/* A class comes back to its own, the lowest first, however many others there are. */
START_TEST(a_class_gets_its_own_slots_first) {
    for (int kind = PAGE_SMALL; kind <= PAGE_MEDIUM; kind++) {
        struct segment *segment = make_segment((enum page_kind)kind);
        struct page *one[3], *two[3];
        for (unsigned i = 0; i < 3; i++) {
            one[i] = make_page(segment, size_class_of(sizes[kind][0]));
            two[i] = make_page(segment, size_class_of(sizes[kind][1]));
        }
        for (unsigned i = 0; i < 3; i++) fill(one[i], 1);
        for (unsigned i = 0; i < 3; i++) fill(two[i], 2);
        for (unsigned i = 0; i < 3; i++) {
            end_page(segment, one[i]);
            end_page(segment, two[i]);
        }
        for (unsigned i = 0; i < 3; i++) {
            const struct page *page = make_page(segment, size_class_of(sizes[kind][1]));
            ck_assert(page == two[0] || page == two[1] || page == two[2]);
            ck_assert(is_filled(page, 2,
                                core_page_bytes(page) /
                                    2)); /* its memory is what it was: no call of the kernel */
        }
    }
}
END_TEST

/* Also when the memory has gone back meanwhile. */
START_TEST(a_purged_slot_remembers_its_class) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *one = make_page(segment, size_class_of(48)),
                *two = make_page(segment, size_class_of(512));
    end_page(segment, one);
    end_page(segment, two);
    ck_assert(segment_purge(segment));
    ck_assert_ptr_eq(make_page(segment, size_class_of(512)), two);
    ck_assert_ptr_eq(make_page(segment, size_class_of(48)), one);
}
END_TEST

/* Another class takes what was never used as long as there is some, and then what went back to the
   kernel; last of all it takes what another class has just left, and that is emptied first. */
START_TEST(another_class_comes_last_and_meets_zeros) {
    for (int k = PAGE_SMALL; k <= PAGE_LARGE; k++) {
        enum page_kind kind = (enum page_kind)k;
        struct segment *segment = make_segment(kind);
        unsigned slots = popcount64(segment_page_slots(kind));
        struct page *page = NULL, *first = make_page(segment, size_class_of(sizes[kind][0]));
        size_t size = fill(first, 7);
        end_page(segment, first);
        for (unsigned i = 1; i < slots; i++) {
            page = make_page(segment, size_class_of(sizes[kind][1]));
            ck_assert_ptr_ne(page, first);
            ck_assert(page->never_reused);
        }
        ck_assert(is_filled(first, 7, size));
        page = make_page(segment, size_class_of(sizes[kind][1]));
        ck_assert_ptr_eq(page, first);
        ck_assert(is_filled(page, 0, size) && !page->never_reused);
        ck_assert_uint_eq(segment->free_pages, 0);
    }
}
END_TEST

START_TEST(purged_slots_come_before_dirty_ones) {
    struct segment *segment = make_segment(PAGE_MEDIUM);
    struct page *pages[8];
    for (unsigned i = 0; i < 8; i++) pages[i] = make_page(segment, size_class_of(9000));
    end_page(segment, pages[3]);
    ck_assert(segment_purge(segment));
    end_page(segment, pages[5]);
    ck_assert_ptr_eq(make_page(segment, size_class_of(32 * KIB)), pages[3]);
    ck_assert_ptr_eq(make_page(segment, size_class_of(32 * KIB)), pages[5]);
}
END_TEST

/* Little is cleared, and costs no call; more goes back to the kernel. */
START_TEST(little_is_cleared_and_more_goes_back) {
    for (unsigned much = 0; much < 2; much++) {
        enum page_kind kind = _i == 0 ? PAGE_MEDIUM : PAGE_LARGE;
        struct segment *segment = make_segment(kind);
        struct page *page = NULL;
        while (segment->free_pages != 0) page = make_page(segment, size_class_of(sizes[kind][1]));
        if (kind == PAGE_MEDIUM || much)
            fill(page, 7);
        else
            for (; page->limit < MIB; page_carve(page, &generator)) page->free_count = 0;
        size_t size = page->limit;
        memset((void *)page->start, 7, size);
        end_page(segment, page);
        uint64_t calls = harness_call_count(OS_PURGE);
        ck_assert_ptr_eq(make_page(segment, size_class_of(sizes[kind][0])), page);
        ck_assert_uint_eq(harness_call_count(OS_PURGE), calls + (kind == PAGE_LARGE && much));
        ck_assert(is_filled(page, 0, size));
    }
}
END_TEST

/* Nor does what pages of another kind had. */
START_TEST(what_pages_of_another_kind_had_goes_back_too) {
    struct segment *segment = make_segment(PAGE_MEDIUM);
    struct page *pages[8];
    for (unsigned life = 0; life < 2; life++) {
        for (unsigned i = 0; i < 8; i++)
            pages[i] = make_page(segment, size_class_of(life == 0 ? 9000 : 30000));
        for (unsigned i = 0; i < 8; i++) {
            if (life == 0)
                fill(pages[i], 7);
            else
                page_carve(pages[i], &generator);
        }
        for (unsigned i = 0; i < 8; i++) end_page(segment, pages[i]);
    }
    ck_assert(!segment_is_worn(segment));
    ck_assert(segment_retype(segment, word_of(PAGE_LARGE)));
    struct page *page = make_page(segment, size_class_of(100 * KIB));
    page_carve(page, &generator);
    ck_assert_uint_gt(segment_surplus(segment), 3 * MIB);
    ck_assert(segment_trim(segment));
    ck_assert_uint_eq(segment_surplus(segment), 0);
}
END_TEST

/* What a large page does not use of what another left goes back: the rest of what was cleared, and,
   of its own class, of what was not. */
START_TEST(what_a_large_page_does_not_use_goes_back) {
    struct segment *segment = make_segment(PAGE_LARGE);
    struct page *page = make_page(segment, size_class_of(MIB));
    page_carve(page, &generator);
    memset((void *)page->start, 7, page->limit);
    ck_assert_uint_eq(segment_surplus(segment), 0);
    ck_assert(!segment_trim(segment));
    end_page(segment, page);
    ck_assert_uint_eq(segment_surplus(segment), 0); /* all of it is: segment_purge() */
    ck_assert_ptr_eq(make_page(segment, size_class_of(_i == 0 ? 100 * KIB : MIB)), page);
    ck_assert_uint_eq(segment_surplus(segment), MIB);
    if (_i == 0) page_carve(page, &generator);
    size_t used = page->limit;
    memset((void *)page->start, 8, used);
    uint64_t calls = harness_call_count(OS_PURGE);
    harness_fail_from(OS_PURGE, 1);
    ck_assert(!segment_trim(segment));
    harness_fail_none();
    ck_assert(segment_trim(segment));
    ck_assert_uint_eq(harness_call_count(OS_PURGE), calls + 2);
    ck_assert(is_filled(page, 8, used));
    for (size_t i = round_up(used, ro.os_page); i < MIB; i++)
        core_require(((const char *)page->start)[i] == 0);
    ck_assert_uint_eq(segment_surplus(segment), 0);
    ck_assert(!segment_trim(segment));
    end_page(segment, page);
    ck_assert(segment_purge(segment));
    ck_assert_ptr_eq(make_page(segment, size_class_of(200 * KIB)), page);
    ck_assert_uint_eq(segment_surplus(segment), 0); /* it has gone back */
}
END_TEST

/* A class that comes back to its own slot and uses less of it does not make the next one forget
   what was there before. */
START_TEST(what_earlier_pages_had_is_cleared_too) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *page = NULL;
    while (segment->free_pages != 0) page = make_page(segment, size_class_of(48));
    size_t size = fill(page, 7);
    end_page(segment, page);
    ck_assert_ptr_eq(make_page(segment, size_class_of(48)), page);
    page_carve(page, &generator);
    end_page(segment, page);
    ck_assert_ptr_eq(make_page(segment, size_class_of(512)), page);
    ck_assert(is_filled(page, 0, size));
}
END_TEST

/* The kernel takes nothing back from locked memory: then it is filled with zeros. */
START_TEST(memory_that_cannot_go_back_is_cleared) {
    for (int k = PAGE_SMALL; k <= PAGE_MEDIUM; k++) {
        enum page_kind kind = (enum page_kind)k;
        struct segment *segment = make_segment(kind);
        struct page *page = NULL;
        while (segment->free_pages != 0) page = make_page(segment, size_class_of(sizes[kind][0]));
        size_t size = fill(page, 7);
        end_page(segment, page);
        harness_fail_from(OS_PURGE, 1);
        ck_assert_ptr_eq(make_page(segment, size_class_of(sizes[kind][1])), page);
        ck_assert(is_filled(page, 0, size));
        harness_fail_none();
    }
}
END_TEST

/* A page of locked memory has no guard and reaches to its slot's end; the next one has, and what
   was there before goes up to it. */
START_TEST(what_lies_under_a_guard_is_not_cleared) {
    struct segment *segment = make_segment(PAGE_SMALL);
    struct page *page = NULL;
    ro.region->memory_is_locked = true;
    while (popcount64(segment->free_pages) > 1) page = make_page(segment, size_class_of(48));
    fill(page, 7);
    end_page(segment, page);
    ro.region->memory_is_locked = false;
    ck_assert_ptr_eq(make_page(segment, size_class_of(48)), page);
    end_page(segment, page);
    ck_assert_ptr_ne(make_page(segment, size_class_of(512)), page); /* the slot never used */
    ck_assert_ptr_eq(make_page(segment, size_class_of(512)), page);
    ck_assert(is_filled(page, 0, core_page_bytes(page)));
    /* likewise where a segment was made anew, of which nothing is known */
    end_page(segment, page);
    ck_assert_int_eq(segment_rebuild(segment, PAGE_SMALL, &generator), 0);
    for (uint64_t rest = segment->free_pages; rest != 0; rest &= rest - 1)
        segment_page_destroy(segment, make_page(segment, size_class_of(512)));
    for (uint64_t rest = segment->free_pages; rest != 0; rest &= rest - 1)
        make_page(segment, size_class_of(1000));
}
END_TEST

/* What was never usable is no slot of any class, though the records of a segment that was made anew
   tell nothing. */
START_TEST(a_slot_that_is_not_usable_remembers_nothing) {
    struct segment *segment = segment_create(word_of(PAGE_SMALL), true, &generator);
    ck_assert_ptr_nonnull(segment);
    ck_assert_int_eq(segment_rebuild(segment, PAGE_SMALL, &generator), 0);
    for (unsigned i = 0; i < SLOTS_PER_SEGMENT; i++) {
        struct page *page = make_page(segment, size_class_of(16));
        memset((void *)page->start, 1, core_page_bytes(page));
    }
}
END_TEST

/* Of its pages nothing is left in a segment of another kind, whether the kernel takes memory back
   or not. */
START_TEST(a_segment_of_another_kind_is_empty) {
    for (unsigned failing = 0; failing < 2; failing++)
        for (int from = PAGE_SMALL; from <= PAGE_LARGE; from++)
            for (int to = PAGE_SMALL; to <= PAGE_LARGE; to++) {
                struct segment *segment = make_segment((enum page_kind)from);
                if (from == to) continue;
                for (unsigned i = 0; i < 3; i++) {
                    if (segment->free_pages == 0) break;
                    fill(make_page(segment, size_class_of(sizes[from][0])), 7);
                }
                uint64_t used = segment_pages_in_use(segment, (enum page_kind)from);
                for (; used != 0; used &= used - 1)
                    end_page(segment, segment_page(segment, low_bit(used)));
                if (failing) harness_fail_from(OS_PURGE, 1);
                ck_assert(segment_retype(segment, word_of((enum page_kind)to)));
                harness_fail_none();
                while (segment->free_pages != 0) {
                    struct page *page = make_page(segment, size_class_of(sizes[to][0]));
                    ck_assert(is_filled(page, 0, core_page_bytes(page)));
                }
            }
}
END_TEST

/* Of a heap's open segments the first that has a slot of the class, or one never used, serves. */
START_TEST(a_heap_looks_for_a_slot_of_the_class) {
    enum { SIZE = 512, OTHER = 48 };
    struct core_thread thread = CORE_THREAD;
    struct heap *heap = core_begin(&thread);
    struct page *page[3];
    heap_enter(heap);
    for (unsigned i = 0; i < 3; i++) {
        struct segment *segment =
            segment_create(owner_word((uintptr_t)heap, PAGE_SMALL), false, heap_random(heap));
        heap_list_add(heap, segment);
        while (segment->free_pages != 0) {
            page[i] = segment_page_create(segment, size_class_of(i == 0 ? SIZE : OTHER),
                                          heap_random(heap));
            heap_own_page(heap, page[i]);
            heap_queue_push(heap, page[i], false);
        }
        heap_update_open(heap, segment);
        heap_queue_remove(heap, page[i]);
        segment_page_destroy(segment, page[i]);
        heap_update_open(heap, segment);
    }
    heap_leave(heap);
    for (unsigned i = 0; i < 3; i++) ck_assert_uint_ne(page_segment(page[i])->free_pages, 0);
    heap_enter(heap);
    /* the last opened comes first in the list, and has a slot of the other class */
    ck_assert_uint_eq(heap->open[OPEN_SMALL].first, segment_index(page_segment(page[2])));
    ck_assert_ptr_eq(heap_find_open(heap, size_class_of(SIZE)), page_segment(page[0]));
    ck_assert_ptr_eq(heap_find_open(heap, size_class_of(OTHER)), page_segment(page[2]));
    ck_assert_ptr_eq(heap_find_open(heap, size_class_of(1000)), page_segment(page[2]));
    struct segment *never_used =
        segment_create(owner_word((uintptr_t)heap, PAGE_SMALL), false, heap_random(heap));
    segment_page_create(never_used, size_class_of(OTHER), heap_random(heap));
    heap_list_add(heap, never_used);
    ck_assert_ptr_eq(heap_find_open(heap, size_class_of(1000)), never_used);
    ck_assert_ptr_eq(heap_find_open(heap, size_class_of(SIZE)), page_segment(page[0]));
    heap_leave(heap);
}
END_TEST

/* --- What can be read ------------------------------------------------------------------------ */

/* The links of a page's free blocks, by which its next user could learn secrets and addresses. */
#define LINKS 4096
static uint64_t links[LINKS];
static size_t link_count;

static int compare_links(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* What the first words of these blocks hold. */
static void note_links(uintptr_t start, size_t block_size, size_t count) {
    link_count = 0;
    for (size_t i = 0; i < count && link_count < LINKS; i++) {
        uint64_t link = *(const uint64_t *)(start + i * block_size);
        if (link != 0) links[link_count++] = link;
    }
    qsort(links, link_count, sizeof links[0], compare_links);
    ck_assert_uint_gt(link_count, count / 2);
}

static void expect_no_link(const void *block, size_t size) {
    const uint64_t *words = block;
    for (size_t i = 0; i < size / sizeof *words; i++)
        if (words[i] != 0 &&
            bsearch(&words[i], links, link_count, sizeof links[0], compare_links) != NULL)
            ck_abort_msg("word %zu of a block of %zu bytes is a link of another page", i, size);
}

/* Takes blocks until the page's range is used up, which happens if they are small ones, and looks
   through each. */
static void expect_no_link_in(struct core_thread *thread, uintptr_t range, size_t size) {
    bool met = false;
    for (size_t taken = 0; taken < 12 * MIB; taken += size) {
        char *block = core_alloc(thread, size);
        expect_no_link(block, size);
        met |= (uintptr_t)block - range < SLOT_SIZE;
    }
    if (size <= SMALL_MAX) ck_assert(met);
}

static void *blocks[LINKS], *kept[LINKS];
static size_t kept_count;
static struct core_thread first, second;

/* A page of 48-byte blocks, all freed again; it has not ended yet. Returns where it lies. Its
   thread keeps a page of blocks made before it, and one block made after, so that it is not the
   last of its class. */
static uintptr_t leave_links(struct core_thread *thread) {
    enum { SIZE = 48 };
    kept_count = core_fill_page(thread, SIZE, kept, LINKS - 1);
    size_t count = core_fill_page(thread, SIZE, blocks, LINKS);
    struct page *page = core_page(blocks[0]);
    uintptr_t start = page->start;
    kept[kept_count++] = core_alloc(thread, SIZE);
    ck_assert_ptr_ne(core_page(kept[kept_count - 1]), page);
    for (size_t i = 0; i + 1 < count; i++) core_give(thread, blocks[i]);
    note_links(start, SIZE, count);
    core_give(thread, blocks[count - 1]); /* ends the page */
    return start;
}

static void give_kept(struct core_thread *thread) {
    while (kept_count > 0) core_give(thread, kept[--kept_count]);
}

static const size_t next_sizes[] = {48, 64, 96, 112, 1000, 4096, 8192, 20000, 200000};
enum { NEXT_SIZES = sizeof next_sizes / sizeof *next_sizes };

/* The page ends by its last free, and a page of the same or another class follows in its slot. */
START_TEST(no_link_is_left_where_a_page_has_ended) {
    uintptr_t range = leave_links(&first);
    expect_no_link_in(&first, range, next_sizes[_i]);
}
END_TEST

START_TEST(nor_where_its_memory_was_purged) {
    uintptr_t range = leave_links(&first);
    core_be(&first);
    alloc_collect(true);
    expect_no_link_in(&first, range, next_sizes[_i]);
}
END_TEST

START_TEST(nor_where_the_kernel_took_nothing_back) {
    uintptr_t range = leave_links(&first);
    harness_fail_from(OS_PURGE, 1);
    expect_no_link_in(&first, range, next_sizes[_i]);
}
END_TEST

/* With blocks in use beside it, and without. */
START_TEST(nor_where_a_thread_has_left_it) {
    for (unsigned in_use = 0; in_use < 2; in_use++) {
        core_start_ready("purge_delay=300");
        first = second = CORE_THREAD;
        uintptr_t range = leave_links(&first);
        if (!in_use) give_kept(&first);
        core_end(&first);
        expect_no_link_in(&second, range, next_sizes[_i]);
    }
}
END_TEST

/* The segment goes back to the region, and comes again as another heap's. */
START_TEST(nor_in_a_segment_that_comes_again) {
    core_start_ready("purge_delay=0");
    first = second = CORE_THREAD;
    uintptr_t range = leave_links(&first);
    give_kept(&first);
    core_end(&first);
    core_be(&second);
    alloc_collect(true);
    ck_assert_uint_eq(segment_of(range)->owner, OWNER_UNUSED);
    expect_no_link_in(&second, range, next_sizes[_i]);
}
END_TEST

/* A segment whose owner did not come along into a forked child is made anew. */
START_TEST(nor_in_a_segment_that_was_rebuilt) {
    uintptr_t range = leave_links(&first);
    core_end(&first);
    ck_assert_uint_ne(segment_of(range)->owner & OWNER_ABANDONED, 0);
    segment_of(range)->owner |= OWNER_REBUILD;
    expect_no_link_in(&second, range, next_sizes[_i]);
}
END_TEST

static void setup_threads(void) {
    core_start_ready("purge_delay=300");
    first = second = CORE_THREAD;
}

int main(void) {
    Suite *suite = suite_create("segment_classes");
    TCase *group = tcase_create("slots");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_class_gets_its_own_slots_first);
    tcase_add_test(group, a_purged_slot_remembers_its_class);
    tcase_add_test(group, another_class_comes_last_and_meets_zeros);
    tcase_add_test(group, purged_slots_come_before_dirty_ones);
    tcase_add_loop_test(group, little_is_cleared_and_more_goes_back, 0, 2);
    tcase_add_loop_test(group, what_a_large_page_does_not_use_goes_back, 0, 2);
    tcase_add_test(group, what_pages_of_another_kind_had_goes_back_too);
    tcase_add_test(group, what_earlier_pages_had_is_cleared_too);
    tcase_add_test(group, memory_that_cannot_go_back_is_cleared);
    tcase_add_test(group, what_lies_under_a_guard_is_not_cleared);
    tcase_add_test(group, a_slot_that_is_not_usable_remembers_nothing);
    tcase_add_test(group, a_segment_of_another_kind_is_empty);
    tcase_add_test(group, a_heap_looks_for_a_slot_of_the_class);
    suite_add_tcase(suite, group);
    group = tcase_create("links");
    tcase_add_checked_fixture(group, setup_threads, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_loop_test(group, no_link_is_left_where_a_page_has_ended, 0, NEXT_SIZES);
    tcase_add_loop_test(group, nor_where_its_memory_was_purged, 0, NEXT_SIZES);
    tcase_add_loop_test(group, nor_where_the_kernel_took_nothing_back, 0, NEXT_SIZES);
    tcase_add_loop_test(group, nor_where_a_thread_has_left_it, 0, NEXT_SIZES);
    tcase_add_loop_test(group, nor_in_a_segment_that_comes_again, 0, NEXT_SIZES);
    tcase_add_loop_test(group, nor_in_a_segment_that_was_rebuilt, 0, NEXT_SIZES);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
