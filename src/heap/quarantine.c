/*
 * quarantine: see quarantine.h.
 */
#include "heap/quarantine.h"

#include "heap/damage.h"
#include "heap/strict_page.h"
#include "meta/canary.h"
#include "meta/request.h"

MOAT_INLINE enum page_kind kind_of(uintptr_t block) {
    /* its page has a block in use: the kind stays, whoever owns the segment */
    return owner_page_kind(atomic_load_relaxed(&segment_of(block)->owner));
}

MOAT_INLINE struct page *page_at_block(uintptr_t block) { return page_of(block, kind_of(block)); }

/* What was written to is nobody's any more. */
static bool was_written(uintptr_t block, size_t size) {
    uintptr_t written = zero_check(block, block + size);
    if (MOAT_LIKELY(written == 0)) return false;
    damage_report(PHRASE_WRITTEN_IN_QUARANTINE, block, written);
    return true;
}

/* Not even its page's owner takes the block back by plain stores here: a free is no bracket that
   keeps visitors out of the heap (heap_visit.c). */
static void let_go(uintptr_t block, size_t size) {
    if (MOAT_UNLIKELY(was_written(block, size))) return;
    struct segment *segment = segment_of(block);
    /* what comes after the release may find another page there, of another kind */
    enum page_kind kind = kind_of(block);
    request_release(block);
    remote_announce(segment, kind, block);
    /* pairs with leave_segment */
    if ((atomic_load_acquire(&segment->owner) & OWNER_ABANDONED) != 0) heap_note_abandoned();
}

MOAT_INLINE bool is_own(const struct heap *heap, uintptr_t block) {
    return owner_heap(atomic_load_relaxed(&segment_of(block)->owner)) == &heap->owner;
}

/* Takes number `i` out; the last one moves into its place. `size` receives its size. */
MOAT_INLINE uintptr_t draw(struct quarantine *quarantine, uint32_t i, size_t *size) {
    uintptr_t block = quarantine->blocks[i];
    quarantine->blocks[i] = quarantine->blocks[--quarantine->count];
    *size = page_at_block(block)->block_size;
    quarantine->bytes -= *size;
    return block;
}

/* Up to this size, bytes, what is drawn may wait for the heap's next allocation. */
#define DRAWN_SIZE_MAX (1 * KIB)
#define CACHE_LINE 64u

/* It was last touched long ago, and is looked at soon. */
static void bring_near(uintptr_t block, size_t size) {
    __builtin_prefetch(map_word_of(block), 1);
    __builtin_prefetch(request_words(block), 1);
    for (size_t at = 0; at < size && at < 4 * CACHE_LINE; at += CACHE_LINE)
        __builtin_prefetch((const void *)(block + at));
}

/* Frees and allocations mostly take turns: what the heap's own pages get back is for the next one,
   which is inside the heap. */
static void draw_one(struct heap *heap) {
    struct quarantine *quarantine = &heap->quarantine;
    size_t size;
    uintptr_t block = draw(quarantine, heap_draw(heap, quarantine->count), &size);
    if (size > DRAWN_SIZE_MAX || quarantine->drawn_count == DRAWN_MAX || !is_own(heap, block)) {
        let_go(block, size);
        return;
    }
    bring_near(block, size);
    quarantine->drawn[quarantine->drawn_count++] = block;
}

void quarantine_put(struct heap *heap, uintptr_t block, size_t size) {
    if (heap == NULL || ro.options.quarantine == 0 || size > ro.options.quarantine_bytes) {
        let_go(block, size);
        return;
    }
    struct quarantine *quarantine = &heap->quarantine;
    while (quarantine->count >= ro.options.quarantine ||
           quarantine->bytes + size > ro.options.quarantine_bytes ||
           (quarantine->count != 0 && FAILPOINT(QUARANTINE_FULL)))
        draw_one(heap);
    quarantine->blocks[quarantine->count++] = block;
    quarantine->bytes += size;
}

/* True: its page is not needed any more, and has gone. A page that was set aside is woken as by any
   other free. */
static bool take_in(struct heap *heap, uintptr_t block) {
    struct page *page = page_at_block(block);
    if (!is_own(heap, block) || page->in_full) {
        let_go(block, page->block_size);
        return false;
    }
    if (MOAT_UNLIKELY(was_written(block, page->block_size))) return false;
    request_release(block);
    strict_page_take_in(page, block);
    if (MOAT_LIKELY(page_used(page) != 0) || heap_queue_keeps(heap, page)) return false;
    heap_release_page(heap, page);
    return true;
}

void quarantine_take_in(struct heap *heap) {
    struct quarantine *quarantine = &heap->quarantine;
    bool ended = false;
    while (quarantine->drawn_count != 0)
        ended |= take_in(heap, quarantine->drawn[--quarantine->drawn_count]);
    if (MOAT_UNLIKELY(ended)) heap_shed_empty(heap);
}

void quarantine_check(const struct heap *heap) {
    const struct quarantine *quarantine = &heap->quarantine;
    for (uint32_t i = 0; i < quarantine->drawn_count; i++)
        (void)was_written(quarantine->drawn[i], page_at_block(quarantine->drawn[i])->block_size);
    for (uint32_t i = 0; i < quarantine->count; i++)
        (void)was_written(quarantine->blocks[i], page_at_block(quarantine->blocks[i])->block_size);
}

bool quarantine_empty(struct heap *heap) {
    struct quarantine *quarantine = &heap->quarantine;
    bool any = quarantine->count != 0;
    while (quarantine->drawn_count != 0) {
        uintptr_t block = quarantine->drawn[--quarantine->drawn_count];
        let_go(block, page_at_block(block)->block_size);
    }
    while (quarantine->count != 0) {
        size_t size;
        uintptr_t block = draw(quarantine, quarantine->count - 1, &size);
        let_go(block, size);
    }
    return any;
}
