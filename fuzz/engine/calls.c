/*
 * calls: a whole run of calls by public names, judged by contracts and by the C library. See the
 * header.
 *
 * errno holds a mark before each call. NULL is allowed where the contract has an error, where a
 * size or an alignment is such that memory may lack, and when a system call was made to fail within
 * the operation.
 */
#include "engine/calls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>

#include "engine/bends.h"
#include "engine/library.h"
#include "engine/named.h"
#include "engine/verbs.h"

enum { LIVE_BYTES_MAX = 160 * 1024 * 1024, PATIENCE = 3 };

static const struct calls *subject;
static bool zero_is_block;
/* Which verb made a block, by its index in the model. */
static const struct verb *makers[SHADOW_BLOCKS];

void calls_of_moat(struct calls *calls) { *calls = (struct calls){contract_moat, asks_moat}; }

/* --- In place of a C++ runtime --------------------------------------------------------------- */

static struct {
    struct run *run;
    unsigned patience; /* times that the handler is still there */
    unsigned handled;  /* times that it was called */
    bool may_throw, has_thrown;
    jmp_buf way_out;
} runtime;

static void handle(void) {
    runtime.handled++;
    runtime.patience--;
}

void (*named_get_new_handler(void))(void) { return runtime.patience > 0 ? handle : NULL; }

void named_throw_bad_alloc(void) {
    if (!runtime.may_throw) run_fail(runtime.run, "an operator threw that may not");
    runtime.has_thrown = true;
    longjmp(runtime.way_out, 1);
}

/* --- A call ---------------------------------------------------------------------------------- */

static void print_call(const struct run *run, const struct call *call, const struct duty *duty) {
    fprintf(stderr, "fuzz: %u %s block %#lx alignment %#zx count %#zx size %#zx: error %d due\n",
            run->op_index, call->verb->name, (unsigned long)call->block, call->alignment,
            call->count, call->size, duty->error);
}

/* What it left in errno. */
static int carry_out(struct run *run, struct call *call, unsigned patience) {
    runtime.run = run;
    runtime.patience = patience;
    runtime.handled = 0;
    runtime.has_thrown = false;
    runtime.may_throw = contract_may_throw(call->verb);
    errno = CONTRACT_ERRNO;
    if (!runtime.may_throw || setjmp(runtime.way_out) == 0)
        contract_call(call, call->verb->function);
    return errno;
}

static bool has_block(const struct call *call) {
    return call->verb->form == GIVE_INTO ? call->status == 0 : call->result != NULL;
}

/* Address space may run out, or memory. */
static bool may_lack_memory(const struct run *run, const struct duty *duty) {
    return duty->bytes > SIZE_SANE_MAX || duty->alignment >= ALIGNMENT_MAY_FAIL ||
           run->subject->failures() != run->failures_before;
}

/* The new-handler is asked again and again until it is no more, for want of memory alone. */
static void judge_handler(struct run *run, const struct call *call, unsigned expected) {
    const char *name = call->verb->name;
    if (contract_may_throw(call->verb) && !runtime.has_thrown)
        run_fail(run, "%s gave NULL and did not throw", name);
    if (call->verb->family != OF_MALLOC && runtime.handled != expected)
        run_fail(run, "%s called the new-handler %u times, expected %u", name, runtime.handled,
                 expected);
}

/* There is no block. */
static void judge_refusal(struct run *run, const struct call *call, const struct duty *duty,
                          int error, unsigned patience) {
    const char *name = call->verb->name;
    int due = duty->error != 0 ? duty->error : ENOMEM;
    int expected = contract_errno(call->verb, due, CONTRACT_ERRNO);
    run_trace(run, (uint64_t)due);
    run_empties_quarantine(run); /* to find memory */
    if (duty->error == 0 && !may_lack_memory(run, duty))
        run_fail(run, "%s of %zu bytes aligned to %zu gave NULL", name, duty->bytes,
                 duty->alignment);
    if (call->verb->form == GIVE_INTO && call->status != due)
        run_fail(run, "%s returned %d, expected %d", name, call->status, due);
    if (call->verb->form == GIVE_INTO && call->result != CONTRACT_MARK)
        run_fail(run, "%s failed and changed its result", name);
    if (expected >= 0 && error != expected)
        run_fail(run, "%s left errno %d, expected %d", name, error, expected);
    judge_handler(run, call, due == ENOMEM ? patience : 0);
}

/* There is one. */
static void judge_success(struct run *run, const struct call *call, const struct duty *duty,
                          int error) {
    const char *name = call->verb->name;
    if (duty->error != 0)
        run_fail(run, "%s with alignment %#zx, count %#zx, size %#zx gave a block", name,
                 call->alignment, call->count, call->size);
    if (error != CONTRACT_ERRNO)
        run_fail(run, "%s left errno %d, expected %d", name, error, CONTRACT_ERRNO);
    if (runtime.handled > 0 && !may_lack_memory(run, duty))
        run_fail(run, "%s called the new-handler while there was memory", name);
}

