/*
 * calls: a whole run of calls by public names, judged by contracts and by the C library.
 *
 * Each operation of an input is a call of one public verb with arguments where contracts bend, on
 * blocks that any other verb gave, or one that moves the clock or makes a system call fail. Blocks
 * are kept in the shadow model, as by every harness. The C++ operators find their runtime here: the
 * new-handler, and where std::bad_alloc goes. One thread.
 */
#ifndef ENGINE_CALLS_H
#define ENGINE_CALLS_H

#include "engine/asks.h"
#include "engine/contract.h"

/* What is judged: moat's verbs, or some of them with planted bugs. */
struct calls {
    struct contract contract;
    struct asks asks;
};
/* All of moat's. */
void calls_of_moat(struct calls *calls);

void calls_run(struct run *run, const struct calls *calls, const struct input *input);

#endif
