/*
 * test_diagnose_going_on: on=report, where a misuse is reported, not done, and the program goes on
 * (src/alloc/diagnose.h, and the verbs of alloc.h). Each scene is played in a forked child.
 */
#include "core.h"

#include "last_words.h"

static struct core_thread owner, other;

static void start(const char *options) {
    core_start_ready(options);
    owner = other = CORE_THREAD;
    core_begin(&owner);
    core_begin(&other);
    core_be(&owner);
}

/* A child says with its status which requirement did not hold. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "moat: line %d\n", __LINE__);                                               \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void play(void (*body)(void)) {
    run(body);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 42,
                  "the child ended with status 0x%x\n%s", (unsigned)ended,
                  strstr(printed, "moat: line") != NULL ? strstr(printed, "moat: line") : "");
}

/* --- Verbs ------------------------------------------------------------------------------------ */

static const size_t sizes[] = {16, 100, 5000, 40 * KIB, 600 * KIB, 3 * MIB, 0};
#define SIZES (sizeof sizes / sizeof *sizes)

static void misuse_freed_blocks(void) {
    start("on=report");
    REQUIRE(alloc_block(100) != NULL); /* stays: what is empty may go back meanwhile */
    for (size_t i = 0; i < SIZES; i++) {
        void *keep = alloc_block(sizes[i]), *block = alloc_block(sizes[i]);
        alloc_free(block);
        alloc_free(block);
        alloc_free_sized(block, sizes[i]);
        alloc_free_aligned(block, 16, FAMILY_MALLOC);
        alloc_free_aligned_sized(block, 16, sizes[i], FAMILY_MALLOC);
        REQUIRE(alloc_resize(block, 77) == NULL);
        REQUIRE(alloc_resize(block, 5 * MIB) == NULL);
        REQUIRE(alloc_usable_size(block) == 0);
        core_be(&other);
        alloc_free(block);
        REQUIRE(alloc_resize(block, 77) == NULL);
        core_be(&owner);
        REQUIRE(core_is_live(keep));
        alloc_free(keep);
    }
    REQUIRE(check_all() > 0);
    _exit(42);
}

START_TEST(what_is_freed_already_is_left_alone_by_every_verb) {
    play(misuse_freed_blocks);
    ck_assert_uint_ge(count("moat: error: double-free: second free of a block at 0x"), 5);
    ck_assert_uint_ge(count("moat: error: double-free: realloc of a freed block at 0x"), 2);
    ck_assert_uint_ge(count("moat: error: double-free: usable size of a freed block at 0x"), 1);
    ck_assert_uint_eq(count("moat: fatal:"), 0);
    assert_only_moat_lines();
}
END_TEST

static void misuse_addresses(void) {
    static char outside[64];
    start("on=report");
    REQUIRE(alloc_block(100) != NULL); /* stays */
    for (size_t i = 0; i < SIZES - 1; i++) {
        char *block = alloc_block(sizes[i]);
        void *wrong[] = {block + 8, block + 1, outside, (void *)16,
                         (char *)segment_address(1) + SEGMENT_SIZE - 16};
        for (size_t j = 0; j < sizeof wrong / sizeof *wrong; j++) {
            alloc_free(wrong[j]);
            alloc_free_sized(wrong[j], 16);
            REQUIRE(alloc_resize(wrong[j], 77) == NULL);
            REQUIRE(alloc_usable_size(wrong[j]) == 0);
        }
        REQUIRE(core_is_live(block));
        REQUIRE(alloc_usable_size(block) >= sizes[i]);
        alloc_free(block);
    }
    REQUIRE(check_all() > 0);
    _exit(42);
}

START_TEST(what_is_no_block_is_left_alone_by_every_verb) {
    play(misuse_addresses);
    ck_assert_uint_ge(count("moat: error: invalid-free: "), 4);
    ck_assert_uint_eq(count("moat: fatal:"), 0);
}
END_TEST

static void say_wrong_sizes(void) {
    start("on=report");
    void *one = alloc_block(200), *two = alloc_block(112);
    alloc_free_sized(one, 100);
    REQUIRE(!core_is_live(one));
    alloc_free_aligned_sized(two, 3, 112, FAMILY_MALLOC);
    REQUIRE(!core_is_live(two));
    _exit(42);
}

/* The address is right: only what was said of it is not. */
START_TEST(a_block_whose_size_is_told_wrongly_is_freed) {
    play(say_wrong_sizes);
    ck_assert_uint_eq(count("moat: error: size-mismatch: "), 1);
    ck_assert_uint_eq(count("moat: error: alignment-mismatch: "), 1);
}
END_TEST

static void call_from_handler(void) {
    start("on=report");
    char *block = alloc_block(100), *huge = alloc_block(3 * MIB);
    uintptr_t outside = thread_word();
    thread_word() = THREAD_BUSY; /* as a handler finds it */
    REQUIRE(alloc_block(100) == NULL);
    REQUIRE(alloc_block(3 * MIB) == NULL);
    REQUIRE(alloc_block(0) == NULL);
    REQUIRE(alloc_zeroed(100) == NULL);
    REQUIRE(alloc_zeroed(5000) == NULL);
    REQUIRE(alloc_aligned(64, 100) == NULL);
    REQUIRE(alloc_resize(block, 5000) == NULL);
    REQUIRE(alloc_usable_size(block) == 0);
    alloc_free(block);
    alloc_free(huge);
    alloc_free_sized(block, 100);
    alloc_free_aligned(block, 16, FAMILY_MALLOC);
    alloc_free(NULL);
    REQUIRE(!alloc_collect(true) && !alloc_trim() && check_all() == 0);
    REQUIRE(thread_word() == THREAD_BUSY);
    thread_word() = outside;
    REQUIRE(core_is_live(block) && core_is_live(huge));
    alloc_free(block);
    alloc_free(huge);
    _exit(42);
}

