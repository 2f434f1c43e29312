/*
 * ticks: a counter fine enough to time one call, and its length in nanoseconds.
 *
 * On x86 it is the time stamp counter, fenced on both sides: nothing of the timed call runs before
 * the first reading or after the second, and the reading's own cost (some tens of nanoseconds, more
 * on virtual machines) is part of every figure. The counter must run evenly (constant_tsc and
 * nonstop_tsc in /proc/cpuinfo, as on any x86-64 of the last fifteen years); its rate is measured
 * against CLOCK_MONOTONIC over the whole run. Some processors advance it in steps of 10 ns or so:
 * single figures are then multiples of that. Elsewhere a tick is a nanosecond of CLOCK_MONOTONIC.
 */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include "clock.h"

#if defined(__x86_64__)
#include <x86intrin.h>

static inline uint64_t ticks_before(void) {
    _mm_lfence();
    uint64_t ticks = __rdtsc();
    _mm_lfence();
    return ticks;
}

static inline uint64_t ticks_after(void) {
    unsigned processor;
    uint64_t ticks = __rdtscp(&processor); /* waits for what stands before it */
    _mm_lfence();
    return ticks;
}
#else
static inline uint64_t ticks_before(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline uint64_t ticks_after(void) { return ticks_before(); }
#endif

struct calibration {
    uint64_t ticks;
    double ns;
};

static inline struct calibration calibration_start(void) {
    return (struct calibration){.ns = now_ns(CLOCK_MONOTONIC), .ticks = ticks_before()};
}

/* Nanoseconds a tick. Waits until at least 50 ms have passed since the start: shorter, and
 * reading the clock would tell. */
static inline double calibration_end(const struct calibration *start) {
    double ns = now_ns(CLOCK_MONOTONIC);
    while (ns - start->ns < 50e6) ns = now_ns(CLOCK_MONOTONIC);
    return (ns - start->ns) / (double)(ticks_before() - start->ticks);
}

#endif
