/*
 * test_os_process: the calls of src/os/os.h that are not about memory: environment, files, waiting,
 * and the end of the process.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "suite.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(environment_is_found_by_the_whole_name) {
    ck_assert_int_eq(setenv("MOAT_TEST_LONGER", "wrong", 1), 0);
    ck_assert_int_eq(setenv("MOAT_TEST", "value=with=equals", 1), 0);
    ck_assert_int_eq(setenv("MOAT_EMPTY", "", 1), 0);
    ck_assert_str_eq(os_environment("MOAT_TEST"), "value=with=equals");
    ck_assert_str_eq(os_environment("MOAT_TEST_LONGER"), "wrong");
    ck_assert_str_eq(os_environment("MOAT_EMPTY"), "");
    ck_assert_ptr_null(os_environment("MOAT_TES"));
    ck_assert_ptr_null(os_environment("MOAT_TEST_LONGEST"));
    ck_assert_int_eq(clearenv(), 0);
    ck_assert_ptr_null(os_environment("MOAT_TEST"));
}
END_TEST

START_TEST(a_file_is_read_up_to_the_size_of_the_buffer) {
    char path[] = "/tmp/moat-test-os-XXXXXX";
    char buffer[16];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "0123456789", 10), 10);
    close(fd);
    memset(buffer, '.', sizeof buffer);
    ck_assert_uint_eq(os_read_file(path, buffer, sizeof buffer), 10);
    ck_assert_mem_eq(buffer, "0123456789......", 16);
    memset(buffer, '.', sizeof buffer);
    ck_assert_uint_eq(os_read_file(path, buffer, 4), 4);
    ck_assert_mem_eq(buffer, "0123............", 16);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_uint_eq(os_read_file(path, buffer, 4), 0);
    ck_assert_uint_eq(os_read_file("/", buffer, 4), 0); /* opens, but cannot be read */
}
END_TEST

enum { MUCH = 1024 * 1024 };

static void *drain(void *descriptor) {
    static char bytes[MUCH];
    size_t done = 0;
    int fd = *(int *)descriptor;
    for (ssize_t got = 0; (got = read(fd, bytes + done, sizeof bytes - done)) > 0;)
        done += (size_t)got;
    for (size_t i = 0; i < done; i++)
        if (bytes[i] != (char)(i * 7)) return NULL;
    return done == MUCH ? descriptor : NULL;
}

/* Given a pipe smaller than the text, with a reader, when it is written, blocking or not, then all
   arrives in order. */
START_TEST(a_long_text_is_written_whole) {
    static char text[MUCH];
    int ends[2];
    pthread_t reader;
    void *complete = NULL;
    for (size_t i = 0; i < MUCH; i++) text[i] = (char)(i * 7);
    ck_assert_int_eq(pipe2(ends, _i == 0 ? 0 : O_NONBLOCK), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, 0), 0);
    ck_assert_int_eq(pthread_create(&reader, NULL, drain, &ends[0]), 0);
    os_write(ends[1], text, MUCH);
    close(ends[1]);
    ck_assert_int_eq(pthread_join(reader, &complete), 0);
    ck_assert_ptr_nonnull(complete);
}
END_TEST

START_TEST(a_full_pipe_that_nobody_reads_does_not_hang) {
    static char text[MUCH];
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    os_write(ends[1], text, MUCH);
    ck_assert_int_gt(read(ends[0], text, MUCH), 0);
}
END_TEST

static uint32_t futex_word;

static void *wait_for_one(void *unused) {
    while (__atomic_load_n(&futex_word, __ATOMIC_ACQUIRE) == 0) os_futex_wait(&futex_word, 0);
    return unused;
}

START_TEST(a_futex_wake_ends_each_wait) {
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_one, NULL), 0);
    os_yield();
    __atomic_store_n(&futex_word, 1, __ATOMIC_RELEASE);
    os_futex_wake(&futex_word, UINT32_MAX);
    for (unsigned i = 0; i < 3; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

/* --- The end --------------------------------------------------------------------------------- */

/* The wait status of a child that runs `act` with no core dump. */
static int status_of(void (*act)(void *), void *argument) {
    int status = -1;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        act(argument);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static bool died_by(int status, int signal_number) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
}

static int handled_to[2];

static void on_abort(int signal_number) {
    (void)signal_number;
    if (write(handled_to[1], "h", 1) != 1) _exit(3);
}

static void leave_on_abort(int signal_number) {
    (void)signal_number;
    _exit(42);
}

static void just_abort(void *unused) {
    (void)unused;
    os_abort();
}

static void abort_with_handler(void *handler) {
    signal(SIGABRT, *(void (**)(int))handler);
    os_abort();
}

static void abort_while_blocked(void *unused) {
    sigset_t all;
    (void)unused;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    os_abort();
}

START_TEST(abort_ends_by_its_signal_whatever_was_set) {
    void (*returning)(int) = on_abort;
    void (*ignoring)(int) = SIG_IGN;
    void (*leaving)(int) = leave_on_abort;
    char calls_seen[4];
    ck_assert_int_eq(pipe(handled_to), 0);
    ck_assert(died_by(status_of(just_abort, NULL), SIGABRT));
    ck_assert(died_by(status_of(abort_while_blocked, NULL), SIGABRT));
    ck_assert(died_by(status_of(abort_with_handler, &ignoring), SIGABRT));
    ck_assert(died_by(status_of(abort_with_handler, &returning), SIGABRT));
    close(handled_to[1]);
    /* the handler ran, once */
    ck_assert_int_eq(read(handled_to[0], calls_seen, sizeof calls_seen), 1);
    int status = status_of(abort_with_handler, &leaving);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 42);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("os_process");
    TCase *group = tcase_create("os_process");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, environment_is_found_by_the_whole_name);
    tcase_add_test(group, a_file_is_read_up_to_the_size_of_the_buffer);
    tcase_add_loop_test(group, a_long_text_is_written_whole, 0, 2);
    tcase_add_test(group, a_full_pipe_that_nobody_reads_does_not_hang);
    tcase_add_test(group, a_futex_wake_ends_each_wait);
    tcase_add_test(group, abort_ends_by_its_signal_whatever_was_set);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
