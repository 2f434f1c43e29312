/*
 * fuzz_attacker: programs of an attacker's moves, each several times with fresh keys.
 *
 * Grooming, bugs and goals: overlap, a block at a place of his choice, links that tell or can be
 * damaged, neighbours, reclaim, type confusion, what former owners left. What SECURITY.md promises
 * to be impossible is a failure; what has a chance is counted, and drivers/score_main.c makes
 * scores of it. README.md has the oracles.
 */
#define FRESH_THREADS 1
#define FRESH_INPUT(made, random) exploit_fresh((made), (random))
#include "engine/exploits.h"
#include "engine/operations.h"

static struct run run;
static struct input input;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    uint8_t bytes[INPUT_HEADER_SIZE];
    (void)argc;
    (void)argv;
    /* an empty run: what happens once in a process does not happen in the first input */
    input = (struct input){.threads = FRESH_THREADS};
    LLVMFuzzerTestOneInput(bytes, input_encode(&input, bytes, sizeof bytes));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    attacker_run(&run, &subject_moat, &input);
    return 0;
}

uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }
