/*
 * fork_steps: a process forks while another of its threads stands before the n-th instruction of a
 * call, for every n.
 *
 * A tracer steps that thread, and has the other one fork in between. Wherever the thread stood, the
 * child finds every block as it was, allocates, starts threads and forks again; its invariants
 * hold; and when it has freed what it can reach it is left with no more memory than before, but for
 * the one block that the call had in hand.
 *
 *   fork_steps [SCENE...]
 *
 * Of each scene some hundred instructions are tried, evenly apart from a random one on, which is
 * printed; the thread is stepped once before to count them. MOAT_FORK_STEPS=STRIDE+FIRST tries
 * those again, and 1+0 each instruction.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "family.h"
#include "moat.h"
#include "require.h"

enum { KEPT = 24, FRESH = 60, MANY = 3000 };

#define MIB ((size_t)1 << 20)
#define GROWN (20 * MIB)
#define SHRUNK (2 * MIB)

/* What one call may leave behind: a segment, or the run of a huge block. */
#define ONE_SEGMENT (4 * MIB)

struct scene {
    const char *name;
    void (*prepare)(void);
    void (*call)(void);
    size_t in_hand;    /* bytes that may stay committed for the block of the call */
    unsigned whole;    /* children that find the block of a resize as it was, at least */
    bool fresh_thread; /* the thread has not allocated before */
    bool ends_thread;  /* the call is the end of the thread */
};
static const struct scene *scene;

/* The process that is stepped, and the tracer. */
static struct shared {
    volatile pid_t worker; /* thread id, when it stands before the call */
    volatile int seized, returned;
    volatile size_t baseline; /* bytes committed in a child before the call */
    volatile unsigned whole;
} * shared;

static unsigned char *kept[KEPT]; /* of both threads */
static void *many[MANY];
static unsigned char *resized; /* what the call resizes, `resized_size` bytes */
static size_t resized_size;
static int command[2], answer[2];

static size_t kept_size(size_t i) {
    static const size_t sizes[] = {16, 200, 3000, 20000, 300000, 3 << 20};
    return sizes[i % (sizeof sizes / sizeof sizes[0])] + i;
}

/* Some bytes, few of a large block; the same ones of its beginning. */
static size_t distance(size_t size) { return size > 40000 ? 40009 : 509; }
static void fill(unsigned char *block, size_t size, unsigned char mark) {
    for (size_t at = 0; at < size; at += distance(size)) block[at] = (unsigned char)(mark + at);
}
static bool is_filled(const unsigned char *block, size_t size, unsigned char mark) {
    for (size_t at = 0; at < size; at += distance(size))
        if (block[at] != (unsigned char)(mark + at)) return false;
    return true;
}

static void make_kept(size_t from) {
    for (size_t i = from; i < KEPT; i += 2) {
        kept[i] = malloc(kept_size(i));
        REQUIRE(kept[i] != NULL, "malloc");
        fill(kept[i], kept_size(i), (unsigned char)i);
    }
}

static void require_exit_zero(pid_t child, const char *name) {
    int status;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "%s", name);
    REQUIRE(status == 0, "%s: status %#x", name, (unsigned)status);
}

/* --- The child ------------------------------------------------------------------------------- */

static void allocate_apart(void) {
    unsigned char *fresh[FRESH];
    for (size_t i = 0; i < FRESH; i++) {
        fresh[i] = malloc(kept_size(i));
        REQUIRE(fresh[i] != NULL, "malloc in the child");
        fill(fresh[i], kept_size(i), (unsigned char)(100 + i));
    }
    for (size_t i = 0; i < KEPT; i++)
        REQUIRE(is_filled(kept[i], kept_size(i), (unsigned char)i), "a block is not what it was");
    for (size_t i = 0; i < FRESH; i++) {
        REQUIRE(is_filled(fresh[i], kept_size(i), (unsigned char)(100 + i)),
                "two blocks share memory");
        free(fresh[i]);
    }
    free(malloc(0));
}

static void *allocate_in_thread(void *unused) {
    for (size_t i = 0; i < FRESH; i++) free(malloc(kept_size(i)));
    return unused;
}

static size_t committed_now(void) {
    struct moat_stats stats;
    family.stats_get(&stats);
    return stats.committed;
}

/* The block is as it was, or the resize is so far that it is freed: a report says so. What a
   smaller block would not have may be zero already. */
