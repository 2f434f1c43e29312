/*
 * test_init_machines: a start, and a heap, on machines that are not this one (src/process/init.c):
 * addresses of 39 bits, OS pages of 16 and 64 KiB.
 */
#define _GNU_SOURCE
#include "core.h"

#include "heap/huge.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of each kind, some with their neighbours' sizes. */
static const size_t sizes[] = {1,         100,       4000,    16 * KIB,    40 * KIB, 65 * KIB,
                               300 * KIB, 900 * KIB, 2 * MIB, 5 * MIB + 1, 20 * MIB, 0};
enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 30 };

/* What a run takes is page faults: the larger the block, the fewer of its pages are written. */
static size_t next_position(size_t at) { return at + (at < MIB ? 1000 : 40009); }

static void fill(char *block, size_t size, size_t mark) {
    for (size_t at = 0; at < size; at = next_position(at)) block[at] = (char)mark;
    if (size != 0) block[size - 1] = (char)mark;
}

static void expect_filled(const char *block, size_t size, size_t mark) {
    for (size_t at = 0; at < size; at = next_position(at)) core_require(block[at] == (char)mark);
    if (size != 0) core_require(block[size - 1] == (char)mark);
}

static void use_heap(uintptr_t space) {
    static char *blocks[SIZES][EACH];
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = 0; k < EACH; k++) {
            char *block = alloc_block(sizes[i]);
            core_require(block != NULL && (uintptr_t)block + sizes[i] <= space);
            fill(block, sizes[i], k);
            blocks[i][k] = block;
        }
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = 0; k < EACH; k++) {
            expect_filled(blocks[i][k], sizes[i], k);
            if (k % 3 == 0 && sizes[i] != 0) {
                char *block = alloc_resize(blocks[i][k], sizes[i] * 2);
                core_require(block != NULL && (uintptr_t)block + sizes[i] * 2 <= space);
                expect_filled(block, sizes[i], k);
                blocks[i][k] = block;
            }
            if (k % 2 == 0) alloc_free(blocks[i][k]);
        }
    check_all();
    for (size_t i = 0; i < SIZES; i++)
        for (size_t k = 1; k < EACH; k += 2) alloc_free(blocks[i][k]);
    alloc_collect(true);
    check_all();
}

/* --- Addresses ------------------------------------------------------------------------------- */

#define SPACE ((uintptr_t)1 << 39)
#define STACK ((uintptr_t)0x7e << 32)
#define STACK_BYTES (1 * MIB)
static uintptr_t next_mapping; /* where the kernel puts what has no wish: downwards */

static bool play_39_bits(long number, const long *arguments, long *result) {
    if (number != SYS_mmap) return false;
    uintptr_t where = (uintptr_t)arguments[0];
    size_t size = round_up((size_t)arguments[1], 4096);
    if (size > SPACE || where > SPACE - size) {
        *result = -ENOMEM;
        return true;
    }
    if (where != 0) return false;
    next_mapping -= size + 4096;
    void *mapped = mmap((void *)next_mapping, size, (int)arguments[2],
                        (int)arguments[3] | MAP_FIXED_NOREPLACE, -1, 0);
    core_require(mapped == (void *)next_mapping);
    *result = (long)mapped;
    return true;
}

static bool lies_below(uintptr_t start, size_t size) {
    return start < SPACE && size <= SPACE - start;
}

static void *start_in_39_bits(void *unused) {
    core_start("purge_delay=0"); /* no bound of the region */
    harness_set_kernel(play_39_bits);
    core_require(init_once());
    core_require(ro.region_span == 128 * GIB);
    core_require(lies_below(ro.region_base, ro.region_span));
    for (enum region_table i = 0; i < REGION_TABLES; i++)
        core_require(lies_below(ro.region->tables[i].start,
                                region_table_bytes(i, ro.region_span >> SEGMENT_SHIFT)));
    core_require(lies_below((uintptr_t)ro.region, sizeof(struct state)));
    core_require(lies_below(ro.heaps_base, ro.heaps_max * HEAP_SIZE));
    core_require(lies_below((uintptr_t)ro.randoms, ro.heaps_max * sizeof *ro.randoms));
    use_heap(SPACE);
    core_require(alloc_block(129 * GIB) == NULL);
    return unused;
}

