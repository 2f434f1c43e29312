/*
 * recipe: an input for people: as text, and as C that does the same again.
 *
 * There are two programs. One has the calls of a run (engine/record) and is compiled against moat.h
 * alone; it judges what comes of them by functions of its own, in the words of the engine. The
 * other has the input, and is compiled against the harness: for threads, whose order is the
 * schedule's, and for whatever else is not the calls alone.
 */
#ifndef ENGINE_RECIPE_H
#define ENGINE_RECIPE_H

#include <stdio.h>

#include "engine/input.h"

/* What an input means. */
enum recipe_style {
    RECIPE_CALLS,   /* verbs of moat.h, by one thread: its calls alone do the same again */
    RECIPE_VERBS,   /* verbs, and more */
    RECIPE_AT_ONCE, /* verbs of threads that run at once */
    RECIPE_STEPS    /* the codes are for the harness's own steps */
};

struct recipe {
    const struct input *input;
    const char *harness;
    enum recipe_style style;
    const char *words; /* of what it finds, or NULL */
};

void recipe_text(FILE *file, const struct recipe *recipe);
void recipe_of_harness(FILE *file, const struct recipe *recipe);
/* `lines`: of engine/record. */
void recipe_of_calls(FILE *file, const struct recipe *recipe, FILE *lines);

#endif
