/*
 * alloc: the verbs beyond their fast paths (see alloc.h).
 *
 * Every way off a fast path asks alloc_is_ready() first. What follows looks the address up through
 * the owner word of its segment, and no check trusts what a block holds: find_ready() is the one
 * accessor that turns an address into a live block, or ends the process. An allocation that finds
 * no memory gives back what this thread and ended ones hold unused, and is tried once more.
 */
/* Blocks are filled and copied while the thread is not busy. */
#define BYTES_BY_THE_C_LIBRARY
#include "alloc/alloc.h"
#include "alloc/diagnose.h"
#include "alloc/found.h"
#include "alloc/sampling.h"
#include "alloc/strict.h"
#include "heap/huge.h"
#include "heap/quarantine.h"
#include "os/os.h"
#include "os/os_seam.h"
#include "process/init.h"
#include "heap/zero_size.h"

/* What the verbs find on their way off the fast paths. */
enum readiness {
    NOT_READY, /* nothing can be done, or may be */
    READY,
    READY_STRICT /* likewise, by the verbs of strict.c */
};

MOAT_COLD static enum readiness make_ready(void) {
    /* pairs with init */
    if (MOAT_UNLIKELY(!ro_is_started()) && !init_once()) return NOT_READY;
    if (MOAT_UNLIKELY(thread_word() == THREAD_BUSY)) {
        diagnose_reentry();
        return NOT_READY;
    }
    /* pairs with recover_as */
    if (MOAT_UNLIKELY(atomic_load_acquire(ro.fork_mark) != ro_mark_recovered())) fork_recover();
    return ro_is_strict() ? READY_STRICT : READY;
}

/* The default level, and nothing to be done first: the mark of the strict level is below this. A
   verb for which it is false goes on in one of the functions named _otherwise, and is called again
   from there if all it takes was to get ready. */
MOAT_INLINE bool is_ready(void) {
    /* pairs with recover_as */
    return MOAT_LIKELY(ro_is_started() && thread_word() != THREAD_BUSY &&
                       atomic_load_acquire(ro.fork_mark) > FORK_RECOVERED_STRICT);
}

/* And there are no samples. */
MOAT_INLINE bool is_ready_without_samples(void) {
    /* pairs with recover_as */
    return MOAT_LIKELY(ro_is_started() && thread_word() != THREAD_BUSY &&
                       atomic_load_acquire(ro.fork_mark) == FORK_RECOVERED);
}

bool alloc_is_ready(void) { return is_ready() || make_ready() != NOT_READY; }

/* By the C library, which is faster, unless nobody can call it yet. */
static void fill_with_zeros(void *start, size_t size) {
    if (IN_HARNESS && os_seam.clear(start, size)) return;
    if (MOAT_LIKELY(thread_is_relocated()))
        __builtin_memset(start, 0, size);
    else
        moat_fill(start, 0, size);
}

/* Makes a block zero whatever was written into its memory while it was free. Memory that was never
   handed out before is dropped, which costs a system call and no page; what was is filled, since
   the program may have mapped something else there. */
MOAT_NOINLINE static void make_zero(char *block, size_t size, bool never_used) {
    char *from = (char *)round_up((uintptr_t)block, ro.os_page);
    char *to = (char *)round_down((uintptr_t)block + size, ro.os_page);
    if (!never_used || size <= SMALL_MAX || from >= to || !os_purge(from, (size_t)(to - from))) {
        fill_with_zeros(block, size);
        return;
    }
    fill_with_zeros(block, (size_t)(from - block));
    fill_with_zeros(to, (size_t)(block + size - to));
}

/* A block of the page that was found; NULL: none was. Leaves the heap. */
MOAT_INLINE void *take_and_leave(struct heap *heap, struct page *page, uint32_t size_class,
                                 bool zero) {
    void *block = page != NULL ? page_pop(page) : NULL; /* the page that was found has a block */
    /* A list that was tampered with leads to no other free blocks as long as none were returned. */
    bool never_used = zero && page != NULL && page->never_reused && page_returned(page) == 0;
    heap_release(heap);
    if (zero && block != NULL) make_zero(block, size_class_bytes(size_class), never_used);
    return block;
}

