/*
 * fuzz_threads: random operations on several real threads, one at a time, against the shadow model.
 *
 * Blocks are handed over and freed elsewhere, pages fill up, threads end and are born, segments are
 * abandoned and reclaimed, the process forks, and misuses are mixed in, across threads too.
 * README.md has the oracles.
 */
#define FRESH_THREADS 3
#define RUN_PREPARE() crew_pin()
#define RUN_INPUT(run, input) crew_run((run), &subject_moat, (input))
#include "engine/crew.h"
#include "engine/operations.h"
#include "engine/runs.h"
