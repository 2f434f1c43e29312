/*
 * diagnose: what an address is that a caller wrongly takes for its block.
 *
 * Only ever runs on the way to a report, so it may be slow, but it may rely on nothing the caller
 * says.
 */
#ifndef MOAT_DIAGNOSE_H
#define MOAT_DIAGNOSE_H

#include "meta/request.h"
#include "report/report.h"

enum verb { VERB_FREE, VERB_RESIZE, VERB_SIZE_QUERY, VERBS };

/* The address is not a live block: says why, and ends the process; or returns, with on=report, and
   the verb must do nothing. */
MOAT_COLD void diagnose_not_live(uintptr_t address, enum verb verb);
/* A signal handler that interrupted the allocator calls it: likewise. */
MOAT_COLD void diagnose_reentry(void);
/* A live block, but size or alignment (the phrase tells which) are not what was asked for. Ends the
   process; or returns, with sized=report and on=report, and the block is freed. */
MOAT_COLD void diagnose_mismatch(enum report_phrase phrase, uintptr_t address, size_t given,
                                 size_t expected);
/* A live block of the strict level, by another family of functions than it was made by. Ends the
   process; or returns, with on=report, and the block is freed, or resized. Reports nothing of a
   free, and is false, where a module may have operators of its own: then nothing is known of who
   has made the block, nor of its size. */
MOAT_COLD bool diagnose_family(enum report_phrase phrase, uintptr_t address, enum family made,
                               enum family freed);
/* Of a sample, live or freed, that is described already: who asked for it, at the strict level.
   Takes no lock. */
void diagnose_sample_request(struct report_facts *facts);

#endif
