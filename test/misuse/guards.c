/*
 * guards: accesses beyond what malloc gave that run into inaccessible memory. The processor stops
 * them; moat says nothing.
 */
#include "scene.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* volatile: the access is the test and must happen. */
static void touch_write(void *address) { *(volatile char *)launder(address) = 1; }
static char touch_read(const void *address) { return *(volatile const char *)launder(address); }

/* Where no byte of the block can be any more: at the strict level it ends at its guard but for the
   granule, and one that was resized where it lies but for the OS page. */
static char *end_of(char *block, uintptr_t unit) {
    uintptr_t end = (uintptr_t)block + malloc_usable_size(block);
    touch_write((char *)end - 1);
    return (char *)((end + unit - 1) & ~(unit - 1));
}

static void write_past(size_t size) {
    char *block = take(size);
    char *past = end_of(block, 16);
    expect_fault(past, past);
    touch_write(past);
    passed();
}

static void read_past(size_t size) {
    char *block = take(size);
    char *past = end_of(block, 16);
    expect_fault(past, past);
    (void)touch_read(past);
    passed();
}

static void write_before(size_t size) {
    char *block = take(size);
    expect_fault(block - 1, block - 1);
    touch_write(block - 1);
    passed();
}

/* Grown and shrunk in place or moved: the guard goes with it. */
static void write_past_resized(size_t size) {
    char *block = launder(realloc(take(HUGE), size));
    REQUIRE(block, "realloc works");
    char *past = end_of(block, (uintptr_t)sysconf(_SC_PAGESIZE));
    expect_fault(past, past);
    touch_write(past);
    passed();
}

/* A buffer overflow that goes on and on leaves neither the segment of its block nor its huge
   block. */
static void run_over(size_t size) {
    enum { BLOCKS = 40 };
    char *highest = NULL;
    for (unsigned i = 0; i < BLOCKS; i++) {
        char *block = take(size);
        if (((uintptr_t)block & (SEGMENT - 1)) > ((uintptr_t)highest & (SEGMENT - 1)))
            highest = block;
    }
    uintptr_t end = ((uintptr_t)highest & ~(SEGMENT - 1)) + SEGMENT;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    expect_fault(highest + malloc_usable_size(highest), (char *)end - page);
    for (char *at = highest; (uintptr_t)at < end; at += 16) touch_write(at);
    passed();
}

static bool kernel_has_markers(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return probe != MAP_FAILED && madvise(probe, page, 102 /* MADV_GUARD_INSTALL */) == 0;
}

/* A page of small or medium blocks has this many bytes. */
static uintptr_t page_size_of(size_t size) {
    return size <= (size_t)8 * 1024 ? (uintptr_t)64 << 10 : (uintptr_t)512 << 10;
}

/* From the last block of a page, of which those around are full: it does not reach the next one,
   whatever is there. */
static void run_over_page(size_t size) {
    uintptr_t page = page_size_of(size);
    char *highest = NULL;
    if (!kernel_has_markers()) skip_test("the kernel has no guard markers");
    for (size_t bytes = 0; bytes < 6 * page; bytes += size) {
        char *block = take(size);
        memset(block, 1, size);
        bool last_of_segment = ((uintptr_t)block & (SEGMENT - 1)) >= SEGMENT - page;
        if (!last_of_segment && ((uintptr_t)block & (page - 1)) > ((uintptr_t)highest & (page - 1)))
            highest = block;
    }
    uintptr_t end = ((uintptr_t)highest & ~(page - 1)) + page;
    expect_fault(highest + malloc_usable_size(highest), (char *)end - 1);
    for (char *at = highest; (uintptr_t)at < end; at += 16) touch_write(at);
    passed();
}

/* The other direction: what lies below the first byte of a segment is the guard of the segment
   before. */
static void run_under(size_t size) {
    char *block = take(size);
    uintptr_t start = (uintptr_t)block & ~(SEGMENT - 1);
    expect_fault((char *)start - 16, block - 1);
    for (char *at = block; (uintptr_t)at >= start - 16; at -= 16) touch_write(at);
    passed();
}

static void read_zero_size(size_t offset) {
    char *block = take(0);
    expect_fault(block + offset, block + offset);
    (void)touch_read(block + offset);
    passed();
}

static void write_zero_size(size_t offset) {
    char *block = take(0);
    expect_fault(block + offset, block + offset);
    touch_write(block + offset);
    passed();
}

/* A freed huge block may wait a while for the next request of its size; once it went back, it is
   inaccessible. */
static void write_freed_huge(size_t size) {
    char *block = take(size);
    touch_write(block);
    give(block);
    malloc_trim(0);
    expect_fault(block, block);
    touch_write(block);
    passed();
}

/* And from the free on its first OS page is, where the reuse of blocks by address begins. */
static void write_waiting_huge(size_t size) {
    char *block = take(size);
    touch_write(block);
    give(block);
    expect_fault(block, block);
    touch_write(block);
    passed();
}

