/*
 * test_report_sinks: reports that let the program go on, and the line of JSON (src/report/report.h
 * and sink.h), each made in a forked child.
 */
#include "harness/harness.h"
#include "meta/ro.h"

#include "last_words.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

/* --- Reports that do not end the process ------------------------------------------------------ */

static pthread_barrier_t together;

static void *report_and_go_on(void *unused) {
    (void)unused;
    pthread_barrier_wait(&together);
    for (unsigned i = 0; i < 5; i++) report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, NULL);
    return NULL;
}

static void report_by_turns(void) {
    pthread_t threads[4];
    sigset_t before, after;
    if (pthread_sigmask(SIG_SETMASK, NULL, &before) != 0) _exit(90);
    if (pthread_barrier_init(&together, NULL, 4) != 0) _exit(97);
    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, report_and_go_on, NULL) != 0) _exit(96);
    for (unsigned i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, NULL);
    if (pthread_sigmask(SIG_SETMASK, NULL, &after) != 0) _exit(90);
    _exit(memcmp(&before, &after, 8) == 0 ? 42 : 43);
}

/* A first line is followed by the rest of its report, by whichever thread. */
START_TEST(reports_that_go_on_take_turns_and_give_signals_back) {
    unsigned reports = 0;
    bool inside = false;
    run(report_by_turns);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 42, "the child ended with status 0x%x",
                  (unsigned)ended);
    for (const char *line = printed; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, "moat: error:", 12) == 0) {
            ck_assert(!inside);
            inside = true;
            reports++;
        } else if (strncmp(line, "moat: stack, ", 13) == 0) {
            ck_assert(inside);
            inside = false;
        }
    }
    ck_assert_uint_eq(reports, 21);
    ck_assert(!inside);
}
END_TEST

/* --- The line of JSON ------------------------------------------------------------------------- */

static char json_path[64];

static void to_file(void) {
    ro.options.report = SINK_FILE;
    strcpy(ro.options.report_where.text, json_path);
}

/* What a child wrote to its file; afterwards there is none. */
static void run_with_file(void (*body)(void)) {
    strcpy(json_path, "/tmp/moat-test-report-XXXXXX");
    int fd = mkstemp(json_path);
    ck_assert_int_ge(fd, 0);
    run(body);
    ssize_t got = read(fd, printed, sizeof printed - 1);
    ck_assert_int_ge(got, 0);
    printed[got] = '\0';
    close(fd);
    ck_assert_int_eq(unlink(json_path), 0);
}

/* One line that is whole, and says of whom it is. */
static void assert_json_line(void) {
    assert_aborted();
    static const char start[] = "{\"version\":1,\"kind\":\"double-free\",";
    ck_assert_msg(strncmp(printed, start, sizeof start - 1) == 0, "%s", printed);
    ck_assert_uint_eq(strcspn(printed, "\n"), strlen(printed) - 1);
    ck_assert_uint_eq(count("\"ends\":true"), 1);
    ck_assert_uint_gt(count("{\"offset\":"), 3);
    ck_assert_uint_eq(count("],\"omitted\":0}\n"), 1);
}

static void report_to_file(void) {
    to_file();
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

static void report_to_file_alone(void) {
    close(STDERR_FILENO);
    report_to_file();
}

/* Once it was full nobody waits for descriptor 2 again. */
static bool count_waits(long number, const long *arguments, long *result) {
    static unsigned waits;
    (void)result;
    if (number == SYS_ppoll && ((const struct pollfd *)arguments[0])->fd == STDERR_FILENO &&
        ++waits > 1)
        _exit(89);
    return false;
}

/* A pipe that nobody empties. */
static void report_to_file_and_full_stderr(void) {
    static char text[4096];
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) _exit(92);
    while (write(STDERR_FILENO, text, sizeof text) > 0) continue;
    harness_set_kernel(count_waits);
    report_to_file();
}

static void report_to_file_on_small_stack(void) {
    to_file();
    report_from_small_stack();
}

static void report_to_file_in_child(void) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) report_to_file();
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) _exit(91);
    abort();
}

START_TEST(a_file_gets_the_report_as_json) {
    run_with_file(report_to_file);
    assert_json_line();
    run_with_file(report_to_file_alone);
    assert_json_line();
    run_with_file(report_to_file_in_child);
    assert_json_line();
}
END_TEST

START_TEST(a_full_stderr_keeps_no_json_back) {
    run_with_file(report_to_file_and_full_stderr);
    assert_json_line();
}
END_TEST

START_TEST(json_is_written_from_a_small_signal_stack) {
    run_with_file(report_to_file_on_small_stack);
    assert_aborted();
    ck_assert_uint_eq(count("\"kind\":\"reentrant-call\""), 1);
    ck_assert_uint_eq(count(",\"omitted\":0}\n"), 1);
}
END_TEST

static void report_without_files(void) {
    to_file();
    ro.os.no_files = true;
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(where_no_file_may_be_opened_none_is) {
    run_with_file(report_without_files);
    assert_aborted();
    ck_assert_str_eq(printed, "");
}
END_TEST

static void go_on_with_file(void) {
    to_file();
    report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, NULL);
    report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, NULL);
    _exit(42);
}

START_TEST(a_report_that_goes_on_has_its_line_too) {
    run_with_file(go_on_with_file);
    ck_assert_int_eq(WEXITSTATUS(ended), 42);
    ck_assert_uint_eq(count("{\"version\":1,\"kind\":\"size-mismatch\","), 2);
    ck_assert_uint_eq(count("\"ends\":false"), 2);
    ck_assert_uint_eq(count("\n"), 2);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_sinks");
    TCase *group = tcase_create("report_sinks");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, reports_that_go_on_take_turns_and_give_signals_back);
    tcase_add_test(group, a_file_gets_the_report_as_json);
    tcase_add_test(group, a_full_stderr_keeps_no_json_back);
    tcase_add_test(group, json_is_written_from_a_small_signal_stack);
    tcase_add_test(group, where_no_file_may_be_opened_none_is);
    tcase_add_test(group, a_report_that_goes_on_has_its_line_too);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
