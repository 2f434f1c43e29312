/*
 * memory_lock: see memory_lock.h.
 *
 * The walk takes no lock: a segment that goes away meanwhile is no longer accessible, one that
 * comes is made resident by the kernel or holds no block that was there at the call.
 */
#include "alloc/memory_lock.h"
#include "heap/huge.h"
#include "base/thread.h"
#include "meta/locks.h"
#include "os/os.h"
#include "os/proc_maps.h"

/* Pages: all at once up to the segment's guard; where one of a page comes before, or some slots are
   not usable, slot by slot, each up to its guard. Where lock follows use, of usable ones alone. */
static void make_pages_resident(uint32_t index) {
    char *start = (char *)segment_address(index);
    bool counted = guard_lock_is_counted();
    if (!counted && os_make_resident(start, SEGMENT_SIZE - ro.os_page)) return;
    for (unsigned slot = 0; slot < SLOTS_PER_SEGMENT; slot++) {
        size_t guard = slot + 1 == SLOTS_PER_SEGMENT ? ro.os_page : 0;
        if (!counted || os_can_read((const void *)(start + slot * SLOT_SIZE)))
            (void)os_make_resident(start + slot * SLOT_SIZE, SLOT_SIZE - guard);
    }
}

static void make_resident(uint32_t index) {
    struct segment *segment = segment_at(index);
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (owner_has_pages(word)) make_pages_resident(index);
    if (owner_kind(word) != OWNER_HUGE) return;
    (void)os_make_resident((void *)segment_start(segment),
                           atomic_load_relaxed(&segment->committed));
}

static void make_all_resident(void) {
    const struct region *region = ro.region;
    uint32_t extent = atomic_load_relaxed(&region->extent);
    for (uint32_t word = 0; word * 64 < extent; word++)
        for (uint64_t taken = atomic_load_relaxed(&region->taken[word]); taken != 0;
             taken &= taken - 1)
            if (word * 64 + low_bit(taken) < extent) make_resident(word * 64 + low_bit(taken));
}

/* Of a run that was cached before, the first OS page may have a guard marker, and so no memory: who
   has the run next could touch a page that is not resident. */
static void empty_cache(void) {
    THREAD_INSIDE();
    (void)huge_purge(true, 0);
}

static void set_locked(bool locked) {
    THREAD_INSIDE();
    locks_acquire(LOCK_REGION);
    atomic_store_relaxed(&ro.region->memory_was_locked, locked);
    locks_release(LOCK_REGION);
}

void memory_lock_begins(void) { set_locked(true); }

void memory_unlocked(void) {
    atomic_store_relaxed(&ro.region->memory_is_locked, false);
    atomic_store_relaxed(&ro.region->lock_follows_use, false);
    set_locked(false);
}

/* --- By parts -------------------------------------------------------------------------------- */

/* What is inaccessible cannot be made resident, which is no failure. */
static bool lock_parts(bool resident) {
    struct proc_maps maps;
    struct mapping mapping;
    bool locked = true;
    if (!proc_maps_open(&maps)) return false;
    while (locked && proc_maps_next(&maps, &mapping)) {
        if (!region_has_to_be_locked(&mapping)) continue;
        void *start = (void *)mapping.start;
        locked = os_lock_on_fault(start, mapping.end - mapping.start);
        if (locked && resident) (void)os_make_resident(start, mapping.end - mapping.start);
    }
    proc_maps_close(&maps);
    return locked;
}

/* What this thread and ended ones hold unused becomes inaccessible before all is counted. */
static bool can_be_locked(void) {
    struct region *region = ro.region;
    bool before = atomic_load_relaxed(&region->lock_follows_use);
    atomic_store_relaxed(&region->lock_follows_use, true);
    (void)alloc_collect(true);
    atomic_store_relaxed(&region->lock_follows_use, before);
    return region_bytes_to_lock() <= os_lock_limit();
}

bool memory_lock_by_parts(struct memory_lock lock, int later) {
    struct region *region = ro.region;
    if (!lock.now || !can_be_locked() || !lock_parts(!lock.on_fault)) return false;
    if (lock.later && os_lock_all(later) != 0) return false;
    atomic_store_relaxed(&region->locked_on_fault, lock.on_fault);
    if (lock.later) atomic_store_relaxed(&region->memory_is_locked, true); /* or it is as it was */
    atomic_store_relaxed(&region->lock_follows_use, atomic_load_relaxed(&region->memory_is_locked));
    if (lock.later) {
        (void)lock_parts(!lock.on_fault); /* what came meanwhile */
        empty_cache();
    }
    if (!lock.on_fault) make_all_resident();
    return true;
}

void memory_limited(void) { guard_ask_for_limits(); }

void memory_lock_changed(struct memory_lock lock) {
    struct region *region = ro.region;
    atomic_store_relaxed(&region->locked_on_fault, lock.on_fault);
    atomic_store_relaxed(&region->memory_is_locked, lock.later);
    /* what nobody can touch was locked with all else */
    if (lock.now || !lock.later) atomic_store_relaxed(&region->lock_follows_use, false);
    if (lock.later) empty_cache();
    if (lock.now && !lock.on_fault) make_all_resident();
}
