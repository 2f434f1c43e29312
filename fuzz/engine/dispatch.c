/*
 * dispatch: which function carries out which operation. See the header.
 *
 * One table has all of it: the function, and the flag of the input without which the operation
 * does nothing. What a function needs beyond the operation it picks itself, so all of them look
 * alike.
 */
#include "engine/dispatch.h"

#include <stdio.h>

#include "engine/misuses.h"
#include "engine/verbs.h"

struct dispatch_hooks dispatch_hooks;

static void start_thread(struct run *run, const struct input_op *op) {
    if (dispatch_hooks.thread_start) dispatch_hooks.thread_start(run, op);
}

static void end_thread(struct run *run, const struct input_op *op) {
    if (dispatch_hooks.thread_end) dispatch_hooks.thread_end(run, op);
}

static void fork_process(struct run *run, const struct input_op *op) {
    if (dispatch_hooks.fork) dispatch_hooks.fork(run, op);
}

static const struct row {
    void (*carry_out)(struct run *run, const struct input_op *op);
    uint8_t flag; /* enum input_flag that the input must have; 0: none */
} table[OP_CODES] = {
    [OP_MALLOC] = {verb_allocate, 0},
    [OP_CALLOC] = {verb_allocate, 0},
    [OP_REALLOC] = {verb_resize, 0},
    [OP_REALLOCARRAY] = {verb_resize, 0},
    [OP_ALIGNED] = {verb_allocate, 0},
    [OP_POSIX_MEMALIGN] = {verb_allocate, 0},
    [OP_FREE] = {verb_free, 0},
    [OP_FREE_SIZED] = {verb_free, 0},
    [OP_FREE_NULL] = {verb_free_null, 0},
    [OP_USABLE] = {verb_usable, 0},
    [OP_OWNS] = {verb_owns, 0},
    [OP_MALLOC_MANY] = {verb_allocate_many, 0},
    [OP_FREE_MANY] = {verb_free_many, 0},
    [OP_TRIM] = {verb_trim, 0},
    [OP_CLOCK] = {verb_clock, 0},
    [OP_CHECK] = {verb_check, 0},
    [OP_FAULT] = {verb_fault, 0},
    [OP_REJECT] = {verb_reject, 0},
    [OP_THREAD_START] = {start_thread, 0},
    [OP_THREAD_END] = {end_thread, 0},
    [OP_FORK] = {fork_process, INPUT_FORK},
    [OP_DOUBLE_FREE] = {misuse_grave, INPUT_MISUSE},
    [OP_FREE_INTERIOR] = {misuse_interior, INPUT_MISUSE},
    [OP_FREE_FOREIGN] = {misuse_foreign, INPUT_MISUSE},
    [OP_REALLOC_STALE] = {misuse_grave, INPUT_MISUSE},
    [OP_REALLOC_INTERIOR] = {misuse_interior, INPUT_MISUSE},
    [OP_USABLE_STALE] = {misuse_grave, INPUT_MISUSE},
    [OP_USABLE_INTERIOR] = {misuse_interior, INPUT_MISUSE},
    [OP_FREE_SIZED_STALE] = {misuse_grave, INPUT_MISUSE},
    [OP_FREE_WRONG_SIZE] = {misuse_wrong_size, INPUT_MISUSE},
    [OP_FREE_WRONG_ALIGNMENT] = {misuse_wrong_alignment, INPUT_MISUSE},
    [OP_STOMP] = {misuse_stomp, INPUT_MISUSE},
    [OP_OVERFLOW] = {misuse_overflow, INPUT_MISUSE},
    [OP_FREE_OTHER_FAMILY] = {misuse_family, INPUT_MISUSE},
};

bool dispatch_knows(unsigned code) { return code < OP_CODES && table[code].carry_out != NULL; }

static void print_op(const struct run *run, const struct input_op *op) {
    fprintf(stderr,
            "fuzz: %u thread %u %s pick %u other %u kind %u value %u (%zu bytes), %u live\n",
            run->op_index, run->thread, op_name(op->code), op->pick, op->other, op->kind, op->value,
            size_decode(op->kind, op->value), run->shadow.live_count);
}

static void carry_out(struct run *run, const void *argument) {
    const struct input_op *op = argument;
    const struct row *row = &table[op->code];
    if (row->flag == 0 || (run->input->flags & row->flag)) row->carry_out(run, op);
    if (run->input->flags & INPUT_CHECK_OFTEN) verb_check(run, op);
    run_trace(run, run->shadow.live_count);
}

void dispatch_op(struct run *run, const struct input_op *op, unsigned thread) {
    run->thread = thread;
    run_trace(run, (uint64_t)op->code << 8 | thread);
    if (run_verbose) print_op(run, op);
    run_until_report(run, carry_out, op);
}

struct share {
    unsigned first, stride;
};

static void drain(struct run *run, const void *argument) {
    const struct share *share = argument;
    /* From the end: the last live block takes the place of the one that goes. */
    for (unsigned i = run->shadow.live_count; i-- > 0;)
        if (i % share->stride == share->first % share->stride)
            verb_free_block(run, run->shadow.live[i], i & 1);
    run_trace(run, run->subject->trim());
}

void dispatch_drain(struct run *run, unsigned first, unsigned stride, unsigned thread) {
    struct share share = {first, stride};
    run->thread = thread;
    run_until_report(run, drain, &share);
}

void dispatch_begin(struct run *run, const struct subject *subject, const struct input *input) {
    misuse_prepare();
    run->may_be_locked = true;
    run_begin(run, subject, input);
}

void dispatch_input(struct run *run, const struct subject *subject, const struct input *input) {
    dispatch_begin(run, subject, input);
    for (; run->op_index < input->op_count && !run->over; run->op_index++)
        dispatch_op(run, &input->ops[run->op_index], 0);
    subject->fail_none();
    if (!run->over) dispatch_drain(run, 0, 1, 0);
    if (!run->over) run_at_rest(run);
    run_end(run);
}
