/*
 * malloc: the C library's names. Only in the shipped library, never in a prefixed
 * build.
 *
 * Every symbol that glibc's malloc object defines is defined here, so that in a static program
 * nothing can pull that object in beside moat and half of the family can never come from another
 * allocator. As in glibc, what ISO C does not reserve is weak: a program may have a function of
 * that name. Prototypes are glibc's; a name its headers no longer declare is declared here.
 *
 * The one contact with stdio is malloc_info(), which by its definition writes to a FILE that the
 * caller owns.
 */
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/format.h"
#include "api/own.h"
#include "api/posix.h"
#include "process/init.h"
#include "alloc/stats.h"
#include "report/report.h"

/* --- Refusal --------------------------------------------------------------------------------- */

/* Each sanitizer with an allocator of its own has a start function of this name; it is there or not
   when the process starts. */
extern void __asan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));
extern void __lsan_init(void) __attribute__((weak));
extern void __memprof_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* Two allocators would each see the other's blocks as foreign: say so at the start and not at some
   free. Called before the first allocation, for a sanitizer whose malloc is behind moat's does not
   get through its own start; and by a constructor, for one whose malloc is in front. */
__attribute__((constructor(101))) void moat_refuse_sanitizers(void) {
    if (__asan_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "AddressSanitizer");
    if (__hwasan_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "HWAddressSanitizer");
    if (__msan_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "MemorySanitizer");
    if (__tsan_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "ThreadSanitizer");
    if (__memprof_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "MemProfiler");
    if (__lsan_init != NULL) report_stop(STOP_TWO_ALLOCATORS, "LeakSanitizer");
}

/* --- The family ------------------------------------------------------------------------------ */

MOAT_PUBLIC void *malloc(size_t size) { return posix_malloc(size); }
MOAT_PUBLIC void *calloc(size_t count, size_t size) { return posix_calloc(count, size); }
MOAT_PUBLIC void *realloc(void *block, size_t size) { return posix_realloc(block, size); }
MOAT_PUBLIC void free(void *block) { alloc_free(block); }

OWN_NAME(own_realloc, realloc);
OWN_NAME(own_free, free);

OWN_NAME(own_malloc, malloc);

const void *report_other_malloc(void) {
    return IS_OWN(malloc, own_malloc) ? NULL : (const void *)(uintptr_t)&malloc;
}

/* Whoever preloads moat may believe that it serves the process. It is not started for this. */
__attribute__((constructor(101))) static void tell_of_other_malloc(void) {
    struct options options;
    if (IS_OWN(malloc, own_malloc)) return;
    options_load(&options);
    if (options.verbose) report_other_malloc_in_front();
}

/* Derived from realloc, also from a program's own. */
MOAT_WEAK void *reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    if (IS_OWN(realloc, own_realloc)) return posix_reallocarray(block, count, size);
    return __builtin_mul_overflow(count, size, &total) ? posix_no_memory() : realloc(block, total);
}
MOAT_WEAK void *aligned_alloc(size_t alignment, size_t size) {
    return posix_aligned_alloc(alignment, size);
}
/* POSIX leaves errno open; who relies on glibc finds ENOMEM there too. */
MOAT_WEAK int posix_memalign(void **result, size_t alignment, size_t size) {
    int error = posix_memalign_into(result, alignment, size);
    if (MOAT_UNLIKELY(error == ENOMEM)) (void)posix_no_memory();
    return error;
}
MOAT_WEAK void *memalign(size_t alignment, size_t size) {
    return posix_memalign_rounded(alignment, size);
}
OWN_NAME(own_memalign, memalign);

/* Derived from memalign, also from that of an allocator which does not know these two. */
MOAT_WEAK void *valloc(size_t size) {
    if (IS_OWN(memalign, own_memalign)) return posix_valloc(size);
    return memalign(os_page_size(), size);
}
MOAT_WEAK void *pvalloc(size_t size) {
    size_t page = os_page_size();
    if (IS_OWN(memalign, own_memalign)) return posix_pvalloc(size);
    return size > PTRDIFF_MAX - page ? posix_no_memory() : memalign(page, round_up(size, page));
}
MOAT_WEAK size_t malloc_usable_size(void *block) { return alloc_usable_size(block); }

