/*
 * patterns_small: bench-micro's patterns of one thread with small blocks.
 *
 *   pair           the same 64-byte block, allocated and freed at once
 *   batch          400 allocations of mixed small sizes, then 400 frees in the same order
 *   random         one of 800 blocks of mixed small sizes, chosen at random, is freed and allocated
 *                  anew
 *   wide           the same among 100 000 blocks: neither blocks nor metadata stay in the cache
 *   calloc         as random, by calloc; one block in 32 has 16 times its size (256 bytes to 8 KiB)
 *   aligned        as random, by aligned_alloc with alignments from 32 to 4096, most of them 32 and
 *                  64; sizes are rounded up to the alignment, as C11 asks
 *   sized-delete   as random, by C++'s operators new and sized delete
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

enum {
    BATCH_BLOCKS = 400,
    RANDOM_BLOCKS = 800,
    WIDE_BLOCKS = 100000,
};

static void *blocks[WIDE_BLOCKS];

static bool stand(size_t count) {
    uint64_t state = 7;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(mixed_size(next_random(&state)));
    }
    return true;
}

static void drop(size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
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
        size_t at = index_below(count, random);
        free(blocks[at]);
        blocks[at] = take(mixed_size(random));
    }
}

static void run_random(size_t operations) { replace_at_random(operations, RANDOM_BLOCKS); }
static void run_wide(size_t operations) { replace_at_random(operations, WIDE_BLOCKS); }

static void run_calloc(size_t operations) {
    static uint64_t state = 1;
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&state);
        size_t at = index_below(RANDOM_BLOCKS, random);
        size_t size = (random >> 5) % 32 ? mixed_size(random) : mixed_size(random) * 16;
        free(blocks[at]);
        blocks[at] = observed(calloc(1, size));
    }
}

static void run_aligned(size_t operations) {
    static const uint16_t alignments[16] = {32, 32, 32,  32,  32,  64,   64,   64,
                                            64, 64, 128, 256, 512, 1024, 2048, 4096};
    static uint64_t state = 1;
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&state);
        size_t at = index_below(RANDOM_BLOCKS, random);
        size_t alignment = alignments[(random >> 5) % 16];
        size_t size = (mixed_size(random) + alignment - 1) & ~(alignment - 1);
        free(blocks[at]);
        blocks[at] = observed(aligned_alloc(alignment, size));
    }
}

static void *(*operator_new)(size_t size);
static void (*operator_delete)(void *block, size_t size);
static uint16_t sizes_of_blocks[RANDOM_BLOCKS];

/* The process's own operators, by their mangled names. A process without C++, on an allocator
 * that has none, loads the C++ runtime, whose operators call malloc and free: so would any C++
 * program. */
static bool find_operators(void) {
    void *handle = RTLD_DEFAULT;
    if (!dlsym(handle, "_Znwm") || !dlsym(handle, "_ZdlPvm")) {
        handle = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL);
        if (!handle) return false;
    }
    operator_new = (void *(*)(size_t))dlsym(handle, "_Znwm");
    operator_delete = (void (*)(void *, size_t))dlsym(handle, "_ZdlPvm");
    return operator_new && operator_delete;
}

static bool stand_by_new(size_t count) {
    uint64_t state = 7;
    if (!find_operators()) {
        fprintf(stderr, "bench-micro: sized-delete is left out: neither this process nor a "
                        "libstdc++.so.6 has C++'s operators new and sized delete\n");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        sizes_of_blocks[i] = (uint16_t)mixed_size(next_random(&state));
        blocks[i] = observed(operator_new(sizes_of_blocks[i]));
    }
    return true;
}

static void drop_by_delete(size_t count) {
    for (size_t i = 0; i < count; i++) {
        operator_delete(blocks[i], sizes_of_blocks[i]);
    }
}

static void run_sized_delete(size_t operations) {
    static uint64_t state = 1;
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&state);
        size_t at = index_below(RANDOM_BLOCKS, random);
        operator_delete(blocks[at], sizes_of_blocks[at]);
        sizes_of_blocks[at] = (uint16_t)mixed_size(random);
        blocks[at] = observed(operator_new(sizes_of_blocks[at]));
    }
}

const struct pattern small_patterns[] = {
    {.name = "pair",
     .run = run_pair,
     .operations = 1000000,
     .unit = BATCH_BLOCKS,
     .traits = BY_DEFAULT},
    {.name = "batch",
     .run = run_batch,
     .operations = 1000000,
     .unit = BATCH_BLOCKS,
     .traits = BY_DEFAULT},
    {.name = "random",
     .prepare = stand,
     .run = run_random,
     .finish = drop,
     .operations = 1000000,
     .unit = BATCH_BLOCKS,
     .amount = RANDOM_BLOCKS,
     .traits = BY_DEFAULT},
    {.name = "wide",
     .prepare = stand,
     .run = run_wide,
     .finish = drop,
     .operations = 400000,
     .unit = BATCH_BLOCKS,
     .amount = WIDE_BLOCKS,
     .traits = BY_DEFAULT},
    {.name = "calloc",
     .prepare = stand,
     .run = run_calloc,
     .finish = drop,
     .operations = 500000,
     .unit = 1,
     .amount = RANDOM_BLOCKS},
    {.name = "aligned",
     .prepare = stand,
     .run = run_aligned,
     .finish = drop,
     .operations = 500000,
     .unit = 1,
     .amount = RANDOM_BLOCKS},
    {.name = "sized-delete",
     .prepare = stand_by_new,
     .run = run_sized_delete,
     .finish = drop_by_delete,
     .operations = 1000000,
     .unit = 1,
     .amount = RANDOM_BLOCKS},
    {.name = NULL},
};
