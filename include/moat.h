/*
 * moat: a hardened general-purpose memory allocator.
 *
 * Linking or preloading moat replaces malloc and its family (and C++ new and delete); a program
 * needs nothing from this header for that. The functions here carry a prefix, so that moat can also
 * be used beside the C library's allocator, and ask the questions the standard family has no word
 * for.
 *
 * Everything may be called from any thread at any time. Misuse (double free, free of an address
 * that is no block, a damaged free list, a wrong size at free_sized…) ends the process with a
 * report on stderr:
 *
 *     moat: fatal: <kind>: <what> at 0x<address>
 *
 * SECURITY.md lists the kinds, and what each is promised to catch.
 */
#ifndef MOAT_H
#define MOAT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOAT_VERSION_MAJOR 0
#define MOAT_VERSION_MINOR 1
#define MOAT_VERSION_PATCH 0

/*
 * Allocate. All results are aligned to 16 bytes at least and may be freed by any thread with
 * moat_free().
 *
 *   size       bytes; 0 gives a unique address that may not be read or written
 *   result     the block, or NULL with errno ENOMEM when memory or an address-space limit ran out,
 *              when size is above PTRDIFF_MAX, or when count * size overflows
 *
 *     struct node *node = moat_malloc(sizeof *node);
 *     if (!node) return -1;
 */
void *moat_malloc(size_t size);
void *moat_calloc(size_t count, size_t size); /* zero-filled */
/* Changes the size, keeping the contents up to the smaller of the two; the old address is dead
   unless NULL is returned. Size 0 frees the block and returns NULL (MOAT_OPTIONS
   zero_realloc=alloc: a new zero-size block instead); block NULL is moat_malloc(). */
void *moat_realloc(void *block, size_t size);
void *moat_reallocarray(void *block, size_t count, size_t size);
/* alignment: a power of two (else NULL, EINVAL), up to 1 GiB (else NULL, ENOMEM); any size. */
void *moat_aligned_alloc(size_t alignment, size_t size);
/* As POSIX: 0, or EINVAL (alignment no power of two or no multiple of sizeof(void *)), or ENOMEM;
   *result is untouched on failure. */
int moat_posix_memalign(void **result, size_t alignment, size_t size);

/* Give back. NULL is allowed. Keeps errno. */
void moat_free(void *block);
/* C23: size (and alignment) must be what was asked for at allocation; any size that leads to the
   same block size is accepted, but not at the strict level. */
void moat_free_sized(void *block, size_t size);
void moat_free_aligned_sized(void *block, size_t alignment, size_t size);

/* Bytes that may be used at block: at least what was asked for (at the strict level just that),
   constant until it is freed or resized; 0 for NULL and zero-size blocks. */
size_t moat_usable_size(const void *block);
/* Whether the address lies in memory that moat manages. */
bool moat_owns(const void *address);

/* Gives unused memory back to the system now, instead of after the purge delay; of other threads
   too, if they have slept a while, but for what their fast paths may come by: that follows when
   each next needs more than a fast path, or ends. True if any went back. */
bool moat_trim(void);
/* Tests the invariants of the calling thread's heap, of everything that ended threads left, and of
   the tables that tie all heaps together; ends the process with a corrupt-metadata report if one is
   broken. For tests: call it while no other thread allocates or frees. Returns the number of pages
   looked at. */
size_t moat_check(void);

/* A moment's view; see the comments for units. Walks all segments: microseconds to milliseconds. */
struct moat_stats {
    size_t segments;       /* segments in use */
    size_t abandoned;      /* of these, left behind by ended threads */
    size_t huge;           /* huge allocations */
    size_t reserved;       /* bytes of address space */
    size_t committed;      /* bytes that may be touched */
    size_t huge_bytes;     /* of these, by huge allocations */
    size_t pages;          /* pages in use */
    size_t used_blocks;    /* blocks with bytes handed out */
    size_t used_bytes;     /* bytes of these blocks */
    size_t guards_missing; /* guard pages the kernel refused */
    size_t heaps;          /* thread heaps ever made */
    size_t locks_taken;    /* times a process-wide lock was taken */
    size_t growth_blocked; /* growths that a mapping behind a table forbade */
    size_t samples;        /* guarded samples handed out */
};
void moat_stats_get(struct moat_stats *stats);

/* "0.1.0" */
const char *moat_version(void);

/* A program may define this to set options at build time; the environment comes after it. Returns a
   string as in MOAT_OPTIONS. Called inside the first allocation: it may not allocate. */
const char *moat_default_options(void);

#ifdef __cplusplus
}
#endif

#endif
