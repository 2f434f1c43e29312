/*
 * judge: runs one case of misuse and says whether what happened is what must happen.
 *
 *   judge PROGRAM CASE              each round of the case in a process of its own
 *   judge --preload LIBRARY PROGRAM CASE
 *   judge --count N PROGRAM         PROGRAM --list has N different cases: CTest lost none
 *
 * Exit 0 right, 1 wrong (with what was seen), 77 skipped by the case itself, 2 the machine failed.
 * Not linked with moat: it must be able to judge one that is broken.
 */
#include "child.h"
#include "report_line.h"
#include "require.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { LIMIT_MS = 30000, ROUNDS_MAX = 100000 };

struct trial {
    const char *outcome;
    struct child_result child;
    /* From the last line "expect …". */
    bool announced;
    char kinds[64], what[256];
    uintptr_t lowest, highest;
    char why[640];
};

static bool wrong(struct trial *trial, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool wrong(struct trial *trial, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trial->why, sizeof trial->why, format, arguments);
    va_end(arguments);
    return false;
}

/* The line of standard output that begins with `start`, or NULL. */
static const char *line_with(const struct trial *trial, const char *start) {
    const char *found = NULL;
    for (const char *line = trial->child.out.bytes; line && *line;) {
        if (strncmp(line, start, strlen(start)) == 0) found = line;
        line = strchr(line, '\n');
        if (line) line++;
    }
    return found;
}

static void read_announcement(struct trial *trial) {
    const char *line = line_with(trial, "expect ");
    unsigned long lowest, highest;
    trial->announced = line && sscanf(line, "expect %63s 0x%lx 0x%lx %255[^\n]", trial->kinds,
                                      &lowest, &highest, trial->what) == 4;
    trial->lowest = trial->announced ? lowest : 0;
    trial->highest = trial->announced ? highest : 0;
}

static bool died_of(const struct trial *trial, int number) {
    return !trial->child.timed_out && WIFSIGNALED(trial->child.status) &&
           WTERMSIG(trial->child.status) == number;
}

static bool in_range(const struct trial *trial, uintptr_t address) {
    return address >= trial->lowest && address <= trial->highest;
}

static bool reported_rightly(struct trial *trial) {
    struct report_line report;
    char why[512], ending[64];
    if (!report_line_parse(trial->child.err.bytes, &report, why, sizeof why))
        return wrong(trial, "%s", why);
    if (!died_of(trial, SIGABRT)) {
        return wrong(trial, "a report, but then %s instead of SIGABRT",
                     child_ending(&trial->child, ending, sizeof ending));
    }
    if (!trial->announced)
        return wrong(trial, "a report before any misuse: %s: %s", report.kind, report.what);
    if (!matches_whole(report.kind, trial->kinds)) {
        return wrong(trial, "reported as %s (%s), not as %s", report.kind, report.what,
                     trial->kinds);
    }
    if (!matches_whole(report.what, trial->what)) {
        return wrong(trial, "the phrase is \"%s\", not \"%s\"", report.what, trial->what);
    }
    if (!in_range(trial, report.address)) {
        return wrong(trial, "reported at 0x%lx, not in 0x%lx..0x%lx", report.address, trial->lowest,
                     trial->highest);
    }
    return true;
}

static bool faulted_rightly(struct trial *trial) {
    const char *line = line_with(trial, "fault ");
    char ending[64];
    if (!died_of(trial, SIGSEGV)) {
        return wrong(trial, "%s instead of SIGSEGV",
                     child_ending(&trial->child, ending, sizeof ending));
    }
    if (trial->child.err.length != 0) return wrong(trial, "something was printed beside the fault");
    if (!trial->announced || !line) return wrong(trial, "a fault that is not the announced one");
    uintptr_t address = (uintptr_t)strtoull(line + strlen("fault "), NULL, 16);
    if (!in_range(trial, address)) {
        return wrong(trial, "the fault is at 0x%lx, not in 0x%lx..0x%lx", address, trial->lowest,
                     trial->highest);
    }
    return true;
}

static bool ended_clean(struct trial *trial) {
    char ending[64];
    if (trial->child.err.length != 0)
        return wrong(trial, "something was printed on standard error");
    if (!WIFEXITED(trial->child.status) || WEXITSTATUS(trial->child.status) != 0) {
        return wrong(trial, "%s instead of exit status 0",
                     child_ending(&trial->child, ending, sizeof ending));
    }
    return line_with(trial, "finished") || wrong(trial, "the scene was not played to its end");
}

