/*
 * remote: frees by threads that do not own the block's segment.
 *
 * Words and orders, in the order a remote free touches them (drawn with its states in
 * doc/design.md, "Remote free, full pages and wake-ups"):
 *
 *   word            access               why                              pairs with
 *   live bit        relaxed load         it must be set                   -
 *   claim bit       fetch_or seq_cst     was clear; this is the free      collect's load, fetch_and
 *   page.pending    load seq_cst         after the claim: named already?  exchange
 *   page.pending    fetch_or acq_rel     if not                           exchange, mark full
 *   segment.woken   fetch_or acq_rel     when pending was {none, FULL}    the poll's exchange
 *   woken_segments  fetch_or release     likewise                         the poll's load
 *   owner.wake      fetch_or release     likewise; of an abandoned        the poll's exchange
 *                                        segment: bits of the bitmaps
 *
 * Nothing spins, nothing is allocated, no freed memory is read.
 */
#ifndef MOAT_REMOTE_H
#define MOAT_REMOTE_H

#include "heap/segment.h"

enum remote_result {
    REMOTE_FREED,
    REMOTE_NOT_LIVE,      /* nothing was changed */
    REMOTE_CLAIMED_BEFORE /* somebody else has freed it and the owner has not collected it yet */
};

/* The two parts of a remote free, which the strict level puts its quarantine between. The claim:
   the block is freed. The announcement: its page's owner may take it in. `segment`: it has had
   pages of `kind` since before the claim, and keeps them until the announcement. */
enum remote_result remote_claim(uintptr_t address);
void remote_announce(struct segment *segment, enum page_kind kind, uintptr_t address);

/* address: 16-byte aligned, in a segment that holds pages of `kind`. */
enum remote_result remote_free(struct segment *segment, enum page_kind kind, uintptr_t address);

/* The heap's next poll looks at the segment, which is its own and has a bit in `woken`. Any
   thread. */
void wake_segment(struct owner *heap, uint32_t index);

#endif
