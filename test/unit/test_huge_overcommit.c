/*
 * test_huge_overcommit: what moat asks of machines that promise all, some or just their memory
 * (vm.overcommit_memory; src/heap/huge.h, src/meta/guard.h). The mode is the machine's: here the
 * file that says it is played, and so is what the kernel refuses.
 */
#define _GNU_SOURCE
#include "core.h"

#include "heap/huge.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *mode; /* what the file holds; NULL: there is none */
static size_t promised;  /* a larger mapping that can be written is refused */
static unsigned asked;   /* mappings that can be written, anywhere: questions */

static bool play_machine(long number, const long *arguments, long *result) {
    if (number == SYS_openat &&
        strcmp((const char *)arguments[1], "/proc/sys/vm/overcommit_memory") == 0) {
        int file = mode != NULL ? memfd_create("mode", 0) : -1;
        *result = mode != NULL ? file : -ENOENT;
        if (mode != NULL) core_require(write(file, mode, 2) == 2 && lseek(file, 0, SEEK_SET) == 0);
        return true;
    }
    if (number != SYS_mmap || arguments[2] != (PROT_READ | PROT_WRITE) || arguments[0] != 0)
        return false;
    asked++;
    *result = -ENOMEM;
    return (size_t)arguments[1] > promised;
}

static void start_in_mode(const char *text, enum overcommit_mode expected) {
    core_start("purge_delay=0");
    mode = text;
    promised = SIZE_MAX;
    asked = 0;
    harness_set_kernel(play_machine);
    ck_assert(init_once());
    ck_assert_int_eq(ro.overcommit, expected);
}

START_TEST(the_mode_is_read_at_the_start) {
    start_in_mode("0\n", OVERCOMMIT_HEURISTIC);
    start_in_mode("1\n", OVERCOMMIT_ALWAYS);
    start_in_mode("2\n", OVERCOMMIT_NEVER);
    start_in_mode("7\n", OVERCOMMIT_UNKNOWN);
    start_in_mode("\n\n", OVERCOMMIT_UNKNOWN);
    start_in_mode(NULL, OVERCOMMIT_UNKNOWN);
}
END_TEST

/* As the C library's mapping would be; and what is in use goes on. */
static void expect_refused(size_t size) {
    uint32_t extent = ro.region->extent;
    char *kept = alloc_block(3 * MIB);
    ck_assert_ptr_nonnull(kept);
    kept[0] = 7;
    ck_assert_ptr_null(alloc_block(size));
    ck_assert_ptr_null(alloc_zeroed(size));
    ck_assert_ptr_null(alloc_aligned(8 * MIB, size));
    ck_assert_ptr_null(alloc_resize(kept, size));
    ck_assert_int_eq(kept[0], 7);
    ck_assert_uint_le(ro.region->extent, extent + 3); /* no addresses for it */
    alloc_free(kept);
}

START_TEST(where_the_machine_counts_it_refuses_what_it_cannot_promise) {
    static const char *const modes[] = {"0\n", "2\n", "7\n"};
    static const enum overcommit_mode names[] = {OVERCOMMIT_HEURISTIC, OVERCOMMIT_NEVER,
                                                 OVERCOMMIT_UNKNOWN};
    start_in_mode(modes[_i], names[_i]);
    promised = 3 * GIB;
    expect_refused(4 * GIB);
    expect_refused(100 * GIB);
    void *block = alloc_block(2 * GIB);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_gt(asked, 0);
    alloc_free(block);
    check_all();
}
END_TEST

START_TEST(where_all_is_promised_nobody_is_asked) {
    start_in_mode("1\n", OVERCOMMIT_ALWAYS);
    promised = 0;
    void *block = alloc_block(2 * GIB);
    ck_assert_ptr_nonnull(block);
    block = alloc_resize(block, 4 * GIB);
    ck_assert_ptr_nonnull(block);
    alloc_free(block);
    ck_assert_uint_eq(asked, 0);
    check_all();
}
END_TEST

static void add_committed(void *context, uintptr_t start, size_t size, enum harness_state state) {
    size_t *sum = context;
    if (state == HARNESS_COMMITTED && region_contains(start)) *sum += size;
}

/* Of segments, as the kernel sees it. */
static size_t committed(void) {
    size_t sum = 0;
    harness_visit_ranges(add_committed, &sum);
    return sum;
}

/* Each page counts, touched or not. */
START_TEST(where_each_page_counts_no_more_is_had_than_is_used) {
    start_in_mode("2\n", OVERCOMMIT_NEVER);
    void *small = alloc_block(100);
    size_t before = committed();
    ck_assert_uint_le(before, 2 * 256 * KIB); /* of the thread, and of all threads */
    for (size_t size = 2 * MIB; size < 30 * MIB; size = size * 5 / 3) {
        char *block = alloc_block(size);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq(committed(), before + huge_round(size));
        ck_assert(
            !harness_range_is((uintptr_t)block + huge_round(size), ro.os_page, HARNESS_COMMITTED));
        block = alloc_resize(block, size * 2);
        ck_assert_uint_eq(committed(), before + huge_round(size * 2));
        block = alloc_resize(block, size + 1);
        ck_assert_uint_eq(committed(), before + huge_round(size + 1));
        alloc_free(block);
        ck_assert_uint_eq(committed(), before);
    }
    alloc_free(small);
    check_all();
}
END_TEST