MOAT_INLINE void *try_class(uint32_t size_class, bool zero) {
    struct heap *heap = heap_acquire();
    struct page *page = heap_page_at_hand(heap, size_class);
    if (page == NULL) page = heap_find_page(heap, size_class);
    return take_and_leave(heap, page, size_class, zero);
}

/* What this thread and ended ones hold unused may be just what is missing. */
bool alloc_find_more_memory(void) {
    struct heap *heap = heap_acquire();
    heap->now = os_milliseconds();
    bool found = heap_scour(heap);
    heap_release(heap);
    return found;
}

/* A segment that all threads share may have a block where there is none for a segment of one's
   own. */
MOAT_COLD static void *try_class_of_all(uint32_t size_class, bool zero) {
    struct heap *heap = heap_acquire_late();
    heap->cannot_grow = true;
    struct page *page = heap_find_page(heap, size_class);
    heap->cannot_grow = false;
    return take_and_leave(heap, page, size_class, zero);
}

/* For want of a page, where there may be one: see huge_may_hold. */
static void *try_run(size_t size, bool zero) {
    return huge_may_hold(size) ? huge_alloc(size, 1, zero) : NULL;
}

MOAT_COLD static void *retry_class(uint32_t size_class, bool zero) {
    void *block = try_run(size_class_bytes(size_class), zero);
    if (block == NULL && alloc_find_more_memory()) {
        block = try_class(size_class, zero);
        if (block == NULL) block = try_run(size_class_bytes(size_class), zero);
    }
    if (block == NULL) block = try_class_of_all(size_class, zero);
    if (block == NULL) region_explain_failure(SEGMENT_SIZE);
    return block;
}

static void *allocate_class(uint32_t size_class, bool zero) {
    void *block = try_class(size_class, zero);
    return MOAT_LIKELY(block != NULL) ? block : retry_class(size_class, zero);
}

/* Huge and zero-size blocks need no heap. */
static void *try_huge(size_t size, size_t alignment, bool zero) {
    return size != 0 ? huge_alloc(size, alignment, zero) : zero_size_alloc(alignment);
}

MOAT_COLD static void *retry_huge(size_t size, size_t alignment, bool zero) {
    void *block = NULL;
    /* More than there are addresses for: nothing that is given back could help. */
    if (size <= ro.region_span && alloc_find_more_memory()) block = try_huge(size, alignment, zero);
    if (block == NULL) region_explain_failure(size);
    return block;
}

static void *allocate_huge(size_t size, size_t alignment, bool zero) {
    void *block = try_huge(size, alignment, zero);
    return MOAT_LIKELY(block != NULL) ? block : retry_huge(size, alignment, zero);
}

static void *allocate_empty(size_t alignment) { return allocate_huge(0, alignment, false); }

void *alloc_empty(size_t alignment) { return allocate_empty(alignment); }

/* Between the fast path and the generic one: the page's list is empty, and its own freed blocks are
   all it takes to go on. */
MOAT_INLINE void *refill_and_pop(size_t size) {
    struct heap *heap = heap_of_thread();
    if (heap == NULL || size > DIRECT_MAX) return NULL;
    heap_enter_fast();
    struct page *page = heap_direct_page(heap, size);
    void *block = NULL;
    if (page->free_count == 0 && ++heap->refills % CALLS_PER_TICK != 0 && page_refill(page))
        block = page_pop(page);
    heap_leave_fast(heap);
    return block;
}

MOAT_INLINE void *ready_block(size_t size, bool zero) {
    if (MOAT_UNLIKELY(size == 0)) return allocate_empty(GRANULE);
    if (size <= LARGE_MAX) return allocate_class(size_class_of(size), zero);
    if (size > PTRDIFF_MAX) return NULL;
    return allocate_huge(size, 1, zero);
}

MOAT_COLD static void *block_otherwise(size_t size, bool zero) {
    enum readiness ready = make_ready();
    if (ready == READY_STRICT) return strict_block(size, GRANULE, FAMILY_MALLOC, zero);
    if (ready == NOT_READY) return NULL;
    void *sample = ro_is_sampling() ? sampling_take(size, GRANULE) : NULL;
    return sample != NULL ? sample : ready_block(size, zero);
}

void *alloc_block_slow(size_t size) {
    void *block = refill_and_pop(size);
    if (MOAT_LIKELY(block != NULL)) return block;
    if (!is_ready_without_samples()) return block_otherwise(size, false);
    return ready_block(size, false);
}

