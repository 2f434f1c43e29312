/*
 * test_page: a run of blocks of one size (src/heap/page.h): carving, the lists, the table of live
 * and claim bits, rebuilding, damage.
 *
 * The pages here lie in a segment of the test's own; no heap knows them.
 */
#include "core.h"

static struct random generator;
static struct segment *segment;
static struct heap *owner;

/* A page of the class in a fresh segment. */
static struct page *make_page(uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    segment = segment_create(owner_word((uintptr_t)owner, kind), false, &generator);
    ck_assert_ptr_nonnull(segment);
    return segment_page_create(segment, size_class, &generator);
}

static void setup(void) {
    core_setup();
    random_seed_fixed(&generator, 5);
    owner = heap_at(1);
}

static bool is_valid(const struct page *page) { return page_validate(page, core_page_bytes(page)); }

/* A block, carving when the page has none on a list. */
static void *take(struct page *page) {
    if (page->free_count == 0) page_carve(page, &generator);
    return page_pop(page);
}

static bool give(struct page *page, void *block) {
    core_require(map_give(map_word_of((uintptr_t)block), map_place_of((uintptr_t)block)));
    return page_push(page, (uintptr_t)block);
}

static enum remote_result give_remotely(void *block) {
    return remote_free(core_segment(block), core_kind_of(block), (uintptr_t)block);
}

static void pop(void *page) { page_pop(page); }
static void collect(void *page) {
    page_collect(page, size_class_page_kind(((struct page *)page)->size_class));
}
static void retire(void *page) { page_retire(page); }

/* --- Carving --------------------------------------------------------------------------------- */

/* Given a new page of each class, when blocks are taken till it is full, then each block of it came
   once, and all of them. */
START_TEST(carving_yields_each_block_exactly_once) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        struct page *page = make_page(size_class);
        size_t size = size_class_bytes(size_class), bytes = core_page_bytes(page), blocks = 0;
        ck_assert_uint_eq(page->capacity, bytes / size);
        ck_assert(is_valid(page));
        static bool seen[SLOT_SIZE / GRANULE];
        memset(seen, 0, sizeof seen);
        while (page_used(page) < page->capacity) {
            bool fresh = page->free_count == 0;
            uintptr_t block = (uintptr_t)take(page);
            size_t offset = block - page->start;
            core_require(offset % size == 0 && offset + size <= bytes);
            core_require(!seen[offset / size]);
            seen[offset / size] = true;
            core_require(core_is_live((void *)block) && *(uint64_t *)block == 0);
            if (fresh || page_used(page) % 64 == 0) core_require(is_valid(page));
            blocks++;
        }
        ck_assert_uint_eq(blocks, page->capacity);
        ck_assert_uint_eq(page->carved, page->capacity);
        ck_assert_uint_eq(page->free_count, 0);
        ck_assert(is_valid(page));
        segment->pages_used = 0;
        memset(map_word_of(page->start), 0, bytes / MAP_WORD_SPAN * sizeof(struct map_word));
        segment_destroy(segment);
    }
}
END_TEST

START_TEST(a_step_of_carving_touches_about_an_os_page) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        struct page *page = make_page(size_class);
        page_carve(page, &generator);
        size_t touched = (size_t)page->carved * size_class_bytes(size_class);
        ck_assert_uint_ge(page->carved, 1);
        /* a few blocks at least, for the order's sake */
        if (page->carved > 4) ck_assert_uint_le(touched, 4 * KIB);
        ck_assert(is_valid(page));
    }
}
END_TEST

