/* api: see api.h. */
#include "api.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report_line.h"

void require_moat(unsigned limit_seconds) {
    alarm(limit_seconds);
    family_find();
    void *block = malloc(100);
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    REQUIRE(family.owns(block), "malloc() is not moat's");
    free(block);
}

bool is_inaccessible(const void *address) {
    int ends[2];
    REQUIRE(pipe(ends) == 0, "pipe: errno %d", errno);
    ssize_t count = write(ends[1], address, 1);
    bool fault = count < 0 && errno == EFAULT;
    close(ends[0]);
    close(ends[1]);
    return fault;
}

void require_exit_zero(int process, const char *name) {
    int status;
    pid_t waited;
    do {
        waited = waitpid(process, &status, 0);
    } while (waited < 0 && errno == EINTR);
    REQUIRE(waited == process, "%s: waitpid: errno %d", name, errno);
    REQUIRE(!WIFSIGNALED(status), "%s: ended by signal %d", name, WTERMSIG(status));
    REQUIRE(WEXITSTATUS(status) == 0, "%s: exit status %d", name, WEXITSTATUS(status));
}

int run_child(unsigned limit_seconds, void (*act)(void *), void *argument, char *text,
              size_t capacity) {
    int ends[2];
    REQUIRE(pipe(ends) == 0, "pipe: errno %d", errno);
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(limit_seconds);
        act(argument);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (;;) {
        char rest[256];
        bool full = length + 1 >= capacity;
        ssize_t count =
            read(ends[0], full ? rest : text + length, full ? sizeof rest : capacity - length - 1);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        if (!full) length += (size_t)count;
    }
    text[length] = '\0';
    close(ends[0]);
    int status;
    while (waitpid(child, &status, 0) < 0) REQUIRE(errno == EINTR, "waitpid: errno %d", errno);
    return status;
}

void require_report(const char *kind, const char *what, void (*act)(void *), void *argument) {
    char text[16384], why[512];
    struct report_line line;
    int status = run_child(10, act, argument, text, sizeof text);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
            "status %#x instead of SIGABRT; stderr: %.300s", status, text);
    REQUIRE(report_line_parse(text, &line, why, sizeof why), "%s", why);
    REQUIRE(strcmp(line.kind, kind) == 0, "kind \"%s\" instead of \"%s\"", line.kind, kind);
    REQUIRE(strcmp(line.what, what) == 0, "phrase \"%s\" instead of \"%s\"", line.what, what);
}

void require_child_succeeds(const char *name, unsigned limit_seconds, void (*act)(void *),
                            void *argument) {
    char text[4096];
    int status = run_child(limit_seconds, act, argument, text, sizeof text);
    REQUIRE(!WIFSIGNALED(status), "%s: ended by signal %d; stderr: %.300s", name, WTERMSIG(status),
            text);
    REQUIRE(WEXITSTATUS(status) == 0, "%s: exit status %d; stderr: %.300s", name,
            WEXITSTATUS(status), text);
}
