/*
 * core: what the unit tests of the allocator's files share.
 *
 * A fresh allocator with a fixed seed, reports as values, virtual threads (several thread words
 * played by one real thread, so that a test decides every interleaving), and actions that come
 * between any two accesses to shared words. Everything is for one test in one process (Check
 * forks); a report leaves the allocator by a jump, after which only core_start() may follow.
 */
#ifndef TEST_UNIT_CORE_H
#define TEST_UNIT_CORE_H

#include "alloc/alloc.h"
#include "harness/harness.h"
#include "report/report.h"
#include "process/init.h"
#include "process/state.h"
#include "alloc/stats.h"

#include <check.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CORE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CORE_SANITIZED 1
#endif
#endif
#ifndef CORE_SANITIZED
#define CORE_SANITIZED 0
#endif

/* --- The allocator, anew --------------------------------------------------------------------- */

/* Nothing is left of an allocator that ran before. */
static inline void core_stop(void) {
    harness_report_hook = NULL;
    harness_set_atomic_hook(NULL);
    harness_set_thread_word(NULL);
    harness_reset();
}

/* Nothing runs yet; the first call initialises with these options. */
static inline void core_start(const char *options) {
    core_stop();
    harness_set_seed(1);
    if (options != NULL)
        setenv("MOAT_OPTIONS", options, 1);
    else
        unsetenv("MOAT_OPTIONS");
}

/* Initialised too. A small region keeps walks over all of it short. */
static inline void core_start_ready(const char *options) {
    core_start(options != NULL ? options : "region=1G");
    ck_assert(init_once());
}

static inline void core_setup(void) { core_start_ready(NULL); }
static inline void core_teardown(void) { core_stop(); }

/* splitmix64: the same numbers in every run. */
static inline uint64_t core_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline size_t core_below(uint64_t *state, size_t bound) {
    return (size_t)(core_next(state) % bound);
}

/* ck_assert() tells the runner of each time it holds: too slow for a million. */
#define core_require(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg("%s", #condition);                                          \
    } while (0)

/* --- Reports as values ----------------------------------------------------------------------- */

static jmp_buf core_jump;
static enum report_kind core_kind;
static uintptr_t core_address;

static void core_hook(enum report_kind kind, uintptr_t address) {
    core_kind = kind;
    core_address = address;
    harness_report_hook = NULL;
    longjmp(core_jump, 1);
}

/* The kind that the call reports, REPORT_KINDS if it returns. */
static inline enum report_kind core_report_of(void (*call)(void *), void *argument) {
    uintptr_t *thread = harness_thread_word(), word = *thread;
    core_kind = REPORT_KINDS;
    core_address = 0;
    harness_report_hook = core_hook;
    if (setjmp(core_jump) == 0)
        call(argument);
    else
        *thread = word; /* the call did not come to an end: the thread would be busy for ever */
    harness_report_hook = NULL;
    return core_kind;
}

static inline const char *core_kind_name(enum report_kind kind) {
    return kind < REPORT_KINDS ? report_kind_name(kind) : "no report";
}

#define core_expect_report(kind, call, argument)                                                   \
    ck_assert_str_eq(core_kind_name(core_report_of((call), (argument))), core_kind_name(kind))

static void core_free(void *block) { alloc_free(block); }
static void core_take(void *size) { alloc_block(*(size_t *)size); }
static void core_check(void *unused) {
    (void)unused;
    check_all();
}

#define core_expect_free_report(kind, block) core_expect_report((kind), core_free, (block))

/* --- Virtual threads ------------------------------------------------------------------------- */

struct core_thread {
    uintptr_t word;
};

#define CORE_THREAD ((struct core_thread){THREAD_NEW})

