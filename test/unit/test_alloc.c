/*
 * test_alloc: the verbs (src/alloc/alloc.h): contents, sizes and alignment against a model,
 * arithmetic at the limits, sized frees, and a mixed workload with each system call failing in
 * turn.
 */
#define _GNU_SOURCE
#include "core.h"

#include <sys/mman.h>

#include <errno.h>

static struct core_thread owner, other;

static void setup(void) {
    core_setup();
    owner = other = CORE_THREAD;
}

static struct stats look(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

/* --- The model ------------------------------------------------------------------------------- */

enum { SLOTS = 200 };

/* What the model knows of one block; size 0 with a block: zero-size. */
struct slot {
    unsigned char *block;
    size_t size, usable, alignment;
    unsigned char seed;
};

struct model {
    struct slot slots[SLOTS];
    struct core_thread threads[2];
    uint64_t random;
    unsigned refused; /* requests that got NULL */
};

static unsigned char expected_byte(const struct slot *slot, size_t at) {
    return (unsigned char)(slot->seed + at * 7 + (at >> 9));
}

/* The positions that are written and compared: all of a small block; of a large one some of each of
   its first OS pages, then of every third or fourth (a run's time goes into page faults), and the
   last usable byte. */
static size_t next_position(size_t at, size_t usable) {
    size_t next = usable <= 4096 ? at + 1 : at < 64 * KIB ? at + 509 : at + 14009;
    return at + 1 < usable && next >= usable ? usable - 1 : next;
}

static void model_fill(struct slot *slot) {
    for (size_t at = 0; at < slot->usable; at = next_position(at, slot->usable))
        slot->block[at] = expected_byte(slot, at);
}

static void model_compare(const struct slot *slot, size_t length) {
    for (size_t at = 0; at < slot->usable && at < length; at = next_position(at, slot->usable))
        core_require(slot->block[at] == expected_byte(slot, at));
}

static void model_no_overlap(const struct model *model, const struct slot *slot) {
    for (const struct slot *s = model->slots; s < model->slots + SLOTS; s++) {
        if (s == slot || s->block == NULL) continue;
        size_t length = s->usable != 0 ? s->usable : GRANULE,
               own = slot->usable != 0 ? slot->usable : GRANULE;
        core_require(s->block + length <= slot->block || slot->block + own <= s->block);
    }
}

static size_t some_size(uint64_t *random) {
    static const size_t limits[] = {1, 17, 129, 1025, 8 * KIB + 1, 64 * KIB + 1, MIB + 1, 6 * MIB};
    return core_below(random, limits[core_below(random, core_below(random, 4) == 0 ? 8 : 6)]);
}

static void model_adopt(struct model *model, struct slot *slot, void *block, size_t size,
                        size_t alignment) {
    slot->block = block;
    slot->size = size;
    slot->alignment = alignment;
    slot->usable = alloc_usable_size(block);
    slot->seed = (unsigned char)core_next(&model->random);
    core_require(slot->usable >= size && (size != 0 || slot->usable == 0));
    core_require(slot->usable == size || !ro_is_strict());
    core_require((uintptr_t)block % (alignment > GRANULE ? alignment : GRANULE) == 0);
    model_no_overlap(model, slot);
}

static void model_allocate(struct model *model, struct slot *slot) {
    size_t size = some_size(&model->random), alignment = 1, what = core_below(&model->random, 3);
    if (what == 2 && size != 0)
        alignment =
            (size_t)1 << core_below(&model->random, core_below(&model->random, 8) == 0 ? 23 : 13);
    void *block = what == 0   ? alloc_block(size)
                  : what == 1 ? alloc_zeroed(size)
                              : alloc_aligned(alignment, size);
    if (block == NULL) {
        model->refused++;
        return;
    }
    model_adopt(model, slot, block, size, alignment);
    if (what == 1)
        for (size_t at = 0; at < slot->size; at = next_position(at, slot->usable))
            core_require(slot->block[at] == 0);
    model_fill(slot);
}

static void model_free(struct model *model, struct slot *slot) {
    model_compare(slot, SIZE_MAX);
    size_t how = core_below(&model->random, 3);
    if (how == 0)
        alloc_free(slot->block);
    else if (how == 1 && slot->alignment <= GRANULE)
        alloc_free_sized(slot->block, slot->size);
    else
        alloc_free_aligned_sized(slot->block, slot->alignment, slot->size, FAMILY_MALLOC);
    slot->block = NULL;
}

static void model_resize(struct model *model, struct slot *slot) {
    size_t size = some_size(&model->random), common = slot->size < size ? slot->size : size;
    void *block = alloc_resize(slot->block, size);
    if (block == NULL) {
        model->refused++;
        core_require(alloc_usable_size(slot->block) == slot->usable); /* untouched */
        model_compare(slot, SIZE_MAX);
        return;
    }
    struct slot moved = *slot;
    moved.block = block;
    moved.usable = common; /* what must have been kept */
    for (size_t at = 0; at < common; at++)
        core_require(at % 13 != 0 || slot->usable > 4096 ||
                     moved.block[at] == expected_byte(slot, at));
    if (common > 0 && slot->usable > 4096) core_require(moved.block[0] == expected_byte(slot, 0));
    model_adopt(model, slot, block, size, 1);
    model_fill(slot);
}

static void model_step(struct model *model) {
    struct slot *slot = &model->slots[core_below(&model->random, SLOTS)];
    if (core_below(&model->random, 8) == 0) core_be(&model->threads[core_below(&model->random, 2)]);
    size_t what = core_below(&model->random, 100);
    if (slot->block == NULL)
        model_allocate(model, slot);
    else if (what < 60)
        model_free(model, slot);
    else if (what < 90)
        model_resize(model, slot);
    else
        model_compare(slot, SIZE_MAX);
}

/* Everything freed by whoever, then given back. */
static void model_end(struct model *model) {
    for (struct slot *slot = model->slots; slot < model->slots + SLOTS; slot++) {
        if (slot->block == NULL) continue;
        core_be(&model->threads[core_below(&model->random, 2)]);
        model_free(model, slot);
    }
    /* a second time for what one has let out of quarantine after the other had collected */
    for (unsigned i = 0; i < 4; i++) {
        core_be(&model->threads[i % 2]);
        alloc_collect(true);
        check_all();
    }
    ck_assert_uint_eq(look().used_blocks, 0);
}

static struct model *model_new(uint64_t seed) {
    static struct model model;
    model = (struct model){.random = seed, .threads = {CORE_THREAD, CORE_THREAD}};
    core_be(&model.threads[0]);
    return &model;
}

/* --- A machine without total store order ----------------------------------------------------- */

/* A word whose loads see what it was before it was written, until a barrier. */
static struct {
    const volatile void *word;
    bool ends, now; /* barriers are believed; for the load that comes */
} early;

static void early_step(const struct atomic_site *site, const volatile void *word, unsigned size) {
    (void)size;
    early.now = word != NULL && word == early.word && site->kind == ATOMIC_LOAD;
}

static uint64_t early_loaded(uint64_t newest) {
    if (!early.now) return newest;
    early.now = false;
    return 0;
}

static void early_tried(bool exchanged) { (void)exchanged; }
static void early_wait(void) {}
static void early_sleep(const volatile void *word) { (void)word; }
static void early_wake(const volatile void *word, unsigned count) {
    (void)word;
    (void)count;
}
static void early_barrier(void) {
    if (early.ends) early.word = NULL;
}

static const struct harness_scheduler weak_machine = {
    early_step, early_loaded, early_tried, early_wait, early_sleep, early_wake, early_barrier};

static void measure_handed_over(void *block) { (void)alloc_usable_size(block); }

/* A block comes to a thread by means that the allocator does not see, and the owner word of its
   segment after it: one look that finds nothing there is no proof, a second behind a barrier is. */
START_TEST(an_owner_word_that_comes_late_is_waited_for) {
    static void (*const acts[])(void *) = {core_free, measure_handed_over};
    static const size_t sizes[] = {100, 20 * KIB, 300 * KIB, 3 * MIB, 0};
    for (unsigned act = 0; act < 2; act++)
        for (unsigned size = 0; size < 5; size++)
            for (unsigned ends = 0; ends <= 1; ends++) {
                void *block = core_alloc(&other, sizes[size]);
                core_be(&owner);
                early.word = &segment_of((uintptr_t)block)->owner;
                early.ends = ends;
                harness_set_scheduler(&weak_machine);
                enum report_kind kind = core_report_of(acts[act], block);
                harness_set_scheduler(NULL);
                ck_assert_msg((kind == REPORT_KINDS) == ends, "act %u, size %zu, barrier %u: %s",
                              act, sizes[size], ends, core_kind_name(kind));
                if (act == 1 || !ends) core_give(&owner, block);
            }
}
END_TEST

static void agree(uint64_t seed) {
    struct model *model = model_new(seed);
    for (unsigned step = 0; step < 8000; step++) {
        model_step(model);
        if (step % 200 == 0) check_all();
        if (step % 500 == 499) harness_clock_advance(150);
    }
    ck_assert_uint_eq(model->refused, 0);
    model_end(model);
    ck_assert_uint_eq(ro.region->committed, 0);
}

START_TEST(blocks_agree_with_a_model) { agree((uint64_t)_i); }
END_TEST

START_TEST(at_the_strict_level_too) {
    static const char *const options[] = {"level=strict:region=4G", "level=strict:region=1G",
                                          "level=strict:region=4G:guards=mprotect",
                                          "level=strict:region=4G:quarantine=0"};
    core_start_ready(options[_i % 4]);
    agree((uint64_t)_i);
}
END_TEST

/* --- Failures -------------------------------------------------------------------------------- */

/* A workload that reaches every system call: growth, huge blocks made, resized, moved and freed,
   purges, a thread's end. */
static void workload(void) {
    struct model *model = model_new(77);
    for (unsigned step = 0; step < 400; step++) {
        model_step(model);
        if (step % 40 == 39) harness_clock_advance(200);
        if (step % 100 == 99) {
            struct core_thread brief = CORE_THREAD;
            core_be(&brief);
            void *block = alloc_block(3000), *huge = alloc_block(3 * MIB);
            void *moved = huge != NULL ? alloc_resize(huge, 30 * MIB) : NULL;
            alloc_free(moved != NULL ? moved : huge);
            if (is_heap(brief.word)) core_end(&brief);
            core_be(&model->threads[0]);
            alloc_free(block);
            alloc_collect(step % 200 == 199);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        core_be(&model->threads[i]);
        check_all();
    }
    harness_fail_none();
    model_end(model);
    core_be(NULL);
}

/* True if the failure was met. */
static bool workload_with_failure(enum os_call kind, uint64_t n, bool for_long,
                                  const char *options) {
    core_start(options);
    if (for_long) {
        harness_fail_from(kind, n);
        harness_fail_budget(6);
    } else {
        harness_fail_nth(kind, n);
    }
    workload();
    bool met = harness_failures() > 0;
    void *block = alloc_block(100);
    ck_assert_ptr_nonnull(block);
    alloc_free(block);
    core_stop();
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
    return met;
}

static const enum os_call swept[] = {OS_RESERVE, OS_RELEASE, OS_COMMIT, OS_DECOMMIT, OS_PROTECT,
                                     OS_PURGE,   OS_GUARD,   OS_REMAP,  OS_SEAL};

START_TEST(each_system_call_failing_in_turn_leaves_everything_in_order) {
    enum os_call kind = swept[_i];
    uint64_t n = 1; /* under a sanitizer a sample of the later ones */
    for (; workload_with_failure(kind, n, false, "region=1G");
         n += n < 10 || !CORE_SANITIZED ? 1 : 9)
        ck_assert_uint_lt(n, 3000);
    /* was met */
    if (kind == OS_COMMIT || kind == OS_DECOMMIT || kind == OS_REMAP || kind == OS_PURGE)
        ck_assert_uint_gt(n, 1);
}
END_TEST

START_TEST(so_does_each_at_the_strict_level) {
    enum os_call kind = swept[_i];
    for (uint64_t n = 1;
         n < 3000 && workload_with_failure(kind, n, false, "level=strict:region=1G");
         n += n < 10 ? 1 : 11)
        continue;
}
END_TEST

START_TEST(calls_that_fail_for_a_while_leave_everything_in_order) {
    enum os_call kind = swept[_i];
    for (uint64_t n = 1;
         n < 2000 && workload_with_failure(kind, n, true, "region=1G:guards=mprotect"); n += 7)
        continue;
}
END_TEST

START_TEST(at_a_memory_limit_requests_are_refused_and_state_is_kept) {
    for (unsigned i = 0; i < 8; i++) {
        core_start_ready("region=1G");
        harness_limit_committed(harness_committed_bytes() + i * 3 * MIB);
        struct model *model = model_new(i);
        for (unsigned step = 0; step < 2000; step++) model_step(model);
        check_all();
        if (i < 3) ck_assert_uint_gt(model->refused, 0);
        harness_fail_none();
        model_end(model);
    }
}
END_TEST

/* --- Arithmetic ------------------------------------------------------------------------------ */

START_TEST(sizes_near_every_limit_are_served_or_refused) {
    static const size_t limits[] = {LINEAR_MAX, DIRECT_MAX,   SMALL_MAX, MEDIUM_MAX,
                                    LARGE_MAX,  SEGMENT_SIZE, 64 * MIB};
    core_be(&owner);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (size_t size = limits[i] - 2; size <= limits[i] + 2; size++) {
            char *block = alloc_block(size);
            core_require(block != NULL && alloc_usable_size(block) >= size);
            block[0] = block[size - 1] = 1;
            alloc_free_sized(block, size);
        }
    for (size_t back = 0; back < 70000; back += 7) {
        core_require(alloc_block(SIZE_MAX - back) == NULL);
        core_require(alloc_block((size_t)PTRDIFF_MAX + 1 + back) == NULL);
        core_require(alloc_block((size_t)PTRDIFF_MAX - back) == NULL);
        core_require(alloc_zeroed(SIZE_MAX - back) == NULL);
        core_require(alloc_aligned(ALIGN_MAX >> back % 30, SIZE_MAX - back) == NULL);
    }
    void *block = alloc_block(100);
    ck_assert_ptr_null(alloc_resize(block, SIZE_MAX));
    ck_assert_ptr_null(alloc_resize(block, (size_t)PTRDIFF_MAX + 1));
    ck_assert_uint_eq(alloc_usable_size(block), 112);
    check_all();
}
END_TEST

START_TEST(every_alignment_is_kept_for_every_size) {
    core_start_ready("region=8G");
    owner = CORE_THREAD;
    core_be(&owner);
    static const size_t sizes[] = {1,    15,    16,     17,        100,          1000,
                                   5000, 60000, 300000, LARGE_MAX, LARGE_MAX + 1};
    for (size_t alignment = 1; alignment <= 64 * MIB; alignment *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *blocks[5];
            for (unsigned k = 0; k < 5; k++) {
                blocks[k] = alloc_aligned(alignment, sizes[i]);
                core_require(blocks[k] != NULL && (uintptr_t)blocks[k] % alignment == 0);
                core_require(alloc_usable_size(blocks[k]) >= sizes[i]);
                memset(blocks[k], (int)k, sizes[i]);
            }
            for (unsigned k = 0; k < 5; k++) {
                core_require(blocks[k][0] == (char)k && blocks[k][sizes[i] - 1] == (char)k);
                alloc_free_aligned_sized(blocks[k], alignment, sizes[i], FAMILY_MALLOC);
            }
        }
    check_all();
}
END_TEST

START_TEST(a_resize_within_the_class_stays_and_others_move_the_contents) {
    core_be(&owner);
    for (uint32_t size_class = 1; size_class < SIZE_CLASSES; size_class += 5) {
        size_t size = size_class_bytes(size_class), least = size_class_bytes(size_class - 1) + 1;
        unsigned char *block = alloc_block(size);
        memset(block, 0x5a, size);
        ck_assert_ptr_eq(alloc_resize(block, least), block);
        ck_assert_ptr_eq(alloc_resize(block, size), block);
        unsigned char *moved = alloc_resize(block, least - 1);
        ck_assert_ptr_ne(moved, block);
        for (size_t at = 0; at < least - 1; at++) core_require(moved[at] == 0x5a);
        ck_assert(!core_is_live(block));
        moved = alloc_resize(moved, size + 1);
        for (size_t at = 0; at < least - 1; at++) core_require(moved[at] == 0x5a);
        alloc_free_sized(moved, size + 1);
    }
    check_all();
}
END_TEST

START_TEST(zeroed_memory_is_zero_however_often_it_was_used) {
    static const size_t sizes[] = {16, 100, 1024, 1025, 5000, 50000, 500000, 3 * MIB};
    core_be(&owner);
    for (unsigned round = 0; round < 64; round++) {
        size_t size = sizes[round % 8];
        unsigned char *blocks[4];
        for (unsigned i = 0; i < 4; i++) {
            blocks[i] = alloc_zeroed(size);
            core_require(blocks[i] != NULL);
            for (size_t at = 0; at < size; at++)
                if (blocks[i][at] != 0) ck_abort_msg("size %zu, byte %zu", size, at);
            memset(blocks[i], 0xff, alloc_usable_size(blocks[i]));
        }
        for (unsigned i = 0; i < 4; i++) alloc_free(blocks[i]);
        if (round % 16 == 7) alloc_collect(round % 32 == 7);
    }
}
END_TEST

/* Medium pages are not filled while their blocks were never used. A link that names a used one,
   free but on the other list, must not pass for such. */
START_TEST(a_forged_link_does_not_make_calloc_show_what_was_freed) {
    size_t size = 9 * KIB;
    core_alloc(&owner, size);
    unsigned char *secret = core_alloc(&owner, size);
    memset(secret, 'S', size);
    core_give(&owner, secret);
    struct page *page = core_page(secret);
    ck_assert(page->never_reused && page->free_count > 0);
    uintptr_t head = page->free;
    freelist_store(head, freelist_encode((uintptr_t)secret, page->secret, head));
    core_require((uintptr_t)alloc_zeroed(size) == head);
    unsigned char *again = alloc_zeroed(size);
    ck_assert_ptr_eq(again, secret);
    for (size_t at = 0; at < size; at++) core_require(again[at] == 0);
}
END_TEST

/* Blocks are freed, their memory goes back to the kernel, dangling pointers write into it. */
START_TEST(calloc_is_zero_whatever_was_written_into_free_memory) {
    static const size_t sizes[] = {9 * KIB, 20 * KIB, 100 * KIB, MIB, 3 * MIB};
    enum { COUNT = 40 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        volatile char *dangling[COUNT];
        for (int k = 0; k < COUNT; k++) {
            dangling[k] = core_alloc(&owner, sizes[i]);
            memset((char *)dangling[k], 'A', sizes[i]);
        }
        for (int k = 1; k < COUNT; k++) core_give(&owner, (void *)dangling[k]);
        harness_clock_advance(20);
        alloc_trim();
        for (int k = 1; k < COUNT; k++)
            for (size_t at = 16; at < sizes[i]; at += 3000) {
                enum harness_state state = harness_range_state((uintptr_t)dangling[k] + at);
                if (state == HARNESS_COMMITTED) dangling[k][at] = 'U';
            }
        for (int k = 0; k < COUNT; k++) {
            core_be(&owner);
            const char *block = alloc_zeroed(sizes[i]);
            core_require(block != NULL);
            for (size_t at = 0; at < sizes[i]; at++) core_require(block[at] == 0);
        }
    }
}
END_TEST

/* What is mapped over a block stays there when it is freed: zeros by the kernel are for what nobody
   had before. */
START_TEST(calloc_is_zero_where_the_program_had_mapped_something_else) {
    static const size_t sizes[] = {100 * KIB, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = core_alloc(&owner, sizes[i]);
        char *inside = (char *)round_up((uintptr_t)block, ro.os_page) + ro.os_page;
        core_require(mmap(inside, 8 * ro.os_page, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == inside);
        memset(inside, 'S', 8 * ro.os_page);
        core_give(&owner, block);
        for (int k = 0; k < 50; k++) {
            const char *zero = alloc_zeroed(sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++) core_require(zero[at] == 0);
        }
    }
}
END_TEST

static void free_as_16(void *block) { alloc_free_sized(block, 16); }

/* Zeros are what an overflow writes most often, and what the tables hold of segments that nobody
   uses. */
START_TEST(a_thread_word_of_zero_reads_nothing_that_is_not_there) {
    char *block = core_alloc(&owner, 48);
    for (size_t away = 1; away < 1000; away += away) {
        char *stray = (char *)round_down((uintptr_t)block, SEGMENT_SIZE) + away * SEGMENT_SIZE + 64;
        if (!region_contains((uintptr_t)stray)) stray -= ro.region_span / 2;
        owner.word = 0;
        core_expect_free_report(REPORT_INVALID_FREE, stray);
        owner.word = 0;
        core_expect_report(REPORT_INVALID_FREE, free_as_16, stray);
    }
}
END_TEST

/* Entries of the table of local heaps that name nobody hold 0 too: that is no reason to take a page
   for one's own. */
START_TEST(a_thread_word_of_zero_owns_nothing) {
    void *first = core_alloc(&owner, 20 * KIB), *second = core_alloc(&owner, 20 * KIB);
    /* beyond the page's first slot */
    for (unsigned i = 0; i < 8; i++) second = core_alloc(&owner, 20 * KIB);
    ck_assert_uint_ge((size_t)((char *)second - (char *)core_page(second)->start), SLOT_SIZE);
    struct core_thread nobody = {0};
    core_be(&nobody);
    void *block = _i == 0 ? first : second;
    core_expect_free_report(REPORT_CORRUPT_METADATA, block);
    ck_assert(core_is_claimed(block)); /* a remote free */
}
END_TEST

START_TEST(errno_is_kept_by_everything_that_frees) {
    static const size_t sizes[] = {0, 100, 30000, 300000, 3 * MIB};
    for (size_t i = 0; i < 5; i++) {
        void *mine = core_alloc(&owner, sizes[i]), *theirs = core_alloc(&other, sizes[i]);
        core_be(&owner);
        errno = 4711;
        alloc_free(mine);
        alloc_free(theirs);
        alloc_free(NULL);
        alloc_collect(true);
        ck_assert_int_eq(errno, 4711);
    }
    core_be(&owner);
    errno = 4712;
    harness_fail_from(HARNESS_ANY_CALL, 1);
    (void)alloc_block(3 * MIB);
    alloc_collect(true);
    ck_assert_int_eq(errno, 4712);
}
END_TEST

/* --- Misuse that the verbs see themselves ---------------------------------------------------- */

static void free_as_other(void *block) { core_give(&other, block); }
static void free_as_owner(void *block) { core_give(&owner, block); }

/* Second frees in every order of threads are reported at once, for every kind of block. */
START_TEST(a_second_free_is_reported_by_whomever_it_is_made) {
    static const size_t sizes[] = {48, 4 * KIB, 40 * KIB, 400 * KIB, 4 * MIB, 0};
    static void (*const verbs[])(void *) = {free_as_owner, free_as_other};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned pair = 0; pair < 4; pair++) {
            setup();
            core_begin(&other);
            void *block = core_alloc(&owner, sizes[i]);
            core_alloc(&owner, sizes[i]);
            verbs[pair / 2](block);
            /* the freed memory is not asked */
            if (sizes[i] != 0 && sizes[i] < MIB) memset(block, 0x41, sizes[i]);
            core_expect_report(REPORT_DOUBLE_FREE, verbs[pair % 2], block);
            ck_assert_uint_eq(core_address, (uintptr_t)block);
        }
}
END_TEST

static size_t wrong_size;
static void free_wrongly(void *block) { alloc_free_sized(block, wrong_size); }

START_TEST(a_sized_free_must_lead_to_the_blocks_size) {
    static const size_t sizes[] = {1,        100,       1024,          8 * KIB, 9000,
                                   64 * KIB, LARGE_MAX, LARGE_MAX + 1, 5 * MIB, 0};
    core_be(&owner);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t usable = size_class_bytes(size_class_of(sizes[i] != 0 ? sizes[i] : 1));
        const size_t wrong[] = {0,           1,       sizes[i] / 2, 2 * usable + 1, usable + 4097,
                                PTRDIFF_MAX, SIZE_MAX};
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            wrong_size = wrong[k];
            if (wrong_size == sizes[i] || (i == 0 && k == 1) ||
                (sizes[i] <= 2 && wrong_size <= 16 && wrong_size != 0))
                continue;
            setup();
            core_be(&owner);
            void *block = alloc_block(sizes[i]);
            if (sizes[i] == 0 && wrong_size == 0) continue;
            enum report_kind kind = core_report_of(free_wrongly, block);
            ck_assert_msg(kind == REPORT_SIZE_MISMATCH, "block of %zu freed as %zu: %s", sizes[i],
                          wrong_size, core_kind_name(kind));
        }
        setup();
        core_be(&owner);
        alloc_free_sized(alloc_block(sizes[i]), sizes[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("alloc");
    TCase *group = tcase_create("alloc");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 100);
    tcase_add_test(group, an_owner_word_that_comes_late_is_waited_for);
    tcase_add_loop_test(group, blocks_agree_with_a_model, 0, 6);
    tcase_add_loop_test(group, at_the_strict_level_too, 0, 8);
    tcase_add_loop_test(group, each_system_call_failing_in_turn_leaves_everything_in_order, 0,
                        (int)(sizeof swept / sizeof *swept));
    tcase_add_loop_test(group, so_does_each_at_the_strict_level, 0,
                        (int)(sizeof swept / sizeof *swept));
    tcase_add_loop_test(group, calls_that_fail_for_a_while_leave_everything_in_order, 0,
                        (int)(sizeof swept / sizeof *swept));
    tcase_add_test(group, at_a_memory_limit_requests_are_refused_and_state_is_kept);
    tcase_add_test(group, sizes_near_every_limit_are_served_or_refused);
    tcase_add_test(group, every_alignment_is_kept_for_every_size);
    tcase_add_test(group, a_resize_within_the_class_stays_and_others_move_the_contents);
    tcase_add_test(group, zeroed_memory_is_zero_however_often_it_was_used);
    tcase_add_test(group, calloc_is_zero_whatever_was_written_into_free_memory);
    tcase_add_test(group, calloc_is_zero_where_the_program_had_mapped_something_else);
    tcase_add_test(group, a_forged_link_does_not_make_calloc_show_what_was_freed);
    tcase_add_test(group, a_thread_word_of_zero_reads_nothing_that_is_not_there);
    tcase_add_loop_test(group, a_thread_word_of_zero_owns_nothing, 0, 2);
    tcase_add_test(group, errno_is_kept_by_everything_that_frees);
    tcase_add_test(group, a_second_free_is_reported_by_whomever_it_is_made);
    tcase_add_test(group, a_sized_free_must_lead_to_the_blocks_size);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
