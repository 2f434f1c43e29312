/*
 * heap: a thread's pages.
 *
 * A heap is owned by one thread, or by nobody: heap 0, the late heap, serves threads whose exit
 * hook has run, and those for which there is no heap left; it is used under a lock, and every free
 * into it is a remote free. Fields are touched by the owner alone, but for those that say atomic,
 * and by a visitor in its place.
 *
 * Invariants: a page is in the queue of its class, or set aside because it was full; direct[w] is
 * the first page of the queue that serves w granules, or page_empty; every segment whose owner word
 * names the heap is in lists[index & 63]. `seqcount` is odd inside a generic path: a call
 * that finds it odd comes from a signal handler. Who visits the heap of a thread that sleeps is
 * inside too, in place of its thread.
 */
#ifndef MOAT_HEAP_H
#define MOAT_HEAP_H

#include "heap/keeping.h"
#include "heap/remote.h"
#include "heap/segment.h"
#include "heap/usage.h"
#include "base/thread.h"

#define HEAP_SHIFT 12
#define HEAP_SIZE ((size_t)1 << HEAP_SHIFT)
#define HEAPS_MAX ((size_t)65536)
#define HEAP_LATE 0u /* index of the heap that is nobody's */

/* Whether another thread visits the heap (heap_visit.c). A thread that enters its heap stores
   `seqcount` before it looks here; it takes an announcement back, and waits for a visitor: a few
   system calls at most. */
enum visit_state {
    VISIT_NONE,
    VISIT_ANNOUNCED, /* one may come; its thread takes it back when it enters */
    VISIT_GOING_ON,  /* the visitor is inside, or finds that the thread is, and leaves */
    VISIT_AWAITED,   /* and the thread waits for it to leave */
    VISIT_LEFT       /* in a forked child: the visitor did not come along */
};

/* Whether a heap has memory to grow by. */
enum shortage {
    SHORTAGE_NONE,
    /* none could be had at the last try: pages set aside come back with their first block */
    SHORTAGE_MET,
    /* and all that was unused was given back since: what changed after that is found without a walk
       over all segments (heap_scour) */
    SHORTAGE_SCOURED
};

/* Slots in use that a heap may have more, and not have told; and fewer: a large page that comes and
   goes is not told each time. */
#define USED_UNTOLD 16u
#define LESS_UNTOLD (USED_UNTOLD + (uint32_t)SLOTS_PER_SEGMENT)

/* Where a purge walk stands: 0..63 a list of the heap's segments, then what is abandoned, then
   nowhere. */
#define PURGE_ABANDONED 64u
#define PURGE_IDLE 65u

/* Of the strict level: see quarantine.h. */
#define QUARANTINE_MAX 192u
#define DRAWN_MAX 16u
struct quarantine {
    size_t bytes;
    uint32_t count;
    uint32_t drawn_count;
    uintptr_t blocks[QUARANTINE_MAX]; /* the first `count` of them */
    uintptr_t drawn[DRAWN_MAX];       /* likewise: let go soon; none where `blocks` has none */
};

/* Whether the purge walk is in step with what is taken: see heap_is_in_step. */
struct in_step {
    bool is_on;         /* memory was taken beside what lies idle, and the walk goes on */
    bool gave;          /* the walk gave memory back, or did not begin in step */
    uint64_t rests;     /* the last one gave nothing: none before that, milliseconds, */
    int64_t rests_from; /* unless more units than this can be given back from here */
};

