/*
 * core: what the unit tests of the allocator's files share. See the header.
 *
 * All of its state is of the one test that runs in this process. Two hooks of the harness are its
 * own while a test uses it: the one for reports, set within core_report_of() alone, and the one for
 * accesses to shared words, set from core_interleave() to core_interleave_end().
 */
#include "core.h"

#include <setjmp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- The allocator, anew --------------------------------------------------------------------- */

void core_stop(void) {
    harness_report_hook = NULL;
    harness_set_atomic_hook(NULL);
    harness_set_thread_word(NULL);
    harness_reset();
}

void core_start(const char *options) {
    core_stop();
    harness_set_seed(1);
    /* a kernel that takes the advice and does nothing */
    if (getenv("MOAT_TEST_WITHOUT_MARKERS") != NULL) harness_ignore_markers();
    if (options != NULL)
        setenv("MOAT_OPTIONS", options, 1);
    else
        unsetenv("MOAT_OPTIONS");
}

void core_start_ready(const char *options) {
    core_start(options != NULL ? options : "region=1G");
    ck_assert(init_once());
}

void core_setup(void) { core_start_ready(NULL); }
void core_teardown(void) { core_stop(); }

uint64_t core_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t core_below(uint64_t *state, size_t bound) { return (size_t)(core_next(state) % bound); }

/* --- Reports as values ----------------------------------------------------------------------- */

uintptr_t core_address;

static jmp_buf jump;
static enum report_kind reported;

static void on_report(enum report_kind kind, uintptr_t address) {
    reported = kind;
    core_address = address;
    harness_report_hook = NULL;
    longjmp(jump, 1);
}

enum report_kind core_report_of(void (*call)(void *), void *argument) {
    uintptr_t *thread = harness_thread_word(), word = *thread;
    reported = REPORT_KINDS;
    core_address = 0;
    harness_report_hook = on_report;
    if (setjmp(jump) == 0)
        call(argument);
    else
        *thread = word; /* the call did not come to an end: the thread would be busy for ever */
    harness_report_hook = NULL;
    return reported;
}

const char *core_kind_name(enum report_kind kind) {
    return kind < REPORT_KINDS ? report_kind_name(kind) : "no report";
}

void core_free(void *block) { alloc_free(block); }
void core_take(void *size) { alloc_block(*(size_t *)size); }
void core_check(void *unused) {
    (void)unused;
    check_all();
}

/* --- Children -------------------------------------------------------------------------------- */

void core_expect_good_end(pid_t child) {
    int status = 0;
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status 0x%x",
                  (unsigned)status);
}

void core_in_child(void (*body)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    core_expect_good_end(child);
}

/* --- Virtual threads ------------------------------------------------------------------------- */

void core_be(struct core_thread *thread) {
    harness_set_thread_word(thread != NULL ? &thread->word : NULL);
}

struct stats core_stats(void) {
    struct stats stats;
    stats_collect(&stats);
    return stats;
}

void core_check_as(struct core_thread *thread) {
    core_be(thread);
    check_all();
}

struct heap *core_heap(const struct core_thread *thread) {
    return (struct heap *)thread->word;
}

void core_end(struct core_thread *thread) {
    core_be(thread);
    heap_thread_end(core_heap(thread));
    core_require(thread->word == THREAD_ENDED);
}

struct heap *core_begin(struct core_thread *thread) {
    core_be(thread);
    struct heap *heap = heap_acquire();
    core_require(heap != NULL);
    heap_release(heap);
    return heap;
}

void *core_alloc(struct core_thread *thread, size_t size) {
    core_be(thread);
    void *block = alloc_block(size);
    core_require(block != NULL);
    return block;
}

void core_give(struct core_thread *thread, void *block) {
    core_be(thread);
    alloc_free(block);
}

/* --- Pages ----------------------------------------------------------------------------------- */

enum page_kind core_kind_of(const void *block) {
    return owner_page_kind(atomic_load_relaxed(&segment_of((uintptr_t)block)->owner));
}

struct page *core_page(const void *block) {
    return page_of((uintptr_t)block, core_kind_of(block));
}

struct segment *core_segment(const void *block) {
    return segment_of((uintptr_t)block);
}

size_t core_page_bytes(const struct page *page) {
    return segment_page_bytes(page_segment(page), size_class_page_kind(page->size_class),
                              page_slot(page));
}

bool core_is_live(const void *block) {
    return (map_word_of((uintptr_t)block)->live & map_bit_of((uintptr_t)block)) != 0;
}

bool core_is_claimed(const void *block) {
    return (map_word_of((uintptr_t)block)->claim & map_bit_of((uintptr_t)block)) != 0;
}

size_t core_fill_page(struct core_thread *thread, size_t size, void **blocks, size_t capacity) {
    blocks[0] = core_alloc(thread, size);
    struct page *page = core_page(blocks[0]);
    size_t count = 1;
    while (page_used(page) < page->capacity) {
        core_require(count < capacity);
        blocks[count] = core_alloc(thread, size);
        core_require(core_page(blocks[count]) == page);
        count++;
    }
    return count;
}

/* --- Interleavings --------------------------------------------------------------------------- */

/* Whether the code under test holds a lock now: whoever else needs it would wait until it is
   released. */
static bool a_lock_is_held(void) {
    uint32_t held = 0;
    for (unsigned i = 0; ro.heaps_max != 0 && i < LOCKS; i++) held |= ro.locks[i].word;
    return held != 0;
}

uint64_t core_step;

static uint64_t step_wanted;
static void (*at_step)(void);

static void step_hook(const volatile void *word) {
    (void)word;
    if (at_step == NULL || ++core_step < step_wanted || a_lock_is_held()) return;
    void (*act)(void) = at_step;
    at_step = NULL;
    act();
}

void core_interleave(uint64_t step, void (*act)(void)) {
    core_step = 0;
    step_wanted = step;
    at_step = act;
    harness_set_atomic_hook(step_hook);
}

bool core_interleave_end(void) {
    bool ran = at_step == NULL;
    at_step = NULL;
    harness_set_atomic_hook(NULL);
    return ran;
}

/* --- A Check program ------------------------------------------------------------------------- */
