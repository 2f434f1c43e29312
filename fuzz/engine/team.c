/*
 * team: two to four virtual threads inside the allocator at once. See the header.
 *
 * What the run keeps for the operation in hand (its number, what may be reported, the way out of a
 * report) belongs to the thread whose operation it is, and changes hands at each switch. A thread
 * that waits for a lock is not ready until somebody writes the word it looked at last.
 */
#include "engine/team.h"

#include <stdio.h>
#include <string.h>

#include "engine/child.h"
#include "engine/dispatch.h"
#include "engine/feedback.h"
#include "engine/fiber.h"
#include "engine/program.h"
#include "engine/schedule.h"
#include "engine/watch.h"
#include "harness/harness.h"

/* A thread that looks so often at a word that nobody changes waits for it. */
enum { LOOKS_MAX = 32 };
/* More steps than any run makes that comes to an end. */
#define STEPS_MAX ((uint64_t)1 << 22)
enum { SWITCHES_KEPT = 64 };
/* Lots that are drawn for one program: what is shared was found out for all of them. */
enum { SCHEDULES_PER_PROGRAM = 4 };

struct member {
    struct team_access pending;
    const struct atomic_site *site; /* of its last access */
    unsigned size;                  /* of that word, bytes */
    uint64_t waits_while;           /* the word has that value */
    bool only_looks;                /* it waits because of LOOKS_MAX */
    const volatile void *sleeps_at; /* it waits until who sleeps at the word is woken */
    unsigned looks;                 /* times in a row at this word from there */
    uint32_t points;                /* that it came to */
    uint64_t began; /* step at which the operation in hand began; 0: there is none */
    struct run_turn turn;
};

struct death {
    uint64_t step; /* at which the block was about to be freed */
    unsigned by;
};

static struct team {
    struct run *run;
    const struct team_plan *plan;
    struct member members[VIEWS_THREADS];
    unsigned threads, self;
    unsigned ready, waiting; /* a bit for each member that is so; the others are done */
    uint64_t steps, points;
    struct view views[SHADOW_BLOCKS]; /* with which each block was handed out */
    unsigned views_used;              /* the first of these, in the run before */
    struct {
        unsigned from, to;
        const struct atomic_site *site;
    } switches[SWITCHES_KEPT];
    unsigned switch_count;
    uint64_t freed_twice; /* step at which a second free came back; 0: none has */
    uint64_t settled;     /* step at which all that went on beside it was over; 0: not yet */
    bool is_undisturbed;  /* nobody else goes on unless this thread waits */
    bool unseen;          /* it should have been reported, unless the block lived again by then */
    bool is_sample;       /* the block, or its place */
    bool has_no_page;     /* of two frees of it the one that loses is reported, whichever it is */
    struct death died[SHADOW_BLOCKS];
    bool forked; /* once in a run */
} team;

bool team_is_watched;

struct team_access team_pending(unsigned number) {
    return team.members[number].pending;
}
uint64_t team_points(void) { return team.points; }

/* --- Switches -------------------------------------------------------------------------------- */

static void describe(void) {
    unsigned count = team.switch_count < SWITCHES_KEPT ? team.switch_count : SWITCHES_KEPT;
    if (team.switch_count == 0) return;
    fprintf(stderr, "fuzz: the last %u of %u switches:\n", count, team.switch_count);
    for (unsigned i = team.switch_count - count; i < team.switch_count; i++) {
        const struct atomic_site *site = team.switches[i % SWITCHES_KEPT].site;
        fprintf(stderr, "fuzz:   thread %u before %s:%u -> thread %u\n",
                team.switches[i % SWITCHES_KEPT].from, site != NULL ? site->file : "a system call",
                site != NULL ? site->line : 0, team.switches[i % SWITCHES_KEPT].to);
    }
}

static void switch_to(unsigned to) {
    unsigned from = team.self;
    if (to == from) return;
    if (run_verbose && team.members[from].site != NULL)
        fprintf(stderr, "fuzz:   thread %u stops before %s:%u, thread %u goes on\n", from,
                team.members[from].site->file, team.members[from].site->line, to);
    team.switches[team.switch_count % SWITCHES_KEPT].from = from;
    team.switches[team.switch_count % SWITCHES_KEPT].to = to;
    team.switches[team.switch_count++ % SWITCHES_KEPT].site = team.members[from].site;
    feedback_note(FEEDBACK_SWITCH, team.members[from].site, team.members[to].site);
    views_leave();
    run_leave(team.run, &team.members[from].turn);
    run_enter(team.run, &team.members[to].turn);
    team.self = to;
    watch_thread(to);
    team.run->subject->be_thread(to);
    fiber_switch(to + 1);
}

