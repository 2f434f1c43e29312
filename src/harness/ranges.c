/*
 * ranges: what the library holds, and what may be done with it (see ranges.h).
 *
 * A sorted array, mapped on first use, which stays.
 */
#define _GNU_SOURCE
#include "harness/ranges.h"

#include <string.h>
#include <sys/mman.h>

#define RANGES_MAX 65536

static struct {
    struct range *ranges; /* RANGES_MAX, sorted by start */
    size_t count;
    size_t last; /* one that was looked for; may be none any more */
} table;

static void need_memory(void) {
    if (table.ranges != NULL) return;
    size_t size = RANGES_MAX * sizeof(struct range);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) harness_complain("no memory for the records");
    table.ranges = memory;
}

static uintptr_t end_of(const struct range *range) { return range->start + range->size; }

/* Index of the first record that ends above the address; `count` when there is none. Mostly it is
   that of the time before. */
static size_t first_above(uintptr_t address) {
    size_t low = 0, high = table.count;
    if (table.last < high && address < end_of(&table.ranges[table.last])) {
        if (table.last == 0 || end_of(&table.ranges[table.last - 1]) <= address) return table.last;
        high = table.last;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(&table.ranges[middle]) > address)
            high = middle;
        else
            low = middle + 1;
    }
    return table.last = low;
}

static void insert_at(size_t index, struct range range) {
    if (table.count == RANGES_MAX) harness_complain("too many ranges to record");
    memmove(&table.ranges[index + 1], &table.ranges[index], (table.count - index) * sizeof range);
    table.ranges[index] = range;
    table.count++;
}

static void remove_between(size_t first, size_t end) {
    memmove(&table.ranges[first], &table.ranges[end], (table.count - end) * sizeof(struct range));
    table.count -= end - first;
}

/* Makes the address, which the record at the index has in its middle, a boundary. */
static void split_at(size_t index, uintptr_t address) {
    struct range rest = table.ranges[index];
    size_t kept = address - rest.start;
    table.ranges[index].size = kept;
    rest.start = address;
    rest.size -= kept;
    insert_at(index + 1, rest);
}

/* Joins neighbours of equal bits among the records first..end and the one on either side. */
static void merge_around(size_t first, size_t end) {
    for (size_t at = first > 0 ? first - 1 : 0; at + 1 < table.count && at <= end;) {
        struct range *range = &table.ranges[at];
        const struct range *next = range + 1;
        if (end_of(range) != next->start || range->bits != next->bits) {
            at++;
            continue;
        }
        range->size += next->size;
        remove_between(at + 1, at + 2);
    }
}

enum harness_state ranges_state(unsigned bits) {
    if ((bits & (RANGE_MARKER | RANGE_CLOSED)) != 0) return HARNESS_GUARDED;
    if ((bits & RANGE_WRITE) != 0) return HARNESS_COMMITTED;
    return (bits & RANGE_READ) != 0 ? HARNESS_READABLE : HARNESS_RESERVED;
}

size_t ranges_bytes(uintptr_t start, uintptr_t end, unsigned states) {
    size_t sum = 0;
    for (size_t i = first_above(start); i < table.count && table.ranges[i].start < end; i++) {
        const struct range *range = &table.ranges[i];
        uintptr_t range_end = range->start + range->size;
        uintptr_t low = range->start > start ? range->start : start;
        uintptr_t high = range_end < end ? range_end : end;
        if ((RANGES_ONLY(ranges_state(range->bits)) & states) != 0) sum += high - low;
    }
    return sum;
}

static unsigned bits_after(enum os_change change, unsigned bits) {
    switch (change) {
    case OS_CHANGE_COMMIT: return (bits & RANGE_MARKER) | RANGE_READ | RANGE_WRITE;
    case OS_CHANGE_PROTECT_READ: return (bits & RANGE_MARKER) | RANGE_READ;
    case OS_CHANGE_PROTECT_NONE: return (bits & RANGE_MARKER) | RANGE_CLOSED;
    case OS_CHANGE_GUARD_INSTALL: return bits | RANGE_MARKER;
    case OS_CHANGE_GUARD_REMOVE: return bits & ~(unsigned)RANGE_MARKER;
    case OS_CHANGE_RESERVE:
    case OS_CHANGE_UNRESERVE:
    case OS_CHANGE_DECOMMIT: break;
    }
    return 0;
}

/* All of [start, end) is held, from the record at the index on. */
static bool is_held(size_t index, uintptr_t start, uintptr_t end) {
    for (; index < table.count && table.ranges[index].start <= start; index++) {
        start = end_of(&table.ranges[index]);
        if (start >= end) return true;
    }
    return false;
}

static void record_reserve(uintptr_t start, size_t size) {
    size_t index = first_above(start);
    if (index < table.count && table.ranges[index].start < start + size)
        harness_complain("a reservation overlaps a range that is held");
    insert_at(index, (struct range){start, size, 0});
    merge_around(index, index + 1);
}

static void record(enum os_change change, uintptr_t start, size_t size) {
    uintptr_t stop = start + size;
    size_t first = first_above(start);
    if (!is_held(first, start, stop)) {
        /* the read-only structure, which lies in the program's data */
        if (change != OS_CHANGE_UNRESERVE && ranges_bytes(start, stop, RANGES_ANY) == 0) return;
        harness_complain("a call over a range that is not all held");
    }
    unsigned bits = table.ranges[first].bits;
    if (stop <= end_of(&table.ranges[first]) && bits_after(change, bits) == bits &&
        change != OS_CHANGE_UNRESERVE)
        return;
    if (table.ranges[first].start < start) split_at(first++, start);
    size_t end = first;
    while (end_of(&table.ranges[end]) < stop) end++;
    if (end_of(&table.ranges[end]) > stop) split_at(end, stop);
    end++;
    if (change == OS_CHANGE_UNRESERVE) {
        remove_between(first, end);
        return;
    }
    for (size_t i = first; i < end; i++)
        table.ranges[i].bits = bits_after(change, table.ranges[i].bits);
    merge_around(first, end);
}

void ranges_note(enum os_change change, uintptr_t start, size_t size) {
    need_memory();
    if (change == OS_CHANGE_RESERVE)
        record_reserve(start, size);
    else
        record(change, start, size);
}

const struct range *ranges_find(uintptr_t address) {
    size_t index = first_above(address);
    bool held = index < table.count && table.ranges[index].start <= address;
    return held ? &table.ranges[index] : NULL;
}

const struct range *ranges_all(size_t *count) {
    *count = table.count;
    return table.ranges;
}

void ranges_forget(void) { table.count = 0; }

enum { KEPT_MAX = 4096 };
static struct kept {
    struct range ranges[KEPT_MAX];
    size_t count;
} kept[HARNESS_PLACES];

bool ranges_keep(unsigned place) {
    struct kept *here = &kept[place];
    if (table.count > KEPT_MAX) return false;
    here->count = table.count;
    memcpy(here->ranges, table.ranges, table.count * sizeof(struct range));
    return true;
}

void ranges_bring_back(unsigned place) {
    const struct kept *here = &kept[place];
    table.count = here->count;
    memcpy(table.ranges, here->ranges, here->count * sizeof(struct range));
}
