/*
 * finding: what an input's failure is. See the header.
 */
#include "engine/finding.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSOR_SECONDS_MAX = 20, SECONDS_MAX = 120 };

/* What the child prints; made once, and the same file for each. */
static int said_file(void) {
    static FILE *file;
    if (file == NULL) file = tmpfile();
    if (file == NULL || ftruncate(fileno(file), 0) != 0) abort();
    lseek(fileno(file), 0, SEEK_SET);
    return fileno(file);
}

static int run_child(void (*run)(const uint8_t *bytes, size_t size), const uint8_t *bytes,
                     size_t size, int said) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit time = {PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX}, core = {0, 0};
        setrlimit(RLIMIT_CPU, &time);
        setrlimit(RLIMIT_CORE, &core);
        alarm(SECONDS_MAX); /* threads that wait for each other take no processor time */
        dup2(said, STDERR_FILENO);
        run(bytes, size);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    return status;
}

/* The end of it, if there is more than has room. */
static void read_said(int said, struct finding *finding) {
    off_t length = lseek(said, 0, SEEK_END), room = sizeof finding->said - 1;
    ssize_t count = pread(said, finding->said, (size_t)room, length > room ? length - room : 0);
    finding->said[count > 0 ? count : 0] = '\0';
}

/* Whoever finds something says so after one of these. */
static const char *line_of(const char *said) {
    static const char *const marks[] = {
        "fuzz: failure: ", "runtime error: ", "SUMMARY: ", "moat harness: ", "moat: fatal: "};
    for (unsigned i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = strstr(said, marks[i]);
        if (at != NULL) return at + strlen(marks[i]);
    }
    return NULL;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool goes_on_number(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || c == 'x'; }

static void take_words(struct finding *finding, const char *line) {
    size_t length = 0;
    while (*line != '\0' && *line != '\n' && length + 1 < sizeof finding->words) {
        bool is_number = is_digit(*line);
        finding->words[length++] = is_number ? '#' : *line;
        line++;
        while (is_number && goes_on_number(*line)) line++;
    }
    finding->words[length] = '\0';
}

bool finding_of(void (*run)(const uint8_t *bytes, size_t size), const uint8_t *bytes, size_t size,
                struct finding *finding) {
    int said = said_file(), status = run_child(run, bytes, size, said);
    if (status == 0) return false;
    read_said(said, finding);
    bool is_late =
        WIFSIGNALED(status) &&
        (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGALRM);
    const char *line = line_of(finding->said);
    char end[64] = "it does not end";
    if (!is_late && WIFSIGNALED(status))
        snprintf(end, sizeof end, "killed by: %s", strsignal(WTERMSIG(status)));
    else if (!is_late)
        snprintf(end, sizeof end, "it ends the process");
    take_words(finding, line != NULL && !is_late ? line : end);
    return true;
}

bool finding_is_same(const struct finding *one, const struct finding *other) {
    return strcmp(one->words, other->words) == 0;
}
