/*
 * test_harness: what tests and fuzzers rely on (src/harness/harness.h): fault plans, records of
 * ranges, determinism and the reset.
 */
#define _GNU_SOURCE
#include "harness/arena.h"
#include "harness/harness.h"

#include "base/atomic.h"
#include "meta/ro.h"
#include "base/thread.h"
#include "os/lock.h"

#include "suite.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t page;
static char *base; /* a reservation of 16 OS pages */

static void setup(void) {
    harness_reset();
    page = os_page_size();
    base = os_reserve(16 * page, page, 0);
    ck_assert_ptr_nonnull(base);
}

static void teardown(void) { harness_reset(); }

static char *at(size_t index) { return base + index * page; }
static enum harness_state state_at(size_t index) {
    return harness_range_state((uintptr_t)at(index));
}

/* --- Faults ---------------------------------------------------------------------------------- */

START_TEST(nth_call_fails_once) {
    harness_fail_nth(OS_COMMIT, 3);
    for (unsigned i = 1; i <= 5; i++) ck_assert_int_eq(os_commit(base, page), i != 3);
    ck_assert_uint_eq(harness_failures(), 1);
    ck_assert_uint_eq(harness_call_count(OS_COMMIT), 5);
}
END_TEST

START_TEST(nth_counts_from_when_it_is_asked_for) {
    ck_assert(os_commit(base, page));
    ck_assert(os_commit(base, page));
    harness_fail_nth(OS_COMMIT, 1);
    ck_assert(!os_commit(base, page));
    ck_assert(os_commit(base, page));
}
END_TEST

START_TEST(all_calls_fail_from_the_nth_until_the_plan_is_cleared) {
    harness_fail_from(OS_PURGE, 2);
    ck_assert(os_commit(base, page));
    ck_assert(os_purge(base, page));
    for (unsigned i = 0; i < 4; i++) ck_assert(!os_purge(base, page));
    ck_assert(os_commit(base, page)); /* another kind is not concerned */
    harness_fail_none();
    ck_assert(os_purge(base, page));
}
END_TEST

START_TEST(any_call_counts_all_memory_calls_but_not_random_or_seal) {
    char byte;
    harness_fail_nth(HARNESS_ANY_CALL, 3);
    ck_assert(os_commit(base, page));
    ck_assert(os_random(&byte, 1));
    ck_assert(os_seal(base, page));
    ck_assert(os_purge(base, page));
    ck_assert(!os_decommit(base, page));
    ck_assert(os_decommit(base, page));
}
END_TEST

START_TEST(budget_bounds_all_failures) {
    harness_fail_from(OS_COMMIT, 1);
    harness_fail_from(OS_PURGE, 1);
    harness_fail_budget(2);
    ck_assert(!os_commit(base, page));
    ck_assert(!os_purge(base, page));
    ck_assert(os_commit(base, page));
    ck_assert(os_purge(base, page));
    ck_assert_uint_eq(harness_failures(), 2);
}
END_TEST

/* Which of 200 commits fail with a chance of one half, as bits. */
static void draw_failures(uint64_t seed, uint64_t failed[4]) {
    memset(failed, 0, 4 * sizeof *failed);
    harness_set_seed(seed);
    harness_fail_sometimes(OS_COMMIT, 500);
    for (unsigned i = 0; i < 200; i++)
        if (!os_commit(base, page)) failed[i / 64] |= (uint64_t)1 << (i % 64);
    harness_fail_none();
}

START_TEST(chance_failures_depend_on_the_seed_alone) {
    uint64_t first[4];
    uint64_t again[4];
    uint64_t other[4];
    draw_failures(1, first);
    draw_failures(1, again);
    draw_failures(2, other);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_mem_ne(first, other, sizeof first);
    unsigned failures = 0;
    for (unsigned i = 0; i < 4; i++) failures += (unsigned)__builtin_popcountll(first[i]);
    ck_assert_uint_gt(failures, 60);
    ck_assert_uint_lt(failures, 140);
}
END_TEST

