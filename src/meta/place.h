/*
 * place: where in the address space the region and the tables lie.
 *
 * Nothing is reserved over their spans, so all that keeps others out is that nobody goes there by
 * himself: the kernel puts mappings without a wish near stack or program, and nothing of moat's is
 * chosen near that, nor where programs are known to insist on addresses. The region has a random
 * base. The tables share a random *island*, each in a lane of its own, in random order, at a random
 * place of the lane. The figures for guessing are in SECURITY.md.
 */
#ifndef MOAT_PLACE_H
#define MOAT_PLACE_H

#include "meta/random.h"
#include "meta/table.h"

/* Lanes of an island, a power of two: the most tables there can be. */
#define PLACE_LANES 8u

struct places {
    uintptr_t space;  /* user addresses lie below; a power of two */
    uintptr_t kernel; /* where the kernel puts a mapping without a wish; 0: it would not say */
    uintptr_t region; /* base of the region, a multiple of SEGMENT_SIZE */
    size_t span;      /* bytes the region can grow to */
    uintptr_t island;
    uint8_t order[PLACE_LANES]; /* the lane of each table */
};

/* Looks at the address space, and bounds the span by `cap` (bytes; 0: no bound) and by what the
   machine has addresses for. */
void places_learn(struct places *places, size_t cap);
/* Bounds the span further, so that a table of the region with one byte for so many of it fits into
   a lane. */
void places_bound_span(struct places *places, size_t bytes_per_table_byte);
/* Chooses a base for the region, and an island in which nothing is mapped; again, when something
   else lies there. */
void places_choose(struct places *places, struct random *random);
/* Places the table of that number, `size` bytes at most, at least an OS page from the ends of its
   lane. False: the lane is too small, or the kernel has no page for it. */
bool places_table(const struct places *places, struct random *random, unsigned number, size_t size,
                  struct table *table);

#endif
