/*
 * arena: memory calls without the kernel (see arena.h).
 *
 * A bit for each unit of the arena says that it was touched, and a list has those units; a bit that
 * was cleared meanwhile leaves its unit on the list in vain. OS pages stay with the process once
 * they were touched, up to a limit: asking the kernel for one costs as much as writing zeros over
 * twenty.
 */
#define _GNU_SOURCE
#include "harness/arena.h"
#include "harness/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is emptied together: no smaller than the records that one shared word stands for. */
#define UNIT_SHIFT ARENA_UNIT_SHIFT
#define UNIT_BYTES ((size_t)1 << UNIT_SHIFT)
#define PAGE_BYTES ((size_t)4096)
#define UNITS (ARENA_SIZE >> UNIT_SHIFT)
#define CHUNKS_MAX 512
#define CHUNKS_SPARE 16u
/* Where a hole is said to be when it may be anywhere, and how long one can be. */
#define HOLE ((uintptr_t)0x5180 << 32)
#define HOLE_MAX (256 * GIB)
/* Units touched between two resets that the list holds; if there are more, the kernel empties. */
#define LIST_MAX ((size_t)1 << 20)
/* What may stay with the process, and how often it looks. */
#define RESIDENT_MAX (512 * MIB)
#define RESETS_TO_LOOK 1024
/* What the machine has, so that every machine plays the same run. */
#define MEMORY_BYTES (8 * GIB)

struct chunk {
    uintptr_t start, end;
};

static struct {
    bool on;
    bool mapped;
    bool overflowed;   /* units were touched that are not on the list */
    uint64_t *touched; /* a bit a unit */
    uint64_t *summary; /* a bit for each word of it that may be other than 0 */
    uint64_t *list;
    struct chunk chunks[CHUNKS_MAX]; /* sorted; mapped as long as there is room for more */
    size_t chunk_count;
    size_t count;
    size_t resets;
} arena;

uint64_t *arena_touched;
bool arena_is_audited;

