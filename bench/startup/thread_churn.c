/*
 * thread_churn: microseconds to create and join a thread that allocates and frees once.
 *
 *     bench-thread-churn [--threads N] [--slices N]
 *
 * Prints CSV: a line `allocator,FILE`, a heading, and the median, the least and the greatest of the
 * slices. A birth and an end cost an allocator the set-up of a thread's state and its hand-back.
 * The main thread and the others stay on one processor, so that the cost of waking another one,
 * which is larger than what is measured, stays out.
 */
#define _GNU_SOURCE
#include "clock.h"

#include <pthread.h>
#include <string.h>

enum { MOST_SLICES = 64 };

static void *allocate_once(void *argument) {
    volatile char *block = malloc(100);
    if (!block) exit(1);
    *block = 1;
    free((void *)block);
    return argument;
}

static void run(size_t threads) {
    for (size_t i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, allocate_once, NULL) != 0) {
            fprintf(stderr, "no thread can be started\n");
            exit(1);
        }
        pthread_join(thread, NULL);
    }
}

int main(int count, char **arguments) {
    size_t threads = 2000, slices = 5;
    double times[MOST_SLICES];
    cpu_set_t allowed;
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(arguments[i], "--threads") == 0) threads = strtoul(arguments[i + 1], NULL, 10);
        if (strcmp(arguments[i], "--slices") == 0) slices = strtoul(arguments[i + 1], NULL, 10);
    }
    if (count % 2 == 0 || threads < 1 || slices < 1 || slices > MOST_SLICES) {
        fprintf(stderr, "usage: bench-thread-churn [--threads N] [--slices 1..%d]\n", MOST_SLICES);
        return 2;
    }
    sched_getaffinity(0, sizeof allowed, &allowed);
    pin_to(&allowed, 0);
    print_allocator();
    run(threads / 4 + 1);
    for (size_t slice = 0; slice < slices; slice++) {
        double start = now_ns(CLOCK_MONOTONIC);
        run(threads);
        times[slice] = (now_ns(CLOCK_MONOTONIC) - start) / (double)threads / 1000;
    }
    double median = median_of(times, slices);
    printf("measure,median_us,least_us,greatest_us,threads\n");
    printf("churn,%.3f,%.3f,%.3f,%zu\n", median, times[0], times[slices - 1], threads * slices);
    return 0;
}
