/*
 * sample: guarded samples (see sample.h).
 *
 * Everything is rare: each step may cost a system call. No lock but the one of trace_take().
 */
#include "heap/sample.h"

#include "base/thread.h"
#include "meta/canary.h"
#include "meta/locks.h"
#include "os/os.h"

static enum sample_state state_of(uint64_t word) {
    return (enum sample_state)(word & low_mask(SAMPLE_STATE_BITS));
}
static uint64_t number_of(uint64_t word) { return word >> SAMPLE_STATE_BITS; }
static uint64_t word_of(enum sample_state state, uint64_t number) {
    return (uint64_t)state | number << SAMPLE_STATE_BITS;
}

static uint64_t next_number(void) { return atomic_add_relaxed(&ro.samples->number, 1) + 1; }

/* --- Places ---------------------------------------------------------------------------------- */

static bool is_whole(uint32_t place) { return place >= SAMPLE_SMALL; }
static uint32_t segment_number(uint32_t place) {
    return is_whole(place) ? SAMPLE_SHARED + place - SAMPLE_SMALL
                           : (uint32_t)(place / SLOTS_PER_SEGMENT);
}
static uint32_t first_place(uint32_t segment) {
    return segment < SAMPLE_SHARED ? segment * (uint32_t)SLOTS_PER_SEGMENT
                                   : SAMPLE_SMALL + segment - SAMPLE_SHARED;
}
static size_t place_bytes(uint32_t place) { return is_whole(place) ? SEGMENT_SIZE : SLOT_SIZE; }

/* 0: its segment is not there yet. */
static uintptr_t place_start(uint32_t place) {
    /* pairs with add_segment */
    uint32_t index = atomic_load_acquire(&ro.samples->segments[segment_number(place)]);
    if (index == 0) return 0;
    return segment_address(index) + (place - first_place(segment_number(place))) * SLOT_SIZE;
}

/* The place of an address in a segment of samples. */
static uint32_t place_of(uintptr_t address) {
    const struct segment *segment = segment_of(address);
    uint32_t first = segment->place;
    if (is_whole(first)) return first;
    return first + (uint32_t)((address - segment_start(segment)) >> SLOT_SHIFT);
}

/* What lies before the block's pages in its place: a guard, more where the alignment needs it. */
static size_t lead_of(size_t alignment) { return alignment > ro.os_page ? alignment : ro.os_page; }

static bool fits(size_t size, size_t alignment, size_t place) {
    size_t lead = lead_of(alignment);
    if (size > place || lead > place) return false;
    return lead + round_up(size, ro.os_page) + ro.os_page <= place;
}

/* Addresses, and their tables, are for others first. */
static bool may_have_segment(uint32_t number) {
    const struct region *region = ro.region;
    uint64_t refused = atomic_load_relaxed(&ro.samples->refused);
    return !has_bit(refused, number) && SAMPLE_SEGMENTS * SAMPLE_SHARE <= region->span &&
           !guard_space_is_limited();
}

static bool refuse_segment(uint32_t number) {
    atomic_or_relaxed(&ro.samples->refused, bit64(number));
    return false;
}

/* Another thread may be at it too: one of the two stays. False: there is none. */
static bool add_segment(uint32_t number) {
    uint32_t index = 0, none = 0;
    if (!may_have_segment(number) || !region_take(1, 1, &index)) return refuse_segment(number);
    region_expect_no_claims(index, SEGMENT_SIZE);
    struct segment *segment = segment_at(index);
    segment->place = first_place(number);
    segment->means = (uint8_t)guard_place(segment_start(segment));
    if (segment->means == GUARD_NONE || FAILPOINT(SAMPLE_SEGMENT_REFUSED)) {
        region_owe(index, 1);
        return refuse_segment(number);
    }
    /* pairs with the loads of the verbs */
    atomic_store_release(&segment->owner, (uint64_t)OWNER_SAMPLES);
    /* pairs with place_start */
    if (atomic_cas_acq_rel(&ro.samples->segments[number], &none, index)) return true;
    atomic_store_release(&segment->owner, (uint64_t)OWNER_UNUSED); /* pairs likewise */
    if (region_decommit(segment_start(segment), SEGMENT_SIZE))
        region_give(index, 1);
    else
        region_owe(index, 1);
    return true;
}

/* Of [first, end) a place that was never used, else the one that was freed first; UINT32_MAX: all
   are in use. */
