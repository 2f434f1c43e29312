/*
 * test_os: the memory calls (src/os/os.h): what each does, how it fails, and that the caller's
 * errno survives every call.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "harness/harness.h"

#include "suite.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 16, ERRNO_MARK = 4242 };

static size_t page;
static char *base; /* a reservation of PAGES OS pages */

static void setup(void) {
    harness_reset();
    page = os_page_size();
    base = os_reserve(PAGES * page, page, 0);
    ck_assert_ptr_nonnull(base);
}

static void teardown(void) { harness_reset(); }

static char *at(size_t index) { return base + index * page; }

/* --- What a child process shows -------------------------------------------------------------- */

/* The wait status of a child that runs `act` with default signals. */
static int status_of(void (*act)(void *), void *argument) {
    int status = -1;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        act(argument);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void load(void *address) { (void)*(volatile char *)address; }
static void store(void *address) { *(volatile char *)address = 1; }
static bool died_by(int status, int signal_number) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
}
static bool readable(char *address) { return status_of(load, address) == 0; }
static bool writable(char *address) { return status_of(store, address) == 0; }
static bool inaccessible(char *address) {
    return died_by(status_of(load, address), SIGSEGV) &&
           died_by(status_of(store, address), SIGSEGV);
}

static bool all_zero(const char *start, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (start[i] != 0) return false;
    return true;
}

/* A field of /proc/self/statm in bytes. */
static size_t statm_bytes(const char *format) {
    char text[256] = "";
    unsigned long pages = 0;
    ck_assert_uint_gt(os_read_file("/proc/self/statm", text, sizeof text - 1), 0);
    ck_assert_int_eq(sscanf(text, format, &pages), 1);
    return pages * page;
}

/* Private writable memory, which the kernel charges to this process. */
static size_t charged_bytes(void) { return statm_bytes("%*u %*u %*u %*u %*u %lu"); }

static size_t mapped_bytes(void) { return statm_bytes("%lu"); }

/* Mappings that overlap [start, start+size). */
static unsigned kernel_mappings(const char *start, size_t size) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned found = 0;
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long low = 0;
        unsigned long high = 0;
        if (sscanf(line, "%lx-%lx", &low, &high) == 2)
            found += low < (uintptr_t)start + size && high > (uintptr_t)start;
    }
    fclose(maps);
    return found;
}

/* --- What the machine is --------------------------------------------------------------------- */

START_TEST(machine_is_described_as_the_c_library_does) {
    ck_assert_uint_eq(os_page_size(), (size_t)sysconf(_SC_PAGESIZE));
    ck_assert_uint_eq(os_process_id(), (unsigned)getpid());
    ck_assert_uint_eq(os_thread_id(), (unsigned)syscall(SYS_gettid));
    ck_assert(!os_is_privileged());
}
END_TEST

START_TEST(data_limit_is_the_soft_one) {
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert_uint_eq(os_data_limit(), limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : limit.rlim_cur);
    limit.rlim_cur = (rlim_t)1 << 45;
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert_uint_eq(os_data_limit(), (size_t)1 << 45);
}
END_TEST

/* --- Reserving ------------------------------------------------------------------------------- */

START_TEST(a_reservation_is_inaccessible_and_uncharged) {
    size_t before = charged_bytes();
    char *start = os_reserve(64 * MIB, page, 0);
    ck_assert_ptr_nonnull(start);
    ck_assert(inaccessible(start));
    ck_assert(inaccessible(start + 64 * MIB - 1));
    ck_assert_uint_lt(charged_bytes(), before + 8 * MIB);
    ck_assert(os_unreserve(start, 64 * MIB));
    ck_assert_uint_eq(kernel_mappings(start, 64 * MIB), 0);
}
END_TEST

static const size_t alignments[] = {1, 64 * 1024, 4 * 1024 * 1024, 1024 * 1024 * 1024};

START_TEST(a_reservation_has_its_alignment_and_nothing_beside_it) {
    size_t alignment = alignments[_i];
    size_t before = mapped_bytes();
    for (unsigned i = 0; i < 8; i++) {
        char *start = os_reserve(3 * page, alignment, 0);
        ck_assert_ptr_nonnull(start);
        ck_assert_uint_eq((uintptr_t)start & (alignment - 1), 0);
        ck_assert(harness_range_is((uintptr_t)start, 3 * page, HARNESS_RESERVED));
    }
    ck_assert_uint_eq(harness_reserved_bytes(), (PAGES + 8 * 3) * page);
    /* space for what the test itself maps */
    ck_assert_uint_lt(mapped_bytes(), before + 8 * 3 * page + 2 * MIB);
}
END_TEST

