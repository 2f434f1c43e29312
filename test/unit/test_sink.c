/*
 * test_sink: where a report goes as a line of JSON (src/report/sink.h). The system's log is a
 * socket of the test's own: the harness plays the kernel and connects there.
 */
#include "report/sink.h"

#include "harness/harness.h"

#include "suite.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/moat-test-sink-XXXXXX";
static char path[64];

static void setup(void) {
    strcpy(folder, "/tmp/moat-test-sink-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/there", folder);
}

static void teardown(void) {
    harness_set_kernel(NULL);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void deliver(enum report_sink sink, const char *where, const char *line) {
    static char text[SINK_HEAD + 16384];
    memset(text, 0x7f, SINK_HEAD);
    memcpy(text + SINK_HEAD, line, strlen(line));
    sink_deliver((struct report_target){sink, where}, text, strlen(line));
}

static const char *content_of(const char *name) {
    static char text[8192];
    int fd = open(name, O_RDONLY);
    if (fd < 0) return NULL;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

START_TEST(lines_are_appended_to_a_file_of_this_user_alone) {
    struct stat status;
    deliver(SINK_FILE, path, "{\"a\":1}\n");
    ck_assert_str_eq(content_of(path), "{\"a\":1}\n");
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    deliver(SINK_FILE, path, "{\"b\":2}\n");
    ck_assert_str_eq(content_of(path), "{\"a\":1}\n{\"b\":2}\n");
}
END_TEST

START_TEST(a_link_is_not_followed_and_a_pipe_without_reader_not_waited_for) {
    char other[80];
    snprintf(other, sizeof other, "%s/other", folder);
    ck_assert_int_eq(symlink(other, path), 0);
    deliver(SINK_FILE, path, "x\n");
    ck_assert_ptr_null(content_of(other));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    deliver(SINK_FILE, path, "x\n"); /* comes back */
    deliver(SINK_FILE, folder, "x\n");
    deliver(SINK_FILE, "/no/such/folder/at/all", "x\n");
}
END_TEST

START_TEST(a_full_pipe_is_given_up) {
    char text[4096];
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDWR | O_NONBLOCK);
    ck_assert_int_ge(reader, 0);
    deliver(SINK_FILE, path, "first\n");
    ck_assert_int_eq(read(reader, text, sizeof text), 6);
    memset(text, 'x', sizeof text);
    while (write(reader, text, sizeof text) > 0) continue;
    deliver(SINK_FILE, path, "no room\n");
    close(reader);
}
END_TEST

START_TEST(a_descriptor_gets_the_line) {
    int ends[2];
    char digits[16], text[64] = "";
    ck_assert_int_eq(pipe(ends), 0);
    snprintf(digits, sizeof digits, "%d", ends[1]);
    deliver(SINK_FD, digits, "{\"a\":1}\n");
    ck_assert_int_eq(read(ends[0], text, sizeof text - 1), 8);
    ck_assert_str_eq(text, "{\"a\":1}\n");
    close(ends[1]);
    deliver(SINK_FD, digits, "nobody\n");
    deliver(SINK_STDERR, "", "nowhere\n");
    ck_assert_int_eq(read(ends[0], text, sizeof text), 0);
    close(ends[0]);
}
END_TEST

/* --- The system's log ------------------------------------------------------------------------- */

static unsigned connected, failing_call;

/* A connection to the system's log is one to the test's socket. */
static bool play_log(long number, const long *arguments, long *result) {
    if (failing_call != 0 && number == (long)failing_call) {
        *result = -EPERM;
        return true;
    }
    if (number != SYS_connect) return false;
    const struct sockaddr_un *wanted = (const void *)arguments[1];
    struct sockaddr_un ours = {.sun_family = AF_UNIX};
    strcpy(ours.sun_path, path);
    connected += strcmp(wanted->sun_path, "/dev/log") == 0;
    *result = connect((int)arguments[0], (const struct sockaddr *)&ours, sizeof ours);
    if (*result != 0) *result = -errno;
    return true;
}

static int listen_as_log(void) {
    struct sockaddr_un ours = {.sun_family = AF_UNIX};
    strcpy(ours.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&ours, sizeof ours), 0);
    connected = failing_call = 0;
    harness_set_kernel(play_log);
    return fd;
}

START_TEST(the_log_gets_a_datagram_with_priority_and_process) {
    char text[256] = "", expected[64];
    int log = listen_as_log();
    deliver(SINK_SYSLOG, "", "{\"a\":1}\n");
    ck_assert_int_gt(recv(log, text, sizeof text - 1, 0), 0);
    snprintf(expected, sizeof expected, "<10>moat[%d]: {\"a\":1}", (int)getpid());
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(connected, 1);
    close(log);
}
END_TEST

START_TEST(a_log_that_is_not_there_or_full_is_given_up) {
    static const unsigned calls[] = {SYS_socket, SYS_connect, SYS_sendto};
    char text[64];
    int log = listen_as_log();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        failing_call = calls[i];
        deliver(SINK_SYSLOG, "", "refused\n");
        ck_assert_int_lt(recv(log, text, sizeof text, 0), 0);
    }
    failing_call = 0;
    for (unsigned i = 0; i < 2000 && connected < 1200; i++) {
        struct sockaddr_un ours = {.sun_family = AF_UNIX};
        strcpy(ours.sun_path, path);
        int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        ssize_t sent = sendto(sender, "x", 1, 0, (const struct sockaddr *)&ours, sizeof ours);
        close(sender);
        if (sent < 0) break; /* its queue is full */
    }
    deliver(SINK_SYSLOG, "", "no room\n");
    close(log);
    ck_assert_int_eq(unlink(path), 0);
    deliver(SINK_SYSLOG, "", "nobody\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sink");
    TCase *group = tcase_create("sink");
    tcase_add_checked_fixture(group, setup, teardown);
    tcase_add_test(group, lines_are_appended_to_a_file_of_this_user_alone);
    tcase_add_test(group, a_link_is_not_followed_and_a_pipe_without_reader_not_waited_for);
    tcase_add_test(group, a_full_pipe_is_given_up);
    tcase_add_test(group, a_descriptor_gets_the_line);
    tcase_add_test(group, the_log_gets_a_datagram_with_priority_and_process);
    tcase_add_test(group, a_log_that_is_not_there_or_full_is_given_up);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