/* The third passing, and each second one after it. */
START_TEST(failpoints_fail_at_the_passings_they_are_told) {
    struct lock lock = {0};
    harness_fail_at(FAIL_LOCK_HELD, 3, 2);
    for (unsigned passing = 1; passing <= 7; passing++) {
        bool taken = lock_try(&lock);
        ck_assert_int_eq(taken, passing != 3 && passing != 5 && passing != 7);
        if (taken) lock_release(&lock);
    }
    ck_assert_uint_eq(harness_nudges(), 3);
    ck_assert_uint_eq(harness_failures(), 0); /* it takes nothing from anybody */
    harness_fail_at(FAIL_LOCK_HELD, 1, 1);
    ck_assert(!lock_try(&lock) && lock_try(&lock)); /* who tries again gets on */
    lock_release(&lock);
    harness_fail_none();
    ck_assert(lock_try(&lock));
    ck_assert_str_eq(harness_failpoint_name(FAIL_LOCK_HELD), "lock-held");
}
END_TEST

START_TEST(a_failpoint_that_takes_something_is_a_failure) {
    harness_fail_at(FAIL_REGION_FULL, 1, 0);
    ck_assert(FAILPOINT(REGION_FULL));
    ck_assert(!FAILPOINT(REGION_FULL));
    ck_assert_uint_eq(harness_failures(), 1);
    ck_assert_uint_eq(harness_nudges(), 0);
}
END_TEST

START_TEST(commit_limit_refuses_what_would_pass_it) {
    harness_limit_committed(4 * page);
    ck_assert(os_commit(at(0), 3 * page));
    ck_assert(!os_commit(at(3), 2 * page));
    ck_assert(os_commit(at(1), 3 * page)); /* one page more than there was */
    ck_assert(os_commit(at(0), 4 * page)); /* nothing new */
    ck_assert(!os_commit(at(4), page));
    ck_assert(os_decommit(at(0), page));
    ck_assert(os_commit(at(4), page));
    ck_assert_uint_eq(harness_committed_bytes(), 4 * page);
}
END_TEST

/* --- Ranges ---------------------------------------------------------------------------------- */

START_TEST(each_call_moves_a_range_to_its_state) {
    ck_assert_int_eq(state_at(0), HARNESS_RESERVED);
    ck_assert_int_eq(harness_range_state((uintptr_t)&page), HARNESS_FOREIGN);
    ck_assert(os_commit(at(2), 4 * page));
    ck_assert_int_eq(state_at(1), HARNESS_RESERVED);
    ck_assert_int_eq(state_at(2), HARNESS_COMMITTED);
    ck_assert_int_eq(state_at(5), HARNESS_COMMITTED);
    ck_assert_int_eq(state_at(6), HARNESS_RESERVED);
    ck_assert(os_protect_none(at(3), page));
    ck_assert_int_eq(state_at(3), HARNESS_GUARDED);
    ck_assert(os_protect_read(at(4), page));
    ck_assert_int_eq(state_at(4), HARNESS_READABLE);
    ck_assert(os_commit(at(3), page));
    ck_assert_int_eq(state_at(3), HARNESS_COMMITTED);
    ck_assert(os_decommit(at(2), 4 * page));
    ck_assert(harness_range_is((uintptr_t)base, 16 * page, HARNESS_RESERVED));
    ck_assert(os_unreserve(at(8), 8 * page));
    ck_assert_int_eq(state_at(7), HARNESS_RESERVED);
    ck_assert_int_eq(state_at(8), HARNESS_FOREIGN);
    ck_assert(harness_range_is((uintptr_t)at(8), 8 * page, HARNESS_FOREIGN));
    ck_assert_uint_eq(harness_reserved_bytes(), 8 * page);
}
END_TEST

START_TEST(a_marker_stays_until_it_is_removed_or_the_range_replaced) {
    ck_assert(os_commit(base, 4 * page));
    harness_os_note(OS_CHANGE_GUARD_INSTALL, at(1), page);
    ck_assert_int_eq(state_at(1), HARNESS_GUARDED);
    ck_assert(os_commit(at(0), 4 * page)); /* protection does not remove a marker */
    ck_assert_int_eq(state_at(1), HARNESS_GUARDED);
    ck_assert_uint_eq(harness_guarded_bytes(), page);
    harness_os_note(OS_CHANGE_GUARD_REMOVE, at(1), page);
    ck_assert_int_eq(state_at(1), HARNESS_COMMITTED);
    harness_os_note(OS_CHANGE_GUARD_INSTALL, at(1), page);
    ck_assert(os_decommit(at(1), page));
    ck_assert_int_eq(state_at(1), HARNESS_RESERVED);
}
END_TEST

