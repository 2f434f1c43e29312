/*
 * minimise: an input made small. See the header.
 *
 * Each step makes a copy with one thing less and keeps it if it is still what it was. Steps go on
 * until none of them changes anything more.
 */
#include "engine/minimise.h"

#include <string.h>

#include "base/base.h"
#include "engine/sizing.h"

enum { ROUNDS_MAX = 8 };

static struct {
    struct input *input; /* the smallest so far */
    bool (*is_it)(void *context, const struct input *input);
    void *context;
    unsigned tries;
} state;

/* Whether the copy takes the place of the input. */
static bool try(const struct input *copy) {
    state.tries++;
    if (!state.is_it(state.context, copy)) return false;
    *state.input = *copy;
    return true;
}

static unsigned smaller_of(unsigned a, unsigned b) { return a < b ? a : b; }

/* Without the operations [from, from + count); a prologue is so much shorter. */
static bool try_without(unsigned from, unsigned count) {
    static struct input copy;
    copy = *state.input;
    unsigned behind = from + count;
    memmove(&copy.ops[from], &copy.ops[behind], (copy.op_count - behind) * sizeof copy.ops[0]);
    copy.op_count -= count;
    if (copy.prologue > from)
        copy.prologue = (uint8_t)(copy.prologue - (smaller_of(copy.prologue, behind) - from));
    return try(&copy);
}

static bool try_schedule(unsigned from, unsigned count) {
    static struct input copy;
    copy = *state.input;
    memmove(&copy.schedule[from], &copy.schedule[from + count],
            copy.schedule_length - from - count);
    copy.schedule_length -= count;
    return try(&copy);
}

static unsigned operations(void) { return state.input->op_count; }
static unsigned schedule_bytes(void) { return state.input->schedule_length; }

/* Halves, quarters, and so on down to single ones; from the end, where less depends on them. */
static bool drop_parts(unsigned (*length)(void), bool (*try_part)(unsigned from, unsigned count)) {
    bool changed = false;
    for (unsigned step = length(); step > 0; step = step == 1 ? 0 : (step + 1) / 2)
        for (unsigned at = length(); at > 0;) {
            unsigned count = smaller_of(step, at);
            changed |= try_part(at - count, count);
            at -= count;
        }
    return changed;
}

/* A value of the copy becomes 0, or as much smaller as will do: by halves, then by one. */
#define SIMPLIFY(field)                                                                            \
    ({                                                                                             \
        bool changed_ = false, goes_on_ = true;                                                    \
        static struct input copy_;                                                                 \
        copy_ = *state.input;                                                                      \
        if (copy_.field != 0) {                                                                    \
            copy_.field = 0;                                                                       \
            changed_ = try(&copy_);                                                                \
        }                                                                                          \
        while (goes_on_ && state.input->field > 1) {                                               \
            copy_ = *state.input;                                                                  \
            copy_.field /= 2;                                                                      \
            goes_on_ = try(&copy_);                                                                \
            changed_ |= goes_on_;                                                                  \
        }                                                                                          \
        if (state.input->field > 1) {                                                              \
            copy_ = *state.input;                                                                  \
            copy_.field--;                                                                         \
            changed_ |= try(&copy_);                                                               \
        }                                                                                          \
        changed_;                                                                                  \
    })

static bool clear_flags(void) {
    bool changed = false;
    static struct input copy;
    for (unsigned bit = 1; bit <= INPUT_FLAGS; bit <<= 1) {
        copy = *state.input;
        copy.flags &= (uint8_t)~bit;
        if (copy.flags != state.input->flags) changed |= try(&copy);
    }
    return changed;
}

/* All or nothing: another one is another matter. */
static bool drop_failpoint(void) {
    static struct input copy;
    copy = *state.input;
    copy.failpoint = 0;
    return state.input->failpoint != 0 && try(&copy);
}

static bool simplify_header(void) {
    bool changed = clear_flags();
    changed |= SIMPLIFY(fault_budget);
    changed |= SIMPLIFY(fail_every);
    changed |= SIMPLIFY(fail_first);
    changed |= drop_failpoint();
    changed |= SIMPLIFY(scheduler);
    changed |= SIMPLIFY(seed);
    static struct input copy;
    copy = *state.input;
    if (copy.threads > 1 && copy.threads--) changed |= try(&copy);
    return changed;
}

/* Operations that are plainer, and may do as well. */
static uint8_t plainer_code(uint8_t code) {
    switch (code) {
    case OP_MALLOC_MANY:
    case OP_CALLOC:
    case OP_ALIGNED:
    case OP_REALLOC: return OP_MALLOC;
    case OP_POSIX_MEMALIGN: return OP_ALIGNED;
    case OP_REALLOCARRAY: return OP_REALLOC;
    case OP_FREE_MANY:
    case OP_FREE_SIZED: return OP_FREE;
    default: return code;
    }
}

/* The same size in the plainest way to say it. What the kind means beside it stays. */
static bool say_size(unsigned at) {
    static struct input copy;
    copy = *state.input;
    struct input_op *op = &copy.ops[at];
    size_t size = size_decode(op->kind, op->value);
    unsigned kind = size <= 1024 ? SIZE_TINY : SIZE_SMALL;
    if (size > SMALL_MAX || (op->kind % SIZE_KINDS == kind && op->value == size)) return false;
    op->kind = (uint8_t)(op->kind - op->kind % SIZE_KINDS + kind);
    op->value = (uint32_t)size;
    return try(&copy);
}

static bool simplify_operation(unsigned at) {
    static struct input copy;
    copy = *state.input;
    copy.ops[at].code = plainer_code(copy.ops[at].code);
    bool changed = copy.ops[at].code != state.input->ops[at].code && try(&copy);
    changed |= say_size(at);
    changed |= SIMPLIFY(ops[at].other);
    changed |= SIMPLIFY(ops[at].pick);
    changed |= SIMPLIFY(ops[at].value);
    changed |= SIMPLIFY(ops[at].kind);
    return changed;
}

unsigned minimise(struct input *input, bool (*is_it)(void *context, const struct input *input),
                  void *context) {
    state.input = input;
    state.is_it = is_it;
    state.context = context;
    state.tries = 0;
    bool changed = true;
    for (unsigned round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = drop_parts(operations, try_without);
        changed |= drop_parts(schedule_bytes, try_schedule);
        changed |= simplify_header();
        for (unsigned at = 0; at < input->op_count; at++) changed |= simplify_operation(at);
        for (unsigned at = 0; at < input->schedule_length; at++) changed |= SIMPLIFY(schedule[at]);
    }
    return state.tries;
}
