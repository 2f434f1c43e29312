/*
 * cfi_expression: DWARF expressions as unwind tables use them (see cfi.h).
 *
 * Signal trampolines and the procedure linkage table describe their frames by expressions. Only
 * what computes a value is here; there are no jumps, so an expression ends with its text.
 * Operations: DWARF 5 section 2.5.
 */
#include "report/cfi.h"

#define STACK 16

enum operation {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08, /* to 0x0f: 1u 1s 2u 2s 4u 4s 8u 8s */
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_SWAP = 0x16,
    OP_AND = 0x1a,
    OP_MINUS = 0x1c,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_EQ = 0x29, /* to 0x2e: eq ge gt le lt ne */
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96
};

struct machine {
    struct dwarf_reader text;
    const struct cfi_registers *registers;
    uint64_t stack[STACK];
    unsigned depth;
};

static void push(struct machine *machine, uint64_t value) {
    if (machine->depth == STACK)
        machine->text.failed = true;
    else
        machine->stack[machine->depth++] = value;
}

static uint64_t pop(struct machine *machine) {
    if (machine->depth == 0) {
        machine->text.failed = true;
        return 0;
    }
    return machine->stack[--machine->depth];
}

static void push_register(struct machine *machine, uint64_t number, int64_t offset) {
    if (number >= CFI_REGISTERS)
        machine->text.failed = true;
    else
        push(machine, machine->registers->value[number] + (uint64_t)offset);
}

static void dereference(struct machine *machine, uint64_t size) {
    uint64_t value = 0;
    uint64_t address = pop(machine);
    if (size == 0 || size > sizeof value || machine->text.failed ||
        !peek_bytes(machine->text.peek, address, &value, size))
        machine->text.failed = true;
    push(machine, value);
}

/* Operations on the top two; false if it is none of them. */
static bool run_binary(struct machine *machine, unsigned operation) {
    if (operation < OP_AND || operation > OP_NE || operation == OP_NEG || operation == OP_NOT ||
        operation == OP_PLUS_UCONST)
        return false;
    uint64_t right = pop(machine);
    uint64_t left = pop(machine);
    unsigned by = right < 64 ? (unsigned)right : 63;
    switch (operation) {
    case OP_AND: left &= right; break;
    case OP_MINUS: left -= right; break;
    case OP_MUL: left *= right; break;
    case OP_OR: left |= right; break;
    case OP_PLUS: left += right; break;
    case OP_SHL: left = right < 64 ? left << by : 0; break;
    case OP_SHR: left = right < 64 ? left >> by : 0; break;
    case OP_SHRA: left = (uint64_t)((int64_t)left >> by); break;
    case OP_XOR: left ^= right; break;
    case OP_EQ: left = left == right; break;
    case OP_GE: left = (int64_t)left >= (int64_t)right; break;
    case OP_GT: left = (int64_t)left > (int64_t)right; break;
    case OP_LE: left = (int64_t)left <= (int64_t)right; break;
    case OP_LT: left = (int64_t)left < (int64_t)right; break;
    case OP_NE: left = left != right; break;
    default: machine->text.failed = true;
    }
    push(machine, left);
    return true;
}

/* Constants and registers; false if it is none of them. */
static bool run_push(struct machine *machine, unsigned operation) {
    struct dwarf_reader *text = &machine->text;
    if (operation >= OP_LIT0 && operation <= OP_LIT31) {
        push(machine, operation - OP_LIT0);
    } else if (operation >= OP_BREG0 && operation <= OP_BREG31) {
        push_register(machine, operation - OP_BREG0, dwarf_sleb(text));
    } else if (operation >= OP_CONST1U && operation <= OP_CONST8S) {
        unsigned size = 1u << ((operation - OP_CONST1U) / 2);
        bool is_signed = (operation & 1) != 0;
        push(machine, is_signed ? (uint64_t)dwarf_signed(text, size) : dwarf_unsigned(text, size));
    } else if (operation == OP_ADDR) {
        push(machine, dwarf_unsigned(text, sizeof(uintptr_t)));
    } else if (operation == OP_CONSTU) {
        push(machine, dwarf_uleb(text));
    } else if (operation == OP_CONSTS) {
        push(machine, (uint64_t)dwarf_sleb(text));
    } else if (operation == OP_BREGX) {
        uint64_t number = dwarf_uleb(text);
        push_register(machine, number, dwarf_sleb(text));
    } else {
        return false;
    }
    return true;
}

static void run_other(struct machine *machine, unsigned operation) {
    uint64_t top = 0;
    uint64_t below = 0;
    switch (operation) {
    case OP_NOP: break;
    case OP_DROP: pop(machine); break;
    case OP_DEREF: dereference(machine, sizeof(uintptr_t)); break;
    case OP_DEREF_SIZE: dereference(machine, dwarf_unsigned(&machine->text, 1)); break;
    case OP_NEG: push(machine, 0 - pop(machine)); break;
    case OP_NOT: push(machine, ~pop(machine)); break;
    case OP_PLUS_UCONST: push(machine, pop(machine) + dwarf_uleb(&machine->text)); break;
    case OP_DUP:
        top = pop(machine);
        push(machine, top);
        push(machine, top);
        break;
    case OP_OVER:
    case OP_SWAP:
        top = pop(machine);
        below = pop(machine);
        if (operation == OP_OVER) push(machine, below);
        push(machine, top);
        push(machine, below);
        break;
    default: machine->text.failed = true;
    }
}

bool cfi_expression(struct peek *peek, uintptr_t address, uintptr_t base,
                    const struct cfi_registers *registers, uintptr_t *value) {
    struct machine machine = {
        .text = dwarf_reader_at(peek, address, UINTPTR_MAX), .registers = registers, .depth = 0};
    uint64_t length = dwarf_uleb(&machine.text);
    if (machine.text.failed || length > machine.text.end - machine.text.at) return false;
    machine.text.end = machine.text.at + length;
    if (base != 0) push(&machine, base);
    while (!machine.text.failed && machine.text.at < machine.text.end) {
        unsigned operation = (unsigned)dwarf_unsigned(&machine.text, 1);
        if (!run_push(&machine, operation) && !run_binary(&machine, operation))
            run_other(&machine, operation);
    }
    *value = pop(&machine);
    return !machine.text.failed;
}
