/*
 * test_report_json: a report as a line of JSON (src/report/report_json.h): what stands in it, and
 * that it is JSON whatever is known and however little room there is.
 */
#include "report/report_json.h"

#include "report/who.h"
#include "os/os.h"

#include "suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct backtrace_workspace workspace;
static struct backtrace stack;
static char line[20000];

static const char *written(const struct report_content *content, size_t capacity) {
    struct format json = format_in(line, capacity);
    report_json(&json, content, &workspace);
    ck_assert_uint_le(json.length, capacity);
    line[json.length] = '\0';
    return line;
}

/* --- A reader --------------------------------------------------------------------------------- */

static const char *skip_value(const char *at);

static const char *skip_string(const char *at) {
    if (at == NULL || *at++ != '"') return NULL;
    for (; *at != '"'; at++) {
        if (*at < ' ' || *at > '~') return NULL;
        if (*at == '\\' && *++at != '"' && *at != '\\') return NULL;
    }
    return at + 1;
}

static const char *skip_members(const char *at, char end, bool named) {
    if (*++at == end) return at + 1;
    for (;;) {
        if (named) {
            at = skip_string(at);
            if (at == NULL || *at++ != ':') return NULL;
        }
        at = skip_value(at);
        if (at == NULL) return NULL;
        if (*at == end) return at + 1;
        if (*at++ != ',') return NULL;
    }
}

static const char *skip_value(const char *at) {
    if (*at == '{') return skip_members(at, '}', true);
    if (*at == '[') return skip_members(at, ']', false);
    if (*at == '"') return skip_string(at);
    if (strncmp(at, "true", 4) == 0) return at + 4;
    if (strncmp(at, "false", 5) == 0) return at + 5;
    size_t digits = strspn(at, "0123456789");
    return digits != 0 ? at + digits : NULL;
}

/* One object, and a newline. */
static void assert_json(const char *text) {
    const char *end = *text == '{' ? skip_value(text) : NULL;
    ck_assert_msg(end != NULL && strcmp(end, "\n") == 0, "no JSON: %s", text);
}

/* --- What stands in it ------------------------------------------------------------------------ */

static const char *who(void) {
    static char text[512];
    char program[WHO_NAME], thread[WHO_NAME];
    int program_length = (int)who_program_name(program),
        thread_length = (int)who_thread_name(thread);
    snprintf(text, sizeof text,
             "\"process\":%u,\"thread\":%u,\"program\":\"%.*s\",\"thread_name\":\"%.*s\"",
             os_process_id(), os_thread_id(), program_length, program, thread_length, thread);
    return text;
}

START_TEST(everything_that_is_known_has_its_member) {
    struct report_facts facts = {.block_start = 0x7f0000001000,
                                 .block_size = 48,
                                 .block_state = "free",
                                 .asked_for = 41,
                                 .asked_by = "new[]",
                                 .page_start = 0x7f0000000000,
                                 .page_size = 64 * KIB,
                                 .page_kind = "small",
                                 .segment_start = 0x7f0000000000,
                                 .segment_owner = "another thread",
                                 .owner_thread = 77,
                                 .owner_name = "a \"b\"\n",
                                 .before = {0x7f0000000fd0, "in use"},
                                 .behind = {0x7f0000001030, "never handed out"},
                                 .place = "a place",
                                 .nearest_start = 0x7f0000002000,
                                 .nearest_size = 0};
    struct report_content content = {.kind = REPORT_DOUBLE_FREE,
                                     .what = "second free of a block",
                                     .ends = true,
                                     .address = 0x7f0000001000,
                                     .facts = &facts,
                                     .stack = &stack};
    char expected[2048];
    stack.count = 1;
    stack.frames[0] = 0x10; /* of no module */
    module_table_reset(&workspace.modules);
    snprintf(expected, sizeof expected,
             "{\"version\":1,\"kind\":\"double-free\",\"what\":\"second free of a block\","
             "\"address\":\"0x7f0000001000\",\"ends\":true,%s,"
             "\"block\":{\"address\":\"0x7f0000001000\",\"size\":48,\"state\":\"free\","
             "\"asked_for\":41,\"asked_by\":\"new[]\"},"
             "\"before\":{\"address\":\"0x7f0000000fd0\",\"state\":\"in use\"},"
             "\"behind\":{\"address\":\"0x7f0000001030\",\"state\":\"never handed out\"},"
             "\"page\":{\"address\":\"0x7f0000000000\",\"size\":65536,\"kind\":\"small\"},"
             "\"segment\":{\"address\":\"0x7f0000000000\",\"owner\":\"another thread\","
             "\"owner_thread\":77,\"owner_name\":\"a "
             "\\\"b\\\"?\"},\"nearest\":{\"address\":\"0x7f0000002000\",\"size\":0},"
             "\"place\":\"a place\",\"stack\":[{\"offset\":\"0x10\"}],\"omitted\":0}\n",
             who());
    ck_assert_str_eq(written(&content, sizeof line - 1), expected);
    assert_json(line);
}
END_TEST

