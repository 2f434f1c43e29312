/*
 * diagnose: what an address is that was wrongly taken for a block (see diagnose.h).
 *
 * The caller is not believed: the address is looked up anew from the region's base, over the owner
 * word and the maps. Other threads may be at work meanwhile; what is printed was true a moment ago.
 */
#include "alloc/diagnose.h"
#include "alloc/surroundings.h"
#include "heap/damage.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "heap/sample.h"
#include "report/who.h"

enum finding { FOUND_FREE, FOUND_INSIDE, FOUND_NO_BLOCK, FOUND_OUTSIDE, FINDINGS };

static const enum report_phrase phrases[VERBS][FINDINGS] = {
    [VERB_FREE] = {PHRASE_SECOND_FREE, PHRASE_FREE_INSIDE, PHRASE_FREE_NO_BLOCK,
                   PHRASE_FREE_OUTSIDE},
    [VERB_RESIZE] = {PHRASE_REALLOC_FREED, PHRASE_REALLOC_INSIDE, PHRASE_REALLOC_NO_BLOCK,
                     PHRASE_REALLOC_OUTSIDE},
    [VERB_SIZE_QUERY] = {PHRASE_SIZE_OF_FREED, PHRASE_SIZE_OF_INSIDE, PHRASE_SIZE_OF_NO_BLOCK,
                         PHRASE_SIZE_OF_OUTSIDE},
};

static void describe_owner(uint64_t word, struct report_facts *facts) {
    if (word & OWNER_ABANDONED) {
        facts->segment_owner = "no thread (abandoned)";
        return;
    }
    if (word & OWNER_ORPHAN) {
        facts->segment_owner = "a thread that did not survive the fork";
        return;
    }
    const struct heap *heap = (const struct heap *)owner_heap(word);
    uintptr_t thread = atomic_load_relaxed(&heap->thread);
    facts->segment_owner = thread == thread_identity()  ? "this thread"
                           : heap == heap_at(HEAP_LATE) ? "no thread (for those without a heap)"
                           : thread == 0                ? "no thread (it is ending)"
                                                        : "another thread";
    if (thread == 0 || thread == thread_identity()) return;
    facts->owner_thread = who_thread_of(thread_identity(), thread);
    if (facts->owner_thread != 0) who_name_of(facts->owner_thread, facts->owner_name);
}

static const char *const makers[] = {
    [FAMILY_MALLOC] = "malloc", [FAMILY_NEW] = "new", [FAMILY_NEW_ARRAY] = "new[]"};

static const char *maker(enum family family) {
    return family < sizeof makers / sizeof *makers ? makers[family] : NULL;
}

/* Of a block of the strict level that is in use, or waits in quarantine. */
static void describe_request(struct report_facts *facts) {
    struct request request = request_load(facts->block_start, facts->block_size);
    facts->asked_by = maker(request.family);
    if (facts->asked_by != NULL && request.slack < facts->block_size)
        facts->asked_for = facts->block_size - request.slack;
}

/* Of one with a run of its own, likewise. */
static void describe_run_request(struct report_facts *facts) {
    uintptr_t run = facts->page_start;
    facts->asked_by = maker(request_load(run, GRANULE).family);
    if (facts->asked_by != NULL && request_size(run) <= facts->block_size)
        facts->asked_for = request_size(run);
}

void diagnose_sample_request(struct report_facts *facts) {
    if (!ro_is_strict()) return;
    facts->asked_by = maker(request_load(facts->block_start, GRANULE).family);
    if (facts->asked_by != NULL) facts->asked_for = facts->block_size;
}

static enum finding find_in_page(uintptr_t address, uint64_t word, struct report_facts *facts) {
    enum page_kind kind = owner_page_kind(word);
    const struct page *page = page_of(address, kind);
    page_describe(page, kind, address, facts);
    describe_owner(word, facts);
    if (facts->block_size == 0 || address - facts->page_start >= page->limit) {
        facts->block_start = facts->block_size = 0; /* nothing was carved there yet */
        facts->place = place_in_segment(address, word);
        return FOUND_NO_BLOCK;
    }
    facts->block_state = block_state(page, facts->block_start);
    if (ro_is_strict()) describe_request(facts);
    block_neighbours(page, facts);
    return facts->block_start == address ? FOUND_FREE : FOUND_INSIDE;
}

static enum finding find_huge(uintptr_t address, struct report_facts *facts) {
    const struct segment *segment = huge_find(address);
    if (segment == NULL) {
        facts->place = place_in_segment(address, 0);
        return FOUND_NO_BLOCK;
    }
    bool live = owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_HUGE;
    facts->page_kind = "huge";
    facts->page_start = segment_start(segment);
    facts->page_size = atomic_load_relaxed(&segment->committed);
    size_t lead = ro_is_strict() ? request_lead(facts->page_start) : 0;
    if (address - facts->page_start < lead) {
        facts->place = "what lies between a guard and a huge block";
        return FOUND_NO_BLOCK;
    }
    facts->block_start = facts->page_start + lead;
    facts->block_size = facts->page_size - lead;
    facts->block_state = live ? "in use" : "free";
    if (ro_is_strict()) describe_run_request(facts);
    if (facts->block_start == address) return FOUND_FREE;
    return live ? FOUND_INSIDE : FOUND_NO_BLOCK;
}

