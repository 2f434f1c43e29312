/*
 * threads: the same amount of small-block work, by 1, 2, 4, 8, 16, 32 and 64 threads on the
 * processors there are.
 *
 * Each thread replaces blocks of 16 to 512 bytes among its own, drawn at random; one in 32 it
 * exchanges for another thread's in a shared table. All threads together always have 25 600 blocks,
 * so that the caches have to hold the same. More threads than processors must not cost more than
 * their births and their switches.
 *
 * Rows: threads_1_ns ... threads_64_ns, wall time per operation, and on moat threads_1_locks ...
 * per 1000 operations, with the birth and the end of the threads.
 */
#define _GNU_SOURCE
#include "memory.h"

enum {
    MOST = 64,
    BLOCKS = 25600, /* of all threads together */
    PLACES = 256,
    OPERATIONS = 8000000, /* of all threads together, at scale 1 */
};

static _Atomic(char *) places[PLACES];
static char *blocks_of_all[BLOCKS];

static void replace_blocks(struct job *job, struct worker *worker) {
    size_t count = BLOCKS / job->threads;
    char **blocks = blocks_of_all + count * worker->seat;
    size_t operations = scaled(job, OPERATIONS, job->threads) / job->threads;
    for (size_t i = 0; i < operations; i++) {
        char **place = &blocks[draw_below(worker, (uint32_t)count)];
        free(*place);
        *place = take(worker, draw_size(worker, 16, 512));
        **place = 1;
        /* pairs with the exchange of another thread: it has written the block before */
        if (one_in(worker, 32)) {
            *place = atomic_exchange_explicit(&places[draw_below(worker, PLACES)], *place,
                                              memory_order_acq_rel);
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}

static void run(struct job *job) {
    char name[32];
    for (unsigned threads = 1; threads <= MOST; threads *= 2) {
        double locks = locks_taken(), began = now_ns(CLOCK_MONOTONIC);
        job->threads = threads;
        job->operations = 0;
        run_threads(job, threads, replace_blocks);
        snprintf(name, sizeof name, "threads_%u_ns", threads);
        print_row(name, (now_ns(CLOCK_MONOTONIC) - began) / (double)job->operations);
        snprintf(name, sizeof name, "threads_%u_locks", threads);
        print_locks(name, locks, (double)job->operations);
    }
    for (size_t i = 0; i < PLACES; i++) {
        free(atomic_load_explicit(&places[i], memory_order_relaxed));
    }
}

const struct scene scene_threads = {"threads", run};