static void make_ready(unsigned thread) {
    team.ready |= 1u << thread;
    team.waiting &= ~(1u << thread);
}

/* Who waits for a word goes on when it has another value: a lock that is taken over and over by
   those who wait for it tells them nothing. */
static void wake_waiters(void) {
    for (unsigned rest = team.waiting & ~(1u << team.self); rest != 0; rest &= rest - 1) {
        unsigned thread = (unsigned)__builtin_ctz(rest);
        const struct member *member = &team.members[thread];
        if (member->sleeps_at != NULL) continue;
        if (views_native(member->pending.word, member->size) != member->waits_while)
            make_ready(thread);
    }
}

/* It may be no waiting at all, but a walk that comes by the same word again and again. */
static void wake_who_only_looks(void) {
    for (unsigned i = 0; i < team.threads; i++)
        if ((team.waiting >> i & 1) != 0 && team.members[i].only_looks) make_ready(i);
}

static bool is_asleep(void) {
    bool any = false;
    for (unsigned i = 0; i < team.threads; i++)
        any |= (team.waiting >> i & 1) != 0 && team.members[i].sleeps_at != NULL;
    return any;
}

/* The thread that runs cannot go on. */
static void stop_for_others(void) {
    wake_waiters();
    if (team.ready == 0) wake_who_only_looks();
    if (team.ready == 0 && is_asleep()) run_fail(team.run, "a thread sleeps that nobody wakes");
    if (team.ready == 0) run_fail(team.run, "every thread waits for another");
    switch_to(team.plan->yield(team.plan->context, team.self, team.ready));
}

static void wait_for_word(struct member *member, bool only_looks) {
    member->only_looks = only_looks;
    if (member->pending.word != NULL) {
        team.ready &= ~(1u << team.self);
        team.waiting |= 1u << team.self;
        member->waits_while = views_native(member->pending.word, member->size);
    }
    stop_for_others();
}

static void consider(void) {
    unsigned ready = team.ready;
    team.points++;
    team.members[team.self].points++;
    if (team.is_undisturbed) return;
    if ((ready & (ready - 1)) != 0)
        switch_to(team.plan->next(team.plan->context, team.self, ready));
}

/* A place to switch between two operations. */
static void pause_between(void) {
    team.members[team.self].pending = (struct team_access){NULL, true};
    team.members[team.self].site = NULL;
    consider();
}

/* --- The seams ------------------------------------------------------------------------------- */

static void on_wait(void) {
    if (!team.run->at_once) return;
    wait_for_word(&team.members[team.self], false);
}

/* The word was looked at just now: nobody has come between. */
static void on_sleep(const volatile void *word) {
    struct member *member = &team.members[team.self];
    if (!team.run->at_once) return;
    member->sleeps_at = word;
    team.ready &= ~(1u << team.self);
    team.waiting |= 1u << team.self;
    stop_for_others();
}

static void on_wake(const volatile void *word, unsigned count) {
    for (unsigned i = 0; i < team.threads && team.run->at_once && count > 0; i++) {
        if ((team.waiting >> i & 1) == 0 || team.members[i].sleeps_at != word) continue;
        team.members[i].sleeps_at = NULL;
        make_ready(i);
        count--;
    }
}

/* A loop that looks at one word until it changes. */
static bool looks_again(struct member *member, const struct atomic_site *site,
                        const volatile void *word) {
    bool again = site->kind == ATOMIC_LOAD && site == member->site && word == member->pending.word;
    member->looks = again ? member->looks + 1 : 0;
    return member->looks >= LOOKS_MAX;
}

static void on_step(const struct atomic_site *site, const volatile void *word, unsigned size) {
    struct member *member = &team.members[team.self];
    if (!team.run->at_once) return;
    wake_waiters();
    if (++team.steps > STEPS_MAX) run_fail(team.run, "the threads make no progress");
    if (word == NULL) {
        member->pending = (struct team_access){NULL, true};
        member->site = NULL;
        consider();
        return;
    }
    struct word *known = views_find(word, size);
    bool waits = looks_again(member, site, word);
    member->pending = (struct team_access){word, site->kind != ATOMIC_LOAD};
    member->site = site;
    member->size = size;
    if (waits && (team.ready & ~(1u << team.self)) != 0) {
        member->looks = 0;
        wait_for_word(member, true);
    } else if (team.plan->everywhere || views_is_shared(known, team.self)) {
        consider();
    }
    views_step(team.self, site, known);
}

