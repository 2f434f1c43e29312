/*
 * posix: the malloc family with the C library's rules, before it gets its names.
 *
 * The verbs of alloc.h know neither errno nor the odd corners of the standards; these bodies add
 * them, and nothing else. They are inline so that malloc() itself is the allocator's fast path
 * without a call between. moat.c gives them the names moat_*, malloc.c the C library's own, new.c
 * builds C++'s operators on alloc.h directly.
 *
 * errno is set in this file, in posix.c and in malloc.c alone, and only on failure; free() and
 * every success keep it.
 */
#ifndef MOAT_POSIX_H
#define MOAT_POSIX_H

#include <errno.h>

#include "alloc/alloc.h"
#include "meta/ro.h"
#include "os/os.h"

/* An exported name: everything else in the library is hidden. */
#define MOAT_PUBLIC __attribute__((visibility("default")))
#define MOAT_WEAK MOAT_PUBLIC __attribute__((weak))

/* Set errno and return NULL: out of line, so that a fast path ends in one jump. */
MOAT_COLD void *posix_no_memory(void);
MOAT_COLD void *posix_invalid(void);
/* 0 for 0; else sets errno to the error and returns -1. */
int posix_status(int error);

/* All but the fast path of malloc, so that the fast path needs no stack frame. */
MOAT_NOINLINE void *posix_malloc_slow(size_t size);

MOAT_INLINE void *posix_malloc(size_t size) {
    void *block = alloc_block_fast(size);
    return MOAT_LIKELY(block != NULL) ? block : posix_malloc_slow(size);
}

MOAT_INLINE void *posix_calloc(size_t count, size_t size) {
    size_t total;
    if (MOAT_UNLIKELY(__builtin_mul_overflow(count, size, &total))) return posix_no_memory();
    void *block = alloc_zeroed(total);
    return MOAT_LIKELY(block != NULL) ? block : posix_no_memory();
}

/* realloc(NULL, 0) is malloc(0). Another block's size 0 frees it and returns NULL as glibc does,
   errno untouched, unless the option zero_realloc=alloc asks for a new zero-size block. */
MOAT_INLINE void *posix_realloc(void *block, size_t size) {
    if (MOAT_UNLIKELY(size == 0 && block != NULL && ro.options.zero_realloc_frees)) {
        alloc_free(block);
        return NULL;
    }
    void *resized = alloc_resize(block, size);
    return MOAT_LIKELY(resized != NULL) ? resized : posix_no_memory();
}

MOAT_INLINE void *posix_reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    if (MOAT_UNLIKELY(__builtin_mul_overflow(count, size, &total))) return posix_no_memory();
    return posix_realloc(block, total);
}

MOAT_INLINE void *posix_aligned(size_t alignment, size_t size) {
    void *block = alloc_aligned(alignment, size);
    return MOAT_LIKELY(block != NULL) ? block : posix_no_memory();
}

/* C17 leaves it to the implementation which alignments are supported: every power of two up to
   ALIGN_MAX, with any size. */
MOAT_INLINE void *posix_aligned_alloc(size_t alignment, size_t size) {
    if (MOAT_UNLIKELY(!is_power_of_two(alignment))) return posix_invalid();
    if (MOAT_UNLIKELY(alignment > ALIGN_MAX)) return posix_no_memory();
    return posix_aligned(alignment, size);
}

/* Returns the error and keeps errno. A power of two above ALIGN_MAX is a right alignment that
   cannot be had: ENOMEM. */
MOAT_INLINE int posix_memalign_into(void **result, size_t alignment, size_t size) {
    if (MOAT_UNLIKELY(!is_power_of_two(alignment) || alignment % sizeof(void *) != 0))
        return EINVAL;
    if (MOAT_UNLIKELY(alignment > ALIGN_MAX)) return ENOMEM;
    void *block = alloc_aligned(alignment, size);
    if (MOAT_UNLIKELY(block == NULL)) return ENOMEM;
    *result = block;
    return 0;
}

/* What has no standard: memalign, valloc, pvalloc. In posix.c, for nobody's fast path depends on
   them. */
void *posix_memalign_rounded(size_t alignment, size_t size);
void *posix_valloc(size_t size);
void *posix_pvalloc(size_t size);

#endif
