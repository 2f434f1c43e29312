/*
 * region: address space in segments (see region.h).
 *
 * Everything is under LOCK_REGION but the counts, which statistics read. The bitmap says of each
 * segment whether it is taken; what lies in the way of a window that grows is gone around, and
 * stays taken for good.
 */
#include "meta/region.h"
#include "base/atomic.h"
#include "base/bits.h"
#include "meta/livemap.h"
#include "meta/locks.h"
#include "os/os.h"
#include "report/report.h"

#define WINDOW_MIN (4 * SEGMENT_SIZE)
/* Random bases lie in the lower half of a 47-bit address space, away from where the kernel puts
   programs, stacks and libraries. */
#define HINT_FIRST ((uintptr_t)0x100000000000)
#define HINT_RANGE ((uintptr_t)0x400000000000)

/* What is in the way of a growing region is gone around in steps of this many segments, which
   double every four attempts. */
#define GROW_SKIP 1u
#define GROW_ATTEMPTS 64

static void *reserve_at_random(struct random *random, size_t size) {
    for (int attempt = 0; attempt < 3; attempt++) {
        uintptr_t hint =
            HINT_FIRST + (random_next(random) % (HINT_RANGE >> SEGMENT_SHIFT) << SEGMENT_SHIFT);
        void *start = os_reserve(size, SEGMENT_SIZE, hint);
        if (start) return start;
    }
    return os_reserve(size, SEGMENT_SIZE, 0);
}

bool region_reserve(struct random *random, size_t limit, size_t cap, struct region_plan *plan) {
    size_t ram = os_physical_memory();
    size_t window = ram > 128 * GIB ? 1024 * GIB : ram * 8;
    if (window < 64 * GIB) window = 64 * GIB;
    size_t share = limit / 4 < WINDOW_MIN ? limit / 2 : limit / 4;
    if (limit != SIZE_MAX && window > share) window = share;
    if (cap != 0 && window > cap) window = cap;
    for (; window >= WINDOW_MIN; window /= 2) {
        window = round_down(window, SEGMENT_SIZE);
        void *start = reserve_at_random(random, window);
        if (!start) continue;
        os_advise_region(start, window);
        plan->base = (uintptr_t)start;
        plan->window = window;
        /* The tables cover more than the first window, so that the region can grow into further
           ones. */
        plan->span = limit != SIZE_MAX ? window * 4 : REGION_MAX_SEGMENTS * SEGMENT_SIZE;
        if (cap != 0 || plan->span > REGION_MAX_SEGMENTS * SEGMENT_SIZE) plan->span = window;
        return true;
    }
    return false;
}

static bool segment_is_free(const struct region *region, uint32_t index) {
    return index < region->window_end && (region->taken[index / 64] & bit64(index)) == 0;
}

static void mark_segments(struct region *region, uint32_t index, uint32_t count, bool taken) {
    for (uint32_t i = index; i < index + count; i++) {
        if (taken)
            region->taken[i / 64] |= bit64(i);
        else
            region->taken[i / 64] &= ~bit64(i);
    }
    if (taken)
        region->in_use += count;
    else
        region->in_use -= count;
}

void region_init(struct region *region, const struct region_plan *plan, struct random *random) {
    region->window_end = (uint32_t)(plan->window >> SEGMENT_SHIFT);
    region->span = (uint32_t)(plan->span >> SEGMENT_SHIFT);
    uint32_t choices = region->window_end - 1;
    region->origin = 1 + random_below(random, choices);
    region->huge_origin = 1 + random_below(random, choices);
    mark_segments(region, 0, 1, true); /* stays inaccessible: the guard before the first segment */
}

/* First free segment at or after `from`, or UINT32_MAX. */
static uint32_t next_free_segment(const struct region *region, uint32_t from) {
    for (uint32_t word = from / 64; word * 64 < region->window_end; word++) {
        uint64_t open = ~region->taken[word];
        if (word == from / 64) open &= ~low_mask(from & 63);
        if (open == 0) continue;
        uint32_t index = word * 64 + low_bit(open);
        return index < region->window_end ? index : UINT32_MAX;
    }
    return UINT32_MAX;
}

