/*
 * judged: what comes of calls of moat.h, judged as the fuzzers do.
 *
 * For the programs that a replay program writes (--c): these are one file each with this header,
 * which is pasted into them or included. They define BLOCKS, how many blocks are given in all, and
 * LOOKS_AT_COMMITTED. The first wrong result ends the process, in the words of the engine.
 */
#ifndef REPRODUCE_JUDGED_H
#define REPRODUCE_JUDGED_H

#pragma GCC diagnostic ignored "-Wunused-function" /* a program has use for some */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "moat.h"

enum { MARK = 4242, WHOLE_MAX = 1024, TABLES_MAX = 1 << 20 };
static struct {
    char *start;
    size_t requested, usable;
    int lives;
} blocks[BLOCKS];
static size_t committed; /* bytes, before anything was allocated */

static void failed(const char *what) {
    fprintf(stderr, "finding: %s\n", what);
    abort();
}

static char *start(unsigned n) { return blocks[n].start; }
static void *outside(uintptr_t address) {
    static char here[64];
    return address != 0 ? (void *)address : here;
}

/* Each block has contents of its own: all of a small one, the ends of a large one. */
static int is_looked_at(size_t i, size_t usable) {
    return i < WHOLE_MAX / 2 || usable - i <= WHOLE_MAX / 2;
}
static char byte_of(unsigned n, size_t i) { return (char)(n * 37 + i * 11 + (i >> 8) + 1); }
static void fill(unsigned n) {
    for (size_t i = 0; i < blocks[n].usable; i++)
        if (is_looked_at(i, blocks[n].usable)) blocks[n].start[i] = byte_of(n, i);
}
static void compare(unsigned n, const char *at, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (is_looked_at(i, blocks[n].usable) && at[i] != byte_of(n, i)) failed("contents lost");
}

static int is_possible(size_t size, size_t alignment) {
    return size < (size_t)1 << 47 && alignment != 0 && (alignment & (alignment - 1)) == 0;
}

/* The result of a call that was asked for so much. */
static void take(unsigned n, char *at, size_t size, size_t alignment) {
    if (errno != (at != NULL ? MARK : ENOMEM) && is_possible(size, alignment))
        failed("a call left errno");
    if (at == NULL && is_possible(size, alignment) && alignment < (size_t)16 << 20)
        failed("a call gave NULL");
    if (at != NULL && !is_possible(size, alignment)) failed("an impossible size was allocated");
    if (at == NULL) return;
    if ((uintptr_t)at % alignment != 0 || (size >= 16 && (uintptr_t)at % 16 != 0))
        failed("the block is not aligned");
    size_t usable = moat_usable_size(at);
    if (usable < size) failed("usable size is below what was asked for");
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].lives && at < blocks[i].start + blocks[i].usable &&
            blocks[i].start < at + usable)
            failed("the block overlaps a live block");
    blocks[n].start = at;
    blocks[n].requested = size;
    blocks[n].usable = usable;
    blocks[n].lives = 1;
}
static void given(unsigned n, void *at, size_t size, size_t alignment, int is_zeroed) {
    take(n, at, size, alignment);
    for (size_t i = 0; is_zeroed && at != NULL && i < size; i++)
        if (((char *)at)[i] != 0) failed("a byte of a zeroed block is set");
    if (at != NULL) fill(n);
    errno = MARK;
}

/* The block there, whose contents are looked at before it goes. */
static unsigned block_at(const void *at) {
    for (unsigned i = BLOCKS; i-- > 0;)
        if (blocks[i].lives && blocks[i].start == at) return i;
    return BLOCKS;
}
static void *leaving(void *at) {
    unsigned n = block_at(at);
    if (n != BLOCKS) compare(n, at, blocks[n].usable);
    if (n != BLOCKS) blocks[n].lives = 0;
    errno = MARK;
    return at;
}

static unsigned last_at(const void *at) {
    for (unsigned i = BLOCKS; i-- > 0;)
        if (at != NULL && blocks[i].start == at) return i;
    return BLOCKS;
}
static void resized(unsigned n, void *old, void *at, size_t size) {
    unsigned was = last_at(old);
    if (at == NULL && size == 0 && was != BLOCKS) return;
    if (size == 0 && was != BLOCKS) failed("realloc to no bytes gave a block");
    if (at == NULL && was != BLOCKS) blocks[was].lives = 1;
    if (at != NULL && was != BLOCKS)
        compare(was, at, blocks[was].usable < size ? blocks[was].usable : size);
    given(n, at, size, 16, 0);
}

static void *by_posix_memalign(size_t alignment, size_t size) {
    void *at = NULL;
    int error = moat_posix_memalign(&at, alignment, size);
    if (error != 0 && at != NULL) failed("posix_memalign failed and changed its result");
    if (error != 0) errno = error;
    return at;
}
static void usable(const void *at) {
    unsigned n = block_at(at);
    if (moat_usable_size(at) != (n != BLOCKS ? blocks[n].usable : 0)) failed("usable size was");
}
static void owned(const void *at) {
    unsigned n = last_at(at);
    if (n != BLOCKS && blocks[n].lives && !moat_owns(at)) failed("does not own a live block");
}
static void poke(char *at, const unsigned char *bytes, size_t size) { memcpy(at, bytes, size); }
static void pass(unsigned long milliseconds) {
    struct timespec time = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void begin(void) {
    struct moat_stats stats;
    moat_free(moat_malloc(100));
    moat_trim();
    moat_stats_get(&stats);
    committed = stats.committed;
    errno = MARK;
}
/* All is freed. */
static void at_rest(void) {
    struct moat_stats stats;
    moat_trim();
    moat_stats_get(&stats);
    if (stats.used_blocks != 0) failed("blocks in use after everything was freed");
    if (LOOKS_AT_COMMITTED && stats.committed > committed + TABLES_MAX)
        failed("bytes committed after everything was freed");
}

#endif
