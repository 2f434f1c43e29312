/*
 * quarantine: see quarantine.h.
 */
#include "heap/quarantine.h"

#include "heap/damage.h"
#include "meta/canary.h"
#include "meta/request.h"

static enum page_kind kind_of(uintptr_t block) {
    /* its page has a block in use: the kind stays, whoever owns the segment */
    return owner_page_kind(atomic_load_relaxed(&segment_of(block)->owner));
}

/* What was written to is nobody's any more. Not even its page's owner takes the block back by plain
   stores here: a free is no bracket that keeps visitors out of the heap (heap_visit.c). */
static void let_go(uintptr_t block, size_t size) {
    uintptr_t written = zero_check(block, block + size);
    if (MOAT_UNLIKELY(written != 0)) {
        damage_report(PHRASE_WRITTEN_IN_QUARANTINE, block, written);
        return;
    }
    struct segment *segment = segment_of(block);
    /* what comes after the release may find another page there, of another kind */
    enum page_kind kind = kind_of(block);
    request_release(block);
    remote_announce(segment, kind, block);
    /* pairs with leave_segment */
    if ((atomic_load_acquire(&segment->owner) & OWNER_ABANDONED) != 0) heap_note_abandoned();
}

static size_t size_at(uintptr_t block) { return page_of(block, kind_of(block))->block_size; }

/* Takes number `i` out; the last one moves into its place. */
static void draw(struct quarantine *quarantine, uint32_t i) {
    uintptr_t block = quarantine->blocks[i];
    size_t size = size_at(block);
    quarantine->blocks[i] = quarantine->blocks[--quarantine->count];
    quarantine->bytes -= size;
    let_go(block, size);
}

void quarantine_put(struct heap *heap, uintptr_t block, size_t size) {
    if (heap == NULL || ro.options.quarantine == 0 || size > ro.options.quarantine_bytes) {
        let_go(block, size);
        return;
    }
    struct quarantine *quarantine = &heap->quarantine;
    while (quarantine->count >= ro.options.quarantine ||
           quarantine->bytes + size > ro.options.quarantine_bytes)
        draw(quarantine, heap_draw(heap, quarantine->count));
    quarantine->blocks[quarantine->count++] = block;
    quarantine->bytes += size;
}

bool quarantine_empty(struct heap *heap) {
    struct quarantine *quarantine = &heap->quarantine;
    bool any = quarantine->count != 0;
    while (quarantine->count != 0) draw(quarantine, quarantine->count - 1);
    return any;
}
