/*
 * fuzz_options: texts of options, against a model of the table they are made from.
 *
 * Each operation of an input is an item of the text: a key and a value, right or wrong, of which
 * the model knows the meaning. The text is the program's own, that of the environment, or that of a
 * privileged process's environment. engine/texts.h says what is judged.
 */
#define FRESH_THREADS 1
#include "engine/operations.h"
#include "engine/texts.h"

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

uint64_t target_trace(void) { return trace; }
int target_reported(void) { return -1; }
uint64_t target_failures(void) { return 0; }
