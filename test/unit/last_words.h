/*
 * last_words: reports made in a forked child with a pipe in place of descriptor 2, for the tests of
 * report.c: what came out, and how the child ended.
 */
#ifndef TEST_UNIT_LAST_WORDS_H
#define TEST_UNIT_LAST_WORDS_H

#include "os/os.h"
#include "report/report.h"

#include "suite.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS ((uintptr_t)0x7f12345678)
enum { LIMIT_MS = 20000 };

static char printed[65536];
static int ended; /* as waitpid() gives it */

static inline size_t read_to_the_end(int fd) {
    size_t length = 0;
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    for (;;) {
        ck_assert_msg(poll(&wanted, 1, LIMIT_MS) == 1, "the child neither printed nor ended");
        ssize_t got = read(fd, printed + length, sizeof printed - 1 - length);
        ck_assert_int_ge(got, 0);
        if (got == 0) return length;
        length += (size_t)got;
    }
}

/* Runs `body` in a child; afterwards `printed` and `ended` hold its last words. */
static inline void run(void (*body)(void)) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) _exit(98);
        close(ends[0]);
        close(ends[1]);
        body();
        _exit(99);
    }
    close(ends[1]);
    printed[read_to_the_end(ends[0])] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
}

static inline void assert_aborted(void) {
    ck_assert_msg(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT,
                  "the child ended with status 0x%x\n%s", (unsigned)ended, printed);
}

/* The first line is exactly this. */
static inline void assert_first_line(const char *expected) {
    size_t length = strlen(expected);
    ck_assert_msg(strncmp(printed, expected, length) == 0 && printed[length] == '\n',
                  "printed:\n%s", printed);
}

static inline bool has_line(const char *line) {
    size_t length = strlen(line);
    for (const char *at = printed; (at = strstr(at, line)) != NULL; at++)
        if ((at == printed || at[-1] == '\n') && at[length] == '\n') return true;
    return false;
}

static inline unsigned count(const char *part) {
    unsigned found = 0;
    for (const char *at = printed; (at = strstr(at, part)) != NULL; at++) found++;
    return found;
}

/* Every line starts with "moat:", and the text ends with a line's end. */
static inline void assert_only_moat_lines(void) {
    const char *line = printed;
    while (*line != '\0') {
        ck_assert_msg(strncmp(line, "moat:", 5) == 0, "a line is %s", line);
        line = strchr(line, '\n');
        ck_assert_ptr_nonnull(line);
        line++;
    }
}

static inline void report_in_handler(int signal) {
    (void)signal;
    report_fatal(PHRASE_CALL_FROM_HANDLER, ADDRESS, NULL);
}

static inline void catch_with(int signal, void (*handler)(int), int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (sigaction(signal, &action, NULL) != 0) _exit(95);
}

/* The smallest signal stack there may be: a report must fit into it with the handler's frame, or it
   dies in the middle. */
static inline void report_from_small_stack(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 6 * KIB;
    size_t whole = round_up(size, page);
    char *space =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED || mprotect(space, page, PROT_NONE) != 0) _exit(94);
    stack_t other = {.ss_sp = space + page + (whole - size), .ss_size = size, .ss_flags = 0};
    memset(space + page, 0x5a, whole);
    if (sigaltstack(&other, NULL) != 0) _exit(93);
    catch_with(SIGUSR1, report_in_handler, SA_ONSTACK);
    raise(SIGUSR1);
}

#endif
