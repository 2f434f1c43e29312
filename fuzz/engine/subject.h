/*
 * subject: the allocator under test, as a table of functions.
 *
 * The harnesses drive moat (subject_moat.c); the engine's own test drives small allocators with
 * planted faults. All of a subject's verbs have the contracts of include/moat.h. Nothing else in
 * the engine calls an allocator.
 */
#ifndef ENGINE_SUBJECT_H
#define ENGINE_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/report.h"

struct harness_scheduler;

struct life {
    uint64_t seed;
    bool by_kernel; /* memory is the kernel's, with its protection and what it costs */
    bool is_strict;
    bool is_sampled;    /* some of the blocks have OS pages of their own */
    bool zero_is_block; /* what a resize to no bytes gives is a block, and not NULL */
};

/* What a life is kept for. */
enum life_place { LIFE_AFTER_PROLOGUE, LIFE_OF_PARENT, LIFE_PLACES };

struct subject {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void *(*reallocarray)(void *block, size_t count, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    int (*posix_memalign)(void **result, size_t alignment, size_t size);
    void (*free)(void *block);
    void (*free_sized)(void *block, size_t size);
    void (*free_aligned_sized)(void *block, size_t alignment, size_t size);
    size_t (*usable_size)(const void *block);
    bool (*owns)(const void *address);
    bool (*trim)(void);
    size_t (*check)(void);

    /* A life begins: nothing is allocated, all randomness comes from the seed, reports go to
       `on_report`, which does not return. */
    void (*begin)(struct life life, void (*on_report)(enum report_kind kind, uintptr_t address));
    /* Forgets everything and gives all memory back. */
    void (*end)(void);
    /* Keeps the life as it is now, in one of two places, and makes it that again. False: it cannot
       be kept. NULL: none can. */
    bool (*keep)(enum life_place place);
    void (*bring_back)(enum life_place place);
    /* The thread that calls is all that is left, as after a fork in the child. */
    void (*be_child)(void);
    /* The engine is about to write there. */
    void (*touch)(uintptr_t start, size_t size);
    /* In a child, which leaves pages of its parent alone; NULL, each of them: it has no such pages.
       Right after be_child(), so many calls of others were in progress: what of them is not as it
       should be, NULL: nothing. Whether a block
       lies in such a page; whether one of so many bytes is to be had there; and, when all that
       could go back has gone, whether a page is kept without blocks. */
    const char *(*misjudges_pages)(unsigned calls);
    bool (*is_left_alone)(uintptr_t block);
    bool (*spares)(size_t size);
    bool (*keeps_empty_page)(void);
    /* From now on memory, which is played, is locked, and counts against a limit, as after mlockall
       by parts. NULL: it makes no difference. */
    void (*lock_memory)(void);
    /* The calling thread is about to end and its exit hook shall do nothing: the allocator was left
       in mid-step by a report. */
    void (*abandon_thread)(void);
    /* From now on the calling thread is that virtual one, new at the life's begin; or itself. */
    void (*be_thread)(unsigned number);
    void (*be_nobody)(void);
    /* From now on it is one that was born in a forked child, or again the one that it was before.
       NULL: no thread is born there. */
    void (*be_born)(bool born);
    /* What happens when the thread that calls ends. */
    void (*end_thread)(void);
    /* Who is asked at each access to a shared word; NULL: nobody. */
    void (*set_scheduler)(const struct harness_scheduler *scheduler);
    /* Whether memory at the address may be accessed, as far as is known of it. */
    bool (*is_open)(uintptr_t address);
    /* Whether a block that lives has OS pages of its own, with inaccessible memory on both sides.
       NULL: none has. */
    bool (*is_sample)(uintptr_t block);
    /* While nobody else goes on: whether a live block has segments of its own. NULL: those above
       LARGE_MAX have, and no other. */
    bool (*has_run)(uintptr_t block);
    /* While nobody else goes on: whether a block begins there that nobody has freed. NULL: it
       cannot be told. */
    bool (*lives)(uintptr_t block);
    /* Whether so much of the address space is taken, or memory so scarce, that blocks of the strict
       level share pages. */
    bool (*is_crowded)(void);
    /* Blocks with a page of their own kind begin with a word that is 0 when they are handed out:
       what the allocator kept there is erased. */
    bool erases_links;
    /* Addresses are told apart from this one, so that traces do not depend on where the region
       lies. */
    uintptr_t (*base)(void);
    size_t (*committed)(void);
    /* Blocks in use as the allocator sees them. Exact once every thread has collected. */
    size_t (*used_blocks)(void);
    /* While nobody is inside: what is nobody's and should not be, or is counted and is not there,
       whatever failed before; NULL: nothing. The function NULL: it cannot be told. */
    const char *(*left_over)(void);
    /* Records of threads that were ever made; NULL: it has none. */
    unsigned (*heaps)(void);
    void (*advance_clock)(uint64_t milliseconds);
    /* The n-th system call of a kind (0 … fault_kinds - 1) from now on fails, once or with all
       that come after it. */
    void (*fail_nth)(unsigned kind, unsigned n, bool for_good);
    /* From now on no more than so many bytes more than now are had from the kernel. */
    void (*limit)(size_t more);
    /* Ends all of that. */
    void (*fail_none)(void);
    uint64_t (*failures)(void); /* since the life began */
    unsigned fault_kinds;
    /* A failpoint (0 … fail_points - 1) goes wrong at its n-th passing from now on, and at each
       `every`-th after that (0: at none). Those that take something from the program are
       failures, others nudges, which excuse nothing. */
    void (*fail_at)(unsigned point, unsigned n, unsigned every);
    /* Who is told when one does; NULL: nobody. */
    void (*tell_of_failpoints)(void (*told)(const char *name, uint64_t passing));
    uint64_t (*nudges)(void); /* since the life began */
    unsigned fail_points;     /* 0: there are none, nor these functions */

    /* The first word of a free block that would lead its page's list to the address, as an attacker
       may know it who has seen all there is to see. NULL: blocks hold no links. */
    uint64_t (*link_to)(uintptr_t block, uintptr_t address);

    /* The number that the links of a block's page are mixed with. NULL: there is none. */
    uint64_t (*secret)(uintptr_t block);

    /* --- What the strict level has; NULL: the subject has no such level ---- */

    /* Bytes of the page that a block of so many takes; 0: it may have a run of its own, with
       inaccessible memory on both sides. */
    size_t (*cell)(size_t size, size_t alignment);
    /* By another family of functions. */
    void *(*new_block)(size_t size);
    void (*delete_block)(void *block);
    /* Whether a thread keeps back all that it frees as long as it is no more than that. */
    bool (*quarantine_holds)(unsigned blocks, size_t bytes);
};

extern const struct subject subject_moat;

#endif
