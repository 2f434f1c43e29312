/*
 * quarantine: see quarantine.h.
 */
#include "heap/quarantine.h"

#include "heap/damage.h"
#include "heap/strict_page.h"
#include "meta/canary.h"
#include "meta/request.h"

static enum page_kind kind_of(uintptr_t block) {
    /* its page has a block in use: the kind stays, whoever owns the segment */
    return owner_page_kind(atomic_load_relaxed(&segment_of(block)->owner));
}

/* Whether the heap takes the block back by the plain stores of its page's owner. A page that was
   set aside is woken like any other. */
static bool is_own(const struct heap *heap, uint64_t owner, const struct page *page) {
    return heap != NULL && owner_heap(owner) == &heap->owner && !page->in_full;
}

/* What was written to is nobody's any more. `heap`: the running thread's, or NULL. */
static void let_go(struct heap *heap, uintptr_t block, size_t size) {
    uintptr_t written = zero_check(block, block + size);
    if (MOAT_UNLIKELY(written != 0)) {
        damage_report(PHRASE_WRITTEN_IN_QUARANTINE, block, written);
        return;
    }
    struct segment *segment = segment_of(block);
    uint64_t owner = atomic_load_relaxed(&segment->owner);
    /* what comes after the release may find another page there, of another kind */
    enum page_kind kind = owner_page_kind(owner);
    struct page *page = page_of(block, kind);
    bool own = is_own(heap, owner, page);
    request_release(block);
    if (own) {
        strict_page_take_back(page, block);
        return;
    }
    remote_announce(segment, kind, block);
    /* pairs with leave_segment */
    if ((atomic_load_acquire(&segment->owner) & OWNER_ABANDONED) != 0) heap_note_abandoned();
}

static size_t size_at(uintptr_t block) { return page_of(block, kind_of(block))->block_size; }

/* Takes number `i` out; the last one moves into its place. */
static void draw(struct heap *heap, uint32_t i) {
    struct quarantine *quarantine = &heap->quarantine;
    uintptr_t block = quarantine->blocks[i];
    size_t size = size_at(block);
    quarantine->blocks[i] = quarantine->blocks[--quarantine->count];
    quarantine->bytes -= size;
    let_go(heap, block, size);
}

void quarantine_put(struct heap *heap, uintptr_t block, size_t size) {
    if (heap == NULL || ro.options.quarantine == 0 || size > ro.options.quarantine_bytes) {
        let_go(heap, block, size);
        return;
    }
    struct quarantine *quarantine = &heap->quarantine;
    while (quarantine->count >= ro.options.quarantine ||
           quarantine->bytes + size > ro.options.quarantine_bytes)
        draw(heap, heap_draw(heap, quarantine->count));
    quarantine->blocks[quarantine->count++] = block;
    quarantine->bytes += size;
}

bool quarantine_empty(struct heap *heap) {
    struct quarantine *quarantine = &heap->quarantine;
    bool any = quarantine->count != 0;
    while (quarantine->count != 0) draw(heap, quarantine->count - 1);
    return any;
}
