/*
 * test_surroundings: what lies at an address and beside it (src/alloc/surroundings.h).
 */
#include "alloc/surroundings.h"

#include "core.h"

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

static void expect_state(const void *block, const char *expected) {
    const char *state = block_state(core_page(block), (uintptr_t)block);
    ck_assert_msg(strcmp(state, expected) == 0, "%s, and not %s", state, expected);
}

#define TO_ALLOCATE_FROM "free, on the list to allocate from"
#define OWNERS_FREES "free, on the list of its owner's frees"

/* --- States ----------------------------------------------------------------------------------- */

START_TEST(a_state_names_the_list_that_the_block_is_on) {
    static const size_t sizes[] = {16, 100, 5000, 40 * KIB};
    core_begin(&other);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *keep = core_alloc(&owner, sizes[i]);
        void *mine = core_alloc(&owner, sizes[i]), *theirs = core_alloc(&owner, sizes[i]);
        const struct page *page = core_page(keep);
        expect_state(keep, "in use");
        if (page->free_count != 0) expect_state((void *)page->free, TO_ALLOCATE_FROM);
        core_give(&owner, mine);
        if (core_page(mine) == page) expect_state(mine, OWNERS_FREES);
        core_give(&other, theirs);
        if (core_page(theirs) == page)
            expect_state(theirs, "freed by another thread, not collected yet");
        core_be(&owner);
    }
}
END_TEST

START_TEST(every_block_of_a_page_has_the_state_that_it_has) {
    enum { BLOCKS = 60 };
    void *blocks[BLOCKS];
    for (unsigned i = 0; i < BLOCKS; i++) blocks[i] = core_alloc(&owner, 48);
    for (unsigned i = 0; i < BLOCKS; i += 3) core_give(&owner, blocks[i]);
    const struct page *page = core_page(blocks[1]);
    unsigned in_use = 0, returned = 0, fresh = 0;
    for (uintptr_t at = page->start; at < page->start + page->limit; at += page->block_size) {
        const char *state = block_state(page, at);
        in_use += strcmp(state, "in use") == 0;
        returned += strcmp(state, OWNERS_FREES) == 0;
        fresh += strcmp(state, TO_ALLOCATE_FROM) == 0;
    }
    ck_assert_uint_eq(in_use, (unsigned)page_used(page));
    ck_assert_uint_eq(returned, page_returned(page));
    ck_assert_uint_eq(fresh, page->free_count);
}
END_TEST

START_TEST(a_block_of_a_page_that_ended_is_said_to_be_so) {
    core_start_ready("purge_delay=0");
    void *block = core_alloc(&owner, 3000);
    core_alloc(&owner, 100);
    core_give(&owner, block);
    alloc_collect(true);
    expect_state(block, "free, and its page has ended");
}
END_TEST

/* Whatever stands in free memory, the walk ends, and at most the list is not known. */
START_TEST(damaged_lists_are_left_unsaid) {
    uint64_t state = 11;
    char *blocks[100];
    for (unsigned i = 0; i < 100; i++) blocks[i] = core_alloc(&owner, 64);
    for (unsigned i = 0; i < 100; i++)
        if (i % 4 != 0) core_give(&owner, blocks[i]);
    struct page *page = core_page(blocks[0]);
    for (unsigned round = 0; round < 3000; round++) {
        uintptr_t at = page->start + core_below(&state, page->limit / 64) * 64;
        if (map_in_use(map_word_of(at), map_bit_of(at))) continue;
        uint64_t link = core_next(&state);
        if (round % 3 == 0) /* a cycle, or a jump to a block in use */
            link = freelist_encode(page->start + core_below(&state, page->limit / 64) * 64,
                                   page->secret, at);
        freelist_store(at, link);
        const char *said = block_state(page, at);
        core_require(strncmp(said, "free", 4) == 0);
    }
    core_stop();
}
END_TEST

/* --- Neighbours ------------------------------------------------------------------------------- */

static struct report_facts around(const struct page *page, uintptr_t block) {
    struct report_facts facts = {.block_start = block, .block_size = page->block_size};
    block_neighbours(page, &facts);
    return facts;
}

