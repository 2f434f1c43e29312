/*
 * limits_met: a plain program that meets the limits of its process after it has begun to allocate:
 * locked memory, address space, data, mappings; and what a core of it would hold.
 *
 * usage: limits_met CASE (the names are at the end of the file)
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/process.h"
#include "../support/require.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

static void limit_to(unsigned resource, size_t bytes) {
    struct rlimit limit = {bytes, bytes};
    REQUIRE(setrlimit(resource, &limit) == 0, "a limit of %zu bytes can be set", bytes);
}

static void *nothing(void *argument) { return argument; }

/* With a stack of so many bytes; 0: as large as ever. */
static void require_a_thread_of(size_t stack) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack != 0) pthread_attr_setstacksize(&attributes, stack);
    int error = pthread_create(&thread, &attributes, nothing, NULL);
    REQUIRE(error == 0, "a thread starts: error %d", error);
    REQUIRE(pthread_join(thread, NULL) == 0, "and ends");
}

static void require_a_thread(void) { require_a_thread_of(0); }

/* --- The start ------------------------------------------------------------------------------- */

/* The address space of this program after one block, by the C library or by what is preloaded. */
static size_t size_of_child(const char *self, bool preloaded) {
    int ends[2];
    size_t size = 0;
    REQUIRE(pipe(ends) == 0, "a pipe");
    pid_t child = fork();
    if (child == 0) {
        if (!preloaded) unsetenv("LD_PRELOAD");
        dup2(ends[1], 1);
        execl(self, self, "size", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    char text[32] = "";
    close(ends[1]);
    ssize_t got = read(ends[0], text, sizeof text - 1);
    REQUIRE(waitpid(child, &status, 0) == child && status == 0 && got > 0, "the child tells");
    size = strtoull(text, NULL, 10);
    close(ends[0]);
    return size;
}

static void tell_size(void) {
    char text[32];
    free(launder(malloc(100)));
    int length = snprintf(text, sizeof text, "%zu", process_virtual(0));
    _exit(write(1, text, (size_t)length) == length ? 0 : 1);
}

static void start_is_small(const char *self) {
    size_t with = size_of_child(self, true), without = size_of_child(self, false);
    say("%zu KiB of address space, %zu without moat", with / KIB, without / KIB);
    REQUIRE(with <= without + 16 * MIB, "at most 16 MiB more");
}

/* --- Locked memory --------------------------------------------------------------------------- */

enum { BLOCKS = 2000 };
static char *blocks[BLOCKS];

/* Small ones at first: what an ordinary user may lock is little. */
static size_t size_of(unsigned i, bool large) {
    if (large && i % 100 == 0) return 1200000;
    if (large && i % 10 == 0) return 100000;
    return i * 37 % 4000 + 1;
}

static bool is_resident(const char *block, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)block & ~(page - 1);
    for (uintptr_t at = first; at < (uintptr_t)block + size; at += page) {
        unsigned char resident = 0;
        if (mincore((void *)at, page, &resident) != 0 || (resident & 1) == 0) return false;
    }
    return true;
}

static void take(unsigned from, unsigned to, bool large) {
    for (unsigned i = from; i < to; i++) {
        blocks[i] = malloc(size_of(i, large));
        REQUIRE(blocks[i] != NULL, "block %u", i);
    }
}

static void require_resident(unsigned count, bool large) {
    unsigned absent = 0;
    for (unsigned i = 0; i < count; i++) absent += !is_resident(blocks[i], size_of(i, large));
    REQUIRE(absent == 0, "%u of %u blocks are not resident", absent, count);
}

/* An ordinary user, who may lock 8 MiB. */
static void become_ordinary_user(void) {
    limit_to(RLIMIT_MEMLOCK, 8 * MIB);
    if (getuid() == 0) REQUIRE(setuid(65534) == 0, "another user");
}

static void lock_as_ordinary_user(int flags) {
    become_ordinary_user();
    REQUIRE(mlockall(flags) == 0, "memory can be locked: %m");
}

static void locked_memory_is_resident(void) {
    enum { FEW = 500 };
    take(0, FEW, false);
    lock_as_ordinary_user(MCL_CURRENT | MCL_FUTURE);
    require_resident(FEW, false);
    REQUIRE(munlockall() == 0, "and unlocked");
}

/* All sizes, before and after; guards and markers lie between the blocks. */
static void memory_locked_later_is_resident(void) {
    enum { WAITING = 4 };
    char *waiting[WAITING];
    take(0, BLOCKS / 2, true);
    for (unsigned i = 0; i < WAITING; i++) waiting[i] = memset(malloc(4 * MIB), 1, 4 * MIB);
    for (unsigned i = 0; i < WAITING; i++) free(waiting[i]);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        skip_test("this user may not lock that much memory");
    require_resident(BLOCKS / 2, true);
    for (unsigned i = 0; i < WAITING; i++) {
        waiting[i] = malloc(4 * MIB);
        REQUIRE(is_resident(waiting[i], 4 * MIB), "a block of memory that had been freed: %u", i);
    }
    take(BLOCKS / 2, BLOCKS, true);
    require_resident(BLOCKS, true);
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
    REQUIRE(munlockall() == 0, "memory can be unlocked");
    REQUIRE(mlockall(0) != 0, "no flag is an error");
}

static bool is_strict(void) {
    const char *options = getenv("MOAT_OPTIONS");
    return options != NULL && strstr(options, "strict") != NULL;
}

/* Blocks until there are no more, each written to in full and resident. */
static size_t take_all(size_t size, unsigned *count) {
    for (*count = 0; *count < BLOCKS; ++*count) {
        blocks[*count] = malloc(size);
        if (blocks[*count] == NULL) break;
        REQUIRE(is_resident(blocks[*count], size), "block %u of %zu bytes", *count, size);
        memset(blocks[*count], 1, size);
    }
    return *count * size;
}

static void leave_none(unsigned count, size_t size) {
    void (*free_sized)(void *, size_t) =
        (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    for (unsigned i = 0; i < count; i++)
        if (i % 2 == 0 && free_sized != NULL)
            free_sized(blocks[i], size);
        else
            free(blocks[i]);
}

static void resize_locked(void) {
    char *block = malloc(600000);
    REQUIRE(block != NULL, "600 000 bytes");
    memset(block, 7, 600000);
    for (size_t size = 550000; size >= 50000; size -= 50000) {
        block = realloc(block, size);
        REQUIRE(block != NULL && block[0] == 7 && block[size - 1] == 7, "less: %zu bytes", size);
    }
    for (size_t size = 50000; size <= 1200000; size += 50000) {
        block = realloc(block, size);
        REQUIRE(block != NULL && block[0] == 7 && block[49999] == 7, "more: %zu bytes", size);
        memset(block, 7, size);
        REQUIRE(is_resident(block, size), "all of %zu bytes", size);
    }
    free(block);
    block = calloc(1, 300000);
    for (size_t i = 0; i < 300000; i++) REQUIRE(block != NULL && block[i] == 0, "byte %zu", i);
    free(block);
}

/* What nobody can touch takes nothing away from the 8 MiB: blocks of all sizes are there, one kind
   after another, as they are without moat. */
static void have_all_sizes(size_t least) {
    static const size_t sizes[] = {40000, 1200000, 2000, 300000, 9000, 100000, 65000, 700000};
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned count = 0;
            size_t bytes = take_all(sizes[i], &count);
            say("%zu KiB in blocks of %zu", bytes / KIB, sizes[i]);
            REQUIRE(bytes >= (count == BLOCKS ? 0 : least), "%zu KiB of %zu", bytes / KIB,
                    sizes[i]);
            leave_none(count, sizes[i]);
        }
    resize_locked();
    require_a_thread_of(64 * KIB);
}

/* Of all that can be had, in pages of two kinds, one block stays. */
static void *take_and_leave_one(void *unused) {
    unsigned count = 0;
    take_all(2000, &count);
    for (unsigned i = 1; i < count; i++) free(blocks[i]);
    return unused;
}

static void little_memory_can_be_locked(void) {
    free(launder(malloc(100)));
    lock_as_ordinary_user(MCL_CURRENT | MCL_FUTURE);
    have_all_sizes((is_strict() ? 384 : 2048) * KIB);
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * KIB);
    REQUIRE(pthread_create(&thread, &small, take_and_leave_one, NULL) == 0, "a thread");
    pthread_join(thread, NULL);
    /* at the strict level the tables of its segment stay, half a MiB */
    have_all_sizes((is_strict() ? 192 : 2048) * KIB);
    REQUIRE(munlockall() == 0 && launder(malloc(64 * MIB)) != NULL, "without, there is enough");
}

