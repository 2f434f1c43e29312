/*
 * heap: the generic path of malloc, and what every generic path begins and ends with (see heap.h).
 *
 * heap_find_page() is the search: the class's queue, then a page in a segment of the heap, in one
 * that is reclaimed, in a new one. Housekeeping hangs on it: wakes are polled at each call, the
 * clock is looked at now and then.
 */
#include "heap/quarantine.h"
#include "heap/huge.h"
#include "os/os.h"
#include "report/report.h"

/* Generic calls between two looks at the clock, a power of two. */
#define CALLS_PER_LOOK 4u
/* Pages that local frees empty, or bring back to their queue, between two ticks, a power of two: a
   thread that frees and never allocates gives back what it has too. */
#define EVENTS_PER_TICK 4u
/* Abandoned segments a single search adopts at most before it takes a new one. */
#define ADOPTIONS_PER_SEARCH 4

void heap_report_reentry(void) { report_fatal(PHRASE_CALL_FROM_HANDLER, 0, NULL); }

void heap_enter_busy(struct heap *heap, uintptr_t outside) {
    MOAT_CHECK(heap->thread == thread_identity(), "thread word names another thread's heap", heap);
    if (MOAT_UNLIKELY(heap->seqcount & 1)) heap_report_reentry();
    atomic_store_relaxed(&heap->seqcount, heap->seqcount + 1);
    atomic_signal_barrier(); /* the store comes before the look */
    /* pairs with a visitor's leave() */
    if (MOAT_UNLIKELY(atomic_load_acquire(&heap->visit) != VISIT_NONE)) heap_enter_announced(heap);
    MOAT_ASSERT(atomic_load_unseen(&heap->visitors) == 0);
    heap->outside_word = outside;
}

void heap_enter(struct heap *heap) { heap_enter_busy(heap, thread_enter()); }

void heap_leave(struct heap *heap) {
    MOAT_ASSERT(atomic_load_unseen(&heap->visitors) == 0);
    atomic_store_release(&heap->seqcount, heap->seqcount + 1); /* pairs with enter() of a visitor */
    thread_leave_generic(heap->outside_word);
}

void heap_ask_for_trim(struct heap *heap) {
    heap->trims_seen = atomic_add_relaxed(&ro.pool->trims, 1) + 1;
}

static void trim_if_asked(struct heap *heap) {
    uint32_t trims = atomic_load_relaxed(&ro.pool->trims);
    if (MOAT_LIKELY(trims == heap->trims_seen)) return;
    heap->trims_seen = trims;
    heap->now = os_milliseconds();
    quarantine_empty(heap);
    heap_purge_own(heap);
}

void heap_tick(struct heap *heap) {
    heap_poll(heap);
    trim_if_asked(heap);
    /* While a purge walk finds what to give back, its steps, which are short for the sake of the
       caller, follow at each call. */
    if (++heap->generic_calls % CALLS_PER_LOOK != 0 && !heap->purge_gave) return;
    heap->now = os_milliseconds();
    if (heap->purge_list != PURGE_IDLE || heap->now >= heap->purge_at)
        heap->purge_gave = heap_purge(heap, false);
    else
        heap->purge_gave = heap_purge_shared(false, heap->now);
}

/* Makes sure that `free` of a page has a block; false: the page is full, or left alone. */
static bool page_has_block(struct heap *heap, struct page *page, enum page_kind kind) {
    page_collect(page, kind);
    if (MOAT_UNLIKELY(page->inherited)) {
        if (heap_leaves_alone(heap, page)) return false;
        heap_queue_take_over(heap, page);
    }
    if (page->free_count != 0) return true;
    if (page->carved == page->capacity) return false;
    page_carve(page, heap_random(heap));
    return true;
}

/* Of an inherited page, which is in no queue any more. */
MOAT_COLD static void leave_alone(struct heap *heap, struct page *page) {
    if (page_used(page) == 0)
        heap_end_page(heap, page_segment(page), page);
    else
        page_set_apart(page);
}

/* The first page of the class that has a block. Pages without are set aside on the way, so each is
   met once until it joins the queue again. */
static struct page *search_queue(struct heap *heap, uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    uint32_t index = heap->queues[size_class].first;
    while (index != 0) {
        struct page *page = page_at(index);
        if (page_has_block(heap, page, kind)) return page;
        if (!page_mark_full(page)) continue; /* a claim has come: collect it */
        index = page->in_queue.next;
        heap_queue_remove(heap, page);
        if (MOAT_UNLIKELY(page->inherited))
            leave_alone(heap, page);
        else
            page_set_aside(page, heap->shortage != SHORTAGE_NONE);
    }
    return NULL;
}

bool heap_is_limited(void) { return guard_charge_matters() || guard_space_is_limited(); }

/* Empty segments that are looked at. */
#define LOOKS_FOR_CLASS 8u

/* Of the first few empty segments one that had pages of the class, or of the kind at least: another
   is emptied first. */
