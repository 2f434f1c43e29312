/*
 * controls_rest_main: for each oracle of children, of waiting, of memory, of rest and of arguments
 * one planted bug that must be found.
 *
 *   fuzz_controls_rest [NAME...]
 *
 * As controls_main.c, in front of moat and on the inputs that a search would try. The test
 * fuzz.controls_rest. Exit status: 0; 1.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "engine/calls.h"
#include "engine/control.h"
#include "engine/crew.h"
#include "engine/dispatch.h"
#include "engine/mutate.h"
#include "engine/named.h"
#include "engine/program.h"
#include "engine/team.h"
#include "engine/two_locks.h"
#include "engine/wanted.h"
#include "harness/harness.h"
#include "heap/heap.h"
#include "heap/sample.h"
#include "heap/usage.h"
#include "os/os.h"

enum { NOW_AND_THEN = 7, INPUTS_MAX = 20000, THREADS = 4 };

static struct run run;
static struct input input;
static struct subject planted;
static struct calls calls;
static unsigned times;
static pid_t parent;
static bool is_time(void) { return ++times % NOW_AND_THEN == 0; }
static bool is_child(void) { return getpid() != parent; }

/* --- Children -------------------------------------------------------------------------------- */

static size_t leaking_check(void) {
    enum { LOST = 20, BYTES = 100 };
    for (unsigned i = 0; run.is_child && i < LOST; i++) (void)subject_moat.malloc(BYTES);
    return subject_moat.check();
}
static void plant_child_leak(void) { planted.check = leaking_check; }

static void waiting_child(void) {
    subject_moat.be_child();
    os_yield();
}
static void plant_child_waits(void) { planted.be_child = waiting_child; }

/* Of what another thread was resizing. */
static bool is_resized;
static bool resized_lives(uintptr_t block) { return is_resized = subject_moat.lives(block); }
static size_t no_size(const void *block) {
    size_t size = is_resized ? 0 : subject_moat.usable_size(block);
    is_resized = false;
    return size;
}
static void plant_resized(void) {
    planted.lives = resized_lives;
    planted.usable_size = no_size;
}

static size_t dying_check(void) {
    if (is_child()) (void)raise(SIGSEGV);
    return subject_moat.check();
}
static void plant_child_dies(void) { planted.check = dying_check; }

static size_t leaving_check(void) {
    if (is_child()) _exit(3);
    return subject_moat.check();
}
static void plant_child_leaves(void) { planted.check = leaving_check; }

/* What the survivor's heap has of its parent. */
static void change_pages(void (*change)(struct page *page)) {
    const struct heap *heap = heap_of_thread();
    for (uint32_t index = 1; heap != NULL && index < ro.region->extent; index++) {
        struct segment *segment = segment_at(index);
        uint64_t word = atomic_load_relaxed(&segment->owner);
        if (!owner_has_pages(word) || owner_heap(word) != &heap->owner) continue;
        uint64_t slots = segment_pages_in_use(segment, owner_page_kind(word));
        for (; slots != 0; slots &= slots - 1) change(segment_page(segment, low_bit(slots)));
    }
}

static void serve(struct page *page) { page->inherited = false; }
static void serving_child(void) {
    subject_moat.be_child();
    change_pages(serve);
}
static void plant_serving(void) { planted.be_child = serving_child; }

static void count_more(struct page *page) { page->left += 100; }
static void counting_child(void) {
    subject_moat.be_child();
    change_pages(count_more);
}
static void plant_more_left(void) { planted.be_child = counting_child; }

/* As if it had been full, and nearly all had been freed. */
static void have_more(struct page *page) {
    if (page->block_size >= KIB) page->carved = UINT16_MAX;
}
static void idle_child(void) {
    subject_moat.be_child();
    change_pages(have_more);
}
static void plant_idle_child(void) { planted.be_child = idle_child; }

static bool any_block(uintptr_t block) { return block != 0; }
static void plant_left_alone(void) { planted.is_left_alone = any_block; }
static bool any_size(size_t size) { return size != 0; }
static void plant_spares(void) { planted.spares = any_size; }
static bool always(void) { return true; }
static void plant_empty_page(void) { planted.keeps_empty_page = always; }

