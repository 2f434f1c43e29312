/*
 * remote: the steps of a remote free (see remote.h).
 *
 * After its claim a remote thread touches only words that stay what they are: tables are never
 * unmapped. What it wakes may be somebody else's by then; a wake-up is a hint.
 */
#include "heap/remote.h"
#include "os/os.h"

/* Without total store order the owner's live bit, set before the block was handed over by means the
   allocator does not see, may not have arrived: only after a barrier on every thread is "not live"
   a fact. */
static bool is_live(const struct map_word *word, uint64_t bit) {
    if (!HARDENED_MAP || MOAT_LIKELY((atomic_load_relaxed(&word->live) & bit) != 0)) return true;
    if (CPU_HAS_TOTAL_STORE_ORDER) return false;
    os_membarrier(); /* pairs with every store of the owner before it */
    return (atomic_load_acquire(&word->live) & bit) != 0;
}

/* From below: who sees the heap's bit finds the segment's. */
void wake_segment(struct owner *heap, uint32_t index) {
    atomic_or_release(&ro.woken_segments[index / 64], bit64(index)); /* pairs with poll_word */
    /* pairs with heap_follow_wakes */
    atomic_or_release(&heap->wake, bit64(index / 64));
}

/* A full page has its first claim: tell its owner, or those who look for an abandoned segment with
   room. Repeated and spurious wake-ups are harmless. */
static void wake_owner(struct segment *segment, const struct page *page) {
    /* pairs with the exchange of poll_segment, and with the second look of leave_segment */
    atomic_or_acq_rel(&segment->woken, bit64(page_slot(page)));
    /* pairs with the stores of abandon and reclaim */
    uint64_t word = atomic_load_acquire(&segment->owner);
    /* The owner may have collected the block meanwhile and given the segment back: it may be
       anything by now. Who reclaims it collects every page. */
    if (!owner_has_pages(word) || (word & OWNER_ORPHAN) != 0) return;
    if (word & OWNER_ABANDONED) {
        abandoned_add((unsigned)owner_page_kind(word), segment_index(segment));
        return;
    }
    wake_segment(owner_heap(word), segment_index(segment));
}

MOAT_INLINE enum remote_result claim(uintptr_t address) {
    struct map_word *word = map_word_of(address);
    uint64_t bit = map_bit_of(address);
    if (!is_live(word, bit)) return REMOTE_NOT_LIVE;
    /* pairs with collect_word */
    if (atomic_or_seq_cst(&word->claim, bit) & bit) return REMOTE_CLAIMED_BEFORE;
    return REMOTE_FREED;
}

/* `skips`: a group that is named already, and whose name nobody has taken away since the claim, is
   not named again: whoever takes it finds the claim. So frees in a row write one word, not two. */
MOAT_INLINE void announce(struct segment *segment, enum page_kind kind, uintptr_t address,
                          bool skips) {
    struct page *page = page_of(address, kind);
    size_t offset = (address - ro.region_base) & (page_kind_size(kind) - 1);
    uint64_t group = bit64(page_claim_group(kind, offset));
    /* pairs with the exchange of page_take_claims */
    if (skips && (atomic_load_seq_cst(&page->pending) & group) != 0) return;
    /* pairs with page_take_claims and page_mark_full */
    uint64_t before = atomic_or_acq_rel(&page->pending, group);
    if (before == PENDING_FULL) wake_owner(segment, page);
}

enum remote_result remote_free(struct segment *segment, enum page_kind kind, uintptr_t address) {
    enum remote_result result = claim(address);
    if (result == REMOTE_FREED) announce(segment, kind, address, true);
    return result;
}

enum remote_result remote_claim(uintptr_t address) { return claim(address); }

/* What is announced is the release of the block, which is not in one order with `pending`. */
void remote_announce(struct segment *segment, enum page_kind kind, uintptr_t address) {
    announce(segment, kind, address, false);
}
