/*
 * fuzz_units: the small parts that all else rests on, each against a plain model.
 *
 * Each operation of an input is a step of the live map, size classes, boundaries of blocks, links,
 * counts of returned blocks, lists, random numbers or canaries. engine/units.h says more.
 */
#define FRESH_THREADS 1
#include "engine/operations.h"
#include "engine/units.h"

static struct input input;
static uint64_t trace;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!input_decode(&input, data, size)) return -1;
    trace = units_run(&units_moat, &input);
    return 0;
}

uint64_t target_trace(void) { return trace; }
int target_reported(void) { return -1; }
uint64_t target_failures(void) { return 0; }
