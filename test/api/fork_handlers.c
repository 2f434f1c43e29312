/*
 * fork_handlers: a program that registers its handlers of fork() before it allocates for the first
 * time.
 *
 * Handlers that prepare a fork run in the opposite order of their registration. If moat's had not
 * been there before, the program's would run while moat's locks are held, and wait for a thread
 * that waits for moat; or allocate themselves.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

enum { FORKS = 40, BLOCKS = 12 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool stop;

/* Small, huge, and enough for new segments. */
static void allocate(void) {
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc((size_t)1 << (2 * i + 1));
        REQUIRE(blocks[i] != NULL, "malloc");
        memset(blocks[i], 1, 2);
    }
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
}

static void before_fork(void) {
    pthread_mutex_lock(&mutex);
    allocate();
}
static void after_fork(void) {
    allocate();
    pthread_mutex_unlock(&mutex);
}

static void *allocate_under_the_mutex(void *unused) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&mutex);
        free(malloc((size_t)5 << 20));
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

int main(void) {
    int error = pthread_atfork(before_fork, after_fork, after_fork);
    require_moat(60); /* a test that waits for ever is ended */
    REQUIRE(error == 0, "pthread_atfork: error %d", error);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, allocate_under_the_mutex, NULL) == 0, "pthread_create");
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0, "fork");
        if (child == 0) {
            allocate();
            REQUIRE(family.check() > 0, "moat_check() in the child saw no page");
            _exit(0);
        }
        require_exit_zero(child, "child of a program with handlers of its own");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    return 0;
}
