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
static_assert(GROUPS == 64 && GROUPS == SLOTS_PER_SEGMENT,
              "a bit of the segment and a record a group");

static uint64_t *group_hints(const struct segment *segment, unsigned group) {
    return &segment_page(segment, group)->hints;
}

/* Of 64, each that is a multiple of 2^shift; of the larger ones the first is. */
static uint64_t multiples(unsigned shift) {
    static const uint64_t masks[] = {~(uint64_t)0,       0x5555555555555555, 0x1111111111111111,
                                     0x0101010101010101, 0x0001000100010001, 0x0000000100000001};
    return shift < sizeof masks / sizeof masks[0] ? masks[shift] : 1;
}

MOAT_INLINE unsigned above(unsigned value, unsigned bound) {
    return value > bound ? value - bound : 0;
}

/* Powers of two. A segment has one block of its own alignment and of any above. */
#define WORD_SHIFT 10u
#define GROUP_SHIFT 16u
static_assert(MAP_WORD_SPAN == 1u << WORD_SHIFT && GROUPS << GROUP_SHIFT == SEGMENT_SIZE, "spans");
static unsigned shift_of(const struct segment *segment) {
    return segment->alignment < SEGMENT_SHIFT ? segment->alignment : SEGMENT_SHIFT;
}

/* The granules of a map word that are handed out. */
static uint64_t granules_in(const struct segment *segment, unsigned word) {
    unsigned apart = above(shift_of(segment), WORD_SHIFT); /* words from one to the next */
    if ((word & ((1u << apart) - 1)) != 0) return 0;
    return apart != 0 ? 1 : multiples(shift_of(segment) - GRANULE_SHIFT);
}

/* The map words, of a group, that have such. */
static uint64_t words_in(const struct segment *segment, unsigned group) {
    unsigned apart = above(shift_of(segment), GROUP_SHIFT);
    if ((group & ((1u << apart) - 1)) != 0) return 0;
    return multiples(above(shift_of(segment), WORD_SHIFT));
}

static uint64_t groups_in(const struct segment *segment) {
    return multiples(above(shift_of(segment), GROUP_SHIFT));
}

MOAT_INLINE unsigned alignment_number(unsigned shift) {
    unsigned number = above(shift, GRANULE_SHIFT);
    return number < ZERO_SIZE_ALIGNMENTS ? number : ZERO_SIZE_ALIGNMENTS - 1;
}

static uint64_t *open_word(struct zero_size_state *zero, const struct segment *segment) {
    return &zero->open[alignment_number(segment->alignment)][segment->place / 64];
}

/* There may be free granules everywhere in it. */
static void open_all(struct zero_size_state *zero, uint32_t place) {
    struct segment *segment = segment_at(zero->segments[place]);
    for (unsigned group = 0; group < GROUPS; group++)
        atomic_store_relaxed(group_hints(segment, group), words_in(segment, group));
    atomic_store_relaxed(&segment->hints, groups_in(segment));
    /* pairs with take_from_any */
    atomic_or_acq_rel(open_word(zero, segment), bit64(place));
}

