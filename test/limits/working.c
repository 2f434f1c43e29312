/*
 * working: ordinary work that must succeed, under whatever limit with_limits has set; and what it
 * may cost.
 */
#include "limits.h"

#include "worker.h"

#include <sys/wait.h>
#include <unistd.h>

/* Up to 24 MiB at a time of all sizes, replaced at random. */
enum { SET = 2000 };

static void use_memory(uint64_t seed) {
    char **set = calloc(SET, sizeof *set);
    REQUIRE(set, "ordinary work: calloc");
    for (unsigned step = 0; step < 20000; step++) {
        size_t i = prng_below(&seed, SET);
        size_t size =
            1 + (prng_below(&seed, 50) ? prng_below(&seed, 2000) : prng_below(&seed, 400 * KIB));
        if (prng_below(&seed, 4) == 0) {
            char *resized = launder(realloc(set[i], size));
            REQUIRE(resized, "ordinary work: realloc(%zu)", size);
            set[i] = resized;
        } else {
            free(set[i]);
            set[i] = launder(malloc(size));
            REQUIRE(set[i], "ordinary work: malloc(%zu)", size);
        }
        memset(set[i], (int)i, size);
    }
    for (unsigned i = 0; i < SET; i++) free(set[i]);
    free(set);
    void *huge = launder(malloc(6 * MIB));
    REQUIRE(huge, "ordinary work: a huge block");
    free(huge);
}

static void use_task(void *seed) { use_memory(*(const uint64_t *)seed); }

static void work(const char *argument) {
    struct worker one;
    uint64_t seed = 2;
    int status;
    (void)argument;
    worker_start(&one);
    worker_post(&one, use_task, &seed);
    use_memory(1);
    worker_wait(&one);
    pid_t child = fork();
    REQUIRE(child >= 0, "ordinary work: fork");
    if (child == 0) {
        use_memory(3);
        moat_check();
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
            "the child works too");
    worker_end(&one);
}

/* Guards by mprotect on purpose, or because the kernel refused the other way: there are some, and
   none is missing. */
static void work_guarded(const char *argument) {
    struct moat_stats stats;
    work(argument);
    moat_stats_get(&stats);
    REQUIRE(stats.guards_missing == 0, "every guard is there");
}

/* No descriptor is open but the three that with_limits leaves, whatever was allocated, forked and
   ended. */
static void no_descriptors(const char *argument) {
    REQUIRE(process_descriptors() == 3, "%zu descriptors are open at the start",
            process_descriptors());
    work(argument);
    malloc_trim(0);
    REQUIRE(process_descriptors() == 3, "%zu descriptors are open at the end",
            process_descriptors());
}

/* A small program with a few threads, each with blocks of many classes, stays small. `most`: bytes
   of private memory it may write. */
static void use_little_task(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (unsigned i = 0; i < 500; i++) {
        char *block = launder(malloc(1 + prng_below(&seed, 1000)));
        REQUIRE(block, "a block");
        *block = 1;
    }
}

static void stay_small(const char *most) {
    struct worker workers[4];
    for (unsigned i = 0; i < 4; i++) {
        worker_start(&workers[i]);
        worker_do(&workers[i], use_little_task, &workers[i]);
    }
    use_little_task(&workers[0]);
    size_t huge_pages = process_huge_pages(0), dirty = process_private_dirty(0);
    say("%zu KiB private and dirty, %zu KiB in huge pages", dirty / KIB, huge_pages / KIB);
    REQUIRE(huge_pages == 0, "a small program uses no huge pages");
    REQUIRE(dirty <= size_from(most), "it writes no more than %s", most);
    for (unsigned i = 0; i < 4; i++) worker_end(&workers[i]);
}

const struct scenario working_scenarios[] = {
    {"work", work},
    {"work-guarded", work_guarded},
    {"no-descriptors", no_descriptors},
    {"stay-small", stay_small},
    {NULL, NULL},
};
