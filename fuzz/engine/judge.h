/*
 * judge: what fails, and where, in runs that drive parts of the library and no verbs of it.
 *
 * A run is a row of steps, each an operation of the input. One thread at a time.
 */
#ifndef ENGINE_JUDGE_H
#define ENGINE_JUDGE_H

#include <stdint.h>

#include "engine/input.h"
#include "engine/rng.h"

/* A run begins. */
void judge_begin(void);
/* The next step begins, which is about `what`; printed with run_verbose. */
void judge_step(const char *what);
/* Something is wrong with the library: prints what, and in which step, and calls abort(). */
__attribute__((noreturn, format(printf, 1, 2))) void judge_fail(const char *format, ...);
/* What was seen goes into the hash; nothing that differs from run to run may. */
void judge_trace(uint64_t value);
/* A hash of all that was seen. */
uint64_t judge_seen(void);
/* Numbers for what the operation leaves open, which depend on all of it. */
struct rng judge_random(const struct input *input, const struct input_op *op);

#endif
