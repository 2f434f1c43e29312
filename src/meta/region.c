/*
 * region: address space in segments (see region.h).
 *
 * The bitmap says of each segment whether it is taken: bits are set under LOCK_REGION, and cleared
 * by whoever gives, without it. All else is under the lock but the counts, which statistics read.
 * Segments are taken in address order, so that accessible memory stays in few mappings; what lies
 * in the way of a window is gone around, and stays taken for good.
 */
#include "meta/region.h"
#include "meta/livemap.h"
#include "meta/locks.h"
#include "meta/mappings.h"
#include "os/os.h"
#include "report/report.h"

/* Windows are as long as what there is already, up to this many segments: 1, 1, 2, 4… */
#define WINDOW_MAX 256u

/* What is in the way of a growing region is gone around in steps of this many segments, which
   double every four attempts. */
#define GROW_SKIP 1u
#define GROW_ATTEMPTS 64

size_t region_table_bytes(enum region_table table, size_t segments) {
    static const size_t bytes_per_segment[REGION_TABLES] = {
        [REGION_TABLE_SEGMENTS] = SEGMENT_TABLE_BYTES_PER_SEGMENT,
        [REGION_TABLE_PAGES] = PAGE_TABLE_BYTES_PER_SEGMENT,
        [REGION_TABLE_LOCAL_HEAPS] = LOCAL_TABLE_BYTES_PER_SEGMENT,
        [REGION_TABLE_MAPS] = MAP_TABLE_BYTES_PER_SEGMENT,
        [REGION_TABLE_REQUESTS] = REQUEST_TABLE_BYTES_PER_SEGMENT,
    };
    if (table == REGION_TABLE_REQUESTS && !ro_is_strict()) return 0;
    return segments * bytes_per_segment[table];
}

static bool segment_is_free(const struct region *region, uint32_t index) {
    return index < region->extent && has_bit(region_free_segments(region, index / 64), index);
}

/* Under the lock: else it may be one that growth goes around. */
static uint64_t owed_segments(const struct region *region, uint32_t word) {
    return atomic_load_relaxed(&region->barred[word]) & ~atomic_load_relaxed(&region->taken[word]);
}

/* The bits of [at, end) in the word that `at` lies in; `at` becomes the beginning of the next. */
static uint64_t bits_of_word(uint32_t *at, uint32_t end) {
    uint64_t bits = ~low_mask(*at & 63);
    uint32_t next = (*at / 64 + 1) * 64;
    if (next > end) bits &= low_mask(end & 63);
    *at = next;
    return bits;
}

/* Whether all of the bits were the other way before. */
static bool change_bits(uint64_t *bitmap, uint32_t from, uint32_t count, bool set) {
    bool changed = true;
    for (uint32_t at = from; at < from + count;) {
        uint64_t *word = &bitmap[at / 64];
        uint64_t bits = bits_of_word(&at, from + count);
        /* pair with each other: who takes finds what who gave left */
        uint64_t old = set ? atomic_or_acq_rel(word, bits) : atomic_and_acq_rel(word, ~bits);
        changed &= (old & bits) == (set ? 0 : bits);
    }
    return changed;
}

/* Under the lock. */
static void take_segments(struct region *region, uint32_t index, uint32_t count) {
    int64_t spare = 0;
    for (uint32_t at = index; at < index + count;) {
        uint32_t word = at / 64;
        uint64_t bits = bits_of_word(&at, index + count), again = region->described[word] & bits;
        atomic_or_acq_rel(&region->taken[word], bits); /* pairs with change_bits of who gave them */
        if (again != 0) spare += popcount64(again);
        region->described[word] |= bits;
    }
    if (spare != 0) region_count_spare(-spare);
}

/* First free segment at or after `from`, or UINT32_MAX. */
static uint32_t next_free_segment(const struct region *region, uint32_t from) {
    for (uint32_t word = from / 64; word * 64 < region->extent; word++) {
        uint64_t open = region_free_segments(region, word);
        if (word == from / 64) open &= ~low_mask(from & 63);
        if (open == 0) continue;
        uint32_t index = word * 64 + low_bit(open);
        return index < region->extent ? index : UINT32_MAX;
    }
    return UINT32_MAX;
}

