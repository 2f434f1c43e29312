/*
 * main_ends_first: the main thread ends by pthread_exit() while others go on with its blocks; the
 * last of them ends the process.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

enum { THREADS = 3, BLOCKS = 2000 };

static char *from_main[THREADS][BLOCKS];
static pthread_t main_thread;
static pthread_barrier_t main_has_ended;
static unsigned alive = THREADS;

static void *go_on(void *argument) {
    char **blocks = argument;
    if (blocks == from_main[0])
        REQUIRE(pthread_join(main_thread, NULL) == 0, "pthread_join of the main thread");
    pthread_barrier_wait(&main_has_ended);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            REQUIRE(blocks[i][0] == 'm', "contents of a block of the ended main thread");
            blocks[i] = realloc(blocks[i], 20 + (i * 13 + round * 71) % 2000);
            REQUIRE(blocks[i] != NULL, "realloc after main's end");
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    if (__atomic_sub_fetch(&alive, 1, __ATOMIC_ACQ_REL) == 0) {
        REQUIRE(family.check() > 0, "moat_check() saw no page");
        exit(0); /* runs exit handlers on a thread that is not main's */
    }
    return NULL;
}

int main(void) {
    require_moat(60);
    main_thread = pthread_self();
    pthread_barrier_init(&main_has_ended, NULL, THREADS);
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            from_main[t][i] = malloc(20 + i % 500);
            from_main[t][i][0] = 'm';
        }
    }
    for (size_t t = 0; t < THREADS; t++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, go_on, from_main[t]) == 0, "pthread_create");
        REQUIRE(pthread_detach(thread) == 0, "pthread_detach");
    }
    pthread_exit(NULL);
}
