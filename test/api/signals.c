/*
 * signals: a handler that allocates is fine between the program's own allocations; one that
 * interrupted the allocator gets the report that says so, and nothing else.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api.h"

static void *made_by_handler[16];
static volatile sig_atomic_t handled;

static void allocate_in_handler(int signal_number) {
    size_t i = (size_t)handled % 16;
    free(made_by_handler[i]);
    made_by_handler[i] = malloc(10 + (size_t)signal_number * 100);
    if (made_by_handler[i]) memset(made_by_handler[i], 1, 10 + (size_t)signal_number * 100);
    handled++;
}

static void set_handler(int signal_number, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = allocate_in_handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(signal_number, &action, NULL) == 0, "sigaction");
}

static void a_handler_between_allocations_works(void) {
    static char stack_room[65536];
    stack_t stack = {.ss_sp = stack_room, .ss_size = sizeof stack_room};
    REQUIRE(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    set_handler(SIGUSR1, 0);
    set_handler(SIGUSR2, SA_ONSTACK);
    for (unsigned i = 0; i < 500; i++) {
        void *block = malloc(i);
        raise(i % 2 ? SIGUSR1 : SIGUSR2);
        free(block);
    }
    REQUIRE(handled == 500 && made_by_handler[15] != NULL, "%d signals handled", (int)handled);
}

/* For 300 ms a timer interrupts a loop that does hardly anything but allocate; most of its signals
   come while the allocator runs. */
static void interrupt_the_allocator(void *unused) {
    (void)unused;
    set_handler(SIGALRM, SA_RESTART);
    struct itimerval timer = {{0, 150}, {0, 150}};
    setitimer(ITIMER_REAL, &timer, NULL);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    static char *blocks[256];
    size_t i = 0;
    do {
        for (unsigned k = 0; k < 2000; k++, i++) {
            free(blocks[i % 256]);
            blocks[i % 256] = malloc(16 + i * 31 % 4000);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 300);
    timer = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
    _exit(0);
}

static void a_handler_inside_the_allocator_is_reported_as_that(void) {
    static const char expected[] = "moat: fatal: reentrant-call: allocator called from a signal "
                                   "handler that interrupted it at ";
    unsigned reported = 0;
    for (unsigned i = 0; i < 5; i++) {
        char text[16384];
        int status = run_child(0, interrupt_the_allocator, NULL, text, sizeof text);
        if (status == 0) continue;
        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x; stderr: %.300s",
                status, text);
        REQUIRE(strncmp(text, expected, sizeof expected - 1) == 0, "reported %.200s", text);
        reported++;
    }
    say("%u of 5 runs were reported as reentrant calls, the others ended well", reported);
}

int main(void) {
    require_moat(60);
    a_handler_between_allocations_works();
    a_handler_inside_the_allocator_is_reported_as_that();
    return 0;
}
