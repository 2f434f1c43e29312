/*
 * os: every system call moat makes (see os.h).
 *
 * Calls go through os_call_kernel(), which keeps the caller's errno and returns the kernel's result
 * or its negated error number. No function here allocates, takes a lock or uses stdio; all may run
 * in a signal handler and before initialisation. Only ranges that os_reserve() returned, and the
 * read-only structure of ro.h, are ever given to the memory calls.
 *
 * The harness may refuse a call and is told of each success. Both are dead code in the shipped
 * library (IN_HARNESS is 0).
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "os/os_seam.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

/* Numbers of newer kernels that the C library's headers may lack; the generic table gives them to
   every 64-bit machine. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define ADVICE_GUARD_INSTALL 102
#define ADVICE_GUARD_REMOVE 103
#define CALL_MSEAL 462
#define BARRIER_GLOBAL 1
#define BARRIER_PRIVATE_EXPEDITED 8
#define BARRIER_REGISTER_PRIVATE_EXPEDITED 16

/* What a range of address space is made of: private, anonymous, and charged only once it becomes
   writable. */
#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static long os_call_kernel(long number, long a, long b, long c, long d, long e, long f) {
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1) {
        result = -(long)errno;
        errno = saved;
    }
    return result;
}

#define KERNEL(number, a, b, c) os_call_kernel((number), (long)(a), (long)(b), (long)(c), 0, 0, 0)

static unsigned long auxiliary_value(unsigned long type) {
    int saved = errno;
    unsigned long value = getauxval(type);
    errno = saved;
    return value;
}

/* --- What the machine is --------------------------------------------------------------------- */

size_t os_page_size(void) {
    unsigned long size = auxiliary_value(AT_PAGESZ);
    return is_power_of_two(size) ? size : 4 * KIB;
}

size_t os_physical_memory(void) {
    struct sysinfo info;
    if (KERNEL(SYS_sysinfo, &info, 0, 0) != 0) return GIB;
    size_t bytes = 0;
    size_t unit = info.mem_unit != 0 ? info.mem_unit : 1;
    if (__builtin_mul_overflow((size_t)info.totalram, unit, &bytes) || bytes == 0) return GIB;
    return bytes;
}

bool os_is_absurd(size_t bytes) {
    struct sysinfo info;
    char mode = 0;
    if (KERNEL(SYS_sysinfo, &info, 0, 0) != 0) return false;
    size_t unit = info.mem_unit != 0 ? info.mem_unit : 1, total = 0;
    if (__builtin_mul_overflow((size_t)info.totalram + info.totalswap, unit, &total)) return false;
    if (bytes <= total) return false;
    return os_read_file("/proc/sys/vm/overcommit_memory", &mode, 1) == 1 && mode == '0';
}

/* SIZE_MAX when there is no limit, or none can be read. */
static size_t resource_limit(int resource) {
    struct rlimit limit;
    if (os_call_kernel(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0) != 0) return SIZE_MAX;
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}

size_t os_address_space_limit(void) { return resource_limit(RLIMIT_AS); }

/* --- Address space and memory ---------------------------------------------------------------- */

static void *map_inaccessible(uintptr_t where, size_t size, int extra_flags) {
    long result = os_call_kernel(SYS_mmap, (long)where, (long)size, PROT_NONE,
                                 (long)(RESERVE_FLAGS | extra_flags), -1, 0);
    return result < 0 && result >= -4095 ? NULL : (void *)result;
}

static bool unmap(uintptr_t start, size_t size) {
    return size == 0 || KERNEL(SYS_munmap, start, size, 0) == 0;
}

static bool set_protection(void *start, size_t size, int protection) {
    return KERNEL(SYS_mprotect, start, size, protection) == 0;
}

static bool advise(void *start, size_t size, int advice) {
    return KERNEL(SYS_madvise, start, size, advice) == 0;
}

