/*
 * heap_pool: heaps for threads, and the exit hook that takes them back (contracts in heap.h).
 *
 * Heaps are never unmapped. Those that no thread has are a stack without a lock (drawn in
 * doc/design.md); the lock is for making new ones. Heap 0 is nobody's: whoever cannot have one of
 * their own uses it under its lock.
 */
#include <limits.h>
#include <pthread.h>

#include "heap/quarantine.h"
#include "meta/locks.h"
#include "os/os.h"

#define HEAPS_PER_STEP 8u
/* Rounds of destructors that a thread's heap lives through: one more than the one it is met in
   first. Each round it lived through in addition would lose the heap of a thread whose first
   allocation comes in so late a round that the C library does not call the hook often enough. */
#define EXIT_ROUNDS 2u

/* What stands for no key: none yet, one is being made, none can be had. */
enum { KEY_MISSING, KEY_COMING, KEY_REFUSED, KEY_FIRST };

/* Atomic: the pthread key of the exit hook, plus KEY_FIRST, or what stands for none. The C library
   has few keys: this one outlives a start that fails. */
static uint32_t exit_key;

/* Destructors that run after this one may allocate and free: the hook is armed again, and ends the
   heap a round later. */
static void exit_hook(void *argument) {
    struct heap *heap = heap_of_thread();
    if (heap == NULL || heap != argument) return;
    uint32_t key = atomic_load_relaxed(&exit_key);
    if (key >= KEY_FIRST && ++heap->exit_rounds < EXIT_ROUNDS &&
        pthread_setspecific(key - KEY_FIRST, heap) == 0)
        return;
    heap_thread_end(heap);
}

/* May run somebody else's function, which may allocate: the thread is not busy, and until the key
   is there threads have the late heap. */
MOAT_COLD static void make_exit_key(void) {
    uint32_t expected = KEY_MISSING;
    pthread_key_t key = 0;
    if (!atomic_cas_acquire(&exit_key, &expected, KEY_COMING)) return; /* pairs with the store */
    bool made = pthread_key_create(&key, exit_hook) == 0;
    atomic_store_release(&exit_key,
                         made ? key + KEY_FIRST : KEY_REFUSED); /* pairs with the above */
}

/* A library that moat is linked into may be unloaded before the threads end that called it: there
   is no hook any more then. At the end of a process this does no harm: new threads have the late
   heap. */
__attribute__((destructor)) static void drop_exit_key(void) {
    if (thread_word() == THREAD_BUSY) return; /* ended by a handler */
    uint32_t key = atomic_exchange_relaxed(&exit_key, (uint32_t)KEY_REFUSED);
    if (key >= KEY_FIRST) (void)pthread_key_delete(key - KEY_FIRST);
}

/* Maps the memory of more heaps, some at a time. The generators' part is wiped in a forked
   child. */
static bool extend_pool(struct heap_pool *pool) {
    uint32_t heaps = pool->mapped + HEAPS_PER_STEP;
    size_t before = pool->randoms.mapped;
    if (heaps > HEAPS_MAX || !table_extend(&pool->heaps, heaps * HEAP_SIZE)) return false;
    if (!table_extend(&pool->randoms, heaps * sizeof(struct heap_random))) return false;
    if (pool->randoms.mapped > before)
        os_wipe_on_fork((char *)ro.randoms + before, pool->randoms.mapped - before);
    pool->mapped = heaps;
    return true;
}

/*
 * The heaps returned are a stack without a lock: threads are born and end often. A word has the
 * top's index and the number of heaps ever taken, so that a top which was taken and returned
 * meanwhile does not pass for the one that was seen. Heaps are never unmapped: next_free of one
 * that is taken by another may be read, and is thrown away with the exchange that fails.
 */
static struct heap *take_returned(struct heap_pool *pool) {
    uint64_t seen = atomic_load_acquire(&pool->free_heaps); /* pairs with return_heap */
    while ((uint32_t)seen != 0) {
        struct heap *heap = heap_at((uint32_t)seen);
        uint64_t rest = ((seen >> 32) + 1) << 32 | atomic_load_relaxed(&heap->next_free);
        /* pairs with return_heap: hand-over of the heap */
        if (!FAILPOINT(HEAP_TAKE_AGAIN) && atomic_cas_acq_rel(&pool->free_heaps, &seen, rest))
            return heap;
    }
    return NULL;
}

