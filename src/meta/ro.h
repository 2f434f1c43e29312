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
struct zero_size_state;
struct abandoned;
struct heap_random;

struct ro {
    struct os_facts os; /* os_facts: the first member */
    /* first byte of the range the tables cover; SEGMENT_SIZE-aligned */
    uintptr_t region_base;
    size_t region_span;       /* bytes the tables cover */
    uint64_t region_granules; /* the same in granules, for the one compare of free */
    struct segment *segments; /* one per SEGMENT_SIZE of the range */
    struct page *pages;       /* one per SLOT_SIZE of the range */
    uintptr_t *local_heaps;   /* one per SLOT_SIZE of the range: page_local_heap() */
    /* live word of address p: map_bias + ((p >> 6) & ~15); its claim word is the next one */
    uintptr_t map_bias;
    uintptr_t maps;              /* live word of region_base */
    uintptr_t heaps_base;        /* heaps, HEAP_SIZE each */
    size_t heaps_max;            /* 0 before initialisation */
    struct heap_random *randoms; /* one per heap, wiped on fork */
    /* atomic: FORK_RECOVERED; WIPED in a child that was forked without handlers, by the kernel */
    uint64_t *fork_mark;
    struct region *region;
    struct lock *locks;          /* LOCKS of them, by enum lock_rank */
    struct abandoned *abandoned; /* ABANDONED_SETS of them */
    struct heap_pool *pool;
    struct huge_state *huge;
    struct zero_size_state *zero_size;
    size_t os_page;    /* bytes */
    uint32_t exit_key; /* pthread key of the exit hook, plus one; 0: none could be had */
    struct options options;
};

/* The structure has the largest OS page of the machine to itself. */
#define RO_ALIGNMENT CPU_OS_PAGE_MAX

union ro_pages {
    struct ro values;
    char bytes[RO_ALIGNMENT];
};

extern union ro_pages moat_ro_pages __attribute__((visibility("hidden")));
#define ro (moat_ro_pages.values)

/* The members that a thread may read while another initialises: either value makes the range check
   fail for everything that thread can hold (a mark that is no heap; no pointer of moat's yet). */
#define ro_load(member) atomic_load_settled(&ro.member)
#define ro_store(member, value) atomic_store_relaxed(&ro.member, (value))

/* Of a process: fork_mark. */
enum { FORK_WIPED, FORK_RECOVERED, FORK_RECOVERING };

/* Whether initialisation is over, and every table there. */
MOAT_INLINE bool ro_is_started(void) {
    return atomic_load_acquire(&ro.heaps_max) != 0; /* pairs with publish in init.c */
}

#endif
