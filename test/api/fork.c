/*
 * fork: forks in the middle of other threads' allocations, trees of processes, vfork and
 * posix_spawn, and forks that run no handlers. Every child must be able to allocate, to free what
 * any thread of its parent had allocated, and to start threads.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"

extern char **environ;

enum { THREADS = 3, SLOTS = 64, FORKS = 24, KEPT = 80 };

/* Blocks travel between the threads through these: whoever takes one frees it. */
static char *slots[SLOTS];
static bool stop;

/* Allocated before the fork by threads that the child does not have. */
static char *kept[THREADS][KEPT];
static pthread_barrier_t kept_are_made;

static void *churn(void *argument) {
    char **mine = argument;
    for (size_t i = 0; i < KEPT; i++) {
        mine[i] = malloc(16 + i * 23);
        REQUIRE(mine[i] != NULL, "malloc");
        memset(mine[i], 'k', 16 + i * 23);
    }
    pthread_barrier_wait(&kept_are_made);
    uint32_t seed = (uint32_t)(uintptr_t)mine | 1;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        seed = seed * 1664525 + 1013904223;
        size_t size = (seed >> 8) % ((seed >> 28) == 0 ? 300000 : 1500);
        char *block = malloc(size);
        REQUIRE(block != NULL, "malloc(%zu)", size);
        if (size > 0) block[0] = block[size - 1] = 'c';
        free(__atomic_exchange_n(&slots[(seed >> 4) % SLOTS], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void *allocate_a_little(void *unused) {
    for (size_t i = 0; i < 500; i++) {
        char *block = malloc(i * 7 + 1);
        REQUIRE(block != NULL, "malloc in a child's thread");
        block[i * 7] = 1;
        free(block);
    }
    return unused;
}

static void child_uses_everything(bool with_thread) {
    alarm(100);
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < KEPT; i++) {
            REQUIRE(kept[t][i][15] == 'k', "contents in the child");
            if (i % 3 == 0) {
                kept[t][i] = realloc(kept[t][i], 5000);
                REQUIRE(kept[t][i] != NULL && kept[t][i][15] == 'k', "realloc in the child");
            }
            free(kept[t][i]);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) free(__atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL));
    allocate_a_little(NULL);
    if (with_thread) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, allocate_a_little, NULL) == 0,
                "pthread_create in the child");
        REQUIRE(pthread_join(thread, NULL) == 0, "pthread_join in the child");
    }
    REQUIRE(family.check() > 0, "moat_check() in the child saw no page");
}

static pid_t spawn_true(void) {
    char *const arguments[] = {(char *)"true", NULL};
    pid_t child;
    REQUIRE(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0, "posix_spawnp");
    return child;
}

static pid_t vfork_true(void) {
    pid_t child = vfork();
    if (child == 0) {
        execlp("true", "true", (char *)NULL);
        _exit(127);
    }
    REQUIRE(child > 0, "vfork: errno %d", errno);
    return child;
}

static void forks_while_others_allocate(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&kept_are_made, NULL, THREADS + 1);
    for (size_t t = 0; t < THREADS; t++)
        REQUIRE(pthread_create(&threads[t], NULL, churn, kept[t]) == 0, "pthread_create");
    pthread_barrier_wait(&kept_are_made);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0, "fork: errno %d", errno);
        if (child == 0) {
            child_uses_everything(i % 4 == 0);
            _exit(0);
        }
        require_exit_zero(child, "child of a fork while others allocate");
        if (i % 10 == 0) require_exit_zero(spawn_true(), "posix_spawn");
        if (i % 10 == 5) require_exit_zero(vfork_true(), "vfork and exec");
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    REQUIRE(family.check() > 0, "moat_check() in the parent saw no page");
}

/* 3 + 9 + 27 + 81 processes, at most a few dozen at once. */
static void grow_tree(unsigned depth) {
    char *mine = malloc(1000 + depth);
    REQUIRE(mine != NULL, "malloc at depth %u", depth);
    memset(mine, (int)depth, 1000);
    pid_t children[3];
    for (size_t i = 0; depth > 0 && i < 3; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0, "fork at depth %u: errno %d", depth, errno);
        if (children[i] == 0) {
            REQUIRE(mine[999] == (char)depth, "the parent's block");
            free(mine);
            grow_tree(depth - 1);
            REQUIRE(family.check() > 0, "moat_check() at depth %u", depth);
            _exit(0);
        }
        allocate_a_little(NULL);
    }
    for (size_t i = 0; depth > 0 && i < 3; i++)
        require_exit_zero(children[i], "a process of the tree");
    free(mine);
}