START_TEST(a_call_from_a_handler_gets_nothing_and_changes_nothing) {
    play(call_from_handler);
    ck_assert_uint_ge(count("moat: error: reentrant-call: allocator called from a signal handler "
                            "that interrupted it at 0x0"),
                      3);
    ck_assert_uint_eq(count("moat: error: "), count("moat: error: reentrant-call: "));
}
END_TEST

/* --- What ends the process all the same ------------------------------------------------------- */

static void damage_a_list(void) {
    start("on=report");
    void *block = alloc_block(64);
    *(uint64_t *)core_page(block)->free ^= 1;
    alloc_block(64);
    _exit(42);
}

static void fail_a_check(void) {
    start("on=report");
    moat_check_failed("x", NULL);
}

static void free_twice_where_that_ends(void) {
    start("on=report,double-free=abort");
    void *block = alloc_block(64);
    alloc_free((char *)block + 16); /* goes on */
    alloc_free(block);
    alloc_free(block);
    _exit(42);
}

START_TEST(damage_and_kinds_that_are_excepted_end_the_process) {
    run(damage_a_list);
    assert_aborted();
    ck_assert_uint_eq(count("moat: fatal: corrupt-link: "), 1);
    run(fail_a_check);
    assert_aborted();
    ck_assert_uint_eq(count("moat: fatal: corrupt-metadata: "), 1);
    run(free_twice_where_that_ends);
    assert_aborted();
    ck_assert_uint_eq(count("moat: error: invalid-free: "), 1);
    ck_assert_uint_eq(count("moat: fatal: double-free: "), 1);
}
END_TEST

/* --- Once a site ------------------------------------------------------------------------------ */

static void free_again(void *block) { alloc_free(block); }

static void misuse_at_two_sites(void) {
    start("on=report");
    void *block = alloc_block(64);
    alloc_free(block);
    for (unsigned i = 0; i < 100; i++) free_again(block);
    alloc_free(block);
    _exit(42);
}

START_TEST(a_site_is_reported_once) {
    play(misuse_at_two_sites);
    ck_assert_uint_eq(count("moat: error: double-free: "), 2);
    ck_assert_uint_ge(count("moat:   #"), 6);
}
END_TEST

/* Each depth is a stack of its own. */
__attribute__((noinline)) static unsigned descend(void *block, uint64_t turns, unsigned depth) {
    if (depth == 0) {
        alloc_free(block);
        return 1;
    }
    unsigned done = (turns & 1) != 0 ? descend(block, turns >> 1, depth - 1)
                                     : descend(block, turns >> 1, depth - 1) + 1;
    return done + 1;
}

static void misuse_at_many_sites(void) {
    start("on=report");
    void *block = alloc_block(64);
    alloc_free(block);
    for (uint64_t turns = 0; turns < 256; turns++) REQUIRE(descend(block, turns, 8) != 0);
    _exit(42);
}

START_TEST(after_many_sites_nothing_more_is_said) {
    play(misuse_at_many_sites);
    ck_assert_uint_le(count("moat: error: double-free: "), REPORT_SITES_MAX);
    if (count("moat: error: double-free: ") == REPORT_SITES_MAX)
        ck_assert_uint_eq(
            count("moat: warning: this many places have been reported, and no further ones are"),
            1);
}
END_TEST

/* --- Two at once ------------------------------------------------------------------------------ */

static char *contested;
static void free_by_other(void) {
    core_be(&other);
    alloc_free(contested);
    core_be(&owner);
}

/* The free clears the block, canary and all, and its record goes. */
static void resize_while_another_frees(void) {
    static const char *const options[] = {"level=strict:on=report",
                                          "level=strict:on=report:quarantine=0"};
    for (unsigned i = 0; i < 4; i++) {
        start(options[i % 2]);
        for (uint64_t step = 1;; step++) {
            contested = alloc_block(i < 2 ? 40 : 5000);
            core_interleave(step, free_by_other);
            alloc_resize(contested, 9000);
            if (!core_interleave_end()) break;
        }
        REQUIRE(check_all() > 0);
    }
    _exit(42);
}

START_TEST(a_block_that_another_frees_meanwhile_is_freed_and_not_damaged) {
    play(resize_while_another_frees);
    ck_assert_uint_ge(count("moat: error: double-free: realloc of a freed block at 0x"), 1);
    ck_assert_uint_eq(count("moat: error: overflow: "), 0);
    ck_assert_uint_eq(count("moat: error: family-mismatch: "), 0);
    ck_assert_uint_eq(count("moat: fatal:"), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("diagnose_going_on");
    TCase *group = tcase_create("diagnose_going_on");
    tcase_set_timeout(group, 60);
    tcase_add_checked_fixture(group, core_setup, core_teardown);
    tcase_add_test(group, what_is_freed_already_is_left_alone_by_every_verb);
    tcase_add_test(group, what_is_no_block_is_left_alone_by_every_verb);
    tcase_add_test(group, a_block_whose_size_is_told_wrongly_is_freed);
    tcase_add_test(group, a_call_from_a_handler_gets_nothing_and_changes_nothing);
    tcase_add_test(group, damage_and_kinds_that_are_excepted_end_the_process);
    tcase_add_test(group, a_site_is_reported_once);
    tcase_add_test(group, after_many_sites_nothing_more_is_said);
    tcase_add_test(group, a_block_that_another_frees_meanwhile_is_freed_and_not_damaged);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