/* Under a limit on data there is a heap for each so many bytes of it, and some in any case: what
   heaps have in hand, their first segments' parts above all, would else leave too little for the
   blocks of threads. Those without a heap share the late one. */
#define LIMIT_PER_HEAP (4 * MIB)

/* Under the lock, or as many are made as wait for it. */
static bool may_be_more(struct heap_pool *pool) {
    bool more =
        pool->made <= HEAPS_IN_ANY_CASE || pool->made <= guard_data_limit() / LIMIT_PER_HEAP;
    atomic_store_relaxed(&pool->refused, !more);
    return more;
}

/* Calls without a heap that one refusal is for: to ask the kernel would cost more than all else. */
#define CALLS_PER_REFUSAL 64u

/* Of two calls at once one may not count. */
static bool was_refused(struct heap_pool *pool) {
    uint32_t refused = atomic_load_relaxed(&pool->refused);
    if (refused % CALLS_PER_REFUSAL == 0) return false;
    atomic_store_relaxed(&pool->refused, refused + 1);
    return true;
}

MOAT_NOINLINE static struct heap *make_heap(struct heap_pool *pool) {
    struct heap *heap = NULL;
    if (was_refused(pool)) return NULL;
    locks_acquire(LOCK_POOL);
    pool->lock_count++;
    if (may_be_more(pool) && (pool->made < pool->mapped || extend_pool(pool))) {
        uint32_t index = pool->made;
        atomic_store_relaxed(&pool->made, index + 1);
        heap = heap_at(index);
        heap->index = index;
        heap_reset(heap);
    }
    locks_release(LOCK_POOL);
    return heap;
}

/* A heap nobody uses, its struct owner and random state stay where they are. NULL: none left, or no
   memory. */
static struct heap *take_heap(struct heap_pool *pool) {
    struct heap *heap = take_returned(pool);
    return heap != NULL ? heap : make_heap(pool);
}

static void return_heap(struct heap_pool *pool, struct heap *heap) {
    heap->thread = 0;
    uint64_t seen = atomic_load_relaxed(&pool->free_heaps), with;
    do {
        atomic_store_relaxed(&heap->next_free, (uint32_t)seen);
        with = (seen & ~(uint64_t)UINT32_MAX) | heap->index;
        /* pairs with take_returned */
    } while (FAILPOINT(HEAP_RETURN_AGAIN) || !atomic_cas_release(&pool->free_heaps, &seen, with));
}

bool heap_pool_init(void) {
    const struct heap *late = take_heap(ro.pool);
    return late != NULL && late->index == HEAP_LATE;
}

/* Under its lock the late heap is the running thread's. Busy since before the lock was taken, until
   after it is given back: a signal handler would wait for it for ever. */
static struct heap *enter_late_heap(uintptr_t outside) {
    struct heap *late = heap_at(HEAP_LATE);
    late->thread = thread_identity();
    heap_enter_busy(late, outside);
    return late;
}

struct heap *heap_acquire_late(void) {
    uintptr_t outside = thread_enter();
    locks_acquire(LOCK_LATE_HEAP);
    return enter_late_heap(outside);
}

struct heap *heap_try_late(void) {
    uintptr_t outside = thread_enter();
    if (locks_try(LOCK_LATE_HEAP)) return enter_late_heap(outside);
    thread_leave(outside);
    return NULL;
}

/* Another for each thread of a process, as long as it lives, and no question to the kernel. */
static int32_t clock_of_thread(void) {
    clockid_t clock = 0;
    return pthread_getcpuclockid(pthread_self(), &clock) == 0 ? clock : 0;
}

/* A word that says the thread is new says so in each process: whether the thread has a heap stands
   in the C library's table, too. A harness's threads share one such table. */
static bool has_heap_already(const struct heap *before, const struct heap *heap) {
    return !IN_HARNESS && before != NULL && before != heap && is_heap((uintptr_t)before) &&
           before->thread == thread_identity();
}

