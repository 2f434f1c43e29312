/*
 * seam: how a harness gets between threads and the words they share (a hook; see src/README.md).
 *
 * In a harness build each access to a shared word (atomic.h) is announced before it happens, and
 * the thread's own word (thread.h) is asked for, so that many virtual threads can run on a real
 * one. A harness (harness/) defines the table. The shipped library has no such table and no such
 * calls.
 */
#ifndef MOAT_SEAM_H
#define MOAT_SEAM_H

#ifdef MOAT_HARNESS
#include <stdint.h>

struct base_seam {
    /* Before every access through atomic.h; may switch to another virtual thread. */
    void (*atomic_step)(const volatile void *word);
    /* Where the word of the thread that runs now lies; the same for its whole life. */
    uintptr_t *(*word_of_thread)(void);
};

/* Defined by a harness. */
extern const struct base_seam base_seam;
#endif

#endif
