/*
 * run: one input's run against one subject. See the header.
 *
 * The report hook runs on the reporting thread, deep inside the allocator, and leaves it by a jump
 * to that thread's run_op(). The allocator is in mid-step then; the run is over and nothing calls
 * it again before it is reset.
 */
#include "engine/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct run_hooks run_hooks;
void (*run_failure_handler)(const char *text);
bool run_verbose;

/* The run whose subject may report now. */
static struct run *current;
static _Thread_local sigjmp_buf escape;

void run_trace(struct run *run, uint64_t value) {
    run->trace = rng_mix(run->trace ^ value) + value;
}

uint64_t run_offset(const struct run *run, uintptr_t address) {
    return address - run->subject->base();
}

void run_fail(struct run *run, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (run_failure_handler) run_failure_handler(text);
    fprintf(stderr, "fuzz: failure: %s\n", text);
    if (run->op_index < run->input->op_count) {
        const struct input_op *op = &run->input->ops[run->op_index];
        fprintf(stderr,
                "fuzz: at operation %u (%s, pick %u, other %u, kind %u, value %u) on thread %u, %u "
                "blocks live\n",
                run->op_index, op_name(op->code), op->pick, op->other, op->kind, op->value,
                run->thread, run->shadow.live_count);
    } else {
        fprintf(stderr, "fuzz: at the end of the run, on thread %u, %u blocks live\n", run->thread,
                run->shadow.live_count);
    }
    abort();
}

static void on_report(enum report_kind kind, uintptr_t address) {
    struct run *run = current;
    bool expected = (run->expect.kinds & KIND_BIT(kind)) && address == run->expect.address;
    if (!expected && !(run->tolerated & KIND_BIT(kind)))
        run_fail(run, "report %s at %#lx (offset %#lx), expected kinds %#x at %#lx",
                 report_kind_name(kind), (unsigned long)address,
                 (unsigned long)run_offset(run, address), run->expect.kinds,
                 (unsigned long)run->expect.address);
    run->reported = (int)kind;
    run->over = true;
    siglongjmp(escape, 1);
}

/* The least that is committed with nothing allocated: after the first use. */
static size_t measure_baseline(const struct subject *subject) {
    void *block = subject->malloc(100);
    subject->free(block);
    subject->trim();
    return subject->committed();
}

void run_begin(struct run *run, const struct subject *subject, const struct input *input) {
    enum { FULL_NORMALLY = 64 * 1024, FULL_ALWAYS = 1024 * 1024 };
    run->subject = subject;
    run->input = input;
    run->random.state = input->seed ^ 0x6d6f6174;
    run->trace = 0;
    run->op_index = 0;
    run->thread = 0;
    run->over = false;
    run->reported = -1;
    run->tolerated = 0;
    run->faults_armed = 0;
    run->failures_before = 0;
    run->expect = (struct expectation){0, 0};
    shadow_reset(&run->shadow, input->seed,
                 input->flags & INPUT_FULL_CONTENTS ? FULL_ALWAYS : FULL_NORMALLY);
    current = run;
    misuse_prepare();
    subject->begin(input->seed, on_report);
    run->baseline = measure_baseline(subject);
}

void run_end(struct run *run) {
    run->subject->end();
    current = NULL;
}

/* A pick names the same share of the way through the list, whatever its length. */
uint16_t run_pick_live(const struct run *run, unsigned pick) {
    unsigned count = run->shadow.live_count;
    return count ? run->shadow.live[(pick & 255) * count >> 8] : SHADOW_NONE;
}

uint16_t run_pick_grave(const struct run *run, unsigned pick) {
    unsigned count = run->shadow.grave_count;
    return count ? run->shadow.graves[(pick & 255) * count >> 8] : SHADOW_NONE;
}

void run_compare(struct run *run, uint16_t index) {
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t wrong = 0;
    if (!shadow_compare(block, block->start, block->usable, &wrong))
        run_fail(run, "contents lost at byte %zu of the block of %zu bytes at %#lx", wrong,
                 block->usable, (unsigned long)block->start);
}

static void check_everything(struct run *run) {
    unsigned tolerated = run->tolerated;
    /* The checker may word a damaged list as damaged metadata. */
    if (tolerated) run->tolerated |= KIND_BIT(REPORT_CORRUPT_METADATA);
    run->subject->check();
    run->tolerated = tolerated;
    for (unsigned i = 0; i < run->shadow.live_count; i++) run_compare(run, run->shadow.live[i]);
}

static void usable_op(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t usable = run->subject->usable_size((void *)block->start);
    if (usable != block->usable)
        run_fail(run, "usable size was %zu and is now %zu", block->usable, usable);
    run_compare(run, index);
}

static void owns_op(struct run *run, const struct input_op *op) {
    int local = 0;
    if (run->subject->owns(&local)) run_fail(run, "owns an address on the stack");
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t offset = block->usable ? op->value % block->usable : 0;
    if (!run->subject->owns((void *)(block->start + offset)))
        run_fail(run, "does not own a live block");
}

static void malloc_many(struct run *run, const struct input_op *op) {
    enum { BYTES_MAX = 2 * 1024 * 1024 };
    size_t size = size_decode(op->kind, op->value);
    unsigned count = 1u << (1 + op->other % 11);
    if (size && count > BYTES_MAX / size) count = (unsigned)(BYTES_MAX / size);
    struct input_op one = *op;
    one.code = OP_MALLOC;
    for (unsigned i = 0; i < count; i++) {
        if (!shadow_can_take(&run->shadow, 1)) return;
        verb_allocate(run, &one, size);
    }
}

