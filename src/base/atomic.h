/*
 * atomic: the only door to shared words (a seam).
 *
 * Each access names its order; the line at the call says which access it pairs with. There are no
 * stand-alone fences (ThreadSanitizer does not see them). A harness build makes every access a
 * scheduling point, and may let a load see an older value (base/seam.h).
 */
#ifndef MOAT_ATOMIC_H
#define MOAT_ATOMIC_H

#include "base/base.h"
#include "base/cpu.h"
#include "base/seam.h"

/* ATOMIC_STEP announces an access; ATOMIC_VALUE is a value that is
   known before its access is announced, ATOMIC_TRIED the result of a compare-and-exchange. In the
   shipped library they are nothing. */
#ifdef MOAT_HARNESS
#define ATOMIC_STEP(p, kind, order)                                                                \
    ({                                                                                             \
        static const struct atomic_site site_ SITE_IN("atomic_sites") = {                          \
            __FILE__, __LINE__, (kind), (order), __func__};                                        \
        base_seam.atomic_step(&site_, (p), sizeof *(p));                                           \
    })
/* Statements, not operands: the accesses of one expression must not be mixed up. */
#define ATOMIC_LOAD_OF(p, order)                                                                   \
    ({                                                                                             \
        uint64_t seen_;                                                                            \
        if (__builtin_expect(base_seam_sees_loads, 0)) { /* no branch of src/ */                   \
            ATOMIC_STEP(p, ATOMIC_LOAD, order);                                                    \
            seen_ = base_seam.atomic_loaded((uint64_t)__atomic_load_n((p), order));                \
        } else {                                                                                   \
            seen_ = (uint64_t)__atomic_load_n((p), order);                                         \
        }                                                                                          \
        (__typeof__(__atomic_load_n((p), order)))seen_;                                            \
    })
#define ATOMIC_VALUE(p, v, kind, order)                                                            \
    ({                                                                                             \
        __typeof__(*(p)) value_ = (v);                                                             \
        ATOMIC_STEP(p, kind, order);                                                               \
        value_;                                                                                    \
    })
#define ATOMIC_TRIED(exchanged) base_seam.atomic_tried(exchanged)
#else
#define ATOMIC_STEP(p, kind, order) ((void)0)
#define ATOMIC_LOAD_OF(p, order) __atomic_load_n((p), order)
#define ATOMIC_VALUE(p, v, kind, order) (v)
#define ATOMIC_TRIED(exchanged) (exchanged)
#endif

#define ATOMIC_STORE_OF(p, v, order)                                                               \
    __atomic_store_n((p), ATOMIC_VALUE(p, v, ATOMIC_STORE, order), order)
#define ATOMIC_CHANGE_OF(function, p, v, order)                                                    \
    function((p), ATOMIC_VALUE(p, v, ATOMIC_CHANGE, order), order)
#define ATOMIC_CAS_OF(p, expected, v, order, otherwise)                                            \
    ATOMIC_TRIED(__atomic_compare_exchange_n(                                                      \
        (p), (expected), ATOMIC_VALUE(p, v, ATOMIC_TRY, order), false, order, otherwise))

#define atomic_load_relaxed(p) ATOMIC_LOAD_OF(p, __ATOMIC_RELAXED)
#define atomic_load_acquire(p) ATOMIC_LOAD_OF(p, __ATOMIC_ACQUIRE)
/* All that say seq_cst are in one order that every thread agrees on: of two threads that each write
   one word and then read the other's, one at least sees what the other wrote. */
#define atomic_load_seq_cst(p) ATOMIC_LOAD_OF(p, __ATOMIC_SEQ_CST)
/* Relaxed too: compared where the word lies, and mixed into a value from there. */
#ifdef MOAT_HARNESS
#define atomic_equals_relaxed(p, v) (atomic_load_relaxed(p) == (v))
#define atomic_xor_with_relaxed(v, p) ((v) ^ atomic_load_relaxed(p))
#else
#define ATOMIC_EQUALS(p)                                                                           \
    _Generic((p), uint32_t * : cpu_equals_32, const uint32_t * : cpu_equals_32,                    \
             default : cpu_equals_64)
#define atomic_equals_relaxed(p, v) (ATOMIC_EQUALS(p)((p), (v)))
#define atomic_xor_with_relaxed(v, p) (cpu_xor_with((v), (p)))
#endif
/* For words that change rarely (during initialisation; when the region grows), where either value
   will do: an aligned word is read by one access on every machine, and the compiler puts that into
   the instruction that uses it only if it is not called atomic. No scheduling point: there is
   nothing to schedule. */
#if UNDER_THREAD_SANITIZER
#define atomic_load_settled(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#else
#define atomic_load_settled(p) (*(p))
#endif
#define atomic_store_relaxed(p, v) ATOMIC_STORE_OF(p, v, __ATOMIC_RELAXED)
#define atomic_store_release(p, v) ATOMIC_STORE_OF(p, v, __ATOMIC_RELEASE)
#define atomic_or_relaxed(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_or, p, v, __ATOMIC_RELAXED)
#define atomic_or_release(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_or, p, v, __ATOMIC_RELEASE)
#define atomic_or_acq_rel(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_or, p, v, __ATOMIC_ACQ_REL)
#define atomic_or_seq_cst(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_or, p, v, __ATOMIC_SEQ_CST)
#define atomic_and_relaxed(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_and, p, v, __ATOMIC_RELAXED)
#define atomic_and_release(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_and, p, v, __ATOMIC_RELEASE)
#define atomic_and_acquire(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_and, p, v, __ATOMIC_ACQUIRE)
#define atomic_and_acq_rel(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_and, p, v, __ATOMIC_ACQ_REL)
#define atomic_add_relaxed(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_add, p, v, __ATOMIC_RELAXED)
#define atomic_sub_acq_rel(p, v) ATOMIC_CHANGE_OF(__atomic_fetch_sub, p, v, __ATOMIC_ACQ_REL)
#define atomic_exchange_relaxed(p, v) ATOMIC_CHANGE_OF(__atomic_exchange_n, p, v, __ATOMIC_RELAXED)
#define atomic_exchange_acquire(p, v) ATOMIC_CHANGE_OF(__atomic_exchange_n, p, v, __ATOMIC_ACQUIRE)
#define atomic_exchange_acq_rel(p, v) ATOMIC_CHANGE_OF(__atomic_exchange_n, p, v, __ATOMIC_ACQ_REL)
#define atomic_exchange_seq_cst(p, v) ATOMIC_CHANGE_OF(__atomic_exchange_n, p, v, __ATOMIC_SEQ_CST)
#define atomic_exchange_release(p, v) ATOMIC_CHANGE_OF(__atomic_exchange_n, p, v, __ATOMIC_RELEASE)
/* `expected` is a pointer to the expected value and receives the value seen; strong; true when
   exchanged. */
#define atomic_cas_acquire(p, expected, v)                                                         \
    ATOMIC_CAS_OF(p, expected, v, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define atomic_cas_release(p, expected, v)                                                         \
    ATOMIC_CAS_OF(p, expected, v, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define atomic_cas_acq_rel(p, expected, v)                                                         \
    ATOMIC_CAS_OF(p, expected, v, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* For words that only assertions look at, and for what blocks of the program hold: no scheduling
   point, they are no step of a protocol. */
#define atomic_load_unseen(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_store_unseen(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* Between a thread and the handlers of signals that interrupt it: the compiler keeps the order of
   the accesses before and after, the processor does anyway. */
#define atomic_signal_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
