/*
 * fuzz_interleave: two to four virtual threads inside the allocator at once.
 *
 * A scheduler of the input's choice says before every access to a shared word, and at every system
 * call, which thread goes on; loads may be given values as old as the rules of C11 allow. Judged
 * is what fuzz_ops judges, and that the threads make progress. README.md has the schedulers.
 */
#include "engine/mutate.h"
#include "engine/program.h"
#include "engine/target.h"
#include "engine/team.h"

static struct run run;
static struct input input;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    uint8_t bytes[INPUT_HEADER_SIZE];
    input = (struct input){.threads = 2};
    LLVMFuzzerTestOneInput(bytes, input_encode(&input, bytes, sizeof bytes));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    program_adapt(&input);
    team_run(&run, &subject_moat, &input);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    return program_mutate_bytes(data, size, max_size, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed) {
    return mutate_cross_bytes(data1, size1, data2, size2, out, max_out_size, 2, seed);
}

void target_make(struct input *made, uint64_t seed, unsigned operations) {
    struct rng random = {seed};
    program_make(made, &random);
    (void)operations; /* a program of this harness has as many as its threads need */
}
uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
