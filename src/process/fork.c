/*
 * fork: what a child makes of its parent's state.
 *
 * No lock is held across a fork: whatever the order, it would cross one of the C library's, which
 * are held by threads that wait for moat. The child puts in order what it finds. It may rest on
 * this: the kernel gives it a consistent cut. Other threads stop at their first write to a page
 * that was copied, until all are; so of each thread the child has what it did before some
 * instruction, and nothing after it, and nothing that followed from what it has not (doc/design.md,
 * "A forked child"; test/field/fork_cut.c).
 *
 * So what a lock guards is at rest if the lock is free; else any of the stores under it may be
 * missing, and its file makes it anew. What owner words, maps and the cache of huge runs name is
 * somebody's; every other segment was on its way in the hands of a thread that is gone, and is
 * taken back. Segments of such a thread become abandoned with the order to be rebuilt from the maps
 * by whoever reclaims them: the thread may have been anywhere in them. A remote free may have been
 * caught between its claim and its mark in `pending`: every page of a surviving heap gets all
 * marks, and collects what is there.
 *
 * The kernel wipes the generators and, with them, fork_mark: the child knows by it that it has to
 * do all this, at its first call that leaves the fast paths, or in the handler of fork if that
 * comes first. A thread that is inside the allocator meanwhile (a signal handler has forked) goes
 * on with what it has in hand; it only frees locks that it needs. Everything here may be cut off by
 * another fork at any point, and begun anew in that child.
 */
#include <pthread.h>

#include "heap/quarantine.h"
#include "heap/strict_page.h"
#include "os/os.h"
#include "process/init.h"
#include "process/state.h"

#define PENDING_ALL (PENDING_FULL - 1)

/* Claims without their mark, and marks without their wake-up, are found by the next collect or
   poll. */
static void mark_everything(struct segment *segment, enum page_kind kind, struct heap *survivor) {
    uint64_t slots = segment_pages_in_use(segment, kind), woken = 0;
    for (uint64_t rest = slots; rest != 0; rest &= rest - 1) {
        struct page *page = segment_page(segment, low_bit(rest));
        if (survivor != NULL) heap_queue_inherit(survivor, page);
        atomic_store_relaxed(&page->pending, PENDING_ALL);
        woken |= rest & -rest; /* the poll passes over pages that are not full */
    }
    atomic_store_relaxed(&segment->woken, woken);
    wake_segment(owner_heap(atomic_load_relaxed(&segment->owner)), segment_index(segment));
}

/* Whose thread is gone has no local frees any more: another thread may get the heap. All slots,
   since a page may have been caught while it was made or unmade. */
static void disown_pages(const struct segment *segment) {
    for (unsigned slot = 0; slot < SLOTS_PER_SEGMENT; slot++) {
        const struct page *page = segment_page(segment, slot);
        if (page_local_heap(page) != 0) page_give_to(page, 0);
    }
}

/* Strict level: the survivor's quarantine was emptied, and the others are gone. */
static void release_claims(struct segment *segment, enum page_kind kind) {
    for (uint64_t slots = segment_page_slots(kind); slots != 0; slots &= slots - 1) {
        unsigned slot = low_bit(slots);
        strict_page_release_all(segment_page(segment, slot),
                                segment_start(segment) + slot * SLOT_SIZE,
                                segment_page_bytes(segment, kind, slot));
    }
}

/* A segment with pages whose heap does not go on, or that has none, becomes abandoned. */
static void leave_pages(struct segment *segment, uint64_t word) {
    enum page_kind kind = owner_page_kind(word);
    const struct heap *heap = (const struct heap *)owner_heap(word);
    if (heap != NULL) disown_pages(segment);
    if (heap != NULL && !HARDENED_MAP && ((heap->seqcount & 1) != 0 || heap_is_visited(heap))) {
        atomic_store_relaxed(&segment->owner, owner_word(OWNER_ORPHAN, kind));
        return;
    }
    /* nobody counted: who frees next and could be the last looks for itself */
    atomic_store_relaxed(&segment->remaining, 0);
    /* A build without HARDENED_MAP has nothing to rebuild from, and trusts what was abandoned as it
       stands. */
    uint64_t rebuild = HARDENED_MAP ? OWNER_REBUILD : 0;
    /* pairs with segment_reclaim */
    atomic_store_release(&segment->owner, owner_word(OWNER_ABANDONED | rebuild, kind));
    abandoned_add((unsigned)kind, segment_index(segment));
}

/* Of a segment with pages. */
static void recover_pages(struct segment *segment, uint64_t word, struct survivors survivors) {
    if (word & OWNER_ORPHAN) return;
    enum page_kind kind = owner_page_kind(word);
    if (ro_is_strict() && !survivors.all) release_claims(segment, kind);
    const struct heap *heap = (const struct heap *)owner_heap(word);
    bool is_known = !survivors.all && heap == survivors.heap;
    if (heap != NULL && heap_goes_on(heap, survivors))
        mark_everything(segment, kind, is_known ? heap_at(heap->index) : NULL);
    else
        leave_pages(segment, word);
}

