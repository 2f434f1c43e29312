/*
 * crew: several real threads, of which one runs at a time in the order that the input says.
 *
 * The turn is a baton: whoever holds it carries out operations until the schedule names another
 * thread, hands it over and waits for its own. Thread 0 is the caller. The others are made and
 * joined at places that the input decides; the joiner does nothing until the exit hooks of the
 * joined thread have run. So everything, the hooks too, happens in one order, and the same input is
 * the same run, while the allocator sees real threads.
 */
#ifndef ENGINE_CREW_H
#define ENGINE_CREW_H

#include "engine/run.h"

/* Runs one input to its end: operations, draining by each thread, thread ends, and the state at
   rest. */
void crew_run(struct run *run, const struct subject *subject, const struct input *input);
/* Keeps this process on the processor it is on: handing the baton over is many times cheaper
   there. */
void crew_pin(void);

#endif
