/*
 * fuzz_attacker: programs of an attacker's moves, each several times with fresh keys.
 *
 * Grooming, bugs and goals: overlap, a block at a place of his choice, links that tell or can be
 * damaged, neighbours, reclaim, type confusion, what former owners left. What SECURITY.md promises
 * to be impossible is a failure; what has a chance is counted, and drivers/score_main.c makes
 * scores of it. README.md has the oracles.
 */
#define FRESH_THREADS 1
#define RUN_STYLE RECIPE_STEPS
#define FRESH_INPUT(made, random) exploit_fresh((made), (random))
#define RUN_INPUT(run, input) attacker_run((run), &subject_moat, (input))
#include "engine/exploits.h"
#include "engine/operations.h"
#include "engine/runs.h"