/* What the walk over all taken segments knows, and finds. */
struct walk {
    struct survivors survivors;
    size_t committed, splits, rests; /* see struct region */
    size_t runs;                     /* see struct usage */
    const struct heap *left;         /* whose pages are left alone */
};

static void count_run(struct walk *walk, const struct guarded *guarded) {
    walk->committed += guard_reach(guarded);
    walk->splits += guard_splits(guarded);
}

/* Returns how many segments are somebody's from here on; 0: not even this one. */
static uint32_t recover_segment(struct segment *segment, struct walk *walk) {
    uint64_t word = atomic_load_relaxed(&segment->owner);
    struct guarded guarded = {popcount64(segment->usable) * SLOT_SIZE, 1, segment->means, false, 0};
    switch (owner_kind(word)) {
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE:
        recover_pages(segment, word, walk->survivors);
        count_run(walk, &guarded);
        return 1;
    case OWNER_ZERO_SIZE:
        if (!walk->survivors.all) zero_size_recover_segment(segment_index(segment));
        return 1;
    case OWNER_SAMPLES:
        return walk->survivors.all || sample_recover(segment, &walk->committed, &walk->splits);
    case OWNER_UNUSED:
    case OWNER_HUGE:
    case OWNER_FREEING:
    case OWNER_FREED: break;
    }
    if (!huge_find_run(segment, &guarded)) return 0;
    count_run(walk, &guarded);
    walk->runs += guard_reach(&guarded);
    if (owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_HUGE)
        walk->rests += guarded.rest; /* no cached ones */
    return guarded.run;
}

/* Calls `visit` for each taken segment, in order, and goes on behind as many as it returns. */
static void for_each_taken(struct walk *walk, uint32_t (*visit)(struct walk *, uint32_t)) {
    uint32_t next = 0;
    for (uint32_t word = 0; word * 64 < ro.region->extent; word++)
        for (uint64_t taken = ro.region->taken[word]; taken != 0; taken &= taken - 1) {
            uint32_t index = word * 64 + low_bit(taken);
            if (index >= next && index < ro.region->extent) next = index + visit(walk, index);
        }
}

/* First of all: what moved comes back before the place it moved to is taken back. */
static uint32_t settle_huge(struct walk *walk, uint32_t index) {
    (void)walk;
    huge_recover(segment_at(index));
    return 1;
}

static uint32_t settle_segment(struct walk *walk, uint32_t index) {
    uint32_t count = recover_segment(segment_at(index), walk);
    if (count != 0) return count;
    /* While it is not known who survives, what is nobody's may be in the survivor's hand. */
    if (!walk->survivors.all) (void)region_take_back(index);
    return 1;
}

/* A page that a child writes to is copied, which takes longer than all that is done with it here:
   what is as it should be is not stored again. */
static void clear_words(uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (words[i] != 0) words[i] = 0;
}

static void forget_abandoned(void) {
    size_t words = round_up(ro.region->extent, 64) / 64;
    for (unsigned set = 0; set < ABANDONED_SETS; set++) {
        struct abandoned *abandoned = &ro.abandoned[set];
        clear_words(abandoned->words, words);
        clear_words(abandoned->summary, sizeof abandoned->summary / sizeof *abandoned->summary);
    }
}

static void recover_lock(enum lock_rank rank) {
    if (!locks_was_held(rank)) return;
    if (rank == LOCK_REGION) region_recover();
    if (rank == LOCK_HUGE_CACHE) huge_recover_cache();
    if (rank == LOCK_TRACES) trace_recover();
    if (rank == LOCK_POOL) heap_pool_recover_tables();
    locks_reset(rank);
}

static void settle_counts(const struct walk *walk) {
    struct region *region = ro.region;
    bool known = !walk->survivors.all;
    if (ro.usage->is_vague == known) ro.usage->is_vague = !known;
    if (known && atomic_load_relaxed(&region->committed) != walk->committed)
        atomic_store_relaxed(&region->committed, walk->committed);
    if (known && atomic_load_relaxed(&ro.usage->runs) != walk->runs)
        atomic_store_relaxed(&ro.usage->runs, walk->runs);
    if (known && atomic_load_relaxed(&region->splits) != walk->splits)
        atomic_store_relaxed(&region->splits, walk->splits);
    if (known && atomic_load_relaxed(&region->rests) != walk->rests)
        atomic_store_relaxed(&region->rests, walk->rests);
    if (region->memory_is_locked || region->memory_was_locked) /* a child's is not */
        region->memory_is_locked = region->memory_was_locked = region->lock_follows_use = false;
    guard_keep_limits();
}