/* The order of the first step's blocks, as text, of pages whose generator has some seed. */
START_TEST(the_order_of_fresh_blocks_cannot_be_foretold) {
    uint32_t first[64], successor = 0, pairs = 0;
    unsigned distinct = 0;
    bool was_first[256] = {false};
    for (unsigned i = 0; i < 64; i++) {
        random_seed_fixed(&generator, i);
        struct page *page = make_page(0);
        page_carve(page, &generator);
        first[i] = (uint32_t)(page->free - page->start);
        distinct += !was_first[first[i] / 16];
        was_first[first[i] / 16] = true;
        uintptr_t before = (uintptr_t)page_pop(page);
        for (unsigned k = 1; k < 128; k++, pairs++) {
            uintptr_t block = (uintptr_t)page_pop(page);
            successor += block == before + 16;
            before = block;
        }
    }
    ck_assert_uint_gt(distinct, 40); /* of 64 draws among 256; about 56 are expected */
    /* 3 in 4 are expected before the held back ones come */
    ck_assert_uint_lt(successor * 100, pairs * 80);
}
END_TEST

/* --- Lists ----------------------------------------------------------------------------------- */

START_TEST(any_sequence_of_steps_keeps_the_page_valid) {
    uint64_t random = (uint64_t)_i;
    struct page *page = make_page((uint32_t)core_below(&random, SIZE_CLASSES));
    enum { CAPACITY = 4096 };
    static void *blocks[CAPACITY];
    size_t count = 0, waiting = 0;
    for (unsigned step = 0; step < 6000; step++) {
        size_t what = core_below(&random, 8), which = count > 0 ? core_below(&random, count) : 0;
        if (what < 4 && count < CAPACITY &&
            (page->free_count != 0 || page->carved < page->capacity)) {
            blocks[count++] = take(page);
        } else if (what < 6 && count > 0) {
            give(page, blocks[which]);
            blocks[which] = blocks[--count];
        } else if (what == 6 && count > 0) {
            core_require(give_remotely(blocks[which]) == REMOTE_FREED);
            core_require(core_is_live(blocks[which]) && core_is_claimed(blocks[which]));
            blocks[which] = blocks[--count];
            waiting++;
        } else if (what == 7) {
            collect(page);
            waiting = 0;
        }
        core_require(page_used(page) == (int32_t)(count + waiting));
        if (step % 16 == 0) core_require(is_valid(page));
    }
    while (count > 0) give(page, blocks[--count]);
    collect(page);
    ck_assert_int_eq(page_used(page), 0);
    ck_assert(is_valid(page));
    retire(page);
}
END_TEST

START_TEST(the_last_block_given_back_is_an_event_when_the_page_asks_for_it) {
    struct page *page = make_page(4);
    void *one = take(page), *two = take(page);
    page_watch(page);
    ck_assert(!give(page, one));
    ck_assert(give(page, two));
    returns_expect(&page->returns, RETURNS_NEVER);
    ck_assert(!give(page, take(page)));
}
END_TEST

