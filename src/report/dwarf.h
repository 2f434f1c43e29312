/*
 * dwarf: the encodings of unwind tables.
 *
 * A reader walks over a range of memory that may be damaged: each value is read through peek,
 * nothing is read past `end`, and after the first failure every value is 0 and `failed` stays set.
 * Async-signal-safe, allocates nothing. Formats: DWARF 5 section 7.6 (LEB128), and the Linux
 * Standard Base, "Exception Frames" (pointer encodings).
 */
#ifndef MOAT_DWARF_H
#define MOAT_DWARF_H

#include "os/peek.h"

struct dwarf_reader {
    struct peek *peek;
    uintptr_t at;  /* next byte */
    uintptr_t end; /* one past the last that may be read */
    bool failed;
};

/* Pointer encodings: how in the low four bits, relative to what in the next three. */
enum {
    DWARF_PTR_OMIT = 0xff,
    DWARF_PTR_FORMAT = 0x0f,
    DWARF_PTR_BASE = 0x70,
    DWARF_PTR_PCREL = 0x10,
    DWARF_PTR_DATAREL = 0x30
};

MOAT_INLINE struct dwarf_reader dwarf_reader_at(struct peek *peek, uintptr_t start, uintptr_t end) {
    return (struct dwarf_reader){.peek = peek, .at = start, .end = end, .failed = start > end};
}

/* `size` bytes 1..8, in the machine's byte order. */
uint64_t dwarf_unsigned(struct dwarf_reader *reader, unsigned size);
int64_t dwarf_signed(struct dwarf_reader *reader, unsigned size);
uint64_t dwarf_uleb(struct dwarf_reader *reader);
int64_t dwarf_sleb(struct dwarf_reader *reader);
/* A pointer; `data` is what data-relative ones count from. Fails for encodings that unwind tables
   of programs do not use. */
uintptr_t dwarf_pointer(struct dwarf_reader *reader, uint8_t encoding, uintptr_t data);
void dwarf_skip(struct dwarf_reader *reader, uint64_t bytes);

#endif
