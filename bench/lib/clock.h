/*
 * clock: what the measuring programs share: a clock, a processor to stay on, arguments, and the
 * proof of which allocator is measured.
 *
 * The programs allocate nothing while they measure but what they measure; everything of their own
 * is static.
 */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <dlfcn.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* CLOCK_MONOTONIC, or CLOCK_THREAD_CPUTIME_ID for the processor time of the calling thread
 * alone. */
static inline double now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Keeps the calling thread on the `index`-th of the processors the process was given (counted
 * round), so that the scheduler does not move it in the middle of a measurement. Returns how many
 * there are. */
static inline int pin_to(const cpu_set_t *allowed, int index) {
    int count = CPU_COUNT(allowed);
    int wanted = count > 0 ? index % count : 0;
    for (size_t cpu = 0; count > 0 && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed) || wanted-- > 0) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        break;
    }
    return count;
}

/* The first line of every measuring program: the file that malloc comes from. The runners compare
 * it with what they asked for, so that a preload that did not happen is never measured as one. */
static inline void print_allocator(void) {
    Dl_info where;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    if (!address || !dladdr(address, &where) || !where.dli_fname) {
        fprintf(stderr, "malloc cannot be located\n");
        exit(1);
    }
    printf("allocator,%s\n", where.dli_fname);
}

static inline int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts `values` in place. */
static inline double median_of(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

#endif
