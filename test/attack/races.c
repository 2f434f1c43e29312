/*
 * races: a block is freed by two threads at the same moment, or freed and resized, over and over.
 *
 *   races free | realloc ROUNDS      or as many rounds as MOAT_RACES says
 *
 * Runs with on=report, so that a round that is noticed does not end the process; what is noticed by
 * its traces alone ends it all the same, and a fault in what the other thread has freed does: then
 * another child goes on. Whatever came of a round, no block is handed out twice, and in the end the
 * tables of each child that came so far are in order.
 *
 * Each round has one of six sizes, and the second call comes up to some hundred nanoseconds before
 * or after the first. What a realloc hands back is not used: the free may have been of it.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "prng.h"
#include "require.h"

#define KIB ((size_t)1024)
static const size_t sizes[] = {16, 80, 2000, 20 * KIB, 300 * KIB, 3072 * KIB};
enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS_PER_LOOK = 50, DELAY_MOST = 60 };

/* Shared with the children. */
static struct {
    atomic_uint played; /* rounds, by all of them */
    atomic_bool is_over;
} * all;

/* The round that both threads play: even when nobody is in it. */
static struct {
    _Atomic(unsigned) number, done;
    char *block;
    size_t size;
    unsigned delays[2];
    bool resizes;
} now;

static void wait_for(unsigned pauses) {
    while (pauses-- > 0) __asm__ volatile("" ::: "memory");
}

/* The other thread may have no processor. */
static void wait_until(_Atomic(unsigned) *counter, unsigned number) {
    enum { LOOKS = 20000 };
    for (unsigned looks = 1; atomic_load(counter) != number; looks++)
        if (looks % LOOKS == 0) sched_yield();
}

static void *play_second(void *unused) {
    for (unsigned number = 1;; number++) {
        wait_until(&now.number, number);
        wait_for(now.delays[1]);
        if (now.resizes) {
            char *resized = launder(realloc(launder(now.block), now.size * 2));
            if (resized != now.block) free(resized);
        } else {
            free(launder(now.block));
        }
        atomic_store(&now.done, number);
    }
    return unused;
}

/* Until all that was freed lately has come again: two pages of each size, all held at once. Each
   block is marked, and who else gets it marks it otherwise. */
static void take_all(void) {
    enum { SPAN = 1 << 20, LEAST = 4, MOST = 1 << 14 };
    static size_t *taken[MOST];
    for (unsigned s = 0; s < SIZES; s++) {
        size_t count = SPAN / sizes[s];
        count = count > MOST ? MOST : count < LEAST ? LEAST : count;
        for (size_t i = 0; i < count; i++) {
            taken[i] = launder(malloc(sizes[s]));
            REQUIRE(taken[i] != NULL, "no memory");
            taken[i][0] = i;
        }
        for (size_t i = 0; i < count; i++)
            REQUIRE(taken[i][0] == i, "a block of %zu bytes has two owners after %u rounds",
                    sizes[s], atomic_load(&all->played));
        for (size_t i = 0; i < count; i++) free(taken[i]);
    }
}

/* In a child. */
static _Noreturn void play(unsigned rounds, bool resizes) {
    pthread_t second;
    uint64_t random = 12345 + atomic_load(&all->played);
    now.resizes = resizes;
    alarm(60 + rounds / 200);
    REQUIRE(pthread_create(&second, NULL, play_second, NULL) == 0, "no thread");
    for (unsigned number = 1; atomic_load(&all->played) < rounds; number++) {
        now.size = sizes[prng_below(&random, SIZES)];
        now.block = launder(malloc(now.size));
        REQUIRE(now.block != NULL, "no memory");
        for (unsigned i = 0; i < 2; i++) now.delays[i] = (unsigned)prng_below(&random, DELAY_MOST);
        atomic_fetch_add(&all->played, 1);
        atomic_store(&now.number, number);
        wait_for(now.delays[0]);
        free(launder(now.block));
        wait_until(&now.done, number);
        if (number % ROUNDS_PER_LOOK == 0) take_all();
    }
    take_all();
    atomic_store(&all->is_over, true);
    (void)launder(malloc(16)); /* one page at least is looked at */
    REQUIRE(family.check() > 0, "the tables are in order");
    _exit(0);
}

/* No table and no list was found damaged: a race is a double free, whoever comes upon it. */
static void check_reports(int file) {
    static char text[1 << 16];
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    REQUIRE(length >= 0, "no reports");
    text[length] = '\0';
    REQUIRE(strstr(text, "moat: fatal: corrupt-") == NULL, "said: %.400s",
            strstr(text, "moat: fatal: "));
}

/* False: it came to the end of all rounds, and of the look at the tables. */
static bool is_stopped(pid_t child) {
    int status = 0;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "no child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    REQUIRE(!atomic_load(&all->is_over), "what was left is out of order");
    REQUIRE(WIFSIGNALED(status) && (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGSEGV),
            "status %x", status);
    return true;
}

int main(int count, char **arguments) {
    const char *wish = getenv("MOAT_RACES");
    unsigned rounds = 0, children = 1;
    if (count == 3) rounds = (unsigned)strtoul(wish != NULL ? wish : arguments[2], NULL, 10);
    REQUIRE(rounds != 0, "free | realloc ROUNDS");
    bool resizes = strcmp(arguments[1], "realloc") == 0;
    family_find();
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(all != MAP_FAILED, "no memory");
    for (bool goes_on = true; goes_on; children += goes_on) {
        int reports = memfd_create("reports", MFD_CLOEXEC);
        pid_t child = fork();
        if (child == 0) {
            dup2(reports, STDERR_FILENO);
            play(rounds, resizes);
        }
        goes_on = is_stopped(child);
        check_reports(reports);
        close(reports);
    }
    say("%u rounds in %u processes", atomic_load(&all->played), children);
    say("right");
    _exit(0);
}
