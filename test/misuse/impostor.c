/*
 * impostor: plays cases that a judge must see through, and a few that it must accept. It stands in
 * for the misuse program, with made-up output and made-up deaths, so that the judge is tested
 * without an allocator: see judged.c.
 */
#include "require.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct act {
    const char *name;
    const char *outcome;
    const char *out;
    const char *err;
    int signal; /* 0: exit with `status` */
    int status;
};

#define EXPECT "expect double-free 0x1230 0x1230 second free of a block\n"
#define REPORT                                                                                     \
    "moat: fatal: double-free: second free of a block at 0x1230\nmoat: block of 48 bytes\n"

#define ERROR                                                                                      \
    "moat: error: double-free: second free of a block at 0x1230\nmoat: block of 48 bytes\n"
#define EXPECT_LINK "expect corrupt-link 0x1230 0x1230 free list is damaged\n"
#define LINK "corrupt-link: free list is damaged at 0x1230\nmoat: block of 48 bytes\n"
#define WENT_ON EXPECT "passed misuse\nfinished\n"

/* Those whose name begins with "going-" are played with on=report, with "strict-" at that level. */
static const struct act acts[] = {
    {"good", "at-once", EXPECT, REPORT, SIGABRT, 0},
    {"good-late", "later", EXPECT "passed misuse\n", REPORT, SIGABRT, 0},
    {"good-harmless", "later-or-harmless", EXPECT "passed misuse\nfinished\n", "", 0, 0},
    {"good-clean", "clean", "finished\n", "", 0, 0},
    {"good-fault", "fault", "expect guard 0x1000 0x1fff -\nfault 0x1800\n", "", SIGSEGV, 0},
    {"skip", "at-once", "skipped: for a reason\n", "", 0, TEST_SKIPPED},
    {"passed", "at-once", EXPECT "passed misuse\n", REPORT, SIGABRT, 0},
    {"never", "later", EXPECT "passed misuse\nfinished\n", "", 0, 0},
    {"silent-abort", "at-once", EXPECT, "", SIGABRT, 0},
    {"wrong-signal", "at-once", EXPECT, REPORT, SIGSEGV, 0},
    {"exit-after-report", "at-once", EXPECT, REPORT, 0, 1},
    {"wrong-kind", "at-once", EXPECT,
     "moat: fatal: invalid-free: second free of a block at 0x1230\nmoat: x\n", SIGABRT, 0},
    {"kind-with-tail", "at-once", EXPECT,
     "moat: fatal: double-freed: second free of a block at 0x1230\nmoat: x\n", SIGABRT, 0},
    {"wrong-phrase", "at-once", EXPECT, "moat: fatal: double-free: third free at 0x1230\nmoat: x\n",
     SIGABRT, 0},
    {"wrong-address", "at-once", EXPECT,
     "moat: fatal: double-free: second free of a block at 0x1240\nmoat: x\n", SIGABRT, 0},
    {"noise-before", "at-once", EXPECT, "noise\n" REPORT, SIGABRT, 0},
    {"noise-between", "at-once", EXPECT, REPORT "noise\n" REPORT, SIGABRT, 0},
    {"first-line-only", "at-once", EXPECT,
     "moat: fatal: double-free: second free of a block at 0x1230\n", SIGABRT, 0},
    {"cut-off", "at-once", EXPECT,
     "moat: fatal: double-free: second free of a block at 0x1230\nmoat: blo", SIGABRT, 0},
    {"not-announced", "at-once", "", REPORT, SIGABRT, 0},
    {"handed-out", "later", EXPECT "passed misuse\nhanded out 0x1230\n", "", 0, 1},
    {"scene-failed", "later", EXPECT "failed: scene\n", REPORT, SIGABRT, 0},
    {"fault-elsewhere", "fault", "expect guard 0x1000 0x1fff -\nfault 0x2000\n", "", SIGSEGV, 0},
    {"fault-with-noise", "fault", "expect guard 0x1000 0x1fff -\nfault 0x1800\n", "noise\n",
     SIGSEGV, 0},
    {"fault-unknown", "fault", "expect guard 0x1000 0x1fff -\n", "", SIGSEGV, 0},
    {"no-fault", "fault", "expect guard 0x1000 0x1fff -\npassed misuse\nfinished\n", "", 0, 0},
    {"abort-for-fault", "fault", "expect guard 0x1000 0x1fff -\n", REPORT, SIGABRT, 0},
    {"clean-but-report", "clean", "finished\n", REPORT, SIGABRT, 0},
    {"clean-but-noise", "clean", "finished\n", "noise\n", 0, 0},
    {"clean-but-exit", "clean", "finished\n", "", 0, 3},
    {"clean-but-cut", "clean", "", "", 0, 0},
    {"lets-go-on", "at-once", EXPECT, ERROR, SIGABRT, 0},
    {"going-good.", "at-once", WENT_ON, ERROR ERROR, 0, 0},
    {"going-good-damage.", "later", EXPECT_LINK "passed misuse\n", "moat: fatal: " LINK, SIGABRT,
     0},
    {"going-good-late.", "later", EXPECT "passed misuse\n", ERROR REPORT, SIGABRT, 0},
    {"going-ended.", "at-once", EXPECT, REPORT, SIGABRT, 0},
    {"going-silent.", "at-once", WENT_ON, "", 0, 0},
    {"going-cut.", "at-once", EXPECT, ERROR, 0, 0},
    {"going-exit.", "at-once", WENT_ON, ERROR, 0, 1},
    {"going-fault.", "at-once", EXPECT, ERROR, SIGSEGV, 0},
    {"going-damaged.", "later", EXPECT_LINK "passed misuse\nfinished\n", "moat: error: " LINK, 0,
     0},
    {"going-past-end.", "later", EXPECT_LINK, "moat: fatal: " LINK ERROR, SIGABRT, 0},
    {"going-handed-out.", "at-once", EXPECT "passed misuse\nhanded out 0x1230\n", ERROR, 0, 1},
    {"strict-good.", "at-once", EXPECT, REPORT, SIGABRT, 0},
    {"strict-passed.", "at-once", EXPECT "passed misuse\n", REPORT, SIGABRT, 0},
    {"strict-going-on.", "at-once", EXPECT, ERROR, SIGABRT, 0},
};

static void print(int fd, const char *text) {
    if (write(fd, text, strlen(text)) < 0) _exit(99);
}

int main(int argc, char **argv) {
    const char *wanted = argc > 1 ? argv[argc - 1] : "";
    bool describe = argc == 3 && strcmp(argv[1], "--describe") == 0;
    if (!describe && argc >= 3) wanted = argv[argc - 2]; /* then the round */
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const struct act *act = &acts[i];
        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
            say("%s", act->name);
        } else if (strcmp(act->name, wanted) == 0 && describe) {
            say("%s 1 -", act->outcome);
            return 0;
        } else if (strcmp(act->name, wanted) == 0) {
            print(STDOUT_FILENO, act->out);
            print(STDERR_FILENO, act->err);
            if (act->signal) {
                signal(act->signal, SIG_DFL);
                raise(act->signal);
            }
            _exit(act->status);
        }
    }
    return argc == 2 && strcmp(argv[1], "--list") == 0 ? 0 : 98;
}
