/*
 * record: the calls of one run, as lines of C that make them again.
 *
 * Stands between a run and its subject. Each line is written before its call is made, so that what
 * ends the process is the last one. The lines are for the program of engine/recipe, which has the
 * functions that they call: these judge what comes of a call, as the engine does. One thread.
 */
#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H

#include <stdio.h>

#include "engine/run.h"

/* From now on each run's calls are written there. */
void record_to(FILE *file);

/* A line that begins so says why the calls alone would not do the same again: a system call is
   refused, a secret is used. */
#define RECORD_NEEDS "/* needs the harness: "

#endif