START_TEST(a_page_set_aside_asks_for_a_share_of_its_blocks) {
    static const struct {
        size_t block, frees;
    } cases[] = {{16, 16}, {64, 16},  {128, 15}, {160, 12},
                 {960, 2}, {1024, 1}, {2048, 1}, {8 * KIB, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct page *page = make_page(size_class_of(cases[i].block));
        void *kept[REJOIN_MOST];
        for (uint32_t taken = 0; taken < page->capacity; taken++) {
            void *block = take(page);
            if (taken < cases[i].frees) kept[taken] = block;
        }
        page_set_aside(page, false);
        ck_assert(page->in_full);
        for (size_t freed = 1; freed < cases[i].frees; freed++) ck_assert(!give(page, kept[freed]));
        ck_assert(give(page, kept[0]));
        ck_assert_uint_eq(page_returned(page), cases[i].frees);
        ck_assert(is_valid(page));
    }
    struct page *page = make_page(size_class_of(64));
    void *block = NULL;
    for (uint32_t taken = 0; taken < page->capacity; taken++) block = take(page);
    page_set_aside(page, true);
    ck_assert(give(page, block));
}
END_TEST

START_TEST(blocks_are_zeroed_until_a_used_one_can_come_back) {
    struct page *page = make_page(size_class_of(2048));
    ck_assert(page->never_reused);
    char *block = take(page);
    for (size_t i = 0; i < 2048; i++) core_require(block[i] == 0);
    give(page, block);
    collect(page);
    ck_assert(page->never_reused); /* fresh blocks are still on the list */
    while (page->free_count != 0) page_pop(page);
    collect(page);
    ck_assert(!page->never_reused);
}
END_TEST

/* --- The table of live and claim bits -------------------------------------------------------- */

static void set_state(const void *block, bool live, bool claim) {
    struct map_word *word = map_word_of((uintptr_t)block);
    uint64_t bit = map_bit_of((uintptr_t)block);
    word->live = live ? word->live | bit : word->live & ~bit;
    word->claim = claim ? word->claim | bit : word->claim & ~bit;
}

/* malloc, pop: requires live 0, claim 0. A claim on a free block is a second free, a live bit a
   forged link, whatever else. */
START_TEST(a_pop_takes_free_blocks_only) {
    static const enum report_kind expected[2][2] = {{REPORT_KINDS, REPORT_DOUBLE_FREE},
                                                    {REPORT_CORRUPT_LINK, REPORT_CORRUPT_LINK}};
    for (unsigned state = 0; state < 4; state++) {
        bool live = (state & 1) != 0, claim = (state & 2) != 0;
        struct page *page = make_page(2);
        page_carve(page, &generator);
        void *next = (void *)(page->free);
        set_state(next, live, claim);
        core_expect_report(expected[live][claim], pop, page);
        if (state != 0) ck_assert_uint_eq(core_address, (uintptr_t)next);
        ck_assert_int_eq(page_used(page), state == 0); /* counts only together with the live bit */
        core_setup();
    }
}
END_TEST

/* Collect, each block: requires live 1, claim 1, on a block start; then both are 0. */
START_TEST(a_collect_takes_live_claimed_blocks_only) {
    for (unsigned live = 0; live < 2; live++) {
        struct page *page = make_page(2);
        void *block = take(page), *other = take(page);
        if (live == 0) give(page, block);
        set_state(block, live != 0, true);
        page->pending = bit64(page_claim_group(PAGE_SMALL, (uintptr_t)block - page->start));
        core_expect_report(live != 0 ? REPORT_KINDS : REPORT_DOUBLE_FREE, collect, page);
        if (live != 0) {
            ck_assert(!core_is_live(block) && !core_is_claimed(block));
            ck_assert(core_is_live(other));
            ck_assert_int_eq(page_used(page), 1);
            ck_assert_uint_eq(page->pending, 0);
            ck_assert(is_valid(page));
        }
        core_setup();
    }
}
END_TEST

/* Bits that no block can have: inside a block, and behind the carved part. */
START_TEST(a_claim_that_names_no_block_is_reported) {
    struct page *page = make_page(size_class_of(64));
    char *block = take(page);
    set_state(block + 16, true, true);
    page->pending = bit64(page_claim_group(PAGE_SMALL, (uintptr_t)block - page->start));
    core_expect_report(REPORT_CORRUPT_METADATA, collect, page);
    core_setup();
    page = make_page(size_class_of(64));
    take(page);
    char *behind = (char *)page->start + page->limit;
    set_state(behind, true, true);
    page->pending = bit64(page_claim_group(PAGE_SMALL, (uintptr_t)behind - page->start));
    core_expect_report(REPORT_CORRUPT_METADATA, collect, page);
}
END_TEST

START_TEST(a_page_with_a_live_or_claimed_block_cannot_be_retired) {
    static const enum report_kind expected[] = {REPORT_KINDS, REPORT_CORRUPT_METADATA,
                                                REPORT_DOUBLE_FREE, REPORT_CORRUPT_LINK};
    for (unsigned state = 0; state < 4; state++) {
        struct page *page = make_page(3);
        void *block = take(page);
        give(page, block);
        set_state(block, (state & 1) != 0, (state & 2) != 0);
        core_expect_report(expected[state], retire, page);
        core_setup();
    }
}
END_TEST

/* --- Claims ---------------------------------------------------------------------------------- */

/* Every group of map words of every kind of page, the two that share a bit included. */
START_TEST(every_claim_is_found_wherever_its_block_lies) {
    static const size_t sizes[] = {16,       48,       1024,     8 * KIB,   9 * KIB,
                                   16 * KIB, 64 * KIB, 72 * KIB, 128 * KIB, MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct page *page = make_page(size_class_of(sizes[i]));
        enum page_kind kind = size_class_page_kind(page->size_class);
        for (uint32_t left = page->capacity; left > 0; left--) take(page);
        for (uint32_t offset = 0; offset < page->limit; offset += page->block_size) {
            void *block = (void *)(page->start + offset);
            core_require(give_remotely(block) == REMOTE_FREED);
            core_require(page->pending == bit64(page_claim_group(kind, offset)));
            collect(page);
            core_require(!core_is_live(block) && !core_is_claimed(block) && page->pending == 0);
            core_require(page_used(page) == page->capacity - 1);
            core_require(page_pop(page) == block);
        }
        ck_assert(is_valid(page));
    }
}
END_TEST

START_TEST(groups_are_63_and_cover_a_page_evenly) {
    for (int kind = PAGE_SMALL; kind <= PAGE_LARGE; kind++) {
        size_t size = page_kind_size((enum page_kind)kind);
        unsigned last = 0;
        for (size_t offset = 0; offset < size; offset += GRANULE) {
            unsigned group = page_claim_group((enum page_kind)kind, offset);
            core_require(group <= 62 && (group == last || group == last + 1));
            core_require(group == (offset * 64 / size < 62 ? offset * 64 / size : 62));
            last = group;
        }
        ck_assert_uint_eq(last, 62);
    }
}
END_TEST

START_TEST(a_page_is_marked_full_only_if_no_claim_has_come) {
    struct page *page = make_page(size_class_of(8 * KIB));
    void *block = NULL;
    for (uint32_t left = page->capacity; left > 0; left--) block = take(page);
    ck_assert(page_mark_full(page));
    ck_assert_uint_eq(page->pending, PENDING_FULL);
    collect(page); /* un-full: the mark may stay, nothing was claimed */
    ck_assert_uint_eq(page->pending, PENDING_FULL);
    ck_assert(page_mark_full(page));
    page_settle(page, PAGE_SMALL);
    ck_assert_uint_eq(page->pending, 0);
    ck_assert(page_mark_full(page));
    ck_assert_int_eq(give_remotely(block), REMOTE_FREED);
    uint64_t pending = page->pending;
    ck_assert(!page_mark_full(page));
    ck_assert_uint_eq(page->pending, pending);
    collect(page);
    ck_assert_uint_eq(page->pending, 0);
    ck_assert_ptr_eq(page_pop(page), block);
    ck_assert(page_mark_full(page));
}
END_TEST

/* --- Damage ---------------------------------------------------------------------------------- */

/* Of a remote free that tested the block in an earlier life of the page, and claims in this one,
   where no block begins there. */
START_TEST(a_claim_between_the_starts_of_blocks_is_reported_at_the_end_of_the_page) {
    struct page *page = make_page(size_class_of(5000));
    take(page);
    uintptr_t between = page->start + 2 * KIB;
    map_word_of(between)->claim |= map_bit_of(between);
    ck_assert_int_eq(core_report_of(retire, page), REPORT_DOUBLE_FREE);
    ck_assert_uint_eq(core_address, between);
}
END_TEST

START_TEST(an_overwritten_link_is_reported_when_its_block_is_taken) {
    static const uint64_t junk[] = {0, 1, ~(uint64_t)0, 0x4141414141414141, 0xdeadbeef};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        struct page *page = make_page(1);
        page_carve(page, &generator);
        uintptr_t next = page->free;
        *(uint64_t *)next = junk[i];
        ck_assert(!is_valid(page));
        core_expect_report(REPORT_CORRUPT_LINK, pop, page);
        ck_assert_uint_eq(core_address, next);
        ck_assert_int_eq(page_used(page), 0);
        core_setup();
    }
}
END_TEST

