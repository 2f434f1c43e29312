/*
 * test_report: the last words of a process whose memory was misused (src/report/report.h).
 *
 * Each report is made in a forked child with a pipe in place of descriptor 2; the test reads what
 * came out and how it ended.
 */
#include "report/report.h"

#include "os/os.h"

#include "last_words.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- The table ------------------------------------------------------------------------------- */

static const struct {
    enum report_kind kind;
    const char *text;
} phrases[] = {
#define PHRASE(id, kind, text) {REPORT_##kind, text},
#include "report/kinds.def"
};

START_TEST(every_kind_has_a_name_of_its_own) {
    const char *name = report_kind_name((enum report_kind)_i);
    ck_assert_ptr_nonnull(name);
    ck_assert_uint_gt(strlen(name), 0);
    ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
    for (int other = 0; other < _i; other++)
        ck_assert_str_ne(name, report_kind_name((enum report_kind)other));
    ck_assert_str_eq(report_kind_name(REPORT_KINDS), "unknown");
}
END_TEST

static enum report_phrase phrase_now;

static void report_phrase_now(void) { report_fatal(phrase_now, ADDRESS, NULL); }

START_TEST(each_phrase_has_its_first_line_and_ends_in_an_abort) {
    char expected[160];
    phrase_now = (enum report_phrase)_i;
    run(report_phrase_now);
    assert_aborted();
    snprintf(expected, sizeof expected, "moat: fatal: %s: %s at 0x7f12345678",
             report_kind_name(phrases[_i].kind), phrases[_i].text);
    assert_first_line(expected);
    ck_assert_uint_eq(count("moat: fatal:"), 1);
    assert_only_moat_lines();
    for (int other = 0; other < _i; other++)
        ck_assert_str_ne(phrases[_i].text, phrases[other].text);
}
END_TEST

/* Word for word: they are an interface. (The phrases stand so in test_diagnose.c.) */
static const struct {
    enum report_stop stop;
    const char *detail, *line;
} stops[] = {
    {STOP_NO_RANDOM_BYTES, NULL,
     "moat: fatal: the kernel gives no random bytes (getrandom and /dev/urandom failed)\n"},
    {STOP_TWO_ALLOCATORS, "AddressSanitizer",
     "moat: fatal: two-allocators: AddressSanitizer is in this process and brings its own malloc; "
     "run this program without moat\n"},
    {STOP_NO_CXX_RUNTIME, NULL,
     "moat: fatal: out-of-memory: operator new failed, and no C++ runtime was found to throw "
     "std::bad_alloc\n"}};

static int stop_index;

static void stop_now(void) { report_stop(stops[stop_index].stop, stops[stop_index].detail); }

START_TEST(each_stop_is_one_line_and_an_abort) {
    ck_assert_uint_eq(sizeof stops / sizeof *stops, STOPS);
    stop_index = _i;
    run(stop_now);
    assert_aborted();
    ck_assert_int_eq((int)stops[_i].stop, _i);
    ck_assert_str_eq(printed, stops[_i].line);
}
END_TEST

static void fail_a_check(void) {
    MOAT_CHECK(ended == 12345, "the page is in no queue", (void *)0x10);
}

START_TEST(a_failed_check_is_corrupt_metadata) {
    run(fail_a_check);
    assert_aborted();
    assert_first_line("moat: fatal: corrupt-metadata: the page is in no queue at 0x10");
    assert_only_moat_lines();
}
END_TEST

static void fail_an_assertion(void) { MOAT_ASSERT(ended == 12345); }

START_TEST(a_failed_assertion_names_the_condition) {
    run(fail_an_assertion);
    assert_aborted();
    assert_first_line("moat: fatal: corrupt-metadata: assertion: ended == 12345 at 0x0");
}
END_TEST

/* --- What is known of the block --------------------------------------------------------------- */

static struct report_facts facts_now;

