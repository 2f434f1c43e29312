/*
 * fiber: virtual threads on one real one.
 *
 * A fiber has a stack of its own and runs until it hands over to another. The switch is written by
 * hand for x86-64 and aarch64: twenty nanoseconds; elsewhere it is swapcontext(), which makes a
 * system call each time. Stacks are mapped once, with an inaccessible page below. One real thread
 * uses this file.
 */
#ifndef ENGINE_FIBER_H
#define ENGINE_FIBER_H

#include <stddef.h>

enum { FIBERS_MAX = 5 }; /* fiber 0 is the caller itself */

/* Fiber `number` (from 1) begins in entry(number) when it is first switched to. An entry must not
   return: it switches away for ever. */
void fiber_make(unsigned number, void (*entry)(unsigned number));
/* From the fiber that runs to another. errno goes with the fiber. */
void fiber_switch(unsigned to);
/* The fiber that runs. */
unsigned fiber_self(void);
/* After a jump out of a fiber to the caller's own stack: fiber 0 runs now. */
void fiber_reset(void);

#endif
