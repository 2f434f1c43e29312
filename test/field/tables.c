/*
 * tables: when nearly all of a large heap has been freed, what describes it goes back too.
 *
 * A heap of 4 GiB, of which little was ever touched, is freed but for some blocks: by the thread
 * that has it, or by one that does nothing else. Other blocks come and go then, for a second of the
 * processor's time at most, and what is resident is what is live and 16 MiB. Nothing of moat is in
 * it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"

#define MIB ((size_t)1024 * 1024)
#define BLOCK ((size_t)100000)
#define ABOVE (16 * MIB)
enum { BLOCKS = 40000, SURVIVORS = 8, GOING = 200 };

static char *blocks[BLOCKS];
static size_t survivors_bytes;

static void fail(const char *what, size_t bytes) {
    fprintf(stderr, "field_tables: %s: %zu KiB\n", what, bytes / 1024);
    exit(1);
}

static void *free_most(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (i % (BLOCKS / SURVIVORS) != 0) free(blocks[i]);
    return NULL;
}

/* What a thread gets that is handed blocks to free. */
static void *free_given(void *given) {
    char **handed = given;
    for (unsigned i = 0; i < GOING; i++) free(handed[i]);
    return NULL;
}

static void come_and_go(bool by_another) {
    static char *going[GOING];
    for (unsigned i = 0; i < GOING; i++) {
        going[i] = malloc(16 + i * 37 % 3000);
        if (going[i] == NULL) fail("no memory", 0);
    }
    if (!by_another) {
        free_given(going);
        return;
    }
    pthread_t freer;
    if (pthread_create(&freer, NULL, free_given, going) != 0) fail("no thread", 0);
    pthread_join(freer, NULL);
}

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int count, char **arguments) {
    bool by_another = count > 1 && strcmp(arguments[1], "another") == 0;
    free_given(blocks); /* loads what it needs */
    size_t before = process_resident(0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        if (blocks[i] == NULL) fail("no memory for block", i);
        blocks[i][0] = 1;
    }
    size_t peak = process_resident(0) - before;
    survivors_bytes = SURVIVORS * 4096;
    if (by_another) {
        pthread_t freer;
        if (pthread_create(&freer, NULL, free_most, NULL) != 0) fail("no thread", 0);
        pthread_join(freer, NULL);
    } else {
        free_most(NULL);
    }
    size_t resident = SIZE_MAX, least = SIZE_MAX;
    for (double end = processor_seconds() + 1; processor_seconds() < end;) {
        come_and_go(by_another);
        resident = process_resident(0) - before;
        if (resident < least) least = resident;
        if (resident <= survivors_bytes + ABOVE) {
            printf("right: %zu KiB at the peak, %zu KiB in the end\n", peak / 1024,
                   resident / 1024);
            return 0;
        }
    }
    fail("resident after all was freed", least);
}
