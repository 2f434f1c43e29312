/*
 * test_init: from nothing to a working allocator (src/process/init.c): what is where, and each
 * system call failing in turn.
 */
#define _GNU_SOURCE
#include "core.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static void start(void) { core_start("region=1G"); }

START_TEST(the_first_call_initialises_and_later_ones_do_nothing) {
    ck_assert(init_once());
    uint64_t reservations = harness_call_count(OS_RESERVE);
    uintptr_t base = ro.region_base;
    ck_assert(init_once());
    ck_assert_uint_eq(harness_call_count(OS_RESERVE), reservations);
    ck_assert_uint_eq(ro.region_base, base);
    ck_assert_uint_eq(base % SEGMENT_SIZE, 0);
    ck_assert_uint_eq(ro.region_span, GIB);
    ck_assert(region_validate());
}
END_TEST

START_TEST(a_free_of_null_and_a_query_of_null_need_no_allocator) {
    alloc_free(NULL);
    alloc_free_sized(NULL, 10);
    alloc_free_aligned_sized(NULL, 64, 10, FAMILY_MALLOC);
    ck_assert_uint_eq(alloc_usable_size(NULL), 0);
    ck_assert(!alloc_owns(&core_address));
    ck_assert_uint_eq(check_all(), 0);
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
}
END_TEST

/* Before each table lies a guard, behind it nothing, and no table reaches into another's span. */
START_TEST(every_table_has_inaccessible_memory_around_it) {
    ck_assert(init_once());
    const struct region *region = ro.region;
    size_t segments = ro.region_span >> SEGMENT_SHIFT;
    const struct {
        uintptr_t start;
        size_t mapped, most;
    } tables[] = {
        {(uintptr_t)ro.region, round_up(sizeof(struct state), ro.os_page), sizeof(struct state)},
        {(uintptr_t)ro.segments, region->tables[REGION_TABLE_SEGMENTS].mapped,
         segments * sizeof(struct segment)},
        {(uintptr_t)ro.pages, region->tables[REGION_TABLE_PAGES].mapped,
         segments * PAGE_TABLE_BYTES_PER_SEGMENT},
        {(uintptr_t)ro.local_heaps, region->tables[REGION_TABLE_LOCAL_HEAPS].mapped,
         segments * LOCAL_TABLE_BYTES_PER_SEGMENT},
        {(uintptr_t)map_word_of(ro.region_base), region->tables[REGION_TABLE_MAPS].mapped,
         segments * MAP_TABLE_BYTES_PER_SEGMENT},
        {ro.heaps_base, ro.pool->heaps.mapped, ro.heaps_max * HEAP_SIZE},
        {(uintptr_t)ro.randoms, ro.pool->randoms.mapped, ro.heaps_max * sizeof(struct heap_random)},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        ck_assert_uint_eq(tables[i].start % ro.os_page, 0);
        ck_assert_uint_gt(tables[i].mapped, 0);
        ck_assert_int_eq(harness_range_state(tables[i].start - 1), HARNESS_RESERVED);
        ck_assert(harness_range_is(tables[i].start, tables[i].mapped, HARNESS_COMMITTED));
        ck_assert_int_eq(harness_range_state(tables[i].start + tables[i].mapped), HARNESS_FOREIGN);
        for (size_t j = 0; j < i; j++)
            ck_assert(tables[j].start + tables[j].most < tables[i].start ||
                      tables[i].start + tables[i].most < tables[j].start);
    }
}
END_TEST

static void query(void *block) { ck_assert_uint_eq(alloc_usable_size(block), 0); }
static void resize(void *block) { ck_assert_ptr_null(alloc_resize(block, 10)); }
static void free_sized(void *block) { alloc_free_sized(block, 10); }

/* A wild pointer anywhere into the region is reported, whether or not there was ever a segment: no
   verb faults on it. */
START_TEST(wild_pointers_into_the_region_are_reported) {
    static void (*const verbs[])(void *) = {core_free, query, resize, free_sized};
    uint64_t random = 1;
    for (unsigned i = 0; i < 400; i++) {
        if (i % 40 == 0) core_start_ready(i < 200 ? "region=1G" : NULL);
        if (i % 80 == 0) ck_assert_ptr_nonnull(alloc_block(100));
        size_t span = i % 4 < 2 ? ro.region_span : (size_t)ro.region->extent << SEGMENT_SHIFT;
        uintptr_t wild = ro.region_base + core_below(&random, span);
        if (i % 2 == 0) wild = round_down(wild, GRANULE);
        core_expect_report(REPORT_INVALID_FREE, verbs[i / 2 % 4], (void *)wild);
        ck_assert_uint_eq(core_address, wild);
    }
}
END_TEST

