/*
 * test_who: names and numbers of threads (src/report/who.h).
 */
#include "report/who.h"

#include "os/os.h"

#include "suite.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread uintptr_t word;

struct peer {
    pthread_t thread;
    uintptr_t word;
    unsigned number;
};

static pthread_barrier_t here, done;

static void *be_peer(void *argument) {
    struct peer *peer = argument;
    peer->word = (uintptr_t)&word;
    peer->number = os_thread_id();
    prctl(PR_SET_NAME, "fifteen letters");
    pthread_barrier_wait(&here);
    pthread_barrier_wait(&done);
    return NULL;
}

START_TEST(another_thread_is_known_by_its_word) {
    enum { PEERS = 5 };
    struct peer peers[PEERS];
    ck_assert_int_eq(pthread_barrier_init(&here, NULL, PEERS + 1), 0);
    ck_assert_int_eq(pthread_barrier_init(&done, NULL, PEERS + 1), 0);
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_int_eq(pthread_create(&peers[i].thread, NULL, be_peer, &peers[i]), 0);
    pthread_barrier_wait(&here);
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_uint_eq(who_thread_of((uintptr_t)&word, peers[i].word), peers[i].number);
    for (unsigned i = 0; i < PEERS; i++) {
        char name[REPORT_THREAD_NAME];
        who_name_of(peers[i].number, name);
        ck_assert_str_eq(name, "fifteen letters");
    }
    pthread_barrier_wait(&done);
    for (unsigned i = 0; i < PEERS; i++) ck_assert_int_eq(pthread_join(peers[i].thread, NULL), 0);
    /* it has ended: whatever its memory holds now, no such thread is there */
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_uint_eq(who_thread_of((uintptr_t)&word, peers[i].word), 0);
    char name[REPORT_THREAD_NAME] = "x";
    who_name_of(peers[0].number, name);
    ck_assert_str_eq(name, "");
}
END_TEST

START_TEST(a_word_that_is_no_threads_is_nobodys) {
    static uintptr_t elsewhere[4096];
    ck_assert_uint_eq(who_thread_of((uintptr_t)&word, (uintptr_t)&elsewhere[2048]), 0);
    ck_assert_uint_eq(who_thread_of((uintptr_t)&word, (uintptr_t)&word), 0);
    ck_assert_uint_eq(who_thread_of((uintptr_t)&word, 0), 0);
    ck_assert_uint_eq(who_thread_of((uintptr_t)&word, UINTPTR_MAX - 7), 0);
    ck_assert_uint_eq(who_thread_of(0, (uintptr_t)&word), 0);
    ck_assert_uint_eq(who_thread_of(UINTPTR_MAX - 7, (uintptr_t)&word), 0);
    /* numbers of no thread, and of two, where the own one stands */
    static unsigned own[8192], theirs[8192];
    own[4096 + 100] = own[4096 + 200] = os_thread_id();
    theirs[4096 + 100] = 1;
    ck_assert_uint_eq(who_thread_of((uintptr_t)&own[4096], (uintptr_t)&theirs[4096]), 0);
}
END_TEST

static char text[512];

static const char *names(void) {
    struct format format = format_in(text, sizeof text - 1);
    who_format_names(&format);
    text[format.length] = '\0';
    return text;
}

START_TEST(program_and_thread_are_named) {
    ck_assert_int_eq(prctl(PR_SET_NAME, "the \033 worker"), 0);
    const char *line = names();
    ck_assert_msg(strncmp(line, "moat: program ", 14) == 0, "%s", line);
    ck_assert_ptr_nonnull(strstr(line, "test_who, thread name the ? worker\n"));
}
END_TEST

/* As in a sandbox without /proc. */
START_TEST(where_no_file_can_be_opened_there_is_no_line) {
    struct rlimit none = {0, 0};
    struct peer peer;
    ck_assert_int_eq(pthread_barrier_init(&here, NULL, 2), 0);
    ck_assert_int_eq(pthread_barrier_init(&done, NULL, 2), 0);
    ck_assert_int_eq(pthread_create(&peer.thread, NULL, be_peer, &peer), 0);
    pthread_barrier_wait(&here);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_str_eq(names(), "");
    ck_assert_uint_eq(who_thread_of((uintptr_t)&word, peer.word), 0);
    pthread_barrier_wait(&done);
    pthread_join(peer.thread, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("who");
    TCase *group = tcase_create("who");
    tcase_add_test(group, another_thread_is_known_by_its_word);
    tcase_add_test(group, a_word_that_is_no_threads_is_nobodys);
    tcase_add_test(group, program_and_thread_are_named);
    tcase_add_test(group, where_no_file_can_be_opened_there_is_no_line);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
