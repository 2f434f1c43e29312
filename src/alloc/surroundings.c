/*
 * surroundings: what lies at an address, and beside it (see surroundings.h).
 *
 * Records of pages belong to their owners, who may be writing them: counts are bounded here, and
 * each link is believed only if it names a block of the page.
 */
#include "alloc/surroundings.h"
#include "heap/heap.h"
#include "heap/huge.h"
#include "heap/sample.h"
#include "meta/request.h"
#include "os/peek.h"
#include "process/state.h"

/* Segments with blocks that are looked through on either side of a wild pointer; and those that
   have none, which cost a load each. */
#define NEAREST_SEGMENTS 64u
#define NEAREST_EMPTY 16384u

/* --- Lists ----------------------------------------------------------------------------------- */

/* Whether one of the first `count` blocks of a list is the block. */
static bool is_on_list(const struct page *page, uintptr_t head, uint32_t count, uintptr_t block) {
    struct peek peek = {.page = 0};
    uint64_t limit = atomic_load_relaxed(&page->limit);
    uint64_t secret = atomic_load_relaxed(&page->secret);
    uint64_t reciprocal = atomic_load_relaxed(&page->reciprocal);
    uintptr_t start = atomic_load_relaxed(&page->start);
    if (count > page->capacity) count = page->capacity;
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t link = 0;
        if (head - start >= limit || !freelist_is_block(head - start, limit, reciprocal))
            return false;
        if (head == block) return true;
        if (!peek_word(&peek, head, &link)) return false;
        head = freelist_decode(link, secret, head);
    }
    return false;
}

static bool page_has_ended(const struct page *page) {
    const struct segment *segment = page_segment(page);
    return (atomic_load_relaxed(&segment->free_pages) & bit64(page_slot(page))) != 0;
}

const char *block_state(const struct page *page, uintptr_t block) {
    const struct map_word *map = map_word_of(block);
    uint64_t bit = map_bit_of(block);
    if ((atomic_load_relaxed(&map->claim) & bit) != 0 && ro_is_strict())
        return request_is_released(block) ? "freed, not collected yet" : "freed, in quarantine";
    if ((atomic_load_relaxed(&map->claim) & bit) != 0)
        return "freed by another thread, not collected yet";
    if ((atomic_load_relaxed(&map->live) & bit) != 0) return "in use";
    if (page_has_ended(page)) return "free, and its page has ended";
    if (ro_is_strict()) return "free";
    uint32_t count = atomic_load_relaxed(&page->free_count);
    if (is_on_list(page, atomic_load_relaxed(&page->free), count, block))
        return "free, on the list to allocate from";
    if (is_on_list(page, atomic_load_relaxed(&page->local_free), page_returned(page), block))
        return "free, on the list of its owner's frees";
    return "free";
}

void block_neighbours(const struct page *page, struct report_facts *facts) {
    uintptr_t block = facts->block_start;
    size_t size = facts->block_size;
    if (page_has_ended(page)) return;
    if (block >= page->start + size) {
        facts->before.start = block - size;
        facts->before.state = block_state(page, block - size);
    }
    if ((block - page->start) / size + 1 >= page->capacity) return;
    facts->behind.start = block + size;
    facts->behind.state = block + size - page->start < page->limit ? block_state(page, block + size)
                                                                   : "never handed out";
}

/* --- The nearest block in use ----------------------------------------------------------------- */

static uint64_t in_use(uintptr_t address) {
    const struct map_word *map = map_word_of(address);
    return atomic_load_relaxed(&map->live) & ~atomic_load_relaxed(&map->claim);
}

/* The last block in use that begins in [low, address]; 0: there is none. */
static uintptr_t last_block(uintptr_t low, uintptr_t address) {
    for (;;) {
        uintptr_t base = round_down(address, MAP_WORD_SPAN);
        uint64_t blocks = in_use(base) & (UINT64_MAX >> (63 - (address - base) / GRANULE));
        if (blocks != 0) return base + high_bit(blocks) * GRANULE;
        if (base <= low) return 0;
        address = base - 1;
    }
}

/* The first one that begins in [address, end). */
static uintptr_t first_block(uintptr_t address, uintptr_t end) {
    while (address < end) {
        uintptr_t base = round_down(address, MAP_WORD_SPAN);
        uint64_t blocks = in_use(base) & (UINT64_MAX << (address - base) / GRANULE);
        if (blocks != 0) return base + low_bit(blocks) * GRANULE;
        address = base + MAP_WORD_SPAN;
    }
    return 0;
}

static bool has_blocks(uint32_t index) {
    /* pairs with the stores of every owner change */
    uint64_t word = atomic_load_acquire(&segment_at(index)->owner);
    return owner_has_pages(word) || owner_kind(word) == OWNER_HUGE ||
           owner_kind(word) == OWNER_ZERO_SIZE || owner_kind(word) == OWNER_SAMPLES;
}

