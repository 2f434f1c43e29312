/*
 * bounded: memory is bounded by what is in use, whoever allocates, frees, ends or sleeps.
 *
 * One property over all combinations of who allocates, who frees, in which order, for a kind of
 * block (the first argument; a second, N, plays only every N-th combination; a third is how many
 * rounds, if there shall be more, and then resident memory grows by less than 2 MiB). Each
 * combination is played in a child process of its own, step by step: one thread at a time does its
 * part while the others sleep, so nothing depends on the machine's order of threads.
 *
 *   1. Blocks are replaced, an eighth of them at a time: what is live stays the same. After the
 *      warm-up resident memory stays where it is; it and writable memory are bounded by the peak.
 *   2. Much more is allocated, and nearly all of it freed. Then other blocks come and go, for a
 *      second of the processor's time at most: what is resident is what is live and 16 MiB, where
 *      a survivor does not keep a page of large blocks.
 *
 * Nothing of moat is in it: it is preloaded, or not, and then judges the C library.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "prng.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define STACK_SIZE (64 * KIB)

enum { BATCHES = 8, WARM_UP = 4, ROUNDS = 12, TURNS = 4, SURVIVORS = 16, GOING = 500 };
/* Where there are more rounds. A segment or two come and go with the clock, and what several
   threads keep for their turns, so what is compared is the least of some rounds: in the end of as
   many as it takes, in TURN_SECONDS at most. What grows little by little never comes down. */
enum { LONG_WARM_UP = 10, LONG_LOOK = 5, LONG_DRIFT = 2 };
static unsigned rounds = ROUNDS;
/* A turn lasts until what those before it left has gone back, or longer than unused memory is kept:
   a second, where it was wanted again. Processor time, whatever else the machine does: these
   threads take turns. */
#define TURN_SECONDS 1.0

/* Who allocates: a thread that goes on; one that sleeps after its work; several in turn, which come
   round again or sleep for good; one, or a few at once, born for each batch. */
enum allocator { ONE, ONE_SLEEPS, TURNING, TURNING_SLEEP, BORN, FEW_BORN, ALLOCATORS };
/* Who frees: whoever allocates the next batch; another that allocates too; one that only frees; one
   that is born for it. */
enum freer { SAME, OTHER, ONLY_FREES, BORN_TO_FREE, FREERS };
enum order { QUEUE, STACK, RANDOM, ORDERS };

static const char *const allocator_names[] = {
    "one",  "one that sleeps", "several in turn", "several, each sleeps",
    "born", "few born at once"};
static const char *const freer_names[] = {"the same", "another", "one that only frees", "born"};
static const char *const order_names[] = {"queue", "stack", "random"};

struct kind {
    const char *name;
    size_t sizes[5]; /* taken in turn; the first 0 after the first ends them */
    size_t live;     /* bytes, in the first part */
    size_t peak;     /* bytes, in the second */
    size_t survivors;
    size_t above; /* what is resident beside what is live, in the end, at most */
};
static const struct kind kinds[] = {
    {"small", {100}, 8 * MIB, 48 * MIB, SURVIVORS, 16 * MIB},
    {"page", {4000}, 8 * MIB, 48 * MIB, SURVIVORS, 16 * MIB},
    {"medium", {20 * KIB}, 8 * MIB, 48 * MIB, SURVIVORS, 16 * MIB},
    /* each survivor keeps a page of 4 MiB */
    {"large", {200 * KIB}, 8 * MIB, 48 * MIB, 2, 20 * MIB},
    {"huge", {3 * MIB}, 24 * MIB, 96 * MIB, 2, 16 * MIB},
    {"zero", {0}, 1 * MIB, 4 * MIB, SURVIVORS, 16 * MIB}, /* counted as 16 bytes */
    {"mixed", {48, 700, 5000, 30 * KIB, 150 * KIB}, 8 * MIB, 48 * MIB, 2, 16 * MIB},
};

/* --- Threads that do one thing at a time ----------------------------------------------------- */

struct actor {
    pthread_t thread;
    sem_t go, done;
    void (*job)(void *);
    void *argument;
    bool alive;
};
static unsigned threads_now, threads_most;

static void *act(void *of) {
    struct actor *actor = of;
    for (;;) {
        while (sem_wait(&actor->go) != 0) {
        }
        if (actor->job == NULL) return NULL;
        actor->job(actor->argument);
        sem_post(&actor->done);
    }
}

static void fail(const char *what) {
    printf("  %s\n", what);
    fflush(stdout);
    _exit(2);
}

static void begin(struct actor *actor) {
    pthread_attr_t attributes;
    if (actor->alive) return;
    sem_init(&actor->go, 0, 0);
    sem_init(&actor->done, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (pthread_create(&actor->thread, &attributes, act, actor) != 0) fail("no thread");
    actor->alive = true;
    if (++threads_now > threads_most) threads_most = threads_now;
}

static void ask(struct actor *actor, void (*job)(void *), void *argument) {
    begin(actor);
    actor->job = job;
    actor->argument = argument;
    sem_post(&actor->go);
}

static void await(struct actor *actor) {
    while (sem_wait(&actor->done) != 0) {
    }
}

static void run(struct actor *actor, void (*job)(void *), void *argument) {
    ask(actor, job, argument);
    await(actor);
}

static void end(struct actor *actor) {
    actor->job = NULL;
    sem_post(&actor->go);
    pthread_join(actor->thread, NULL);
    actor->alive = false;
    threads_now--;
}

/* --- What they do ---------------------------------------------------------------------------- */

struct block {
    char *address;
    size_t size;
};
struct batch {
    struct block *blocks;
    size_t count;
};

static void allocate(void *of) {
    const struct batch *batch = of;
    for (size_t i = 0; i < batch->count; i++) {
        struct block *block = &batch->blocks[i];
        block->address = malloc(block->size);
        if (block->address == NULL) fail("no memory");
        for (size_t at = 0; at < block->size; at += 4 * KIB) block->address[at] = 1;
        if (block->size != 0) block->address[block->size - 1] = 1;
    }
}

static void release(void *of) {
    const struct batch *batch = of;
    for (size_t i = 0; i < batch->count; i++) free(batch->blocks[i].address);
}

/* As `release`, by a thread that has something in use itself. */
static void release_and_allocate(void *of) {
    static char *own[64];
    const struct batch *batch = of;
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->blocks[i].address);
        if (i % 16 != 0) continue;
        free(own[i / 16 % 64]);
        own[i / 16 % 64] = malloc(1 + i % 500);
    }
}

static char *going[GOING];
static void come(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < GOING; i++) *(going[i] = malloc(200)) = 1;
}
static void go(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < GOING; i++) free(going[i]);
}

/* --- A combination --------------------------------------------------------------------------- */

struct play {
    const struct kind *kind;
    enum allocator allocator;
    enum freer freer;
    enum order order;
    struct actor allocators[TURNS], freer_actor, goer;
    struct block *blocks, *old; /* what is live; what a batch replaces */
    size_t count, live, peak;   /* blocks; bytes now and at most */
    size_t own;                 /* bytes of these two: resident, and of no allocator */
    unsigned turn;
    uint64_t random;
};

static void *map(size_t size) {
    void *at =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

static size_t size_of(const struct kind *kind, size_t index) {
    size_t sizes = 1;
    while (sizes < 5 && kind->sizes[sizes] != 0) sizes++;
    return kind->sizes[index % sizes];
}

static size_t count_for(const struct kind *kind, size_t bytes) {
    size_t count = 0;
    for (size_t total = 0; total < bytes; count++)
        total += kind->sizes[0] == 0 ? 16 : size_of(kind, count);
    return (count + BATCHES - 1) / BATCHES * BATCHES;
}

static void shuffle(struct play *play, struct block *blocks, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t other = prng_below(&play->random, i);
        struct block block = blocks[i - 1];
        blocks[i - 1] = blocks[other];
        blocks[other] = block;
    }
}

static void put_in_order(struct play *play, struct block *blocks, size_t count) {
    if (play->order == RANDOM) shuffle(play, blocks, count);
    if (play->order != STACK) return;
    for (size_t i = 0; i < count / 2; i++) {
        struct block block = blocks[i];
        blocks[i] = blocks[count - 1 - i];
        blocks[count - 1 - i] = block;
    }
}

static bool is_born(const struct play *play) {
    return play->allocator == BORN || play->allocator == FEW_BORN;
}

/* The thread that is to allocate now. */
static struct actor *next_allocator(struct play *play, bool last_batch) {
    bool turning = play->allocator == TURNING || play->allocator == TURNING_SLEEP;
    struct actor *actor = &play->allocators[turning ? play->turn % TURNS : 0];
    if (turning && last_batch) play->turn++;
    return actor;
}

static void allocate_batch(struct play *play, struct actor *actor, struct batch batch) {
    if (play->allocator != FEW_BORN) {
        run(actor, allocate, &batch);
        return;
    }
    enum { FEW = 4 };
    struct batch parts[FEW];
    for (size_t i = 0; i < FEW; i++) {
        size_t from = batch.count * i / FEW, to = batch.count * (i + 1) / FEW;
        parts[i] = (struct batch){batch.blocks + from, to - from};
        begin(&play->allocators[i]);
    }
    for (size_t i = 0; i < FEW; i++) run(&play->allocators[i], allocate, &parts[i]);
    for (size_t i = 1; i < FEW; i++) end(&play->allocators[i]);
}

static void release_batch(struct play *play, struct actor *allocator, struct batch batch) {
    switch (play->freer) {
    case SAME: run(allocator, release, &batch); break;
    case OTHER: run(&play->freer_actor, release_and_allocate, &batch); break;
    case ONLY_FREES: run(&play->freer_actor, release, &batch); break;
    case BORN_TO_FREE:
        run(&play->freer_actor, release, &batch);
        end(&play->freer_actor);
        break;
    default: break;
    }
}

static size_t bytes_of(struct batch batch) {
    size_t bytes = 0;
    for (size_t i = 0; i < batch.count; i++) bytes += batch.blocks[i].size;
    return bytes;
}

