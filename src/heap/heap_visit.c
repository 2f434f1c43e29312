/*
 * heap_visit: what heaps of sleeping threads hold unused (contracts in heap.h; doc/design.md has
 * why it is safe).
 *
 * A thread that has handed all its blocks to others and sleeps never comes by to take them in. What
 * only its generic paths touch, others may do for it while they keep it out of them (enum
 * visit_state): the memory of unused pages goes back. Its fast paths are not kept out. They touch a
 * page only if it is the first of its queue, or has a block that nobody has freed: so a page that
 * is neither is as good as unused, once the thread's last free there is over.
 *
 * The segments stay the heap's. A wrong program's thread may stand in the middle of a free that is
 * the second of its block, and has found the page its own: it must not find it another heap's when
 * it goes on.
 */
#include "heap/heap.h"
#include "meta/locks.h"
#include "os/os.h"

/* Heaps that one step thinks of. */
#define HEAPS_PER_STEP 16u
/* Milliseconds between two visits that found nothing, doubled up to the second. */
#define VISIT_REST_MIN 8u
#define VISIT_REST_MAX 128u
/* As for the walk of the thread itself. */
#define SEGMENTS_PER_MILLISECOND_OF_REST 8u
/* Milliseconds from an announcement to the visit at least. */
#define ANNOUNCED_MIN 4u

static void leave(struct heap *heap) {
    /* pairs with heap_enter_busy, heap_enter_announced and the next visitor */
    uint32_t seen = atomic_exchange_acq_rel(&heap->visit, VISIT_ANNOUNCED);
    if (MOAT_UNLIKELY(seen == VISIT_AWAITED)) os_futex_wake(&heap->visit, 1);
}

/* Nobody is inside, nor has been since the visit was announced. A thread that has not seen the
   announcement has stored `seqcount` before it looked, and before the announcement was made: so
   that store is seen here. On x86 it may have stood in its processor's buffer for a moment, which
   is long over; elsewhere the kernel is asked. */
static bool enter(struct heap *heap) {
    uint32_t announced = VISIT_ANNOUNCED;
    /* pairs with heap_enter_announced and with who visited before */
    if (FAILPOINT(VISIT_AGAIN) || !atomic_cas_acq_rel(&heap->visit, &announced, VISIT_GOING_ON))
        return false;
    if (!CPU_HAS_TOTAL_STORE_ORDER) os_membarrier();
    /* pairs with heap_leave */
    if (atomic_load_acquire(&heap->seqcount) == heap->visit_seen) return true;
    leave(heap);
    return false;
}

void heap_enter_announced(struct heap *heap) {
    for (;;) {
        /* pairs with recover_as; before the look, since what is waited for is what was seen */
        bool is_recovered = atomic_load_acquire(ro.fork_mark) == ro_mark_recovered();
        uint32_t seen = atomic_load_acquire(&heap->visit); /* pairs with leave */
        if (seen == VISIT_NONE) return;
        if (seen == VISIT_ANNOUNCED) {
            /* pairs with enter and is_due */
            if (!FAILPOINT(VISIT_END_AGAIN) && atomic_cas_acq_rel(&heap->visit, &seen, VISIT_NONE))
                return;
        } else if (!is_recovered || seen == VISIT_LEFT) {
            fork_free_heap(heap);
        } else if (seen == VISIT_AWAITED ||
                   /* pairs with leave */
                   atomic_cas_acq_rel(&heap->visit, &seen, VISIT_AWAITED)) {
            os_futex_wait(&heap->visit, VISIT_AWAITED);
        }
    }
}

/* Whether every block in use has been freed by others, and no fast path of the heap's thread is at
   work in the page. It may come to a free there that it began before: that one has cleared its live
   bit first and counts it last. Claims count, whether `pending` names them yet or not. */
static bool is_given_up(const struct heap *heap, const struct page *page) {
    if (!page_has_claims(page)) return false;
    /* What the thread may allocate from on its fast path; and the first of several pages, since the
       next would become what the first is, and free into by the thread meanwhile. */
    bool first = !page->in_full && heap->queues[page->size_class].first == page_index(page);
    if (first && (page->block_size <= DIRECT_MAX || page->in_queue.next != 0)) return false;
    const struct map_word *word = map_word_of(page->start);
    const struct map_word *end = word + (page->limit + MAP_WORD_SPAN - 1) / MAP_WORD_SPAN;
    int32_t claimed = 0;
    for (; word < end; word++) {
        uint64_t live = atomic_load_relaxed(&word->live);
        if (live & ~atomic_load_acquire(&word->claim)) return false; /* pairs with remote_free */
        claimed += (int32_t)popcount64(live);
    }
    if (page_used(page) != claimed) return false;
    /* what came before the last count is seen; pairs with the stores of such a free */
    if (!CPU_HAS_TOTAL_STORE_ORDER) os_membarrier();
    return true;
}