struct heap {
    struct owner owner; /* remote threads write it: a line of its own */
    MOAT_LINE struct page *direct[DIRECT_ENTRIES];
    struct list queues[SIZE_CLASSES];
    struct list lists[64];        /* its segments by index & 63 */
    uint64_t listed;              /* bit i: lists[i] has a segment */
    struct list open[OPEN_LISTS]; /* its segments with a free page */
    uint32_t seqcount;            /* atomic: odd: its thread is inside a generic path */
    uint32_t visit;               /* atomic: enum visit_state */
    uint32_t visit_seen;          /* seqcount when a visit was announced; visitors only, as: */
    uint32_t visit_rest;          /* milliseconds between visits that found nothing */
    uint64_t visit_at;            /* milliseconds: no visit before that */
    bool was_visited;             /* ever; atomic */
    uint32_t visitors;            /* atomic: inside now; only assertions look */
    uint32_t index;               /* in the heap table */
    uint32_t next_free;           /* atomic, of the pool: next unused heap, 0: none */
    uint32_t exit_rounds;         /* times the exit hook has run */
    uint32_t trims_seen;          /* of pool->trims */
    uint32_t refills;             /* of paths that go on without a tick, and tick now and then */
    uint32_t generic_calls;       /* to look at the clock now and then */
    int32_t frees_to_look;        /* of what others own, or nobody, likewise */
    uint32_t events;              /* of pages, likewise */
    uint32_t purge_list;          /* where the purge walk stands, see PURGE_ABANDONED */
    uint32_t purge_segment;       /* the next segment of that list to look at; 0: its first */
    bool purge_gave;              /* its last step gave memory back */
    uint8_t shortage;             /* enum shortage */
    bool wants_pages;             /* no segment could be had since: inherited pages serve, too */
    bool cannot_grow;             /* for this call: its caller has just failed to get a segment */
    uintptr_t outside_word;       /* the thread's word outside the generic path it is in */
    uintptr_t thread;             /* thread_identity() of the owner, 0: none */
    int32_t clock;                /* the C library's number for the owner's clock; 0: not known */
    uint64_t now;                 /* milliseconds at the last look at the clock */
    uint64_t purge_at;            /* when the next purge walk is due */
    struct in_step in_step;
    struct keeping keeping;   /* of unused pages and empty segments */
    uint32_t kept;            /* units of it that the purge walk has left */
    uint32_t used;            /* slots of its segments' pages in use */
    uint32_t idle;            /* slots of dirty ones: see struct segment */
    uint32_t told, told_idle; /* of these what `usage` has */
    uint32_t tell_from;       /* so many in use are told at once; and fewer than: */
    uint32_t tell_below;
    uint32_t fresh;      /* slots taken since whose memory was not at hand */
    uint32_t segments;   /* owned */
    uint32_t purge_set;  /* of what is abandoned: enum abandoned_set */
    uint32_t purge_from; /* where the purge walk over what is abandoned stands */
    uint32_t adopt_from; /* where to look for abandoned segments next */
    struct quarantine quarantine;
    uint64_t until_sample; /* allocations until the next sample, that one included; 0: not drawn */
    uint64_t chances;      /* of the strict level: random bits that were not used yet, */
    uint32_t chances_left; /* and how many */
};

static_assert(sizeof(struct heap) <= HEAP_SIZE, "a heap has HEAP_SIZE bytes");
static_assert(HEAP_SIZE == OWNER_FLAGS + 1, "a heap's address leaves the owner word's flags clear");

/* A heap's random generator, in memory that the kernel wipes on fork. */
struct heap_random {
    struct random random;
    uint64_t fork_mark; /* of heap 0: ro.fork_mark */
    char unused[256 - sizeof(struct random) - sizeof(uint64_t)];
};

MOAT_INLINE struct heap *heap_at(uint32_t index) {
    return (struct heap *)(ro.heaps_base + ((uintptr_t)index << HEAP_SHIFT));
}
MOAT_INLINE struct random *heap_random(const struct heap *heap) {
    return &ro.randoms[heap->index].random;
}

/* Of the strict level, which draws often: a number below the bound, 2^16 at most, out of 16 bits
   for small bounds and 24 for others. Each number has the same chance but for bound / 2^16 or 2^24.
   */
MOAT_INLINE uint32_t heap_draw(struct heap *heap, uint32_t bound) {
    unsigned bits = bound <= 256 ? 16 : 24;
    if (heap->chances_left < bits) {
        heap->chances = random_next(heap_random(heap));
        heap->chances_left = 64;
    }
    uint64_t drawn = heap->chances & low_mask(bits);
    heap->chances >>= bits;
    heap->chances_left -= bits;
    return (uint32_t)(drawn * bound >> bits);
}

/* Whether a word is the address of a heap: range and alignment in one compare. */
MOAT_INLINE bool is_heap(uintptr_t word) {
    return rotr64(word - ro_load(heaps_base), HEAP_SHIFT) < ro_load(heaps_max);
}