/* A batch takes the place of another, or of none. */
static void replace(struct play *play, struct batch fresh, bool old, bool last_batch) {
    struct actor *actor = next_allocator(play, last_batch);
    struct batch before = {play->old, old ? fresh.count : 0};
    if (old) memcpy(play->old, fresh.blocks, fresh.count * sizeof *fresh.blocks);
    allocate_batch(play, actor, fresh);
    play->live += bytes_of(fresh);
    if (play->live > play->peak) play->peak = play->live;
    if (old) {
        put_in_order(play, before.blocks, before.count);
        release_batch(play, actor, before);
        play->live -= bytes_of(before);
    }
    if (is_born(play)) end(&play->allocators[0]);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t resident(const struct play *play) { return process_resident(0) - play->own; }

static size_t resident_bound(const struct play *play) {
    return play->peak + play->peak / 2 + 8 * MIB + threads_most * MIB;
}

static void play_round(struct play *play, bool old) {
    if (old && play->order == RANDOM) shuffle(play, play->blocks, play->count);
    bool turning = play->allocator == TURNING || play->allocator == TURNING_SLEEP;
    struct actor *actor = &play->allocators[play->turn % TURNS];
    double until = seconds() + TURN_SECONDS;
    size_t each = play->count / BATCHES;
    for (size_t i = 0; i < BATCHES; i++)
        replace(play, (struct batch){play->blocks + i * each, each}, old, i + 1 == BATCHES);
    while (turning && old && seconds() < until && resident(play) > resident_bound(play)) {
        run(actor, come, NULL);
        run(actor, go, NULL);
    }
}

/* In bytes; without what stacks of threads may use. */
static size_t writable(void) {
    char text[4096];
    FILE *file = fopen("/proc/self/status", "r");
    size_t kib = 0;
    while (file != NULL && fgets(text, sizeof text, file) != NULL)
        if (sscanf(text, "VmData: %zu", &kib) == 1) break;
    if (file != NULL) fclose(file);
    return kib * KIB - threads_now * STACK_SIZE;
}

static bool holds(const char *what, size_t value, size_t bound) {
    if (value <= bound) return true;
    printf("    %s: %zu KiB, right: at most %zu\n", what, value / KIB, bound / KIB);
    return false;
}

static bool replaced_for_long(struct play *play) {
    size_t warm = SIZE_MAX, later = SIZE_MAX;
    double until = seconds();
    for (unsigned round = 1;
         round < rounds || (later > warm + LONG_DRIFT * MIB && seconds() < until); round++) {
        if (round + 1 == rounds) until = seconds() + TURN_SECONDS;
        play_round(play, true);
        size_t now = resident(play);
        if (round <= LONG_WARM_UP && round > LONG_WARM_UP - LONG_LOOK && now < warm) warm = now;
        if (round >= rounds - LONG_LOOK && now < later) later = now;
    }
    return holds("resident after round 10, and later", later, warm + LONG_DRIFT * MIB);
}

static bool replaced(struct play *play) {
    size_t warm = 0;
    play->count = count_for(play->kind, play->kind->live);
    for (size_t i = 0; i < play->count; i++) play->blocks[i].size = size_of(play->kind, i);
    play_round(play, false);
    if (rounds > ROUNDS) return replaced_for_long(play);
    for (unsigned round = 1; round < rounds; round++) {
        play_round(play, true);
        if (round == WARM_UP) warm = resident(play);
    }
    size_t later = resident(play);
    bool right = holds("resident", later, resident_bound(play));
    right &= holds("resident after the warm-up, and later", later, warm + play->peak / 2 + 8 * MIB);
    return right & holds("writable", writable(), 4 * play->peak + 64 * MIB);
}

/* All but some, by who frees. */
static void release_nearly_all(struct play *play) {
    size_t most = play->count / play->kind->survivors, kept = 0, freed = 0;
    struct block *rest = play->old;
    for (size_t i = 0; i < play->count; i++) {
        if (i % most == most / 2 && kept < play->kind->survivors)
            kept++;
        else
            rest[freed++] = play->blocks[i];
    }
    put_in_order(play, rest, freed);
    struct actor *actor = &play->allocators[0];
    for (size_t from = 0; from < freed;) {
        size_t count = freed - from < play->count / BATCHES ? freed - from : play->count / BATCHES;
        struct batch batch = {rest + from, count};
        if (play->freer == SAME && play->allocator >= TURNING && play->allocator <= TURNING_SLEEP)
            actor = &play->allocators[from % TURNS];
        release_batch(play, actor, batch);
        play->live -= bytes_of(batch);
        from += count;
    }
    if (play->freer == SAME && is_born(play)) end(&play->allocators[0]);
}

static bool comes_back(struct play *play) {
    play->count = count_for(play->kind, play->kind->peak);
    for (size_t i = 0; i < play->count; i++) play->blocks[i].size = size_of(play->kind, i);
    play->live = 0;
    play_round(play, false);
    release_nearly_all(play);
    /* Who goes on: the allocator unless it sleeps or has ended; and who frees. */
    struct actor *goer = play->allocator == ONE ? &play->allocators[0] : &play->goer;
    bool hands_over = play->freer == OTHER || play->freer == ONLY_FREES;
    double until = seconds() + 1;
    for (unsigned round = 0; seconds() < until; round++) {
        run(goer, come, NULL);
        run(hands_over ? &play->freer_actor : goer, go, NULL);
        if (round % 8 == 0 && resident(play) <= play->live + play->kind->above) return true;
    }
    return holds("resident when nearly all is freed", resident(play),
                 play->live + play->kind->above);
}

static int play_one(const struct kind *kind, enum allocator allocator, enum freer freer,
                    enum order order) {
    struct play *play = map(sizeof *play);
    size_t most = count_for(kind, kind->peak > kind->live ? kind->peak : kind->live);
    *play = (struct play){.kind = kind, .allocator = allocator, .freer = freer, .order = order};
    play->random = 88172645463325252u;
    play->blocks = map(most * sizeof *play->blocks);
    play->old = map(most * sizeof *play->old);
    play->own = 2 * most * sizeof *play->blocks;
    bool right = replaced(play);
    release(&(struct batch){play->blocks, play->count}); /* by the main thread, born to free */
    right &= comes_back(play);
    if (!right)
        printf("  %s blocks; allocates: %s; frees: %s; order: %s\n", kind->name,
               allocator_names[allocator], freer_names[freer], order_names[order]);
    fflush(stdout);
    return right ? 0 : 1;
}

static bool play_in_child(const struct kind *kind, enum allocator allocator, enum freer freer,
                          enum order order) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(play_one(kind, allocator, freer, order));
    waitpid(child, &status, 0);
    if (status > 1 << 8 || (status & 0xff) != 0)
        printf("  %s blocks; allocates: %s; frees: %s; order: %s: ended by %#x\n", kind->name,
               allocator_names[allocator], freer_names[freer], order_names[order], status);
    return status == 0;
}

int main(int argc, char **argv) {
    const char *wanted = argc > 1 ? argv[1] : "small";
    int every = argc > 2 ? atoi(argv[2]) : 1, number = 0, played = 0, wrong = 0;
    if (argc > 3) rounds = (unsigned)atoi(argv[3]);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        if (strcmp(kinds[k].name, wanted) != 0) continue;
        for (unsigned a = 0; a < ALLOCATORS; a++)
            for (unsigned f = 0; f < FREERS; f++)
                for (unsigned o = 0; o < ORDERS; o++) {
                    if (number++ % every != 0) continue;
                    played++;
                    wrong +=
                        !play_in_child(&kinds[k], (enum allocator)a, (enum freer)f, (enum order)o);
                }
    }
    printf("%s: %d combinations, %d wrong\n", wanted, played, wrong);
    return played == 0 || wrong != 0;
}
