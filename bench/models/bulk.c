/*
 * bulk: blocks of one size, made by some threads in batches and freed by others.
 *
 * Half of the threads make batches of some hundred blocks of 64 bytes and push each on a stack that
 * all share; the other half take batches from there and free every block of them. Nobody frees what
 * he made. Who makes waits when sixty batches lie there.
 */
#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>

enum {
    SIZE = 64,       /* bytes of a block */
    BATCH = 500,     /* blocks */
    WAITING = 60,    /* batches at most that nobody has taken yet */
    BATCHES = 24000, /* at scale 1 */
};

struct batch {
    struct batch *next;
    void *blocks[BATCH];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all that follows */
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static struct batch *stack;
static unsigned waiting, makers;

static void push(struct batch *batch) {
    pthread_mutex_lock(&lock);
    while (waiting == WAITING) pthread_cond_wait(&not_full, &lock);
    batch->next = stack;
    stack = batch;
    waiting++;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&lock);
}

/* NULL: there will be none any more. */
static struct batch *pop(void) {
    pthread_mutex_lock(&lock);
    while (!stack && makers > 0) pthread_cond_wait(&not_empty, &lock);
    struct batch *batch = stack;
    if (batch) {
        stack = batch->next;
        waiting--;
        pthread_cond_signal(&not_full);
    }
    pthread_mutex_unlock(&lock);
    return batch;
}

static void make_batches(struct job *job, struct worker *worker) {
    unsigned of = (job->threads + 1) / 2;
    for (size_t batches = scaled(job, BATCHES, of) / of; batches > 0; batches--) {
        struct batch *batch = take(worker, sizeof *batch);
        for (size_t i = 0; i < BATCH; i++) {
            uint32_t stamp = draw(worker);
            batch->blocks[i] = take(worker, SIZE);
            stamp_bytes(batch->blocks[i], SIZE, stamp);
            worker->checksum += stamp & 0xff;
        }
        push(batch);
    }
    pthread_mutex_lock(&lock);
    makers--;
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&lock);
}

static void free_batches(struct worker *worker) {
    for (struct batch *batch; (batch = pop()) != NULL;) {
        for (size_t i = 0; i < BATCH; i++) {
            unsigned char *block = batch->blocks[i];
            expect_stamp(block, SIZE, block[0]);
            worker->checksum += block[0];
            free(block);
        }
        free(batch);
    }
}

static void work(struct job *job, struct worker *worker) {
    if (worker->seat % 2 == 0)
        make_batches(job, worker);
    else
        free_batches(worker);
}

static void run(struct job *job) {
    makers = (job->threads + 1) / 2;
    run_threads(job, job->threads, work);
}

const struct model model_bulk = {"bulk", run, 2, MOST_THREADS};