/* The index at or above `index` whose address is aligned to `align` segments. */
static uint32_t align_index(uint32_t index, uint32_t align) {
    uint32_t base = (uint32_t)(ro.region_base >> SEGMENT_SHIFT) & (align - 1);
    return (uint32_t)round_up((size_t)index + base, align) - base;
}

static void bar_segments(struct region *region, uint32_t from, uint32_t to) {
    change_bits(region->barred, from, to - from, true);
}

static void unbar_segments(struct region *region, uint32_t from, uint32_t to) {
    change_bits(region->barred, from, to - from, false);
}

/* The free segments of a word below the extent. */
static uint64_t free_below_extent(const struct region *region, uint32_t word) {
    return region_free_segments(region, word) & low_mask(region->extent - word * 64);
}

/* The first of the free segments at the extent's end. */
static uint32_t free_tail(const struct region *region) {
    uint32_t index = region->extent;
    while (index > 0) {
        uint32_t word = (index - 1) / 64;
        uint64_t taken = ~region_free_segments(region, word) & low_mask(index - word * 64);
        if (taken != 0) return word * 64 + high_bit(taken) + 1;
        index = word * 64;
    }
    return 0;
}

/* The first segment of [from, end) that is not free, or `end`. */
static uint32_t next_taken_segment(const struct region *region, uint32_t from, uint32_t end) {
    for (uint32_t word = from / 64; word * 64 < end; word++) {
        uint64_t taken = ~region_free_segments(region, word);
        if (word == from / 64) taken &= ~low_mask(from & 63);
        if (taken == 0) continue;
        uint32_t index = word * 64 + low_bit(taken);
        return index < end ? index : end;
    }
    return end;
}

static uint32_t length_number(uint32_t count) {
    return (count < RUN_LENGTHS ? count : RUN_LENGTHS) - 1;
}

/* The bits of a word at which a run of `count` set bits begins. */
static uint64_t runs_in_word(uint64_t bits, uint32_t count) {
    if (count > 64) return 0;
    for (uint32_t length = 1; length < count;) {
        uint32_t more = length < count - length ? length : count - length;
        bits &= bits >> more;
        length += more;
    }
    return bits;
}

/* From `from` on the lowest run of `count` free segments, or UINT32_MAX: a step a word, however
   many short holes are in it. */
static uint32_t search_run(const struct region *region, uint32_t from, uint32_t count) {
    uint32_t index = next_free_segment(region, from);
    if (index == UINT32_MAX) return index;
    /* the first is long enough, as nearly always */
    uint64_t missing = ~(region_free_segments(region, index / 64) >> index % 64) & low_mask(count);
    if (missing == 0 && count <= 64 - index % 64 && count <= region->extent - index) return index;
    from = index;
    uint32_t start = from / 64 * 64; /* of the run that reaches to the word's beginning */
    for (uint32_t word = from / 64; word * 64 < region->extent; word++) {
        uint32_t first = word * 64;
        uint64_t open = free_below_extent(region, word);
        if (first < from) open &= ~low_mask(from - first);
        uint32_t low = ~open != 0 ? low_bit(~open) : 64;
        if (first + low - start >= count) return start;
        if (low == 64) continue;
        uint64_t runs = runs_in_word(open, count);
        if (runs != 0) return first + low_bit(runs);
        start = first + high_bit(~open) + 1;
    }
    return UINT32_MAX;
}

/* The same with the first address aligned to `align` segments, by holes and their words. */
static uint32_t search_aligned_run(const struct region *region, uint32_t count, uint32_t align) {
    uint32_t index = next_free_segment(region, 0);
    while (index != UINT32_MAX) {
        uint32_t aligned = align_index(index, align);
        if (aligned > region->extent || count > region->extent - aligned) return UINT32_MAX;
        uint32_t end = aligned + count, next = next_taken_segment(region, aligned, end);
        if (next == end) return aligned;
        index = next_free_segment(region, next);
    }
    return UINT32_MAX;
}

/* The lowest such run of all. */
static uint32_t find_run(struct region *region, uint32_t count, uint32_t align) {
    uint32_t number = length_number(count);
    if (align != 1) return search_aligned_run(region, count, align);
    uint32_t found = search_run(region, region->none_below[number], count);
    if (count > RUN_LENGTHS) return found;
    /* what will come behind the extent is part of any run that there will be */
    uint32_t last = region->extent < count ? 0 : region->extent - (count - 1);
    region->none_below[number] = found != UINT32_MAX ? found : last;
    return found;
}