/* A kernel before 4.17 takes the address for a wish, so the result decides. */
static void *reserve_exactly(uintptr_t hint, size_t size) {
    void *start = map_inaccessible(hint, size, MAP_FIXED_NOREPLACE);
    if (start == NULL || (uintptr_t)start == hint) return start;
    unmap((uintptr_t)start, size);
    return NULL;
}

static void *reserve_aligned(size_t size, size_t alignment) {
    void *start = map_inaccessible(0, size, 0);
    if (start == NULL || ((uintptr_t)start & (alignment - 1)) == 0) return start;
    unmap((uintptr_t)start, size);
    size_t wide = 0;
    if (__builtin_add_overflow(size, alignment, &wide)) return NULL;
    uintptr_t first = (uintptr_t)map_inaccessible(0, wide, 0);
    if (first == 0) return NULL;
    uintptr_t aligned = round_up(first, alignment);
    /* Trimming can fail only at the limit of mappings; then nothing is kept. */
    if (!unmap(first, aligned - first) || !unmap(aligned + size, first + wide - (aligned + size))) {
        unmap(first, wide);
        return NULL;
    }
    return (void *)aligned;
}

void *os_reserve(size_t size, size_t alignment, uintptr_t hint) {
    if (os_seam_fails(OS_RESERVE)) return NULL;
    size_t page = os_page_size();
    if (alignment < page) alignment = page;
    /* ThreadSanitizer has shadow for some ranges only, and only the kernel's own choice lies in
       them. */
    if (hint != 0 && (UNDER_THREAD_SANITIZER || (hint & (alignment - 1)) != 0)) return NULL;
    void *start = NULL;
    if (hint != 0) {
        start = reserve_exactly(hint, size);
    } else {
        uintptr_t replayable =
            IN_HARNESS && !UNDER_THREAD_SANITIZER ? os_seam.reservation_hint(size, alignment) : 0;
        if (replayable != 0) start = reserve_exactly(replayable, size);
        if (start == NULL) start = reserve_aligned(size, alignment);
    }
    if (start != NULL) os_seam_note(OS_CHANGE_RESERVE, start, size);
    return start;
}

bool os_unreserve(void *start, size_t size) {
    if (os_seam_fails(OS_RELEASE)) return false;
    /* Noted first: once unmapped, another thread may reserve the same addresses. */
    os_seam_note(OS_CHANGE_UNRESERVE, start, size);
    if (unmap((uintptr_t)start, size)) return true;
    os_seam_note(OS_CHANGE_RESERVE, start, size);
    return false;
}

bool os_commit(void *start, size_t size) {
    if (IN_HARNESS && os_seam.commit_fails(start, size)) return false;
    if (!set_protection(start, size, PROT_READ | PROT_WRITE)) return false;
    os_seam_note(OS_CHANGE_COMMIT, start, size);
    return true;
}

/* A fresh inaccessible mapping in place of the old one: the only way to give the commit charge
   back. It also drops guard markers. The advice must be that of the neighbours, or the kernel
   cannot merge the range with them. */
static bool replace_by_inaccessible(void *start, size_t size) {
    if (map_inaccessible((uintptr_t)start, size, MAP_FIXED) == NULL) return false;
    os_advise_region(start, size);
    return true;
}

bool os_decommit(void *start, size_t size) {
    if (os_seam_fails(OS_DECOMMIT)) return false;
    if (!replace_by_inaccessible(start, size)) return false;
    os_seam_note(OS_CHANGE_DECOMMIT, start, size);
    return true;
}

bool os_protect_read(void *start, size_t size) {
    if (os_seam_fails(OS_PROTECT)) return false;
    if (!set_protection(start, size, PROT_READ)) return false;
    os_seam_note(OS_CHANGE_PROTECT_READ, start, size);
    return true;
}

bool os_protect_none(void *start, size_t size) {
    if (os_seam_fails(OS_PROTECT)) return false;
    if (!set_protection(start, size, PROT_NONE)) return false;
    os_seam_note(OS_CHANGE_PROTECT_NONE, start, size);
    return true;
}

