/*
 * test_strict: the verbs of the strict level (src/alloc/strict.h) where a program goes on after a
 * report, and what of a block's record and canary a child forked in between finds.
 *
 * What each misuse is reported as is in test/misuse/strict.c.
 */
#include "core.h"

#include "alloc/strict.h"
#include "meta/canary.h"
#include "meta/request.h"

static struct core_thread owner;

static void start(const char *options) {
    core_start_ready(options);
    owner = CORE_THREAD;
    core_be(&owner);
}
static void setup(void) { start("level=strict:region=1G:on=report:quarantine=0"); }

enum { SIZE = 40, MANY = 3000 };

static bool is_handed_out_again(const void *block) {
    for (unsigned i = 0; i < MANY; i++)
        if (alloc_block(SIZE) == block) return true;
    return false;
}

/* Freed, and taken in by its page. */
static bool is_free(const void *block) {
    page_collect(core_page(block), core_kind_of(block));
    return !core_is_live(block) && !core_is_claimed(block);
}

/* --- Memory that is short --------------------------------------------------------------------- */

/* The page of a freed block is large enough for a run, and not for a page of such blocks. */
START_TEST(a_large_block_has_what_is_found_for_it) {
    alloc_free(alloc_block(SIZE));
    harness_limit_committed(harness_committed_bytes());
    void *block = alloc_block(20000);
    ck_assert_ptr_nonnull(block);
    alloc_free(block);
}
END_TEST

/* What the kernel would not take when a block became smaller is in it when it grows again. */
START_TEST(what_a_resize_adds_is_zero_whatever_was_refused_before) {
    enum { LEAST = 45056, MOST = 1 << 20, LONG = 6 << 20 };
    enum os_call refused = _i % 2 == 0 ? OS_DECOMMIT : OS_PURGE;
    size_t least = _i < 2 ? LEAST : LEAST - 100, large = _i % 2 == 0 ? LONG : MOST;
    char *block = alloc_block(large);
    memset(block, 7, large);
    harness_fail_nth(refused, 1);
    ck_assert_ptr_eq(alloc_resize(block, least), block);
    ck_assert_uint_eq(harness_failures(), 1);
    block = alloc_resize(block, MOST);
    for (size_t i = 0; i < MOST; i++) core_require(block[i] == (i < least) * 7);
    alloc_free(block);
    check_all();
}
END_TEST

/* --- Going on --------------------------------------------------------------------------------- */

START_TEST(a_block_with_an_overflow_is_freed_and_never_handed_out) {
    char *block = alloc_block(SIZE);
    block[SIZE] ^= 1;
    alloc_free(block);
    ck_assert(core_is_live(block) && core_is_claimed(block));
    ck_assert(!is_handed_out_again(block));
    check_all();
}
END_TEST

START_TEST(so_is_one_that_was_written_to_while_it_was_free) {
    char *block = alloc_block(SIZE);
    alloc_free(block);
    ck_assert(is_free(block));
    block[SIZE / 2] = 1;
    ck_assert(!is_handed_out_again(block));
    check_all();
}
END_TEST

START_TEST(a_block_of_another_family_is_freed) {
    void *block = alloc_mark_family(alloc_block(SIZE), FAMILY_NEW);
    alloc_free(block);
    ck_assert(is_free(block));
}
END_TEST

START_TEST(what_realloc_finds_overwritten_is_made_good) {
    char *block = alloc_block(SIZE);
    block[SIZE] ^= 1;
    ck_assert_ptr_eq(alloc_resize(block, SIZE + 1), block);
    alloc_free(block);
    ck_assert(is_free(block));
    block = alloc_block(20001);
    block[20001] ^= 1;
    block = alloc_resize(block, 20002);
    ck_assert_uint_eq(alloc_usable_size(block), 20002);
    alloc_free(block);
    ck_assert_int_eq(owner_kind(core_segment(block)->owner), OWNER_FREED);
}
END_TEST

/* The bytes from the end of a block for its user to that of its memory. */
static size_t slack_of(uintptr_t block, size_t size) {
    if (owner_has_pages(core_segment((void *)block)->owner))
        return core_page((void *)block)->block_size - size;
    return round_up(block + size, ro.os_page) - (block + size);
}

static bool is_left_alone(const void *block) {
    uint64_t word = core_segment(block)->owner;
    if (owner_has_pages(word))
        return core_is_claimed(block) && !request_is_released((uintptr_t)block);
    return owner_kind(word) == OWNER_FREEING;
}