/* A run that has become possible with these segments begins at most so far before them. */
static void expect_runs_around(struct region *region, uint32_t index) {
    uint32_t first = index;
    while (index - first < RUN_LENGTHS && segment_is_free(region, first - 1)) first--;
    for (uint32_t number = 0; number < RUN_LENGTHS; number++)
        if (region->none_below[number] > first) region->none_below[number] = first;
}

/* Whether the address space can still hold `count` segments anywhere: if not, a limit is the
   reason, not what lies in the way. */
static bool address_space_left(uint32_t count) {
    return os_find_hole((size_t)count << SEGMENT_SHIFT, SEGMENT_SIZE, 0) != 0;
}

static bool extend_tables(struct region *region, uint32_t segments) {
    for (enum region_table table = 0; table < REGION_TABLES; table++)
        if (!table_extend(&region->tables[table], region_table_bytes(table, segments)))
            return false; /* what was mapped is there for the next attempt */
    return true;
}

/* A table grows where it lies, or not: notes whether something else is mapped where one would go
   on. */
static void note_blocked_tables(struct region *region, uint32_t segments) {
    bool blocked = false;
    if (UNDER_THREAD_SANITIZER) return; /* there a look maps over what is there */
    for (enum region_table i = 0; i < REGION_TABLES; i++) {
        const struct table *table = &region->tables[i];
        size_t wanted = round_up(region_table_bytes(i, segments), ro.os_page);
        if (wanted > table->mapped)
            blocked |=
                os_find_hole(wanted - table->mapped, ro.os_page, table->start + table->mapped) == 0;
    }
    atomic_store_relaxed(&region->tables_blocked, blocked);
    if (blocked) atomic_add_relaxed(&region->growth_blocked, 1);
}

/* Nothing is to be had further on either: there are no addresses, or the tables do not reach so
   far, be it for what lies in their way or for a limit on data. */
static bool is_in_vain(struct region *region, uint32_t first, uint32_t least) {
    if (!address_space_left(least)) return true;
    if (extend_tables(region, first + least)) return false;
    note_blocked_tables(region, first + least);
    return true;
}

/* Every table is mapped that far. */
MOAT_INLINE void set_extent(struct region *region, uint32_t extent) {
    /* pairs with nothing: a free loads it relaxed, and whoever sees the new value finds the tables,
       which the kernel mapped before this */
    atomic_store_release(&moat_ro_pages.extent,
                         (uint64_t)extent << (SEGMENT_SHIFT - GRANULE_SHIFT));
    /* a child forked between the two goes around what it does not know */
    atomic_store_relaxed(&region->extent, extent);
}

/* The extent's page is writable for this moment only; where it cannot be made read-only again,
   until the region grows next. */
static bool publish_extent(struct region *region, uint32_t extent) {
    uint64_t *page = &moat_ro_pages.extent;
    if (HARDENED_RO && !os_protect_write(page, RO_ALIGNMENT)) return false;
    set_extent(region, extent);
    if (HARDENED_RO) (void)os_protect_read(page, RO_ALIGNMENT);
    return true;
}

void region_advise(uintptr_t start, size_t size) {
    if (ro.options.dump != DUMP_HEAP) os_leave_out_of_dumps((void *)start, size);
    os_keep_small_pages((void *)start, size);
}

/* If even that fails, the next attempt goes around it. */
MOAT_COLD static void unmap_window(uint32_t first, uint32_t length) {
    os_unreserve((void *)segment_address(first), (size_t)length << SEGMENT_SHIFT);
}

/* Maps a window of `length` segments and the tables for it; false: nothing is there that was not
   before. */
MOAT_INLINE bool map_window(struct region *region, uint32_t first, uint32_t length) {
    uintptr_t start = segment_address(first);
    size_t size = (size_t)length << SEGMENT_SHIFT;
    bool locked = atomic_load_relaxed(&region->memory_is_locked);
    if (!locked && os_reserve(size, SEGMENT_SIZE, start) == NULL) return false;
    if (locked && !region_reserve_locked(start, size)) return false;
    region_advise(start, size);
    if (extend_tables(region, first + length)) return true;
    unmap_window(first, length);
    return false;
}

