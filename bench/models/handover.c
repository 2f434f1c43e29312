/*
 * handover: threads with blocks of 8 to 16 000 bytes, a third of which they hand to the next.
 *
 * Each thread has four thousand places. A step draws one, and a size; a third of the blocks goes to
 * the thread's neighbour by way of one of a thousand shared places, from which the thread drops
 * what it finds. The rest it drops itself. All threads go on to the end.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    PLACES = 1000, /* between two threads */
    OWN = 4000,    /* of one thread */
    LEAST = 8,     /* bytes */
    MOST = 16000,
    STEPS = 1200000, /* at scale 1, of all threads */
};

struct slot {
    char *block;
    uint32_t size, stamp;
};

/* A block that changes hands says itself what it is. */
struct handed {
    uint64_t stamp;
    size_t size;
    char rest[];
};

static _Atomic(struct handed *) rows[MOST_THREADS][PLACES];

static void drop_handed(struct worker *worker, struct handed *handed) {
    if (!handed) return;
    worker->checksum += scramble(handed->stamp + handed->size);
    expect_stamp(handed->rest, handed->size - sizeof *handed, handed->stamp);
    free(handed);
}

static struct handed *make_handed(struct worker *worker) {
    size_t size = draw_size(worker, sizeof(struct handed), MOST);
    struct handed *handed = take(worker, size);
    handed->size = size;
    handed->stamp = draw(worker);
    stamp_bytes(handed->rest, size - sizeof *handed, handed->stamp);
    return handed;
}

static void drop_own(struct worker *worker, struct slot *slot) {
    if (!slot->block) return;
    worker->checksum += scramble(((uint64_t)slot->size << 32) + slot->stamp);
    expect_stamp(slot->block, slot->size, slot->stamp);
    free(slot->block);
}

static void make_own(struct worker *worker, struct slot *slot) {
    size_t size = draw_size(worker, LEAST, MOST);
    *slot = (struct slot){take(worker, size), (uint32_t)size, draw(worker)};
    stamp_bytes(slot->block, size, slot->stamp);
}

static void hand_over(struct job *job, struct worker *worker) {
    struct slot own[OWN] = {{NULL, 0, 0}};
    unsigned to = (worker->seat + 1) % job->threads;
    for (size_t steps = scaled(job, STEPS, job->threads) / job->threads; steps > 0; steps--) {
        if (one_in(worker, 3)) {
            /* release: the neighbour sees the whole block; acquire: this thread sees the one it
             * drops */
            drop_handed(worker,
                        atomic_exchange_explicit(&rows[to][draw_below(worker, PLACES)],
                                                 make_handed(worker), memory_order_acq_rel));
            drop_handed(worker,
                        atomic_exchange_explicit(&rows[worker->seat][draw_below(worker, PLACES)],
                                                 NULL, memory_order_acq_rel));
        } else {
            struct slot *slot = &own[draw_below(worker, OWN)];
            drop_own(worker, slot);
            make_own(worker, slot);
        }
    }
    for (size_t i = 0; i < OWN; i++) drop_own(worker, &own[i]);
}

static void run(struct job *job) {
    struct worker last = worker_make(job, MOST_THREADS, 0);
    run_threads(job, job->threads, hand_over);
    for (size_t row = 0; row < job->threads; row++) {
        for (size_t i = 0; i < PLACES; i++) {
            drop_handed(&last, atomic_exchange_explicit(&rows[row][i], NULL, memory_order_acquire));
        }
    }
    worker_finish(job, &last);
}

const struct model model_handover = {"handover", run, 1, MOST_THREADS};