/* Orders of freeing: from a block forward or backward in the list (about allocation order), every
   second, at random, and all of one block size. */
static void free_many(struct run *run, const struct input_op *op) {
    unsigned count = 1u << (1 + op->other % 11), at = (op->pick * run->shadow.live_count) >> 8;
    size_t usable = run->shadow.live_count ? run->shadow.blocks[run->shadow.live[at]].usable : 0;
    for (unsigned i = 0; i < count && run->shadow.live_count > 0; i++) {
        unsigned live = run->shadow.live_count;
        switch (op->kind % 5) {
        case 0: at = at % live; break; /* the last takes the place of the one that goes */
        case 1: at = (at + live - 1) % live; break;
        case 2: at = (at + 2) % live; break;
        case 3: at = rng_below(&run->random, live); break;
        default:
            for (unsigned steps = 0;
                 steps < live && run->shadow.blocks[run->shadow.live[at % live]].usable != usable;
                 steps++)
                at++;
            at %= live;
            if (run->shadow.blocks[run->shadow.live[at]].usable != usable) return;
            break;
        }
        verb_free(run, run->shadow.live[at], (op->value >> (i & 31)) & 1);
    }
}

static void fault_op(struct run *run, const struct input_op *op) {
    if (run->faults_armed >= run->input->fault_budget || run->subject->fault_kinds == 0) return;
    run->faults_armed++;
    run->subject->fail_nth(op->value % run->subject->fault_kinds, 1 + op->other % 8);
}

static void dispatch(struct run *run, const struct input_op *op) {
    size_t size = size_decode(op->kind, op->value);
    uint16_t index;
    switch (op->code) {
    case OP_MALLOC:
    case OP_CALLOC:
    case OP_ALIGNED:
    case OP_POSIX_MEMALIGN: verb_allocate(run, op, size); break;
    case OP_REALLOC:
    case OP_REALLOCARRAY: verb_resize(run, op); break;
    case OP_FREE:
    case OP_FREE_SIZED:
        index = run_pick_live(run, op->pick);
        if (index != SHADOW_NONE) verb_free(run, index, op->code == OP_FREE_SIZED);
        break;
    case OP_FREE_NULL: verb_free_null(run); break;
    case OP_USABLE: usable_op(run, op); break;
    case OP_OWNS: owns_op(run, op); break;
    case OP_MALLOC_MANY: malloc_many(run, op); break;
    case OP_FREE_MANY: free_many(run, op); break;
    case OP_TRIM: run_trace(run, run->subject->trim()); break;
    case OP_CLOCK: run->subject->advance_clock(op->value % 1500); break;
    case OP_CHECK: check_everything(run); break;
    case OP_FAULT: fault_op(run, op); break;
    case OP_REJECT: verb_reject(run, op); break;
    case OP_THREAD_START:
        if (run_hooks.thread_start) run_hooks.thread_start(run);
        break;
    case OP_THREAD_END:
        if (run_hooks.thread_end) run_hooks.thread_end(run, op);
        break;
    case OP_FORK:
        if (run_hooks.fork && (run->input->flags & INPUT_FORK)) run_hooks.fork(run, op);
        break;
    default:
        if (run->input->flags & INPUT_MISUSE) misuse_op(run, op);
        break;
    }
}

void run_op(struct run *run, const struct input_op *op, unsigned thread) {
    run->thread = thread;
    run->failures_before = run->subject->failures();
    run_trace(run, (uint64_t)op->code << 8 | thread);
    if (run_verbose)
        fprintf(stderr,
                "fuzz: %u thread %u %s pick %u other %u kind %u value %u (%zu bytes), %u live\n",
                run->op_index, thread, op_name(op->code), op->pick, op->other, op->kind, op->value,
                size_decode(op->kind, op->value), run->shadow.live_count);
    if (sigsetjmp(escape, 0) != 0) {
        run_trace(run, (uint64_t)run->reported);
        return;
    }
    dispatch(run, op);
    if (run->input->flags & INPUT_CHECK_OFTEN) check_everything(run);
    run_trace(run, run->shadow.live_count);
}

void run_drain(struct run *run, unsigned first, unsigned stride, unsigned thread) {
    run->thread = thread;
    run->failures_before = run->subject->failures();
    if (sigsetjmp(escape, 0) != 0) {
        run_trace(run, (uint64_t)run->reported);
        return;
    }
    /* From the end: the last live block takes the place of the one that goes. */
    for (unsigned i = run->shadow.live_count; i-- > 0;)
        if (i % stride == first % stride) verb_free(run, run->shadow.live[i], i & 1);
    run_trace(run, run->subject->trim());
}

void run_at_rest(struct run *run) {
    if (run->tolerated) return; /* blocks of a damaged list may be lost */
    const char *broken = shadow_validate(&run->shadow);
    if (broken) run_fail(run, "the engine itself is broken: %s", broken);
    run->subject->trim();
    run->subject->check();
    size_t used = run->subject->used_blocks();
    if (used != 0) run_fail(run, "%zu blocks in use after everything was freed", used);
    size_t committed = run->subject->committed();
    run_trace(run, committed);
    if (run->subject->failures() == 0 && committed > run->baseline)
        run_fail(run, "%zu bytes committed after everything was freed, %zu before", committed,
                 run->baseline);
}
