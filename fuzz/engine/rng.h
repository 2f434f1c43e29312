/*
 * rng: the harnesses' own numbers.
 *
 * SplitMix64: every choice a harness makes comes from the input through one of these, so that the
 * same input is the same run. It has nothing to do with the allocator's generator, and the
 * allocator's choices do not move it. A generator belongs to whoever declares it; there is no
 * shared one.
 */
#ifndef ENGINE_RNG_H
#define ENGINE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline uint64_t rng_next(struct rng *random) {
    random->state += 0x9e3779b97f4a7c15u;
    return rng_mix(random->state);
}

/* Uniform enough in [0, bound); 0 for bound 0. */
static inline unsigned rng_below(struct rng *random, unsigned bound) {
    return bound ? (unsigned)((rng_next(random) >> 32) % bound) : 0;
}

#endif
