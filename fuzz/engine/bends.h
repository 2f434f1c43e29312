/*
 * bends: arguments where contracts bend.
 *
 * Sizes at the ends of what can be counted, compared or mapped, products that wrap or just do not,
 * alignments that are none, too large, or larger than the size, and sizes around multiples of the
 * alignment; between them plain ones. All of an operation's arguments follow from it alone. Pure.
 */
#ifndef ENGINE_BENDS_H
#define ENGINE_BENDS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/input.h"

struct bends {
    size_t size, alignment;
    size_t count, each; /* of a product */
    uint32_t choice;    /* for whatever else is open */
};
struct bends bends_draw(const struct input_op *op);

#endif
