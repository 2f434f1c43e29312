/*
 * own_half: a program with a malloc of its own, and no free. It works on no allocator: the first
 * free says whose malloc it is.
 */
#include <stdlib.h>

static char arena[1 << 20];
static size_t used;

void *malloc(size_t size) {
    void *block = arena + used;
    used += (size + 15) & ~(size_t)15;
    return used <= sizeof arena ? block : NULL;
}

int main(void) {
    free(malloc(10));
    return 0;
}
