/*
 * hunt: a search without a fuzzing engine: fresh inputs, and changed ones that came by something
 * new.
 *
 * What is new is what feedback.h has; code coverage is libFuzzer's and AFL++'s. Inputs are kept in
 * memory, and lost with the process.
 */
#ifndef ENGINE_HUNT_H
#define ENGINE_HUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/input.h"

/* As in target.h. */
struct hunt_source {
    void (*make)(struct input *input, uint64_t seed, unsigned operations);
    size_t (*mutate)(uint8_t *bytes, size_t size, size_t max_size, unsigned seed);
};

/* `learns`: without it all inputs are fresh. Forgets what was kept. */
void hunt_begin(const struct hunt_source *source, uint64_t seed, bool learns);
/* The next input's bytes, until the next call. */
const uint8_t *hunt_next(size_t *size);
/* It has run. */
void hunt_ran(void);
/* Inputs that are kept. */
unsigned hunt_kept(void);

#endif
