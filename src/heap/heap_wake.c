/*
 * heap_wake: full pages that remote frees have woken (contracts in heap.h; the protocol in
 * doc/design.md).
 *
 * A wake-up is a bit for the page in its segment and a bit for the segment's list in the heap. Both
 * are hints: what they lead to may be in its queue already, or of an earlier life.
 */
#include "heap/heap.h"

void heap_poll(struct heap *heap) {
    uint64_t lists = atomic_exchange_acquire(&heap->owner.wake, 0); /* pairs with wake_owner */
    for (; lists != 0; lists &= lists - 1) {
        for (uint32_t index = heap->lists[low_bit(lists)].first; index != 0;
             index = segment_at(index)->in_heap.next) {
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
