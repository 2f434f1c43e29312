/*
 * thread: who is running (layer 0, a seam).
 *
 * One initial-exec word per thread holds the thread's heap, or one of two marks. It lies where an overflow may reach it, so
 * nothing follows it before heap_of_thread() (heap.h) has shown that it points into the heap table. A harness build reads the
 * word of the virtual thread that runs now.
 */
#ifndef MOAT_THREAD_H
#define MOAT_THREAD_H

#include "base.h"

struct heap;

/* Marks that are no heap: a thread that has not allocated yet, and one whose exit hook has run (it never owns again). They
   differ from every owner word of a segment too, so that both fast paths take their slow branch. */
#define THREAD_NEW ((uintptr_t)0x0e)
#define THREAD_ENDED ((uintptr_t)0x0f)
/* The thread is inside a generic path: whatever calls the allocator now is a signal handler that interrupted it. */
#define THREAD_BUSY ((uintptr_t)0x1e)

#ifdef MOAT_HARNESS
uintptr_t *harness_thread_word(void);
#define thread_word() (*harness_thread_word())
#else
extern __thread uintptr_t moat_thread_word __attribute__((tls_model("initial-exec"), visibility("hidden")));
#define thread_word() moat_thread_word
#endif

/* An address that is different for each live thread; cheap, and the same for the thread's whole life. */
MOAT_INLINE uintptr_t thread_identity(void) {
#ifdef MOAT_HARNESS
    return (uintptr_t)harness_thread_word();
#else
    return (uintptr_t)&moat_thread_word;
#endif
}

#endif
