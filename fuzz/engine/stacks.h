/*
 * stacks: stacks of calls that the harness lays out, and the walk that they must give.
 *
 * Plain functions of the library (engine/frames.h) call each other; where one has no unwind table,
 * the frame pointer leads on. Words are written where their tables say that a caller's registers
 * are.
 */
#ifndef ENGINE_STACKS_H
#define ENGINE_STACKS_H

#include "engine/image.h"
#include "report/backtrace.h"

enum { STACK_PAGE = 20, STACK_PAGES = 4 };

struct stack_plan {
    struct cfi_registers registers; /* of the innermost function */
    unsigned count;
    uintptr_t frames[BACKTRACE_DEPTH]; /* those of its callers */
};

/* The stack's pages can be read, and have any words. */
void stack_begin(struct rng *random);
uintptr_t stack_draw_address(struct rng *random);
/* `has_table`: the library's unwind tables can be found. */
void stack_draw(struct stack_plan *plan, const struct image *image, struct rng *random,
                bool has_table);

#endif
