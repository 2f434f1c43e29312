/*
 * reported: what users of allocators have reported in public, each as a small program. Argument:
 * the case; for "loaded" the library, too.
 */
#include "process.h"
#include "require.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* Blocks of all kinds; more huge ones than a cache may hold, so that they go back at once. */
static void *use_all_kinds(void *unused) {
    static const size_t sizes[] = {0, 16, 700, 5000, 40000, 300000, 2 * MIB, 5 * MIB};
    enum { SIZES = sizeof sizes / sizeof sizes[0], EACH = 20 };
    char *blocks[SIZES][EACH];
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = 0; k < EACH; k++) {
            blocks[i][k] = k % 2 != 0 ? malloc(sizes[i]) : calloc(1, sizes[i]);
            REQUIRE(blocks[i][k] != NULL, "%zu bytes", sizes[i]);
            if (sizes[i] != 0) blocks[i][k][sizes[i] - 1] = 1;
        }
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = 0; k < EACH; k++) {
            if (k % 3 == 0) blocks[i][k] = realloc(blocks[i][k], sizes[i] * 2 + 1);
            REQUIRE(blocks[i][k] != NULL, "twice %zu bytes", sizes[i]);
            free(blocks[i][k]);
        }
    malloc_trim(0);
    return unused;
}

static void in_thread(const pthread_attr_t *attributes) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, attributes, use_all_kinds, NULL) == 0, "pthread_create");
    REQUIRE(pthread_join(thread, NULL) == 0, "pthread_join");
}

static void in_child(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        use_all_kinds(NULL);
        in_thread(NULL);
        _exit(0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child: %#x",
            (unsigned)status);
}

/* The first malloc of a thread with a small stack overflowed it. */
static void small_stacks(void) {
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    REQUIRE(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0, "a stack");
    for (int i = 0; i < 20; i++) in_thread(&attributes);
}

/* In a root directory without /proc, where nothing can be asked of files. */
static void no_files(void) {
    char name[] = "/tmp/moat-XXXXXX";
    REQUIRE(mkdtemp(name) != NULL, "a directory");
    bool changed = chroot(name) == 0 && chdir("/") == 0;
    if (!changed) {
        rmdir(name);
        skip_test("no other root directory can be had: errno %d", errno);
    }
    use_all_kinds(NULL);
    in_thread(NULL);
    in_child();
    errno = 0;
    REQUIRE(malloc((size_t)1 << 46) == NULL && errno == ENOMEM, "too much is refused");
    rmdir("/"); /* it stays, empty, if the system does not want that */
}

/* A thread ends by the system call alone, as it must in a strict sandbox: no destructor runs, and
   the next one on its stack finds the thread-specific values that it had. */
static void *end_unseen(void *unused) {
    use_all_kinds(unused);
    syscall(SYS_exit, 0);
    return unused;
}

/* In a child, whose thread, the only one, begins another and ends so. */
static pthread_t forker;
static void *follow(void *unused) {
    use_all_kinds(unused);
    bool right = pthread_join(forker, NULL) == 0;
    for (unsigned i = 0; right && i < 3; i++) { /* on the stack that is free now */
        pthread_t thread;
        right = pthread_create(&thread, NULL, use_all_kinds, NULL) == 0;
        right = right && pthread_join(thread, NULL) == 0;
    }
    _exit(right ? 0 : 1);
}
static void *fork_and_end_unseen(void *unused) {
    use_all_kinds(unused);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        use_all_kinds(unused);
        if (pthread_create(&thread, NULL, follow, NULL) != 0) _exit(2);
        syscall(SYS_exit, 0);
    }
    int status = -1;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "fork, waitpid");
    REQUIRE(status == 0, "the child ended by %#x", (unsigned)status);
    return unused;
}

static void ends_unseen(void) {
    enum { THREADS = 400, WARM_UP = 40 };
    size_t before = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (i == WARM_UP) before = process_data();
        REQUIRE(pthread_create(&thread, NULL, end_unseen, NULL) == 0, "pthread_create");
        REQUIRE(pthread_join(thread, NULL) == 0, "pthread_join");
        if (i % 50 == 0) in_child();
    }
    size_t after = process_data();
    REQUIRE(after <= before + 8 * MIB, "%zu bytes writable, and %zu", before, after);
    in_thread(NULL);
    REQUIRE(pthread_create(&forker, NULL, fork_and_end_unseen, NULL) == 0, "pthread_create");
    REQUIRE(pthread_join(forker, NULL) == 0, "pthread_join");
}

/* Lists of the C library that allocate while they are locked. */
static unsigned ends;
static void at_end(void) {
    free(malloc(100 + ends % 5000));
    if (++ends == 600) (void)!write(STDOUT_FILENO, "all ends\n", 9);
}
static void many_ends(void) {
    for (unsigned i = 0; i < 600; i++) REQUIRE(atexit(at_end) == 0, "atexit");
    in_child();
}

