/*
 * sandbox: a process starts, shuts itself into a filter that kills on whatever doc/system-calls.md
 * does not list, and goes on.
 *
 * Arguments: the document, and what to do. "list": threads, children with and without handlers,
 * huge blocks, memory that goes back. "no_madvise": the same without madvise (and so without
 * threads: the C library calls it as they end). "namespaces": children that are each process 1 of
 * a name space of their own lay out their heaps differently, and not as their parent goes on.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "require.h"

/* --- The filter ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int number;
} known[] = {
    {"mmap", SYS_mmap},       {"munmap", SYS_munmap},         {"mprotect", SYS_mprotect},
    {"madvise", SYS_madvise}, {"mremap", SYS_mremap},         {"prlimit64", SYS_prlimit64},
    {"futex", SYS_futex},     {"membarrier", SYS_membarrier}, {"clock_gettime", SYS_clock_gettime},
    {"getpid", SYS_getpid},   {"gettid", SYS_gettid},         {"sched_yield", SYS_sched_yield},
};

/* What this program and the C library need for themselves. */
static const int others[] = {
    SYS_read,   SYS_write, SYS_close,           SYS_exit,           SYS_exit_group,
    SYS_clone,  SYS_wait4, SYS_clock_nanosleep, SYS_rt_sigprocmask, SYS_rt_sigaction,
    SYS_pipe2,  SYS_brk,   SYS_set_robust_list,
#ifdef SYS_clone3
    SYS_clone3,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
};

#define RULES_MAX 100
static struct sock_filter rules[RULES_MAX] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
static unsigned short rule_count = 1;

static void allow(int number) {
    REQUIRE(rule_count + 3 < RULES_MAX, "too many rules");
    rules[rule_count++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
    rules[rule_count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
}

/* Allows the calls of a row of the document: `NAME`, or `NAME`, `NAME`, up to the next column. */
static unsigned allow_row(char *row, const char *except) {
    unsigned allowed = 0;
    *strchr(row + 1, '|') = '\0';
    for (char *name = strtok(row, "`, |\n"); name != NULL; name = strtok(NULL, "`, |\n")) {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(known[i].name, name) != 0) i++;
        REQUIRE(i < sizeof known / sizeof known[0], "the document lists %s, which is new", name);
        if (strcmp(name, except) != 0) allow(known[i].number);
        allowed++;
    }
    return allowed;
}

static void shut_in(const char *document, const char *except) {
    char line[500];
    bool wanted = false;
    unsigned allowed = 0;
    FILE *file = fopen(document, "r");
    REQUIRE(file != NULL, "no %s", document);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "## ", 3) == 0)
            wanted = strcmp(line, "## Work\n") == 0 || strcmp(line, "## A child of fork\n") == 0;
        if (wanted && strncmp(line, "| `", 3) == 0) allowed += allow_row(line, except);
    }
    fclose(file);
    REQUIRE(allowed > 8, "the document is not understood");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) allow(others[i]);
    rules[rule_count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {rule_count, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        skip_test("no seccomp here");
}

/* --- What goes on inside --------------------------------------------------------------------- */

static void use_heap(void) {
    char *held[300];
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 300; i++) {
            size_t size = i * i % 90000 + 1;
            held[i] = i % 2 != 0 ? malloc(size) : calloc(1, size);
            if (held[i] == NULL) _exit(3);
            held[i][size - 1] = 1;
        }
        for (size_t i = 0; i < 300; i++) free(held[i]);
    }
    char *huge = malloc(3 << 20);
    if (huge == NULL) _exit(3);
    memset(huge, 1, 3 << 20);
    huge = realloc(huge, 90 << 20);
    if (huge == NULL || huge[(3 << 20) - 1] != 1) _exit(4);
    free(huge);
    free(malloc((size_t)40 << 40)); /* absurd */
    free(malloc(0));
    usleep(15000); /* longer than unused memory is kept */
    free(malloc(2 << 20));
    malloc_trim(0);
}

static void *work(void *argument) {
    use_heap();
    return argument;
}

static void expect_good_end(pid_t child, const char *kind) {
    int status = 0;
    REQUIRE(child > 0, "%s: no child, errno %d", kind, errno);
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "%s: status %x", kind, status);
}

static void have_children(bool without_handlers) {
    pid_t child = fork();
    if (child == 0) {
        use_heap();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            use_heap();
            _exit(0);
        }
        expect_good_end(grandchild, "fork in a child");
        _exit(0);
    }
    expect_good_end(child, "fork");
    if (!without_handlers) return;
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        use_heap();
        _exit(0);
    }
    expect_good_end(child, "clone");
}

static void have_threads(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0, "no thread");
    have_children(true);
    for (int i = 0; i < 4; i++) REQUIRE(pthread_join(threads[i], NULL) == 0, "join");
}

/* --- Process 1, many times ------------------------------------------------------------------- */

#define CHILDREN 16
#define DRAWS 64

/* Where blocks of sizes that nobody has asked for yet come to lie: each begins a page at a place
   and a block that are random numbers. */
static void draw(uintptr_t *where) {
    for (size_t i = 0; i < DRAWS; i++) where[i] = (uintptr_t)malloc(1100 + 37 * i);
}

static void compare_children(void) {
    static uintptr_t drawn[CHILDREN + 1][DRAWS];
    int ends[CHILDREN][2], start[2];
    REQUIRE(pipe(start) == 0, "pipe");
    for (int i = 0; i < CHILDREN; i++) {
        REQUIRE(pipe(ends[i]) == 0, "pipe");
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
        if (child < 0) skip_test("no process name spaces for this user: errno %d", errno);
        if (child != 0) continue;
        char byte;
        close(start[1]);
        if (getpid() != 1 || read(start[0], &byte, 1) != 0) _exit(5); /* all at once */
        draw(drawn[i]);
        _exit(write(ends[i][1], drawn[i], sizeof drawn[i]) == sizeof drawn[i] ? 0 : 6);
    }
    close(start[1]);
    for (int i = 0; i < CHILDREN; i++)
        REQUIRE(read(ends[i][0], drawn[i], sizeof drawn[i]) == sizeof drawn[i], "child %d", i);
    for (int i = 0; i < CHILDREN; i++) REQUIRE(wait(NULL) > 0, "wait");
    draw(drawn[CHILDREN]);
    for (int i = 0; i <= CHILDREN; i++)
        for (int j = 0; j < i; j++)
            REQUIRE(memcmp(drawn[i], drawn[j], sizeof drawn[i]) != 0,
                    "children %d and %d draw the same numbers", j, i);
}

int main(int count, char **arguments) {
    alarm(100);
    REQUIRE(count == 3, "DOCUMENT WHAT");
    family_find();
    void *first = malloc(10);
    REQUIRE(first != NULL && family_is_moat(), "libmoat.so is not in this process");
    free(first);
    if (strcmp(arguments[2], "list") == 0) {
        shut_in(arguments[1], "");
        have_threads();
        have_children(true);
    } else if (strcmp(arguments[2], "no_madvise") == 0) {
        shut_in(arguments[1], "madvise");
        have_children(false);
    } else {
        shut_in(arguments[1], "");
        compare_children();
    }
    use_heap();
    say("right");
    _exit(0);
}
