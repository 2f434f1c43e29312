/*
 * atomic: the only door to shared words (layer 0, a seam).
 *
 * Each access names its order; the line at the call says which access it pairs with. There are no
 * stand-alone fences (ThreadSanitizer does not see them). A harness build makes every access a
 * scheduling point.
 */
#ifndef MOAT_ATOMIC_H
#define MOAT_ATOMIC_H

#include "base/base.h"

#ifdef MOAT_HARNESS
void harness_atomic_step(const volatile void *word);
#define ATOMIC_STEP(word) harness_atomic_step(word)
#else
#define ATOMIC_STEP(word) ((void)0)
#endif

#define atomic_load_relaxed(p) (ATOMIC_STEP(p), __atomic_load_n((p), __ATOMIC_RELAXED))
#define atomic_load_acquire(p) (ATOMIC_STEP(p), __atomic_load_n((p), __ATOMIC_ACQUIRE))
/* Relaxed too: compared where the word lies. GCC does not put an atomic load into the instruction
   that uses it. A sanitizer sees no load here, so it gets the plain form. */
#if defined(__x86_64__) && !UNDER_THREAD_SANITIZER
MOAT_INLINE bool equals_64(const uint64_t *word, uint64_t value) {
    bool equal;
    __asm__ volatile("cmpq %2, %1" : "=@cce"(equal) : "m"(*word), "re"(value) : "cc");
    return equal;
}
MOAT_INLINE bool equals_32(const uint32_t *word, uint32_t value) {
    bool equal;
    __asm__ volatile("cmpl %2, %1" : "=@cce"(equal) : "m"(*word), "ri"(value) : "cc");
    return equal;
}
#define EQUALS(p)                                                                                  \
    _Generic((p), uint32_t * : equals_32, const uint32_t * : equals_32, default : equals_64)
#define atomic_equals_relaxed(p, v) (ATOMIC_STEP(p), EQUALS(p)((p), (v)))
#else
#define atomic_equals_relaxed(p, v) (atomic_load_relaxed(p) == (v))
#endif
#define atomic_store_relaxed(p, v) (ATOMIC_STEP(p), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define atomic_store_release(p, v) (ATOMIC_STEP(p), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define atomic_or_relaxed(p, v) (ATOMIC_STEP(p), __atomic_fetch_or((p), (v), __ATOMIC_RELAXED))
#define atomic_or_release(p, v) (ATOMIC_STEP(p), __atomic_fetch_or((p), (v), __ATOMIC_RELEASE))
#define atomic_or_acq_rel(p, v) (ATOMIC_STEP(p), __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL))
#define atomic_and_relaxed(p, v) (ATOMIC_STEP(p), __atomic_fetch_and((p), (v), __ATOMIC_RELAXED))
#define atomic_and_release(p, v) (ATOMIC_STEP(p), __atomic_fetch_and((p), (v), __ATOMIC_RELEASE))
#define atomic_and_acquire(p, v) (ATOMIC_STEP(p), __atomic_fetch_and((p), (v), __ATOMIC_ACQUIRE))
#define atomic_and_acq_rel(p, v) (ATOMIC_STEP(p), __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL))
#define atomic_add_relaxed(p, v) (ATOMIC_STEP(p), __atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define atomic_sub_acq_rel(p, v) (ATOMIC_STEP(p), __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define atomic_exchange_acquire(p, v)                                                              \
    (ATOMIC_STEP(p), __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define atomic_exchange_release(p, v)                                                              \
    (ATOMIC_STEP(p), __atomic_exchange_n((p), (v), __ATOMIC_RELEASE))
/* `expected` is a pointer to the expected value and receives the value seen; strong; true when
   exchanged. */
#define atomic_cas_acquire(p, expected, v)                                                         \
    (ATOMIC_STEP(p),                                                                               \
     __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
#define atomic_cas_release(p, expected, v)                                                         \
    (ATOMIC_STEP(p),                                                                               \
     __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
#define atomic_cas_acq_rel(p, expected, v)                                                         \
    (ATOMIC_STEP(p),                                                                               \
     __atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))

#endif
