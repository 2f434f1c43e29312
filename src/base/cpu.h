/*
 * cpu: all that moat knows of processors.
 *
 * A port to another processor opens this file, and report/registers.h for the stack in a report
 * (doc/porting.md). Each item has a portable form; what is written for one processor is faster, and
 * means the same. Nothing here accesses a shared word without atomic.h asking for it.
 */
#ifndef MOAT_CPU_H
#define MOAT_CPU_H

#include "base/base.h"

/* ThreadSanitizer does not see the accesses of inline assembler: under it every form is
   portable. */
#if defined(__x86_64__) && !UNDER_THREAD_SANITIZER
#define CPU_FUSES_LOADS 1
#else
#define CPU_FUSES_LOADS 0
#endif

/* Stores become visible to other processors in program order, so that whoever has a block also sees
   the live bit that was set before it was handed over. A harness plays a machine without. */
#if (defined(__x86_64__) || defined(__i386__)) && !defined(MOAT_HARNESS)
enum { CPU_HAS_TOTAL_STORE_ORDER = 1 };
#else
enum { CPU_HAS_TOTAL_STORE_ORDER = 0 };
#endif

/* The largest OS page of any machine of this kind, bytes. x86 has one size of page. */
#if defined(__x86_64__) || defined(__i386__)
#define CPU_OS_PAGE_MAX ((size_t)4 * 1024)
#else
#define CPU_OS_PAGE_MAX ((size_t)64 * 1024)
#endif

/* Enters the kernel: its result, or a negated error number. Where there is no instruction for it
   here, os/kernel.h goes by the C library. */
#if defined(__x86_64__)
#define CPU_HAS_SYSTEM_CALL 1
MOAT_INLINE long cpu_system_call(long number, long a, long b, long c, long d, long e, long f) {
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = e;
    register long sixth __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
#define CPU_HAS_SYSTEM_CALL 1
MOAT_INLINE long cpu_system_call(long number, long a, long b, long c, long d, long e, long f) {
    register long call __asm__("x8") = number;
    register long first __asm__("x0") = a;
    register long second __asm__("x1") = b;
    register long third __asm__("x2") = c;
    register long fourth __asm__("x3") = d;
    register long fifth __asm__("x4") = e;
    register long sixth __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(first)
                     : "r"(call), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "memory", "cc");
    return first;
}
#else
#define CPU_HAS_SYSTEM_CALL 0
#endif

/* What the kernel returns to from a signal handler: on some processors it wants to be told. Here
   rather than from the C library, whose functions for it may be another library's. */
#if defined(__x86_64__)
#define CPU_SIGNAL_RETURN cpu_signal_return
#define CPU_DEFINE_SIGNAL_RETURN                                                                   \
    __attribute__((naked)) static void cpu_signal_return(void) {                                   \
        __asm__("movq $15, %rax\n\tsyscall");                                                      \
    }
#else
#define CPU_SIGNAL_RETURN NULL
#define CPU_DEFINE_SIGNAL_RETURN
#endif

/* Fills and copies bytes from low addresses to high ones, without a call. */
#if defined(__x86_64__)
MOAT_INLINE void cpu_fill(void *start, unsigned char byte, size_t size) {
    size_t words = size / sizeof(uint64_t), rest = size % sizeof(uint64_t);
    uint64_t pattern = byte * (~(uint64_t)0 / UINT8_MAX);
    __asm__ volatile("rep stosq" : "+D"(start), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(start), "+c"(rest) : "a"(pattern) : "memory");
}
MOAT_INLINE void cpu_copy(void *to, const void *from, size_t size) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}
#else
MOAT_INLINE void cpu_fill(void *start, unsigned char byte, size_t size) {
    for (volatile unsigned char *at = start; size > 0; size--) *at++ = byte;
}
MOAT_INLINE void cpu_copy(void *to, const void *from, size_t size) {
    const unsigned char *out_of = from;
    for (volatile unsigned char *at = to; size > 0; size--) *at++ = *out_of++;
}
#endif

/* A moment's rest in a loop that waits for another processor. */
#if defined(__x86_64__)
MOAT_INLINE void cpu_pause(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
MOAT_INLINE void cpu_pause(void) { __asm__ volatile("yield"); }
#else
MOAT_INLINE void cpu_pause(void) {}
#endif

/* Sets or clears a bit of a word in a register; what it was. Only the lowest six bits of the index
   count. One instruction on x86, which compilers do not find by themselves. */
#if defined(__x86_64__)
MOAT_INLINE bool cpu_test_and_set(uint64_t *word, uint64_t index) {
    bool was;
    __asm__("bts %2, %0" : "+r"(*word), "=@ccc"(was) : "r"(index));
    return was;
}
MOAT_INLINE bool cpu_test_and_clear(uint64_t *word, uint64_t index) {
    bool was;
    __asm__("btr %2, %0" : "+r"(*word), "=@ccc"(was) : "r"(index));
    return was;
}
#else
MOAT_INLINE bool cpu_test_and_set(uint64_t *word, uint64_t index) {
    uint64_t bit = (uint64_t)1 << (index & 63), before = *word;
    *word = before | bit;
    return (before & bit) != 0;
}
MOAT_INLINE bool cpu_test_and_clear(uint64_t *word, uint64_t index) {
    uint64_t bit = (uint64_t)1 << (index & 63), before = *word;
    *word = before & ~bit;
    return (before & bit) != 0;
}
#endif

/* Memory that was its user's, who wrote what they liked: it may alias anything. */
typedef uint64_t __attribute__((may_alias)) cpu_any_word;

/* Compares a word where it lies, and mixes in a word from where it lies: one relaxed access each.
   GCC does not put an atomic load into the instruction that uses it. */
#if CPU_FUSES_LOADS
MOAT_INLINE bool cpu_equals_64(const uint64_t *word, uint64_t value) {
    bool equal;
    __asm__ volatile("cmpq %2, %1" : "=@cce"(equal) : "m"(*word), "re"(value) : "cc");
    return equal;
}
MOAT_INLINE bool cpu_equals_32(const uint32_t *word, uint32_t value) {
    bool equal;
    __asm__ volatile("cmpl %2, %1" : "=@cce"(equal) : "m"(*word), "ri"(value) : "cc");
    return equal;
}
MOAT_INLINE uint64_t cpu_xor_with(uint64_t value, const cpu_any_word *word) {
    __asm__ volatile("xorq %1, %0" : "+r"(value) : "m"(*word) : "cc");
    return value;
}
#else
MOAT_INLINE bool cpu_equals_64(const uint64_t *word, uint64_t value) {
    return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
}
MOAT_INLINE bool cpu_equals_32(const uint32_t *word, uint32_t value) {
    return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
}
MOAT_INLINE uint64_t cpu_xor_with(uint64_t value, const cpu_any_word *word) {
    return value ^ __atomic_load_n(word, __ATOMIC_RELAXED);
}
#endif

#endif