void *alloc_mark_family(void *block, enum family family) {
    if (ro_is_strict() && block != NULL) strict_set_family(block, family);
    return block;
}

static MOAT_NOINLINE void *alloc_zeroed_slow(size_t size) {
    void *block = alloc_block_slow(size);
    /* at the strict level it is zero, and has a canary at its end; so is a sample */
    if (block != NULL && !ro_is_strict() && !(ro_is_sampling() && sampling_is_sample(block)))
        fill_with_zeros(block, size_class_bytes(size_class_of(size)));
    return block;
}

void *alloc_zeroed(size_t size) {
    if (size != 0 && size <= DIRECT_MAX) {
        void *block = alloc_block_fast(size);
        if (MOAT_UNLIKELY(block == NULL)) return alloc_zeroed_slow(size);
        __builtin_memset(block, 0, size_class_bytes(size_class_of(size)));
        return block;
    }
    if (!is_ready_without_samples()) return block_otherwise(size, true);
    return ready_block(size, true);
}

MOAT_INLINE void *ready_aligned(size_t alignment, size_t size) {
    if (size - 1 < LARGE_MAX && alignment <= LARGE_MAX) {
        size_t request = aligned_request(alignment, size);
        if (request <= LARGE_MAX) return allocate_class(size_class_of(request), false);
    }
    return size == 0 ? allocate_empty(alignment) : allocate_huge(size, alignment, false);
}

MOAT_COLD static void *aligned_otherwise(size_t alignment, size_t size) {
    enum readiness ready = make_ready();
    if (ready == READY_STRICT) return strict_block(size, alignment, FAMILY_MALLOC, false);
    if (ready == NOT_READY) return NULL;
    void *sample = ro_is_sampling() ? sampling_take(size, alignment) : NULL;
    return sample != NULL ? sample : ready_aligned(alignment, size);
}

/* As alloc_block_slow; `request`: what aligned_request has made of the two. */
static MOAT_NOINLINE void *alloc_aligned_slow(size_t alignment, size_t size, size_t request) {
    void *block = refill_and_pop(request);
    if (MOAT_LIKELY(block != NULL)) return block;
    if (!is_ready_without_samples()) return aligned_otherwise(alignment, size);
    return allocate_class(size_class_of(request), false);
}

void *alloc_aligned(size_t alignment, size_t size) {
    if (size - 1 < LARGE_MAX && alignment <= LARGE_MAX) {
        size_t request = aligned_request(alignment, size);
        /* any block of its class is aligned */
        if (request <= LARGE_MAX) {
            void *block = alloc_block_fast(request);
            return MOAT_LIKELY(block != NULL) ? block
                                              : alloc_aligned_slow(alignment, size, request);
        }
    }
    if (size > PTRDIFF_MAX) return NULL;
    if (!is_ready_without_samples()) return aligned_otherwise(alignment, size);
    if (size == 0) return allocate_empty(alignment);
    return allocate_huge(size, alignment, false);
}

/*
 * Without total store order a thread that was handed a block by means the allocator does not see
 * may find the extent, or the owner word, as it was before: only after a barrier on every thread is
 * what they say a fact. True: look again.
 */
MOAT_COLD static bool may_be_too_early(void) {
    if (CPU_HAS_TOTAL_STORE_ORDER) return false;
    os_membarrier(); /* pairs with every store of other threads before it */
    return true;
}

static bool may_hold(uintptr_t address) {
    return region_may_hold(address) || (may_be_too_early() && region_may_hold(address));
}

static const struct found not_found = {NULL, 0, 0, SIZE_CLASS_NONE};

/* A handler that interrupted the allocator was reported already, by alloc_is_ready(). */
MOAT_COLD static void report_not_live(uintptr_t address, enum verb verb) {
    if (thread_word() != THREAD_BUSY) diagnose_not_live(address, verb);
}

/* The accessor every verb but the fast free goes through: reports unless the address is a live
   block; then, if the program goes on, there is no segment. */
