/*
 * table: memory at a fixed place that grows at its end.
 *
 * A table's start never changes; its first `mapped` bytes are readable, writable and zero until
 * written, an inaccessible OS page lies before it, and behind it nothing is mapped. It never
 * shrinks. Each table has one owner, who extends it under a lock of his.
 */
#ifndef MOAT_TABLE_H
#define MOAT_TABLE_H

#include "meta/ro.h"

struct table {
    uintptr_t start;
    size_t mapped; /* bytes, a multiple of the OS page */
    size_t wanted; /* the same while more is being mapped, else of last time */
};

/* Maps the inaccessible page before the table. False: something else lies there, or a limit
   forbids. */
bool table_place(struct table *table, uintptr_t start);
/* Makes sure that the first `bytes` are mapped. False: nothing changed. */
bool table_extend(struct table *table, size_t bytes);
/* In a forked child, after whoever owned it: what was being mapped is there, or is not. */
void table_recover(struct table *table);
/* Gives all of it back, in a start that failed. */
void table_remove(struct table *table);

#endif
