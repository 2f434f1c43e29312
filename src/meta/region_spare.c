/*
 * region_spare: what the tables hold of free segments goes back to the kernel.
 *
 * A free segment's record of pages and its part of the live map say nothing any more, and would
 * stay resident for as long as the process lives: a fiftieth of what the heap once was. All is done
 * under LOCK_REGION, so that nobody takes the segments meanwhile. What other threads may still do
 * to their tables, and what becomes of it, is drawn in doc/concurrency.md, "Tables of free
 * segments":
 *
 *   a late mark in `pending`      a hint to a page that is none any more; may be lost
 *   a late claim in the live map  a second free that overlapped the first: it may not be lost. The
 *                                 map's pages are not dropped but moved aside, in one step of the
 *                                 kernel, and looked at there: a claim is in them, or comes to the
 *                                 empty page in their place, and is met there by the next owner.
 */
#include "meta/livemap.h"
#include "meta/locks.h"
#include "os/os.h"
#include "os/os_seam.h"
#include "report/report.h"

/* What free segments may keep, lowest first: those are taken next. */
#define SPARE_BYTES (2 * MIB)
/* A step of the search goes over so many words of the bitmap, and gives back the tables of so many
   segments at most. */
#define WORDS_PER_STEP 64u
#define SEGMENTS_PER_STEP 8u
#define ASIDE_BYTES (SEGMENTS_PER_STEP * MAP_TABLE_BYTES_PER_SEGMENT)

/* A run of free segments in one word of the bitmap. */
struct spare {
    uint32_t index, count;
};

void region_let_be(size_t refused) {
    size_t bytes_of_one = 0;
    for (enum region_table table = 0; table < REGION_TABLES; table++)
        bytes_of_one += region_table_bytes(table, 1);
    atomic_store_relaxed(&ro.region->spare_kept, (int64_t)(SPARE_BYTES / bytes_of_one + refused));
}

size_t region_table_part(enum region_table table, uint32_t index, uint32_t count,
                         uintptr_t *start) {
    uintptr_t base = ro.region->tables[table].start;
    uintptr_t from = base + region_table_bytes(table, index);
    uintptr_t end = base + region_table_bytes(table, index + count);
    *start = round_up(from, ro.os_page);
    end = round_down(end, ro.os_page);
    return end > *start ? end - *start : 0;
}

static size_t table_part(enum region_table table, const struct spare *spare, uintptr_t *start) {
    return region_table_part(table, spare->index, spare->count, start);
}

static bool drop(enum region_table table, const struct spare *spare) {
    uintptr_t start;
    size_t size = table_part(table, spare, &start);
    return size == 0 || os_purge((void *)start, size);
}

/* Where the live map's pages are looked at, readable and writable for good. */
static bool have_aside(struct region *region) {
    if (region->aside != 0) return true;
    void *aside = os_reserve(ASIDE_BYTES, ro.os_page, 0);
    if (aside == NULL) return false;
    if (!os_commit(aside, ASIDE_BYTES)) {
        os_unreserve(aside, ASIDE_BYTES);
        return false;
    }
    region->aside = (uintptr_t)aside;
    return true;
}

/* Of map words, of a free segment or moved aside, those of addresses from `address` on. */
static void look_for_claims(const struct map_word *words, size_t size, uintptr_t address) {
    const struct map_word *end = words + size / sizeof *words;
    for (; words < end; words++, address += MAP_WORD_SPAN) {
        uint64_t claim = atomic_load_relaxed(&words->claim);
        if (MOAT_UNLIKELY(claim != 0)) {
            uintptr_t block = address + low_bit(claim) * GRANULE;
            struct report_facts facts = {.segment_start = round_down(block, SEGMENT_SIZE),
                                         .block_state = "free, and freed again by another thread",
                                         .segment_owner = "no thread (unused)"};
            report_fatal(PHRASE_SECOND_FREE, block, &facts);
        }
        MOAT_CHECK(atomic_load_relaxed(&words->live) == 0, "a live block in a free segment",
                   address);
    }
}

void region_expect_no_claims(uint32_t index, size_t bytes) {
    uint64_t paged = atomic_load_relaxed(&ro.region->paged[index / 64]);
    uintptr_t start = segment_address(index);
    if (HARDENED_MAP && has_bit(paged, index))
        look_for_claims(map_word_of(start), bytes / MAP_WORD_SPAN * sizeof(struct map_word), start);
}

/* Mapped again where the kernel has unmapped it before it failed: accessible, or given up. */
static void mend_aside(struct region *region) {
    void *aside = (void *)region->aside;
    if (os_commit(aside, ASIDE_BYTES)) return;
    os_unreserve(aside, ASIDE_BYTES);
    region->aside = 0;
}

static bool move_aside(struct region *region, uintptr_t start, size_t size) {
    if (!have_aside(region)) return false;
    enum os_move move = os_take_pages((void *)start, (void *)region->aside, size);
    if (move == OS_MOVE_LOST) region->aside = 0;
    if (move == OS_NOT_MOVED) mend_aside(region);
    if (move != OS_MOVED) return false;
    uintptr_t offset = start - region->tables[REGION_TABLE_MAPS].start;
    look_for_claims((const struct map_word *)region->aside, size,
                    ro.region_base + offset / sizeof(struct map_word) * MAP_WORD_SPAN);
    /* if the kernel refuses, the next to be moved there take its place */
    (void)os_purge((void *)region->aside, size);
    return true;
}