MOAT_INLINE struct found find_shown(uintptr_t address, uintptr_t shown, enum verb verb) {
    struct found found = not_found;
    if (!may_hold(address)) {
        report_not_live(shown, verb);
        return not_found;
    }
    found.segment = segment_of(address);
    /* pairs with the store that made the segment what it is */
    found.word = atomic_load_acquire(&found.segment->owner);
    if (MOAT_UNLIKELY(owner_kind_but_samples(found.word) == OWNER_UNUSED) && may_be_too_early())
        found.word = atomic_load_acquire(&found.segment->owner); /* pairs likewise */
    enum owner_kind kind = owner_kind_but_samples(found.word);
    if (kind == OWNER_UNUSED) { /* no map there */
        report_not_live(shown, verb);
        return not_found;
    }
    const struct map_word *map = map_word_of(address);
    if (HARDENED_MAP && !map_in_use(map, map_bit_of(address))) {
        /* another thread's live bit may be on its way: see remote.c */
        if (!CPU_HAS_TOTAL_STORE_ORDER) os_membarrier();
        if (CPU_HAS_TOTAL_STORE_ORDER || !map_in_use(map, map_bit_of(address))) {
            report_not_live(shown, verb);
            return not_found;
        }
    }
    switch (kind) {
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE: {
        const struct page *page = page_of(address, (enum page_kind)kind);
        found.block_size = page->block_size;
        found.size_class = page->size_class;
        break;
    }
    case OWNER_HUGE: found.block_size = atomic_load_relaxed(&found.segment->committed); break;
    case OWNER_ZERO_SIZE: break;
    case OWNER_SAMPLES: /* see find_any */
    case OWNER_UNUSED:
    case OWNER_FREEING:
    case OWNER_FREED: report_not_live(shown, verb); return not_found;
    }
    return found;
}

MOAT_INLINE struct found find_ready(uintptr_t address, enum verb verb) {
    return find_shown(address, address, verb);
}

/* The same where there may be samples. */
MOAT_NOINLINE static struct found find_any(uintptr_t address, uintptr_t shown, enum verb verb) {
    struct sample_view view;
    if (!ro_is_sampling() || !may_hold(address)) return find_shown(address, shown, verb);
    struct segment *segment = segment_of(address);
    /* pairs with the store that made the segment what it is */
    uint64_t word = atomic_load_acquire(&segment->owner);
    if (owner_kind(word) == OWNER_UNUSED && may_be_too_early())
        word = atomic_load_acquire(&segment->owner); /* pairs likewise */
    if (owner_kind(word) != OWNER_SAMPLES) return find_shown(address, shown, verb);
    if (sample_find(address, &view))
        return (struct found){segment, word, view.size, SIZE_CLASS_NONE};
    report_not_live(shown, verb);
    return not_found;
}

struct found alloc_find_live(uintptr_t base, uintptr_t shown, enum verb verb) {
    return find_any(base, shown, verb);
}

/* The last block of an abandoned segment was freed, as far as the hint knows: give it back through
   the heap that is nobody's. */
static void sweep_if_last(struct segment *segment) {
    /* pairs with its siblings: the last sees what they did; too low is corrected by the sweep */
    if (atomic_sub_acq_rel(&segment->remaining, 1) > 1) return;
    struct heap *late = heap_try_late();
    if (late == NULL) return; /* its holder's, or anyone's, purge will come by */
    late->now = os_milliseconds();
    segment_sweep(late, segment_index(segment), true, late->now);
    heap_release(late);
}

/* Frees between two looks at what goes back to the kernel. */
#define FREES_PER_LOOK 256 /* the first of a heap is one */

/* A thread that only frees what others own, or blocks that nobody owns, never comes by
   heap_tick. */
MOAT_INLINE void count_free(struct heap *heap) {
    if (MOAT_LIKELY(--heap->frees_to_look >= 0)) return;
    heap->frees_to_look = FREES_PER_LOOK;
    heap_keep_house(heap);
}

static void count_free_without_heap(void) {
    if (!thread_is_relocated()) return; /* nor is its counter */
    if (++moat_thread_frees % FREES_PER_LOOK == 0) heap_keep_house(NULL);
}

/* False: it was no live block, and has been reported. */
MOAT_INLINE bool claim(struct segment *segment, uint64_t word, uintptr_t address) {
    if (remote_free(segment, owner_page_kind(word), address) != REMOTE_FREED) {
        diagnose_not_live(address, VERB_FREE);
        return false;
    }
    if (MOAT_UNLIKELY(word & OWNER_ABANDONED)) heap_note_abandoned();
    return true;
}

