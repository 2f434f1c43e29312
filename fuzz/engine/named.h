/*
 * named: the C library's and C++'s names of moat, beside those of the process.
 *
 * src/api/malloc.c, new.c and limits.c are linked into the harnesses with other names (named.txt
 * has the list), so that the process keeps its own malloc, or that of a sanitizer, and both can be
 * asked the same. They serve from the same heap as the prefixed verbs. Where these files look for a
 * C++ runtime they find engine/calls.
 */
#ifndef ENGINE_NAMED_H
#define ENGINE_NAMED_H

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

void *named_malloc(size_t size);
void *named_calloc(size_t count, size_t size);
void *named_realloc(void *block, size_t size);
void *named_reallocarray(void *block, size_t count, size_t size);
void *named_aligned_alloc(size_t alignment, size_t size);
int named_posix_memalign(void **result, size_t alignment, size_t size);
void *named_memalign(size_t alignment, size_t size);
void *named_valloc(size_t size);
void *named_pvalloc(size_t size);
void named_free(void *block);
void named_free_sized(void *block, size_t size);
void named_free_aligned_sized(void *block, size_t alignment, size_t size);
void named_cfree(void *block);

size_t named_usable_size(void *block);
int named_trim(size_t keep);
int named_mallopt(int parameter, int value);
struct mallinfo named_mallinfo(void);
struct mallinfo2 named_mallinfo2(void);
int named_info(int options, FILE *stream);
void named_stats(void);
int named_setrlimit(int resource, const struct rlimit *limit);
int named_setrlimit64(int resource, const struct rlimit *limit);
int named_prlimit(pid_t process, int resource, const struct rlimit *wanted, struct rlimit *before);
int named_prlimit64(pid_t process, int resource, const struct rlimit *wanted,
                    struct rlimit *before);

/* An address where C++ has std::nothrow. */
typedef const void *named_tag;

void *named_new(size_t size);
void *named_new_array(size_t size);
void *named_new_nothrow(size_t size, named_tag tag);
void *named_new_array_nothrow(size_t size, named_tag tag);
void *named_new_aligned(size_t size, size_t alignment);
void *named_new_array_aligned(size_t size, size_t alignment);
void *named_new_aligned_nothrow(size_t size, size_t alignment, named_tag tag);
void *named_new_array_aligned_nothrow(size_t size, size_t alignment, named_tag tag);
void named_delete(void *block);
void named_delete_array(void *block);
void named_delete_nothrow(void *block, named_tag tag);
void named_delete_array_nothrow(void *block, named_tag tag);
void named_delete_sized(void *block, size_t size);
void named_delete_array_sized(void *block, size_t size);
void named_delete_aligned(void *block, size_t alignment);
void named_delete_array_aligned(void *block, size_t alignment);
void named_delete_aligned_nothrow(void *block, size_t alignment, named_tag tag);
void named_delete_array_aligned_nothrow(void *block, size_t alignment, named_tag tag);
void named_delete_sized_aligned(void *block, size_t size, size_t alignment);
void named_delete_array_sized_aligned(void *block, size_t size, size_t alignment);

/* What new.c finds in place of a C++ runtime's: the new-handler that is set, and the way out of an
   operator that has no memory, which does not return. */
void (*named_get_new_handler(void))(void);
__attribute__((noreturn)) void named_throw_bad_alloc(void);

#endif
