/*
 * region: the address range that every segment lies in, and the tables that describe it.
 *
 * Nothing is reserved. Windows of inaccessible memory are mapped one behind another as they are
 * needed, and the tables in step with them; what somebody else has mapped in the way is gone
 * around and stays taken. The extent (ro.h) grows last: below it every table is mapped, above it
 * an address is not moat's. Owns the bitmap of taken segments. Off every hot path; who takes
 * has the region's lock, who gives needs none.
 */
#ifndef MOAT_REGION_H
#define MOAT_REGION_H

#include "base/atomic.h"
#include "base/bits.h"
#include "meta/table.h"

#define REGION_MAX_SEGMENTS ((size_t)262144) /* 1 TiB */
#define REGION_WORDS (REGION_MAX_SEGMENTS / 64)
#define SEGMENT_TABLE_BYTES_PER_SEGMENT ((size_t)128)
#define PAGE_TABLE_BYTES_PER_SEGMENT ((size_t)8 * KIB)
#define LOCAL_TABLE_BYTES_PER_SEGMENT (SLOTS_PER_SEGMENT * sizeof(uintptr_t))
#define MAP_TABLE_BYTES_PER_SEGMENT (SEGMENT_SIZE / GRANULE / 4) /* two bits a granule */
#define REQUEST_TABLE_BYTES_PER_SEGMENT (SEGMENT_SIZE / GRANULE * sizeof(uint16_t))

#define REGION_GIVEN 1u /* some were given while another thread had the lock */
#define REGION_OWED 2u  /* there may be some that are owed */

#define RUN_LENGTHS 16u /* for which the region remembers where none is */

/* What is known of the kernel's guard markers (MADV_GUARD_INSTALL). */
enum markers { MARKERS_UNKNOWN, MARKERS_PROVED, MARKERS_REFUSED };

/* The tables that grow with the region. */
enum region_table {
    REGION_TABLE_SEGMENTS,
    REGION_TABLE_PAGES,
    REGION_TABLE_LOCAL_HEAPS,
    REGION_TABLE_MAPS,
    REGION_TABLE_REQUESTS, /* empty but at the strict level */
    REGION_TABLES
};

struct mapping;

struct region {
    struct table tables[REGION_TABLES]; /* under the lock */
    uint32_t extent; /* segments, [0, extent): mapped, or gone around; atomic for statistics */
    uint32_t span;   /* the most it can be */
    /* No free run of n + 1 segments begins below none_below[n]: a search in a large region does not
       meet the same short holes each time. The last holds for longer ones too. */
    uint32_t none_below[RUN_LENGTHS];
    /* For guard.c; all atomic, relaxed. */
    uint32_t markers;       /* enum markers */
    size_t splits;          /* runs that are mappings of their own */
    uintptr_t put_by;       /* some mappings for when there are no more; or 0 */
    bool mappings_short;    /* there are no more: guards by splits are left out */
    size_t guards_missing;  /* guards that could not be had */
    size_t rests;           /* OS pages: see struct guarded */
    size_t growth_blocked;  /* times the heap could not grow for what lies behind a table */
    bool tables_blocked;    /* it was so at the last attempt */
    bool memory_is_locked;  /* what will be mapped is locked in memory: mlockall(MCL_FUTURE) */
    bool memory_was_locked; /* atomic, written under the lock: what was mapped may be */
    /* atomic, with memory_is_locked: only what can be touched is, see region_lock.c; and pages are
       not made resident before they are touched */
    bool lock_follows_use, locked_on_fault;
    /* atomic: what the kernel last said of limits, and that it is not asked: see
       guard_keep_limits */
    bool data_limited, space_limited, limits_kept;
    size_t committed;    /* bytes of segments that may be touched; atomic, relaxed */
    size_t lock_count;   /* times the lock was taken, under it */
    bool window_refused; /* the last window could not be had */
    /* what the region went around when it grew last: nobody's, whatever `taken` says in a child */
    uint32_t around_from, around_to;
    uint32_t news; /* atomic: REGION_GIVEN, REGION_OWED; for whoever has the lock next */
    /* For region_spare.c; the first two atomic, relaxed. */
    int64_t spare;        /* free segments that are `described`, counted */
    int64_t spare_kept;   /* so many are let be */
    uint32_t spare_below; /* the search for them goes on below this word of the bitmap */
    bool spare_refused;   /* the kernel would not have some */
    uintptr_t aside;      /* memory that a part of the live map can be moved to; or 0 */
    /* Atomic; nothing from the extent on. A segment is free: 0 in both; taken: 1 0, set under the
       lock, cleared by whoever gives; nobody's for good: 1 1 (number 0, what was gone around, the
       guard behind it, what was lost); owed: 0 1, nobody's until the kernel takes its memory, which
       it has refused so far. */
    uint64_t taken[REGION_WORDS];
    uint64_t barred[REGION_WORDS];
    /* Under the lock: segments that were taken since their part of the tables was empty. */
    uint64_t described[REGION_WORDS];
    /* Atomic: segments that ever had pages, for good. Into the map of others nobody claims. */
    uint64_t paged[REGION_WORDS];
};

