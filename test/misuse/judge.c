/*
 * judge: runs one case of misuse and says whether what happened is what must happen.
 *
 *   judge PROGRAM CASE              each round of the case in a process of its own
 *   judge --preload LIBRARY PROGRAM CASE
 *   judge --count N PROGRAM         PROGRAM --list has N different cases: CTest lost none
 *   judge --going-on PROGRAM KIND   the cases of a kind with on=report: what can go on does,
 *                                   nothing is handed out twice, and the tables are in order then
 *   judge --strict PROGRAM KIND     those that name no level once more at the strict level, but for
 *                                   what differs there
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

enum { LIMIT_MS = 30000, ROUNDS_MAX = 100000, ROUNDS_AGAIN = 30 };

/* After a report of these, and of no other kind, a program may go on. */
#define MAY_GO_ON                                                                                  \
    "double-free|invalid-free|size-mismatch|alignment-mismatch|family-mismatch|overflow|"          \
    "write-after-free|reentrant-call"
#define ALWAYS_ENDS "corrupt-link|corrupt-metadata|guard-hit"

struct trial {
    const char *outcome;
    bool going_on; /* with on=report */
    struct child_result child;
    /* From a line "expect …". */
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

/* The last line of standard output that begins with `start`, or NULL; of a program that goes on the
   first. */
static const char *line_with(const struct trial *trial, const char *start) {
    const char *found = NULL;
    for (const char *line = trial->child.out.bytes; line && *line;) {
        if (strncmp(line, start, strlen(start)) == 0 && (!found || !trial->going_on)) found = line;
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

static bool is_announced(struct trial *trial, const struct report_line *report) {
    if (!trial->announced)
        return wrong(trial, "a report before any misuse: %s: %s", report->kind, report->what);
    if (!matches_whole(report->kind, trial->kinds)) {
        return wrong(trial, "reported as %s (%s), not as %s", report->kind, report->what,
                     trial->kinds);
    }
    if (!matches_whole(report->what, trial->what)) {
        return wrong(trial, "the phrase is \"%s\", not \"%s\"", report->what, trial->what);
    }
    if (!in_range(trial, report->address)) {
        return wrong(trial, "reported at 0x%lx, not in 0x%lx..0x%lx", report->address,
                     trial->lowest, trial->highest);
    }
    return true;
}

static bool reported_rightly(struct trial *trial) {
    struct report_line report;
    char why[512], ending[64];
    if (!report_line_parse(trial->child.err.bytes, &report, why, sizeof why))
        return wrong(trial, "%s", why);
    if (!report.ends) return wrong(trial, "a report that lets the program go on");
    if (!died_of(trial, SIGABRT)) {
        return wrong(trial, "a report, but then %s instead of SIGABRT",
                     child_ending(&trial->child, ending, sizeof ending));
    }
    return is_announced(trial, &report);
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

/* The report that is the last, of a program that should have gone on: is there a reason? Of two
   frees that overlapped the second may be seen by its traces alone. */
static bool ended_rightly(struct trial *trial, const struct report_line *last) {
    char ending[64];
    bool late = strcmp(trial->outcome, "later") == 0 && strcmp(last->kind, "double-free") == 0;
    bool damage =
        matches_whole(last->kind, ALWAYS_ENDS) &&
        (matches_whole(last->kind, trial->kinds) || line_with(trial, "a link is damaged"));
    if (!late && !damage) return wrong(trial, "%s ended the program", last->kind);
    return died_of(trial, SIGABRT) || wrong(trial, "a report that ends the program, but then %s",
                                            child_ending(&trial->child, ending, sizeof ending));
}

static bool went_on_rightly(struct trial *trial) {
    struct report_line report, last = {.ends = false};
    char why[512], ending[64];
    if (!report_line_parse(trial->child.err.bytes, &report, why, sizeof why))
        return wrong(trial, "%s", why);
    if (!is_announced(trial, &report)) return false;
    for (const char *rest = trial->child.err.bytes; (rest = report_line_next(rest, &report));) {
        if (last.ends) return wrong(trial, "a report after one that ends the program");
        last = report;
        if (!report.ends && !matches_whole(report.kind, MAY_GO_ON))
            return wrong(trial, "the program went on after %s", report.kind);
    }
    if (last.ends) return ended_rightly(trial, &last);
    if (WIFEXITED(trial->child.status) && WEXITSTATUS(trial->child.status) == 0)
        return line_with(trial, "finished") || wrong(trial, "the scene was not played to its end");
    return wrong(trial, "the program should have gone on: %s",
                 child_ending(&trial->child, ending, sizeof ending));
}

static bool judge(struct trial *trial) {
    if (trial->child.timed_out) return wrong(trial, "did not end within %d s", LIMIT_MS / 1000);
    if (line_with(trial, "failed: ")) return wrong(trial, "the scene itself failed");
    if (line_with(trial, "handed out ")) return wrong(trial, "a block was handed out twice");
    if (strcmp(trial->outcome, "clean") == 0) return ended_clean(trial);
    if (strcmp(trial->outcome, "later-or-harmless") == 0 && WIFEXITED(trial->child.status))
        return ended_clean(trial);
    if (trial->going_on && strcmp(trial->outcome, "fault") != 0) return went_on_rightly(trial);
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
    char *plain[] = {program, name, number, NULL};
    char *going_on[] = {program, "--going-on", name, number, NULL};
    child_run(trial->going_on ? going_on : plain, changes, LIMIT_MS, &trial->child);
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

/* How a case is played. */
enum manner { AS_IT_SAYS, GOING_ON, AT_STRICT };

struct description {
    char outcome[32], options[128];
    unsigned rounds;
};

static bool describe(char *program, char *name, struct description *description) {
    struct child_result described;
    child_run((char *[]){program, "--describe", name, NULL}, NULL, LIMIT_MS, &described);
    int fields = sscanf(described.out.bytes, "%31s %u %127s", description->outcome,
                        &description->rounds, description->options);
    bool whole = fields == 3 && description->rounds != 0 && description->rounds <= ROUNDS_MAX;
    if (!whole) {
        printf("%s --describe %s does not describe a case: %s%s\n", program, name,
               described.out.bytes, described.err.bytes);
    }
    child_discard(&described);
    return whole;
}

/* Options that come before the case's own. */
static const char *const more_options[] = {
    [AS_IT_SAYS] = "", [GOING_ON] = "on=report:", [AT_STRICT] = "level=strict:"};

/* `preload`: NULL: none. */
static int play_case(char *program, char *name, const char *preload, enum manner manner) {
    struct description said;
    char options_change[200], preload_change[4200];
    if (!describe(program, name, &said)) return 1;
    bool has_options = strcmp(said.options, "-") != 0, going_on = manner == GOING_ON;
    if (manner == AT_STRICT && strstr(said.options, "level=")) return TEST_SKIPPED;
    snprintf(options_change, sizeof options_change, "MOAT_OPTIONS%s%s%s",
             has_options || manner != AS_IT_SAYS ? "=" : "", more_options[manner],
             has_options ? said.options : "");
    snprintf(preload_change, sizeof preload_change, preload ? "LD_PRELOAD=%s" : "LD_PRELOAD",
             preload);
    const char *changes[] = {options_change, preload_change, NULL};
    bool few = manner != AS_IT_SAYS && said.rounds > ROUNDS_AGAIN;
    unsigned rounds = few ? ROUNDS_AGAIN : said.rounds;
    for (unsigned round = 0; round < rounds; round++) {
        struct trial trial = {.outcome = said.outcome, .going_on = going_on};
        int verdict = play_round(&trial, program, name, round, changes);
        if (verdict != 0) return verdict;
    }
    printf("%s: %s, %u round%s\n", name, said.outcome, rounds, rounds == 1 ? "" : "s");
    return 0;
}

enum { NAMES_MAX = 2000 };

/* Cases, as an expression, that are something else at the strict level. */
static const char *const differ_at_strict[][2] = {
    {"corrupt-link\\..*", "free blocks are in no lists, and have no links"},
    {"double-free\\.overwritten-.*(medium|large)", "a freed block of 16 KiB is inaccessible"},
    {"corrupt-metadata\\.thread-word\\.(new-again|letters-malloc)\\.large",
     "a block of 16 KiB has a run of its own, and needs no heap"},
    {"none\\.write-to-claimed\\..*", "a write to a freed block is misuse"},
    {"none\\.another-class\\.(medium|large)", "blocks of 16 KiB have no pages to change class"},
};
enum { DIFFERENCES = sizeof differ_at_strict / sizeof *differ_at_strict };

static const char *why_not_at_strict(const char *name) {
    for (size_t i = 0; i < DIFFERENCES; i++)
        if (matches_whole(name, differ_at_strict[i][0])) return differ_at_strict[i][1];
    return NULL;
}

/* The names lie in the text of `listed`. */
static size_t list_cases(char *program, struct child_result *listed, char *names[NAMES_MAX]) {
    size_t count = 0;
    child_run((char *[]){program, "--list", NULL}, NULL, LIMIT_MS, listed);
    for (char *name = strtok(listed->out.bytes, "\n"); name && count < NAMES_MAX;
         name = strtok(NULL, "\n"))
        names[count++] = name;
    return count;
}

/* What a case cannot have here skips that case. */
static int play_kind(char *program, const char *kind, enum manner manner) {
    static char *names[NAMES_MAX];
    struct child_result listed;
    size_t count = list_cases(program, &listed, names), played = 0, wrong_ones = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(names[i], kind, strlen(kind)) != 0 || names[i][strlen(kind)] != '.') continue;
        const char *why = manner == AT_STRICT ? why_not_at_strict(names[i]) : NULL;
        if (why) printf("%s: not played: %s\n", names[i], why);
        int verdict = why ? TEST_SKIPPED : play_case(program, names[i], NULL, manner);
        played += verdict == 0;
        wrong_ones += verdict != 0 && verdict != TEST_SKIPPED;
    }
    printf("%zu cases of %s played with %s %zu wrong\n", played, kind, more_options[manner],
           wrong_ones);
    if (wrong_ones != 0) return 1;
    return played != 0 ? 0 : TEST_SKIPPED;
}

static int compare_names(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int count_cases(char *program, size_t expected) {
    static char *names[NAMES_MAX];
    struct child_result listed;
    size_t count = list_cases(program, &listed, names);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) != 0) continue;
        printf("two cases are called %s\n", names[i]);
        return 1;
    }
    for (size_t i = 0; i < DIFFERENCES; i++) {
        size_t such = 0;
        for (size_t k = 0; k < count; k++) such += matches_whole(names[k], differ_at_strict[i][0]);
        if (such != 0) continue;
        printf("no case is like %s\n", differ_at_strict[i][0]);
        return 1;
    }
    printf("%zu cases in the program, %zu tests\n", count, expected);
    return count == expected ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--count") == 0)
        return count_cases(argv[3], (size_t)strtoul(argv[2], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "--going-on") == 0)
        return play_kind(argv[2], argv[3], GOING_ON);
    if (argc == 4 && strcmp(argv[1], "--strict") == 0)
        return play_kind(argv[2], argv[3], AT_STRICT);
    if (argc == 5 && strcmp(argv[1], "--preload") == 0)
        return play_case(argv[3], argv[4], argv[2], AS_IT_SAYS);
    if (argc == 3) return play_case(argv[1], argv[2], NULL, AS_IT_SAYS);
    fprintf(stderr, "usage: judge [--preload LIBRARY] PROGRAM CASE | judge --count N PROGRAM | "
                    "judge --going-on|--strict PROGRAM KIND\n");
    return 2;
}
