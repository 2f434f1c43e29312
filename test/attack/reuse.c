/*
 * reuse: what becomes of a block's memory when it is freed and somebody still points there.
 */
#include <string.h>

#include "attack.h"

enum { SIZE = 96, SPRAYED = 2000, OBJECTS = 4000 };

/* The next block of the size is the one that was just freed. */
static enum outcome at_once(void) {
    (void)take(SIZE);
    char *victim = take(SIZE);
    (void)take(SIZE);
    give(victim);
    return launder(take(SIZE)) == victim ? WON : IN_VAIN;
}

/* One of many is. */
static enum outcome sprayed(void) {
    (void)take(SIZE);
    char *victim = take(SIZE);
    (void)take(SIZE);
    give(victim);
    for (unsigned i = 0; i < SPRAYED; i++)
        if (launder(take(SIZE)) == victim) return WON;
    return IN_VAIN;
}

/* What was in the block can be read after its free. */
static enum outcome read_after(void) {
    static const char secret[] = "what nobody may read any more";
    char *victim = take(SIZE);
    memcpy(victim + 40, secret, sizeof secret);
    give(victim);
    return memcmp(launder(victim + 40), secret, sizeof secret) == 0 ? WON : IN_VAIN;
}

/* The next owner finds what was written after the free. */
static enum outcome write_after(void) {
    static char *later[SPRAYED];
    char *victim = take(SIZE);
    give(victim);
    memset((char *)launder(victim) + 40, 0x5a, 8);
    for (unsigned i = 0; i < SPRAYED; i++) {
        later[i] = take(SIZE);
        if (later[i] == victim && later[i][40] == 0x5a) return WON;
    }
    return IN_VAIN;
}

/* Objects of one size end, all of a page at once; objects of another come. What dangles meets their
   fields. */
static enum outcome another_class(void) {
    static char *gone[OBJECTS], *come[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++) gone[i] = take(SIZE);
    for (unsigned i = 0; i < OBJECTS; i++) give(gone[i]);
    for (unsigned i = 0; i < OBJECTS; i++) {
        come[i] = take(208);
        memset(come[i], 0x66, 208);
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        if (is_readable(gone[i] + 24) && *(const char *)launder(gone[i] + 24) == 0x66) return WON;
    return IN_VAIN;
}

/* The memory of a large block that was freed can be read. */
static enum outcome large_after(void) {
    enum { LARGE = 3 << 20 };
    char *victim = take(LARGE);
    memset(victim, 0x33, LARGE);
    give(victim);
    return is_readable(victim) && *(const char *)launder(victim) == 0x33 ? WON : IN_VAIN;
}

const struct attack reuse_attacks[] = {
    {"reuse-at-once", at_once, "the next block of the size is the one just freed"},
    {"reuse-sprayed", sprayed, "one of 2000 blocks of the size is the one just freed"},
    {"read-after-free", read_after, "the contents of a freed block are still there"},
    {"write-after-free", write_after, "what is written into a freed block is in its next owner's"},
    {"another-class", another_class,
     "a dangling pointer reads the fields of objects of another size"},
    {"read-after-free-large", large_after,
     "the first byte of a freed block of 3 MiB is still there"},
    {0},
};
