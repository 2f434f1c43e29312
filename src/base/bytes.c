/*
 * bytes: filling, copying and comparing without the C library (see bytes.h).
 *
 * Plain loops: what is filled and copied while a thread is busy is small, or rare. The empty
 * assembler keeps the compiler from seeing in a loop the very function that it is.
 */
#include "base/base.h"
#include "base/cpu.h"

#define NOT_A_CALL() __asm__ volatile("" : : : "memory")

void *moat_fill(void *start, int byte, size_t size) {
    cpu_fill(start, (unsigned char)byte, size);
    return start;
}

void *moat_copy(void *to, const void *from, size_t size) {
    cpu_copy(to, from, size);
    return to;
}

void *moat_move(void *to, const void *from, size_t size) {
    unsigned char *into = to;
    const unsigned char *out_of = from;
    if ((uintptr_t)to - (uintptr_t)from >= size) return moat_copy(to, from, size);
    while (size-- > 0) {
        into[size] = out_of[size];
        NOT_A_CALL();
    }
    return to;
}

int moat_compare(const void *a, const void *b, size_t size) {
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
        NOT_A_CALL();
    }
    return 0;
}
