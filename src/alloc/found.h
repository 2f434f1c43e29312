/*
 * found: what alloc.c shows to the verbs of the strict level, and to nobody else.
 *
 * Lookups and housekeeping that both have. Defined in alloc.c, where the fast paths have them
 * inline.
 */
#ifndef MOAT_FOUND_H
#define MOAT_FOUND_H

#include "alloc/diagnose.h"
#include "heap/heap.h"

/* What a live block's address leads to. */
struct found {
    struct segment *segment; /* NULL: no live block; it was reported */
    uint64_t word;           /* the owner word the rest was derived from */
    size_t block_size;       /* bytes of the block, whatever was asked for */
    uint32_t size_class;     /* SIZE_CLASS_NONE: huge or zero-size */
};

/* The accessor of all verbs: a huge block is found by the start of its run. `shown`: the address
   that a report names. */
struct found alloc_find_live(uintptr_t base, uintptr_t shown, enum verb verb);
/* What this thread and ended ones hold unused goes back. False: nothing has. */
bool alloc_find_more_memory(void);
/* A block of the segment was freed by a remote free; NULL: by another one. Looks after unused
   memory now and then. Outside the allocator. heap: the running thread's, NULL: it has none. */
void alloc_note_free(struct heap *heap, struct segment *segment);
/* A zero-size block. */
void *alloc_empty(size_t alignment);

#endif
