/*
 * huge_pages: which runs come in huge pages of the kernel's (contracts in huge.h).
 *
 * Only new memory of programs that want again what went back, and only as much as they were seen
 * to write to: what is used sparsely stays sparse.
 */
#include "heap/huge.h"
#include "heap/density.h"
#include "os/os.h"

/* Shorter runs would gain little. */
#define HUGE_PAGES_FROM DENSITY_LEAST

/* So many bytes of a run were all written to, or not: 0. They count twice, for programs that grow;
   no more counts than what there is of runs: a program may change its ways. */
static void note_density(size_t bytes, uint64_t now) {
    struct huge_state *huge = ro.huge;
    size_t all = atomic_load_relaxed(&huge->dense_bytes) + 2 * bytes;
    size_t most = atomic_load_unseen(&ro.usage->runs);
    atomic_store_relaxed(&huge->dense_bytes, bytes == 0 ? 0 : all < most ? all : most);
    atomic_store_relaxed(&huge->dense_at, bytes != 0 ? now : 0);
}

void huge_look_at_use(struct huge_entry *entry, size_t bytes, uint64_t now) {
    if (bytes > entry->guarded.bytes) bytes = entry->guarded.bytes;
    if (bytes < HUGE_PAGES_FROM || ro.options.thp != THP_HUGE) return;
    uintptr_t start = segment_address(entry->index);
    bool dense = density_is_high(start, entry->guarded.bytes, entry->watched);
    /* in huge pages a mark may cost one: there nobody knows of zeros, at first */
    bool unknown = !dense && entry->guarded.apart && entry->watched == 0;
    if (!unknown) note_density(dense ? bytes : 0, now);
    entry->watched = dense || !entry->guarded.apart ? bytes : 0;
    if (entry->watched != 0) density_mark(start, bytes);
}

/* Whether `more` bytes that are new to a run of `bytes` come in huge pages: the program uses what
   it has; for as much as it was seen to. */
static bool wants_huge_pages(size_t bytes, size_t more, uint64_t now) {
    struct huge_state *huge = ro.huge;
    uint64_t dense_at = atomic_load_relaxed(&huge->dense_at);
    size_t dense = atomic_load_relaxed(&huge->dense_bytes);
    if (bytes < HUGE_PAGES_FROM || ro.options.thp != THP_HUGE || dense_at == 0 ||
        now - dense_at >= KEEPING_TIME || dense < more)
        return false;
    atomic_store_relaxed(&huge->dense_bytes, dense - more);
    return true;
}

/* Advice makes a mapping of its own: for as long as the run lives it counts as one that was
   moved. */
void huge_ask_for_pages(uint32_t index, struct guarded *guarded, size_t more, uint64_t now) {
    if (!wants_huge_pages(guarded->bytes, more, now)) return;
    if (!guarded->apart && !guard_take_split()) return;
    guarded->apart = true;
    os_use_huge_pages((void *)segment_address(index), round_down(guarded->bytes, HUGE_PAGE));
}
