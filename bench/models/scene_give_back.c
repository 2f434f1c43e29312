/*
 * give-back: what stays resident after a peak has been freed.
 *
 * Two threads fill the peak, half of its bytes in blocks of 16 bytes to 1 KiB, half in blocks of 4
 * KiB to 4 MiB, all written. They free all in mixed order, a tenth of it each the other's. Then
 * both go on lightly: fifty small blocks among two hundred are replaced each millisecond. A third
 * thread looks on. Target: under 64 MiB after 2 s; with malloc_trim at once.
 *
 * Rows, in KiB: peak; resident_0s, _0.5s, _1s, _2s after the last free; trimmed_2s after a
 * malloc_trim(0) at the end of these. The peak is filled and freed once more, then: trimmed_at_once
 * after malloc_trim(0) in the third thread, trimmed_by_all after one in each of the two as well.
 * trim_ms: how long the first of these took. (malloc_trim is glibc's where an allocator has none.)
 */
#define _GNU_SOURCE
#include "memory.h"

#include <malloc.h>
#include <pthread.h>

enum {
    FILLERS = 2,
    LIGHT_BLOCKS = 200,
    LIGHT_REPLACED = 50, /* in a millisecond */
    OTHERS_SHARE = 10,   /* one block in so many is freed by the other thread */
    STRIDE = 7919,       /* a prime: the order of frees */
};

/* What one thread has filled. Written by it, read by both between the barriers. */
struct filling {
    void **blocks;
    size_t count, room;
};

static struct filling fillings[FILLERS];
static pthread_barrier_t barrier;
static atomic_bool quiet; /* set by the thread that looks on: light activity is over */

static void meet(void) { pthread_barrier_wait(&barrier); }

static void fill(struct worker *worker, struct filling *filling) {
    size_t small = 0, large = 0, wanted = options.peak / FILLERS / 2;
    filling->room = options.peak / 16;
    filling->blocks = map_own(filling->room * sizeof(void *));
    filling->count = 0;
    while (small < wanted || large < wanted) {
        bool is_small = small <= large;
        size_t size = is_small ? draw_size(worker, 16, 1024) : draw_size(worker, 4096, 4 << 20);
        void *block = take(worker, size);
        stamp_bytes(block, size, 1);
        filling->blocks[filling->count++] = block;
        *(is_small ? &small : &large) += size;
    }
}

/* From one filling those that are the thread's own to free, or the other's. Goes through all of
 * them in strides. */
static void free_share(const struct filling *filling, bool own) {
    for (size_t start = 0; start < STRIDE; start++) {
        for (size_t i = start; i < filling->count; i += STRIDE) {
            if ((i % OTHERS_SHARE != 0) == own) free(filling->blocks[i]);
        }
    }
}

static void fill_and_free(struct worker *worker) {
    struct filling *own = &fillings[worker->seat];
    fill(worker, own);
    meet(); /* the peak is looked at */
    meet();
    free_share(own, true);
    free_share(&fillings[(worker->seat + 1) % FILLERS], false);
    meet(); /* nobody reads the tables any more */
    unmap_own(own->blocks, own->room * sizeof(void *));
    meet();
}

static void live_lightly(struct worker *worker) {
    void *blocks[LIGHT_BLOCKS] = {NULL};
    while (!atomic_load_explicit(&quiet, memory_order_relaxed)) {
        for (size_t i = 0; i < LIGHT_REPLACED; i++) {
            void **place = &blocks[draw_below(worker, LIGHT_BLOCKS)];
            size_t size = draw_size(worker, 16, 1024);
            free(*place);
            *place = take(worker, size);
            stamp_bytes(*place, size, 1);
        }
        sleep_seconds(0.001);
    }
    for (size_t i = 0; i < LIGHT_BLOCKS; i++) {
        free(blocks[i]);
    }
}

static void look_on_while_filled(const char *row) {
    meet();
    if (row) print_row(row, resident_bytes() / KIB);
    meet();
    meet();
    meet();
}

static void look_on(void) {
    static const struct {
        const char *row;
        double until; /* seconds after the last free */
    } looks[] = {{"resident_0s_kib", 0},
                 {"resident_0.5s_kib", 0.5},
                 {"resident_1s_kib", 1},
                 {"resident_2s_kib", 2}};
    look_on_while_filled("peak_kib");
    double last_free = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        double left = looks[i].until - (now_ns(CLOCK_MONOTONIC) - last_free) / 1e9;
        if (left > 0) sleep_seconds(left);
        print_row(looks[i].row, resident_bytes() / KIB);
    }
    malloc_trim(0);
    print_row("trimmed_2s_kib", resident_bytes() / KIB);
    atomic_store_explicit(&quiet, true, memory_order_relaxed);
    look_on_while_filled(NULL);
    double began = now_ns(CLOCK_MONOTONIC);
    malloc_trim(0);
    double took = now_ns(CLOCK_MONOTONIC) - began;
    print_row("trimmed_at_once_kib", resident_bytes() / KIB);
    meet();
    meet(); /* the others have trimmed as well */
    print_row("trimmed_by_all_kib", resident_bytes() / KIB);
    print_row("trim_ms", took / 1e6);
    meet();
}

static void play(struct job *job, struct worker *worker) {
    (void)job;
    if (worker->seat == FILLERS) {
        look_on();
        return;
    }
    fill_and_free(worker);
    live_lightly(worker);
    fill_and_free(worker);
    meet();
    malloc_trim(0);
    meet();
    meet(); /* no thread ends before the last look */
}

static void run(struct job *job) {
    double most = available_bytes() / 1.5;
    if ((double)options.peak > most) options.peak = (size_t)most;
    pthread_barrier_init(&barrier, NULL, FILLERS + 1);
    run_threads(job, FILLERS + 1, play);
    pthread_barrier_destroy(&barrier);
}

const struct scene scene_give_back = {"give-back", run};