/* Inside enter; the thread stays busy. */
MOAT_INLINE void end_heap(struct heap *heap) {
    if (heap->quarantine.count != 0) quarantine_empty(heap);
    heap_poll(heap);
    heap_abandon(heap);
    heap->outside_word = THREAD_BUSY;
    heap_leave(heap);
    return_heap(ro.pool, heap);
}

/*
 * A thread may end without the exit hook: by the system call alone, as it must in a strict sandbox,
 * or killed by a filter of system calls. The C library clears its words for the next thread on its
 * stack, but not what its table held. That thread ends the heap in its place; one that was left
 * inside a generic path stays as it is. What a handler tears that ends its thread amid a fast path
 * is damage, and reported when it is met.
 */
static void end_heap_left_here(struct heap *left) {
    if (atomic_load_relaxed(&left->seqcount) % 2 != 0) return;
    uintptr_t own = thread_enter();
    heap_enter_busy(left, THREAD_BUSY);
    end_heap(left);
    thread_leave(own);
}

void heap_learn_clock(void) {
    struct heap *heap = heap_of_thread();
    if (heap != NULL && heap->clock == 0) heap->clock = clock_of_thread();
}

/* Of a thread whose word said that it is new. Outside, all along: what is called may allocate. */
static void register_heap(pthread_key_t key, struct heap *heap) {
    struct heap *before = pthread_getspecific(key);
    heap->clock = clock_of_thread();
    if (has_heap_already(before, heap)) {
        bool is_known = before->clock != 0 && heap->clock != 0;
        bool is_gone = is_known && before->clock != heap->clock;
        MOAT_CHECK(is_gone, "thread word overwritten", THREAD_NEW);
        end_heap_left_here(before);
    }
    (void)pthread_setspecific(key, heap);
}

/* The first heap of a thread, which is busy meanwhile; its word leads to the heap from then on.
   NULL: none left, or no memory. */
static struct heap *make_heap_of_thread(void) {
    uint32_t key = atomic_load_relaxed(&exit_key);
    bool may_have = key >= KEY_FIRST && !FAILPOINT(HEAPS_USED_UP);
    struct heap *heap = may_have ? take_heap(ro.pool) : NULL;
    if (heap == NULL) return NULL;
    heap->thread = thread_identity();
    heap->clock = 0;
    heap->exit_rounds = 0;
    heap->trims_seen = atomic_load_relaxed(&ro.pool->trims);
    heap->now = os_milliseconds();
    thread_leave((uintptr_t)heap);
    /* What this calls may allocate: the heap serves it. Without the hook the heap is not given back
       at thread end: better that than no memory. */
    register_heap(key - KEY_FIRST, heap);
    thread_mark_busy();
    return heap;
}

/* Whose word leads to no heap: makes one, or takes the late heap. */
MOAT_COLD static struct heap *acquire_without_heap(void) {
    uintptr_t outside = thread_enter();
    struct heap *heap = NULL;
    if (outside == THREAD_NEW) {
        if (atomic_load_relaxed(&exit_key) == KEY_MISSING) {
            thread_leave(outside);
            make_exit_key();
            return heap_acquire();
        }
        heap = make_heap_of_thread();
    } else {
        if (outside == THREAD_BUSY) heap_report_reentry();   /* moat_check() in a handler */
        if (is_heap(outside)) heap = (struct heap *)outside; /* by a handler just now */
        MOAT_CHECK(heap != NULL || thread_may_lack_heap(outside), "thread word overwritten",
                   outside);
    }
    if (heap == NULL) {
        locks_acquire(LOCK_LATE_HEAP);
        return enter_late_heap(outside);
    }
    heap_enter_busy(heap, (uintptr_t)heap);
    return heap;
}

struct heap *heap_acquire(void) {
    uintptr_t word = thread_word();
    if (MOAT_UNLIKELY(!is_heap(word))) return acquire_without_heap();
    thread_mark_busy();
    heap_enter_busy((struct heap *)word, word);
    return (struct heap *)word;
}

