/*
 * child: runs a program, keeps what it printed and how it ended.
 *
 * For judges, which are not linked with moat: it allocates with the system's allocator and ends the
 * judge when the machine itself fails (no pipe, no process). A child gets no core file and is
 * killed at its time limit.
 */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <stdbool.h>
#include <stddef.h>

struct child_text {
    char *bytes;   /* NUL-terminated for convenience */
    size_t length; /* bytes before that NUL */
};

struct child_result {
    int status; /* as waitpid() gives it */
    bool timed_out;
    struct child_text out, err;
};

/* `changes`: NULL-terminated list of "NAME=VALUE" to set and "NAME" to remove in the child's
   environment; may be NULL. */
void child_run(char *const argv[], const char *const changes[], unsigned limit_ms,
               struct child_result *result);
void child_discard(struct child_result *result);
/* "exit status 3", "signal 6 (Aborted)", "killed at its time limit". */
const char *child_ending(const struct child_result *result, char *text, size_t size);

#endif