/* Of a thread that has no heap; a handler may have made it meanwhile. */
static void check_word(void) {
    uintptr_t own = thread_word();
    MOAT_CHECK(is_heap(own) || thread_may_lack_heap(own), "thread word overwritten", own);
}

/* A thread with a heap comes by again, and its purge walk gives back what is abandoned and empty
   when the delay has passed; one without may never. */
MOAT_NOINLINE static void free_without_heap(struct segment *segment, uint64_t word,
                                            uintptr_t address) {
    if (!claim(segment, word, address)) return;
    check_word();
    /* its owner may have left meanwhile; pairs with leave_segment */
    uint64_t now = atomic_load_acquire(&segment->owner);
    if (MOAT_UNLIKELY((word | (owner_has_pages(now) ? now : 0)) & OWNER_ABANDONED))
        sweep_if_last(segment);
    count_free_without_heap();
}

void alloc_note_free(struct heap *heap, struct segment *segment) {
    if (heap != NULL) {
        count_free(heap);
        return;
    }
    check_word();
    /* pairs with leave_segment */
    uint64_t now = segment != NULL ? atomic_load_acquire(&segment->owner) : OWNER_UNUSED;
    if (owner_has_pages(now) && (now & OWNER_ABANDONED) != 0) sweep_if_last(segment);
    count_free_without_heap();
}

static void free_in_page(struct segment *segment, uint64_t word, uintptr_t address) {
    struct heap *heap = heap_of_thread();
    if (heap == NULL) {
        free_without_heap(segment, word, address);
        return;
    }
    MOAT_CHECK(heap->thread == thread_identity(), "thread word names another thread's heap", heap);
    if (owner_heap(word) == &heap->owner) {
        heap_enter_fast();
        if (!free_in_own_page(own_block(heap, address), page_of(address, owner_page_kind(word)),
                              address))
            diagnose_not_live(address, VERB_FREE);
    } else {
        if (claim(segment, word, address)) count_free(heap);
    }
}

/* Huge and zero-size blocks. False: no such block lives there. */
static bool free_without_page(struct segment *segment, uint64_t word, uintptr_t address) {
    switch (owner_kind(word)) {
    case OWNER_ZERO_SIZE: return zero_size_free(address);
    case OWNER_HUGE:
        return segment_start(segment) == address && huge_free(segment, word) == HUGE_OK;
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE: /* who has a page asks it first */
    case OWNER_SAMPLES:
    case OWNER_UNUSED:
    case OWNER_FREEING:
    case OWNER_FREED: break;
    }
    return owner_kind(word) == OWNER_SAMPLES && sampling_free(address);
}

/* Without total store order: `nothing_seen`: not even what lived there before; else a huge block
   that is there now may be one that a third thread got meanwhile. */
MOAT_COLD static void free_late(uintptr_t address, bool nothing_seen) {
    if (may_be_too_early() && region_may_hold(address)) {
        struct segment *segment = segment_of(address);
        /* pairs with the store that made the segment what it is */
        uint64_t word = atomic_load_acquire(&segment->owner);
        if (owner_has_pages(word)) {
            free_in_page(segment, word, address);
            return;
        }
        if (nothing_seen && free_without_page(segment, word, address)) return;
    }
    diagnose_not_live(address, VERB_FREE);
}

/* Nothing was found to free: elsewhere that is a fact. */
MOAT_INLINE void free_late_or_report(uintptr_t address, bool nothing_seen) {
    if (CPU_HAS_TOTAL_STORE_ORDER)
        diagnose_not_live(address, VERB_FREE);
    else
        free_late(address, nothing_seen);
}

MOAT_COLD static void free_nothing(uintptr_t address) {
    /* else reported already, by alloc_is_ready() */
    if (thread_word() != THREAD_BUSY) free_late_or_report(address, true);
}

MOAT_COLD static void free_otherwise(void *block) {
    switch (make_ready()) {
    case NOT_READY: free_nothing((uintptr_t)block); break;
    case READY: alloc_free_slow(block); break;
    case READY_STRICT:
        strict_free((uintptr_t)block, &(struct freeing){.family = FAMILY_MALLOC});
        break;
    }
}

