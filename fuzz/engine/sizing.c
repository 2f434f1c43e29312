/*
 * sizing: how an operation's two numbers become a size or an alignment. See the header.
 *
 * The limits are the allocator's own constants, so a limit that moves is followed. Pure functions:
 * a seed keeps its meaning as long as they and the constants stay. Part of the mutator that AFL++
 * loads, so it calls nothing.
 */
#include "engine/sizing.h"

#include "base/base.h"

static size_t near_boundary(uint32_t value) {
    unsigned exponent = 3 + value % 14; /* 8 … 64 KiB */
    size_t eighths = 8 + (value >> 4) % 8;
    size_t size = (((size_t)1 << exponent) * eighths) >> 3;
    return size + (value >> 8) % 3 - 1;
}

static size_t near_limit(uint32_t value) {
    static const size_t limits[] = {
        SMALL_MAX,     MEDIUM_MAX,       LARGE_MAX,        SLOT_SIZE,
        SLOT_SIZE * 8, 4 * KIB,          2 * SEGMENT_SIZE, LARGE_MAX / 2,
        16 * KIB,      SEGMENT_SIZE,     3 * SEGMENT_SIZE, 1024,
        128,           SEGMENT_SIZE / 3, 4 * KIB * 3,      SEGMENT_SIZE / 2};
    static const size_t below[] = {0,  1,       2,           15,          16,
                                   17, 4 * KIB, 4 * KIB + 1, 4 * KIB - 1, 64 * KIB};
    size_t limit = limits[value % (sizeof limits / sizeof limits[0])];
    size_t distance = below[(value >> 4) % (sizeof below / sizeof below[0])];
    if (value & 0x10000) return limit + distance;
    return distance < limit ? limit - distance : limit;
}

static size_t impossible(uint32_t value) {
    switch (value % 5) {
    case 0: return SIZE_MAX - (value >> 3) % 64;
    case 1: return (size_t)PTRDIFF_MAX + 1 - (value >> 3) % 3;
    case 2: return SIZE_MAX - (value >> 3) % (8 * MIB);
    case 3: return (size_t)1 << (48 + (value >> 3) % 16);
    default: return ((size_t)1 << 63) + (value >> 3);
    }
}

size_t size_decode(uint8_t kind, uint32_t value) {
    switch (kind % SIZE_KINDS) {
    case SIZE_ZERO: return 0;
    case SIZE_TINY: return value % 1025;
    case SIZE_BOUNDARY: return near_boundary(value);
    case SIZE_SMALL: return value % (SMALL_MAX + 1);
    case SIZE_MEDIUM: return SMALL_MAX + value % (MEDIUM_MAX - SMALL_MAX + 1);
    case SIZE_LARGE: return MEDIUM_MAX + value % (LARGE_MAX - MEDIUM_MAX + 1);
    case SIZE_HUGE: return LARGE_MAX + value % (SIZE_SANE_MAX - LARGE_MAX + 1);
    case SIZE_LIMIT: return near_limit(value);
    default: return impossible(value);
    }
}

size_t alignment_decode(uint8_t other) {
    if (other < 128) return (size_t)1 << (other % 8);
    if (other < 240) return (size_t)1 << (other % 17);
    return (size_t)1 << (16 + other % 15);
}
