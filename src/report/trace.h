/*
 * trace: the calls that led to an event, kept for a later report.
 *
 * Taken while the program goes on: no file is opened and no lock taken, so code whose module is not
 * found by its header a few MiB further down ends the walk. What is known of modules is kept for a
 * second: a library that was unloaded meanwhile gives a wrong frame at worst. Async-signal-safe,
 * allocates nothing.
 */
#ifndef MOAT_TRACE_H
#define MOAT_TRACE_H

#include "base/base.h"

/* Frames that are kept, innermost first. */
#define TRACE_DEPTH 20u

struct trace {
    uint32_t thread; /* as the kernel numbers it */
    uint32_t count;
    uintptr_t frames[TRACE_DEPTH]; /* as in struct backtrace */
};

/* Of the calling thread, without the frames inside the function that returns to `return_address`.
   `now`: milliseconds. One call at a time. */
void trace_take(struct trace *trace, uintptr_t return_address, uint64_t now);
/* In a forked child, after whoever was in trace_take(). */
void trace_recover(void);

#endif
