/*
 * heap_purge: memory that nobody uses goes back to the kernel (contracts in heap.h).
 *
 * A walk goes over the heap's segments list by list, then over what ended threads left, and begins
 * anew when the purge delay has passed. It goes in short steps, one a generic call, so that no call
 * takes long; `force` makes it one step.
 */
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

/* Takes claims of the segment's pages in and gives empty ones back. What is claimed in full pages
   is for the wake-ups; what was returned to them is taken back only by force, when the heap has
   nothing else. */
static void purge_pages(struct heap *heap, struct segment *segment, bool force) {
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        if (page->in_full) {
            bool is_short = page->inherited ? heap->wants_pages : heap->shortage != SHORTAGE_NONE;
            if (is_short) page_set_aside(page, true);
            bool serves = page->inherited ? is_short : page_returned(page) != 0;
            if (!force || !serves) continue;
            heap_queue_rejoin(heap, page);
        }
        if (force || page_has_claims(page)) page_collect(page, kind);
        if (page_used(page) == 0) heap_release_page(heap, page);
    }
}

/* What all threads share under a limit must be there when nothing else is. */
static bool is_kept_for_all(const struct heap *heap) {
    return heap == heap_at(HEAP_LATE) && heap->segments == 1 && heap_is_limited();
}

/* What of the segment could go back. */
static uint32_t unused_slots(const struct segment *segment) {
    return segment_dirty_slots(segment) +
           (uint32_t)((segment_surplus(segment) + SLOT_SIZE - 1) >> SLOT_SHIFT);
}

/* Whether what is due stays: the program has lately wanted again what went back. Not where its
   thread sleeps. */
static bool is_kept(struct heap *heap, uint32_t slots) {
    if (!keeping_allows(&heap->keeping, heap->used, (uint64_t)heap->kept + slots, heap->now) ||
        usage_has_surplus(heap->now))
        return false;
    heap->kept += slots;
    return true;
}

void heap_tell(struct heap *heap) {
    struct heap_pool *pool = ro.pool;
    uint64_t more = (uint64_t)heap->used - heap->told;
    uint64_t used = atomic_add_relaxed(&ro.usage->used, more) + more;
    atomic_add_relaxed(&ro.usage->idle, (uint64_t)heap->idle - heap->told_idle);
    heap->told = heap->used;
    heap->told_idle = heap->idle;
    heap->tell_from = heap->used + USED_UNTOLD;
    heap->tell_below = heap->used > LESS_UNTOLD ? heap->used - LESS_UNTOLD : 0;
    keeping_observe(&pool->keeping, (uint32_t)used, heap->now);
    usage_observe(heap->now);
    keeping_missed(&pool->keeping, heap->fresh, heap->now);
    heap->fresh = 0;
}

void heap_tell_end(struct heap *heap) {
    heap->now = os_milliseconds(); /* the thread may have slept for long */
    heap_tell(heap);
    atomic_add_relaxed(&ro.usage->used, -(uint64_t)heap->told);
    atomic_add_relaxed(&ro.usage->idle, -(uint64_t)heap->told_idle);
    heap->told = heap->told_idle = 0;
    heap->tell_from = USED_UNTOLD;
    heap->tell_below = 0;
}

void heap_count_left(const struct segment *segment, bool taken) {
    int64_t slots = unused_slots(segment);
    atomic_add_relaxed(&ro.usage->left, taken ? -slots : slots);
}

bool heap_keeps_left(const struct segment *segment, uint64_t now) {
    struct heap_pool *pool = ro.pool;
    uint32_t slots = unused_slots(segment), used = (uint32_t)atomic_load_relaxed(&ro.usage->used);
    int64_t left = atomic_load_relaxed(&ro.usage->left);
    keeping_observe(&pool->keeping, used, now);
    uint64_t most = keeping_most(&pool->keeping), all = (uint64_t)used + slots;
    if (left > 0) all += (uint64_t)left;
    /* where all threads end no walk may come by any more */
    bool fits = used != 0 && all <= most - most / 8;
    if (fits && ro.options.purge_delay_ms != 0 && keeping_is_on(&pool->keeping, now) &&
        !usage_has_surplus(now))
        return true;
    keeping_gave(&pool->keeping, slots, now);
    return false;
}

