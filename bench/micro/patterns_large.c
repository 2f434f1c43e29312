/*
 * patterns_large: bench-micro's patterns with blocks that grow and blocks that are large.
 *
 *   realloc-growth   16 buffers grow by half from 16 bytes to 64 KiB, in turns, so that none has
 *                    free memory behind it for good; beside them one grows by 186 bytes at a time,
 *                    16 times in each turn. ns per realloc; the copying, and the freeing at the end
 *                    of a round, are part of it.
 *   large            one of 16 blocks from 64 KiB to 8 MiB, chosen at random, is freed and
 *                    allocated anew; small ones are more frequent (each doubling has the same
 *                    share). Of each block the first byte of each 4 KiB page is written, but of its
 *                    first 64 KiB only, lest page faults, the kernel's work, drown everything.
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

enum {
    BUFFERS = 16,
    LEAST = 16,
    MOST = 64 * 1024,
    TURNS = 22, /* from LEAST to MOST, by half each */
    STEPS = 16, /* of the slow buffer in one turn */
    STEP = (MOST - LEAST) / (TURNS * STEPS),
    GROWTH_CALLS = TURNS * (BUFFERS + STEPS),

    LARGE_BLOCKS = 16,
    LARGE_LEAST = 64 * 1024,
    LARGE_DOUBLINGS = 7, /* to 8 MiB */
    PAGE = 4096,
    TOUCHED = 64 * 1024,
};

static void *grow(void *buffer, size_t size) {
    char *grown = observed(realloc(buffer, size));
    ((volatile char *)grown)[size - 1] = 1;
    return grown;
}

static void grow_round(void) {
    void *buffers[BUFFERS] = {NULL}, *slow = NULL;
    size_t size = LEAST, slow_size = LEAST;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < BUFFERS; i++) {
            buffers[i] = grow(buffers[i], size);
        }
        for (int i = 0; i < STEPS; i++) {
            slow = grow(slow, slow_size);
            slow_size += STEP;
        }
        size = size + size / 2 < MOST ? size + size / 2 : MOST;
    }
    for (int i = 0; i < BUFFERS; i++) {
        free(buffers[i]);
    }
    free(slow);
}

static void run_realloc_growth(size_t operations) {
    for (size_t done = 0; done < operations; done += GROWTH_CALLS) {
        grow_round();
    }
}

static char *large[LARGE_BLOCKS];

static char *take_large(uint32_t random) {
    size_t least = (size_t)LARGE_LEAST << random % LARGE_DOUBLINGS;
    size_t size = least + index_below((uint32_t)least, random * 2654435761u);
    char *block = take(size);
    for (size_t at = PAGE; at < TOUCHED; at += PAGE) {
        ((volatile char *)block)[at] = 1;
    }
    return block;
}

static bool prepare_large(size_t count) {
    uint64_t state = 7;
    for (size_t i = 0; i < count; i++) {
        large[i] = take_large(next_random(&state));
    }
    return true;
}

static void finish_large(size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(large[i]);
    }
}

static void run_large(size_t operations) {
    static uint64_t state = 1;
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&state);
        size_t at = index_below(LARGE_BLOCKS, random);
        free(large[at]);
        large[at] = take_large(random);
    }
}

const struct pattern large_patterns[] = {
    {.name = "realloc-growth",
     .run = run_realloc_growth,
     .operations = (size_t)GROWTH_CALLS * 100,
     .unit = GROWTH_CALLS},
    {.name = "large",
     .prepare = prepare_large,
     .run = run_large,
     .finish = finish_large,
     .operations = 4000,
     .unit = 1,
     .amount = LARGE_BLOCKS},
    {.name = NULL},
};
