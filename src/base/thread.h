/*
 * thread: who is running (layer 0, a seam).
 *
 * One initial-exec word per thread holds the thread's heap, or one of three marks. It lies where an
 * overflow may reach it, so nothing follows it before is_heap() (heap.h) has shown that it points
 * into the heap table, or that it equals an entry of ro.local_heaps. A harness build reads the word
 * of the virtual thread that runs now.
 */
#ifndef MOAT_THREAD_H
#define MOAT_THREAD_H

#include "base/atomic.h"

struct heap;

/* Marks that are no heap: a thread that has not allocated yet, and one whose exit hook has run (it
   never owns again). They differ from every entry of ro.local_heaps too, so that both fast paths
   take their slow branch. */
#define THREAD_NEW ((uintptr_t)0x0e)
#define THREAD_ENDED ((uintptr_t)0x0f)
/* The thread is inside the allocator: whatever calls it now is a signal handler that interrupted
   it. */
#define THREAD_BUSY ((uintptr_t)0x1e)

#ifdef MOAT_HARNESS
#define THREAD_WORD_ADDRESS() base_seam.word_of_thread()
#else
extern __thread uintptr_t moat_thread_word
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
#define THREAD_WORD_ADDRESS() (&moat_thread_word)
#endif
#define thread_word() (*THREAD_WORD_ADDRESS())

/* Bracket everything that a signal handler's call must not get in between: it finds THREAD_BUSY,
   leaves the fast path for it, and is reported (heap_report_reentry). The fences are the compiler's
   alone: a handler runs on this very thread, between two of its instructions. thread_mark_busy is
   for who knows that the word is a heap, which no handler changes: one store and no branch. */
MOAT_INLINE void thread_mark_busy(void) {
    thread_word() = THREAD_BUSY;
    atomic_signal_barrier();
}

/* Returns what thread_leave gives back. A handler may make a new thread its heap between any two
   instructions: there one instruction reads and marks. It is not used for the others because it
   waits for every store before it. */
MOAT_INLINE uintptr_t thread_enter(void) {
    uintptr_t outside = thread_word();
    if (outside == THREAD_NEW)
        outside = atomic_exchange_relaxed(&thread_word(), THREAD_BUSY);
    else
        thread_mark_busy();
    atomic_signal_barrier();
    return outside;
}

MOAT_INLINE void thread_leave(uintptr_t outside) {
    atomic_signal_barrier();
    thread_word() = outside;
}

/* An address that is different for each live thread; cheap, and the same for the thread's whole
   life. */
MOAT_INLINE uintptr_t thread_identity(void) { return (uintptr_t)THREAD_WORD_ADDRESS(); }

#endif