void alloc_free_slow(void *block) {
    if (block == NULL) return;
    uintptr_t address = (uintptr_t)block;
    if (!is_ready()) {
        free_otherwise(block);
        return;
    }
    if (!region_may_hold(address)) {
        free_nothing(address);
        return;
    }
    struct segment *segment = segment_of(address);
    /* pairs with the store that made the segment what it is */
    uint64_t word = atomic_load_acquire(&segment->owner);
    if (MOAT_LIKELY(owner_has_pages(word))) {
        free_in_page(segment, word, address);
        return;
    }
    if (!free_without_page(segment, word, address))
        free_late_or_report(address, owner_kind(word) == OWNER_UNUSED);
    struct heap *heap = heap_of_thread();
    if (heap != NULL)
        count_free(heap);
    else
        count_free_without_heap();
}

MOAT_COLD static void delete_strict(uintptr_t address, enum family family) {
    if (alloc_is_ready()) strict_free(address, &(struct freeing){.family = family});
}

void alloc_delete_slow(void *block, enum family family) {
    if (ro_is_strict() && block != NULL)
        delete_strict((uintptr_t)block, family);
    else
        alloc_free_slow(block);
}

static void copy_contents(void *to, const void *from, size_t size) {
    if (IN_HARNESS && os_seam.copy(to, from, size)) return;
    if (MOAT_LIKELY(thread_is_relocated()))
        __builtin_memcpy(to, from, size);
    else
        moat_copy(to, from, size);
}

static void *move_block(void *block, size_t old_size, size_t new_size) {
    void *moved = alloc_block(new_size);
    if (moved == NULL) return huge_resize_to_class(block, new_size);
    copy_contents(moved, block, old_size < new_size ? old_size : new_size);
    alloc_free(block);
    return moved;
}

MOAT_INLINE void *resize_found(struct found found, void *block, size_t new_size) {
    if (new_size > PTRDIFF_MAX) return NULL;
    if (found.size_class != SIZE_CLASS_NONE) {
        /* In place only within the class: what free_sized will be told leads to the same class
           then. */
        if (new_size != 0 && new_size <= LARGE_MAX && size_class_of(new_size) == found.size_class)
            return block;
    } else if (owner_kind_but_samples(found.word) == OWNER_HUGE && new_size > LARGE_MAX) {
        enum huge_result result =
            huge_resize(found.segment, found.word, huge_round(new_size), &block);
        if (result == HUGE_LOST) {
            diagnose_not_live((uintptr_t)block, VERB_RESIZE);
            return NULL;
        }
        if (result == HUGE_OK) return block;
    } else if (owner_kind_but_samples(found.word) == OWNER_UNUSED) {
        return NULL; /* reported */
    }
    return move_block(block, found.block_size, new_size);
}

MOAT_COLD static void *resize_otherwise(void *block, size_t new_size) {
    switch (make_ready()) {
    case READY:
        return resize_found(find_any((uintptr_t)block, (uintptr_t)block, VERB_RESIZE), block,
                            new_size);
    case READY_STRICT: return strict_resize(block, new_size);
    case NOT_READY: break;
    }
    report_not_live((uintptr_t)block, VERB_RESIZE);
    return NULL;
}

void *alloc_resize(void *block, size_t new_size) {
    if (block == NULL) return alloc_block(new_size);
    if (!is_ready_without_samples()) return resize_otherwise(block, new_size);
    return resize_found(find_ready((uintptr_t)block, VERB_RESIZE), block, new_size);
}

/* A sample is measured as the block that it is in place of. False: gone, as the free will tell. */
static bool measure_sample(uintptr_t address, struct found *found) {
    struct sample_view view;
    if (!sample_find(address, &view)) return false;
    if (view.size <= LARGE_MAX && view.alignment <= LARGE_MAX)
        found->size_class = size_class_of_aligned(view.alignment, view.size);
    found->block_size = found->size_class != SIZE_CLASS_NONE ? size_class_bytes(found->size_class)
                                                             : huge_round(view.size);
    return true;
}