/* A remote free that has claimed and not yet named its block keeps the page: the heap's thread is
   told to look there, as if that free had come now. */
static void end_page(struct heap *heap, struct segment *segment, struct page *page) {
    page_take_claims(page, size_class_page_kind(page->size_class));
    if (page_used(page) != 0) {
        if (!page->in_full) return;
        /* pairs with heap_follow_wakes */
        atomic_or_acq_rel(&segment->woken, bit64(page_slot(page)));
        wake_segment(&heap->owner, segment_index(segment));
        return;
    }
    if (!page->in_full) heap_queue_remove(heap, page);
    heap_end_page(heap, segment, page);
    /* what its thread scours has changed where it would not look */
    if (heap->shortage == SHORTAGE_SCOURED) heap->shortage = SHORTAGE_MET;
}

void heap_end_given_up(struct heap *heap, struct segment *segment) {
    enum page_kind kind = owner_page_kind(atomic_load_relaxed(&segment->owner));
    for (uint64_t slots = segment_pages_in_use(segment, kind); slots != 0; slots &= slots - 1) {
        struct page *page = segment_page(segment, low_bit(slots));
        if (is_given_up(heap, page)) end_page(heap, segment, page);
    }
}

/* True if memory went back. */
static bool visit(struct heap *heap, uint64_t now, enum visit how) {
    bool gave = false;
    if (!enter(heap)) return false;
    atomic_store_unseen(&heap->visitors, 1);
    heap->now = now;
    heap->in_step.is_on = false;
    heap->was_visited = true;
    unsigned walk = (how == VISIT_ALL ? WALK_ALL | WALK_NOW : 0) | WALK_VISIT;
    if (heap_purge_lists(heap, walk, &gave)) {
        heap->purge_list = PURGE_IDLE;
        uint32_t rest = gave ? VISIT_REST_MIN : heap->visit_rest * 2;
        heap->visit_rest = rest < VISIT_REST_MIN   ? VISIT_REST_MIN
                           : rest > VISIT_REST_MAX ? VISIT_REST_MAX
                                                   : rest;
        heap->visit_at = now + heap->visit_rest + heap->segments / SEGMENTS_PER_MILLISECOND_OF_REST;
    }
    atomic_store_unseen(&heap->visitors, 0);
    leave(heap);
    return gave;
}

/* A thread that was at work since the visit was announced looks after its heap itself: another is
   announced. The announcement is a read-modify-write, which every processor sees at once; the delay
   begins after it, by a clock that does not lag. */
static bool is_due(struct heap *heap, uint64_t now) {
    uint32_t count = atomic_load_relaxed(&heap->seqcount);
    if ((count & 1) != 0) return false;
    if (count != heap->visit_seen || atomic_load_relaxed(&heap->visit) == VISIT_NONE) {
        uint64_t delay = ro.options.purge_delay_ms;
        heap->visit_seen = count;
        atomic_or_acq_rel(&heap->visit, VISIT_ANNOUNCED); /* pairs with heap_enter_busy */
        heap->visit_at =
            os_milliseconds_exactly() + (delay > ANNOUNCED_MIN ? delay : ANNOUNCED_MIN);
        return false;
    }
    return now >= heap->visit_at;
}

/* Under the lock. */
static bool visit_some(struct heap *heap, enum visit how) {
    struct heap_pool *pool = ro.pool;
    /* as many as there is memory for, whatever the count says */
    size_t mapped = atomic_load_relaxed(&pool->heaps.mapped) / HEAP_SIZE;
    uint32_t made = atomic_load_relaxed(&pool->made);
    if (made > mapped) made = (uint32_t)mapped;
    bool gave = false, all = how == VISIT_ALL;
    uint32_t steps = all || made < HEAPS_PER_STEP ? made : HEAPS_PER_STEP;
    for (uint32_t i = 0; i < steps && (all || !gave); i++) {
        uint32_t index = pool->visit_next < made ? pool->visit_next : 0;
        pool->visit_next = index + 1;
        struct heap *other = heap_at(index);
        if (other == heap || index == HEAP_LATE || atomic_load_relaxed(&other->segments) == 0)
            continue;
        if (is_due(other, heap->now)) gave |= visit(other, heap->now, how);
        /* a step of a walk that is not over is followed by the next */
        if (gave && !all) pool->visit_next = index;
    }
    return gave;
}

bool heap_visit_others(struct heap *heap, enum visit how) {
    /* The order of a thread's plain stores is not for a checker of races to see. */
    if (PLAIN_IS_JUDGED || atomic_load_relaxed(&ro.pool->made) < 2) return false;
    if (!locks_try(LOCK_VISITS)) return false;
    bool gave = visit_some(heap, how);
    locks_release(LOCK_VISITS);
    return gave;
}
