/*
 * family: the functions that moat adds to the C library's, found at run time.
 *
 * The same test program runs linked with libmoat.so and with it preloaded, and can be linked
 * without it; so it must not name these at link time. Looked up once, before the scene (dlsym may
 * allocate). A test that calls one of them requires that it is there.
 */
#ifndef TEST_FAMILY_H
#define TEST_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

struct moat_stats;

struct family {
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    void (*delete_sized)(void *, size_t); /* operator delete(void *, size_t) */
    /* operator delete(void *, size_t, align_val_t) */
    void (*delete_sized_aligned)(void *, size_t, size_t);
    void *(*new_plain)(size_t); /* operator new(size_t) */
    bool (*owns)(const void *);
    size_t (*check)(void);
    void (*stats_get)(struct moat_stats *);
};

extern struct family family;

/* Fills `family`; what is not there stays NULL. */
void family_find(void);
/* Whether this process runs on moat. */
bool family_is_moat(void);

#endif
