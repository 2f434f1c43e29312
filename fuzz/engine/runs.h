/*
 * runs: what target.h asks for, of a harness whose input is one `struct run`.
 *
 * The harness defines before how an input is run, RUN_INPUT(run, input), the threads of an empty
 * one, FRESH_THREADS, what it means, RUN_STYLE, if it is not plain verbs, and what comes before the
 * first, RUN_PREPARE(), if anything does. How inputs are made is in operations.h, and for threads
 * that run at once in at_once.h.
 */
#ifndef ENGINE_RUNS_H
#define ENGINE_RUNS_H

#include "engine/run.h"
#include "engine/target.h"

#ifndef RUN_STYLE
#define RUN_STYLE RECIPE_VERBS
#endif
#ifndef RUN_PREPARE
#define RUN_PREPARE() ((void)0)
#endif

static struct run run;
static struct input input;

/* An empty run: what happens once in a process happens here and not in the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    uint8_t bytes[INPUT_HEADER_SIZE];
    (void)argc;
    (void)argv;
    RUN_PREPARE();
    input = (struct input){.threads = FRESH_THREADS};
    LLVMFuzzerTestOneInput(bytes, input_encode(&input, bytes, sizeof bytes));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_accept(&input, data, size, FRESH_THREADS)) return -1;
    RUN_INPUT(&run, &input);
    return 0;
}

const enum recipe_style target_style = RUN_STYLE;
const char target_source[] = __BASE_FILE__;
uint64_t target_trace(void) { return run.trace; }
int target_reported(void) { return run.reported; }
uint64_t target_failures(void) { return run.failures; }

#endif
