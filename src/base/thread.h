/*
 * thread: who is running, and whether it is inside the allocator (a seam).
 *
 * One initial-exec word per thread holds the thread's heap, or one of three marks. It lies where an
 * overflow may reach it, so nothing follows it before is_heap() (heap.h) has shown that it points
 * into the heap table, or that it equals an entry of ro.local_heaps. A harness build reads the word
 * of the virtual thread that runs now.
 *
 * Inside the allocator the word is THREAD_BUSY. A signal handler that calls the allocator then
 * finds the mark at the compare it makes anyway, and is reported (heap_report_reentry) instead of
 * meeting lists between two steps. All brackets end in thread_leave, and those of whole paths that
 * are not fast in thread_leave_generic:
 *
 *   bracket                           who                                beside the mark
 *   heap_enter_fast, _leave_fast      fast paths of a thread's own heap  nothing: two plain stores
 *   heap_enter(_busy), heap_leave     generic paths of a heap            seqcount is odd
 *   heap_acquire, heap_release        verbs that may have no heap yet    makes it, or the late lock
 *   heap_try_late                     a free that comes by, purge        the late lock, or nothing
 *   THREAD_INSIDE                     huge and zero-size blocks          their own locks
 *   thread_enter, thread_leave        init, recovery after a fork        init's lock
 *
 * Whoever holds a lock is inside. The remote free has no bracket: its steps are atomic, and a
 * handler among them breaks nothing.
 */
#ifndef MOAT_THREAD_H
#define MOAT_THREAD_H

#include "base/atomic.h"

struct heap;

/* Marks that are no heap: a thread that has not allocated yet, and one whose exit hook has run (it
   never owns again), which is random but for this part of it (THREAD_ENDED in heap.h). They differ
   from every entry of ro.local_heaps too, so that both fast paths take their slow branch. */
#define THREAD_NEW ((uintptr_t)0x0e)
#define THREAD_ENDED_PART ((uintptr_t)0x0f)
/* The thread is inside the allocator: whatever calls it now is a signal handler that interrupted
   it. */
#define THREAD_BUSY ((uintptr_t)0x1e)
/* Bits that no heap's address has. */
#define THREAD_NO_HEAP ((uintptr_t)0xfff)

#ifdef MOAT_HARNESS
#define THREAD_WORD_ADDRESS() base_seam.word_of_thread()
#else
extern __thread uintptr_t moat_thread_word
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
#define THREAD_WORD_ADDRESS() (&moat_thread_word)
#endif
#define thread_word() (*THREAD_WORD_ADDRESS())

/* Frees by a thread that has no heap: it looks after unused memory now and then. */
extern __thread uint32_t moat_thread_frees
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Leads to itself once the library is relocated. The compiler may not know what it holds. */
extern const volatile void *volatile moat_thread_self __attribute__((visibility("hidden")));

/* The barriers are the compiler's alone: a handler runs on this very thread, between two of its
   instructions. This one is for who knows that the word is a heap, which no handler changes: one
   store and no branch. */
MOAT_INLINE void thread_mark_busy(void) {
    thread_word() = THREAD_BUSY;
    atomic_signal_barrier();
}

/*
 * Before the program's start is over the word may not be what it seems. While the library itself is
 * not relocated its address leads elsewhere, and nothing may be stored there; nor can a function of
 * the C library be called, or a table of pointers be read. Once it is relocated the word lies where
 * it will, and is 0 until the C library copies its first value over it: what was stored is lost. A
 * resolver (IFUNC) of some library that allocates meets both: the late heap serves it. False in the
 * first case only.
 */
MOAT_INLINE bool thread_is_relocated(void) { return moat_thread_self == &moat_thread_self; }
/* The thread's word holds what was stored there, from here on and for every thread. */
void thread_settle(void);
/* Whether a word that is no heap and no mark is so because of the above. */
bool thread_is_early(uintptr_t word);

/* Returns what thread_leave gives back. A handler may make a new thread its heap between any two
   instructions: there one instruction reads and marks. It is not used for the others because it
   waits for every store before it. Where the word is not the thread's, it stays: leaving stores
   what is there. */
MOAT_INLINE uintptr_t thread_enter(void) {
    uintptr_t outside = thread_word();
    if (outside == THREAD_NEW)
        outside = atomic_exchange_relaxed(&thread_word(), THREAD_BUSY);
    else if (MOAT_LIKELY((outside & THREAD_NO_HEAP) == 0) || thread_is_relocated())
        thread_mark_busy();
    atomic_signal_barrier();
    return outside;
}

MOAT_INLINE void thread_leave(uintptr_t outside) {
    atomic_signal_barrier();
    thread_word() = outside;
}

/* The process whose report ends it, once there is one, as the kernel numbers it; 0: none. */
extern uint32_t moat_ending __attribute__((visibility("hidden")));
/* A hook (see src/README.md): waits for the end of the process, if it is this one that ends, and by
   another thread. */
MOAT_COLD void moat_stay(void);

/* At the end of a generic path: what was found damaged is not given to anybody any more. */
MOAT_INLINE void thread_leave_generic(uintptr_t outside) {
    if (MOAT_UNLIKELY(atomic_load_settled(&moat_ending) != 0)) moat_stay();
    thread_leave(outside);
}

MOAT_INLINE void thread_leave_scope(const uintptr_t *outside) { thread_leave_generic(*outside); }
/* Inside the allocator from here to the end of the scope. */
#define THREAD_INSIDE()                                                                            \
    const uintptr_t outside_ __attribute__((cleanup(thread_leave_scope), unused)) = thread_enter()

/* An address that is different for each live thread; cheap, and the same for the thread's whole
   life. */
MOAT_INLINE uintptr_t thread_identity(void) { return (uintptr_t)THREAD_WORD_ADDRESS(); }

#endif