START_TEST(a_hint_is_obeyed_exactly_or_nothing_is_reserved) {
    size_t held = harness_reserved_bytes();
    char *free_place = at(4);
    ck_assert(os_unreserve(free_place, 4 * page));
    /* runs into what is held */
    ck_assert_ptr_null(os_reserve(5 * page, page, (uintptr_t)free_place));
    ck_assert_ptr_null(os_reserve(page, page, (uintptr_t)at(0)));
    ck_assert_ptr_null(os_reserve(page, page, (uintptr_t)free_place + 8));
    ck_assert_ptr_null(os_reserve(page, 1 * GIB, ((uintptr_t)free_place & ~(GIB - 1)) + page));
    ck_assert_uint_eq(harness_reserved_bytes(), held - 4 * page);
    ck_assert_ptr_eq(os_reserve(4 * page, page, (uintptr_t)free_place), free_place);
}
END_TEST

START_TEST(a_range_is_free_if_nothing_lies_in_it_however_large) {
    if (UNDER_THREAD_SANITIZER) return;
    size_t held = harness_reserved_bytes();
    char *place = at(4);
    ck_assert(!os_is_free((uintptr_t)place, 4 * page));
    ck_assert(os_unreserve(place, 4 * page));
    ck_assert(os_is_free((uintptr_t)place, 4 * page));
    ck_assert(!os_is_free((uintptr_t)place, 5 * page)); /* its end is held */
    ck_assert(!os_is_free((uintptr_t)place - page, 2 * page));
    ck_assert_uint_eq(kernel_mappings(place, 4 * page), 0);
    ck_assert_uint_eq(harness_reserved_bytes(), held - 4 * page);
    /* a limit does not keep it from being asked */
    struct rlimit all, little;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &all), 0);
    little = (struct rlimit){GIB, all.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &little), 0);
    bool is_free = os_is_free((uintptr_t)1 << 45, (uintptr_t)1 << 40);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &all), 0);
    ck_assert(is_free);
}
END_TEST

START_TEST(a_size_that_cannot_be_is_refused) {
    ck_assert_ptr_null(os_reserve((size_t)1 << 62, page, 0));
    ck_assert_ptr_null(os_reserve(SIZE_MAX - page + 1, 4 * MIB, 0));
    ck_assert_uint_eq(harness_reserved_bytes(), PAGES * page);
}
END_TEST

/* --- Committing and giving back -------------------------------------------------------------- */

START_TEST(committed_memory_is_zero_and_writable_and_only_there) {
    ck_assert(os_commit(at(2), 3 * page));
    ck_assert(all_zero(at(2), 3 * page));
    memset(at(2), 1, 3 * page);
    ck_assert(inaccessible(at(2) - 1));
    ck_assert(inaccessible(at(5)));
}
END_TEST

START_TEST(decommit_closes_and_the_next_commit_is_zero) {
    ck_assert(os_commit(base, PAGES * page));
    memset(base, 1, PAGES * page);
    ck_assert(os_decommit(at(2), 3 * page));
    ck_assert(inaccessible(at(2)));
    ck_assert(inaccessible(at(5) - 1));
    ck_assert_int_eq(*at(5), 1);
    ck_assert_int_eq(*(at(2) - 1), 1);
    ck_assert(os_commit(at(2), 3 * page));
    ck_assert(all_zero(at(2), 3 * page));
}
END_TEST

START_TEST(decommit_gives_the_charge_back) {
    char *start = os_reserve(64 * MIB, page, 0);
    ck_assert_ptr_nonnull(start);
    size_t before = charged_bytes();
    ck_assert(os_commit(start, 64 * MIB));
    ck_assert_uint_ge(charged_bytes(), before + 56 * MIB);
    ck_assert(os_decommit(start, 64 * MIB));
    ck_assert_uint_lt(charged_bytes(), before + 8 * MIB);
}
END_TEST

