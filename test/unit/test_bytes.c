/*
 * test_bytes: filling, copying and comparing without the C library, beside the C library's.
 */
#include "base/bytes.h"

#include "suite.h"
#include <stdlib.h>
#include <string.h>

#define ROOM 100

static unsigned char ours[ROOM], theirs[ROOM];

static void fill_with_numbers(void) {
    for (int i = 0; i < ROOM; i++) ours[i] = theirs[i] = (unsigned char)(i * 7);
}

START_TEST(a_fill_is_that_many_bytes_and_no_more) {
    for (size_t size = 0; size <= 70; size++) {
        fill_with_numbers();
        ck_assert_ptr_eq(moat_fill(ours + 3, 0x1ab, size), ours + 3); /* the low byte counts */
        memset(theirs + 3, 0xab, size);
        ck_assert_mem_eq(ours, theirs, ROOM);
    }
}
END_TEST

START_TEST(a_copy_and_a_move_give_what_was_there) {
    for (size_t size = 0; size <= 40; size++)
        for (size_t to = 0; to < 60; to++) {
            fill_with_numbers();
            ck_assert_ptr_eq(moat_move(ours + to, ours + 20, size), ours + to);
            memmove(theirs + to, theirs + 20, size);
            ck_assert_mem_eq(ours, theirs, ROOM);
            if (to < 20 + size && 20 < to + size) continue; /* they overlap */
            fill_with_numbers();
            ck_assert_ptr_eq(moat_copy(ours + to, ours + 20, size), ours + to);
            memmove(theirs + to, theirs + 20, size);
            ck_assert_mem_eq(ours, theirs, ROOM);
        }
}
END_TEST

START_TEST(a_comparison_tells_the_first_difference) {
    static const unsigned char low[] = {1, 2, 0x7f, 9}, high[] = {1, 2, 0x80, 0};
    ck_assert_int_eq(moat_compare(low, high, 2), 0);
    ck_assert_int_eq(moat_compare(low, high, 0), 0);
    ck_assert_int_lt(moat_compare(low, high, 4), 0);
    ck_assert_int_gt(moat_compare(high, low, 4), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("bytes");
    TCase *group = tcase_create("bytes");
    tcase_add_test(group, a_fill_is_that_many_bytes_and_no_more);
    tcase_add_test(group, a_copy_and_a_move_give_what_was_there);
    tcase_add_test(group, a_comparison_tells_the_first_difference);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
