/*
 * fuzz_threads: random operations on several real threads, one at a time, against the shadow model.
 *
 * Blocks are handed over and freed elsewhere, pages fill up, threads end and are born, segments are
 * abandoned and reclaimed, the process forks, and misuses are mixed in, across threads too.
 * README.md has the oracles.
 */
#define FRESH_THREADS 3
#include "engine/crew.h"
#include "engine/operations.h"
#include "engine/run.h"

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
    crew_pin();
    warm_up();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    crew_run(&run, &subject_moat, &input);
    return 0;
}

uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }
