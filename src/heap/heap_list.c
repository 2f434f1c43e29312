/*
 * heap_list: which lists a heap's segments stand in (contracts in heap.h).
 *
 * Each segment is in one of 64 lists, by the lowest bits of its index; and, if it can take another
 * page, in the list of open segments of its kind, or of empty ones.
 * Owner only, inside a generic path.
 */
#include "heap/heap.h"

void heap_list_add(struct heap *heap, struct segment *segment) {
    uint32_t index = segment_index(segment);
    list_push_front(&heap->lists[index & 63], segments_in_heap(), index);
    heap->listed |= bit64(index);
    segment->open_list = OPEN_NONE;
    heap->segments++;
    heap->used += segment_slots(segment, segment->pages_used);
    if (MOAT_UNLIKELY(segment->dirty != 0)) heap->idle += segment_dirty_slots(segment);
    heap_update_open(heap, segment);
}

static void leave_open_list(struct heap *heap, struct segment *segment) {
    if (segment->open_list == OPEN_NONE) return;
    list_remove(&heap->open[segment->open_list], segments_open(), segment_index(segment));
    segment->open_list = OPEN_NONE;
}

/* The purge walk stands before a segment that leaves: it goes on behind it. */
static void pass_over(struct heap *heap, const struct segment *segment) {
    if (heap->purge_segment != segment_index(segment)) return;
    heap->purge_segment = segment->in_heap.next;
    if (segment->in_heap.next == 0) heap->purge_list++;
}

void heap_list_remove(struct heap *heap, struct segment *segment) {
    uint32_t index = segment_index(segment);
    leave_open_list(heap, segment);
    pass_over(heap, segment);
    list_remove(&heap->lists[index & 63], segments_in_heap(), index);
    if (list_is_empty(&heap->lists[index & 63])) heap->listed &= ~bit64(index);
    heap->segments--;
    heap->used -= segment_slots(segment, segment->pages_used);
    if (MOAT_UNLIKELY(segment->dirty != 0)) heap->idle -= segment_dirty_slots(segment);
}

/* An empty one is of no use as it is, and nothing would come by it again; what all threads share
   stays. */
void heap_close_segment(struct heap *heap, struct segment *segment) {
    if (segment->pages_used != 0 || heap == heap_at(HEAP_LATE)) {
        leave_open_list(heap, segment);
        return;
    }
    heap_list_remove(heap, segment);
    segment_destroy(segment);
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
    list_push_front(&heap->open[list], segments_open(), segment_index(segment));
}

/* Open segments that are looked at. */
#define LOOKS_FOR_SLOT 4u

struct segment *heap_find_open(struct heap *heap, uint32_t size_class) {
    enum page_kind kind = size_class_page_kind(size_class);
    if (kind == PAGE_LARGE) return NULL;
    uint32_t index = heap->open[kind].first;
    struct segment *first = index != 0 ? segment_at(index) : NULL, *never_used = NULL;
    for (unsigned looks = LOOKS_FOR_SLOT; index != 0 && looks > 0; looks--) {
        struct segment *segment = segment_at(index);
        if (segment_remembers(segment, size_class)) return segment;
        if (never_used == NULL && segment->untouched != 0) never_used = segment;
        index = segment->in_open.next;
    }
    return never_used != NULL ? never_used : first;
}

MOAT_INLINE void end_page(struct heap *heap, struct segment *segment, struct page *page) {
    uint32_t slots = segment_slots(segment, 1);
    segment_page_destroy(segment, page);
    heap->used -= slots;
    heap->idle += slots;
    segment->purge_at = heap_purge_time(heap->now);
    heap_update_open(heap, segment);
    heap_tell_less(heap);
}

void heap_release_page(struct heap *heap, struct page *page) {
    heap_queue_remove(heap, page);
    end_page(heap, page_segment(page), page);
}

void heap_end_page(struct heap *heap, struct segment *segment, struct page *page) {
    end_page(heap, segment, page);
}