static bool add_window(struct region *region, uint32_t first, uint32_t length) {
    if (FAILPOINT(WINDOW_BLOCKED) || !map_window(region, first, length)) return false;
    if (publish_extent(region, first + length)) return true;
    unmap_window(first, length);
    return false;
}

/* At the limit of mappings the window, until it is used, is one too many, and while there is the
   kernel maps nothing else, not even what merges: then the tables come first. */
static bool add_window_last(struct region *region, uint32_t first, uint32_t length) {
    return address_space_left(length) && extend_tables(region, first + length) &&
           add_window(region, first, length);
}

/* Maps the longest of step, step/2, … >= least segments at `first`; 0: not even the least. */
static uint32_t map_some(struct region *region, uint32_t first, uint32_t step, uint32_t least) {
    for (;;) {
        if (add_window(region, first, step)) return step;
        if (step == least && !region_let_lock_follow_use() && !mappings_give_up())
            return add_window_last(region, first, least) ? least : 0;
        step = step / 2 > least ? step / 2 : least;
    }
}

/* The length of a window at `first` of at least so many segments. */
static uint32_t window_step(const struct region *region, uint32_t first, uint32_t least) {
    uint32_t step = region->extent - 1, rest = region->span - first;
    if (step > WINDOW_MAX) step = WINDOW_MAX;
    if (atomic_load_relaxed(&region->memory_is_locked)) step = 1; /* each counts against a limit */
    if (step < least) step = least;
    return step < rest ? step : rest;
}

/* Adds a window, and returns the free run of `count` segments that there is at the end then;
   UINT32_MAX: none could be had. */
static uint32_t grow(struct region *region, uint32_t count, uint32_t align) {
    uint32_t old = region->extent, first = old;
    for (int attempt = 0; attempt < GROW_ATTEMPTS && first < region->span; attempt++) {
        /* Behind something else's mapping the first segment stays inaccessible, as segment 0
           does. */
        uint32_t guard = first > old ? 1 : 0;
        uint32_t start = align_index(guard ? first + 1 : free_tail(region), align);
        if ((size_t)start + count > region->span) break;
        /* given since the search, by somebody who needs no lock for it */
        if (start + count <= old) return start;
        uint32_t least = start + count - first; /* or it would have been found without */
        /* at a limit a call that fails asks the kernel once; of locked memory a window says more */
        bool refused = region->window_refused && !atomic_load_relaxed(&region->memory_is_locked);
        if (refused && is_in_vain(region, first, least)) break;
        /* before the extent grows over it: a forked child may be all that sees it */
        region->around_from = old;
        region->around_to = first + guard;
        bar_segments(region, old, first + guard);
        uint32_t length = map_some(region, first, window_step(region, first, least), least);
        region->window_refused = length == 0;
        if (length != 0) {
            take_segments(region, old, first - old + guard);
            atomic_store_relaxed(&region->tables_blocked, false);
            return start;
        }
        if (is_in_vain(region, first, least)) break;
        first += GROW_SKIP << attempt / 4;
    }
    unbar_segments(region, old, first < region->span ? first + 1 : region->span);
    region->around_from = region->around_to = old;
    return UINT32_MAX;
}

bool region_start(struct region *region) {
    /* The page before the first window keeps it from what somebody else may map there. */
    uintptr_t guard = segment_address(1) - ro.os_page;
    region->span = (uint32_t)(ro.region_span >> SEGMENT_SHIFT);
    if (os_reserve(ro.os_page + SEGMENT_SIZE, ro.os_page, guard) == NULL) return false;
    region->extent = 1;
    region_let_be(0);
    bar_segments(region, 0, 1); /* number 0 says "none" in lists */
    take_segments(region, 0, 1);
    region_advise(segment_address(1), SEGMENT_SIZE);
    if (extend_tables(region, 2)) {
        set_extent(region, 2); /* its page is closed when the start is over */
        return true;
    }
    region->extent = 0;
    os_unreserve((void *)guard, ro.os_page + SEGMENT_SIZE);
    return false;
}

void region_remove(struct region *region) {
    uint32_t extent = region->extent;
    if (extent == 0) return;
    set_extent(region, 0);
    os_unreserve((void *)(segment_address(1) - ro.os_page),
                 ro.os_page + ((size_t)(extent - 1) << SEGMENT_SHIFT));
}

