/*
 * expression: DWARF expressions that the harness writes, and what they mean.
 *
 * Each is a list of operations, drawn so that it mostly computes something, written as text into
 * the memory that readers are given, and computed by a machine of the harness's own: on a stack as
 * large as wanted, of numbers (DWARF 5, section 2.5).
 */
#ifndef ENGINE_EXPRESSION_H
#define ENGINE_EXPRESSION_H

#include "engine/rng.h"
#include "engine/writer.h"
#include "report/registers.h"

enum { EXPRESSION_OPERATIONS = 16 };

struct expression {
    uintptr_t address; /* of its length, which the text follows */
    unsigned count;
    struct expression_operation {
        uint8_t code; /* as in the text */
        uint64_t operand, more;
    } operations[EXPRESSION_OPERATIONS];
};

/* `has_base`: a number stands on the stack before the first operation. */
void expression_write(struct expression *expression, struct writer *writer, struct rng *random,
                      bool has_base);
/* False: it computes nothing, for it takes what is not there, or looks where nothing can be read.
   `base`: NULL: none. */
bool expression_value(const struct expression *expression, const uintptr_t *base,
                      const struct cfi_registers *registers, uintptr_t *value);

#endif
