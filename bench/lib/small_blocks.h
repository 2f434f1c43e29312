/*
 * small_blocks: what the measuring programs mean by "small blocks of mixed sizes", and how they
 * draw numbers.
 *
 * Sizes come from one fixed table and numbers from a linear congruential generator with fixed
 * seeds: each run of a program does the same work, on each allocator. Taking a block ends the
 * program when there is no memory, and writes one byte, as every program would at least.
 */
#ifndef BENCH_SMALL_BLOCKS_H
#define BENCH_SMALL_BLOCKS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What a program's small blocks look like: most below 64 bytes, a few hundreds. */
static const uint16_t sizes[32] = {16,  16,  24,  24,  32,  32,  32,  40,  40,  48, 48,
                                   48,  56,  64,  64,  64,  72,  80,  80,  88,  96, 96,
                                   104, 112, 128, 128, 144, 160, 192, 256, 320, 512};

enum { MEAN_SIZE = 100 }; /* bytes, of the table above, rounded down */

static inline uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Uses the number's lowest five bits; an index drawn from the same number uses its highest ones. */
static inline size_t mixed_size(uint32_t random) { return sizes[random & 31]; }

/* An index below `count`. */
static inline size_t index_below(uint32_t count, uint32_t random) {
    return (size_t)(((uint64_t)random * count) >> 32);
}

/* The write through volatile makes the block observed. */
static inline void *observed(void *block) {
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    *(volatile char *)block = 1;
    return block;
}

static inline void *take(size_t size) { return observed(malloc(size)); }

#endif
