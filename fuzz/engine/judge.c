/*
 * judge: what fails, and where. See the header.
 */
#include "engine/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/run.h"

static uint64_t seen;
static unsigned step;
static const char *subject = "";

void judge_begin(void) {
    seen = 0;
    step = 0;
    subject = "the beginning";
}

void judge_step(const char *what) {
    subject = what;
    if (run_verbose) fprintf(stderr, "step %u: %s\n", step, what);
    step++;
}

void judge_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "fuzz: failure: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nfuzz: at step %u (%s)\n", step, subject);
    va_end(arguments);
    abort();
}

void judge_trace(uint64_t value) { seen = rng_mix(seen ^ rng_mix(value)); }

uint64_t judge_seen(void) { return seen; }

struct rng judge_random(const struct input *input, const struct input_op *op) {
    uint64_t bits = (uint64_t)op->code << 56 | (uint64_t)op->pick << 48 |
                    (uint64_t)op->other << 40 | (uint64_t)op->kind << 32 | op->value;
    return (struct rng){rng_mix(input->seed) ^ bits};
}
