/*
 * patterns_growth: bench-micro's pattern growth: does an operation cost more as the heap grows?
 *
 *   growth-AMOUNT   one block of mixed small sizes, chosen at random out of a heap of that many
 *                   live bytes, is freed and allocated anew; each was replaced about once before
 *                   the first slice, so no free list is in order any more
 *   touch-AMOUNT    a byte of a block chosen at random is written, nothing else: the same cache and
 *                   TLB misses without the allocator. Compare the quotients of the two: where they
 *                   grow with the heap, the allocator is the reason.
 *
 * The heap grows from row to row and is never taken down (run it with --only growth). The harness's
 * own table of blocks, mapped, not allocated, takes another 8 % of the amount. Amounts above 1 GiB
 * are for --huge-heap; one that MemAvailable of /proc/meminfo has no room for is left out, which is
 * said.
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MOST_BYTES (16 * GIB)

static void **slots;
static uint32_t slot_count;
static size_t live_bytes;
static uint64_t random_state = 1;

/* Without stdio, which would allocate. 0 where the kernel does not tell. */
static size_t available_bytes(void) {
    char text[1024];
    int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t got = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0) close(file);
    if (got <= 0) return 0;
    text[got] = 0;
    const char *line = strstr(text, "MemAvailable:");
    return line ? strtoul(line + strlen("MemAvailable:"), NULL, 10) * KIB : 0;
}

/* Half as much again for what the allocator adds to each block and loses between them, and for
 * the table. */
static bool has_room_for(size_t amount) {
    size_t needed = (amount - live_bytes) + amount / 2;
    size_t available = available_bytes();
    if (available >= needed) return true;
    fprintf(stderr,
            "bench-micro: a heap of %zu MiB is left out: it needs %zu MiB more, MemAvailable is "
            "%zu MiB\n",
            amount / MIB, needed / MIB, available / MIB);
    return false;
}

/* Address space for the largest heap at once: a table that moves would be measured too. */
static bool map_table(void) {
    size_t bytes = MOST_BYTES / MEAN_SIZE * sizeof *slots;
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        perror("bench-micro: growth is left out: no address space for its table");
        return false;
    }
    slots = table;
    return true;
}

static void run_growth(size_t operations) {
    for (size_t i = 0; i < operations; i++) {
        uint32_t random = next_random(&random_state);
        size_t at = index_below(slot_count, random);
        free(slots[at]);
        slots[at] = take(mixed_size(random));
    }
}

static void run_touch(size_t operations) {
    for (size_t i = 0; i < operations; i++) {
        (*(volatile char *)slots[index_below(slot_count, next_random(&random_state))])++;
    }
}

/* Fills the heap up to `amount` live bytes. */
static bool prepare_growth(size_t amount) {
    static uint64_t fill_state = 7;
    static size_t refused = SIZE_MAX; /* what the row before said is said once */
    if (live_bytes >= amount) return true;
    if (amount == refused) return false;
    if (!has_room_for(amount) || (!slots && !map_table())) {
        refused = amount;
        return false;
    }
    while (live_bytes < amount && slot_count < MOST_BYTES / MEAN_SIZE) {
        size_t size = mixed_size(next_random(&fill_state));
        slots[slot_count++] = take(size);
        live_bytes += size;
    }
    run_growth(slot_count);
    return true;
}

#define ROW_OF(row, function, bytes, trait)                                                        \
    {                                                                                              \
        .name = (row), .group = "growth", .prepare = prepare_growth, .run = (function),            \
        .operations = 400000, .unit = 1, .amount = (bytes), .traits = (trait)                      \
    }
#define ROWS_OF(amount, bytes, trait)                                                              \
    ROW_OF("growth-" amount, run_growth, bytes, trait),                                            \
        ROW_OF("touch-" amount, run_touch, bytes, trait)

const struct pattern growth_patterns[] = {
    ROWS_OF("1MiB", MIB, 0),
    ROWS_OF("16MiB", 16 * MIB, 0),
    ROWS_OF("256MiB", 256 * MIB, 0),
    ROWS_OF("1GiB", GIB, 0),
    ROWS_OF("4GiB", 4 * GIB, HUGE_HEAP),
    ROWS_OF("8GiB", 8 * GIB, HUGE_HEAP),
    ROWS_OF("16GiB", 16 * GIB, HUGE_HEAP),
    {.name = NULL},
};
