/*
 * peek: reading memory that may not be there.
 *
 * A report walks the stack and the ELF headers of a process that is known to be damaged. Each OS
 * page is probed with a system call before the first byte of it is read, so that a wrong pointer
 * ends the walk and does not fault. (Another thread may unmap the page in between; a report accepts
 * that.) The page probed last is remembered. Async-signal-safe, allocates nothing.
 */
#ifndef MOAT_PEEK_H
#define MOAT_PEEK_H

#include "base/base.h"

struct peek {
    uintptr_t page;   /* the OS page known to be readable; 0: none yet */
    size_t page_size; /* bytes; 0: not asked yet */
};

/* Copies `size` bytes from `address`; false, and out undefined, if any of them cannot be read. */
bool peek_bytes(struct peek *peek, uintptr_t address, void *out, size_t size);
bool peek_word(struct peek *peek, uintptr_t address, uintptr_t *out);

#endif
