/*
 * servers: random replacement as a server's worker threads do it (after Larson and Krishnan, 1998):
 * each works on a set of blocks, ends, and leaves the set to a successor, so that blocks outlive
 * their owners and are freed by strangers.
 */
#include "crowd.h"

enum { WORKERS = 4, SET = 600 };

struct set {
    uint64_t seed;
    struct stamped items[SET];
};

static void *work(void *argument) {
    struct set *set = argument;
    for (unsigned i = 0; i < 6000 / SLOWER; i++) {
        struct stamped *item = &set->items[prng_below(&set->seed, SET)];
        stamped_give(*item);
        *item = stamped_take(size_like_programs(&set->seed), &set->seed);
    }
    return NULL;
}

static void *work_by_resizing(void *argument) {
    struct set *set = argument;
    for (unsigned i = 0; i < 4000 / SLOWER; i++) {
        stamped_resize(&set->items[prng_below(&set->seed, SET)], size_like_programs(&set->seed),
                       &set->seed);
    }
    return NULL;
}

static void *fill_set(void *argument) {
    struct set *set = argument;
    for (unsigned i = 0; i < SET; i++)
        set->items[i] = stamped_take(size_small(&set->seed), &set->seed);
    return NULL;
}

static void serve(void *(*work_on)(void *)) {
    static struct set sets[WORKERS];
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        sets[i].seed = 100 + i;
        thread_join(thread_begin(fill_set, &sets[i]));
    }
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < WORKERS; i++)
            threads[i] = thread_begin(work_on, &sets[(i + round) % WORKERS]);
        for (unsigned i = 0; i < WORKERS; i++) thread_join(threads[i]);
        moat_check();
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned k = 0; k < SET; k++) stamped_give(sets[i].items[k]);
    }
}

static void replacing(void) { serve(work); }
static void resizing(void) { serve(work_by_resizing); }

/* The kinds without an owner, and aligned blocks, from hand to hand: huge, zero-size, aligned to a
   line, a page, a segment. */
static struct handover queue;

static void *make_special(void *argument) {
    uint64_t seed = *(const uint64_t *)argument;
    static const size_t alignments[] = {64, 4096, 65536, (size_t)4 << 20};
    for (unsigned i = 0; i < 1500 / SLOWER; i++) {
        size_t dice = prng_below(&seed, 4),
               size = dice == 0 ? 0 : 1 + prng_below(&seed, (size_t)3 << 20);
        if (dice < 2) {
            handover_put(&queue, stamped_take(size, &seed));
            continue;
        }
        size_t alignment = alignments[prng_below(&seed, 4)];
        void *block = moat_aligned_alloc(alignment, size);
        REQUIRE(block && (uintptr_t)block % alignment == 0, "a block aligned to %zu", alignment);
        struct stamped item = {block, 0, 0};
        handover_put(&queue, item);
    }
    return NULL;
}

static void *take_special(void *argument) {
    struct stamped item;
    (void)argument;
    while (handover_get(&queue, &item)) {
        if (item.stamp != 0) stamped_check(&item);
        moat_free(item.block);
    }
    return NULL;
}

static void special_kinds(void) {
    pthread_t makers[2], takers[2];
    uint64_t seeds[2] = {5, 6};
    handover_open(&queue);
    for (unsigned i = 0; i < 2; i++) {
        makers[i] = thread_begin(make_special, &seeds[i]);
        takers[i] = thread_begin(take_special, NULL);
    }
    for (unsigned i = 0; i < 2; i++) thread_join(makers[i]);
    handover_close(&queue);
    for (unsigned i = 0; i < 2; i++) thread_join(takers[i]);
}

/* Small blocks take no lock, whatever the threads do with them: the count of locks stands still
   once the heaps have warmed up. */
static void *churn(void *argument) {
    struct set *set = argument;
    for (unsigned i = 0; i < 100000 / SLOWER; i++) {
        struct stamped *item = &set->items[prng_below(&set->seed, SET)];
        stamped_give(*item);
        *item = stamped_take(size_small(&set->seed), &set->seed);
    }
    return NULL;
}

static size_t locks_now(void) {
    struct moat_stats stats;
    moat_stats_get(&stats);
    return stats.locks_taken;
}

static void small_blocks_take_no_lock(void) {
    static struct set set;
    set.seed = 3;
    fill_set(&set);
    churn(&set);
    size_t before = locks_now();
    for (unsigned i = 0; i < 5; i++) churn(&set);
    size_t taken = locks_now() - before;
    REQUIRE(taken <= 20, "half a million small blocks take no more than a few locks: %zu", taken);
    for (unsigned i = 0; i < SET; i++) stamped_give(set.items[i]);
}

const struct scenario server_scenarios[] = {
    {"replacing", replacing},
    {"resizing", resizing},
    {"special-kinds", special_kinds},
    {"small-blocks-take-no-lock", small_blocks_take_no_lock},
    {NULL, NULL},
};