/* Blocks that are small beside their alignment took all of it. */
static void aligned(void) {
    enum { BLOCKS = 60 };
    for (size_t alignment = MIB / 16; alignment <= 4 * MIB; alignment *= 2) {
        char *blocks[BLOCKS];
        size_t before = process_resident(0);
        for (size_t i = 0; i < BLOCKS; i++) {
            REQUIRE(posix_memalign((void **)&blocks[i], alignment, 100) == 0, "aligned memory");
            REQUIRE((size_t)blocks[i] % alignment == 0, "%p", (void *)blocks[i]);
            memset(blocks[i], 1, 100);
        }
        size_t after = process_resident(0), each = after > before ? (after - before) / BLOCKS : 0;
        REQUIRE(each <= 48 << 10, "%zu bytes resident for 100, aligned to %zu", each, alignment);
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = realloc(blocks[i], 150 + i * 900);
            REQUIRE(blocks[i] != NULL && blocks[i][99] == 1, "resized");
            free(blocks[i]);
        }
    }
}

/* The kernel makes no child of whoever has a mapping larger than all memory that is charged,
   however little of it is used; and each block has a segment, all of which are one mapping. */
static void children_of_large_heaps(size_t size) {
    enum { SEGMENT = 4 << 20, MOST_GIB = 150 };
    struct sysinfo machine;
    REQUIRE(sysinfo(&machine) == 0, "sysinfo");
    size_t memory = (machine.totalram + machine.totalswap) * machine.mem_unit;
    if (memory >> 30 > MOST_GIB) skip_test("%zu GiB of memory", memory >> 30);
    size_t count = memory / SEGMENT + memory / SEGMENT / 4;
    char **blocks = malloc(count * sizeof *blocks);
    REQUIRE(blocks != NULL, "malloc");
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        REQUIRE(blocks[i] != NULL, "block %zu", i);
        blocks[i][0] = 1;
    }
    in_child();
    REQUIRE(malloc(memory + MIB) == NULL && errno == ENOMEM, "more than there is");
    for (size_t i = 0; i < count; i++) free(blocks[i]);
    free(blocks);
    in_child();
}

static void use_and_free(size_t size) {
    char *block = malloc(size);
    REQUIRE(block != NULL, "%zu bytes", size);
    for (size_t i = 0; i < size; i += 4096) block[i] = 1;
    free(block);
}

static size_t faults(void) {
    struct rusage usage;
    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    return (size_t)usage.ru_minflt;
}

/* Blocks of some sizes in turn: each time all that a large one has more was fetched anew. */
static void in_turn(const size_t sizes[3]) {
    enum { ROUNDS = 400, FIRST = 100 };
    size_t before = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == FIRST) before = faults();
        for (unsigned k = 0; k < 3; k++) use_and_free(sizes[k]);
    }
    size_t each = (faults() - before) / (ROUNDS - FIRST);
    REQUIRE(each < 100, "%zu page faults a round", each);
}

/* One buffer after another of any size, as for files that are read whole: most of what a large one
   had went back when a small one came. */
static void any_size(void) {
    enum { ROUNDS = 3000, FIRST = 500, LONGEST = 16000000 };
    uint64_t random = 88172645463325252, before = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == FIRST) before = faults();
        random ^= random << 13, random ^= random >> 7, random ^= random << 17; /* xorshift */
        use_and_free(random % LONGEST + 1);
    }
    size_t each = (faults() - before) / (ROUNDS - FIRST);
    REQUIRE(each < 100, "%zu page faults a round", each);
}

typedef void *allocate(size_t size);
typedef void give(void *block);

/* The library comes late, by dlopen(): its thread-local storage must have room, and what it does
   must not disturb the allocator that is there. */
static void loaded(const char *path) {
    char *before = malloc(100);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != NULL, "dlopen: %s", dlerror());
    allocate *their_malloc = NULL;
    give *their_free = NULL;
    *(void **)&their_malloc = dlsym(library, "malloc");
    *(void **)&their_free = dlsym(library, "free");
    REQUIRE(their_malloc != NULL && their_free != NULL, "malloc and free");
    REQUIRE(their_malloc != malloc, "another malloc than the program's");
    for (size_t size = 1; size < 4 * MIB; size += size / 3 + 7) {
        char *block = their_malloc(size), *own = malloc(size);
        REQUIRE(block != NULL && own != NULL, "%zu bytes", size);
        block[size - 1] = own[size - 1] = 1;
        their_free(block);
        free(own);
    }
    in_thread(NULL);
    in_child();
    free(before);
}

int main(int count, char **arguments) {
    const char *name = count > 1 ? arguments[1] : "";
    if (strcmp(name, "small_stacks") == 0)
        small_stacks();
    else if (strcmp(name, "no_files") == 0)
        no_files();
    else if (strcmp(name, "many_ends") == 0)
        many_ends();
    else if (strcmp(name, "ends_unseen") == 0)
        ends_unseen();
    else if (strcmp(name, "aligned") == 0)
        aligned();
    else if (strcmp(name, "children") == 0)
        children_of_large_heaps(1100000);
    else if (strcmp(name, "children_strict") == 0)
        children_of_large_heaps(20000);
    else if (strcmp(name, "in_turn") == 0)
        in_turn((const size_t[]){900000, 50000, 3000});
    else if (strcmp(name, "buffers_in_turn") == 0)
        in_turn((const size_t[]){3000000, 1200000, 2000000});
    else if (strcmp(name, "large_buffers_in_turn") == 0)
        in_turn((const size_t[]){16000000, 9000000, 12000000});
    else if (strcmp(name, "any_size") == 0)
        any_size();
    else if (strcmp(name, "loaded") == 0 && count > 2)
        loaded(arguments[2]);
    else
        REQUIRE(false, "reported CASE [LIBRARY]");
    return 0;
}
