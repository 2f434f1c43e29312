/*
 * format: text built in a caller's buffer (see format.h).
 *
 * Every function appends through put(), the one place that checks the capacity.
 */
#include "base/format.h"

static void put(struct format *format, char byte) {
    if (format->length < format->capacity) format->text[format->length++] = byte;
}

void format_string(struct format *format, const char *string) {
    while (*string != '\0') put(format, *string++);
}

void format_foreign(struct format *format, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        put(format, bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?');
}

void format_decimal(struct format *format, uint64_t value) {
    char digits[20]; /* 2^64 - 1 has 20 */
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) put(format, digits[--count]);
}

static char hex_digit(uint64_t value) { return "0123456789abcdef"[value & 15]; }

void format_hex(struct format *format, uint64_t value) {
    unsigned digits = 1;
    while (digits < 16 && value >> (4 * digits) != 0) digits++;
    format_string(format, "0x");
    while (digits > 0) put(format, hex_digit(value >> (4 * --digits)));
}

void format_hex_bytes(struct format *format, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        put(format, hex_digit(bytes[i] >> 4));
        put(format, hex_digit(bytes[i]));
    }
}

void format_size(struct format *format, size_t bytes) {
    static const char units[3][5] = {" KiB", " MiB", " GiB"};
    size_t unit = 0;
    while (unit < 3 && bytes != 0 && bytes % KIB == 0) {
        bytes /= KIB;
        unit++;
    }
    format_decimal(format, bytes);
    format_string(format, unit == 0 ? (bytes == 1 ? " byte" : " bytes") : units[unit - 1]);
}

void format_end_line(struct format *format) {
    if (format->length == format->capacity) format->length--;
    put(format, '\n');
}
