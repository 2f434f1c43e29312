/*
 * latency: how long single calls of malloc and free take, of the allocator this process runs on:
 * percentiles and the longest.
 *
 *     bench-latency [--operations N] [--histogram FILE]
 *
 * Two threads on fixed processors replace, at random, 10 000 blocks of mixed small sizes each; one
 * block in eight goes through a ring to the other thread, which frees it. Each call is timed by
 * itself (ticks.h). Prints CSV: a line `allocator,FILE`, a heading, and the rows
 *   timer    nothing between two readings: what the timing itself costs. Nothing is subtracted from
 *            the other rows.
 *   empty    the same loop with functions that do nothing: its tail is the kernel's and the
 *            machine's (interrupts, other processes), and is in every allocator's too
 *   malloc   and
 *   free     the allocator's
 * with p50, p99, p99.9, p99.99 and the longest, in ns, and the number of calls. Then the longest of
 * those calls during which, or shortly before which, the kernel did not take the processor away
 * (max_unswitched_ns), and how often it did in the whole run of that row (getrusage). --histogram
 * writes all buckets that are not empty: operation, least ns, count. bench/run-latency runs this
 * program.
 */
#define _GNU_SOURCE
#include "clock.h"
#include "histogram.h"
#include "small_blocks.h"
#include "ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WORKERS = 2,
    SLOTS = 10000,      /* blocks of one thread */
    RING_PLACES = 1024, /* a power of two */
    HAND_OVER_ONE_IN = 8,
    FREED_AT_ONCE = 4, /* of those that came, between two replacements */
    WINDOW = 1024,     /* replacements between two looks at the number of involuntary switches */
};

/* What one row is made of: the calls of one kind, by one thread or by all. */
struct measure {
    struct histogram histogram;
    uint64_t greatest_unswitched; /* ticks */
};

/* The two functions that are timed. */
struct calls {
    void *(*allocate)(size_t size);
    void (*release)(void *block);
};

/* Blocks for one thread to free. `filled` is written by the other thread, `emptied` by the one
 * that frees. */
struct ring {
    void *places[RING_PLACES];
    _Alignas(64) atomic_size_t filled;
    _Alignas(64) atomic_size_t emptied;
};

struct worker {
    void *slots[SLOTS];
    struct ring inbox;
    struct measure allocations, releases;
    long switches;             /* involuntary ones, in this run */
    long switches_known;       /* of this thread, when it last looked */
    uint64_t random;           /* state */
    size_t operations;         /* replacements to do */
    const struct calls *calls; /* NULL: only the timer is timed */
    struct worker *partner;
};

static struct worker workers[WORKERS];
static struct measure timer_result, empty_result, malloc_result, free_result;
static cpu_set_t allowed;
static pthread_barrier_t all_ready;

