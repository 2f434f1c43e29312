/*
 * late_frees: what threads allocate and free while they end: destructors of keys made before and
 * after moat's own, running again and again, strerror()'s buffer that the C library frees last of
 * all; and that threads ending so do not grow the process.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "moat.h"

enum { KEYS = 6, THREADS = 300 };

static pthread_key_t keys[KEYS];
static unsigned runs[KEYS];

struct item {
    size_t key;
    unsigned left; /* times the destructor will set the key again */
    char *block;
};

static struct item *make_item(size_t key, unsigned left) {
    struct item *item = malloc(sizeof *item);
    REQUIRE(item != NULL, "malloc in a thread that ends");
    *item = (struct item){key, left, malloc(100 + 700 * key)};
    REQUIRE(item->block != NULL, "malloc in a thread that ends");
    memset(item->block, (int)key, 100 + 700 * key);
    return item;
}

static void destroy(void *argument) {
    struct item *item = argument;
    __atomic_fetch_add(&runs[item->key], 1, __ATOMIC_RELAXED);
    REQUIRE(item->block[99] == (char)item->key, "contents of a block freed late");
    if (item->left > 0) pthread_setspecific(keys[item->key], make_item(item->key, item->left - 1));
    void *other = calloc(1, 3000);
    free(item->block);
    free(item);
    free(other);
}

static void *touch(void *argument) {
    size_t number = *(size_t *)argument;
    /* some set their keys before their first allocation, some after */
    if (number % 3 == 0) free(malloc(10));
    for (size_t i = 0; i < KEYS; i++) {
        pthread_setspecific(keys[i], make_item(i, PTHREAD_DESTRUCTOR_ITERATIONS - 1));
    }
    REQUIRE(strstr(strerror(12345), "12345") != NULL, "strerror");
    return NULL;
}

/* A thread whose very first allocation is in a destructor. */
static void *only_late(void *argument) {
    pthread_setspecific(*(pthread_key_t *)argument, argument);
    return NULL;
}
static void allocate_first_here(void *argument) {
    (void)argument;
    void *block = malloc(64);
    REQUIRE(block != NULL && strerror(23456) != NULL, "a first allocation in a destructor");
    free(block);
}

static void run_threads(void) {
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        size_t number = i;
        REQUIRE(pthread_create(&thread, NULL, touch, &number) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
}

/* Keys made here, before the program's first malloc of its own, are older than moat's if nothing
   allocated before. */
__attribute__((constructor(101))) static void make_old_keys(void) {
    for (size_t i = 0; i < KEYS / 2; i++) pthread_key_create(&keys[i], destroy);
}

int main(void) {
    require_moat(60);
    for (size_t i = KEYS / 2; i < KEYS; i++)
        REQUIRE(pthread_key_create(&keys[i], destroy) == 0, "pthread_key_create");
    run_threads();
    struct moat_stats first, second;
    family.stats_get(&first);
    run_threads();
    family.stats_get(&second);
    REQUIRE(second.segments <= first.segments + 1, "%zu segments after 300 threads, %zu after 600",
            first.segments, second.segments);
    REQUIRE(second.heaps <= first.heaps + 1, "%zu heaps after 300 threads, %zu after 600",
            first.heaps, second.heaps);
    for (size_t i = 0; i < KEYS; i++) {
        REQUIRE(runs[i] >= 2 * THREADS * PTHREAD_DESTRUCTOR_ITERATIONS,
                "destructors of key %zu ran %u times", i, runs[i]);
    }
    pthread_key_t late;
    pthread_t thread;
    pthread_key_create(&late, allocate_first_here);
    for (unsigned i = 0; i < 50; i++) {
        pthread_create(&thread, NULL, only_late, &late);
        pthread_join(thread, NULL);
    }
    REQUIRE(family.check() > 0, "moat_check() saw no page");
    return 0;
}
