/*
 * wanted: which rows of a program's table its arguments name.
 */
#ifndef ENGINE_WANTED_H
#define ENGINE_WANTED_H

#include <stdbool.h>
#include <string.h>

/* Without names all are wanted. */
static inline bool is_wanted(const char *name, char **names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return count == 0;
}

#endif
