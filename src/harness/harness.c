/*
 * harness: the seams as a test or a fuzzer sees them (see harness.h). In harness builds only.
 *
 * One state structure under one spin lock, which no scheduling point lies inside (plain builtins,
 * not atomic.h); the records of ranges.h are under it too. The lock is taken around fork, so that a
 * child never inherits it held. Keeps errno; allocates nothing.
 */
#define _GNU_SOURCE
#include "harness/harness.h"

#include "harness/arena.h"
#include "harness/ranges.h"
#include "meta/ro.h"
#include "base/thread.h"
#include "report/trace.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#ifndef MOAT_HARNESS
#error "harness.c belongs to harness builds"
#endif

#define PLANS (OS_CALLS + 1)
#define CLOCK_START 1000

/* When a call of one kind fails. Numbers are of calls since the reset, from 1; 0: never. */
struct plan {
    uint64_t once_at;
    uint64_t from;
    unsigned permille;
};

/* When a failpoint goes wrong next, by the number of its passing; 0: never. */
struct point_plan {
    uint64_t next, every;
};

static struct state {
    struct plan plans[PLANS]; /* the last is for any memory call */
    uint64_t calls[PLANS];
    struct point_plan points[FAILPOINTS];
    uint64_t passings[FAILPOINTS];
    uint64_t failures, nudges;
    uint64_t budget; /* failures still allowed; UINT64_MAX: no bound */
    size_t commit_limit;
    bool ignores_markers;
    uint64_t clock;
    uint64_t random_state;
    /* apart from random_state, so that a plan does not shift the library's numbers */
    uint64_t chance_state;
    uint64_t layout; /* seed of the first bytes asked for, if layout_is_fixed */
    /* What the clock says to who makes seeds, once these are: the bytes after the first are asked
       for by nobody, and all seeds come from one that they make. */
    uint64_t drawn_otherwise;
    uintptr_t next_reservation;
    /* of the last address that harness_expect_access() looked up */
    uintptr_t allowed_start;
    size_t allowed_size;
    bool seeded;
    bool layout_is_fixed;
} state = {.budget = UINT64_MAX, .commit_limit = SIZE_MAX, .clock = CLOCK_START};

static int state_lock;
static const struct harness_scheduler *scheduler;
static harness_kernel *played_kernel;
static harness_peek *played_peek;
static size_t played_page_size;
static void (*atomic_hook)(const volatile void *word);
bool base_seam_sees_loads;
static __thread uintptr_t own_word = THREAD_NEW;
static __thread uintptr_t *virtual_word;

static void state_acquire(void) {
    if (__libc_single_threaded) return; /* an exchange takes as long as what it guards */
    while (__atomic_exchange_n(&state_lock, 1, __ATOMIC_ACQUIRE) != 0) os_yield();
}

static void state_release(void) { __atomic_store_n(&state_lock, 0, __ATOMIC_RELEASE); }

/* Before fork.c's handler, which makes system calls in the child. */
__attribute__((constructor(101))) static void keep_lock_over_fork(void) {
    pthread_atfork(state_acquire, state_release, state_release);
}

void harness_complain(const char *message) {
    os_write(OS_STDERR, "moat harness: ", 14);
    os_write(OS_STDERR, message, strlen(message));
    os_write(OS_STDERR, "\n", 1);
    os_abort();
}

/* --- Faults ---------------------------------------------------------------------------------- */

