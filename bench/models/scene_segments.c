/*
 * many-segments: malloc and free, and the end of a thread, beside 10 000 pieces of 4 MiB with one
 * live block each.
 *
 * A thread allocates the pieces full of blocks (of ten pieces five with blocks of 256 KiB, four
 * with 48 KiB and one with 8 KiB, not written), then frees all blocks of each but one. It works on
 * beside them, others are born and work, it ends, and an heir works on and frees the blocks that
 * are left. What takes time in proportion to the pieces shows here. Target: no operation looks at
 * them all.
 *
 * What was freed may be given back to the system only later, by the operations of then. So before
 * each timing there is a while of ordinary work, whose time per operation and whose slowest
 * operation are rows of their own: there the debt is paid.
 *
 * Rows: segments, the pieces that there was memory for; resident_with_kib beside them; debt_X_ns
 * per operation and debt_worst_X_us in that while; small_X_ns and large_X_ns per operation on
 * blocks of 16 bytes to 1 KiB and of 16 to 512 KiB, and birth_X_us for a thread that allocates a
 * little, where X is before (the pieces), with (them; small and large in their thread), left (their
 * thread has ended, and the heir works) or after (they are free again); end_ms, the end of the
 * thread that made them; heir_worst_us, the slowest of the heir's first operations; free_left_ns
 * for each block that the heir frees.
 */
#define _GNU_SOURCE
#include "memory.h"

#include <pthread.h>

#define PIECE ((size_t)4 << 20)

enum {
    SMALL_PLACES = 1000,
    LARGE_PLACES = 32,
    SLICES = 9,
    SMALL_OPERATIONS = 100000, /* at scale 1, in a slice */
    LARGE_OPERATIONS = 5000,
    FIRST_OPERATIONS = 20000, /* of the heir */
    BIRTHS = 50,              /* in a slice */
    BLOCKS_OF_A_BIRTH = 20,
    /* resident bytes that a piece may need until its blocks are free: an allocator writes into
     * free ones */
    TRANSIENT = 400 << 10,
};

static void **pieces; /* the block that is left of each */
static size_t segments;
static double end_began;

static size_t block_size_of(size_t piece) {
    size_t kind = piece % 10;
    return kind < 5 ? 256 << 10 : kind < 9 ? 48 << 10 : 8 << 10;
}

/* Replaces blocks at random among `count`; returns nanoseconds per operation. The slowest is
 * noted if that is asked for. */
static double replace(struct worker *worker, size_t count, size_t most, size_t operations,
                      double *slowest) {
    char *blocks[SMALL_PLACES] = {NULL};
    size_t least = most / (most > 1024 ? 32 : 64);
    double began = now_ns(CLOCK_MONOTONIC), before = began;
    for (size_t i = 0; i < operations; i++) {
        char **place = &blocks[draw_below(worker, (uint32_t)count)];
        free(*place);
        *place = take(worker, draw_size(worker, least, most));
        **place = 1;
        if (!slowest) continue;
        double now = now_ns(CLOCK_MONOTONIC);
        if (now - before > *slowest) *slowest = now - before;
        before = now;
    }
    double took = now_ns(CLOCK_MONOTONIC) - began;
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
    return took / (double)operations;
}

/* For up to 1.5 s, less beside few pieces. */
static void pay_debts(struct worker *worker, const char *when) {
    char name[32];
    double length = segments < 1000 ? (double)segments * 1.5e6 : 1.5e9,
           began = now_ns(CLOCK_MONOTONIC), slowest = 0;
    size_t turns = 0;
    do {
        replace(worker, SMALL_PLACES, 1024, SMALL_PLACES, &slowest);
        replace(worker, LARGE_PLACES, 512 << 10, LARGE_PLACES, &slowest);
        turns++;
    } while (now_ns(CLOCK_MONOTONIC) - began < length);
    double took = now_ns(CLOCK_MONOTONIC) - began;
    snprintf(name, sizeof name, "debt_%s_ns", when);
    print_row(name, took / (double)(turns * (SMALL_PLACES + LARGE_PLACES)));
    snprintf(name, sizeof name, "debt_worst_%s_us", when);
    print_row(name, slowest / 1e3);
}

/* The median of several slices. */
static void time_size(const struct job *job, struct worker *worker, const char *size,
                      const char *when) {
    bool small = strcmp(size, "small") == 0;
    size_t count = small ? SMALL_PLACES : LARGE_PLACES, most = small ? 1024 : 512 << 10;
    size_t operations = scaled(job, small ? SMALL_OPERATIONS : LARGE_OPERATIONS, count);
    double times[SLICES];
    char name[32];
    for (size_t i = 0; i < SLICES; i++) {
        times[i] = replace(worker, count, most, operations, NULL);
    }
    snprintf(name, sizeof name, "%s_%s_ns", size, when);
    print_row(name, median_of(times, SLICES));
}