static void report_facts_now(void) { report_fatal(phrase_now, ADDRESS, &facts_now); }

START_TEST(what_is_known_is_printed) {
    facts_now = (struct report_facts){.block_start = 0x7f0000001000,
                                      .block_size = 48,
                                      .block_state = "free",
                                      .page_start = 0x7f0000000000,
                                      .page_size = 64 * KIB,
                                      .page_kind = "small",
                                      .segment_start = 0x7f0000400000,
                                      .segment_owner = "another thread",
                                      .owner_thread = 77,
                                      .owner_name = "a\tname"};
    phrase_now = PHRASE_SECOND_FREE;
    run(report_facts_now);
    assert_aborted();
    ck_assert(has_line("moat: block 0x7f0000001000 of 48 bytes, state: free"));
    ck_assert(has_line("moat: page 0x7f0000000000 (small, 64 KiB) in segment 0x7f0000400000, "
                       "owner: another thread (77, a?name)"));
    ck_assert_uint_eq(count(" given: "), 0);
    ck_assert_uint_eq(count("the address lies in"), 0);
    assert_only_moat_lines();
}
END_TEST

START_TEST(what_is_not_known_is_left_out) {
    phrase_now = PHRASE_FREE_OUTSIDE;
    facts_now = (struct report_facts){.block_state = "never allocated"};
    run(report_facts_now);
    ck_assert(has_line("moat: block, state: never allocated"));
    ck_assert_uint_eq(count("moat: page"), 0);
    facts_now = (struct report_facts){.page_start = 0x10000, .page_kind = "huge"};
    run(report_facts_now);
    ck_assert(has_line("moat: page 0x10000 (huge)"));
    ck_assert_uint_eq(count("moat: block"), 0);
    facts_now = (struct report_facts){
        .block_size = 1, .page_start = 0x10000, .page_size = 100, .segment_start = 0x400000};
    run(report_facts_now);
    ck_assert(has_line("moat: block of 1 byte"));
    ck_assert(has_line("moat: page 0x10000 (100 bytes) in segment 0x400000"));
    facts_now =
        (struct report_facts){.segment_start = 0x400000, .segment_owner = "no thread (abandoned)"};
    run(report_facts_now);
    ck_assert(has_line("moat: segment 0x400000, owner: no thread (abandoned)"));
    facts_now = (struct report_facts){.block_start = 0};
    run(report_facts_now);
    ck_assert_uint_eq(count("moat: block") + count("moat: page") + count("moat: segment"), 0);
    ck_assert_uint_eq(count("moat: of it"), 0);
    facts_now =
        (struct report_facts){.owner_thread = 77, .segment_start = 0x400000, .asked_for = 1};
    run(report_facts_now);
    ck_assert(has_line("moat: segment 0x400000 (77)"));
    ck_assert(has_line("moat: of it 1 byte was asked for"));
    facts_now = (struct report_facts){.asked_for = 41, .asked_by = "new[]"};
    run(report_facts_now);
    ck_assert(has_line("moat: of it 41 bytes were asked for by new[]"));
    assert_aborted();
}
END_TEST

START_TEST(a_mismatch_says_what_was_given_and_expected) {
    facts_now = (struct report_facts){.size_given = 40, .size_expected = 48};
    phrase_now = PHRASE_WRONG_SIZE;
    run(report_facts_now);
    ck_assert(has_line("moat: size given: 40, expected: 48"));
    phrase_now = PHRASE_WRONG_ALIGNMENT;
    run(report_facts_now);
    ck_assert(has_line("moat: alignment given: 40, expected: 48"));
    facts_now = (struct report_facts){.size_given = 0};
    phrase_now = PHRASE_WRONG_SIZE;
    run(report_facts_now);
    ck_assert(has_line("moat: size given: 0"));
    phrase_now = PHRASE_SECOND_FREE;
    facts_now.size_given = 40;
    run(report_facts_now);
    ck_assert_uint_eq(count(" given: "), 0);
    assert_aborted();
}
END_TEST