/* The mark of a thread whose exit hook has run: whoever overwrites a thread's word cannot tell. */
#define THREAD_ENDED (ro.thread_ended)
/* Whether a word that is no heap is right, outside the allocator. */
MOAT_INLINE bool thread_may_lack_heap(uintptr_t word) {
    return word == THREAD_NEW || word == THREAD_ENDED || thread_is_early(word);
}

/* The running thread's heap; NULL before its first allocation, after its exit hook, or if its word
   was overwritten. */
MOAT_INLINE struct heap *heap_of_thread(void) {
    uintptr_t word = thread_word();
    return MOAT_LIKELY(is_heap(word)) ? (struct heap *)word : NULL;
}

/* The page that malloc takes a block of up to DIRECT_MAX bytes from, or page_empty; for size 0
   always that. */
MOAT_INLINE struct page *heap_direct_page(const struct heap *heap, size_t size) {
    return heap->direct[(size + GRANULE - 1) >> GRANULE_SHIFT];
}

/* Bracket the fast paths: the thread's own heap, nobody else's. */
MOAT_INLINE void heap_enter_fast(void) {
    if (HARDENED_BUSY) thread_mark_busy();
}
MOAT_INLINE void heap_leave_fast(const struct heap *heap) {
    if (HARDENED_BUSY) thread_leave((uintptr_t)heap);
}

/* Bracket every generic path of a heap: the thread is busy, and `seqcount` odd. heap_leave gives
   the thread its word back: heap_enter notes what it is, heap_enter_busy is told. */
MOAT_NORETURN MOAT_COLD void heap_report_reentry(void);
void heap_enter(struct heap *heap);
void heap_enter_busy(struct heap *heap, uintptr_t outside);
void heap_leave(struct heap *heap);

/* Calls that may go on without a look at wake-ups and the clock, a power of two. */
#define CALLS_PER_TICK 8u

/* What the search would find, as long as nothing else is due: the first page of the class, if it
   has a block that needs no claim. What others have freed there waits until there is none, or a
   call that searches comes by. For smaller blocks the fast path has seen that there is none, and
   larger ones are carved one by one. NULL: search. Not at the strict level. Inside enter/leave. */
MOAT_INLINE struct page *heap_page_at_hand(struct heap *heap, uint32_t size_class) {
    uint32_t first = heap->queues[size_class].first;
    if (size_class <= size_class_of(DIRECT_MAX) || size_class > size_class_of(MEDIUM_MAX) ||
        first == 0 || heap->purge_gave)
        return NULL;
    struct page *page = page_at(first);
    if (page->inherited || ++heap->refills % CALLS_PER_TICK == 0) return NULL;
    if (page->free_count != 0) return page;
    if (page_returned(page) == 0 || page_has_claims(page)) return NULL;
    page_take_returned(page);
    return page;
}

/* Generic allocation of a class: wakes, collects, searches, carves, adopts, grows. NULL: out of
   memory. Inside enter/leave. */
struct page *heap_find_page(struct heap *heap, uint32_t size_class);
/* A local free counted down to the event of its page: the page joins its queue again, or is given
   back. Inside the fast path's bracket, which it leaves. */
MOAT_COLD void heap_page_event(struct heap *heap, struct page *page);
/* The clock and what is due: wakes, purges. Inside enter/leave. */
void heap_tick(struct heap *heap);

/* What page_local_heap() says of the heap's small pages: frees by its thread are local. Of the late
   heap's they never are, since it is nobody's; nor at the strict level. */
MOAT_INLINE uintptr_t heap_local_word(const struct heap *heap) {
    return heap->index != HEAP_LATE && !ro_is_strict() ? (uintptr_t)heap : 0;
}
MOAT_INLINE void heap_own_page(const struct heap *heap, struct page *page) {
    page_give_to(page, heap_local_word(heap));
}

/* heap_queue.c: pages in queues. Inside enter/leave. */
void heap_queue_push(struct heap *heap, struct page *page, bool front);
void heap_queue_remove(struct heap *heap, struct page *page);
/* A page that was set aside goes to the end of its queue, with what was freed into it. */
void heap_queue_rejoin(struct heap *heap, struct page *page);
/* In a forked child, of a page of its thread's heap, which is at rest and is polled soon: see
   page->inherited. */
void heap_queue_inherit(struct heap *heap, struct page *page);
/* Whether an inherited page stays unused. Not where pages are wanted: that a huge block could not
   be had is no reason. */