static uint64_t on_loaded(uint64_t newest) {
    return team.run->at_once ? views_loaded(newest) : newest;
}

static void on_tried(bool exchanged) {
    if (team.run->at_once) views_tried(exchanged);
}

static void on_barrier(void) {
    if (team.run->at_once) views_barrier();
}

static const struct harness_scheduler seams = {on_step,  on_loaded, on_tried,  on_wait,
                                               on_sleep, on_wake,   on_barrier};

static unsigned choose_value(unsigned count) { return team.plan->value(team.plan->context, count); }

/* --- Threads --------------------------------------------------------------------------------- */

/* A block has the address of one that was freed twice. Where both frees were over when this call
   began, and the caller sees what both did, the second should have been reported. Else the block
   may be freed by the second before its holder knows of it, which nobody can see. */
static void judge_handed_out(uintptr_t start, size_t requested) {
    struct run *run = team.run;
    if (!team.run->at_once || run->racing.kinds == 0) return;
    if (run->racing.address - start >= requested + (requested == 0)) return;
    bool begins_there = start == run->racing.address;
    bool sees_all = team.plan->value == NULL && team.settled != 0;
    if (begins_there && sees_all && team.members[team.self].began > team.settled)
        run_fail(run, "a block that was freed twice at once was handed out");
    run->over = true;
}

/* The program writes and reads its block at both ends. */
static void use_block(const struct shadow_block *block, bool writes) {
    enum { WORD = 8 };
    if (block->usable < WORD) return;
    watch_access(block->start, WORD, writes, NULL);
    watch_access(block->start + block->usable - WORD, WORD, writes, NULL);
}

static void on_block(uint16_t index, bool taken) {
    const struct shadow_block *block = &team.run->shadow.blocks[index];
    if (!taken) team.died[index].step = team.steps;
    if (!taken) team.died[index].by = team.self;
    if (!team.run->at_once) return;
    if (!taken) views_receive(team.self, &team.views[index]);
    use_block(block, taken);
    if (!taken) return;
    views_publish(team.self, &team.views[index]);
    if (index >= team.views_used) team.views_used = index + 1u;
}

static const char *name_place(const void *place, char *text, size_t size) {
    extern const char __executable_start;
    if (place == NULL) return "the block's user";
    snprintf(text, size, "%#lx", (unsigned long)((const char *)place - &__executable_start));
    return text;
}

/* The places are for addr2line. */
static void on_race(uintptr_t address, const struct watch_touch *earlier,
                    const struct watch_touch *later) {
    char first[32], second[32];
    run_fail(team.run, "no order: thread %u %s at %s, thread %u %s at %s, offset %#lx",
             earlier->thread, earlier->writes ? "writes" : "reads",
             name_place(earlier->place, first, sizeof first), later->thread,
             later->writes ? "writes" : "reads", name_place(later->place, second, sizeof second),
             (unsigned long)run_offset(team.run, address));
}

/* What follows is late: of a thread whose exit hook has run, or of one that is born in its
   place. */
static void end_thread(struct run *run, const struct input_op *op) {
    run->subject->end_thread();
    if (op->other & 1) run->subject->abandon_thread();
}

/* A child is a cut through all threads, each wherever it has come to. */
static void leave_others(void) { team.run->subject->set_scheduler(NULL); }

static unsigned others_in_calls(void) {
    unsigned calls = 0;
    for (unsigned i = 0; i < team.threads && team.run->at_once; i++)
        calls += i != team.self && team.members[i].began != 0;
    return calls;
}

/* False: no more of them, which cost too much. */
static bool fork_once(struct run *run, const struct input_op *op) {
    unsigned calls = others_in_calls();
    bool at_once = team.run->at_once;
    team.run->at_once = false; /* the child begins with what it has to put in order */
    watch_on(false);
    run_block_hook = NULL; /* what it does with blocks is nothing to the others */
    bool is_played = child_play(run, op, team.self, calls);
    if (!is_played) child_fork(run, op, team.self, calls, leave_others);
    if (at_once) run->subject->set_scheduler(&seams);
    run_block_hook = on_block;
    team.run->at_once = at_once;
    watch_on(at_once && team_is_watched);
    return is_played;
}