/* First run in [from, to) of `count` free segments whose first address is aligned to `align`
   segments, or UINT32_MAX. */
static uint32_t find_run(const struct region *region, uint32_t from, uint32_t to, uint32_t count,
                         uint32_t align) {
    uint32_t base = (uint32_t)(ro.region_base >> SEGMENT_SHIFT) & (align - 1);
    uint32_t index = next_free_segment(region, from);
    while (index != UINT32_MAX) {
        uint32_t aligned = (uint32_t)round_up(index + base, align) - base;
        if (aligned >= to || count > region->window_end - aligned) return UINT32_MAX;
        uint32_t length = 0;
        while (length < count && segment_is_free(region, aligned + length)) length++;
        if (length == count) return aligned;
        index = next_free_segment(region, aligned + length);
    }
    return UINT32_MAX;
}

/* Reserves the longest of step, step/2, … >= count segments at `first`; 0: not even count. */
static uint32_t reserve_window(uint32_t first, uint32_t step, uint32_t count) {
    for (; step >= count && step > 0; step /= 2) {
        uintptr_t start = segment_address(first);
        if (!os_reserve((size_t)step << SEGMENT_SHIFT, SEGMENT_SIZE, start)) continue;
        os_advise_region((void *)start, (size_t)step << SEGMENT_SHIFT);
        return step;
    }
    return 0;
}

/* Whether the address space can still hold `count` segments anywhere: if not, a limit is the
   reason, not what lies in the way. */
static bool address_space_left(uint32_t count) {
    void *probe = os_reserve((size_t)count << SEGMENT_SHIFT, SEGMENT_SIZE, 0);
    return probe != NULL && os_unreserve(probe, (size_t)count << SEGMENT_SHIFT);
}

/* Adds a further window of at least `count` segments inside the span. What something else has
   mapped is gone around, and stays taken. */
static bool grow(struct region *region, uint32_t count) {
    uint32_t first = region->window_end;
    for (int attempt = 0;
         attempt < GROW_ATTEMPTS && first < region->span && count <= region->span - first;
         attempt++) {
        uint32_t step = region->window_end > count ? region->window_end : count;
        if (step > region->span - first) step = region->span - first;
        /* Behind something else's mapping the first segment stays inaccessible, as segment 0
           does. */
        uint32_t guard = first > region->window_end ? 1 : 0;
        uint32_t length = reserve_window(first, step, count + guard);
        if (length != 0) {
            mark_segments(region, region->window_end, first - region->window_end + guard, true);
            region->window_end = first + length;
            return true;
        }
        if (!address_space_left(count)) return false;
        first += GROW_SKIP << attempt / 4;
    }
    return false;
}

/* Makes one table's part for the chunk writable; parts are rounded out to OS pages. */
static bool commit_table(const void *table, size_t record, uint32_t chunk) {
    uintptr_t start = (uintptr_t)table + (size_t)chunk * TABLE_CHUNK * record;
    uintptr_t from = round_down(start, ro.os_page);
    uintptr_t to = round_up(start + TABLE_CHUNK * record, ro.os_page);
    return os_commit((void *)from, to - from);
}

static bool tables_commit(struct region *region, uint32_t index, uint32_t count) {
    for (uint32_t chunk = index / TABLE_CHUNK; chunk <= (index + count - 1) / TABLE_CHUNK;
         chunk++) {
        if (region->tables_ready[chunk / 64] & bit64(chunk)) continue;
        if (!commit_table(ro.segments, SEGMENT_TABLE_BYTES_PER_SEGMENT, chunk)) return false;
        if (!commit_table(ro.pages, PAGE_TABLE_BYTES_PER_SEGMENT, chunk)) return false;
        if (!commit_table(ro.local_heaps, LOCAL_TABLE_BYTES_PER_SEGMENT, chunk)) return false;
        if (!commit_table((void *)ro.maps, MAP_BYTES_PER_SEGMENT, chunk)) return false;
        region->tables_ready[chunk / 64] |= bit64(chunk);
    }
    return true;
}