/* Derived from free, also from a program's own, which knows no sizes. C23, not declared by older
   headers. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
MOAT_NOINLINE static void free_sized_slow(void *block, size_t size) {
    if (IS_OWN(free, own_free))
        alloc_free_aligned_sized(block, GRANULE, size, FAMILY_MALLOC);
    else
        free(block);
}
/* What the fast path takes is moat's own block in any case. */
MOAT_WEAK void free_sized(void *block, size_t size) {
    if (MOAT_UNLIKELY(!alloc_free_sized_fast(block, size))) free_sized_slow(block, size);
}
MOAT_WEAK void free_aligned_sized(void *block, size_t alignment, size_t size) {
    if (IS_OWN(free, own_free))
        alloc_free_aligned_sized(block, alignment, size, FAMILY_MALLOC);
    else
        free(block);
}

/* Gone from the headers, still what an old program calls. */
void cfree(void *block);
MOAT_WEAK void cfree(void *block) { free(block); }

/* --- Housekeeping ---------------------------------------------------------------------------- */

MOAT_WEAK int malloc_trim(size_t keep) {
    (void)keep; /* moat has no top of a heap to keep bytes at */
    return alloc_trim() ? 1 : 0;
}

/* Tuning parameters mean nothing here: MOAT_OPTIONS is the way to set moat. The answers are those
   of glibc since 2.35, for programs that insist on success: 1, also for a parameter it does not
   know, and 0 for a value that it refuses. */
MOAT_WEAK int mallopt(int parameter, int value) {
    return parameter != M_MXFAST || (unsigned)value <= 80 * sizeof(size_t) / 4;
}

MOAT_WEAK struct mallinfo2 mallinfo2(void) {
    struct stats now;
    stats_collect(&now);
    return (struct mallinfo2){
        .arena = now.committed - now.huge_bytes,
        .hblks = now.huge,
        .hblkhd = now.huge_bytes,
        .uordblks = now.used_bytes,
        .fordblks = now.committed > now.used_bytes ? now.committed - now.used_bytes : 0,
    };
}

