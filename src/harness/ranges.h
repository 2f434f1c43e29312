/*
 * ranges: what the library holds, and what may be done with it (the records of harness.c).
 *
 * Disjoint ranges in the order of their addresses; neighbours with equal bits are one. For one
 * thread at a time: harness.c locks. A call over what is not held ends the process.
 */
#ifndef MOAT_RANGES_H
#define MOAT_RANGES_H

#include "harness/harness.h"

/* What a range is. None of READ, WRITE and CLOSED: inaccessible and uncharged. */
enum range_bits {
    RANGE_READ = 1,
    RANGE_WRITE = 2,
    RANGE_CLOSED = 4, /* protected from access, contents kept */
    RANGE_MARKER = 8, /* guard marker of the kernel */
    RANGE_ACCESS = RANGE_READ | RANGE_WRITE | RANGE_CLOSED
};

struct range {
    uintptr_t start;
    size_t size; /* bytes, never 0 */
    unsigned bits;
};

/* Sets of states. */
#define RANGES_ONLY(wanted) (1u << (wanted))
#define RANGES_ANY (~0u)

enum harness_state ranges_state(unsigned bits);
/* A call of the library has changed [start, start + size), size not 0. */
void ranges_note(enum os_change change, uintptr_t start, size_t size);
/* The one that has the address; NULL: none has. */
const struct range *ranges_find(uintptr_t address);
/* Bytes of [start, end) that are in one of those states. */
size_t ranges_bytes(uintptr_t start, uintptr_t end, unsigned states);
/* All of them, and how many. */
const struct range *ranges_all(size_t *count);
void ranges_forget(void);
/* As harness_keep(). */
bool ranges_keep(unsigned place);
void ranges_bring_back(unsigned place);

#endif