/* Not of what memory decided. */
static void judge_by_library(struct run *run, const struct call *call, const struct duty *duty,
                             int error, size_t old) {
    if (duty->error == 0 && may_lack_memory(run, duty)) return;
    const char *differs = library_compare(call, duty, error, old);
    if (differs != NULL) run_fail(run, "%s", differs);
}

static bool is_affordable(const struct run *run, const struct duty *duty) {
    return shadow_can_take(&run->shadow, 2) &&
           (duty->bytes > SIZE_SANE_MAX || run->shadow.live_bytes + duty->bytes <= LIVE_BYTES_MAX);
}

/* --- Taking ---------------------------------------------------------------------------------- */

static bool is_aligned_new(const struct verb *maker) { return maker->rule == RULE_NEW; }

/* Whether it may be given the block. Families are mixed at the default level, which does not tell
   them apart, by the verbs that are told nothing more. */
static bool fits(const struct run *run, const struct verb *taker, uint16_t index) {
    const struct verb *maker = makers[index];
    bool is_plain = taker->form == TAKE || taker->form == TAKE_TAG;
    if (taker->family != maker->family && (run->is_strict || !is_plain)) return false;
    switch (taker->form) {
    case TAKE_SIZED:
        return run->shadow.blocks[index].alignment <= GRANULE && !is_aligned_new(maker);
    case TAKE_ALIGNED:
    case TAKE_ALIGNED_TAG:
    case TAKE_SIZED_ALIGNED: return is_aligned_new(maker);
    case TAKE:
    case TAKE_TAG: return taker->family == OF_MALLOC || !is_aligned_new(maker);
    default: return true;
    }
}

/* By one of the verbs that fit. */
static void take_block(struct run *run, uint16_t index, unsigned choice) {
    const struct verb *fitting[CONTRACT_TAKERS];
    unsigned count = 0;
    for (unsigned i = 0; i < CONTRACT_TAKERS; i++)
        if (fits(run, &subject->contract.take[i], index))
            fitting[count++] = &subject->contract.take[i];
    run_compare(run, index);
    const struct shadow_block block = run->shadow.blocks[index];
    struct call call = {.verb = fitting[choice % count],
                        .block = (void *)block.start,
                        .alignment = block.alignment,
                        .size = block.requested};
    shadow_death(&run->shadow, index);
    run_keeps_back(run, &block);
    if (run_verbose) print_call(run, &call, &(struct duty){.error = 0});
    int error = carry_out(run, &call, 0);
    if (error != CONTRACT_ERRNO)
        run_fail(run, "%s left errno %d, expected %d", call.verb->name, error, CONTRACT_ERRNO);
}

static void take(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index != SHADOW_NONE) take_block(run, index, op->other);
}

static void take_nothing(struct run *run, const struct input_op *op) {
    struct bends bends = bends_draw(op);
    for (unsigned i = 0; i < CONTRACT_TAKERS; i++) {
        struct call call = {
            .verb = &subject->contract.take[i], .alignment = bends.alignment, .size = bends.size};
        int error = carry_out(run, &call, 0);
        if (error != CONTRACT_ERRNO)
            run_fail(run, "%s of NULL left errno %d", call.verb->name, error);
    }
}

/* --- Giving and resizing --------------------------------------------------------------------- */

/* What is larger than others is gone at once. */
static void keep(struct run *run, uint16_t index, const struct verb *maker, const struct duty *duty,
                 unsigned choice) {
    if (index == SHADOW_NONE) return;
    makers[index] = maker;
    if (duty->bytes > SIZE_SANE_MAX) take_block(run, index, choice);
}

static enum block_origin origin_of(const struct verb *verb) {
    if (verb->family != OF_MALLOC) return ORIGIN_NEW;
    return verb->rule == RULE_NONE ? ORIGIN_MALLOC : ORIGIN_ALIGNED;
}

static struct call make_call(const struct verb *verb, const struct bends *bends) {
    bool is_product = verb->form == GIVE_PRODUCT || verb->form == RESIZE_PRODUCT;
    return (struct call){.verb = verb,
                         .alignment = bends->alignment,
                         .count = is_product ? bends->count : 1,
                         .size = is_product ? bends->each : bends->size};
}

static void give(struct run *run, const struct input_op *op) {
    struct bends bends = bends_draw(op);
    struct call call = make_call(&subject->contract.give[op->other % CONTRACT_GIVERS], &bends);
    struct duty duty = contract_of(&call, zero_is_block);
    unsigned patience = bends.choice % PATIENCE;
    if (!is_affordable(run, &duty)) return;
    if (run_verbose) print_call(run, &call, &duty);
    int error = carry_out(run, &call, patience);
    if (!has_block(&call)) {
        judge_refusal(run, &call, &duty, error, patience);
        judge_by_library(run, &call, &duty, error, 0);
        return;
    }
    judge_success(run, &call, &duty, error);
    judge_by_library(run, &call, &duty, error, 0);
    uint16_t index = verb_take(run, (uintptr_t)call.result, duty.bytes, duty.alignment,
                               origin_of(call.verb), call.verb->is_zeroed);
    keep(run, index, call.verb, &duty, bends.choice);
}