static void read_waiting_huge(size_t size) {
    char *block = take(size);
    memset(block, 1, size);
    give(block);
    expect_fault(block + 2000, block + 2000);
    (void)touch_read(block + 2000);
    passed();
}

/* Whoever gets the memory next can use all of it, over and over. */
static void write_waiting_reused(size_t size) {
    char *block = NULL;
    for (unsigned i = 0; i < 50; i++) {
        block = i % 2 != 0 ? launder(calloc(1, size)) : take(size);
        REQUIRE(block, "a block");
        for (size_t at = 0; i % 2 != 0 && at < size; at += 64) REQUIRE(block[at] == 0, "zero");
        memset(block, 1, size);
        give(block);
    }
    expect_fault(block, block);
    touch_write(block);
    passed();
}

/* The kernel does not write there for a program, and says so to nobody but the program. */
static void system_calls(size_t size) {
    char *block = take(size), *past = end_of(block, 16);
    int ends[2];
    REQUIRE(pipe(ends) == 0 && write(ends[1], "some", 4) == 4, "a pipe");
    REQUIRE(read(ends[0], past, 4) == -1 && errno == EFAULT, "nothing is read past a block");
    give(block);
    REQUIRE(read(ends[0], block, 4) == -1 && errno == EFAULT, "nothing is read into a freed one");
    REQUIRE(write(ends[1], block, 4) == -1 && errno == EFAULT, "nor written from it");
}

const struct misuse_case guard_cases[] = {
    CASE("guard", "write-past.huge", FAULT, write_past, HUGE),
    CASE("guard", "write-past.huge-odd", FAULT, write_past, HUGE + 12345),
    CASE("guard", "write-past.huge-whole-segments", FAULT, write_past, (size_t)8 << 20),
    CASE("guard", "read-past.huge", FAULT, read_past, HUGE),
    CASE("guard", "write-before.huge", FAULT, write_before, HUGE),
    CASE("guard", "write-past.huge-grown", FAULT, write_past_resized, 5 * HUGE + 7),
    CASE("guard", "write-past.huge-shrunk", FAULT, write_past_resized, HUGE / 2 + 7),
    CASE_OPTIONS("guard", "write-past.huge-mprotect", FAULT, write_past, HUGE, "guards=mprotect"),
    CASE("guard", "run-over.48", FAULT, run_over, SMALL),
    CASE("guard", "run-over.4096", FAULT, run_over, SMALL_PAGE),
    CASE("guard", "run-over.medium", FAULT, run_over, MEDIUM),
    CASE("guard", "run-over.large", FAULT, run_over, LARGE),
    CASE_OPTIONS("guard", "run-over.large-mprotect", FAULT, run_over, LARGE, "guards=mprotect"),
    CASE_OPTIONS("guard", "run-over.48-mprotect", FAULT, run_over, SMALL, "guards=mprotect"),
    CASE("guard", "run-over-page.16", FAULT, run_over_page, SMALLEST),
    CASE("guard", "run-over-page.48", FAULT, run_over_page, SMALL),
    CASE("guard", "run-over-page.1024", FAULT, run_over_page, 1024),
    CASE("guard", "run-over-page.4096", FAULT, run_over_page, SMALL_PAGE),
    CASE("guard", "run-over-page.5632", FAULT, run_over_page, 5632),
    CASE("guard", "run-over-page.8192", FAULT, run_over_page, 8191),
    CASE("guard", "run-over-page.medium", FAULT, run_over_page, MEDIUM),
    CASE("guard", "run-over-page.65536", FAULT, run_over_page, 65536),
    CASE("guard", "run-under.48", FAULT, run_under, SMALL),
    CASE("guard", "run-under.large", FAULT, run_under, LARGE),
    CASE_OPTIONS("guard", "run-under.large-mprotect", FAULT, run_under, LARGE, "guards=mprotect"),
    CASE("guard", "read-zero-size.first", FAULT, read_zero_size, 0),
    CASE("guard", "read-zero-size.last", FAULT, read_zero_size, 15),
    CASE("guard", "write-zero-size.first", FAULT, write_zero_size, 0),
    CASE("guard", "write-freed.huge", FAULT, write_freed_huge, HUGE),
    CASE_OPTIONS("guard", "write-freed.huge-waiting", FAULT, write_waiting_huge, HUGE,
                 "purge_delay=3600000"),
    CASE_OPTIONS("guard", "read-freed.huge-waiting", FAULT, read_waiting_huge, HUGE,
                 "purge_delay=3600000"),
    CASE_OPTIONS("guard", "write-freed.huge-waiting-mprotect", FAULT, write_waiting_huge, HUGE,
                 "purge_delay=3600000:guards=mprotect"),
    CASE_OPTIONS("guard", "write-freed.huge-reused", FAULT, write_waiting_reused, HUGE,
                 "purge_delay=3600000"),
    CASE("none", "system-calls.huge", CLEAN, system_calls, HUGE),
    CASE_OPTIONS("none", "system-calls.huge-mprotect", CLEAN, system_calls, HUGE,
                 "guards=mprotect"),
    CASES_END,
};
