/*
 * fuzz_options: texts of options, against a model of the table they are made from.
 *
 * Each operation of an input is an item of the text: a key and a value, right or wrong, of which
 * the model knows the meaning. The text is the program's own, that of the environment, or that of a
 * privileged process's environment. engine/texts.h says what is judged.
 */
#include "engine/mutate.h"
#include "engine/target.h"
#include "engine/texts.h"

enum { FRESH_THREADS = 1 };

static struct input input;
static uint64_t trace;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    trace = texts_run(&texts_moat, &input);
    return 0;
}

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
        mutate_fresh(made, &random, FRESH_THREADS);
}
uint64_t target_trace(void) { return trace; }
int target_reported(void) { return -1; }
uint64_t target_failures(void) { return 0; }