bool os_purge(void *start, size_t size) {
    if (os_seam_fails(OS_PURGE)) return false;
    return advise(start, size, MADV_DONTNEED);
}

bool os_guard_install(void *start, size_t size) {
    if (os_seam_fails(OS_GUARD)) return false;
    if (!advise(start, size, ADVICE_GUARD_INSTALL)) return false;
    os_seam_note(OS_CHANGE_GUARD_INSTALL, start, size);
    return true;
}

bool os_guard_remove(void *start, size_t size) {
    if (os_seam_fails(OS_GUARD)) return false;
    if (!advise(start, size, ADVICE_GUARD_REMOVE)) return false;
    os_seam_note(OS_CHANGE_GUARD_REMOVE, start, size);
    return true;
}

void os_advise_region(void *start, size_t size) {
    advise(start, size, MADV_DONTDUMP);
    advise(start, size, MADV_NOHUGEPAGE);
}

/* Counted with OS_PROTECT: like those calls it changes a property of a mapping, not what is in
   it. */
bool os_wipe_on_fork(void *start, size_t size) {
    if (os_seam_fails(OS_PROTECT)) return false;
    return advise(start, size, MADV_WIPEONFORK);
}

bool os_seal(void *start, size_t size) {
    /* a harness must be able to start afresh, so nothing is sealed */
    if (IN_HARNESS) return !os_seam_fails(OS_SEAL);
    return KERNEL(CALL_MSEAL, start, size, 0) == 0;
}

bool os_move_pages(void *from, void *to, size_t size) {
    if (os_seam_fails(OS_REMAP)) return false;
    long moved = os_call_kernel(SYS_mremap, (long)from, (long)size, (long)size,
                                MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, (long)to, 0);
    if (moved != (long)to) {
        /* The kernel may have unmapped the destination before it failed, as it does at RLIMIT_DATA.
           If it did not, the address is taken, by our own reservation, and stays as it is. */
        if (reserve_exactly((uintptr_t)to, size) != NULL) os_advise_region(to, size);
        return false;
    }
    /* The source is empty now. Should the kernel refuse to replace it, closing it is all that can
       be done, and enough. */
    if (!replace_by_inaccessible(from, size)) set_protection(from, size, PROT_NONE);
    if (IN_HARNESS) {
        os_seam_note(OS_CHANGE_DECOMMIT, from, size);
        os_seam_note(OS_CHANGE_DECOMMIT, to, size);
        os_seam_note(OS_CHANGE_COMMIT, to, size);
    }
    return true;
}

/* --- Everything else ------------------------------------------------------------------------- */

static bool read_urandom(char *bytes, size_t size) {
    long fd =
        os_call_kernel(SYS_openat, AT_FDCWD, (long)"/dev/urandom", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) return false;
    size_t done = 0;
    while (done < size) {
        long got = KERNEL(SYS_read, fd, bytes + done, size - done);
        if (got == -EINTR) continue;
        if (got <= 0) break;
        done += (size_t)got;
    }
    KERNEL(SYS_close, fd, 0, 0);
    return done == size;
}

bool os_random(void *buffer, size_t size) {
    if (os_seam_fails(OS_RANDOM)) return false;
    if (IN_HARNESS && os_seam.random(buffer, size)) return true;
    char *bytes = buffer;
    size_t done = 0;
    while (done < size) {
        long got = KERNEL(SYS_getrandom, bytes + done, size - done, 0);
        if (got == -EINTR) continue;
        /* no such call, or a sandbox forbids it */
        if (got <= 0) return read_urandom(bytes + done, size - done);
        done += (size_t)got;
    }
    return true;
}

uint64_t os_milliseconds(void) {
    if (IN_HARNESS) return os_seam.milliseconds();
    struct timespec now = {0, 0};
    int saved = errno;
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) != 0) {
        now.tv_sec = 0;
        errno = saved;
    }
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned os_thread_id(void) { return (unsigned)KERNEL(SYS_gettid, 0, 0, 0); }