/* Once in a run; and then again at once, as long as others are in the middle of a call, each time a
   little further on. */
static void fork_here(struct run *run, const struct input_op *op) {
    enum { CHILDREN = 2 };
    struct input_op another = *op;
    if (team.forked || run->racing.kinds != 0) return;
    team.forked = true;
    bool goes_on = fork_once(run, op) && run->at_once;
    for (unsigned i = 1; i < CHILDREN && goes_on; i++) {
        pause_between();
        if (others_in_calls() == 0 || run->racing.kinds != 0 || run->over) return;
        another.value++; /* it does something else */
        goes_on = fork_once(run, &another);
    }
}

/* What is being resized counts as freed, and may stay where it is. */
static bool is_resizing(const struct run *run) {
    for (unsigned i = 0; i < team.threads; i++) {
        const struct member *member = &team.members[i];
        uint8_t code = run->input->ops[member->turn.op_index].code;
        if (member->began != 0 && i != team.self && (code == OP_REALLOC || code == OP_REALLOCARRAY))
            return true;
    }
    return false;
}

/* The free that was the last use of a block is over, whoever made it. */
static bool was_freed(uint16_t grave) {
    unsigned by = team.died[grave].by;
    uint64_t began = team.members[by].began;
    return by == team.self || began == 0 || began > team.died[grave].step;
}

/* Another thread is in the middle of a call that may have given it the block. */
static bool others_take_blocks(void) {
    for (unsigned i = 0; i < team.threads; i++) {
        const struct member *member = &team.members[i];
        if (i != team.self && member->began != 0 &&
            program_takes_blocks(&team.run->input->ops[member->turn.op_index]))
            return true;
    }
    return false;
}

_Noreturn static void fail_unseen(struct run *run) {
    run_fail(run, "a second free of a block was not reported");
}

/* A second free of what another thread frees just now, or freed before. Once in a run. If the first
   was over, and nobody else ran during the second, which saw all there is to see, it is reported in
   this very call, unless somebody has the block by then whom the model does not know of yet. */
static void free_again(struct run *run, const void *argument) {
    const struct input_op *op = argument;
    pause_between();
    unsigned count = run->shadow.grave_count;
    if (count == 0 || run->racing.kinds != 0 || is_resizing(run)) return;
    uint16_t grave = op->pick & 1 ? run->shadow.graves[count - 1] : run_pick_grave(run, op->pick);
    uintptr_t address = run->shadow.blocks[grave].start;
    size_t usable = run->shadow.blocks[grave].usable;
    team.is_sample = run->subject->is_sample != NULL && run->subject->is_sample(address);
    /* whose it is says one word, which is changed by an exchange */
    team.has_no_page = team.is_sample || usable == 0 || usable > LARGE_MAX;
    watch_on(false); /* the program has no order any more */
    unsigned kinds = KIND_BIT(REPORT_DOUBLE_FREE) | KIND_BIT(REPORT_INVALID_FREE);
    /* of a block that is about to be handed out once more, and is not complete yet, or another */
    if (run->is_strict || team.is_sample)
        kinds |= KIND_BIT(REPORT_OVERFLOW) | KIND_BIT(REPORT_FAMILY_MISMATCH) |
                 KIND_BIT(REPORT_WRITE_AFTER_FREE);
    run->racing = (struct expectation){kinds, address};
    if (run_verbose)
        fprintf(stderr, "fuzz: thread %u frees %#lx again\n", team.self, (unsigned long)address);
    views_receive(team.self, &team.views[grave]);
    unsigned switches = team.switch_count;
    bool sees_all = was_freed(grave) && team.plan->value == NULL;
    team.is_undisturbed = (op->other & 1) != 0;
    run->subject->free((void *)address);
    team.is_undisturbed = false;
    if (run_verbose) fprintf(stderr, "fuzz: thread %u has done so\n", team.self);
    team.freed_twice = team.steps;
    team.unseen = sees_all && switches == team.switch_count;
    if (team.unseen && !others_take_blocks()) fail_unseen(run);
}