START_TEST(decommit_leaves_one_mapping_with_its_neighbours) {
    char *start = os_reserve(GIB, page, 0); /* no other mapping touches its middle */
    ck_assert_ptr_nonnull(start);
    unsigned before = kernel_mappings(start, GIB);
    ck_assert(os_commit(start + 512 * MIB, 4 * page));
    memset(start + 512 * MIB, 1, 4 * page);
    ck_assert_uint_eq(kernel_mappings(start, GIB), before + 2);
    ck_assert(os_decommit(start + 512 * MIB, 4 * page));
    ck_assert_uint_eq(kernel_mappings(start, GIB), before);
}
END_TEST

START_TEST(purged_memory_is_zero_and_still_committed) {
    ck_assert(os_commit(at(2), 3 * page));
    memset(at(2), 1, 3 * page);
    ck_assert(os_purge(at(3), page));
    ck_assert(all_zero(at(3), page));
    ck_assert(writable(at(3)));
    ck_assert_int_eq(*(at(3) - 1), 1);
    ck_assert_int_eq(*at(4), 1);
}
END_TEST

/* --- Protection ------------------------------------------------------------------------------ */

START_TEST(read_protection_gives_zeros_and_no_store) {
    ck_assert(os_protect_read(at(1), 2 * page));
    ck_assert(all_zero(at(1), 2 * page));
    ck_assert(died_by(status_of(store, at(1)), SIGSEGV));
    ck_assert(inaccessible(at(3)));
}
END_TEST

START_TEST(closed_memory_keeps_its_contents) {
    ck_assert(os_commit(at(1), 3 * page));
    memset(at(1), 7, 3 * page);
    ck_assert(os_protect_none(at(2), page));
    ck_assert(inaccessible(at(2)));
    ck_assert(readable(at(2) - 1));
    ck_assert(readable(at(3)));
    ck_assert(os_commit(at(2), page));
    ck_assert_int_eq(*at(2), 7);
}
END_TEST

/* False, with the reason said, when the kernel has no guard markers (they came with Linux 6.13). */
static bool guards_exist(void) {
    ck_assert(os_commit(at(15), page));
    if (os_guard_install(at(15), page)) return true;
    printf("skipped: this kernel has no guard markers (MADV_GUARD_INSTALL)\n");
    ck_assert_int_eq(*at(15), 0); /* refused: nothing changed */
    return false;
}

START_TEST(a_guard_faults_and_its_removal_gives_zeros) {
    if (!guards_exist()) return;
    ck_assert(os_commit(at(0), 4 * page));
    memset(at(0), 1, 4 * page);
    ck_assert(os_guard_install(at(1), page));
    ck_assert(inaccessible(at(1)));
    ck_assert(inaccessible(at(2) - 1));
    ck_assert_int_eq(*(at(1) - 1), 1);
    ck_assert_int_eq(*at(2), 1);
    ck_assert(os_purge(at(0), 4 * page)); /* a purge leaves it */
    ck_assert(inaccessible(at(1)));
    ck_assert(os_guard_remove(at(0), 4 * page));
    ck_assert(all_zero(at(0), 4 * page));
    memset(at(0), 1, 4 * page);
}
END_TEST

START_TEST(a_guard_splits_no_mapping_and_decommit_drops_it) {
    if (!guards_exist()) return;
    ck_assert(os_commit(at(0), 4 * page));
    unsigned before = kernel_mappings(at(0), 4 * page);
    ck_assert(os_guard_install(at(1), page));
    ck_assert_uint_eq(kernel_mappings(at(0), 4 * page), before);
    ck_assert(os_decommit(at(1), page));
    ck_assert(os_commit(at(1), page));
    ck_assert(writable(at(1)));
}
END_TEST

START_TEST(a_guard_is_refused_where_nothing_is_mapped) {
    ck_assert(os_unreserve(at(8), 4 * page));
    ck_assert(!os_guard_install(at(8), page));
    ck_assert(!os_guard_remove(at(8), page));
}
END_TEST

static void expect_zero(void *address) {
    if (*(char *)address != 0) _exit(1);
}

START_TEST(wiped_memory_is_zero_in_a_forked_child_only) {
    ck_assert(os_commit(base, 2 * page));
    ck_assert(os_wipe_on_fork(base, page));
    *at(0) = 1;
    *at(1) = 1;
    ck_assert_int_eq(status_of(expect_zero, at(0)), 0);
    ck_assert(WIFEXITED(status_of(expect_zero, at(1))));
    ck_assert_int_eq(WEXITSTATUS(status_of(expect_zero, at(1))), 1);
    ck_assert_int_eq(*at(0), 1);
}
END_TEST

