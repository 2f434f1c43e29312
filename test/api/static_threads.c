/*
 * static_threads: a fully static program with moat.o. Threads that allocate, hand over and free, a
 * fork, the C library's own allocations; all of it on moat.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "moat.h"

enum { THREADS = 4, ROUNDS = 200, BLOCKS = 300 };

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("failed: %s:%d: %s\n", __FILE__, __LINE__, #condition);                         \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static char *handed[THREADS][BLOCKS];
static pthread_barrier_t barrier;

static void *work(void *argument) {
    size_t me = *(size_t *)argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t size = 1 + (i * 37 + round * 11) % 3000;
            handed[me][i] = malloc(size);
            EXPECT(handed[me][i] && moat_owns(handed[me][i]));
            memset(handed[me][i], (int)me, size);
        }
        pthread_barrier_wait(&barrier);
        size_t other = (me + 1) % THREADS;
        for (size_t i = 0; i < BLOCKS; i++) {
            EXPECT(handed[other][i][0] == (char)other);
            free(handed[other][i]);
        }
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(void) {
    alarm(60);
    pthread_t threads[THREADS];
    size_t numbers[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        EXPECT(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    char *copy = strdup("text"), *text = NULL;
    EXPECT(moat_owns(copy) && asprintf(&text, "%s %d", copy, 42) == 7 && moat_owns(text));
    EXPECT(malloc_usable_size(text) >= 8 && mallinfo2().uordblks > 0);
    free(copy);
    free(text);
    copy = reallocarray(NULL, 10, 10);
    EXPECT(moat_owns(copy));
    free(copy);
    pid_t child = fork();
    if (child == 0) {
        void *block = malloc(100000);
        free(block);
        _exit(block && moat_owns(block) ? 0 : 1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(moat_check() > 0);
    puts("fine");
    return 0;
}