void heap_note_page(struct heap *heap, const struct segment *segment, enum page_kind kind,
                    bool was_dirty) {
    uint32_t slots = 1u << page_kind_shift(kind), used = heap->used + slots;
    uint64_t now = heap->now;
    heap->used = used;
    keeping_observe(&heap->keeping, used, now);
    if (!was_dirty) {
        keeping_missed(&heap->keeping, slots, now);
        heap->fresh += slots;
    } else {
        heap->idle -= slots;
        if (now >= segment->purge_at) keeping_served(&heap->keeping, now);
    }
    if (used < heap->tell_from) return;
    heap_tell(heap);
    if (!was_dirty && usage_has_surplus(heap->now)) heap_step_begin(heap);
}

/* What of a segment can go back while it stays one. True if there was anything. */
static bool give_unused(struct heap *heap, struct segment *segment) {
    bool gave = segment_trim(segment);
    uint32_t dirty = segment_dirty_slots(segment);
    gave |= segment_give_unused(segment);
    heap->idle -= dirty - segment_dirty_slots(segment);
    heap_tell_less_idle(heap);
    return gave;
}

static bool purge_segment(struct heap *heap, struct segment *segment, unsigned walk) {
    bool force = (walk & WALK_NOW) != 0, visit = (walk & WALK_VISIT) != 0;
    if (visit)
        heap_end_given_up(heap, segment);
    else
        purge_pages(heap, segment, force);
    bool due = force || heap->now >= segment->purge_at;
    uint32_t unused = unused_slots(segment);
    if (unused == 0 && (segment->pages_used != 0 || !due) && !segment_may_close(segment))
        return false;
    if (!due && !heap_is_in_step(heap)) return false;
    if (!force && !visit && is_kept(heap, unused)) return false;
    keeping_gave(&heap->keeping, unused, heap->now);
    if (due && segment->pages_used == 0 && !visit && !is_kept_for_all(heap)) {
        heap_list_remove(heap, segment);
        segment_destroy(segment);
        heap_tell_less_idle(heap);
        return true;
    }
    return give_unused(heap, segment);
}

static void begin_walk(struct heap *heap) {
    heap->purge_list = heap->purge_segment = heap->purge_set = heap->purge_from = 0;
    heap->kept = 0;
    keeping_observe(&heap->keeping, heap->used, heap->now);
    if (heap->used + USED_UNTOLD <= heap->told) heap_tell(heap);
    heap_tell_less_idle(heap);
    heap->in_step.gave = !heap->in_step.is_on;
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

bool heap_purge_lists(struct heap *heap, unsigned walk, bool *gave) {
    bool all = (walk & WALK_ALL) != 0;
    uint32_t walked = 0;
    if (all || heap->purge_list == PURGE_IDLE) begin_walk(heap);
    for (; heap->purge_list < PURGE_ABANDONED; heap->purge_list++) {
        uint64_t rest = heap->listed & ~low_mask(heap->purge_list);
        heap->purge_list = rest != 0 ? low_bit(rest) : PURGE_ABANDONED;
        if (rest == 0) break;
        uint32_t index =
            heap->purge_segment != 0 ? heap->purge_segment : heap->lists[heap->purge_list].first;
        for (uint32_t next; index != 0; index = next) {
            heap->purge_segment = index;
            if (!all && walked >= SEGMENTS_PER_PURGE_STEP) return false;
            next = segment_at(index)->in_heap.next;
            heap->purge_segment = 0; /* it may be unlinked here */
            bool giving = purge_segment(heap, segment_at(index), walk);
            walked += giving ? SEGMENTS_PER_GIVING_ONE : 1;
            *gave |= giving;
        }
    }
    if (!(walk & WALK_VISIT)) heap_shed_empty(heap);
    return true;
}

void heap_purge_own(struct heap *heap) {
    bool gave = false;
    heap_poll_all(heap);
    heap_purge_lists(heap, WALK_ALL | WALK_NOW, &gave);
}

bool heap_purge_shared(bool force, uint64_t now) {
    if (MOAT_LIKELY(!region_has_spare(force))) return huge_purge(force, now);
    bool gave = huge_purge(force, now);
    return (force || !gave) && region_shed_tables(force) ? true : gave;
}

/* The walk goes list by list, then over what is abandoned, and stops after some segments, so that
   no single call takes long. */
bool heap_purge(struct heap *heap, bool force) {
    size_t before = atomic_load_relaxed(&ro.region->committed);
    bool gave = false;
    if (force) heap_poll_all(heap);
    if (!force && heap_is_in_step(heap) && huge_give_one(heap->now)) return true;
    /* the rest is for the next call */
    bool ended = heap_purge_lists(heap, force ? WALK_ALL | WALK_NOW : 0, &gave);
    heap->in_step.gave |= gave;
    if (!ended || (gave && !force)) return gave;
    if (heap != heap_at(HEAP_LATE)) gave |= purge_late_heap(force, heap->now);
    gave |= heap_visit_others(heap, force ? VISIT_ALL : VISIT_DUE);
    if (!sweep_some(heap, force, &gave)) {
        heap->purge_list = PURGE_IDLE;
        heap->purge_at = heap->now + ro.options.purge_delay_ms / 2 + 1 +
                         heap->segments / SEGMENTS_PER_MILLISECOND_OF_REST;
        heap_step_end(heap, gave);
    }
    heap->in_step.gave |= gave;
    if (force || !gave) gave |= heap_purge_shared(force, heap->now);
    return gave || atomic_load_relaxed(&ro.region->committed) < before;
}

/* Pages in queues. More than these are not gone over for an allocation that fails. */
#define PAGES_PER_GLEANING 1024u

/* What has changed in a heap since it was scoured. A page set aside has come back with its first
   block, by an event or by a wake-up; an empty page went back by its event. What is left are pages
   in queues: claims make no event there, nor does a page that stays because it is the first of its
   queue. False: too many. */
static bool glean(struct heap *heap, bool *found) {
    uint32_t walked = 0;
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        uint32_t index = heap->queues[size_class].first;
        for (uint32_t next; index != 0; index = next) {
            struct page *page = page_at(index);
            if (++walked > PAGES_PER_GLEANING) return false;
            next = page->in_queue.next;
            *found |= page_has_claims(page);
            page_collect(page, size_class_page_kind(size_class));
            if (page_used(page) != 0) continue;
            heap_release_page(heap, page);
            *found = true;
        }
    }
    return true;
}

