/*
 * strict_page: taking and collecting by the maps (see strict_page.h).
 *
 * All but strict_page_validate() are the owner's, inside a bracket.
 */
#include "heap/strict_page.h"

#include "meta/request.h"

/* Blocks that are tried at random before the free ones are counted. */
#define TRIES 8u

static bool is_live(uintptr_t block) {
    return (atomic_load_relaxed(&map_word_of(block)->live) & map_bit_of(block)) != 0;
}

void strict_page_open(struct page *page) {
    page->carved = page->capacity;
    page->free_count = page->capacity;
    page->limit = (uint64_t)page->capacity * page->block_size;
}

/* Blocks of the page that begin in the first `words` map words. */
static uint32_t begun_before(const struct page *page, uint32_t words) {
    uint64_t bytes = words * MAP_WORD_SPAN + page->block_size - 1;
    uint32_t count = (uint32_t)(((unsigned __int128)bytes * page->reciprocal) >> 64);
    return count < page->capacity ? count : page->capacity;
}

/* The free block number `n` from below, of those that are free. */
static uintptr_t nth_free(const struct page *page, uint32_t n) {
    const struct map_word *word = map_word_of(page->start);
    uint32_t block = 0;
    for (uint32_t i = 0; block < page->capacity; i++) {
        uint32_t next = begun_before(page, i + 1);
        uint32_t live = popcount64(atomic_load_relaxed(&word[i].live));
        uint32_t free = next - block > live ? next - block - live : 0;
        if (n < free) break;
        n -= free;
        block = next;
    }
    for (; block < page->capacity; block++) {
        uintptr_t address = page->start + (uintptr_t)block * page->block_size;
        if (!is_live(address) && n-- == 0) return address;
    }
    MOAT_CHECK(false, "a page has fewer free blocks than it counts", page->start);
    return 0;
}

uintptr_t strict_page_take(struct page *page, struct heap *heap) {
    uintptr_t address = 0;
    for (unsigned i = 0; i < TRIES && address == 0; i++) {
        uint32_t block = heap_draw(heap, page->capacity);
        uintptr_t tried = page->start + (uintptr_t)block * page->block_size;
        if (!is_live(tried)) address = tried;
    }
    if (address == 0) address = nth_free(page, heap_draw(heap, page->free_count));
    if (!map_take(map_word_of(address), map_place_of(address)))
        page_report_bad_block(page, address);
    page->free_count--;
    request_clear(address);
    return address;
}

uint64_t strict_page_released(uint64_t claim, uintptr_t first) {
    uint64_t released = 0;
    for (uint64_t rest = claim; rest != 0; rest &= rest - 1)
        if (request_is_released(first + low_bit(rest) * GRANULE)) released |= rest & -rest;
    return released;
}

static void count_block(struct page *page, uintptr_t block) {
    size_t offset = block - page->start;
    MOAT_CHECK(offset < page->limit && offset_on_boundary(offset, page->reciprocal) &&
                   page->free_count < page->capacity,
               "a claim names no block in use", block);
    page->free_count++;
}

/* Live bits first: a claim that is seen clear again must find a block that is seen free. */
static void clear_bits(struct map_word *word, uint64_t released) {
    map_clear_live(word, released);
    /* pairs with the fetch_or of the next remote_claim of these blocks */
    atomic_and_release(&word->claim, ~released);
}

static void collect_word(struct page *page, struct map_word *word, uintptr_t first) {
    uint64_t claim =
        atomic_load_seq_cst(&word->claim); /* pairs with the fetch_or of remote_claim */
    /* A claim that came when the block was free again is a second free's: its thread takes it back
       and reports it, or whoever takes the block meets it. */
    uint64_t in_use = claim & atomic_load_relaxed(&word->live);
    uint64_t released = strict_page_released(in_use, first);
    if (released == 0) return;
    for (uint64_t rest = released; rest != 0; rest &= rest - 1)
        count_block(page, first + low_bit(rest) * GRANULE);
    clear_bits(word, released);
}

void strict_page_take_in(struct page *page, uintptr_t block) {
    count_block(page, block);
    clear_bits(map_word_of(block), map_bit_of(block));
}

void strict_page_collect(struct page *page, enum page_kind kind) {
    /* pairs with the fetch_or of remote_announce */
    uint64_t groups = atomic_exchange_seq_cst(&page->pending, 0) & ~PENDING_FULL;
    struct map_word *words = map_word_of(page->start);
    unsigned shift = page_kind_shift(kind);
    for (; groups != 0; groups &= groups - 1) {
        unsigned group = low_bit(groups);
        unsigned from = group << shift, to = (group == 62 ? 64 : group + 1) << shift;
        for (unsigned i = from; i < to; i++)
            collect_word(page, &words[i], page->start + i * MAP_WORD_SPAN);
    }
}

/* --- After a fork ---------------------------------------------------------------------------- */

void strict_page_release_all(const struct page *page, uintptr_t start, size_t bytes) {
    const struct map_word *words = map_word_of(start);
    for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++) {
        uint64_t rest = atomic_load_relaxed(&words[i].claim) & atomic_load_relaxed(&words[i].live);
        for (; rest != 0; rest &= rest - 1) {
            uintptr_t address = start + i * MAP_WORD_SPAN + low_bit(rest) * GRANULE;
            if (request_is_released(address)) continue;
            moat_fill((void *)address, 0, page->block_size);
            request_release(address);
        }
    }
}

/* --- Checks ---------------------------------------------------------------------------------- */

bool strict_page_validate(const struct page *page, size_t bytes) {
    uint32_t live = 0;
    const struct map_word *words = map_word_of(page->start);
    if (page->carved != page->capacity ||
        page->limit != (uint64_t)page->capacity * page->block_size || page->limit > bytes)
        return false;
    for (size_t i = 0; i < bytes / MAP_WORD_SPAN; i++)
        live += popcount64(atomic_load_relaxed(&words[i].live));
    return page_returned(page) == 0 && page->free_count <= page->capacity &&
           live == page->capacity - page->free_count;
}
