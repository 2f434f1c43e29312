/*
 * ro: what never changes after initialisation.
 *
 * One structure on OS pages of its own, made read-only (and sealed) when initialisation ends: the
 * bases of every table, so that one range check turns a user's pointer into segment, page and map
 * word with no load that depends on memory content, and the pointer to the state that changes.
 * All-zero before initialisation, which makes every fast path take its slow branch.
 */
#ifndef MOAT_RO_H
#define MOAT_RO_H

#include "base/atomic.h"
#include "meta/options.h"
#include "os/os.h"

struct segment;
struct page;
struct region;
struct lock;
struct heap_pool;
struct huge_state;
struct usage;
struct zero_size_state;
struct sample_places;
struct abandoned;
struct heap_random;
struct random_root;

struct ro {
    struct os_facts os;       /* os_facts: the first member */
    uintptr_t region_base;    /* first byte of the region; SEGMENT_SIZE-aligned */
    size_t region_span;       /* bytes the region can grow to */
    struct segment *segments; /* one per SEGMENT_SIZE of the region */
    struct page *pages;       /* one per SLOT_SIZE of the region */
    uintptr_t *local_heaps;   /* one per SLOT_SIZE of the region: page_local_heap() */
    /* live word of address p: map_bias + ((p >> 6) & ~15); its claim word is the next one */
    uintptr_t map_bias;
    uintptr_t maps;              /* live word of region_base */
    uint16_t *requests;          /* one per granule of the region: request.h; strict level alone */
    uintptr_t heaps_base;        /* heaps, HEAP_SIZE each */
    size_t heaps_max;            /* 0 before initialisation */
    struct heap_random *randoms; /* one per heap, wiped on fork */
    /* atomic: FORK_RECOVERED; WIPED in a child that was forked without handlers, by the kernel;
       RECOVERING while a thread of the child puts it in order */
    uint64_t *fork_mark;
    struct region *region;
    struct lock *locks;          /* LOCKS of them, by enum lock_rank */
    struct abandoned *abandoned; /* ABANDONED_SETS of them */
    /* atomic: a bit a segment, of all heaps: it has a bit in `woken`. Hints: what they lead to may
       have been dealt with, or be another heap's */
    uint64_t *woken_segments;
    struct heap_pool *pool;
    struct huge_state *huge;
    struct usage *usage;
    struct zero_size_state *zero_size;
    struct sample_places *samples;
    size_t os_page;      /* bytes */
    size_t mappings_max; /* that the process may have */
    enum overcommit_mode overcommit;
    uintptr_t thread_ended;          /* THREAD_ENDED: a random mark */
    struct random_root *random_root; /* NULL: seeds come from the kernel yet */
    uint64_t canary_key[2];          /* strict level, and samples */
    struct options options;
};

/* The structure has the largest OS page of the machine to itself. */
#define RO_ALIGNMENT CPU_OS_PAGE_MAX

/* The extent lies behind it on pages of its own, which are writable for the moment in which it
   grows. Between pages that are sealed they never become part of another mapping: where the kernel
   can seal, no change of their protection needs one more. All of it can be read: collectors of
   garbage and leak checkers go over a library's data. */
struct ro_pages {
    union {
        struct ro values;
        char values_pages[RO_ALIGNMENT];
    };
    union {
        /* Granules from region_base below which every table is mapped, and zeros say that nothing
           lives there; 0 before initialisation. It only grows (region.c), after the tables. */
        uint64_t extent;
        char extent_pages[RO_ALIGNMENT];
    };
    char gap[RO_ALIGNMENT];
};

extern struct ro_pages moat_ro_pages __attribute__((visibility("hidden")));
#define ro (moat_ro_pages.values)

/* The members that a thread may read while another initialises: either value makes the range check
   fail for everything that thread can hold (a mark that is no heap; no pointer of moat's yet). */
#define ro_load(member) atomic_load_settled(&ro.member)
#define ro_store(member, value) atomic_store_relaxed(&ro.member, (value))

/* Any value that it ever had is right for every block that the thread can hold. */
#define ro_extent() atomic_load_settled(&moat_ro_pages.extent)

/* Of a process: fork_mark. FORK_RECOVERED of the strict level is a value of its own: so the verbs
   of the default level leave for those of the strict one at a compare that they make anyway. Where
   samples are wanted, its verbs that allocate leave likewise: the compare is whether the mark is
   above those that they leave for. */
enum {
    FORK_WIPED,
    FORK_RECOVERING,
    FORK_RECOVERED_STRICT,
    FORK_RECOVERED_SAMPLING,
    FORK_RECOVERED
};

/* Whether the level is strict. A build without the live map has nothing that it could rest on. */
MOAT_INLINE bool ro_is_strict(void) {
    return HARDENED_MAP && MOAT_UNLIKELY(ro.options.level == LEVEL_STRICT);
}
/* Whether some blocks become samples. */
MOAT_INLINE bool ro_is_sampling(void) {
    return HARDENED_MAP && MOAT_UNLIKELY(ro.options.sample != 0);
}
/* What fork_mark is when nothing is to be recovered. */
MOAT_INLINE uint64_t ro_mark_recovered(void) {
    if (ro_is_strict()) return FORK_RECOVERED_STRICT;
    return ro_is_sampling() ? FORK_RECOVERED_SAMPLING : FORK_RECOVERED;
}

/* Whether initialisation is over, and every table there. */
MOAT_INLINE bool ro_is_started(void) {
    return atomic_load_acquire(&ro.heaps_max) != 0; /* pairs with publish in init.c */
}

#endif