START_TEST(what_never_changes_is_read_only) {
    ck_assert(init_once());
    signal(SIGSEGV, SIG_DFL); /* a sanitizer has a handler of its own */
    ro.heaps_max = 1;
}
END_TEST

static const char *status_text; /* what the kernel says of the process; NULL: nothing */

static bool play_status(long number, const long *arguments, long *result) {
    enum { STATUS = 4000 }; /* its descriptor */
    if (number == SYS_openat && strcmp((const char *)arguments[1], "/proc/self/status") == 0) {
        *result = status_text != NULL ? STATUS : -ENOENT;
    } else if (number == SYS_read && arguments[0] == STATUS) {
        size_t left = strlen(status_text), size = left < 7 ? left : 7; /* in pieces */
        memcpy((char *)arguments[1], status_text, size);
        status_text += size;
        *result = (long)size;
    } else {
        return false;
    }
    return true;
}

static const struct {
    const char *options, *status;
    uint64_t seals;
} worlds[] = {
    {"", "Name:\tx\nThreads:\t1\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n", 2},
    {"", "Name:\tx\nThreads:\t1\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n", 0},
    /* the first thread's is not this one's */
    {"", "Name:\tx\nThreads:\t2\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n", 0},
    {"", "Name:\tx\nThreads:\t12\nSeccomp:\t0\n", 0},
    {"", "Name:\tx\nSeccomp:\t0\n", 0},
    /* a name, as the kernel escapes it */
    {"", "Name:\tx\\nSeccomp:\t0\nThreads:\t1\nSeccomp:\t1\n", 0},
    {"", "Name:\tx\nThreads:\t1\nSeccomp:\t0", 0},
    {"", "Name:\tx\n\nThreads:\t1\nSeccomp:\t0\n", 2}, /* the one right behind the other */
    {"", "", 0},
    {"", NULL, 0},
    {"seal=on", "Name:\tx\nSeccomp:\t2\n", 2},
    {"seal=on:files=off", NULL, 2},
    {"seal=off", "Name:\tx\nSeccomp:\t0\n", 0},
    {"files=off", "Name:\tx\nSeccomp:\t0\n", 0},
};

/* A filter that was made before mseal() was may end the process at it. */
START_TEST(what_never_changes_is_sealed_where_no_filter_may_be) {
    core_start(worlds[_i].options);
    status_text = worlds[_i].status;
    harness_set_kernel(play_status);
    ck_assert(init_once());
    ck_assert_uint_eq(harness_call_count(OS_SEAL), worlds[_i].seals);
}
END_TEST

static unsigned closed_before, closed_after; /* the extent's page: before, and after the start */

static bool watch_extent(long number, const long *arguments, long *result) {
    uintptr_t page = (uintptr_t)&moat_ro_pages.extent, start = (uintptr_t)arguments[0];
    (void)result;
    if (number != SYS_mprotect || arguments[2] != PROT_READ) return false;
    if (start <= page && page - start < (uintptr_t)arguments[1])
        *(ro_is_started() ? &closed_after : &closed_before) += 1;
    return false;
}

/* Once others can see that the start is over, they open the page to grow: it must not be closed
   before their eyes. */
START_TEST(the_extent_is_closed_before_the_start_is_over) {
    closed_before = closed_after = 0;
    harness_set_kernel(watch_extent);
    ck_assert(init_once());
    ck_assert_uint_eq(closed_before, 1);
    ck_assert_uint_eq(closed_after, 0);
}
END_TEST

static unsigned files_opened;

static bool count_files(long number, const long *arguments, long *result) {
    (void)arguments;
    (void)result;
    files_opened += number == SYS_openat;
    return false;
}

START_TEST(without_files_none_is_opened) {
    core_start("files=off");
    harness_set_kernel(count_files);
    ck_assert(init_once());
    ck_assert_ptr_nonnull(alloc_block(100));
    ck_assert_ptr_null(alloc_block((size_t)4 << 40));
    ck_assert_uint_eq(files_opened, 0);
    ck_assert_uint_eq(ro.mappings_max, 65530);
    ck_assert_int_eq(ro.overcommit, OVERCOMMIT_UNKNOWN);
    core_start("");
    harness_set_kernel(count_files);
    ck_assert(init_once());
    ck_assert_uint_eq(files_opened, 3);
}
END_TEST