static void report_own_thread(void) {
    char expected[64];
    snprintf(expected, sizeof expected, "moat: thread %u of process %u", os_thread_id(),
             os_process_id());
    ssize_t unused = write(STDERR_FILENO, expected, strlen(expected));
    (void)unused;
    unused = write(STDERR_FILENO, "\n", 1);
    report_fatal(PHRASE_DAMAGED_LIST, 0, NULL);
}

START_TEST(the_thread_and_the_process_are_named) {
    run(report_own_thread);
    char expected[64];
    size_t length = strcspn(printed, "\n");
    ck_assert_uint_lt(length, sizeof expected);
    memcpy(expected, printed, length);
    expected[length] = '\0';
    printed[0] = ' '; /* what the child wrote itself does not count */
    ck_assert(has_line(expected));
}
END_TEST

static uintptr_t address_now;

static void report_address_now(void) { report_fatal(PHRASE_FREE_OUTSIDE, address_now, NULL); }

START_TEST(an_address_outside_the_heap_is_described) {
    int on_stack = 0;
    address_now = (uintptr_t)&on_stack;
    run(report_address_now);
    ck_assert_uint_eq(count("moat: the address lies in [stack] ("), 1);
    address_now = (uintptr_t)printed;
    run(report_address_now);
    ck_assert_uint_eq(count("moat: the address lies in "), 1);
    address_now = 1;
    run(report_address_now);
    ck_assert(has_line("moat: the address lies in no mapping"));
    address_now = 0;
    run(report_address_now);
    ck_assert_uint_eq(count("moat: the address lies"), 0);
    assert_aborted();
}
END_TEST

/* --- The stack -------------------------------------------------------------------------------- */

START_TEST(the_stack_begins_at_the_caller_and_is_named_by_module) {
    phrase_now = PHRASE_SECOND_FREE;
    run(report_phrase_now);
    assert_aborted();
    ck_assert(has_line("moat: stack, innermost call first:"));
    const char *first = strstr(printed, "moat:   #0 ");
    ck_assert_ptr_nonnull(first);
    ck_assert_uint_gt(count("moat:   #"), 3);
    const char *module = first + strlen("moat:   #0 ");
    const char *end_of_line = strchr(first, '\n');
    const char *plus = strstr(module, "+0x");
    ck_assert(plus != NULL && plus < end_of_line); /* a static function: its name is not known */
    ck_assert_ptr_nonnull(
        memmem(module, (size_t)(plus - module), "test_report", strlen("test_report")));
    /* The first frame is the function that reported: the child has the same addresses as this
       process. */
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    char line[4352];
    uintptr_t base = 0;
    while (base == 0 && fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "test_report") != NULL) base = (uintptr_t)strtoull(line, NULL, 16);
    fclose(maps);
    uintptr_t offset = (uintptr_t)strtoull(plus + 1, NULL, 16);
    /* a program at a fixed address has no bias */
    uintptr_t place = offset < base ? base + offset : offset;
    ck_assert_uint_ge(place, (uintptr_t)&report_phrase_now);
    ck_assert_uint_lt(place, (uintptr_t)&report_phrase_now + 512);
}
END_TEST

/* --- Two at once ------------------------------------------------------------------------------ */

static pthread_barrier_t together;

static void *report_with_the_others(void *unused) {
    (void)unused;
    pthread_barrier_wait(&together);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

static void report_in_four_threads(void) {
    pthread_t threads[4];
    if (pthread_barrier_init(&together, NULL, 4) != 0) _exit(97);
    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, report_with_the_others, NULL) != 0) _exit(96);
    pthread_join(threads[0], NULL);
}