/* Everything that is not in the hands of a survivor. */
MOAT_COLD static void recover_as(struct survivors survivors) {
    struct walk walk = {.survivors = survivors};
    if (atomic_load_relaxed(&moat_ending) != 0)
        atomic_store_relaxed(&moat_ending, 0); /* the parent is in a report */
    random_recover(ro.random_root);
    for (enum lock_rank rank = 0; rank < LOCKS; rank++) recover_lock(rank);
    region_recover_spare();
    forget_abandoned();
    usage_begin_child();
    if (!survivors.all && survivors.heap != NULL) {
        struct heap *heap = heap_at(survivors.heap->index);
        heap->chances_left = 0; /* the parent's */
        heap->wants_pages = false;
        quarantine_empty(heap);
    }
    if (!survivors.all) for_each_taken(&walk, settle_huge);
    for_each_taken(&walk, settle_segment);
    settle_counts(&walk);
    zero_size_recover();
    heap_pool_recover(survivors);
    for (uint32_t i = 0; i < ro.pool->mapped; i++)
        __builtin_memset(&ro.randoms[i], 0, sizeof(struct random));
    atomic_store_release(ro.fork_mark, ro_mark_recovered()); /* pairs with alloc_is_ready */
}

/* The child's one thread comes first, as a rule. If a thread does that it has made meanwhile, the
   survivor's heap is one of those that a thread has: none of them may be taken away. */
static struct survivors find_survivors(uintptr_t outside) {
    bool first = os_thread_id() == os_process_id();
    const struct heap *heap = is_heap(outside) ? (const struct heap *)outside : NULL;
    bool nobody = !locks_was_held(LOCK_LATE_HEAP) && heap_at(HEAP_LATE)->thread == 0;
    return (struct survivors){.heap = heap, .all = !first, .late = nobody};
}

void fork_recover(void) {
    uintptr_t outside = thread_enter(); /* a handler that comes now must not meet half of it */
    uint64_t wiped = FORK_WIPED;
    /* pairs with the store at the end of recover_as */
    if (atomic_cas_acquire(ro.fork_mark, &wiped, FORK_RECOVERING))
        recover_as(find_survivors(outside));
    else
        /* pairs likewise */
        while (atomic_load_acquire(ro.fork_mark) == FORK_RECOVERING) os_yield();
    thread_leave(outside);
    heap_learn_clock();
}

/* --- A lock, or a heap, that nobody is left to release ---------------------------------------- */

/* Nobody was inside but a thread that is gone. */
static uint32_t leave_heap(struct walk *walk, uint32_t index) {
    struct segment *segment = segment_at(index);
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (owner_has_pages(word) && owner_heap(word) == &walk->left->owner) leave_pages(segment, word);
    return 1;
}

static uint32_t settle_zero_size(struct walk *walk, uint32_t index) {
    (void)walk;
    if (owner_kind(atomic_load_relaxed(&segment_at(index)->owner)) == OWNER_ZERO_SIZE)
        zero_size_recover_segment(index);
    return 1;
}

/* The calling thread needs the lock, or its heap, now and is inside the allocator: what it has in
   hand is left alone, and the rest for its next call. False: another thread is at it. */
static bool begin_freeing(void) {
    uint64_t wiped = FORK_WIPED;
    /* pairs with the stores in end_freeing and recover_as */
    if (atomic_cas_acquire(ro.fork_mark, &wiped, FORK_RECOVERING)) return true;
    os_yield();
    return false;
}

static void end_freeing(void) {
    atomic_store_release(ro.fork_mark, FORK_WIPED); /* pairs with begin_freeing */
}

MOAT_COLD void fork_free_lock(enum lock_rank rank) {
    if (!begin_freeing()) return;
    struct heap *late = heap_at(HEAP_LATE);
    struct walk walk = {.survivors = {.heap = NULL, .all = true, .late = false}, .left = late};
    if (rank == LOCK_LATE_HEAP && locks_was_held(rank)) {
        for_each_taken(&walk, leave_heap);
        heap_disown(late, HEAP_LATE);
    }
    if (rank == LOCK_ZERO_SIZE && locks_was_held(rank)) for_each_taken(&walk, settle_zero_size);
    recover_lock(rank);
    end_freeing();
}

/* Where another thread has recovered the rest, others are at work: the segments are this thread's
   until it leaves them. */
void fork_free_heap(struct heap *heap) {
    bool is_left = atomic_load_relaxed(&heap->visit) == VISIT_LEFT;
    if (!is_left && !begin_freeing()) return;
    struct walk walk = {.survivors = {.heap = NULL, .all = true, .late = false}, .left = heap};
    quarantine_empty(heap); /* claims of others in its pages stay theirs */
    for_each_taken(&walk, leave_heap);
    heap_leave_visited(heap);
    if (!is_left) end_freeing();
}

/* --- The handler ----------------------------------------------------------------------------- */

/* Comes before the program's own, which may allocate. A thread that was inside the allocator
   puts the state in order when it comes next. */
static void after_fork_in_child(void) {
    if (!ro_is_started()) {
        if (thread_word() != THREAD_BUSY) init_forget();
        return;
    }
    /* A kernel before 4.14 has not wiped it. Else it says so already, or the C library has
       called on its way here: then all is done once more; pairs with alloc_is_ready */
    atomic_store_release(ro.fork_mark, FORK_WIPED);
    if (thread_word() != THREAD_BUSY) fork_recover();
}

/* Not at the first allocation, which may come while the C library registers another's. May allocate
   itself; where there is no memory for it, children find out by the mark. */
__attribute__((constructor(102))) static void register_handler(void) {
    thread_settle();
    (void)pthread_atfork(NULL, NULL, after_fork_in_child);
}