MOAT_INLINE bool heap_leaves_alone(const struct heap *heap, const struct page *page) {
    int32_t used = page_used(page);
    return !heap->wants_pages && (used == 0 || used > page_few_left(page));
}
/* The process's own from now on. */
void heap_queue_take_over(struct heap *heap, struct page *page);
/* No segment could be had for a page. What was scoured before is scoured again, with inherited
   pages. */
MOAT_INLINE void heap_want_pages(struct heap *heap) {
    heap->wants_pages = true;
    heap->shortage = SHORTAGE_MET;
}
/* Whether a page of a queue stays when it is empty. */
bool heap_queue_keeps(const struct heap *heap, const struct page *page);
/* Sets what a page of a queue is watched for. */
void heap_queue_watch(const struct heap *heap, struct page *page);
/* A heap all of whose segments are gone has no pages either. */
void heap_forget_pages(struct heap *heap);
/* Whatever it had: of a heap that is new, or whose thread did not survive a fork. */
void heap_reset(struct heap *heap);

/* Slots of some pages of a segment. */
MOAT_INLINE uint32_t segment_slots(const struct segment *segment, uint32_t pages) {
    return pages << page_kind_shift(owner_page_kind(atomic_load_relaxed(&segment->owner)));
}
MOAT_INLINE uint32_t segment_dirty_slots(const struct segment *segment) {
    return segment_slots(segment, popcount64(segment->dirty));
}

/* heap_list.c: which lists a segment stands in. Inside enter/leave. */
void heap_list_add(struct heap *heap, struct segment *segment);
void heap_list_remove(struct heap *heap, struct segment *segment);
/* The list of open segments it belongs to now, after its pages changed. */
void heap_update_open(struct heap *heap, struct segment *segment);
/* An open segment of the class's kind; of the first few one that has a slot of the class, else one
   that has a slot never used. NULL: none is open. */
struct segment *heap_find_open(struct heap *heap, uint32_t size_class);
/* Gives an unused page back to its segment. */
void heap_release_page(struct heap *heap, struct page *page);
/* The same of one that is in no queue. */
void heap_end_page(struct heap *heap, struct segment *segment, struct page *page);
/* Whether a limit may end the memory of this process before the machine's ends. */
bool heap_is_limited(void);
/* There is no memory for more of the segment: it is in no list of open ones until one of its pages
   comes back, and is given back if it has none. */
void heap_close_segment(struct heap *heap, struct segment *segment);

/* heap_abandon.c: segments change hands. Inside enter/leave. */
/* Makes a segment whose owner word was just won part of the heap; `seen`: the word before. */
void heap_adopt(struct heap *heap, struct segment *segment, uint64_t seen);
/* Looks for one abandoned segment that has room for the class, or has no pages, and adopts it. */
bool heap_adopt_one(struct heap *heap, uint32_t size_class);
/* Everything the heap has becomes abandoned; the heap is empty afterwards. */
void heap_abandon(struct heap *heap);
/* Leaves empty segments beyond one to whoever needs one, some at a time. At the end of generic
   paths that may have made some: no list may be walked. */
void heap_shed_empty(struct heap *heap);
/* Collects an abandoned segment as `heap` without keeping it: empty, it is given back, else
   abandoned again. True if memory went back. */
bool segment_sweep(struct heap *heap, uint32_t index, bool force, uint64_t now);

/* heap_visit.c: heaps of threads that sleep. Inside enter/leave of another heap. */
/* Gives back what heaps whose threads are not at work hold unused, as far as nobody but their
   threads' generic paths touches it. True if memory went back. */
enum visit {
    VISIT_DUE, /* some heaps, if they are due, what has waited for the purge delay */
    VISIT_ALL  /* all of it, of all heaps whose visit has been announced long enough */
};
bool heap_visit_others(struct heap *heap, enum visit how);
/* A visitor's part for a segment of the heap it visits: pages all of whose blocks were freed by
   others are ended. */
void heap_end_given_up(struct heap *heap, struct segment *segment);
/* The thread enters its heap, which a visitor may be in. */
MOAT_COLD void heap_enter_announced(struct heap *heap);
/* A hook (see src/README.md). In a forked child: whoever visited the heap did not come along. Its
   pages are left as a gone thread's are, by its own thread. */
MOAT_COLD void fork_free_heap(struct heap *heap);

