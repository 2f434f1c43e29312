/*
 * at_once: what target.h asks for, of a harness whose virtual threads run at once.
 *
 * fuzz_interleave.c and fuzz_ordering.c are this and one line each: whether plain data is watched,
 * AT_ONCE_IS_WATCHED. They share inputs, seeds and everything else.
 */
#ifndef ENGINE_AT_ONCE_H
#define ENGINE_AT_ONCE_H

#include "engine/program.h"
#include "engine/team.h"

#define FRESH_THREADS 2
#define RUN_STYLE RECIPE_AT_ONCE
#define RUN_PREPARE() (void)(team_is_watched = AT_ONCE_IS_WATCHED)
#define RUN_INPUT(run, input)                                                                      \
    do {                                                                                           \
        program_adapt(input);                                                                      \
        team_run((run), &subject_moat, (input));                                                   \
    } while (0)
#include "engine/runs.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return program_mutate_bytes(data, size, max_size, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed) {
    return program_cross_bytes(data1, size1, data2, size2, out, max_out_size, seed);
}

void target_make(struct input *made, uint64_t seed, unsigned operations) {
    struct rng random = {seed};
    program_make(made, &random);
    (void)operations; /* a program of these has as many as its threads need */
}

#endif