void region_explain_failure(size_t wanted) {
    static const char *const limits[] = {"", "memory", "the address-space limit (ulimit -v)",
                                         "the data limit (ulimit -d)",
                                         "the number of mappings (vm.max_map_count)"};
    if (!ro.options.verbose) return;
    uint32_t segments = (uint32_t)(wanted >> SEGMENT_SHIFT) + 1;
    size_t tables = 0;
    for (enum region_table table = 0; table < REGION_TABLES; table++)
        tables += region_table_bytes(table, segments) + ro.os_page;
    enum os_limit limit = os_diagnose_limit(((size_t)segments << SEGMENT_SHIFT) + tables);
    const char *reached = limits[limit];
    if (limit == OS_LIMIT_MEMORY && atomic_load_relaxed(&ro.region->tables_blocked))
        reached = "another mapping, behind a table of moat's";
    report_warning("out of memory; reached: ", reached, 0);
}

/* The kernel is asked for the first that are owed, and all beside them: one mapping less to take
   apart. */
static void ask_for_owed(struct region *region) {
    uint32_t words = (region->extent + 63) / 64, word = 0, length = 0;
    while (word < words && owed_segments(region, word) == 0) word++;
    if (word == words) return;
    uint32_t first = word * 64 + low_bit(owed_segments(region, word)), next = first;
    while (next < region->extent && has_bit(owed_segments(region, next / 64), next)) next++;
    length = next - first;
    atomic_or_release(&region->news, REGION_OWED); /* pairs with hear: these, or others */
    if (!region_decommit(segment_address(first), (size_t)length << SEGMENT_SHIFT)) return;
    unbar_segments(region, first, next);
    region_count_spare(length);
    expect_runs_around(region, first);
}

/* What was given while another thread had the lock may be part of any run. */
MOAT_COLD static void hear(struct region *region) {
    /* pairs with region_give and region_owe */
    uint32_t news = atomic_exchange_acquire(&region->news, 0u);
    if ((news & REGION_GIVEN) != 0)
        for (uint32_t number = 0; number < RUN_LENGTHS; number++) region->none_below[number] = 0;
    if ((news & REGION_OWED) != 0) ask_for_owed(region);
}

bool region_take(uint32_t count, uint32_t align, uint32_t *index) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    if (MOAT_UNLIKELY(atomic_load_relaxed(&region->news) != 0)) hear(region);
    bool is_full = FAILPOINT(REGION_FULL);
    uint32_t found = is_full ? UINT32_MAX : find_run(region, count, align);
    if (found == UINT32_MAX && !is_full) found = grow(region, count, align);
    if (found != UINT32_MAX && !region_lock_tables(region, found, count)) found = UINT32_MAX;
    if (found != UINT32_MAX) {
        take_segments(region, found, count);
        *index = found;
    }
    locks_release(LOCK_REGION);
    return found != UINT32_MAX;
}

/* The last `count` segments of the first run at or above `from` that is long enough and has
   something behind it, or UINT32_MAX. */
static uint32_t find_run_below(const struct region *region, uint32_t count, uint32_t from) {
    uint32_t index = next_free_segment(region, from);
    while (index != UINT32_MAX) {
        uint32_t end = next_taken_segment(region, index, region->extent);
        if (end == region->extent) return UINT32_MAX;
        if (end - index >= count) return end - count;
        index = next_free_segment(region, end);
    }
    return UINT32_MAX;
}

MOAT_COLD bool region_take_below(uint32_t count, uint32_t from, uint32_t *index) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    uint32_t found = find_run_below(region, count, from);
    if (found != UINT32_MAX && !region_lock_tables(region, found, count)) found = UINT32_MAX;
    if (found != UINT32_MAX) take_segments(region, found, count);
    *index = found;
    locks_release(LOCK_REGION);
    return found != UINT32_MAX;
}

bool region_extend(uint32_t index, uint32_t count, uint32_t more) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    uint32_t first = index + count, old = region->extent;
    uint32_t most = more < old - first ? first + more : old;
    uint32_t length = next_taken_segment(region, first, most) - first, missing = more - length;
    if (missing != 0 && first + length == old && missing <= region->span - old &&
        map_some(region, old, window_step(region, old, missing), missing) != 0)
        length = more;
    bool taken = length == more && region_lock_tables(region, first, more);
    if (taken) take_segments(region, first, more);
    locks_release(LOCK_REGION);
    return taken;
}

