/*
 * seam: how a harness gets between threads and the words they share (a hook; see src/README.md).
 *
 * In a harness build each access to a shared word (atomic.h) is announced before it happens, a load
 * may be given an older value than the word has, and the thread's own word (thread.h) is asked for:
 * so many virtual threads can run on a real one, in every order, and with what a weak machine
 * shows. What is rare can be made to happen (failpoints). A harness (harness/) defines the table.
 * The shipped library has no such table and no such calls.
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
    const char *function;
};

/* All of them, by the linker. */
extern const struct atomic_site __start_atomic_sites[], __stop_atomic_sites[];

/* A place of the source where something is rare: MOAT_LIKELY, MOAT_UNLIKELY, and so each
   MOAT_CHECK. */
struct branch_site {
    const char *file;
    uint32_t line;
    const char *function;
};

/* In one section, so that a harness can go through all of them: one behind another, and not further
   apart because the compiler would like them aligned. */
#define SITE_IN(name) __attribute__((section(name), used, aligned(sizeof(void *))))

#ifdef MOAT_SWEPT
/* Where the rare thing has come about: whether the program goes on as if it had not. */
#define BRANCH_IS_OUT()                                                                            \
    ({                                                                                             \
        static const struct branch_site site_ SITE_IN("branch_sites") = {__FILE__, __LINE__,       \
                                                                         __func__};                \
        base_seam.branch_is_out(&site_);                                                           \
    })
extern const struct branch_site __start_branch_sites[], __stop_branch_sites[];
#endif

/* Failpoints: places of the source where something goes wrong that is rare, and that no input would
   come by, or only by luck. In a harness build it may be made to. Each row: a name, a text, and
   whether it takes something from the program, which may be refused memory or a guard for it. One
   that does not is a compare-and-exchange whose failure is met by trying again, or a look that may
   come again: as if another thread had come between, it excuses nothing. Inputs name a failpoint by
   its number: new rows go to the end. */
#define FAILPOINT_ROWS(ROW)                                                                        \
    ROW(REGION_FULL, "region-full", true)           /* no segments are to be had */                \
    ROW(RUN_HEMMED_IN, "run-hemmed-in", true)       /* the segments behind a run are taken */      \
    ROW(WINDOW_BLOCKED, "window-blocked", true)     /* something lies where the region grows */    \
    ROW(TABLE_BLOCKED, "table-blocked", true)       /* or where a table does */                    \
    ROW(MAPPINGS_USED_UP, "mappings-used-up", true) /* a guard may split no mapping more */        \
    ROW(MARKER_REFUSED, "marker-refused", true)     /* a guard marker */                           \
    ROW(HEAPS_USED_UP, "heaps-used-up", true)       /* a thread gets no heap of its own */         \
    ROW(CACHE_FULL, "cache-full", true)             /* of huge runs */                             \
    ROW(QUARANTINE_FULL, "quarantine-full", true)                                                  \
    ROW(SAMPLES_FULL, "samples-full", true)                                                        \
    ROW(SAMPLE_SEGMENT_REFUSED, "sample-segment-refused", true)                                    \
    ROW(ZERO_SIZE_FULL, "zero-size-full", true)                                                    \
    ROW(SHORT_OF_MEMORY, "short-of-memory", true) /* a new segment cannot be opened */             \
    ROW(LOCK_HELD, "lock-held", false)            /* a lock that is only tried */                  \
    ROW(HEAP_TAKE_AGAIN, "heap-take-again", false)                                                 \
    ROW(HEAP_RETURN_AGAIN, "heap-return-again", false)                                             \
    ROW(FULL_MARK_AGAIN, "full-mark-again", false)                                                 \
    ROW(SAMPLE_PLACE_AGAIN, "sample-place-again", false)                                           \
    ROW(VISIT_AGAIN, "visit-again", false)                                                         \
    ROW(VISIT_END_AGAIN, "visit-end-again", false)
enum failpoint {
#define FAILPOINT_NAME(name, text, takes) FAIL_##name,
    FAILPOINT_ROWS(FAILPOINT_NAME)
#undef FAILPOINT_NAME
        FAILPOINTS
};
/* Whether it goes wrong now. */
#define FAILPOINT(name) base_seam.fails_at(FAIL_##name)

struct base_seam {
    /* Before every access through atomic.h; may switch to another virtual thread. */
    void (*atomic_step)(const struct atomic_site *site, const volatile void *word, unsigned size);
    /* After a load: what the thread shall see, given what the word has. */
    uint64_t (*atomic_loaded)(uint64_t newest);
    /* After a compare-and-exchange; returns its argument, or a lie. */
    bool (*atomic_tried)(bool exchanged);
    bool (*branch_is_out)(const struct branch_site *site);
    bool (*fails_at)(enum failpoint point);
    /* Where the word of the thread that runs now lies; the same for its whole life. */
    uintptr_t *(*word_of_thread)(void);
};

/* Defined by a harness. */
extern const struct base_seam base_seam;
/* Whether loads are announced too. False: somebody may want to know what is written, and nobody
   what is read, which most accesses do. Changes while no other thread is inside the library. */
extern bool base_seam_sees_loads;
#else
#define FAILPOINT(name) false
#endif

#endif