/* There is no block: the old one is as it was, or was freed as was asked for. */
static void judge_lost(struct run *run, const struct call *call, const struct duty *duty,
                       const struct shadow_block *old, const struct verb *maker, int error) {
    if (duty->is_free) {
        if (error != CONTRACT_ERRNO)
            run_fail(run, "%s to no bytes left errno %d", call->verb->name, error);
        return;
    }
    judge_refusal(run, call, duty, error, 0);
    if (call->block == NULL) return;
    uint16_t index = shadow_revive(&run->shadow, old);
    if (index == SHADOW_NONE) run_fail(run, "a block that realloc kept overlaps another");
    makers[index] = maker;
    run_compare(run, index);
}

/* A block is out of the model before the call: its place may be given out again in it. */
static void resize(struct run *run, const struct input_op *op) {
    enum { NOTHING_ODDS = 8 };
    struct bends bends = bends_draw(op);
    struct call call = make_call(&subject->contract.resize[op->other % CONTRACT_RESIZERS], &bends);
    uint16_t index = bends.choice % NOTHING_ODDS == 0 ? SHADOW_NONE : run_pick_live(run, op->pick);
    const struct verb *maker = index != SHADOW_NONE ? makers[index] : NULL;
    struct shadow_block old = {.start = 0};
    if (maker != NULL && maker->family != OF_MALLOC && run->is_strict) return;
    if (maker != NULL) old = run->shadow.blocks[index];
    call.block = (void *)old.start;
    struct duty duty = contract_of(&call, zero_is_block);
    if (!is_affordable(run, &duty)) return;
    if (run_verbose) print_call(run, &call, &duty);
    if (maker != NULL) {
        run_compare(run, index);
        shadow_death(&run->shadow, index);
        run_keeps_back(run, &old);
    }
    int error = carry_out(run, &call, 0);
    if (!has_block(&call)) {
        judge_lost(run, &call, &duty, &old, maker, error);
    } else {
        if (duty.is_free) run_fail(run, "%s to no bytes gave a block", call.verb->name);
        judge_success(run, &call, &duty, error);
        uintptr_t start = (uintptr_t)call.result;
        index = maker != NULL
                    ? verb_take_resized(run, &old, start, duty.bytes)
                    : verb_take(run, start, duty.bytes, duty.alignment, ORIGIN_REALLOC, false);
        keep(run, index, call.verb, &duty, bends.choice);
    }
    judge_by_library(run, &call, &duty, error, old.requested);
}

/* --- A run ----------------------------------------------------------------------------------- */

static void ask(struct run *run, const struct input_op *op) {
    asks_carry_out(run, &subject->asks, op);
}

/* The mutator draws codes by weight: the kind of call follows from it, and which verb of that kind
   from other bytes. */
static void (*function_of(unsigned code))(struct run *run, const struct input_op *op) {
    switch (code) {
    case OP_FREE:
    case OP_FREE_SIZED:
    case OP_FREE_MANY: return take;
    case OP_FREE_NULL: return take_nothing;
    case OP_USABLE:
    case OP_OWNS:
    case OP_REJECT: return ask;
    case OP_TRIM: return verb_trim;
    case OP_CLOCK: return verb_clock;
    case OP_CHECK: return verb_check;
    case OP_FAULT: return verb_fault;
    default: break;
    }
    bool resizes = code == OP_REALLOC || code == OP_REALLOCARRAY || op_is_misuse(code);
    return resizes ? resize : give;
}

static void step(struct run *run, const void *argument) {
    const struct input_op *op = argument;
    function_of(op->code)(run, op);
    if (run->input->flags & INPUT_CHECK_OFTEN) verb_check(run, op);
    run_trace(run, run->shadow.live_count);
}

static void drain(struct run *run, const void *argument) {
    (void)argument;
    for (unsigned i = run->shadow.live_count; i-- > 0;) take_block(run, run->shadow.live[i], i);
}

static void begin(struct life life, void (*on_report)(enum report_kind kind, uintptr_t address)) {
    life.zero_is_block = zero_is_block;
    subject_moat.begin(life, on_report);
}

void calls_run(struct run *run, const struct calls *calls, const struct input *input) {
    enum { ZERO_SHIFT = 48, ZERO_ODDS = 4 };
    static struct subject with_options;
    with_options = subject_moat;
    with_options.begin = begin;
    subject = calls;
    zero_is_block = (input->seed >> ZERO_SHIFT) % ZERO_ODDS == 0 && input->seed >> ZERO_SHIFT != 0;
    library_find();
    asks_prepare();
    run_begin(run, &with_options, input);
    for (; run->op_index < input->op_count && !run->over; run->op_index++)
        run_until_report(run, step, &input->ops[run->op_index]);
    with_options.fail_none();
    if (!run->over) run_until_report(run, drain, NULL);
    if (!run->over) run_at_rest(run);
    run_end(run);
}
