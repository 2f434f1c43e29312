/*
 * interrupted: a signal handler that allocates, delivered before the n-th instruction of a call,
 * for every n.
 *
 * A tracer steps a child through the call and hands it the signal. Either the handler came outside
 * the allocator's own steps, and everything is right afterwards, or the allocator names it as what
 * it is. No third thing may happen: no other report, no block handed out twice, no wait for ever.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"

enum { SMALL = 48, MEDIUM = 5000, HUGE_SIZE = 8 << 20, COUNT = 80, HANDLER_COUNT = 4 };

struct scene {
    const char *name;
    void (*prepare)(void);
    void (*call)(void);
    unsigned stride;           /* instructions from one trial to the next, more in long calls */
    unsigned expected_reports; /* at least */
};

static void *blocks[COUNT], *handler_blocks[HANDLER_COUNT];
static volatile int *done; /* shared with the tracer: the call has returned */

/* --- The calls ------------------------------------------------------------------------------- */

/* Each function was called before: the dynamic linker has found it. */
static void take_a_few(void) {
    free(realloc(calloc(1, 8), 10));
    for (unsigned i = 1; i < 8; i++) blocks[i] = malloc(SMALL);
    free(blocks[7]);
    blocks[7] = NULL;
}
static void prepare_nothing(void) {}
static void call_malloc(void) { blocks[0] = malloc(SMALL); }
static void prepare_free(void) {
    take_a_few();
    blocks[0] = malloc(SMALL);
}
static void call_free(void) {
    free(blocks[0]);
    blocks[0] = NULL;
}
static void prepare_medium(void) {
    blocks[0] = malloc(MEDIUM);
    blocks[1] = malloc(MEDIUM);
}
static void call_calloc(void) { blocks[0] = calloc(3, 16); }
static void call_realloc(void) { blocks[0] = realloc(blocks[0], (size_t)10 * SMALL); }
static void call_huge(void) {
    void *block = malloc(HUGE_SIZE);
    block = realloc(block, (size_t)2 * HUGE_SIZE);
    free(block);
}
static void call_zero_size(void) { free(malloc(0)); }
static void call_many(void) {
    for (unsigned i = 0; i < COUNT; i++) blocks[i] = malloc(SMALL);
    for (unsigned i = 0; i < COUNT; i += 2) free(blocks[i]);
    for (unsigned i = 0; i < COUNT; i += 2) blocks[i] = malloc(SMALL);
}

/* --- The child ------------------------------------------------------------------------------- */

static void allocate_in_handler(int number) {
    (void)number;
    static const size_t sizes[HANDLER_COUNT] = {SMALL, SMALL, MEDIUM, HUGE_SIZE};
    for (unsigned i = 0; i < HANDLER_COUNT; i++) handler_blocks[i] = malloc(sizes[i]);
    free(handler_blocks[0]);
    handler_blocks[0] = malloc(SMALL);
}

/* No block of the program and of the handler is the same, and the allocator goes on. */
static void examine(void) {
    void *more[COUNT];
    for (unsigned i = 0; i < COUNT; i++) more[i] = malloc(SMALL);
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned k = 0; k < COUNT; k++) {
            REQUIRE(more[i] != blocks[k], "a block was handed out twice");
            REQUIRE(k >= HANDLER_COUNT || more[i] != handler_blocks[k],
                    "the handler's block was handed out twice");
            REQUIRE(k >= HANDLER_COUNT || !blocks[i] || blocks[i] != handler_blocks[k],
                    "handler and program share a block");
        }
    for (unsigned i = 0; i < COUNT; i++) free(more[i]), free(blocks[i]);
    for (unsigned i = 0; i < HANDLER_COUNT; i++) free(handler_blocks[i]);
    family.check();
}

static _Noreturn void play(const struct scene *scene) {
    struct sigaction action = {.sa_handler = allocate_in_handler};
    alarm(20);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0, "a handler can be set");
    scene->prepare();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(TEST_SKIPPED);
    raise(SIGSTOP);
    scene->call();
    *done = 1;
    examine();
    _exit(0);
}

