/*
 * endings: frees and allocations when a thread, or the process, is nearly over; and forks among
 * threads that allocate.
 */
#include "crowd.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its runtime finishes with a thread in the last round of destructors, and does not know the main
   thread as one that can be joined. */
#if defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER true
#endif
#endif
#ifndef WITH_THREAD_SANITIZER
#define WITH_THREAD_SANITIZER false
#endif

enum { PASSES = WITH_THREAD_SANITIZER ? 2 : 4 };

/* A destructor that allocates, frees, and asks to be called again: it runs before, between and
   after moat's own exit hook. */
static pthread_key_t key;
static atomic_uint passes_seen;

static void late_destructor(void *block) {
    uint64_t seed = (uintptr_t)block;
    static __thread unsigned passes;
    moat_free(block);
    for (unsigned i = 0; i < 20; i++) stamped_give(stamped_take(size_like_programs(&seed), &seed));
    atomic_fetch_add(&passes_seen, 1);
    if (++passes < PASSES) pthread_setspecific(key, moat_malloc(200));
}

static void *end_late(void *argument) {
    (void)argument;
    REQUIRE(pthread_setspecific(key, moat_malloc(200)) == 0, "a value can be set");
    return NULL;
}

static void late_destructors(void) {
    unsigned threads = 400 / SLOWER;
    struct moat_stats stats;
    REQUIRE(pthread_key_create(&key, late_destructor) == 0, "a key can be made");
    for (unsigned i = 0; i < threads; i++) thread_join(thread_begin(end_late, NULL));
    REQUIRE(atomic_load(&passes_seen) == PASSES * threads, "every destructor ran %d times", PASSES);
    moat_stats_get(&stats);
    REQUIRE(stats.heaps <= 8, "late allocations make no heaps: %zu", stats.heaps);
}

/* The main thread leaves blocks and ends; another frees them, goes on, and ends the process. */
static struct stamped of_main[500];
static pthread_t main_thread;

static void *outlive(void *argument) {
    uint64_t seed = 8;
    (void)argument;
    thread_join(main_thread);
    for (unsigned i = 0; i < 500; i++) stamped_give(of_main[i]);
    for (unsigned i = 0; i < 5000; i++)
        stamped_give(stamped_take(size_like_programs(&seed), &seed));
    require_rest();
    exit(0);
}

static void main_ends_first(void) {
    uint64_t seed = 1;
    if (WITH_THREAD_SANITIZER) skip_test("ThreadSanitizer cannot join the main thread");
    main_thread = pthread_self();
    for (unsigned i = 0; i < 500; i++) of_main[i] = stamped_take(size_small(&seed), &seed);
    thread_begin(outlive, NULL);
    pthread_exit(NULL);
}

/* exit() by the main thread while others are in the middle of it; they never return. */
static void *allocate_for_ever(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (;;) stamped_give(stamped_take(size_small(&seed), &seed));
    return NULL;
}

static void exit_among_threads(void) {
    uint64_t seed = 1;
    for (uintptr_t i = 1; i <= 3; i++) thread_begin(allocate_for_ever, (void *)i);
    for (unsigned i = 0; i < 2000; i++)
        stamped_give(stamped_take(size_like_programs(&seed), &seed));
    exit(0);
}

/* Threads that allocate and exchange blocks while the main thread forks. */
static atomic_bool stop;
static _Atomic(void *) shared[64];

static void *exchange(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    while (!atomic_load(&stop)) {
        void *block = moat_malloc(size_like_programs(&seed));
        REQUIRE(block, "a block");
        moat_free(atomic_exchange(&shared[prng_below(&seed, 64)], block));
    }
    return NULL;
}

/* Frees everything that the threads, which are not here, have left, and allocates from all kinds of
   pages. */
static void use_everything(uint64_t seed) {
    static struct stamped own[300];
    for (unsigned i = 0; i < 64; i++) moat_free(atomic_exchange(&shared[i], NULL));
    for (unsigned i = 0; i < 300; i++) own[i] = stamped_take(size_like_programs(&seed), &seed);
    for (unsigned i = 0; i < 300; i++) stamped_give(own[i]);
    moat_check();
}

static void require_good_end(pid_t child) {
    int status;
    REQUIRE(child > 0, "a process can be made");
    REQUIRE(waitpid(child, &status, 0) == child, "a child can be waited for");
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ends well (status 0x%x)",
            (unsigned)status);
}

static _Noreturn void child_life(unsigned number) {
    alarm(20); /* a lock that nobody will release is a failure and not a hang */
    if (number % 10 == 0) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            use_everything(number + 1000);
            _exit(0);
        }
        require_good_end(child);
    }
    use_everything(number);
    _exit(0);
}

static void fork_among_threads(void) {
    pthread_t threads[3];
#ifdef MOAT_SANITIZED
    skip_test("sanitizers do not follow a fork of a process with several threads");
#endif
    for (uintptr_t i = 0; i < 3; i++) threads[i] = thread_begin(exchange, (void *)(i + 1));
    for (unsigned i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) child_life(i);
        require_good_end(child);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 3; i++) thread_join(threads[i]);
    for (unsigned i = 0; i < 64; i++) moat_free(atomic_exchange(&shared[i], NULL));
}

const struct scenario ending_scenarios[] = {
    {"late-destructors", late_destructors},
    {"main-ends-first", main_ends_first},
    {"exit-among-threads", exit_among_threads},
    {"fork-among-threads", fork_among_threads},
    {NULL, NULL},
};
