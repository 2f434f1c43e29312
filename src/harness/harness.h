/*
 * harness: what a test or a fuzzer may ask of the seams (compiled with MOAT_HARNESS only; os.c
 * names a few of these in dead code).
 *
 * The os seam: refuses calls by a plan, counts them, and records every range the library holds. The
 * thread seam: says whose thread word is read. The atomic seam: a hook before each atomic access.
 * Failpoints go wrong by a plan, too. The random seed and the clock are virtual. harness_reset()
 * forgets all of it and gives all memory back, so that the allocator initialises afresh.
 *
 * Safe to call from several threads, save harness_reset() and the setters of hooks, which want the
 * others at rest. Allocates nothing. Misuse of the seam by the library (a call over a range it does
 * not hold) ends the process with a message.
 */
#ifndef MOAT_HARNESS_H
#define MOAT_HARNESS_H

#include "base/seam.h"
#include "os/os.h"
#include "os/os_seam.h"

/* --- Faults ---------------------------------------------------------------------------------- */

/* In the functions below a kind may also be HARNESS_ANY_CALL: every memory call (all kinds but
   OS_RANDOM and OS_SEAL). `n` counts from 1, from now on. Each function adds to the plan of its
   kind; harness_fail_none() clears all plans. */
#define HARNESS_ANY_CALL OS_CALLS
/* The n-th call fails, once. */
void harness_fail_nth(enum os_call kind, uint64_t n);
/* The n-th call and all after it fail. */
void harness_fail_from(enum os_call kind, uint64_t n);
/* Each call fails with a chance of `permille` in 1000, decided by the seed of
   harness_set_seed(). */
void harness_fail_sometimes(enum os_call kind, unsigned permille);
/* At most this many failures in all, whatever the plans say; UINT64_MAX (the default) is no
   bound. */
void harness_fail_budget(uint64_t failures);
void harness_fail_none(void);
/* At the n-th passing of a failpoint from now on (base/seam.h), and at each `every`-th after that
   (0: at none), it goes wrong there; a nudge at every second one at most, since a loop that tries
   again is one without end else. Counts as a failure where the failpoint takes something from
   the program, else as a nudge. */
void harness_fail_at(enum failpoint point, uint64_t n, uint64_t every);
const char *harness_failpoint_name(enum failpoint point);
/* Told of each before it goes on; NULL: nobody is. */
extern void (*harness_on_failpoint)(enum failpoint point, uint64_t passing);
/* Commits that would take harness_committed_bytes() above this fail, as at a memory limit; SIZE_MAX
   (the default) is none. */
void harness_limit_committed(size_t bytes);
/* From now on the kernel accepts guard markers and does nothing, as an emulator may. */
void harness_ignore_markers(void);
/* OS pages are so large, a multiple of the machine's, until harness_reset(); 0: as they are. */
void harness_set_page_size(size_t bytes);
/* NULL: none. Answers system calls in the kernel's place, as os_seam.kernel does. harness_reset()
   ends it. */
typedef bool harness_kernel(long number, const long *arguments, long *result);
void harness_set_kernel(harness_kernel *kernel);
/* NULL: none. Told of each look at memory that may not be there, it says how much further up what
   is played lies, as os_seam.peek does. harness_reset() ends it. */
typedef uintptr_t harness_peek(uintptr_t address, size_t size);
void harness_set_peek(harness_peek *peek);
/* Calls of a kind, and calls that a plan made fail, since harness_reset(). */
uint64_t harness_call_count(enum os_call kind);
uint64_t harness_failures(void);
uint64_t harness_nudges(void);

/* --- Ranges ---------------------------------------------------------------------------------- */

enum harness_state {
    HARNESS_FOREIGN,   /* not held by the library */
    HARNESS_RESERVED,  /* inaccessible, uncharged */
    HARNESS_READABLE,  /* read-only */
    HARNESS_COMMITTED, /* readable and writable */
    HARNESS_GUARDED    /* inaccessible by a marker, or by protection with its contents kept */
};

enum harness_state harness_range_state(uintptr_t address);
/* True when all of [start, start+size) is in that state; true for size 0. */
bool harness_range_is(uintptr_t start, size_t size, enum harness_state state);
/* False: the library does not hold the address. Ends the process if it does and the address may not
   be read. */
bool harness_expect_access(uintptr_t address);
size_t harness_reserved_bytes(void); /* held in any state */
size_t harness_committed_bytes(void);
size_t harness_guarded_bytes(void);
/* The kernel mappings that the ranges need: markers split none, each change of protection does. */
size_t harness_mapping_count(void);
/* Calls `visit` with each maximal range of one state, in address order. The seam is locked
   meanwhile: no os call inside. */
