/*
 * posix: errno, and the members of the family without a fast path (see posix.h).
 *
 * What the inline bodies of posix.h leave out of line: the ends of a call that fails, and the verbs
 * that nobody calls often. They have no names of their own in the library: moat.c and malloc.c give
 * them. Nothing here holds state.
 */
#include "api/posix.h"

void *posix_no_memory(void) {
    if (thread_is_relocated()) errno = ENOMEM;
    return NULL;
}

void *posix_invalid(void) {
    if (thread_is_relocated()) errno = EINVAL;
    return NULL;
}

void *posix_malloc_slow(size_t size) {
    void *block = alloc_block_slow(size);
    return MOAT_LIKELY(block != NULL) ? block : posix_no_memory();
}

/* As glibc: an alignment that is no power of two is rounded up to the next, and 0 asks for no
   alignment in particular. */
void *posix_memalign_rounded(size_t alignment, size_t size) {
    if (alignment > SIZE_MAX / 2 + 1) return posix_invalid(); /* there is no such power of two */
    if (alignment > ALIGN_MAX) return posix_no_memory();
    size_t power = GRANULE;
    while (power < alignment) power <<= 1;
    return posix_aligned(power, size);
}

void *posix_valloc(size_t size) { return posix_aligned(os_page_size(), size); }

void *posix_pvalloc(size_t size) {
    size_t page = os_page_size();
    if (size > PTRDIFF_MAX - page) return posix_no_memory();
    return posix_aligned(page, round_up(size, page));
}

int posix_status(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}