START_TEST(of_several_reports_at_once_one_is_printed) {
    run(report_in_four_threads);
    assert_aborted();
    assert_first_line("moat: fatal: double-free: second free of a block at 0x7f12345678");
    ck_assert_uint_eq(count("moat: fatal:"), 1);
    ck_assert_uint_eq(count("moat: thread "), 1);
    ck_assert_uint_eq(count("moat: stack"), 1);
    assert_only_moat_lines();
}
END_TEST

/* --- Signals ---------------------------------------------------------------------------------- */

static void report_from_signal(void) {
    catch_with(SIGUSR1, report_in_handler, 0);
    raise(SIGUSR1);
}

START_TEST(a_report_works_inside_a_signal_handler) {
    run(report_from_signal);
    assert_aborted();
    assert_first_line("moat: fatal: reentrant-call: allocator called from a signal handler that "
                      "interrupted it at 0x7f12345678");
    ck_assert_uint_gt(count("moat:   #"), 4);
}
END_TEST

START_TEST(a_report_fits_on_a_small_signal_stack) {
    run(report_from_small_stack);
    assert_aborted();
    ck_assert_uint_gt(count("moat:   #"), 4);
}
END_TEST

static void say_and_report_again(int signal) {
    (void)signal;
    ssize_t unused = write(STDERR_FILENO, "handler\n", 8);
    (void)unused;
    report_fatal(PHRASE_DAMAGED_LIST, ADDRESS, NULL);
}

