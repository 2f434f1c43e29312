/*
 * expression: DWARF expressions and what they mean. See the header.
 */
#include "engine/expression.h"

#include <stdbool.h>

enum { DEEP = 64 };
/* So much text at most: its length is one byte, and the longest operation has eleven. */
#define TEXT_MAX (127u - 11u)

/* By number and name as in DWARF 5, table 7.9. */
enum {
    ADDR = 0x03,
    DEREF = 0x06,
    CONST1U = 0x08,
    CONST8S = 0x0f,
    CONSTU = 0x10,
    CONSTS = 0x11,
    DUP = 0x12,
    DROP = 0x13,
    OVER = 0x14,
    SWAP = 0x16,
    AND = 0x1a,
    MINUS = 0x1c,
    MUL = 0x1e,
    NEG = 0x1f,
    NOT = 0x20,
    OR = 0x21,
    PLUS = 0x22,
    PLUS_UCONST = 0x23,
    SHL = 0x24,
    SHR = 0x25,
    SHRA = 0x26,
    XOR = 0x27,
    EQ = 0x29,
    GE = 0x2a,
    GT = 0x2b,
    LE = 0x2c,
    LT = 0x2d,
    NE = 0x2e,
    LIT0 = 0x30,
    LIT31 = 0x4f,
    BREG0 = 0x70,
    BREG31 = 0x8f,
    BREGX = 0x92,
    DEREF_SIZE = 0x94,
    NOP = 0x96
};

/* --- Writing --------------------------------------------------------------------------------- */

/* What each takes from the stack and leaves there. */
static const struct shape {
    uint8_t code, takes, leaves;
} shapes[] = {{ADDR, 0, 1}, {CONST1U, 0, 1}, {CONSTU, 0, 1},     {CONSTS, 0, 1},
              {LIT0, 0, 1}, {BREG0, 0, 1},   {BREGX, 0, 1},      {DEREF, 1, 1},
              {DUP, 1, 2},  {DROP, 1, 0},    {OVER, 2, 3},       {SWAP, 2, 2},
              {AND, 2, 1},  {MINUS, 2, 1},   {MUL, 2, 1},        {NEG, 1, 1},
              {NOT, 1, 1},  {OR, 2, 1},      {PLUS, 2, 1},       {PLUS_UCONST, 1, 1},
              {SHL, 2, 1},  {SHR, 2, 1},     {SHRA, 2, 1},       {XOR, 2, 1},
              {EQ, 2, 1},   {GE, 2, 1},      {GT, 2, 1},         {LE, 2, 1},
              {LT, 2, 1},   {NE, 2, 1},      {DEREF_SIZE, 1, 1}, {NOP, 0, 0}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], PUSHES = 7 };

/* Small, or of any size, or an address that can be read. */
static uint64_t draw_number(struct rng *random) {
    switch (rng_below(random, 4)) {
    case 0: return rng_next(random) >> rng_below(random, 64);
    case 1: return 0 - (uint64_t)rng_below(random, 300);
    case 2: return GIVEN_BASE + rng_below(random, GIVEN_BYTES);
    default: return rng_below(random, 70);
    }
}

static void draw_operands(struct expression_operation *operation, struct rng *random) {
    operation->operand = draw_number(random);
    operation->more = 0;
    switch (operation->code) {
    case CONST1U: operation->code = (uint8_t)(CONST1U + rng_below(random, 8)); break;
    case LIT0: operation->code = (uint8_t)(LIT0 + rng_below(random, 32)); break;
    case BREG0:
        operation->more = rng_below(random, CFI_REGISTERS < 32 ? CFI_REGISTERS : 32);
        operation->code = (uint8_t)(BREG0 + operation->more);
        operation->operand = (uint64_t)((int64_t)rng_below(random, 200) - 100);
        break;
    case BREGX:
        operation->more = rng_below(random, CFI_REGISTERS + (rng_below(random, 16) == 0));
        operation->operand = (uint64_t)((int64_t)rng_below(random, 200) - 100);
        break;
    case DEREF_SIZE: operation->operand = 1 + rng_below(random, 8); break;
    default: break;
    }
}

static bool is_sized_constant(unsigned code) { return code >= CONST1U && code <= CONST8S; }
static unsigned constant_size(unsigned code) { return 1u << (code - CONST1U) / 2; }

static void write_operation(const struct expression_operation *operation, struct writer *writer,
                            struct rng *random) {
    unsigned code = operation->code;
    writer_put(writer, code, 1);
    if (is_sized_constant(code))
        writer_put(writer, operation->operand, constant_size(code));
    else if (code == ADDR)
        writer_put(writer, operation->operand, 8);
    else if (code == CONSTU || code == PLUS_UCONST)
        writer_uleb(writer, random, operation->operand);
    else if (code == CONSTS || (code >= BREG0 && code <= BREG31))
        writer_sleb(writer, random, (int64_t)operation->operand);
    else if (code == DEREF_SIZE)
        writer_put(writer, operation->operand, 1);
    if (code != BREGX) return;
    writer_uleb(writer, random, operation->more);
    writer_sleb(writer, random, (int64_t)operation->operand);
}

