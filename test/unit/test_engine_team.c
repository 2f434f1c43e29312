/*
 * The parts of the fuzzing engine that run threads at once: what a load may see, who goes on, and
 * that a switch keeps what belongs to a thread.
 */
#include "suite.h"
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fiber.h"
#include "engine/program.h"
#include "engine/schedule.h"
#include "engine/team.h"
#include "engine/views.h"
#include "engine/watch.h"
#include "harness/arena.h"

/* --- Views ----------------------------------------------------------------------------------- */

static uint64_t data, flag;
static unsigned choices; /* values that the last load could be given */

/* The oldest there is. */
static unsigned choose_oldest(unsigned count) {
    choices = count;
    return count - 1;
}

static void store(unsigned thread, uint64_t *word, uint64_t value, uint8_t order, uint32_t line) {
    struct atomic_site site = {"here", line, ATOMIC_STORE, order, __func__};
    views_step(thread, &site, views_find(word, sizeof *word));
    *word = value;
}

static uint64_t load(unsigned thread, const uint64_t *word, uint8_t order) {
    struct atomic_site site = {"here", __LINE__, ATOMIC_LOAD, order, __func__};
    choices = 1;
    views_step(thread, &site, views_find(word, sizeof *word));
    return views_loaded(*word);
}

static void begin_views(void) {
    data = flag = 0;
    views_weaken(NULL, 0);
    views_begin(false, true, choose_oldest);
    (void)load(0, &data, __ATOMIC_RELAXED);
    (void)load(0, &flag, __ATOMIC_RELAXED);
}

enum { LINE_OF_RELEASE = 7 };

static void pass_message(void) {
    store(0, &data, 1, __ATOMIC_RELAXED, 1);
    store(0, &flag, 1, __ATOMIC_RELEASE, LINE_OF_RELEASE);
    views_leave();
}

/* The newest flag, whatever else could be seen. */
static unsigned choose_newest(unsigned count) {
    choices = count;
    return 0;
}

static void see_flag(uint8_t order) {
    struct atomic_site site = {"here", __LINE__, ATOMIC_TRY, order, __func__};
    views_step(1, &site, views_find(&flag, sizeof flag));
    flag = 2;
    views_tried(true);
}

START_TEST(a_load_may_be_old_until_something_is_acquired) {
    begin_views();
    pass_message();
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 0);
    ck_assert_uint_eq(choices, 2);
    begin_views();
    pass_message();
    see_flag(__ATOMIC_ACQUIRE);
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 1);
    ck_assert_uint_eq(choices, 1);
    begin_views();
    pass_message();
    see_flag(__ATOMIC_RELAXED);
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 0);
}
END_TEST

START_TEST(a_place_can_be_weakened) {
    begin_views();
    static const struct atomic_site release = {"here", LINE_OF_RELEASE, ATOMIC_STORE,
                                               __ATOMIC_RELEASE, __func__};
    views_weaken(&release, __ATOMIC_RELAXED);
    pass_message();
    see_flag(__ATOMIC_ACQUIRE);
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 0);
    views_weaken(NULL, 0);
}
END_TEST

static void change(unsigned thread, uint64_t *word, uint64_t value, uint8_t order) {
    struct atomic_site site = {"here", __LINE__, ATOMIC_CHANGE, order, __func__};
    views_step(thread, &site, views_find(word, sizeof *word));
    *word = value;
    views_leave();
}

/* Two threads that each write a word and then read the other's: both may miss what the other wrote,
   unless all four accesses say seq_cst. */
START_TEST(of_two_who_write_and_read_one_sees_the_other) {
    for (unsigned weak = 0; weak < 3; weak++) {
        uint8_t read = weak == 1 ? __ATOMIC_ACQUIRE : __ATOMIC_SEQ_CST;
        uint8_t write = weak == 2 ? __ATOMIC_ACQ_REL : __ATOMIC_SEQ_CST;
        begin_views();
        change(0, &data, 1, write);
        change(1, &flag, 1, __ATOMIC_SEQ_CST);
        (void)load(0, &flag, __ATOMIC_SEQ_CST);
        ck_assert_uint_eq(load(1, &data, read), weak == 1 || weak == 2 ? 0 : 1);
    }
}
END_TEST

START_TEST(a_thread_never_reads_backwards) {
    begin_views();
    store(0, &data, 1, __ATOMIC_RELAXED, 1);
    store(0, &data, 2, __ATOMIC_RELAXED, 1);
    views_leave();
    ck_assert_uint_eq(load(0, &data, __ATOMIC_RELAXED), 2); /* its own */
    views_begin(true, true, choose_newest);
    (void)load(0, &data, __ATOMIC_RELAXED);
    store(0, &data, 3, __ATOMIC_RELAXED, 1);
    views_leave();
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 3);
    ck_assert_uint_eq(choices, 2);
    (void)load(1, &data, __ATOMIC_RELAXED);
    ck_assert_uint_eq(choices, 1); /* it has seen the new one */
}
END_TEST

