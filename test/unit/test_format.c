/*
 * test_format: the text builder of reports (src/base/format.h).
 */
#include "base/format.h"

#include "suite.h"
#include <stdio.h>
#include <string.h>

enum { CAPACITY = 128, CANARY = 0x5a };

/* A buffer of `capacity` bytes with canaries behind it, so that a byte too many is seen. */
static char buffer[CAPACITY + 16];

static struct format format_of(size_t capacity) {
    memset(buffer, CANARY, sizeof buffer);
    return format_in(buffer, capacity);
}

static void assert_text(const struct format *format, const char *expected) {
    ck_assert_uint_eq(format->length, strlen(expected));
    ck_assert_mem_eq(format->text, expected, format->length);
    for (size_t i = format->capacity; i < sizeof buffer; i++) ck_assert_int_eq(buffer[i], CANARY);
}

static const uint64_t numbers[] = {0,
                                   1,
                                   9,
                                   10,
                                   15,
                                   16,
                                   99,
                                   255,
                                   256,
                                   4095,
                                   65536,
                                   0x7f00,
                                   1234567890,
                                   UINT32_MAX,
                                   0x123456789abcdef0,
                                   (uint64_t)INT64_MAX,
                                   UINT64_MAX};

START_TEST(numbers_are_printed_as_by_printf) {
    uint64_t value = numbers[_i];
    char expected[64];
    struct format format = format_of(CAPACITY);
    format_decimal(&format, value);
    format_string(&format, " ");
    format_hex(&format, value);
    snprintf(expected, sizeof expected, "%llu 0x%llx", (unsigned long long)value,
             (unsigned long long)value);
    assert_text(&format, expected);
}
END_TEST

START_TEST(sizes_take_the_largest_unit_that_divides_them) {
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {{0, "0 bytes"},       {1, "1 byte"},
                 {48, "48 bytes"},     {1023, "1023 bytes"},
                 {1024, "1 KiB"},      {1025, "1025 bytes"},
                 {64 * KIB, "64 KiB"}, {1536, "1536 bytes"},
                 {4 * MIB, "4 MiB"},   {4 * MIB + KIB, "4097 KiB"},
                 {2 * GIB, "2 GiB"},   {4096 * GIB, "4096 GiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct format format = format_of(CAPACITY);
        format_size(&format, cases[i].bytes);
        assert_text(&format, cases[i].text);
    }
}
END_TEST

START_TEST(build_id_bytes_have_two_digits_each) {
    static const uint8_t bytes[] = {0x00, 0x0f, 0xf0, 0xab, 0xff};
    struct format format = format_of(CAPACITY);
    format_hex_bytes(&format, bytes, sizeof bytes);
    assert_text(&format, "000ff0abff");
}
END_TEST

START_TEST(foreign_bytes_cannot_add_lines_or_steer_a_terminal) {
    static const char bytes[] = "a\n\x1b[2J\x7f\x80\xff\0b c~";
    struct format format = format_of(CAPACITY);
    format_foreign(&format, bytes, sizeof bytes - 1);
    assert_text(&format, "a??[2J????b c~");
}
END_TEST

START_TEST(what_does_not_fit_is_cut_and_stays_a_line) {
    for (size_t capacity = 1; capacity <= 12; capacity++) {
        struct format format = format_of(capacity);
        char expected[] = "0123456789ab";
        format_string(&format, expected);
        format_decimal(&format, 12345);
        format_hex(&format, 12345);
        format_foreign(&format, "x", 1);
        format_end_line(&format);
        expected[capacity - 1] = '\n';
        expected[capacity] = '\0';
        assert_text(&format, expected);
    }
}
END_TEST

START_TEST(lines_follow_each_other) {
    struct format format = format_of(CAPACITY);
    format_string(&format, "one");
    format_end_line(&format);
    format_end_line(&format);
    format_string(&format, "two");
    format_end_line(&format);
    assert_text(&format, "one\n\ntwo\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("format");
    TCase *group = tcase_create("format");
    tcase_add_loop_test(group, numbers_are_printed_as_by_printf, 0,
                        sizeof numbers / sizeof *numbers);
    tcase_add_test(group, sizes_take_the_largest_unit_that_divides_them);
    tcase_add_test(group, build_id_bytes_have_two_digits_each);
    tcase_add_test(group, foreign_bytes_cannot_add_lines_or_steer_a_terminal);
    tcase_add_test(group, what_does_not_fit_is_cut_and_stays_a_line);
    tcase_add_test(group, lines_follow_each_other);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
