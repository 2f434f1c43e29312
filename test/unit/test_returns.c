/*
 * test_returns: the count of blocks that a page's owner has freed (src/heap/returns.h): its worked
 * example, step by step, and the count against a model for any order of steps.
 */
#include "heap/returns.h"

#include "suite.h"
#include <stdlib.h>

static struct returns returns;

static void is(int32_t event_above, int32_t countdown, uint32_t count) {
    ck_assert_int_eq(returns.event_above, event_above);
    ck_assert_int_eq(returns.countdown, countdown);
    ck_assert_uint_eq(returns_count(&returns), count);
}

START_TEST(a_page_of_four_blocks_as_its_header_tells_it) {
    returns = (struct returns){RETURNS_NEVER, RETURNS_NEVER};
    returns_expect(&returns, 3);
    is(3, 3, 0);
    ck_assert(!returns_add(&returns));
    is(3, 2, 1);
    ck_assert(!returns_add(&returns));
    is(3, 1, 2);
    returns_take(&returns);
    is(3, 3, 0);
    returns_expect(&returns, 2);
    is(2, 2, 0);
    ck_assert(!returns_add(&returns));
    ck_assert(!returns_add(&returns));
    is(2, 0, 2);
    ck_assert(returns_add(&returns));
    is(2, -1, 3);
}
END_TEST

START_TEST(nothing_is_an_event_that_nobody_expects) {
    returns = (struct returns){RETURNS_NEVER, RETURNS_NEVER};
    for (int i = 0; i < 5000; i++) ck_assert(!returns_add(&returns));
    is(RETURNS_NEVER, RETURNS_NEVER - 5000, 5000);
}
END_TEST

START_TEST(the_count_survives_any_change_of_what_is_expected) {
    static const int32_t events[] = {-1, 0, 1, 4095, RETURNS_NEVER};
    for (size_t from = 0; from < 5; from++)
        for (size_t to = 0; to < 5; to++) {
            returns = (struct returns){events[from], events[from]};
            for (uint32_t count = 0; count < 3; count++) {
                returns_expect(&returns, events[to]);
                ck_assert_uint_eq(returns_count(&returns), count);
                ck_assert_int_eq(returns_add(&returns), (int32_t)count + 1 > events[to]);
                returns_expect(&returns, events[from]);
            }
        }
}
END_TEST

START_TEST(some_at_once_count_as_one_by_one) {
    returns = (struct returns){RETURNS_NEVER, RETURNS_NEVER};
    returns_expect(&returns, 4);
    returns_add_some(&returns, 3);
    ck_assert_uint_eq(returns_count(&returns), 3);
    ck_assert(!returns_add(&returns));
    returns_add_some(&returns, 0);
    ck_assert_uint_eq(returns_count(&returns), 4);
    ck_assert(returns_add(&returns));
    returns_take(&returns);
    ck_assert_uint_eq(returns_count(&returns), 0);
}
END_TEST

/* Who looks while the owner writes one word after the other. */
START_TEST(a_mixture_gives_some_number) {
    returns = (struct returns){.countdown = -1, .event_above = RETURNS_NEVER};
    ck_assert_uint_eq(returns_count(&returns), (uint32_t)1 << 31);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("returns");
    TCase *group = tcase_create("returns");
    tcase_add_test(group, a_page_of_four_blocks_as_its_header_tells_it);
    tcase_add_test(group, nothing_is_an_event_that_nobody_expects);
    tcase_add_test(group, the_count_survives_any_change_of_what_is_expected);
    tcase_add_test(group, some_at_once_count_as_one_by_one);
    tcase_add_test(group, a_mixture_gives_some_number);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