/* The bytes of a table for so many segments. */
size_t region_table_bytes(enum region_table table, size_t segments);

/* The whole OS pages of a table that only these segments have a part of. */
size_t region_table_part(enum region_table table, uint32_t index, uint32_t count, uintptr_t *start);

/* From an all-zero structure but for its placed tables to a first window; ro must be filled in.
   False: something else lies there, or no memory; the tables may have grown. */
bool region_start(struct region *region);
/* Gives everything but the tables back, in a start that failed. */
void region_remove(struct region *region);

/* Takes `count` adjacent segments aligned to `align` segments, their address space inaccessible.
   False when there is no address space, or no memory for the tables. */
bool region_take(uint32_t count, uint32_t align, uint32_t *index);
/* The same of free segments at or above `from` that lie right below some that are not free: where
   mappings are short, what merges with its neighbour needs none. False: there are none. */
bool region_take_below(uint32_t count, uint32_t from, uint32_t *index);
/* How often that is tried, where the kernel refuses memory elsewhere. */
#define REGION_TRIES_BELOW 8u
/* Takes the segments right behind a taken run if they are free. */
bool region_extend(uint32_t index, uint32_t count, uint32_t more);
/* Gives inaccessible segments back. */
void region_give(uint32_t index, uint32_t count);
/* Gives segments back whose memory the kernel has refused to take: it is asked again, at each later
   take, and until then nobody has them. */
void region_owe(uint32_t index, uint32_t count);
/* region_spare.c: gives back what the tables hold of free segments, one step; `force`: all of it.
   Without `force` waits for nobody, and lets a few segments keep theirs. True if memory went
   back. */
bool region_shed_tables(bool force);
/* A free segment's first `bytes` are about to have blocks that are no pages'. Reports a second free
   that was on its way when the segment's last page ended: nobody would look at its claim there. */
void region_expect_no_claims(uint32_t index, size_t bytes);
/* Whether there may be any. */
MOAT_INLINE bool region_has_spare(bool force) {
    int64_t kept = force ? 0 : atomic_load_relaxed(&ro.region->spare_kept);
    return atomic_load_relaxed(&ro.region->spare) > kept;
}
/* How many may keep theirs: a few, and as many as the kernel has refused. */
void region_let_be(size_t refused);
/* A taken segment is about to have pages. */
MOAT_INLINE void region_note_pages(uint32_t index) {
    uint64_t *word = &ro.region->paged[index / 64];
    if (has_bit(atomic_load_relaxed(word), index)) return;
    atomic_or_relaxed(word, bit64(index));
}
/* The free segments whose tables may hold memory: there are so many more. */
MOAT_INLINE void region_count_spare(int64_t more) { atomic_add_relaxed(&ro.region->spare, more); }
/* In a forked child: counted anew; and, where the lock's holder is gone, what it may have left. */
void region_recover_spare(void);
void region_recover_aside(void);
/* Nobody may have these taken segments any more: something else may lie there. */
void region_bar(uint32_t index, uint32_t count);

