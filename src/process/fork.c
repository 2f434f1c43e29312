/*
 * fork: what a child makes of its parent's state.
 *
 * The forking thread holds every lock across the fork. In the child the maps are the truth: the
 * pages of threads that did not come along may have been caught between two steps, so their
 * segments become abandoned with the order to be rebuilt by whoever reclaims them; those whose
 * owner stood inside a generic path (odd seqcount) stay as orphans, whose blocks can be freed but
 * are not used again. A remote free may have been caught between its claim and its mark in
 * `pending`: every page of a surviving heap gets all marks, and collects what is there. Generators
 * were wiped by the kernel and seed themselves anew.
 */
#include <pthread.h>

#include "os/os.h"
#include "process/init.h"
#include "process/state.h"

#define PENDING_ALL (PENDING_FULL - 1)

/* A signal handler that interrupted a generic path of this thread, which may hold any of the locks:
   its child does as after _Fork. */
static bool is_left_alone(void) { return !ro_is_started() || thread_word() == THREAD_BUSY; }

static void before_fork(void) {
    if (is_left_alone()) return;
    locks_acquire_all();
}

static void after_fork_in_parent(void) {
    if (is_left_alone()) return;
    locks_release_all();
}

/* Claims without their mark, and marks without their wake-up, are found by the next collect or
   poll. */
static void mark_everything(struct segment *segment, enum page_kind kind) {
    uint64_t slots = segment_pages_in_use(segment, kind), woken = 0;
    for (uint64_t rest = slots; rest != 0; rest &= rest - 1) {
        struct page *page = segment_page(segment, low_bit(rest));
        atomic_store_relaxed(&page->pending, PENDING_ALL);
        woken |= rest & -rest; /* the poll passes over pages that are not full */
    }
    atomic_store_relaxed(&segment->woken, woken);
    struct owner *heap = owner_heap(atomic_load_relaxed(&segment->owner));
    atomic_or_relaxed(&heap->wake, bit64(segment_index(segment)));
}

/* Whose thread is gone has no local frees any more: another thread may get the heap. All slots,
   since a page may have been caught while it was made or unmade. */
static void disown_pages(const struct segment *segment) {
    for (unsigned slot = 0; slot < SLOTS_PER_SEGMENT; slot++) {
        const struct page *page = segment_page(segment, slot);
        if (page_local_heap(page) != 0) page_give_to(page, 0);
    }
}

static bool is_intact(const struct heap *heap) { return (heap->seqcount & 1) == 0; }

/* Which heaps go on. Where handlers ran, or the child's first thread comes by, its own: however it
   stands, it is this thread that stands there. If the first to come by is a thread that the child
   has made meanwhile, the survivor's heap is one of those with a thread: none of them may be taken
   away, though the heaps of threads that are gone stay with them. */
struct survivors {
    bool all;
};

static bool goes_on(const struct heap *heap, struct survivors survivors) {
    if (heap->index == HEAP_LATE && heap->thread != thread_identity()) return is_intact(heap);
    return survivors.all ? heap->thread != 0 : heap->thread == thread_identity();
}

static void recover_segment(struct segment *segment, struct survivors survivors) {
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (!owner_has_pages(word) || (word & OWNER_ORPHAN)) return;
    enum page_kind kind = owner_page_kind(word);
    const struct heap *heap = (const struct heap *)owner_heap(word);
    if (heap != NULL && goes_on(heap, survivors)) {
        mark_everything(segment, kind);
        return;
    }
    if (heap != NULL) disown_pages(segment);
    if (heap != NULL && (!is_intact(heap) || !HARDENED_MAP)) {
        atomic_store_relaxed(&segment->owner, owner_word(OWNER_ORPHAN, kind));
        return;
    }
    /* nobody counted: who frees next and could be the last looks for itself */
    atomic_store_relaxed(&segment->remaining,
                         0); /* Without the live map there is nothing to rebuild
from: a build without HARDENED_MAP trusts what was abandoned as it stands. */
    uint64_t rebuild = HARDENED_MAP ? OWNER_REBUILD : 0;
    atomic_store_relaxed(&segment->owner, owner_word(OWNER_ABANDONED | rebuild, kind));
    abandoned_add((unsigned)kind, segment_index(segment));
}

