/*
 * dwarf: the encodings of unwind tables (see dwarf.h). Little-endian machines only, as all that
 * have registers.h's are.
 */
#include "report/dwarf.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "values are put together from the low byte up");

uint64_t dwarf_unsigned(struct dwarf_reader *reader, unsigned size) {
    uint64_t value = 0;
    if (reader->failed || reader->end - reader->at < size ||
        !peek_bytes(reader->peek, reader->at, &value, size)) {
        reader->failed = true;
        return 0;
    }
    reader->at += size;
    return value;
}

int64_t dwarf_signed(struct dwarf_reader *reader, unsigned size) {
    uint64_t value = dwarf_unsigned(reader, size);
    unsigned unused = 64 - 8 * size;
    return (int64_t)(value << unused) >> unused;
}

/* The bits of a LEB128 and how many there are. Ten bytes hold 64 bits; a longer one is damage. */
static uint64_t leb(struct dwarf_reader *reader, unsigned *bits) {
    uint64_t value = 0;
    uint64_t byte = 0;
    *bits = 0;
    do {
        byte = dwarf_unsigned(reader, 1);
        if (*bits < 64) value |= (byte & 0x7f) << *bits;
        *bits += 7;
    } while ((byte & 0x80) != 0 && *bits < 70);
    if ((byte & 0x80) != 0) reader->failed = true;
    return value;
}

uint64_t dwarf_uleb(struct dwarf_reader *reader) {
    unsigned bits = 0;
    return leb(reader, &bits);
}

int64_t dwarf_sleb(struct dwarf_reader *reader) {
    unsigned bits = 0;
    uint64_t value = leb(reader, &bits);
    unsigned unused = bits < 64 ? 64 - bits : 0;
    return (int64_t)(value << unused) >> unused;
}

uintptr_t dwarf_pointer(struct dwarf_reader *reader, uint8_t encoding, uintptr_t data) {
    uintptr_t here = reader->at;
    uint64_t value = 0;
    if (encoding == DWARF_PTR_OMIT) return 0;
    switch (encoding & DWARF_PTR_FORMAT) {
    case 0x00: value = dwarf_unsigned(reader, sizeof(uintptr_t)); break;
    case 0x01: value = dwarf_uleb(reader); break;
    case 0x02: value = dwarf_unsigned(reader, 2); break;
    case 0x03: value = dwarf_unsigned(reader, 4); break;
    case 0x04:
    case 0x0c: value = dwarf_unsigned(reader, 8); break;
    case 0x09: value = (uint64_t)dwarf_sleb(reader); break;
    case 0x0a: value = (uint64_t)dwarf_signed(reader, 2); break;
    case 0x0b: value = (uint64_t)dwarf_signed(reader, 4); break;
    default: reader->failed = true;
    }
    switch (encoding & DWARF_PTR_BASE) {
    case 0: break;
    case DWARF_PTR_PCREL: value += here; break;
    case DWARF_PTR_DATAREL: value += data; break;
    default: reader->failed = true;
    }
    return reader->failed ? 0 : value;
}

void dwarf_skip(struct dwarf_reader *reader, uint64_t bytes) {
    if (reader->failed || reader->end - reader->at < bytes)
        reader->failed = true;
    else
        reader->at += bytes;
}
