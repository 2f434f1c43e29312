/* heap_segments: segments join a heap, leave it at thread end, and give memory back (layer 5).
   Contracts in heap.h. */
#include "heap/heap.h"
#include "heap/huge.h"
#include "os/os.h"

/* A step of the purge walk looks at so many segments; one that gives memory back, which takes the
   kernel up to 0.1 ms, counts as several. */
#define SEGMENTS_PER_PURGE_STEP 16u
#define SEGMENTS_PER_GIVING_ONE 8u
#define ABANDONED_PER_PURGE_STEP 4u
#define ABANDONED_PER_GIVING_ONE 2u
/* A look at a segment takes a microsecond or two: at most a fiftieth of the time, however many
   there are. */
#define SEGMENTS_PER_MILLISECOND_OF_REST 8u

void heap_link_segment(struct heap *heap, struct segment *segment) {
    uint32_t index = segment_index(segment);
    uint32_t *list = &heap->lists[index & 63];
    segment->list_prev = 0;
    segment->list_next = *list;
    if (*list != 0) segment_at(*list)->list_prev = index;
    *list = index;
    segment->open_list = OPEN_NONE;
    heap->segments++;
    heap_update_open(heap, segment);
}

static void leave_open_list(struct heap *heap, struct segment *segment) {
    if (segment->open_list == OPEN_NONE) return;
    if (segment->open_next != 0) segment_at(segment->open_next)->open_prev = segment->open_prev;
    if (segment->open_prev != 0)
        segment_at(segment->open_prev)->open_next = segment->open_next;
    else
        heap->open[segment->open_list] = segment->open_next;
    segment->open_list = OPEN_NONE;
}

/* The purge walk stands before a segment that leaves: it goes on behind it. */
static void pass_over(struct heap *heap, const struct segment *segment) {
    if (heap->purge_segment != segment_index(segment)) return;
    heap->purge_segment = segment->list_next;
    if (segment->list_next == 0) heap->purge_list++;
}

void heap_unlink_segment(struct heap *heap, struct segment *segment) {
    leave_open_list(heap, segment);
    pass_over(heap, segment);
    if (segment->list_next != 0) segment_at(segment->list_next)->list_prev = segment->list_prev;
    if (segment->list_prev != 0)
        segment_at(segment->list_prev)->list_next = segment->list_next;
    else
        heap->lists[segment_index(segment) & 63] = segment->list_next;
    heap->segments--;
}

void heap_update_open(struct heap *heap, struct segment *segment) {
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    uint8_t list = OPEN_NONE;
    if (segment->pages_used == 0)
        list = OPEN_EMPTY;
    else if (segment->free_pages != 0)
        list = kind == PAGE_SMALL ? OPEN_SMALL : OPEN_MEDIUM;
    if (list == segment->open_list) return;
    leave_open_list(heap, segment);
    if (list == OPEN_NONE) return;
    segment->open_list = list;
    segment->open_prev = 0;
    segment->open_next = heap->open[list];
    if (segment->open_next != 0) segment_at(segment->open_next)->open_prev = segment_index(segment);
    heap->open[list] = segment_index(segment);
}

static uint64_t purge_time(uint64_t now) { return now + ro.options.purge_delay_ms; }

void heap_release_page(struct heap *heap, struct page *page) {
    struct segment *segment = page_segment(page);
    heap_queue_remove(heap, page);
    segment_page_destroy(segment, page);
    segment->purge_at = purge_time(heap->now);
    heap_update_open(heap, segment);
}

/* What settle_pages does with a segment's pages. */
enum settling {
    SETTLE_KEEP = 0,    /* claims are taken in */
    SETTLE_RELEASE = 1, /* and empty pages given back */
    SETTLE_REBUILD = 2  /* after a fork: everything is made anew from the maps */
};

/* Brings every page of a segment to rest. Returns the number of blocks in use. */
static int64_t settle_pages(struct segment *segment, enum page_kind kind, unsigned settling,
                            struct random *random) {
    int64_t used = 0;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        unsigned slot = low_bit(slots);
        struct page *page = segment_page(segment, slot);
        if (settling & SETTLE_REBUILD)
            page_rebuild(page, segment_page_bytes(kind, slot), random);
        else
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
    heap_link_segment(heap, segment);
}

/* The next abandoned segment, going around from where the heap looked last. */
static bool next_abandoned(struct heap *heap, unsigned set, uint32_t *index) {
    if (!abandoned_find(set, heap->adopt_from, index) &&
        (heap->adopt_from == 0 || !abandoned_find(set, 0, index)))
        return false;
    heap->adopt_from = *index + 1 < ro.region->span ? *index + 1 : 0;
    return true;
}