START_TEST(a_range_is_in_a_state_only_when_all_of_it_is) {
    ck_assert(os_commit(at(0), 4 * page));
    ck_assert(harness_range_is((uintptr_t)base, 4 * page, HARNESS_COMMITTED));
    ck_assert(!harness_range_is((uintptr_t)base, 5 * page, HARNESS_COMMITTED));
    ck_assert(!harness_range_is((uintptr_t)base, 5 * page, HARNESS_RESERVED));
    ck_assert(!harness_range_is((uintptr_t)base, 5 * page, HARNESS_FOREIGN));
    ck_assert(harness_range_is((uintptr_t)base, 0, HARNESS_COMMITTED));
}
END_TEST

START_TEST(mappings_count_changes_of_protection_but_no_markers) {
    ck_assert_uint_eq(harness_mapping_count(), 1);
    ck_assert(os_commit(at(2), 6 * page));
    ck_assert_uint_eq(harness_mapping_count(), 3);
    harness_os_note(OS_CHANGE_GUARD_INSTALL, at(4), page);
    ck_assert_uint_eq(harness_mapping_count(), 3);
    ck_assert(os_protect_none(at(6), page));
    ck_assert_uint_eq(harness_mapping_count(), 5);
    ck_assert(os_decommit(at(2), 6 * page));
    ck_assert_uint_eq(harness_mapping_count(), 1);
}
END_TEST

/* A plain model of the records, one state a page, is compared after each of many random changes. */
START_TEST(records_agree_with_a_model) {
    enum harness_state model[16];
    uint64_t random = 1;
    for (unsigned i = 0; i < 16; i++) model[i] = HARNESS_RESERVED;
    for (unsigned round = 0; round < 3000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t first = (random >> 33) % 16;
        size_t count = 1 + (random >> 41) % (16 - first);
        enum harness_state to = (enum harness_state)(HARNESS_RESERVED + (random >> 50) % 4);
        switch (to) {
        case HARNESS_COMMITTED: ck_assert(os_commit(at(first), count * page)); break;
        case HARNESS_READABLE: ck_assert(os_protect_read(at(first), count * page)); break;
        case HARNESS_GUARDED: ck_assert(os_protect_none(at(first), count * page)); break;
        default: ck_assert(os_decommit(at(first), count * page)); break;
        }
        size_t committed = 0;
        size_t mappings = 1;
        for (size_t i = first; i < first + count; i++) model[i] = to;
        for (size_t i = 0; i < 16; i++) {
            ck_assert_int_eq(state_at(i), model[i]);
            committed += model[i] == HARNESS_COMMITTED ? page : 0;
            mappings += i > 0 && model[i] != model[i - 1];
        }
        ck_assert_uint_eq(harness_committed_bytes(), committed);
        ck_assert_uint_eq(harness_mapping_count(), mappings);
    }
}
END_TEST

struct visited {
    size_t count;
    uintptr_t start[8];
    size_t size[8];
    enum harness_state state[8];
};

static void remember(void *context, uintptr_t start, size_t size, enum harness_state state) {
    struct visited *visited = context;
    ck_assert_uint_lt(visited->count, 8);
    visited->start[visited->count] = start;
    visited->size[visited->count] = size;
    visited->state[visited->count++] = state;
}

START_TEST(a_visit_shows_maximal_ranges_in_order) {
    struct visited visited = {.count = 0};
    ck_assert(os_commit(at(1), 3 * page));
    ck_assert(os_commit(at(4), 3 * page));
    ck_assert(os_protect_none(at(7), page));
    /* another way to be guarded, the same state */
    harness_os_note(OS_CHANGE_GUARD_INSTALL, at(8), page);
    harness_visit_ranges(remember, &visited);
    static const struct {
        size_t first, count;
        enum harness_state state;
    } expected[] = {{0, 1, HARNESS_RESERVED},
                    {1, 6, HARNESS_COMMITTED},
                    {7, 2, HARNESS_GUARDED},
                    {9, 7, HARNESS_RESERVED}};
    ck_assert_uint_eq(visited.count, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(visited.start[i], (uintptr_t)at(expected[i].first));
        ck_assert_uint_eq(visited.size[i], expected[i].count * page);
        ck_assert_int_eq(visited.state[i], expected[i].state);
    }
}
END_TEST

