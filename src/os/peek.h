/*
 * peek: reading memory that may not be there.
 *
 * A report walks the stack and the ELF headers of a process that is known to be damaged. Each OS
 * page is probed with a system call before the first byte of it is read, so that a wrong pointer
 * ends the walk and does not fault. (Another thread may unmap the page in between; a report accepts
 * that.) The page probed last is remembered. Async-signal-safe, allocates nothing.
 *
 * Who looks at a process that nothing is wrong with, and that shall go on, does not accept it: it
 * reads through a window, which the kernel fills from the process's memory as a file. What is gone
 * is a failed read then.
 */
#ifndef MOAT_PEEK_H
#define MOAT_PEEK_H

#include "base/base.h"

#define PEEK_WINDOW 4096u
struct peek_window {
    int memory;      /* a descriptor */
    uintptr_t start; /* of what is in it */
    size_t have;     /* bytes */
    char bytes[PEEK_WINDOW];
};

struct peek {
    uintptr_t page;             /* the OS page known to be readable; 0: none yet */
    size_t page_size;           /* bytes; 0: not asked yet */
    struct peek_window *window; /* all is read through it; NULL: there is none */
};

/* The process's memory as a file, for windows, to be closed by os_close; -1: the kernel does not
   show it (no /proc, no descriptor left, not allowed, or what it shows is something else). */
int peek_open_memory(void);
/* An empty window; peek_word() must not be called. */
struct peek peek_through(struct peek_window *window, int memory);

/* Copies `size` bytes from `address`; false, and out undefined, if any of them cannot be read. */
bool peek_bytes(struct peek *peek, uintptr_t address, void *out, size_t size);
bool peek_word(struct peek *peek, uintptr_t address, uintptr_t *out);

#endif
