/* stats: counting what is there, on demand (layer 7). Nothing is counted on a fast path; a walk
   over segments finds it out. */
#ifndef MOAT_STATS_H
#define MOAT_STATS_H

#include "base/base.h"

struct stats {
    size_t segments;   /* in use, all kinds */
    size_t abandoned;  /* of these, owned by no thread */
    size_t huge;       /* huge allocations */
    size_t reserved;   /* bytes of address space of the region */
    size_t committed;  /* bytes that may be touched */
    size_t huge_bytes; /* committed by huge allocations */
    size_t pages;      /* in use */
    /* blocks, exact for the calling thread's pages, a moment's view of others */
    size_t used_blocks;
    size_t used_bytes;     /* block sizes of these */
    size_t guards_missing; /* guards the kernel refused */
    size_t heaps;          /* thread heaps ever made */
    size_t locks_taken;    /* region and pool locks, since start */
};

void stats_collect(struct stats *stats);
/* moat_check(): tests the invariants of doc/design.md over the calling thread's heap and, where it
   can without stopping others, the rest. Ends the process with corrupt-metadata on a violation;
   returns the number of pages looked at. Meant for a process at rest. */
size_t check_all(void);

#endif
