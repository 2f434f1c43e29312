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
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* What is emptied together: no smaller than the records that one shared word stands for. */
#define UNIT_SHIFT ARENA_UNIT_SHIFT
#define UNIT_BYTES ((size_t)1 << UNIT_SHIFT)
#define PAGE_BYTES ((size_t)4096)
#define UNITS (ARENA_SIZE >> UNIT_SHIFT)
#define CHUNKS_MAX 512
/* A shorter range that is unmapped is emptied by the kernel: it may have been written unseen. */
#define UNMAPPED_SHORT (16 * MIB)
/* Where a hole is said to be when it may be anywhere, and how long one can be. */
#define HOLE ((uintptr_t)0x5180 << 32)
#define HOLE_MAX (256 * GIB)
/* Units touched between two resets that the list holds; if there are more, the kernel empties. */
#define LIST_MAX ((size_t)1 << 20)
/* What may stay with the process, and how often it looks. */
#define RESIDENT_MAX (512 * MIB)
#define RESETS_TO_LOOK 1024
/* Units of a block that is copied. */
#define COPIED_MAX ((size_t)1 << 18)
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
    uint64_t *list;
    struct chunk chunks[CHUNKS_MAX]; /* mapped for good, sorted */
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
    arena.list = map_lazily(0, LIST_MAX * sizeof *arena.list, 0);
    return arena.touched != NULL && arena.list != NULL;
}

bool arena_use(bool on) {
    if (on && !arena.mapped) arena.mapped = map_all();
    arena.on = on && arena.mapped;
    arena_touched = arena.on ? arena.touched : NULL;
    return arena.on == on;
}

bool arena_is_used(void) { return arena.on; }

static bool has_unit(const uint64_t *bits, size_t unit) {
    return (bits[unit / 64] >> (unit % 64) & 1) != 0;
}
static void add_unit(uint64_t *bits, size_t unit) { bits[unit / 64] |= (uint64_t)1 << (unit % 64); }
static void drop_unit(uint64_t *bits, size_t unit) {
    bits[unit / 64] &= ~((uint64_t)1 << (unit % 64));
}

static void note_unit(size_t unit) {
    if (arena.count == LIST_MAX) {
        arena.overflowed = true;
        return;
    }
    add_unit(arena.touched, unit);
    arena.list[arena.count++] = unit;
}

void arena_touch_unit(size_t unit) {
    /* what the library does not hold may be the harness's own */
    if (harness_expect_access(ARENA_START + unit * UNIT_BYTES)) note_unit(unit);
}

void arena_touch(uintptr_t start, size_t size) {
    if (!arena.on || size == 0 || start - ARENA_START >= ARENA_SIZE) return;
    for (uintptr_t at = round_down(start, UNIT_BYTES); at < start + size; at += UNIT_BYTES)
        arena_step(at);
}

/* The touched units of the range that may be copied next, as distances from its start. */
static struct {
    uintptr_t from;
    size_t count;
    int32_t distances[COPIED_MAX];
} copied;

void arena_may_move(uintptr_t start, size_t size) {
    copied.from = start;
    copied.count = 0;
    if (!arena.on) return;
    for (uintptr_t at = round_down(start, UNIT_BYTES); at < start + size; at += UNIT_BYTES)
        if (has_unit(arena.touched, (at - ARENA_START) >> UNIT_SHIFT) && copied.count < COPIED_MAX)
            copied.distances[copied.count++] = (int32_t)(at - start);
}

void arena_moved(uintptr_t origin, uintptr_t start, size_t size) {
    if (origin != copied.from) arena_touch(start, size);
    if (origin != copied.from) return;
    for (size_t i = 0; i < copied.count; i++) {
        intptr_t from = copied.distances[i], to = from + (intptr_t)UNIT_BYTES;
        if (from < 0) from = 0;
        if (to > (intptr_t)size) to = (intptr_t)size;
        if (from < to) arena_touch(start + (uintptr_t)from, (size_t)(to - from));
    }
}

static void let_kernel_empty(uintptr_t start, size_t size) {
    (void)madvise((void *)start, size, MADV_DONTNEED);
}

/* The units from `first` on that were touched, up to `end` or one that was not; at least one. */
static size_t empty_run(size_t first, size_t end) {
    size_t unit = first;
    do drop_unit(arena.touched, unit++);
    while (unit < end && has_unit(arena.touched, unit));
    memset((void *)(ARENA_START + first * UNIT_BYTES), 0, (unit - first) * UNIT_BYTES);
    return unit;
}

