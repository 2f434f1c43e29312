/*
 * test_sample: guarded samples (src/heap/sample.h): where they lie, what is accessible, which place
 * comes next, who wins a free, and what a failing kernel or a fork leaves.
 *
 * What each misuse is reported as is in test/misuse/sample.c.
 */
#define _GNU_SOURCE
#include "core.h"

#include "alloc/sampling.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct core_thread owner, other;

static void start(const char *options) {
    core_start_ready(options);
    owner = other = CORE_THREAD;
    core_be(&owner);
}
static void setup(void) { start("sample=1:region=1G"); }

static bool is_sample(const void *block) {
    return owner_kind(core_segment(block)->owner) == OWNER_SAMPLES;
}

static bool is_closed(uintptr_t address) {
    return !os_can_read((const void *)round_down(address, sizeof(uint64_t)));
}

static struct sample_view view_of(const void *block) {
    struct sample_view view;
    core_require(sample_find((uintptr_t)block, &view));
    return view;
}

/* It can be written to its last byte, and nothing beside its OS pages can be touched. */
static void expect_guarded(char *block, size_t size) {
    core_require(is_sample(block) && core_is_live(block));
    core_require(alloc_usable_size(block) == size);
    struct sample_view view = view_of(block);
    core_require(view.end - view.pages == round_up(size, ro.os_page));
    core_require(is_closed(view.pages - 1) && is_closed(view.end));
    core_require((uintptr_t)block == view.pages || view.end - ((uintptr_t)block + size) < GRANULE);
    memset(block, 0x5a, size);
}

/* --- What a sample is ------------------------------------------------------------------------- */

static const size_t sizes[] = {1,     16,       48,       4095,      4096,    4097,
                               57000, 56 * KIB, 60 * KIB, 300 * KIB, MIB + 1, 3 * MIB};
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(a_sample_has_pages_of_its_own_between_inaccessible_ones) {
    start(_i == 0 ? "sample=1:region=1G" : "sample=1:region=1G:guards=mprotect");
    size_t before = ro.region->committed, splits = ro.region->splits;
    for (unsigned i = 0; i < SIZES; i++) {
        char *block = alloc_block(sizes[i]);
        expect_guarded(block, sizes[i]);
        ck_assert_uint_eq(core_stats().samples, 1);
        alloc_free(block);
        core_require(is_closed((uintptr_t)block) && !core_is_live(block));
        core_expect_free_report(REPORT_DOUBLE_FREE, block);
        start(_i == 0 ? "sample=1:region=1G" : "sample=1:region=1G:guards=mprotect");
    }
    for (unsigned i = 0; i < SIZES; i++) alloc_free(alloc_block(sizes[i]));
    ck_assert_uint_eq(ro.region->committed, before);
    ck_assert_uint_eq(ro.region->splits, splits);
    check_all();
}
END_TEST

START_TEST(it_lies_against_the_guard_before_it_or_behind_it) {
    unsigned before = 0, behind = 0;
    for (unsigned i = 0; i < 200; i++) {
        char *block = alloc_block(48);
        struct sample_view view = view_of(block);
        before += (uintptr_t)block == view.pages;
        behind += (uintptr_t)block + 48 == view.end;
        alloc_free(block);
    }
    ck_assert_uint_eq(before + behind, 200);
    ck_assert_uint_gt(before, 50);
    ck_assert_uint_gt(behind, 50);
}
END_TEST

START_TEST(it_is_as_aligned_as_was_asked_for) {
    static const size_t alignments[] = {1, 16, 64, 4096, 8192, 32768, 65536, MIB, 2 * MIB};
    for (unsigned i = 0; i < sizeof alignments / sizeof *alignments; i++)
        for (unsigned k = 0; k < 6; k++) {
            char *block = alloc_aligned(alignments[i], sizes[k]);
            core_require((uintptr_t)block % alignments[i] == 0);
            if (is_sample(block)) memset(block, 1, sizes[k]);
            core_require(is_sample(block) || alignments[i] > MIB);
            alloc_free_aligned_sized(block, alignments[i], sizes[k], FAMILY_MALLOC);
        }
    check_all();
}
END_TEST