START_TEST(what_is_written_plainly_everybody_sees) {
    begin_views();
    store(0, &data, 1, __ATOMIC_RELAXED, 1);
    views_leave();
    data = 9;
    ck_assert_uint_eq(load(1, &data, __ATOMIC_RELAXED), 9);
    ck_assert_uint_eq(choices, 1);
}
END_TEST

START_TEST(a_word_of_two_threads_is_shared) {
    begin_views();
    (void)load(0, &data, __ATOMIC_RELAXED);
    ck_assert(!views_is_shared(views_find(&data, sizeof data), 1)); /* whoever comes first */
    (void)load(1, &data, __ATOMIC_RELAXED);
    ck_assert_uint_eq(views_shared_words(), 0);
    store(0, &data, 1, __ATOMIC_RELAXED, 1);
    ck_assert(views_is_shared(views_find(&data, sizeof data), 0));
    ck_assert(views_is_shared(views_find(&data, sizeof data), 1));
    ck_assert_uint_eq(views_shared_words(), 1);
    ck_assert(!views_is_shared(views_find(&flag, sizeof flag), 0));
}
END_TEST

/* --- Plain data ------------------------------------------------------------------------------ */

static sigjmp_buf raced;
static struct watch_touch touches[2];

static void take_race(uintptr_t address, const struct watch_touch *earlier,
                      const struct watch_touch *later) {
    ck_assert_uint_eq(address, ARENA_START);
    touches[0] = *earlier;
    touches[1] = *later;
    siglongjmp(raced, 1);
}

/* Thread 0 writes two bytes and raises the flag; thread 1 looks at it and reads. */
static void write_and_read(uint8_t store_order, uint8_t load_order, unsigned offset) {
    begin_views();
    views_begin(false, true, NULL);
    watch_begin(take_race);
    watch_on(true);
    watch_thread(0);
    watch_access(ARENA_START + 2, 2, true, NULL);
    store(0, &flag, 1, store_order, 1);
    views_leave();
    ck_assert_uint_eq(load(1, &flag, load_order), 1);
    watch_thread(1);
    watch_access(ARENA_START + offset, 1, false, &flag);
    watch_on(false);
}

START_TEST(plain_data_without_an_order_is_seen) {
    if (sigsetjmp(raced, 0) == 0) {
        write_and_read(__ATOMIC_RELEASE, __ATOMIC_ACQUIRE, 2);
        write_and_read(__ATOMIC_RELAXED, __ATOMIC_RELAXED, 1); /* another byte */
        write_and_read(__ATOMIC_RELAXED, __ATOMIC_RELAXED, 4); /* likewise */
    } else {
        ck_abort_msg("a race that is none");
    }
    static const uint8_t orders[][2] = {{__ATOMIC_RELAXED, __ATOMIC_ACQUIRE},
                                        {__ATOMIC_RELEASE, __ATOMIC_RELAXED}};
    for (volatile unsigned i = 0; i < 2; i++) {
        if (sigsetjmp(raced, 0) == 0) {
            write_and_read(orders[i][0], orders[i][1], 3);
            ck_abort_msg("a race that goes unseen");
        }
        ck_assert_uint_eq(touches[0].thread, 0);
        ck_assert(touches[0].writes && !touches[1].writes);
        ck_assert_ptr_eq(touches[1].place, &flag);
    }
}
END_TEST

START_TEST(what_comes_after_the_release_is_not_ordered) {
    begin_views();
    views_begin(false, true, NULL);
    watch_begin(take_race);
    watch_on(true);
    store(0, &flag, 1, __ATOMIC_RELEASE, 1);
    views_leave();
    watch_thread(0);
    watch_access(ARENA_START, 8, true, NULL);
    ck_assert_uint_eq(load(1, &flag, __ATOMIC_ACQUIRE), 1);
    watch_thread(1);
    if (sigsetjmp(raced, 0) == 0) {
        watch_access(ARENA_START, 8, true, NULL);
        ck_abort_msg("a race that goes unseen");
    }
}
END_TEST

/* --- Schedules ------------------------------------------------------------------------------- */

