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
        dispatch_op(run, &one, thread);
    }
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

/* Only this thread is left; blocks of all threads are there. */
static void live_on(struct run *run, const struct input_op *op, unsigned thread, unsigned calls) {
    struct input_op check = {.code = OP_CHECK};
    run->is_child = true;
    run->subject->fail_none();
    judge_pages(run, calls);
    dispatch_op(run, &check, thread);
    if (!run->over) limit(run, op);
    work(run, op, thread);
    run->subject->fail_none();
    if (!run->over) dispatch_op(run, &check, thread);
    if (!run->over) dispatch_drain(run, 0, 1, thread);
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
    harness_set_kernel(NULL);
    run_bring_back(run, LIFE_OF_PARENT);
    return true;
}