static void *map_lazily(uintptr_t where, size_t size, int flags) {
    void *start = mmap((void *)where, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static bool map_all(void) {
    if (UNDER_THREAD_SANITIZER || os_page_size() != PAGE_BYTES) return false;
    arena.touched = map_lazily(0, UNITS / 8, 0);
    arena.summary = map_lazily(0, UNITS / 64 / 8, 0);
    arena.list = map_lazily(0, LIST_MAX * sizeof *arena.list, 0);
    return arena.touched != NULL && arena.summary != NULL && arena.list != NULL;
}

bool arena_use(bool on) {
    if (on && !arena.mapped) arena.mapped = map_all();
    arena.on = on && arena.mapped;
    arena_touched = arena.on ? arena.touched : NULL;
    return arena.on == on;
}

bool arena_is_used(void) { return arena.on; }

static size_t unit_of(uintptr_t address) { return (address - ARENA_START) >> UNIT_SHIFT; }
static bool has_unit(const uint64_t *bits, size_t unit) {
    return (bits[unit / 64] >> (unit % 64) & 1) != 0;
}

static void note_unit(size_t unit) {
    if (arena.count == LIST_MAX) {
        arena.overflowed = true;
        return;
    }
    arena.touched[unit / 64] |= (uint64_t)1 << unit % 64;
    arena.summary[unit / 4096] |= (uint64_t)1 << unit / 64 % 64;
    arena.list[arena.count++] = unit;
}

static bool is_held(size_t unit) { return harness_expect_access(ARENA_START + unit * UNIT_BYTES); }

/* In a chunk that stays mapped nothing else would say so. */
void arena_touch_unit(size_t unit) {
    if (!is_held(unit)) harness_complain("a shared word is accessed where nothing is mapped");
    note_unit(unit);
}

void arena_touch(uintptr_t start, size_t size) {
    if (!arena.on || size == 0 || start - ARENA_START >= ARENA_SIZE) return;
    size_t unit = unit_of(start), last = unit_of(start + size - 1);
    do /* who says it of records does so of what was never mapped, too */
        if (MOAT_UNLIKELY(!has_unit(arena.touched, unit)) && is_held(unit)) note_unit(unit);
    while (++unit <= last);
}

/* The first unit from `unit` on that was touched; `end` if there is none before it. Words of bits
   that have become empty are left out from then on. */
static size_t next_touched(size_t unit, size_t end) {
    while (unit < end) {
        uint64_t rest = arena.touched[unit / 64] >> unit % 64;
        if (rest != 0) {
            unit += (unsigned)__builtin_ctzll(rest);
            return unit < end ? unit : end;
        }
        size_t word = unit / 64;
        if (arena.touched[word] == 0) arena.summary[word / 64] &= ~((uint64_t)1 << word % 64);
        word++;
        uint64_t words = arena.summary[word / 64] >> word % 64;
        word = words != 0 ? word + (unsigned)__builtin_ctzll(words) : (word / 64 + 1) * 64;
        unit = word * 64;
    }
    return end;
}

static bool holds(uintptr_t start, size_t size) {
    return arena.on && !arena.overflowed && start - ARENA_START < ARENA_SIZE && size >= UNIT_BYTES;
}

/* Of the range [start, end), the part that lies in the unit. */
static uintptr_t clipped_start(size_t unit, uintptr_t start) {
    uintptr_t first = ARENA_START + unit * UNIT_BYTES;
    return first > start ? first : start;
}
static uintptr_t clipped_end(size_t unit, uintptr_t end) {
    uintptr_t last = ARENA_START + (unit + 1) * UNIT_BYTES;
    return last < end ? last : end;
}

bool arena_clear(void *where, size_t size) {
    uintptr_t start = (uintptr_t)where, end = start + size;
    if (!holds(start, size)) return false;
    size_t last = unit_of(end - 1) + 1;
    for (size_t unit = next_touched(unit_of(start), last); unit < last;
         unit = next_touched(unit + 1, last)) {
        uintptr_t from = clipped_start(unit, start);
        memset((void *)from, 0, clipped_end(unit, end) - from);
    }
    return true;
}

/* Where nothing was written, neither there nor here, is zero in both. */
bool arena_copy(void *to, const void *from, size_t size) {
    uintptr_t start = (uintptr_t)from, end = start + size;
    if (!holds(start, size) || !holds((uintptr_t)to, size)) {
        arena_touch((uintptr_t)to, size);
        return false;
    }
    (void)arena_clear(to, size);
    size_t last = unit_of(end - 1) + 1;
    for (size_t unit = next_touched(unit_of(start), last); unit < last;
         unit = next_touched(unit + 1, last)) {
        uintptr_t part = clipped_start(unit, start), into = (uintptr_t)to + (part - start);
        size_t length = clipped_end(unit, end) - part;
        arena_touch(into, length);
        memcpy((void *)into, (const void *)part, length);
    }
    return true;
}

static void let_kernel_empty(uintptr_t start, size_t size) {
    (void)madvise((void *)start, size, MADV_DONTNEED);
}

/* Of the 64 units that a word of bits stands for, those of the set that were touched. */
static void empty_units(size_t word, uint64_t set) {
    uint64_t rest = arena.touched[word] & set;
    arena.touched[word] &= ~set;
    while (rest != 0) {
        unsigned first = (unsigned)__builtin_ctzll(rest);
        uint64_t others = ~(rest >> first); /* from the first that lies behind these */
        unsigned count = others != 0 ? (unsigned)__builtin_ctzll(others) : 64;
        memset((void *)(ARENA_START + (word * 64 + first) * UNIT_BYTES), 0, count * UNIT_BYTES);
        rest = count + first < 64 ? rest >> (first + count) << (first + count) : 0;
    }
}

static bool is_touched(uintptr_t address) { return has_unit(arena.touched, unit_of(address)); }

/* The first byte that is not zero; 0: there is none. */
static uintptr_t first_written(uintptr_t start, size_t size) {
    static const unsigned char zeros[UNIT_BYTES];
    if (memcmp((const void *)start, zeros, size) == 0) return 0;
    while (*(const unsigned char *)start == 0) start++;
    return start;
}

uintptr_t arena_missed(uintptr_t start, size_t size) {
    static unsigned char resident[SEGMENT_SIZE / PAGE_BYTES];
    for (uintptr_t part = start; part < start + size; part += SEGMENT_SIZE) {
        size_t length = start + size - part < SEGMENT_SIZE ? start + size - part : SEGMENT_SIZE;
        if (mincore((void *)part, length, resident) != 0) continue;
        for (uintptr_t at = part; at < part + length; at += UNIT_BYTES) {
            if (!(resident[(at - part) / PAGE_BYTES] & 1) || is_touched(at)) continue;
            uintptr_t written = first_written(at, UNIT_BYTES);
            if (written != 0) return written;
        }
    }
    return 0;
}

/* Those of a word's 64 units that lie in [first, end), of which the word has some. */
static uint64_t units_between(size_t word, size_t first, size_t end) {
    uint64_t set = UINT64_MAX;
    if (first > word * 64) set <<= first - word * 64;
    if (end < (word + 1) * 64) set &= UINT64_MAX >> ((word + 1) * 64 - end);
    return set;
}

static void empty(uintptr_t start, size_t size) {
    size_t first = (start - ARENA_START) >> UNIT_SHIFT, end = first + (size >> UNIT_SHIFT);
    if (size > GIB) {
        for (size_t i = 0; i < arena.count; i++) {
            size_t word = arena.list[i] / 64;
            if (arena.list[i] >= first && arena.list[i] < end && arena.touched[word] != 0)
                empty_units(word, units_between(word, first, end));
        }
    } else {
        for (size_t unit = next_touched(first, end); unit < end;
             unit = next_touched((unit / 64 + 1) * 64, end))
            empty_units(unit / 64, units_between(unit / 64, first, end));
    }
    if (arena.overflowed) let_kernel_empty(start, size);
    if (arena_is_audited && start != HOLE && arena_missed(start, size) != 0)
        harness_complain("memory was emptied that had been written unseen");
}

/* Of the whole process. Not by os.h: it is asked now and then, and coverage would see that. */
static size_t resident_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t had = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0) (void)close(fd);
    size_t length = had > 0 ? (size_t)had : 0, at = 0, pages = 0;
    while (at < length && text[at] != ' ') at++; /* the second of its numbers */
    for (at++; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        pages = pages * 10 + (size_t)(text[at] - '0');
    return pages * PAGE_BYTES;
}

void arena_reset(void) {
    if (!arena.on) return;
    for (size_t i = 0; i < arena.count; i++)
        if (arena.touched[arena.list[i] / 64] != 0) empty_units(arena.list[i] / 64, UINT64_MAX);
    bool overflowed = arena.overflowed;
    arena.count = 0;
    arena.overflowed = false;
    bool is_large = ++arena.resets % RESETS_TO_LOOK == 0 && resident_bytes() > RESIDENT_MAX;
    for (size_t i = 0; (overflowed || is_large) && i < arena.chunk_count; i++)
        let_kernel_empty(arena.chunks[i].start, arena.chunks[i].end - arena.chunks[i].start);
}

/* --- What it was ----------------------------------------------------------------------------- */

enum { KEPT_MAX = 1 << 14 }; /* units */
static struct kept {
    size_t units[KEPT_MAX];
    unsigned char contents[KEPT_MAX][UNIT_BYTES];
    size_t count;
} kept[HARNESS_PLACES];

static void forget_unit(size_t unit) { arena.touched[unit / 64] &= ~((uint64_t)1 << unit % 64); }

bool arena_keep(unsigned place) {
    struct kept *here = &kept[place];
    if (!arena.on || arena.overflowed || arena.count > KEPT_MAX) return false;
    here->count = 0;
    for (size_t i = 0; i < arena.count; i++) { /* some are listed in vain, or twice */
        size_t unit = arena.list[i];
        if (!has_unit(arena.touched, unit)) continue;
        forget_unit(unit);
        memcpy(here->contents[here->count], (const void *)(ARENA_START + unit * UNIT_BYTES),
               UNIT_BYTES);
        here->units[here->count++] = unit;
    }
    arena.count = 0;
    for (size_t i = 0; i < here->count; i++) note_unit(here->units[i]);
    return true;
}

void arena_bring_back(unsigned place) {
    const struct kept *here = &kept[place];
    /* what is written over as a whole need not be emptied */
    for (size_t i = 0; i < here->count; i++) forget_unit(here->units[i]);
    arena_reset();
    for (size_t i = 0; i < here->count; i++) {
        memcpy((void *)(ARENA_START + here->units[i] * UNIT_BYTES), here->contents[i], UNIT_BYTES);
        note_unit(here->units[i]);
    }
}

/* --- The calls ------------------------------------------------------------------------------- */

/* The first chunk that ends above the address; chunk_count when there is none. */
static size_t chunk_above(uintptr_t address) {
    size_t index = 0;
    while (index < arena.chunk_count && arena.chunks[index].end <= address) index++;
    return index;
}

static bool add_chunk(size_t index, uintptr_t start, uintptr_t end) {
    if (arena.chunk_count == CHUNKS_MAX) return false;
    void *mapped = map_lazily(start, end - start, MAP_FIXED_NOREPLACE);
    if ((uintptr_t)mapped != start) {
        if (mapped != NULL) (void)munmap(mapped, end - start);
        return false;
    }
    (void)madvise(mapped, end - start, MADV_DONTDUMP);
    (void)madvise(mapped, end - start, MADV_NOHUGEPAGE);
    memmove(&arena.chunks[index + 1], &arena.chunks[index],
            (arena.chunk_count - index) * sizeof arena.chunks[0]);
    arena.chunks[index] = (struct chunk){start, end};
    arena.chunk_count++;
    return true;
}

/* Of a life that may be brought back. */
static bool has_kept_units(struct chunk chunk) {
    for (unsigned place = 0; place < HARNESS_PLACES; place++)
        for (size_t i = 0; i < kept[place].count; i++)
            if (ARENA_START + kept[place].units[i] * UNIT_BYTES - chunk.start <
                chunk.end - chunk.start)
                return true;
    return false;
}

/* Starts that fail ask at ever new places. Of chunks that nobody holds any part of nothing is left
   that was not emptied. */
static void drop_unused_chunks(void) {
    size_t left = 0;
    for (size_t i = 0; i < arena.chunk_count; i++) {
        struct chunk chunk = arena.chunks[i];
        if (harness_range_is(chunk.start, chunk.end - chunk.start, HARNESS_FOREIGN) &&
            !has_kept_units(chunk))
            (void)munmap((void *)chunk.start, chunk.end - chunk.start);
        else
            arena.chunks[left++] = chunk;
    }
    arena.chunk_count = left;
}

/* All of the range is the arena's from now on; false: something else lies there. */
static bool have_chunks(uintptr_t start, uintptr_t end) {
    if (arena.chunk_count + CHUNKS_SPARE > CHUNKS_MAX) drop_unused_chunks();
    while (start < end) {
        size_t index = chunk_above(start);
        uintptr_t next = index < arena.chunk_count ? arena.chunks[index].start : end;
        if (next > start && !add_chunk(index, start, next < end ? next : end)) return false;
        start = arena.chunks[index].end;
    }
    return true;
}

static long play_mmap(uintptr_t where, size_t size, long protection, long flags) {
    if ((flags & MAP_TYPE) == 0) return -(long)EINVAL; /* os_is_free() asks: nobody is there */
    if (flags & MAP_FIXED) {
        empty(where, size);
        return (long)where;
    }
    if (where == 0) {
        size_t most = protection == PROT_NONE ? HOLE_MAX : MEMORY_BYTES;
        return size <= most ? (long)HOLE : -(long)ENOMEM;
    }
    if (where - ARENA_START >= ARENA_SIZE || size > ARENA_START + ARENA_SIZE - where ||
        !harness_range_is(where, size, HARNESS_FOREIGN) || !have_chunks(where, where + size))
        return -(long)EEXIST;
    return (long)where;
}

static long play_madvise(uintptr_t start, size_t size, long advice) {
    enum { GUARD_INSTALL = 102 };
    if (advice == MADV_DONTNEED || advice == GUARD_INSTALL) empty(start, size);
    return 0;
}

/* The caller has written into the last word it moves over. */
static long play_mremap(uintptr_t from, size_t size, uintptr_t to) {
    if (from == 0 || to == 0) return -(long)EFAULT;
    arena_touch(to + size - sizeof(uint64_t), sizeof(uint64_t));
    empty(to, size);
    for (uintptr_t at = 0; at < size; at += UNIT_BYTES) {
        if (!is_touched(from + at) && !arena.overflowed) continue;
        memcpy((void *)(to + at), (const void *)(from + at), UNIT_BYTES);
        if (!is_touched(to + at)) note_unit(unit_of(to + at));
    }
    empty(from, size);
    return (long)to;
}

/* By the records, in all of the arena: there the kernel has chunks that nobody holds any more. */
static bool play_can_read(uintptr_t word, long *result) {
    enum harness_state found = harness_range_state(word);
    bool is_open = found == HARNESS_COMMITTED || found == HARNESS_READABLE;
    *result = is_open ? -(long)EINVAL : -(long)EFAULT;
    return found != HARNESS_FOREIGN || word - ARENA_START < ARENA_SIZE;
}

static long play_munmap(uintptr_t start, size_t size) {
    empty(start, size);
    return 0;
}

/* What the start reads; of any other file the kernel knows. */
static const struct {
    const char *path, *text;
} files[] = {{"/proc/sys/vm/overcommit_memory", "0\n"},
             {"/proc/sys/vm/max_map_count", "65530\n"},
             {"/proc/self/status", ""}};
enum { FILES = sizeof files / sizeof files[0], FIRST_FILE = 1 << 20 };
static size_t read_so_far[FILES];

static bool play_open(const char *path, long *result) {
    for (unsigned i = 0; i < FILES; i++) {
        if (strcmp(path, files[i].path) != 0) continue;
        read_so_far[i] = 0;
        *result = FIRST_FILE + i;
        return true;
    }
    return false;
}

static bool is_played_file(long fd) { return fd >= FIRST_FILE && fd < FIRST_FILE + FILES; }

static long play_read(long fd, char *buffer, size_t size) {
    const char *text = files[fd - FIRST_FILE].text;
    size_t *done = &read_so_far[fd - FIRST_FILE], left = strlen(text) - *done;
    if (size > left) size = left;
    memcpy(buffer, text + *done, size);
    *done += size;
    return (long)size;
}

static long play_limit(struct rlimit *limit) {
    *limit = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    return 0;
}

bool arena_kernel(long number, const long *arguments, long *result) {
    uintptr_t start = (uintptr_t)arguments[0];
    size_t size = (size_t)arguments[1];
    if (!arena.on) return false;
    switch (number) {
    case SYS_mmap: *result = play_mmap(start, size, arguments[2], arguments[3]); return true;
    case SYS_mremap: *result = play_mremap(start, size, (uintptr_t)arguments[4]); return true;
    case SYS_madvise: *result = play_madvise(start, size, arguments[2]); return true;
    case SYS_munmap: *result = play_munmap(start, size); return true;
    case SYS_mlock2: /* nothing is locked where a harness says that all is */
    case SYS_munlock:
    case SYS_mprotect: /* the read-only structure stays writable */
    case SYS_membarrier: /* one thread at a time */ *result = 0; return true;
    case SYS_openat: return play_open((const char *)arguments[1], result);
    case SYS_read:
        if (is_played_file(arguments[0]))
            *result = play_read(arguments[0], (char *)arguments[1], (size_t)arguments[2]);
        return is_played_file(arguments[0]);
    case SYS_close: *result = 0; return is_played_file(arguments[0]);
    case SYS_prlimit64: *result = play_limit((struct rlimit *)arguments[3]); return true;
    case SYS_rt_sigprocmask: /* which os_can_read() makes of a word */
        return arguments[0] == INT_MAX && play_can_read((uintptr_t)size, result);
    case SYS_rt_sigaction: /* no fault is taken here; a life that asks is like the one before */
        *result = 0;
        return arguments[0] == SIGSEGV;
    default: return false;
    }
}