/* Runs `act` in a child; true when it ended by SIGABRT with the text on its stderr. */
static bool dies_saying(void (*act)(void), const char *text) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], 2);
        signal(SIGABRT, SIG_DFL);
        act();
        _exit(0);
    }
    close(ends[1]);
    char said[512] = "";
    size_t length = 0;
    for (ssize_t got = 0; length < sizeof said - 1 &&
                          (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, text) != NULL;
}

static void commit_past_the_end(void) { harness_os_note(OS_CHANGE_COMMIT, at(15), 2 * page); }
static void release_twice(void) {
    os_unreserve(at(4), page);
    os_unreserve(at(4), page);
}
static void reserve_over(void) { harness_os_note(OS_CHANGE_RESERVE, at(15), 2 * page); }

START_TEST(misuse_of_the_seam_ends_the_process) {
    ck_assert(
        dies_saying(commit_past_the_end, "moat harness: a call over a range that is not all held"));
    ck_assert(dies_saying(release_twice, "moat harness: a call over a range that is not all held"));
    ck_assert(dies_saying(reserve_over, "moat harness: a reservation overlaps"));
}
END_TEST

static void *churn(void *own) {
    char *mine = own;
    for (unsigned i = 0; i < 500; i++) {
        if (!os_commit(mine, page) || harness_range_state((uintptr_t)mine) != HARNESS_COMMITTED)
            return NULL;
        *mine = 1;
        if (!os_decommit(mine, page) || harness_range_state((uintptr_t)mine) != HARNESS_RESERVED)
            return NULL;
    }
    return own;
}

START_TEST(threads_record_at_the_same_time) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, at(2 * i)), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result = NULL;
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_eq(result, at(2 * i));
    }
    ck_assert_uint_eq(harness_mapping_count(), 1);
    ck_assert_uint_eq(harness_call_count(OS_COMMIT), 2000);
}
END_TEST

/* --- Determinism ----------------------------------------------------------------------------- */

START_TEST(the_seed_decides_the_random_bytes) {
    unsigned char first[100];
    unsigned char again[100];
    unsigned char other[100];
    harness_set_seed(5);
    ck_assert(os_random(first, sizeof first));
    harness_set_seed(5);
    ck_assert(os_random(again, sizeof again));
    ck_assert_mem_eq(first, again, sizeof first);
    harness_set_seed(6);
    ck_assert(os_random(other, sizeof other));
    ck_assert_mem_ne(first, other, sizeof first);
}
END_TEST

START_TEST(after_a_reset_random_bytes_are_the_kernels) {
    unsigned char seeded[32];
    unsigned char kernels[32];
    harness_set_seed(0);
    ck_assert(os_random(seeded, sizeof seeded));
    harness_reset();
    ck_assert(os_random(kernels, sizeof kernels));
    ck_assert_mem_ne(seeded, kernels, sizeof seeded);
}
END_TEST

START_TEST(a_seeded_run_reserves_the_same_addresses_after_a_reset) {
    void *seen[2][3];
    for (unsigned run = 0; run < 2; run++) {
        harness_reset();
        harness_set_seed(9);
        seen[run][0] = os_reserve(page, page, 0);
        seen[run][1] = os_reserve(3 * page, 16 * MIB, 0);
        seen[run][2] = os_reserve(5 * GIB, 4 * MIB, 0);
        for (unsigned i = 0; i < 3; i++) ck_assert_ptr_nonnull(seen[run][i]);
        ck_assert_uint_eq((uintptr_t)seen[run][1] % (16 * MIB), 0);
    }
    ck_assert_mem_eq(seen[0], seen[1], sizeof seen[0]);
}
END_TEST

START_TEST(the_clock_moves_only_when_told) {
    uint64_t start = os_milliseconds();
    ck_assert_uint_eq(os_milliseconds(), start);
    harness_clock_advance(250);
    ck_assert_uint_eq(os_milliseconds(), start + 250);
    harness_reset();
    ck_assert_uint_eq(os_milliseconds(), start);
}
END_TEST

/* --- Threads and atomics --------------------------------------------------------------------- */

static void *address_of_own_word(void *unused) {
    (void)unused;
    return harness_thread_word();
}

