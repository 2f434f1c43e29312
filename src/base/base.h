/*
 * base: the words and units every other file uses.
 *
 * Owns nothing. Defines the geometry of a segment, the two kinds of check and the compiler
 * attributes. MOAT_CHECK is always on and ends the process with a report; MOAT_ASSERT states what
 * is provable, in debug builds.
 */
#ifndef MOAT_BASE_H
#define MOAT_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* What is rare. A harness that sweeps over src/ takes one such branch after another out of the
   program (base/seam.h). */
#ifdef MOAT_SWEPT
#include "base/seam.h"
#define MOAT_LIKELY(x) (__builtin_expect(!!(x), 1) || BRANCH_IS_OUT())
#define MOAT_UNLIKELY(x) (__builtin_expect(!!(x), 0) && !BRANCH_IS_OUT())
#else
#define MOAT_LIKELY(x) __builtin_expect(!!(x), 1)
#define MOAT_UNLIKELY(x) __builtin_expect(!!(x), 0)
#endif
#define MOAT_INLINE static inline __attribute__((always_inline))
#define MOAT_COLD __attribute__((cold, noinline))
#define MOAT_NOINLINE __attribute__((noinline))
#define MOAT_NORETURN __attribute__((noreturn))
#define MOAT_LINE __attribute__((aligned(64)))

/*
 * The armour, a defence a bit. Constants, so that every build compiles both sides of each `if`. All
 * of them are moat; any other choice is for measurements of what each costs, and cannot be
 * installed.
 */
#ifndef MOAT_DEFENCES
#define MOAT_DEFENCES 31
#endif
enum {
    /* live and claim bits decide what may be freed and handed out */
    HARDENED_MAP = (MOAT_DEFENCES & 1) != 0,
    HARDENED_LINKS = (MOAT_DEFENCES & 2) != 0, /* links of free lists are encoded and checked */
    HARDENED_BUSY = (MOAT_DEFENCES & 4) != 0,  /* fast paths mark the thread, for signal handlers */
    /* pages and blocks come in an order that cannot be foretold */
    HARDENED_ORDER = (MOAT_DEFENCES & 8) != 0,
    /* what never changes is read-only; sized frees are checked */
    HARDENED_RO = (MOAT_DEFENCES & 16) != 0
};

/* A harness build compiles the seams of os, atomic and thread in; the shipped library compiles them
   out. */
#ifdef MOAT_HARNESS
enum { IN_HARNESS = 1 };
#else
enum { IN_HARNESS = 0 };
#endif

/* ThreadSanitizer maps only some address ranges. Who has its passes without its library says 0. */
#if defined(UNDER_THREAD_SANITIZER)
#elif defined(__SANITIZE_THREAD__)
#define UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#endif
#ifndef UNDER_THREAD_SANITIZER
#define UNDER_THREAD_SANITIZER 0
#endif

/* Plain accesses are judged by the rules of C11 alone: by that library, or by a harness. */
#ifdef MOAT_WATCHED
enum { PLAIN_IS_JUDGED = 1 };
#else
enum { PLAIN_IS_JUDGED = UNDER_THREAD_SANITIZER };
#endif

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

/* Geometry (doc/design.md, "The words"). A slot is 64 KiB of a segment; a small page is one slot, a
   medium page eight, a large page all. */
#define GRANULE_SHIFT 4
#define GRANULE ((size_t)1 << GRANULE_SHIFT)
#define SLOT_SHIFT 16
#define SLOT_SIZE ((size_t)1 << SLOT_SHIFT)
#define SEGMENT_SHIFT 22
#define SEGMENT_SIZE ((size_t)1 << SEGMENT_SHIFT)
#define SLOTS_PER_SEGMENT (SEGMENT_SIZE / SLOT_SIZE)

/* Largest request of each page kind, bytes. Above LARGE_MAX an allocation is huge. */
#define SMALL_MAX (8 * KIB)
#define MEDIUM_MAX (64 * KIB)
#define LARGE_MAX (1 * MIB)
#define ALIGN_MAX (1 * GIB)

static_assert(SLOTS_PER_SEGMENT == 64, "one bit of a 64-bit word per slot");
static_assert(sizeof(void *) == 8, "moat is for 64-bit machines");

/* Ends the process with a corrupt-metadata report; defined by report.c. `what` is a static
   string. */
MOAT_NORETURN void moat_check_failed(const char *what, const void *address);

#define MOAT_CHECK(condition, what, address)                                                       \
    do {                                                                                           \
        if (MOAT_UNLIKELY(!(condition))) moat_check_failed((what), (const void *)(address));       \
    } while (0)

#ifdef MOAT_DEBUG
#define MOAT_ASSERT(condition) MOAT_CHECK(condition, "assertion: " #condition, NULL)
#else
#define MOAT_ASSERT(condition) ((void)sizeof(!(condition)))
#endif

MOAT_INLINE size_t round_up(size_t value, size_t power_of_two) {
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}
MOAT_INLINE size_t round_down(size_t value, size_t power_of_two) {
    return value & ~(power_of_two - 1);
}
MOAT_INLINE bool is_power_of_two(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

#endif