/* Linux 6.13 has markers: then hardly any guard takes a mapping apart. */
START_TEST(how_many_mappings_there_may_be_is_asked_where_it_matters) {
    ro.os.kernel = 0x060c63;
    ro.options.guards = GUARDS_AUTO;
    ro.options.dump = DUMP_TABLES;
    ro.overcommit = OVERCOMMIT_HEURISTIC;
    ck_assert(guard_splits_matter());
    ro.os.kernel = 0x060d00;
    ck_assert(!guard_splits_matter());
    ro.overcommit = OVERCOMMIT_NEVER;
    ck_assert(guard_splits_matter());
    ro.overcommit = OVERCOMMIT_HEURISTIC;
    ro.options.dump = DUMP_HEAP;
    ck_assert(guard_splits_matter());
    ro.options.dump = DUMP_TABLES;
    ro.options.guards = GUARDS_MPROTECT;
    ck_assert(guard_splits_matter());
}
END_TEST

START_TEST(every_start_has_its_own_layout) {
    enum { STARTS = 16 };
    uintptr_t seen[STARTS][3];
    for (unsigned i = 0; i < STARTS; i++) {
        core_start("region=1G");
        harness_set_seed(100 + i);
        ck_assert(init_once());
        seen[i][0] = ro.region_base;
        seen[i][1] = ro.heaps_base - (uintptr_t)ro.segments;
        seen[i][2] = (uintptr_t)ro.region - (uintptr_t)ro.pages;
        for (unsigned j = 0; j < i; j++)
            for (unsigned k = CORE_SANITIZED ? 1 : 0; k < 3; k++)
                ck_assert_uint_ne(seen[i][k], seen[j][k]);
    }
}
END_TEST

/* --- Failures -------------------------------------------------------------------------------- */

/* One start with its n-th call of a kind failing. True: the plan was met. */
static bool start_with_failure(enum os_call kind, uint64_t n) {
    core_start("region=1G");
    harness_fail_nth(kind, n);
    uint64_t failures = harness_failures();
    char *block = alloc_block(100);
    bool met = harness_failures() > failures;
    harness_fail_none();
    if (block != NULL) memset(block, 1, 100);
    char *later = alloc_block(100);
    ck_assert_msg(later != NULL, "after failure %u of kind %d: no memory for ever", (unsigned)n,
                  (int)kind);
    memset(later, 2, 100);
    if (block != NULL) ck_assert_int_eq(block[99], 1);
    alloc_free(block);
    alloc_free(later);
    ck_assert_uint_gt(check_all(), 0);
    core_stop();
    ck_assert_uint_eq(harness_reserved_bytes(), 0);
    return met;
}

START_TEST(each_system_call_failing_in_turn_is_survived) {
    for (int kind = OS_RESERVE; kind <= HARNESS_ANY_CALL; kind++) {
        if (kind == OS_RANDOM) continue; /* test_random: the process ends with a message */
        uint64_t n = 1;
        while (start_with_failure((enum os_call)kind, n)) n++;
        if (kind == OS_RESERVE || kind == OS_COMMIT || kind == HARNESS_ANY_CALL)
            ck_assert_uint_gt(n, 2);
    }
}
END_TEST

/* All calls of a kind from the n-th on, not one alone: nothing but NULL can come, until memory is
   there again. */
START_TEST(calls_that_fail_for_long_are_survived) {
    for (int kind = OS_RESERVE; kind <= HARNESS_ANY_CALL; kind++) {
        if (kind == OS_RANDOM) continue;
        for (uint64_t n = 1; n < 60; n++) {
            core_start("region=1G");
            harness_fail_from((enum os_call)kind, n);
            for (int i = 0; i < 3; i++) alloc_free(alloc_block(100));
            harness_fail_none();
            void *block = alloc_block(100);
            ck_assert_msg(block != NULL, "after failures from %u of kind %d: no memory for ever",
                          (unsigned)n, (int)kind);
            alloc_free(block);
            check_all();
        }
    }
}
END_TEST

/* What a failed start took, it gives back: a program that tries again and again does not use
   anything up. */
START_TEST(failed_starts_leave_nothing_behind) {
    for (uint64_t n = 1; n <= 3; n++) /* more than there are keys of thread-specific data */
        for (int i = 0; i < (n < 3 ? 10 : 1200); i++) {
            harness_fail_none();
            harness_fail_from(OS_COMMIT, n);
            ck_assert_ptr_null(alloc_block(100));
            ck_assert_uint_eq(harness_reserved_bytes(), 0);
        }
    harness_fail_none();
    ck_assert(init_once());
    void *block = alloc_block(100);
    ck_assert_msg(heap_of_thread() != NULL, "the keys of thread-specific data are used up");
    alloc_free(block);
}
END_TEST