/* A server that locks its memory before it is somebody else, who may lock less than that: what it
   has freed serves again, whatever was refused meanwhile. */
static void locked_memory_serves_again(void) {
    enum { MANY = 400, SIZE = 100000 };
    static char *all[MANY];
    if (getuid() != 0) skip_test("only root may lock more than its limit");
    for (unsigned i = 0; i < MANY; i++) REQUIRE((all[i] = malloc(SIZE)) != NULL, "block %u", i);
    REQUIRE(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "root may lock all: %m");
    become_ordinary_user();
    for (unsigned i = 1; i < MANY; i++) free(all[i]);
    REQUIRE(launder(malloc(512 * MIB)) == NULL, "512 MiB cannot be locked");
    unsigned count = 0;
    while (count < MANY / 2 && (all[count + 1] = malloc(SIZE)) != NULL) count++;
    REQUIRE(count == MANY / 2, "%u of %u blocks", count, MANY / 2);
}

/* A program that has 8 MiB mapped with the heap, and less without what nobody can touch of it. */
static void heap_counts_as_it_is_used(void) {
    take(0, 100, false);
    size_t room = 8 * MIB + 256 * KIB - process_virtual(0);
    if (process_virtual(0) < 8 * MIB + 256 * KIB)
        REQUIRE(mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED,
                "%zu KiB more", room / KIB);
    lock_as_ordinary_user(MCL_CURRENT);
    require_resident(100, false);
    REQUIRE(munlockall() == 0, "and unlocked");
    REQUIRE(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "and what comes later, too: %m");
    require_resident(100, false);
    blocks[100] = malloc(100000);
    REQUIRE(blocks[100] != NULL && is_resident(blocks[100], 100000), "100 000 bytes");
    pid_t child = fork(); /* of which nothing is locked */
    int status = 0;
    if (child == 0) {
        for (int i = 0; i < 100; i++) REQUIRE(launder(malloc(1200000)) != NULL, "block %d", i);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "a child: %#x", (unsigned)status);
}

