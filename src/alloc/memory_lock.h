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
/* What mlockall() is asked for: to lock what is mapped now, what is mapped later, and to make
   nothing resident before it is touched. */
struct memory_lock {
    bool now, later, on_fault;
};
/* The kernel has done so. */
void memory_lock_changed(struct memory_lock lock);
/* The kernel has refused because more is mapped than the process may lock. It counts what of the
   region nobody can touch: without that it may be little enough, mapping by mapping. `later`: the
   flags for what is mapped later. False: it is not; some of it may be locked, and what the program
   had locked is. */
bool memory_lock_by_parts(struct memory_lock lock, int later);
/* Nothing is locked, now or later. */
void memory_unlocked(void);
/* The program has set a limit on its data or its address space. */
void memory_limited(void);

#endif
