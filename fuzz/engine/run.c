/*
 * run: the state of one input's run against one subject, and how it ends. See the header.
 *
 * The report hook runs on the reporting thread, deep inside the allocator, and leaves it by a jump
 * to that thread's run_until_report(). The allocator is in mid-step then; the run is over and
 * nothing calls it again before it is reset.
 */
#include "engine/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct subject *(*run_stand_between)(const struct run *run, const struct subject *subject);
void (*run_failure_handler)(const char *text);
bool run_verbose;
bool run_by_kernel;
struct run_fault run_fault;
bool run_fork_is_played;
bool run_is_audited;
int run_scheduler = -1;
void (*run_block_hook)(uint16_t index, bool taken);
void (*run_handed_out_hook)(uintptr_t start, size_t requested);
void (*run_describe)(void);

/* The run whose subject may report now. */
static struct run *current;
static _Thread_local sigjmp_buf *escape;

void run_trace(struct run *run, uint64_t value) {
    run->trace = rng_mix(run->trace ^ value) + value;
}

uint64_t run_offset(const struct run *run, uintptr_t address) {
    return address - run->subject->base();
}

void run_fail(struct run *run, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (run_failure_handler) run_failure_handler(text);
    fprintf(stderr, "fuzz: failure: %s\n", text);
    if (run->op_index < run->input->op_count) {
        const struct input_op *op = &run->input->ops[run->op_index];
        fprintf(stderr,
                "fuzz: at operation %u (%s, pick %u, other %u, kind %u, value %u) on thread %u, %u "
                "blocks live\n",
                run->op_index, op_name(op->code), op->pick, op->other, op->kind, op->value,
                run->thread, run->shadow.live_count);
    } else {
        fprintf(stderr, "fuzz: at the end of the run, on thread %u, %u blocks live\n", run->thread,
                run->shadow.live_count);
    }
    if (run_describe != NULL) run_describe();
    abort();
}

static void on_report(enum report_kind kind, uintptr_t address) {
    struct run *run = current;
    bool expected = (run->expect.kinds & KIND_BIT(kind)) && address == run->expect.address;
    expected |= (run->racing.kinds & KIND_BIT(kind)) && address == run->racing.address;
    if (!expected && !(run->tolerated & KIND_BIT(kind)))
        run_fail(run, "report %s at %#lx (offset %#lx), expected kinds %#x at %#lx",
                 report_kind_name(kind), (unsigned long)address,
                 (unsigned long)run_offset(run, address), run->expect.kinds,
                 (unsigned long)run->expect.address);
    run->reported = (int)kind;
    run->over = true;
    siglongjmp(*escape, 1);
}

/* The least that is committed with nothing allocated: after the first use. */
static size_t measure_baseline(const struct subject *subject) {
    void *block = subject->malloc(100);
    subject->free(block);
    subject->trim();
    return subject->committed();
}

/* Of some inputs that misuse nothing: what samples make of a misuse is not foretold. But where
   threads run at once there is one misuse, the second free of a block. */
static bool is_sampled(const struct input *input) {
    enum { SHIFT = 40, ODDS = 8 };
    bool may_be = (input->flags & INPUT_MISUSE) == 0 || run_handed_out_hook != NULL;
    return may_be && (input->seed >> SHIFT) % ODDS == ODDS - 1;
}

/* Of some inputs whose memory is played. */
static bool is_locked(const struct input *input) {
    enum { SHIFT = 48, ODDS = 16 };
    return (input->seed >> SHIFT) % ODDS == ODDS - 1;
}

static void print_failpoint(const char *name, uint64_t passing) {
    fprintf(stderr, "fuzz:   failpoint %s, passing %lu\n", name, (unsigned long)passing);
}