/* Locked memory refuses markers: whoever locks before the first block, and unlocks later, has them
   from then on, and with them few mappings. */
static bool may_have_markers(void);
static void memory_locked_first(void) {
    enum { HUGE_BLOCKS = 2000 };
    if (mlockall(MCL_CURRENT) != 0) skip_test("this user may not lock that much memory");
    free(launder(malloc(100)));
    REQUIRE(munlockall() == 0, "memory can be unlocked");
    size_t before = process_mappings();
    for (int i = 0; i < HUGE_BLOCKS; i++) REQUIRE(launder(malloc(1100000)) != NULL, "block %d", i);
    say("%zu mappings, then %zu", before, process_mappings());
    if (may_have_markers()) REQUIRE(process_mappings() <= before + 300, "markers are refused");
}

/* --- Limits set late ------------------------------------------------------------------------- */

static void require_a_library(void) {
    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    REQUIRE(library != NULL, "a library is loaded: %s", dlerror());
    REQUIRE(dlclose(library) == 0, "and goes");
}

/* 256 MiB more than there are now: threads start, libraries are loaded, the heap grows to the limit
   and not beyond. */
static void limited_late(unsigned resource, size_t now) {
    free(launder(malloc(100)));
    limit_to(resource, now + 256 * MIB);
    require_a_thread();
    require_a_library();
    char *most = malloc(128 * MIB);
    REQUIRE(most != NULL, "128 MiB of 256");
    REQUIRE(launder(malloc(512 * MIB)) == NULL, "512 MiB are not there");
    memset(most, 1, 128 * MIB);
    free(most);
    size_t count = 0;
    while (launder(malloc(64 * KIB)) != NULL) count++;
    say("%zu blocks of 64 KiB within 256 MiB", count);
    REQUIRE(count >= 3000 && count <= 4096, "the heap uses what there is");
}

static void address_space_limited_late(void) {
    free(launder(malloc(100)));
    limited_late(RLIMIT_AS, process_virtual(0));
}

static void data_limited_late(void) {
    free(launder(malloc(100)));
    limited_late(RLIMIT_DATA, process_data());
}

static pthread_barrier_t gate;
static int failed;
static size_t block_size = 100;

static void *have_one_block(void *argument) {
    if (argument == NULL) pthread_barrier_wait(&gate);
    char *block = malloc(block_size);
    if (block == NULL)
        __atomic_add_fetch(&failed, 1, __ATOMIC_RELAXED);
    else
        memset(block, 1, block_size);
    pthread_barrier_wait(&gate);
    free(block);
    return argument;
}

enum { THREADS = 1000 };

/* So many threads as have their stacks already get a small block each under a limit. */
static void have_blocks_under(unsigned resource, size_t limit) {
    static pthread_t threads[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * KIB);
    pthread_barrier_init(&gate, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], &small, have_one_block, NULL) == 0, "thread %d", i);
    limit_to(resource, limit);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    REQUIRE(failed == 0, "%d of %d threads without memory", failed, THREADS);
}