START_TEST(calloc_gives_zeros_and_realloc_keeps_what_was_there) {
    for (unsigned turn = 0; turn < 300; turn++) {
        size_t size = 1 + turn * 37;
        unsigned char *block = alloc_zeroed(size);
        for (size_t i = 0; i < size; i++) core_require(block[i] == 0);
        memset(block, (int)turn, size);
        block = alloc_resize(block, size + 5000);
        core_require(alloc_usable_size(block) >= size + 5000);
        for (size_t i = 0; i < size; i++) core_require(block[i] == (unsigned char)turn);
        block = alloc_resize(block, 1 + size / 2);
        for (size_t i = 0; i < 1 + size / 2; i++) core_require(block[i] == (unsigned char)turn);
        alloc_free(block);
    }
    check_all();
}
END_TEST

/* A wrong size of the same class passes at the default level, as without samples. */
START_TEST(sized_frees_are_judged_as_of_the_block_that_it_is_in_place_of) {
    static const size_t of[][2] = {{40, 48}, {3 * MIB - 5, 3 * MIB}, {5000, 5100}, {20000, 20001}};
    for (unsigned i = 0; i < 4; i++) {
        char *block = alloc_block(of[i][0]);
        core_require(is_sample(block));
        alloc_free_sized(block, of[i][0]);
        block = alloc_block(of[i][0]);
        core_require(is_sample(block));
        alloc_free_aligned_sized(block, GRANULE, of[i][1], FAMILY_MALLOC);
    }
}
END_TEST

/* --- Which places, and when ------------------------------------------------------------------- */

static bool is_new(void *const *seen, unsigned count, const void *block) {
    uintptr_t slot = (uintptr_t)block / SLOT_SIZE;
    for (unsigned i = 0; i < count; i++)
        if ((uintptr_t)seen[i] / SLOT_SIZE == slot) return false;
    return true;
}

START_TEST(the_place_that_was_freed_first_is_used_first) {
    static void *blocks[SAMPLE_SMALL];
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
        blocks[i] = alloc_block(100);
        core_require(is_sample(blocks[i]) && is_new(blocks, i, blocks[i]));
        alloc_free(blocks[i]);
    }
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
        void *block = alloc_block(100);
        ck_assert_uint_eq((uintptr_t)block / SLOT_SIZE, (uintptr_t)blocks[i] / SLOT_SIZE);
        alloc_free(block);
    }
    check_all();
}
END_TEST

START_TEST(when_all_places_are_in_use_blocks_are_ordinary) {
    static void *blocks[SAMPLE_SMALL], *large[SAMPLE_WHOLE];
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) core_require(is_sample(blocks[i] = alloc_block(9)));
    for (unsigned i = 0; i < SAMPLE_WHOLE; i++)
        core_require(is_sample(large[i] = alloc_block(2 * MIB)));
    void *block = alloc_block(9), *one_more = alloc_block(2 * MIB);
    ck_assert(!is_sample(block) && !is_sample(one_more));
    ck_assert_uint_eq(core_stats().samples, SAMPLES_MAX);
    check_all();
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) alloc_free(blocks[i]);
    for (unsigned i = 0; i < SAMPLE_WHOLE; i++) alloc_free(large[i]);
    alloc_free(block);
    alloc_free(one_more);
    ck_assert(is_sample(alloc_block(2 * MIB)));
    ck_assert_uint_eq(core_stats().samples, 1);
}
END_TEST

START_TEST(one_in_so_many_is_one) {
    start("sample=50:region=1G");
    unsigned samples = 0, calls = 40000;
    for (unsigned i = 0; i < calls; i++) { /* of huge ones each takes the generic path */
        void *block = alloc_block(MIB + 4096);
        samples += is_sample(block);
        alloc_free(block);
    }
    ck_assert_uint_gt(samples, calls / 50 * 9 / 10);
    ck_assert_uint_lt(samples, calls / 50 * 11 / 10);
}
END_TEST

