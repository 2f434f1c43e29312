/*
 * segment: birth and end, pages in slots, purging, and the bitmaps of abandoned ones (see
 * segment.h).
 *
 * All but the bitmaps and segment_reclaim() are the owner's. The bitmaps are hints beside the owner
 * word: a bit is set after the word, and whoever takes a bit asks the word.
 */
#include "heap/segment.h"

#include "base/bits.h"
#include "meta/mappings.h"
#include "os/os.h"
#include "os/os_seam.h"

uint64_t segment_page_slots(enum page_kind kind) {
    uint64_t slots = kind == PAGE_SMALL    ? ~(uint64_t)0
                     : kind == PAGE_MEDIUM ? (uint64_t)0x0101010101010101
                                           : (uint64_t)1;
    if (kind == PAGE_SMALL && ro.os_page >= SLOT_SIZE) slots &= ~bit64(SLOTS_PER_SEGMENT - 1);
    return slots;
}

#define LAST_SLOT (SLOTS_PER_SEGMENT - 1)
/* A page has a guard of its own where that is at most one of so many of its OS pages. */
#define OS_PAGES_TO_GUARD 4u

static unsigned slots_of_page(enum page_kind kind) {
    return (unsigned)(page_kind_size(kind) / SLOT_SIZE);
}

/* Last slots of all pages of a segment of that kind. */
static uint64_t page_ends(enum page_kind kind) {
    return segment_page_slots(kind) << (slots_of_page(kind) - 1);
}

size_t segment_page_bytes(const struct segment *segment, enum page_kind kind, unsigned slot) {
    unsigned last = slot + slots_of_page(kind) - 1;
    bool guarded = last == LAST_SLOT || (atomic_load_relaxed(&segment->guarded) & bit64(last)) != 0;
    return page_kind_size(kind) - (guarded ? ro.os_page : 0);
}

static uintptr_t last_os_page(const struct segment *segment, unsigned slot) {
    return segment_start(segment) + (slot + 1) * SLOT_SIZE - ro.os_page;
}

/* In a forked child an owner may be gone between bit and marker: the bit must be there if the
   marker is. */
MOAT_NOINLINE static bool make_guard(struct segment *segment, unsigned last, size_t page_size) {
    if (page_size / ro.os_page < OS_PAGES_TO_GUARD) return false;
    segment->guarded |= bit64(last);
    if (guard_mark(last_os_page(segment, last))) return true;
    segment->guarded &= ~bit64(last);
    return false;
}

/* The last OS page of a page that is not in use becomes its guard, unless it is one, or none is to
   be had. Returns what segment_page_bytes() does from now on. */
static size_t guard_page(struct segment *segment, enum page_kind kind, unsigned slot) {
    size_t size = page_kind_size(kind);
    unsigned last = slot + (unsigned)(size >> SLOT_SHIFT) - 1;
    bool guarded = last == LAST_SLOT || (segment->guarded & bit64(last)) != 0 ||
                   make_guard(segment, last, size);
    return guarded ? size - ro.os_page : size;
}

/* Whose owner is gone: a marker may be missing. */
static void renew_guards(const struct segment *segment, uint64_t free_pages, enum page_kind kind) {
    uint64_t ends = free_pages << (slots_of_page(kind) - 1);
    for (uint64_t slots = segment->guarded & ends; slots != 0; slots &= slots - 1)
        (void)guard_mark(last_os_page(segment, low_bit(slots)));
}

#define ALL_SLOTS (~(uint64_t)0)
/* Small pages become usable so many slots at a time, where not all do at once. */
#define SLOTS_PER_STEP 4u

/* All but the last OS page can be used. */
static struct guarded whole_segment(const struct segment *segment) {
    return (struct guarded){SEGMENT_SIZE - ro.os_page, 1, segment->means, false, 0};
}

static uint64_t slots_from(unsigned slot, unsigned count) { return low_mask(count) << slot; }

static uint64_t slots_of_pages(uint64_t pages, enum page_kind kind) {
    uint64_t slots = 0;
    for (; pages != 0; pages &= pages - 1) slots |= slots_from(low_bit(pages), slots_of_page(kind));
    return slots;
}

