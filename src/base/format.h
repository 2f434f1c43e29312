/*
 * format: text built in a caller's buffer.
 *
 * For the lines a failing process prints: no locale, no stdio, no allocation, async-signal-safe.
 * What does not fit is cut off; the buffer always stays within its capacity, and format_end_line()
 * always finds space for the newline, so a cut line is still a line. The text carries a length and
 * no terminating zero.
 */
#ifndef MOAT_FORMAT_H
#define MOAT_FORMAT_H

#include "base/base.h"

struct format {
    char *text;
    size_t capacity; /* bytes of text, at least 1 */
    size_t length;   /* bytes written so far, at most capacity */
};

MOAT_INLINE struct format format_in(char *text, size_t capacity) {
    return (struct format){.text = text, .capacity = capacity, .length = 0};
}

/* A zero-terminated string, as it is. */
void format_string(struct format *format, const char *string);
/* Bytes from outside (a path, an environment variable): what is not printable ASCII becomes '?', so
   that it cannot steer a terminal or add a line. */
void format_foreign(struct format *format, const char *bytes, size_t count);
void format_decimal(struct format *format, uint64_t value);
/* "0x7f00", no leading zeros. */
void format_hex(struct format *format, uint64_t value);
/* Two digits for each byte, no prefix: a build id. */
void format_hex_bytes(struct format *format, const uint8_t *bytes, size_t count);
/* "48 bytes", "64 KiB", "4 MiB", "2 GiB": the largest unit that divides it. */
void format_size(struct format *format, size_t bytes);
/* Ends the line, in place of the last byte when the buffer is full. */
void format_end_line(struct format *format);

#endif