/* An attacker who knows everything still gets no block that is in use: the list names it, the maps
   say no. */
START_TEST(a_forged_link_to_a_live_block_is_reported) {
    struct page *page = make_page(1);
    char *victim = take(page);
    uintptr_t head = page->free;
    freelist_store(head, freelist_encode((uintptr_t)victim, page->secret, head));
    ck_assert_ptr_eq(page_pop(page), (void *)head);
    core_expect_report(REPORT_CORRUPT_LINK, pop, page);
    ck_assert_uint_eq(core_address, (uintptr_t)victim);
}
END_TEST

/* Freed twice at once, and written to: the second free is what is reported, whatever the block
   holds. */
START_TEST(a_claim_on_a_free_block_is_a_double_free_whatever_it_holds) {
    struct page *page = make_page(1);
    take(page);
    char *head = (char *)page->free;
    set_state(head, false, true);
    memset(head, 'A', 8);
    core_expect_report(REPORT_DOUBLE_FREE, pop, page);
    ck_assert_uint_eq(core_address, (uintptr_t)head);
}
END_TEST

START_TEST(a_forged_link_to_a_block_freed_elsewhere_is_reported) {
    struct page *page = make_page(1);
    char *victim = take(page);
    uintptr_t head = page->free;
    freelist_store(head, freelist_encode((uintptr_t)victim, page->secret, head));
    ck_assert_ptr_eq(page_pop(page), (void *)head);
    ck_assert_int_eq(give_remotely(victim), REMOTE_FREED);
    core_expect_report(REPORT_CORRUPT_LINK, pop, page);
    ck_assert_uint_eq(core_address, (uintptr_t)victim);
}
END_TEST

