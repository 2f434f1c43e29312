/*
 * test_report_end: after the report that ends a process no thread leaves a generic path
 * (src/base/thread.h and report.c), each scene played in a forked child. A handler for the abort
 * is where the other thread gets its turn: the report has been made, and the process is still
 * there.
 */
#include "core.h"

#include "last_words.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static struct core_thread owner, other;
static atomic_bool may_go, stays, left;
static void *block;
static size_t block_size;

/* --- Paths ------------------------------------------------------------------------------------ */

static void take(void) { (void)alloc_block(block_size); }
static void take_zeroed(void) { (void)alloc_zeroed(block_size); }
static void take_aligned(void) { (void)alloc_aligned(4096, block_size); }
static void grow(void) { (void)alloc_resize(block, 3 * block_size); }
static void give(void) { alloc_free(block); }
static void trim(void) { (void)alloc_trim(); }
static void check(void) { (void)check_all(); }

static const struct path {
    void (*go)(void);
    size_t size; /* of a block that is there before */
    const char *options;
} paths[] = {
    {take, 100 * KIB, ""},
    {take, 3 * MIB, ""},
    {take, 0, ""},
    {take_zeroed, 100 * KIB, ""},
    {take_aligned, 3 * MIB, ""},
    {grow, 100 * KIB, ""},
    {grow, 3 * MIB, ""},
    {give, 3 * MIB, ""},
    {give, 0, ""},
    {trim, 100, ""},
    {check, 100, ""},
    {take, 48, "level=strict"},
    {take, 100 * KIB, "level=strict"},
    {give, 48, "level=strict"},
    {give, 100 * KIB, "level=strict"},
};
#define PATHS ((int)(sizeof paths / sizeof *paths))

static const struct path *path_now;

/* --- Threads ---------------------------------------------------------------------------------- */

/* The other thread waits, and that for ever. */
static bool see_it_stay(long number, const long *arguments, long *result) {
    (void)arguments;
    (void)result;
    if (number != SYS_nanosleep) return false;
    atomic_store(&stays, true);
    for (;;) pause();
}

static void *be_the_other(void *unused) {
    (void)unused;
    core_be(&other);
    while (!atomic_load(&may_go)) sched_yield();
    path_now->go();
    atomic_store(&left, true);
    return NULL;
}

static void let_the_other_go(int signal) {
    (void)signal;
    atomic_store(&may_go, true);
    while (!atomic_load(&stays) && !atomic_load(&left)) sched_yield();
    _exit(atomic_load(&left) ? 43 : 42);
}

static void prepare(const char *options) {
    core_start_ready(options);
    owner = other = CORE_THREAD;
    core_begin(&owner);
    core_begin(&other);
}

static void report_while_other_works(void) {
    pthread_t thread;
    alarm(LIMIT_MS / 1000);
    prepare(path_now->options);
    core_be(&other);
    block_size = path_now->size;
    block = alloc_block(block_size);
    core_be(&owner);
    catch_with(SIGABRT, let_the_other_go, 0);
    harness_set_kernel(see_it_stay);
    if (pthread_create(&thread, NULL, be_the_other, NULL) != 0) _exit(96);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

static void assert_ended_with(int status) {
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == status,
                  "the child ended with status 0x%x\n%s", (unsigned)ended, printed);
}

START_TEST(no_thread_leaves_a_generic_path_after_a_report) {
    path_now = &paths[_i];
    run(report_while_other_works);
    assert_ended_with(42);
    ck_assert_uint_eq(count("moat: fatal: double-free: "), 1);
}
END_TEST

static void report_that_goes_on(void) {
    prepare("");
    report_and_continue(PHRASE_WRONG_SIZE, ADDRESS, NULL);
    core_be(&other);
    (void)alloc_block(100 * KIB);
    _exit(42);
}

START_TEST(who_reports_and_goes_on_keeps_nobody) {
    run(report_that_goes_on);
    assert_ended_with(42);
}
END_TEST

/* A crash reporter. */
static void allocate_and_exit(int signal) {
    (void)signal;
    _exit(alloc_block(100 * KIB) != NULL ? 42 : 43);
}

static void report_then_allocate(void) {
    prepare("");
    core_be(&owner);
    catch_with(SIGABRT, allocate_and_exit, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

START_TEST(the_reporters_own_handler_may_leave) {
    run(report_then_allocate);
    assert_ended_with(42);
}
END_TEST

/* --- Waiting ---------------------------------------------------------------------------------- */

static unsigned waited_ms, ended_after_ms;

static bool count_time(long number, const long *arguments, long *result) {
    if (number == SYS_nanosleep) {
        const struct timespec *time = (const struct timespec *)arguments[0];
        waited_ms += (unsigned)(time->tv_sec * 1000 + time->tv_nsec / 1000000);
        *result = 0;
        return true;
    }
    if (number == SYS_tgkill) _exit(waited_ms == ended_after_ms ? 42 : 43);
    return false;
}

/* As where a handler for the abort never ends. */
static void wait_in_vain(void) {
    prepare("");
    core_be(&other);
    ended_after_ms = 60000;
    moat_ending = (uint32_t)getpid();
    harness_set_kernel(count_time);
    (void)alloc_block(100 * KIB);
}

START_TEST(an_end_that_does_not_come_is_brought_about) {
    run(wait_in_vain);
    assert_ended_with(42);
}
END_TEST

/* --- Children --------------------------------------------------------------------------------- */

static void fork_and_exit(int signal) {
    (void)signal;
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(alloc_block(100 * KIB) != NULL && moat_ending == 0 ? 42 : 43);
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
}

static void report_then_fork(void) {
    prepare("");
    core_be(&owner);
    catch_with(SIGABRT, fork_and_exit, 0);
    report_fatal(PHRASE_SECOND_FREE, ADDRESS, NULL);
}

/* Its parent's memory is its own, as after vfork(). */
static void be_another_process(void) {
    prepare("");
    core_be(&other);
    moat_ending = (uint32_t)getppid();
    (void)alloc_block(100 * KIB);
    _exit(42);
}

START_TEST(children_are_not_kept_by_their_parents_report) {
    run(report_then_fork);
    assert_ended_with(42);
    run(be_another_process);
    assert_ended_with(42);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report_end");
    TCase *group = tcase_create("report_end");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_add_loop_test(group, no_thread_leaves_a_generic_path_after_a_report, 0, PATHS);
    tcase_add_test(group, who_reports_and_goes_on_keeps_nobody);
    tcase_add_test(group, the_reporters_own_handler_may_leave);
    tcase_add_test(group, an_end_that_does_not_come_is_brought_about);
    tcase_add_test(group, children_are_not_kept_by_their_parents_report);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