static void report_with_abort_handler(void) {
    catch_with(SIGABRT, say_and_report_again, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(a_handler_of_the_abort_runs_once_and_may_not_report_again) {
    run(report_with_abort_handler);
    assert_aborted();
    assert_first_line("moat: fatal: double-free: second free of a block at 0x7f12345678");
    ck_assert_uint_eq(count("handler\n"), 1);
    ck_assert_uint_eq(count("free list is damaged"), 0);
}
END_TEST

static void must_not_run(int signal) {
    (void)signal;
    _exit(0); /* a program that takes a broken pipe for the end of its work */
}

static void report_to_nobody(void) {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) != STDERR_FILENO) _exit(92);
    close(ends[0]);
    catch_with(SIGPIPE, must_not_run, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(a_broken_pipe_does_not_save_the_process) {
    run(report_to_nobody);
    assert_aborted();
}
END_TEST

static void report_with_ignored_and_blocked_abort(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    catch_with(SIGABRT, SIG_IGN, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(an_ignored_or_blocked_abort_aborts) {
    run(report_with_ignored_and_blocked_abort);
    assert_aborted();
    assert_first_line("moat: fatal: double-free: second free of a block at 0x7f12345678");
}
END_TEST

/* --- Descriptors and children ----------------------------------------------------------------- */

static void report_without_stderr(void) {
    close(STDERR_FILENO);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(a_closed_stderr_does_not_save_the_process) {
    run(report_without_stderr);
    assert_aborted();
    ck_assert_str_eq(printed, "");
}
END_TEST

static pid_t reporting_process;

/* Forks where another thread of the parent reports: simulated by forking inside SIGABRT's handler,
   after the report began. */
static void fork_in_handler(int signal) {
    (void)signal;
    if (getpid() != reporting_process) return; /* the child's own abort */
    pid_t child = fork();
    if (child == 0) report_fatal(PHRASE_DAMAGED_LIST, ADDRESS, NULL);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) _exit(91);
}

static void report_then_fork(void) {
    reporting_process = getpid();
    catch_with(SIGABRT, fork_in_handler, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(a_child_forked_during_a_report_can_report) {
    run(report_then_fork);
    assert_aborted();
    assert_first_line("moat: fatal: double-free: second free of a block at 0x7f12345678");
    ck_assert(has_line("moat: fatal: corrupt-link: free list is damaged at 0x7f12345678"));
}
END_TEST

/* --- Reports that do not end the process ------------------------------------------------------ */

static void report_and_live(void) {
    facts_now = (struct report_facts){
        .block_start = 0x1000, .block_size = 48, .size_given = 40, .size_expected = 48};
    errno = 77;
    report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, &facts_now);
    report_warning("one: ", "two three", 3);
    report_warning("no detail", NULL, 0);
    report_warning("whole: ", "detail", 0);
    _exit(errno == 77 ? 42 : 43);
}

START_TEST(other_lines_do_not_end_the_process_and_keep_errno) {
    run(report_and_live);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 42, "the child ended with status 0x%x",
                  (unsigned)ended);
    assert_first_line("moat: error: size-mismatch: sized free with the wrong size at 0x7f12345678");
    ck_assert(has_line("moat: size given: 40, expected: 48"));
    ck_assert(has_line("moat: block 0x1000 of 48 bytes"));
    ck_assert_uint_gt(count("moat:   #"), 3);
    ck_assert(has_line("moat: warning: one: two"));
    ck_assert(has_line("moat: warning: no detail"));
    ck_assert(has_line("moat: warning: whole: detail"));
    assert_only_moat_lines();
}
END_TEST

/* --- The harness ------------------------------------------------------------------------------ */

static jmp_buf before_report;
static enum report_kind hooked_kind;
static uintptr_t hooked_address;

static void hook(enum report_kind kind, uintptr_t address) {
    hooked_kind = kind;
    hooked_address = address;
    longjmp(before_report, 1);
}

START_TEST(a_harness_gets_the_report_instead) {
    harness_report_hook = hook;
    if (setjmp(before_report) == 0) report_fatal(PHRASE_DAMAGED_LIST, ADDRESS, NULL);
    ck_assert_int_eq((int)hooked_kind, REPORT_CORRUPT_LINK);
    ck_assert_uint_eq(hooked_address, ADDRESS);
    if (setjmp(before_report) == 0) moat_check_failed("x", (void *)(uintptr_t)0x20);
    ck_assert_int_eq((int)hooked_kind, REPORT_CORRUPT_METADATA);
    ck_assert_uint_eq(hooked_address, 0x20);
    harness_report_hook = NULL;
}
END_TEST

static void add_tests(TCase *group) {
    tcase_add_loop_test(group, every_kind_has_a_name_of_its_own, 0, REPORT_KINDS);
    tcase_add_loop_test(group, each_phrase_has_its_first_line_and_ends_in_an_abort, 0, PHRASES);
    tcase_add_loop_test(group, each_stop_is_one_line_and_an_abort, 0, STOPS);
    tcase_add_test(group, a_failed_check_is_corrupt_metadata);
    tcase_add_test(group, a_failed_assertion_names_the_condition);
    tcase_add_test(group, what_is_known_is_printed);
    tcase_add_test(group, what_is_not_known_is_left_out);
    tcase_add_test(group, a_mismatch_says_what_was_given_and_expected);
    tcase_add_test(group, the_thread_and_the_process_are_named);
    tcase_add_test(group, an_address_outside_the_heap_is_described);
    tcase_add_test(group, the_stack_begins_at_the_caller_and_is_named_by_module);
    tcase_add_loop_test(group, of_several_reports_at_once_one_is_printed, 0, 20);
    tcase_add_test(group, a_report_works_inside_a_signal_handler);
    tcase_add_test(group, a_report_fits_on_a_small_signal_stack);
    tcase_add_test(group, a_handler_of_the_abort_runs_once_and_may_not_report_again);
    tcase_add_test(group, a_broken_pipe_does_not_save_the_process);
    tcase_add_test(group, an_ignored_or_blocked_abort_aborts);
    tcase_add_test(group, a_closed_stderr_does_not_save_the_process);
    tcase_add_test(group, a_child_forked_during_a_report_can_report);
    tcase_add_test(group, other_lines_do_not_end_the_process_and_keep_errno);
    tcase_add_test(group, a_harness_gets_the_report_instead);
}

int main(void) {
    Suite *suite = suite_create("report");
    TCase *group = tcase_create("report");
    tcase_set_timeout(group, 60);
    add_tests(group);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