/* The heap's own part of heap_scour. Of little locked memory there is little to walk over. */
static bool scour_own(struct heap *heap) {
    bool found = atomic_load_relaxed(&heap->owner.wake) != 0;
    bool all = heap->shortage != SHORTAGE_SCOURED || guard_lock_is_counted();
    heap_poll_all(heap);
    if (all || !glean(heap, &found)) {
        heap->shortage = SHORTAGE_MET; /* for the pages set aside */
        heap_purge_lists(heap, WALK_ALL | WALK_NOW, &found);
        heap->shortage = SHORTAGE_SCOURED;
        heap_visit_others(heap, VISIT_ALL);
        return true;
    }
    while (!list_is_empty(&heap->open[OPEN_EMPTY]) && !is_kept_for_all(heap)) {
        struct segment *segment = segment_at(heap->open[OPEN_EMPTY].first);
        heap_list_remove(heap, segment);
        segment_destroy(segment);
        found = true;
    }
    return found;
}

/* What ended threads left. The mark is set before anything is looked at: what changes later takes
   it away; but for a free whose segment was left while it was on its way: such calls look at one
   segment each until they meet it. */
static bool scour_abandoned(struct heap *heap) {
    bool gave = false;
    if (atomic_load_relaxed(&ro.pool->swept) != 0) {
        uint32_t index;
        if (abandoned_find(heap->purge_set, heap->purge_from, &index)) {
            heap->purge_from = index + 1;
            return segment_sweep(heap, index, true, heap->now);
        }
        heap->purge_set = (heap->purge_set + 1) % ABANDONED_SETS;
        heap->purge_from = 0;
        return false;
    }
    atomic_or_acq_rel(&ro.pool->swept, 1); /* pairs with heap_note_abandoned */
    if (!CPU_HAS_TOTAL_STORE_ORDER) os_membarrier();
    heap->purge_set = heap->purge_from = 0;
    sweep_some(heap, true, &gave);
    return true;
}

bool heap_scour(struct heap *heap) {
    bool found = scour_own(heap);
    if (heap != heap_at(HEAP_LATE)) {
        struct heap *late = heap_try_late();
        if (late != NULL) {
            late->now = heap->now;
            if (heap->wants_pages && !late->wants_pages) heap_want_pages(late);
            found |= scour_own(late);
            heap_release(late);
        } else {
            found = true; /* somebody is at work there */
        }
    }
    found |= scour_abandoned(heap);
    found |= huge_purge(true, heap->now);
    return found | region_shed_tables(false);
}

/* A thread without a heap works through the one that is nobody's, unless somebody else does. */
void heap_keep_house(struct heap *heap) {
    if (heap != NULL)
        heap_enter(heap);
    else if ((heap = heap_try_late()) == NULL)
        return;
    heap_poll(heap);
    heap->now = os_milliseconds();
    if (heap->purge_list != PURGE_IDLE || heap->now >= heap->purge_at)
        heap_purge(heap, false);
    else
        heap_purge_shared(false, heap->now);
    heap_release(heap);
}