MOAT_NOINLINE static struct segment *choose_empty(const struct heap *heap, uint64_t word,
                                                  uint32_t size_class) {
    uint32_t index = heap->open[OPEN_EMPTY].first;
    struct segment *first = segment_at(index), *of_kind = NULL;
    for (unsigned looks = LOOKS_FOR_CLASS; index != 0 && looks > 0; looks--) {
        struct segment *segment = segment_at(index);
        index = segment->in_open.next;
        if (atomic_load_relaxed(&segment->owner) != word) continue;
        if (segment_remembers(segment, size_class)) return segment;
        if (of_kind == NULL) of_kind = segment;
    }
    return of_kind != NULL ? of_kind : first;
}

/* Units that the heap's first empty segments keep. */
static uint32_t kept_by_empty(const struct heap *heap) {
    uint32_t kept = 0, index = heap->open[OPEN_EMPTY].first;
    for (unsigned looks = LOOKS_FOR_CLASS; index != 0 && looks > 0; looks--) {
        const struct segment *segment = segment_at(index);
        kept += segment_dirty_slots(segment);
        index = segment->in_open.next;
    }
    return kept;
}

/* Whether an empty segment of another kind stays as it is: the program will want its pages again,
   as it lately has, and there is memory for another segment. */
MOAT_NOINLINE static bool stays_as_it_is(const struct heap *heap, const struct segment *segment) {
    uint32_t kept = kept_by_empty(heap);
    if (kept < heap->kept) kept = heap->kept;
    return keeping_allows(&heap->keeping, heap->used, kept, heap->now) && !heap->cannot_grow &&
           segment_is_worn(segment) && !heap_is_limited();
}

/* The empty segment takes pages of another kind; it is given up if it cannot. */
MOAT_NOINLINE static bool retype(struct heap *heap, struct segment *segment, uint64_t word) {
    uint32_t slots = segment_dirty_slots(segment);
    bool retyped = segment_retype(segment, word);
    heap->idle += segment_dirty_slots(segment) - slots;
    if (!retyped) {
        heap_list_remove(heap, segment);
        segment_destroy(segment);
        return false;
    }
    if (segment->dirty == 0) keeping_gave(&heap->keeping, slots, heap->now);
    return true;
}

/* A segment of the heap that can take a page of the kind: an open one, else an empty one. */
static struct segment *open_segment(struct heap *heap, uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    struct segment *open = heap_find_open(heap, size_class);
    if (open != NULL) return open;
    uint64_t word = owner_word((uintptr_t)heap, kind);
    while (!list_is_empty(&heap->open[OPEN_EMPTY])) {
        struct segment *segment = segment_at(heap->open[OPEN_EMPTY].first);
        if (segment->in_open.next != 0) segment = choose_empty(heap, word, size_class);
        if (atomic_load_relaxed(&segment->owner) == word) return segment;
        if (stays_as_it_is(heap, segment)) return NULL;
        if (retype(heap, segment, word)) return segment;
    }
    return NULL;
}

/* Where a limit may end it, the heap that all threads share gets a segment while there is one. Who
   comes meanwhile waits: all that is left may be taken before its provider is run again. */
static void provide_for_all(void) {
    if (!heap_is_limited()) return;
    struct heap *late = heap_acquire_late();
    if (late->segments == 0) {
        uint64_t word = owner_word((uintptr_t)late, PAGE_SMALL);
        struct segment *segment = segment_create(word, true, heap_random(late));
        if (segment != NULL) heap_list_add(late, segment);
    }
    heap_release(late);
}

MOAT_INLINE struct segment *make_segment(struct heap *heap, enum page_kind kind, bool sparing) {
    struct segment *segment =
        segment_create(owner_word((uintptr_t)heap, kind), sparing, heap_random(heap));
    if (segment != NULL) {
        heap->shortage = SHORTAGE_NONE;
        heap->wants_pages = false;
        heap_list_add(heap, segment);
    } else if (!heap->wants_pages) {
        heap_want_pages(heap);
    }
    return segment;
}

/* Large blocks of many threads have segments as long as that part of a limit on data is charged at
   most. */
#define LIMIT_PER_CHARGE 4u

/* Of many threads, and if more of a limit on data is charged than a part: as of little locked
   memory one block gets no segment, but a run, see huge_may_hold; unless runs are what is short of:
   each takes addresses, and a mapping. It counts from before it is there: many threads may come
   here at once. */
MOAT_COLD static struct segment *make_whole_within_limit(struct heap *heap) {
    size_t *committed = &ro.region->committed, most = SIZE_MAX;
    if (guard_may_take_runs()) most = guard_data_limit() / LIMIT_PER_CHARGE;
    bool fits = atomic_add_relaxed(committed, SEGMENT_SIZE) <= most;
    struct segment *segment = fits ? make_segment(heap, PAGE_LARGE, false) : NULL;
    atomic_add_relaxed(committed, (size_t)0 - SEGMENT_SIZE);
    return segment;
}

/* Whether of a new segment no more becomes usable than is asked for: many threads never need more
   than a little. */