/* The charge ends: NULL, and what is freed then serves again. */
START_TEST(where_each_page_counts_an_end_is_an_end_for_the_large_only) {
    void *blocks[64];
    start_in_mode("2\n", OVERCOMMIT_NEVER);
    void *small = alloc_block(100);
    harness_limit_committed(harness_committed_bytes() + 20 * MIB);
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 0;
        while (count < 64 && (blocks[count] = alloc_block(2 * MIB)) != NULL) count++;
        ck_assert_uint_ge(count, 7);
        ck_assert_uint_le(count, 10);
        ck_assert_ptr_null(alloc_block(16 * MIB));
        ck_assert_ptr_null(alloc_resize(blocks[0], 16 * MIB));
        void *other = alloc_block(40);
        ck_assert_ptr_nonnull(other);
        alloc_free(other);
        for (unsigned i = 0; i < count; i++) alloc_free(blocks[i]);
        check_all();
    }
    alloc_free(small);
}
END_TEST

/* The machine promises so much at once. */
#define PROMISED (3 * GIB)

static bool play_promises(long number, const long *arguments, long *result) {
    bool asks = number == SYS_mmap && arguments[2] == (PROT_READ | PROT_WRITE) && arguments[0] == 0;
    asked += asks;
    if (!asks || (size_t)arguments[1] <= PROMISED) return false;
    *result = -ENOMEM;
    return true;
}

/* The same where what becomes writable would be made resident: asked of what is not locked. */
static bool play_promises_in_locked_memory(long number, const long *arguments, long *result) {
    static bool is_unlocked;
    if (number == SYS_munlock) is_unlocked = true;
    if (number == SYS_mmap) {
        ck_assert(arguments[0] != 0 || arguments[2] == PROT_NONE);
        is_unlocked = false;
    }
    bool asks = number == SYS_mprotect && (size_t)arguments[1] >= 256 * MIB;
    asked += asks;
    if (!asks || (size_t)arguments[1] <= PROMISED) return false;
    ck_assert(is_unlocked);
    *result = -ENOMEM;
    return true;
}

static bool play_no_addresses(long number, const long *arguments, long *result) {
    *result = -ENOMEM;
    return number == SYS_mmap && arguments[0] == 0;
}

START_TEST(absurd_is_what_the_kernel_would_give_nobody) {
    harness_set_kernel(play_promises);
    ck_assert(os_is_absurd(PROMISED + ro.os_page, false));
    ck_assert(!os_is_absurd(PROMISED, false));
    harness_set_kernel(play_promises_in_locked_memory);
    ck_assert(os_is_absurd(PROMISED + ro.os_page, true));
    ck_assert(!os_is_absurd(PROMISED, true));
    /* a limit of addresses is not the machine's */
    harness_set_kernel(play_no_addresses);
    ck_assert(!os_is_absurd(PROMISED, false));
    ck_assert(!os_is_absurd(PROMISED, true));
}
END_TEST

/* As the C library's, whose mapping the kernel refuses; before addresses are mapped for it. */
START_TEST(more_than_the_machine_promises_is_refused) {
    core_start_ready("region=64G");
    harness_set_kernel(play_promises);
    uint32_t extent = ro.region->extent;
    ck_assert_ptr_null(alloc_block(4 * GIB));
    char *block = alloc_block(3 * MIB);
    block[0] = 7;
    ck_assert_ptr_null(alloc_resize(block, 4 * GIB));
    ck_assert_int_eq(block[0], 7);
    ck_assert_uint_eq(ro.region->extent, extent);
    /* what a block has already it does not ask for again */
    char *large = alloc_block(2 * GIB);
    ck_assert_ptr_nonnull(large);
    large = alloc_resize(large, 4 * GIB);
    ck_assert_ptr_nonnull(large);
    alloc_free(large);
    alloc_free(block);
}
END_TEST

/* Where all is promised, and for less than may lie in the cache. */
START_TEST(what_needs_no_question_is_not_asked) {
    core_start_ready("region=64G");
    harness_set_kernel(play_promises);
    alloc_free(alloc_block(250 * MIB));
    ck_assert_uint_eq(asked, 0);
    alloc_free(alloc_block(256 * MIB));
    bool always = ro.overcommit == OVERCOMMIT_ALWAYS;
    ck_assert_uint_eq(asked, !always);
}
END_TEST

START_TEST(locked_memory_is_not_promised_either) {
    core_start_ready("region=64G");
    ro.region->memory_is_locked = true;
    harness_set_kernel(play_promises_in_locked_memory);
    ck_assert_ptr_null(alloc_block(4 * GIB));
    alloc_free(alloc_block(GIB));
    ck_assert_uint_gt(asked, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("huge_overcommit");
    TCase *group = tcase_create("overcommit");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_mode_is_read_at_the_start);
    tcase_add_loop_test(group, where_the_machine_counts_it_refuses_what_it_cannot_promise, 0, 3);
    tcase_add_test(group, where_all_is_promised_nobody_is_asked);
    tcase_add_test(group, where_each_page_counts_no_more_is_had_than_is_used);
    tcase_add_test(group, where_each_page_counts_an_end_is_an_end_for_the_large_only);
    tcase_add_test(group, absurd_is_what_the_kernel_would_give_nobody);
    tcase_add_test(group, more_than_the_machine_promises_is_refused);
    tcase_add_test(group, what_needs_no_question_is_not_asked);
    tcase_add_test(group, locked_memory_is_not_promised_either);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