/* Who gives waits for nobody: a thread that frees may come by while another maps a window. */
void region_give(uint32_t index, uint32_t count) {
    struct region *region = ro.region;
    region_unlock_tables(region, index, count);
    MOAT_CHECK(change_bits(region->taken, index, count, false), "segment given back twice",
               segment_address(index));
    region_count_spare(count);
    if (!locks_try(LOCK_REGION)) {
        atomic_or_release(&region->news, REGION_GIVEN); /* pairs with hear */
        return;
    }
    region->lock_count++;
    expect_runs_around(region, index);
    locks_release(LOCK_REGION);
}

void region_owe(uint32_t index, uint32_t count) {
    struct region *region = ro.region;
    region_unlock_tables(region, index, count);
    bar_segments(region, index, index + count);
    MOAT_CHECK(change_bits(region->taken, index, count, false), "segment given back twice",
               segment_address(index));
    atomic_or_release(&region->news, REGION_OWED); /* pairs with hear */
}

void region_bar(uint32_t index, uint32_t count) { bar_segments(ro.region, index, index + count); }

/* Stores between acquire and release come in any order, and some of them may be missing. Of each
   bit either value is right: what is taken and belongs to nobody is taken back after this. A
   window whose extent was published is there; one that was not is gone around like anything in
   the way. What was gone around for a window that is there is nobody's, and may look owed. */
void region_recover(void) {
    struct region *region = ro.region;
    for (enum region_table table = 0; table < REGION_TABLES; table++)
        table_recover(&region->tables[table]);
    region->extent = (uint32_t)(ro_extent() >> (SEGMENT_SHIFT - GRANULE_SHIFT));
    if (HARDENED_RO) (void)os_protect_read(&moat_ro_pages.extent, RO_ALIGNMENT);
    for (uint32_t word = region->extent / 64; word < REGION_WORDS; word++) {
        uint64_t kept = word == region->extent / 64 ? low_mask(region->extent & 63) : 0;
        if ((region->barred[word] & ~kept) != 0) region->barred[word] &= kept;
    }
    for (uint32_t word = 0; word * 64 < region->extent; word++) {
        uint32_t rest = region->extent - word * 64;
        region->taken[word] &= low_mask(rest);
        region->described[word] |= region->taken[word];
    }
    uint32_t around_to = region->around_to < region->extent ? region->around_to : region->extent;
    for (uint32_t index = region->around_from; index < around_to; index++)
        region->taken[index / 64] |= region->barred[index / 64] & bit64(index);
    region->news |= REGION_GIVEN | REGION_OWED;
    region_recover_aside();
    for (uint32_t number = 0; number < RUN_LENGTHS; number++) region->none_below[number] = 0;
}

bool region_take_back(uint32_t index) {
    struct region *region = ro.region;
    if ((region->barred[index / 64] & bit64(index)) != 0) return false;
    uintptr_t start = segment_address(index);
    /* a huge block is live before its owner word says so */
    struct map_word *map = map_word_of(start);
    if ((atomic_load_relaxed(&map->live) & map_bit_of(start)) != 0)
        atomic_and_relaxed(&map->live, ~map_bit_of(start));
    if (!region_decommit(start, SEGMENT_SIZE)) {
        region_owe(index, 1);
        return false;
    }
    region_give(index, 1);
    return true;
}

bool region_decommit(uintptr_t start, size_t size) {
    bool locked = atomic_load_relaxed(&ro.region->memory_is_locked);
    bool gone = MOAT_UNLIKELY(locked) ? region_decommit_locked(start, size)
                                      : os_decommit((void *)start, size);
    if (gone) region_advise(start, size);
    return gone;
}

uint32_t region_in_use(void) {
    const struct region *region = ro.region;
    uint32_t count = 0, extent = atomic_load_relaxed(&region->extent);
    for (uint32_t i = 0; i < extent; i++)
        count += has_bit(atomic_load_relaxed(&region->taken[i / 64]), i);
    return count;
}

bool region_validate(void) {
    const struct region *region = ro.region;
    if (region->extent > region->span || region->span > REGION_MAX_SEGMENTS) return false;
    bool owed = false;
    for (uint32_t word = 0; word * 64 < region->extent; word++)
        owed |= owed_segments(region, word) != 0;
    return !owed || (atomic_load_relaxed(&region->news) & REGION_OWED) != 0;
}