static uintptr_t find_below(uintptr_t address) {
    uint32_t first = segment_index(segment_of(address)), looked = 0, passed = 0;
    for (uint32_t index = first; index > 0 && looked < NEAREST_SEGMENTS && passed < NEAREST_EMPTY;
         index--) {
        uintptr_t start = segment_address(index);
        uintptr_t from = index == first ? address : start + SEGMENT_SIZE - 1;
        bool any = has_blocks(index);
        uintptr_t found = any ? last_block(start, from) : 0;
        if (found != 0) return found;
        looked += any;
        passed += !any;
    }
    return 0;
}

static uintptr_t find_above(uintptr_t address) {
    uint32_t first = segment_index(segment_of(address)), looked = 0, passed = 0;
    uint32_t count = (uint32_t)(ro_extent() >> (SEGMENT_SHIFT - GRANULE_SHIFT));
    for (uint32_t index = first;
         index < count && looked < NEAREST_SEGMENTS && passed < NEAREST_EMPTY; index++) {
        uintptr_t start = segment_address(index);
        bool any = has_blocks(index);
        uintptr_t found =
            any ? first_block(index == first ? address : start, start + SEGMENT_SIZE) : 0;
        if (found != 0) return found;
        looked += any;
        passed += !any;
    }
    return 0;
}

/* The map has a huge block where its run starts; at the strict level it may begin behind that. */
static uintptr_t handed_out(uintptr_t base) {
    bool has_lead = base != 0 && ro_is_strict() &&
                    owner_kind(atomic_load_relaxed(&segment_of(base)->owner)) == OWNER_HUGE;
    return has_lead ? base + request_lead(base) : base;
}

static size_t size_of_block(uintptr_t block) {
    const struct segment *segment = segment_of(block);
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (owner_has_pages(word)) return page_of(block, owner_page_kind(word))->block_size;
    struct sample_view view;
    if (owner_kind(word) == OWNER_SAMPLES) return sample_find(block, &view) ? view.size : 0;
    if (owner_kind(word) != OWNER_HUGE) return 0;
    return atomic_load_relaxed(&segment->committed) - (block - segment_start(segment));
}

static bool is_in_run(const struct segment *segment, uintptr_t address) {
    return owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_HUGE &&
           address - segment_start(segment) < (size_t)atomic_load_relaxed(&segment->run)
                                                  << SEGMENT_SHIFT;
}

void nearest_block(uintptr_t address, struct report_facts *facts) {
    uintptr_t below = handed_out(find_below(address)), above = handed_out(find_above(address));
    if (below > address) { /* between the start of a run and its block */
        above = below;
        below = 0;
    }
    size_t size = below != 0 ? size_of_block(below) : 0;
    /* it may have been freed meanwhile, and another one begun that reaches over the address */
    if (below != 0 && below + size > address) below = 0;
    if (below != 0 && is_in_run(segment_of(below), address))
        facts->place = "the guard behind a huge block";
    bool take_above = above != 0 && (below == 0 || above - address < address - (below + size));
    facts->nearest_start = take_above ? above : below;
    facts->nearest_size = take_above ? size_of_block(above) : size;
}

/* --- Places without a block ------------------------------------------------------------------- */

const char *place_in_segment(uintptr_t address, uint64_t owner_word) {
    if (address < segment_address(1)) return "the guard before the heap";
    if (owner_kind(owner_word) == OWNER_ZERO_SIZE) return "memory of zero-size blocks";
    if (owner_kind(owner_word) == OWNER_SAMPLES) return "memory of guarded samples";
    if (!owner_has_pages(owner_word)) return "a part of the heap that is not in use";
    if (address - round_down(address, SEGMENT_SIZE) >= SEGMENT_SIZE - ro.os_page)
        return "the guard behind a segment";
    const struct page *page = page_of(address, owner_page_kind(owner_word));
    enum page_kind kind = owner_page_kind(owner_word);
    size_t size = page_kind_size(kind);
    if ((address & (size - 1)) >= segment_page_bytes(page_segment(page), kind, page_slot(page)))
        return "the guard behind a page";
    return page_has_ended(page) ? "a part of a segment that no page uses"
                                : "a part of a page that has not been handed out yet";
}

static bool table_has(const struct table *table, uintptr_t address) {
    /* the inaccessible OS page before it too */
    return table->start != 0 && address - table->start + ro.os_page < table->mapped + ro.os_page;
}

const char *place_of_own(uintptr_t address) {
    if (!ro_is_started()) return NULL;
    for (unsigned i = 0; i < REGION_TABLES; i++)
        if (table_has(&ro.region->tables[i], address)) return "moat's own tables";
    if (table_has(&ro.pool->heaps, address) || table_has(&ro.pool->randoms, address))
        return "moat's own tables";
    if (address - (uintptr_t)&moat_ro_pages < sizeof moat_ro_pages)
        return "moat's own structure of what never changes";
    /* its first member */
    return address - (uintptr_t)ro.region < sizeof(struct state) ? "moat's own state" : NULL;
}