MOAT_NOINLINE static uint64_t usable_pages_of_some(const struct segment *segment, uint64_t pages,
                                                   enum page_kind kind) {
    unsigned count = slots_of_page(kind);
    uint64_t usable = 0;
    for (; pages != 0; pages &= pages - 1) {
        uint64_t slots = slots_from(low_bit(pages), count);
        if ((segment->usable & slots) == slots) usable |= pages & -pages;
    }
    return usable;
}

/* Of these first slots those whose pages can be used as they are. */
static uint64_t usable_pages(const struct segment *segment, uint64_t pages, enum page_kind kind) {
    bool all = segment->usable == ALL_SLOTS;
    return MOAT_LIKELY(all) ? pages : usable_pages_of_some(segment, pages, kind);
}

static void count_usable(struct segment *segment, uint64_t usable) {
    size_t more = popcount64(usable) - (size_t)popcount64(segment->usable);
    atomic_add_relaxed(&ro.region->committed, more * SLOT_SIZE);
    segment->usable = usable;
}

static bool make_all_usable(struct segment *segment) {
    struct guarded whole = whole_segment(segment);
    if (!guard_open(segment_start(segment), 0, &whole)) return false;
    if (segment->means == GUARD_SPLIT) guard_give_split(); /* what it was in parts */
    segment->means = whole.means;
    count_usable(segment, ALL_SLOTS);
    return true;
}

/* So many slots around one. */
static bool open_slots(const struct segment *segment, unsigned slot, unsigned count,
                       uint64_t *opened) {
    unsigned first = slot / count * count;
    size_t from = first * SLOT_SIZE, to = from + count * SLOT_SIZE;
    if (to == SEGMENT_SIZE) to -= ro.os_page;
    *opened = slots_from(first, count);
    return guard_open_part(segment_start(segment), from, to);
}

/* The page that begins at the slot, and some small ones around it if there is memory for them. A
   segment in parts counts as a mapping of its own, however few of these are left. */
static bool make_some_usable(struct segment *segment, enum page_kind kind, unsigned slot) {
    unsigned least = slots_of_page(kind);
    unsigned usual = least < SLOTS_PER_STEP ? SLOTS_PER_STEP : least;
    uint64_t opened;
    if (!open_slots(segment, slot, usual, &opened) && !open_slots(segment, slot, least, &opened))
        return false;
    if (segment->means != GUARD_SPLIT && guard_take_split()) segment->means = GUARD_SPLIT;
    count_usable(segment, segment->usable | opened);
    return true;
}

static unsigned random_slot(uint64_t slots, struct random *random) {
    return nth_bit(slots, HARDENED_ORDER ? random_below(random, popcount64(slots)) : 0);
}

static bool make_more_usable(struct segment *segment, enum page_kind kind, bool sparing,
                             struct random *random) {
    if (!sparing && make_all_usable(segment)) return true;
    if (make_some_usable(segment, kind, random_slot(segment->free_pages, random))) return true;
    return sparing && make_all_usable(segment); /* which may merge with its neighbours */
}

/* A taken segment gets its first usable memory, or goes back. */
static bool prepare(uint32_t index, enum page_kind kind, bool sparing, struct random *random) {
    struct segment *segment = segment_at(index);
    region_note_pages(index);
    segment->free_pages = segment->untouched = segment_page_slots(kind);
    segment->usable = segment->guarded = segment->classes = 0;
    segment->means = GUARD_NONE;
    if (!FAILPOINT(SHORT_OF_MEMORY) && make_more_usable(segment, kind, sparing, random))
        return true;
    region_give(index, 1);
    return false;
}

MOAT_COLD static bool prepare_another(enum page_kind kind, struct random *random, uint32_t *index) {
    uint32_t from = 0;
    for (unsigned tries = 0; tries < REGION_TRIES_BELOW && mappings_are_short(); tries++) {
        if (!region_take_below(1, from, index)) return false;
        if (prepare(*index, kind, false, random)) return true;
        from = *index + 1;
    }
    return false;
}

struct segment *segment_create(uint64_t owner_word, bool sparing, struct random *random) {
    uint32_t index;
    enum page_kind kind = owner_page_kind(owner_word);
    if (!region_take(1, 1, &index)) return NULL;
    if (!prepare(index, kind, sparing, random) && !prepare_another(kind, random, &index))
        return NULL;
    struct segment *segment = segment_at(index);
    segment->dirty = 0;
    segment->pages_used = 0;
    segment->purge_at = 0;
    segment->open_list = OPEN_NONE;
    /* pairs with the loads of free: they see it through the block's hand-over */
    atomic_store_release(&segment->owner, owner_word);
    return segment;
}

