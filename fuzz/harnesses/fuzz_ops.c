/*
 * fuzz_ops: random operations on one thread against the shadow model.
 *
 * Every verb, every class of size, system calls that fail, purges by a clock that the input moves,
 * and misuses, each of which must be reported as what it is. README.md has the oracles. Operations
 * that need several threads do nothing here. Whatever an input leaves behind is gone before the
 * next: a run begins and ends with a reset.
 */
#include "engine/dispatch.h"
#include "engine/mutate.h"
#include "engine/target.h"

enum { FRESH_THREADS = 1 };

static struct run run;
static struct input input;

/* An empty run: what happens once in a process happens here and not in the first input. */
static void warm_up(void) {
    uint8_t bytes[INPUT_HEADER_SIZE];
    input = (struct input){.threads = FRESH_THREADS};
    LLVMFuzzerTestOneInput(bytes, input_encode(&input, bytes, sizeof bytes));
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    warm_up();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    dispatch_input(&run, &subject_moat, &input);
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
uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }
