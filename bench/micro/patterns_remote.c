/*
 * patterns_remote: bench-micro's patterns in which one thread frees what another has allocated,
 * mixed small sizes all.
 *
 *   remote        one thread allocates and hands its blocks over in batches of 64 through a ring,
 *                 another frees them
 *   remote-many   three threads allocate, each with a ring of its own, and one frees what comes
 *                 from all
 *   remote-both   two threads, and two rings: each allocates, and frees what the other allocated
 *
 * A figure is the time by the wall clock divided by all the blocks that went over. remote-many's
 * freeing thread has the last processor for itself and the others share the rest, so on two
 * processors three threads share one: compare allocators, not patterns. Starting the threads is
 * part of each slice, some tenths of a nanosecond per block.
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    HANDOVER_BLOCKS = 64, /* in one place of a ring */
    RING_PLACES = 64,     /* a power of two */
    MANY = 3,             /* threads that allocate in remote-many */
};

/* One writer of each index: `filled` by the thread that allocates, `emptied` by the one that
 * frees. */
struct ring {
    void *places[RING_PLACES][HANDOVER_BLOCKS];
    _Alignas(64) atomic_size_t filled;
    _Alignas(64) atomic_size_t emptied;
};

/* What a thread needs to know. */
struct part {
    struct ring *out;
    struct ring *in; /* of remote-both */
    size_t batches;  /* that go through each of its rings */
    int processor;
    uint64_t seed;
};

static struct ring rings[MANY];

static void clear_rings(void) {
    for (size_t i = 0; i < MANY; i++) {
        atomic_store(&rings[i].filled, 0);
        atomic_store(&rings[i].emptied, 0);
    }
}

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

/* Frees the ring's batch of this number if it has come. */
static inline bool free_batch(struct ring *ring, size_t batch) {
    /* pairs with fill_batch */
    if (atomic_load_explicit(&ring->filled, memory_order_acquire) == batch) return false;
    void **place = ring->places[batch % RING_PLACES];
    for (size_t i = 0; i < HANDOVER_BLOCKS; i++) {
        free(place[i]);
    }
    /* pairs with fill_batch */
    atomic_store_explicit(&ring->emptied, batch + 1, memory_order_release);
    return true;
}

/* Allocates the batch of this number if the ring has a place for it. */
static inline bool fill_batch(struct ring *ring, size_t batch, uint64_t *state) {
    if (batch - atomic_load_explicit(&ring->emptied, memory_order_acquire) == RING_PLACES)
        return false; /* pairs with free_batch */
    void **place = ring->places[batch % RING_PLACES];
    for (size_t i = 0; i < HANDOVER_BLOCKS; i++) {
        place[i] = take(mixed_size(next_random(state)));
    }
    /* pairs with free_batch */
    atomic_store_explicit(&ring->filled, batch + 1, memory_order_release);
    return true;
}

static void start(pthread_t *thread, void *(*body)(void *), void *argument) {
    if (pthread_create(thread, NULL, body, argument) != 0) {
        fprintf(stderr, "no thread can be started\n");
        exit(1);
    }
}

static void allocate_part(const struct part *part) {
    uint64_t state = part->seed;
    unsigned turns = 0;
    for (size_t batch = 0; batch < part->batches; batch++) {
        while (!fill_batch(part->out, batch, &state)) wait_a_little(&turns);
    }
}

static void *free_what_comes(void *argument) {
    size_t batches = *(const size_t *)argument;
    unsigned turns = 0;
    pin_to(&allowed, 1);
    for (size_t batch = 0; batch < batches; batch++) {
        while (!free_batch(&rings[0], batch)) wait_a_little(&turns);
    }
    return NULL;
}

static void run_remote(size_t operations) {
    struct part part = {.out = &rings[0], .batches = operations / HANDOVER_BLOCKS + 1, .seed = 1};
    pthread_t partner;
    clear_rings();
    start(&partner, free_what_comes, &part.batches);
    allocate_part(&part);
    pthread_join(partner, NULL);
}

static void *allocate_as_one_of_many(void *argument) {
    const struct part *part = argument;
    pin_to(&allowed, part->processor);
    allocate_part(part);
    return NULL;
}

static void *free_from_many(void *argument) {
    const struct part *part = argument;
    size_t done[MANY] = {0}, left = part->batches * MANY;
    unsigned turns = 0;
    pin_to(&allowed, part->processor);
    while (left) {
        size_t before = left;
        for (size_t i = 0; i < MANY; i++) {
            if (!free_batch(&rings[i], done[i])) continue;
            done[i]++;
            left--;
        }
        if (left == before) wait_a_little(&turns);
    }
    return NULL;
}

static void run_remote_many(size_t operations) {
    struct part parts[MANY + 1];
    pthread_t threads[MANY + 1];
    int others = CPU_COUNT(&allowed) > 1 ? CPU_COUNT(&allowed) - 1 : 1;
    clear_rings();
    for (int i = 0; i <= MANY; i++) {
        parts[i] = (struct part){.out = &rings[i % MANY],
                                 .batches = operations / (HANDOVER_BLOCKS * MANY),
                                 .processor = i < MANY ? i % others : others,
                                 .seed = (uint64_t)i + 1};
        start(&threads[i], i < MANY ? allocate_as_one_of_many : free_from_many, &parts[i]);
    }
    for (int i = 0; i <= MANY; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void *both_allocate_and_free(void *argument) {
    const struct part *part = argument;
    uint64_t state = part->seed;
    size_t allocated = 0, freed = 0;
    unsigned turns = 0;
    pin_to(&allowed, part->processor);
    while (allocated < part->batches || freed < part->batches) {
        bool any = allocated < part->batches && fill_batch(part->out, allocated, &state);
        allocated += any;
        if (freed < part->batches && free_batch(part->in, freed)) {
            freed++;
            any = true;
        }
        if (!any) wait_a_little(&turns);
    }
    return NULL;
}

static void run_remote_both(size_t operations) {
    struct part parts[2];
    pthread_t partner;
    clear_rings();
    for (int i = 0; i < 2; i++) {
        parts[i] = (struct part){.out = &rings[i],
                                 .in = &rings[1 - i],
                                 .batches = operations / (HANDOVER_BLOCKS * 2),
                                 .processor = i,
                                 .seed = (uint64_t)i + 1};
    }
    start(&partner, both_allocate_and_free, &parts[1]);
    both_allocate_and_free(&parts[0]);
    pthread_join(partner, NULL);
}

const struct pattern remote_patterns[] = {
    {.name = "remote",
     .run = run_remote,
     .operations = 250000,
     .unit = 400,
     .traits = BY_DEFAULT | THREADS},
    {.name = "remote-many",
     .run = run_remote_many,
     .operations = 384000,
     .unit = (size_t)HANDOVER_BLOCKS * MANY,
     .traits = THREADS},
    {.name = "remote-both",
     .run = run_remote_both,
     .operations = 512000,
     .unit = (size_t)HANDOVER_BLOCKS * 2,
     .traits = THREADS},
    {.name = NULL},
};
