/*
 * early: resolvers (IFUNC) allocate while the program is being relocated, in a library before the
 * allocator's own relocation, and in the program itself after it, before threads are set up.
 *
 * What they kept is whole, moat's, and can be used like any block; a second free is reported.
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "early.h"
#include "family.h"
#include "require.h"

extern struct early early_of_library;
int answer_of_library(void);

static struct early early_of_program;

static int is_eight(void) { return 8; }

__attribute__((used)) static int (*pick(void))(void) {
    early_allocate(&early_of_program);
    return is_eight;
}

int answer_of_program(void);
int answer_of_program(void) __attribute__((ifunc("pick")));

static void check(const struct early *early, const char *whose) {
    REQUIRE(early->kept && early->zero && early->grown && early->huge && early->empty,
            "%s: no memory", whose);
    REQUIRE(family.owns(early->kept) && family.owns(early->huge), "%s: not moat's", whose);
    for (int i = 0; i < 100; i++) REQUIRE(early->kept[i] == i, "%s: byte %d", whose, i);
    for (int i = 0; i < 1000; i++) REQUIRE(early->zero[i] == 0, "%s: zero byte %d", whose, i);
    for (int i = 0; i < 3 << 20; i++) REQUIRE(early->huge[i] == 0, "%s: zero byte %d", whose, i);
    REQUIRE(early->grown[19] == 7, "%s: lost in realloc", whose);
    REQUIRE(malloc_usable_size(early->kept) >= 100, "%s: usable size", whose);
}

static void expect_report(char *block, const char *whose) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        free(block);
        free(block);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
                WTERMSIG(status) == SIGABRT,
            "%s: a second free was not reported: %x", whose, status);
}

static void *drop(void *argument) {
    struct early *early = argument;
    early->grown = realloc(early->grown, 100);
    REQUIRE(early->grown != NULL && early->grown[19] == 7, "lost in realloc");
    free(early->kept);
    free(early->zero);
    free(early->grown);
    free(early->huge);
    free(early->empty);
    return NULL;
}

int main(void) {
    pthread_t thread;
    alarm(60);
    family_find();
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    REQUIRE(answer_of_library() == 7 && answer_of_program() == 8, "the wrong function was chosen");
    check(&early_of_library, "library");
    check(&early_of_program, "program");
    expect_report(early_of_library.kept, "library");
    expect_report(early_of_program.zero, "program");
    drop(&early_of_library);
    REQUIRE(pthread_create(&thread, NULL, drop, &early_of_program) == 0, "no thread");
    REQUIRE(pthread_join(thread, NULL) == 0, "join");
    say("right");
    return 0;
}
