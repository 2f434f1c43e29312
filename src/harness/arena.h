/*
 * arena: memory calls without the kernel, for harnesses that start afresh thousands of times a
 * second.
 *
 * While it is on, what is reserved stays mapped for good, can always be read and written, and the
 * calls that reserve, protect and purge are played: what they would empty is emptied, by writing
 * zeros over what was touched. harness_reset() does that for all that was touched, and pays for
 * nothing else. Units of 512 bytes count as touched when a shared word in them is written through
 * atomic.h, or when arena_touch() says so: a harness says it of what it writes itself and of
 * records without shared words.
 *
 * What protection would catch is caught in part: the first write to a unit must be one that the
 * records of harness.c allow, and the first read where loads are announced. For one thread at a
 * time, and not for forks: a child would find what the kernel wipes.
 */
#ifndef MOAT_ARENA_H
#define MOAT_ARENA_H

#include "base/base.h"

/* The library chooses places in here; programs, libraries, stacks and the shadow of
   AddressSanitizer lie elsewhere, where addresses have 47 bits. */
#define ARENA_START ((uintptr_t)0x1000 << 32)
#define ARENA_SIZE ((size_t)0x4200 << 32)

/* From now on; nothing may be held. False: the machine gives no such mapping, and the kernel keeps
   doing the work. */
bool arena_use(bool on);
bool arena_is_used(void);
/* The range is about to be, or may have been, written. */
void arena_touch(uintptr_t start, size_t size);
/* What the library fills with zeros, and copies from one place to another that does not overlap:
   only what was touched is. False: the caller shall do it. */
bool arena_clear(void *start, size_t size);
bool arena_copy(void *to, const void *from, size_t size);
/* What arena_step() looks at: a bit for each unit of 512 bytes that was touched. NULL: the arena is
   not used. */
extern uint64_t *arena_touched;
#define ARENA_UNIT_SHIFT 9
/* Ends the process if the library does not hold the unit, or may not read there. */
void arena_touch_unit(size_t unit);
/* Before an access to a shared word. */
MOAT_INLINE void arena_step(uintptr_t address) {
    if (arena_touched == NULL || address - ARENA_START >= ARENA_SIZE) return;
    size_t unit = (address - ARENA_START) >> ARENA_UNIT_SHIFT;
    if (MOAT_UNLIKELY((arena_touched[unit / 64] >> unit % 64 & 1) == 0)) arena_touch_unit(unit);
}
/* Plays a system call; false: the kernel shall answer it. */
bool arena_kernel(long number, const long *arguments, long *result);
/* Empties all that was touched. */
void arena_reset(void);
/* As harness_keep(). */
bool arena_keep(unsigned place);
void arena_bring_back(unsigned place);
/* The first word in [start, start + size) that is not zero although its unit was not touched, or 0:
   what would be left for the next life. Looks at resident pages alone. */
uintptr_t arena_missed(uintptr_t start, size_t size);
/* See harness_audit(), which sets it. */
extern bool arena_is_audited;

#endif
