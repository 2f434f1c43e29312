/*
 * stats: counting what is there (see stats.h).
 *
 * A walk over all taken segments by their owner words. Of pages whose owner is at work the counts
 * are near the truth: each field is read once, and a sum that comes out negative is left out.
 */
#include "alloc/stats.h"
#include "heap/sample.h"
#include "process/state.h"

static void add_pages(struct stats *stats, const struct segment *segment, enum page_kind kind) {
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        const struct page *page = segment_page(segment, low_bit(slots));
        /* Of a page whose owner is at work: near the truth. */
        int32_t used = atomic_load_relaxed(&page->carved) -
                       (int32_t)atomic_load_relaxed(&page->free_count) -
                       (int32_t)page_returned(page);
        if (used <= 0) continue;
        stats->pages++;
        stats->used_blocks += (size_t)used;
        stats->used_bytes += (size_t)used * page->block_size;
    }
}

static void add_segment(struct stats *stats, const struct segment *segment) {
    /* pairs with the stores of every owner change */
    uint64_t word = atomic_load_acquire(&segment->owner);
    switch (owner_kind(word)) {
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE:
        if (word & OWNER_ABANDONED) stats->abandoned++;
        add_pages(stats, segment, owner_page_kind(word));
        break;
    case OWNER_HUGE:
        stats->huge++;
        stats->huge_bytes += atomic_load_relaxed(&segment->committed);
        stats->used_blocks++;
        stats->used_bytes += atomic_load_relaxed(&segment->committed);
        break;
    case OWNER_ZERO_SIZE: break;
    case OWNER_SAMPLES: {
        size_t count = sample_count(segment, &stats->used_bytes);
        stats->samples += count;
        stats->used_blocks += count;
        break;
    }
    case OWNER_UNUSED:
    case OWNER_FREEING:
    case OWNER_FREED: return;
    }
    stats->segments++;
}

MOAT_COLD void stats_collect(struct stats *stats) {
    *stats = (struct stats){0};
    if (!ro_is_started()) return;
    const struct region *region = ro.region;
    uint32_t end = atomic_load_relaxed(&region->extent);
    for (uint32_t word = 0; word * 64 < end; word++)
        for (uint64_t taken = atomic_load_relaxed(&region->taken[word]); taken != 0;
             taken &= taken - 1)
            if (word * 64 + low_bit(taken) < end)
                add_segment(stats, segment_at(word * 64 + low_bit(taken)));
    stats->reserved = (size_t)end << SEGMENT_SHIFT;
    stats->committed = atomic_load_relaxed(&region->committed);
    stats->guards_missing = atomic_load_relaxed(&region->guards_missing);
    stats->growth_blocked = atomic_load_relaxed(&region->growth_blocked);
    stats->heaps = atomic_load_relaxed(&ro.pool->made);
    stats->locks_taken =
        atomic_load_relaxed(&region->lock_count) + atomic_load_relaxed(&ro.pool->lock_count);
}
