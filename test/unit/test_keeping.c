/*
 * test_keeping: what is kept beyond the purge delay, and what not (src/heap/keeping.h).
 */
#include "heap/keeping.h"
#include "suite.h"

#define NOW 100000u

static struct keeping keeping;

static void setup(void) { keeping = (struct keeping){0}; }

/* Units that went back are wanted again. */
static void need(uint32_t units, uint64_t now) {
    keeping_gave(&keeping, units, now);
    keeping_missed(&keeping, units, now);
}

START_TEST(nothing_is_kept_that_was_not_wanted_again) {
    keeping_observe(&keeping, 1000, NOW);
    ck_assert(!keeping_allows(&keeping, 0, 1, NOW));
    keeping_missed(&keeping, 1000, NOW); /* a program that only grows */
    keeping_gave(&keeping, 1000, NOW);   /* or only shrinks */
    ck_assert(!keeping_allows(&keeping, 0, 1, NOW));
}
END_TEST

START_TEST(what_is_wanted_again_within_a_second_is_kept_for_one) {
    keeping_observe(&keeping, 1000, NOW);
    keeping_gave(&keeping, KEEPING_NEED, NOW);
    keeping_missed(&keeping, KEEPING_NEED, NOW + KEEPING_TIME);
    ck_assert(keeping_is_on(&keeping, NOW + KEEPING_TIME));
    ck_assert(keeping_is_on(&keeping, NOW + 2 * KEEPING_TIME - 1));
    ck_assert(!keeping_is_on(&keeping, NOW + 2 * KEEPING_TIME));
}
END_TEST

START_TEST(a_little_or_too_late_is_no_need) {
    need(KEEPING_NEED - 1, NOW);
    ck_assert(!keeping_is_on(&keeping, NOW));
    setup();
    keeping_gave(&keeping, 1000, NOW);
    keeping_missed(&keeping, 1000, NOW + KEEPING_TIME + 1);
    ck_assert(!keeping_is_on(&keeping, NOW + KEEPING_TIME + 1));
    setup();
    keeping_gave(&keeping, 4, NOW); /* no more than went back */
    keeping_missed(&keeping, 1000, NOW);
    ck_assert(!keeping_is_on(&keeping, NOW));
    setup();
    for (unsigned i = 0; i < 4; i++) { /* a little in each window */
        need(KEEPING_NEED / 2, NOW + i * KEEPING_WINDOW);
        keeping_observe(&keeping, 1000, NOW + (i + 1) * KEEPING_WINDOW);
    }
    ck_assert(!keeping_is_on(&keeping, NOW + 4 * KEEPING_WINDOW));
}
END_TEST

START_TEST(what_was_kept_and_taken_goes_on_being_kept) {
    need(KEEPING_NEED, NOW);
    keeping_served(&keeping, NOW + KEEPING_TIME - 1);
    ck_assert(keeping_is_on(&keeping, NOW + 2 * KEEPING_TIME - 2));
    keeping_served(&keeping, NOW + 4 * KEEPING_TIME); /* nothing was kept any more */
    ck_assert(!keeping_is_on(&keeping, NOW + 4 * KEEPING_TIME));
}
END_TEST

START_TEST(use_and_keeping_are_nine_eighths_of_the_latest_peak) {
    need(KEEPING_NEED, NOW);
    keeping_observe(&keeping, 1000, NOW);
    keeping_observe(&keeping, 10, NOW + 1);
    ck_assert(keeping_allows(&keeping, 10, 1115, NOW + 1));
    ck_assert(!keeping_allows(&keeping, 10, 1116, NOW + 1));
    ck_assert(!keeping_allows(&keeping, 1000, 126, NOW + 1));
}
END_TEST

START_TEST(a_peak_counts_for_two_windows_at_most) {
    need(KEEPING_NEED, NOW);
    keeping_observe(&keeping, 1000, NOW);
    keeping_observe(&keeping, 10, NOW + KEEPING_WINDOW);
    ck_assert(keeping_allows(&keeping, 10, 1000, NOW + KEEPING_WINDOW));
    keeping_observe(&keeping, 10, NOW + 2 * KEEPING_WINDOW);
    ck_assert(!keeping_allows(&keeping, 10, 1000, NOW + 2 * KEEPING_WINDOW));
    keeping_observe(&keeping, 1000, NOW + 2 * KEEPING_WINDOW);
    keeping_observe(&keeping, 10, NOW + 4 * KEEPING_WINDOW); /* nobody came by meanwhile */
    need(KEEPING_NEED, NOW + 4 * KEEPING_WINDOW);
    ck_assert(!keeping_allows(&keeping, 10, 1000, NOW + 4 * KEEPING_WINDOW));
}
END_TEST

/* What threads share is told of by clocks that they read at different times. */
START_TEST(a_clock_that_lags_forgets_nothing) {
    need(KEEPING_NEED, NOW);
    keeping_observe(&keeping, 1000, NOW);
    keeping_observe(&keeping, 10, NOW - 1);
    ck_assert(keeping_allows(&keeping, 10, 1000, NOW - 1));
    keeping_gave(&keeping, 100, NOW);
    keeping_gave(&keeping, 1, NOW - 1);
    ck_assert_uint_eq(keeping.given, 101);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("keeping");
    TCase *group = tcase_create("keeping");
    tcase_add_checked_fixture(group, setup, NULL);
    tcase_add_test(group, nothing_is_kept_that_was_not_wanted_again);
    tcase_add_test(group, what_is_wanted_again_within_a_second_is_kept_for_one);
    tcase_add_test(group, a_little_or_too_late_is_no_need);
    tcase_add_test(group, what_was_kept_and_taken_goes_on_being_kept);
    tcase_add_test(group, use_and_keeping_are_nine_eighths_of_the_latest_peak);
    tcase_add_test(group, a_peak_counts_for_two_windows_at_most);
    tcase_add_test(group, a_clock_that_lags_forgets_nothing);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
