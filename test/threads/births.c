/*
 * births: threads are born and end by the thousand, and leave blocks behind. Heaps must be used
 * again, abandoned segments found, and nothing that everybody has freed may stay.
 */
#include "crowd.h"

enum { ALIVE = 8, LEFT = 24 };

/* One generation's legacy for the next: written before the thread ends, read after it was
   joined. */
struct life {
    uint64_t seed;
    struct stamped left[LEFT];
    bool has_left;
};

static void *live(void *argument) {
    struct life *life = argument;
    struct stamped own[LEFT];
    if (life->has_left) {
        for (unsigned i = 0; i < LEFT; i++) stamped_give(life->left[i]);
    }
    for (unsigned i = 0; i < LEFT; i++) {
        own[i] = stamped_take(size_small(&life->seed), &life->seed);
        life->left[i] = stamped_take(size_like_programs(&life->seed), &life->seed);
    }
    for (unsigned i = 0; i < LEFT; i++) stamped_give(own[i]);
    life->has_left = true;
    return NULL;
}

static void generations(void) {
    static struct life lives[ALIVE];
    pthread_t threads[ALIVE];
    struct moat_stats stats;
    for (unsigned i = 0; i < ALIVE; i++) lives[i].seed = i + 1;
    for (unsigned generation = 0; generation < 400 / SLOWER; generation++) {
        /* What thread i left goes to thread i + 1. */
        struct life last = lives[ALIVE - 1];
        for (unsigned i = ALIVE - 1; i > 0; i--) lives[i] = lives[i - 1];
        lives[0] = last;
        for (unsigned i = 0; i < ALIVE; i++) threads[i] = thread_begin(live, &lives[i]);
        for (unsigned i = 0; i < ALIVE; i++) thread_join(threads[i]);
    }
    for (unsigned i = 0; i < ALIVE; i++) {
        for (unsigned k = 0; k < LEFT; k++) stamped_give(lives[i].left[k]);
    }
    moat_stats_get(&stats);
    REQUIRE(stats.heaps <= 2 * ALIVE + 4, "heaps are used again: %zu for %d threads at a time",
            stats.heaps, ALIVE);
}

/* Threads that end without having allocated, or after a single block, one after the other. */
static void *live_briefly(void *argument) {
    if (argument) moat_free(moat_malloc(100));
    return NULL;
}

static void thousands_of_short_lives(void) {
    static int something;
    size_t before = committed_now();
    for (unsigned i = 0; i < 6000 / SLOWER; i++)
        thread_join(thread_begin(live_briefly, i % 2 ? &something : NULL));
    size_t after = committed_now();
    REQUIRE(after <= before + ((size_t)16 << 20), "short lives leave nothing: %zu KiB, then %zu",
            before >> 10, after >> 10);
}

/* A thread fills 4 MiB and ends; what it left is freed by the main thread, or by a thread that
   never allocates. */
enum { ESTATE = 40000 };
static void *estate[ESTATE];

static void *leave_estate(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < ESTATE; i++) {
        estate[i] = moat_malloc(96);
        REQUIRE(estate[i], "a block");
        *(unsigned *)estate[i] = i;
    }
    return NULL;
}

static void *free_estate(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < ESTATE; i++) {
        REQUIRE(*(unsigned *)estate[i] == i, "the block of an ended thread keeps its contents");
        moat_free(estate[i]);
    }
    return NULL;
}

static void repeat_estates(bool by_other_thread) {
    size_t settled = 0;
    for (unsigned round = 0; round < 100 / (SLOWER > 1 ? 5 : 1); round++) {
        thread_join(thread_begin(leave_estate, NULL));
        if (by_other_thread) {
            thread_join(thread_begin(free_estate, NULL));
        } else {
            free_estate(NULL);
        }
        if (round == 8) settled = committed_now();
    }
    size_t after = committed_now();
    REQUIRE(after <= settled + ((size_t)8 << 20),
            "abandoned memory is used again: %zu KiB after 8 rounds, %zu at the end", settled >> 10,
            after >> 10);
}

static void estates_freed_by_main(void) { repeat_estates(false); }
static void estates_freed_by_stranger(void) { repeat_estates(true); }

/* Each thread frees every other block before it ends; the holes in the pages it leaves serve those
   who come after. */
enum { HOLED_ROUNDS = 30, HELD_EACH = ESTATE / 2 };
static void *kept[HOLED_ROUNDS][HELD_EACH];

static void *leave_holes(void *round_kept) {
    void **mine = round_kept;
    leave_estate(NULL);
    for (unsigned i = 0; i < ESTATE; i++) {
        if (i % 2) {
            mine[i / 2] = estate[i];
        } else {
            moat_free(estate[i]);
        }
    }
    return NULL;
}

static void holes_are_filled(void) {
    size_t before = committed_now();
    unsigned rounds = HOLED_ROUNDS / (SLOWER > 1 ? 3 : 1);
    for (unsigned round = 0; round < rounds; round++)
        thread_join(thread_begin(leave_holes, kept[round]));
    size_t grown = committed_now() - before, live = (size_t)rounds * HELD_EACH * 96;
    REQUIRE(grown <= live + live / 2 + ((size_t)16 << 20),
            "holes in abandoned pages are filled: %zu KiB for %zu KiB of blocks", grown >> 10,
            live >> 10);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < HELD_EACH; i++) moat_free(kept[round][i]);
    }
}

const struct scenario birth_scenarios[] = {
    {"generations", generations},
    {"thousands-of-short-lives", thousands_of_short_lives},
    {"estates-freed-by-main", estates_freed_by_main},
    {"estates-freed-by-stranger", estates_freed_by_stranger},
    {"holes-are-filled", holes_are_filled},
    {NULL, NULL},
};