/* --- Waiting --------------------------------------------------------------------------------- */

static void lock_by_yields(uint32_t *word) {
    uint32_t free = 0;
    while (!atomic_cas_acquire(word, &free, 1)) { /* pairs with two_locks_unlock */
        os_yield();
        free = 0;
    }
}
static void plant_deadlock(void) { two_locks_plant(&planted, lock_by_yields); }

/* One lock, and who has it wakes nobody. */
static void lock_by_sleep(uint32_t *word) {
    uint32_t free = 0;
    while (!atomic_cas_acquire(word, &free, 1)) { /* pairs with two_locks_unlock */
        os_futex_wait(word, 1);
        free = 0;
    }
}
static void *sleeping_malloc(size_t size) {
    lock_by_sleep(&two_locks.words[0]);
    void *block = subject_moat.malloc(size);
    two_locks_unlock(&two_locks.words[0]);
    return block;
}
static void sleeping_free(void *block) {
    lock_by_sleep(&two_locks.words[0]);
    subject_moat.free(block);
    two_locks_unlock(&two_locks.words[0]);
}
static void plant_asleep(void) {
    planted.begin = two_locks_begin;
    planted.malloc = sleeping_malloc;
    planted.free = sleeping_free;
}

/* --- Memory ---------------------------------------------------------------------------------- */

/* It gives up at the first refusal. */
static void *hasty_malloc(size_t size) {
    uint64_t before = subject_moat.failures();
    void *block = subject_moat.malloc(size);
    if (block == NULL || subject_moat.failures() == before) return block;
    subject_moat.free(block);
    errno = ENOMEM;
    return NULL;
}
static void plant_shortage(void) { planted.malloc = hasty_malloc; }

static bool always_open(uintptr_t address) { return address != 0; }
static void plant_guards(void) { planted.is_open = always_open; }

static bool open_at_samples(uintptr_t address) {
    return subject_moat.is_sample(address) || subject_moat.is_open(address);
}
static void plant_sample_guards(void) { planted.is_open = open_at_samples; }

/* In what lies before the first segment. */
static bool reaching_trim(void) {
    uintptr_t guard = subject_moat.base() + SEGMENT_SIZE - sizeof(uint64_t);
    atomic_store_relaxed((uint64_t *)guard, (uint64_t)1);
    return subject_moat.trim();
}
static void plant_reach(void) { planted.trim = reaching_trim; }

/* Into what is accessible and was never touched. */
static void write_unseen(void *context, uintptr_t start, size_t size, enum harness_state state) {
    uintptr_t *place = context;
    if (state == HARNESS_COMMITTED && size >= SEGMENT_SIZE / 2) *place = start + size - GRANULE;
}
static void write_somewhere(void) {
    uintptr_t place = 0;
    harness_visit_ranges(write_unseen, &place);
    if (place != 0) *(volatile uint64_t *)place = 1;
}
static void writing_end(void) {
    harness_audit(true);
    write_somewhere();
    subject_moat.end();
}
static void plant_unknown(void) { planted.end = writing_end; }

/* Between what the engine has written. */
static void writing_free(void *block) {
    size_t usable = block != NULL ? subject_moat.usable_size(block) : 0;
    harness_audit(true);
    if (usable > LARGE_MAX) *(volatile uint64_t *)((char *)block + usable / 2 + 3 * 512) = 1;
    subject_moat.free(block);
}
static void plant_unseen(void) { planted.free = writing_free; }

/* --- At rest --------------------------------------------------------------------------------- */

static bool has_region(void) { return ro.region != NULL && run.op_index == input.op_count; }

static bool taking_trim(void) {
    uint32_t index;
    if (has_region()) (void)region_take(1, 1, &index);
    return subject_moat.trim();
}
static void plant_taken(void) { planted.trim = taking_trim; }

static bool opening_trim(void) {
    uint32_t index;
    bool gave = subject_moat.trim();
    if (!has_region() || !region_take(1, 1, &index)) return gave;
    (void)os_commit((void *)segment_address(index), SLOT_SIZE);
    region_give(index, 1);
    return gave;
}
static void plant_open(void) { planted.trim = opening_trim; }

