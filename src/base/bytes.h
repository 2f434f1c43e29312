/*
 * bytes: filling, copying and comparing without the C library.
 *
 * Compilers call memset and its siblings where a structure is large. Another library may have put
 * its own function in front of those, one that allocates perhaps, and the thread may be busy. So in
 * every object of the library the names lead here, by the assembler. A file that fills and copies
 * blocks of the program, with the thread not busy, asks for the C library's faster ones: it defines
 * BYTES_BY_THE_C_LIBRARY before its first include.
 */
#ifndef MOAT_BYTES_H
#define MOAT_BYTES_H

#include <stddef.h>

#define BYTES_INSIDE __attribute__((visibility("hidden")))
BYTES_INSIDE void *moat_fill(void *start, int byte, size_t size);
BYTES_INSIDE void *moat_copy(void *to, const void *from, size_t size);
BYTES_INSIDE void *moat_move(void *to, const void *from, size_t size);
BYTES_INSIDE int moat_compare(const void *a, const void *b, size_t size);

#if !defined(BYTES_BY_THE_C_LIBRARY) && !defined(MOAT_HARNESS)
__asm__(".set memset, moat_fill\n"
        ".set memcpy, moat_copy\n"
        ".set memmove, moat_move\n"
        ".set memcmp, moat_compare\n");
#endif

#endif
