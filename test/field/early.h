/* early: what a resolver allocated, while the program was being relocated. */
#ifndef EARLY_H
#define EARLY_H

#include <stdlib.h>

struct early {
    char *kept, *zero, *grown, *huge, *empty;
};

/* In a resolver: of every kind of block some are kept, and some freed. */
static inline void early_allocate(struct early *early) {
    for (int i = 0; i < 500; i++) free(malloc((size_t)i * 40));
    early->kept = malloc(100);
    early->zero = calloc(10, 100);
    early->grown = malloc(20);
    if (early->grown != NULL) early->grown[19] = 7;
    early->grown = realloc(early->grown, 50000);
    early->huge = calloc(1, 3 << 20);
    early->empty = malloc(0);
    free(malloc(2 << 20));
    for (int i = 0; i < 100; i++)
        if (early->kept != NULL) early->kept[i] = (char)i;
}

#endif
