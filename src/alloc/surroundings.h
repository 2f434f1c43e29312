/*
 * surroundings: what lies at an address, and beside it.
 *
 * For reports: on which list a free block is, its neighbours in the page, the block in use that is
 * nearest to a wild pointer, guards and moat's own tables. Takes no lock; other threads may be at
 * work, and what is said was true a moment ago. Memory of blocks is read by peek alone. Every walk
 * has a bound.
 */
#ifndef MOAT_SURROUNDINGS_H
#define MOAT_SURROUNDINGS_H

#include "heap/segment.h"
#include "report/report.h"

/* The state of a block of a page, with what is known of its list. */
const char *block_state(const struct page *page, uintptr_t block);
/* Fills in the neighbours of the block in its page. */
void block_neighbours(const struct page *page, struct report_facts *facts);
/* Fills in the block in use that is nearest to an address of the region. */
void nearest_block(uintptr_t address, struct report_facts *facts);
/* What part of a segment with pages, or of none, an address without a block lies in. */
const char *place_in_segment(uintptr_t address, uint64_t owner_word);
/* The table of moat's own that an address outside the region lies in; NULL: it is none. */
const char *place_of_own(uintptr_t address);

#endif
