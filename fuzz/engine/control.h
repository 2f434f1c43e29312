/*
 * control: whether a search finds a bug that was planted, as what it is.
 *
 * For programs with a row of planted bugs; each search runs in a child process of its own.
 */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include <stdbool.h>

/* Calls search(argument), which ends at the first failure. False, and it is printed why, unless the
   failure has the oracle's words `says`, and `at`: where it came. `name` is of the bug. */
bool control_finds(const char *name, const char *says, const char *at,
                   void (*search)(const void *argument), const void *argument);

#endif
