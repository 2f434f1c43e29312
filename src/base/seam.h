/*
 * seam: how a harness gets between threads and the words they share (a hook; see src/README.md).
 *
 * In a harness build each access to a shared word (atomic.h) is announced before it happens, a load
 * may be given an older value than the word has, and the thread's own word (thread.h) is asked for:
 * so many virtual threads can run on a real one, in every order, and with what a weak machine
 * shows. A harness (harness/) defines the table. The shipped library has no such table and no such
 * calls.
 */
#ifndef MOAT_SEAM_H
#define MOAT_SEAM_H

#ifdef MOAT_HARNESS
#include <stdbool.h>
#include <stdint.h>

enum atomic_kind {
    ATOMIC_LOAD,
    ATOMIC_STORE,
    ATOMIC_CHANGE, /* a read-modify-write */
    ATOMIC_TRY     /* a compare-and-exchange: a load if it fails */
};

/* A place of the source that accesses a shared word. A function that is inline has one in each file
   that uses it: file and line tell them apart. */
struct atomic_site {
    const char *file;
    uint32_t line;
    uint8_t kind;  /* enum atomic_kind */
    uint8_t order; /* __ATOMIC_RELAXED … */
};

/* All of them, by the linker. */
extern const struct atomic_site __start_atomic_sites[], __stop_atomic_sites[];

/* A place of the source where something is rare: MOAT_LIKELY, MOAT_UNLIKELY, and so each
   MOAT_CHECK. */
struct branch_site {
    const char *file;
    uint32_t line;
};

#ifdef MOAT_SWEPT
/* Where the rare thing has come about: whether the program goes on as if it had not. */
#define BRANCH_IS_OUT()                                                                            \
    ({                                                                                             \
        static const struct branch_site site_                                                      \
            __attribute__((section("branch_sites"), used)) = {__FILE__, __LINE__};                 \
        base_seam.branch_is_out(&site_);                                                           \
    })
extern const struct branch_site __start_branch_sites[], __stop_branch_sites[];
#endif

struct base_seam {
    /* Before every access through atomic.h; may switch to another virtual thread. */
    void (*atomic_step)(const struct atomic_site *site, const volatile void *word, unsigned size);
    /* After a load: what the thread shall see, given what the word has. */
    uint64_t (*atomic_loaded)(uint64_t newest);
    /* After a compare-and-exchange; returns its argument, or a lie. */
    bool (*atomic_tried)(bool exchanged);
    bool (*branch_is_out)(const struct branch_site *site);
    /* Where the word of the thread that runs now lies; the same for its whole life. */
    uintptr_t *(*word_of_thread)(void);
};

/* Defined by a harness. */
extern const struct base_seam base_seam;
/* Whether loads are announced too. False: somebody may want to know what is written, and nobody
   what is read, which most accesses do. Changes while no other thread is inside the library. */
extern bool base_seam_sees_loads;
#endif

#endif
