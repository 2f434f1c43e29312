/*
 * writer: values in the encodings of unwind tables. See the header.
 */
#include "engine/writer.h"

#include <string.h>

#include "engine/judge.h"

void writer_copy(struct writer *writer, const void *from, size_t size) {
    if (size > writer->end - writer->at) judge_fail("the harness's tables are too large");
    memcpy(given_place(writer->at, size), from, size);
    writer->at += size;
}

void writer_put(struct writer *writer, uint64_t value, unsigned size) {
    uint8_t bytes[sizeof value];
    for (unsigned i = 0; i < sizeof value; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    writer_copy(writer, bytes, size);
}

/* Seven bits at a time until `is_last` of them; a longer one has bytes of the sign. */
static void put_leb(struct writer *writer, struct rng *random, uint64_t bits, uint64_t sign,
                    unsigned needed) {
    unsigned count = (needed + 6) / 7;
    if (count == 0) count = 1;
    if (rng_below(random, 8) == 0 && count < 9) count++;
    for (unsigned i = 0; i < count; i++) {
        uint64_t seven = 7 * i < 64 ? bits >> 7 * i : 0;
        if (7 * i + 7 > 64) seven |= sign << (64 - 7 * i);
        writer_put(writer, (seven & 0x7f) | (i + 1 < count ? 0x80 : 0), 1);
    }
}

void writer_uleb(struct writer *writer, struct rng *random, uint64_t value) {
    unsigned needed = 0;
    while (needed < 64 && value >> needed != 0) needed++;
    put_leb(writer, random, value, 0, needed);
}

void writer_sleb(struct writer *writer, struct rng *random, int64_t value) {
    uint64_t bits = (uint64_t)value, sign = value < 0 ? UINT64_MAX : 0;
    unsigned needed = 64;
    /* all bits from the last on are the sign's */
    while (needed > 1 && (bits >> (needed - 1) & 1) == (bits >> (needed - 2) & 1)) needed--;
    put_leb(writer, random, bits, sign, needed);
}
