/*
 * writer: puts values where readers are given memory, in the encodings of unwind tables.
 */
#ifndef ENGINE_WRITER_H
#define ENGINE_WRITER_H

#include "engine/given.h"
#include "engine/rng.h"

struct writer {
    uintptr_t at, end; /* as readers see it */
};

/* So many low bytes. */
void writer_put(struct writer *writer, uint64_t value, unsigned size);
void writer_copy(struct writer *writer, const void *from, size_t size);
/* LEB128, now and then longer than need be. */
void writer_uleb(struct writer *writer, struct rng *random, uint64_t value);
void writer_sleb(struct writer *writer, struct rng *random, int64_t value);

#endif
