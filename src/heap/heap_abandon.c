/*
 * heap_abandon: segments change hands (contracts in heap.h; the owner word's states in segment.h).
 *
 * A heap leaves its segments behind when its thread ends, and empty ones it does not need; another
 * takes over what it can allocate from. Whoever wins the owner word brings every page to rest
 * before it uses one: claims are taken in, and after a fork lists and counts are made anew from the
 * maps.
 */
#include "heap/heap.h"
#include "os/os.h"

/* Abandoned segments that are looked at for one with room. Where the next search goes on is the
   heap's: it looks at others. */
#define LOOKS_PER_ADOPTION 8

/* What settle_pages does with a segment's pages. */
enum settling {
    SETTLE_KEEP = 0,    /* claims are taken in */
    SETTLE_RELEASE = 1, /* and empty pages given back */
    SETTLE_REBUILD = 2  /* after a fork: everything is made anew, with the pages in use alone */
};

/* Brings every page of a segment to rest. Returns the number of blocks in use. */
static int64_t settle_pages(struct segment *segment, enum page_kind kind, unsigned settling,
                            struct random *random) {
    int64_t used = 0;
    heap_forget_wakes(segment);
    if (settling & SETTLE_REBUILD) return segment_rebuild(segment, kind, random);
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        page_settle(page, kind);
        page->in_full = false;
        used += page_used(page);
        if (page_used(page) == 0 && (settling & SETTLE_RELEASE))
            segment_page_destroy(segment, page);
    }
    return used;
}

static unsigned settling_of(uint64_t seen, unsigned settling) {
    return (seen & OWNER_REBUILD) != 0 ? settling | SETTLE_REBUILD : settling;
}

/* An empty page is welcome where the class has none: it saves making one. */
void heap_adopt(struct heap *heap, struct segment *segment, uint64_t seen) {
    enum page_kind kind = owner_page_kind(seen);
    if (!(seen & OWNER_REBUILD)) heap_note_left(segment, kind, true);
    /* it was kept */
    if (heap->now >= segment->purge_at) keeping_served(&ro.pool->keeping, heap->now);
    settle_pages(segment, kind, settling_of(seen, SETTLE_KEEP), heap_random(heap));
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        heap_own_page(heap, page);
        heap_queue_push(heap, page, false);
        if (page_used(page) == 0 && !heap_queue_keeps(heap, page)) {
            heap_queue_remove(heap, page);
            segment_page_destroy(segment, page);
        }
    }
    heap_list_add(heap, segment);
}

/* The next abandoned segment, going around from where the heap has looked in vain. */
static bool next_abandoned(struct heap *heap, unsigned set, uint32_t *index) {
    return abandoned_find(set, heap->adopt_from, index) ||
           (heap->adopt_from != 0 && abandoned_find(set, 0, index));
}

/* Whether a segment that was just reclaimed has a block of the class, or a page for one. */
static bool serves(const struct heap *heap, const struct segment *segment, enum page_kind kind,
                   uint32_t size_class) {
    if (segment->free_pages != 0) return true;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        const struct page *page = segment_page(segment, low_bit(slots));
        if (page->inherited && heap_leaves_alone(heap, page)) continue;
        if (page->size_class == size_class && (page_has_room(page) || page_has_claims(page)))
            return true;
    }
    return false;
}

/* One segment out of a set. What has no room for the class goes back as it was: somebody else may
   need just that. */
MOAT_INLINE bool adopt_from_set(struct heap *heap, unsigned set, uint32_t size_class) {
    uint32_t index, first = 0;
    int looks = LOOKS_PER_ADOPTION;
    while (looks > 0 && next_abandoned(heap, set, &index) && index != first) {
        struct segment *segment = segment_at(index);
        uint64_t seen = atomic_load_relaxed(&segment->owner);
        /* A hint out of date: by now the segment is another's, or stands in the set of another
           kind. */
        if (set != ABANDONED_EMPTY && owner_page_kind(seen) != (enum page_kind)set) continue;
        if (!segment_reclaim(segment, &heap->owner, &seen)) continue;
        looks--;
        if (set == ABANDONED_EMPTY || (seen & OWNER_REBUILD) != 0 ||
            serves(heap, segment, owner_page_kind(seen), size_class)) {
            heap_adopt(heap, segment, seen);
            /* The lowest first: what nobody needs is the same few, and what is taken up is what was
               in use a moment ago. Not those again that were looked at in vain. */
            if (first == 0) heap->adopt_from = 0;
            return true;
        }
        if (first == 0) first = index;
        heap->adopt_from = index + 1;
        atomic_store_release(&segment->owner, seen); /* pairs with segment_reclaim */
        abandoned_add(set, index);
    }
    if (looks > 0 && first != 0 && index == first) abandoned_add(set, index);
    return false;
}

bool heap_adopt_one(struct heap *heap, uint32_t size_class) {
    return adopt_from_set(heap, size_class_page_kind(size_class), size_class) ||
           adopt_from_set(heap, ABANDONED_EMPTY, size_class);
}

/* Which set a segment belongs to that its owner is about to leave. A page without room gets the
   mark: its first claim leads others to the segment (wake_owner). */