/* What goes wrong from the beginning on, as the input says or the program that drives it. */
static void arm(const struct subject *subject, const struct input *input) {
    unsigned kinds = subject->fault_kinds;
    if (subject->fail_points != 0)
        subject->tell_of_failpoints(run_verbose ? print_failpoint : NULL);
    if (input->failpoint != 0 && input->failpoint <= subject->fail_points)
        subject->fail_at(input->failpoint - 1u, input->fail_first + 1u, input->fail_every);
    if (run_fault.n != 0 && run_fault.kind < kinds)
        subject->fail_nth(run_fault.kind, run_fault.n, false);
    else if (run_fault.n != 0)
        subject->fail_at(run_fault.kind - kinds, run_fault.n, 0);
}

void run_begin(struct run *run, const struct subject *subject, const struct input *input) {
    enum { FULL_NORMALLY = 1024, FULL_ALWAYS = 1024 * 1024 };
    run->subject = subject;
    run->input = input;
    run->random.state = input->seed ^ 0x6d6f6174;
    run->trace = 0;
    run->op_index = 0;
    run->thread = 0;
    run->threads_most = 1;
    run->at_once = run->over = run->is_child = false;
    run->reported = -1;
    run->is_strict = (input->flags & INPUT_STRICT) != 0 && subject->cell != NULL;
    run->kept_blocks = run->emptied = 0;
    run->kept_bytes = 0;
    run->tolerated = 0;
    run->faults_armed = 0;
    run->is_limited = false;
    run->failures_before = 0;
    run->expect = run->racing = (struct expectation){0, 0};
    memset(run->resizing, 0, sizeof run->resizing);
    shadow_reset(&run->shadow, input->seed,
                 input->flags & INPUT_FULL_CONTENTS ? FULL_ALWAYS : FULL_NORMALLY);
    run->shadow.touch = subject->touch;
    current = run;
    if (run_stand_between != NULL) run->subject = subject = run_stand_between(run, subject);
    /* a forked child needs what the kernel does to its memory */
    unsigned flags = INPUT_KERNEL | (run_fork_is_played ? 0u : INPUT_FORK);
    bool by_kernel = (input->flags & flags) != 0 || run_by_kernel;
    subject->begin((struct life){.seed = input->seed,
                                 .by_kernel = by_kernel,
                                 .is_strict = run->is_strict,
                                 .is_sampled = is_sampled(input)},
                   on_report);
    run->baseline = measure_baseline(subject);
    if (!by_kernel && run->may_be_locked && subject->lock_memory != NULL && is_locked(input))
        subject->lock_memory();
    arm(subject, input);
}

void run_pause(struct run *run) {
    run->failures = run->subject->failures();
    if (run->subject->fail_points != 0) run->failures += run->subject->nudges();
    current = NULL;
}

void run_end(struct run *run) {
    run_pause(run);
    run->subject->end();
}

static struct run kept[LIFE_PLACES];

bool run_keep(const struct run *run, enum life_place place) {
    if (run->over || run->subject->keep == NULL || !run->subject->keep(place)) return false;
    memcpy(&kept[place], run, offsetof(struct run, shadow));
    shadow_copy(&kept[place].shadow, &run->shadow);
    return true;
}

void run_bring_back(struct run *run, enum life_place place) {
    kept[place].subject->bring_back(place);
    memcpy(run, &kept[place], offsetof(struct run, shadow));
    shadow_copy(&run->shadow, &kept[place].shadow);
    current = run;
}

bool run_is_kept_back(const struct run *run, uint16_t grave) {
    const struct shadow_block *dead = &run->shadow.blocks[grave];
    return run->is_strict && run->threads_most == 1 && run->subject->failures() == 0 &&
           dead->usable != 0 && dead->cell != 0 && dead->died > run->emptied &&
           run->subject->quarantine_holds(run->kept_blocks, run->kept_bytes);
}

void run_keeps_back(struct run *run, const struct shadow_block *block) {
    run->kept_blocks++;
    run->kept_bytes += block->cell;
}

void run_empties_quarantine(struct run *run) {
    run->kept_blocks = 0;
    run->kept_bytes = 0;
    run->emptied = run->shadow.clock;
}

