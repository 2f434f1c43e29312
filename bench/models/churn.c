/*
 * churn: many short threads, each of which allocates some hundred blocks and leaves some of them to
 * others.
 *
 * A thread allocates 300 blocks of 16 bytes to 2 KiB, and one of 8 to 64 KiB, as threads that do
 * one task and end. One block in ten goes to a place in a shared table, and the thread frees
 * whatever lay there: a block of a thread that has ended, as a rule. The others it frees itself, in
 * another order than it made them. At each moment there are as many threads as asked for.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    PLACES = 4096,
    BLOCKS = 300,    /* of one thread */
    THREADS = 20000, /* at scale 1 */
    /* has no divisor in common with BLOCKS: the order of frees goes round all of them */
    STRIDE = 37,
};

struct left {
    uint64_t stamp;
    size_t size;
    char rest[];
};

static _Atomic(struct left *) places[PLACES];

static struct left *make(struct worker *worker, size_t size) {
    struct left *block = take(worker, size);
    block->stamp = draw(worker);
    block->size = size;
    stamp_bytes(block->rest, size - sizeof *block, block->stamp);
    return block;
}

static void drop(struct worker *worker, struct left *block) {
    if (!block) return;
    worker->checksum += scramble(block->stamp + block->size);
    expect_stamp(block->rest, block->size - sizeof *block, block->stamp);
    free(block);
}

static void live_shortly(struct job *job, struct worker *worker) {
    struct left *blocks[BLOCKS];
    (void)job;
    struct left *large = make(worker, draw_size(worker, 8192, 65536));
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = make(worker, draw_size(worker, sizeof(struct left), 2048));
        if (!one_in(worker, 10)) continue;
        /* release: whoever takes it sees the whole block; acquire: this thread sees that of the
         * other */
        blocks[i] = atomic_exchange_explicit(&places[draw_below(worker, PLACES)], blocks[i],
                                             memory_order_acq_rel);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        drop(worker, blocks[i * STRIDE % BLOCKS]);
    }
    drop(worker, large);
}

static void run(struct job *job) {
    struct worker last = worker_make(job, MOST_THREADS, 0);
    size_t lives = scaled(job, THREADS, 1) / job->threads;
    run_lives(job, job->threads, 0, lives < 2 ? 2 : (unsigned)lives, live_shortly);
    for (size_t i = 0; i < PLACES; i++) {
        drop(&last, atomic_exchange_explicit(&places[i], NULL, memory_order_acquire));
    }
    worker_finish(job, &last);
}

const struct model model_churn = {"churn", run, 1, MOST_THREADS};
