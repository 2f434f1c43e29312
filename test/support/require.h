/*
 * require: what a test program says and how it ends.
 *
 * Everything goes to standard output by one write(2) a line and without allocating, so that a test
 * can speak while the allocator under test is in any state, and so that standard error belongs to
 * moat's report alone. Any thread may call these.
 */
#ifndef TEST_REQUIRE_H
#define TEST_REQUIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit status by which CTest knows a skipped test (SKIP_RETURN_CODE). */
#define TEST_SKIPPED 77

/* One line on standard output; the newline is added. At most 500 characters. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "failed: FILE:LINE: …", then exit status 1 without running exit handlers. */
_Noreturn void require_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "skipped: …", then exit status TEST_SKIPPED. The reason is for the reader of the test log. */
_Noreturn void skip_test(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* REQUIRE(condition, "format", …): the message says what should have held. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) require_failed(__FILE__, __LINE__, __VA_ARGS__);                         \
    } while (0)

/* Hides from the compiler where a pointer came from: without it misuse is "optimised" or diagnosed
   at compile time. */
static inline void *launder(const void *pointer) {
    uintptr_t value = (uintptr_t)pointer;
    __asm__ volatile("" : "+r"(value) : : "memory");
    return (void *)value;
}

#endif
