/*
 * child: what a forked child does with the allocator that it has from its parent. See the header.
 */
#include "engine/child.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/dispatch.h"
#include "harness/harness.h"

/* A thread that did not come along may have been about to hand a block out, and to free another. */
enum { KEPT_PER_CALL = 2 };

/* As often as not of a size that the parent has blocks of. */
static void take_size(const struct run *run, struct rng *random, struct input_op *op) {
    const struct input *input = run->input;
    if (input->op_count == 0 || rng_below(random, 2) == 0) return;
    const struct input_op *like = &input->ops[rng_below(random, input->op_count)];
    if (like->code != OP_MALLOC && like->code != OP_MALLOC_MANY) return;
    op->kind = (uint8_t)(like->kind % SIZE_KINDS);
    op->value = like->value;
}

/* As often as not there is a second thread soon, which is born in the child: what it frees is the
   first one's, or what threads that did not come along had, and it has a heap of its own. */
static struct {
    struct rng random;
    bool is_due; /* it is born, or about to be */
    bool runs;   /* and goes on just now */
} born;

static void be_born(struct run *run, bool runs) {
    if (born.runs == runs) return;
    born.runs = runs;
    run->subject->be_born(runs);
}

static void begin_born(const struct run *run, const struct input_op *op) {
    born.random = (struct rng){rng_mix(run->input->seed ^ op->value) + 1};
    born.is_due = run->subject->be_born != NULL && rng_below(&born.random, 2) == 0;
    born.runs = false;
}

static void end_thread(struct run *run, const void *argument) {
    (void)argument;
    run->subject->end_thread();
}

/* It frees half of what there is. */
static void drain_born(struct run *run, unsigned thread) {
    if (!born.is_due) return;
    be_born(run, true);
    dispatch_drain(run, 0, 2, thread);
    be_born(run, false);
}

static void end_born(struct run *run) {
    if (!born.is_due || run->over) return;
    be_born(run, true);
    run_until_report(run, end_thread, NULL);
    be_born(run, false);
    born.is_due = false;
}

/* Logarithm of how many blocks at once, less one: as a rule a handful, since a child is to cost no
   more than a run. */
static uint8_t few(uint8_t other) {
    enum { MANY_FROM = 240, FEW = 4 };
    return other >= MANY_FROM ? other : other % FEW;
}

static void work(struct run *run, const struct input_op *op, unsigned thread) {
    enum { OPS = 24 };
    static const uint8_t codes[] = {OP_MALLOC,    OP_FREE,        OP_CALLOC, OP_REALLOC,
                                    OP_FREE_MANY, OP_MALLOC_MANY, OP_USABLE, OP_FREE};
    struct rng random = {run->input->seed + op->value};
    for (unsigned i = 0; i < OPS && !run->over; i++) {
        struct input_op one = {
            codes[rng_below(&random, sizeof codes)], (uint8_t)rng_below(&random, 256),
            (uint8_t)(rng_below(&random, 256) & ~8u), (uint8_t)rng_below(&random, SIZE_LARGE + 1),
            (uint32_t)rng_next(&random)};
        take_size(run, &random, &one);
        if (one.code == OP_MALLOC_MANY) one.other = few(one.other);
        be_born(run, born.is_due && rng_below(&born.random, 3) == 0);
        dispatch_op(run, &one, thread);
    }
    be_born(run, false);
}

/* Everything is freed, and the other thread ends: before the last blocks are, or after that. */
static void drain_all(struct run *run, unsigned thread) {
    bool ends_first = rng_below(&born.random, 2) == 0;
    drain_born(run, thread);
    if (born.is_due && !run->over) dispatch_drain(run, 0, 2, thread);
    if (!run->over) run_judge_left_over(run);
    if (ends_first) end_born(run);
    if (!run->over) dispatch_drain(run, 0, 1, thread);
    if (!born.is_due || run->over) return;
    end_born(run);
    if (!run->over) dispatch_drain(run, 0, 1, thread); /* what it left is given back */
}

static void judge_rest(struct run *run, unsigned calls) {
    size_t used = run->subject->used_blocks();
    if (!run->tolerated && used > (size_t)calls * KEPT_PER_CALL)
        run_fail(run, "%zu blocks in use in a child after everything was freed", used);
}

/* Of each few children one has little memory left, or none. */
static void limit(struct run *run, const struct input_op *op) {
    enum { FEW = 3, MORE_MAX = 1024 * 1024 };
    struct rng random = {rng_mix(run->input->seed + op->value)};
    run->is_limited = rng_below(&random, FEW) == 0;
    if (run->is_limited) run->subject->limit(rng_below(&random, 2) * rng_below(&random, MORE_MAX));
}

static void judge_pages(struct run *run, unsigned calls) {
    const struct subject *subject = run->subject;
    const char *wrong = subject->misjudges_pages != NULL ? subject->misjudges_pages(calls) : NULL;
    if (wrong != NULL) run_fail(run, "in a child %s", wrong);
}

static void judge_empty(struct run *run) {
    const struct subject *subject = run->subject;
    if (!run->tolerated && subject->keeps_empty_page != NULL && subject->keeps_empty_page())
        run_fail(run, "a page without blocks is kept in a child");
}

