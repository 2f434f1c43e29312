/*
 * run: the state of one input's run against one subject, and how it ends.
 *
 * Owns what every operation shares: the state, the trace, failures, picking and comparing blocks,
 * and the way out of a report. It knows no operation: the verbs and misuses do, and dispatch calls
 * those. One thread at a time. A report that is expected, of an expected kind and at the very
 * address, ends the run; any other report and any wrong result is a failure: the engine prints what
 * happened and calls abort(), unless a failure handler is set (the engine's own test).
 */
#ifndef ENGINE_RUN_H
#define ENGINE_RUN_H

#include <setjmp.h>

#include "engine/input.h"
#include "engine/rng.h"
#include "engine/shadow.h"
#include "engine/sizing.h"
#include "engine/subject.h"

#define KIND_BIT(kind) (1u << (kind))

/* What a misuse may be reported as, set just before it. */
struct expectation {
    unsigned kinds;    /* KIND_BITs; 0: no report is expected */
    uintptr_t address; /* that the report must name */
};

/* What belongs to the operation in hand, and to the thread that carries it out. */
struct run_turn {
    unsigned op_index, thread;
    uint64_t failures_before;
    struct expectation expect;
    sigjmp_buf *escape;
};

struct run {
    const struct subject *subject;
    const struct input *input;
    struct rng random; /* choices that the input leaves open */
    uint64_t trace;    /* hash of all that was seen; equal for equal inputs */
    unsigned op_index;
    unsigned thread; /* that runs now */
    bool is_strict;
    bool may_be_locked; /* memory, if the input says so; set before run_begin() */
    bool is_child;
    bool at_once; /* several threads are in the middle of calls */
    bool over;    /* a report ended the run */
    int reported; /* its kind, or -1 */
    /* KIND_BITs that may be reported from now on at any address: free memory was overwritten */
    unsigned tolerated;
    unsigned faults_armed; /* so far in this run */
    bool is_limited;       /* the fault that is armed is a limit on all memory */
    /* system calls that had failed before the current operation */
    uint64_t failures_before;
    uint64_t failures;     /* system calls and failpoints that failed, when the run has ended; of an
                              input's runs the most */
    size_t baseline;       /* bytes committed with nothing allocated */
    unsigned threads_most; /* there were at once */
    /* At the strict level: what was freed since the quarantine was surely empty, and the model's
       clock then. */
    unsigned kept_blocks;
    size_t kept_bytes;
    uint32_t emptied;
    struct expectation expect;
    /* A block that is freed twice while threads run: any of them may report it, at any time. */
    struct expectation racing;
    /* Of each thread that is in the middle of a resize: the block as it was, and the size it is to
       have; start 0: it is in none. */
    struct {
        struct shadow_block old;
        size_t size;
    } resizing[INPUT_MAX_THREADS];
    struct shadow shadow; /* last: run_keep() copies of it what is in use */
};

/* Called by dispatch_begin() alone. */
void run_begin(struct run *run, const struct subject *subject, const struct input *input);
/* Calls step(run, argument) on this thread, which may call the subject. Returns when the step does,
   or, with run->over set, when the subject reports what was expected. */
void run_until_report(struct run *run, void (*step)(struct run *run, const void *argument),
                      const void *argument);
/* With no block and no other thread left: moat_check, used blocks, committed bytes. Not after a
   report. */
void run_at_rest(struct run *run);
/* While nobody is inside: memory and records that are nobody's, and counts. */
void run_judge_left_over(struct run *run);
void run_end(struct run *run);
/* Between two operations: keeps the run and its subject as they are, and makes them that again;
   false: they cannot be kept. run_pause(): a run is over, and its subject may be brought back. */
bool run_keep(const struct run *run, enum life_place place);
void run_bring_back(struct run *run, enum life_place place);
void run_pause(struct run *run);

/* Another thread's operation goes on: what belongs to the one in hand is kept, and taken up
   again. */
void run_leave(const struct run *run, struct run_turn *turn);
void run_enter(struct run *run, const struct run_turn *turn);
/* Called for a block that was just taken into the model, or is about to be used; NULL: by none. */
extern void (*run_block_hook)(uint16_t index, bool taken);
/* Called for a block that was just handed out, each time before more is done with it; may end the
   run. NULL: by none. */
extern void (*run_handed_out_hook)(uintptr_t start, size_t requested);
/* Says more about a failure; NULL: there is no more. */
extern void (*run_describe)(void);

/* The engine found something wrong: with the allocator, by far most likely. Does not return. */
__attribute__((noreturn, format(printf, 2, 3))) void run_fail(struct run *run, const char *format,
                                                              ...);
/* What stands between each run and its subject from its beginning; NULL: nothing. */
extern const struct subject *(*run_stand_between)(const struct run *run,
                                                  const struct subject *subject);
/* Takes the failure instead of abort(); must not return. */
extern void (*run_failure_handler)(const char *text);
/* Prints each operation to stderr as it is carried out. */
extern bool run_verbose;
/* The scheduler of every run, whatever its input says; negative: what that says. */
extern int run_scheduler;
/* The engine looks at itself, too, at the end of each run. */
extern bool run_is_audited;
/* Every run has the kernel's memory, whatever its input says. */
extern bool run_by_kernel;
/* A forked child has no need of what the kernel does to its memory: others do it. */
extern bool run_fork_is_played;
/* In every run the n-th system call of that kind fails, or, behind those kinds, the failpoint at
   its n-th passing; n 0: none does but what the input says. */
extern struct run_fault { unsigned kind, n; } run_fault;

/* What was seen goes into the trace; nothing that differs from run to run may. */
void run_trace(struct run *run, uint64_t value);
/* An address as it may be traced: from the subject's base. */
uint64_t run_offset(const struct run *run, uintptr_t address);
/* Whether a block that was freed is surely in quarantine still. One thread. */
bool run_is_kept_back(const struct run *run, uint16_t grave);
/* The quarantine may have been emptied; and a block may have come in. */
void run_empties_quarantine(struct run *run);
void run_keeps_back(struct run *run, const struct shadow_block *block);
/* Whether a block of the strict level surely has a run of its own. */
bool run_stands_alone(const struct run *run, size_t usable);
/* The block that an operation's pick names, or SHADOW_NONE where there is none. */
uint16_t run_pick_live(const struct run *run, unsigned pick);
uint16_t run_pick_grave(const struct run *run, unsigned pick);
/* Before a live block is used: fails unless it still holds what it was filled with. */
void run_compare(struct run *run, uint16_t index);

#endif