START_TEST(a_forged_cycle_ends) {
    struct page *page = make_page(1);
    page_carve(page, &generator);
    uintptr_t head = page->free;
    freelist_store(head, freelist_encode(page->free, page->secret, head));
    ck_assert(!is_valid(page));
    ck_assert_ptr_eq(page_pop(page), (void *)head);
    core_expect_report(REPORT_CORRUPT_LINK, pop, page);
}
END_TEST

START_TEST(links_of_an_earlier_life_are_worthless) {
    struct page *page = make_page(1);
    unsigned caught = 0;
    for (unsigned i = 0; i < 100; i++) {
        size_t bytes = core_page_bytes(page);
        page_init(page, page->start, bytes, page->size_class, false, &generator);
        page_carve(page, &generator);
        uintptr_t at = page->free;
        uint64_t link = freelist_load(at), secret = page->secret;
        page_init(page, page->start, bytes, page->size_class, false, &generator);
        page_carve(page, &generator);
        ck_assert_uint_ne(page->secret, secret);
        caught += !freelist_is_block(freelist_decode(link, page->secret, at) - page->start,
                                     page->limit, page->reciprocal);
    }
    ck_assert_uint_eq(caught, 100);
}
END_TEST

START_TEST(a_damaged_record_does_not_validate) {
    struct page *page = make_page(3), whole;
    void *block = take(page);
    take(page);
    give(page, block);
    whole = *page;
    ck_assert(is_valid(page));
    page->free_count--;
    ck_assert(!is_valid(page));
    *page = whole;
    page->returns.countdown--;
    ck_assert(!is_valid(page));
    *page = whole;
    page->returns.countdown = page->returns.event_above - page->carved;
    ck_assert(!is_valid(page));
    *page = whole;
    page->carved++;
    ck_assert(!is_valid(page));
    *page = whole;
    page->limit += page->block_size;
    ck_assert(!is_valid(page));
    *page = whole;
    page->free = page->local_free; /* a block on both lists */
    ck_assert(!is_valid(page));
    *page = whole;
    page->local_free = page->start + 8;
    ck_assert(!is_valid(page));
    *page = whole;
    page->capacity = 1;
    ck_assert(!is_valid(page));
    *page = whole;
    set_state(block, true, false);
    ck_assert(!is_valid(page));
    set_state(block, false, true);
    ck_assert(!is_valid(page));
    set_state(block, false, false);
    set_state((void *)(page->start + 16), true, false); /* a live bit inside a block */
    ck_assert(!is_valid(page));
    set_state((void *)(page->start + 16), false, false);
    ck_assert(is_valid(page));
}
END_TEST