START_TEST(where_there_is_no_room_for_them_there_are_none) {
    static const char *const options[] = {"region=1G", "sample=0:region=1G", "sample=1:region=64M",
                                          "sample=1:region=1G:guards=off"};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        start(options[i]);
        for (unsigned k = 0; k < 100; k++) ck_assert(!is_sample(alloc_block(5000)));
        ck_assert_uint_eq(core_stats().samples, 0);
    }
    start("sample=1:region=1G");
    ro.region->memory_is_locked = true;
    ck_assert(!is_sample(alloc_block(100)));
    ro.region->memory_is_locked = false;
    ck_assert(is_sample(alloc_block(5000)));
}
END_TEST

/* --- Damage, and what is reported ------------------------------------------------------------- */

START_TEST(a_byte_beside_a_sample_is_found_by_its_free) {
    for (unsigned i = 0; i < 20; i++) {
        start("sample=1:region=1G");
        for (unsigned k = 0; k < i; k++) alloc_free(alloc_block(8));
        char *block = alloc_block(40); /* slack of 8 bytes at least, on either side */
        struct sample_view view = view_of(block);
        char *wrong = (uintptr_t)block == view.pages ? block + 40 : block - 1;
        *wrong ^= 1;
        core_expect_free_report(REPORT_OVERFLOW, block);
    }
}
END_TEST

static void size_query(void *block) { (void)alloc_usable_size(block); }
static void resize(void *block) { (void)alloc_resize(block, 10); }

START_TEST(every_verb_knows_a_wrong_address) {
    static const struct {
        int offset;
        enum report_kind kind;
        bool freed;
    } cases[] = {{0, REPORT_DOUBLE_FREE, true},      {16, REPORT_INVALID_FREE, true},
                 {16, REPORT_INVALID_FREE, false},   {8, REPORT_INVALID_FREE, false},
                 {8192, REPORT_INVALID_FREE, false}, {-4096, REPORT_INVALID_FREE, false}};
    static void (*const verbs[])(void *) = {core_free, size_query, resize};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned verb = 0; verb < 3; verb++) {
            setup();
            char *block = alloc_block(100);
            if (cases[i].freed) alloc_free(block);
            core_expect_report(cases[i].kind, verbs[verb], block + cases[i].offset);
            ck_assert_uint_eq(core_address, (uintptr_t)block + (uintptr_t)cases[i].offset);
        }
}
END_TEST

START_TEST(a_report_knows_who_allocated_and_who_freed) {
    struct report_facts facts = {0};
    bool freed = true;
    char *block = alloc_block(100);
    uintptr_t behind = view_of(block).end;
    ck_assert(sample_fault(behind, &facts, &freed) && !freed);
    ck_assert_uint_eq(facts.block_start, (uintptr_t)block);
    ck_assert_uint_eq(facts.block_size, 100);
    ck_assert_ptr_nonnull(facts.allocated);
    ck_assert_uint_eq(facts.allocated->thread, os_thread_id());
    ck_assert_uint_gt(facts.allocated->count, 2);
    ck_assert_ptr_null(facts.freed);
    alloc_free(block);
    ck_assert(sample_fault((uintptr_t)block + 99, &facts, &freed) && freed);
    ck_assert_ptr_nonnull(facts.freed);
    ck_assert_uint_gt(facts.freed->count, 2);
    ck_assert(!sample_fault((uintptr_t)&facts, &facts, &freed));
    ck_assert(!sample_fault(0, &facts, &freed));
    ck_assert(!sample_fault(behind + 40 * SLOT_SIZE, &facts, &freed)); /* not used yet */
}
END_TEST

START_TEST(a_page_that_was_opened_is_closed_for_the_next_block) {
    char *block = alloc_block(100);
    uintptr_t behind = view_of(block).end;
    alloc_free(block);
    ck_assert(sample_open((uintptr_t)block) && sample_open(behind));
    *block = *(char *)behind = 1;
    for (unsigned i = 1; i < SAMPLE_SMALL; i++) alloc_free(alloc_block(100));
    char *next = alloc_zeroed(100);
    ck_assert_uint_eq((uintptr_t)next / SLOT_SIZE, (uintptr_t)block / SLOT_SIZE);
    expect_guarded(next, 100);
    ck_assert(is_closed(behind));
}
END_TEST

