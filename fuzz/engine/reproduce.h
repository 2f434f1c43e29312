/*
 * reproduce: one input and its finding: made small, as text, and as C.
 */
#ifndef ENGINE_REPRODUCE_H
#define ENGINE_REPRODUCE_H

#include "engine/recipe.h"

struct reproduce {
    const char *harness;
    enum recipe_style style;
    /* Run an input, and end the process if it fails: as it is replayed, and as searches do. */
    void (*replay)(const uint8_t *bytes, size_t size);
    void (*search)(const uint8_t *bytes, size_t size);
};

enum reproduce_as {
    REPRODUCE_SMALL,     /* writes PATH.small, and prints what it is */
    REPRODUCE_TEXT,      /* prints operations and schedule */
    REPRODUCE_C,         /* prints a program against moat.h where its calls alone do the same */
    REPRODUCE_HARNESS_C, /* and one against the harness */
    REPRODUCE_WAYS
};

/* An exit status: 0; 1: nothing fails that could be made small; 2: no input is there. */
int reproduce(const struct reproduce *of, enum reproduce_as as, const char *path);

#endif
