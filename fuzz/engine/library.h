/*
 * library: the process's C library is asked the same.
 *
 * Its own allocator is there in every harness, behind whatever stands in front of it: it is found
 * by name in the library itself. Of each call it is asked what it would have answered, and the two
 * must agree in whether there is a block, in errno and in what is returned; but for the
 * differences that a table in library.c lists with their reasons. It is never asked for so much
 * that memory is really used. One thread.
 */
#ifndef ENGINE_LIBRARY_H
#define ENGINE_LIBRARY_H

#include "engine/contract.h"

/* Once, before the first comparison. */
void library_find(void);
/* `old`: bytes of the call's block. NULL, or a text that says how the two differ. */
const char *library_compare(const struct call *call, const struct duty *duty, int error,
                            size_t old);
/* The same of mallopt() and malloc_info(), of what a wrong argument gives. */
const char *library_compare_mallopt(int parameter, int value, int result);
const char *library_compare_info(int options, int result);
/* A block of its own. */
void *library_block(void);

#endif
