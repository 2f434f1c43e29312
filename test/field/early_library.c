/*
 * early_library: a library whose function is chosen by a resolver that allocates. It is relocated
 * before a preloaded library: there nothing of the allocator is relocated yet.
 */
#include "early.h"

struct early early_of_library;

static int is_seven(void) { return 7; }

__attribute__((used)) static int (*pick(void))(void) {
    early_allocate(&early_of_library);
    return is_seven;
}

int answer_of_library(void) __attribute__((ifunc("pick")));
