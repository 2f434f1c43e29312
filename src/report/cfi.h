/*
 * cfi: call frame information, the tables that say where a function keeps its caller's registers
 * .
 *
 * cfi_find() finds the entry for an address, cfi_run() runs its little program up to that address,
 * and cfi_apply() computes the caller's registers from it. All input is treated as damaged: reads
 * go through peek, loops end with their input. Async-signal- safe, allocates nothing. The machine's
 * part (which registers there are) is `struct cfi_registers`. Format: DWARF 5 section 6.4 and the
 * Linux Standard Base, "Exception Frames".
 */
#ifndef MOAT_CFI_H
#define MOAT_CFI_H

#include "report/dwarf.h"
#include "report/module.h"
#include "report/registers.h"

/* How a register of the caller is found. The operand is an offset from the frame's base (bytes), a
   register's number, or the address of an expression's length. */
enum cfi_how {
    CFI_SAME,
    CFI_UNDEFINED,
    CFI_AT_OFFSET,
    CFI_IS_OFFSET,
    CFI_IN_REGISTER,
    CFI_AT_EXPRESSION,
    CFI_IS_EXPRESSION
};

struct cfi_rule {
    enum cfi_how how;
    int64_t operand;
};

struct cfi_row {
    struct cfi_rule rules[CFI_REGISTERS];
    /* The frame's base: register + offset, or the value of an expression (its address in
       `base_expression`, else 0). */
    uint64_t base_register;
    int64_t base_offset;
    uintptr_t base_expression;
};

/* One function's entry. */
struct cfi_entry {
    struct dwarf_reader common;  /* instructions shared by many functions */
    struct dwarf_reader special; /* and of this one */
    uintptr_t start;             /* of the function's code */
    uintptr_t size;              /* bytes of code */
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t return_register;
    uint8_t pointer_encoding;
    bool is_signal_frame;
    bool has_augmentation;
};

#define CFI_REMEMBERED 4

/* Room to work in, too large for the stack of a signal handler. */
struct cfi_workspace {
    struct cfi_row row, initial;
    struct cfi_row remembered[CFI_REMEMBERED];
};

bool cfi_find(struct peek *peek, const struct module *module, uintptr_t address,
              struct cfi_entry *entry);
/* Leaves the row for `address` in workspace->row. */
bool cfi_run(struct cfi_workspace *workspace, struct cfi_entry *entry, uintptr_t address);
/* Replaces the registers by the caller's. False when there is no caller or a value cannot be
   read. */
bool cfi_apply(struct peek *peek, const struct cfi_workspace *workspace,
               const struct cfi_entry *entry, struct cfi_registers *registers);
/* An expression's value; `address` is that of its length. `base` is pushed first when it is not
   0. */
bool cfi_expression(struct peek *peek, uintptr_t address, uintptr_t base,
                    const struct cfi_registers *registers, uintptr_t *value);

#endif
