/*
 * dispatch: which function carries out which operation.
 *
 * The top of the engine for one thread. A harness hands whole inputs to dispatch_input(); crew,
 * which schedules threads, calls dispatch_op() with the number of the thread that it is called on,
 * one thread at a time. After either, run->over says whether a report ended the run; nothing but
 * run_end() may follow then.
 */
#ifndef ENGINE_DISPATCH_H
#define ENGINE_DISPATCH_H

#include "engine/run.h"

/* Operations that only whoever schedules threads can carry out; they do nothing while NULL. */
struct dispatch_hooks {
    void (*thread_start)(struct run *run, const struct input_op *op);
    void (*thread_end)(struct run *run, const struct input_op *op);
    void (*fork)(struct run *run, const struct input_op *op);
};
extern struct dispatch_hooks dispatch_hooks;

/* Begins a run: run_begin(), after what the operations need is there. */
void dispatch_begin(struct run *run, const struct subject *subject, const struct input *input);
/* One operation by thread `thread`, on that thread. */
void dispatch_op(struct run *run, const struct input_op *op, unsigned thread);
/* Compares and frees every `stride`-th live block from `first` on and trims: each thread does so
   before it ends. */
void dispatch_drain(struct run *run, unsigned first, unsigned stride, unsigned thread);

/* A whole run on the calling thread alone: begins, carries out every operation, drains, judges the
   state at rest, ends. */
void dispatch_input(struct run *run, const struct subject *subject, const struct input *input);

/* Whether a function carries out that code: for the engine's own test. */
bool dispatch_knows(unsigned code);

#endif