void segment_destroy(struct segment *segment) {
    MOAT_CHECK(segment->pages_used == 0, "segment given back with a page in use",
               segment_start(segment));
    uint32_t index = segment_index(segment);
    /* pairs with the load of remote_free, which then reports */
    atomic_store_release(&segment->owner, (uint64_t)OWNER_UNUSED);
    struct guarded whole = whole_segment(segment);
    bool closed = guard_close(segment_start(segment), &whole);
    count_usable(segment, 0);
    if (closed)
        region_give(index, 1);
    else
        region_owe(index, 1); /* rather than hand out what is not clean */
}

/* --- What a slot held ------------------------------------------------------------------------ */

static void fill_with_zeros(void *start, size_t size) {
    if (IN_HARNESS && os_seam.clear(start, size)) return;
    __builtin_memset(start, 0, size);
}

/* Up to this what a page has left is cleared, which takes a fifth of the time of fetching it anew.
   What the next page does not need of it goes back after the delay: segment_trim(). */
#define CLEARED_MOST (2 * MIB)
/* Of a whole segment, which hardly needs all of it at once. */
#define CLEARED_MOST_OF_ALL (512 * KIB)

/* Nothing is left of the pages that have ended in the slot. The kernel may take nothing back, as of
   locked memory. A page may have reached over where the slot has a guard by now. */
static void empty_page(const struct segment *segment, enum page_kind kind, unsigned slot) {
    struct page *page = segment_page(segment, slot);
    void *start = (void *)(segment_start(segment) + slot * SLOT_SIZE);
    size_t bytes = segment_page_bytes(segment, kind, slot);
    if (page->touched > CLEARED_MOST && os_purge(start, bytes)) {
        page->resident = 0;
    } else {
        fill_with_zeros(start, page->touched < bytes ? page->touched : bytes);
        if (page->resident < page->touched) page->resident = page->touched;
    }
    page->touched = 0;
}

bool segment_is_worn(const struct segment *segment) {
    size_t touched = 0;
    for (uint64_t slots = segment->dirty; slots != 0; slots &= slots - 1)
        touched += segment_page(segment, low_bit(slots))->touched;
    return touched > CLEARED_MOST_OF_ALL;
}

/* The same for all of a segment without pages. What is cleared here stays dirty: it is to go back
   some time. */
static void empty_pages(struct segment *segment, enum page_kind kind) {
    if (segment_is_worn(segment) && segment_purge(segment)) return;
    for (uint64_t slots = segment->dirty; slots != 0; slots &= slots - 1)
        empty_page(segment, kind, low_bit(slots));
}

/* The lowest of these slots whose last page was of the class; NO_SLOT: none was. */
#define NO_SLOT SLOTS_PER_SEGMENT
static unsigned last_of_class(const struct segment *segment, uint64_t slots, uint32_t size_class) {
    for (; slots != 0; slots &= slots - 1)
        if (segment_page(segment, low_bit(slots))->size_class == size_class) return low_bit(slots);
    return NO_SLOT;
}

/* Of these free slots, which are usable. Records of slots that were never used mean nothing. */
static unsigned slot_of_class(struct segment *segment, uint64_t ready, uint32_t size_class) {
    if (MOAT_LIKELY(!has_bit(segment->classes, size_class & 63))) return NO_SLOT;
    uint64_t clean = ready & ~segment->untouched & ~segment->dirty;
    unsigned slot = last_of_class(segment, segment->dirty, size_class);
    if (slot == NO_SLOT) slot = last_of_class(segment, clean, size_class);
    if (slot == NO_SLOT) segment->classes &= ~bit64(size_class & 63);
    return slot;
}

bool segment_remembers(struct segment *segment, uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    uint64_t ready = usable_pages(segment, segment->free_pages, kind);
    return slot_of_class(segment, ready, size_class) != NO_SLOT;
}

