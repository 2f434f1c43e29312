/*
 * probe: what a program's life costs the kernel: its system calls, and the memory it has made its
 * own when it ends.
 *
 *     bench-probe [--preload LIB] -- PROGRAM ARGS...
 *
 * Prints CSV: `allocator,FILE` (the preloaded library as /proc/PID/maps shows it at the end, or
 * `system`), then one line `system_calls,private_dirty_kib,mappings,status`. System calls are those
 * of the first thread from after the execve to its exit; private dirty memory is smaps_rollup's,
 * read while the process stands in its exit with its memory still there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench-probe: %s: %s\n", what, strerror(errno));
    exit(125);
}

static FILE *open_proc(pid_t pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file) die(path);
    return file;
}

static long private_dirty_kib(pid_t pid) {
    char line[512];
    long kib = -1;
    FILE *file = open_proc(pid, "smaps_rollup");
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "Private_Dirty: %ld kB", &kib) == 1) break;
    }
    fclose(file);
    return kib;
}

static long count_mappings(pid_t pid, const char *library, bool *mapped) {
    char line[PATH_MAX + 128];
    long count = 0;
    FILE *file = open_proc(pid, "maps");
    while (fgets(line, sizeof line, file)) {
        count++;
        if (library && strstr(line, library)) *mapped = true;
    }
    fclose(file);
    return count;
}

static pid_t start(const char *library, char **command) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        if (library ? setenv("LD_PRELOAD", library, 1) : unsetenv("LD_PRELOAD")) die("environment");
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) die("this system does not allow tracing");
        raise(SIGSTOP);
        execvp(command[0], command);
        die(command[0]);
    }
    int status;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        die("the program did not start");
    unsigned long options =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)options) != 0) die("PTRACE_SETOPTIONS");
    return child;
}

int main(int count, char **arguments) {
    const char *library = NULL;
    int at = 1;
    if (at + 1 < count && strcmp(arguments[at], "--preload") == 0) {
        library = realpath(arguments[at + 1], NULL);
        if (!library) die(arguments[at + 1]);
        at += 2;
    }
    if (at + 1 >= count || strcmp(arguments[at], "--") != 0) {
        fprintf(stderr, "usage: bench-probe [--preload LIB] -- PROGRAM ARGS...\n");
        return 125;
    }
    pid_t child = start(library, arguments + at + 1);
    long stops = 0, dirty = -1, mappings = -1;
    bool running = false, mapped = false;
    for (int signal = 0;;) {
        int status;
        if (ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)signal) != 0) die("PTRACE_SYSCALL");
        if (waitpid(child, &status, 0) != child) die("waitpid");
        signal = 0;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            printf("allocator,%s\n", mapped ? library : "system");
            /* Each call stops twice, the last (exit_group) once; the first stop after the execve
             * is the execve's own return. */
            printf("%ld,%ld,%ld,%d\n", stops / 2, dirty, mappings,
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128);
            return 0;
        }
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            running = true;
        } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
            dirty = private_dirty_kib(child);
            mappings = count_mappings(child, library, &mapped);
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (running) stops++;
        } else {
            signal = WSTOPSIG(status);
        }
    }
}