void region_explain_failure(size_t wanted) {
    static const char *const limits[] = {"", "memory", "the address-space limit (ulimit -v)",
                                         "the data limit (ulimit -d)",
                                         "the number of mappings (vm.max_map_count)"};
    if (!ro.options.verbose) return;
    enum os_limit limit = os_diagnose_limit(wanted);
    /* The range the tables cover was cut to the limit at the start: used up, it is that limit,
       whatever is left of it elsewhere. */
    if (ro.region->exhausted && os_address_space_limit() != SIZE_MAX)
        limit = OS_LIMIT_ADDRESS_SPACE;
    report_warning("out of memory; reached: ", limits[limit], 0);
}

bool region_take(uint32_t count, uint32_t align, uint32_t tables, uint32_t *index) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    uint32_t origin = count == 1 ? region->origin : region->huge_origin;
    uint32_t found = find_run(region, origin, region->window_end, count, align);
    if (found == UINT32_MAX) found = find_run(region, 0, origin, count, align);
    if (found == UINT32_MAX && grow(region, count))
        found = find_run(region, 0, region->window_end, count, align);
    bool ok = found != UINT32_MAX && tables_commit(region, found, tables);
    if (ok) {
        mark_segments(region, found, count, true);
        *index = found;
    }
    region->exhausted = found == UINT32_MAX;
    locks_release(LOCK_REGION);
    return ok;
}

bool region_extend(uint32_t index, uint32_t count, uint32_t more) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    uint32_t first = index + count, length = 0;
    while (length < more && segment_is_free(region, first + length)) length++;
    if (length == more) mark_segments(region, first, more, true);
    locks_release(LOCK_REGION);
    return length == more;
}

void region_give(uint32_t index, uint32_t count) {
    struct region *region = ro.region;
    locks_acquire(LOCK_REGION);
    region->lock_count++;
    for (uint32_t i = index; i < index + count; i++)
        MOAT_CHECK(region->taken[i / 64] & bit64(i), "segment given back twice",
                   segment_address(i));
    mark_segments(region, index, count, false);
    locks_release(LOCK_REGION);
}

void region_guard(uintptr_t start, size_t size) {
    struct region *region = ro.region;
    enum guards_mode mode = ro.options.guards;
    if (mode == GUARDS_OFF) return;
    if (mode == GUARDS_AUTO && !atomic_load_relaxed(&region->guard_install_refused)) {
        if (os_guard_install((void *)start, size)) {
            atomic_store_relaxed(&region->guard_install_works, true);
            return;
        }
        /* Refused from the start: the kernel has no markers. Later, this mapping is the reason
           (locked memory). */
        if (!atomic_load_relaxed(&region->guard_install_works))
            atomic_store_relaxed(&region->guard_install_refused, true);
    }
    if (!os_protect_none((void *)start, size)) atomic_add_relaxed(&region->guards_missing, 1);
}

bool region_commit_segment(uintptr_t start) {
    struct region *region = ro.region;
    size_t guard = ro.os_page;
    bool by_kernel =
        ro.options.guards == GUARDS_AUTO && !atomic_load_relaxed(&region->guard_install_refused);
    if (ro.options.guards == GUARDS_OFF) return os_commit((void *)start, SEGMENT_SIZE);
    if (by_kernel) {
        if (!os_commit((void *)start, SEGMENT_SIZE)) return false;
        region_guard(start + SEGMENT_SIZE - guard, guard);
        return true;
    }
    /* the last OS page was never made accessible */
    if (os_commit((void *)start, SEGMENT_SIZE - guard)) return true;
    /* The number of mappings may be the limit: without its guard the segment can merge with its
       neighbour. */
    if (!os_commit((void *)start, SEGMENT_SIZE)) return false;
    atomic_add_relaxed(&region->guards_missing, 1);
    return true;
}

bool region_validate(void) {
    const struct region *region = ro.region;
    size_t taken = 0;
    for (uint32_t i = 0; i < region->window_end; i++) taken += !segment_is_free(region, i);
    return taken == region->in_use && region->window_end <= region->span &&
           region->span <= REGION_MAX_SEGMENTS;
}