/* Every heap that does not go on is free again. Not so if a handler forked that had interrupted
   this very thread inside the allocator: it may be about to take a heap, or to return its own; the
   child does without those nobody has. */
static void recover_heaps(struct survivors survivors, bool interrupted) {
    struct heap_pool *pool = ro.pool;
    uint32_t top = 0;
    for (uint32_t index = pool->made; index-- > 0;) {
        struct heap *heap = heap_at(index);
        if (goes_on(heap, survivors)) continue;
        heap_reset(heap);
        heap->seqcount = 0;
        heap->thread = 0;
        if (index == HEAP_LATE || interrupted) continue;
        heap->next_free = top;
        top = index;
    }
    pool->free_heaps = ((pool->free_heaps >> 32) + 1) << 32 | top;
}

static void recover_as(struct survivors survivors, bool interrupted, bool held_all_locks) {
    if (!ro_is_started()) return;
    size_t words = round_up(ro.region->extent, 64) / 64;
    for (unsigned set = 0; set < ABANDONED_SETS; set++) {
        __builtin_memset(ro.abandoned[set].words, 0, words * sizeof(uint64_t));
        __builtin_memset(ro.abandoned[set].summary, 0, sizeof ro.abandoned[set].summary);
    }
    for (uint32_t word = 0; word * 64 < ro.region->extent; word++)
        for (uint64_t taken = ro.region->taken[word]; taken != 0; taken &= taken - 1) {
            uint32_t index = word * 64 + low_bit(taken);
            if (index < ro.region->extent) recover_segment(segment_at(index), survivors);
        }
    recover_heaps(survivors, interrupted);
    heap_pool_recover();
    zero_size_recover();
    for (uint32_t i = 0; i < ro.pool->mapped; i++)
        __builtin_memset(&ro.randoms[i], 0, sizeof(struct random));
    /* its holder may have been caught between two steps of a change */
    if (!held_all_locks && ro.locks[LOCK_HUGE_CACHE].word != 0) huge_forget_cache();
    locks_reset_all();
    atomic_store_release(ro.fork_mark, FORK_RECOVERED); /* pairs with alloc_is_ready */
}

/* A handler that comes now must not meet what is half recovered: the thread is busy. */
static void recover(void) {
    uintptr_t outside = thread_enter();
    bool interrupted = outside == THREAD_BUSY; /* then before_fork took no locks */
    recover_as((struct survivors){.all = false}, interrupted, !interrupted);
    thread_leave(outside);
}

bool fork_register(void) {
    static bool registered;
    if (!registered) registered = pthread_atfork(before_fork, after_fork_in_parent, recover) == 0;
    return registered;
}

/* A program's own handlers must be registered after these: run before them they may allocate, and
   hold locks that a thread inside moat waits for. So the first malloc, which may come late, is not
   waited for. */
__attribute__((constructor(101))) static void register_early(void) { (void)fork_register(); }

/* A child made by _Fork or clone has run no handlers, but the kernel wiped the mark. A lock may be
   held by a thread that is gone. */
void fork_recover(void) {
    uintptr_t outside = thread_enter();
    uint64_t wiped = FORK_WIPED;
    /* pairs with the store at the end of recover_as */
    if (atomic_cas_acquire(ro.fork_mark, &wiped, FORK_RECOVERING))
        recover_as((struct survivors){.all = os_thread_id() != os_process_id()},
                   outside == THREAD_BUSY, false);
    else
        /* pairs likewise */
        while (atomic_load_acquire(ro.fork_mark) == FORK_RECOVERING) os_yield();
    thread_leave(outside);
}
