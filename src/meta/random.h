/*
 * random: unpredictable numbers.
 *
 * ChaCha20 (RFC 8439 block function) keyed by the kernel, with fast key erasure: each refill
 * produces a new key first, overwrites the old one, and hands out the rest, erasing each word as it
 * is taken. A generator belongs to one thread (or is under its owner's lock). It must lie in memory
 * that the kernel wipes on fork: an all-zero generator is "unseeded" and seeds itself anew, after
 * every kind of fork.
 *
 * The kernel is asked once, at the start. Later seeds come from the root, a key that is replaced by
 * what can be computed from it but not back with each seed it gives. A fork copies the root; the
 * child mixes in who it is and when, before it draws.
 */
#ifndef MOAT_RANDOM_H
#define MOAT_RANDOM_H

#include "base/base.h"

#define RANDOM_WORDS 24 /* 64-bit words a refill hands out */

struct random {
    uint64_t key[4];
    uint64_t words[RANDOM_WORDS];
    uint32_t left;   /* words not handed out yet, 0..RANDOM_WORDS */
    uint32_t seeded; /* 0 after creation or a wipe */
};

/* Where seeds come from after the start; ro.random_root, under LOCK_RANDOM. */
struct random_root {
    uint64_t key[4];
    uint64_t steps; /* times it was replaced */
};

/* At the start: the root's key is drawn from a generator. */
void random_start(struct random_root *root, struct random *random);
/* In a forked child, before anybody draws: its root is no other process's. Takes no lock. */
void random_recover(struct random_root *root);

/* Ends the process with a clear message if it is the first and the kernel gives no random
   bytes. */
uint64_t random_next(struct random *random);
/* Uniform in [0, bound), bound 1..2^32-1. Lemire's multiply, bias below 2^-32. */
uint32_t random_below(struct random *random, uint32_t bound);
/* Replaces the state by one derived from `seed` alone: for replayable harnesses and tests. */
void random_seed_fixed(struct random *random, uint64_t seed);
/* The block function of RFC 8439, section 2.3, on 32-bit words, for as many values of the counter;
   for random.c and its test. */
#define REFILL_BLOCKS 4
void random_chacha20_blocks(uint32_t out[REFILL_BLOCKS][16], const uint32_t key[8],
                            uint32_t counter, const uint32_t nonce[3]);

#endif
