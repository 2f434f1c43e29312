/*
 * quarantine: blocks that were freed and wait, at the strict level, before they can be taken again.
 *
 * Each heap keeps those that its thread has freed, whoever owns their pages. A block that comes in
 * when the quarantine is full (options quarantine and quarantine_size) takes the place of one drawn
 * at random, which is let go: still zero to its last byte, or a write-after-free is reported; then
 * its page's owner may collect it. A few small blocks of the heap's own pages wait from then on for
 * its thread's next allocation, which takes them in without an announcement. Of a block in
 * quarantine both bits are set: it is freed, and freeing it again is reported like any second free.
 * A thread without a heap keeps none.
 *
 * A heap whose thread ends, a thread that runs out of memory or trims, and a forked child empty it;
 * who ends the process by exit() looks through his.
 */
#ifndef MOAT_QUARANTINE_H
#define MOAT_QUARANTINE_H

#include "heap/heap.h"

/* A claimed block of a page, `size` bytes long and zero, goes in. `heap`: the running thread's;
   NULL: it has none, and the block is let go. Inside the allocator. */
void quarantine_put(struct heap *heap, uintptr_t block, size_t size);
/* Takes in what was drawn from the heap's own pages since its last allocation. Inside a generic
   path of the heap. */
void quarantine_take_in(struct heap *heap);
/* Looks at all for what was written to. Inside the allocator. */
void quarantine_check(const struct heap *heap);
/* Lets all go. Inside the allocator; true if there were any. */
bool quarantine_empty(struct heap *heap);

#endif