static int clamp_to_int(size_t value) { return value > INT_MAX ? INT_MAX : (int)value; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
/* Its fields are int: what does not fit shows as INT_MAX, not as a remainder. */
MOAT_WEAK struct mallinfo mallinfo(void) {
    struct mallinfo2 wide = mallinfo2();
    return (struct mallinfo){
        .arena = clamp_to_int(wide.arena),
        .hblks = clamp_to_int(wide.hblks),
        .hblkhd = clamp_to_int(wide.hblkhd),
        .uordblks = clamp_to_int(wide.uordblks),
        .fordblks = clamp_to_int(wide.fordblks),
    };
}
#pragma GCC diagnostic pop

/* Both printed forms have these rows. */
static const struct row {
    const char *name; /* of the XML element */
    const char *text; /* of the line */
    enum { COUNT, BYTES } unit;
    size_t offset; /* of the value, in struct stats */
} rows[STATS] = {
#define STAT(name, line, unit, text, meaning)                                                      \
    [line - 1] = {#name, text, unit, offsetof(struct stats, name)},
#include "alloc/stats.def"
};

static size_t value_of(const struct stats *stats, const struct row *row) {
    size_t value;
    __builtin_memcpy(&value, (const char *)stats + row->offset, sizeof value);
    return value;
}

/* On stderr as glibc's, through the system call: stdio would allocate. */
MOAT_WEAK void malloc_stats(void) {
    struct stats now;
    stats_collect(&now);
    for (const struct row *row = rows; row < rows + STATS; row++) {
        char text[120];
        struct format line = format_in(text, sizeof text);
        format_string(&line, "moat: ");
        format_string(&line, row->text);
        format_string(&line, ": ");
        if (row->unit == BYTES) {
            format_size(&line, value_of(&now, row));
        } else {
            format_decimal(&line, value_of(&now, row));
        }
        format_end_line(&line);
        os_write(OS_STDERR, line.text, line.length);
    }
}

/* For a row of the XML: two names, what stands around them, and a number. */
#define XML_ROW_MAX 100
#define STAT(name, line, unit, text, meaning)                                                      \
    static_assert(sizeof("<" #name " unit=\"byte\">18446744073709551615</" #name ">\n") <=         \
                      XML_ROW_MAX,                                                                 \
                  "a row of the XML fits");
#include "alloc/stats.def"

/* Returns EINVAL for options other than 0, as glibc; -1, with the stream's error and errno, when
   the text cannot be written. */
MOAT_WEAK int malloc_info(int options, FILE *stream) {
    if (options != 0) return EINVAL;
    struct stats now;
    stats_collect(&now);
    char text[64 + STATS * XML_ROW_MAX];
    struct format xml = format_in(text, sizeof text - 1);
    format_string(&xml, "<malloc version=\"moat-1\">\n");
    for (const struct row *row = rows; row < rows + STATS; row++) {
        format_string(&xml, "<");
        format_string(&xml, row->name);
        format_string(&xml, row->unit == BYTES ? " unit=\"byte\">" : ">");
        format_decimal(&xml, value_of(&now, row));
        format_string(&xml, "</");
        format_string(&xml, row->name);
        format_string(&xml, ">\n");
    }
    format_string(&xml, "</malloc>\n");
    text[xml.length] = '\0';
    return fputs(text, stream) < 0 ? -1 : 0;
}

/* --- Second names ---------------------------------------------------------------------------- */

/* What programs and other libraries call to reach "the real" malloc. */
SECOND_NAME(__libc_malloc, malloc);
SECOND_NAME(__libc_calloc, calloc);
SECOND_NAME(__libc_realloc, realloc);
SECOND_NAME(__libc_free, free);
SECOND_NAME(__libc_reallocarray, reallocarray);
SECOND_NAME(__libc_memalign, memalign);
SECOND_NAME(__libc_valloc, valloc);
SECOND_NAME(__libc_pvalloc, pvalloc);
SECOND_NAME(__libc_mallinfo2, mallinfo2);
SECOND_NAME(__libc_mallopt, mallopt);

/* The rest of the C library's malloc object. */
SECOND_NAME(__malloc, malloc);
SECOND_NAME(__calloc, calloc);
SECOND_NAME(__realloc, realloc);
SECOND_NAME(__free, free);
SECOND_NAME(__memalign, memalign);
SECOND_NAME(__posix_memalign, posix_memalign);
SECOND_NAME(__valloc, valloc);
SECOND_NAME(__pvalloc, pvalloc);
SECOND_NAME(__malloc_usable_size, malloc_usable_size);
SECOND_NAME(__malloc_trim, malloc_trim);
SECOND_NAME(__malloc_stats, malloc_stats);
SECOND_NAME(__malloc_info, malloc_info);
SECOND_NAME(__mallinfo2, mallinfo2);
SECOND_NAME(__mallopt, mallopt);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
SECOND_NAME(__libc_mallinfo, mallinfo);
SECOND_NAME(__mallinfo, mallinfo);
#pragma GCC diagnostic pop

/* A static C library calls these around fork() and at a thread's end, on its own arenas. moat's
   handlers (fork.c) and exit hook do that work; here there is nothing left to do. */
void __malloc_fork_lock_parent(void);
void __malloc_fork_unlock_parent(void);
void __malloc_fork_unlock_child(void);
void __malloc_arena_thread_freeres(void);
MOAT_WEAK void __malloc_fork_lock_parent(void) {}
MOAT_WEAK void __malloc_fork_unlock_parent(void) {}
MOAT_WEAK void __malloc_fork_unlock_child(void) {}
MOAT_WEAK void __malloc_arena_thread_freeres(void) {}

/* The C library's way to get memory for its heap: none. */
void *__glibc_morecore(ptrdiff_t increment);
MOAT_WEAK void *__glibc_morecore(ptrdiff_t increment) {
    (void)increment;
    return NULL;
}
