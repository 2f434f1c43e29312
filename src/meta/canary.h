/*
 * canary: bytes behind what was asked for, which nobody may write; and memory that must be zero.
 *
 * All of a block's slack is canary: eight bytes, over and over, that depend on the block's address
 * and on a secret of the process. Whoever reads one knows that block's and no other: it is SipHash
 * (one round for the address, three at the end). No byte of it is 0, which is what most overflows
 * by one byte write. A forked child has its parent's secret. Pure functions of memory; for
 * the strict level, and for samples.
 */
#ifndef MOAT_CANARY_H
#define MOAT_CANARY_H

#include "base/base.h"

/* The canary of a block that begins at the address. */
uint64_t canary_of(uintptr_t block);
/* Fills [from, to) with the canary of the block. */
void canary_fill(uintptr_t block, uintptr_t from, uintptr_t to);
/* The first byte of [from, to) that is not the block's canary; 0: there is none. */
uintptr_t canary_check(uintptr_t block, uintptr_t from, uintptr_t to);
/* The first byte of [from, to), multiples of a granule, that is not 0; 0: there is none. */
uintptr_t zero_check(uintptr_t from, uintptr_t to);

#endif
