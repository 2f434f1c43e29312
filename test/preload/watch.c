/*
 * watch: runs a program and writes down, for it and every process it starts, whether a library was
 * mapped at its end.
 *
 *     watch --record FILE --library LIB [--preload] -- PROGRAM ARGS...
 *
 * A preload can fail without a word: the loader warns and goes on, a wrapper clears the
 * environment, a helper is linked statically. So each process is stopped at its exit, when its
 * memory is still there (PTRACE_EVENT_EXIT), and /proc/PID/maps is read then. One line a process,
 * fields separated by tabs: pid, name of the executable, "mapped" or "unmapped", "brk" if the
 * system allocator's heap (the memory behind the program break) is in use or "nobrk", and "exit:N"
 * or "signal:N".
 *
 * With --preload the program gets LD_PRELOAD=LIB, without it none. Threads are not traced, so that
 * they run and race as they always do; a process that a thread other than the first one starts goes
 * unrecorded. The result is that of PROGRAM (128 + N for signal N), or 125 when watch itself fails.
 * The program and its descendants are killed if watch is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCH_FAILED = 125 };

struct settings {
    const char *record;
    const char *object; /* as /proc/PID/maps spells it: absolute, links resolved */
    bool preload;
    char **command;
};

static _Noreturn void die(const char *what) {
    fprintf(stderr, "watch: %s: %s\n", what, strerror(errno));
    exit(WATCH_FAILED);
}

static _Noreturn void usage(void) {
    fprintf(stderr, "usage: watch --record FILE --library LIB [--preload] -- PROGRAM ARGS...\n");
    exit(WATCH_FAILED);
}

/* Where the program break began: field 47 of /proc/PID/stat; 0 when it cannot be read. The name in
   field 2 may hold anything, so fields are counted from the last bracket. */
static unsigned long start_of_brk(pid_t pid) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    char *cursor = strrchr(text, ')');
    for (int field = 2; cursor && field < 47; field++) {
        cursor = strchr(cursor + 1, ' ');
    }
    return cursor ? strtoul(cursor + 1, NULL, 10) : 0;
}

struct proc_maps {
    bool readable, mapped, brk;
};

static struct proc_maps look_at_maps(pid_t pid, const char *library) {
    struct proc_maps found = {0};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file) return found;
    found.readable = true;
    unsigned long brk = start_of_brk(pid);
    char *line = NULL;
    size_t space = 0;
    while (getline(&line, &space, file) > 0) {
        unsigned long start, end;
        int name_at = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &name_at) < 2 || name_at == 0)
            continue;
        if (strcmp(line + name_at, library) == 0) found.mapped = true;
        /* The kernel also calls the end of .bss [heap] when the break happens to begin right behind
           it. */
        if (strcmp(line + name_at, "[heap]") == 0 && end > brk) found.brk = true;
    }
    free(line);
    fclose(file);
    return found;
}

/* Called while `pid` stands in its exit, its memory still there. */
static void record_exit(FILE *record, pid_t pid, const struct settings *settings) {
    char link[64], executable[PATH_MAX];
    unsigned long status = 0;
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(link, executable, sizeof executable - 1);
    executable[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(executable, '/');
    struct proc_maps found = look_at_maps(pid, settings->object);
    /* killed in the meantime: nothing is left to look at */
    if (!found.readable || length <= 0) return;
    if (ptrace(PTRACE_GETEVENTMSG, pid, NULL, &status) != 0) return;
    int code = (int)status;
    fprintf(record, "%d\t%s\t%s\t%s\t%s:%d\n", (int)pid, slash ? slash + 1 : executable,
            found.mapped ? "mapped" : "unmapped", found.brk ? "brk" : "nobrk",
            WIFSIGNALED(code) ? "signal" : "exit",
            WIFSIGNALED(code) ? WTERMSIG(code) : WEXITSTATUS(code));
    fflush(record);
}

static void let_run(pid_t pid, int signal) {
    /* ESRCH: it was killed while it stood still, and the next wait tells. */
    if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal) != 0 && errno != ESRCH)
        die("PTRACE_CONT");
}

static void handle_stop(FILE *record, pid_t pid, int status, const struct settings *settings) {
    int signal = WSTOPSIG(status);
    int event = status >> 16;
    if (event == PTRACE_EVENT_EXIT) record_exit(record, pid, settings);
    if (event == PTRACE_EVENT_STOP &&
        (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)) {
        /* Stopped by job control: it stays so until SIGCONT, as it would untraced. */
        if (ptrace(PTRACE_LISTEN, pid, NULL, NULL) != 0 && errno != ESRCH) die("PTRACE_LISTEN");
        return;
    }
    let_run(pid, event == 0 ? signal : 0);
}

/* Starts the program and takes hold of it before its first instruction. */
static pid_t start(const struct settings *settings) {
    int gate[2];
    char byte = 0;
    if (pipe2(gate, O_CLOEXEC) != 0) die("pipe");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1) _exit(WATCH_FAILED);
        if (settings->preload ? setenv("LD_PRELOAD", settings->object, 1) : unsetenv("LD_PRELOAD"))
            die("environment");
        execvp(settings->command[0], settings->command);
        die(settings->command[0]);
    }
    close(gate[0]);
    unsigned long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                            PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, child, NULL, (void *)options) != 0)
        die("this system does not allow tracing (PTRACE_SEIZE)");
    if (write(gate[1], &byte, 1) != 1) die("pipe");
    close(gate[1]);
    return child;
}

static struct settings parse(int count, char **arguments) {
    struct settings settings = {0};
    int at = 1;
    for (; at < count && strcmp(arguments[at], "--") != 0; at++) {
        if (strcmp(arguments[at], "--preload") == 0) {
            settings.preload = true;
        } else if (strcmp(arguments[at], "--record") == 0 && at + 1 < count) {
            settings.record = arguments[++at];
        } else if (strcmp(arguments[at], "--library") == 0 && at + 1 < count) {
            settings.object = realpath(arguments[++at], NULL);
            if (!settings.object) die(arguments[at]);
        } else {
            usage();
        }
    }
    if (at + 1 >= count || !settings.record || !settings.object) usage();
    if (strpbrk(settings.object, " :")) {
        fprintf(stderr, "watch: LD_PRELOAD cannot carry a path with a space or a colon: %s\n",
                settings.object);
        exit(WATCH_FAILED);
    }
    settings.command = arguments + at + 1;
    return settings;
}

int main(int count, char **arguments) {
    struct settings settings = parse(count, arguments);
    FILE *record = fopen(settings.record, "we");
    if (!record) die(settings.record);
    pid_t root = start(&settings);
    int result = WATCH_FAILED;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) break; /* ECHILD: the program and all its descendants are gone */
        if (WIFSTOPPED(status)) {
            handle_stop(record, pid, status, &settings);
        } else if (pid == root) {
            result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
    if (fclose(record) != 0) die(settings.record);
    return result;
}