static uint64_t splitmix(uint64_t *position) {
    uint64_t z = (*position += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Kinds come from tests: an unknown one must not become a wild index. */
static size_t plan_index(enum os_call kind) {
    if ((size_t)kind >= PLANS) harness_complain("unknown kind of call");
    return (size_t)kind;
}

void harness_fail_nth(enum os_call kind, uint64_t n) {
    size_t index = plan_index(kind);
    state_acquire();
    state.plans[index].once_at = n == 0 ? 0 : state.calls[index] + n;
    state_release();
}

void harness_fail_from(enum os_call kind, uint64_t n) {
    size_t index = plan_index(kind);
    state_acquire();
    state.plans[index].from = n == 0 ? 0 : state.calls[index] + n;
    state_release();
}

void harness_fail_sometimes(enum os_call kind, unsigned permille) {
    size_t index = plan_index(kind);
    state_acquire();
    state.plans[index].permille = permille;
    state_release();
}

void harness_fail_budget(uint64_t failures) {
    state_acquire();
    state.budget = failures;
    state_release();
}

static void clear_plans(void) {
    memset(state.plans, 0, sizeof state.plans);
    memset(state.points, 0, sizeof state.points);
    state.budget = UINT64_MAX;
    state.commit_limit = SIZE_MAX;
    state.ignores_markers = false;
}

void harness_fail_none(void) {
    state_acquire();
    clear_plans();
    state_release();
}

void harness_limit_committed(size_t bytes) {
    state_acquire();
    state.commit_limit = bytes;
    state_release();
}

void harness_ignore_markers(void) {
    state_acquire();
    state.ignores_markers = true;
    state_release();
}

bool harness_ignores_markers(void) {
    state_acquire();
    bool ignores = state.ignores_markers;
    state_release();
    return ignores;
}

uint64_t harness_call_count(enum os_call kind) {
    size_t index = plan_index(kind);
    state_acquire();
    uint64_t calls = state.calls[index];
    state_release();
    return calls;
}

uint64_t harness_failures(void) {
    state_acquire();
    uint64_t failures = state.failures;
    state_release();
    return failures;
}

/* Counts one call for a plan; true when the plan wants it to fail. */
static bool plan_hits(size_t index) {
    const struct plan *plan = &state.plans[index];
    uint64_t call = ++state.calls[index];
    bool by_chance = plan->permille != 0 && splitmix(&state.chance_state) % 1000 < plan->permille;
    return call == plan->once_at || (plan->from != 0 && call >= plan->from) || by_chance;
}

bool harness_os_fails(enum os_call kind) {
    size_t index = plan_index(kind);
    bool is_memory_call = kind != OS_RANDOM && kind != OS_SEAL;
    state_acquire();
    bool fails = plan_hits(index);
    if (is_memory_call && plan_hits(HARNESS_ANY_CALL)) fails = true;
    if (fails && state.budget == 0) fails = false;
    if (fails) {
        state.failures++;
        if (state.budget != UINT64_MAX) state.budget--;
    }
    state_release();
    return fails;
}

/* --- Ranges ---------------------------------------------------------------------------------- */

void harness_os_note(enum os_change change, const void *start, size_t size) {
    if (size == 0) return;
    state_acquire();
    state.allowed_size = 0;
    ranges_note(change, (uintptr_t)start, size);
    state_release();
}

bool harness_commit_fails(const void *start, size_t size) {
    if (harness_os_fails(OS_COMMIT)) return true;
    uintptr_t first = (uintptr_t)start;
    state_acquire();
    bool fails = false;
    if (state.commit_limit != SIZE_MAX) {
        size_t before = ranges_bytes(0, UINTPTR_MAX, RANGES_ONLY(HARNESS_COMMITTED));
        size_t added = size - ranges_bytes(first, first + size, RANGES_ONLY(HARNESS_COMMITTED));
        fails = added > 0 && before + added > state.commit_limit;
    }
    if (fails) state.failures++;
    state_release();
    return fails;
}

enum harness_state harness_range_state(uintptr_t address) {
    state_acquire();
    const struct range *range = ranges_find(address);
    enum harness_state found = range != NULL ? ranges_state(range->bits) : HARNESS_FOREIGN;
    state_release();
    return found;
}

bool harness_expect_access(uintptr_t address) {
    /* mostly near the last one: what changed since has cleared this */
    if (address - state.allowed_start < state.allowed_size) return true;
    state_acquire();
    const struct range *range = ranges_find(address);
    if (range != NULL && (range->bits & (RANGE_MARKER | RANGE_CLOSED | RANGE_READ)) != RANGE_READ)
        harness_complain("a shared word is accessed where memory is not accessible");
    if (range != NULL) {
        state.allowed_start = range->start;
        state.allowed_size = range->size;
    }
    state_release();
    return range != NULL;
}

static size_t locked_bytes(uintptr_t start, uintptr_t end, unsigned states) {
    state_acquire();
    size_t bytes = ranges_bytes(start, end, states);
    state_release();
    return bytes;
}

bool harness_range_is(uintptr_t start, size_t size, enum harness_state wanted) {
    if (wanted == HARNESS_FOREIGN) return locked_bytes(start, start + size, RANGES_ANY) == 0;
    return locked_bytes(start, start + size, RANGES_ONLY(wanted)) == size;
}

size_t harness_reserved_bytes(void) { return locked_bytes(0, UINTPTR_MAX, RANGES_ANY); }

size_t harness_committed_bytes(void) {
    return locked_bytes(0, UINTPTR_MAX, RANGES_ONLY(HARNESS_COMMITTED));
}

size_t harness_guarded_bytes(void) {
    return locked_bytes(0, UINTPTR_MAX, RANGES_ONLY(HARNESS_GUARDED));
}

size_t harness_mapping_count(void) {
    size_t mappings = 0, count = 0;
    state_acquire();
    const struct range *ranges = ranges_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &ranges[i];
        const struct range *before = i > 0 ? range - 1 : NULL;
        bool joins = before != NULL && before->start + before->size == range->start &&
                     (before->bits & RANGE_ACCESS) == (range->bits & RANGE_ACCESS);
        mappings += !joins;
    }
    state_release();
    return mappings;
}

void harness_visit_ranges(void (*visit)(void *context, uintptr_t start, size_t size,
                                        enum harness_state found),
                          void *context) {
    size_t count = 0;
    state_acquire();
    const struct range *ranges = ranges_all(&count);
    for (size_t i = 0; i < count; i++) {
        struct range whole = ranges[i];
        enum harness_state found = ranges_state(whole.bits);
        for (; i + 1 < count; i++) {
            const struct range *next = &ranges[i + 1];
            if (whole.start + whole.size != next->start || ranges_state(next->bits) != found) break;
            whole.size += next->size;
        }
        visit(context, whole.start, whole.size, found);
    }
    state_release();
}

/* --- Determinism ----------------------------------------------------------------------------- */

/* Far from where Linux puts programs, libraries, stacks and the shadow of AddressSanitizer, with 47
   address bits. On a machine with fewer, the exact reservation fails and the kernel chooses. */
static const uintptr_t first_reservation = (uintptr_t)0x2000 << 32;
/* Keeps one reservation from being taken for the continuation of another. */
static const size_t reservation_gap = 2 * MIB;

void harness_set_seed(uint64_t seed) {
    state_acquire();
    state.seeded = true;
    state.random_state = seed;
    state.chance_state = ~seed;
    state.next_reservation = first_reservation;
    state_release();
}

void harness_fix_layout(uint64_t seed) {
    state_acquire();
    state.layout_is_fixed = true;
    state.layout = seed;
    state.drawn_otherwise = state.random_state;
    state_release();
}

static uint64_t harness_nanoseconds(void) { return state.drawn_otherwise; }

uintptr_t harness_reservation_hint(size_t size, size_t alignment) {
    uintptr_t hint = 0;
    state_acquire();
    if (state.seeded) {
        hint = round_up(state.next_reservation, alignment);
        state.next_reservation = hint + round_up(size, 2 * MIB) + reservation_gap;
    }
    state_release();
    return hint;
}

bool harness_random(void *buffer, size_t size) {
    state_acquire();
    bool seeded = state.seeded;
    uint64_t *source = state.layout_is_fixed ? &state.layout : &state.random_state;
    state.layout_is_fixed = false;
    for (size_t done = 0; seeded && done < size; done += sizeof(uint64_t)) {
        uint64_t word = splitmix(source);
        size_t left = size - done;
        memcpy((char *)buffer + done, &word, left < sizeof word ? left : sizeof word);
    }
    state_release();
    return seeded;
}

uint64_t harness_milliseconds(void) {
    state_acquire();
    uint64_t now = state.clock;
    state_release();
    return now;
}

void harness_clock_advance(uint64_t milliseconds) {
    state_acquire();
    state.clock += milliseconds;
    state_release();
}

/* --- Threads and atomics --------------------------------------------------------------------- */

uintptr_t *harness_thread_word(void) { return virtual_word != NULL ? virtual_word : &own_word; }

void harness_set_thread_word(uintptr_t *word) { virtual_word = word; }

bool (*harness_on_branch)(const struct branch_site *site);
bool (*harness_on_failed_try)(const struct atomic_site *site);
/* Of the access that was announced last, for harness_on_failed_try: one thread runs at a time. */
static const struct atomic_site *last_site;

static void choose_what_is_seen(void) {
    base_seam_sees_loads = atomic_hook != NULL || scheduler != NULL || arena_is_audited;
}

void harness_set_atomic_hook(void (*hook)(const volatile void *word)) {
    __atomic_store_n(&atomic_hook, hook, __ATOMIC_RELEASE);
    choose_what_is_seen();
}

void harness_set_scheduler(const struct harness_scheduler *chosen) {
    scheduler = chosen;
    choose_what_is_seen();
}

void harness_audit(bool on) {
    arena_is_audited = on;
    choose_what_is_seen();
}

static void tell_of_step(const struct atomic_site *site, const volatile void *word, unsigned size) {
    if (scheduler != NULL) scheduler->step(site, word, size);
    void (*hook)(const volatile void *) = __atomic_load_n(&atomic_hook, __ATOMIC_ACQUIRE);
    if (hook != NULL) hook(word);
}

void harness_atomic_step(const struct atomic_site *site, const volatile void *word, unsigned size) {
    if (MOAT_UNLIKELY(base_seam_sees_loads)) {
        /* what was plainly written beside the word; a run may end while this thread waits */
        arena_step((uintptr_t)word);
        tell_of_step(site, word, size);
    }
    /* again: another thread may have emptied the unit meanwhile */
    arena_step((uintptr_t)word);
    if (harness_on_failed_try != NULL) last_site = site;
}

static uint64_t atomic_loaded(uint64_t newest) {
    return scheduler != NULL ? scheduler->loaded(newest) : newest;
}

static bool atomic_tried(bool exchanged) {
    if (scheduler != NULL) scheduler->tried(exchanged);
    if (exchanged || harness_on_failed_try == NULL) return exchanged;
    return harness_on_failed_try(last_site);
}

/* --- Failpoints ------------------------------------------------------------------------------ */

void (*harness_on_failpoint)(enum failpoint point, uint64_t passing);

static const struct {
    const char *name;
    bool takes;
} failpoints[FAILPOINTS] = {
#define FAILPOINT_FACTS(name, text, takes) {text, takes},
    FAILPOINT_ROWS(FAILPOINT_FACTS)
#undef FAILPOINT_FACTS
};

const char *harness_failpoint_name(enum failpoint point) { return failpoints[point].name; }

void harness_fail_at(enum failpoint point, uint64_t n, uint64_t every) {
    if (!failpoints[point].takes && every == 1) every = 2;
    state_acquire();
    state.points[point] = (struct point_plan){state.passings[point] + n, every};
    state_release();
}

uint64_t harness_nudges(void) {
    state_acquire();
    uint64_t nudges = state.nudges;
    state_release();
    return nudges;
}

static bool fails_at(enum failpoint point) {
    struct point_plan *plan = &state.points[point];
    state_acquire();
    uint64_t passing = ++state.passings[point];
    bool fails = passing == plan->next;
    if (fails) {
        plan->next = plan->every != 0 ? passing + plan->every : 0;
        state.failures += failpoints[point].takes;
        state.nudges += !failpoints[point].takes;
    }
    state_release();
    if (fails && harness_on_failpoint != NULL) harness_on_failpoint(point, passing);
    return fails;
}

static bool branch_is_out(const struct branch_site *site) {
    return harness_on_branch != NULL && harness_on_branch(site);
}

bool harness_sleeps(const uint32_t *word) {
    if (scheduler != NULL) {
        scheduler->sleep(word);
        return true;
    }
    return __atomic_load_n(&atomic_hook, __ATOMIC_RELAXED) != NULL;
}

/* --- Starting afresh ------------------------------------------------------------------------- */

static void audit(void) {
    size_t count = 0;
    const struct range *ranges = ranges_all(&count);
    for (size_t i = 0; arena_is_audited && i < count; i++)
        if (ranges_state(ranges[i].bits) == HARNESS_COMMITTED &&
            arena_missed(ranges[i].start, ranges[i].size) != 0)
            harness_complain("memory was written that the arena does not know of");
}

/* Through the C library, not os.c: sanitizers that watch mappings shall see the memory go. */
static void give_all_back(void) {
    size_t count = 0;
    const struct range *ranges = ranges_all(&count);
    if (arena_is_used()) {
        audit();
        arena_reset();
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (munmap((void *)ranges[i].start, ranges[i].size) != 0)
            harness_complain("a range cannot be given back");
    if (mprotect(&moat_ro_pages, sizeof moat_ro_pages, PROT_READ | PROT_WRITE) != 0)
        harness_complain("the read-only structure cannot be made writable");
}

void harness_reset(void) {
    int saved = errno;
    state_acquire();
    give_all_back();
    ranges_forget();
    state.allowed_size = 0;
    memset(&ro, 0, sizeof ro);
    moat_ro_pages.extent = 0;
    clear_plans();
    memset(state.calls, 0, sizeof state.calls);
    memset(state.passings, 0, sizeof state.passings);
    state.failures = state.nudges = 0;
    state.clock = CLOCK_START;
    state.seeded = false;
    state.layout_is_fixed = false;
    state.random_state = 0;
    state.drawn_otherwise = 0;
    state.chance_state = 0;
    state.next_reservation = 0;
    virtual_word = NULL;
    own_word = THREAD_NEW;
    moat_thread_frees = 0;
    trace_recover(); /* what it knows of modules saves system calls, each a place to switch */
    played_kernel = NULL;
    played_peek = NULL;
    played_page_size = 0;
    state_release();
    errno = saved;
}

static struct kept {
    struct state state;
    struct ro_pages pages;
    uintptr_t own_word, *virtual_word;
    uint32_t thread_frees;
} kept[HARNESS_PLACES];

bool harness_keep(unsigned place) {
    struct kept *here = &kept[place];
    state_acquire();
    bool keeps = arena_is_used() && ranges_keep(place) && arena_keep(place);
    if (keeps) {
        state.allowed_size = 0;
        *here = (struct kept){state, moat_ro_pages, own_word, virtual_word, moat_thread_frees};
    }
    state_release();
    return keeps;
}

void harness_bring_back(unsigned place) {
    const struct kept *here = &kept[place];
    state_acquire();
    audit();
    arena_bring_back(place);
    ranges_bring_back(place);
    state = here->state;
    moat_ro_pages = here->pages;
    own_word = here->own_word;
    virtual_word = here->virtual_word;
    moat_thread_frees = here->thread_frees;
    trace_recover();
    state_release();
}

void harness_set_page_size(size_t bytes) { played_page_size = bytes; }

static size_t page_size(void) { return played_page_size; }

void harness_set_kernel(harness_kernel *kernel) { played_kernel = kernel; }
void harness_set_peek(harness_peek *peek) { played_peek = peek; }

/* A system call is a scheduling point too. A thread that yields waits for another. True: that was
   all. */
static bool answer_by_scheduler(long number, const long *arguments, long *result) {
    *result = 0;
    if (number == SYS_sched_yield) {
        scheduler->wait();
        return true;
    }
    scheduler->step(NULL, NULL, 0);
    if (number == SYS_membarrier) scheduler->barrier();
    if (number == SYS_futex)
        scheduler->wake((const volatile void *)arguments[0], (unsigned)arguments[2]);
    return number == SYS_futex || number == SYS_membarrier;
}

static uintptr_t shift_of_peek(uintptr_t address, size_t size) {
    return played_peek != NULL ? played_peek(address, size) : 0;
}

static bool answer_kernel(long number, const long *arguments, long *result) {
    if (scheduler != NULL && answer_by_scheduler(number, arguments, result)) return true;
    if (played_kernel != NULL && played_kernel(number, arguments, result)) return true;
    return arena_kernel(number, arguments, result);
}

/* --- The seams ------------------------------------------------------------------------------- */

const struct os_seam os_seam = {
    .fails = harness_os_fails,
    .commit_fails = harness_commit_fails,
    .note = harness_os_note,
    .reservation_hint = harness_reservation_hint,
    .ignores_markers = harness_ignores_markers,
    .random = harness_random,
    .milliseconds = harness_milliseconds,
    .nanoseconds = harness_nanoseconds,
    .sleeps = harness_sleeps,
    .memory_is_played = arena_is_used,
    .page_size = page_size,
    .kernel = answer_kernel,
    .peek = shift_of_peek,
    .clear = arena_clear,
    .copy = arena_copy,
    .touch = arena_touch,
};

const struct base_seam base_seam = {
    .atomic_step = harness_atomic_step,
    .atomic_loaded = atomic_loaded,
    .atomic_tried = atomic_tried,
    .fails_at = fails_at,
    .branch_is_out = branch_is_out,
    .word_of_thread = harness_thread_word,
};
