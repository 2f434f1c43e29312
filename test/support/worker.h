/*
 * worker: a second thread that does what it is told, one thing at a time.
 *
 * Started before the scene begins, so that creating it (which allocates) cannot disturb the blocks
 * under test; posting and waiting allocate nothing.
 */
#ifndef TEST_WORKER_H
#define TEST_WORKER_H

#include <pthread.h>
#include <semaphore.h>

struct worker {
    pthread_t thread;
    sem_t wanted, done;
    /* NULL: end. Written before `wanted` is posted, read after it is taken */
    void (*task)(void *);
    void *argument;
};

void worker_start(struct worker *worker);
/* Begins the task and returns; worker_wait() before the next post. */
void worker_post(struct worker *worker, void (*task)(void *), void *argument);
void worker_wait(struct worker *worker);
/* Post and wait. */
void worker_do(struct worker *worker, void (*task)(void *), void *argument);
/* Ends the thread and joins it: when this returns its heap is abandoned. */
void worker_end(struct worker *worker);

#endif