START_TEST(neighbours_are_those_of_the_page) {
    char *block = core_alloc(&owner, 48);
    const struct page *page = core_page(block);
    struct report_facts facts = around(page, page->start);
    ck_assert_ptr_null(facts.before.state);
    ck_assert_uint_eq(facts.behind.start, page->start + 48);
    ck_assert_str_eq(facts.behind.state, block_state(page, page->start + 48));
    facts = around(page, page->start + 48);
    ck_assert_uint_eq(facts.before.start, page->start);
    /* carved so far, and what fits */
    facts = around(page, page->start + page->limit - 48);
    ck_assert_uint_eq(facts.behind.start, page->start + page->limit);
    ck_assert_str_eq(facts.behind.state, "never handed out");
    facts = around(page, page->start + (page->capacity - 1) * 48u);
    ck_assert_ptr_null(facts.behind.state);
    ck_assert_ptr_nonnull(facts.before.state);
}
END_TEST

/* --- The nearest block ------------------------------------------------------------------------ */

enum { BLOCKS = 200 };
static uintptr_t starts[BLOCKS];
static size_t sizes[BLOCKS];

/* By a look at all of them. */
static void check_nearest(uintptr_t address) {
    struct report_facts facts = {.block_start = 0};
    size_t best = SIZE_MAX;
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (starts[i] == 0) continue;
        if (address >= starts[i] && address - starts[i] < sizes[i]) return; /* inside a block */
        size_t gap = starts[i] > address ? starts[i] - address : address - (starts[i] + sizes[i]);
        if (gap < best) best = gap;
    }
    nearest_block(address, &facts);
    core_require(facts.nearest_start != 0);
    size_t gap = facts.nearest_start > address
                     ? facts.nearest_start - address
                     : address - (facts.nearest_start + facts.nearest_size);
    ck_assert_uint_eq(gap, best);
}

