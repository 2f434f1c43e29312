/*
 * test_lock: the futex mutex (src/os/lock.h): exclusion, the three states of its word, and the
 * hand-over to sleepers.
 */
#define _GNU_SOURCE
#include "os/lock.h"

#include "harness/harness.h"

#include "suite.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 20000 };

static struct lock lock;
/* written under the lock only, by plain stores: a lost update shows two holders */
static unsigned guarded;
static unsigned finished;

static void setup(void) {
    lock_reset(&lock);
    guarded = 0;
    finished = 0;
}

static void start(pthread_t *thread, void *(*body)(void *)) {
    ck_assert_int_eq(pthread_create(thread, NULL, body, NULL), 0);
}

/* Ends with the test's time limit if it never comes true. */
static void wait_until_word_is(uint32_t value) {
    while (__atomic_load_n(&lock.word, __ATOMIC_ACQUIRE) != value) os_yield();
}

START_TEST(the_word_is_one_while_held_and_zero_after) {
    lock_acquire(&lock);
    ck_assert_uint_eq(lock.word, 1);
    lock_release(&lock);
    ck_assert_uint_eq(lock.word, 0);
}
END_TEST

START_TEST(try_takes_a_free_lock_only) {
    ck_assert(lock_try(&lock));
    ck_assert(!lock_try(&lock));
    ck_assert_uint_eq(lock.word, 1);
    lock_release(&lock);
    ck_assert(lock_try(&lock));
}
END_TEST

START_TEST(a_reset_forgets_a_holder_with_waiters) {
    lock.word = 2;
    lock_reset(&lock);
    ck_assert(lock_try(&lock));
}
END_TEST

static void *count_under_lock(void *unused) {
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_acquire(&lock);
        unsigned seen = guarded;
        __asm__ volatile("" : : : "memory");
        /* hand the processor over in mid-update, so that others meet a held lock */
        if (i % 64 == 0) os_yield();
        guarded = seen + 1;
        lock_release(&lock);
    }
    return unused;
}

START_TEST(no_update_is_lost_between_threads) {
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) start(&threads[i], count_under_lock);
    for (unsigned i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(guarded, THREADS * ROUNDS);
    ck_assert_uint_eq(lock.word, 0);
}
END_TEST

static void *pass_once(void *unused) {
    lock_acquire(&lock);
    finished++;
    lock_release(&lock);
    return unused;
}

/* Given a held lock and waiters that announced themselves, when it is released once, then each
   waiter gets it in turn. */
START_TEST(each_of_many_waiters_gets_the_lock) {
    pthread_t threads[THREADS];
    lock_acquire(&lock);
    for (unsigned i = 0; i < THREADS; i++) start(&threads[i], pass_once);
    wait_until_word_is(2);
    ck_assert_uint_eq(finished, 0);
    lock_release(&lock);
    for (unsigned i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(finished, THREADS);
    ck_assert_uint_eq(lock.word, 0);
}
END_TEST

START_TEST(a_lock_changes_hands_again_and_again) {
    for (unsigned i = 0; i < 300; i++) {
        pthread_t thread;
        lock_acquire(&lock);
        start(&thread, pass_once);
        wait_until_word_is(2);
        ck_assert_uint_eq(finished, i);
        lock_release(&lock);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_uint_eq(finished, i + 1);
    }
}
END_TEST

static unsigned steps;

static void release_in_the_end(const volatile void *word) {
    if (word == &lock.word && ++steps == 500) __atomic_store_n(&lock.word, 0, __ATOMIC_RELEASE);
}

/* Given virtual threads, when one waits, then it comes back to a scheduling point and does not put
   the real thread to sleep. */
START_TEST(a_waiting_virtual_thread_keeps_meeting_scheduling_points) {
    steps = 0;
    lock_acquire(&lock);
    harness_set_atomic_hook(release_in_the_end);
    lock_acquire(&lock);
    harness_set_atomic_hook(NULL);
    ck_assert_uint_ge(steps, 500);
    ck_assert_uint_eq(lock.word, 2); /* taken by the slow path: somebody may still wait */
    lock_release(&lock);
    ck_assert_uint_eq(lock.word, 0);
}
END_TEST

START_TEST(errno_is_kept) {
    pthread_t thread;
    lock_acquire(&lock);
    start(&thread, pass_once);
    wait_until_word_is(2);
    errno = 4242;
    lock_release(&lock);
    ck_assert_int_eq(errno, 4242);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    lock.word = 0;
    steps = 0;
    lock_acquire(&lock);
    harness_set_atomic_hook(release_in_the_end);
    errno = 4242;
    lock_acquire(&lock);
    ck_assert_int_eq(errno, 4242);
    harness_set_atomic_hook(NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lock");
    TCase *group = tcase_create("lock");
    tcase_add_checked_fixture(group, setup, NULL);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_word_is_one_while_held_and_zero_after);
    tcase_add_test(group, try_takes_a_free_lock_only);
    tcase_add_test(group, a_reset_forgets_a_holder_with_waiters);
    tcase_add_test(group, no_update_is_lost_between_threads);
    tcase_add_test(group, each_of_many_waiters_gets_the_lock);
    tcase_add_test(group, a_lock_changes_hands_again_and_again);
    tcase_add_test(group, a_waiting_virtual_thread_keeps_meeting_scheduling_points);
    tcase_add_test(group, errno_is_kept);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