static bool adopt_from_set(struct heap *heap, unsigned set) {
    uint32_t index;
    while (next_abandoned(heap, set, &index)) {
        struct segment *segment = segment_at(index);
        uint64_t seen = atomic_load_relaxed(&segment->owner);
        /* A hint out of date: by now the segment is another's, or stands in the set of another
           kind. */
        if (set != ABANDONED_EMPTY && owner_page_kind(seen) != (enum page_kind)set) continue;
        if (!segment_reclaim(segment, &heap->owner, &seen)) continue;
        heap_adopt(heap, segment, seen);
        return true;
    }
    return false;
}

bool heap_adopt_one(struct heap *heap, enum page_kind kind) {
    return adopt_from_set(heap, kind) || adopt_from_set(heap, ABANDONED_EMPTY);
}

/* The segment, with each of its pages, is nobody's from the release store on; the bitmap
   follows. */
static void leave_segment(struct segment *segment, enum page_kind kind, int64_t remaining,
                          uint64_t purge_at) {
    uint32_t index = segment_index(segment);
    bool empty = segment->pages_used == 0;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1)
        page_give_to(segment_page(segment, low_bit(slots)), 0);
    segment->purge_at = purge_at;
    segment->open_list = OPEN_NONE;
    atomic_store_relaxed(&segment->remaining, remaining);
    /* pairs with segment_reclaim */
    atomic_store_release(&segment->owner, OWNER_ABANDONED | (uint64_t)kind);
    abandoned_add(empty ? ABANDONED_EMPTY : (unsigned)kind, index);
}

void heap_abandon(struct heap *heap) {
    bool kept_empty = false;
    for (unsigned list = 0; list < 64; list++) {
        while (heap->lists[list] != 0) {
            struct segment *segment = segment_at(heap->lists[list]);
            enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
            /* One segment without blocks in use stays for the next thread, its pages with it, until
               the purge delay has passed. */
            bool keep = !kept_empty && ro.options.purge_delay_ms != 0;
            int64_t used =
                settle_pages(segment, kind, keep ? SETTLE_KEEP : SETTLE_RELEASE, heap_random(heap));
            heap_unlink_segment(heap, segment);
            if (used == 0 && !keep) {
                segment_destroy(segment);
                continue;
            }
            kept_empty |= used == 0;
            leave_segment(segment, kind, used, purge_time(heap->now));
        }
    }
    heap_reset(heap);
}

bool segment_sweep(struct heap *heap, uint32_t index, bool force, uint64_t now) {
    struct segment *segment = segment_at(index);
    uint64_t seen;
    if (!segment_reclaim(segment, &heap->owner, &seen)) return false;
    enum page_kind kind = owner_page_kind(seen);
    bool due = force || now >= segment->purge_at;
    int64_t used = settle_pages(
        segment, kind, settling_of(seen, due ? SETTLE_RELEASE : SETTLE_KEEP), heap_random(heap));
    if (segment->pages_used == 0 && due) {
        segment_destroy(segment);
        return true;
    }
    bool gave = due && segment->dirty != 0 && segment_purge(segment);
    leave_segment(segment, kind, used, due ? purge_time(now) : segment->purge_at);
    return gave;
}

/* One step of the walk over what is abandoned; false when it has come to the end. A sweep puts back
   what it does not give back: going upwards only, the walk ends. */
static bool sweep_some(struct heap *heap, bool force, bool *gave) {
    uint32_t index;
    for (uint32_t walked = 0; force || walked < ABANDONED_PER_PURGE_STEP;) {
        while (!abandoned_find(heap->purge_set, heap->purge_from, &index)) {
            if (heap->purge_set + 1 == ABANDONED_SETS) return false;
            heap->purge_set++;
            heap->purge_from = 0;
        }
        bool giving = segment_sweep(heap, index, force, heap->now);
        walked += giving ? ABANDONED_PER_GIVING_ONE : 1;
        *gave |= giving;
        heap->purge_from = index + 1;
    }
    return true;
}

void heap_shed_empty(struct heap *heap) {
    uint32_t kept = heap->open[OPEN_EMPTY];
    while (kept != 0 && segment_at(kept)->open_next != 0) {
        struct segment *segment = segment_at(segment_at(kept)->open_next);
        enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
        heap_unlink_segment(heap, segment);
        leave_segment(segment, kind, 0, segment->purge_at);
    }
}

