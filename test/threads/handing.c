/*
 * handing: blocks allocated by one thread and freed by another. Every free is a remote one, pages
 * fill up at one end and are emptied from the other, and owners must find out.
 */
#include "crowd.h"

enum { PRODUCERS = 3, CONSUMERS = 3, PLAYERS = 5 };

static struct handover queue;

struct worker_input {
    uint64_t seed;
    unsigned count;
};

static void *produce(void *argument) {
    struct worker_input *input = argument;
    for (unsigned i = 0; i < input->count; i++)
        handover_put(&queue, stamped_take(size_like_programs(&input->seed), &input->seed));
    return NULL;
}

static void *consume(void *argument) {
    struct stamped item;
    (void)argument;
    while (handover_get(&queue, &item)) stamped_give(item);
    return NULL;
}

static void producers_and_consumers(void) {
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    struct worker_input inputs[PRODUCERS];
    handover_open(&queue);
    for (unsigned i = 0; i < CONSUMERS; i++) consumers[i] = thread_begin(consume, NULL);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        inputs[i] = (struct worker_input){i + 1, 30000 / SLOWER};
        producers[i] = thread_begin(produce, &inputs[i]);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) thread_join(producers[i]);
    handover_close(&queue);
    for (unsigned i = 0; i < CONSUMERS; i++) thread_join(consumers[i]);
}

/* One thread in a circle: it takes what comes from its left, resizes some, frees some and makes
   others in their place, and hands on to its right until the blocks that it was given to begin with
   have gone round. */
struct player {
    struct handover *left, *right;
    uint64_t seed;
    unsigned turns;
};

static void *play_ring(void *argument) {
    struct player *player = argument;
    for (unsigned turn = 0; turn < player->turns; turn++) {
        struct stamped item;
        REQUIRE(handover_get(player->left, &item), "the circle goes on");
        size_t dice = prng_below(&player->seed, 4);
        if (dice == 0) {
            stamped_give(item);
            item = stamped_take(size_like_programs(&player->seed), &player->seed);
        } else if (dice == 1) {
            stamped_resize(&item, size_small(&player->seed), &player->seed);
        } else {
            stamped_check(&item);
        }
        handover_put(player->right, item);
    }
    return NULL;
}

static void ring(void) {
    enum { BLOCKS_EACH = 100 };
    static struct handover queues[PLAYERS];
    pthread_t threads[PLAYERS];
    struct player players[PLAYERS];
    uint64_t seed = 42;
    for (unsigned i = 0; i < PLAYERS; i++) handover_open(&queues[i]);
    for (unsigned i = 0; i < PLAYERS * BLOCKS_EACH; i++) {
        handover_put(&queues[i % PLAYERS], stamped_take(size_like_programs(&seed), &seed));
    }
    for (unsigned i = 0; i < PLAYERS; i++) {
        players[i] = (struct player){&queues[i], &queues[(i + 1) % PLAYERS], i + 1, 20000 / SLOWER};
        threads[i] = thread_begin(play_ring, &players[i]);
    }
    for (unsigned i = 0; i < PLAYERS; i++) thread_join(threads[i]);
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct stamped item;
        handover_close(&queues[i]);
        while (handover_get(&queues[i], &item)) stamped_give(item);
    }
}

/* The threads that free have never allocated, and end while the others go on. */
static void threads_that_only_free(void) {
    struct worker_input input = {9, 20000 / SLOWER};
    size_t before = committed_now();
    for (unsigned round = 0; round < 5; round++) {
        handover_open(&queue);
        pthread_t first = thread_begin(consume, NULL), second = thread_begin(consume, NULL);
        produce(&input);
        handover_close(&queue);
        thread_join(first);
        thread_join(second);
    }
    moat_trim();
    size_t after = committed_now();
    /* The queue holds 256 blocks of 3 MiB at the very most; measured it is far less. What stays is
       what the owner keeps. */
    REQUIRE(after <= before + ((size_t)32 << 20), "memory comes back: %zu KiB before, %zu after",
            before >> 10, after >> 10);
}

/* Every page of the owner is full and set aside when another thread frees it all: each must be
   found again, or the process grows. */
enum { FILL = 20000 };
static void *filled[FILL];

static void *free_filled(void *argument) {
    size_t step = *(const size_t *)argument;
    for (size_t first = 0; first < step; first++) {
        for (size_t i = first; i < FILL; i += step) moat_free(filled[i]);
    }
    return NULL;
}

static void full_pages_come_back(void) {
    size_t settled = 0, steps[] = {1, 7, 64, 1000};
    for (unsigned round = 0; round < 60 / (SLOWER > 1 ? 4 : 1); round++) {
        for (unsigned i = 0; i < FILL; i++) {
            filled[i] = moat_malloc(48);
            REQUIRE(filled[i], "a block");
        }
        thread_join(thread_begin(free_filled, &steps[round % 4]));
        if (round == 8) settled = committed_now();
    }
    size_t after = committed_now();
    REQUIRE(after <= settled + ((size_t)4 << 20),
            "full pages are used again: %zu KiB after 8 rounds, %zu at the end", settled >> 10,
            after >> 10);
}

/* Two threads free into the same pages while the owner goes on allocating from them. */
static _Atomic(void *) slots[512];

static void *sweep_slots(void *argument) {
    atomic_bool *stop = argument;
    while (!atomic_load(stop)) {
        for (unsigned i = 0; i < 512; i++) moat_free(atomic_exchange(&slots[i], NULL));
    }
    return NULL;
}

static void owner_goes_on(void) {
    atomic_bool stop = false;
    pthread_t first = thread_begin(sweep_slots, &stop), second = thread_begin(sweep_slots, &stop);
    uint64_t seed = 77;
    size_t settled = 0;
    for (unsigned i = 0; i < 2000000 / SLOWER; i++) {
        void *block = moat_malloc(16 + prng_below(&seed, 240));
        REQUIRE(block, "a block");
        moat_free(atomic_exchange(&slots[prng_below(&seed, 512)], block));
        if (i == 200000 / SLOWER) settled = committed_now();
    }
    atomic_store(&stop, true);
    thread_join(first);
    thread_join(second);
    for (unsigned i = 0; i < 512; i++) moat_free(atomic_exchange(&slots[i], NULL));
    size_t after = committed_now();
    REQUIRE(after <= settled + ((size_t)8 << 20), "memory stays bounded: %zu KiB, then %zu",
            settled >> 10, after >> 10);
}

const struct scenario handing_scenarios[] = {
    {"producers-and-consumers", producers_and_consumers},
    {"ring", ring},
    {"threads-that-only-free", threads_that_only_free},
    {"full-pages-come-back", full_pages_come_back},
    {"owner-goes-on", owner_goes_on},
    {NULL, NULL},
};
