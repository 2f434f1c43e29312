/*
 * alloc: the verbs (layer 6). What posix.c dresses in the C library's names.
 *
 * None of these sets errno. NULL means out of memory (or a size above PTRDIFF_MAX). Misuse ends the process with a report.
 * All may be called by any thread at any time, before initialisation and after the thread's exit hook too; not from a signal
 * handler that interrupted one of them (that is reported).
 */
#ifndef MOAT_ALLOC_H
#define MOAT_ALLOC_H

#include "base.h"

void *alloc_block(size_t size);
void *alloc_zeroed(size_t size);
/* `alignment` is a power of two of at most ALIGN_MAX. */
void *alloc_aligned(size_t alignment, size_t size);
/* block may be NULL. On NULL the old block is untouched. new_size 0 is for the caller to decide: here it makes a zero-size block.
 */
void *alloc_resize(void *block, size_t new_size);
/* block may be NULL. Keeps errno (as all do). */
void alloc_free(void *block);
void alloc_free_sized(void *block, size_t size);
void alloc_free_aligned_sized(void *block, size_t alignment, size_t size);
/* 0 for NULL and for zero-size blocks. */
size_t alloc_usable_size(const void *block);
/* True when the address lies in moat's range (whether or not it is a live block). */
bool alloc_owns(const void *address);
/* Collects the calling thread's heap and what is abandoned; with `purge` also gives unused memory back to the kernel at once.
   True if memory went back. */
bool alloc_collect(bool purge);

#endif