static void use_resized(void) {
    pid_t child = fork();
    int status;
    if (child == 0) {
        close(STDERR_FILENO);
        size_t size = malloc_usable_size(resized);
        REQUIRE(size >= resized_size || size >= SHRUNK, "%zu bytes", size);
        if (!is_filled(resized, SHRUNK, 7)) _exit(4);
        if (scene->in_hand == GROWN && !is_filled(resized, resized_size, 7)) _exit(5);
        resized[size - 1] = 1;
        free(resized);
        REQUIRE(family.check() > 0, "moat_check() after the block of the resize was freed");
        _exit(0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "fork in the child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        shared->whole++;
    else
        REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
                "the block of a resize: status %#x", (unsigned)status);
}

static void be_child(unsigned number) {
    alarm(30);
    if (resized != NULL && !shared->returned) use_resized();
    for (size_t i = 0; i < KEPT; i++)
        REQUIRE(is_filled(kept[i], kept_size(i), (unsigned char)i), "a block is not what it was");
    REQUIRE(family.check() > 0, "moat_check()");
    allocate_apart();
    if (number % 7 == 0) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, allocate_in_thread, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    if (number % 5 == 0) {
        pid_t again = fork();
        if (again == 0) {
            allocate_apart();
            _exit(0);
        }
        require_exit_zero(again, "the child's child");
    }
    for (size_t i = 0; i < KEPT; i++) free(kept[i]);
    for (size_t i = 0; i < MANY; i++) free(many[i]);
    malloc_trim(0);
    REQUIRE(family.check() > 0, "moat_check() when all is freed");
    size_t committed = committed_now();
    if (shared->baseline == 0) shared->baseline = committed;
    REQUIRE(committed <= shared->baseline + scene->in_hand,
            "%zu bytes stay committed, %zu before the call", committed, shared->baseline);
    _exit(0);
}

/* --- The process: one thread forks, the other is stepped -------------------------------------- */

/* glibc 2.34 and later have _Fork(), which runs no handlers. */
extern pid_t _Fork(void) __attribute__((weak));

static int fork_and_wait(unsigned number) {
    int status;
    pid_t child = number % 3 == 1 && _Fork != NULL ? _Fork() : fork();
    if (child == 0) be_child(number);
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void *step_thread(void *unused) {
    if (!scene->fresh_thread) make_kept(1);
    scene->prepare();
    shared->worker = (pid_t)syscall(SYS_gettid);
    while (!shared->seized) sched_yield();
    scene->call();
    if (scene->ends_thread) return unused;
    shared->returned = 1;
    for (;;) pause();
}

static _Noreturn void be_process(void) {
    pthread_t thread;
    unsigned number;
    make_kept(0);
    if (scene->fresh_thread) make_kept(1);
    free(realloc(calloc(1, 8), 10)); /* every function was called before: the linker has found it */
    free(malloc(0));
    family.check();
    (void)committed_now();
    (void)malloc_trim(0);
    REQUIRE(pthread_create(&thread, NULL, step_thread, NULL) == 0, "pthread_create");
    while (read(command[0], &number, sizeof number) == sizeof number) {
        int status = fork_and_wait(number);
        REQUIRE(write(answer[1], &status, sizeof status) == sizeof status, "write");
    }
    _exit(0);
}

/* --- The calls ------------------------------------------------------------------------------- */

/* Out of the table before it is freed: the child frees what stands in it. */
static void free_many(size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        void *block = many[i];
        many[i] = NULL;
        free(block);
    }
}
static void make_many(size_t from, size_t to, size_t size) {
    for (size_t i = from; i < to; i++) many[i] = malloc(size);
}
static void *make_and_end(void *size) {
    make_many(0, 200, (size_t)size);
    return NULL;
}
static void prepare_ended_thread(void) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, make_and_end, (void *)6000) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static void prepare_nothing(void) {}
static void call_malloc(void) { many[0] = malloc(48); }
static void call_new_page(void) { many[0] = malloc(1500); }
static void call_new_segment(void) { many[0] = malloc(600000); }

static void prepare_many(void) { make_many(0, 300, 700); }
static void call_free_and_trim(void) {
    free_many(40, 300);
    malloc_trim(0);
}
static void prepare_large(void) {
    make_many(0, 2, 900000);
    make_many(2, 4, 5 * MIB);
    free_many(1, 2);
    free_many(3, 4);
}
static void call_trim(void) { malloc_trim(0); }