/* What another thread was resizing is the program's, unless it has been freed by the resize: it has
   one size or the other, and holds what it held. */
static void take_over(struct run *run, const void *argument) {
    const unsigned *number = argument;
    const struct shadow_block *old = &run->resizing[*number].old;
    size_t wrong = 0, usable = run->subject->usable_size((const void *)old->start);
    size_t wanted = run->resizing[*number].size, kept = wanted < old->usable ? wanted : old->usable;
    if (usable < kept || (run->is_strict && usable != old->usable && usable != wanted))
        run_fail(run, "in a child a block that was being resized has %zu bytes, not %zu or %zu",
                 usable, old->usable, wanted);
    if (!shadow_compare(old, old->start, kept, &wrong))
        run_fail(run, "in a child a block that was being resized lost byte %zu", wrong);
    /* its guards may be where the other size has them */
    struct shadow_block facts = *old;
    uint16_t index;
    facts.requested = facts.usable = usable;
    const char *broken = shadow_birth(&run->shadow, facts, &index);
    if (broken)
        run_fail(run, "%s: %#lx, which was being resized", broken, (unsigned long)old->start);
    shadow_fill(&run->shadow, index);
}

static void take_over_all(struct run *run, unsigned thread) {
    if (run->subject->lives == NULL || run->tolerated) return;
    for (unsigned i = 0; i < INPUT_MAX_THREADS && !run->over; i++) {
        uintptr_t start = run->resizing[i].old.start;
        if (i == thread || start == 0 || !run->subject->lives(start)) continue;
        uint16_t other = shadow_find_live(&run->shadow, start, 1);
        /* it was freed by the resize, and is another thread's */
        if (other != SHADOW_NONE && run->shadow.blocks[other].start == start) continue;
        run_until_report(run, take_over, &i);
    }
}

/* Only this thread is left; blocks of all threads are there. */
static void live_on(struct run *run, const struct input_op *op, unsigned thread, unsigned calls) {
    struct input_op check = {.code = OP_CHECK};
    run->is_child = true;
    begin_born(run, op);
    run->subject->fail_none();
    judge_pages(run, calls);
    dispatch_op(run, &check, thread);
    if (!run->over) take_over_all(run, thread);
    if (!run->over) limit(run, op);
    work(run, op, thread);
    run->subject->fail_none();
    if (!run->over) dispatch_op(run, &check, thread);
    if (!run->over) drain_all(run, thread);
    if (!run->over) dispatch_op(run, &check, thread);
    if (!run->over) judge_rest(run, calls);
    if (!run->over) judge_empty(run);
    if (!run->over) run_judge_left_over(run);
}

_Noreturn static void run_child(struct run *run, const struct input_op *op, unsigned thread,
                                unsigned calls) {
    enum { SECONDS_MAX = 20 };
    signal(SIGALRM, SIG_DFL);
    alarm(SECONDS_MAX);
    live_on(run, op, thread, calls);
    _exit(0); /* a report that was expected: of a list that was damaged before the fork */
}

/* What the child has to put in order, it does on its way out of fork(), and may report there. */
static void make_child(struct run *run, const void *argument) {
    pid_t *child = *(pid_t *const *)argument;
    (void)run;
    *child = 0; /* if it does not come back from there */
    *child = fork();
}

void child_fork(struct run *run, const struct input_op *op, unsigned thread, unsigned calls,
                void (*begin)(void)) {
    fflush(NULL);
    pid_t child = -1, *place = &child;
    run_until_report(run, make_child, &place);
    if (child < 0) {
        fprintf(stderr, "fuzz: fork: error %d\n", errno);
        exit(2);
    }
    if (child == 0) {
        if (run->over) _exit(0); /* as below */
        if (begin != NULL) begin();
        run_child(run, op, thread, calls);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) exit(2);
    if (WIFSIGNALED(status)) run_fail(run, "the forked child died of signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        run_fail(run, "the forked child ended with status %d", WEXITSTATUS(status));
}

/* --- Without a fork -------------------------------------------------------------------------- */

static struct run *played;

/* Who waits yields or sleeps. */
static bool answer_kernel(long number, const long *arguments, long *result) {
    bool sleeps = number == SYS_futex && (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    if (number == SYS_sched_yield || sleeps)
        run_fail(played, "a forked child waits for a thread that is gone");
    *result = 0;
    return number == SYS_futex || number == SYS_membarrier;
}

static void be_child(struct run *run, const void *argument) {
    (void)argument;
    run->subject->be_child();
}

bool child_play(struct run *run, const struct input_op *op, unsigned thread, unsigned calls) {
    if (!run_keep(run, LIFE_OF_PARENT)) return false;
    played = run;
    run->subject->set_scheduler(NULL);
    harness_set_kernel(answer_kernel);
    run_until_report(run, be_child, NULL);
    if (!run->over) live_on(run, op, thread, calls);
    be_born(run, false);
    harness_set_kernel(NULL);
    run_bring_back(run, LIFE_OF_PARENT);
    return true;
}
