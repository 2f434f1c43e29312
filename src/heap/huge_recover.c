/*
 * huge_recover: huge runs in a forked child (contracts in huge.h).
 *
 * Whoever was freeing or resizing one did not come along: a free is carried through, a resize is
 * undone.
 */
#include "heap/huge.h"
#include "meta/locks.h"
#include "os/os.h"

/* A place of the cache may hold what another place, or a user, has too. The runs are taken back as
   what belongs to nobody. */
void huge_recover_cache(void) {
    ro.huge->entries = ro.huge->covered = 0;
    huge_set_cached(0);
    ro.huge->keeping = (struct keeping){0};
    atomic_store_relaxed(&ro.huge->next_purge, UINT64_MAX);
}

static void end_free(struct segment *segment, uint64_t word) {
    uintptr_t start = segment_start(segment);
    /* pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, huge_generation_of(word)));
}

/* The pages come back if they were moved. The block at the other end was nobody's yet. False: what
   the block holds cannot be had back. */
static bool undo_move(struct segment *segment) {
    struct segment *other = segment_at(segment->moving_to);
    uint64_t word = atomic_load_relaxed(&other->owner);
    uintptr_t from = segment_start(segment), to = segment_start(other);
    size_t bytes = segment->committed;
    bool back = true;
    if (os_can_read((const void *)to)) {
        back = os_commit((void *)(from + bytes - ro.os_page), ro.os_page) &&
               os_move_pages((void *)to, (void *)from, bytes) == OS_MOVED;
        region_advise(back ? to : from, bytes);
        segment->apart |= back;
    }
    if (owner_kind(word) == OWNER_HUGE) end_free(other, word);
    segment->moving_to = 0;
    return back;
}

/* Whoever called it has no answer yet: the block is as it was, or has the usable part it was to
   have. All else of the record follows from that. What cannot be had back stays inaccessible. */
static void undo_resize(struct segment *segment, uint64_t word) {
    uintptr_t start = segment_start(segment);
    size_t bytes = segment->committed;
    bool whole = segment->moving_to == 0 || undo_move(segment);
    segment->run = huge_run_length(bytes);
    segment->means = GUARD_SPLIT;
    segment->rest = 0;
    if (whole) guard_reopen(start, bytes, segment->run);
    /* its live bit may have gone with the move; pairs with the fetch_and of huge_free */
    if (HARDENED_MAP) atomic_or_acq_rel(&map_word_of(start)->live, map_bit_of(start));
    /* pairs with the load of free */
    atomic_store_release(&segment->owner, huge_word(OWNER_HUGE, huge_generation_of(word)));
}

void huge_recover(struct segment *segment) {
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (owner_kind(word) == OWNER_FREEING && (word & OWNER_RESIZING) != 0)
        undo_resize(segment, word);
    else if (owner_kind(word) == OWNER_FREEING)
        end_free(segment, word);
    else if (segment->moving_to != 0)
        segment->moving_to = 0; /* the move had come to its end */
}

bool huge_find_run(const struct segment *segment, struct guarded *guarded) {
    if (owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_HUGE) {
        *guarded = huge_guarded_of(segment);
        return true;
    }
    uint32_t index = segment_index(segment);
    for (uint32_t i = 0; i < ro.huge->entries; i++) {
        if (ro.huge->cache[i].index != index) continue;
        *guarded = ro.huge->cache[i].guarded;
        return true;
    }
    return false;
}
