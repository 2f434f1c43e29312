/*
 * strict: the verbs of the strict level.
 *
 * Its heaps have no fast path: no page is found by the direct table, none is local to its thread,
 * so that each call of the verbs in alloc.h comes to their slow sides, and from there, where
 * fork_mark is not the default level's, here. alloc_is_ready() was asked before.
 *
 * A block is zero when it is handed out, but for the canary behind the bytes that were asked for,
 * of which there is at least one byte. A free checks family, size and canary after it has won the
 * block, makes it zero and puts it in quarantine. Blocks of GUARDED_FROM bytes and more, or of an
 * alignment above that, have a run of segments of their own: their end lies against inaccessible
 * memory as nearly as their alignment lets it, what is between is canary, and so is what lies
 * before them in their first OS page; when they are freed, all of it becomes inaccessible.
 */
#ifndef MOAT_STRICT_H
#define MOAT_STRICT_H

#include "meta/request.h"

#define GUARDED_FROM (16 * KIB)

/* What the caller of a free says of the block. */
struct freeing {
    enum family family;
    bool has_size, has_alignment;
    size_t alignment, size;
};

/* `alignment`: a power of two up to ALIGN_MAX. The block is zero; `zero`: even where the program
   had laid another mapping over an earlier block. NULL: out of memory, or above PTRDIFF_MAX. */
void *strict_block(size_t size, size_t alignment, enum family family, bool zero);
/* Of a block that was just handed out by strict_block. */
void strict_set_family(void *block, enum family family);
void strict_free(uintptr_t address, const struct freeing *how);
/* block is not NULL; on NULL it is untouched. */
void *strict_resize(void *block, size_t new_size);
/* At the end of the process: what waits in the thread's quarantine will not be looked at again. */
void strict_look_back(void);
/* The bytes that were asked for. */
size_t strict_usable_size(uintptr_t address);

#endif
