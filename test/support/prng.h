/*
 * prng: repeatable pseudo-random numbers for tests (splitmix64). One state word a thread; the seed
 * is part of the test, so that a failure can be run again.
 */
#ifndef TEST_PRNG_H
#define TEST_PRNG_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t prng_next(uint64_t *state) {
    uint64_t word = (*state += 0x9e3779b97f4a7c15u);
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

/* 0 .. bound - 1; the bias is of no interest to a test. */
static inline size_t prng_below(uint64_t *state, size_t bound) {
    return (size_t)(prng_next(state) % bound);
}

#endif
