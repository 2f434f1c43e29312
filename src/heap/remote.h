/*
 * remote: frees by threads that do not own the block's segment (layer 4).
 *
 * Words and orders, in the order a remote free touches them (DESIGN.md section 2; drawn with its states in doc/design.md):
 *   live bit           relaxed load, first: it must be set
 *   claim bit          fetch_or acq_rel: must have been clear; this is the free     pairs with collect's acquire load and release
 * and page.pending       fetch_or acq_rel, after the claim                            pairs with collect's exchange and mark
 * full's CAS segment.woken, owner.wake   only when pending was {none, FULL}                  pair with the exchanges of the
 * owner's poll Nothing spins, nothing is allocated, no freed memory is read.
 */
#ifndef MOAT_REMOTE_H
#define MOAT_REMOTE_H

#include "heap/segment.h"

enum remote_result {
    REMOTE_FREED,
    REMOTE_NOT_LIVE,      /* nothing was changed */
    REMOTE_CLAIMED_BEFORE /* somebody else has freed it and the owner has not collected it yet */
};

/* address: 16-byte aligned, in a segment that holds pages of `kind`. */
enum remote_result remote_free(struct segment *segment, enum page_kind kind, uintptr_t address);

#endif