/* --- A kernel that refuses -------------------------------------------------------------------- */

START_TEST(whatever_call_fails_there_is_a_block_or_none_and_all_is_well) {
    static const char *const options[] = {"sample=1:region=1G",
                                          "sample=1:region=1G:guards=mprotect"};
    for (unsigned mode = 0; mode < 2; mode++)
        for (unsigned turn = 0; turn < 2; turn++)
            for (uint64_t n = 1; n < 14; n++) {
                start(options[mode]);
                if (turn == 1) alloc_free(alloc_block(100));
                harness_fail_nth(HARNESS_ANY_CALL, n);
                char *block = alloc_block(100);
                if (block != NULL) memset(block, 3, 100);
                if (block != NULL) alloc_free(block);
                harness_fail_none();
                if (block != NULL) core_expect_free_report(REPORT_DOUBLE_FREE, block);
            }
}
END_TEST

START_TEST(what_could_not_be_closed_is_closed_before_it_is_used) {
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
        char *block = alloc_block(100);
        memset(block, 1, 100);
        if (i == 5) harness_fail_from(HARNESS_ANY_CALL, 1);
        alloc_free(block);
        harness_fail_none();
        ck_assert_int_eq(is_closed((uintptr_t)block), i != 5);
    }
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
        char *block = alloc_zeroed(100);
        for (unsigned at = 0; at < 100; at++) core_require(block[at] == 0);
        expect_guarded(block, 100);
        alloc_free(block);
        ck_assert(is_closed((uintptr_t)block));
    }
    check_all();
}
END_TEST

/* Markers are refused from one moment on, as when memory becomes locked: a place changes to
   mappings of its own, all of it: what comes next there may have more pages. */
START_TEST(places_work_without_the_markers_they_began_with) {
    enum { PAGES_3 = 3 * 4096 };
    char *block = alloc_block(100);
    harness_fail_from(OS_GUARD, 1);
    alloc_free(block);
    ck_assert(is_closed((uintptr_t)block));
    harness_fail_none();
    for (unsigned turn = 0; turn < 2; turn++)
        for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
            char *next = alloc_block(PAGES_3);
            expect_guarded(next, PAGES_3);
            alloc_free(next);
            ck_assert(is_closed((uintptr_t)next));
        }
    check_all();
}
END_TEST

/* --- Two threads ------------------------------------------------------------------------------ */

static void *subject;
static unsigned reports;

static void free_it_too(void) {
    uintptr_t *before = harness_thread_word();
    core_be(&other);
    alloc_free(subject);
    harness_set_thread_word(before);
}

static void free_it_first(void *step) {
    core_interleave(*(uint64_t *)step, free_it_too);
    alloc_free(subject);
}

static void free_it_first_by_size(void *step) {
    core_interleave(*(uint64_t *)step, free_it_too);
    alloc_free_sized(subject, 100);
}

/* Wherever the other free comes in between, one of the two is reported. */
static void check_two_frees(void (*free_first)(void *step)) {
    for (uint64_t step = 1;; step++) {
        setup();
        core_begin(&other);
        core_be(&owner);
        subject = alloc_block(100);
        enum report_kind kind = core_report_of(free_first, &step);
        bool ran = core_interleave_end();
        ck_assert_int_eq(kind, ran ? REPORT_DOUBLE_FREE : REPORT_KINDS);
        reports += ran;
        if (!ran) break;
    }
    ck_assert_uint_gt(reports, 5);
}

START_TEST(of_two_frees_one_wins_at_each_step) { check_two_frees(free_it_first); }
END_TEST

START_TEST(also_if_the_first_says_how_large_it_is) { check_two_frees(free_it_first_by_size); }
END_TEST

static void *taken;

static void take_one_too(void) {
    uintptr_t *before = harness_thread_word();
    core_be(&other);
    taken = alloc_block(100);
    harness_set_thread_word(before);
}

/* Two threads that allocate at once get two places, in each order of their steps, and a segment
   that both were about to add is taken once. */
