/*
 * paths: takes one path of the allocator at a time, for count.py to count its instructions under
 * valgrind's callgrind.
 *
 *   paths --list    the names, one a line
 *   paths PATH      prepares, then does operations of that path, and prints `operations,COUNT`
 *
 * Linked with libmoat.so. Counted is what lies between counting_begins and counting_ends, in all
 * threads: callgrind sets its counters to zero before the one and writes them out before the other
 * (--zero-before, --dump-before). This program's own instructions lie in between too; count.py
 * takes those of libmoat.so alone. The paths named -fast have their blocks put in place first, so
 * that nothing else happens in between; the others are amortised over as many operations as they
 * take. Those named strict- count.py runs at that level. Seeds are fixed.
 */
#include "prng.h"
#include "require.h"
#include "worker.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 64,
    MEDIUM = 5000,
    LARGE = 100 * 1024,
    HUGE = 8 * 1024 * 1024,
    SETTLED = 900, /* blocks of SMALL that a page is brought to have carved: most of what fits */
    APART = 300,   /* taken first of these: more than a step of carving can have left over */
    FAST = 400,    /* counted, when what is left of the freed ones is the list to allocate from */
    PAIRS = 4000,
    BATCH = 400,
    STANDING = 800,
    HANDED = 4000, /* to another thread: several pages */
    FRESH_SMALL = 1000000,
    FRESH_SOME = 40000,
    FRESH_MEDIUM = 4000,
    FRESH_LARGE = 400,
    FRESH_HUGE = 40,
    HUGE_PAIRS = 200,
    GROWN = 200,
    THREADS = 100,
    /* of the blocks an ended thread leaves: of a class that the first thread has no page of */
    LEFT_SIZE = 96,
};

void free_sized(void *block, size_t size); /* C23 */
/* C++'s operators under the names that its compilers give them. */
void *operator_new(size_t size) __asm__("_Znwm");
void operator_delete(void *block) __asm__("_ZdlPv");
void operator_delete_sized(void *block, size_t size) __asm__("_ZdlPvm");

void counting_begins(void);
void counting_ends(void);

/* Named on callgrind's command line; the empty statement keeps the calls. */
__attribute__((noinline)) void counting_begins(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) void counting_ends(void) { __asm__ volatile("" ::: "memory"); }

static void *blocks[FRESH_SMALL];

/* Like a program's small blocks: most below 64 bytes, a few hundreds. */
static const uint16_t mixed_sizes[16] = {16, 24, 32, 32, 40,  48,  48,  56,
                                         64, 72, 80, 96, 112, 144, 240, 500};

static size_t mixed_size(uint64_t *state) { return mixed_sizes[prng_below(state, 16)]; }

/* Writes as a program would: the first word of a free block is moat's. */
static void *take(size_t size) {
    void *block = malloc(size);
    REQUIRE(block != NULL, "there is memory for %zu bytes", size);
    *(volatile char *)block = 1;
    return block;
}

static void take_many(size_t count, size_t size) {
    for (size_t i = 0; i < count; i++) blocks[i] = take(size);
}

static void free_many(size_t count) {
    for (size_t i = 0; i < count; i++) free(blocks[i]);
}

/* Brings the thread's page of SMALL to a list of FAST free blocks and some more. */
static void settle(void) {
    take_many(SETTLED, SMALL);
    free_many(SETTLED);
    for (size_t i = 0; i < APART; i++) blocks[FAST + i] = take(SMALL);
}

/* --- One block at a time --------------------------------------------------------------------- */

#define COUNTED(times, ...)                                                                        \
    do {                                                                                           \
        counting_begins();                                                                         \
        for (size_t i = 0; i < (times); i++) __VA_ARGS__;                                          \
        counting_ends();                                                                           \
    } while (0)

static size_t malloc_fast(void) {
    settle();
    COUNTED(FAST, blocks[i] = malloc(SMALL));
    return FAST;
}

static size_t calloc_fast(void) {
    settle();
    COUNTED(FAST, blocks[i] = calloc(1, SMALL));
    return FAST;
}

static size_t new_fast(void) {
    settle();
    COUNTED(FAST, blocks[i] = operator_new(SMALL));
    return FAST;
}

static size_t free_fast(void) {
    settle();
    take_many(FAST, SMALL);
    COUNTED(FAST, free(blocks[i]));
    return FAST;
}