/* Slots of pages differ by kind: what was true of all free pages is true of all of them now. */
bool segment_retype(struct segment *segment, uint64_t owner_word) {
    enum page_kind kind = owner_page_kind(owner_word);
    uint64_t slots = segment_page_slots(kind);
    if (segment->dirty != 0)
        empty_pages(segment, owner_page_kind(atomic_load_relaxed(&segment->owner)));
    if ((segment->guarded & ~page_ends(kind)) != 0) {
        if (!guard_unmark(segment_start(segment), SEGMENT_SIZE - ro.os_page)) return false;
        segment->guarded = 0;
    }
    segment->untouched = segment->untouched == segment->free_pages ? slots : 0;
    segment->dirty = segment->dirty == 0 ? 0 : usable_pages(segment, slots, kind);
    segment->free_pages = slots;
    for (uint64_t rest = segment->dirty; rest != 0; rest &= rest - 1) {
        struct page *page = segment_page(segment, low_bit(rest));
        page->touched = 0;
        /* of whatever lay there; of smaller ones nobody asks: segment_surplus() */
        page->resident = kind == PAGE_LARGE ? (uint32_t)page_kind_size(kind) : 0;
    }
    segment->classes = 0;
    atomic_store_release(&segment->owner, owner_word); /* pairs as in segment_create */
    return true;
}

/* Of a segment that is usable in part: the free slots that are. More of them if there is none, or
   none but of other classes; where each is charged, that is for later. 0: no memory. */
MOAT_NOINLINE static uint64_t make_ready(struct segment *segment, uint32_t size_class,
                                         struct random *random) {
    enum page_kind kind = size_class_page_kind(size_class);
    uint64_t ready = usable_pages(segment, segment->free_pages, kind);
    if ((ready & segment->untouched) != 0 || slot_of_class(segment, ready, size_class) != NO_SLOT)
        return ready;
    bool charged = guard_charge_matters();
    if ((ready == 0 || !charged) && make_more_usable(segment, kind, charged, random))
        ready = usable_pages(segment, segment->free_pages, kind);
    return ready;
}

/* Of these free slots, which are usable. Memory that was touched before is cheaper, for the process
   and for the machine, than memory that was not; and of that always the lowest, so that pages that
   come and go stay the same few: at random, more of the segment is touched in the end. */
static unsigned choose_slot(struct segment *segment, uint64_t ready, uint32_t size_class,
                            struct random *random) {
    unsigned own = slot_of_class(segment, ready, size_class);
    if (own != NO_SLOT) return own;
    uint64_t never_used = ready & segment->untouched, clean = ready & ~segment->dirty;
    if (MOAT_LIKELY(never_used != 0)) return random_slot(never_used, random);
    if (clean != 0) return random_slot(clean, random);
    unsigned slot = low_bit(segment->dirty);
    empty_page(segment, size_class_page_kind(size_class), slot);
    return slot;
}

struct page *segment_page_create(struct segment *segment, uint32_t size_class,
                                 struct random *random) {
    enum page_kind kind = size_class_page_kind(size_class);
    uint64_t ready = segment->free_pages;
    if (MOAT_UNLIKELY(segment->usable != ALL_SLOTS)) {
        ready = make_ready(segment, size_class, random);
        if (ready == 0) return NULL;
    }
    unsigned slot = choose_slot(segment, ready, size_class, random);
    struct page *page = segment_page(segment, slot);
    if ((segment->dirty & bit64(slot)) == 0) page->touched = page->resident = 0;
    page_init(page, segment_start(segment) + slot * SLOT_SIZE, guard_page(segment, kind, slot),
              size_class, (segment->untouched & bit64(slot)) != 0, random);
    segment->free_pages &= ~bit64(slot);
    segment->dirty &= ~bit64(slot);
    segment->untouched &= ~bit64(slot);
    segment->pages_used++;
    return page;
}

void segment_page_destroy(struct segment *segment, struct page *page) {
    unsigned slot = page_slot(page);
    page_retire(page);
    segment->free_pages |= bit64(slot);
    segment->dirty |= bit64(slot);
    segment->classes |= bit64(page->size_class & 63);
    segment->pages_used--;
}

bool segment_purge(struct segment *segment) {
    uint64_t dirty = segment->dirty;
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    unsigned slots = slots_of_page(kind);
    while (dirty != 0) {
        unsigned first = low_bit(dirty), end = first;
        uint64_t run = 0;
        for (; end < SLOTS_PER_SEGMENT && (dirty & bit64(end)); end += slots) run |= bit64(end);
        size_t from = first * SLOT_SIZE, to = end * SLOT_SIZE;
        if (to == SEGMENT_SIZE) to -= ro.os_page;
        if (os_purge((void *)(segment_start(segment) + from), to - from)) {
            segment->dirty &= ~run; /* but not untouched: a dangling pointer may write there */
        }
        dirty &= ~run;
    }
    return segment->dirty == 0;
}