static bool miscounting_trim(void) {
    if (has_region()) atomic_add_relaxed(&ro.region->committed, SLOT_SIZE);
    return subject_moat.trim();
}
static void plant_committed(void) { planted.trim = miscounting_trim; }

static bool splitting_trim(void) {
    if (has_region()) atomic_add_relaxed(&ro.region->splits, 1);
    return subject_moat.trim();
}
static void plant_splits(void) { planted.trim = splitting_trim; }

/* As if what lies behind them were a mapping of its own. */
static size_t splitting_check(void) {
    for (uint32_t index = 1; ro.region != NULL && index < ro.region->extent; index++) {
        struct segment *segment = segment_at(index);
        bool is_huge = owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_HUGE;
        if (is_huge && segment->means == GUARD_MARKER) segment->means = GUARD_SPLIT;
    }
    return subject_moat.check();
}
static void plant_open_behind(void) { planted.check = splitting_check; }

static void keeping_free(void *block) {
    enum { WORDS = 2 };
    uint64_t *words = block, held;
    size_t usable = subject_moat.usable_size(block);
    if (usable >= WORDS * sizeof held) held = words[1];
    subject_moat.free(block);
    bool is_there = subject_moat.is_open((uintptr_t)block);
    if (usable >= WORDS * sizeof held && is_there) words[1] = held;
}
static void plant_uncleared(void) { planted.free = keeping_free; }

static bool holding_trim(void) {
    if (has_region() && ro.options.sample != 0) ro.samples->words[0] = SAMPLE_TAKEN;
    return subject_moat.trim();
}
static void plant_place(void) { planted.trim = holding_trim; }

static bool leaving_open_trim(void) {
    struct sample_record *sample = ro.options.sample != 0 ? &ro.samples->samples[0] : NULL;
    if (has_region() && sample != NULL && sample->block != 0 && sample_open(sample->block))
        sample->is_spoiled = false;
    return subject_moat.trim();
}
static void plant_open_place(void) { planted.trim = leaving_open_trim; }

/* As if another thread had freed it, and told nobody. */
static size_t claiming_check(void) {
    size_t result = subject_moat.check();
    for (unsigned i = 0; i < run.shadow.live_count && !run.is_strict; i++) {
        uintptr_t start = run.shadow.blocks[run.shadow.live[i]].start;
        struct map_word *word = map_word_of(start);
        if (owner_has_pages(segment_of(start)->owner) &&
            page_of(start, owner_page_kind(segment_of(start)->owner))->pending == 0) {
            word->claim |= map_bit_of(start);
            break;
        }
    }
    return result;
}
static void plant_claim(void) { planted.check = claiming_check; }

/* Of no thread: moat_check looks into the heap of the thread that calls. */
static bool idling_trim(void) {
    bool gave = subject_moat.trim();
    if (has_region()) heap_at(HEAP_LATE)->idle++;
    return gave;
}
static void plant_idle(void) { planted.trim = idling_trim; }

/* Both, or moat_check would see it. */
static bool caching_trim(void) {
    bool gave = subject_moat.trim();
    size_t more = has_region() ? SLOT_SIZE : 0;
    ro.usage->cached += more;
    ro.usage->runs += more;
    return gave;
}
static void plant_cached(void) { planted.trim = caching_trim; }

static bool leaving_trim(void) {
    bool gave = subject_moat.trim();
    if (has_region()) ro.usage->left++;
    return gave;
}
static void plant_left(void) { planted.trim = leaving_trim; }

/* As it is while the oracle looks. */
static const char *with_lost_heap(void) {
    struct heap *heap = heap_of_thread();
    uintptr_t thread = heap != NULL ? heap->thread : 0;
    if (heap != NULL) heap->thread = 0;
    const char *what = subject_moat.left_over();
    if (heap != NULL) heap->thread = thread;
    return what;
}
static void plant_lost_heap(void) { planted.left_over = with_lost_heap; }