/* Of `size` bytes, with one bit of the canary changed. */
static void expect_overflow_found(size_t size, size_t offset) {
    unsigned char *block = alloc_block(size);
    ck_assert_uint_eq(alloc_usable_size(block), size);
    ck_assert_uint_ne(block[size + offset], 0);
    block[size + offset] ^= (unsigned char)(1u << offset % 8);
    alloc_free(block);
    ck_assert_msg(is_left_alone(block), "%zu bytes, byte %zu behind them", size, offset);
}

/* The least and the most that the class holds: the canary's first byte, its last, one between. */
START_TEST(of_each_class_each_end_of_the_canary_is_checked) {
    size_t least = 1;
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        size_t sizes[] = {least, size_class_bytes(size_class) - 1};
        for (unsigned i = 0; i < 2; i++) {
            void *block = alloc_block(sizes[i]);
            size_t slack = slack_of((uintptr_t)block, sizes[i]);
            bool at_guard = slack == 0 && sizes[i] >= GUARDED_FROM;
            ck_assert(slack != 0 || at_guard);
            alloc_free(block);
            ck_assert(!is_left_alone(block));
            if (at_guard) continue;
            expect_overflow_found(sizes[i], 0);
            expect_overflow_found(sizes[i], slack / 2);
            expect_overflow_found(sizes[i], slack - 1);
        }
        least = size_class_bytes(size_class);
    }
    check_all();
}
END_TEST

/* --- Record and canary agree ------------------------------------------------------------------ */

/* What a free in a child would compare. */
static bool agree(uintptr_t block, size_t block_size) {
    struct request request = request_load(block, block_size);
    uintptr_t end = block + block_size;
    return request.slack <= block_size && canary_check(block, end - request.slack, end) == 0;
}

static char *resized;
static bool was_right;

static void look(void) { was_right = agree((uintptr_t)resized, core_page(resized)->block_size); }

/* A block that stays where it is: at each access to a shared word. */
START_TEST(at_each_step_of_a_resize_a_child_finds_a_right_block) {
    static const size_t sizes[][2] = {{33, 47}, {47, 33}, {1025, 1150}, {1150, 1025}, {9000, 9001}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t step = 1;; step++) {
            resized = alloc_block(sizes[i][0]);
            was_right = true;
            core_interleave(step, look);
            char *same = alloc_resize(resized, sizes[i][1]);
            bool ran = core_interleave_end();
            ck_assert_ptr_eq(same, resized);
            ck_assert(was_right);
            ck_assert(agree((uintptr_t)resized, core_page(resized)->block_size));
            alloc_free(resized);
            if (!ran) break;
        }
}
END_TEST

/* --- A second free while the memory is handed out again --------------------------------------- */

enum { GUARDED_SIZE = 20000 };
static char *freed_once;

static void free_again(void) { alloc_free(freed_once); }

/* Its memory becomes a block at another distance from the run's start: at each access to a shared
   word. */
START_TEST(no_second_free_takes_the_block_that_is_made_of_the_memory) {
    unsigned met = 0;
    for (uint64_t step = 1;; step++) {
        freed_once = alloc_block(GUARDED_SIZE);
        alloc_free(freed_once);
        (void)huge_purge(true, 0);
        core_interleave(step, free_again);
        char *block = alloc_block(GUARDED_SIZE + GRANULE);
        bool ran = core_interleave_end();
        ck_assert_ptr_ne(block, freed_once);
        met += core_segment(block) == core_segment(freed_once);
        ck_assert_int_eq(owner_kind(core_segment(block)->owner), OWNER_HUGE);
        ck_assert_uint_eq(alloc_usable_size(block), GUARDED_SIZE + GRANULE);
        block[0] = block[GUARDED_SIZE] = 1;
        alloc_free(block);
        check_all();
        if (!ran) break;
    }
    ck_assert_uint_ge(met, 10);
}
END_TEST

/* --- A stale pointer while its address becomes another block ---------------------------------- */

static struct core_thread other;
static char *stale, *fresh;
static size_t fresh_size;

static void the_run_lives_again(void) {
    core_be(&other);
    alloc_free(stale);
    (void)huge_purge(true, 0);
    fresh = alloc_block(fresh_size);
    memset(fresh, 'f', fresh_size);
    core_be(&owner);
}

static void expect_fresh(void) {
    ck_assert_uint_eq(alloc_usable_size(fresh), fresh_size);
    for (size_t i = 0; i < fresh_size; i++) core_require(fresh[i] == 'f');
}

