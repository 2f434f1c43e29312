/*
 * fuzz_api: every public name, with arguments where contracts bend.
 *
 * The verbs of moat.h, the C library's names as src/api/malloc.c has them, and C++'s operators of
 * new.c, on each other's blocks; also while system calls fail. What must come of a call is written
 * down for each verb (engine/contract.c), and the process's C library is asked the same
 * (engine/library.c). README.md has the other oracles, which are those of fuzz_ops.
 */
#define FRESH_THREADS 1
#define RUN_PREPARE() calls_of_moat(&calls)
#define RUN_INPUT(run, input) calls_run((run), &calls, (input))
#include "engine/calls.h"
#include "engine/operations.h"

static struct calls calls;

#include "engine/runs.h"
