/*
 * micro: nanoseconds per malloc+free of the allocator this process runs on, in five patterns.
 *
 *     bench-micro [--scale FACTOR] [--slices N] [--only PATTERN] [--clock wall|processor]
 *
 *   pair     the same 64-byte block, allocated and freed at once
 *   batch    400 allocations of mixed small sizes, then 400 frees in the same order
 *   random   one of 800 blocks of mixed small sizes, chosen at random, is freed and allocated anew
 *   wide     the same among 100 000 blocks: neither blocks nor metadata stay in the cache
 *   remote   one thread allocates mixed small blocks and hands them over in batches of 64 through a ring, another frees them
 *
 * Prints CSV: a line `allocator,FILE`, a heading, and a line for each pattern with the median, the least and the greatest of its
 * slices (after one that is thrown away). Each block gets one byte written, as every program would at least. The harness's own
 * work (a random number, a table look-up, the byte) is included and the same for all: compare, do not take as absolute. Built
 * with -fno-builtin, so that no pair of malloc and free is compiled away. Threads stay on fixed processors.
 * With --clock processor the patterns of one thread are timed by that thread's processor time, which other processes on a busy
 * machine disturb less; remote is always timed by the wall clock.
 */
#define _GNU_SOURCE
#include "clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum {
    BATCH_BLOCKS = 400,
    RANDOM_BLOCKS = 800,
    WIDE_BLOCKS = 100000,
    HANDOVER_BLOCKS = 64, /* in one place of the ring */
    RING_PLACES = 64,     /* a power of two */
    MOST_SLICES = 64,
};

/* What a program's small blocks look like: most below 64 bytes, a few hundreds. */
static const uint16_t sizes[32] = {16, 16, 24, 24, 32, 32, 32,  40,  40,  48,  48,  48,  56,  64,  64,  64,
                                   72, 80, 80, 88, 96, 96, 104, 112, 128, 128, 144, 160, 192, 256, 320, 512};

static void *blocks[WIDE_BLOCKS];
static cpu_set_t allowed;

static inline uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static inline size_t mixed_size(uint32_t random) { return sizes[random & 31]; }

/* The write through volatile makes the block observed. */
static inline void *take(size_t size) {
    void *block = malloc(size);
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    *(volatile char *)block = 1;
    return block;
}

static void run_pair(size_t operations) {
    for (size_t i = 0; i < operations; i++) {
        free(take(64));
    }
}

static void run_batch(size_t operations) {
    uint64_t state = 1;
    for (size_t done = 0; done < operations; done += BATCH_BLOCKS) {
        for (size_t i = 0; i < BATCH_BLOCKS; i++) {
            blocks[i] = take(mixed_size(next_random(&state)));
        }
        for (size_t i = 0; i < BATCH_BLOCKS; i++) {
            free(blocks[i]);
        }
    }
}

/* The blocks stay from slice to slice: filling and emptying are no part of the pattern. */
static void replace_at_random(size_t operations, uint32_t count) {
    static uint64_t state = 1;
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&state);
        size_t at = (size_t)(((uint64_t)random * count) >> 32);
        free(blocks[at]);
        blocks[at] = take(mixed_size(random));
    }
}

static void run_random(size_t operations) { replace_at_random(operations, RANDOM_BLOCKS); }
static void run_wide(size_t operations) { replace_at_random(operations, WIDE_BLOCKS); }

/* One writer of each index: `filled` by the thread that allocates, `emptied` by the one that frees. */
static void *ring[RING_PLACES][HANDOVER_BLOCKS];
static _Alignas(64) atomic_size_t filled;
static _Alignas(64) atomic_size_t emptied;