/* Adds a segment unless another thread has meanwhile. */
static bool add_segment(struct zero_size_state *zero, uint32_t seen, unsigned alignment) {
    uint32_t align = 1u << above(alignment, SEGMENT_SHIFT); /* segments */
    locks_acquire(LOCK_ZERO_SIZE);
    uint32_t count = atomic_load_relaxed(&zero->count), index;
    bool ok = count != seen;
    bool has_room = count < ZERO_SIZE_SEGMENTS_MAX && !FAILPOINT(ZERO_SIZE_FULL);
    if (!ok && has_room && region_take(1, align, &index)) {
        region_expect_no_claims(index, SEGMENT_SIZE);
        segment_at(index)->place = count; /* where it stands in the table, for zero_size_free */
        segment_at(index)->alignment = (uint8_t)alignment;
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
MOAT_INLINE uintptr_t take(struct map_word *word, uintptr_t first, uint64_t mask) {
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
    if (atomic_or_acq_rel(&segment->hints, bit64(group)) != 0) return;
    /* pairs likewise */
    atomic_or_acq_rel(open_word(zero, segment), bit64(segment->place));
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

/* `any`: all granules are handed out; known where it is compiled. */
MOAT_INLINE uintptr_t take_from_group(struct segment *segment, unsigned group, bool any) {
    uint64_t *hints = group_hints(segment, group);
    for (uint64_t rest; (rest = atomic_load_relaxed(hints)) != 0;) {
        unsigned bit = low_bit(rest), number = group * 64 + bit;
        uintptr_t first = segment_start(segment) + number * MAP_WORD_SPAN;
        struct map_word *word = map_word_of(first);
        uint64_t granules = any ? ~(uint64_t)0 : granules_in(segment, number);
        uintptr_t address = take(word, first, granules);
        if (address != 0) return address;
        if (!clear_hint(hints, bit, &word->live, granules)) set_word(segment, number);
    }
    return 0;
}

MOAT_INLINE uintptr_t take_from_segment(struct segment *segment, bool any) {
    for (uint64_t rest; (rest = atomic_load_relaxed(&segment->hints)) != 0;) {
        unsigned group = low_bit(rest);
        uintptr_t address = take_from_group(segment, group, any);
        if (address != 0) return address;
        if (!clear_hint(&segment->hints, group, group_hints(segment, group), 0))
            set_group(segment, group);
    }
    return 0;
}

/* Of a word of open segments those that lie right: above a segment's alignment they share a
   number. */
static uint64_t right_places(uint64_t places, const uint32_t *segments, unsigned alignment) {
    uint64_t right = 0;
    for (; places != 0; places &= places - 1)
        if ((segment_address(segments[low_bit(places)]) & low_mask(alignment)) == 0)
            right |= places & -places;
    return right;
}

MOAT_INLINE uintptr_t take_from_any(struct zero_size_state *zero, unsigned alignment) {
    uint64_t *open = zero->open[alignment_number(alignment)];
    for (uint32_t word = 0; word < ZERO_SIZE_WORDS; word++)
        for (;;) {
            /* pairs with open_all: the table of segments is filled in */
            uint64_t rest = atomic_load_acquire(&open[word]);
            if (alignment > SEGMENT_SHIFT)
                rest = right_places(rest, &zero->segments[word * 64], alignment);
            if (rest == 0) break;
            uint32_t place = word * 64 + low_bit(rest);
            struct segment *segment = segment_at(zero->segments[place]);
            uintptr_t address = take_from_segment(segment, alignment == GRANULE_SHIFT);
            if (address != 0) return address;
            if (!clear_hint(&open[word], low_bit(rest), &segment->hints, 0))
                atomic_or_acq_rel(&open[word], bit64(place)); /* pairs likewise */
        }
    return 0;
}

void *zero_size_alloc(size_t alignment) {
    THREAD_INSIDE();
    struct zero_size_state *zero = ro.zero_size;
    unsigned shift = MOAT_LIKELY(alignment <= GRANULE) ? GRANULE_SHIFT : high_bit(alignment);
    for (;;) {
        uint32_t count = atomic_load_acquire(&zero->count); /* pairs with add_segment */
        /* the usual case with its numbers known */
        uintptr_t address = MOAT_LIKELY(shift == GRANULE_SHIFT) ? take_from_any(zero, GRANULE_SHIFT)
                                                                : take_from_any(zero, shift);
        if (address != 0) return (void *)address;
        if (!add_segment(zero, count, shift)) return NULL;
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

/* Nobody has to look at the words of a group that hints lead to, all of them, where any granule may
   be handed out. */
static bool validate_group(const struct segment *segment, unsigned group, bool is_open) {
    uint64_t hints = *group_hints(segment, group);
    if (is_open && hints == ~(uint64_t)0 && segment->alignment == GRANULE_SHIFT) return true;
    const struct map_word *words = map_word_of(segment_start(segment));
    for (unsigned word = group * 64; word < (group + 1) * 64; word++) {
        uint64_t live = atomic_load_relaxed(&words[word].live), all = granules_in(segment, word);
        if ((live & ~all) != 0) return false;
        if (live != all && !(is_open && has_bit(hints, word))) return false;
    }
    return true;
}

bool zero_size_validate(void) {
    const struct zero_size_state *zero = ro.zero_size;
    for (uint32_t place = 0; place < zero->count; place++) {
        const struct segment *segment = segment_at(zero->segments[place]);
        bool is_open = has_bit(zero->open[alignment_number(segment->alignment)][place / 64], place);
        for (unsigned group = 0; group < GROUPS; group++)
            if (!validate_group(segment, group, is_open && has_bit(segment->hints, group)))
                return false;
    }
    return true;
}