static uint32_t find_place(uint32_t first, uint32_t end, bool never_used) {
    uint32_t found = UINT32_MAX;
    uint64_t oldest = UINT64_MAX;
    for (uint32_t place = first; place < end; place++) {
        uint64_t word = atomic_load_relaxed(&ro.samples->words[place]);
        if (place_start(place) == 0) continue;
        if (state_of(word) == SAMPLE_NEVER) return place;
        if (never_used || state_of(word) != SAMPLE_FREED || number_of(word) >= oldest) continue;
        oldest = number_of(word);
        found = place;
    }
    return found;
}

/* Places of a kind: those never used, of segments that are there, then of others, then the one
   that has been free for longest. */
static uint32_t choose_place(bool whole) {
    uint32_t first = whole ? SAMPLE_SMALL : 0, end = whole ? SAMPLES_MAX : SAMPLE_SMALL;
    uint32_t place = find_place(first, end, true);
    if (place != UINT32_MAX) return place;
    uint32_t number = segment_number(first), last = segment_number(end - 1);
    while (number <= last && atomic_load_relaxed(&ro.samples->segments[number]) != 0) number++;
    if (number <= last && add_segment(number)) {
        place = find_place(first, end, true);
        if (place != UINT32_MAX) return place;
    }
    return find_place(first, end, false);
}

/* Attempts at places that other threads take first. */
#define ATTEMPTS 4

static uint32_t take_place(bool whole, uint64_t *before) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint32_t place = FAILPOINT(SAMPLES_FULL) ? UINT32_MAX : choose_place(whole);
        if (place == UINT32_MAX) return place;
        uint64_t *word = &ro.samples->words[place];
        uint64_t seen = atomic_load_relaxed(word);
        if (state_of(seen) != SAMPLE_NEVER && state_of(seen) != SAMPLE_FREED) continue;
        *before = seen;
        /* pairs with the store of sample_close */
        if (!FAILPOINT(SAMPLE_PLACE_AGAIN) &&
            atomic_cas_acq_rel(word, &seen, word_of(SAMPLE_TAKEN, next_number())))
            return place;
    }
    return UINT32_MAX;
}

/* --- Allocating ------------------------------------------------------------------------------ */

static void note_trace(struct trace *trace, uintptr_t return_address) {
    locks_acquire(LOCK_TRACES);
    trace_take(trace, return_address, os_milliseconds());
    locks_release(LOCK_TRACES);
}

static bool hide(struct sample_record *sample, uintptr_t start, size_t size) {
    bool hidden = guard_hide(start, size, &sample->means);
    if (hidden && sample->has_split) {
        guard_give_split();
        sample->has_split = false;
    }
    return hidden;
}

/* All of the place is inaccessible and empty afterwards, if that can be had. */
static bool hide_all(struct sample_record *sample, uint32_t place) {
    bool hidden = hide(sample, place_start(place), place_bytes(place));
    sample->is_spoiled = !hidden;
    return hidden;
}

/* The pages of a place that is this thread's can be touched, and are empty. */
static bool open_pages(struct sample_record *sample, uint32_t place, uintptr_t pages,
                       size_t bytes) {
    if (sample->means == GUARD_NONE) sample->means = segment_of(pages)->means;
    if (sample->is_spoiled && !hide_all(sample, place)) return false;
    bool split = sample->means == GUARD_SPLIT;
    if (split && !guard_take_split()) return false;
    if (!guard_reveal(pages, bytes, (enum guard_means)sample->means)) {
        if (split) guard_give_split();
        return false;
    }
    sample->has_split = split;
    return true;
}

MOAT_NOINLINE void *sample_alloc(size_t size, size_t alignment, uint64_t chance) {
    THREAD_INSIDE();
    bool whole = !fits(size, alignment, SLOT_SIZE);
    uint64_t before = 0;
    if (alignment < GRANULE) alignment = GRANULE;
    if (whole && !fits(size, alignment, SEGMENT_SIZE)) return NULL;
    if (ro.options.guards == GUARDS_OFF || atomic_load_relaxed(&ro.region->memory_is_locked))
        return NULL;
    uint32_t place = take_place(whole, &before);
    if (place == UINT32_MAX) return NULL;
    struct sample_record *sample = &ro.samples->samples[place];
    uintptr_t pages = place_start(place) + lead_of(alignment);
    size_t bytes = round_up(size, ro.os_page);
    if (!open_pages(sample, place, pages, bytes)) {
        atomic_store_release(&ro.samples->words[place], before); /* pairs with take_place */
        return NULL;
    }
    atomic_add_relaxed(&ro.region->committed, bytes);
    uintptr_t end = pages + bytes;
    uintptr_t block = (chance & 1) != 0 ? round_down(end - size, alignment) : pages;
    canary_fill(pages, pages, block);
    canary_fill(pages, block + size, end);
    atomic_store_relaxed(&sample->block, block);
    atomic_store_relaxed(&sample->size, size);
    atomic_store_relaxed(&sample->alignment, alignment);
    atomic_store_relaxed(&sample->pages, pages);
    atomic_store_relaxed(&sample->bytes, bytes);
    note_trace(&sample->allocated, (uintptr_t)__builtin_return_address(0));
    atomic_store_relaxed(&sample->freed.count, 0u);
    /* pairs with the fetch_and of sample_close */
    atomic_or_acq_rel(&map_word_of(block)->live, map_bit_of(block));
    uint64_t number = number_of(atomic_load_relaxed(&ro.samples->words[place]));
    /* pairs with look */
    atomic_store_release(&ro.samples->words[place], word_of(SAMPLE_LIVE, number));
    return (void *)block;
}

/* --- Finding and freeing --------------------------------------------------------------------- */

/* The word of the place if a sample lives at the address; 0: none does. */
static uint64_t look(uintptr_t address) {
    uint32_t place = place_of(address);
    /* pairs with sample_alloc */
    uint64_t word = atomic_load_acquire(&ro.samples->words[place]);
    bool lives = state_of(word) == SAMPLE_LIVE &&
                 atomic_load_relaxed(&ro.samples->samples[place].block) == address;
    return lives ? word : 0;
}

/* Without total store order what was stored before the block was handed over may not have
   arrived. */
static uint64_t look_twice(uintptr_t address) {
    uint64_t word = look(address);
    if (word != 0 || CPU_HAS_TOTAL_STORE_ORDER) return word;
    os_membarrier(); /* pairs with every store of other threads before it */
    return look(address);
}

bool sample_find(uintptr_t address, struct sample_view *view) {
    const struct sample_record *sample = &ro.samples->samples[place_of(address)];
    if (look_twice(address) == 0) return false;
    view->size = atomic_load_relaxed(&sample->size);
    view->alignment = atomic_load_relaxed(&sample->alignment);
    view->pages = atomic_load_relaxed(&sample->pages);
    view->end = view->pages + atomic_load_relaxed(&sample->bytes);
    return true;
}

bool sample_claim(uintptr_t address) {
    uint64_t word = look_twice(address);
    if (word == 0) return false;
    /* pairs with sample_alloc, and with another claim */
    return atomic_cas_acq_rel(&ro.samples->words[place_of(address)], &word,
                              word_of(SAMPLE_FREEING, number_of(word)));
}

/* The pages of a block that is freed are empty and inaccessible; what the kernel refuses now it is
   asked for again before the place is used. So is the rest of the place when these were closed by
   other means than it: what opens pages by the new means leaves the old ones' markers in. */
static void close_pages(struct sample_record *sample, uint32_t place) {
    if (sample->is_spoiled) {
        (void)hide_all(sample, place);
        return;
    }
    uint8_t means = sample->means;
    bool hidden = hide(sample, sample->pages, sample->bytes);
    sample->is_spoiled = !hidden || sample->means != means;
}

MOAT_NOINLINE void sample_close(uintptr_t address) {
    THREAD_INSIDE();
    uint32_t place = place_of(address);
    struct sample_record *sample = &ro.samples->samples[place];
    /* pairs with sample_alloc */
    atomic_and_acq_rel(&map_word_of(address)->live, ~map_bit_of(address));
    note_trace(&sample->freed, (uintptr_t)__builtin_return_address(0));
    close_pages(sample, place);
    atomic_add_relaxed(&ro.region->committed, (size_t)0 - sample->bytes);
    /* pairs with the CAS of take_place */
    atomic_store_release(&ro.samples->words[place], word_of(SAMPLE_FREED, next_number()));
}

uintptr_t sample_damage(const struct sample_view *view, uintptr_t address) {
    if (atomic_load_relaxed(&ro.samples->samples[place_of(address)].is_spoiled)) return 0;
    uintptr_t wrong = canary_check(view->pages, address + view->size, view->end);
    return wrong != 0 ? wrong : canary_check(view->pages, view->pages, address);
}

