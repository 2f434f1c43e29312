/*
 * density: whether a program writes to all parts of its huge blocks, looked at in samples of a run
 * that is about to be used again.
 *
 * A word that is not zero was written. A zero may be the program's, or the kernel's for memory that
 * nobody touched: so samples are marked when a run is handed out again, and the next look finds out
 * which marks are left. Not at its beginning: a guard there, while it waited, has taken what was in
 * its first OS page. To read and to write there is right: whoever gets the run may do so too.
 */
#ifndef MOAT_DENSITY_H
#define MOAT_DENSITY_H

#include "base/atomic.h"
#include "meta/ro.h"

/* Bytes of the shortest run that is looked at, and how many samples it has; longer ones have up to
   twice as many. */
#define DENSITY_LEAST (4 * MIB)
#define DENSITY_SAMPLES 16u
/* What no program writes. */
#define DENSITY_MARK UINT64_C(0x5bd1e995a3c49f27)

/* The same for all lengths up to a power of two: a run may be longer next time. */
MOAT_INLINE size_t density_step(size_t bytes) {
    return ((size_t)1 << high_bit(bytes)) / DENSITY_SAMPLES;
}

/* At another part of an OS page each time. */
MOAT_INLINE uint64_t *density_sample(uintptr_t place) {
    return (uint64_t *)(place +
                        (place / (DENSITY_LEAST / DENSITY_SAMPLES) * 264 & (ro.os_page - 1)));
}

/* Marks the samples of the first `bytes` of a run, DENSITY_LEAST at least. */
MOAT_INLINE void density_mark(uintptr_t start, size_t bytes) {
    size_t step = density_step(bytes);
    for (uintptr_t at = start + step; at < start + bytes; at += step)
        atomic_store_relaxed(density_sample(at), DENSITY_MARK);
}

/* Whether all but an eighth of the samples were written to. `marked`: bytes that were marked before
   it was last handed out, or 0: then zeros are taken for the kernel's. */
MOAT_INLINE bool density_is_high(uintptr_t start, size_t bytes, size_t marked) {
    size_t step = density_step(marked != 0 ? marked : bytes);
    unsigned places = 0, written = 0;
    if (marked != 0 && marked < bytes) bytes = marked;
    for (uintptr_t at = start + step; at < start + bytes; at += step, places++) {
        uint64_t word = atomic_load_relaxed(density_sample(at));
        written += word != DENSITY_MARK && (word != 0 || marked != 0);
    }
    return written >= places - places / 8;
}

#endif
