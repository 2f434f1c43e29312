/*
 * judged: the judge is judged. Acts of the impostor whose names begin with "good", "going-good" or
 * "strict-good" must be accepted, "skip" skipped, and all others refused, for the reason that is
 * written here.
 *
 *   judged JUDGE IMPOSTOR
 */
#include "child.h"
#include "require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char *const reasons[][2] = {
    {"passed", "was not stopped at once"},
    {"never", "was never stopped"},
    {"silent-abort", "does not begin with a report"},
    {"wrong-signal", "instead of SIGABRT"},
    {"exit-after-report", "instead of SIGABRT"},
    {"wrong-kind", "reported as invalid-free"},
    {"kind-with-tail", "reported as double-freed"},
    {"wrong-phrase", "the phrase is"},
    {"wrong-address", "reported at 0x1240"},
    {"noise-before", "does not begin with a report"},
    {"noise-between", "does not start with moat:"},
    {"first-line-only", "only its first line"},
    {"cut-off", "cut off"},
    {"not-announced", "before any misuse"},
    {"handed-out", "handed out twice"},
    {"scene-failed", "the scene itself failed"},
    {"fault-elsewhere", "the fault is at 0x2000"},
    {"fault-with-noise", "beside the fault"},
    {"fault-unknown", "not the announced one"},
    {"no-fault", "was not stopped at once"},
    {"abort-for-fault", "instead of SIGSEGV"},
    {"clean-but-report", "on standard error"},
    {"clean-but-noise", "on standard error"},
    {"clean-but-exit", "instead of exit status 0"},
    {"clean-but-cut", "not played to its end"},
    {"lets-go-on", "lets the program go on"},
    {"going-ended.", "double-free ended the program"},
    {"going-silent.", "does not begin with a report"},
    {"going-cut.", "not played to its end"},
    {"going-exit.", "should have gone on"},
    {"going-fault.", "should have gone on"},
    {"going-damaged.", "went on after corrupt-link"},
    {"going-past-end.", "after one that ends the program"},
    {"going-handed-out.", "handed out twice"},
    {"strict-passed.", "was not stopped at once"},
    {"strict-going-on.", "lets the program go on"},
};

static const char *reason_for(const char *name) {
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (strcmp(reasons[i][0], name) == 0) return reasons[i][1];
    }
    return NULL;
}

static void check_act(char *judge, char *impostor, char *name) {
    struct child_result result;
    char kind[64];
    bool going_on = strncmp(name, "going-", 6) == 0, strict = strncmp(name, "strict-", 7) == 0;
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(name, "."), name);
    char *plain[] = {judge, impostor, name, NULL};
    char *again[] = {judge, strict ? "--strict" : "--going-on", impostor, kind, NULL};
    child_run(going_on || strict ? again : plain, NULL, 20000, &result);
    REQUIRE(WIFEXITED(result.status), "the judge ends by itself (%s)", name);
    int status = WEXITSTATUS(result.status);
    if (strncmp(name + (going_on ? 6 : strict ? 7 : 0), "good", 4) == 0) {
        REQUIRE(status == 0, "%s is accepted, but: %s", name, result.out.bytes);
    } else if (strcmp(name, "skip") == 0) {
        REQUIRE(status == TEST_SKIPPED && strstr(result.out.bytes, "for a reason"),
                "skip is passed on with its reason");
    } else {
        const char *reason = reason_for(name);
        REQUIRE(reason, "a reason is written down for %s", name);
        REQUIRE(status == 1, "%s is refused", name);
        REQUIRE(strstr(result.out.bytes, reason), "%s is refused because \"%s\", but: %s", name,
                reason, result.out.bytes);
    }
    child_discard(&result);
}

int main(int argc, char **argv) {
    struct child_result listed;
    unsigned count = 0;
    REQUIRE(argc == 3, "usage: judged JUDGE IMPOSTOR");
    child_run((char *[]){argv[2], "--list", NULL}, NULL, 20000, &listed);
    for (char *name = strtok(listed.out.bytes, "\n"); name; name = strtok(NULL, "\n"), count++)
        check_act(argv[1], argv[2], name);
    REQUIRE(count == sizeof reasons / sizeof *reasons + 10, "every act was judged (%u)", count);
    say("%u acts judged", count);
    return 0;
}