/* In a forked child, after whoever held the lock: the request was served, or was not. */
void region_recover(void);
/* In a forked child: a taken segment that belongs to nobody, since a thread that did not come along
   was about to use it or to give it back. False: it is none to use, or the kernel refused. */
bool region_take_back(uint32_t index);

/* Gives new mappings inside the region the advice of the others, or the kernel could not merge
   them. */
void region_advise(uintptr_t start, size_t size);

/* Where lock follows use: whether a mapping is locked. Not memory of the region's that nobody can
   touch. */
bool region_has_to_be_locked(const struct mapping *mapping);
/* The bytes of all such; SIZE_MAX: not known. */
size_t region_bytes_to_lock(void);
/* Memory is locked, and there is no more to be had: what nobody can touch is unlocked. False: it is
   so already, nothing is locked, or that would leave no room under the limit: then what is locked
   already is all there will be. */
bool region_let_lock_follow_use(void);
/* The same where memory is locked. */
bool region_reserve_locked(uintptr_t start, size_t size);
bool region_commit_locked(uintptr_t start, size_t size);
bool region_decommit_locked(uintptr_t start, size_t size);
bool region_change_tables(uint32_t index, uint32_t count, bool lock);

/* Inaccessible memory of the region becomes usable. False: nothing has changed. */
MOAT_INLINE bool region_commit(uintptr_t start, size_t size) {
    if (MOAT_UNLIKELY(atomic_load_relaxed(&ro.region->memory_is_locked)))
        return region_commit_locked(start, size);
    return os_commit((void *)start, size);
}
/* Anything of the region → inaccessible, contents gone, charge given back. */
bool region_decommit(uintptr_t start, size_t size);

/* Where lock follows use, the tables of free segments are not locked either: those of segments that
   are taken, and given. False: there is no room for them. */
MOAT_INLINE bool region_lock_tables(const struct region *region, uint32_t index, uint32_t count) {
    return MOAT_LIKELY(!atomic_load_relaxed(&region->lock_follows_use)) ||
           region_change_tables(index, count, true);
}
MOAT_INLINE void region_unlock_tables(const struct region *region, uint32_t index, uint32_t count) {
    if (MOAT_UNLIKELY(atomic_load_relaxed(&region->lock_follows_use)))
        (void)region_change_tables(index, count, false);
}

MOAT_INLINE uintptr_t segment_address(uint32_t index) {
    return ro.region_base + ((uintptr_t)index << SEGMENT_SHIFT);
}
/* Whether a block may begin there: the address lies in the region and is a multiple of a granule.
   Rotated, what is none comes out as large, and leaves by the compare of the range. */
MOAT_INLINE bool region_may_hold(uintptr_t address) {
    return rotr64(address - ro_load(region_base), GRANULE_SHIFT) < ro_extent();
}
MOAT_INLINE bool region_contains(uintptr_t address) {
    return (address - ro_load(region_base)) >> GRANULE_SHIFT < ro_extent();
}

/* With verbose=1: one warning that names the limit an allocation of `wanted` bytes ran into. */
MOAT_COLD void region_explain_failure(size_t wanted);

/* Of a word of segments those that are free. What comes to be owed is barred first. */
MOAT_INLINE uint64_t region_free_segments(const struct region *region, uint32_t word) {
    uint64_t taken = atomic_load_acquire(&region->taken[word]); /* pairs with region_owe */
    return ~(taken | atomic_load_relaxed(&region->barred[word]));
}

/* Segments taken, counted. */
uint32_t region_in_use(void);
bool region_validate(void);

#endif