START_TEST(each_thread_has_its_word_and_may_be_given_another) {
    uintptr_t virtual_word = 77;
    uintptr_t *mine = harness_thread_word();
    pthread_t thread;
    void *others = NULL;
    harness_set_thread_word(&virtual_word);
    ck_assert_uint_eq(thread_word(), 77);
    ck_assert_uint_eq(thread_identity(), (uintptr_t)&virtual_word);
    ck_assert_int_eq(pthread_create(&thread, NULL, address_of_own_word, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &others), 0);
    ck_assert_ptr_ne(others, mine);
    ck_assert_ptr_ne(others, &virtual_word);
    harness_set_thread_word(NULL);
    ck_assert_ptr_eq(harness_thread_word(), mine);
}
END_TEST

static const volatile void *stepped_on;
static void note_step(const volatile void *word) { stepped_on = word; }

START_TEST(the_hook_sees_the_word_before_each_access) {
    static const struct atomic_site site = {__FILE__, __LINE__, ATOMIC_LOAD, __ATOMIC_RELAXED,
                                            __func__};
    uint32_t word = 0;
    harness_set_atomic_hook(note_step);
    ck_assert(harness_sleeps(&word));
    harness_atomic_step(&site, &word, sizeof word);
    ck_assert_ptr_eq((const void *)stepped_on, &word);
    stepped_on = NULL;
    os_futex_wait(&word, 0); /* would sleep for ever */
    harness_set_atomic_hook(NULL);
    harness_atomic_step(&site, &word, sizeof word);
    ck_assert_ptr_null((const void *)stepped_on);
    ck_assert(!harness_sleeps(&word));
}
END_TEST

static const struct atomic_site *tried_at;
static bool tells_a_lie(const struct atomic_site *site) {
    tried_at = site;
    return true;
}

START_TEST(a_failed_try_can_be_told_as_done) {
    uint64_t word = 5, expected = 4;
    ck_assert(!atomic_cas_acquire(&word, &expected, 6));
    harness_on_failed_try = tells_a_lie;
    expected = 4;
    ck_assert(atomic_cas_acquire(&word, &expected, 6));
    ck_assert_uint_eq(tried_at->kind, ATOMIC_TRY);
    ck_assert_uint_eq(word, 5);
    tried_at = NULL; /* what comes true is not asked about */
    ck_assert(atomic_cas_acquire(&word, &expected, 6));
    ck_assert_ptr_null((const void *)tried_at);
    harness_on_failed_try = NULL;
}
END_TEST

/* --- The reset ------------------------------------------------------------------------------- */

/* Starts that fail do so, again and again. */
START_TEST(played_memory_has_room_for_ever_new_places) {
    enum { PLACES = 3000 };
    harness_reset();
    if (!arena_use(true)) return;
    for (uintptr_t i = 2; i <= PLACES; i++) { /* a sanitizer's shadow ends in the first */
        void *wanted = (void *)(ARENA_START + i * GIB),
             *start = os_reserve(page, page, (uintptr_t)wanted);
        ck_assert_ptr_eq(start, wanted);
        os_unreserve(start, page);
    }
    harness_reset();
    ck_assert(arena_use(false));
}
END_TEST

static uint64_t *given_back;
static void write_where_nothing_is(void) { atomic_store_relaxed(given_back, 1); }

/* The arena keeps it mapped: the records alone know better. */
START_TEST(played_memory_that_was_given_back_is_not_there) {
    harness_reset();
    if (!arena_use(true)) return;
    given_back = os_reserve(page, page, ARENA_START + 2 * GIB);
    ck_assert_ptr_nonnull(given_back);
    ck_assert(os_commit(given_back, page));
    atomic_store_relaxed(given_back, 1);
    ck_assert(os_can_read(given_back));
    os_unreserve(given_back, page);
    ck_assert(!os_can_read(given_back));
    ck_assert(dies_saying(write_where_nothing_is,
                          "moat harness: a shared word is accessed where nothing is mapped"));
    harness_reset();
    ck_assert(arena_use(false));
}
END_TEST