static void time_work(const struct job *job, struct worker *worker, const char *when) {
    pay_debts(worker, when);
    time_size(job, worker, "small", when);
    time_size(job, worker, "large", when);
}

static void *live_shortly(void *argument) {
    void *blocks[BLOCKS_OF_A_BIRTH];
    for (size_t i = 0; i < BLOCKS_OF_A_BIRTH; i++) {
        blocks[i] = malloc(16 * (i + 1));
        if (!blocks[i]) give_up("out of memory");
        stamp_bytes(blocks[i], 16 * (i + 1), i);
    }
    for (size_t i = 0; i < BLOCKS_OF_A_BIRTH; i++) {
        free(blocks[i]);
    }
    return argument;
}

static void time_births(const char *when) {
    double times[SLICES];
    char name[32];
    for (size_t slice = 0; slice < SLICES; slice++) {
        double began = now_ns(CLOCK_MONOTONIC);
        for (size_t i = 0; i < BIRTHS; i++) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, live_shortly, NULL) != 0)
                give_up("no thread can be started");
            pthread_join(thread, NULL);
        }
        times[slice] = (now_ns(CLOCK_MONOTONIC) - began) / 1e3 / BIRTHS;
    }
    snprintf(name, sizeof name, "birth_%s_us", when);
    print_row(name, median_of(times, SLICES));
}

/* Fills as many pieces as asked for, or as there is memory for. Returns how many blocks that
 * made. */
static size_t fill_pieces(void **blocks) {
    size_t count = 0;
    for (size_t piece = 0; piece < segments; piece++) {
        size_t size = block_size_of(piece), first = count;
        while (count - first < PIECE / size && (blocks[count] = malloc(size))) count++;
        if (count - first < PIECE / size) segments = piece;
    }
    return count;
}

static void leave_one_of_each(struct worker *worker, void **blocks, size_t count) {
    size_t at = 0;
    for (size_t piece = 0; piece < segments; piece++) {
        size_t of_piece = PIECE / block_size_of(piece),
               left = at + draw_below(worker, (uint32_t)of_piece);
        for (size_t end = at + of_piece; at < end; at++) {
            if (at != left) free(blocks[at]);
        }
        pieces[piece] = blocks[left];
    }
    while (at < count) free(blocks[at++]); /* of a last piece that did not become full */
}

static void make_pieces(struct job *job, struct worker *worker) {
    size_t room = segments * (PIECE / block_size_of(9)) * sizeof(void *);
    void **blocks = map_own(room);
    leave_one_of_each(worker, blocks, fill_pieces(blocks));
    unmap_own(blocks, room);
    print_row("segments", (double)segments);
    print_row("resident_with_kib", resident_bytes() / KIB);
    time_work(job, worker, "with");
    time_births("with");
    end_began = now_ns(CLOCK_MONOTONIC);
}

static void inherit(struct job *job, struct worker *worker) {
    double slowest = 0;
    replace(worker, SMALL_PLACES, 1024, FIRST_OPERATIONS, &slowest);
    replace(worker, LARGE_PLACES, 512 << 10, FIRST_OPERATIONS / 10, &slowest);
    print_row("heir_worst_us", slowest / 1e3);
    time_work(job, worker, "left");
    double began = now_ns(CLOCK_MONOTONIC);
    for (size_t i = 0; i < segments; i++) {
        free(pieces[i]);
    }
    if (segments > 0)
        print_row("free_left_ns", (now_ns(CLOCK_MONOTONIC) - began) / (double)segments);
}

static void run(struct job *job) {
    struct worker worker = worker_make(job, 0, 0);
    size_t most = (size_t)(available_bytes() / 2) / TRANSIENT;
    segments = options.segments < most ? options.segments : most;
    pieces = map_own((segments + 1) * sizeof(void *));
    pin_to(&job->processors, 0);
    time_work(job, &worker, "before");
    time_births("before");
    run_threads(job, 1, make_pieces);
    print_row("end_ms", (now_ns(CLOCK_MONOTONIC) - end_began) / 1e6);
    time_births("left");
    run_threads(job, 1, inherit);
    time_work(job, &worker, "after");
    time_births("after");
}

const struct scene scene_segments = {"many-segments", run};