/* One by one where not all at once: a table that grew in a forked child is of two mappings, which
   kernels before 6.17 do not move together. It grows by whole segments. */
static bool move_map_aside(struct region *region, const struct spare *spare) {
    uintptr_t start;
    size_t size = table_part(REGION_TABLE_MAPS, spare, &start);
    if (size == 0 || move_aside(region, start, size)) return true;
    for (uint32_t i = 0; i < spare->count; i++) {
        struct spare one = {spare->index + i, 1};
        size = table_part(REGION_TABLE_MAPS, &one, &start);
        if (spare->count == 1 || (size != 0 && !move_aside(region, start, size))) return false;
    }
    return true;
}

/* Nobody claims where there never were pages. */
static bool empty_map(struct region *region, const struct spare *spare) {
    uint64_t paged = atomic_load_relaxed(&region->paged[spare->index / 64]);
    if (!HARDENED_MAP) return true;
    return has_bit(paged, spare->index) ? move_map_aside(region, spare)
                                        : drop(REGION_TABLE_MAPS, spare);
}

/* Of these segments of a word the highest and those below it that had pages as it had, or had none,
   as many as a step takes. */
static struct spare highest_run(const struct region *region, uint32_t word, uint64_t found) {
    uint64_t paged = atomic_load_relaxed(&region->paged[word]);
    uint32_t last = high_bit(found), first = last;
    uint64_t alike = found & (has_bit(paged, last) ? paged : ~paged);
    while (first > 0 && last - first + 1 < SEGMENTS_PER_STEP && has_bit(alike, first - 1)) first--;
    return (struct spare){word * 64 + first, last - first + 1};
}

/* The highest free segments below the place where the search stands; false: none so near, or none
   at all, and then it stands at the end of the region again. */
static bool find_spare(struct region *region, struct spare *spare) {
    uint32_t end = (region->extent + 63) / 64;
    if (region->spare_below == 0 || region->spare_below > end) region->spare_below = end;
    for (uint32_t walked = 0; walked < WORDS_PER_STEP && region->spare_below > 0; walked++) {
        uint32_t word = region->spare_below - 1;
        uint64_t found = region->described[word] & region_free_segments(region, word);
        if (found != 0) {
            *spare = highest_run(region, word, found);
            return true;
        }
        region->spare_below--;
    }
    return false;
}

/* One step. False: there was nothing, or the kernel refused. */
static bool shed_some(struct region *region) {
    struct spare spare;
    if (!find_spare(region, &spare)) return false;
    /* first what locked memory refuses without harm: a move would unlock it */
    if (!drop(REGION_TABLE_PAGES, &spare) || !drop(REGION_TABLE_REQUESTS, &spare) ||
        !empty_map(region, &spare)) {
        /* not asked again for as many, unless somebody wants all */
        region_let_be((size_t)atomic_load_relaxed(&region->spare));
        region->spare_refused = true;
        return false;
    }
    uint64_t bits = low_mask(spare.count) << spare.index % 64;
    region->described[spare.index / 64] &= ~bits;
    region_count_spare(-(int64_t)spare.count);
    return true;
}

static bool shed_all(struct region *region) {
    bool gave = false, goes_on = true;
    for (bool first = true; goes_on; first = false) {
        locks_acquire(LOCK_REGION);
        if (first) {
            region_let_be(0);
            region->spare_refused = false;
            region->spare_below = 0;
        }
        bool some = !region->memory_was_locked && shed_some(region);
        gave |= some;
        goes_on = some || (region->spare_below != 0 && !region->spare_refused);
        locks_release(LOCK_REGION);
    }
    return gave;
}

bool region_shed_tables(bool force) {
    struct region *region = ro.region;
    if (!region_has_spare(force)) return false;
    if (IN_HARNESS && os_seam.memory_is_played()) return false;
    if (force) return shed_all(region);
    if (!locks_try(LOCK_REGION)) return false;
    bool gave = !region->memory_was_locked && shed_some(region);
    locks_release(LOCK_REGION);
    return gave;
}

void region_recover_spare(void) {
    struct region *region = ro.region;
    int64_t spare = 0;
    for (uint32_t word = 0; word * 64 < region->extent; word++)
        spare += popcount64(region->described[word] & region_free_segments(region, word));
    if (region->spare != spare) region->spare = spare;
    /* a thread that did not come along may have given some, and not have said so yet */
    region->news |= REGION_GIVEN;
}

/* A thread that did not come along may have been told that its move has failed, and have left a
   hole. */
void region_recover_aside(void) {
    struct region *region = ro.region;
    bool hole = false;
    for (uintptr_t i = 0; region->aside != 0 && i < ASIDE_BYTES; i += MAP_TABLE_BYTES_PER_SEGMENT)
        hole |= os_reserve(MAP_TABLE_BYTES_PER_SEGMENT, ro.os_page, region->aside + i) != NULL;
    if (!hole) return;
    os_unreserve((void *)region->aside, ASIDE_BYTES);
    region->aside = 0;
}
