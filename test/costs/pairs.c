/*
 * pairs: so many pairs of malloc and free of blocks of LEAST to MOST bytes, LIVE of which live at a
 * time, after as many as it takes for pairs to cost what they go on to cost. What pairs.py counts
 * is what one run makes of the system beyond what a run with fewer pairs does.
 *
 *     pairs LEAST MOST LIVE PAIRS
 */
#include <stdio.h>
#include <stdlib.h>

enum { LIVE_MAX = 1000, ROUNDS_BEFORE = 300 };

static unsigned long random_below(unsigned long bound) {
    static unsigned long state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return bound != 0 ? state % bound : 0;
}

int main(int count, char **arguments) {
    static char *blocks[LIVE_MAX];
    if (count != 5) return 2;
    size_t least = strtoul(arguments[1], NULL, 10), most = strtoul(arguments[2], NULL, 10);
    unsigned long live = strtoul(arguments[3], NULL, 10), pairs = strtoul(arguments[4], NULL, 10);
    if (least == 0 || most < least || live == 0 || live > LIVE_MAX) return 2;
    for (unsigned long i = 0; i < ROUNDS_BEFORE + live + pairs; i++) {
        char **block = &blocks[i < live ? i : random_below(live)];
        size_t size = least + random_below(most - least + 1);
        free(*block);
        *block = malloc(size);
        if (*block == NULL) return 1;
        (*block)[0] = (*block)[size - 1] = 1;
    }
    return 0;
}