static unsigned set_of(struct segment *segment, enum page_kind kind) {
    if (segment->pages_used == 0) return ABANDONED_EMPTY;
    bool room = segment->free_pages != 0;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        page_give_to(page, 0);
        if (page_has_room(page) || !page_mark_full(page)) room = true;
    }
    return room ? (unsigned)kind : ABANDONED_FULL;
}

/* The segment, with each of its pages, is nobody's from the release store on; the bitmap follows. A
   claim that came between the mark and the store has told the heap that leaves, which is none of
   its business any more: the second look at `woken` finds it. */
static void leave_segment(struct segment *segment, enum page_kind kind, int64_t remaining,
                          uint64_t purge_at) {
    uint32_t index = segment_index(segment);
    unsigned set = set_of(segment, kind);
    segment->purge_at = purge_at;
    heap_note_left(segment, kind, false);
    atomic_store_relaxed(&segment->remaining, remaining);
    /* pairs with segment_reclaim */
    atomic_store_release(&segment->owner, owner_word(OWNER_ABANDONED, kind));
    abandoned_add(set, index);
    /* pairs with wake_owner: who sets a bit later sees the owner word */
    if (set == ABANDONED_FULL && atomic_or_acq_rel(&segment->woken, 0) != 0)
        abandoned_add((unsigned)kind, index);
}

void heap_abandon(struct heap *heap) {
    bool kept_empty = false;
    if ((heap->told | heap->told_idle) != 0) heap_tell_end(heap);
    while (heap->listed != 0) {
        struct segment *segment = segment_at(heap->lists[low_bit(heap->listed)].first);
        enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
        /* One segment without blocks in use stays for the next thread, its pages with it, until the
           purge delay has passed; others where such memory is wanted again. */
        bool keep = !kept_empty && ro.options.purge_delay_ms != 0;
        heap_list_remove(heap, segment);
        int64_t used =
            settle_pages(segment, kind, keep ? SETTLE_KEEP : SETTLE_RELEASE, heap_random(heap));
        if (used == 0 && !keep && !heap_keeps_left(segment, heap->now)) {
            segment_destroy(segment);
            continue;
        }
        kept_empty |= used == 0;
        leave_segment(segment, kind, used, heap_purge_time(heap->now));
    }
    MOAT_ASSERT(heap->segments == 0 && heap->used == 0 && list_is_empty(&heap->open[OPEN_EMPTY]));
    MOAT_ASSERT(list_is_empty(&heap->open[OPEN_SMALL]) && list_is_empty(&heap->open[OPEN_MEDIUM]));
    heap_forget_pages(heap);
    heap_note_abandoned();
}

bool segment_sweep(struct heap *heap, uint32_t index, bool force, uint64_t now) {
    struct segment *segment = segment_at(index);
    uint64_t seen;
    if (!segment_reclaim(segment, &heap->owner, &seen)) return false;
    enum page_kind kind = owner_page_kind(seen);
    bool due = force || now >= segment->purge_at || heap_is_in_step(heap);
    if (!(seen & OWNER_REBUILD)) heap_note_left(segment, kind, true);
    int64_t used = settle_pages(
        segment, kind, settling_of(seen, due ? SETTLE_RELEASE : SETTLE_KEEP), heap_random(heap));
    if (due && !force && heap_keeps_left(segment, now)) {
        leave_segment(segment, kind, used, segment->purge_at);
        return false;
    }
    if (segment->pages_used == 0 && due) {
        segment_destroy(segment);
        return true;
    }
    bool gave = due && segment_trim(segment);
    if (due) gave |= segment_give_unused(segment);
    leave_segment(segment, kind, used, due ? heap_purge_time(now) : segment->purge_at);
    return gave;
}

/* Segments of a heap that goes back and forth between kinds of blocks: one for each. */
#define ONE_OF_EACH_KIND ((uint32_t)(PAGE_KINDS - PAGE_SMALL))

/* Who wants again what he gave back keeps empty segments too, as the purge walk keeps pages; and
   as far as memory may lie idle one of each kind, lest one becomes the other at each turn; but not
   where addresses are limited, and others may want them. */
static bool keeps_empty(const struct heap *heap) {
    if (!keeping_is_on(&heap->keeping, heap->now)) return false;
    if (heap->segments <= ONE_OF_EACH_KIND && !usage_has_surplus(heap->now) && !heap_is_limited())
        return true;
    return keeping_fits(&heap->keeping, heap->segments * SLOTS_PER_SEGMENT, 0);
}

/* The rest is for the next event, or for the purge walk. */
#define SHED_AT_ONCE 8u

MOAT_NOINLINE static void shed_some(struct heap *heap, const struct list *empty) {
    for (unsigned shed = 0; shed < SHED_AT_ONCE; shed++) {
        if (empty->first == list_last(empty, segments_open()) || keeps_empty(heap)) return;
        struct segment *segment = segment_at(segment_at(empty->first)->in_open.next);
        enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
        heap_list_remove(heap, segment);
        leave_segment(segment, kind, 0, segment->purge_at);
        heap_note_abandoned();
    }
}

void heap_shed_empty(struct heap *heap) {
    const struct list *empty = &heap->open[OPEN_EMPTY];
    if (empty->first != list_last(empty, segments_open())) shed_some(heap, empty);
}