static void threads_under_a_data_limit(void) { have_blocks_under(RLIMIT_DATA, 512 * MIB); }

/* The last memory under a limit is for all: a thread that can have no part of the heap for itself
   shares one. */
static void last_memory_is_shared(void) {
    free(launder(malloc(100)));
    have_blocks_under(RLIMIT_DATA, 160 * MIB);
}

static void last_address_space_is_shared(void) {
    free(launder(malloc(100)));
    have_blocks_under(RLIMIT_AS, process_virtual(0) + 300 * MIB);
}

/* One thread after another begins and has its block, of a size that pages of their own for each
   would be too much for; and there is memory for the next one's stack. */
static void limited_threads_have(size_t size, unsigned count) {
    static pthread_t threads[THREADS];
    pthread_attr_t small;
    free(launder(malloc(100)));
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * KIB);
    pthread_barrier_init(&gate, NULL, count + 1);
    limit_to(RLIMIT_DATA, 160 * MIB);
    block_size = size;
    for (unsigned i = 0; i < count; i++)
        REQUIRE(pthread_create(&threads[i], &small, have_one_block, &block_size) == 0, "thread %u",
                i);
    pthread_barrier_wait(&gate);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
    REQUIRE(failed == 0, "%d of %u threads without %zu bytes", failed, count, size);
}

static void small_blocks_of_limited_threads(void) { limited_threads_have(2000, THREADS); }
static void medium_blocks_of_limited_threads(void) { limited_threads_have(20000, THREADS); }
static void large_blocks_of_limited_threads(void) { limited_threads_have(100000, 300); }

static void *fill(void *size) {
    char *block = NULL;
    while ((block = malloc(*(size_t *)size)) != NULL) *block = 1;
    return size;
}

/* A thread takes the smallest blocks until there are none: wherever in the growth of the heap the
   limit is met, in bounded time. */
static void filled_under_a_data_limit(void) {
    static size_t size = 16;
    for (size_t limit = 100 * MIB; limit <= 132 * MIB; limit += 4 * MIB) {
        int status = 0;
        pid_t child = fork();
        REQUIRE(child >= 0, "no child");
        if (child == 0) {
            pthread_t thread;
            limit_to(RLIMIT_DATA, limit);
            REQUIRE(pthread_create(&thread, NULL, fill, &size) == 0, "a thread");
            REQUIRE(pthread_join(thread, NULL) == 0, "it ends");
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child, "the child's end");
        REQUIRE(status == 0, "a child: %#x", (unsigned)status);
    }
}

/* --- Mappings -------------------------------------------------------------------------------- */

static bool kernel_has_markers(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return probe != MAP_FAILED && madvise(probe, page, 102 /* MADV_GUARD_INSTALL */) == 0;
}

static bool may_have_markers(void) {
    const char *options = getenv("MOAT_OPTIONS");
    return kernel_has_markers() && (options == NULL || strstr(options, "mprotect") == NULL);
}

/* More huge blocks than a process may have mappings; and then still threads and small blocks. */
static void many_huge_blocks(void) {
    enum { HUGE_BLOCKS = 60000 };
    bool markers = may_have_markers();
    unsigned count = 0;
    while (count < HUGE_BLOCKS && launder(malloc(1100000)) != NULL) count++;
    say("%u blocks, %zu mappings", count, process_mappings());
    REQUIRE(count == HUGE_BLOCKS, "%u of %u blocks", count, HUGE_BLOCKS);
    if (markers) REQUIRE(process_mappings() <= 1000, "%zu mappings", process_mappings());
    for (int i = 0; i < 10000; i++) REQUIRE(launder(malloc(1000)) != NULL, "small block %d", i);
    require_a_thread();
}

/* --- The processor's counter ------------------------------------------------------------------ */

static void *work(void *argument) {
    for (size_t size = 10; size < 4 * MIB; size *= 3) {
        char *block = malloc(size);
        REQUIRE(block != NULL, "%zu bytes", size);
        memset(block, 1, size);
        free(block);
    }
    return argument;
}

/* A program that has forbidden itself to read it, as sandboxes do against attacks that measure. */
static void counter_is_not_read(void) {
    int status = 0;
    if (prctl(26 /* PR_SET_TSC */, 2 /* PR_TSC_SIGSEGV */) != 0) skip_test("not of this machine");
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, work, NULL) == 0, "thread %d", i);
        work(NULL);
        REQUIRE(pthread_join(thread, NULL) == 0, "it ends");
        malloc_trim(0);
        usleep(20000);
    }
    pid_t child = fork();
    if (child == 0) {
        work(NULL);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "a child: %#x", (unsigned)status);
}

