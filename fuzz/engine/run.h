/*
 * run: one input's run against one subject.
 *
 * Carries out operations and judges every result by the shadow model. Whoever schedules threads
 * calls run_op() with the number of the thread that it is called on; one thread at a time. A report
 * that is expected, of an expected kind and at the very address, ends the run; any other report and
 * any wrong result is a failure: the engine prints what happened and calls abort(), unless a
 * failure handler is set (the engine's own test).
 */
#ifndef ENGINE_RUN_H
#define ENGINE_RUN_H

#include <setjmp.h>

#include "engine/input.h"
#include "engine/rng.h"
#include "engine/shadow.h"
#include "engine/sizing.h"
#include "engine/subject.h"

#define KIND_BIT(kind) (1u << (kind))

/* What a misuse may be reported as, set just before it. */
struct expectation {
    unsigned kinds;    /* KIND_BITs; 0: no report is expected */
    uintptr_t address; /* that the report must name */
};

struct run {
    const struct subject *subject;
    const struct input *input;
    struct rng random; /* choices that the input leaves open */
    uint64_t trace;    /* hash of all that was seen; equal for equal inputs */
    unsigned op_index;
    unsigned thread; /* that runs now */
    bool over;       /* a report ended the run */
    int reported;    /* its kind, or -1 */
    /* KIND_BITs that may be reported from now on at any address: free memory was overwritten */
    unsigned tolerated;
    unsigned faults_armed; /* so far in this run */
    /* system calls that had failed before the current operation */
    uint64_t failures_before;
    size_t baseline; /* bytes committed with nothing allocated */
    struct expectation expect;
    struct shadow shadow;
};

/* Operations that only `threads` carries out; they do nothing while these are NULL. */
struct run_hooks {
    void (*thread_start)(struct run *run);
    void (*thread_end)(struct run *run, const struct input_op *op);
    void (*fork)(struct run *run, const struct input_op *op);
};
extern struct run_hooks run_hooks;

void run_begin(struct run *run, const struct subject *subject, const struct input *input);
/* One operation by thread `thread`, on that thread. After it, run->over says whether a report ended
   the run. */
void run_op(struct run *run, const struct input_op *op, unsigned thread);
/* Compares and frees every `stride`-th live block from `first` on and trims: each thread does so
   before it ends. */
void run_drain(struct run *run, unsigned first, unsigned stride, unsigned thread);
/* With no block and no other thread left: moat_check, used blocks, committed bytes. Not after a
   report. */
void run_at_rest(struct run *run);
void run_end(struct run *run);

/* The engine found something wrong: with the allocator, by far most likely. Does not return. */
__attribute__((noreturn, format(printf, 2, 3))) void run_fail(struct run *run, const char *format,
                                                              ...);
/* Takes the failure instead of abort(); must not return. */
extern void (*run_failure_handler)(const char *text);
/* Prints each operation to stderr as it is carried out. */
extern bool run_verbose;

/* Shared by the engine's files. */
void run_trace(struct run *run, uint64_t value);
uint64_t run_offset(const struct run *run, uintptr_t address);
uint16_t run_pick_live(const struct run *run, unsigned pick);
uint16_t run_pick_grave(const struct run *run, unsigned pick);
void run_compare(struct run *run, uint16_t index);
/* The verbs (verbs.c): each judges its result. */
void verb_allocate(struct run *run, const struct input_op *op, size_t size);
void verb_resize(struct run *run, const struct input_op *op);
void verb_free(struct run *run, uint16_t index, bool sized);
void verb_free_null(struct run *run);
void verb_reject(struct run *run, const struct input_op *op);
/* The misuses (misuses.c): do nothing when there is no fitting block. */
void misuse_prepare(void);
void misuse_op(struct run *run, const struct input_op *op);

#endif
