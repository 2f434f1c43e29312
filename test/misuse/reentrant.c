/*
 * reentrant: the allocator called from a signal handler that interrupted it.
 *
 * No timing: a seccomp filter turns a system call that the allocator makes in its generic path into
 * a SIGSYS, so the handler runs in the middle of that path, every time.
 */
#include "scene.h"

#include "family.h"
#include "sandbox.h"

#include <signal.h>
#include <sys/syscall.h>

#define FROM_HANDLER "allocator called from a signal handler that interrupted it"

/* Below a filter some need memory that is not had, if the program gets so far. */
static void take_many(size_t size) {
    scene_size = SIZE_MAX;
    for (unsigned i = 0; i < 64; i++) {
        void *block = launder(malloc(size));
        REQUIRE(block || scene_goes_on, "malloc(%zu) gives a block", size);
    }
}

static size_t handler_size;
static void *handler_block;

static void allocate_in_handler(int number) {
    (void)number;
    expect_within(FROM_HANDLER, 0, UINTPTR_MAX);
    void *block = malloc(handler_size);
    passed();
    (void)launder(block);
}

static void free_in_handler(int number) {
    (void)number;
    if (!handler_block) return;
    expect_within(FROM_HANDLER, 0, UINTPTR_MAX);
    free(handler_block);
    passed();
    handler_block = NULL;
}

/* After a first allocation: the scene is about a thread that has its heap, in a process that is set
   up. */
static void interrupt_with(void (*handler)(int)) {
    take(SMALL);
    struct sigaction action = {.sa_handler = handler};
    REQUIRE(sigaction(SIGSYS, &action, NULL) == 0, "a handler can be set");
    if (!sandbox_add(SYS_mprotect, SANDBOX_ANY_ARGUMENT, SANDBOX_TRAP, 0))
        skip_test("this kernel has no seccomp filters");
}

/* A request for which memory must be committed, interrupted, and another such in the handler. */
static void generic_in_generic(size_t size) {
    handler_size = size;
    interrupt_with(allocate_in_handler);
    take_many(size);
}

/* The free of a block whose page is another's or full goes the generic way too. */
static void free_in_generic(size_t size) {
    handler_block = take(size);
    interrupt_with(free_in_handler);
    take_many(size);
}

/* The first call of a thread: its heap is being made, or has just been. A filter is a thread's own,
   so it is set there. */
static void first_call_task(void *size) {
    struct sigaction action = {.sa_handler = allocate_in_handler};
    handler_size = *(const size_t *)size;
    REQUIRE(sigaction(SIGSYS, &action, NULL) == 0, "a handler can be set");
    if (!sandbox_add(SYS_mprotect, SANDBOX_ANY_ARGUMENT, SANDBOX_TRAP, 0))
        skip_test("this kernel has no seccomp filters");
    take_many(handler_size);
}

static void first_call_of_thread(size_t size) {
    static struct worker one; /* it waits for more when the scene is over */
    take(size);
    worker_start(&one);
    worker_do(&one, first_call_task, &size);
}

const struct misuse_case reentrant_cases[] = {
    CASE("reentrant-call", "malloc-in-malloc.large", AT_ONCE, generic_in_generic, LARGE),
    CASE("reentrant-call", "malloc-in-malloc.huge", AT_ONCE, generic_in_generic, (size_t)64 << 20),
    CASE("reentrant-call", "free-in-malloc.huge", AT_ONCE, free_in_generic, (size_t)64 << 20),
    CASE("reentrant-call", "malloc-in-first-malloc.large", AT_ONCE, first_call_of_thread, LARGE),
    CASES_END,
};
