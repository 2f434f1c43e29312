/*
 * program: inputs whose threads run at once, and how new ones come from old ones.
 *
 * An operation belongs to the thread that its kind names. What happens at once shall happen to the
 * same few pages, so a fresh program has one or two sizes, blocks of them from a prologue, and some
 * operations for each thread that take, free and resize such blocks, end threads, and give memory
 * back.
 */
#ifndef ENGINE_PROGRAM_H
#define ENGINE_PROGRAM_H

#include "engine/input.h"
#include "engine/rng.h"

enum { PROGRAM_THREADS_MAX = 4 };

/* The thread that an operation belongs to; and an operation's kind for a size of a thread. */
unsigned program_thread_of(const struct input *input, const struct input_op *op);
uint8_t program_kind(unsigned thread, unsigned size_kind);
/* Whether blocks may be handed out by it. */
bool program_takes_blocks(const struct input_op *op);
/* Brings an input of any harness into range. */
void program_adapt(struct input *input);

void program_make(struct input *input, struct rng *random);
void program_edit(struct input *input, struct rng *random);
/* The same on bytes, as mutate_bytes(), and mutate_cross_bytes(); with all threads of both. */
size_t program_mutate_bytes(uint8_t *bytes, size_t size, size_t max_size, uint64_t seed);
size_t program_cross_bytes(const uint8_t *one, size_t one_size, const uint8_t *other,
                           size_t other_size, uint8_t *out, size_t max_size, uint64_t seed);

#endif
