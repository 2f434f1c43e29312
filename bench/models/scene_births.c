/*
 * births: what many threads leave behind that are born, allocate a little and end.
 *
 * On two seats threads follow each other. Each allocates forty blocks of 16 to 512 bytes, puts four
 * of them into places of a shared table and frees what lay there, as a rule a block of a thread
 * that has ended; the rest it frees. Target: memory is flat.
 *
 * Rows: births; resident_early_kib, resident_late_kib, mapped_early_mib, mapped_late_mib, after the
 * first hundredth of the threads and after all; birth_us, the time of one with its work; on moat
 * births_locks per 1000 operations.
 */
#define _GNU_SOURCE
#include "memory.h"

enum {
    SEATS = 2,
    PLACES = 256,
    BLOCKS = 40, /* of one thread */
    LEFT = 4,    /* of these, to others */
};

static _Atomic(void *) places[PLACES];

static void live_shortly(struct job *job, struct worker *worker) {
    void *blocks[BLOCKS];
    (void)job;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = draw_size(worker, 16, 512);
        blocks[i] = take(worker, size);
        stamp_bytes(blocks[i], size, i);
    }
    for (size_t i = 0; i < LEFT; i++) {
        /* pairs with the exchange of another thread: it has written the block before */
        blocks[i] = atomic_exchange_explicit(&places[draw_below(worker, PLACES)], blocks[i],
                                             memory_order_acq_rel);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
}

static void run(struct job *job) {
    unsigned all = (unsigned)(options.births / SEATS), early = all / 100 > 0 ? all / 100 : 1;
    double locks = locks_taken();
    run_lives(job, SEATS, 0, early, live_shortly);
    double resident = resident_bytes(), mapped = mapped_bytes(), began = now_ns(CLOCK_MONOTONIC);
    run_lives(job, SEATS, early, all - early, live_shortly);
    double took = now_ns(CLOCK_MONOTONIC) - began;
    print_row("births", all * SEATS);
    print_row("resident_early_kib", resident / KIB);
    print_row("resident_late_kib", resident_bytes() / KIB);
    print_row("mapped_early_mib", mapped / MIB);
    print_row("mapped_late_mib", mapped_bytes() / MIB);
    print_row("birth_us", took / 1e3 / (SEATS * (double)(all - early)));
    print_locks("births_locks", locks, (double)job->operations);
    for (size_t i = 0; i < PLACES; i++) {
        free(atomic_load_explicit(&places[i], memory_order_relaxed));
    }
}

const struct scene scene_births = {"births", run};