/* --- After a fork ---------------------------------------------------------------------------- */

/* Whatever the lists and counts were when the thread vanished, live and not claimed blocks are in
   use, all others free. */
START_TEST(rebuilding_makes_the_page_anew_from_the_maps) {
    uint64_t random = (uint64_t)_i + 40;
    struct page *page = make_page((uint32_t)core_below(&random, SIZE_CLASSES));
    enum { CAPACITY = 4096 };
    static void *blocks[CAPACITY];
    static bool kept[CAPACITY];
    size_t count = 0, in_use = 0;
    while (page_used(page) < page->capacity && core_below(&random, 200) != 0)
        blocks[count++] = take(page);
    for (size_t i = 0; i < count; i++) {
        size_t what = core_below(&random, 3);
        kept[i] = what == 0;
        in_use += kept[i];
        if (what == 1) give(page, blocks[i]);
        if (what == 2) core_require(give_remotely(blocks[i]) == REMOTE_FREED);
    }
    /* Caught in mid-step: heads and count are anything, a claim's mark never came. */
    page->free = page->start + core_below(&random, 1000);
    page->local_free = 3;
    page->free_count = 7;
    page->returns.countdown = page->returns.event_above - 77777;
    page->pending = 0;
    page_rebuild(page, page->start, core_page_bytes(page), &generator);
    ck_assert(is_valid(page));
    ck_assert_int_eq(page_used(page), (int32_t)in_use);
    for (size_t i = 0; i < count; i++)
        core_require(core_is_live(blocks[i]) == kept[i] && !core_is_claimed(blocks[i]));
    while (page_used(page) < page->capacity) {
        void *block = take(page);
        for (size_t i = 0; i < count; i++) core_require(!kept[i] || blocks[i] != block);
    }
    ck_assert(is_valid(page));
}
END_TEST

static void add_list_tests(TCase *group) {
    tcase_add_test(group, carving_yields_each_block_exactly_once);
    tcase_add_test(group, a_step_of_carving_touches_about_an_os_page);
    tcase_add_test(group, the_order_of_fresh_blocks_cannot_be_foretold);
    tcase_add_loop_test(group, any_sequence_of_steps_keeps_the_page_valid, 0, 12);
    tcase_add_test(group, the_last_block_given_back_is_an_event_when_the_page_asks_for_it);
    tcase_add_test(group, a_page_set_aside_asks_for_a_share_of_its_blocks);
    tcase_add_test(group, blocks_are_zeroed_until_a_used_one_can_come_back);
}

int main(void) {
    Suite *suite = suite_create("page");
    TCase *group = tcase_create("page");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    add_list_tests(group);
    tcase_add_test(group, a_pop_takes_free_blocks_only);
    tcase_add_test(group, a_collect_takes_live_claimed_blocks_only);
    tcase_add_test(group, a_claim_that_names_no_block_is_reported);
    tcase_add_test(group, a_page_with_a_live_or_claimed_block_cannot_be_retired);
    tcase_add_test(group, every_claim_is_found_wherever_its_block_lies);
    tcase_add_test(group, groups_are_63_and_cover_a_page_evenly);
    tcase_add_test(group, a_page_is_marked_full_only_if_no_claim_has_come);
    tcase_add_test(group, a_claim_between_the_starts_of_blocks_is_reported_at_the_end_of_the_page);
    tcase_add_test(group, an_overwritten_link_is_reported_when_its_block_is_taken);
    tcase_add_test(group, a_forged_link_to_a_live_block_is_reported);
    tcase_add_test(group, a_claim_on_a_free_block_is_a_double_free_whatever_it_holds);
    tcase_add_test(group, a_forged_link_to_a_block_freed_elsewhere_is_reported);
    tcase_add_test(group, a_forged_cycle_ends);
    tcase_add_test(group, links_of_an_earlier_life_are_worthless);
    tcase_add_test(group, a_damaged_record_does_not_validate);
    tcase_add_loop_test(group, rebuilding_makes_the_page_anew_from_the_maps, 0, 12);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