START_TEST(without_a_start_nothing_is_owned) {
    for (uint64_t n = 1; n < 4; n++) {
        core_start("region=1G");
        harness_fail_from(OS_COMMIT, n);
        ck_assert_ptr_null(alloc_block(100));
        ck_assert(!alloc_owns((void *)(ro.region_base + 100)));
        core_expect_free_report(REPORT_INVALID_FREE, &core_address);
    }
}
END_TEST

/* --- Limits ---------------------------------------------------------------------------------- */

START_TEST(a_small_region_is_enough) {
    core_start("region=32M");
    void *block = alloc_block(100);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq(ro.region_span, 32 * MIB);
    alloc_free(block);
}
END_TEST

static bool limit_address_space(size_t bytes) {
    struct rlimit limit = {bytes, bytes};
    if (CORE_SANITIZED) {
        printf("skipped: a sanitizer's shadow does not fit a limited address space\n");
        return false;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    return true;
}

/* What a process under moat takes of its address space before it allocates. */
START_TEST(a_start_takes_little_of_the_address_space) {
    core_start(NULL);
    if (_i == 1 && !limit_address_space(256 * MIB)) return;
    void *block = alloc_block(100);
    ck_assert_ptr_nonnull(block);
    /* under a limit a segment that all threads share is provided too */
    ck_assert_uint_le(harness_reserved_bytes(), (_i == 1 ? 10u : 5u) * MIB);
    ck_assert_uint_le(harness_mapping_count(), 20);
    alloc_free(block);
}
END_TEST

/* A place where something lies is left, and others are chosen. */
START_TEST(a_start_survives_what_lies_in_its_way) {
    core_start(NULL);
    harness_set_seed(7);
    ck_assert(init_once());
    const uintptr_t taken[] = {segment_address(1) - ro.os_page, (uintptr_t)ro.pages, ro.heaps_base};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        core_start(NULL);
        harness_set_seed(7);
        void *other = mmap((void *)taken[i], os_page_size(), PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        ck_assert_ptr_eq(other, (void *)taken[i]);
        void *block = alloc_block(100);
        ck_assert_ptr_nonnull(block);
        alloc_free(block);
        ck_assert_int_eq(munmap(other, os_page_size()), 0);
        core_stop();
        ck_assert_uint_eq(harness_reserved_bytes(), 0);
    }
}
END_TEST

static void *start_here(void *gate) {
    pthread_barrier_wait(gate);
    void *block = alloc_block(64);
    alloc_free(block);
    return block;
}

START_TEST(threads_that_start_together_start_once) {
    ck_assert(init_once());
    for (int round = 0; round < 50; round++) {
        pthread_t threads[4];
        pthread_barrier_t gate;
        core_start("region=1G");
        ck_assert_int_eq(pthread_barrier_init(&gate, NULL, 4), 0);
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, start_here, &gate), 0);
        for (int i = 0; i < 4; i++) {
            void *block = NULL;
            ck_assert_int_eq(pthread_join(threads[i], &block), 0);
            ck_assert_ptr_nonnull(block);
        }
        /* a segment each; a second start would have left its own */
        ck_assert_uint_le(harness_reserved_bytes(), 5 * SEGMENT_SIZE);
        check_all();
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("init");
    TCase *group = tcase_create("init");
    tcase_add_checked_fixture(group, start, core_teardown);
    tcase_set_timeout(group, 100);
    tcase_add_test(group, the_first_call_initialises_and_later_ones_do_nothing);
    tcase_add_test(group, a_free_of_null_and_a_query_of_null_need_no_allocator);
    tcase_add_test(group, every_table_has_inaccessible_memory_around_it);
    tcase_add_test(group, wild_pointers_into_the_region_are_reported);
    tcase_add_test_raise_signal(group, what_never_changes_is_read_only, SIGSEGV);
    tcase_add_loop_test(group, what_never_changes_is_sealed_where_no_filter_may_be, 0,
                        sizeof worlds / sizeof *worlds);
    tcase_add_test(group, the_extent_is_closed_before_the_start_is_over);
    tcase_add_test(group, without_files_none_is_opened);
    tcase_add_test(group, how_many_mappings_there_may_be_is_asked_where_it_matters);
    tcase_add_test(group, every_start_has_its_own_layout);
    tcase_add_test(group, each_system_call_failing_in_turn_is_survived);
    tcase_add_test(group, calls_that_fail_for_long_are_survived);
    tcase_add_test(group, failed_starts_leave_nothing_behind);
    tcase_add_test(group, without_a_start_nothing_is_owned);
    tcase_add_test(group, a_small_region_is_enough);
    tcase_add_loop_test(group, a_start_takes_little_of_the_address_space, 0, 2);
    tcase_add_test(group, a_start_survives_what_lies_in_its_way);
    tcase_add_test(group, threads_that_start_together_start_once);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