START_TEST(two_allocations_get_two_places_at_each_step) {
    for (uint64_t step = 1;; step++) {
        setup();
        core_begin(&other);
        core_be(&owner);
        taken = NULL;
        core_interleave(step, take_one_too);
        char *block = alloc_block(100);
        bool ran = core_interleave_end();
        if (!ran) break;
        core_require(block != NULL && taken != NULL);
        core_require((uintptr_t)block / SLOT_SIZE != (uintptr_t)taken / SLOT_SIZE);
        memset(block, 1, 100);
        memset(taken, 2, 100);
        core_require(block[0] == 1 && block[99] == 1);
        alloc_free(block);
        alloc_free(taken);
        check_all();
        for (uint32_t index = 1; index < ro.region->extent; index++)
            if (owner_kind(segment_at(index)->owner) == OWNER_SAMPLES)
                core_require(ro.samples->segments[0] == index || ro.samples->segments[1] == index);
    }
}
END_TEST

START_TEST(any_thread_may_free_one_also_after_its_maker_has_ended) {
    void *blocks[3];
    core_be(&other);
    for (unsigned i = 0; i < 3; i++) core_require(is_sample(blocks[i] = alloc_block(100)));
    core_end(&other);
    core_be(&owner);
    alloc_free(blocks[0]);
    alloc_free_sized(blocks[1], 100);
    struct core_thread ended = CORE_THREAD;
    core_begin(&ended);
    core_end(&ended);
    core_be(&ended);
    alloc_free(blocks[2]);
    core_be(&owner);
    for (unsigned i = 0; i < 3; i++) core_expect_free_report(REPORT_DOUBLE_FREE, blocks[0]);
}
END_TEST

/* --- A fork at each step ---------------------------------------------------------------------- */

static char *kept[4];
static unsigned forks;

static void use_in_child(void) {
    for (unsigned i = 0; i < 4; i++) core_require(core_is_live(kept[i]) && kept[i][0] == 7);
    for (unsigned turn = 0; turn < 2; turn++)
        for (unsigned i = 0; i < SAMPLE_SMALL; i++) {
            char *block = alloc_zeroed(100);
            for (unsigned at = 0; at < 100; at++) core_require(block[at] == 0);
            for (unsigned k = 0; k < 4; k++) core_require(block != kept[k]);
            memset(block, 1, 100);
            alloc_free(block);
            if (is_sample(block)) core_require(is_closed((uintptr_t)block));
        }
    check_all();
    for (unsigned i = 0; i < 4; i++) alloc_free(kept[i]);
    core_require(core_stats().samples <= 2); /* what the vanished thread had in hand */
    check_all();
}

static void fork_now(void) {
    uintptr_t *before = harness_thread_word();
    int status = 0;
    harness_set_atomic_hook(NULL);
    core_be(&other);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        use_in_child();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "the child ended with status 0x%x", (unsigned)status);
    harness_set_thread_word(before);
    forks++;
}

/* The thread at work vanishes: samples of others are whole, its own is free or whole, and no place
   is lost. */
START_TEST(a_thread_may_vanish_at_any_step_of_a_sample) {
    for (uint64_t step = 1;; step++) {
        start(_i < 2 ? "sample=1:region=1G" : "sample=1:region=1G:guards=mprotect");
        core_begin(&other);
        core_be(&owner);
        for (unsigned i = 0; i < 4; i++) (kept[i] = alloc_block(100))[0] = 7;
        subject = alloc_block(100);
        core_interleave(step, fork_now);
        if (_i % 2 == 0) alloc_free(subject);
        void *next = _i % 2 == 0 ? NULL : alloc_block(100);
        bool ran = core_interleave_end();
        core_be(&owner);
        alloc_free(next);
        if (_i % 2 != 0) alloc_free(subject);
        if (!ran) break;
    }
    ck_assert_uint_gt(forks, 5);
}
END_TEST