void expression_write(struct expression *expression, struct writer *writer, struct rng *random,
                      bool has_base) {
    unsigned depth = has_base, wanted = rng_below(random, EXPRESSION_OPERATIONS - 1);
    expression->address = writer->at;
    expression->count = 0;
    writer_put(writer, 0, 1); /* the length, when it is known */
    uintptr_t text = writer->at;
    while (writer->at - text < TEXT_MAX &&
           (expression->count < wanted || (depth == 0 && expression->count == wanted))) {
        unsigned any = depth == 0 && rng_below(random, 16) != 0 ? PUSHES : SHAPES;
        const struct shape *shape = &shapes[rng_below(random, any)];
        if (shape->takes > depth && rng_below(random, 64) != 0) continue;
        struct expression_operation *operation = &expression->operations[expression->count++];
        operation->code = shape->code;
        draw_operands(operation, random);
        write_operation(operation, writer, random);
        depth = (depth > shape->takes ? depth - shape->takes : 0) + shape->leaves;
    }
    struct writer length = {expression->address, text};
    writer_put(&length, writer->at - text, 1);
}

/* --- Computing ------------------------------------------------------------------------------- */

struct machine {
    uint64_t stack[DEEP];
    unsigned depth;
    bool failed;
};

static uint64_t pop(struct machine *machine) {
    if (machine->depth == 0) machine->failed = true;
    return machine->failed ? 0 : machine->stack[--machine->depth];
}

static void push(struct machine *machine, uint64_t value) {
    machine->stack[machine->depth++] = value;
}

static uint64_t of_two(unsigned code, uint64_t left, uint64_t right) {
    int64_t a = (int64_t)left, b = (int64_t)right;
    switch (code) {
    case AND: return left & right;
    case MINUS: return left - right;
    case MUL: return left * right;
    case OR: return left | right;
    case PLUS: return left + right;
    case SHL: return right > 63 ? 0 : left << right;
    case SHR: return right > 63 ? 0 : left >> right;
    case SHRA: return (uint64_t)(a >> (right > 63 ? 63 : right));
    case XOR: return left ^ right;
    case EQ: return left == right;
    case GE: return a >= b;
    case GT: return a > b;
    case LE: return a <= b;
    case LT: return a < b;
    default: return left != right;
    }
}

static uint64_t sized_constant(unsigned code, uint64_t operand) {
    unsigned bits = 8 * constant_size(code);
    uint64_t low = bits == 64 ? operand : operand & (((uint64_t)1 << bits) - 1);
    bool is_negative = (code - CONST1U) % 2 == 1 && (low >> (bits - 1) & 1) != 0;
    return is_negative && bits < 64 ? low | UINT64_MAX << bits : low;
}

static void look(struct machine *machine, size_t size) {
    uint64_t value = 0;
    if (!given_value(pop(machine), size, &value)) machine->failed = true;
    push(machine, value);
}

static void compute(struct machine *machine, const struct expression_operation *operation,
                    const struct cfi_registers *registers) {
    unsigned code = operation->code;
    uint64_t first = 0, second = 0;
    if (is_sized_constant(code)) {
        push(machine, sized_constant(code, operation->operand));
    } else if (code >= LIT0 && code <= LIT31) {
        push(machine, code - LIT0);
    } else if ((code >= BREG0 && code <= BREG31) || code == BREGX) {
        if (operation->more >= CFI_REGISTERS) machine->failed = true;
        if (!machine->failed) push(machine, registers->value[operation->more] + operation->operand);
    } else {
        switch (code) {
        case ADDR:
        case CONSTU:
        case CONSTS: push(machine, operation->operand); break;
        case NOP: break;
        case DROP: (void)pop(machine); break;
        case DEREF: look(machine, 8); break;
        case DEREF_SIZE: look(machine, operation->operand); break;
        case NEG: push(machine, 0 - pop(machine)); break;
        case NOT: push(machine, ~pop(machine)); break;
        case PLUS_UCONST: push(machine, pop(machine) + operation->operand); break;
        case DUP:
        case OVER:
        case SWAP:
            first = pop(machine);
            if (code != DUP) second = pop(machine);
            if (code == SWAP) push(machine, first);
            if (code != SWAP && code != DUP) push(machine, second);
            push(machine, code == SWAP ? second : first);
            if (code == DUP) push(machine, first);
            if (code == OVER) push(machine, second);
            break;
        default:
            second = pop(machine);
            first = pop(machine);
            push(machine, of_two(code, first, second));
            break;
        }
    }
}

bool expression_value(const struct expression *expression, const uintptr_t *base,
                      const struct cfi_registers *registers, uintptr_t *value) {
    struct machine machine = {.depth = 0, .failed = false};
    if (base != NULL) push(&machine, *base);
    for (unsigned i = 0; i < expression->count && !machine.failed; i++)
        compute(&machine, &expression->operations[i], registers);
    *value = pop(&machine);
    return !machine.failed;
}