static void leave_alone(struct page *page) {
    page->inherited = page->in_full = true;
    page->left = UINT16_MAX;
}
static void serve_again(struct page *page) { page->inherited = page->in_full = false; }
static const char *with_few_blocks(void) {
    change_pages(leave_alone);
    const char *what = subject_moat.left_over();
    change_pages(serve_again);
    return what;
}
static void plant_few_blocks(void) { planted.left_over = with_few_blocks; }

static const char *with_unsought(void) {
    uint32_t none_below = has_region() ? ro.region->none_below[0] : 0;
    if (has_region()) ro.region->none_below[0] = ro.region->extent;
    const char *what = subject_moat.left_over();
    if (has_region()) ro.region->none_below[0] = none_below;
    return what;
}
static void plant_unsought(void) { planted.left_over = with_unsought; }

static const char *with_spare(void) {
    if (has_region()) region_count_spare(1);
    const char *what = subject_moat.left_over();
    if (has_region()) region_count_spare(-1);
    return what;
}
static void plant_spare(void) { planted.left_over = with_spare; }

/* --- Blocks ---------------------------------------------------------------------------------- */

static uint64_t one_secret(uintptr_t block) { return block != 0; }
static void plant_secret(void) { planted.secret = one_secret; }

/* What lay there comes back. */
static struct { uint64_t *place, word; } remains[64];
static void remembering_free(void *block) {
    if (block != NULL && subject_moat.usable_size(block) >= 2 * GRANULE) {
        unsigned i = ++times % (sizeof remains / sizeof remains[0]);
        remains[i].place = (uint64_t *)block + 1;
        remains[i].word = *remains[i].place;
    }
    subject_moat.free(block);
}
static void *remembering_malloc(size_t size) {
    char *block = subject_moat.malloc(size);
    size_t usable = block != NULL ? subject_moat.usable_size(block) : 0;
    for (unsigned i = 0; i < sizeof remains / sizeof remains[0]; i++) {
        size_t at = (size_t)((char *)remains[i].place - block);
        if (remains[i].place != NULL && at != sizeof(uint64_t) && at < usable)
            *remains[i].place = remains[i].word;
    }
    return block;
}
static void plant_remains(void) {
    memset(remains, 0, sizeof remains);
    planted.free = remembering_free;
    planted.malloc = remembering_malloc;
}

static size_t short_size(const void *block) {
    size_t size = subject_moat.usable_size(block);
    return size > GRANULE ? size - GRANULE : size;
}
static void plant_short(void) { planted.usable_size = short_size; }

static size_t some_size(const void *block) {
    size_t size = subject_moat.usable_size(block);
    return block != NULL && size == 0 ? GRANULE : size;
}
static void plant_some(void) { planted.usable_size = some_size; }

static size_t size_of_nothing(const void *block) {
    return block == NULL ? GRANULE : subject_moat.usable_size(block);
}
static void plant_size_of_null(void) { planted.usable_size = size_of_nothing; }

static bool owns_null(const void *address) { return address == NULL || subject_moat.owns(address); }
static void plant_owns_null(void) { planted.owns = owns_null; }

static bool owns_all(const void *address) { return address != NULL; }
static void plant_owns_all(void) { planted.owns = owns_all; }

static bool owns_none(const void *address) {
    (void)address;
    return false;
}
static void plant_owns_none(void) { planted.owns = owns_none; }

static void *any_aligned(size_t alignment, size_t size) {
    return subject_moat.aligned_alloc(is_power_of_two(alignment) ? alignment : GRANULE, size);
}
static void plant_any_aligned(void) { planted.aligned_alloc = any_aligned; }

static int any_memalign(void **result, size_t alignment, size_t size) {
    return subject_moat.posix_memalign(result, is_power_of_two(alignment) ? 64 : alignment, size);
}
static void plant_any_memalign(void) { planted.posix_memalign = any_memalign; }

static int writing_memalign(void **result, size_t alignment, size_t size) {
    int error = subject_moat.posix_memalign(result, alignment, size);
    if (error != 0) *result = NULL;
    return error;
}
static void plant_writing(void) { planted.posix_memalign = writing_memalign; }

