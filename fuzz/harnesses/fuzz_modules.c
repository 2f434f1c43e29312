/*
 * fuzz_modules: what a report reads of a damaged process: headers, symbols, unwind tables,
 * expressions, stacks and the list of mappings.
 *
 * Each operation of an input is a question to the readers, or damage to what they read.
 * engine/modules.h says what is judged.
 */
#define FRESH_THREADS 1
#include "engine/modules.h"
#include "engine/operations.h"

static struct input input;
static uint64_t trace;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    trace = modules_run(&modules_moat, &input);
    return 0;
}

uint64_t target_trace(void) { return trace; }
int target_reported(void) { return -1; }
uint64_t target_failures(void) { return 0; }