static void empty(uintptr_t start, size_t size) {
    size_t first = (start - ARENA_START) >> UNIT_SHIFT, end = first + (size >> UNIT_SHIFT);
    if (size > GIB) {
        for (size_t i = 0; i < arena.count; i++)
            if (arena.list[i] >= first && arena.list[i] < end &&
                has_unit(arena.touched, arena.list[i]))
                empty_run(arena.list[i], end);
    } else {
        for (size_t unit = first; unit < end;) {
            uint64_t rest = arena.touched[unit / 64] >> unit % 64;
            if (rest == 0) {
                unit = round_down(unit, 64) + 64;
            } else {
                unit += (unsigned)__builtin_ctzll(rest);
                if (unit < end) unit = empty_run(unit, end);
            }
        }
    }
    if (arena.overflowed) let_kernel_empty(start, size);
}

/* Of the whole process. */
static size_t resident_bytes(void) {
    char text[128];
    size_t length = os_read_file("/proc/self/statm", text, sizeof text), at = 0, pages = 0;
    while (at < length && text[at] != ' ') at++; /* the second of its numbers */
    for (at++; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        pages = pages * 10 + (size_t)(text[at] - '0');
    return pages * PAGE_BYTES;
}

void arena_reset(void) {
    if (!arena.on) return;
    for (size_t i = 0; i < arena.count; i++)
        if (has_unit(arena.touched, arena.list[i])) empty_run(arena.list[i], UNITS);
    bool overflowed = arena.overflowed;
    arena.count = 0;
    arena.overflowed = false;
    bool is_large = ++arena.resets % RESETS_TO_LOOK == 0 && resident_bytes() > RESIDENT_MAX;
    for (size_t i = 0; (overflowed || is_large) && i < arena.chunk_count; i++)
        let_kernel_empty(arena.chunks[i].start, arena.chunks[i].end - arena.chunks[i].start);
}

static bool is_touched(uintptr_t address) {
    return has_unit(arena.touched, (address - ARENA_START) >> UNIT_SHIFT);
}

uintptr_t arena_missed(uintptr_t start, size_t size) {
    static unsigned char resident[SEGMENT_SIZE / PAGE_BYTES];
    for (uintptr_t part = start; part < start + size; part += SEGMENT_SIZE) {
        size_t length = start + size - part < SEGMENT_SIZE ? start + size - part : SEGMENT_SIZE;
        if (mincore((void *)part, length, resident) != 0) continue;
        for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
            if (!(resident[at / PAGE_BYTES] & 1))
                at += PAGE_BYTES - sizeof(uint64_t);
            else if (*(const uint64_t *)(part + at) != 0 && !is_touched(part + at))
                return part + at;
        }
    }
    return 0;
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

/* All of the range is the arena's from now on; false: something else lies there. */
static bool have_chunks(uintptr_t start, uintptr_t end) {
    while (start < end) {
        size_t index = chunk_above(start);
        uintptr_t next = index < arena.chunk_count ? arena.chunks[index].start : end;
        if (next > start && !add_chunk(index, start, next < end ? next : end)) return false;
        start = arena.chunks[index].end;
    }
    return true;
}

static long play_mmap(uintptr_t where, size_t size, long protection, long flags) {
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
    arena_touch(to + size - sizeof(uint64_t), sizeof(uint64_t));
    empty(to, size);
    for (uintptr_t at = 0; at < size; at += UNIT_BYTES) {
        if (!is_touched(from + at) && !arena.overflowed) continue;
        memcpy((void *)(to + at), (const void *)(from + at), UNIT_BYTES);
        if (!is_touched(to + at)) note_unit((to + at - ARENA_START) >> UNIT_SHIFT);
    }
    return (long)to;
}

/* So that a start costs little, and every machine plays the same. */
static bool is_unread(const char *path) { return strcmp(path, "/proc/thread-self/status") == 0; }

bool arena_kernel(long number, const long *arguments, long *result) {
    uintptr_t start = (uintptr_t)arguments[0];
    size_t size = (size_t)arguments[1];
    if (!arena.on) return false;
    switch (number) {
    case SYS_mmap: *result = play_mmap(start, size, arguments[2], arguments[3]); return true;
    case SYS_mremap: *result = play_mremap(start, size, (uintptr_t)arguments[4]); return true;
    case SYS_madvise: *result = play_madvise(start, size, arguments[2]); return true;
    case SYS_openat: *result = -(long)ENOENT; return is_unread((const char *)arguments[1]);
    case SYS_munmap:
        empty(start, size);
        if (size <= UNMAPPED_SHORT && start != HOLE) let_kernel_empty(start, size);
        *result = 0;
        return true;
    case SYS_mprotect: *result = 0; return true; /* the read-only structure stays writable */
    default: return false;
    }
}
