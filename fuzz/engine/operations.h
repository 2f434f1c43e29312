/*
 * operations: what target.h asks for, of a harness whose inputs are operations in one order.
 *
 * It is the part about making and mutating inputs, the same for all of them but for the number of
 * threads of a fresh one, FRESH_THREADS, which the harness defines before. Harnesses whose threads
 * run at once have at_once.h.
 */
#ifndef ENGINE_OPERATIONS_H
#define ENGINE_OPERATIONS_H

#include "engine/mutate.h"
#include "engine/target.h"

/* What a search tries; a harness may have better things to try. */
#ifndef FRESH_INPUT
#define FRESH_INPUT(made, random) mutate_fresh((made), (random), FRESH_THREADS)
#endif

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return mutate_bytes(data, size, max_size, FRESH_THREADS, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed) {
    return mutate_cross_bytes(data1, size1, data2, size2, out, max_out_size, FRESH_THREADS, seed);
}

void target_make(struct input *made, uint64_t seed, unsigned operations) {
    struct rng random = {seed};
    if (operations != 0)
        mutate_make(made, &random, FRESH_THREADS, operations);
    else
        FRESH_INPUT(made, &random);
}

#endif