static bool judge(struct trial *trial) {
    if (trial->child.timed_out) return wrong(trial, "did not end within %d s", LIMIT_MS / 1000);
    if (line_with(trial, "failed: ")) return wrong(trial, "the scene itself failed");
    if (line_with(trial, "handed out ")) return wrong(trial, "a block was handed out twice");
    if (strcmp(trial->outcome, "clean") == 0) return ended_clean(trial);
    if (strcmp(trial->outcome, "later-or-harmless") == 0 && WIFEXITED(trial->child.status))
        return ended_clean(trial);
    bool late = strncmp(trial->outcome, "later", 5) == 0;
    if (line_with(trial, "passed misuse") && !late)
        return wrong(trial, "the misuse passed: it was not stopped at once");
    if (line_with(trial, "finished")) return wrong(trial, "the misuse was never stopped");
    return strcmp(trial->outcome, "fault") == 0 ? faulted_rightly(trial) : reported_rightly(trial);
}

static void show(const struct trial *trial, const char *name, unsigned round) {
    char ending[64];
    printf("%s, round %u: %s\n  ended by %s\n", name, round, trial->why,
           child_ending(&trial->child, ending, sizeof ending));
    printf("--- standard output\n%s--- standard error\n%s---\n", trial->child.out.bytes,
           trial->child.err.bytes);
}

/* True to go on. */
static int play_round(struct trial *trial, char *program, char *name, unsigned round,
                      const char *const changes[]) {
    char number[16];
    snprintf(number, sizeof number, "%u", round);
    child_run((char *[]){program, name, number, NULL}, changes, LIMIT_MS, &trial->child);
    int verdict = 0;
    if (WIFEXITED(trial->child.status) && WEXITSTATUS(trial->child.status) == TEST_SKIPPED) {
        printf("%s", trial->child.out.bytes);
        verdict = TEST_SKIPPED;
    } else {
        read_announcement(trial);
        if (!judge(trial)) {
            show(trial, name, round);
            verdict = 1;
        }
    }
    child_discard(&trial->child);
    return verdict;
}

static int play_case(char *program, char *name, const char *preload) {
    char outcome[32], options[128], options_change[160], preload_change[4200];
    unsigned rounds = 0;
    struct child_result described;
    child_run((char *[]){program, "--describe", name, NULL}, NULL, LIMIT_MS, &described);
    int fields = sscanf(described.out.bytes, "%31s %u %127s", outcome, &rounds, options);
    if (fields != 3 || rounds == 0 || rounds > ROUNDS_MAX) {
        printf("%s --describe %s does not describe a case: %s%s\n", program, name,
               described.out.bytes, described.err.bytes);
        return 1;
    }
    child_discard(&described);
    snprintf(options_change, sizeof options_change,
             strcmp(options, "-") ? "MOAT_OPTIONS=%s" : "MOAT_OPTIONS", options);
    snprintf(preload_change, sizeof preload_change, preload ? "LD_PRELOAD=%s" : "LD_PRELOAD",
             preload);
    const char *changes[] = {options_change, preload_change, NULL};
    for (unsigned round = 0; round < rounds; round++) {
        struct trial trial = {.outcome = outcome};
        int verdict = play_round(&trial, program, name, round, changes);
        if (verdict != 0) return verdict;
    }
    printf("%s: %s, %u round%s\n", name, outcome, rounds, rounds == 1 ? "" : "s");
    return 0;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int count_cases(char *program, size_t expected) {
    enum { NAMES_MAX = 2000 };
    static char *names[NAMES_MAX];
    size_t count = 0;
    struct child_result listed;
    child_run((char *[]){program, "--list", NULL}, NULL, LIMIT_MS, &listed);
    for (char *name = strtok(listed.out.bytes, "\n"); name && count < NAMES_MAX;
         name = strtok(NULL, "\n"))
        names[count++] = name;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) != 0) continue;
        printf("two cases are called %s\n", names[i]);
        return 1;
    }
    printf("%zu cases in the program, %zu tests\n", count, expected);
    return count == expected ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--count") == 0)
        return count_cases(argv[3], (size_t)strtoul(argv[2], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "--preload") == 0) return play_case(argv[3], argv[4], argv[2]);
    if (argc == 3) return play_case(argv[1], argv[2], NULL);
    fprintf(stderr, "usage: judge [--preload LIBRARY] PROGRAM CASE | judge --count N PROGRAM\n");
    return 2;
}