START_TEST(a_harness_seals_nothing) {
    ck_assert(os_commit(base, page));
    ck_assert(os_seal(base, page));
    ck_assert(os_unreserve(base, page));
}
END_TEST

/* --- Moving pages ---------------------------------------------------------------------------- */

START_TEST(moved_pages_keep_their_contents_and_close_the_source) {
    char *from = at(1);
    char *to = at(9);
    ck_assert(os_commit(from, 4 * page));
    for (size_t i = 0; i < 4; i++) memset(from + i * page, (int)i + 1, page);
    ck_assert(os_commit(to + 3 * page, page));
    ck_assert_int_eq(os_move_pages(from, to, 4 * page), OS_MOVED);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(to[i * page], (int)i + 1);
        ck_assert_int_eq(to[(i + 1) * page - 1], (int)i + 1);
    }
    *to = 9;
    ck_assert(inaccessible(from));
    ck_assert(inaccessible(to - 1));
    ck_assert(inaccessible(to + 4 * page));
    ck_assert(harness_range_is((uintptr_t)from, 4 * page, HARNESS_RESERVED));
    ck_assert(harness_range_is((uintptr_t)to, 4 * page, HARNESS_COMMITTED));
    ck_assert_ptr_null(os_reserve(page, page, (uintptr_t)from)); /* still ours */
    ck_assert(os_commit(from, 4 * page));
    ck_assert(all_zero(from, 4 * page));
}
END_TEST

START_TEST(the_source_of_a_move_is_not_charged_any_more) {
    char *from = os_reserve(64 * MIB, page, 0);
    char *to = os_reserve(64 * MIB, page, 0);
    size_t before = charged_bytes();
    ck_assert(os_commit(from, 64 * MIB));
    *from = 1;
    ck_assert(os_commit(to + 64 * MIB - page, page));
    ck_assert_int_eq(os_move_pages(from, to, 64 * MIB), OS_MOVED);
    ck_assert_uint_lt(charged_bytes(), before + 72 * MIB);
    ck_assert(os_decommit(to, 64 * MIB));
    ck_assert_uint_lt(charged_bytes(), before + 8 * MIB);
}
END_TEST

