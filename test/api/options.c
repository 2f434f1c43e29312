/*
 * options: a program's own moat_default_options(), and what zero_realloc=alloc and sized=off change
 * in the family.
 */
#include <stdlib.h>
#include <malloc.h>

#include "api.h"
#include "moat.h"

const char *moat_default_options(void) { return "zero_realloc=alloc:sized=off"; }

int main(void) {
    require_moat(20);
    void *block = malloc(48);
    void *zero = realloc(block, 0);
    REQUIRE(zero != NULL && malloc_usable_size(zero) == 0,
            "zero_realloc=alloc: realloc(p, 0) gave %p", zero);
    REQUIRE(is_inaccessible(zero), "the zero-size block of realloc(p, 0) can be read");
    void *grown = realloc(zero, 100);
    REQUIRE(grown != NULL && malloc_usable_size(grown) >= 100,
            "realloc of a zero-size block to 100");
    free(grown);
    family.free_sized(malloc(48), 4800); /* sized=off: not looked at */
    return 0;
}
