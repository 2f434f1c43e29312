/*
 * moat: the prefixed interface of moat.h.
 *
 * Only names: each is a body of posix.h, a verb of alloc.h or a question, under the name that the
 * public header declares and describes. They are in every build; the C library's names are in
 * malloc.c, which a prefixed build leaves out. Nothing here holds state or sets errno itself.
 */
#include "moat.h"

#include "alloc/stats.h"
#include "alloc/strict.h"
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
    alloc_free_aligned_sized(block, alignment, size, FAMILY_MALLOC);
}

MOAT_PUBLIC size_t moat_usable_size(const void *block) { return alloc_usable_size(block); }
MOAT_PUBLIC bool moat_owns(const void *address) { return alloc_owns(address); }
MOAT_PUBLIC bool moat_trim(void) { return alloc_trim(); }
MOAT_PUBLIC size_t moat_check(void) { return check_all(); }

/* The public structure is written out in moat.h, for its readers; here it is the table's. */
#define STAT(name, line, unit, text, meaning)                                                      \
    static_assert(offsetof(struct moat_stats, name) == offsetof(struct stats, name) &&             \
                      sizeof((struct moat_stats){0}.name) == sizeof((struct stats){0}.name),       \
                  "moat.h and stats.def have " #name " at the same place");
#include "alloc/stats.def"
static_assert(sizeof(struct moat_stats) == sizeof(struct stats),
              "moat.h has the fields of stats.def and no others");

MOAT_PUBLIC void moat_stats_get(struct moat_stats *stats) {
    struct stats now;
    stats_collect(&now);
    __builtin_memcpy(stats, &now, sizeof now);
}

/* Behind all that the program has for its end. A handler may end it from inside the allocator. */
__attribute__((destructor)) static void look_back(void) {
    if (ro_is_started() && ro_is_strict()) strict_look_back();
}

MOAT_PUBLIC const char *moat_version(void) {
    return TEXT(MOAT_VERSION_MAJOR) "." TEXT(MOAT_VERSION_MINOR) "." TEXT(MOAT_VERSION_PATCH);
}
