/*
 * proc_maps: what the kernel says is mapped where.
 *
 * Reads /proc/thread-self/maps piece by piece through a caller's buffer ("self" is the first thread
 * of the process, and its file is empty once that thread has ended). The file may have 65 000
 * lines; nothing is kept but the line looked at. Async-signal-safe, allocates nothing.
 */
#ifndef MOAT_PROC_MAPS_H
#define MOAT_PROC_MAPS_H

#include "base/base.h"

struct mapping {
    uintptr_t start; /* first byte */
    uintptr_t end;   /* one past the last */
    uint64_t offset; /* of `start` in the file, bytes */
    uint64_t device; /* major << 32 | minor */
    uint64_t inode;  /* 0: no file */
    char permissions[4];
    /* path, or "[stack]" and the like; in the reader's buffer until the next call; may be cut
       off */
    const char *name;
    size_t name_length;
};

struct proc_maps {
    int fd;
    uint64_t offset;         /* of the next piece in the file */
    size_t next, have;       /* the unread part of the buffer */
    bool skipping;           /* the rest of a line that did not fit */
    char buffer[4096 + 128]; /* a path has less than 4096 bytes */
};

/* False when the kernel shows none (no /proc, no descriptor left, not allowed). */
bool proc_maps_open(struct proc_maps *maps);
/* The next line in address order; false at the end. */
bool proc_maps_next(struct proc_maps *maps, struct mapping *mapping);
void proc_maps_close(struct proc_maps *maps);

#endif
