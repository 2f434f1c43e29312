/* scene: see scene.h. Allocates nothing of its own: what a scene allocates is the scene's. */
#include "scene.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "misuse.h"

enum { HELD_MAX = 1 << 16 };

static struct held {
    uintptr_t start;
    size_t size;
} held[HELD_MAX];
static size_t held_count;

static atomic_uint gate;

void *take(size_t size) {
    void *block = launder(malloc(size));
    REQUIRE(block, "malloc(%zu) gives a block", size);
    return block;
}

void give(void *block) { free(launder(block)); }

void expect_within(const char *what, uintptr_t lowest, uintptr_t highest) {
    say("expect %s 0x%lx 0x%lx %s", misuse_playing->kind, (unsigned long)lowest,
        (unsigned long)highest, what);
}

void expect(const char *what, const void *address) {
    expect_within(what, (uintptr_t)address, (uintptr_t)address);
}

/* Says where, then lets the same access fault again with the default action. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    say("fault 0x%lx", (unsigned long)info->si_addr);
    signal(number, SIG_DFL);
}

void expect_fault(const void *lowest, const void *highest) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0, "a handler can be set");
    expect_within("-", (uintptr_t)lowest, (uintptr_t)highest);
}

void passed(void) { say("passed misuse"); }
void link_is_damaged(void) { say("a link is damaged"); }

void free_wrongly(const char *what, void *address) {
    expect(what, address);
    give(address);
    passed();
}

void give_task(void *block) { give(block); }
void free_again_task(void *block) { free_wrongly(FREED_AGAIN, block); }

static _Noreturn void handed_out(uintptr_t start) {
    say("handed out 0x%lx", (unsigned long)start);
    _exit(1);
}

void hold(const void *block, size_t size) {
    uintptr_t start = (uintptr_t)block;
    if (size == 0) size = 1;
    /* who goes on compares them all at the end, which is sooner done */
    for (size_t i = 0; i < held_count && !scene_goes_on; i++)
        if (start < held[i].start + held[i].size && held[i].start < start + size) handed_out(start);
    REQUIRE(held_count < HELD_MAX, "the scene holds no more than %d blocks", HELD_MAX);
    held[held_count++] = (struct held){start, size};
}

/* More than the pages that a scene has used can hold: half a MiB of small blocks, two segments of
   larger ones. */
static size_t walk_length(size_t size) {
    if (size > LARGE) return 8;
    if (size > 2 * SMALL_PAGE) return 2 * SEGMENT / size;
    return size <= 64 ? 8192 : ((size_t)512 << 10) / size;
}

void walk(size_t size) {
    for (size_t left = walk_length(size); left > 0; left--) {
        void *block = take(size);
        hold(block, size);
        /* An owner writes to its block; a damaged list must not be repaired or followed by that. */
        memset(block, 0x11, size);
    }
}

static int compare_starts(const void *left, const void *right) {
    uintptr_t a = ((const struct held *)left)->start, b = ((const struct held *)right)->start;
    return (a > b) - (a < b);
}

/* After a report: a walk, and then all blocks are compared. */
static void live_on(void) {
    if (scene_size <= HUGE) walk(scene_size);
    qsort(held, held_count, sizeof *held, compare_starts);
    for (size_t i = 1; i < held_count; i++)
        if (held[i].start - held[i - 1].start < held[i - 1].size) handed_out(held[i].start);
    if (family.check) family.check();
}

_Noreturn void finished(void) {
    if (scene_goes_on) live_on();
    say("finished");
    _exit(0);
}

void walk_task(void *size) { walk(*(const size_t *)size); }

_Noreturn void in_child(void (*task)(void *), void *argument) {
    int status;
    pid_t child = fork();
    REQUIRE(child >= 0, "a process can be made");
    if (child == 0) {
        task(argument);
        finished();
    }
    REQUIRE(waitpid(child, &status, 0) == child, "the child can be waited for");
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

void gate_reset(void) { atomic_store(&gate, 0); }

void gate_pass(unsigned delay) {
    atomic_fetch_add(&gate, 1);
    for (unsigned spins = 0; atomic_load(&gate) < 2; spins++) {
        if (spins % 4096 == 4095) sched_yield();
    }
    for (volatile unsigned left = delay; left > 0;) left = left - 1;
}
