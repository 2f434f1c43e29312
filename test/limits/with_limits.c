/*
 * with_limits: sets limits, then runs a program under them.
 *
 *   with_limits [OPTION VALUE]… -- PROGRAM ARGS…
 *     --as SIZE, --data SIZE      RLIMIT_AS, RLIMIT_DATA
 *     --files N                   RLIMIT_NOFILE; descriptors above the third are closed in any case
 *     --guard-install errno|kill  seccomp: MADV_GUARD_INSTALL gives EINVAL, or ends the process
 *     --huge-pages MODE           transparent huge pages for the whole machine, put back afterwards
 *     --overcommit N              vm.overcommit_memory for the whole machine, put back afterwards
 *
 * What cannot be set is a skipped test (status 77) with the reason. A setting of the whole machine
 * lasts at most 60 seconds: the program is killed then. Not linked with moat.
 */
#include "process.h"
#include "require.h"
#include "sandbox.h"
#include "sizes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { MACHINE_SECONDS = 60 };

static struct { char path[128], before[64]; } machine_setting;
static pid_t program;

static struct rlimit limit_from(const char *value) {
    return (struct rlimit){size_from(value), size_from(value)};
}

static void sandbox(const char *how) {
    bool kill_it = strcmp(how, "kill") == 0;
    if (!sandbox_add(SYS_madvise, MADV_GUARD_INSTALL, kill_it ? SANDBOX_KILL : SANDBOX_ERRNO,
                     EINVAL)) {
        skip_test("this kernel has no seccomp filters");
    }
}

static bool write_text(const char *path, const char *value) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    if (fd >= 0) close(fd);
    return written;
}

/* "always [madvise] never" is in force as madvise; a plain number as itself. */
static void read_setting(const char *path) {
    char text[128] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (length <= 0) skip_test("%s cannot be read", path);
    char *chosen = strchr(text, '[');
    chosen = chosen ? chosen + 1 : text;
    chosen[strcspn(chosen, "]\n")] = '\0';
    snprintf(machine_setting.path, sizeof machine_setting.path, "%s", path);
    snprintf(machine_setting.before, sizeof machine_setting.before, "%.63s", chosen);
}

static void change_machine(const char *path, const char *value) {
    read_setting(path);
    if (!write_text(path, value))
        skip_test("%s cannot be set to %s (%s): root's alone, or a container", path, value,
                  strerror(errno));
}

static void put_back(void) {
    if (machine_setting.path[0]) write_text(machine_setting.path, machine_setting.before);
}

/* Its refusals hit every program of the machine, so it takes an explicit yes, and space for what
   runs already. */
static void overcommit(const char *value) {
    const char *allowed = getenv("MOAT_TEST_OVERCOMMIT");
    if (!allowed || strcmp(allowed, "1") != 0) {
        skip_test("vm.overcommit_memory is the whole machine's: set MOAT_TEST_OVERCOMMIT=1 to let "
                  "this test change it for a moment");
    }
    change_machine("/proc/sys/vm/overcommit_memory", value);
}

static void end_early(int number) {
    if (program > 0) kill(program, SIGKILL);
    put_back();
    _exit(128 + number);
}

static _Noreturn void run_and_put_back(char **argv) {
    int status;
    static const int signals[] = {SIGALRM, SIGINT, SIGTERM, SIGHUP};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], end_early);
    alarm(MACHINE_SECONDS);
    program = fork();
    if (program == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    bool waited = program > 0 && waitpid(program, &status, 0) == program;
    put_back();
    REQUIRE(waited, "the program can be run");
    REQUIRE(WIFEXITED(status), "the program ends by itself (status 0x%x)", (unsigned)status);
    _exit(WEXITSTATUS(status));
}

static void apply(const char *option, const char *value) {
    struct rlimit limit = limit_from(value);
    if (strcmp(option, "--as") == 0) {
        REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "the limit can be set");
    } else if (strcmp(option, "--data") == 0) {
        REQUIRE(setrlimit(RLIMIT_DATA, &limit) == 0, "the limit can be set");
    } else if (strcmp(option, "--files") == 0) {
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0, "the limit can be set");
    } else if (strcmp(option, "--guard-install") == 0) {
        sandbox(value);
    } else if (strcmp(option, "--huge-pages") == 0) {
        change_machine("/sys/kernel/mm/transparent_hugepage/enabled", value);
    } else if (strcmp(option, "--overcommit") == 0) {
        overcommit(value);
    } else {
        REQUIRE(false, "%s is an option", option);
    }
}

int main(int argc, char **argv) {
    int at = 1;
    for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) apply(argv[at], argv[at + 1]);
    REQUIRE(at + 1 < argc && strcmp(argv[at], "--") == 0,
            "usage: with_limits [OPTION VALUE]… -- PROGRAM ARGS…");
    for (int fd = 3; fd < 1024; fd++) close(fd);
    if (machine_setting.path[0]) run_and_put_back(argv + at + 1);
    execv(argv[at + 1], argv + at + 1);
    REQUIRE(false, "%s can be executed", argv[at + 1]);
}