START_TEST(the_nearest_block_in_use_is_found_among_all_kinds) {
    static const size_t kinds[] = {16, 48, 1000, 5000, 40 * KIB, 300 * KIB, 3 * MIB};
    uint64_t state = 5;
    core_start_ready("region=1G");
    for (unsigned i = 0; i < BLOCKS; i++) {
        size_t size = kinds[core_below(&state, i % 9 == 0 ? 7 : 6)];
        starts[i] = (uintptr_t)core_alloc(&owner, size);
        core_require(starts[i] != 0);
        sizes[i] = alloc_usable_size((void *)starts[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        core_give(&owner, (void *)starts[i]);
        starts[i] = 0;
    }
    for (unsigned round = 0; round < 4000; round++) {
        uintptr_t address = starts[1 + 2 * core_below(&state, BLOCKS / 2)];
        if (round % 2 == 0) address += core_below(&state, 2 * MIB);
        if (round % 4 == 1) address -= 1 + core_below(&state, 20 * KIB);
        if (round % 8 == 2)
            address = ro.region_base + core_below(&state, ro_extent() << GRANULE_SHIFT);
        if (region_contains(address)) check_nearest(address);
    }
}
END_TEST

/* Behind the block, and between the start of its run and the block. */
START_TEST(of_a_strict_block_with_a_run_of_its_own_the_address_handed_out_is_named) {
    enum { SIZE = 20001 };
    core_start_ready("level=strict:region=1G");
    owner = CORE_THREAD;
    for (unsigned i = 0; i < 3; i++) {
        uintptr_t block = (uintptr_t)core_alloc(&owner, SIZE);
        uintptr_t run = segment_start(segment_of(block));
        const uintptr_t addresses[] = {run, block - GRANULE, run + round_up(SIZE, ro.os_page) + 77};
        ck_assert_uint_gt(block, run + GRANULE);
        for (unsigned k = 0; k < 3; k++) {
            struct report_facts facts = {.block_start = 0};
            nearest_block(addresses[k], &facts);
            ck_assert_uint_eq(facts.nearest_start, block);
            ck_assert_uint_eq(facts.nearest_start + facts.nearest_size,
                              round_up(block + SIZE, ro.os_page));
        }
    }
}
END_TEST

START_TEST(without_a_block_there_is_no_nearest) {
    struct report_facts facts = {.block_start = 0};
    nearest_block(segment_address(1) + 77, &facts);
    ck_assert_uint_eq(facts.nearest_start, 0);
    nearest_block(ro.region_base, &facts);
    ck_assert_uint_eq(facts.nearest_start, 0);
}
END_TEST

/* --- Places ----------------------------------------------------------------------------------- */

static void expect_place(uintptr_t address, const char *expected) {
    const char *place = place_in_segment(address, segment_of(address)->owner);
    ck_assert_msg(strcmp(place, expected) == 0, "%s, and not %s", place, expected);
}

START_TEST(places_without_a_block_are_named) {
    char *block = core_alloc(&owner, 48), *zero = core_alloc(&owner, 0);
    uintptr_t segment = segment_start(core_segment(block));
    const struct page *page = core_page(block);
    expect_place(ro.region_base, "the guard before the heap");
    expect_place(segment + SEGMENT_SIZE - 8, "the guard behind a segment");
    expect_place(segment + SEGMENT_SIZE - ro.os_page, "the guard behind a segment");
    if (ro.region->markers == MARKERS_PROVED)
        expect_place(page->start + SLOT_SIZE - 8, "the guard behind a page");
    expect_place(page->start + page->limit, "a part of a page that has not been handed out yet");
    uint64_t unused = core_segment(block)->free_pages;
    expect_place(segment + low_bit(unused) * SLOT_SIZE, "a part of a segment that no page uses");
    expect_place((uintptr_t)zero + 8, "memory of zero-size blocks");
    char *huge = core_alloc(&owner, 9 * MIB);
    core_give(&owner, huge);
    alloc_collect(true);
    expect_place((uintptr_t)huge, "a part of the heap that is not in use");
    expect_place((uintptr_t)huge + 5 * MIB, "a part of the heap that is not in use");
}
END_TEST

START_TEST(behind_a_huge_block_is_its_guard) {
    char *block = core_alloc(&owner, 5 * MIB);
    struct report_facts facts = {.block_start = 0};
    nearest_block((uintptr_t)block + 7 * MIB, &facts);
    ck_assert_str_eq(facts.place, "the guard behind a huge block");
    ck_assert_uint_eq(facts.nearest_start, (uintptr_t)block);
    facts.place = NULL;
    nearest_block((uintptr_t)block + 8 * MIB, &facts);
    ck_assert_ptr_null(facts.place);
}
END_TEST

START_TEST(moats_own_memory_is_known) {
    static char mine[64];
    static const char tables[] = "moat's own tables";
    core_alloc(&owner, 48);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.segments), tables);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.segments - 1), tables);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.pages + 500), tables);
    ck_assert_str_eq(place_of_own(ro.maps), tables);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.local_heaps), tables);
    ck_assert_str_eq(place_of_own(ro.heaps_base + HEAP_SIZE), tables);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.randoms), tables);
    ck_assert_str_eq(place_of_own((uintptr_t)ro.zero_size), "moat's own state");
    ck_assert_str_eq(place_of_own((uintptr_t)&moat_ro_pages),
                     "moat's own structure of what never changes");
    ck_assert_ptr_null(place_of_own((uintptr_t)mine));
    ck_assert_ptr_null(place_of_own((uintptr_t)&expect_place));
    ck_assert_ptr_null(place_of_own(UINTPTR_MAX));
    core_start("");
    ck_assert_ptr_null(place_of_own((uintptr_t)mine));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("surroundings");
    TCase *group = tcase_create("surroundings");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_add_test(group, a_state_names_the_list_that_the_block_is_on);
    tcase_add_test(group, every_block_of_a_page_has_the_state_that_it_has);
    tcase_add_test(group, a_block_of_a_page_that_ended_is_said_to_be_so);
    tcase_add_test(group, damaged_lists_are_left_unsaid);
    tcase_add_test(group, neighbours_are_those_of_the_page);
    tcase_add_test(group, the_nearest_block_in_use_is_found_among_all_kinds);
    tcase_add_test(group, of_a_strict_block_with_a_run_of_its_own_the_address_handed_out_is_named);
    tcase_add_test(group, without_a_block_there_is_no_nearest);
    tcase_add_test(group, places_without_a_block_are_named);
    tcase_add_test(group, behind_a_huge_block_is_its_guard);
    tcase_add_test(group, moats_own_memory_is_known);
    tcase_set_timeout(group, 60);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