/* For who frees what others own, or blocks that nobody owns, now and then: what heap_tick does for
   one that allocates. Waits for nobody. heap: the running thread's, or NULL. Outside every heap. */
MOAT_COLD void heap_keep_house(struct heap *heap);

/* heap_wake.c: pages set aside that have claims join their queues; so many, or some more. What is
   left waits for the next call. Inside enter/leave. */
void heap_follow_wakes(struct heap *heap, size_t most);
/* Each takes up to half a microsecond, and all pages of a heap may wait: in a forked child they do.
   The next poll comes before the heap has used up what these have. */
#define WAKES_PER_POLL ((size_t)128)
MOAT_INLINE void heap_poll(struct heap *heap) {
    if (atomic_load_relaxed(&heap->owner.wake) != 0) heap_follow_wakes(heap, WAKES_PER_POLL);
}
/* For who looks at everything. */
MOAT_INLINE void heap_poll_all(struct heap *heap) {
    if (atomic_load_relaxed(&heap->owner.wake) != 0) heap_follow_wakes(heap, SIZE_MAX);
}
/* What was told of the segment so far leads nowhere any more: its owner looks at every page now. */
void heap_forget_wakes(struct segment *segment);

/* heap_purge.c: unused memory goes back. Inside enter/leave. */
/* When memory that is given up now is due, milliseconds. */
MOAT_INLINE uint64_t heap_purge_time(uint64_t now) { return now + ro.options.purge_delay_ms; }
/* One step of the walk that gives unused memory back; `force`: all of it, whatever the time. True
   if memory went back. */
bool heap_purge(struct heap *heap, bool force);
/* The same of what is nobody's: cached huge runs, and what tables hold of free segments. */
bool heap_purge_shared(bool force, uint64_t now);
/* For an allocation that found no memory: gives back what this heap, the late heap, ended threads
   and the cache of huge blocks hold unused, and takes back what waits in pages set aside. The first
   time by a walk over everything; from then on, as long as memory is short, in some hundred steps
   and one for each thing that changed. False: nothing has changed since, and a second try would
   fail. */
bool heap_scour(struct heap *heap);
/* A page was made in a segment of the heap: out of memory that waited to go back, or not. */
void heap_note_page(struct heap *heap, const struct segment *segment, enum page_kind kind,
                    bool was_dirty);
/* usage.h learns of what the heap uses, and of what lies idle there. */
void heap_tell(struct heap *heap);
MOAT_INLINE void heap_tell_less_idle(struct heap *heap) {
    if (heap->idle + USED_UNTOLD <= heap->told_idle) heap_tell(heap);
}
MOAT_INLINE void heap_tell_less(struct heap *heap) {
    if (MOAT_UNLIKELY(heap->used < heap->tell_below)) heap_tell(heap);
}

/* heap_step.c: memory goes back in step with what is taken, while more lies idle than may: see
   usage.h. Inside enter/leave, but for the last. */
/* Whether memory goes back whatever the time, until no more lies idle than may. */
MOAT_INLINE bool heap_is_in_step(const struct heap *heap) {
    return MOAT_UNLIKELY(heap->in_step.is_on) && usage_has_surplus(heap->now);
}
/* The heap took memory that was not at hand, while more lies idle than may: a purge walk in step
   begins, if one may. */
MOAT_COLD void heap_step_begin(struct heap *heap);
/* The purge walk has come to its end. `gave`: its last step gave memory back. */
void heap_step_end(struct heap *heap, bool gave);
/* So many bytes were taken for a huge block that were not at hand, while more lies idle than may:
   about as much goes back, of this heap or of nobody. Outside every heap. */
MOAT_COLD void heap_make_up(size_t bytes);
/* The heap is about to leave everything. */
void heap_tell_end(struct heap *heap);
/* usage->left learns of a segment that is about to be abandoned, or was taken up. Most are of a
   short thread, and have nothing that could go back. */
void heap_count_left(const struct segment *segment, bool taken);
MOAT_INLINE void heap_note_left(const struct segment *segment, enum page_kind kind, bool taken) {
    if (MOAT_UNLIKELY(segment->dirty != 0 || kind == PAGE_LARGE)) heap_count_left(segment, taken);
}
/* Whether the unused memory of a segment that an ended thread left, or leaves, is kept, though it
   is due. If not, it is given back. */
