/*
 * given: memory and files for readers. See the header.
 */
#define _GNU_SOURCE
#include "engine/given.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/judge.h"
#include "harness/harness.h"
#include "os/os.h"

enum { MAPS = 1000, FILE_ITSELF };

struct given given;
static uint8_t *bytes; /* between two stretches that nobody may touch */
static uint64_t steps_left;
static struct os_facts facts;

static void step(void) {
    if (steps_left-- == 0) judge_fail("it does not end");
}

static bool is_given(uintptr_t address, size_t size) {
    return address >= GIVEN_BASE && address - GIVEN_BASE <= GIVEN_BYTES &&
           size <= GIVEN_BYTES - (address - GIVEN_BASE);
}

uint8_t *given_place(uintptr_t address, size_t size) {
    if (!is_given(address, size)) judge_fail("the harness writes where nothing is");
    return bytes + (address - GIVEN_BASE);
}

static bool can_read(uintptr_t address) {
    return is_given(address, 1) && given.readable[(address - GIVEN_BASE) / GIVEN_PAGE];
}

bool given_value(uintptr_t address, size_t size, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < size; i++) {
        if (address > UINTPTR_MAX - i || !can_read(address + i)) return false;
        *value |= (uint64_t)bytes[address + i - GIVEN_BASE] << 8 * i;
    }
    return true;
}

void given_set_readable(unsigned first, unsigned count, bool readable) {
    for (unsigned i = first; i < first + count && i < GIVEN_PAGES; i++)
        given.readable[i] = readable;
}

static uintptr_t look(uintptr_t address, size_t size) {
    step();
    if (address < given.lowest) given.lowest = address;
    if (address + size > given.highest) given.highest = address + size;
    return (uintptr_t)bytes - GIVEN_BASE;
}

static long open_file(const char *path) {
    bool is_list =
        strcmp(path, "/proc/thread-self/maps") == 0 || strcmp(path, "/proc/self/maps") == 0;
    if (is_list) return given.has_maps ? MAPS : -EACCES;
    return given.path[0] != '\0' && strcmp(path, given.path) == 0 ? FILE_ITSELF : -ENOENT;
}

static long read_file(long fd, char *out, size_t size, uint64_t offset) {
    const char *from = fd == MAPS ? given.maps : (const char *)given.file;
    size_t have = fd == MAPS ? given.maps_size : given.file_size;
    if (fd != MAPS && fd != FILE_ITSELF) return -EBADF;
    if (offset >= have) return 0;
    if (size > have - offset) size = have - offset;
    if (fd == MAPS && size > given.piece) size = given.piece;
    memcpy(out, from + offset, size);
    return (long)size;
}

static long write_text(const char *text, size_t size) {
    if (size > GIVEN_TEXT - given.written_size) judge_fail("too much is written");
    memcpy(given.written + given.written_size, text, size);
    given.written_size += size;
    return (long)size;
}

/* Any other call is not for who reads in a process that is damaged. */
static bool answer(long number, const long *arguments, long *result) {
    step();
    switch (number) {
    case SYS_openat: *result = open_file((const char *)arguments[1]); break;
    case SYS_pread64:
        *result = read_file(arguments[0], (char *)arguments[1], (size_t)arguments[2],
                            (uint64_t)arguments[3]);
        break;
    case SYS_close: *result = 0; break;
    case SYS_ppoll: *result = 1; break; /* somebody reads what is written */
    case SYS_write: *result = write_text((const char *)arguments[1], (size_t)arguments[2]); break;
    case SYS_rt_sigprocmask:
        if (arguments[0] != INT_MAX) judge_fail("signals are blocked");
        *result = can_read((uintptr_t)arguments[1]) ? -EINVAL : -EFAULT;
        break;
    default: judge_fail("system call %ld", number);
    }
    return true;
}

/* Nobody else's memory may lie where readers are told that something is. */
static void reserve(void) {
    enum { BESIDE = 1 << 20 };
    void *there = mmap((void *)GIVEN_BASE, GIVEN_BYTES, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    char *whole = mmap(NULL, GIVEN_BYTES + 2 * (size_t)BESIDE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if ((uintptr_t)there != GIVEN_BASE || whole == MAP_FAILED ||
        mprotect(whole + BESIDE, GIVEN_BYTES, PROT_READ | PROT_WRITE) != 0)
        judge_fail("no place for the harness's memory");
    bytes = (uint8_t *)whole + BESIDE;
    os_read_facts(&facts);
    facts.page_size = GIVEN_PAGE;
}

void given_begin(void) {
    if (bytes == NULL) reserve();
    memset(bytes, 0, GIVEN_BYTES);
    memset(&given, 0, sizeof given);
    given.piece = GIVEN_PAGE;
    harness_reset();
    os_facts = facts;
    harness_set_kernel(answer);
    harness_set_peek(look);
}

void given_end(void) { harness_reset(); }

void given_steps(uint64_t most) {
    steps_left = most;
    given.lowest = UINTPTR_MAX;
    given.highest = 0;
}