static long involuntary_switches(void) {
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/* Whether the kernel took the processor away since the worker last looked, which is at most
 * WINDOW replacements ago. */
static bool was_switched(struct worker *me) {
    long now = involuntary_switches();
    bool switched = now != me->switches_known;
    me->switches_known = now;
    return switched;
}

/* The system call is made for a new longest call only: seldom, and never in what is timed. */
static inline void record(struct worker *me, struct measure *measure, uint64_t before,
                          uint64_t after) {
    uint64_t ticks = after > before ? after - before : 0;
    histogram_add(&measure->histogram, ticks);
    if (ticks > measure->greatest_unswitched && !was_switched(me))
        measure->greatest_unswitched = ticks;
}

static inline void *timed_allocate(struct worker *me, size_t size) {
    uint64_t before = ticks_before();
    void *block = me->calls->allocate(size);
    record(me, &me->allocations, before, ticks_after());
    return observed(block);
}

static inline void timed_release(struct worker *me, void *block) {
    uint64_t before = ticks_before();
    me->calls->release(block);
    record(me, &me->releases, before, ticks_after());
}

static inline bool hand_over(struct ring *ring, void *block) {
    /* written by this thread alone */
    size_t filled = atomic_load_explicit(&ring->filled, memory_order_relaxed);
    /* pairs with come */
    if (filled - atomic_load_explicit(&ring->emptied, memory_order_acquire) == RING_PLACES)
        return false;
    ring->places[filled % RING_PLACES] = block;
    atomic_store_explicit(&ring->filled, filled + 1, memory_order_release); /* pairs with come */
    return true;
}

/* A block that came through the ring, or NULL. */
static inline void *come(struct ring *ring) {
    /* written by this thread alone */
    size_t emptied = atomic_load_explicit(&ring->emptied, memory_order_relaxed);
    /* pairs with hand_over */
    if (emptied == atomic_load_explicit(&ring->filled, memory_order_acquire)) return NULL;
    void *block = ring->places[emptied % RING_PLACES];
    /* pairs with hand_over */
    atomic_store_explicit(&ring->emptied, emptied + 1, memory_order_release);
    return block;
}

static void replace_one(struct worker *me) {
    uint32_t random = next_random(&me->random);
    size_t at = index_below(SLOTS, random);
    void *old = me->slots[at], *came;
    bool gone = (random >> 5) % HAND_OVER_ONE_IN == 0 && hand_over(&me->partner->inbox, old);
    if (!gone) timed_release(me, old);
    me->slots[at] = timed_allocate(me, mixed_size(random));
    for (int i = 0; i < FREED_AT_ONCE && (came = come(&me->inbox)); i++) {
        timed_release(me, came);
    }
}

static void churn(struct worker *me) {
    for (size_t i = 0; i < SLOTS; i++) {
        me->slots[i] = observed(me->calls->allocate(mixed_size(next_random(&me->random))));
    }
    pthread_barrier_wait(&all_ready);
    for (size_t i = 0; i < me->operations; i++) {
        if (i % WINDOW == 0) was_switched(me);
        replace_one(me);
    }
}

static void time_the_timer(struct worker *me) {
    pthread_barrier_wait(&all_ready);
    for (size_t i = 0; i < me->operations; i++) {
        if (i % WINDOW == 0) was_switched(me);
        uint64_t before = ticks_before();
        record(me, &me->allocations, before, ticks_after());
    }
}

static void *work(void *argument) {
    struct worker *me = argument;
    pin_to(&allowed, (int)(me - workers));
    long before = involuntary_switches();
    me->switches_known = before;
    if (me->calls) {
        churn(me);
    } else {
        time_the_timer(me);
    }
    me->switches = involuntary_switches() - before;
    return NULL;
}

static void prepare(struct worker *me, const struct calls *calls, size_t operations) {
    memset(&me->allocations, 0, sizeof me->allocations);
    memset(&me->releases, 0, sizeof me->releases);
    atomic_store(&me->inbox.filled, 0);
    atomic_store(&me->inbox.emptied, 0);
    me->random = (uint64_t)(me - workers) + 1;
    me->operations = operations;
    me->calls = calls;
    me->partner = &workers[1 - (me - workers)];
}

/* After both threads have ended. */
static void release_the_rest(struct worker *me) {
    void *came;
    while ((came = come(&me->inbox))) me->calls->release(came);
    for (size_t i = 0; i < SLOTS; i++) {
        me->calls->release(me->slots[i]);
    }
}

/* Runs both threads and returns how often the kernel took the processor away from them. */
static long run(const struct calls *calls, size_t operations) {
    pthread_t partner;
    for (int i = 0; i < WORKERS; i++) {
        prepare(&workers[i], calls, operations);
    }
    if (pthread_create(&partner, NULL, work, &workers[1]) != 0) {
        fprintf(stderr, "bench-latency: no thread can be started\n");
        exit(1);
    }
    work(&workers[0]);
    pthread_join(partner, NULL);
    for (int i = 0; calls && i < WORKERS; i++) {
        release_the_rest(&workers[i]);
    }
    return workers[0].switches + workers[1].switches;
}

static void collect(struct measure *into, const struct measure *from) {
    histogram_merge(&into->histogram, &from->histogram);
    if (from->greatest_unswitched > into->greatest_unswitched)
        into->greatest_unswitched = from->greatest_unswitched;
}

static void collect_all(struct measure *of_allocations, struct measure *of_releases) {
    for (int i = 0; i < WORKERS; i++) {
        collect(of_allocations, &workers[i].allocations);
        collect(of_releases, &workers[i].releases);
    }
}

/* The two that do nothing. The block is the thread's own: writing to it costs no cache miss. */
static __attribute__((noinline)) void *allocate_nothing(size_t size) {
    static _Thread_local char block[16];
    __asm__ volatile("" : : "r"(size));
    return block;
}

static __attribute__((noinline)) void release_nothing(void *block) {
    __asm__ volatile("" : : "r"(block));
}

static void print_row(const char *name, const struct measure *measure, double ns_per_tick,
                      long switches) {
    static const double shares[] = {0.5, 0.99, 0.999, 0.9999, 1};
    const struct histogram *histogram = &measure->histogram;
    printf("%s", name);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        printf(",%.1f", (double)histogram_percentile(histogram, shares[i]) * ns_per_tick);
    }
    printf(",%llu,%.1f,%ld\n", (unsigned long long)histogram_count(histogram),
           (double)measure->greatest_unswitched * ns_per_tick, switches);
}