/* --- Dumps ----------------------------------------------------------------------------------- */

/* Whether the mapping of an address is left out of core dumps. */
static bool is_left_out(const void *address) {
    char line[512];
    bool inside = false, left_out = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    REQUIRE(maps != NULL, "/proc/self/smaps can be read");
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start = 0, end = 0;
        char dash = 0;
        if (sscanf(line, "%lx%c%lx ", &start, &dash, &end) == 3 && dash == '-')
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            left_out = strstr(line, " dd") != NULL;
    }
    fclose(maps);
    return left_out;
}

static bool can_be_read(const void *at) {
    int ends[2];
    REQUIRE(pipe(ends) == 0, "a pipe");
    bool can = write(ends[1], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return can;
}

/* Of mappings without a gap between them, where those with the address begin and end. */
static void find_surroundings(uintptr_t address, uintptr_t *first, uintptr_t *last) {
    uintptr_t start = 0, end = 0;
    size_t count = process_mappings();
    *first = *last = 0;
    for (size_t i = 0; i < count; i++) {
        process_mapping(i, &start, &end);
        if (start != *last && *last > address) return;
        if (start != *last) *first = start;
        *last = end;
    }
}

/* The tables lie apart from all else, where neither the kernel nor a program maps anything: what
   can be read there is the heap, which is mapped without a gap, or a table. */
static void count_tables(const char *block, unsigned *left_out, unsigned *in) {
    const uintptr_t lowest = 0x100000000000, highest = 0x500000000000;
    uintptr_t start = 0, end = 0, heap = 0, heap_end = 0;
    size_t count = process_mappings();
    find_surroundings((uintptr_t)block, &heap, &heap_end);
    for (size_t i = 0; i < count; i++) {
        process_mapping(i, &start, &end);
        if (start < lowest || end > highest || (start >= heap && start < heap_end)) continue;
        if (can_be_read((void *)start)) *(is_left_out((void *)start) ? left_out : in) += 1;
    }
}

enum { TABLES = 7 };

static void look_at_dumps(bool heap, bool tables) {
    char *small = malloc(100), *huge = malloc(5 * MIB);
    unsigned left_out = 0, in = 0;
    REQUIRE(is_left_out(small) == !heap && is_left_out(huge) == !heap, "the heap is %s dumps",
            heap ? "in" : "left out of");
    count_tables(small, &left_out, &in);
    say("%u tables in dumps, %u left out", in, left_out);
    REQUIRE((tables ? in : left_out) >= TABLES, "the tables are %s dumps",
            tables ? "in" : "left out of");
    REQUIRE((tables ? left_out : in) == 0, "all of them");
    free(huge);
    free(small);
}

static void all_in_dumps(void) { look_at_dumps(true, true); }
static void tables_in_dumps(void) { look_at_dumps(false, true); }
static void nothing_in_dumps(void) { look_at_dumps(false, false); }

/* The rest of the program is a child of fork, which exits as it does. */
static void go_on_in_child(void) {
    int status = 0;
    free(launder(malloc(100)));
    pid_t child = fork();
    REQUIRE(child >= 0, "no child");
    if (child == 0) return;
    REQUIRE(waitpid(child, &status, 0) == child, "the child's end");
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"size", tell_size},
        {"locked", locked_memory_is_resident},
        {"locked_later", memory_locked_later_is_resident},
        {"locked_first", memory_locked_first},
        {"locked_little", little_memory_can_be_locked},
        {"locked_parts", heap_counts_as_it_is_used},
        {"locked_above", locked_memory_serves_again},
        {"address_space", address_space_limited_late},
        {"data_later", data_limited_late},
        {"data", threads_under_a_data_limit},
        {"data_filled", filled_under_a_data_limit},
        {"data_small", small_blocks_of_limited_threads},
        {"data_medium", medium_blocks_of_limited_threads},
        {"data_large", large_blocks_of_limited_threads},
        {"last_memory", last_memory_is_shared},
        {"last_address_space", last_address_space_is_shared},
        {"huge_blocks", many_huge_blocks},
        {"no_counter", counter_is_not_read},
        {"dump-heap", all_in_dumps},
        {"dump-tables", tables_in_dumps},
        {"dump-none", nothing_in_dumps},
    };
    if (count > 2 && strcmp(arguments[2], "child") == 0) go_on_in_child();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(what, cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    if (strcmp(what, "start") == 0)
        start_is_small(arguments[0]);
    else
        require_failed(__FILE__, __LINE__, "unknown case \"%s\"", what);
    return 0;
}
