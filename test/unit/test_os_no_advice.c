/*
 * test_os_no_advice: how memory is emptied where madvise() may not be called (src/os/os.h): by a
 * mapping in its place, which the kernel may refuse after it has unmapped what was there.
 */
#define _GNU_SOURCE
#include "core.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { PAGES = 4 };

/* What has become of the memory as the call fails, and what another thread has mapped there by
   then: OS pages from its first one on. */
static const struct failure {
    bool unmapped;
    size_t mapped_from, mapped_to;
    bool lost;
} failures[] = {{false, 0, 0, false}, {true, 0, 0, false}, {true, 0, PAGES, true},
                {true, 0, 1, true},   {true, 3, 4, true},  {true, 1, 2, true}};
static const struct failure *failure;
static size_t page;

static bool play_failure(long number, const long *arguments, long *result) {
    if (number != SYS_mmap || (arguments[3] & MAP_FIXED) == 0) return false;
    char *start = (char *)arguments[0];
    size_t size = (failure->mapped_to - failure->mapped_from) * page;
    if (failure->unmapped) core_require(munmap(start, (size_t)arguments[1]) == 0);
    if (size != 0)
        core_require(mmap(start + failure->mapped_from * page, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
    *result = -ENOMEM;
    return true;
}

static char *make(void) {
    core_start_ready("madvise=off");
    page = ro.os_page;
    char *start = os_reserve(PAGES * page, page, 0);
    ck_assert_ptr_nonnull(start);
    ck_assert(os_commit(start, PAGES * page));
    memset(start, 5, PAGES * page);
    return start;
}

static void expect_bytes(const char *start, char byte) {
    for (size_t i = 0; i < PAGES * page; i++) core_require(start[i] == byte);
}

START_TEST(memory_is_emptied_by_a_mapping_in_its_place) {
    char *start = make();
    ck_assert(os_purge(start, PAGES * page));
    expect_bytes(start, 0);
}
END_TEST

static void purge(void *start) { (void)os_purge(start, PAGES * page); }

/* It is there as before, or there and empty; or the process ends, rather than go on with what is
   another's. */
START_TEST(a_failure_half_way_leaves_no_hole) {
    char *start = make();
    failure = &failures[_i];
    harness_set_kernel(play_failure);
    if (failure->lost) {
        core_expect_report(REPORT_CORRUPT_METADATA, purge, start);
        return;
    }
    ck_assert_int_eq(os_purge(start, PAGES * page), failure->unmapped);
    expect_bytes(start, failure->unmapped ? 0 : 5);
    start[0] = 1;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("os_no_advice");
    TCase *group = tcase_create("purge");
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_add_test(group, memory_is_emptied_by_a_mapping_in_its_place);
    tcase_add_loop_test(group, a_failure_half_way_leaves_no_hole, 0,
                        sizeof failures / sizeof *failures);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
