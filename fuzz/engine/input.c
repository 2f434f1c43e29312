/*
 * input: reading and writing the format of a fuzz input. See the header for the layout.
 *
 * Reading brings every field into range, so no other file of the engine checks one; writing an
 * input and reading it again gives the same input. Part of the mutator that AFL++ loads, so it
 * calls nothing but the C library.
 */
#include "engine/input.h"

#include <string.h>

static const char *const op_names[OP_CODES] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "aligned",
    "posix-memalign",
    "free",
    "free-sized",
    "free-null",
    "usable",
    "owns",
    "malloc-many",
    "free-many",
    "trim",
    "clock",
    "check",
    "fault",
    "reject",
    "thread-start",
    "thread-end",
    "fork",
    "double-free",
    "free-interior",
    "free-foreign",
    "realloc-stale",
    "realloc-interior",
    "usable-stale",
    "usable-interior",
    "free-sized-stale",
    "free-wrong-size",
    "free-wrong-alignment",
    "stomp",
    "overflow",
    "free-other-family",
};

const char *op_name(unsigned code) { return code < OP_CODES ? op_names[code] : "?"; }

static uint64_t read_le(const uint8_t *bytes, unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static void write_le(uint8_t *bytes, uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

bool input_decode(struct input *input, const uint8_t *bytes, size_t size) {
    if (size < INPUT_HEADER_SIZE || bytes[0] != 'm' || bytes[1] != INPUT_VERSION) return false;
    input->prologue = bytes[2];
    input->threads = (uint8_t)(bytes[3] ? (bytes[3] - 1) % INPUT_MAX_THREADS + 1 : 1);
    input->scheduler = (uint8_t)(bytes[4] % SCHEDULERS);
    input->fault_budget = (uint8_t)(bytes[INPUT_FAULT_BUDGET_AT] % (INPUT_MAX_FAULTS + 1));
    input->flags = bytes[6] & INPUT_FLAGS;
    input->failpoint = bytes[INPUT_FAILPOINT_AT];
    input->fail_first = bytes[10];
    input->fail_every = bytes[11];
    input->seed = read_le(bytes + 12, 8);
    size_t capacity = (size - INPUT_HEADER_SIZE) / INPUT_OP_SIZE;
    size_t count = (size_t)read_le(bytes + 8, 2);
    if (count > capacity) count = capacity;
    if (count > INPUT_MAX_OPS) count = INPUT_MAX_OPS;
    input->op_count = (unsigned)count;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *at = bytes + INPUT_HEADER_SIZE + (size_t)i * INPUT_OP_SIZE;
        input->ops[i] = (struct input_op){(uint8_t)(at[0] % OP_CODES), at[1], at[2], at[3],
                                          (uint32_t)read_le(at + 4, 4)};
    }
    size_t rest = size - INPUT_HEADER_SIZE - count * INPUT_OP_SIZE;
    if (rest > INPUT_MAX_SCHEDULE) rest = INPUT_MAX_SCHEDULE;
    input->schedule_length = (unsigned)rest;
    for (unsigned i = 0; i < rest; i++) input->schedule[i] = bytes[size - 1 - i];
    return true;
}

bool input_accept(struct input *input, const uint8_t *bytes, size_t size, unsigned threads) {
    if (size > 1) return input_decode(input, bytes, size);
    memset(input, 0, sizeof *input);
    input->threads = (uint8_t)threads;
    return true;
}

size_t input_encode(const struct input *input, uint8_t *bytes, size_t capacity) {
    if (capacity < INPUT_HEADER_SIZE) return 0;
    size_t ops = (capacity - INPUT_HEADER_SIZE) / INPUT_OP_SIZE;
    if (ops > input->op_count) ops = input->op_count;
    size_t schedule = capacity - INPUT_HEADER_SIZE - ops * INPUT_OP_SIZE;
    if (schedule > input->schedule_length) schedule = input->schedule_length;
    memset(bytes, 0, INPUT_HEADER_SIZE);
    bytes[0] = 'm';
    bytes[1] = INPUT_VERSION;
    bytes[2] = input->prologue;
    bytes[3] = input->threads;
    bytes[4] = input->scheduler;
    bytes[INPUT_FAULT_BUDGET_AT] = input->fault_budget;
    bytes[6] = input->flags;
    bytes[INPUT_FAILPOINT_AT] = input->failpoint;
    bytes[10] = input->fail_first;
    bytes[11] = input->fail_every;
    write_le(bytes + 8, ops, 2);
    write_le(bytes + 12, input->seed, 8);
    for (size_t i = 0; i < ops; i++) {
        uint8_t *at = bytes + INPUT_HEADER_SIZE + i * INPUT_OP_SIZE;
        const struct input_op *op = &input->ops[i];
        at[0] = op->code;
        at[1] = op->pick;
        at[2] = op->other;
        at[3] = op->kind;
        write_le(at + 4, op->value, 4);
    }
    size_t size = INPUT_HEADER_SIZE + ops * INPUT_OP_SIZE + schedule;
    for (size_t i = 0; i < schedule; i++) bytes[size - 1 - i] = input->schedule[i];
    return size;
}

void input_insert(struct input *input, unsigned at, struct input_op op) {
    if (input->op_count >= INPUT_MAX_OPS) return;
    memmove(&input->ops[at + 1], &input->ops[at], (input->op_count - at) * sizeof input->ops[0]);
    input->ops[at] = op;
    input->op_count++;
    if (at < input->prologue && input->prologue < UINT8_MAX) input->prologue++;
}

void input_remove(struct input *input, unsigned at, unsigned count) {
    if (at >= input->op_count) return;
    if (count > input->op_count - at) count = input->op_count - at;
    memmove(&input->ops[at], &input->ops[at + count],
            (input->op_count - at - count) * sizeof input->ops[0]);
    input->op_count -= count;
    if (at >= input->prologue) return;
    unsigned before = input->prologue - at;
    input->prologue = (uint8_t)(input->prologue - (count < before ? count : before));
}

bool input_is_valid(const struct input *input) {
    if (input->threads < 1 || input->threads > INPUT_MAX_THREADS) return false;
    if (input->scheduler >= SCHEDULERS || input->fault_budget > INPUT_MAX_FAULTS) return false;
    if (input->op_count > INPUT_MAX_OPS || input->schedule_length > INPUT_MAX_SCHEDULE)
        return false;
    for (unsigned i = 0; i < input->op_count; i++)
        if (input->ops[i].code >= OP_CODES) return false;
    return true;
}
