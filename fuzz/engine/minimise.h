/*
 * minimise: an input made small, as long as somebody says that it still is what it was.
 *
 * Whole operations go first, then parts of the schedule, then what the header asks for; what stays
 * gets the plainest values that will do. The same input and the same answers give the same result.
 */
#ifndef ENGINE_MINIMISE_H
#define ENGINE_MINIMISE_H

#include <stdbool.h>

#include "engine/input.h"

/* How many inputs were tried. `is_it` is true of the input that is given. */
unsigned minimise(struct input *input, bool (*is_it)(void *context, const struct input *input),
                  void *context);

#endif
