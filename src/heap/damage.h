/*
 * damage: reports on what a block holds: bytes behind what was asked for, or of freed memory.
 *
 * The strict level finds them, and samples. The block is the caller's, or nobody's: nothing else
 * may free it, or hand it out.
 */
#ifndef MOAT_DAMAGE_H
#define MOAT_DAMAGE_H

#include "report/report.h"

/* A hook (see src/README.md). `block`: its first byte, `written`: the first one that is wrong. Ends
   the process; or returns, with on=report, and the block must never be handed out again. */
MOAT_COLD void damage_report(enum report_phrase phrase, uintptr_t block, uintptr_t written);

#endif
