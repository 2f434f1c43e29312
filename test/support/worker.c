/* worker: see worker.h. */
#include "worker.h"

#include "require.h"

#include <errno.h>

static void take(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) REQUIRE(errno == EINTR, "sem_wait works");
}

static void *serve(void *argument) {
    struct worker *worker = argument;
    for (;;) {
        take(&worker->wanted);
        if (!worker->task) return NULL;
        worker->task(worker->argument);
        sem_post(&worker->done);
    }
}

void worker_start(struct worker *worker) {
    worker->task = NULL;
    REQUIRE(sem_init(&worker->wanted, 0, 0) == 0 && sem_init(&worker->done, 0, 0) == 0,
            "a semaphore can be made");
    REQUIRE(pthread_create(&worker->thread, NULL, serve, worker) == 0, "a thread can be made");
}

void worker_post(struct worker *worker, void (*task)(void *), void *argument) {
    worker->task = task;
    worker->argument = argument;
    sem_post(&worker->wanted);
}

void worker_wait(struct worker *worker) { take(&worker->done); }

void worker_do(struct worker *worker, void (*task)(void *), void *argument) {
    worker_post(worker, task, argument);
    worker_wait(worker);
}

void worker_end(struct worker *worker) {
    worker_post(worker, NULL, NULL);
    REQUIRE(pthread_join(worker->thread, NULL) == 0, "the thread can be joined");
    sem_destroy(&worker->wanted);
    sem_destroy(&worker->done);
}