START_TEST(a_reset_leaves_nothing) {
    ro.heaps_max = 3;
    ro.region_base = 4 * MIB;
    ck_assert(os_protect_read(&ro, RO_ALIGNMENT));
    ck_assert(os_commit(at(3), page));
    uintptr_t virtual_word = 77;
    thread_word() = THREAD_ENDED_PART;
    harness_set_thread_word(&virtual_word);
    harness_fail_from(OS_RESERVE, 1);
    harness_limit_committed(0);
    uintptr_t where = (uintptr_t)base;
    harness_reset();
    ck_assert_uint_eq(ro.heaps_max, 0);
    ck_assert_uint_eq(ro.region_base, 0);
    ro.heaps_max = 1; /* writable again */
    ro.heaps_max = 0;
    ck_assert_ptr_ne(harness_thread_word(), &virtual_word);
    ck_assert_uint_eq(thread_word(), THREAD_NEW);
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
    ck_assert_uint_eq(harness_mapping_count(), 0);
    ck_assert_uint_eq(harness_failures(), 0);
    for (int kind = 0; kind <= OS_CALLS; kind++)
        ck_assert_uint_eq(harness_call_count((enum os_call)kind), 0);
    char *again = os_reserve(16 * page, page, where);
    ck_assert_uint_eq((uintptr_t)again, where); /* the kernel has it back, and no plan is left */
    ck_assert(os_commit(again, page));
    ck_assert_int_eq(*again, 0);
}
END_TEST

static int visiting;
static int forking;

/* Stays inside the locked seam until the fork has begun, and a while longer. */
static void linger(void *context, uintptr_t start, size_t size, enum harness_state state) {
    (void)context;
    (void)start;
    (void)size;
    (void)state;
    __atomic_store_n(&visiting, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&forking, __ATOMIC_ACQUIRE) == 0) os_yield();
    for (unsigned i = 0; i < 2000; i++) os_yield();
}

static void *visit_all(void *unused) {
    harness_visit_ranges(linger, NULL);
    return unused;
}

/* Given another thread inside the seam, when one forks, then the child can use the seam at once. */
START_TEST(a_child_can_use_the_seam) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, visit_all, NULL), 0);
    while (__atomic_load_n(&visiting, __ATOMIC_ACQUIRE) == 0) os_yield();
    __atomic_store_n(&forking, 1, __ATOMIC_RELEASE);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(20); /* a lock that came over held */
        _exit(os_commit(at(8), page) && harness_range_state((uintptr_t)at(8)) == HARNESS_COMMITTED
                  ? 0
                  : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

static void add_fault_and_range_tests(TCase *group) {
    tcase_add_test(group, nth_call_fails_once);
    tcase_add_test(group, nth_counts_from_when_it_is_asked_for);
    tcase_add_test(group, all_calls_fail_from_the_nth_until_the_plan_is_cleared);
    tcase_add_test(group, any_call_counts_all_memory_calls_but_not_random_or_seal);
    tcase_add_test(group, budget_bounds_all_failures);
    tcase_add_test(group, chance_failures_depend_on_the_seed_alone);
    tcase_add_test(group, commit_limit_refuses_what_would_pass_it);
    tcase_add_test(group, failpoints_fail_at_the_passings_they_are_told);
    tcase_add_test(group, a_failpoint_that_takes_something_is_a_failure);
    tcase_add_test(group, each_call_moves_a_range_to_its_state);
    tcase_add_test(group, a_marker_stays_until_it_is_removed_or_the_range_replaced);
    tcase_add_test(group, a_range_is_in_a_state_only_when_all_of_it_is);
    tcase_add_test(group, mappings_count_changes_of_protection_but_no_markers);
    tcase_add_test(group, records_agree_with_a_model);
    tcase_add_test(group, a_visit_shows_maximal_ranges_in_order);
    tcase_add_test(group, misuse_of_the_seam_ends_the_process);
    tcase_add_test(group, threads_record_at_the_same_time);
}

int main(void) {
    Suite *suite = suite_create("harness");
    TCase *group = tcase_create("harness");
    tcase_add_checked_fixture(group, setup, teardown);
    tcase_set_timeout(group, 60);
    add_fault_and_range_tests(group);
    tcase_add_test(group, the_seed_decides_the_random_bytes);
    tcase_add_test(group, after_a_reset_random_bytes_are_the_kernels);
    tcase_add_test(group, a_seeded_run_reserves_the_same_addresses_after_a_reset);
    tcase_add_test(group, the_clock_moves_only_when_told);
    tcase_add_test(group, each_thread_has_its_word_and_may_be_given_another);
    tcase_add_test(group, the_hook_sees_the_word_before_each_access);
    tcase_add_test(group, a_failed_try_can_be_told_as_done);
    tcase_add_test(group, played_memory_has_room_for_ever_new_places);
    tcase_add_test(group, played_memory_that_was_given_back_is_not_there);
    tcase_add_test(group, a_reset_leaves_nothing);
    tcase_add_test(group, a_child_can_use_the_seam);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