void heap_release(struct heap *heap) {
    if (MOAT_LIKELY(heap != heap_at(HEAP_LATE))) {
        heap_leave(heap);
        return;
    }
    uintptr_t outside = heap->outside_word;
    heap->outside_word = THREAD_BUSY;
    heap_leave(heap);
    heap->thread = 0;
    locks_release(LOCK_LATE_HEAP);
    thread_leave(outside);
}

void heap_thread_end(struct heap *heap) {
    heap_enter(heap);
    end_heap(heap);
    /* busy until here: the child of a handler that forks is not put in order before that */
    thread_leave(THREAD_ENDED);
}

/* --- After a fork ---------------------------------------------------------------------------- */

/* What the heap has told leaves with what it had. */
static void take_back_told(const struct heap *heap) {
    atomic_add_relaxed(&ro.usage->used, -(uint64_t)heap->told);
    atomic_add_relaxed(&ro.usage->idle, -(uint64_t)heap->told_idle);
}

void heap_disown(struct heap *heap, uint32_t index) {
    take_back_told(heap);
    heap_reset(heap);
    heap->index = index;
    heap->seqcount = 0;
    heap->visit = VISIT_NONE;
    heap->visitors = 0;
    heap->thread = 0;
}

void heap_pool_recover_tables(void) {
    struct heap_pool *pool = ro.pool;
    table_recover(&pool->heaps);
    table_recover(&pool->randoms);
    (void)os_wipe_on_fork(ro.randoms, pool->randoms.mapped);
}

/* How many heaps lie ready. More than there are: the stack is none. */
static uint32_t count_ready(const struct heap_pool *pool) {
    uint32_t count = 0;
    for (uint32_t index = (uint32_t)pool->free_heaps; index != 0 && index < pool->made;
         index = heap_at(index)->next_free)
        if (++count >= pool->made) break;
    return count;
}

static uint32_t count_unused(const struct heap_pool *pool) {
    uint32_t count = 0;
    for (uint32_t index = HEAP_LATE + 1; index < pool->made; index++)
        count += heap_at(index)->thread == 0;
    return count;
}

void heap_leave_visited(struct heap *heap) {
    take_back_told(heap);
    heap_reset(heap);
    heap->was_visited = true; /* an event of a page it had may be on its way */
    heap->visitors = 0;
    atomic_store_relaxed(&heap->visit, VISIT_NONE);
}

/* Those that lie ready are left as they are, but where one was in the hand of a thread that did not
   come along, made or not: then all are stacked anew. */
void heap_pool_recover(struct survivors survivors) {
    struct heap_pool *pool = ro.pool;
    bool anew = survivors.all || count_ready(pool) != count_unused(pool);
    uint32_t top = anew ? 0 : (uint32_t)pool->free_heaps;
    uint64_t used = 0, idle = 0;
    for (uint32_t index = pool->made; index-- > 0;) {
        struct heap *heap = heap_at(index);
        bool unused = heap->thread == 0 && index != HEAP_LATE;
        if (heap_is_visited(heap) && survivors.all && !unused) heap->visit = VISIT_LEFT;
        bool goes_on = heap_goes_on(heap, survivors);
        if (goes_on) used += heap->told, idle += heap->told_idle;
        if (goes_on && heap->clock != 0) heap->clock = 0; /* threads have other numbers here */
        if (goes_on || (unused && (!anew || survivors.all))) continue;
        if (heap == survivors.heap && !survivors.all) {
            heap_leave_visited(heap);
            continue;
        }
        heap_disown(heap, index);
        if (index == HEAP_LATE) continue;
        heap->next_free = top;
        top = index;
    }
    if (anew || top != (uint32_t)pool->free_heaps)
        pool->free_heaps = ((pool->free_heaps >> 32) + 1) << 32 | top;
    if (ro.usage->used != used) ro.usage->used = used;
    if (ro.usage->idle != idle) ro.usage->idle = idle;
    if (ro.usage->left != 0) ro.usage->left = 0;
    /* whoever was about to create the exit hook's key may be gone */
    if (atomic_load_relaxed(&exit_key) == KEY_COMING) atomic_store_relaxed(&exit_key, KEY_MISSING);
}