MOAT_INLINE bool opens_a_part(const struct heap *heap, enum page_kind kind) {
    bool is_first = heap->segments == 0 && kind == PAGE_SMALL;
    return guard_lock_is_counted() || (is_first ? guard_may_open_parts() : guard_charge_matters());
}

MOAT_NOINLINE static struct segment *new_segment(struct heap *heap, enum page_kind kind) {
    if (heap->cannot_grow) return NULL;
    if (heap->segments == 0 && heap != heap_at(HEAP_LATE)) provide_for_all();
    bool whole = kind == PAGE_LARGE; /* its one page is all of it */
    if (whole && guard_lock_is_counted()) return NULL;
    if (whole && atomic_load_relaxed(&ro.pool->made) > HEAPS_IN_ANY_CASE && !ro_is_strict())
        return make_whole_within_limit(heap);
    return make_segment(heap, kind, !whole && opens_a_part(heap, kind));
}

/* A page that was just made, with a block at hand. */
MOAT_NOINLINE static struct page *with_block(struct heap *heap, struct page *page) {
    if (page->free_count == 0) page_carve(page, heap_random(heap));
    return page;
}

struct page *heap_find_page(struct heap *heap, uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    heap_tick(heap);
    for (int adoptions = 0;;) {
        struct page *page = search_queue(heap, size_class);
        if (page != NULL) return page;
        struct segment *segment = open_segment(heap, size_class);
        if (segment == NULL && adoptions < ADOPTIONS_PER_SEARCH &&
            heap_adopt_one(heap, size_class)) {
            adoptions++;
            continue;
        }
        if (segment == NULL) {
            segment = new_segment(heap, kind);
            if (segment == NULL) return NULL;
        }
        uint64_t dirty = segment->dirty;
        page = segment_page_create(segment, size_class, heap_random(heap));
        if (page == NULL) {
            heap_close_segment(heap, segment);
            continue;
        }
        heap_note_page(heap, segment, kind, has_bit(dirty, page_slot(page)));
        heap_own_page(heap, page);
        heap_update_open(heap, segment);
        heap_queue_push(heap, page, true);
        return with_block(heap, page);
    }
}

/* A visitor may have ended the page that this very free has emptied. */
static bool is_page_of(const struct heap *heap, const struct page *page) {
    const struct segment *segment = page_segment(page);
    return owner_heap(atomic_load_relaxed(&segment->owner)) == &heap->owner &&
           !has_bit(segment->free_pages, page_slot(page));
}

void heap_page_event(struct heap *heap, struct page *page) {
    thread_mark_busy(); /* without HARDENED_BUSY the fast path has no bracket */
    heap_enter_busy(heap, (uintptr_t)heap);
    if (MOAT_UNLIKELY(heap->was_visited) && !is_page_of(heap, page)) {
        heap_leave(heap);
        return;
    }
    if (page->in_full) heap_queue_rejoin(heap, page);
    if (page_used(page) == 0 && !heap_queue_keeps(heap, page))
        heap_release_page(heap, page);
    else
        heap_queue_watch(heap, page); /* blocks were taken since */
    if (MOAT_UNLIKELY(++heap->events % EVENTS_PER_TICK == 0)) heap_tick(heap);
    heap_shed_empty(heap);
    heap_leave(heap);
}

MOAT_COLD bool heap_validate(const struct heap *heap) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        const uint32_t last = list_last(&heap->queues[size_class], pages_in_queue());
        uint32_t previous = last;
        for (uint32_t index = heap->queues[size_class].first; index != 0;
             index = page_at(index)->in_queue.next) {
            const struct page *page = page_at(index);
            const struct segment *segment = page_segment(page);
            enum page_kind kind = size_class_page_kind(size_class);
            if (page->size_class != size_class || page->in_full || page->in_queue.prev != previous)
                return false;
            if (atomic_load_relaxed(&segment->owner) != owner_word((uintptr_t)heap, kind))
                return false;
            if (page_local_heap(page) != (kind == PAGE_SMALL ? heap_local_word(heap) : 0))
                return false;
            if (!page_validate(page, segment_page_bytes(segment, kind, page_slot(page))))
                return false;
            previous = index;
        }
        if (previous != last) return false;
    }
    uint32_t used = 0, idle = 0;
    for (unsigned list = 0; list < 64; list++) {
        if (has_bit(heap->listed, list) == list_is_empty(&heap->lists[list])) return false;
        for (uint32_t index = heap->lists[list].first; index != 0;
             index = segment_at(index)->in_heap.next) {
            used += segment_slots(segment_at(index), segment_at(index)->pages_used);
            idle += segment_dirty_slots(segment_at(index));
        }
    }
    if (heap->used != used || heap->idle != idle) return false;
    for (size_t granules = 1; granules < DIRECT_ENTRIES; granules++) {
        uint32_t first = ro_is_strict() ? 0 : heap->queues[size_class_of(granules * GRANULE)].first;
        bool none = first == 0 || page_at(first)->inherited;
        if (heap->direct[granules] != (none ? &page_empty : page_at(first))) return false;
    }
    return heap->direct[0] == &page_empty;
}
