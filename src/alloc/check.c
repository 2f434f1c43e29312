/*
 * check: the invariants of doc/design.md over everything that stands still.
 *
 * The calling thread's heap is checked block by block, abandoned segments are reclaimed for the
 * check and left again, and the words that tie segments, heaps and region together are checked for
 * all.
 */
#include "alloc/alloc.h"
#include "os/os.h"
#include "process/state.h"
#include "alloc/stats.h"

/* Each level above a woken page leads to the one below; nobody polls what is abandoned. */
static bool wake_leads_to(const struct segment *segment) {
    uint64_t owner = atomic_load_relaxed(&segment->owner);
    uint32_t index = segment_index(segment), word = index / 64;
    if (owner & OWNER_ABANDONED) return true;
    return has_bit(atomic_load_relaxed(&ro.woken_segments[word]), index) &&
           has_bit(atomic_load_relaxed(&owner_heap(owner)->wake), word);
}

/* `local_heap`: what small pages must say. */
static size_t check_pages(const struct segment *segment, enum page_kind kind,
                          uintptr_t local_heap) {
    size_t count = 0;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0;
         slots &= slots - 1, count++) {
        unsigned slot = low_bit(slots);
        const struct page *page = segment_page(segment, slot);
        MOAT_CHECK(size_class_page_kind(page->size_class) == kind, "check: page of another kind",
                   page->start);
        MOAT_CHECK(page_local_heap(page) == (kind == PAGE_SMALL ? local_heap : 0),
                   "check: page local to a heap that does not own it", page->start);
        MOAT_CHECK(page_validate(page, segment_page_bytes(segment, kind, slot)),
                   "check: page, used + free + local free == carved", page->start);
        if (page->in_full) {
            uint64_t pending = atomic_load_relaxed(&page->pending);
            bool woken =
                (atomic_load_relaxed(&segment->woken) & bit64(slot)) != 0 && wake_leads_to(segment);
            MOAT_CHECK(pending == PENDING_FULL || woken,
                       "check: a full page with claims has no wake-up", page->start);
        }
    }
    return count;
}

/* Segments of a heap, each in the list its index says. */
MOAT_COLD static size_t check_heap(const struct heap *heap) {
    size_t count = 0;
    uint32_t segments = 0;
    MOAT_CHECK(heap_validate(heap), "check: heap, its queues and direct table", heap);
    for (uint32_t list = 0; list < 64; list++)
        for (uint32_t index = heap->lists[list].first; index != 0;
             index = segment_at(index)->in_heap.next, segments++) {
            const struct segment *segment = segment_at(index);
            uint64_t word = atomic_load_relaxed(&segment->owner);
            MOAT_CHECK(owner_heap(word) == &heap->owner && index % 64 == list,
                       "check: segment in a list of another heap", segment_start(segment));
            MOAT_CHECK(segment_validate(segment), "check: segment, its pages and free slots",
                       segment_start(segment));
            count += check_pages(segment, owner_page_kind(word), heap_local_word(heap));
        }
    MOAT_CHECK(segments == heap->segments, "check: heap, count of segments", heap);
    return count;
}

/* Both levels of a bitmap lead to the segment. */
static bool is_in_set(unsigned set, uint32_t index) {
    const struct abandoned *abandoned = &ro.abandoned[set];
    return (atomic_load_relaxed(&abandoned->words[index / 64]) & bit64(index)) != 0 &&
           (atomic_load_relaxed(&abandoned->summary[index / 4096]) & bit64(index / 64)) != 0;
}

/* Who looks for room does not look among those that had none. A bit among those may be of an
   earlier time: then the segment stands where it belongs as well. */
static void check_no_room(const struct segment *segment, enum page_kind kind) {
    uint32_t index = segment_index(segment);
    bool room = segment->free_pages != 0;
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        const struct page *page = segment_page(segment, low_bit(slots));
        room |= page_has_room(page) || page_has_claims(page);
    }
    MOAT_CHECK(!room || is_in_set((unsigned)kind, index) || is_in_set(ABANDONED_EMPTY, index),
               "check: abandoned segment with room among those without", segment_start(segment));
}