/* Slots of free pages that can be used. */
static uint64_t slots_to_close(const struct segment *segment) {
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    return slots_of_pages(usable_pages(segment, segment->free_pages, kind), kind);
}

bool segment_may_close(const struct segment *segment) {
    return guard_lock_is_counted() && slots_to_close(segment) != 0;
}

/* The guard at the end, of whatever kind, is inaccessible memory as what is closed is: whoever
   gives the segment back must not leave a marker there. */
static bool close_guard(struct segment *segment) {
    if (segment->means == GUARD_SPLIT) return true;
    uintptr_t last = segment_start(segment) + SEGMENT_SIZE - ro.os_page;
    if (!region_decommit(last, ro.os_page)) return false;
    if (guard_take_split()) segment->means = GUARD_SPLIT;
    return true;
}

/* A marker goes with what it is in. */
static void note_closed(struct segment *segment, uint64_t slots) {
    segment->guarded &= ~slots;
    segment->dirty &= ~slots; /* but not untouched, as above */
    count_usable(segment, segment->usable & ~slots);
}

bool segment_give_unused(struct segment *segment) {
    if (segment_may_close(segment)) return segment_close(segment);
    return segment->dirty != 0 && segment_purge(segment);
}

bool segment_close(struct segment *segment) {
    uint64_t slots = slots_to_close(segment);
    if (slots != 0 && !close_guard(segment)) return false;
    while (slots != 0) {
        unsigned first = low_bit(slots);
        unsigned count = ~(slots >> first) != 0 ? low_bit(~(slots >> first)) : SLOTS_PER_SEGMENT;
        uint64_t run = slots_from(first, count);
        if (!region_decommit(segment_start(segment) + first * SLOT_SIZE, count * SLOT_SIZE))
            return false;
        note_closed(segment, run);
        slots &= ~run;
    }
    return true;
}

/* Where what a large page does not use begins, by its first bytes, and where it ends that may be
   resident. */
static size_t surplus_from(const struct page *page) { return round_up(page->limit, ro.os_page); }
static size_t surplus_to(const struct segment *segment, const struct page *page) {
    size_t bytes = segment_page_bytes(segment, PAGE_LARGE, page_slot(page));
    size_t most = page->resident > page->touched ? page->resident : page->touched;
    return round_up(most < bytes ? most : bytes, ro.os_page);
}

size_t segment_surplus(const struct segment *segment) {
    if (segment->pages_used == 0 ||
        owner_page_kind(atomic_load_relaxed(&segment->owner)) != PAGE_LARGE)
        return 0;
    const struct page *page = segment_page(segment, 0);
    size_t from = surplus_from(page), to = surplus_to(segment, page);
    return to > from ? to - from : 0;
}

bool segment_trim(struct segment *segment) {
    size_t surplus = segment_surplus(segment);
    if (surplus == 0) return false;
    struct page *page = segment_page(segment, 0);
    size_t from = surplus_from(page);
    if (!os_purge((void *)(segment_start(segment) + from), surplus)) return false;
    page->resident = page->touched = (uint32_t)from;
    return true;
}

void abandoned_add(unsigned set, uint32_t index) {
    struct abandoned *abandoned = &ro.abandoned[set];
    atomic_or_release(&abandoned->words[index / 64], bit64(index)); /* pairs with abandoned_find */
    atomic_or_release(&abandoned->summary[index / 4096], bit64(index / 64));
}

/* Takes one bit of a word among those in the mask; false if none is left. */
static bool take_bit(struct abandoned *abandoned, uint32_t word, uint64_t mask, uint32_t *index) {
    for (;;) {
        uint64_t bits = atomic_load_relaxed(&abandoned->words[word]) & mask;
        if (bits == 0) return false;
        uint64_t bit = bits & -bits;
        /* pairs with abandoned_add */
        if (atomic_and_acquire(&abandoned->words[word], ~bit) & bit) {
            *index = word * 64 + low_bit(bit);
            return true;
        }
    }
}

/* The summary bit of a word that looks empty is cleared; a bit that was added meanwhile is seen by
   the second look, or sets it again. */
