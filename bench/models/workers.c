/*
 * workers: threads for the models of programs, side by side and following each other, and what else
 * model.h promises.
 *
 * A thread that another replaces is joined by its successor at the successor's own end, so that no
 * two threads of a seat are joined in step, and no more than two are alive. The last one of a seat
 * is joined by the thread that called run_lives().
 */
#define _GNU_SOURCE
#include "model.h"

#include "moat.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

/* What one seat's threads hand on to each other. Only the thread whose life it is touches it,
 * and the main one at the end. */
struct seat {
    struct job *job;
    work_function *work;
    unsigned number;
    unsigned life, lives_left;
    bool has_predecessor;
    pthread_t predecessor;
    sem_t ended;
};

static struct seat seats_of_all[MOST_THREADS];
static pthread_mutex_t totals_lock = PTHREAD_MUTEX_INITIALIZER;

_Noreturn void give_up(const char *what) {
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

size_t scaled(const struct job *job, size_t amount, size_t least) {
    size_t result = (size_t)((double)amount * job->scale);
    return result < least ? least : result;
}

void *map_own(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) give_up("no memory for the program's own tables");
    return memory;
}

void unmap_own(void *memory, size_t bytes) {
    if (munmap(memory, bytes) != 0) give_up("the program's own tables cannot be unmapped");
}

double locks_taken(void) {
    static void (*stats_get)(struct moat_stats *);
    struct moat_stats stats = {0};
    if (!stats_get) *(void **)&stats_get = dlsym(RTLD_DEFAULT, "moat_stats_get");
    if (!stats_get) return -1;
    stats_get(&stats);
    return (double)stats.locks_taken;
}

struct worker worker_make(const struct job *job, unsigned seat, unsigned life) {
    uint64_t random = scramble(scramble(job->seed + 1) + ((uint64_t)seat << 32) + life);
    return (struct worker){.random = random, .seat = seat, .life = life};
}

void worker_finish(struct job *job, const struct worker *worker) {
    pthread_mutex_lock(&totals_lock);
    job->operations += worker->operations;
    job->checksum += worker->checksum;
    pthread_mutex_unlock(&totals_lock);
}

static void *live(void *argument);

static void start(struct seat *seat) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, live, seat) != 0) give_up("no thread can be started");
}

/* pthread_create() may return later than its thread ends, so that each thread hands on its own
 * number itself. */
static void *live(void *argument) {
    struct seat *seat = argument;
    struct worker worker = worker_make(seat->job, seat->number, seat->life);
    pin_to(&seat->job->processors, (int)seat->number);
    seat->work(seat->job, &worker);
    worker_finish(seat->job, &worker);
    if (seat->has_predecessor) pthread_join(seat->predecessor, NULL);
    seat->predecessor = pthread_self();
    seat->has_predecessor = true;
    seat->life++;
    if (--seat->lives_left > 0) {
        start(seat);
    } else {
        sem_post(&seat->ended);
    }
    return NULL;
}

void run_lives(struct job *job, unsigned seats, unsigned first_life, unsigned lives,
               work_function *work) {
    if (lives == 0) return;
    for (unsigned i = 0; i < seats; i++) {
        struct seat *seat = &seats_of_all[i];
        *seat = (struct seat){
            .job = job, .work = work, .number = i, .life = first_life, .lives_left = lives};
        if (sem_init(&seat->ended, 0, 0) != 0) give_up("no semaphore can be made");
        start(seat);
    }
    for (unsigned i = 0; i < seats; i++) {
        struct seat *seat = &seats_of_all[i];
        while (sem_wait(&seat->ended) != 0) continue; /* interrupted */
        pthread_join(seat->predecessor, NULL);
        sem_destroy(&seat->ended);
    }
}

void run_threads(struct job *job, unsigned count, work_function *work) {
    run_lives(job, count, 0, 1, work);
}