static void *wrapping_calloc(size_t count, size_t size) {
    size_t bytes = count * size;
    return bytes < SIZE_SANE_MAX ? subject_moat.calloc(bytes, 1) : subject_moat.calloc(count, size);
}
static void plant_wrapping_calloc(void) { planted.calloc = wrapping_calloc; }

static void *wrapping_array(void *block, size_t count, size_t size) {
    size_t bytes = count * size;
    return bytes < SIZE_SANE_MAX ? subject_moat.realloc(block, bytes)
                                 : subject_moat.reallocarray(block, count, size);
}
static void plant_wrapping_array(void) { planted.reallocarray = wrapping_array; }

static void *keeping_realloc(void *block, size_t size) {
    return subject_moat.realloc(block, block != NULL && size == 0 ? 1 : size);
}
static void plant_keeping(void) { planted.realloc = keeping_realloc; }

/* --- Calls by public names ------------------------------------------------------------------- */

static int any_trim(size_t keep) { return named_trim(keep) + 2 * is_time(); }
static void plant_trim(void) { calls.asks.trim = any_trim; }

static int any_mallopt(int parameter, int value) {
    return parameter == M_MMAP_MAX ? 2 : named_mallopt(parameter, value);
}
static void plant_mallopt(void) { calls.asks.mallopt = any_mallopt; }

static int no_mallopt(int parameter, int value) {
    return parameter == M_MMAP_MAX ? 0 : named_mallopt(parameter, value);
}
static void plant_no_mallopt(void) { calls.asks.mallopt = no_mallopt; }

static int wordy_info(int options, FILE *stream) {
    if (options != 0) fputs("?", stream);
    return named_info(options, stream);
}
static void plant_wordy(void) { calls.asks.info = wordy_info; }

static int other_info(int options, FILE *stream) {
    if (options == 0) fputs("?", stream);
    return named_info(options, stream);
}
static void plant_other_info(void) { calls.asks.info = other_info; }

static void talking_stats(void) {
    named_stats();
    os_write(OS_STDERR, "moat\n", 5);
}
static void plant_stats(void) { calls.asks.stats = talking_stats; }

static const char *other_version(void) { return "0"; }
static void plant_version(void) { calls.asks.version = other_version; }

static union verb_function *giver(const char *name) {
    for (unsigned i = 0; i < CONTRACT_GIVERS; i++)
        if (strcmp(calls.contract.give[i].name, name) == 0) return &calls.contract.give[i].function;
    abort(); /* it has another name by now */
}

static int other_error(void **result, size_t alignment, size_t size) {
    int error = named_posix_memalign(result, alignment, size);
    return error == EINVAL ? ENOMEM : error;
}
static void plant_error(void) { giver("posix_memalign")->into = other_error; }

static void *asking_new(size_t size) {
    void (*handler)(void) = named_get_new_handler();
    if (size < LARGE_MAX && handler != NULL && is_time()) handler();
    return named_new(size);
}
static void plant_asking(void) { giver("new")->of_size = asking_new; }

static void *throwing_malloc(size_t size) {
    if (size > PTRDIFF_MAX) named_throw_bad_alloc();
    return named_malloc(size);
}
static void plant_throwing(void) { giver("malloc")->of_size = throwing_malloc; }

static int any_limit(int resource, const struct rlimit *limit) {
    int before = errno;
    (void)named_setrlimit(resource, limit);
    errno = before;
    return 0;
}
static void plant_any_limit(void) { calls.asks.set_limit[0] = any_limit; }

static int other_limit(int resource, const struct rlimit *limit) {
    return named_setrlimit(resource == RLIMIT_STACK ? RLIMIT_AS : resource, limit);
}
static void plant_other_limit(void) { calls.asks.set_limit[0] = other_limit; }

static int kept_limit(pid_t process, int resource, const struct rlimit *wanted,
                      struct rlimit *before) {
    int result = named_prlimit(process, resource, wanted, before);
    if (resource == RLIMIT_DATA) atomic_store_unseen(&ro.region->limits_kept, true);
    return result;
}
static void plant_kept_limit(void) { calls.asks.change_limit[0] = kept_limit; }