/* An operation is over. The first free of the two may have been any that had begun. */
static void settle(struct run *run) {
    bool takes = false;
    if (team.freed_twice == 0 || team.settled != 0 || run->over) return;
    for (unsigned i = 0; i < team.threads; i++) {
        const struct member *member = &team.members[i];
        if (member->began == 0) continue;
        if (member->began <= team.freed_twice) return;
        takes |= program_takes_blocks(&run->input->ops[member->turn.op_index]);
    }
    team.settled = team.steps;
    if (team.unseen || (team.has_no_page && !takes)) fail_unseen(run);
    if (takes) run->over = true; /* it may have got the block, and lost it by the first free */
}

static void carry_out(unsigned index) {
    const struct input_op *op = &team.run->input->ops[index];
    team.run->op_index = index;
    team.members[team.self].began = ++team.steps;
    if (team.run->at_once && op->code == OP_DOUBLE_FREE)
        run_until_report(team.run, free_again, op);
    else
        dispatch_op(team.run, op, team.self);
    team.members[team.self].began = 0;
    settle(team.run);
}

static void thread_main(unsigned number) {
    const struct input *input = team.run->input;
    struct member *member = &team.members[number - 1];
    bool first = true;
    for (unsigned i = input->prologue; i < input->op_count && !team.run->over; i++) {
        if (program_thread_of(input, &input->ops[i]) != team.self) continue;
        if (!first && team.plan->between) pause_between();
        first = false;
        if (!team.run->over) carry_out(i);
    }
    if (team.run->over) fiber_switch(0);
    team.ready &= ~(1u << team.self);
    member->pending = (struct team_access){NULL, false};
    while ((team.ready | team.waiting) != 0) stop_for_others();
    fiber_switch(0);
}

static void be(unsigned thread) {
    team.self = thread;
    watch_thread(thread);
    team.run->subject->be_thread(thread);
}

static void run_at_once(struct run *run) {
    for (unsigned i = 0; i < team.threads; i++) {
        team.members[i] = (struct member){.turn = {.thread = i}};
        fiber_make(i + 1, thread_main);
    }
    team.ready = (1u << team.threads) - 1;
    team.waiting = 0;
    team.run->at_once = true;
    be(0);
    watch_on(team_is_watched);
    run_enter(run, &team.members[0].turn);
    fiber_switch(1);
    views_leave();
    fiber_reset();
    watch_on(false);
    team.run->at_once = false;
}

/* Every thread checks and frees its share, and ends. After a block was freed twice what is left of
   the second free may wait for the block's page to be used again. */
static void come_to_rest(struct run *run) {
    struct input_op check = {.code = OP_CHECK}, end = {.code = OP_THREAD_END};
    bool at_rest = run->racing.kinds == 0;
    for (unsigned i = 0; i < team.threads && !run->over && at_rest; i++) {
        be(i);
        dispatch_op(run, &check, i);
    }
    for (unsigned i = team.threads; i-- > 0 && !run->over;) {
        be(i);
        dispatch_drain(run, 0, i + 1, i);
        if (!run->over) dispatch_op(run, &end, i);
    }
    if (run->over || !at_rest) return;
    run->subject->be_nobody();
    run_at_rest(run);
}

/* The program that ran before, at the end of its prologue. */
static struct {
    bool is_there;
    bool is_paused; /* its last run is over, and has left the subject as it was */
    bool forked;
    uint64_t steps;
    struct death died[SHADOW_BLOCKS];
} kept;

static void keep(const struct run *run) {
    kept.is_there = run_keep(run, LIFE_AFTER_PROLOGUE);
    kept.forked = team.forked;
    kept.steps = team.steps;
    if (kept.is_there) memcpy(kept.died, team.died, run->shadow.fresh * sizeof kept.died[0]);
}

static void bring_back(struct run *run) {
    run_bring_back(run, LIFE_AFTER_PROLOGUE);
    team.forked = kept.forked;
    team.steps = kept.steps;
    memcpy(team.died, kept.died, run->shadow.fresh * sizeof kept.died[0]);
}

void team_leave(struct run *run) {
    if (kept.is_paused) run_end(run);
    kept.is_there = kept.is_paused = false;
}

