/*
 * mutate: how new inputs come from old ones, for every fuzzer.
 *
 * One structure-aware mutator: it reads an input, edits operations, schedule or header, and writes
 * it back; whatever it is given, what it writes is valid. Each harness offers it to libFuzzer,
 * afl_mutator.c to AFL++; of inputs whose threads run at once both have that of program.h.
 */
#ifndef ENGINE_MUTATE_H
#define ENGINE_MUTATE_H

#include "engine/input.h"
#include "engine/rng.h"

/* A fresh input of so many random operations; 0: of some. */
void mutate_make(struct input *input, struct rng *random, unsigned threads, unsigned count);
/* A fresh input as a search without a corpus needs it: often edited at once, every third with a
   misuse near its end. */
void mutate_fresh(struct input *input, struct rng *random, unsigned threads);
/* A failpoint for every eighth input, and its passings, which follow from the seed. */
void mutate_failpoint(struct input *input);
/* A few random edits. */
void mutate_edit(struct input *input, struct rng *random);
/* The header of `into`, operations and schedule cut together from both. */
void mutate_cross(struct input *into, const struct input *from, struct rng *random);

/* The same on bytes: returns the new size, at most max_size. Bytes that cannot be read are replaced
   by a fresh input for `threads` threads: 1 for `ops`, more for `threads`. */
size_t mutate_bytes(uint8_t *bytes, size_t size, size_t max_size, unsigned threads, uint64_t seed);
size_t mutate_cross_bytes(const uint8_t *one, size_t one_size, const uint8_t *other,
                          size_t other_size, uint8_t *out, size_t max_size, unsigned threads,
                          uint64_t seed);

#endif