/* --- What must be found ---------------------------------------------------------------------- */

enum {
    STRICT = 1,
    AT_ONCE = 2, /* found by threads that run at once */
    FORKS = 4,   /* likewise, by programs that fork; or by real threads that do */
    REAL = 8,
    CALLS = 16 /* by calls of public names */
};
static const struct control {
    const char *name;
    void (*plant)(void);
    const char *says; /* the oracle's words */
    const char *at;   /* an operation that can show it, or "" */
    unsigned how;     /* of the above */
} controls[] = {
    {"child's leak", plant_child_leak, "in use in a child after", "(fork,", AT_ONCE | FORKS},
    {"child that waits", plant_child_waits, "waits for a thread that is gone", "(fork,",
     AT_ONCE | FORKS},
    {"resized", plant_resized, "that was being resized has 0 bytes", "(fork,", AT_ONCE | FORKS},
    {"child that dies", plant_child_dies, "the forked child died of signal 11", "(fork,", REAL},
    {"child that leaves", plant_child_leaves, "the forked child ended with status 3", "(fork,",
     REAL},
    {"page that serves", plant_serving, "a page of the parent serves that", "(fork,",
     AT_ONCE | FORKS},
    {"more left", plant_more_left, "other blocks count as the parent's", "(fork,", AT_ONCE | FORKS},
    {"idle child", plant_idle_child, "more is left alone than may", "(fork,", AT_ONCE | FORKS},
    {"left alone", plant_left_alone, "comes from a page that is left alone", "(fork,",
     AT_ONCE | FORKS},
    {"spared", plant_spares, "while a page that is left alone has a block", "(fork,",
     AT_ONCE | FORKS},
    {"empty page", plant_empty_page, "a page without blocks is kept", "(fork,", AT_ONCE | FORKS},
    {"deadlock", plant_deadlock, "every thread waits for another", "", AT_ONCE},
    {"lost wake-up", plant_asleep, "a thread sleeps that nobody wakes", "", AT_ONCE},
    {"shortage", plant_shortage, "while some lay unused", "malloc", 0},
    {"guards", plant_guards, "there is no guard around", "", STRICT},
    {"sample's guards", plant_sample_guards, "there is no guard around a sample", "", 0},
    {"reach", plant_reach, "a shared word is accessed where", "", 0},
    {"unknown write", plant_unknown, "memory was written that the arena does not know of", "", 0},
    {"unseen write", plant_unseen, "memory was emptied that had been written unseen", "", 0},
    {"taken", plant_taken, "a segment is taken, and nobody's", "at the end", 0},
    {"open", plant_open, "memory is nobody's, and can be accessed", "at the end", 0},
    {"committed", plant_committed, "is counted as committed than", "at the end", 0},
    {"splits", plant_splits, "another number of mappings is counted", "at the end", 0},
    {"open behind", plant_open_behind, "what lies behind a huge block can be", "", 0},
    {"uncleared", plant_uncleared, "has what it held", "", STRICT},
    {"place", plant_place, "a place of a sample is lost", "at the end", 0},
    {"open place", plant_open_place, "a place of a sample is free, and", "at the end", 0},
    {"claim", plant_claim, "a freed block lies where nobody", "", 0},
    {"idle", plant_idle, "heaps count other slots than", "at the end", 0},
    {"cached", plant_cached, "other bytes of huge runs count than", "at the end", 0},
    {"left", plant_left, "other slots count as left than", "at the end", 0},
    {"lost heap", plant_lost_heap, "a heap is no thread's, and does not", "", 0},
    {"few blocks", plant_few_blocks, "a page is left alone that has few blocks", "", 0},
    {"unsought", plant_unsought, "free segments lie where nobody looks", "", 0},
    {"spare", plant_spare, "other free segments count as spare", "", 0},
    {"one secret", plant_secret, "has the secret of the one that was there before", "", 0},
    {"remains", plant_remains, "the block has in it what one of another size held", "", 0},
    {"short", plant_short, "usable size is below what was asked for", "", 0},
    {"some bytes", plant_some, "a zero-size block has a usable size", "", 0},
    {"size of NULL", plant_size_of_null, "NULL has a usable size", "(free-null,", 0},
    {"owns NULL", plant_owns_null, "owns NULL", "(free-null,", 0},
    {"owns all", plant_owns_all, "owns an address on the stack", "(owns,", 0},
    {"owns none", plant_owns_none, "does not own a live block", "(owns,", 0},
    {"any alignment", plant_any_aligned, "aligned_alloc with alignment", "(reject,", 0},
    {"any POSIX alignment", plant_any_memalign, "posix_memalign with alignment", "(reject,", 0},
    {"result written", plant_writing, "posix_memalign failed and changed its result", "(", 0},
    {"calloc wraps", plant_wrapping_calloc, "calloc of a product that overflows", "(reject,", 0},
    {"reallocarray wraps", plant_wrapping_array, "reallocarray of a product that overflows",
     "(reject,", 0},
    {"realloc to nothing", plant_keeping, "realloc to no bytes gave a block", "(realloc,", 0},
    {"trim", plant_trim, "malloc_trim gave", "at operation", CALLS},
    {"mallopt", plant_mallopt, "mallopt gave 2", "at operation", CALLS},
    {"no mallopt", plant_no_mallopt, ") gave 0", "at operation", CALLS},
    {"wordy refusal", plant_wordy, "malloc_info refused and wrote", "at operation", CALLS},
    {"info", plant_other_info, "malloc_info wrote: ?", "at operation", CALLS},
    {"stats", plant_stats, "malloc_stats, in lines, says", "at operation", CALLS},
    {"version", plant_version, "moat_version gave", "at operation", CALLS},
    {"refused limit", plant_any_limit, "a limit gave 0", "at operation", CALLS},
    {"other limit", plant_other_limit, "is another for the kernel", "at operation", CALLS},
    {"kept limit", plant_kept_limit, "what was told of limits holds", "at operation", CALLS},
    {"error", plant_error, "posix_memalign returned 12, expected 22", "at operation", CALLS},
    {"handler", plant_asking, "the new-handler while there was memory", "at operation", CALLS},
    {"throws", plant_throwing, "an operator threw that may not", "at operation", CALLS},
};
enum { CONTROLS = sizeof controls / sizeof controls[0] };