static void clear_summary(struct abandoned *abandoned, uint32_t word) {
    atomic_and_acq_rel(&abandoned->summary[word / 64], ~bit64(word)); /* pairs with abandoned_add */
    if (atomic_load_acquire(&abandoned->words[word]) != 0)
        atomic_or_release(&abandoned->summary[word / 64], bit64(word));
}

bool abandoned_find(unsigned set, uint32_t from, uint32_t *index) {
    struct abandoned *abandoned = &ro.abandoned[set];
    uint32_t words = (uint32_t)(round_up(ro.region->span, 64) / 64);
    for (uint32_t word = from / 64; word < words;) {
        uint64_t summary =
            /* pairs with abandoned_add */
            atomic_load_acquire(&abandoned->summary[word / 64]) & ~low_mask(word & 63);
        if (summary == 0) {
            word = (word / 64 + 1) * 64;
            continue;
        }
        word = word / 64 * 64 + low_bit(summary);
        uint64_t mask = word == from / 64 ? ~low_mask(from & 63) : ~(uint64_t)0;
        if (take_bit(abandoned, word, mask, index)) return true;
        if (atomic_load_relaxed(&abandoned->words[word]) == 0) clear_summary(abandoned, word);
        word++;
    }
    return false;
}

bool segment_reclaim(struct segment *segment, const struct owner *heap, uint64_t *seen) {
    *seen = atomic_load_relaxed(&segment->owner);
    if (!(*seen & OWNER_ABANDONED)) return false;
    uint64_t mine = (uint64_t)(uintptr_t)heap | (*seen & OWNER_KIND_MASK);
    /* pairs with the release store of the heap that left it */
    return atomic_cas_acq_rel(&segment->owner, seen, mine);
}

/* Whose owner is gone may have been closing slots that the record still calls usable: those that
   are not in use, and they are empty then. */
static void open_again(struct segment *segment, uint64_t free_slots) {
    for (uint64_t rest = segment->usable, run; rest != 0; rest &= ~run) {
        unsigned first = low_bit(rest);
        unsigned count = ~(rest >> first) != 0 ? low_bit(~(rest >> first)) : SLOTS_PER_SEGMENT;
        size_t from = first * SLOT_SIZE, to = from + count * SLOT_SIZE;
        run = slots_from(first, count);
        if (to == SEGMENT_SIZE) to -= ro.os_page;
        if (!guard_open_part(segment_start(segment), from, to))
            count_usable(segment, segment->usable & ~(run & free_slots));
    }
}

MOAT_COLD int64_t segment_rebuild(struct segment *segment, enum page_kind kind,
                                  struct random *random) {
    uint64_t all = segment_page_slots(kind), in_use = 0;
    int64_t used = 0;
    for (uint64_t slots = all; slots != 0; slots &= slots - 1) {
        unsigned slot = low_bit(slots);
        struct page *page = segment_page(segment, slot);
        uintptr_t start = segment_start(segment) + slot * SLOT_SIZE;
        uint32_t blocks =
            page_rebuild(page, start, segment_page_bytes(segment, kind, slot), random);
        used += blocks;
        if (blocks != 0) in_use |= bit64(slot);
    }
    segment->free_pages = all & ~in_use;
    if (segment->usable != ALL_SLOTS)
        open_again(segment, slots_of_pages(segment->free_pages, kind));
    renew_guards(segment, segment->free_pages, kind);
    segment->dirty = usable_pages(segment, segment->free_pages, kind);
    segment->untouched = 0;
    segment->classes = ~(uint64_t)0;
    segment->pages_used = popcount64(in_use);
    return used;
}

MOAT_COLD bool segment_validate(const struct segment *segment) {
    uint64_t word = atomic_load_relaxed(&segment->owner);
    uint64_t slots = segment_page_slots(owner_page_kind(word));
    if (segment->free_pages & ~slots) return false;
    if (segment->guarded & ~page_ends(owner_page_kind(word))) return false;
    if (segment->dirty & ~segment->free_pages || segment->untouched & ~segment->free_pages)
        return false;
    uint64_t in_use = slots & ~segment->free_pages;
    if (usable_pages(segment, in_use | segment->dirty, owner_page_kind(word)) !=
        (in_use | segment->dirty))
        return false;
    return segment->pages_used == popcount64(in_use);
}
