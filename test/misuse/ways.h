/*
 * ways: who makes the block that is misused, and who frees it.
 */
#ifndef MISUSE_WAYS_H
#define MISUSE_WAYS_H

#include "scene.h"

/* The main thread does all; another makes the block; so does one that has ended; a forked child
   frees it. */
enum way { LOCAL, REMOTE, ENDED, CHILD, WAYS };

/* A thread that runs from the first take_by() on: of REMOTE the one that has made the block. */
extern struct worker other_thread;

char *take_by(enum way way, size_t size);
/* With CHILD it does not return. */
void give_by(enum way way, char *block);

#endif