unsigned os_process_id(void) { return (unsigned)KERNEL(SYS_getpid, 0, 0, 0); }

void os_yield(void) { KERNEL(SYS_sched_yield, 0, 0, 0); }

void os_futex_wait(uint32_t *word, uint32_t expected) {
    /* Virtual threads share one real thread, which must not sleep: the caller looks again, and that
       is a scheduling point. */
    if (IN_HARNESS && os_seam.threads_are_virtual()) return;
    KERNEL(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected);
}

void os_futex_wake(uint32_t *word, unsigned count) {
    KERNEL(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count > INT_MAX ? INT_MAX : count);
}

void os_membarrier(void) {
    if (KERNEL(SYS_membarrier, BARRIER_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    /* A process asks once before its first use; a child of fork has the parent's permission, a new
       program has not. */
    if (KERNEL(SYS_membarrier, BARRIER_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
        KERNEL(SYS_membarrier, BARRIER_PRIVATE_EXPEDITED, 0, 0) == 0)
        return;
    KERNEL(SYS_membarrier, BARRIER_GLOBAL, 0, 0);
}

/* What a descriptor that is ready takes without blocking: PIPE_BUF. */
#define WRITE_AT_ONCE 4096u

/* Waits a tenth of a second at most for a descriptor that is full. True also when nobody reads any
   more, or when the kernel will not say: the write tells. */
static bool wait_writable(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLOUT, .revents = 0};
    struct timespec patience = {0, 100 * 1000 * 1000};
    return os_call_kernel(SYS_ppoll, (long)&wanted, 1, (long)&patience, 0, 0, 0) != 0;
}

void os_sleep(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000 * 1000};
    os_call_kernel(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

void os_write(int fd, const char *text, size_t length) {
    while (length > 0) {
        /* a reader that sleeps must not keep a damaged process alive */
        if (!wait_writable(fd)) return;
        long written = KERNEL(SYS_write, fd, text, length < WRITE_AT_ONCE ? length : WRITE_AT_ONCE);
        if (written == -EINTR || written == -EAGAIN) continue;
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

static long open_for_reading(const char *path) {
    long fd = 0;
    do fd = os_call_kernel(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    while (fd == -EINTR);
    return fd;
}

/* Bytes read, 0 at the end and on an error. */
static size_t read_some(long fd, char *buffer, size_t size) {
    long got = 0;
    do got = KERNEL(SYS_read, fd, buffer, size);
    while (got == -EINTR);
    return got > 0 ? (size_t)got : 0;
}

size_t os_read_file(const char *path, char *buffer, size_t size) {
    long fd = open_for_reading(path);
    if (fd < 0) return 0;
    size_t done = 0;
    while (done < size) {
        size_t got = read_some(fd, buffer + done, size - done);
        if (got == 0) break;
        done += got;
    }
    KERNEL(SYS_close, fd, 0, 0);
    return done;
}

int os_open_read(const char *path) {
    long fd = open_for_reading(path);
    return fd < 0 ? -1 : (int)fd;
}

size_t os_read_at(int fd, void *buffer, size_t size, uint64_t offset) {
    long got = 0;
    do got = os_call_kernel(SYS_pread64, fd, (long)buffer, (long)size, (long)offset, 0, 0);
    while (got == -EINTR);
    return got > 0 ? (size_t)got : 0;
}

void os_close(int fd) { KERNEL(SYS_close, fd, 0, 0); }

/* The kernel copies the mask in before it looks at what to do with it, and refuses the impossible:
   EINVAL if it could read the word, EFAULT if not. Any sandbox allows this call, which changes
   nothing. */
bool os_can_read(const void *word) {
    return os_call_kernel(SYS_rt_sigprocmask, INT_MAX, (long)word, 0, sizeof(uint64_t), 0, 0) !=
           -EFAULT;
}

bool os_is_privileged(void) { return auxiliary_value(AT_SECURE) != 0; }

const char *os_environment(const char *name) {
    if (environ == NULL) return NULL;
    for (char **entry = environ; *entry != NULL; entry++) {
        const char *have = *entry;
        const char *want = name;
        while (*want != '\0' && *have == *want) {
            have++;
            want++;
        }
        if (*want == '\0' && *have == '=') return have + 1;
    }
    return NULL;
}

/* --- The end --------------------------------------------------------------------------------- */

void os_block_signals(void) {
    uint64_t all = ~(uint64_t)0;
    os_call_kernel(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, sizeof all, 0, 0);
}

static void send_abort_signal(void) {
    uint64_t only_abort = (uint64_t)1 << (SIGABRT - 1);
    os_call_kernel(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&only_abort, 0, sizeof only_abort, 0, 0);
    KERNEL(SYS_tgkill, os_process_id(), os_thread_id(), SIGABRT);
}

void os_abort(void) {
    send_abort_signal(); /* a handler of the program's may run, once */
    os_abort_at_once();
}

void os_abort_at_once(void) {
    /* The kernel's structure is a handler, flags, perhaps a trampoline, and a mask: all zero is
       "default" in each layout. */
    uint64_t by_default[8] = {0};
    os_call_kernel(SYS_rt_sigaction, SIGABRT, (long)by_default, 0, sizeof(uint64_t), 0, 0);
    send_abort_signal();
    for (;;) {
        KERNEL(SYS_exit_group, 127, 0, 0);
        __builtin_trap();
    }
}

/* --- Which limit was it ---------------------------------------------------------------------- */

/* The index-th number (from 0) of a text of numbers; 0 when there are fewer. */
static size_t number_at(const char *text, size_t length, unsigned index) {
    size_t value = 0;
    size_t at = 0;
    for (unsigned i = 0; i <= index; i++) {
        value = 0;
        while (at < length && (text[at] < '0' || text[at] > '9')) at++;
        for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
            value = value * 10 + (size_t)(text[at] - '0');
    }
    return value;
}

static bool exceeds(size_t used_pages, size_t wanted, size_t limit) {
    size_t total = 0;
    if (limit == SIZE_MAX) return false;
    if (__builtin_mul_overflow(used_pages, os_page_size(), &total)) return true;
    return __builtin_add_overflow(total, wanted, &total) || total > limit;
}

static size_t count_mappings(void) {
    char chunk[2048];
    size_t lines = 0;
    long fd = open_for_reading("/proc/self/maps");
    if (fd < 0) return 0;
    for (size_t got = 0; (got = read_some(fd, chunk, sizeof chunk)) != 0;)
        for (size_t i = 0; i < got; i++) lines += chunk[i] == '\n';
    KERNEL(SYS_close, fd, 0, 0);
    return lines;
}

enum os_limit os_diagnose_limit(size_t wanted) {
    enum { STATM_SIZE = 0, STATM_DATA = 5 }; /* fields of /proc/self/statm, in OS pages */
    /* Splitting a mapping in the middle takes two more, so a process may fail that far from the
       limit. */
    enum { MAPPINGS_SHORT = 2 };
    char text[256];
    size_t length = os_read_file("/proc/self/statm", text, sizeof text);
    if (exceeds(number_at(text, length, STATM_DATA), wanted, resource_limit(RLIMIT_DATA)))
        return OS_LIMIT_DATA;
    if (exceeds(number_at(text, length, STATM_SIZE), wanted, resource_limit(RLIMIT_AS)))
        return OS_LIMIT_ADDRESS_SPACE;
    length = os_read_file("/proc/sys/vm/max_map_count", text, sizeof text);
    size_t most = number_at(text, length, 0);
    if (most != 0 && count_mappings() + MAPPINGS_SHORT >= most) return OS_LIMIT_MAP_COUNT;
    return OS_LIMIT_MEMORY;
}
