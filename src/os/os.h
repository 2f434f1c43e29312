/*
 * os: every system call moat makes (a seam).
 *
 * One function per call, one policy for its failure: it returns false (or NULL) and leaves the
 * state as it was. No function here touches errno, or runs a function that somebody else may have
 * put in front (kernel.h). A harness build can make any call fail and records which ranges are
 * reserved, committed and guarded (harness.h). os.c has memory and its limits, os_process.c the
 * other calls, os_start.c what the kernel says at the start, and the clock.
 *
 * All sizes are bytes; all ranges are multiples of the OS page. Async-signal-safe, allocates
 * nothing, takes no lock, may run before initialisation.
 */
#ifndef MOAT_OS_H
#define MOAT_OS_H

#include "base/base.h"

/* What a failed memory call ran into, for the message a user reads. */
enum os_limit {
    OS_LIMIT_NONE,
    OS_LIMIT_MEMORY,
    OS_LIMIT_ADDRESS_SPACE,
    OS_LIMIT_DATA,
    OS_LIMIT_MAP_COUNT
};

/* The clock_gettime of the kernel's own image. */
struct timespec;
typedef int os_clock(int clock, struct timespec *now);

/* What the kernel said at the start. */
struct os_facts {
    size_t page_size; /* bytes of an OS page, the largest of this machine when unknown; 0: unread */
    bool privileged;  /* AT_SECURE, or nobody knows */
    uintptr_t loader; /* where the kernel has mapped the program's loader; 0: there is none */
    os_clock *clock;  /* that of the kernel's image, or one by a system call */
    uint32_t kernel;  /* its version, as LINUX_VERSION_CODE; 0: it does not say */
    bool no_advice;   /* by an option: madvise() is not called */
    bool no_files;    /* by an option: no file is opened */
};
/* A hook: the first member of the structure that never changes (meta/ro.h), filled in at the start;
   what is a function to call must not be writable. Zero before. */
extern struct os_facts os_facts __asm__("moat_ro_pages") __attribute__((visibility("hidden")));
void os_read_facts(struct os_facts *facts);

size_t os_page_size(void);
/* Whether the kernel would not give anybody so much memory at once: one mapping above all memory
   and swap, in its default mode, or above what is left to promise, where it counts. It is asked, by
   a mapping that is not kept: `locked`, where each new one would be made resident. */
bool os_is_absurd(size_t bytes, bool locked);
/* Whether calls of this thread may be refused, or end the process, by a filter of system calls:
   true when the kernel does not say. */
bool os_may_be_filtered(void);
/* vm.overcommit_memory. */
enum overcommit_mode {
    OVERCOMMIT_HEURISTIC,
    OVERCOMMIT_ALWAYS,
    OVERCOMMIT_NEVER,
    OVERCOMMIT_UNKNOWN
};
enum overcommit_mode os_overcommit_mode(void);
/* RLIMIT_AS, RLIMIT_DATA and RLIMIT_MEMLOCK in bytes, SIZE_MAX when infinite. */
size_t os_address_space_limit(void);
size_t os_data_limit(void);
size_t os_lock_limit(void);
/* Mappings a process may have (vm.max_map_count), the kernel's default when unknown. */
#define OS_MAPPINGS_DEFAULT 65530u
size_t os_mappings_max(void);

/* Maps inaccessible memory, which is not charged: at `hint` exactly if hint is not 0 (and nowhere
   else, nor over anything), aligned to `alignment`. */
void *os_reserve(size_t size, size_t alignment, uintptr_t hint);
/* Whether nothing is mapped there, of which nobody is kept out. Nothing is mapped to find out,
   however large it is. False only if something does lie there: a kernel that does not look (before
   4.17), or what plays one, says yes. */
bool os_is_free(uintptr_t start, size_t size);
/* An address at which nothing was mapped over `size` bytes a moment ago: `hint`, or, if that is 0,
   the kernel's choice. Nothing is kept. 0: there is something, or a limit forbids to ask. */
uintptr_t os_find_hole(size_t size, size_t alignment, uintptr_t hint);
/* Maps readable and writable memory at `start` exactly, not over anything. */
bool os_map(void *start, size_t size);
/* Gives a reservation, or a part, back to the kernel. */
bool os_unreserve(void *start, size_t size);
/* Inaccessible → readable and writable, zero-filled if it never was or after os_decommit. */
bool os_commit(void *start, size_t size);
/* Anything → inaccessible, contents gone, commit charge given back. */
bool os_decommit(void *start, size_t size);
/* Anything → read-only, and back to writable. For the structure of ro.h. */
bool os_protect_read(void *start, size_t size);
bool os_protect_write(void *start, size_t size);
/* Readable/writable → inaccessible, contents kept. Used for guards by mprotect. */
bool os_protect_none(void *start, size_t size);
/* Contents gone, still committed and zero-filled on next touch. False: still committed, with its
   contents, or without. */
bool os_purge(void *start, size_t size);
/* MADV_GUARD_INSTALL / MADV_GUARD_REMOVE; false on any errno (the caller falls back). The length
   must be verified by the caller. */
bool os_guard_install(void *start, size_t size);
bool os_guard_remove(void *start, size_t size);
/* prlimit(): 0, or the error's number. */
int os_limit(int process, int resource, const void *wanted, void *before);
/* mlockall() and munlockall(): 0, or the error's number. */
int os_lock_all(int flags);
int os_unlock_all(void);
/* Makes what is accessible of [start, start+size) resident, up to the first OS page that is not:
   in a process whose memory is locked. False: there is one. */