/* The stack and a mapping without a wish are all that a process shows of its addresses: here both
   lie below 2^39, and nothing can be mapped above. */
START_TEST(with_39_bits_everything_lies_below_them) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (CORE_SANITIZED) return; /* its shadow has places of its own */
    void *stack = mmap((void *)STACK, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(stack, (void *)STACK);
    for (unsigned i = 0; i < 8; i++) {
        next_mapping = STACK - 64 * MIB;
        ck_assert_int_eq(pthread_attr_init(&attributes), 0);
        ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, STACK_BYTES), 0);
        ck_assert_int_eq(pthread_create(&thread, &attributes, start_in_39_bits, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        core_stop();
    }
}
END_TEST

/* --- OS pages -------------------------------------------------------------------------------- */

static const size_t page_sizes[] = {16 * KIB, 64 * KIB};
static size_t page;

/* A kernel with such pages refuses what is not a multiple of them. What never changes lies in the
   library, which is aligned to the largest page of the processor that it was built for. */
static bool play_large_pages(long number, const long *arguments, long *result) {
    uintptr_t start = (uintptr_t)arguments[0], ours = (uintptr_t)&moat_ro_pages;
    bool is_memory_call = number == SYS_mmap || number == SYS_munmap || number == SYS_mprotect ||
                          number == SYS_madvise || number == SYS_mremap;
    if (!is_memory_call || start - ours < sizeof moat_ro_pages) return false;
    core_require(start % page == 0);
    if (number == SYS_mmap) core_require((size_t)arguments[1] % page == 0);
    if (number == SYS_mremap) core_require((uintptr_t)arguments[4] % page == 0);
    if (number == SYS_madvise || number == SYS_mprotect)
        core_require((size_t)arguments[1] % page == 0);
    if (number != SYS_mmap || start != 0) return false;
    /* without a wish: the machine's own pages are smaller */
    size_t size = (size_t)arguments[1];
    char *wide = mmap(NULL, size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    core_require(wide != MAP_FAILED);
    char *aligned = (char *)round_up((uintptr_t)wide, page);
    core_require(munmap(wide, size + page) == 0);
    *result =
        syscall(SYS_mmap, aligned, size, arguments[2], arguments[3] | MAP_FIXED_NOREPLACE, -1, 0);
    return true;
}

static void use_large_pages(const char *options) {
    core_start(options);
    harness_set_page_size(page);
    harness_set_kernel(play_large_pages);
    core_require(init_once());
    ck_assert_uint_eq(ro.os_page, page);
    use_heap(UINTPTR_MAX);
    /* the last page of a segment, and that behind a huge block, are guards */
    void *small = alloc_block(100);
    uintptr_t end = segment_start(core_segment(small)) + SEGMENT_SIZE;
    ck_assert_int_ne(harness_range_state(end - page), HARNESS_COMMITTED);
    char *huge = alloc_block(3 * MIB);
    uintptr_t behind = (uintptr_t)huge + alloc_usable_size(huge);
    ck_assert_uint_eq(behind % page, 0);
    ck_assert(!harness_range_is(behind, page, HARNESS_COMMITTED));
    ck_assert_int_eq(harness_range_state(behind - 1), HARNESS_COMMITTED);
    /* several segments share a page of some tables */
    uint32_t index = 0;
    ck_assert(region_take(11, 1, &index));
    region_give(index, 11);
    (void)region_shed_tables(true);
    ck_assert_int_eq(ro.region->spare, 0);
    check_all();
}

START_TEST(with_large_os_pages_every_call_is_a_multiple_of_them) {
    if (CORE_SANITIZED) return;
    page = page_sizes[_i];
    use_large_pages("region=2G:purge_delay=0");
    use_large_pages("region=2G:guards=mprotect");
    use_large_pages("region=2G:madvise=off:purge_delay=0");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("init_machines");
    TCase *group = tcase_create("machines");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, with_39_bits_everything_lies_below_them);
    tcase_add_loop_test(group, with_large_os_pages_every_call_is_a_multiple_of_them, 0,
                        sizeof page_sizes / sizeof *page_sizes);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
