/* inside: a library with an allocator of its own, moat under its prefix. */
#include <moat.h>

int inside_use(void);
int inside_use(void) {
    for (size_t size = 1; size < 3000000; size += size / 2 + 1) {
        char *block = moat_malloc(size);
        if (block == NULL) return 1;
        block[size - 1] = 1;
        moat_free(block);
    }
    return 0;
}