/* Everything up to where the threads run at once. */
static void begin(struct run *run, const struct subject *subject, const struct input *input) {
    if (team.plan->again && kept.is_there) {
        bring_back(run);
        return;
    }
    team_leave(run);
    dispatch_begin(run, subject, input);
    run->threads_most = input->threads + 1u; /* and who measured the baseline */
    for (; run->op_index < input->prologue && !run->over; run->op_index++) {
        be(program_thread_of(input, &input->ops[run->op_index]));
        carry_out(run->op_index);
    }
    if (!team.plan->everywhere) keep(run);
}

void team_run_with(struct run *run, const struct subject *subject, const struct input *input,
                   const struct team_plan *plan) {
    dispatch_hooks = (struct dispatch_hooks){.thread_end = end_thread, .fork = fork_here};
    run_fork_is_played = true;
    run_block_hook = on_block;
    run_handed_out_hook = judge_handed_out;
    run_describe = describe;
    team.run = run;
    team.plan = plan;
    team.threads = input->threads;
    team.steps = team.points = team.switch_count = 0;
    team.freed_twice = team.settled = 0;
    team.unseen = team.forked = team.is_undisturbed = false;
    team.run->at_once = false;
    /* everybody knows of blocks of the prologue */
    memset(team.views, 0, team.views_used * sizeof team.views[0]);
    team.views_used = 0;
    begin(run, subject, input);
    watch_begin(on_race);
    views_begin(plan->keep, plan->value != NULL || team_is_watched,
                plan->value != NULL ? choose_value : NULL);
    subject->set_scheduler(&seams);
    if (!run->over) run_at_once(run);
    subject->set_scheduler(NULL);
    run->op_index = input->op_count;
    subject->fail_none();
    if (!run->over) come_to_rest(run);
    kept.is_paused = kept.is_there;
    if (kept.is_paused)
        run_pause(run);
    else
        run_end(run);
    run_fork_is_played = false;
    dispatch_hooks = (struct dispatch_hooks){NULL, NULL, NULL};
    run_block_hook = NULL;
    run_handed_out_hook = NULL;
    run_describe = NULL;
}

/* --- By the input's scheduler ---------------------------------------------------------------- */

static unsigned stay(void *context, unsigned self, unsigned ready) {
    (void)context;
    return ready >> self & 1 ? self : (unsigned)__builtin_ctz(ready);
}

static unsigned chosen_next(void *context, unsigned self, unsigned ready) {
    return schedule_next(context, self, ready);
}

static unsigned chosen_yield(void *context, unsigned self, unsigned ready) {
    return schedule_yield(context, self, ready);
}

static unsigned chosen_value(void *context, unsigned count) {
    return schedule_choose_value(context, count);
}

static const struct team_plan show = {.next = stay, .yield = stay};

/* What begins where a prologue has ended is the same run as one that begins at the start. */
static void audit(struct run *run, const struct subject *subject, const struct input *input) {
    static const struct team_plan again = {.next = stay, .yield = stay, .again = true};
    uint64_t trace = run->trace, points = team.points;
    team_run_with(run, subject, input, &again);
    if (run->trace != trace || team.points != points)
        run_fail(run, "the engine itself is broken: a run that was brought back is another one");
}

void team_run(struct run *run, const struct subject *subject, const struct input *input) {
    struct schedule schedule;
    uint32_t expected[VIEWS_THREADS] = {0};
    unsigned kind = run_scheduler < 0 ? input->scheduler : (unsigned)run_scheduler;
    bool raw = kind == SCHEDULE_RAW;
    uint64_t traces = 0, failures = 0;
    feedback_begin();
    if (!raw) {
        team_run_with(run, subject, input, &show); /* a block freed twice may end it early */
        failures = run->failures;
        if (run_is_audited && kept.is_there) audit(run, subject, input);
        for (unsigned i = 0; i < team.threads; i++) expected[i] = team.members[i].points;
    }
    struct team_plan plan = {.next = chosen_next,
                             .yield = chosen_yield,
                             .value = input->flags & INPUT_STALE ? chosen_value : NULL,
                             .context = &schedule,
                             .everywhere = raw,
                             .keep = !raw,
                             .again = !raw};
    for (unsigned round = 0; round < (raw ? 1 : SCHEDULES_PER_PROGRAM); round++) {
        schedule_begin(&schedule, input, kind, round, expected);
        team_run_with(run, subject, input, &plan);
        run_trace(run, traces);
        traces = run->trace;
        if (run->failures > failures) failures = run->failures;
    }
    team_leave(run);
    run->failures = failures; /* in any of them */
}