static size_t free_sized_fast(void) {
    settle();
    take_many(FAST, SMALL);
    COUNTED(FAST, free_sized(blocks[i], SMALL));
    return FAST;
}

static size_t delete_fast(void) {
    settle();
    take_many(FAST, SMALL);
    COUNTED(FAST, operator_delete(blocks[i]));
    return FAST;
}

static size_t delete_sized_fast(void) {
    settle();
    take_many(FAST, SMALL);
    COUNTED(FAST, operator_delete_sized(blocks[i], SMALL));
    return FAST;
}

static size_t usable_size(void) {
    settle();
    take_many(FAST, SMALL);
    COUNTED(FAST, (void)malloc_usable_size(blocks[i]));
    return FAST;
}

static size_t realloc_in_place(void) {
    blocks[0] = take(SMALL);
    COUNTED(FAST, blocks[0] = realloc(blocks[0], SMALL - i % 2));
    return FAST;
}

/* From 16 bytes to 64 KiB by doubling, and the free at the end: so many calls. */
static size_t grow(void) {
    size_t calls = 1;
    void *block = NULL;
    for (size_t size = 16; size <= (size_t)64 * 1024; size *= 2, calls++)
        block = realloc(block, size);
    free(block);
    return calls;
}

static size_t realloc_growing(void) {
    size_t calls = grow();
    COUNTED(GROWN, (void)grow());
    return GROWN * calls;
}

/* --- Pairs ----------------------------------------------------------------------------------- */

static size_t count_pairs(size_t pairs, size_t size) {
    free(malloc(size));
    COUNTED(pairs, free(malloc(size)));
    return pairs;
}

static size_t pair_small(void) { return count_pairs(PAIRS, SMALL); }
static size_t pair_zero(void) { return count_pairs(PAIRS, 0); }
static size_t pair_medium(void) { return count_pairs(PAIRS, MEDIUM); }
static size_t pair_large(void) { return count_pairs(PAIRS, LARGE); }
static size_t pair_huge(void) { return count_pairs(HUGE_PAIRS, HUGE); }

static size_t pair_aligned(void) {
    free(aligned_alloc(64, SMALL));
    COUNTED(PAIRS, free(aligned_alloc(64, SMALL)));
    return PAIRS;
}

/* One of the standing blocks, at random, is freed and replaced by one of another class. */
static size_t pair_mixed(void) {
    uint64_t state = 1;
    for (size_t i = 0; i < STANDING; i++) blocks[i] = take(mixed_size(&state));
    COUNTED(20 * PAIRS, {
        size_t at = prng_below(&state, STANDING);
        free(blocks[at]);
        blocks[at] = malloc(mixed_size(&state));
    });
    return (size_t)20 * PAIRS;
}

static void one_batch(uint64_t *state) {
    for (size_t i = 0; i < BATCH; i++) blocks[i] = malloc(mixed_size(state));
    free_many(BATCH);
}

static size_t batch(void) {
    uint64_t state = 1;
    for (size_t i = 0; i < 10; i++) one_batch(&state);
    COUNTED(200, one_batch(&state));
    return (size_t)200 * BATCH;
}

/* --- New memory: carving, pages, segments, and all of it given back -------------------------- */

static size_t count_fresh(size_t count, size_t size) {
    free(malloc(SMALL));
    COUNTED(count, blocks[i] = malloc(size));
    return count;
}

static size_t fresh_small(void) { return count_fresh(FRESH_SMALL, SMALL); }
static size_t fresh_some(void) { return count_fresh(FRESH_SOME, SMALL); }
static size_t fresh_medium(void) { return count_fresh(FRESH_MEDIUM, MEDIUM); }
static size_t fresh_large(void) { return count_fresh(FRESH_LARGE, LARGE); }
static size_t fresh_huge(void) { return count_fresh(FRESH_HUGE, HUGE); }

static size_t emptying(void) {
    take_many(FRESH_SMALL, SMALL);
    COUNTED(FRESH_SMALL, free(blocks[i]));
    return FRESH_SMALL;
}

/* --- Two threads ----------------------------------------------------------------------------- */

static void take_handed(void *size) { take_many(HANDED, *(const size_t *)size); }

/* All but every fourth block, so that no page becomes empty. */
static bool is_kept(size_t i) { return i % 4 == 0; }