bool os_make_resident(void *start, size_t size);
/* Locks what is mapped there, accessible or not, as far as the process may, and makes nothing
   resident. False: it may not, and nothing has changed. */
bool os_lock_on_fault(void *start, size_t size);
void os_unlock(void *start, size_t size);
/* Advice that may be ignored. Neighbours with other advice are mappings of their own. */
void os_leave_out_of_dumps(void *start, size_t size);
void os_keep_small_pages(void *start, size_t size);
void os_use_huge_pages(void *start, size_t size);
/* Zero in a forked child; false if the kernel cannot. */
bool os_wipe_on_fork(void *start, size_t size);
/* mseal where the kernel has it; best effort. */
bool os_seal(void *start, size_t size);
/* Moves the pages of [from, from+size) to `to`, leaving `from` inaccessible and reserved. `to` is
   reserved by us, and its last OS page writable. */
enum os_move {
    OS_MOVED,
    OS_NOT_MOVED, /* both ranges are as they were, but for what is in that page */
    OS_MOVE_LOST  /* `from` is as it was; at `to` may be what another thread has mapped meanwhile */
};
enum os_move os_move_pages(void *from, void *to, size_t size);
/* The same, but `from` stays what it is, with zeros in it. What another thread writes there
   meanwhile is in one of the two. */
enum os_move os_take_pages(void *from, void *to, size_t size);

/* Fills from the kernel; never short, never blocks for entropy after boot; false only if the kernel
   gives none. */
bool os_random(void *buffer, size_t size);
/* Milliseconds of a coarse monotonic clock, once os_facts has been read. In a harness: a virtual
   clock that the harness moves. */
uint64_t os_milliseconds(void);
/* Not before what the coarse clock says at any processor: the exact one. */
uint64_t os_milliseconds_exactly(void);
/* As finely as there is, for seeds of children and the price of samples; and without a system call,
   for other seeds. */
uint64_t os_nanoseconds(void);
uint64_t os_nanoseconds_coarsely(void);
/* Thread id for reports; process id. */
unsigned os_thread_id(void);
unsigned os_process_id(void);
void os_yield(void);
/* Waits until *word may differ from `expected`, a second at most: in a forked child nobody may be
   left to wake who was waiting, and it shall look again. Wakes so many waiters. */
void os_futex_wait(uint32_t *word, uint32_t expected);
void os_futex_wake(uint32_t *word, unsigned count);
/* Expedited barrier on all threads of the process, for machines without total store order. */
void os_membarrier(void);
void os_sleep(unsigned milliseconds);
/* Where reports and warnings go, whatever that is in this process. */
#define OS_STDERR 2
/* Writes all of it to a file descriptor, retrying on EINTR. Gives up on an error, and when the
   descriptor stays full for a tenth of a second: false. */
bool os_write(int fd, const char *text, size_t length);
/* Appends a text to a file, made for this user alone if there is none, in one piece where that can
   be had. False: not all of it. Neither follows a link at the path's end nor waits for a reader. */
bool os_append(const char *path, const char *text, size_t length);
/* Sends a datagram to the socket of that path. False: nobody takes it, or the socket stays full for
   a tenth of a second. */
bool os_send(const char *path, const char *text, size_t length);
/* Reads up to `size` bytes of a file from its start into buffer, at once: of what the kernel writes
   as it is asked, and of files on a disk, that is all there is. Returns the count, 0 on any
   error. */
size_t os_read_file(const char *path, char *buffer, size_t size);
/* The same in pieces, for files of any length: a descriptor, -1 on failure; up to `size` bytes that
   come next, or from `offset` on, 0 at the end. */
int os_open_read(const char *path);
size_t os_read_on(int fd, void *buffer, size_t size);
size_t os_read_at(int fd, void *buffer, size_t size, uint64_t offset);
void os_close(int fd);
/* Whether the word at this (8-byte aligned) address can be read now. */
bool os_can_read(const void *word);
/* Keeps every signal away from the calling thread, until those that were blocked before are
   restored. */
uint64_t os_block_signals(void);
void os_restore_signals(uint64_t blocked);
/* For accesses to memory that may not be accessed: `handler` gets the context of the instruction,
   and the address; 0: a signal that somebody has sent. On the program's stack for signals, if it
   has one. False: the program has a handler, or the kernel refuses; nothing has changed. */
typedef void os_fault_handler(uintptr_t address, const void *context);
bool os_catch_faults(os_fault_handler *handler);
/* In the handler: when it returns, the process ends as it would have without. */
void os_let_fault(void);
/* Sends SIGABRT: a handler of the program's may run once. */
MOAT_NORETURN void os_abort(void);
/* The same without its handler. */
MOAT_NORETURN void os_abort_at_once(void);
/* True when the process runs with raised privileges (AT_SECURE), or nobody knows. */
bool os_is_privileged(void);
/* Environment variable, without getenv (works before libc is ready); NULL if absent. */
const char *os_environment(const char *name);
/* For os_start.c and its test: the same from a file of strings, and the clock of an ELF image;
   NULL: there is none. */
const char *os_environment_in_file(const char *path, const char *name, char *value, size_t size);
os_clock *os_find_clock(uintptr_t vdso);
/* What it says of the kernel's version, as LINUX_VERSION_CODE; 0: nothing. */
uint32_t os_find_kernel_version(uintptr_t vdso);
/* The limit that the last failed memory call most likely ran into. */
enum os_limit os_diagnose_limit(size_t wanted);

#endif
