/*
 * consumer: a C program of somebody else's. Its malloc must be moat, and a misuse must be stopped.
 *
 * Names of its own that the library uses inside must not clash: it has a heap_acquire() too.
 */
#include <moat.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int heap_acquire(void);
int os_reserve(void);
int random_next = 1;
int heap_acquire(void) { return 1; }
int os_reserve(void) { return 2; }

static void need(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "consumer: failed: %s\n", what);
    exit(1);
}

static void *other_thread(void *block) {
    free(block);
    return malloc(100);
}

static void free_twice(void) {
    char *volatile block = malloc(48);
    free(block);
    free(block);
}

int main(void) {
    char *block = malloc(1000), *copy = strdup("copied by the C library");
    need(block && moat_owns(block), "malloc is moat");
    need(copy && moat_owns(copy), "strdup allocates from moat");
    need(moat_usable_size(block) >= 1000, "usable size");
    need(heap_acquire() + os_reserve() + random_next == 4, "the program's names are its own");

    pthread_t thread;
    void *made;
    need(pthread_create(&thread, NULL, other_thread, block) == 0 &&
             pthread_join(thread, &made) == 0,
         "threads");
    need(moat_owns(made), "malloc of another thread is moat");
    free(made);
    free(copy);

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        free_twice();
        _exit(0);
    }
    int status = 0;
    need(waitpid(child, &status, 0) == child, "fork");
    need(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "a double free is stopped");
    printf("ok %s\n", moat_version());
    return 0;
}
