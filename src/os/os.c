/*
 * os: the system calls about memory and its limits (see os.h).
 *
 * Only ranges that os_reserve() returned or os_map() mapped, and the read-only structure of ro.h,
 * are ever given to the memory calls.
 *
 * The harness may refuse a call and is told of each success. Both are dead code in the shipped
 * library (IN_HARNESS is 0).
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "os/kernel.h"
#include "os/os_seam.h"
#include "os/peek.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

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
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#define ADVICE_GUARD_INSTALL 102
#define ADVICE_GUARD_REMOVE 103
#define CALL_MSEAL 462

/* What a program's own memory is made of: charged as soon as it becomes writable. */
#define CHARGED (MAP_PRIVATE | MAP_ANONYMOUS)
/* What all of ours is made of. It counts where the machine counts each page; elsewhere the kernel
   only refuses what is larger than all memory, and that a mapping at a time: neighbours are one, of
   which little may be used, and so no child could be made any more. */
#define RESERVE_FLAGS (CHARGED | MAP_NORESERVE)

/* --- What the machine is --------------------------------------------------------------------- */

enum overcommit_mode os_overcommit_mode(void) {
    char mode = 0;
    if (os_read_file("/proc/sys/vm/overcommit_memory", &mode, 1) != 1) return OVERCOMMIT_UNKNOWN;
    return mode >= '0' && mode <= '2' ? (enum overcommit_mode)(mode - '0') : OVERCOMMIT_UNKNOWN;
}

/* SIZE_MAX when there is no limit, or none can be read. */
static size_t resource_limit(int resource) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (kernel_call(SYS_prlimit64, 0, resource, 0, (long)&limit, 0, 0) != 0) return SIZE_MAX;
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}

size_t os_address_space_limit(void) { return resource_limit(RLIMIT_AS); }

size_t os_data_limit(void) { return resource_limit(RLIMIT_DATA); }

size_t os_lock_limit(void) { return resource_limit(RLIMIT_MEMLOCK); }

/* --- Address space and memory ---------------------------------------------------------------- */

static void *map_as(uintptr_t where, size_t size, int protection, int flags) {
    long result = kernel_call(SYS_mmap, (long)where, (long)size, protection, (long)flags, -1, 0);
    return kernel_failed(result) ? NULL : (void *)result;
}

static void *map(uintptr_t where, size_t size, int protection, int extra_flags) {
    return map_as(where, size, protection, RESERVE_FLAGS | extra_flags);
}

static void *map_inaccessible(uintptr_t where, size_t size, int extra_flags) {
    return map(where, size, PROT_NONE, extra_flags);
}

static bool unmap(uintptr_t start, size_t size) {
    return size == 0 || KERNEL(SYS_munmap, start, size, 0) == 0;
}

static bool set_protection(void *start, size_t size, int protection) {
    return KERNEL(SYS_mprotect, start, size, protection) == 0;
}

static bool advise(void *start, size_t size, int advice) {
    return !os_facts.no_advice && KERNEL(SYS_madvise, start, size, advice) == 0;
}

/* What becomes writable is made resident where it is locked. */
static bool is_absurd_unlocked(size_t bytes) {
    void *probe = map_as(0, bytes, PROT_NONE, CHARGED);
    if (probe == NULL) return false;
    os_unlock(probe, bytes);
    bool absurd = !set_protection(probe, bytes, PROT_READ | PROT_WRITE);
    unmap((uintptr_t)probe, bytes);
    return absurd;
}

bool os_is_absurd(size_t bytes, bool locked) {
    if (MOAT_UNLIKELY(locked)) return is_absurd_unlocked(bytes);
    void *probe = map_as(0, bytes, PROT_READ | PROT_WRITE, CHARGED);
    bool absurd = probe == NULL;
    /* the same without a charge: if that fails too, addresses are what there is too little of */
    if (absurd) probe = map_inaccessible(0, bytes, 0);
    if (probe != NULL) unmap((uintptr_t)probe, bytes);
    return absurd && probe != NULL;
}

/* A kernel before 4.17 takes the address for a wish, so the result decides. ThreadSanitizer has
   shadow for some ranges only: there holes are kept (os_find_hole), and this maps over one. */
