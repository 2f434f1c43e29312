/*
 * memory_lock: what mlockall(), and limits on memory, mean for the heap.
 *
 * The kernel makes locked memory resident mapping by mapping, and stops at a guard marker: blocks
 * behind one would not be. And it refuses to install markers in locked memory, and counts whatever
 * is mapped from then on against RLIMIT_MEMLOCK: the region grows by single segments, without
 * markers.
 */
#ifndef MOAT_MEMORY_LOCK_H
#define MOAT_MEMORY_LOCK_H

#include "alloc/alloc.h"

/* The kernel will be asked to lock something: tables stay where they are from now on, for a move
   would unlock them. */
void memory_lock_begins(void);
/* The kernel has locked what was mapped (`resident`: and was asked to make it resident), and will
   lock what is mapped later if `later`. */
void memory_lock_changed(bool resident, bool later);
/* Nothing is locked, now or later. */
void memory_unlocked(void);
/* The program has set a limit on its data or its address space. */
void memory_limited(void);

#endif
