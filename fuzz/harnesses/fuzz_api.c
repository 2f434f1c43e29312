/*
 * fuzz_api: every public name, with arguments where contracts bend.
 *
 * The verbs of moat.h, the C library's names as src/api/malloc.c has them, and C++'s operators of
 * new.c, on each other's blocks; also while system calls fail. What must come of a call is written
 * down for each verb (engine/contract.c), and the process's C library is asked the same
 * (engine/library.c). README.md has the other oracles, which are those of fuzz_ops.
 */
#define FRESH_THREADS 1
#include "engine/calls.h"
#include "engine/operations.h"

static struct run run;
static struct input input;
static struct calls calls;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    uint8_t bytes[INPUT_HEADER_SIZE];
    (void)argc;
    (void)argv;
    calls_of_moat(&calls);
    /* an empty run: what happens once in a process does not happen in the first input */
    input = (struct input){.threads = FRESH_THREADS};
    LLVMFuzzerTestOneInput(bytes, input_encode(&input, bytes, sizeof bytes));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    calls_run(&run, &calls, &input);
    return 0;
}

uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }
