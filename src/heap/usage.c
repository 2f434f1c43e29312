/*
 * usage: when too much lies idle (see usage.h).
 */
#include "heap/usage.h"
#include "meta/region.h"

/* The kernel takes no locked memory back. */
static bool nothing_goes_back(void) {
    return atomic_load_relaxed(&ro.region->memory_is_locked) ||
           atomic_load_relaxed(&ro.region->memory_was_locked);
}

bool usage_is_past_bound(uint64_t now) {
    if (nothing_goes_back()) return false;
    usage_observe(now);
    uint64_t most = keeping_most(&ro.usage->all);
    return usage_in_use() + usage_idle() > most + most / 4 + IDLE_LEAST;
}

MOAT_COLD void usage_begin_child(void) {
    ro.usage->inheritable = ((int64_t)usage_in_use() / 16 + IDLE_LEAST) << SLOT_SHIFT;
}

MOAT_COLD bool usage_may_leave_alone(size_t bytes) {
    int64_t *left = &ro.usage->inheritable;
    if (atomic_add_relaxed(left, -(int64_t)bytes) >= (int64_t)bytes) return true;
    atomic_add_relaxed(left, (int64_t)bytes);
    return false;
}
