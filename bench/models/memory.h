/*
 * memory: what the scenes of bench-memory share: their options, rows of measures, and what the
 * process has resident now.
 *
 * Looking at the memory allocates nothing: the file is read into the stack.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "model.h"

struct scene {
    const char *name;
    void (*run)(struct job *job);
};

/* What the command line can change; each scene looks at its own. */
struct scene_options {
    size_t peak;     /* give-back: bytes */
    size_t births;   /* births: threads */
    size_t segments; /* many-segments: pieces of 4 MiB */
};

extern struct scene_options options;
extern const struct scene scene_give_back, scene_births, scene_segments, scene_threads;

#define KIB 1024.0
#define MIB (1024 * KIB)

/* Bytes that are resident; smaps_rollup counts exactly, where there is one. */
double resident_bytes(void);
/* Bytes of address space. */
double mapped_bytes(void);
/* Bytes that the machine can still give. */
double available_bytes(void);
void print_row(const char *name, double value);
/* The locks that moat has taken since `before` (locks_taken() of then), per 1000 operations; no
 * row on other allocators. */
void print_locks(const char *name, double before, double operations);
void sleep_seconds(double seconds);

#endif
