/*
 * scene: how a misuse is staged, announced and followed.
 *
 * A case is one row of a table: what kind of report it must raise, by which path, and when. The
 * program that plays it (misuse.c) is run by the judge (judge.c), which reads from its standard
 * output
 *
 *     expect <kinds> 0x<lowest> 0x<highest> <what>   before the misuse: kind, address, phrase
 *     passed misuse                                  just after it
 *     a link is damaged                              before that, where it leaves the list so
 *     fault 0x<address>                              by the SIGSEGV handler, where it must fault
 *     handed out 0x<address>                         a block was given to two owners: always wrong
 *     finished                                       the scene is over and nothing stopped it
 *
 * (kind and phrase are expressions) and from standard error the report, alone. Rows begin with CASE
 * so that CMake finds one test for each.
 */
#ifndef MISUSE_SCENE_H
#define MISUSE_SCENE_H

#include "require.h"
#include "worker.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum outcome {
    AT_ONCE, /* stopped at the misuse: "passed misuse" never appears */
    LATER,   /* stopped before the scene is over, at the latest before the block has two owners */
    LATER_OR_HARMLESS, /* may go unnoticed, but no block ever has two owners */
    FAULT,             /* SIGSEGV at the misuse, in the announced range, and no report */
    CLEAN              /* no misuse at all: nothing may be reported */
};

struct misuse_case {
    const char *kind; /* expression for the report's kind, or "guard", or "none" */
    const char *path; /* unique within the kind */
    enum outcome outcome;
    void (*play)(size_t size);
    size_t size;         /* for play: bytes of the blocks, or what the scene says */
    unsigned rounds;     /* processes to run, each with its own `scene_round` */
    const char *options; /* MOAT_OPTIONS, or NULL */
};

#define CASE(kind, path, outcome, play, size)                                                      \
    { kind, path, outcome, play, size, 1, NULL }
#define CASE_ROUNDS(kind, path, outcome, play, size, rounds)                                       \
    { kind, path, outcome, play, size, rounds, NULL }
#define CASE_OPTIONS(kind, path, outcome, play, size, options)                                     \
    { kind, path, outcome, play, size, 1, options }
#define CASES_END                                                                                  \
    { NULL, NULL, CLEAN, NULL, 0, 0, NULL }

extern const struct misuse_case double_free_cases[], racing_cases[], lifetime_cases[],
    no_block_cases[], resize_cases[], sized_cases[], link_cases[], forged_link_cases[],
    guard_cases[], reentrant_cases[], thread_word_cases[], right_cases[], strict_cases[],
    sample_cases[];

/* Played with on=report: the program goes on after what is no damage of moat's. */
extern bool scene_goes_on;
/* Bytes of the blocks that are misused; as the case says, unless the scene knows better. */
extern size_t scene_size;
/* Which of the case's processes this is, from 0; a scene may vary its timing or its address by
   it. */
extern unsigned scene_round;

/* One size of each page kind, and the two kinds without pages. */
#define SMALLEST ((size_t)16)
#define SMALL ((size_t)48)
#define SMALL_PAGE ((size_t)4096)
#define MEDIUM ((size_t)20 * 1024)
#define LARGE ((size_t)300 * 1024)
#define HUGE ((size_t)3 * 1024 * 1024)
#define SEGMENT ((uintptr_t)4 << 20)

/* Phrases of the first report line, as expressions. */
#define FREED_AGAIN "second free of a block"
#define FREED_INSIDE "free of an address inside a block"
#define FREED_NO_BLOCK "free of an address that is no block"
#define FREED_FOREIGN "free of an address outside the heap"
#define FREED_ANY_ADDRESS "free of an address .+"
#define DAMAGED_LIST "free list is damaged"

/* A block that the compiler knows nothing about; ends the test if there is none. */
void *take(size_t size);
void give(void *block);

/* Announces the report that must come; the kind is the case's. `address` is what the report must
   name. */
void expect(const char *what, const void *address);
void expect_within(const char *what, uintptr_t lowest, uintptr_t highest);
/* Announces a fault in [lowest, highest]. */
void expect_fault(const void *lowest, const void *highest);
void passed(void);
/* Says that there is a damaged list too, which whoever goes on comes upon. */
void link_is_damaged(void);
/* Ends the process: nothing stopped the scene. If it went on after a report, what comes then is
   played first: no block is handed out twice, and the tables are in order. */
_Noreturn void finished(void);

/* expect(), free, passed(): the misuse itself. */
void free_wrongly(const char *what, void *address);
/* For worker_do(). */
void give_task(void *block);
void free_again_task(void *block);

/* Registers a block of the test as live; everything taken by walk() must not overlap it. */
void hold(const void *block, size_t size);
/* Allocates until the free lists of the size's pages have surely been walked, holding every block;
   says "handed out" and ends if one overlaps a held block. */
void walk(size_t size);
void walk_task(void *size);

/* Runs `task` in a forked child; the caller ends as the child ended. */
_Noreturn void in_child(void (*task)(void *), void *argument);

/* Two threads pass together: the second to arrive releases both. */
void gate_reset(void);
void gate_pass(unsigned delay);

#endif
