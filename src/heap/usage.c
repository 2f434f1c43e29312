/*
 * usage: when too much lies idle (see usage.h).
 */
#include "heap/usage.h"

bool usage_is_past_bound(uint64_t now) {
    usage_observe(now);
    uint64_t most = keeping_most(&ro.usage->all);
    return usage_in_use() + usage_idle() > most + most / 4 + IDLE_LEAST;
}