bool run_stands_alone(const struct run *run, size_t usable) {
    return run->is_strict && usable >= GUARDED_AT_STRICT && run->subject->failures() == 0 &&
           !run->subject->is_crowded();
}

/* A pick names the same share of the way through the list, whatever its length. */
uint16_t run_pick_live(const struct run *run, unsigned pick) {
    unsigned count = run->shadow.live_count;
    return count ? run->shadow.live[(pick & 255) * count >> 8] : SHADOW_NONE;
}

uint16_t run_pick_grave(const struct run *run, unsigned pick) {
    unsigned count = run->shadow.grave_count;
    return count ? run->shadow.graves[(pick & 255) * count >> 8] : SHADOW_NONE;
}

void run_compare(struct run *run, uint16_t index) {
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t wrong = 0;
    if (run_block_hook != NULL) run_block_hook(index, false);
    if (!shadow_compare(block, block->start, block->usable, &wrong))
        run_fail(run, "contents lost at byte %zu of the block of %zu bytes at %#lx", wrong,
                 block->usable, (unsigned long)block->start);
}

void run_until_report(struct run *run, void (*step)(struct run *run, const void *argument),
                      const void *argument) {
    sigjmp_buf here, *outer = escape;
    run->failures_before = run->subject->failures();
    escape = &here;
    if (sigsetjmp(here, 0) == 0)
        step(run, argument);
    else
        run_trace(run, (uint64_t)run->reported);
    escape = outer;
}

void run_leave(const struct run *run, struct run_turn *turn) {
    *turn =
        (struct run_turn){run->op_index, run->thread, run->failures_before, run->expect, escape};
}

void run_enter(struct run *run, const struct run_turn *turn) {
    run->op_index = turn->op_index;
    run->thread = turn->thread;
    run->failures_before = turn->failures_before;
    run->expect = turn->expect;
    escape = turn->escape;
}

/* At the strict level what is freed is cleared at once, and what a thread that is gone was about to
   clear is cleared by who puts it in order. Of a page's block: others are inaccessible. */
static void judge_cleared(struct run *run) {
    const struct subject *subject = run->subject;
    for (unsigned i = 0; i < run->shadow.grave_count; i++) {
        const struct shadow_block *dead = &run->shadow.blocks[run->shadow.graves[i]];
        if (dead->cell == 0 || !subject->is_open(dead->start) || subject->lives(dead->start) ||
            subject->is_sample(dead->start) || !shadow_remains(dead))
            continue;
        run_fail(run, "a freed block of %zu bytes at %#lx has what it held", dead->usable,
                 (unsigned long)dead->start);
    }
}

void run_judge_left_over(struct run *run) {
    const struct subject *subject = run->subject;
    const char *what = subject->left_over != NULL ? subject->left_over() : NULL;
    if (run->tolerated) return;
    if (what != NULL) run_fail(run, "at rest: %s", what);
    if (run->is_strict && subject->lives != NULL) judge_cleared(run);
}

void run_at_rest(struct run *run) {
    if (run->tolerated) return; /* blocks of a damaged list may be lost */
    const char *broken = run_is_audited ? shadow_validate(&run->shadow) : NULL;
    if (broken) run_fail(run, "the engine itself is broken: %s", broken);
    run->subject->trim();
    run->subject->check();
    /* one for each thread that there is at once, and one for those that have none */
    unsigned heaps = run->subject->heaps != NULL ? run->subject->heaps() : 0;
    if (heaps > run->threads_most + 1)
        run_fail(run, "%u heaps were made for %u threads", heaps, run->threads_most);
    size_t used = run->subject->used_blocks();
    if (used != 0) run_fail(run, "%zu blocks in use after everything was freed", used);
    run_judge_left_over(run);
    size_t committed = run->subject->committed();
    run_trace(run, committed);
    if (run->subject->failures() == 0 && committed > run->baseline)
        run_fail(run, "%zu bytes committed after everything was freed, %zu before", committed,
                 run->baseline);
}