/* Reclaimed as the heap, checked, and left as it was. */
MOAT_COLD static size_t check_abandoned(struct heap *heap, unsigned set) {
    size_t count = 0;
    uint32_t index;
    for (uint32_t from = 0; abandoned_find(set, from, &index); from = index + 1) {
        struct segment *segment = segment_at(index);
        uint64_t seen = atomic_load_relaxed(&segment->owner);
        bool any_kind = set == ABANDONED_EMPTY || set == ABANDONED_FULL;
        if (!any_kind && owner_page_kind(seen) != (enum page_kind)set)
            continue; /* an old hint: it is in another set */
        if (!segment_reclaim(segment, &heap->owner, &seen)) continue;
        if (seen & OWNER_REBUILD) { /* of a forked child, and not at rest yet */
            int64_t used = segment_rebuild(segment, owner_page_kind(seen), heap_random(heap));
            atomic_store_relaxed(&segment->remaining, used);
            seen &= ~OWNER_REBUILD;
            heap_note_left(segment, owner_page_kind(seen), false); /* whoever takes it up, counts */
        }
        MOAT_CHECK(segment_validate(segment), "check: abandoned segment, its pages and free slots",
                   segment_start(segment));
        count += check_pages(segment, owner_page_kind(seen), 0);
        if (set == ABANDONED_FULL) check_no_room(segment, owner_page_kind(seen));
        unsigned kind_set =
            segment->pages_used == 0 ? ABANDONED_EMPTY : (unsigned)owner_page_kind(seen);
        atomic_store_release(&segment->owner, seen); /* pairs with segment_reclaim */
        abandoned_add(set == ABANDONED_FULL ? set : kind_set, index);
    }
    return count;
}

/* What is in use is taken, and every abandoned segment can be found. */
MOAT_COLD static void check_owners(void) {
    const struct region *region = ro.region;
    for (uint32_t index = 0; index < region->extent; index++) {
        uint64_t word = atomic_load_acquire(&segment_at(index)->owner); /* pairs with its giving */
        enum owner_kind kind = owner_kind(word);
        if (kind == OWNER_UNUSED || kind == OWNER_FREED) continue;
        MOAT_CHECK(has_bit(atomic_load_relaxed(&region->taken[index / 64]), index),
                   "check: segment in use that is not taken", segment_address(index));
        if (!owner_has_pages(word) || !(word & OWNER_ABANDONED)) continue;
        bool found = is_in_set(owner_page_kind(word), index) || is_in_set(ABANDONED_EMPTY, index) ||
                     is_in_set(ABANDONED_FULL, index);
        MOAT_CHECK(found, "check: abandoned segment that cannot be found", segment_address(index));
    }
}

/* What is counted for all is what each has told, and what is there. */
MOAT_COLD static void check_usage(void) {
    if (ro.usage->is_vague) return;
    uint64_t used = 0, idle = 0;
    size_t runs = ro.usage->cached, rests = 0;
    /* as many as there is memory for, whatever the count says */
    size_t mapped = ro.pool->heaps.mapped / HEAP_SIZE;
    for (uint32_t index = 0; index < ro.pool->made && index < mapped; index++) {
        used += heap_at(index)->told;
        idle += heap_at(index)->told_idle;
    }
    for (uint32_t index = 0; index < ro.region->extent; index++) {
        const struct segment *segment = segment_at(index);
        enum owner_kind kind = owner_kind(atomic_load_relaxed(&segment->owner));
        if (kind != OWNER_HUGE && kind != OWNER_FREEING) continue;
        runs += segment->committed + segment->rest * ro.os_page;
        rests += segment->rest;
    }
    MOAT_CHECK(used == ro.usage->used, "check: what heaps use", ro.usage);
    MOAT_CHECK(idle == ro.usage->idle, "check: what lies idle in heaps", ro.usage);
    MOAT_CHECK(runs == ro.usage->runs, "check: bytes of huge runs", ro.usage);
    MOAT_CHECK(rests == ro.region->rests, "check: rests of huge runs", ro.region);
}

MOAT_COLD size_t check_all(void) {
    /* pairs with init */
    if (!ro_is_started() || !alloc_is_ready()) return 0;
    struct heap *heap = heap_acquire();
    size_t count = check_heap(heap);
    for (unsigned set = 0; set < ABANDONED_SETS; set++) count += check_abandoned(heap, set);
    locks_acquire(LOCK_REGION);
    check_owners();
    check_usage();
    bool region_ok = region_validate();
    MOAT_CHECK(zero_size_validate(),
               "check: free granule of a zero-size segment that cannot be found", ro.zero_size);
    locks_release(LOCK_REGION);
    /* last: a signal handler must find the thread busy as long as it holds a lock */
    heap_release(heap);
    MOAT_CHECK(region_ok, "check: region, extent and what is barred", ro.region);
    return count;
}