/* In a child the first use puts right what a thread left in the middle. */
START_TEST(what_was_on_its_way_is_settled_in_a_child) {
    char *live = alloc_block(100), *freeing = alloc_block(100), *freed = alloc_block(100);
    alloc_free(freed);
    core_require(sample_claim((uintptr_t)freeing));
    uint64_t *word = &ro.samples->words[3];
    *word = SAMPLE_TAKEN | (uint64_t)77 << SAMPLE_STATE_BITS;
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert_uint_eq(*word, SAMPLE_NEVER);
    ck_assert(!core_is_live(freeing) && is_closed((uintptr_t)freeing));
    ck_assert(core_is_live(live));
    memset(live, 1, 100);
    ck_assert_uint_eq(core_stats().samples, 1);
    core_expect_free_report(REPORT_DOUBLE_FREE, freeing);
}
END_TEST

/* Two threads were at one number: the one that came second had its segment still. */
START_TEST(a_segment_of_samples_that_came_second_is_taken_back_in_a_child) {
    uint32_t index;
    char *live = alloc_block(100);
    ck_assert(is_sample(live) && region_take(1, 1, &index));
    struct segment *segment = segment_at(index);
    segment->place = segment_of((uintptr_t)live)->place;
    segment->owner = OWNER_SAMPLES;
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert_uint_eq(segment->owner, OWNER_UNUSED);
    check_all();
    alloc_free(live);
}
END_TEST

/* A freed one that the kernel would not take back is a mapping of its own until it is closed. */
START_TEST(what_could_not_be_closed_still_counts_in_a_child) {
    start("sample=1:region=1G:guards=mprotect");
    char *block = alloc_block(100);
    size_t splits = ro.region->splits;
    harness_fail_from(HARNESS_ANY_CALL, 1);
    alloc_free(block);
    harness_fail_none();
    ck_assert_uint_eq(ro.region->splits, splits);
    *ro.fork_mark = FORK_WIPED;
    ck_assert(alloc_is_ready());
    ck_assert_uint_eq(ro.region->splits, splits);
    for (unsigned i = 0; i < SAMPLE_SMALL; i++) alloc_free(alloc_block(100));
    ck_assert_uint_eq(ro.region->splits, splits - 1);
    check_all();
}
END_TEST

/* --- The strict level ------------------------------------------------------------------------- */

START_TEST(at_the_strict_level_too) {
    start("sample=1:region=1G:level=strict");
    for (unsigned i = 0; i < SIZES; i++) {
        char *block = alloc_block(sizes[i]);
        expect_guarded(block, sizes[i]);
        block = alloc_resize(block, sizes[i] + 1);
        expect_guarded(block, sizes[i] + 1);
        alloc_free_sized(block, sizes[i] + 1);
        ck_assert(is_closed((uintptr_t)block));
    }
    check_all();
}
END_TEST

static void free_as_one_byte_more(void *block) { alloc_free_sized(block, 41); }

START_TEST(the_strict_level_knows_size_and_family_of_a_sample) {
    start("sample=1:region=1G:level=strict");
    void *block = alloc_block(40);
    ck_assert(is_sample(block));
    core_expect_report(REPORT_SIZE_MISMATCH, free_as_one_byte_more, block);
    start("sample=1:region=1G:level=strict");
    block = alloc_mark_family(alloc_block(40), FAMILY_NEW);
    ck_assert(is_sample(block));
    core_expect_free_report(REPORT_FAMILY_MISMATCH, block);
}
END_TEST

/* --- What samples may cost -------------------------------------------------------------------- */

static unsigned samples_of(unsigned blocks) {
    unsigned samples = 0;
    for (unsigned i = 0; i < blocks; i++) {
        void *block = alloc_block(5000);
        samples += is_sample(block);
        alloc_free(block);
    }
    return samples;
}

/* The clock stands still: making samples takes no time. */
START_TEST(with_auto_none_is_made_before_time_was_saved_for_it) {
    enum { BLOCKS = 60000, EXPECTED = BLOCKS / 1000 };
    start("sample=auto:region=1G");
    harness_fix_layout(9);
    uint64_t now = os_nanoseconds(), *not_before = &ro.samples->not_before;
    ck_assert_uint_gt(now, 1000000);
    unsigned samples = samples_of(BLOCKS);
    ck_assert_uint_ge(samples, EXPECTED / 2);
    ck_assert_uint_le(samples, EXPECTED * 2);
    atomic_store_relaxed(not_before, now + 1);
    ck_assert_uint_eq(samples_of(BLOCKS), 0);
    atomic_store_relaxed(not_before, now);
    ck_assert_uint_ge(samples_of(BLOCKS), EXPECTED / 2);
}
END_TEST