static void run_at_once(unsigned how, struct rng *random) {
    program_make(&input, random);
    input.flags &= (uint8_t) ~(INPUT_STALE | INPUT_MISUSE);
    if (how & FORKS) {
        input.flags |= INPUT_FORK;
        input.ops[input.op_count - 1].code = OP_FORK;
    }
    program_adapt(&input);
    team_run(&run, &planted, &input);
}

static void run_alone(unsigned how, struct rng *random) {
    mutate_fresh(&input, random, how & REAL ? THREADS : 1);
    input.flags &= (uint8_t) ~(INPUT_STRICT | INPUT_KERNEL);
    if (how & STRICT) input.flags |= INPUT_STRICT;
    if (!(how & REAL)) {
        dispatch_input(&run, &planted, &input);
        return;
    }
    input_insert(&input, 0, (struct input_op){.code = OP_FORK});
    input.flags |= INPUT_FORK;
    crew_run(&run, &planted, &input);
}

static void search(const void *argument) {
    const struct control *control = argument;
    planted = subject_moat;
    calls_of_moat(&calls);
    parent = getpid();
    control->plant();
    for (uint64_t seed = 0; seed < INPUTS_MAX; seed++) {
        struct rng random = {seed};
        if (control->how & CALLS) {
            mutate_fresh(&input, &random, 1);
            calls_run(&run, &calls, &input);
        } else if (control->how & AT_ONCE) {
            run_at_once(control->how, &random);
        } else {
            run_alone(control->how, &random);
        }
    }
}

int main(int argc, char **argv) {
    unsigned missed = 0;
    for (unsigned i = 0; i < CONTROLS; i++) {
        if (is_wanted(controls[i].name, argv + 1, argc - 1))
            missed += !control_finds(controls[i].name, controls[i].says, controls[i].at, search,
                                     &controls[i]);
    }
    return missed > 0;
}
