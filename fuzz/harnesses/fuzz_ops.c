/*
 * fuzz_ops: random operations on one thread against the shadow model.
 *
 * Every verb, every class of size, system calls that fail, purges by a clock that the input moves,
 * and misuses, each of which must be reported as what it is. README.md has the oracles. Operations
 * that need several threads do nothing here. Whatever an input leaves behind is gone before the
 * next: a run begins and ends with a reset.
 */
#define FRESH_THREADS 1
#include "engine/dispatch.h"
#include "engine/operations.h"

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

uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }
