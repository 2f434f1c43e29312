/*
 * zero_size: the addresses of malloc(0) (see zero_size.h).
 *
 * Taken by fetch_or and given back by fetch_and on the live map, whose old value says who was
 * first. The levels above only hint; each read-modify-write of them is acq_rel, so that whoever
 * clears a bit after it was set sees what was below when it was set.
 */
#include "heap/zero_size.h"
#include "meta/locks.h"
#include "base/thread.h"

#define GROUPS (MAP_WORDS_PER_SEGMENT / 64) /* of map words in a segment, a page record each */
static_assert(GROUPS == 64 && GROUPS == SLOTS_PER_SEGMENT, "a bit of woken and a record a group");

static uint64_t *group_hints(const struct segment *segment, unsigned group) {
    return &segment_page(segment, group)->pending;
}

/* There may be free granules everywhere in it. */
static void open_all(struct zero_size_state *zero, uint32_t place) {
    struct segment *segment = segment_at(zero->segments[place]);
    for (unsigned group = 0; group < GROUPS; group++)
        atomic_store_relaxed(group_hints(segment, group), ~(uint64_t)0);
    atomic_store_relaxed(&segment->woken, ~(uint64_t)0);
    /* pairs with take_from_any */
    atomic_or_acq_rel(&zero->open[place / 64], bit64(place));
}

/* Adds a segment unless another thread has meanwhile. */
static bool add_segment(struct zero_size_state *zero, uint32_t seen, uint32_t align) {
    locks_acquire(LOCK_ZERO_SIZE);
    uint32_t count = atomic_load_relaxed(&zero->count), index;
    bool ok = count != seen;
    if (!ok && count < ZERO_SIZE_SEGMENTS_MAX && region_take(1, align, &index)) {
        segment_at(index)->place = count; /* where it stands in the table, for zero_size_free */
        /* pairs with the load of free */
        atomic_store_release(&segment_at(index)->owner, (uint64_t)OWNER_ZERO_SIZE);
        zero->segments[count] = index;
        open_all(zero,
                 count); /* first: who sees the count finds what is there, and adds no other */
        atomic_store_release(&zero->count, count + 1); /* pairs with zero_size_alloc */
        ok = true;
    }
    locks_release(LOCK_ZERO_SIZE);
    return ok;
}

/* Takes the lowest free granule of a map word among those in the mask; 0 if there is none. */
static uintptr_t take(struct map_word *word, uintptr_t first, uint64_t mask) {
    for (;;) {
        uint64_t granules = ~atomic_load_relaxed(&word->live) & mask;
        if (granules == 0) return 0;
        uint64_t bit = granules & -granules;
        if ((atomic_or_acq_rel(&word->live, bit) & bit) == 0)
            return first + low_bit(bit) * GRANULE; /* pairs with zero_size_free */
    }
}

/* Two levels above a map word, from below: whoever makes a word of hints differ from 0 sets the one
   above it; see zero_size.h. */
static void set_group(struct segment *segment, unsigned group) {
    struct zero_size_state *zero = ro.zero_size;
    /* each pairs with the fetch_and of clear_hint */
    if (atomic_or_acq_rel(&segment->woken, bit64(group)) != 0) return;
    /* pairs likewise */
    atomic_or_acq_rel(&zero->open[segment->place / 64], bit64(segment->place));
}

static void set_word(struct segment *segment, unsigned word) {
    /* pairs likewise */
    if (atomic_or_acq_rel(group_hints(segment, word / 64), bit64(word)) == 0)
        set_group(segment, word / 64);
}

/* Nothing was found below a hint. False: there is something by now, and it must be set again. */
static bool clear_hint(uint64_t *hints, unsigned bit, const uint64_t *below, uint64_t nothing) {
    atomic_and_acq_rel(hints, ~bit64(bit)); /* pairs with the fetch_or of set_word, set_group */
    return atomic_load_relaxed(below) == nothing;
}

static uintptr_t take_from_group(struct segment *segment, unsigned group) {
    uint64_t *hints = group_hints(segment, group);
    for (uint64_t rest; (rest = atomic_load_relaxed(hints)) != 0;) {
        unsigned bit = low_bit(rest);
        uintptr_t first = segment_start(segment) + ((size_t)group * 64 + bit) * MAP_WORD_SPAN;
        struct map_word *word = map_word_of(first);
        uintptr_t address = take(word, first, ~(uint64_t)0);
        if (address != 0) return address;
        if (!clear_hint(hints, bit, &word->live, ~(uint64_t)0)) set_word(segment, group * 64 + bit);
    }
    return 0;
}

static uintptr_t take_from_segment(struct segment *segment) {
    for (uint64_t rest; (rest = atomic_load_relaxed(&segment->woken)) != 0;) {
        unsigned group = low_bit(rest);
        uintptr_t address = take_from_group(segment, group);
        if (address != 0) return address;
        if (!clear_hint(&segment->woken, group, group_hints(segment, group), 0))
            set_group(segment, group);
    }
    return 0;
}

static uintptr_t take_from_any(struct zero_size_state *zero) {
    for (uint32_t word = 0; word < ZERO_SIZE_SEGMENTS_MAX / 64; word++)
        for (uint64_t rest; (rest = atomic_load_acquire(&zero->open[word])) != 0;) {
            /* pairs with open_all: the table of segments is filled in */
            uint32_t place = word * 64 + low_bit(rest);
            struct segment *segment = segment_at(zero->segments[place]);
            uintptr_t address = take_from_segment(segment);
            if (address != 0) return address;
            if (!clear_hint(&zero->open[word], low_bit(rest), &segment->woken, 0))
                atomic_or_acq_rel(&zero->open[word], bit64(place)); /* pairs likewise */
        }
    return 0;
}

/* The granules of a map word whose addresses are aligned, as a mask: the word's first address is a
   multiple of MAP_WORD_SPAN. */
static uint64_t aligned_granules(uintptr_t first, size_t alignment) {
    uint64_t mask = 0;
    if ((first & (alignment - 1) & ~(MAP_WORD_SPAN - 1)) != 0) return 0;
    for (size_t offset = 0; offset < MAP_WORD_SPAN; offset += alignment)
        mask |= bit64((unsigned)(offset / GRANULE));
    return mask;
}

/* By a walk over all map words. What it takes leaves the hints as they are. */
static uintptr_t take_aligned(struct zero_size_state *zero, uint32_t count, size_t alignment) {
    for (uint32_t place = 0; place < count; place++) {
        uintptr_t first = segment_address(zero->segments[place]), end = first + SEGMENT_SIZE;
        for (; first < end; first += MAP_WORD_SPAN) {
            uintptr_t address = take(map_word_of(first), first, aligned_granules(first, alignment));
            if (address != 0) return address;
        }
    }
    return 0;
}

void *zero_size_alloc(size_t alignment) {
    THREAD_INSIDE();
    struct zero_size_state *zero = ro.zero_size;
    uint32_t align = alignment > SEGMENT_SIZE ? (uint32_t)(alignment >> SEGMENT_SHIFT) : 1;
    for (;;) {
        uint32_t count = atomic_load_acquire(&zero->count); /* pairs with add_segment */
        uintptr_t address =
            alignment <= GRANULE ? take_from_any(zero) : take_aligned(zero, count, alignment);
        if (address != 0) return (void *)address;
        if (!add_segment(zero, count, align)) return NULL;
    }
}

bool zero_size_free(uintptr_t address) {
    THREAD_INSIDE();
    uint64_t bit = map_bit_of(address);
    /* pairs with take */
    if ((atomic_and_acq_rel(&map_word_of(address)->live, ~bit) & bit) == 0) return false;
    set_word(segment_of(address), (unsigned)(address / MAP_WORD_SPAN % MAP_WORDS_PER_SEGMENT));
    return true;
}

/* It may be open already: then it has blocks. */
void zero_size_recover_segment(uint32_t index) {
    struct zero_size_state *zero = ro.zero_size;
    uint32_t place = segment_at(index)->place;
    if (place < zero->count && zero->segments[place] == index) return;
    segment_at(index)->place = zero->count;
    zero->segments[zero->count++] = index;
}

void zero_size_recover(void) {
    struct zero_size_state *zero = ro.zero_size;
    for (uint32_t place = 0; place < zero->count; place++) open_all(zero, place);
}

bool zero_size_validate(void) {
    const struct zero_size_state *zero = ro.zero_size;
    for (uint32_t place = 0; place < zero->count; place++) {
        const struct segment *segment = segment_at(zero->segments[place]);
        const struct map_word *words = map_word_of(segment_start(segment));
        for (unsigned word = 0; word < MAP_WORDS_PER_SEGMENT; word++) {
            if (~atomic_load_relaxed(&words[word].live) == 0) continue;
            bool found = has_bit(*group_hints(segment, word / 64), word) &&
                         has_bit(segment->woken, word / 64) &&
                         has_bit(zero->open[place / 64], place);
            if (!found) return false;
        }
    }
    return true;
}
