/*
 * limits: scenarios of a process that runs into the end of something, and of one that must give
 * back what it does not need.
 *
 * Each is one CTest test, most of them started by with_limits (with_limits.c), which sets the limit
 * and becomes the program.
 */
#ifndef LIMITS_LIMITS_H
#define LIMITS_LIMITS_H

#include "moat.h"
#include "prng.h"
#include "process.h"
#include "require.h"
#include "sizes.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

struct scenario {
    const char *name;
    void (*play)(const char *argument); /* from the command line, "" if there is none */
};

extern const struct scenario exhaustion_scenarios[], mapping_scenarios[], giving_scenarios[],
    working_scenarios[];

/* Blocks chained through their own first words: as many as there are, with no memory of the test's
   own. Each block's last word says its number, so that a block that was handed out twice, or lost
   its contents, is noticed. */
struct pile {
    struct piled *top;
    size_t count, bytes;
};

/* False when malloc gives no more; errno is then ENOMEM or the test fails. size >= 32. */
bool pile_add(struct pile *pile, size_t size);
void pile_free(struct pile *pile);
/* Adds until there is no more, or `most` bytes are reached. */
void pile_fill(struct pile *pile, size_t size, size_t most);

#endif
