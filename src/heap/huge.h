/*
 * huge: allocations above LARGE_MAX, or with an alignment above it, each in a run of segments of
 * its own.
 *
 * Nobody owns one. Kind, generation and ownership are one atomic word of the first segment: a free
 * is a CAS from the very {HUGE, generation} that was read to FREEING; whoever loses reports, only
 * the winner unmaps, after clearing the live bit atomically. Behind the rounded length at least one
 * OS page is inaccessible, and the last of the run (meta/guard.h). Freed runs are kept for the
 * purge delay, a bounded number of bytes of them, and longer in programs that want again what went
 * back (keeping.h); until then their first OS page is inaccessible. New runs of such programs ask
 * for huge pages, if the program has written to all parts of its runs before: what is used sparsely
 * stays sparse.
 */
#ifndef MOAT_HUGE_H
#define MOAT_HUGE_H

#include "heap/usage.h"
#include "heap/segment.h"

/* Blocks up to this size come in classes, like those of pages eight a doubling, so that a freed run
   serves the next block of about its size as it is; larger ones in OS pages. */
#define HUGE_CLASS_MAX (64 * MIB)
#define HUGE_CACHE_ENTRIES 64
/* Bytes of a huge page, as far as it matters here: 2 MiB on most machines. */
#define HUGE_PAGE (2 * MIB)
/* Or a quarter of what is in use, if that is more. */
#define HUGE_CACHE_BYTES ((size_t)256 * MIB)
#define HUGE_CACHE_SHARE 4
/* At the strict level runs wait without memory: at most so many, and one of so many at least is
   drawn for the next block. */
#define HUGE_WAITING_MAX 128
#define HUGE_WAITING_LEAST 64

struct huge_entry {
    uint32_t index; /* first segment */
    struct guarded guarded;
    size_t watched;    /* of its last user: see struct segment */
    uint64_t purge_at; /* milliseconds */
    uint8_t front;     /* enum guard_means: what keeps its first OS page from being touched */
};

struct huge_state {
    struct huge_entry cache[HUGE_WAITING_MAX]; /* the first `entries` of them */
    uint32_t entries;
    uint32_t covered;       /* of them those that are covered: strict level alone */
    struct keeping keeping; /* under the lock; what is in use, usage.h knows */
    /* milliseconds: when a run that was used again had been written to in all parts, 0: never, or
       the last one had not; atomic, a hint */
    uint64_t dense_at;
    /* twice the bytes of runs that were seen so, less those that had huge pages for it; atomic, a
       hint */
    size_t dense_bytes;
    /* milliseconds; atomic, a hint, too early perhaps: UINT64_MAX when the cache is empty */
    uint64_t next_purge;
};

/* Gives the cached run back that has waited longest. False: none has memory, as at the strict
   level, or somebody is at the cache. */
bool huge_give_one(uint64_t now);

enum huge_result { HUGE_OK, HUGE_NO_MEMORY, HUGE_LOST /* not live, or another thread frees it */ };

/* size 1..PTRDIFF_MAX, alignment a power of two up to ALIGN_MAX. NULL: out of memory. */
void *huge_alloc(size_t size, size_t alignment, bool zero);
/* `word` is the owner word that showed OWNER_HUGE; address the run's start. */
enum huge_result huge_free(struct segment *segment, uint64_t word);
/* Grows or shrinks to so many bytes, a multiple of the OS page, in place, or by moving the pages;
   *block, the run's start, is updated. HUGE_NO_MEMORY: nothing changed. */
enum huge_result huge_resize(struct segment *segment, uint64_t word, size_t bytes, void **block);

/* Strict level. A block has just these bytes, a multiple of the OS page, which are zero. It lives
   when `prepare` has returned, which is called with the start of its run: no free gets hold of a
   block that is not what it will be. */
void *huge_alloc_exact(size_t bytes, size_t alignment,
                       void (*prepare)(uintptr_t run, const void *context), const void *context);
/* The same in a run that has waited, which takes no memory that is not the process's. NULL: there
   are too few, or none for it. */
void *huge_alloc_again(size_t bytes, size_t alignment,
                       void (*prepare)(uintptr_t run, const void *context), const void *context);
/* A free in two parts: who wins the first looks at the block; the second makes it inaccessible at
   once. Its addresses wait a second, or until it is the one, drawn by `chance` of the many that
   wait, that is used again or has to make room. Inside the allocator. */
bool huge_claim(struct segment *segment, uint64_t word);
void huge_close(struct segment *segment, uint64_t word, uint64_t chance);
/* Bytes the block of this size has. */
size_t huge_round(size_t size);
/* Whether a block of up to LARGE_MAX may have a run: where what nobody uses must not be charged, or
   locked, one above SMALL_MAX may, for want of a page. */
bool huge_may_hold(size_t size);
/* A live block becomes one of those where it is, if it has a run; else NULL. */
void *huge_resize_to_class(void *block, size_t new_size);
/* Gives back one cached run that is due, so that no call takes long; force: all there are. True if
   any. */
bool huge_purge(bool force, uint64_t now);
/* In a forked child, after whoever held the lock: nothing is in the cache. */
void huge_recover_cache(void);
/* In a forked child: takes the free that was at work on a block to its end, or the resize back
   to its beginning. */
void huge_recover(struct segment *segment);
/* The run that begins here, of a block or of the cache; false: there is none. In a forked child,
   when nothing is at work. */
bool huge_find_run(const struct segment *segment, struct guarded *guarded);
/* The run that an address lies in, for reports; NULL if none. */
struct segment *huge_find(uintptr_t address);

/* Of huge.c, huge_pages.c and huge_recover.c alone. */
MOAT_INLINE uint64_t huge_generation_of(uint64_t word) { return word >> OWNER_GENERATION_SHIFT; }
MOAT_INLINE uint64_t huge_word(enum owner_kind state, uint64_t generation) {
    return (uint64_t)state | generation << OWNER_GENERATION_SHIFT;
}
/* Of a run that nobody else can reach: its record's owner's. */
MOAT_INLINE struct guarded huge_guarded_of(const struct segment *segment) {
    return (struct guarded){atomic_load_relaxed(&segment->committed), segment->run, segment->means,
                            segment->apart, segment->rest};
}
/* Segments for `bytes` and the inaccessible OS page behind them. */
MOAT_INLINE uint32_t huge_run_length(size_t bytes) {
    return (uint32_t)((bytes + ro.os_page + SEGMENT_SIZE - 1) >> SEGMENT_SHIFT);
}
/* The same for a block that had `old`: if it does not shrink it keeps what its run has, which may
   be more. */
MOAT_INLINE uint32_t huge_run_for(const struct guarded *old, size_t bytes) {
    uint32_t run = huge_run_length(bytes);
    return bytes >= old->bytes && run < old->run ? old->run : run;
}
/* huge_pages.c. A run that has waited in the cache is about to be used again; afterwards it has
   `bytes`. */
void huge_look_at_use(struct huge_entry *entry, size_t bytes, uint64_t now);
/* A run has just got `more` bytes: they come in huge pages, if the program uses what it has. */
void huge_ask_for_pages(uint32_t index, struct guarded *guarded, size_t more, uint64_t now);

/* Under the lock of the cache. */
MOAT_INLINE void huge_set_cached(size_t bytes) { atomic_store_relaxed(&ro.usage->cached, bytes); }

#endif
