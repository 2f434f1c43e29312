/*
 * fuzz_ops: random operations on one thread against the shadow model.
 *
 * Every verb, every class of size, system calls that fail, purges by a clock that the input moves,
 * and misuses, each of which must be reported as what it is. README.md has the oracles. Operations
 * that need several threads do nothing here. Whatever an input leaves behind is gone before the
 * next: a run begins and ends with a reset.
 */
#define FRESH_THREADS 1
#define RUN_STYLE RECIPE_CALLS
#define RUN_INPUT(run, input) dispatch_input((run), &subject_moat, (input))
#include "engine/dispatch.h"
#include "engine/operations.h"
#include "engine/runs.h"
