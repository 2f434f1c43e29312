/*
 * model: what the models of programs share: the interface of a model, its random numbers, its
 * blocks and its threads.
 *
 * A model does the same work on every allocator. Its random numbers come from the seed, its memory
 * beside the blocks is static or mapped by itself, and each block carries a stamp that is looked at
 * again when the block is freed. The sum of these stamps over all threads is the checksum: it does
 * not depend on the order in which threads meet, so that for one scale, seed and number of threads
 * it is the same on all allocators, or one of them gave out memory twice.
 *
 * An operation is one allocation (malloc, calloc or realloc) with its free. Used by bench-model and
 * bench-memory.
 */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include "clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One run of a model. The totals grow when a worker ends. */
struct job {
    double scale;
    unsigned threads;
    uint64_t seed;
    cpu_set_t processors; /* that the process was given */
    uint64_t operations;
    uint64_t checksum;
};

/* A thread's own state; nobody else touches it. */
struct worker {
    uint64_t random;
    uint64_t operations;
    uint64_t checksum;
    unsigned seat; /* which of the threads that run side by side, from 0 */
    unsigned life; /* which of those that followed each other on this seat, from 0 */
};

typedef void work_function(struct job *job, struct worker *worker);

struct model {
    const char *name;
    void (*run)(struct job *job);
    unsigned least_threads, most_threads; /* a wish outside is an error */
};

enum { MOST_THREADS = 256 };

extern const struct model model_server, model_pipeline, model_trees, model_interpreter, model_cache,
    model_churn, model_buffers, model_lists, model_leavers, model_handover, model_bulk,
    model_requests;

/* Says what went wrong, and ends the program with status 1. */
_Noreturn void give_up(const char *what);
/* `amount` at scale 1; never less than `least`. */
size_t scaled(const struct job *job, size_t amount, size_t least);
/* Zero-filled memory of the program's own, from the kernel: no allocator sees it. */
void *map_own(size_t bytes);
void unmap_own(void *memory, size_t bytes);

/* Runs `count` threads side by side and waits for them. */
void run_threads(struct job *job, unsigned count, work_function *work);
/* The same with threads that are replaced: on each of `seats` seats `lives` threads follow each
 * other. A thread at its end starts its successor itself, so that its end and the other's birth
 * overlap. `first_life` is the number of the first one's life. */
void run_lives(struct job *job, unsigned seats, unsigned first_life, unsigned lives,
               work_function *work);

/* Times that moat has taken a process-wide lock; negative on other allocators. */
double locks_taken(void);

/* For work in the calling thread: the worker is to be handed to worker_finish(), which adds it
 * to the totals. */
struct worker worker_make(const struct job *job, unsigned seat, unsigned life);
void worker_finish(struct job *job, const struct worker *worker);

/* Spreads the bits of a number over a word. */
static inline uint64_t scramble(uint64_t value) {
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93u;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93u;
    return value ^ value >> 32;
}

static inline uint32_t draw(struct worker *worker) {
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(worker->random >> 32);
}

/* 0 to limit - 1. */
static inline uint32_t draw_below(struct worker *worker, uint32_t limit) {
    return (uint32_t)(((uint64_t)draw(worker) * limit) >> 32);
}

/* True once in `times`. */
static inline bool one_in(struct worker *worker, uint32_t times) {
    return draw_below(worker, times) == 0;
}

/* From least to most; each doubling is equally likely, as sizes in programs are: most are small. */
static inline size_t draw_size(struct worker *worker, size_t least, size_t most) {
    unsigned low = 63u - (unsigned)__builtin_clzll(least),
             high = 63u - (unsigned)__builtin_clzll(most);
    size_t base = (size_t)1 << (low + draw_below(worker, high - low + 1));
    size_t size = base + draw_below(worker, (uint32_t)base);
    return size < least ? least : size > most ? most : size;
}

static inline void *take(struct worker *worker, size_t size) {
    void *block = malloc(size);
    if (!block) give_up("out of memory");
    worker->operations++;
    return block;
}

static inline void *take_zeroed(struct worker *worker, size_t count, size_t size) {
    void *block = calloc(count, size);
    if (!block) give_up("out of memory");
    worker->operations++;
    return block;
}

static inline void *take_resized(struct worker *worker, void *block, size_t size) {
    void *moved = realloc(block, size);
    if (!moved) give_up("out of memory");
    worker->operations++;
    return moved;
}

/* Bytes that carry a stamp in their first and last byte, all written. */
static inline void stamp_bytes(void *bytes, size_t size, uint64_t stamp) {
    if (size > 0) memset(bytes, (int)(stamp & 0xff), size);
}

static inline void expect_stamp(const void *bytes, size_t size, uint64_t stamp) {
    const unsigned char *byte = bytes;
    if (size > 0 && (byte[0] != (stamp & 0xff) || byte[size - 1] != (stamp & 0xff)))
        give_up("a block's contents were changed by somebody else");
}

#endif