static void call_huge(void) { many[0] = malloc(8 * MIB); }
static void prepare_huge(void) { many[0] = malloc(8 * MIB); }
static void prepare_cached(void) {
    many[0] = malloc(8 * MIB);
    free_many(0, 1);
}
static void call_huge_again(void) { many[0] = malloc(8 * MIB - 4096 * 100); }
static void call_huge_calloc(void) { many[0] = calloc(1, 8 * MIB); }
static void call_free_huge(void) { free_many(0, 1); }

static void prepare_resize(void) {
    resized_size = 8 * MIB;
    resized = malloc(resized_size);
    fill(resized, resized_size, 7);
}
/* Something stands in the way behind it. */
static void prepare_move(void) {
    for (size_t i = 0;; i++) {
        REQUIRE(i < 40, "no two blocks lie beside each other");
        prepare_resize();
        many[i] = malloc(8 * MIB);
        size_t gap = (size_t)((char *)many[i] - (char *)resized);
        if (gap > 0 && gap < 16 * MIB) return;
        many[i + 40] = resized;
    }
}
static void resize(size_t size) {
    void *block = realloc(resized, size);
    shared->returned = 1;
    many[MANY - 1] = block;
}
static void call_grow(void) { resize(GROWN); }
static void call_shrink(void) { resize(SHRUNK); }

static void call_zero_size(void) {
    many[0] = malloc(0);
    many[1] = malloc(0);
    free_many(0, 1);
}
static void call_adopt(void) { make_many(200, 230, 6000); }
static void call_free_of_others(void) { free_many(0, 60); }

/* After the exit hook has run: the late heap. */
static pthread_key_t key;
static void allocate_late(void *round) {
    size_t left = (size_t)round;
    make_many(300 + left, 301 + left, 48);
    free_many(300 + left, 301 + left);
    if (left > 1) pthread_setspecific(key, (void *)(left - 1));
}
static void prepare_end(void) {
    make_many(0, 100, 2000);
    make_many(100, 102, 900000);
    free_many(50, 101);
    pthread_key_create(&key, allocate_late);
    pthread_setspecific(key, (void *)4);
}

static const struct scene scenes[] = {
    {"first-malloc", prepare_nothing, call_malloc, ONE_SEGMENT, 0, true, false},
    {"new-page", prepare_nothing, call_new_page, ONE_SEGMENT, 0, false, false},
    {"new-segment", prepare_nothing, call_new_segment, ONE_SEGMENT, 0, false, false},
    {"free-and-trim", prepare_many, call_free_and_trim, ONE_SEGMENT, 0, false, false},
    {"trim", prepare_large, call_trim, 0, 0, false, false},
    {"huge", prepare_nothing, call_huge, 8 * MIB, 0, false, false},
    {"huge-again", prepare_cached, call_huge_again, 8 * MIB, 0, false, false},
    {"huge-calloc", prepare_cached, call_huge_calloc, 8 * MIB, 0, false, false},
    {"free-huge", prepare_huge, call_free_huge, 8 * MIB, 0, false, false},
    {"grow", prepare_resize, call_grow, GROWN, 20, false, false},
    {"move", prepare_move, call_grow, GROWN, 20, false, false},
    {"shrink", prepare_resize, call_shrink, 8 * MIB, 20, false, false},
    {"zero-size", prepare_nothing, call_zero_size, 0, 0, false, false},
    {"adopt", prepare_ended_thread, call_adopt, ONE_SEGMENT, 0, false, false},
    {"free-of-others", prepare_ended_thread, call_free_of_others, ONE_SEGMENT, 0, false, false},
    {"thread-end", prepare_end, prepare_nothing, ONE_SEGMENT, 0, false, true},
};

/* --- The tracer ------------------------------------------------------------------------------ */

/* False: the thread has ended. */
static bool step(pid_t worker) {
    int status;
    if (ptrace(PTRACE_SINGLESTEP, worker, NULL, NULL) != 0) return false;
    REQUIRE(waitpid(worker, &status, __WALL) == worker, "waiting for the thread");
    if (!WIFSTOPPED(status)) return false;
    REQUIRE(WSTOPSIG(status) == SIGTRAP, "%s: the stepped thread got signal %d", scene->name,
            WSTOPSIG(status));
    return true;
}

/* Where the thread stands. */
static uintptr_t place(void) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)shared->worker);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    const char *last = length > 0 ? strrchr(text, ' ') : NULL;
    return last != NULL ? (uintptr_t)strtoull(last, NULL, 16) : 0;
}

/* The same as an address that objdump knows, for whoever has to find out why. */
static uintptr_t place_in_library(void) {
    uintptr_t at = place();
    Dl_info library;
    return dladdr((void *)at, &library) != 0 ? at - (uintptr_t)library.dli_fbase : at;
}

