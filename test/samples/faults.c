/*
 * faults: what becomes of accesses that fault in a program with guarded samples: its own faults are
 * as ever, and with sample_continue=1 it goes on after those of samples.
 *
 *   faults LIBRARY    runs each scene in a process of its own, with the library preloaded
 *   faults            is a scene, which the environment names
 *
 * What each misuse is reported as is in test/misuse/sample.c.
 */
#include "child.h"
#include "require.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 4096, LIMIT_MS = 20000 };

__attribute__((noinline)) static void write_to(void *address) {
    *(volatile char *)address = 1;
    __asm__ volatile("" : : : "memory");
}

static char *take(void) {
    char *block = malloc(SIZE);
    __asm__ volatile("" : "+r"(block) : : "memory");
    REQUIRE(block, "there is a block");
    return block;
}

static char *take_freed(void) {
    char *block = take(), *same = block;
    free(block);
    __asm__ volatile("" : "+r"(same) : : "memory");
    return same;
}

/* --- Scenes ----------------------------------------------------------------------------------- */

static void no_pointer(void) { write_to((void *)8); }
static void no_address(void) { write_to((void *)0xff00000000000008); }
static void sent(void) { REQUIRE(kill(getpid(), SIGSEGV) == 0, "a signal can be sent"); }

static void no_sample(void) {
    static const char constant[64] = "constant";
    write_to((void *)(uintptr_t)constant);
}

static struct sigaction before;
static void chain(int number, siginfo_t *info, void *context) {
    (void)write(STDERR_FILENO, "own\n", 4);
    before.sa_sigaction(number, info, context);
}

static void set_chain(void) {
    struct sigaction own = {.sa_sigaction = chain, .sa_flags = SA_SIGINFO};
    free(take());
    REQUIRE(sigaction(SIGSEGV, &own, &before) == 0, "a handler can be set");
    REQUIRE((before.sa_flags & SA_SIGINFO) != 0, "there was one before");
}
static void chained(void) {
    set_chain();
    write_to(take_freed());
}
static void chained_other(void) {
    set_chain();
    no_pointer();
}

/* Each site is reported once, and what was opened stays so. */
static void goes_on(void) {
    char *behind = take() + SIZE;
    errno = 77;
    for (unsigned i = 0; i < 3; i++) write_to(take_freed());
    write_to(behind);
    write_to(behind + 1);
    REQUIRE(errno == 77, "errno is kept");
    REQUIRE(behind[0] == 1 && behind[1] == 1, "what was written is there");
    for (unsigned i = 0; i < 400; i++) free(take());
    char *block = calloc(1, SIZE);
    for (unsigned i = 0; i < SIZE; i++) REQUIRE(block[i] == 0, "calloc gives zeros");
    exit(0);
}

static void free_goes_on(void) {
    char *block = take();
    write_to(block - 1);
    write_to(block + SIZE);
    free(block); /* what was written there was reported */
    exit(0);
}

static const struct scene {
    const char *name, *options;
    void (*play)(void);
    int signal;       /* 0: it ends by itself */
    const char *says; /* how standard error begins; "": it is empty */
    unsigned reports;
} scenes[] = {
    {"no-pointer", "sample=1", no_pointer, SIGSEGV, "", 0},
    {"no-address", "sample=1", no_address, SIGSEGV, "", 0},
    {"no-sample", "sample=1", no_sample, SIGSEGV, "", 0},
    {"sent", "sample=1", sent, SIGSEGV, "", 0},
    {"chained", "sample=1", chained, SIGABRT, "own\nmoat: fatal: guard-hit: ", 1},
    {"chained-other", "sample=1", chained_other, SIGSEGV, "own\n", 0},
    {"goes-on", "sample=1:sample_continue=1", goes_on, 0, "moat: error: guard-hit: ", 2},
    {"goes-on-mprotect", "sample=1:sample_continue=1:guards=mprotect", goes_on, 0,
     "moat: error: guard-hit: ", 2},
    {"goes-on-strict", "sample=1:sample_continue=1:level=strict", goes_on, 0,
     "moat: error: guard-hit: ", 2},
    {"free-goes-on", "sample=1:sample_continue=1", free_goes_on, 0, "moat: error: guard-hit: ", 2},
};
enum { SCENES = sizeof scenes / sizeof *scenes };

/* --- The judge -------------------------------------------------------------------------------- */

static unsigned count(const char *text, const char *word) {
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) found++;
    return found;
}

static void judge(char *program, const char *library, const struct scene *scene) {
    char name[64], preload[4200], options[256];
    struct child_result result;
    snprintf(name, sizeof name, "SCENE=%s", scene->name);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
    snprintf(options, sizeof options, "MOAT_OPTIONS=%s", scene->options);
    const char *changes[] = {name, preload, options, NULL};
    child_run((char *[]){program, NULL}, changes, LIMIT_MS, &result);
    bool ended = scene->signal != 0
                     ? WIFSIGNALED(result.status) && WTERMSIG(result.status) == scene->signal
                     : WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0;
    char ending[64];
    REQUIRE(ended, "%s: %s\n%s%s", scene->name, child_ending(&result, ending, sizeof ending),
            result.out.bytes, result.err.bytes);
    REQUIRE(strncmp(result.err.bytes, scene->says, strlen(scene->says)) == 0 &&
                (scene->says[0] != '\0' || result.err.length == 0),
            "%s says: %s", scene->name, result.err.bytes);
    unsigned reports = count(result.err.bytes, "guard-hit: ");
    REQUIRE(reports == scene->reports, "%s: %u reports, not %u\n%s", scene->name, reports,
            scene->reports, result.err.bytes);
    child_discard(&result);
}

int main(int argc, char **argv) {
    const char *name = getenv("SCENE");
    if (argc == 2) {
        for (unsigned i = 0; i < SCENES; i++) judge(argv[0], argv[1], &scenes[i]);
        return 0;
    }
    for (unsigned i = 0; i < SCENES; i++)
        if (name && strcmp(scenes[i].name, name) == 0) scenes[i].play();
    return 2;
}
