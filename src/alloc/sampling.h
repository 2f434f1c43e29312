/*
 * sampling: which allocations become guarded samples, and what the verbs do with those.
 *
 * With the option `sample` one allocation in so many of those that reach a generic path, at random
 * distances; with sample=auto one in a thousand, if so much time has gone by since the last that
 * all of them together take at most a two-hundredth of it. Both levels. Everything that can go
 * wrong ends in an ordinary allocation.
 */
#ifndef MOAT_SAMPLING_H
#define MOAT_SAMPLING_H

#include "heap/sample.h"

/* Counts an allocation of the running thread, which is outside its heap. Not NULL: it is this
   sample, which is all zero. */
MOAT_COLD void *sampling_take(size_t size, size_t alignment);
/* Around the free of a sample: what it costs is part of what samples may cost. */
uint64_t sampling_clock(void);
void sampling_charge(uint64_t since);
/* The free of the default level. False: no sample lives at this address of their segments. */
MOAT_COLD bool sampling_free(uintptr_t address);
/* Whether a live block is a sample. */
bool sampling_is_sample(const void *block);

#endif
