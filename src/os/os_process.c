/*
 * os_process: the system calls that are not about memory: random bytes, threads, files, and the end
 * (see os.h).
 */
#define _GNU_SOURCE
#include "base/atomic.h"
#include "os/kernel.h"
#include "os/os.h"
#include "os/os_seam.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* Numbers that the C library's headers may lack. */
#define BARRIER_GLOBAL 1
#define BARRIER_PRIVATE_EXPEDITED 8
#define BARRIER_REGISTER_PRIVATE_EXPEDITED 16

/* --- Random bytes, threads, time ------------------------------------------------------------- */

static long open_for_reading(const char *path) {
    long fd = -EACCES;
    if (os_facts.no_files) return fd;
    do fd = kernel_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    while (fd == -EINTR);
    return fd;
}

static bool read_urandom(char *bytes, size_t size) {
    long fd = open_for_reading("/dev/urandom");
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

unsigned os_thread_id(void) { return (unsigned)KERNEL(SYS_gettid, 0, 0, 0); }

unsigned os_process_id(void) { return (unsigned)KERNEL(SYS_getpid, 0, 0, 0); }

void os_yield(void) { KERNEL(SYS_sched_yield, 0, 0, 0); }

void os_futex_wait(uint32_t *word, uint32_t expected) {
    /* Virtual threads share one real thread, which must not sleep. As the kernel does, the seam is
       shown the newest value. */
    if (IN_HARNESS && (atomic_load_unseen(word) != expected || os_seam.sleeps(word))) return;
    const struct timespec second = {1, 0};
    kernel_call(SYS_futex, (long)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)expected,
                (long)&second, 0, 0);
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

#define SEND_TRIES 3
/* What a descriptor that is ready takes without blocking: PIPE_BUF. */
#define WRITE_AT_ONCE 4096u

/* Waits a tenth of a second at most for a descriptor that is full. True also when nobody reads any
   more, or when the kernel will not say: the write tells. */
static bool wait_writable(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLOUT, .revents = 0};
    struct timespec patience = {0, 100 * 1000 * 1000};
    return kernel_call(SYS_ppoll, (long)&wanted, 1, (long)&patience, 0, 0, 0) != 0;
}

void os_sleep(unsigned milliseconds) {
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000 * 1000};
    kernel_call(SYS_nanosleep, (long)&time, 0, 0, 0, 0, 0);
}

bool os_write(int fd, const char *text, size_t length) {
    while (length > 0) {
        /* a reader that sleeps must not keep a damaged process alive */
        if (!wait_writable(fd)) return false;
        long written = KERNEL(SYS_write, fd, text, length < WRITE_AT_ONCE ? length : WRITE_AT_ONCE);
        if (written == -EINTR || written == -EAGAIN) continue;
        if (written <= 0) return false;
        text += written;
        length -= (size_t)written;
    }
    return true;
}

bool os_append(const char *path, const char *text, size_t length) {
    long fd = 0, written = 0;
    long flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
    if (os_facts.no_files) return false;
    do fd = kernel_call(SYS_openat, AT_FDCWD, (long)path, flags, 0600, 0, 0);
    while (fd == -EINTR);
    if (fd < 0) return false;
    /* whole: of two processes that end at once neither line stands inside the other */
    do written = KERNEL(SYS_write, fd, text, length);
    while (written == -EINTR);
    size_t done = written > 0 ? (size_t)written : 0;
    bool whole =
        (written >= 0 || written == -EAGAIN) && os_write((int)fd, text + done, length - done);
    KERNEL(SYS_close, fd, 0, 0);
    return whole;
}

bool os_send(const char *path, const char *text, size_t length) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t end = 0;
    long sent = 0;
    for (; path[end] != '\0' && end < sizeof to.sun_path - 1; end++) to.sun_path[end] = path[end];
    if (path[end] != '\0') return false;
    long fd = KERNEL(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    bool connected = KERNEL(SYS_connect, fd, &to, sizeof to) == 0;
    for (int tries = 0; connected && tries < SEND_TRIES; tries++) {
        sent = kernel_call(SYS_sendto, fd, (long)text, (long)length, MSG_NOSIGNAL, 0, 0);
        if (sent == -EINTR) continue;
        if (sent != -EAGAIN || !wait_writable((int)fd)) break;
    }
    KERNEL(SYS_close, fd, 0, 0);
    return connected && sent == (long)length;
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
    size_t done = read_some(fd, buffer, size);
    KERNEL(SYS_close, fd, 0, 0);
    return done;
}