START_TEST(what_is_not_known_has_none) {
    struct report_content content = {
        .kind = REPORT_REENTRANT_CALL, .what = "a \"call\\", .stack = &stack};
    char expected[1024];
    stack.count = 0;
    snprintf(expected, sizeof expected,
             "{\"version\":1,\"kind\":\"reentrant-call\",\"what\":\"a \\\"call\\\\\","
             "\"address\":\"0x0\",\"ends\":false,%s,\"stack\":[],\"omitted\":0}\n",
             who());
    ck_assert_str_eq(written(&content, sizeof line - 1), expected);
    assert_json(line);
}
END_TEST

START_TEST(a_mismatch_has_what_was_given) {
    struct report_facts facts = {.size_given = 0, .size_expected = 48};
    struct report_content content = {
        .kind = REPORT_SIZE_MISMATCH, .what = "w", .facts = &facts, .stack = &stack};
    stack.count = 0;
    ck_assert_ptr_nonnull(
        strstr(written(&content, sizeof line - 1), ",\"given\":0,\"expected\":48,"));
}
END_TEST

START_TEST(an_address_outside_has_its_mapping) {
    struct report_content content = {
        .kind = REPORT_INVALID_FREE, .what = "w", .address = (uintptr_t)&content, .stack = &stack};
    stack.count = 0;
    ck_assert_ptr_nonnull(strstr(written(&content, sizeof line - 1), ",\"place\":\"[stack] (rw"));
    assert_json(line);
}
END_TEST

/* --- Room ------------------------------------------------------------------------------------- */

START_TEST(frames_have_module_function_and_build_id) {
    struct report_content content = {.kind = REPORT_DOUBLE_FREE, .what = "w", .stack = &stack};
    stack.count = 1;
    stack.frames[0] = (uintptr_t)&abort + 3;
    module_table_reset(&workspace.modules);
    written(&content, sizeof line - 1);
    assert_json(line);
    ck_assert_ptr_nonnull(strstr(line, "libc.so"));
    ck_assert_ptr_nonnull(strstr(line, "\"function\":\"abort\",\"into\":3}],\"omitted\":0}"));
    ck_assert_ptr_nonnull(strstr(line, "\"build_id\":\""));
}
END_TEST

START_TEST(what_has_no_room_is_left_out_from_the_end) {
    struct report_content content = {.kind = REPORT_DOUBLE_FREE, .what = "w", .stack = &stack};
    unsigned last = 0;
    stack.count = BACKTRACE_DEPTH;
    for (unsigned i = 0; i < BACKTRACE_DEPTH; i++) stack.frames[i] = (uintptr_t)&abort + 3;
    module_table_reset(&workspace.modules);
    for (size_t capacity = REPORT_JSON_LEAST; capacity < 16000; capacity += 37) {
        written(&content, capacity);
        assert_json(line);
        unsigned frames = 0, omitted = 0;
        for (const char *at = line; (at = strstr(at, "\"offset\":")) != NULL; at++) frames++;
        ck_assert_int_eq(sscanf(strstr(line, "\"omitted\":"), "\"omitted\":%u}", &omitted), 1);
        ck_assert_uint_eq(frames + omitted, BACKTRACE_DEPTH);
        ck_assert_uint_ge(frames, last);
        last = frames;
    }
    ck_assert_uint_eq(last, BACKTRACE_DEPTH);
}
END_TEST

/* The longest texts, with a sign in front of each character. */
START_TEST(the_least_room_is_enough_for_all_but_the_stack) {
    static char longest[161];
    struct report_neighbour neighbour = {UINTPTR_MAX, longest};
    memset(longest, '"', sizeof longest - 1);
    struct report_facts facts = {.block_start = UINTPTR_MAX,
                                 .block_size = SIZE_MAX,
                                 .block_state = longest + 100,
                                 .page_start = UINTPTR_MAX,
                                 .page_size = SIZE_MAX,
                                 .page_kind = "zero-size",
                                 .segment_start = UINTPTR_MAX,
                                 .segment_owner = longest + 100,
                                 .owner_thread = 4194304,
                                 .before = neighbour,
                                 .behind = neighbour,
                                 .nearest_start = UINTPTR_MAX,
                                 .nearest_size = SIZE_MAX,
                                 .size_given = SIZE_MAX,
                                 .size_expected = SIZE_MAX};
    facts.before.state = facts.behind.state = longest + 100;
    struct report_content content = {.kind = REPORT_ALIGNMENT_MISMATCH,
                                     .what = longest + 60,
                                     .address = UINTPTR_MAX,
                                     .facts = &facts,
                                     .stack = &stack};
    stack.count = BACKTRACE_DEPTH;
    written(&content, REPORT_JSON_LEAST);
    assert_json(line);
    ck_assert_ptr_nonnull(strstr(line, "\"omitted\":"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_json");
    TCase *group = tcase_create("report_json");
    tcase_add_test(group, everything_that_is_known_has_its_member);
    tcase_add_test(group, what_is_not_known_has_none);
    tcase_add_test(group, a_mismatch_has_what_was_given);
    tcase_add_test(group, an_address_outside_has_its_mapping);
    tcase_add_test(group, frames_have_module_function_and_build_id);
    tcase_add_test(group, what_has_no_room_is_left_out_from_the_end);
    tcase_add_test(group, the_least_room_is_enough_for_all_but_the_stack);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
