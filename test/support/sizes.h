/* sizes: bytes from "512M", "64K", "2G" or a plain number, for test programs' command lines. */
#ifndef TEST_SIZES_H
#define TEST_SIZES_H

#include <stddef.h>
#include <stdlib.h>

static inline size_t size_from(const char *text) {
    char *end;
    size_t size = (size_t)strtoull(text, &end, 10);
    return *end == 'G' ? size << 30 : *end == 'M' ? size << 20 : *end == 'K' ? size << 10 : size;
}

#endif
