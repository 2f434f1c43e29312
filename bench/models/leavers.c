/*
 * leavers: threads that end, and leave blocks of middling sizes behind.
 *
 * Generations of threads run side by side. A thread makes and drops blocks, most of them below a
 * kibibyte and some up to 128 KiB, and keeps some hundred of them at a time; of what it drops some
 * goes to places that all threads share, where it frees what it finds. Then it ends, and another
 * begins. What lies in the places was made by threads that have ended, as a rule.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    PLACES = 1000,     /* that all share */
    KEPT = 400,        /* blocks of one thread */
    STEPS = 6000,      /* of one thread */
    GENERATIONS = 120, /* at scale 1, of two threads each */
};

struct block {
    uint64_t stamp;
    size_t size;
    char rest[];
};

static _Atomic(struct block *) places[PLACES];

static struct block *make(struct worker *worker) {
    size_t size = one_in(worker, 8) ? draw_size(worker, 1024, 128 << 10)
                                    : draw_size(worker, sizeof(struct block), 1024);
    struct block *block = take(worker, size);
    block->stamp = draw(worker);
    block->size = size;
    stamp_bytes(block->rest, size - sizeof *block, block->stamp);
    return block;
}

static void drop(struct worker *worker, struct block *block) {
    if (!block) return;
    worker->checksum += scramble(block->stamp + block->size);
    expect_stamp(block->rest, block->size - sizeof *block, block->stamp);
    free(block);
}

static void live(struct job *job, struct worker *worker) {
    struct block *kept[KEPT] = {NULL};
    (void)job;
    for (size_t i = 0; i < STEPS; i++) {
        struct block **place = &kept[draw_below(worker, KEPT)];
        struct block *old = *place;
        *place = make(worker);
        /* release: whoever takes it sees the whole block; acquire: this thread sees that of the
         * other */
        if (one_in(worker, 8))
            old = atomic_exchange_explicit(&places[draw_below(worker, PLACES)], old,
                                           memory_order_acq_rel);
        drop(worker, old);
    }
    for (size_t i = 0; i < KEPT; i++) {
        drop(worker, atomic_exchange_explicit(&places[draw_below(worker, PLACES)], kept[i],
                                              memory_order_acq_rel));
    }
}

static void run(struct job *job) {
    struct worker last = worker_make(job, MOST_THREADS, 0);
    run_lives(job, job->threads, 0, (unsigned)scaled(job, GENERATIONS, 2), live);
    for (size_t i = 0; i < PLACES; i++) {
        drop(&last, atomic_exchange_explicit(&places[i], NULL, memory_order_acquire));
    }
    worker_finish(job, &last);
}

const struct model model_leavers = {"leavers", run, 1, MOST_THREADS};
