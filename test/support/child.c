/* child: see child.h. Both pipes are read to their end with poll(), so that neither can fill up and
   stop the child. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* More than any test prints; what goes beyond is read and dropped. */
enum { TEXT_CAPACITY = 1 << 20 };

static _Noreturn void broken_machine(const char *what) {
    fprintf(stderr, "cannot run a child: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static _Noreturn void become(char *const argv[], const char *const changes[], int out, int err) {
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; changes && changes[i]; i++) {
        char *change = strdup(changes[i]);
        char *equals = change ? strchr(change, '=') : NULL;
        if (!equals) {
            unsetenv(changes[i]);
            continue;
        }
        *equals = '\0';
        setenv(change, equals + 1, 1);
    }
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) _exit(126);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* False at the end of the stream. */
static bool read_some(int fd, struct child_text *text) {
    char spill[4096];
    bool fits = text->length < TEXT_CAPACITY - 1;
    ssize_t count = fits ? read(fd, text->bytes + text->length, TEXT_CAPACITY - 1 - text->length)
                         : read(fd, spill, sizeof spill);
    if (count < 0) return errno == EINTR;
    if (fits) text->length += (size_t)count;
    return count > 0;
}

static void collect_output(pid_t child, const int fds[2], unsigned limit_ms,
                           struct child_result *result) {
    struct child_text *texts[2] = {&result->out, &result->err};
    struct pollfd polled[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
    uint64_t limit = now_ms() + limit_ms;
    while (polled[0].fd >= 0 || polled[1].fd >= 0) {
        uint64_t now = now_ms();
        if (now >= limit && !result->timed_out) {
            result->timed_out = true;
            kill(child, SIGKILL);
            limit = now + 2000; /* a grandchild may hold the pipes a little longer */
        } else if (now >= limit) {
            break;
        }
        if (poll(polled, 2, (int)(limit - now)) < 0 && errno != EINTR) broken_machine("poll");
        for (int i = 0; i < 2; i++) {
            if (polled[i].fd >= 0 && polled[i].revents != 0 && !read_some(fds[i], texts[i]))
                polled[i].fd = -1;
        }
    }
}

void child_run(char *const argv[], const char *const changes[], unsigned limit_ms,
               struct child_result *result) {
    int out[2], err[2];
    memset(result, 0, sizeof *result);
    result->out.bytes = calloc(1, TEXT_CAPACITY);
    result->err.bytes = calloc(1, TEXT_CAPACITY);
    if (!result->out.bytes || !result->err.bytes) broken_machine("memory");
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) broken_machine("pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) broken_machine("fork");
    if (child == 0) become(argv, changes, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    collect_output(child, (const int[2]){out[0], err[0]}, limit_ms, result);
    close(out[0]);
    close(err[0]);
    while (waitpid(child, &result->status, 0) < 0) {
        if (errno != EINTR) broken_machine("waitpid");
    }
}

void child_discard(struct child_result *result) {
    free(result->out.bytes);
    free(result->err.bytes);
    memset(result, 0, sizeof *result);
}

const char *child_ending(const struct child_result *result, char *text, size_t size) {
    if (result->timed_out) {
        snprintf(text, size, "killed at its time limit");
    } else if (WIFSIGNALED(result->status)) {
        snprintf(text, size, "signal %d (%s)", WTERMSIG(result->status),
                 strsignal(WTERMSIG(result->status)));
    } else {
        snprintf(text, size, "exit status %d", WEXITSTATUS(result->status));
    }
    return text;
}
