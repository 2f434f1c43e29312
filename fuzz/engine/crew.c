/*
 * crew: several real threads, one at a time. See the header.
 *
 * A thread that ends may call the allocator from a thread-specific destructor, before or after the
 * allocator's own has run: as many programs do without knowing it. After a report nobody calls the
 * allocator again, the exit hooks included.
 */
#define _GNU_SOURCE
#include "engine/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/child.h"
#include "engine/dispatch.h"

enum {
    NOBODY = INPUT_MAX_THREADS,
    STACK_SIZE = 512 * 1024,
    GUARD_SIZE = 64 * 1024,
    FORKS_MAX = 2,
    LATE_ROUNDS_MAX = 4 /* as many as the C library makes */
};

struct member {
    bool alive;
    bool begun;       /* its thread is there, which its first turn makes */
    bool leaving;     /* ends when it next looks */
    bool draining;    /* and frees its share of the blocks first */
    unsigned late;    /* rounds of destructors that still call the allocator */
    uint32_t late_op; /* what they do */
    pthread_key_t *late_key;
    pthread_t thread;
};

static struct crew {
    struct run *run;
    struct member members[INPUT_MAX_THREADS];
    unsigned alive;    /* members, the caller included */
    unsigned next;     /* who carries out the next operation */
    unsigned keep;     /* operations that it keeps the turn for after that */
    unsigned schedule; /* bytes of the schedule used */
    unsigned to_join;  /* a member that is ending, or NOBODY */
    unsigned forks;    /* left in this run */
    bool finished;     /* no operation is left, or a report ended the run */
} crew;

/* Of each member: posted to give it the baton. */
static sem_t turns[INPUT_MAX_THREADS];
static _Thread_local unsigned me;
/* Destructors run in the order of their keys: one before the allocator's own in each round, one
   behind it. */
static pthread_key_t late_keys[2];
/* Each member's own: of one that the C library made the kernel would take the pages back at each
   end, and give them again at each start. */
static pthread_attr_t on_stack[INPUT_MAX_THREADS];

static void fatal(const char *what, int error) {
    fprintf(stderr, "fuzz: %s: error %d\n", what, error);
    exit(2);
}

/* Semaphores, because how often a loop of our own would look at a word depends on the kernel, and
   coverage would see that. */
static void wait_turn(unsigned member) {
    while (sem_wait(&turns[member]) != 0)
        if (errno != EINTR) fatal("sem_wait", errno);
}

static void *worker(void *argument);

static void begin(unsigned member) {
    struct member *self = &crew.members[member];
    self->begun = true;
    int error = pthread_create(&self->thread, &on_stack[member], worker, self);
    if (error != 0) fatal("pthread_create", error);
}

static void give_turn(unsigned member) {
    if (!crew.members[member].begun)
        begin(member);
    else if (sem_post(&turns[member]) != 0)
        fatal("sem_post", errno);
}

/* The n-th of those alive. */
static unsigned nth_alive(unsigned n) {
    n %= crew.alive;
    for (unsigned i = 0; i < INPUT_MAX_THREADS; i++)
        if (crew.members[i].alive && n-- == 0) return i;
    return 0;
}

static unsigned after(unsigned member) {
    do member = (member + 1) % INPUT_MAX_THREADS;
    while (!crew.members[member].alive);
    return member;
}

/* Decides who carries out the next operation. */
static void choose(void) {
    const struct input *input = crew.run->input;
    struct rng *random = &crew.run->random;
    if (!crew.members[crew.next].alive) crew.keep = 0;
    if (crew.keep > 0) {
        crew.keep--;
        return;
    }
    unsigned byte = crew.schedule < input->schedule_length ? input->schedule[crew.schedule++]
                                                           : rng_below(random, 256);
    switch (input->scheduler) {
    case SCHEDULER_TAPE:
        crew.next = nth_alive(byte & 7);
        crew.keep = byte >> 3;
        break;
    case SCHEDULER_ROUND_ROBIN: crew.next = after(crew.next); break;
    case SCHEDULER_RANDOM: crew.next = nth_alive(rng_below(random, crew.alive)); break;
    default:
        crew.next = nth_alive(rng_below(random, crew.alive));
        crew.keep = rng_below(random, 12);
        break;
    }
}

/* Carries out the next operation as thread `me` and decides about the one after it. */
static void step(void) {
    struct run *run = crew.run;
    dispatch_op(run, &run->input->ops[run->op_index], me);
    if (!run->over) run->op_index++;
    if (run->over || run->op_index >= run->input->op_count)
        crew.finished = true;
    else
        choose();
}

/* A destructor of a thread that has ended its work: allocates and frees as thread code that runs
   late does. */
static void late_work(void *argument) {
    struct member *self = argument;
    struct run *run = crew.run;
    if (run->over || self->late == 0) return;
    struct input_op op = {OP_MALLOC, (uint8_t)self->late_op, (uint8_t)(self->late_op >> 8),
                          SIZE_TINY, self->late_op >> 16};
    if (self->late % 2 == 0) op.code = OP_FREE;
    unsigned member = (unsigned)(self - crew.members);
    dispatch_op(run, &op, member);
    op.code = self->late % 2 == 0 ? OP_MALLOC : OP_FREE;
    if (!run->over) dispatch_op(run, &op, member);
    if (run->over) {
        run->subject->abandon_thread();
        return;
    }
    if (--self->late > 0) pthread_setspecific(*self->late_key, self);
}