static pid_t fork_by_handlers(void) { return fork(); }
static pid_t fork_by_system_call(void) {
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
}

/* glibc 2.34 and later have _Fork(), which runs no handlers. */
extern pid_t _Fork(void) __attribute__((weak));
static pid_t fork_without_handlers(void) { return _Fork != NULL ? _Fork() : fork_by_system_call(); }

/* The first calls of such a child come from several threads at once, when many heaps of ended
   threads lie ready: one thread puts the state in order, the others wait, and no two get one
   heap. */
enum { ENDED = 400, FRESH = 6, RACES = 8 };
static pthread_barrier_t all_have_heaps, all_go;

static void *allocate_and_end(void *unused) {
    free(malloc(48));
    pthread_barrier_wait(&all_have_heaps);
    return unused;
}

static void *use_own_blocks(void *argument) {
    char mark = *(char *)argument, *blocks[64];
    pthread_barrier_wait(&all_go);
    for (size_t round = 0; round < 50; round++) {
        for (size_t i = 0; i < 64; i++) memset(blocks[i] = malloc(16 + i * 24), mark, 16 + i * 24);
        for (size_t i = 0; i < 64; i++) {
            for (size_t at = 0; at < 16 + i * 24; at++)
                REQUIRE(blocks[i][at] == mark, "another thread has the block too");
            free(blocks[i]);
        }
    }
    return NULL;
}

static void run_threads(size_t count, void *(*act)(void *), char *arguments) {
    static pthread_t threads[ENDED];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)64 << 10);
    for (size_t i = 0; i < count; i++)
        REQUIRE(
            pthread_create(&threads[i], &small, act, arguments != NULL ? &arguments[i] : NULL) == 0,
            "pthread_create");
    for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
    pthread_attr_destroy(&small);
}

static void threads_race_to_recover(void) {
    pthread_barrier_init(&all_have_heaps, NULL, ENDED);
    run_threads(ENDED, allocate_and_end, NULL);
    for (unsigned i = 0; i < RACES; i++) {
        pid_t child = fork_without_handlers();
        REQUIRE(child >= 0, "fork without handlers: errno %d", errno);
        if (child == 0) {
            char marks[FRESH] = "abcdef";
            alarm(20);
            pthread_barrier_init(&all_go, NULL, FRESH);
            run_threads(FRESH, use_own_blocks, marks);
            _exit(0);
        }
        require_exit_zero(child, "child whose threads race to recover");
    }
}

/* Children of one parent allocate the same sizes. If they went on with the parent's random state
   they would all get the same addresses; whether by fork(), _Fork() or clone, at least two of them
   differ. */
static void children_draw_new_randomness(const char *name, pid_t (*make_child)(void)) {
    enum { CHILDREN = 8, DRAWS = 40 };
    uintptr_t *drawn = mmap(NULL, CHILDREN * DRAWS * sizeof *drawn, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(drawn != MAP_FAILED, "mmap: errno %d", errno);
    free(malloc(10));
    for (size_t i = 0; i < CHILDREN; i++) {
        pid_t child = make_child();
        REQUIRE(child >= 0, "%s: errno %d", name, errno);
        if (child == 0) {
            for (size_t k = 0; k < DRAWS; k++) {
                char *block = malloc(1100 + k * 700);
                REQUIRE(block != NULL, "malloc in a child of %s", name);
                block[0] = 1;
                drawn[i * DRAWS + k] = (uintptr_t)block;
            }
            _exit(0);
        }
        require_exit_zero(child, name);
    }
    size_t same = 0;
    for (size_t i = 1; i < CHILDREN; i++) {
        if (memcmp(drawn, drawn + i * DRAWS, DRAWS * sizeof *drawn) == 0) same++;
    }
    REQUIRE(same < CHILDREN - 1, "%s: all children drew the same addresses", name);
    munmap(drawn, CHILDREN * DRAWS * sizeof *drawn);
}

int main(void) {
    require_moat(250);
    children_draw_new_randomness("fork", fork_by_handlers);
    children_draw_new_randomness("_Fork", fork_without_handlers);
    children_draw_new_randomness("clone", fork_by_system_call);
    threads_race_to_recover();
    forks_while_others_allocate();
    grow_tree(4);
    return 0;
}
