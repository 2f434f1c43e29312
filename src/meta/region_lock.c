/*
 * region_lock: the region where a process has locked its memory, and may lock but little.
 *
 * The kernel counts all that is mapped under mlockall(MCL_FUTURE) against RLIMIT_MEMLOCK, whether
 * it can be touched or not: with 8 MiB, which is what most systems allow, there is one segment and
 * no second one. So when a window is refused lock follows use: from then on of the region only what
 * can be touched is locked, and segments and runs become usable in parts. It is so until memory is
 * unlocked, or locked as a whole once more.
 *
 * Who makes memory usable at that moment may do so before the kernel has told what is inaccessible,
 * or after: memory that nobody can touch is unlocked first, and then what can be is locked again.
 */
#include "meta/region.h"
#include "os/os.h"
#include "os/proc_maps.h"

/* A window is mapped in parts of this length, each unlocked before the next, if it cannot be as a
   whole. */
#define PART (256 * KIB)

static bool follows_use(void) { return atomic_load_relaxed(&ro.region->lock_follows_use); }

/* With the OS page before it, which may be of the same mapping as the first segment's beginning. */
static bool is_of_region(const struct mapping *mapping) {
    const struct region *region = ro.region;
    uintptr_t first = segment_address(1);
    uintptr_t end = segment_address(atomic_load_relaxed(&region->extent));
    if (mapping->start < first - ro.os_page || mapping->end > end) return false;
    uintptr_t start = mapping->start < first ? first : mapping->start;
    uint32_t index = (uint32_t)((start - ro.region_base) >> SEGMENT_SHIFT);
    return !has_bit(atomic_load_relaxed(&region->barred[index / 64]), index); /* or foreign */
}

static bool can_be_touched(const struct mapping *mapping) {
    return mapping->permissions[0] != '-' || mapping->permissions[1] != '-';
}

/* The kernel's own, above all addresses that a program has, is not. */
bool region_has_to_be_locked(const struct mapping *mapping) {
    return (intptr_t)mapping->start > 0 && (can_be_touched(mapping) || !is_of_region(mapping));
}

MOAT_COLD size_t region_bytes_to_lock(void) {
    struct proc_maps maps;
    struct mapping mapping;
    size_t bytes = 0;
    if (!proc_maps_open(&maps)) return SIZE_MAX;
    while (proc_maps_next(&maps, &mapping))
        if (region_has_to_be_locked(&mapping)) bytes += mapping.end - mapping.start;
    proc_maps_close(&maps);
    return bytes;
}

static void make_resident(uintptr_t start, size_t size) {
    if (!atomic_load_relaxed(&ro.region->locked_on_fault))
        (void)os_make_resident((void *)start, size);
}

/* Of the region what nobody can touch, or the rest. */
static void set_lock(bool unused) {
    struct proc_maps maps;
    struct mapping mapping;
    if (!proc_maps_open(&maps)) return;
    while (proc_maps_next(&maps, &mapping)) {
        size_t size = mapping.end - mapping.start;
        if (!is_of_region(&mapping) || can_be_touched(&mapping) == unused) continue;
        if (unused)
            os_unlock((void *)mapping.start, size);
        else if (os_lock_on_fault((void *)mapping.start, size))
            make_resident(mapping.start, size);
    }
    proc_maps_close(&maps);
}

static bool lock_tables(uint32_t index, uint32_t count) {
    uintptr_t start;
    for (enum region_table table = 0; table < REGION_TABLES; table++) {
        size_t size = region_table_part(table, index, count, &start);
        if (size == 0) continue;
        if (!os_lock_on_fault((void *)start, size)) return false;
        make_resident(start, size);
    }
    return true;
}

static void unlock_tables(uint32_t index, uint32_t count) {
    uintptr_t start;
    for (enum region_table table = 0; table < REGION_TABLES; table++) {
        size_t size = region_table_part(table, index, count, &start);
        if (size != 0) os_unlock((void *)start, size);
    }
}

MOAT_COLD bool region_change_tables(uint32_t index, uint32_t count, bool lock) {
    if (lock && lock_tables(index, count)) return true;
    unlock_tables(index, count);
    return false;
}

static void unlock_free_tables(const struct region *region) {
    for (uint32_t index = 1; index < atomic_load_relaxed(&region->extent); index++)
        if (has_bit(region_free_segments(region, index / 64), index)) unlock_tables(index, 1);
}

/* Under the region's lock: nobody takes the free ones meanwhile. */
MOAT_COLD bool region_let_lock_follow_use(void) {
    struct region *region = ro.region;
    if (!atomic_load_relaxed(&region->memory_is_locked) || follows_use()) return false;
    size_t limit = os_lock_limit(), bytes = region_bytes_to_lock();
    if (limit == SIZE_MAX || bytes >= limit || limit - bytes < PART) return false;
    atomic_store_relaxed(&region->lock_follows_use, true);
    set_lock(true);
    set_lock(false);
    unlock_free_tables(region);
    return true;
}

static bool reserve_in_parts(uintptr_t start, size_t size) {
    for (size_t done = 0; done < size; done += PART) {
        if (os_reserve(PART, ro.os_page, start + done) == NULL) {
            if (done != 0) os_unreserve((void *)start, done);
            return false;
        }
        os_unlock((void *)(start + done), PART);
    }
    return true;
}

MOAT_COLD bool region_reserve_locked(uintptr_t start, size_t size) {
    bool counted = follows_use();
    if (os_reserve(size, SEGMENT_SIZE, start) == NULL &&
        !(counted && reserve_in_parts(start, size)))
        return false;
    if (counted) os_unlock((void *)start, size);
    return true;
}

/* What becomes usable is locked before, where that can be refused without a change. */
MOAT_COLD bool region_commit_locked(uintptr_t start, size_t size) {
    void *first = (void *)start;
    bool counted = follows_use();
    if (counted && !os_lock_on_fault(first, size)) return false;
    if (!os_commit(first, size)) {
        if (counted) os_unlock(first, size);
        return false;
    }
    if (counted || follows_use()) make_resident(start, size);
    return true;
}

/* What a new mapping would be, but for the charge. */
static bool empty(void *start, size_t size) {
    bool marked = atomic_load_relaxed(&ro.region->markers) == MARKERS_PROVED;
    return os_purge(start, size) && (!marked || os_guard_remove(start, size));
}

static bool make_inaccessible(void *start, size_t size) {
    if (os_facts.no_advice || !os_protect_none(start, size)) return false;
    if (empty(start, size)) return true;
    (void)os_commit(start, size);
    return false;
}

/* A new mapping counts before what it replaces is gone: locked memory makes room for it first. What
   the kernel refuses even so is emptied and made inaccessible. */
MOAT_COLD bool region_decommit_locked(uintptr_t start, size_t size) {
    void *first = (void *)start;
    bool gone = os_decommit(first, size);
    if (!gone) {
        os_unlock(first, size);
        gone = os_decommit(first, size) || (follows_use() && make_inaccessible(first, size));
    }
    if (gone && follows_use()) os_unlock(first, size);
    return gone;
}
