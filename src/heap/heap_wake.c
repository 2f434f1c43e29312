/*
 * heap_wake: full pages that remote frees have woken (contracts in heap.h; the protocol in
 * doc/design.md).
 *
 * A wake-up is a bit for the page in its segment, one for the segment in a word of 64, and one in
 * the heap for the word's number & 63. All are hints: what they lead to may be in its queue, or of
 * an earlier life. So a poll looks at words of 64 segments, never at segments one by one. Bits of
 * other heaps' segments are left: their owners will come by.
 */
#include "heap/heap.h"

/* Pages that are looked at together. What is known of them was last written by other cores, or in a
   large heap by nobody for long: it is asked for while the rest is gathered. One by one, each page
   waited for memory in four places, and its locked instructions for the stores to the page before
   (doc/benchmarks.md, Remote frees in a large heap). */
struct woken {
    unsigned count;
    size_t left; /* how many more may be gathered, for this poll */
    struct page *pages[SLOTS_PER_SEGMENT];
};

/* It is collected, and stays set aside; not if it may be used again, or is empty. */
static bool stays_aside(const struct heap *heap, struct page *page) {
    do page_collect(page, size_class_page_kind(page->size_class));
    while (!page_mark_full(page));
    if (page_used(page) == 0 || !heap_leaves_alone(heap, page)) return false;
    page_set_apart(page);
    return true;
}

/* An empty page leaves a segment empty at most: the segments of the others stay. */
static void rejoin_all(struct heap *heap, struct woken *woken) {
    for (unsigned i = 0; i < woken->count; i++) page_expect_words(woken->pages[i]);
    for (unsigned i = 0; i < woken->count; i++) page_expect_blocks(woken->pages[i]);
    for (unsigned i = 0; i < woken->count; i++) {
        struct page *page = woken->pages[i];
        if (!page->in_full) continue; /* spurious, or of an earlier life */
        if (MOAT_UNLIKELY(page->inherited) && stays_aside(heap, page)) continue;
        heap_queue_rejoin(heap, page);
        if (page_used(page) == 0 && !heap_queue_keeps(heap, page)) heap_release_page(heap, page);
    }
    woken->count = 0;
}

static void poll_segment(struct heap *heap, struct segment *segment, struct woken *woken) {
    /* pairs with wake_owner */
    uint64_t slots = atomic_exchange_acquire(&segment->woken, 0);
    size_t count = popcount64(slots);
    if (woken->count + count > SLOTS_PER_SEGMENT) rejoin_all(heap, woken);
    woken->left -= count < woken->left ? count : woken->left;
    for (; slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        page_expect(page);
        woken->pages[woken->count++] = page;
    }
}

/* The segment's bit goes before what it leads to is looked at, or a wake-up between would be
   lost. */
static void poll_word(struct heap *heap, uint32_t word, struct woken *woken) {
    uint64_t *bits = &ro.woken_segments[word];
    uint64_t rest = atomic_load_acquire(bits); /* pairs with wake_segment */
    for (; rest != 0 && woken->left != 0; rest &= rest - 1) {
        struct segment *segment = segment_at(word * 64 + low_bit(rest));
        uint64_t owner = atomic_load_relaxed(&segment->owner); /* ours stays what it is */
        if (!owner_has_pages(owner) || owner_heap(owner) != &heap->owner) continue;
        atomic_and_acq_rel(bits, ~(rest & -rest)); /* pairs with wake_segment */
        poll_segment(heap, segment, woken);
    }
}

static size_t expect_segments(uint32_t word) {
    uint64_t waiting = atomic_load_unseen(&ro.woken_segments[word]);
    for (uint64_t rest = waiting; rest != 0; rest &= rest - 1) {
        const struct segment *segment = segment_at(word * 64 + low_bit(rest));
        __builtin_prefetch(segment, 0);
        __builtin_prefetch(&segment->woken, 1);
    }
    return popcount64(waiting);
}

static void expect_some(uint64_t groups, uint32_t words) {
    size_t expected = 0;
    for (; groups != 0; groups &= groups - 1)
        for (uint32_t word = low_bit(groups); word < words; word += 64)
            if ((expected += expect_segments(word)) >= WAKES_PER_POLL) return;
}

void heap_follow_wakes(struct heap *heap, size_t most) {
    struct woken woken;
    woken.count = 0;
    woken.left = most;
    uint64_t groups = atomic_exchange_acquire(&heap->owner.wake, 0); /* pairs with wake_segment */
    uint32_t words = (atomic_load_relaxed(&ro.region->extent) + 63) / 64;
    expect_some(groups, words);
    for (; groups != 0; groups &= groups - 1) {
        for (uint32_t word = low_bit(groups); word < words && woken.left != 0; word += 64)
            poll_word(heap, word, &woken);
        if (woken.left == 0) break;
    }
    /* what is left leads to words as it did; pairs with the exchange of the next poll */
    if (groups != 0) atomic_or_release(&heap->owner.wake, groups);
    rejoin_all(heap, &woken);
}

void heap_forget_wakes(struct segment *segment) {
    uint32_t index = segment_index(segment);
    uint64_t *word = &ro.woken_segments[index / 64];
    if (has_bit(atomic_load_relaxed(word), index))
        atomic_and_acq_rel(word, ~bit64(index)); /* pairs with wake_segment */
    /* pairs with wake_owner */
    if (atomic_load_relaxed(&segment->woken) != 0) atomic_exchange_acquire(&segment->woken, 0);
}