/* From now on the calling real thread is that virtual one; NULL: itself again. */
static inline void core_be(struct core_thread *thread) {
    harness_set_thread_word(thread != NULL ? &thread->word : NULL);
}
static inline struct stats core_stats(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

static inline void core_check_as(struct core_thread *thread) {
    core_be(thread);
    check_all();
}

static inline struct heap *core_heap(const struct core_thread *thread) {
    return (struct heap *)thread->word;
}

/* What the exit hook does, and the first time a thread allocates. */
static inline void core_end(struct core_thread *thread) {
    core_be(thread);
    heap_thread_end(core_heap(thread));
    ck_assert_uint_eq(thread->word, THREAD_ENDED);
}
static inline struct heap *core_begin(struct core_thread *thread) {
    core_be(thread);
    struct heap *heap = heap_acquire();
    ck_assert_ptr_nonnull(heap);
    heap_release(heap);
    return heap;
}

static inline void *core_alloc(struct core_thread *thread, size_t size) {
    core_be(thread);
    void *block = alloc_block(size);
    ck_assert_ptr_nonnull(block);
    return block;
}
static inline void core_give(struct core_thread *thread, void *block) {
    core_be(thread);
    alloc_free(block);
}

/* --- Pages ----------------------------------------------------------------------------------- */

static inline enum page_kind core_kind_of(const void *block) {
    return owner_page_kind(atomic_load_relaxed(&segment_of((uintptr_t)block)->owner));
}
static inline struct page *core_page(const void *block) {
    return page_of((uintptr_t)block, core_kind_of(block));
}
static inline struct segment *core_segment(const void *block) {
    return segment_of((uintptr_t)block);
}
static inline size_t core_page_bytes(const struct page *page) {
    return segment_page_bytes(size_class_page_kind(page->size_class), page_slot(page));
}
static inline bool core_is_live(const void *block) {
    return (map_word_of((uintptr_t)block)->live & map_bit_of((uintptr_t)block)) != 0;
}
static inline bool core_is_claimed(const void *block) {
    return (map_word_of((uintptr_t)block)->claim & map_bit_of((uintptr_t)block)) != 0;
}

/* One after the other into `blocks` until the page of the first has no more; returns how many it
   has. */
static inline size_t core_fill_page(struct core_thread *thread, size_t size, void **blocks,
                                    size_t capacity) {
    blocks[0] = core_alloc(thread, size);
    struct page *page = core_page(blocks[0]);
    size_t count = 1;
    while (page_used(page) < page->capacity) {
        ck_assert_uint_lt(count, capacity);
        blocks[count] = core_alloc(thread, size);
        ck_assert_ptr_eq(core_page(blocks[count]), page);
        count++;
    }
    return count;
}

/* --- Interleavings --------------------------------------------------------------------------- */

/* Whether the code under test holds a lock now: whoever else needs it would wait until it is
   released. */
static inline bool core_lock_is_held(void) {
    return ro.heaps_max != 0 && (ro.pool->lock.word | ro.pool->late_lock.word | ro.huge->lock.word |
                                 ro.zero_size->lock.word | ro.region->lock.word) != 0;
}

/* Runs core_at_step just before the given atomic access (from 1) of the code under test, or before
   the first one after it without a lock held; its own accesses do not count. */
static uint64_t core_step, core_step_wanted;
static void (*core_at_step)(void);

static void core_step_hook(const volatile void *word) {
    (void)word;
    if (core_at_step == NULL || ++core_step < core_step_wanted || core_lock_is_held()) return;
    void (*act)(void) = core_at_step;
    core_at_step = NULL;
    act();
}
/* `act` runs before the access number `step` of what follows. */
static inline void core_interleave(uint64_t step, void (*act)(void)) {
    core_step = 0;
    core_step_wanted = step;
    core_at_step = act;
    harness_set_atomic_hook(core_step_hook);
}
/* Ends it; false: there were fewer accesses, and the action did not run. */
static inline bool core_interleave_end(void) {
    bool ran = core_at_step == NULL;
    core_at_step = NULL;
    harness_set_atomic_hook(NULL);
    return ran;
}

/* --- A Check program ------------------------------------------------------------------------- */

static inline int core_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Keeps what a program does not use from being a warning. */
static inline void core_unused(void) {
    (void)core_hook;
    (void)core_free;
    (void)core_take;
    (void)core_check;
    (void)core_step_hook;
}

#endif
