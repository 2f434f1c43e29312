/*
 * heap_queue: the queues of pages by size class, and the direct table (contracts in heap.h).
 *
 * direct[w] is the first page of the queue that serves w granules, or page_empty: whatever changes
 * a queue's first page goes through update_first(). The first page of a small class stays when it
 * is empty; the others go back to their segment.
 *
 * All children of a parent have its pages, with the same blocks in use at the same places, and the
 * same lists. What an attacker learns of them from one child holds for the next. So that no block
 * comes back that was freed by a guess, and none at a place that was seen before, a child makes
 * pages of its own, and leaves those alone until enough of their blocks are gone: of sparse ones as
 * many as usage.h allows, or a child would have once more what its parent had once.
 */
#include "heap/heap.h"

static struct page *page_or_empty(uint32_t index) {
    return index != 0 ? page_at(index) : (struct page *)(uintptr_t)&page_empty;
}

/* The first page of a class changed: every direct entry the class serves follows. */
static void update_direct(struct heap *heap, uint32_t size_class) {
    size_t size = size_class_bytes(size_class);
    if (size > DIRECT_MAX || ro_is_strict()) return; /* strict: never a fast path */
    struct page *page = page_or_empty(heap->queues[size_class].first);
    if (MOAT_UNLIKELY(page->inherited)) page = page_or_empty(0);
    size_t from = size_class == 0 ? 1 : size_class_bytes(size_class - 1) / GRANULE + 1;
    for (size_t granules = from; granules <= size / GRANULE; granules++)
        heap->direct[granules] = page;
}

/* The first page of a queue is kept when it becomes empty, so that one block's malloc and free do
   not make and unmake a page; not so where the blocks are so large that what one class leaves,
   once emptied, is better used by another. */
#define KEPT_BLOCK_MAX (8 * KIB)

bool heap_queue_keeps(const struct heap *heap, const struct page *page) {
    return heap->queues[page->size_class].first == page_index(page) &&
           page->block_size <= KEPT_BLOCK_MAX;
}

void heap_queue_watch(const struct heap *heap, struct page *page) {
    if (heap_queue_keeps(heap, page))
        returns_expect(&page->returns, RETURNS_NEVER);
    else
        page_watch(page);
}

static void update_first(struct heap *heap, uint32_t size_class) {
    uint32_t first = heap->queues[size_class].first;
    if (first != 0) heap_queue_watch(heap, page_at(first));
    update_direct(heap, size_class);
}

void heap_queue_push(struct heap *heap, struct page *page, bool front) {
    struct list *queue = &heap->queues[page->size_class];
    uint32_t index = page_index(page);
    page->in_full = false;
    if (front && !list_is_empty(queue)) page_watch(page_at(queue->first));
    if (front)
        list_push_front(queue, pages_in_queue(), index);
    else
        list_push_back(queue, pages_in_queue(), index);
    if (queue->first == index)
        update_first(heap, page->size_class);
    else
        page_watch(page);
}

void heap_queue_remove(struct heap *heap, struct page *page) {
    struct list *queue = &heap->queues[page->size_class];
    uint32_t index = page_index(page);
    bool was_first = queue->first == index;
    MOAT_ASSERT(!page->in_full);
    list_remove(queue, pages_in_queue(), index);
    if (was_first) update_first(heap, page->size_class);
}

void heap_queue_rejoin(struct heap *heap, struct page *page) {
    page_collect(page, size_class_page_kind(page->size_class));
    page->inherited = false;
    heap_queue_push(heap, page, false);
}

void heap_queue_inherit(struct heap *heap, struct page *page) {
    page_inherit(page, page_unclaimed(page));
    if (page->in_full && page->inherited)
        page_set_apart(page);
    else if (heap->queues[page->size_class].first == page_index(page))
        update_direct(heap, page->size_class);
}

void heap_queue_take_over(struct heap *heap, struct page *page) {
    page->inherited = false;
    if (heap->queues[page->size_class].first == page_index(page))
        update_direct(heap, page->size_class);
}

static_assert(DIRECT_ENTRIES % 5 == 0, "heap_forget_pages sets five at a time");

void heap_forget_pages(struct heap *heap) {
    struct page **direct = heap->direct, *none = page_or_empty(0);
    /* five at a time: each thread does it twice */
    for (size_t i = 0; i < DIRECT_ENTRIES; i += 5)
        direct[i] = direct[i + 1] = direct[i + 2] = direct[i + 3] = direct[i + 4] = none;
    __builtin_memset(heap->queues, 0, sizeof heap->queues);
    heap->purge_list = PURGE_IDLE;
    heap->purge_segment = 0;
    heap->purge_gave = heap->in_step.is_on = false;
    heap->shortage = SHORTAGE_NONE;
    heap->wants_pages = false;
}

void heap_reset(struct heap *heap) {
    heap_forget_pages(heap);
    __builtin_memset(heap->lists, 0, sizeof heap->lists);
    __builtin_memset(heap->open, 0, sizeof heap->open);
    heap->listed = 0;
    heap->segments = heap->used = heap->told = heap->fresh = 0;
    heap->idle = heap->told_idle = heap->tell_below = 0;
    heap->tell_from = USED_UNTOLD;
    heap->quarantine.bytes = heap->quarantine.count = heap->quarantine.drawn_count = 0;
    heap->chances_left = 0;
    heap->cannot_grow = false; /* of a call that another thread was in */
}
