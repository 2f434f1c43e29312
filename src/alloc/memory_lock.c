/*
 * memory_lock: see memory_lock.h.
 *
 * The walk takes no lock: a segment that goes away meanwhile is no longer accessible, one that
 * comes is made resident by the kernel or holds no block that was there at the call.
 */
#include "alloc/memory_lock.h"
#include "base/thread.h"
#include "meta/locks.h"
#include "os/os.h"

/* Pages: all at once up to the segment's guard; where one of a page comes before, or some slots are
   not usable, slot by slot, each up to its guard. */
static void make_pages_resident(uint32_t index) {
    char *start = (char *)segment_address(index);
    if (os_make_resident(start, SEGMENT_SIZE - ro.os_page)) return;
    for (unsigned slot = 0; slot < SLOTS_PER_SEGMENT; slot++) {
        size_t guard = slot + 1 == SLOTS_PER_SEGMENT ? ro.os_page : 0;
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

static void set_locked(bool locked) {
    THREAD_INSIDE();
    locks_acquire(LOCK_REGION);
    atomic_store_relaxed(&ro.region->memory_was_locked, locked);
    locks_release(LOCK_REGION);
}

void memory_lock_begins(void) { set_locked(true); }

void memory_unlocked(void) {
    atomic_store_relaxed(&ro.region->memory_is_locked, false);
    set_locked(false);
}

void memory_limited(void) { guard_ask_for_limits(); }

void memory_lock_changed(bool resident, bool later) {
    atomic_store_relaxed(&ro.region->memory_is_locked, later);
    if (resident) make_all_resident();
}
