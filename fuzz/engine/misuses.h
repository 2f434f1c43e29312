/*
 * misuses: wrong uses of the allocator, and how they must be reported.
 *
 * One function for each way to come by a wrong address, size or alignment; the operation's code
 * says which verb gets it. Where there is no fitting block they do nothing. A misuse that is not
 * reported in the very call is a failure, but for misuse_stomp(), after which the run goes on. Only
 * dispatch calls them, inside of run_until_report().
 */
#ifndef ENGINE_MISUSES_H
#define ENGINE_MISUSES_H

#include "engine/run.h"

/* Before the first run of the process, and again as often as one likes: it does its work once. */
void misuse_prepare(void);

void misuse_grave(struct run *run, const struct input_op *op);
void misuse_interior(struct run *run, const struct input_op *op);
void misuse_foreign(struct run *run, const struct input_op *op);
void misuse_wrong_size(struct run *run, const struct input_op *op);
void misuse_wrong_alignment(struct run *run, const struct input_op *op);
void misuse_stomp(struct run *run, const struct input_op *op);
void misuse_overflow(struct run *run, const struct input_op *op);
void misuse_family(struct run *run, const struct input_op *op);

#endif