int os_open_read(const char *path) {
    long fd = open_for_reading(path);
    return fd < 0 ? -1 : (int)fd;
}

size_t os_read_on(int fd, void *buffer, size_t size) { return read_some(fd, buffer, size); }

size_t os_read_at(int fd, void *buffer, size_t size, uint64_t offset) {
    long got = 0;
    do got = kernel_call(SYS_pread64, fd, (long)buffer, (long)size, (long)offset, 0, 0);
    while (got == -EINTR);
    return got > 0 ? (size_t)got : 0;
}

void os_close(int fd) { KERNEL(SYS_close, fd, 0, 0); }

/* The kernel copies the mask in before it looks at what to do with it, and refuses the impossible:
   EINVAL if it could read the word, EFAULT if not. Any sandbox allows this call, which changes
   nothing. */
bool os_can_read(const void *word) {
    return kernel_call(SYS_rt_sigprocmask, INT_MAX, (long)word, 0, sizeof(uint64_t), 0, 0) !=
           -EFAULT;
}

/* --- Faults ---------------------------------------------------------------------------------- */

/* As the kernel has it. */
struct kernel_action {
    void (*handler)(int number, siginfo_t *info, void *context);
    unsigned long flags;
    void (*leave)(void);
    uint64_t mask;
};
#define ACTION_HAS_LEAVE 0x04000000ul

CPU_DEFINE_SIGNAL_RETURN

static os_fault_handler *fault_handler;

/* What the kernel has found itself, and where. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number;
    bool has_address = info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR;
    fault_handler(has_address ? (uintptr_t)info->si_addr : 0, context);
    /* nobody's signal is lost: an instruction that faulted faults again */
    if (info->si_code <= 0) KERNEL(SYS_tgkill, os_process_id(), os_thread_id(), SIGSEGV);
}

static bool set_action(const struct kernel_action *new, struct kernel_action *old) {
    return kernel_call(SYS_rt_sigaction, SIGSEGV, (long)new, (long)old, sizeof(uint64_t), 0, 0) ==
           0;
}

bool os_catch_faults(os_fault_handler *handler) {
    struct kernel_action old = {0}, own = {.handler = on_fault,
                                           .flags = SA_SIGINFO | SA_ONSTACK,
                                           .leave = CPU_SIGNAL_RETURN};
    if (!CPU_HAS_SYSTEM_CALL || !set_action(NULL, &old) || old.handler != NULL) return false;
    if (own.leave != NULL) own.flags |= ACTION_HAS_LEAVE;
    fault_handler = handler;
    if (!set_action(&own, &old)) return false;
    if (old.handler == NULL) return true;
    (void)set_action(&old, NULL); /* another thread's, set meanwhile */
    return false;
}

void os_let_fault(void) {
    const struct kernel_action by_default = {0};
    (void)set_action(&by_default, NULL);
}

/* --- The end --------------------------------------------------------------------------------- */

uint64_t os_block_signals(void) {
    uint64_t all = ~(uint64_t)0, before = 0;
    kernel_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&before, sizeof all, 0, 0);
    return before;
}

void os_restore_signals(uint64_t blocked) {
    kernel_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, 0, sizeof blocked, 0, 0);
}

static void send_abort_signal(void) {
    uint64_t only_abort = (uint64_t)1 << (SIGABRT - 1);
    kernel_call(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&only_abort, 0, sizeof only_abort, 0, 0);
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
    kernel_call(SYS_rt_sigaction, SIGABRT, (long)by_default, 0, sizeof(uint64_t), 0, 0);
    send_abort_signal();
    for (;;) {
        KERNEL(SYS_exit_group, 127, 0, 0);
        __builtin_trap();
    }
}
