/*
 * region: the address range that every segment lies in, and the tables that describe it.
 *
 * Owns the bitmap of taken segments, the reservation and its growth, and making table memory
 * writable in step. Tables live in a reservation of their own, each at a random place with
 * inaccessible memory on either side. Everything here runs under region.lock and off every hot
 * path.
 */
#ifndef MOAT_REGION_H
#define MOAT_REGION_H

#include "meta/ro.h"
#include "meta/random.h"

#define REGION_MAX_SEGMENTS ((size_t)262144) /* 1 TiB */
#define REGION_WORDS (REGION_MAX_SEGMENTS / 64)
/* Table memory becomes writable for this many segments at a time. */
#define TABLE_CHUNK ((size_t)16)
#define SEGMENT_TABLE_BYTES_PER_SEGMENT ((size_t)128)
#define PAGE_TABLE_BYTES_PER_SEGMENT ((size_t)8 * KIB)
#define LOCAL_TABLE_BYTES_PER_SEGMENT (SLOTS_PER_SEGMENT * sizeof(uintptr_t))

struct region {
    uint32_t origin;      /* segment index the search for one segment starts at */
    uint32_t huge_origin; /* and for a run */
    uint32_t window_end;  /* segments reserved so far: [0, window_end) */
    uint32_t span;        /* segments the tables cover */
    uint32_t in_use;      /* segments taken */
    bool exhausted;       /* the last request found none */
    /* the kernel has no MADV_GUARD_INSTALL: do not ask again */
    bool guard_install_refused;
    bool guard_install_works;     /* it has accepted one */
    size_t guards_missing;        /* guards the kernel refused altogether */
    size_t committed;             /* bytes of segments that may be touched; atomic, relaxed */
    size_t lock_count;            /* times the lock was taken, under it */
    uint64_t taken[REGION_WORDS]; /* 1: taken; means nothing from window_end on */
    uint64_t tables_ready[REGION_WORDS / TABLE_CHUNK]; /* 1: the chunk's tables are writable */
};

/* What init chooses before there is a region: sizes in bytes. */
struct region_plan {
    uintptr_t base;
    size_t window; /* reserved now */
    size_t span;   /* covered by tables: window or more */
};

/* Reserves the first window: clamp(8 x RAM, 64 GiB, 1 TiB), a quarter of a finite RLIMIT_AS at
   most, `cap` at most if not 0; halved on any error. False: not even a few segments could be
   had. */
bool region_reserve(struct random *random, size_t limit, size_t cap, struct region_plan *plan);

/* Fills an all-zero structure in; ro must be filled in. */
void region_init(struct region *region, const struct region_plan *plan, struct random *random);

/* Takes `count` adjacent segments aligned to `align` segments, their address space inaccessible,
   the tables of the first `tables` of them writable. False when the region is exhausted. */
bool region_take(uint32_t count, uint32_t align, uint32_t tables, uint32_t *index);
/* Takes the segments right behind a taken run if they are free. */
bool region_extend(uint32_t index, uint32_t count, uint32_t more);
/* Gives inaccessible segments back. */
void region_give(uint32_t index, uint32_t count);

/* One guard: makes [start, start + size) inaccessible inside committed memory, by the means options
   and kernel allow; counts a refusal. */
void region_guard(uintptr_t start, size_t size);
/* Makes a segment's memory usable but for the guard in its last OS page. */
bool region_commit_segment(uintptr_t start);

MOAT_INLINE uintptr_t segment_address(uint32_t index) {
    return ro.region_base + ((uintptr_t)index << SEGMENT_SHIFT);
}
MOAT_INLINE bool region_contains(uintptr_t address) {
    return address - ro_load(region_base) < ro_load(region_span);
}

/* With verbose=1: one warning that names the limit an allocation of `wanted` bytes ran into. */
MOAT_COLD void region_explain_failure(size_t wanted);

bool region_validate(void);

#endif
