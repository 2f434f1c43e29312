/*
 * stats: counting what is there, on demand.
 *
 * Nothing is counted on a fast path; a walk over segments finds it out. Any thread, any time.
 */
#ifndef MOAT_STATS_H
#define MOAT_STATS_H

#include "base/base.h"

/* What they are, and their units: stats.def. All are of one type, in the order of moat.h. */
struct stats {
#define STAT(name, line, unit, text, meaning) size_t name;
#include "alloc/stats.def"
};

#define STATS (sizeof(struct stats) / sizeof(size_t))

void stats_collect(struct stats *stats);
/* moat_check(): tests the invariants of doc/design.md over the calling thread's heap and, where it
   can without stopping others, the rest. Ends the process with corrupt-metadata on a violation;
   returns the number of pages looked at. Meant for a process at rest. */
size_t check_all(void);

#endif
