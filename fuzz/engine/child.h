/*
 * child: what a forked child does with the allocator that it has from its parent.
 *
 * It works on with the blocks of all threads, of which one is left, checks, frees everything and
 * ends; what it finds wrong is its parent's failure. The run goes on in the parent as if nothing
 * had happened.
 *
 * A fork costs as much as a hundred runs: each side copies every page that it writes to. Where
 * threads are virtual and memory is played, the child is played as well, in this process, and then
 * all is made again what the parent had.
 */
#ifndef ENGINE_CHILD_H
#define ENGINE_CHILD_H

#include "engine/run.h"

/* A child of the thread, which is in no call of the allocator; others may be: `calls` of them.
   `begin`: called first in the child; NULL: there is nothing to call. */
void child_fork(struct run *run, const struct input_op *op, unsigned thread, unsigned calls,
                void (*begin)(void));

/* The same without a fork; false: the run cannot be kept meanwhile. The threads are virtual, and
   nobody listens to them. A child that waits for one that is gone is a failure. */
bool child_play(struct run *run, const struct input_op *op, unsigned thread, unsigned calls);

#endif
