/*
 * start_cost: what moat adds to the start of a program, counted by the kernel.
 *
 *   start_cost calls LIBRARY MOST PROGRAM ARGS…   system calls
 *   start_cost dirty LIBRARY MOST PROGRAM ARGS…   KiB of private memory after a line of output
 *
 * Of either, PROGRAM with LIBRARY preloaded may have MOST more than without.
 *
 * Not linked with moat. The calls of the program loader for the library itself (open, map, protect)
 * count too.
 */
#include "process.h"
#include "require.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALL_NUMBERS = 512 };

static unsigned counts[2][CALL_NUMBERS];

static _Noreturn void become(char **argv, const char *library) {
    if (library) setenv("LD_PRELOAD", library, 1);
    execvp(argv[0], argv);
    _exit(127);
}

/* The entries into the kernel of one process, from its exec on. */
static unsigned count_calls(char **argv, const char *library, unsigned *by_number) {
    int status;
    unsigned total = 0;
    pid_t child = fork();
    REQUIRE(child >= 0, "a process can be made");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(TEST_SKIPPED);
        raise(SIGSTOP);
        become(argv, library);
    }
    REQUIRE(waitpid(child, &status, 0) == child, "the child stops");
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
        skip_test("ptrace is not allowed here");
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    REQUIRE(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)options) == 0,
            "the child can be traced");
    bool running = false;
    for (long number = 0;;) {
        REQUIRE(ptrace(PTRACE_SYSCALL, child, NULL, (void *)number) == 0, "the child goes on");
        REQUIRE(waitpid(child, &status, 0) == child, "the child stops");
        if (!WIFSTOPPED(status)) break;
        number = 0;
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            running = true;
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info = {0};
            REQUIRE(ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof info, &info) > 0,
                    "the call can be read (Linux 5.3)");
            if (!running || info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
            total++;
            if (info.entry.nr < CALL_NUMBERS) by_number[info.entry.nr]++;
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            number = WSTOPSIG(status);
        }
    }
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ends well (status 0x%x)", argv[0],
            (unsigned)status);
    return total;
}

static void compare_calls(const char *library, size_t most, char **argv) {
    unsigned without = count_calls(argv, NULL, counts[0]),
             with = count_calls(argv, library, counts[1]);
    say("%u system calls without, %u with", without, with);
    for (unsigned i = 0; i < CALL_NUMBERS; i++) {
        if (counts[0][i] != counts[1][i])
            say("  call number %u: %u without, %u with", i, counts[0][i], counts[1][i]);
    }
    REQUIRE(with > without, "the preloaded library is loaded");
    REQUIRE(with <= without + most, "at most %zu more", most);
}

/* Runs until its first line on standard output, which says whose memory is measured; then it is
   killed. */
static size_t dirty_of(char **argv, const char *library) {
    int output[2], input[2], status;
    char line[32] = "";
    REQUIRE(pipe(output) == 0 && pipe(input) == 0, "pipes can be made");
    pid_t child = fork();
    REQUIRE(child >= 0, "a process can be made");
    if (child == 0) {
        dup2(output[1], STDOUT_FILENO);
        dup2(input[0], STDIN_FILENO);
        close(output[0]);
        close(input[1]);
        become(argv, library);
    }
    close(output[1]);
    close(input[0]);
    REQUIRE(read(output[0], line, sizeof line - 1) > 0, "%s says that it is ready", argv[0]);
    size_t dirty = process_private_dirty((pid_t)strtol(line, NULL, 10));
    REQUIRE(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child, "it can be ended");
    close(output[0]);
    close(input[1]);
    return dirty / 1024;
}

static void compare_dirty(const char *library, size_t most, char **argv) {
    size_t without = dirty_of(argv, NULL), with = dirty_of(argv, library);
    say("%zu KiB private and dirty without, %zu with", without, with);
    REQUIRE(with <= without + most, "at most %zu KiB more", most);
}

int main(int argc, char **argv) {
    REQUIRE(argc >= 5, "usage: start_cost calls|dirty LIBRARY MOST PROGRAM ARGS…");
    size_t most = (size_t)strtoul(argv[3], NULL, 10);
    REQUIRE(access(argv[2], R_OK) == 0, "%s is there", argv[2]);
    if (strcmp(argv[1], "calls") == 0) {
        compare_calls(argv[2], most, argv + 4);
    } else {
        compare_dirty(argv[2], most, argv + 4);
    }
    return 0;
}