/* Another process may hold the partner's processor: give way after a while. */
static inline void wait_a_little(unsigned *turns) {
    if (++*turns % 256 == 0) {
        sched_yield();
    } else {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
}

static void *free_what_comes(void *argument) {
    size_t batches = *(const size_t *)argument;
    unsigned turns = 0;
    pin_to(&allowed, 1);
    for (size_t batch = 0; batch < batches; batch++) {
        while (atomic_load_explicit(&filled, memory_order_acquire) == batch) wait_a_little(&turns);
        void **place = ring[batch % RING_PLACES];
        for (size_t i = 0; i < HANDOVER_BLOCKS; i++) {
            free(place[i]);
        }
        atomic_store_explicit(&emptied, batch + 1, memory_order_release);
    }
    return NULL;
}

static void run_remote(size_t operations) {
    size_t batches = operations / HANDOVER_BLOCKS + 1;
    uint64_t state = 1;
    unsigned turns = 0;
    pthread_t partner;
    atomic_store(&filled, 0);
    atomic_store(&emptied, 0);
    if (pthread_create(&partner, NULL, free_what_comes, &batches) != 0) {
        fprintf(stderr, "no thread can be started\n");
        exit(1);
    }
    for (size_t batch = 0; batch < batches; batch++) {
        while (batch - atomic_load_explicit(&emptied, memory_order_acquire) == RING_PLACES) wait_a_little(&turns);
        void **place = ring[batch % RING_PLACES];
        for (size_t i = 0; i < HANDOVER_BLOCKS; i++) {
            place[i] = take(mixed_size(next_random(&state)));
        }
        atomic_store_explicit(&filled, batch + 1, memory_order_release);
    }
    pthread_join(partner, NULL);
}

struct pattern {
    const char *name;
    void (*run)(size_t operations);
    size_t operations; /* in one slice, at scale 1: some milliseconds */
    uint32_t standing; /* blocks that stand before the first slice */
};

static const struct pattern patterns[] = {
    {"pair", run_pair, 1000000, 0},          {"batch", run_batch, 1000000, 0},  {"random", run_random, 1000000, RANDOM_BLOCKS},
    {"wide", run_wide, 400000, WIDE_BLOCKS}, {"remote", run_remote, 250000, 0},
};

static void measure(const struct pattern *pattern, double scale, size_t slices, clockid_t clock) {
    double times[MOST_SLICES];
    uint64_t state = 7;
    size_t operations = (size_t)((double)pattern->operations * scale);
    if (operations < BATCH_BLOCKS) operations = BATCH_BLOCKS;
    operations -= operations % BATCH_BLOCKS;
    for (uint32_t i = 0; i < pattern->standing; i++) {
        blocks[i] = take(mixed_size(next_random(&state)));
    }
    pattern->run(operations);
    for (size_t slice = 0; slice < slices; slice++) {
        double start = now_ns(clock);
        pattern->run(operations);
        times[slice] = (now_ns(clock) - start) / (double)operations;
    }
    for (uint32_t i = 0; i < pattern->standing; i++) {
        free(blocks[i]);
    }
    double median = median_of(times, slices);
    printf("%s,%.3f,%.3f,%.3f,%zu\n", pattern->name, median, times[0], times[slices - 1], operations * slices);
}

static int usage(void) {
    fprintf(stderr,
            "usage: bench-micro [--scale FACTOR] [--slices 1..%d] [--only pair|batch|random|wide|remote]\n"
            "                   [--clock wall|processor]\n",
            MOST_SLICES);
    return 2;
}

int main(int count, char **arguments) {
    double scale = 1;
    size_t slices = 15;
    clockid_t clock = CLOCK_MONOTONIC;
    const char *only = NULL;
    bool any = false;
    for (int i = 1; i < count; i += 2) {
        if (i + 1 >= count) return usage();
        if (strcmp(arguments[i], "--scale") == 0) {
            scale = strtod(arguments[i + 1], NULL);
        } else if (strcmp(arguments[i], "--slices") == 0) {
            slices = strtoul(arguments[i + 1], NULL, 10);
        } else if (strcmp(arguments[i], "--only") == 0) {
            only = arguments[i + 1];
        } else if (strcmp(arguments[i], "--clock") == 0 && strcmp(arguments[i + 1], "processor") == 0) {
            clock = CLOCK_THREAD_CPUTIME_ID;
        } else if (strcmp(arguments[i], "--clock") == 0 && strcmp(arguments[i + 1], "wall") == 0) {
            clock = CLOCK_MONOTONIC;
        } else {
            return usage();
        }
    }
    if (!(scale > 0 && scale <= 1000) || slices < 1 || slices > MOST_SLICES) return usage();
    sched_getaffinity(0, sizeof allowed, &allowed);
    print_allocator();
    if (pin_to(&allowed, 0) < 2)
        fprintf(stderr, "bench-micro: one processor only: remote shows the scheduler, not the allocator\n");
    printf("pattern,median_ns,least_ns,greatest_ns,operations\n");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        if (only && strcmp(only, patterns[i].name) != 0) continue;
        any = true;
        measure(&patterns[i], scale, slices, patterns[i].run == run_remote ? CLOCK_MONOTONIC : clock);
    }
    return any ? 0 : usage();
}
