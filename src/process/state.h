/*
 * state: everything of the process that changes, in one structure.
 *
 * It lies in a mapping of its own at a random address, behind the read-only pointers of `ro`; each
 * member is owned by its file. A harness can save and restore it together with the tables.
 */
#ifndef MOAT_STATE_H
#define MOAT_STATE_H

#include "heap/heap.h"
#include "meta/locks.h"
#include "heap/huge.h"
#include "heap/sample.h"
#include "heap/zero_size.h"

struct state {
    struct region region;
    struct lock locks[LOCKS];
    struct abandoned abandoned[ABANDONED_SETS];
    uint64_t woken_segments[REGION_WORDS];
    struct heap_pool pool;
    struct huge_state huge;
    struct usage usage;
    struct zero_size_state zero_size;
    struct sample_places samples;
    struct random_root random_root;
};

#endif