/* The clock is read by functions in the kernel's image, which begin anew when it ticks meanwhile:
   if the process forked there, a thread that is stepped would never leave them. */
static bool reads_clock(void) {
    enum { IMAGE = 1 << 14 };
    return place() - (uintptr_t)getauxval(AT_SYSINFO_EHDR) < IMAGE;
}

static void fork_here(unsigned number, unsigned instruction) {
    int status;
    REQUIRE(write(command[1], &number, sizeof number) == sizeof number, "write");
    REQUIRE(read(answer[0], &status, sizeof status) == sizeof status, "the forking thread is gone");
    REQUIRE(status == 0, "%s, before instruction %u (at %#zx), child %u: status %#x", scene->name,
            instruction, (size_t)place_in_library(), number, (unsigned)status);
}

/* Takes hold of the thread, which stands before the call. */
static pid_t seize_worker(void) {
    int status;
    while (shared->worker == 0) sched_yield();
    pid_t worker = shared->worker;
    if (ptrace(PTRACE_SEIZE, worker, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL) != 0)
        skip_test("no thread may be traced here: errno %d", errno);
    REQUIRE(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL) == 0, "PTRACE_INTERRUPT");
    REQUIRE(waitpid(worker, &status, __WALL) == worker && WIFSTOPPED(status), "the first stop");
    shared->seized = 1;
    return worker;
}

/* The instructions before which the process forks: `first`, and each `stride` further on; before
   them all, and at the end. 0: none. */
struct sample {
    unsigned stride, first;
    unsigned most; /* children; 0: any number */
};

/* Steps the thread to the end of its call. */
static unsigned step_through(pid_t worker, struct sample sample, unsigned *number) {
    unsigned instruction = 0;
    for (bool goes_on = true; goes_on && !shared->returned; instruction++) {
        bool wanted = instruction >= sample.first && sample.stride != 0 &&
                      (instruction - sample.first) % sample.stride == 0;
        wanted &= sample.most == 0 || *number < sample.most;
        if ((wanted && !reads_clock()) || (instruction == 0 && sample.stride != 0))
            fork_here((*number)++, instruction); /* the first child tells what is left */
        goes_on = step(worker);
    }
    if (sample.stride != 0) fork_here((*number)++, instruction);
    return instruction;
}

static unsigned play(const struct scene *chosen, struct sample sample) {
    unsigned number = 0;
    scene = chosen;
    memset(shared, 0, sizeof *shared);
    REQUIRE(pipe(command) == 0 && pipe(answer) == 0, "pipe");
    pid_t process = fork();
    REQUIRE(process >= 0, "fork");
    if (process == 0) {
        close(command[1]), close(answer[0]);
        be_process();
    }
    close(command[0]), close(answer[1]);
    unsigned instructions = step_through(seize_worker(), sample, &number);
    if (sample.stride != 0) {
        say("%u children, %u found the block of a resize as it was", number, shared->whole);
        REQUIRE(shared->whole >= scene->whole, "%s: %u children found the block as it was",
                scene->name, shared->whole);
        REQUIRE(number > 20, "%s: %u children", scene->name, number);
    }
    kill(process, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0) {
    }
    close(command[1]), close(answer[0]);
    return instructions;
}

/* The counting run says how far apart. */
static struct sample choose(const struct scene *chosen) {
    enum { CHILDREN = 200, MOST = 500 };
    const char *wish = getenv("MOAT_FORK_STEPS");
    struct sample sample = {0, 0, 0};
    unsigned instructions = play(chosen, sample);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (wish == NULL || sscanf(wish, "%u+%u", &sample.stride, &sample.first) != 2) {
        sample.stride = 1 + instructions / CHILDREN;
        sample.first = (unsigned)now.tv_nsec % sample.stride;
        sample.most = MOST; /* the call may take another way, the second time */
    }
    REQUIRE(sample.stride != 0, "MOAT_FORK_STEPS=STRIDE+FIRST, and not 0");
    say("%s: %u instructions, MOAT_FORK_STEPS=%u+%u", chosen->name, instructions, sample.stride,
        sample.first);
    return sample;
}

int main(int count, char **names) {
    family_find();
    REQUIRE(family_is_moat(), "this process does not run on moat");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED, "mmap");
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++) {
        bool wanted = count == 1;
        for (int k = 1; k < count; k++) wanted |= strcmp(names[k], scenes[i].name) == 0;
        if (wanted) play(&scenes[i], choose(&scenes[i]));
    }
    return 0;
}