static void check_sized(const struct found *found, uintptr_t address, size_t alignment,
                        size_t size) {
    size_t expected = 0;
    /* A class serves an alignment only if its block size is a multiple of it. */
    bool fits = found->size_class == SIZE_CLASS_NONE || alignment <= GRANULE ||
                (found->block_size & (alignment - 1)) == 0;
    if (!is_power_of_two(alignment) || (address & (alignment - 1)) != 0 || !fits) {
        diagnose_mismatch(PHRASE_WRONG_ALIGNMENT, address, alignment,
                          (size_t)1 << low_bit(address));
        return;
    }
    uint32_t size_class = SIZE_CLASS_NONE;
    if (size != 0 && size <= LARGE_MAX && alignment <= LARGE_MAX)
        size_class = size_class_of_aligned(alignment, size);
    if (size != 0)
        expected = size_class != SIZE_CLASS_NONE ? size_class_bytes(size_class)
                   : size <= PTRDIFF_MAX         ? huge_round(size)
                                                 : SIZE_MAX;
    bool has_run = owner_kind(found->word) == OWNER_HUGE && size_class != SIZE_CLASS_NONE;
    if (has_run) expected = huge_round(expected); /* for want of a page */
    if ((has_run || size_class == found->size_class) && expected == found->block_size) return;
    diagnose_mismatch(PHRASE_WRONG_SIZE, address, size, found->block_size);
}

/* False: the default level goes on. */
MOAT_COLD static bool free_is_over(void *block, const struct freeing *how) {
    switch (make_ready()) {
    case READY: return false;
    case NOT_READY: free_nothing((uintptr_t)block); break;
    case READY_STRICT: strict_free((uintptr_t)block, how); break;
    }
    return true;
}

void alloc_free_aligned_sized(void *block, size_t alignment, size_t size, enum family family) {
    if (block == NULL) return;
    if (HARDENED_RO && !is_ready() &&
        free_is_over(block, &(struct freeing){family, true, true, alignment, size}))
        return;
    if (HARDENED_RO && ro.options.sized != SIZED_OFF) {
        struct found found = find_any((uintptr_t)block, (uintptr_t)block, VERB_FREE);
        if (MOAT_UNLIKELY(found.segment == NULL)) return;
        if (owner_kind(found.word) != OWNER_SAMPLES || measure_sample((uintptr_t)block, &found))
            check_sized(&found, (uintptr_t)block, alignment, size);
    }
    alloc_free(block);
}

void alloc_free_aligned(void *block, size_t alignment, enum family family) {
    if (block == NULL) return;
    if (HARDENED_RO && !is_ready() &&
        free_is_over(block, &(struct freeing){family, false, true, alignment, 0}))
        return;
    if (HARDENED_RO && ro.options.sized != SIZED_OFF) {
        struct found found = find_any((uintptr_t)block, (uintptr_t)block, VERB_FREE);
        if (MOAT_UNLIKELY(found.segment == NULL)) return;
        if (!is_power_of_two(alignment) || ((uintptr_t)block & (alignment - 1)) != 0)
            diagnose_mismatch(PHRASE_WRONG_ALIGNMENT, (uintptr_t)block, alignment,
                              (size_t)1 << low_bit((uintptr_t)block));
    }
    alloc_free(block);
}

MOAT_COLD static size_t size_otherwise(const void *block) {
    switch (make_ready()) {
    case READY: return find_any((uintptr_t)block, (uintptr_t)block, VERB_SIZE_QUERY).block_size;
    case READY_STRICT: return strict_usable_size((uintptr_t)block);
    case NOT_READY: break;
    }
    report_not_live((uintptr_t)block, VERB_SIZE_QUERY);
    return 0;
}

size_t alloc_usable_size(const void *block) {
    if (block == NULL) return 0;
    if (!is_ready_without_samples()) return size_otherwise(block);
    return find_ready((uintptr_t)block, VERB_SIZE_QUERY).block_size;
}

bool alloc_owns(const void *address) { return region_contains((uintptr_t)address); }

bool alloc_collect(bool purge) {
    if (!alloc_is_ready()) return false;
    struct heap *heap = heap_acquire();
    if (purge) quarantine_empty(heap);
    heap_poll(heap);
    heap->now = os_milliseconds();
    bool gave = heap_purge(heap, purge);
    heap_release(heap);
    return gave;
}

bool alloc_trim(void) {
    if (!alloc_is_ready()) return false;
    struct heap *heap = heap_acquire();
    heap_ask_for_trim(heap);
    heap_release(heap);
    return alloc_collect(true);
}