static void *map_exactly(uintptr_t where, size_t size, int protection) {
    void *start =
        map(where, size, protection, UNDER_THREAD_SANITIZER ? MAP_FIXED : MAP_FIXED_NOREPLACE);
    if (start == NULL || (uintptr_t)start == where) return start;
    unmap((uintptr_t)start, size);
    return NULL;
}

static void *reserve_exactly(uintptr_t hint, size_t size) {
    return map_exactly(hint, size, PROT_NONE);
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
    if ((hint & (alignment - 1)) != 0) return NULL;
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

uintptr_t os_find_hole(size_t size, size_t alignment, uintptr_t hint) {
    if (os_seam_fails(OS_RESERVE)) return 0;
    void *start = hint != 0 ? reserve_exactly(hint, size) : reserve_aligned(size, alignment);
    if (start != NULL && !UNDER_THREAD_SANITIZER) unmap((uintptr_t)start, size);
    return (uintptr_t)start;
}

/* A mapping that is neither shared nor private is none: the kernel refuses it, after it has looked
   whether something is in the way. With MAP_FIXED alone qemu's emulation refuses it, too: without,
   it keeps the place to itself. */
bool os_is_free(uintptr_t start, size_t size) {
    if (UNDER_THREAD_SANITIZER) return true;
    return kernel_call(SYS_mmap, (long)start, (long)size, PROT_NONE,
                       (long)(MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE), -1,
                       0) != -(long)EEXIST;
}

bool os_map(void *start, size_t size) {
    if (os_seam_fails(OS_RESERVE) || (IN_HARNESS && os_seam.commit_fails(start, size)))
        return false;
    if (map_exactly((uintptr_t)start, size, PROT_READ | PROT_WRITE) == NULL) return false;
    os_seam_note(OS_CHANGE_RESERVE, start, size);
    os_seam_note(OS_CHANGE_COMMIT, start, size);
    return true;
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
   back. It also drops guard markers. */
static bool replace_by_inaccessible(void *start, size_t size) {
    return map_inaccessible((uintptr_t)start, size, MAP_FIXED) != NULL;
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

bool os_protect_write(void *start, size_t size) {
    if (os_seam_fails(OS_PROTECT)) return false;
    if (!set_protection(start, size, PROT_READ | PROT_WRITE)) return false;
    os_seam_note(OS_CHANGE_COMMIT, start, size);
    return true;
}

bool os_protect_none(void *start, size_t size) {
    if (os_seam_fails(OS_PROTECT)) return false;
    if (!set_protection(start, size, PROT_NONE)) return false;
    os_seam_note(OS_CHANGE_PROTECT_NONE, start, size);
    return true;
}

static bool holds_word(const uint64_t *witness) {
    struct peek peek = {.page = 0};
    uintptr_t word = 0;
    return peek_word(&peek, (uintptr_t)witness, &word) && word == ~(uintptr_t)witness;
}

/* The same where no advice may be given. The kernel may have unmapped the range before it failed.
   Then it is mapped again, and empty at that, unless another thread has come first: the process
   cannot go on with memory that is not its heap's. If it was not unmapped, the word in it is still
   there, and gives way to what was: that may have been a zero that somebody relies on. */
static bool replace_by_empty(void *start, size_t size) {
    uint64_t *witness = start, before = 0;
    bool readable = os_can_read(witness);
    if (readable) {
        before = *witness;
        *witness = ~(uintptr_t)witness; /* nobody else has mapped a page with this in it */
    }
    if (map((uintptr_t)start, size, PROT_READ | PROT_WRITE, MAP_FIXED) != NULL) return true;
    if (map_exactly((uintptr_t)start, size, PROT_READ | PROT_WRITE) != NULL) return true;
    MOAT_CHECK(!readable || holds_word(witness), "memory lost while it was emptied", start);
    if (readable) *witness = before;
    return false;
}

bool os_purge(void *start, size_t size) {
    if (os_seam_fails(OS_PURGE)) return false;
    if (!os_facts.no_advice) return advise(start, size, MADV_DONTNEED);
    return replace_by_empty(start, size);
}

bool os_guard_install(void *start, size_t size) {
    if (os_seam_fails(OS_GUARD)) return false;
    if (IN_HARNESS && os_seam.ignores_markers()) return true;
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

int os_limit(int process, int resource, const void *wanted, void *before) {
    return (int)-kernel_call(SYS_prlimit64, process, resource, (long)wanted, (long)before, 0, 0);
}

int os_lock_all(int flags) { return (int)-KERNEL(SYS_mlockall, flags, 0, 0); }

int os_unlock_all(void) { return (int)-KERNEL(SYS_munlockall, 0, 0, 0); }

bool os_make_resident(void *start, size_t size) { return KERNEL(SYS_mlock, start, size, 0) == 0; }

/* A kernel before 4.4 has no such call, and does not count it. */
bool os_lock_on_fault(void *start, size_t size) {
    long result = KERNEL(SYS_mlock2, start, size, MLOCK_ONFAULT);
    return result == 0 || result == -(long)ENOSYS;
}

void os_unlock(void *start, size_t size) { (void)KERNEL(SYS_munlock, start, size, 0); }

void os_leave_out_of_dumps(void *start, size_t size) { advise(start, size, MADV_DONTDUMP); }

void os_keep_small_pages(void *start, size_t size) { advise(start, size, MADV_NOHUGEPAGE); }

void os_use_huge_pages(void *start, size_t size) { advise(start, size, MADV_HUGEPAGE); }

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

/* The kernel may have unmapped the destination before it failed, as it does at RLIMIT_DATA. Then it
   is mapped again, unless another thread has come first. If it was not unmapped, the word in it is
   still there. */
static enum os_move move_failed(uintptr_t to, size_t size, const uint64_t *witness) {
    if (reserve_exactly(to, size) != NULL) {
        os_seam_note(OS_CHANGE_DECOMMIT, (const void *)to, size);
        return OS_NOT_MOVED;
    }
    if (holds_word(witness)) return OS_NOT_MOVED;
    os_seam_note(OS_CHANGE_UNRESERVE, (const void *)to, size);
    return OS_MOVE_LOST;
}

enum os_move os_take_pages(void *from, void *to, size_t size) {
    if (os_seam_fails(OS_REMAP)) return OS_NOT_MOVED;
    /* nobody else has mapped a page there with this in it */
    uint64_t *witness = (uint64_t *)((uintptr_t)to + size) - 1;
    *witness = ~(uintptr_t)witness;
    long moved = kernel_call(SYS_mremap, (long)from, (long)size, (long)size,
                             MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, (long)to, 0);
    if (moved != (long)to) return move_failed((uintptr_t)to, size, witness);
    if (IN_HARNESS) {
        os_seam_note(OS_CHANGE_DECOMMIT, to, size);
        os_seam_note(OS_CHANGE_COMMIT, to, size);
    }
    return OS_MOVED;
}

enum os_move os_move_pages(void *from, void *to, size_t size) {
    enum os_move move = os_take_pages(from, to, size);
    if (move != OS_MOVED) return move;
    /* The source is empty now. Should the kernel refuse to replace it, closing it is all that can
       be done, and enough. */
    if (!replace_by_inaccessible(from, size)) set_protection(from, size, PROT_NONE);
    os_seam_note(OS_CHANGE_DECOMMIT, from, size);
    return OS_MOVED;
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

size_t os_mappings_max(void) {
    char text[32];
    size_t length = os_read_file("/proc/sys/vm/max_map_count", text, sizeof text);
    size_t most = number_at(text, length, 0);
    return most != 0 ? most : OS_MAPPINGS_DEFAULT;
}

static size_t count_mappings(void) {
    char chunk[2048];
    size_t lines = 0, done = 0;
    int fd = os_open_read("/proc/self/maps");
    if (fd < 0) return 0;
    for (size_t got = 0; (got = os_read_at(fd, chunk, sizeof chunk, done)) != 0; done += got)
        for (size_t i = 0; i < got; i++) lines += chunk[i] == '\n';
    os_close(fd);
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
    if (count_mappings() + MAPPINGS_SHORT >= os_mappings_max()) return OS_LIMIT_MAP_COUNT;
    return OS_LIMIT_MEMORY;
}