static void leave(struct member *self) {
    struct run *run = crew.run;
    if (self->draining && !run->over) dispatch_drain(run, me, crew.alive, me);
    if (run->over) run->subject->abandon_thread();
    if (self->alive) crew.alive--;
    self->alive = false;
    crew.to_join = me;
    give_turn(0); /* thread 0 joins this thread before anything else happens */
}

static void *worker(void *argument) {
    struct member *self = argument;
    me = (unsigned)(self - crew.members);
    for (;;) {
        while (!self->leaving && !crew.finished && crew.next == me) step();
        if (self->leaving) break;
        give_turn(crew.finished ? 0 : crew.next);
        wait_turn(me);
    }
    leave(self);
    return NULL;
}

static void start_member(struct run *run) {
    unsigned free_place = 1;
    while (free_place < INPUT_MAX_THREADS && crew.members[free_place].alive) free_place++;
    if (free_place == INPUT_MAX_THREADS) return;
    crew.members[free_place] = (struct member){.alive = true};
    crew.alive++;
    if (crew.alive > run->threads_most) run->threads_most = crew.alive;
    run_trace(run, free_place);
}

static void start_another(struct run *run, const struct input_op *op) {
    (void)op;
    start_member(run);
}

/* The thread whose operation this is ends, unless it is thread 0. */
static void end_member(struct run *run, const struct input_op *op) {
    struct member *self = &crew.members[me];
    if (me == 0) return;
    /* what the quarantine has to report comes here: out of the exit hook no jump leads */
    if (run->tolerated & KIND_BIT(REPORT_WRITE_AFTER_FREE)) run->subject->trim();
    self->leaving = true;
    self->alive = false; /* the schedule names it no more */
    crew.alive--;
    self->late = op->other % (LATE_ROUNDS_MAX + 1);
    self->late_op = op->value;
    self->late_key = &late_keys[op->kind & 1];
    if (self->late > 0) pthread_setspecific(*self->late_key, self);
    run_trace(run, self->late);
}

static void join_leaver(void) {
    if (crew.to_join == NOBODY) return;
    int error = pthread_join(crew.members[crew.to_join].thread, NULL);
    if (error != 0) fatal("pthread_join", error);
    crew.to_join = NOBODY;
}

static void fork_member(struct run *run, const struct input_op *op) {
    if (crew.forks == 0) return;
    crew.forks--;
    child_fork(run, op, me, 0, NULL);
}

/* Thread 0's part: carries out its own operations and joins those that end. */
static void lead(void) {
    while (!crew.finished) {
        if (crew.next == 0) {
            step();
            continue;
        }
        give_turn(crew.next);
        wait_turn(0);
        join_leaver();
        if (crew.run->over) crew.finished = true; /* in a destructor */
    }
}

/* Every other thread ends, after freeing its share if the run was not ended by a report. */
static void dismiss(void) {
    for (unsigned i = 1; i < INPUT_MAX_THREADS; i++) {
        if (!crew.members[i].alive) continue;
        if (crew.run->over && !crew.members[i].begun) {
            crew.members[i].alive = false;
            crew.alive--;
            continue;
        }
        crew.members[i].leaving = true;
        crew.members[i].draining = true;
        give_turn(i);
        wait_turn(0);
        join_leaver();
    }
}

static void make_stack(pthread_attr_t *attributes) {
    char *memory = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD_SIZE, PROT_NONE) != 0) fatal("mmap", errno);
    int error = pthread_attr_init(attributes);
    if (error == 0) error = pthread_attr_setstack(attributes, memory + GUARD_SIZE, STACK_SIZE);
    if (error != 0) fatal("pthread_attr_setstack", error);
}

/* Once in a process. The C library gives the lowest key that is free: what lies between the two is
   for the allocator. */
static void prepare(void) {
    static bool made;
    pthread_key_t between;
    if (made) return;
    int error = pthread_key_create(&late_keys[0], late_work);
    if (error == 0) error = pthread_key_create(&between, NULL);
    if (error == 0) error = pthread_key_create(&late_keys[1], late_work);
    if (error == 0) error = pthread_key_delete(between);
    if (error != 0) fatal("pthread_key_create", error);
    for (unsigned i = 0; i < INPUT_MAX_THREADS; i++) {
        if (sem_init(&turns[i], 0, 0) != 0) fatal("sem_init", errno);
        make_stack(&on_stack[i]);
    }
    made = true;
}

void crew_run(struct run *run, const struct subject *subject, const struct input *input) {
    prepare();
    dispatch_hooks = (struct dispatch_hooks){start_another, end_member, fork_member};
    me = 0;
    crew.run = run;
    crew.members[0] = (struct member){.alive = true, .begun = true};
    crew.alive = 1;
    crew.next = crew.keep = crew.schedule = 0;
    crew.to_join = NOBODY;
    crew.forks = FORKS_MAX;
    crew.finished = input->op_count == 0;
    dispatch_begin(run, subject, input);
    while (crew.alive < input->threads) start_member(run);
    choose();
    lead();
    subject->fail_none();
    dismiss();
    if (!run->over) dispatch_drain(run, 0, 1, 0);
    if (!run->over) run_at_rest(run);
    run_end(run);
    dispatch_hooks = (struct dispatch_hooks){NULL, NULL, NULL};
}

void crew_pin(void) {
    cpu_set_t set;
    int cpu = sched_getcpu();
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    /* A refusal costs speed, nothing else. */
    (void)sched_setaffinity(0, sizeof set, &set);
}