/* --- For others ------------------------------------------------------------------------------ */

bool sample_describe(uintptr_t address, struct report_facts *facts) {
    uint32_t place = place_of(address);
    const struct sample_record *sample = &ro.samples->samples[place];
    /* pairs with sample_alloc and sample_close */
    enum sample_state state = state_of(atomic_load_acquire(&ro.samples->words[place]));
    facts->page_kind = "sample";
    if (state == SAMPLE_NEVER || state == SAMPLE_TAKEN) return false;
    facts->page_start = atomic_load_relaxed(&sample->pages);
    facts->page_size = atomic_load_relaxed(&sample->bytes);
    facts->block_start = atomic_load_relaxed(&sample->block);
    facts->block_size = atomic_load_relaxed(&sample->size);
    facts->block_state = state == SAMPLE_LIVE ? "in use" : "freed, a guarded sample";
    facts->allocated = &sample->allocated;
    if (state == SAMPLE_FREED) facts->freed = &sample->freed;
    return true;
}

bool sample_fault(uintptr_t address, struct report_facts *facts, bool *freed) {
    if (!region_contains(address)) return false;
    /* pairs with add_segment */
    uint64_t owner = atomic_load_acquire(&segment_of(address)->owner);
    if (owner_kind(owner) != OWNER_SAMPLES || !sample_describe(address, facts)) return false;
    *freed = look(facts->block_start) == 0;
    return true;
}

/* What is opened so is for whoever has the place next to close. */
bool sample_open(uintptr_t address) {
    struct sample_record *sample = &ro.samples->samples[place_of(address)];
    uintptr_t page = round_down(address, ro.os_page);
    atomic_store_relaxed(&sample->is_spoiled, true);
    (void)os_commit((void *)page, ro.os_page);
    (void)os_guard_remove((void *)page, ro.os_page);
    return os_can_read((const void *)page);
}

static uint32_t places_in(const struct segment *segment) {
    return is_whole(segment->place) ? 1 : (uint32_t)SLOTS_PER_SEGMENT;
}

size_t sample_count(const struct segment *segment, size_t *bytes) {
    size_t count = 0;
    for (uint32_t i = 0; i < places_in(segment); i++) {
        uint32_t place = segment->place + i;
        if (state_of(atomic_load_relaxed(&ro.samples->words[place])) != SAMPLE_LIVE) continue;
        count++;
        *bytes += atomic_load_relaxed(&ro.samples->samples[place].size);
    }
    return count;
}

/* The record of a block that was on its way may be half of one and half of another. */
static void recover_place(uint32_t place) {
    struct sample_record *sample = &ro.samples->samples[place];
    uint64_t word = atomic_load_relaxed(&ro.samples->words[place]);
    uintptr_t start = place_start(place), block = sample->block;
    if (block - start < place_bytes(place)) {
        /* pairs with sample_alloc */
        atomic_and_acq_rel(&map_word_of(block)->live, ~map_bit_of(block));
    }
    if (sample->means == GUARD_NONE) sample->means = segment_of(start)->means;
    (void)hide_all(sample, place);
    bool was_new = state_of(word) == SAMPLE_TAKEN;
    if (was_new) sample->block = 0;
    word = was_new ? word_of(SAMPLE_NEVER, 0) : word_of(SAMPLE_FREED, number_of(word));
    atomic_store_release(&ro.samples->words[place], word); /* pairs with take_place */
}

bool sample_recover(struct segment *segment, size_t *bytes, size_t *splits) {
    uint32_t *named = &ro.samples->segments[segment_number(segment->place)];
    uint32_t index = segment_index(segment);
    if (*named == 0) *named = index;
    if (*named != index) { /* of two that were added at once the second */
        atomic_store_relaxed(&segment->owner, (uint64_t)OWNER_UNUSED);
        return false;
    }
    for (uint32_t i = 0; i < places_in(segment); i++) {
        uint32_t place = segment->place + i;
        const struct sample_record *sample = &ro.samples->samples[place];
        enum sample_state state = state_of(atomic_load_relaxed(&ro.samples->words[place]));
        if (state == SAMPLE_TAKEN || state == SAMPLE_FREEING) recover_place(place);
        *splits += sample->has_split; /* also of one that the kernel would not take back */
        if (state == SAMPLE_LIVE) *bytes += sample->bytes;
    }
    return true;
}
