/*
 * before_main: allocations before any constructor of the program has run, in the constructors, and
 * frees after main() returned.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

static char *from_preinit, *from_early, *from_late;

static void preinit(void) {
    from_preinit = malloc(5000);
    if (from_preinit) memset(from_preinit, 1, 5000);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void early(void) {
    from_early = realloc(from_preinit, 100000);
}
__attribute__((constructor)) static void late(void) { from_late = calloc(10, 1000); }

static void at_exit(void) {
    free(from_late);
    from_late = malloc(10);
}
__attribute__((destructor)) static void last(void) {
    free(from_late);
    free(from_early);
    void *block = malloc(2000000);
    if (block == NULL) _exit(1);
    free(block);
}

int main(void) {
    require_moat(20);
    REQUIRE(from_early && from_late, "a constructor got no memory");
    REQUIRE(family.owns(from_early) && family.owns(from_late),
            "a constructor's block is not moat's");
    for (size_t i = 0; i < 5000; i++) REQUIRE(from_early[i] == 1, "byte %zu of the first block", i);
    atexit(at_exit);
    return 0;
}