bool heap_keeps_left(const struct segment *segment, uint64_t now);
/* The part of the walk over the heap's own segments; false when it stopped before the end, to go on
   another time. */
bool heap_purge_lists(struct heap *heap, unsigned walk, bool *gave);
/* How it goes. */
#define WALK_ALL 1u   /* to the end, from the start */
#define WALK_NOW 2u   /* whatever the time */
#define WALK_VISIT 4u /* by another thread than the heap's */
/* Gives back all that the heap alone has and does not use. */
void heap_purge_own(struct heap *heap);
/* Asks every other heap to give its unused memory back when its thread next ticks, some calls later
   at most: nobody else may touch its pages. */
void heap_ask_for_trim(struct heap *heap);

/* heap_pool.c: heaps for threads. So many there may be whatever the limits, and the late one. */
#define HEAPS_IN_ANY_CASE 8u
struct heap_pool {
    /* atomic: low half: heaps returned, 0: none; high half: times one was taken */
    uint64_t free_heaps;
    struct table heaps; /* their memory, and that of their generators; under the lock */
    struct table randoms;
    /* heaps ever made, the late heap included; atomic, written under the lock */
    uint32_t made;
    uint32_t mapped;  /* heaps that both tables are mapped for */
    uint32_t refused; /* atomic: times a thread had to do without since there was a limit */
    /* atomic: times somebody asked every heap to give back what it does not use */
    uint32_t trims;
    /* atomic: 1: what ended threads left has been swept by force, and nothing has changed there
       since, neither by an abandoned segment more nor by a free into one */
    uint32_t swept;
    struct keeping keeping; /* of what ended threads left */
    uint32_t visit_next;    /* the heap to visit next; under LOCK_VISITS */
    size_t lock_count;
};
/* Creates the late heap; called once by init. False: no memory. */
bool heap_pool_init(void);
/* After a change of what nobody owns, by an atomic read-modify-write: who is short of memory looks
   there again. heap_scour sets its mark, has a barrier on every thread, and looks. */
MOAT_INLINE void heap_note_abandoned(void) {
    if (MOAT_UNLIKELY(atomic_load_relaxed(&ro.pool->swept) != 0))
        atomic_store_relaxed(&ro.pool->swept, 0);
}
/* Enters the thread's heap, made if it has none; or the late heap, locked. heap_release leaves it,
   and unlocks the late heap. */
struct heap *heap_acquire(void);
void heap_release(struct heap *heap);
/* Enters the late heap, locked, though the thread may have a heap of its own, or be in its own; not
   in the late one. heap_release leaves it. */
struct heap *heap_acquire_late(void);
/* The same unless somebody uses it: NULL. */
struct heap *heap_try_late(void);
/* What the exit hook does at its last round. */
void heap_thread_end(struct heap *heap);
/* In a forked child, outside: the C library's number of its thread's clock is another one. */
void heap_learn_clock(void);

/* In a forked child: which heaps go on (see process/fork.c). */
struct survivors {
    const struct heap *heap; /* the one thread's; NULL: it has none */
    bool all;                /* it is not known which: every heap that a thread has */
    bool late;               /* nobody was inside the late heap */
};
MOAT_INLINE bool heap_is_visited(const struct heap *heap) {
    return atomic_load_relaxed(&heap->visit) >= VISIT_GOING_ON;
}
MOAT_INLINE bool heap_goes_on(const struct heap *heap, struct survivors survivors) {
    if (heap == heap_at(HEAP_LATE)) return survivors.late;
    if (survivors.all) return heap->thread != 0;
    /* who visited it was in the middle of a change */
    return heap == survivors.heap && !heap_is_visited(heap);
}
/* In a forked child, after whoever held the lock: more heaps are mapped, or not. */
void heap_pool_recover_tables(void);
/* A heap that no segment has any more becomes nobody's, as when it was made. */
void heap_disown(struct heap *heap, uint32_t index);
/* The same of a heap that is its thread's still, and whose visitor did not come along. */
void heap_leave_visited(struct heap *heap);
/* In a forked child, when no segment has a heap any more that does not go on: those lie ready
   again. Not if `all`: it is not known either whether one is in somebody's hand. */
void heap_pool_recover(struct survivors survivors);

bool heap_validate(const struct heap *heap);

#endif