START_TEST(with_auto_two_hundred_times_what_a_sample_took_is_waited) {
    start("sample=auto:region=1G");
    harness_fix_layout(9);
    uint64_t now = sampling_clock(), *not_before = &ro.samples->not_before;
    ck_assert_uint_gt(now, 1000000);
    sampling_charge(now); /* took nothing */
    ck_assert_uint_eq(*not_before, 0);
    sampling_charge(now - 1000);
    ck_assert_uint_eq(*not_before, now - 1000 + 200 * 1000);
    sampling_charge(now - 50); /* another one at once: both are waited for */
    ck_assert_uint_eq(*not_before, now - 1000 + 200 * 1050);
    atomic_store_relaxed(not_before, now - 5000); /* time that was not used is not saved up */
    sampling_charge(now - 1000);
    ck_assert_uint_eq(*not_before, now - 1000 + 200 * 1000);
}
END_TEST

START_TEST(with_a_number_no_time_is_counted) {
    start("sample=1000:region=1G");
    harness_fix_layout(9);
    ck_assert_uint_eq(sampling_clock(), 0);
    sampling_charge(0);
    ck_assert_uint_eq(ro.samples->not_before, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sample");
    TCase *group = tcase_create("sample");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 120);
    tcase_add_loop_test(group, a_sample_has_pages_of_its_own_between_inaccessible_ones, 0, 2);
    tcase_add_test(group, it_lies_against_the_guard_before_it_or_behind_it);
    tcase_add_test(group, it_is_as_aligned_as_was_asked_for);
    tcase_add_test(group, calloc_gives_zeros_and_realloc_keeps_what_was_there);
    tcase_add_test(group, sized_frees_are_judged_as_of_the_block_that_it_is_in_place_of);
    tcase_add_test(group, the_place_that_was_freed_first_is_used_first);
    tcase_add_test(group, when_all_places_are_in_use_blocks_are_ordinary);
    tcase_add_test(group, one_in_so_many_is_one);
    tcase_add_test(group, where_there_is_no_room_for_them_there_are_none);
    tcase_add_test(group, a_byte_beside_a_sample_is_found_by_its_free);
    tcase_add_test(group, every_verb_knows_a_wrong_address);
    tcase_add_test(group, a_report_knows_who_allocated_and_who_freed);
    tcase_add_test(group, a_page_that_was_opened_is_closed_for_the_next_block);
    tcase_add_test(group, whatever_call_fails_there_is_a_block_or_none_and_all_is_well);
    tcase_add_test(group, what_could_not_be_closed_is_closed_before_it_is_used);
    tcase_add_test(group, places_work_without_the_markers_they_began_with);
    tcase_add_test(group, of_two_frees_one_wins_at_each_step);
    tcase_add_test(group, also_if_the_first_says_how_large_it_is);
    tcase_add_test(group, two_allocations_get_two_places_at_each_step);
    tcase_add_test(group, any_thread_may_free_one_also_after_its_maker_has_ended);
    tcase_add_loop_test(group, a_thread_may_vanish_at_any_step_of_a_sample, 0, 4);
    tcase_add_test(group, what_was_on_its_way_is_settled_in_a_child);
    tcase_add_test(group, a_segment_of_samples_that_came_second_is_taken_back_in_a_child);
    tcase_add_test(group, what_could_not_be_closed_still_counts_in_a_child);
    tcase_add_test(group, at_the_strict_level_too);
    tcase_add_test(group, the_strict_level_knows_size_and_family_of_a_sample);
    tcase_add_test(group, with_auto_none_is_made_before_time_was_saved_for_it);
    tcase_add_test(group, with_auto_two_hundred_times_what_a_sample_took_is_waited);
    tcase_add_test(group, with_a_number_no_time_is_counted);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
