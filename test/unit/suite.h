/*
 * suite: what main() of a unit test does with its suite.
 */
#ifndef TEST_UNIT_SUITE_H
#define TEST_UNIT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs it; what main() returns. */
static inline int suite_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
