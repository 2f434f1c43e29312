/*
 * damage: see damage.h.
 */
#include "heap/damage.h"

#include "heap/sample.h"
#include "meta/request.h"

/* Fills in what is known of the block. Where it ends for its user, if it has one. */
static void describe(uintptr_t block, bool in_use, struct report_facts *facts) {
    struct segment *segment = segment_of(block);
    uint64_t word = atomic_load_relaxed(&segment->owner);
    facts->segment_start = segment_start(segment);
    if (owner_has_pages(word)) {
        enum page_kind kind = owner_page_kind(word);
        page_describe(page_of(block, kind), kind, block, facts);
        if (in_use) facts->block_size -= request_load(block, facts->block_size).slack;
        return;
    }
    if (owner_kind(word) == OWNER_SAMPLES) {
        (void)sample_describe(block, facts);
        return;
    }
    facts->page_kind = "huge";
    facts->page_start = segment_start(segment);
    facts->page_size = atomic_load_relaxed(&segment->committed);
    facts->block_start = block;
    facts->block_size = request_size(facts->page_start);
}

void damage_report(enum report_phrase phrase, uintptr_t block, uintptr_t written) {
    struct report_facts facts = {0};
    bool overflow = report_phrase_kind(phrase) == REPORT_OVERFLOW;
    describe(block, overflow, &facts);
    facts.block_state = overflow ? "in use" : "free, and written to since";
    facts.written = written;
    if (!report_goes_on(phrase)) report_fatal(phrase, block, &facts);
    report_site_and_continue(phrase, block, &facts);
}