static enum finding find_sample(uintptr_t address, struct report_facts *facts) {
    if (!sample_describe(address, facts)) {
        facts->place = place_in_segment(address, OWNER_SAMPLES);
        return FOUND_NO_BLOCK;
    }
    diagnose_sample_request(facts);
    if (address == facts->block_start) return FOUND_FREE;
    return address - facts->block_start < facts->block_size ? FOUND_INSIDE : FOUND_NO_BLOCK;
}

static enum finding look_up(uintptr_t address, struct report_facts *facts) {
    if (!region_contains(address)) {
        facts->place = place_of_own(address);
        return FOUND_OUTSIDE;
    }
    facts->segment_start = round_down(address, SEGMENT_SIZE);
    /* pairs with the stores of every owner change */
    uint64_t word = atomic_load_acquire(&segment_of(address)->owner);
    switch (owner_kind(word)) {
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE: return find_in_page(address, word, facts);
    case OWNER_ZERO_SIZE:
        facts->page_kind = "zero-size";
        facts->place = place_in_segment(address, word);
        return address % GRANULE == 0 ? FOUND_FREE : FOUND_NO_BLOCK;
    case OWNER_SAMPLES: return find_sample(address, facts);
    case OWNER_UNUSED: /* it may lie inside a run of segments that begins further down */
    case OWNER_HUGE:
    case OWNER_FREEING:
    case OWNER_FREED: break;
    }
    return find_huge(address, facts);
}

static enum finding find(uintptr_t address, struct report_facts *facts) {
    enum finding finding = look_up(address, facts);
    if (finding == FOUND_NO_BLOCK) nearest_block(address, facts);
    return finding;
}

/* Of a live block. The strict level has claimed it by now, to free it, and what its words say then
   is said of freed ones. */
static void find_live(uintptr_t address, struct report_facts *facts) {
    (void)find(address, facts);
    if (ro_is_strict() && facts->block_state != NULL) facts->block_state = "in use";
}

void diagnose_not_live(uintptr_t address, enum verb verb) {
    struct report_facts facts = {0};
    enum report_phrase phrase = phrases[verb][find(address, &facts)];
    if (!report_goes_on(phrase)) report_fatal(phrase, address, &facts);
    report_site_and_continue(phrase, address, &facts);
}

void diagnose_reentry(void) {
    if (!report_goes_on(PHRASE_CALL_FROM_HANDLER)) heap_report_reentry();
    report_site_and_continue(PHRASE_CALL_FROM_HANDLER, 0, NULL);
}

void diagnose_mismatch(enum report_phrase phrase, uintptr_t address, size_t given,
                       size_t expected) {
    struct report_facts facts = {0};
    find_live(address, &facts);
    facts.size_given = given;
    facts.size_expected = expected;
    if (ro.options.sized == SIZED_REPORT)
        report_and_continue(phrase, address, &facts);
    else if (report_goes_on(phrase))
        report_site_and_continue(phrase, address, &facts);
    else
        report_fatal(phrase, address, &facts);
}

/* A library that is loaded with RTLD_DEEPBIND has the operators of its runtime, which moat is not
   in front of then. */
static bool families_may_cross(void) {
    return !IN_HARNESS && (ro.options.deepbind != DEEPBIND_STRIP || report_operators_elsewhere());
}

bool diagnose_family(enum report_phrase phrase, uintptr_t address, enum family made,
                     enum family freed) {
    if (phrase == PHRASE_WRONG_FAMILY && families_may_cross()) return false;
    static const char *const freers[] = {"", "free", "delete", "delete[]", ""};
    struct report_facts facts = {0};
    find_live(address, &facts);
    facts.made_by = maker(made) != NULL ? maker(made) : "nobody";
    facts.freed_by = phrase == PHRASE_REALLOC_WRONG_FAMILY ? "realloc" : freers[freed];
    if (!report_goes_on(phrase)) report_fatal(phrase, address, &facts);
    report_site_and_continue(phrase, address, &facts);
    return true;
}

void damage_report(enum report_phrase phrase, uintptr_t block, uintptr_t written) {
    struct report_facts facts = {0};
    (void)find(block, &facts);
    bool overflow = report_phrase_kind(phrase) == REPORT_OVERFLOW;
    facts.block_state = overflow ? "in use" : "free, and written to since";
    facts.written = written;
    if (!report_goes_on(phrase)) report_fatal(phrase, block, &facts);
    report_site_and_continue(phrase, block, &facts);
}
