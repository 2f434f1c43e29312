/*
 * target: what a harness gives to whatever drives it.
 *
 * A harness is harnesses/fuzz_<name>.c: it defines all of these, and nothing else outside it refers
 * to it. libFuzzer knows the first four by their names; so does drivers/afl_main.c. The replay
 * program also asks for the trace of the last run, to see that the same input gives the same run.
 * One thread calls them, one call at a time.
 */
#ifndef ENGINE_TARGET_H
#define ENGINE_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "engine/input.h"
#include "engine/recipe.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
/* 0, or -1 when the bytes are no input. Ends the process when something is wrong with the
   allocator. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed);

/* A fresh input of about so many operations; 0: of whatever a search would try. */
void target_make(struct input *input, uint64_t seed, unsigned operations);
/* A hash of everything the last run saw, and the kind of report that ended it (-1: none). */
uint64_t target_trace(void);
int target_reported(void);
/* What inputs mean, and the source of the harness, whose name is its own. */
extern const enum recipe_style target_style;
extern const char target_source[];
/* System calls and failpoints that failed in it. */
uint64_t target_failures(void);

#endif
