/*
 * moat: the prefixed interface of moat.h.
 *
 * Only names: each is a body of posix.h, a verb of alloc.h or a question, under the name that the
 * public header declares and describes. They are in every build; the C library's names are in
 * malloc.c, which a prefixed build leaves out. Nothing here holds state or sets errno itself.
 */
#include "moat.h"

#include "alloc/stats.h"
#include "api/posix.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

MOAT_PUBLIC void *moat_malloc(size_t size) { return posix_malloc(size); }
MOAT_PUBLIC void *moat_calloc(size_t count, size_t size) { return posix_calloc(count, size); }
MOAT_PUBLIC void *moat_realloc(void *block, size_t size) { return posix_realloc(block, size); }
MOAT_PUBLIC void *moat_reallocarray(void *block, size_t count, size_t size) {
    return posix_reallocarray(block, count, size);
}
MOAT_PUBLIC void *moat_aligned_alloc(size_t alignment, size_t size) {
    return posix_aligned_alloc(alignment, size);
}
MOAT_PUBLIC int moat_posix_memalign(void **result, size_t alignment, size_t size) {
    return posix_memalign_into(result, alignment, size);
}

MOAT_PUBLIC void moat_free(void *block) { alloc_free(block); }
MOAT_PUBLIC void moat_free_sized(void *block, size_t size) { alloc_free_sized(block, size); }
MOAT_PUBLIC void moat_free_aligned_sized(void *block, size_t alignment, size_t size) {
    alloc_free_aligned_sized(block, alignment, size);
}

MOAT_PUBLIC size_t moat_usable_size(const void *block) { return alloc_usable_size(block); }
MOAT_PUBLIC bool moat_owns(const void *address) { return alloc_owns(address); }
MOAT_PUBLIC bool moat_trim(void) { return alloc_trim(); }
MOAT_PUBLIC size_t moat_check(void) { return check_all(); }

MOAT_PUBLIC void moat_stats_get(struct moat_stats *stats) {
    struct stats now;
    stats_collect(&now);
    *stats = (struct moat_stats){
        .segments = now.segments,
        .abandoned = now.abandoned,
        .huge = now.huge,
        .reserved = now.reserved,
        .committed = now.committed,
        .huge_bytes = now.huge_bytes,
        .pages = now.pages,
        .used_blocks = now.used_blocks,
        .used_bytes = now.used_bytes,
        .guards_missing = now.guards_missing,
        .heaps = now.heaps,
        .locks_taken = now.locks_taken,
    };
}

MOAT_PUBLIC const char *moat_version(void) {
    return TEXT(MOAT_VERSION_MAJOR) "." TEXT(MOAT_VERSION_MINOR) "." TEXT(MOAT_VERSION_PATCH);
}