/* Sets the soft limit; by system call, because the C libraries differ in the type of `resource`. */
static void limit_to(int resource, size_t bytes) {
    struct rlimit limit;
    ck_assert_int_eq(syscall(SYS_prlimit64, 0, resource, NULL, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(syscall(SYS_prlimit64, 0, resource, &limit, NULL), 0);
}

/* Given a limit under which the kernel gives up with the destination unmapped already, when a move
   fails, then what was there stays and the destination is held as before. */
START_TEST(a_failed_move_changes_nothing) {
    ck_assert(os_commit(at(1), 2 * page));
    *at(1) = 5;
    ck_assert(os_commit(at(10), page));
    limit_to(RLIMIT_DATA, page);
    ck_assert_int_eq(os_move_pages(at(1), at(9), 2 * page), OS_NOT_MOVED);
    limit_to(RLIMIT_DATA, RLIM_INFINITY);
    ck_assert_int_eq(*at(1), 5);
    ck_assert(writable(at(2)));
    ck_assert(inaccessible(at(9)));
    ck_assert(harness_range_is((uintptr_t)at(9), page, HARNESS_RESERVED));
    ck_assert_ptr_null(os_reserve(page, page, (uintptr_t)at(9)));
    ck_assert(os_commit(at(9), 2 * page));
    ck_assert(all_zero(at(9), 2 * page));
}
END_TEST

/* What has become of the destination as the call fails, and what another thread has mapped there by
   then: OS pages from its first one on. */
static struct {
    bool unmapped;
    size_t mapped_from, mapped_to;
} failure;

static bool play_failed_move(long number, const long *arguments, long *result) {
    if (number != SYS_mremap) return false;
    char *to = (char *)arguments[4];
    if (failure.unmapped) ck_assert_int_eq(munmap(to, (size_t)arguments[1]), 0);
    size_t size = (failure.mapped_to - failure.mapped_from) * page;
    if (size != 0) {
        char *theirs = mmap(to + failure.mapped_from * page, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        ck_assert_ptr_eq(theirs, to + failure.mapped_from * page);
        memset(theirs, 7, size);
    }
    *result = -ENOMEM;
    return true;
}

static const struct {
    bool unmapped;
    size_t mapped_from, mapped_to;
    enum os_move result;
} failures[] = {{false, 0, 0, OS_NOT_MOVED}, {true, 0, 0, OS_NOT_MOVED},
                {true, 0, 4, OS_MOVE_LOST},  {true, 0, 1, OS_MOVE_LOST},
                {true, 3, 4, OS_MOVE_LOST},  {true, 1, 2, OS_MOVE_LOST}};

/* The kernel may have unmapped the destination of a move that fails: what another thread has put
   there meanwhile is not ours. */
START_TEST(what_another_thread_has_mapped_in_the_hole_of_a_failed_move_is_not_ours) {
    failure.unmapped = failures[_i].unmapped;
    failure.mapped_from = failures[_i].mapped_from;
    failure.mapped_to = failures[_i].mapped_to;
    char *from = at(1), *to = at(8);
    ck_assert(os_commit(from, 4 * page));
    ck_assert(os_commit(to + 3 * page, page));
    memset(from, 5, 4 * page);
    harness_set_kernel(play_failed_move);
    ck_assert_int_eq(os_move_pages(from, to, 4 * page), failures[_i].result);
    for (size_t i = 0; i < 4 * page; i++) ck_assert_int_eq(from[i], 5);
    for (size_t i = failure.mapped_from * page; i < failure.mapped_to * page; i++)
        ck_assert_int_eq(to[i], 7);
    bool ours = failures[_i].result == OS_NOT_MOVED;
    ck_assert_int_eq(harness_range_state((uintptr_t)to) != HARNESS_FOREIGN, ours);
    if (ours) ck_assert(os_commit(to, 4 * page));
}
END_TEST

/* --- Faults and errno ------------------------------------------------------------------------ */

static bool call_reserve(void) { return os_reserve(page, page, 0) != NULL; }
static bool call_unreserve(void) { return os_unreserve(at(0), page); }
static bool call_commit(void) { return os_commit(at(1), page); }
static bool call_decommit(void) { return os_decommit(at(2), page); }
static bool call_protect_read(void) { return os_protect_read(at(3), page); }
static bool call_protect_none(void) { return os_protect_none(at(4), page); }
static bool call_wipe_on_fork(void) { return os_wipe_on_fork(at(5), page); }
static bool call_purge(void) { return os_purge(at(6), page); }
static bool call_guard_install(void) { return os_guard_install(at(15), page); }
static bool call_guard_remove(void) { return os_guard_remove(at(15), page); }
static bool call_move(void) { return os_move_pages(at(8), at(10), 2 * page) == OS_MOVED; }
static bool call_seal(void) { return os_seal(at(12), page); }
static bool call_random(void) {
    uint64_t word = 0;
    return os_random(&word, sizeof word) && word != 0;
}

static const struct {
    enum os_call kind;
    bool (*call)(void);
} calls[] = {
    {OS_RESERVE, call_reserve},      {OS_RELEASE, call_unreserve},
    {OS_COMMIT, call_commit},        {OS_DECOMMIT, call_decommit},
    {OS_PROTECT, call_protect_read}, {OS_PROTECT, call_protect_none},
    {OS_PROTECT, call_wipe_on_fork}, {OS_PURGE, call_purge},
    {OS_GUARD, call_guard_install},  {OS_GUARD, call_guard_remove},
    {OS_REMAP, call_move},           {OS_SEAL, call_seal},
    {OS_RANDOM, call_random},
};

static void describe(void *context, uintptr_t start, size_t size, enum harness_state state) {
    uint64_t *digest = context;
    *digest = (((*digest * 31 + start) * 31 + size) * 31 + (uint64_t)state) * 31;
}

/* Given a call that would succeed, when it is made to fail, then it changes nothing, and the next
   one succeeds; errno is kept. */
START_TEST(a_refused_call_changes_nothing_and_the_next_succeeds) {
    uint64_t before = 0;
    uint64_t after = 0;
    if (calls[_i].kind == OS_GUARD && !guards_exist()) return;
    ck_assert(os_commit(at(8), 2 * page));
    ck_assert(os_commit(at(11), page)); /* the last page that is moved over */
    memset(at(8), 3, 2 * page);
    harness_visit_ranges(describe, &before);
    unsigned mappings = kernel_mappings(base, PAGES * page);
    harness_fail_nth(calls[_i].kind, 1);
    errno = ERRNO_MARK;
    ck_assert(!calls[_i].call());
    ck_assert_int_eq(errno, ERRNO_MARK);
    harness_visit_ranges(describe, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_uint_eq(kernel_mappings(base, PAGES * page), mappings);
    ck_assert_int_eq(*at(8), 3);
    errno = ERRNO_MARK;
    ck_assert(calls[_i].call());
    ck_assert_int_eq(errno, ERRNO_MARK);
}
END_TEST

START_TEST(a_call_the_kernel_refuses_keeps_errno) {
    char *gap = at(8);
    ck_assert(os_unreserve(gap, page));
    size_t held = harness_reserved_bytes();
    errno = ERRNO_MARK;
    ck_assert_ptr_null(os_reserve((size_t)1 << 62, page, 0));
    ck_assert_ptr_null(os_reserve(page, page, (uintptr_t)at(0)));
    ck_assert(!os_commit(gap, page));
    ck_assert(!os_protect_read(gap, page));
    ck_assert(!os_protect_none(gap, page));
    ck_assert(!os_purge(gap, page));
    ck_assert(!os_wipe_on_fork(gap, page));
    ck_assert(!os_guard_install(gap, page));
    ck_assert(os_commit(at(10), page));
    ck_assert_int_eq(os_move_pages(gap, at(10), page), OS_NOT_MOVED);
    /* no page boundary; the record that it freed comes back */
    ck_assert(!os_unreserve(base + 1, page));
    ck_assert_uint_eq(os_read_file("/nonexistent/file", (char[8]){0}, 8), 0);
    os_write(-1, "x", 1);
    ck_assert_int_eq(errno, ERRNO_MARK);
    ck_assert_uint_eq(harness_reserved_bytes(), held);
}
END_TEST

START_TEST(calls_that_cannot_fail_keep_errno) {
    uint32_t word = 1;
    char byte;
    errno = ERRNO_MARK;
    os_page_size();
    os_data_limit();
    os_leave_out_of_dumps(base, page);
    os_keep_small_pages(base, page);
    os_milliseconds();
    os_thread_id();
    os_process_id();
    os_yield();
    os_futex_wait(&word, 0); /* differs: returns at once */
    os_futex_wake(&word, UINT32_MAX);
    os_membarrier();
    os_read_file("/proc/self/comm", &byte, 1);
    os_is_privileged();
    os_environment("PATH");
    os_diagnose_limit(page);
    ck_assert_int_eq(errno, ERRNO_MARK);
}
END_TEST

/* --- Random ---------------------------------------------------------------------------------- */

START_TEST(random_fills_all_of_a_large_buffer) {
    static unsigned char bytes[MIB + 5];
    static unsigned char more[32];
    ck_assert(os_random(bytes, sizeof bytes));
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof bytes; i++) zeros += bytes[i] == 0;
    /* one in 256, and ten standard deviations are a sixth */
    ck_assert_uint_gt(zeros, sizeof bytes / 256 * 9 / 10);
    ck_assert_uint_lt(zeros, sizeof bytes / 256 * 11 / 10);
    ck_assert(!all_zero((char *)bytes + sizeof bytes - 16, 16));
    ck_assert(os_random(more, sizeof more));
    ck_assert_mem_ne(more, bytes, sizeof more);
}
END_TEST

/* --- Which limit it was ---------------------------------------------------------------------- */

START_TEST(without_a_limit_it_was_memory) {
    ck_assert_int_eq(os_diagnose_limit(page), OS_LIMIT_MEMORY);
    ck_assert_int_eq(os_diagnose_limit(SIZE_MAX), OS_LIMIT_MEMORY);
}
END_TEST

START_TEST(the_address_space_limit_is_told) {
#ifdef MOAT_SANITIZED
    printf("skipped: a sanitizer needs more address space than the limit leaves\n");
#else
    limit_to(RLIMIT_AS, 4 * GIB);
    ck_assert_ptr_null(os_reserve(8 * GIB, page, 0));
    ck_assert_int_eq(os_diagnose_limit(8 * GIB), OS_LIMIT_ADDRESS_SPACE);
    ck_assert_int_eq(os_diagnose_limit(SIZE_MAX), OS_LIMIT_ADDRESS_SPACE);
    ck_assert_int_eq(os_diagnose_limit(page), OS_LIMIT_MEMORY);
#endif
}
END_TEST

START_TEST(the_data_limit_is_told) {
    char *start = os_reserve(GIB, page, 0);
    ck_assert_ptr_nonnull(start);
    limit_to(RLIMIT_DATA, charged_bytes() + 64 * MIB);
    ck_assert(!os_commit(start, GIB));
    ck_assert_int_eq(os_diagnose_limit(GIB), OS_LIMIT_DATA);
    ck_assert_int_eq(os_diagnose_limit(page), OS_LIMIT_MEMORY);
}
END_TEST

/* Given a process at the kernel's limit of mappings, when one more split is refused, then that is
   what is told. */
START_TEST(the_limit_of_mappings_is_told) {
    char text[32] = "";
    ck_assert_uint_gt(os_read_file("/proc/sys/vm/max_map_count", text, sizeof text - 1), 0);
    size_t most = strtoul(text, NULL, 10);
    if (most > 200000) {
        printf("skipped: vm.max_map_count is %zu, too many to reach\n", most);
        return;
    }
    char *start = os_reserve((2 * most + 2) * page, page, 0);
    ck_assert_ptr_nonnull(start);
    size_t split = 0;
    while (split <= most && mprotect(start + 2 * split * page, page, PROT_READ) == 0) split++;
    ck_assert_uint_le(split, most);
    ck_assert(!os_protect_read(start + 2 * split * page, page));
    ck_assert_int_eq(os_diagnose_limit(page), OS_LIMIT_MAP_COUNT);
}
END_TEST

static void add_memory_tests(TCase *group) {
    tcase_add_test(group, a_reservation_is_inaccessible_and_uncharged);
    tcase_add_loop_test(group, a_reservation_has_its_alignment_and_nothing_beside_it, 0, 4);
    tcase_add_test(group, a_hint_is_obeyed_exactly_or_nothing_is_reserved);
    tcase_add_test(group, a_range_is_free_if_nothing_lies_in_it_however_large);
    tcase_add_test(group, a_size_that_cannot_be_is_refused);
    tcase_add_test(group, committed_memory_is_zero_and_writable_and_only_there);
    tcase_add_test(group, decommit_closes_and_the_next_commit_is_zero);
    tcase_add_test(group, decommit_gives_the_charge_back);
    tcase_add_test(group, decommit_leaves_one_mapping_with_its_neighbours);
    tcase_add_test(group, purged_memory_is_zero_and_still_committed);
    tcase_add_test(group, read_protection_gives_zeros_and_no_store);
    tcase_add_test(group, closed_memory_keeps_its_contents);
    tcase_add_test(group, a_guard_faults_and_its_removal_gives_zeros);
    tcase_add_test(group, a_guard_splits_no_mapping_and_decommit_drops_it);
    tcase_add_test(group, a_guard_is_refused_where_nothing_is_mapped);
    tcase_add_test(group, wiped_memory_is_zero_in_a_forked_child_only);
    tcase_add_test(group, a_harness_seals_nothing);
    tcase_add_test(group, moved_pages_keep_their_contents_and_close_the_source);
    tcase_add_test(group, the_source_of_a_move_is_not_charged_any_more);
    tcase_add_test(group, a_failed_move_changes_nothing);
    tcase_add_loop_test(group,
                        what_another_thread_has_mapped_in_the_hole_of_a_failed_move_is_not_ours, 0,
                        sizeof failures / sizeof *failures);
    tcase_add_loop_test(group, a_refused_call_changes_nothing_and_the_next_succeeds, 0,
                        sizeof calls / sizeof *calls);
}

static void add_other_tests(TCase *group) {
    tcase_add_test(group, machine_is_described_as_the_c_library_does);
    tcase_add_test(group, data_limit_is_the_soft_one);
    tcase_add_test(group, a_call_the_kernel_refuses_keeps_errno);
    tcase_add_test(group, calls_that_cannot_fail_keep_errno);
    tcase_add_test(group, random_fills_all_of_a_large_buffer);
    tcase_add_test(group, without_a_limit_it_was_memory);
    tcase_add_test(group, the_address_space_limit_is_told);
    tcase_add_test(group, the_data_limit_is_told);
    tcase_add_test(group, the_limit_of_mappings_is_told);
}

int main(void) {
    Suite *suite = suite_create("os");
    TCase *group = tcase_create("os");
    tcase_add_checked_fixture(group, setup, teardown);
    tcase_set_timeout(group, 60);
    add_memory_tests(group);
    add_other_tests(group);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