void heap_poll(struct heap *heap) {
    uint64_t lists = atomic_exchange_acquire(&heap->owner.wake, 0); /* pairs with wake_owner */
    for (; lists != 0; lists &= lists - 1) {
        for (uint32_t index = heap->lists[low_bit(lists)]; index != 0;
             index = segment_at(index)->list_next) {
            struct segment *segment = segment_at(index);
            if (atomic_load_relaxed(&segment->woken) == 0) continue;
            /* pairs with wake_owner */
            uint64_t slots = atomic_exchange_acquire(&segment->woken, 0);
            for (; slots != 0; slots &= slots - 1) {
                struct page *page = segment_page(segment, low_bit(slots));
                if (!page->in_full) continue; /* spurious, or of an earlier life */
                heap_queue_rejoin(heap, page);
                if (page_used(page) == 0 && !heap_queue_keeps(heap, page))
                    heap_release_page(heap, page);
            }
        }
    }
}

/* Takes claims of the segment's pages in and gives empty ones back. What is claimed in full pages
   is for the wake-ups; what was returned to them is taken back only by force, when the heap has
   nothing else. */
static void purge_pages(struct heap *heap, struct segment *segment, bool force) {
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        if (page->in_full) {
            if (heap->memory_is_short) page_set_aside(page, true);
            if (!force || page_returned(page) == 0) continue;
            heap_queue_rejoin(heap, page);
        }
        if (force || page_has_claims(page)) page_collect(page, kind);
        if (page_used(page) == 0) heap_release_page(heap, page);
    }
}

static bool purge_segment(struct heap *heap, struct segment *segment, bool force) {
    purge_pages(heap, segment, force);
    if (!force && heap->now < segment->purge_at) return false;
    if (segment->pages_used == 0) {
        heap_unlink_segment(heap, segment);
        segment_destroy(segment);
        return true;
    }
    return segment->dirty != 0 && segment_purge(segment);
}

/* Nobody comes by the late heap when threads have stopped ending: a walk by any other heap takes a
   step of its walk too. */
static bool purge_late_heap(bool force, uint64_t now) {
    struct heap *late = heap_try_late();
    if (late == NULL) return false;
    late->now = now;
    heap_poll(late);
    bool gave = heap_purge(late, force);
    heap_release(late);
    return gave;
}

/* The part of the walk over the heap's own segments; false when it stopped before the end, to go on
   another time. */
static bool purge_lists(struct heap *heap, bool force, bool *gave) {
    uint32_t walked = 0;
    if (force || heap->purge_list == PURGE_IDLE) heap->purge_list = heap->purge_segment = 0;
    for (; heap->purge_list < PURGE_ABANDONED; heap->purge_list++) {
        uint32_t index =
            heap->purge_segment != 0 ? heap->purge_segment : heap->lists[heap->purge_list];
        for (uint32_t next; index != 0; index = next) {
            heap->purge_segment = index;
            if (!force && walked >= SEGMENTS_PER_PURGE_STEP) return false;
            next = segment_at(index)->list_next;
            heap->purge_segment = 0; /* it may be unlinked here */
            bool giving = purge_segment(heap, segment_at(index), force);
            walked += giving ? SEGMENTS_PER_GIVING_ONE : 1;
            *gave |= giving;
        }
        heap->purge_set = heap->purge_from = 0;
    }
    heap_shed_empty(heap);
    return true;
}

void heap_purge_own(struct heap *heap) {
    bool gave = false;
    purge_lists(heap, true, &gave);
}

/* The walk goes list by list, then over what is abandoned, and stops after some segments, so that
   no single call takes long. */
bool heap_purge(struct heap *heap, bool force) {
    size_t before = atomic_load_relaxed(&ro.region->committed);
    bool gave = false;
    /* the rest is for the next call */
    if (!purge_lists(heap, force, &gave) || (gave && !force)) return gave;
    if (heap != heap_at(HEAP_LATE)) gave |= purge_late_heap(force, heap->now);
    if (!sweep_some(heap, force, &gave)) {
        heap->purge_list = PURGE_IDLE;
        heap->purge_at = heap->now + ro.options.purge_delay_ms / 2 + 1 +
                         heap->segments / SEGMENTS_PER_MILLISECOND_OF_REST;
    }
    if (force || !gave) gave |= huge_purge(force, heap->now);
    return gave || atomic_load_relaxed(&ro.region->committed) < before;
}