void harness_visit_ranges(void (*visit)(void *context, uintptr_t start, size_t size,
                                        enum harness_state state),
                          void *context);

/* --- Determinism ----------------------------------------------------------------------------- */

/* From now on os_random() gives bytes derived from the seed, and reservations without a hint lie at
   addresses that depend only on the calls made since (where the machine lets them). harness_reset()
   ends it. */
void harness_set_seed(uint64_t seed);
/* After harness_set_seed(). The first bytes that os_random() gives come from this seed instead:
   they say where tables and segments lie. All that heaps draw depends on the other seed as well, by
   way of the clock that makes their seeds. harness_reset() ends it. */
void harness_fix_layout(uint64_t seed);
/* The virtual clock that os_milliseconds() reads; starts at 1000 after a reset. */
void harness_clock_advance(uint64_t milliseconds);

/* --- Threads and atomics --------------------------------------------------------------------- */

/* The word that thread.h reads on the calling thread; NULL: its own. For schedulers that run
   several virtual threads in one. */
void harness_set_thread_word(uintptr_t *word);
/* Who runs virtual threads; see base/seam.h. All are called on the thread that makes the access. */
struct harness_scheduler {
    void (*step)(const struct atomic_site *site, const volatile void *word, unsigned size);
    uint64_t (*loaded)(uint64_t newest);
    void (*tried)(bool exchanged);
    /* The thread that runs cannot go on before another has; or a system call is made (`word` NULL
       in step). */
    void (*wait)(void);
    /* It sleeps until somebody wakes who sleeps at the word, so many at a time. */
    void (*sleep)(const volatile void *word);
    void (*wake)(const volatile void *word, unsigned count);
    /* All threads pass a memory barrier (membarrier). */
    void (*barrier)(void);
};
/* NULL: none. */
void harness_set_scheduler(const struct harness_scheduler *scheduler);
/* Called before every atomic access of the library when not NULL; may switch to another virtual
   thread. While it is set, os_futex_wait() returns at once, because all virtual threads share one
   real one. */
void harness_set_atomic_hook(void (*hook)(const volatile void *word));

/* For who sweeps over src/ (MOAT_SWEPT): whether a rare branch is left out of the program; and
   whether a compare-and-exchange that failed says that it did not. NULL: none. */
extern bool (*harness_on_branch)(const struct branch_site *site);
extern bool (*harness_on_failed_try)(const struct atomic_site *site);

/* While it is on, harness_reset() and each call that unmaps look for words that were written
   although the arena does not know of it, and end the process at one; and loads must be of memory
   that may be read. Slow. */
void harness_audit(bool on);

/* --- Starting afresh ------------------------------------------------------------------------- */

/* Gives every recorded range back, clears the read-only structure, the calling thread's word, the
   plans, the seed, the clock and the records; the calling thread reads its own word again. Keeps
   the atomic hook. No other thread may be inside the library, and none may hold a block. */
void harness_reset(void);

/* Keeps what the library and the seams hold now, in one of some places; false: memory is not
   played, or there is too much of it. harness_bring_back() makes all that again what it was then,
   as often as wanted. Who has hooks, words of virtual threads or memory of his own keeps those
   himself. The same conditions, but that threads may be inside the library if they are virtual. */
enum { HARNESS_PLACES = 2 };
bool harness_keep(unsigned place);
void harness_bring_back(unsigned place);

/* --- What the tables of the seams lead to ---------------------------------------------------- */

/* See os/os_seam.h and base/seam.h. Here for the tests of the harness itself. */
/* Counts the call; true when it must fail. */
bool harness_os_fails(enum os_call kind);
/* As above for OS_COMMIT, which also has a limit. */
bool harness_commit_fails(const void *start, size_t size);
void harness_os_note(enum os_change change, const void *start, size_t size);
bool harness_ignores_markers(void);
/* Ends the process: the library used a seam wrongly. */
MOAT_NORETURN void harness_complain(const char *message);
/* Where a reservation without a hint should lie; 0: anywhere. */
uintptr_t harness_reservation_hint(size_t size, size_t alignment);
/* False when no seed was set. */
bool harness_random(void *buffer, size_t size);
uint64_t harness_milliseconds(void);
bool harness_sleeps(const uint32_t *word);
void harness_atomic_step(const struct atomic_site *site, const volatile void *word, unsigned size);
uintptr_t *harness_thread_word(void);

#endif
