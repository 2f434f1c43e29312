/*
 * small_stack: how much stack the first call of a process takes, which may come in a handler on a
 * signal stack of the least size.
 */
#include "require.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { STACK = 64 * 1024, MOST = 4096, PAINT = 0x5a };

static char stack[STACK];
static ucontext_t outside, inside;
static uintptr_t begun_at;
static void *volatile block;

static void first_call(void) {
    begun_at = (uintptr_t)__builtin_frame_address(0);
    block = malloc(100);
}

static size_t unused_bytes(void) {
    size_t unused = 0;
    while (unused < sizeof stack && stack[unused] == PAINT) unused++;
    return unused;
}

int main(void) {
    memset(stack, PAINT, sizeof stack);
    REQUIRE(getcontext(&inside) == 0, "a context can be made");
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof stack;
    inside.uc_link = &outside;
    makecontext(&inside, first_call, 0);
    REQUIRE(swapcontext(&outside, &inside) == 0, "it can be changed to");
    REQUIRE(block != NULL, "a block");
    free(block);
    size_t taken = begun_at - (uintptr_t)stack - unused_bytes();
    say("%zu bytes of stack", taken);
    REQUIRE(taken <= MOST, "at most %d bytes of stack (took %zu)", MOST, taken);
    return 0;
}
