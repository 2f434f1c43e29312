/*
 * control: whether a search finds a bug that was planted. See the header.
 */
#include "engine/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child said, up to the operation. */
static void run_child(void (*search)(const void *argument), const void *argument, char *text,
                      size_t size) {
    enum { SECONDS_MAX = 60 };
    FILE *said = tmpfile();
    if (said == NULL) abort();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {SECONDS_MAX, SECONDS_MAX};
        setrlimit(RLIMIT_CPU, &limit);
        dup2(fileno(said), STDERR_FILENO);
        search(argument);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    ssize_t length = status != 0 ? pread(fileno(said), text, size - 1, 0) : 0;
    text[length > 0 ? length : 0] = '\0';
    fclose(said);
}

bool control_finds(const char *name, const char *says, const char *at,
                   void (*search)(const void *argument), const void *argument) {
    char text[4096];
    run_child(search, argument, text, sizeof text);
    bool found = text[0] != '\0' && strstr(text, says) != NULL && strstr(text, at) != NULL;
    printf("%s: %s\n", name, found ? "found" : "NOT FOUND as what it is");
    if (!found) printf("  wanted: %s %s; said: %s\n", says, at, text);
    fflush(stdout);
    return found;
}
