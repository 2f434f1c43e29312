/*
 * phases: a program that goes from one kind of blocks to another has what it uses once, not once
 * for each kind.
 *
 * Each phase allocates so many MiB (the second argument) in blocks of one size, writes to them and
 * frees them; the next takes another size. The first argument says whose phases they are: "one"
 * thread's; "turns" of three threads, of which two sleep; "born": a thread's of its own. Resident
 * memory never exceeds half as much again as what lives, and 8 MiB, and 1 MiB a thread; where
 * threads take turns, what those have that have just fallen asleep may come to that: then it is so
 * at the latest when the thread at work has gone on for a second of the processor's time.
 *
 * Nothing of moat is in it: it is preloaded, or not, and then judges the C library.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"

#define MIB ((size_t)1024 * 1024)

enum { ROUNDS = 4, THREADS = 3 };
static const size_t sizes[] = {64, 1000, 12000, 200000, 4 * MIB, 20 * MIB, 700, 2500000};
#define SIZES (sizeof sizes / sizeof *sizes)

static size_t live, most, before, bound;
static bool takes_turns;

/* So long small blocks come and go, at most. */
#define TURN_SECONDS 1.0

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void see(void) {
    size_t now = process_resident(0) - before;
    if (now > most) most = now;
}

static void go_on(void) {
    static char *some[500];
    double until = seconds() + TURN_SECONDS;
    while (process_resident(0) - before > bound && seconds() < until) {
        for (unsigned i = 0; i < 500; i++) *(some[i] = malloc(200)) = 1;
        for (unsigned i = 0; i < 500; i++) free(some[i]);
    }
}

/* A look at /proc for each MiB or block. */
static void *phase(void *of) {
    size_t size = *(const size_t *)of, count = live / size, unseen = 0;
    char **blocks = malloc(count * sizeof *blocks);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        if (blocks[i] == NULL) abort();
        memset(blocks[i], 1, size);
        unseen += size;
        if (unseen < MIB || takes_turns) continue;
        see();
        unseen = 0;
    }
    if (takes_turns) go_on();
    see();
    for (size_t i = 0; i < count; i++) free(blocks[i]);
    free(blocks);
    return NULL;
}

static struct turn {
    pthread_t thread;
    sem_t go, done;
    const size_t *size;
} turns[THREADS];

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) continue;
}

static void *take_turns(void *of) {
    struct turn *turn = of;
    for (;;) {
        wait_for(&turn->go);
        if (turn->size == NULL) return NULL;
        phase((void *)turn->size);
        sem_post(&turn->done);
    }
}

static void begin_turns(void) {
    for (unsigned i = 0; i < THREADS; i++) {
        sem_init(&turns[i].go, 0, 0);
        sem_init(&turns[i].done, 0, 0);
        if (pthread_create(&turns[i].thread, NULL, take_turns, &turns[i]) != 0) abort();
    }
}

static void take_turn(struct turn *turn, const size_t *size) {
    turn->size = size;
    sem_post(&turn->go);
    if (size != NULL)
        wait_for(&turn->done);
    else
        pthread_join(turn->thread, NULL);
}

static void be_born(const size_t *size) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, phase, (void *)size) != 0) abort();
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    const char *whose = argc > 1 ? argv[1] : "one";
    size_t megabytes = argc > 2 ? (size_t)atoi(argv[2]) : 100;
    live = megabytes * MIB;
    takes_turns = strcmp(whose, "turns") == 0;
    /* the table of the smallest blocks lives, too */
    size_t peak = live + live / sizes[0] * sizeof(char *);
    bound = peak + peak / 2 + (8 + (size_t)(takes_turns ? THREADS : 1)) * MIB;
    before = process_resident(0);
    if (takes_turns) begin_turns();
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < SIZES; i++) {
            if (takes_turns)
                take_turn(&turns[i % THREADS], &sizes[i]);
            else if (strcmp(whose, "born") == 0)
                be_born(&sizes[i]);
            else
                phase((void *)&sizes[i]);
        }
    for (unsigned i = 0; takes_turns && i < THREADS; i++) take_turn(&turns[i], NULL);
    printf("%s, %zu MiB: resident at most %zu MiB, right: at most %zu\n", whose, megabytes,
           most / MIB, bound / MIB);
    return most <= bound ? 0 : 1;
}