/* The two begin at other distances from the start of their run. */
START_TEST(a_stale_pointer_says_nothing_of_a_later_life_of_its_run) {
    static const size_t sizes[] = {GUARDED_SIZE - GRANULE, GUARDED_SIZE + GRANULE};
    unsigned met = 0;
    other = CORE_THREAD;
    for (unsigned i = 0; i < 2; i++)
        for (uint64_t step = 1;; step++) {
            fresh_size = sizes[i];
            stale = alloc_block(GUARDED_SIZE);
            core_interleave(step, the_run_lives_again);
            size_t size = alloc_usable_size(stale);
            bool ran = core_interleave_end();
            ck_assert(size == GUARDED_SIZE || size == 0);
            if (!ran) break;
            met += core_segment(fresh) == core_segment(stale);
            expect_fresh();
            alloc_free(fresh);
            check_all();
        }
    ck_assert_uint_ge(met, 5);
}
END_TEST

enum { OF_ONE_PAGE = 128, STALE_SIZE = 500, FRESH_SIZE = 2000, OF_A_SEGMENT = 64 * 32 };

/* The first block of a page whose others are free. */
static char *first_of_a_page(void) {
    static void *of_one_page[OF_ONE_PAGE];
    char *first = NULL;
    for (unsigned i = 0; i < OF_ONE_PAGE; i++) {
        of_one_page[i] = alloc_block(STALE_SIZE);
        if ((uintptr_t)of_one_page[i] == core_page(of_one_page[i])->start) first = of_one_page[i];
    }
    for (unsigned i = 0; i < OF_ONE_PAGE; i++)
        if (of_one_page[i] != first) alloc_free(of_one_page[i]);
    return first;
}

static void the_page_is_of_another_size(void) {
    core_be(&other);
    alloc_free(stale);
    (void)alloc_trim();
    fresh = NULL;
    /* slots that had no pages yet go first */
    for (unsigned i = 0; i < 2 * OF_A_SEGMENT && fresh != stale; i++)
        fresh = alloc_block(FRESH_SIZE);
    memset(fresh, 'f', FRESH_SIZE);
    core_be(&owner);
}

/* A free that saw the old block either takes the new one for what it is or leaves it alone. */
START_TEST(a_late_claim_frees_no_block_of_another_size) {
    unsigned met = 0, left = 0;
    fresh_size = FRESH_SIZE;
    for (uint64_t step = 1;; step++) {
        core_teardown();
        start("level=strict:region=1G:on=report:quarantine=4");
        other = CORE_THREAD;
        alloc_free(alloc_block(SIZE)); /* its heap */
        core_be(&other);
        stale = first_of_a_page();
        core_be(&owner);
        core_interleave(step, the_page_is_of_another_size);
        alloc_free(stale);
        if (!core_interleave_end()) break;
        if (fresh != stale) continue;
        met++;
        struct quarantine *quarantine = &core_heap(&owner)->quarantine;
        size_t bytes = 0;
        for (unsigned i = 0; i < quarantine->count; i++)
            bytes += core_page((void *)quarantine->blocks[i])->block_size;
        ck_assert_uint_eq(quarantine->bytes, bytes);
        if (core_is_claimed(fresh)) continue;
        left++;
        expect_fresh();
        alloc_free(fresh);
        check_all();
    }
    ck_assert_uint_ge(met, 5);
    ck_assert_uint_ge(left, 3);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("strict");
    TCase *group = tcase_create("strict");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, a_large_block_has_what_is_found_for_it);
    tcase_add_loop_test(group, what_a_resize_adds_is_zero_whatever_was_refused_before, 0, 4);
    tcase_add_test(group, a_block_with_an_overflow_is_freed_and_never_handed_out);
    tcase_add_test(group, so_is_one_that_was_written_to_while_it_was_free);
    tcase_add_test(group, a_block_of_another_family_is_freed);
    tcase_add_test(group, what_realloc_finds_overwritten_is_made_good);
    tcase_add_test(group, of_each_class_each_end_of_the_canary_is_checked);
    tcase_add_test(group, at_each_step_of_a_resize_a_child_finds_a_right_block);
    tcase_add_test(group, no_second_free_takes_the_block_that_is_made_of_the_memory);
    tcase_add_test(group, a_stale_pointer_says_nothing_of_a_later_life_of_its_run);
    tcase_add_test(group, a_late_claim_frees_no_block_of_another_size);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