START_TEST(a_schedule_names_threads_that_are_ready) {
    static struct input input;
    static const uint32_t expected[VIEWS_THREADS] = {100, 50, 20, 10};
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rng random = {seed};
        struct schedule one, two;
        program_make(&input, &random);
        for (unsigned kind = 0; kind < SCHEDULERS; kind++) {
            unsigned seen = 0;
            schedule_begin(&one, &input, kind, 0, expected);
            schedule_begin(&two, &input, kind, 0, expected);
            for (unsigned i = 0, self = 0; i < 200; i++) {
                unsigned ready = 1 + rng_below(&random, 15);
                if (!(ready >> self & 1)) self = (unsigned)__builtin_ctz(ready);
                unsigned next = schedule_next(&one, self, ready);
                ck_assert_msg(ready >> next & 1, "kind %u chose %u of %x", kind, next, ready);
                ck_assert_uint_eq(schedule_next(&two, self, ready), next);
                seen |= 1u << next;
                self = next;
            }
            ck_assert_uint_ne(seen & (seen - 1), 0);
        }
    }
}
END_TEST

START_TEST(programs_are_valid_inputs_of_two_threads_and_more) {
    static uint8_t bytes[INPUT_MAX_SIZE];
    static struct input input;
    size_t size = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        size = program_mutate_bytes(bytes, size, sizeof bytes, seed);
        ck_assert(input_decode(&input, bytes, size));
        program_adapt(&input);
        ck_assert(input_is_valid(&input));
        ck_assert_uint_ge(input.threads, 2);
        ck_assert_uint_le(input.threads, PROGRAM_THREADS_MAX);
    }
}
END_TEST

/* Of what a mutator adds, each thread gets its part: nothing else would meet anybody. */
START_TEST(every_thread_has_its_part_of_what_is_mutated) {
    static uint8_t bytes[INPUT_MAX_SIZE], crossed[INPUT_MAX_SIZE];
    static struct input input;
    unsigned by[PROGRAM_THREADS_MAX] = {0}, by_crossed[PROGRAM_THREADS_MAX] = {0}, before = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        size_t size = 0;
        for (uint64_t step = 0; step < 8; step++) /* a fresh one, and then its descendants */
            size = program_mutate_bytes(bytes, size, sizeof bytes, 8 * seed + step);
        ck_assert(input_decode(&input, bytes, size));
        before += input.prologue != 0 && input.prologue < input.op_count;
        for (unsigned i = input.prologue; i < input.op_count; i++)
            by[program_thread_of(&input, &input.ops[i])]++;
        size = program_cross_bytes(bytes, size, crossed, size, crossed, sizeof crossed, seed);
        ck_assert(input_decode(&input, crossed, size));
        for (unsigned i = input.prologue; i < input.op_count; i++)
            by_crossed[program_thread_of(&input, &input.ops[i])]++;
    }
    ck_assert_uint_gt(before, 300); /* and it comes from where it was before threads run at once */
    ck_assert_uint_gt(3 * by[1], by[0]);
    ck_assert_uint_gt(3 * by_crossed[1], by_crossed[0]);
    ck_assert_uint_gt(by[2], 0);
    ck_assert_uint_gt(by[3], 0);
}
END_TEST

/* --- Fibers ---------------------------------------------------------------------------------- */

static char order[16];
static unsigned steps;

static void note(unsigned number) {
    errno = (int)(100 + number);
    for (;;) {
        order[steps++] = (char)('0' + number);
        fiber_switch(number == 1 ? 2 : 0);
        ck_assert_int_eq(errno, (int)(100 + number));
    }
}

START_TEST(a_switch_keeps_errno_and_the_place) {
    fiber_make(1, note);
    fiber_make(2, note);
    for (unsigned i = 0; i < 3; i++) {
        errno = 42;
        fiber_switch(1);
        ck_assert_int_eq(errno, 42);
        ck_assert_uint_eq(fiber_self(), 0);
    }
    ck_assert_str_eq(order, "121212");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("engine: threads at once");
    TCase *parts = tcase_create("parts");
    tcase_add_test(parts, a_load_may_be_old_until_something_is_acquired);
    tcase_add_test(parts, a_place_can_be_weakened);
    tcase_add_test(parts, of_two_who_write_and_read_one_sees_the_other);
    tcase_add_test(parts, a_thread_never_reads_backwards);
    tcase_add_test(parts, what_is_written_plainly_everybody_sees);
    tcase_add_test(parts, a_word_of_two_threads_is_shared);
    tcase_add_test(parts, plain_data_without_an_order_is_seen);
    tcase_add_test(parts, what_comes_after_the_release_is_not_ordered);
    tcase_add_test(parts, a_schedule_names_threads_that_are_ready);
    tcase_add_test(parts, programs_are_valid_inputs_of_two_threads_and_more);
    tcase_add_test(parts, every_thread_has_its_part_of_what_is_mutated);
    tcase_add_test(parts, a_switch_keeps_errno_and_the_place);
    tcase_set_timeout(parts, 60);
    suite_add_tcase(suite, parts);
    return suite_run(suite);
}
