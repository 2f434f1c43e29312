/*
 * sizing: how an operation's two numbers become a size or an alignment.
 *
 * Sizes are not spread evenly: they crowd where an allocator decides something (size_class
 * boundaries, the limits between small, medium, large and huge pages, OS pages, segments,
 * overflow).
 */
#ifndef ENGINE_SIZING_H
#define ENGINE_SIZING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum size_kind {
    SIZE_ZERO,
    SIZE_TINY,     /* 0..1024, even spread */
    SIZE_BOUNDARY, /* near an eighth step of a power of two, up to 64 KiB */
    SIZE_SMALL,    /* up to 8 KiB */
    SIZE_MEDIUM,   /* up to 64 KiB */
    SIZE_LARGE,    /* up to 1 MiB */
    SIZE_HUGE,     /* up to 24 MiB */
    /* within 2 of a limit between two kinds of page, or of a multiple of an OS page or segment */
    SIZE_LIMIT,
    SIZE_ABSURD, /* can never be satisfied */
    SIZE_KINDS
};

/* Sizes from here on are in no machine's address space: an allocation must fail. Below it, sizes
   stop at SIZE_SANE_MAX. */
#define SIZE_IMPOSSIBLE ((size_t)1 << 47)
#define SIZE_SANE_MAX ((size_t)24 << 20)

size_t size_decode(uint8_t kind, uint32_t value);
/* A power of two, 1 to 1 GiB, mostly small ones. */
size_t alignment_decode(uint8_t other);
/* From here on a block of the strict level has a run of its own. */
#define GUARDED_AT_STRICT ((size_t)16 << 10)
/* From here on address space may run out in a small region, so NULL is allowed. */
#define ALIGNMENT_MAY_FAIL ((size_t)16 << 20)

#endif
