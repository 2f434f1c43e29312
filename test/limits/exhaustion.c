/*
 * exhaustion: allocate until there is no more, under a limit that with_limits has set. The end is
 * NULL with ENOMEM and no crash, the heap is whole at every moment, and what is freed can be had
 * again.
 */
#include "limits.h"

#include "worker.h"

#include <stdio.h>
#include <unistd.h>

/* No limit that is set for these tests is as high: without one the scenario says so instead of
   eating the machine. */
#define FAR_TOO_MUCH (2048 * MIB)

/* Exhausts with blocks of one size; `least`: the bytes that must have been had before the end. */
static void exhaust_with(size_t size, size_t least) {
    struct pile pile = {NULL, 0, 0};
    size_t first_bytes = 0;
    for (unsigned round = 0; round < 3; round++) {
        pile_fill(&pile, size, FAR_TOO_MUCH);
        say("round %u: %zu MiB in blocks of %zu bytes", round, pile.bytes / MIB, size);
        REQUIRE(pile.bytes < FAR_TOO_MUCH, "a limit is set");
        REQUIRE(pile.bytes >= least, "at least %zu MiB can be had", least / MIB);
        moat_check();
        if (round == 0) first_bytes = pile.bytes;
        REQUIRE(pile.bytes >= first_bytes / 4 * 3,
                "after everything was freed it can be had again");
        pile_free(&pile);
        moat_check();
    }
}

static void exhaust_small(const char *least) { exhaust_with(100, size_from(least)); }
static void exhaust_medium(const char *least) { exhaust_with(20 * KIB, size_from(least)); }
static void exhaust_large(const char *least) { exhaust_with(300 * KIB, size_from(least)); }
static void exhaust_huge(const char *least) { exhaust_with(5 * MIB, size_from(least)); }

/* What one size has used up, another can have when it was freed. */
static void exhaust_in_turn(const char *least) {
    static const size_t sizes[] = {100, 5 * MIB, 20 * KIB, 300 * KIB, 1000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pile pile = {NULL, 0, 0};
        pile_fill(&pile, sizes[i], FAR_TOO_MUCH);
        say("%zu MiB in blocks of %zu bytes", pile.bytes / MIB, sizes[i]);
        REQUIRE(pile.bytes >= size_from(least), "at least %s can be had in blocks of %zu bytes",
                least, sizes[i]);
        pile_free(&pile);
    }
}

static void require_refused(const void *block, const char *what) {
    REQUIRE(!block && errno == ENOMEM, "%s: NULL, ENOMEM", what);
}

/* Every way to ask for memory, when there is none: refused, and what one has is untouched. */
static void every_function(const char *argument) {
    struct pile pile = {NULL, 0, 0};
    static char copy[1000];
    char *kept = launder(malloc(sizeof copy));
    void *untouched = kept;
    (void)argument;
    memset(kept, 'k', sizeof copy);
    memset(copy, 'k', sizeof copy);
    for (size_t size = 16 * MIB; size >= 64; size /= 2) pile_fill(&pile, size, FAR_TOO_MUCH);
    errno = 0;
    require_refused(launder(malloc(8 * MIB)), "malloc");
    errno = 0;
    require_refused(launder(calloc(8, MIB)), "calloc");
    errno = 0;
    require_refused(launder(realloc(launder(kept), 8 * MIB)), "realloc");
    errno = 0;
    require_refused(launder(reallocarray(launder(kept), 8, MIB)), "reallocarray");
    errno = 0;
    require_refused(launder(aligned_alloc(4096, 8 * MIB)), "aligned_alloc");
    errno = 0;
    require_refused(launder(aligned_alloc(64 * MIB, 8 * MIB)), "aligned_alloc above a segment");
    errno = EXDEV;
    REQUIRE(posix_memalign(&untouched, 4096, 8 * MIB) == ENOMEM, "posix_memalign: ENOMEM");
    REQUIRE(untouched == kept, "posix_memalign leaves its result alone");
    REQUIRE(memcmp(launder(kept), copy, sizeof copy) == 0,
            "a failing realloc leaves the block alone");
    moat_check();
    pile_free(&pile);
    REQUIRE(launder(realloc(launder(kept), 8 * MIB)), "and it works when there is memory again");
}

/* Threads that have never allocated, or have a heap, meet the end too. */
static void allocate_task(void *taken) { *(void **)taken = launder(malloc(64 * KIB)); }
static void allocate_small_task(void *taken) { *(void **)taken = launder(malloc(40)); }

static void other_threads(const char *argument) {
    struct worker experienced, fresh;
    struct pile pile = {NULL, 0, 0};
    void *taken[3] = {NULL, NULL, NULL};
    (void)argument;
    worker_start(&experienced);
    worker_start(&fresh);
    worker_do(&experienced, allocate_task, &taken[0]);
    REQUIRE(taken[0], "there is memory at first");
    for (size_t size = 16 * MIB; size >= 64; size /= 2) pile_fill(&pile, size, FAR_TOO_MUCH);
    for (unsigned i = 0; i < 50; i++) {
        worker_do(&experienced, allocate_task, &taken[1]);
        worker_do(&fresh, allocate_small_task, &taken[2]);
        free(taken[1]);
        free(taken[2]);
    }
    free(taken[0]);
    pile_free(&pile);
    malloc_trim(0);
    worker_do(&fresh, allocate_task, &taken[2]);
    REQUIRE(taken[2], "there is memory again for every thread");
    free(taken[2]);
    worker_end(&experienced);
    worker_end(&fresh);
}

/* MOAT_OPTIONS=verbose=1: the refusal names the limit. `expected`: a part of what is to stand on
   standard error. */
static void names_the_limit(const char *expected) {
    struct pile pile = {NULL, 0, 0};
    static char seen[8192];
    FILE *heard = tmpfile();
    REQUIRE(heard, "a temporary file can be made");
    int saved = dup(STDERR_FILENO);
    REQUIRE(saved >= 0 && dup2(fileno(heard), STDERR_FILENO) >= 0,
            "standard error can be listened to");
    pile_fill(&pile, 5 * MIB, FAR_TOO_MUCH);
    pile_free(&pile);
    REQUIRE(dup2(saved, STDERR_FILENO) >= 0, "standard error can be given back");
    ssize_t length = pread(fileno(heard), seen, sizeof seen - 1, 0);
    REQUIRE(length >= 0, "what was said can be read");
    REQUIRE(strstr(seen, expected), "\"%s\" is said, but: %.300s", expected, seen);
}

const struct scenario exhaustion_scenarios[] = {
    {"exhaust-small", exhaust_small},
    {"exhaust-medium", exhaust_medium},
    {"exhaust-large", exhaust_large},
    {"exhaust-huge", exhaust_huge},
    {"exhaust-in-turn", exhaust_in_turn},
    {"every-function", every_function},
    {"other-threads", other_threads},
    {"names-the-limit", names_the_limit},
    {NULL, NULL},
};
