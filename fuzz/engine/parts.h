/*
 * parts: what target.h asks for, of a harness that drives a part of the library and no verbs.
 *
 * The harness defines before what a run is, PARTS_RUN(input), which returns its trace; the rest is
 * here and the same for all: nothing is reported, and no system call fails.
 */
#ifndef ENGINE_PARTS_H
#define ENGINE_PARTS_H

#define FRESH_THREADS 1
#include "engine/operations.h"

static struct input input;
static uint64_t trace;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_accept(&input, data, size, FRESH_THREADS)) return -1;
    trace = PARTS_RUN(&input);
    return 0;
}

const enum recipe_style target_style = RECIPE_STEPS;
const char target_source[] = __BASE_FILE__;
uint64_t target_trace(void) { return trace; }
int target_reported(void) { return -1; }
uint64_t target_failures(void) { return 0; }

#endif
