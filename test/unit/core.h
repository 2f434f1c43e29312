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
#include "suite.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

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
void core_stop(void);
/* Nothing runs yet; the first call initialises with these options. */
void core_start(const char *options);
/* Initialised too. A small region (unless the options say otherwise) keeps walks over all of it
   short. */
void core_start_ready(const char *options);
/* The fixtures of most tests. */
void core_setup(void);
void core_teardown(void);

/* splitmix64: the same numbers in every run. */
uint64_t core_next(uint64_t *state);
size_t core_below(uint64_t *state, size_t bound);

/* ck_assert() tells the runner of each time it holds: too slow for a million. */
#define core_require(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg("%s", #condition);                                          \
    } while (0)

/* --- Reports as values ----------------------------------------------------------------------- */

/* The kind that the call reports, REPORT_KINDS if it returns. */
enum report_kind core_report_of(void (*call)(void *), void *argument);
/* The address that the last report named. */
extern uintptr_t core_address;

const char *core_kind_name(enum report_kind kind);
#define core_expect_report(kind, call, argument)                                                   \
    ck_assert_str_eq(core_kind_name(core_report_of((call), (argument))), core_kind_name(kind))

/* Calls for core_report_of(). */
void core_free(void *block);
void core_take(void *size); /* allocates as many bytes as the size_t at `size` says */
void core_check(void *unused);

#define core_expect_free_report(kind, block) core_expect_report((kind), core_free, (block))

/* --- Children -------------------------------------------------------------------------------- */

/* Waits for a forked child, which must end with status 0. */
void core_expect_good_end(pid_t child);
/* Runs in a child, which must come to its end. */
void core_in_child(void (*body)(void));

/* --- Virtual threads ------------------------------------------------------------------------- */

struct core_thread {
    uintptr_t word; /* its thread word: THREAD_NEW, its heap, or THREAD_ENDED */
};

#define CORE_THREAD ((struct core_thread){THREAD_NEW})

/* From now on the calling real thread is that virtual one; NULL: itself again. Those that take a
   thread become it and stay it. */
void core_be(struct core_thread *thread);
void core_check_as(struct core_thread *thread);
/* What the exit hook does. */
void core_end(struct core_thread *thread);
/* What the first allocation of a thread does. */
struct heap *core_begin(struct core_thread *thread);
void *core_alloc(struct core_thread *thread, size_t size);
void core_give(struct core_thread *thread, void *block);

struct heap *core_heap(const struct core_thread *thread);
struct stats core_stats(void);

/* --- Pages ----------------------------------------------------------------------------------- */

enum page_kind core_kind_of(const void *block);
struct page *core_page(const void *block);
struct segment *core_segment(const void *block);
size_t core_page_bytes(const struct page *page);
bool core_is_live(const void *block);
bool core_is_claimed(const void *block);
/* One after the other into `blocks` until the page of the first has no more; returns how many it
   has. */
size_t core_fill_page(struct core_thread *thread, size_t size, void **blocks, size_t capacity);

/* --- Interleavings --------------------------------------------------------------------------- */

/* `act` runs just before the access to a shared word number `step` (from 1) of what follows, or
   before the first one after it without a lock held: whoever else needed the lock would wait for
   ever. Its own accesses do not count. */
void core_interleave(uint64_t step, void (*act)(void));
/* Ends it; false: there were fewer accesses, and the action did not run. */
bool core_interleave_end(void);
/* Accesses since core_interleave(). */
extern uint64_t core_step;

#endif
