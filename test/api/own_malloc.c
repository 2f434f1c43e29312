/*
 * own_malloc: a program that replaces malloc, free, calloc, realloc and the aligned ones itself, as
 * the C library's manual allows.
 *
 * What the C library has beside those is derived from them, and so is moat's: no block of the
 * program's arena may reach moat, and none of moat's the program.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA ((size_t)32 << 20)
static _Alignas(64) char arena[ARENA];
static size_t used;
static unsigned frees;

static bool is_ours(const void *block) {
    return (uintptr_t)block - (uintptr_t)arena < sizeof arena;
}

/* The size stands before the block. */
static void *take(size_t alignment, size_t size) {
    size_t at = (used + 16 + alignment - 1) & ~(alignment - 1);
    if (size > sizeof arena || at > sizeof arena - size) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy(arena + at - sizeof size, &size, sizeof size);
    used = at + size;
    return arena + at;
}

void *malloc(size_t size) { return take(16, size); }
void free(void *block) {
    if (block == NULL) return;
    if (!is_ours(block)) abort(); /* a block of another allocator */
    frees++;
}
void *calloc(size_t count, size_t size) {
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : take(16, total);
}
void *realloc(void *block, size_t size) {
    size_t old = 0;
    void *moved = take(16, size);
    if (block == NULL || moved == NULL) return moved;
    memcpy(&old, (char *)block - sizeof old, sizeof old);
    memcpy(moved, block, old < size ? old : size);
    return moved;
}
void *memalign(size_t alignment, size_t size) { return take(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return take(alignment, size); }
int posix_memalign(void **result, size_t alignment, size_t size) {
    *result = take(alignment, size);
    return *result != NULL ? 0 : ENOMEM;
}

/* Of moat or of a new C library: not declared by older headers. */
extern void free_sized(void *block, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *block, size_t alignment, size_t size) __attribute__((weak));
extern void cfree(void *block) __attribute__((weak));

static int wrong(const char *what) {
    fprintf(stderr, "own_malloc: %s\n", what);
    return 1;
}

int main(void) {
    char *block = malloc(10);
    strcpy(block, "abc");
    block = reallocarray(block, 100, 10);
    if (!is_ours(block) || strcmp(block, "abc") != 0) return wrong("reallocarray left the arena");
    if (!is_ours(reallocarray(NULL, 3, 5))) return wrong("reallocarray(NULL) left the arena");
    errno = 0;
    volatile size_t most = SIZE_MAX;
    if (reallocarray(block, most, 2) != NULL || errno != ENOMEM)
        return wrong("reallocarray does not see its overflow");
    if (free_sized == NULL || free_aligned_sized == NULL || cfree == NULL)
        return wrong("moat is not here");
    frees = 0;
    free_sized(block, 1000);
    free_sized(malloc(40), 40);
    free_aligned_sized(aligned_alloc(64, 128), 64, 128);
    cfree(malloc(1));
    free_sized(NULL, 8);
    if (frees != 4) return wrong("a derived free did not go to the program's free");
    return 0;
}