/* --- The tracer ------------------------------------------------------------------------------ */

/* Steps the child `steps` instructions on. False: the call has returned before. */
static bool step_into_call(pid_t child, unsigned steps) {
    int status;
    for (unsigned i = 0; i < steps && !*done; i++) {
        REQUIRE(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0, "the child can be stepped");
        REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
                    WSTOPSIG(status) == SIGTRAP,
                "status %#x", status);
    }
    return !*done;
}

static void require_right_end(const struct scene *scene, unsigned step, int status,
                              const char *text, unsigned *reported) {
    static const char expected[] = "moat: fatal: reentrant-call: allocator called from a signal "
                                   "handler that interrupted it at ";
    if (status == 0) return;
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
            "%s, signal before instruction %u: status %#x, %.300s", scene->name, step, status,
            text);
    REQUIRE(strncmp(text, expected, sizeof expected - 1) == 0,
            "%s, signal before instruction %u: %.300s", scene->name, step, text);
    (*reported)++;
}

/* One trial; false: the call has fewer instructions. */
static bool interrupt_before(const struct scene *scene, unsigned step, unsigned *reported) {
    int report[2], status;
    *done = 0;
    REQUIRE(pipe(report) == 0, "a pipe can be made");
    pid_t child = fork();
    REQUIRE(child >= 0, "a process can be made");
    if (child == 0) {
        dup2(report[1], STDERR_FILENO);
        close(report[0]), close(report[1]);
        play(scene);
    }
    close(report[1]);
    REQUIRE(waitpid(child, &status, 0) == child, "the child can be waited for");
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
        skip_test("no process may be traced here");
    REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "%s: status %#x before the call",
            scene->name, status);
    bool inside = step_into_call(child, step);
    REQUIRE(ptrace(PTRACE_DETACH, child, NULL, (void *)(uintptr_t)(inside ? SIGUSR1 : 0)) == 0,
            "the child can be let go");
    char text[16384];
    size_t length = 0;
    for (ssize_t got; (got = read(report[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = 0;
    close(report[0]);
    REQUIRE(waitpid(child, &status, 0) == child, "the child can be waited for");
    require_right_end(scene, step, status, text, reported);
    return inside;
}

static void *interrupt_everywhere(void *argument) {
    const struct scene *scene = argument;
    unsigned reported = 0, step = 0, trials = 0;
    for (; interrupt_before(scene, step, &reported); step += scene->stride + step / 256 * 64)
        trials++;
    say("%s: %u instructions with those around the call, %u trials, %u reported", scene->name, step,
        trials, reported);
    REQUIRE(reported >= scene->expected_reports && reported < trials,
            "%s: %u of %u trials reported", scene->name, reported, trials);
    return NULL;
}

int main(void) {
    static const struct scene scenes[] = {
        {"malloc", take_a_few, call_malloc, 1, 25},
        {"free", prepare_free, call_free, 1, 15},
        {"free of a medium block", prepare_medium, call_free, 1, 15},
        {"calloc", take_a_few, call_calloc, 1, 25},
        {"realloc", prepare_free, call_realloc, 3, 15},
        {"zero-size block", prepare_free, call_zero_size, 11, 10},
        {"huge block", prepare_free, call_huge, 41, 5},
        {"many blocks", prepare_nothing, call_many, 101, 5},
    };
    static const struct scene first = {"first malloc of a thread", prepare_nothing, call_malloc, 1,
                                       10};
    require_moat(250);
    done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(done != MAP_FAILED, "memory can be shared");
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        interrupt_everywhere((void *)(uintptr_t)&scenes[i]);
    /* A child is as new to the allocator as the thread that made it. */
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, interrupt_everywhere, (void *)(uintptr_t)&first) == 0,
            "a thread can be made");
    REQUIRE(pthread_join(thread, NULL) == 0, "the thread ends");
    return 0;
}