static void write_buckets(FILE *file, const char *name, const struct measure *measure,
                          double ns_per_tick) {
    for (size_t i = 0; i < BUCKETS; i++) {
        unsigned long long count = measure->histogram.counts[i];
        if (count)
            fprintf(file, "%s,%.2f,%llu\n", name, (double)least_of_bucket(i) * ns_per_tick, count);
    }
}

static _Noreturn void die(const char *path) {
    fprintf(stderr, "bench-latency: %s: %s\n", path, strerror(errno));
    exit(1);
}

static void write_histograms(int descriptor, const char *path, double ns_per_tick) {
    FILE *file = fdopen(descriptor, "w");
    if (!file) die(path);
    fprintf(file, "operation,least_ns,count\n");
    write_buckets(file, "timer", &timer_result, ns_per_tick);
    write_buckets(file, "empty", &empty_result, ns_per_tick);
    write_buckets(file, "malloc", &malloc_result, ns_per_tick);
    write_buckets(file, "free", &free_result, ns_per_tick);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) die(path);
}

static int usage(void) {
    fprintf(stderr,
            "usage: bench-latency [--operations N] [--histogram FILE]\n"
            "       N replacements by each of two threads, 1000 to 1000000000; default 3000000\n");
    return 2;
}

int main(int count, char **arguments) {
    static const struct calls allocator = {malloc, free},
                              nothing = {allocate_nothing, release_nothing};
    size_t operations = 3000000;
    const char *path = NULL;
    for (int i = 1; i < count; i += 2) {
        char *end = NULL;
        if (i + 1 >= count) return usage();
        if (strcmp(arguments[i], "--histogram") == 0) {
            path = arguments[i + 1];
        } else if (strcmp(arguments[i], "--operations") == 0) {
            operations = strtoul(arguments[i + 1], &end, 10);
            if (*end || operations < 1000 || operations > 1000000000) return usage();
        } else {
            return usage();
        }
    }
    /* Opened before the work: a path that cannot be written is said at once. */
    int descriptor = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    if (path && descriptor < 0) die(path);
    sched_getaffinity(0, sizeof allowed, &allowed);
    print_allocator();
    if (CPU_COUNT(&allowed) < WORKERS)
        fprintf(stderr, "bench-latency: one processor only: the tails show the scheduler, "
                        "not the allocator\n");
    pthread_barrier_init(&all_ready, NULL, WORKERS);
    struct calibration start = calibration_start();
    long timer_switches = run(NULL, operations);
    collect_all(&timer_result, &timer_result);
    long empty_switches = run(&nothing, operations);
    collect_all(&empty_result, &empty_result);
    long switches = run(&allocator, operations);
    collect_all(&malloc_result, &free_result);
    double ns_per_tick = calibration_end(&start);
    printf("operation,p50_ns,p99_ns,p999_ns,p9999_ns,max_ns,count,"
           "max_unswitched_ns,involuntary_switches\n");
    print_row("timer", &timer_result, ns_per_tick, timer_switches);
    print_row("empty", &empty_result, ns_per_tick, empty_switches);
    print_row("malloc", &malloc_result, ns_per_tick, switches);
    print_row("free", &free_result, ns_per_tick, switches);
    if (path) write_histograms(descriptor, path, ns_per_tick);
    return 0;
}