static void free_most(void *unused) {
    (void)unused;
    free(take(MEDIUM)); /* a thread with a heap of its own */
    for (size_t i = 0; i < HANDED; i++)
        if (!is_kept(i)) free(blocks[i]);
}

static size_t take_again(void) {
    size_t taken = 0;
    for (size_t i = 0; i < HANDED; i++) {
        if (is_kept(i)) continue;
        blocks[i] = malloc(SMALL);
        taken++;
    }
    return taken;
}

/* The free alone, of blocks whose owner does nothing meanwhile. */
static size_t remote_free_size(size_t size) {
    struct worker owner;
    free(take(SMALL));
    worker_start(&owner);
    worker_do(&owner, take_handed, &size);
    COUNTED(HANDED, free(blocks[i]));
    worker_end(&owner);
    return HANDED;
}

static size_t remote_free_small(void) { return remote_free_size(SMALL); }
static size_t remote_free_medium(void) { return remote_free_size(MEDIUM); }

/* The owner allocates again what another thread has freed. */
static size_t collect(void) {
    struct worker other;
    size_t counted = 0;
    worker_start(&other);
    take_many(HANDED, SMALL);
    for (size_t round = 0; round < 10; round++) {
        worker_do(&other, free_most, NULL);
        COUNTED(1, counted += take_again());
    }
    worker_end(&other);
    return counted;
}

/* Of blocks whose thread has ended: their segments are taken over first. */
static size_t free_abandoned(void) {
    struct worker owner;
    size_t size = LEFT_SIZE;
    free(take(SMALL));
    worker_start(&owner);
    worker_do(&owner, take_handed, &size);
    worker_end(&owner);
    COUNTED(HANDED, free(blocks[i]));
    return HANDED;
}

static void *live_shortly(void *unused) {
    free(take(SMALL));
    return unused;
}

static void one_thread(void) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, live_shortly, NULL) == 0, "a thread can be made");
    REQUIRE(pthread_join(thread, NULL) == 0, "the thread can be joined");
}

/* Born, one block allocated and freed, ended: what moat does for it, in it and in the thread that
   made it. */
static size_t thread_life(void) {
    one_thread();
    COUNTED(THREADS, one_thread());
    return THREADS;
}

/* ---------------------------------------------------------------------------------------------- */

static const struct path {
    const char *name;
    size_t (*take)(void); /* returns the operations it counted */
} paths[] = {
    {"malloc-fast", malloc_fast},
    {"free-fast", free_fast},
    {"calloc-fast", calloc_fast},
    {"free-sized-fast", free_sized_fast},
    {"new-fast", new_fast},
    {"delete-fast", delete_fast},
    {"delete-sized-fast", delete_sized_fast},
    {"usable-size", usable_size},
    {"realloc-in-place", realloc_in_place},
    {"realloc-growing", realloc_growing},
    {"pair-small", pair_small},
    {"pair-mixed", pair_mixed},
    {"batch", batch},
    {"pair-aligned", pair_aligned},
    {"pair-medium", pair_medium},
    {"pair-large", pair_large},
    {"pair-huge", pair_huge},
    {"pair-zero", pair_zero},
    {"fresh-small", fresh_small},
    {"fresh-medium", fresh_medium},
    {"fresh-large", fresh_large},
    {"fresh-huge", fresh_huge},
    {"emptying", emptying},
    {"remote-free-small", remote_free_small},
    {"remote-free-medium", remote_free_medium},
    {"collect", collect},
    {"free-abandoned", free_abandoned},
    {"thread", thread_life},
    {"strict-pair", pair_small},
    {"strict-mixed", pair_mixed},
    {"strict-batch", batch},
    {"strict-fresh", fresh_some},
};

enum { PATHS = sizeof paths / sizeof *paths };

static const struct path *path_named(const char *name) {
    for (size_t i = 0; i < PATHS; i++)
        if (strcmp(name, paths[i].name) == 0) return &paths[i];
    return NULL;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < PATHS; i++) say("%s", paths[i].name);
        return 0;
    }
    const struct path *path = argc == 2 ? path_named(argv[1]) : NULL;
    if (!path) {
        say("usage: paths --list | PATH");
        return 2;
    }
    say("operations,%zu", path->take());
    return 0;
}
