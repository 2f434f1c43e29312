/*
 * os_seam: what stands between moat and the kernel in a harness build (a hook; see src/README.md).
 *
 * os.c asks the table before each call whether it must fail, and tells it what became of each
 * range. A harness (harness/) defines the one table, so that os knows nothing of it. The shipped
 * library has neither: IN_HARNESS is 0 there, and every use below is dead code.
 *
 * Called by os.c, and where blocks are filled and copied, on whatever thread that is; the functions
 * may not call os back, but for os_write and os_abort.
 */
#ifndef MOAT_OS_SEAM_H
#define MOAT_OS_SEAM_H

#include "base/base.h"

/* Each kind of call that can be made to fail. */
enum os_call {
    OS_RESERVE,
    OS_RELEASE,
    OS_COMMIT,
    OS_DECOMMIT,
    OS_PROTECT,
    OS_PURGE,
    OS_GUARD,
    OS_REMAP,
    OS_RANDOM,
    OS_SEAL,
    OS_CALLS
};

/* What a call that succeeded did to a range. */
enum os_change {
    OS_CHANGE_RESERVE,
    OS_CHANGE_UNRESERVE,
    OS_CHANGE_COMMIT,
    OS_CHANGE_DECOMMIT,
    OS_CHANGE_PROTECT_READ,
    OS_CHANGE_PROTECT_NONE,
    OS_CHANGE_GUARD_INSTALL,
    OS_CHANGE_GUARD_REMOVE
};

struct os_seam {
    /* Counts the call; true when it must fail. */
    bool (*fails)(enum os_call kind);
    /* The same for OS_COMMIT, which also has a limit. */
    bool (*commit_fails)(const void *start, size_t size);
    void (*note)(enum os_change change, const void *start, size_t size);
    /* Where a reservation without a hint should lie; 0: anywhere. */
    uintptr_t (*reservation_hint)(size_t size, size_t alignment);
    /* The kernel takes the advice to install a guard marker and does nothing, as an emulator
       may. */
    bool (*ignores_markers)(void);
    /* Random bytes that repeat; false: the kernel's are wanted. */
    bool (*random)(void *buffer, size_t size);
    uint64_t (*milliseconds)(void);
    /* For seeds alone: the same all along. */
    uint64_t (*nanoseconds)(void);
    /* The thread sleeps until the word is woken, by other means: all share one real one, which
       would sleep for ever. */
    bool (*sleeps)(const uint32_t *word);
    /* Memory is played: what empties a table that others may be writing to is left out. So is what
       looks for names of calls and threads, which are the harness's own: with where its code lies
       the steps of a run would change, and a walk over a stack takes as many as all the rest. */
    bool (*memory_is_played)(void);
    /* The bytes of an OS page, larger than the machine's; 0: the machine's. */
    size_t (*page_size)(void);
    /* Answers a system call in the kernel's place: its number, six arguments, what the kernel would
       return. False: the kernel shall answer. */
    bool (*kernel)(long number, const long *arguments, long *result);
    /* Memory that is played knows what was written: filling with zeros and copying cost no more
       than that. False: the caller shall do it. */
    bool (*clear)(void *start, size_t size);
    bool (*copy)(void *to, const void *from, size_t size);
    /* Memory that may not be there is about to be looked at. How much further up what is played
       lies; 0: where it is. */
    uintptr_t (*peek)(uintptr_t address, size_t size);
    /* The library is about to write into a block by other means. */
    void (*touch)(uintptr_t start, size_t size);
};

/* Defined by a harness, and only there. */
extern const struct os_seam os_seam;

MOAT_INLINE bool os_seam_fails(enum os_call kind) { return IN_HARNESS && os_seam.fails(kind); }
MOAT_INLINE void os_seam_note(enum os_change change, const void *start, size_t size) {
    if (IN_HARNESS) os_seam.note(change, start, size);
}

#endif
