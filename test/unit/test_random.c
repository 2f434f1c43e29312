/*
 * test_random: the generator (src/meta/random.h): its block function, erasure, reseeding after a
 * wipe, and the range reduction.
 */
#define _GNU_SOURCE
#include "meta/random.h"

#include "harness/harness.h"

#include "suite.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A generator on an OS page that the kernel wipes on fork, as the library keeps its own. */
static struct random *make_random(void) {
    size_t page = os_page_size();
    struct random *random = os_reserve(page, page, 0);
    ck_assert_ptr_nonnull(random);
    ck_assert(os_commit(random, page));
    ck_assert(os_wipe_on_fork(random, page));
    return random;
}

/* True when the eight bytes stand anywhere in the generator, at any offset. */
static bool holds(const struct random *random, uint64_t word) {
    return memmem(random, sizeof *random, &word, sizeof word) != NULL;
}

/* RFC 8439, section 2.3.2: key 00 01 … 1f, nonce 000000090000004a00000000, counter 1. */
START_TEST(block_function_gives_the_standards_example) {
    static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    static const uint32_t expected[16] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
                                          0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
                                          0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                          0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    uint32_t key[8];
    uint32_t out[REFILL_BLOCKS][16];
    for (uint32_t i = 0; i < 8; i++) key[i] = 0x03020100 + 0x04040404 * i;
    for (uint32_t block = 0; block < 2; block++) {
        random_chacha20_blocks(out, key, 1 - block, nonce);
        for (unsigned i = 0; i < 16; i++) ck_assert_uint_eq(out[block][i], expected[i]);
    }
}
END_TEST

/* The stream is what the header says: of four blocks the first 32 bytes are the next key, the rest
   the words. */
START_TEST(stream_is_the_block_function_under_successive_keys) {
    static const uint32_t nonce[3] = {0, 0, 0};
    uint32_t key[8] = {0x55667788, 0x11223344, 0, 0, 0, 0, 0, 0};
    struct random random;
    random_seed_fixed(&random, 0x1122334455667788);
    for (unsigned refill = 0; refill < 3; refill++) {
        uint32_t stream[REFILL_BLOCKS][16];
        uint64_t words[32];
        random_chacha20_blocks(stream, key, 0, nonce);
        memcpy(words, stream, sizeof words);
        for (unsigned i = 0; i < RANDOM_WORDS; i++)
            ck_assert_uint_eq(random_next(&random), words[4 + RANDOM_WORDS - 1 - i]);
        memcpy(key, stream, sizeof key);
    }
}
END_TEST

START_TEST(two_generators_seeded_by_the_kernel_differ) {
    struct random one = {.seeded = 0};
    struct random two = {.seeded = 0};
    ck_assert_uint_ne(random_next(&one), random_next(&two));
    ck_assert_uint_ne(random_next(&one), random_next(&one));
    ck_assert_uint_eq(harness_call_count(OS_RANDOM), 2);
}
END_TEST

START_TEST(a_fixed_seed_repeats_and_asks_the_kernel_for_nothing) {
    struct random one;
    struct random two;
    struct random other;
    random_seed_fixed(&one, 7);
    random_seed_fixed(&two, 7);
    random_seed_fixed(&other, 8);
    unsigned same = 0;
    for (unsigned i = 0; i < 10 * RANDOM_WORDS; i++) {
        uint64_t word = random_next(&one);
        ck_assert_uint_eq(word, random_next(&two));
        same += word == random_next(&other);
    }
    ck_assert_uint_eq(same, 0);
    ck_assert_uint_eq(harness_call_count(OS_RANDOM), 0);
}
END_TEST

START_TEST(a_word_is_erased_as_it_is_taken) {
    struct random random = {.seeded = 0};
    for (unsigned i = 0; i < 5 * RANDOM_WORDS; i++) {
        uint64_t word = random_next(&random);
        ck_assert_msg(!holds(&random, word), "word %u is still in the generator", i);
    }
}
END_TEST

START_TEST(a_refill_replaces_the_key) {
    struct random random = {.seeded = 0};
    random_next(&random);
    for (unsigned refill = 0; refill < 4; refill++) {
        uint64_t before[4];
        memcpy(before, random.key, sizeof before);
        while (random.left != 0) {
            random_next(&random);
            ck_assert_mem_eq(random.key, before, sizeof before);
        }
        random_next(&random); /* this one refills */
        for (unsigned i = 0; i < 4; i++)
            ck_assert_msg(!holds(&random, before[i]), "part %u of the old key remains", i);
    }
}
END_TEST

START_TEST(a_wiped_generator_seeds_itself_again) {
    struct random *random = make_random();
    random_next(random);
    uint64_t before[4];
    memcpy(before, random->key, sizeof before);
    memset(random, 0, sizeof *random);
    uint64_t calls = harness_call_count(OS_RANDOM);
    random_next(random);
    ck_assert_uint_eq(harness_call_count(OS_RANDOM), calls + 1);
    ck_assert_uint_eq(random->seeded, 1);
    ck_assert_mem_ne(random->key, before, sizeof before);
}
END_TEST

/* What a fork copies becomes the child's own: nothing of the parent's key is left in it, and the
   two go apart. */
START_TEST(a_copied_root_is_replaced_in_the_child) {
    struct random random = {.seeded = 0};
    struct random_root parent, child;
    random_start(&parent, &random);
    child = parent;
    random_recover(&child);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++) ck_assert_uint_ne(child.key[i], parent.key[j]);
    struct random_root other = parent;
    random_start(&other, &random);
    ck_assert_mem_ne(&other.key, &parent.key, sizeof parent.key);
}
END_TEST

/* Given a generator in wipe-on-fork memory, when the process forks in mid-stream, then neither side
   sees the other's numbers. */
START_TEST(parent_and_forked_child_draw_different_numbers) {
    enum { DRAWS = 2 * RANDOM_WORDS };
    struct random *random = make_random();
    for (unsigned i = 0; i < RANDOM_WORDS / 2; i++) random_next(random);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        uint64_t drawn[DRAWS];
        for (unsigned i = 0; i < DRAWS; i++) drawn[i] = random_next(random);
        _exit(write(ends[1], drawn, sizeof drawn) == (ssize_t)sizeof drawn ? 0 : 1);
    }
    close(ends[1]);
    uint64_t childs[DRAWS];
    int status = 0;
    ck_assert_int_eq(read(ends[0], childs, sizeof childs), (ssize_t)sizeof childs);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t word = random_next(random);
        for (unsigned j = 0; j < DRAWS; j++) ck_assert_uint_ne(word, childs[j]);
    }
}
END_TEST

/* Given a kernel that gives no random bytes, when a generator must be seeded, then the process ends
   and says why. */
START_TEST(no_entropy_ends_the_process_with_a_message) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        struct random random = {.seeded = 0};
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], 2);
        signal(SIGABRT, SIG_DFL);
        harness_fail_from(OS_RANDOM, 1);
        random_next(&random);
        _exit(0);
    }
    close(ends[1]);
    char text[256];
    int status = 0;
    ssize_t got = read(ends[0], text, sizeof text - 1);
    ck_assert_int_gt(got, 0);
    text[got] = '\0';
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    ck_assert_ptr_eq(strstr(text, "moat: fatal: the kernel gives no random bytes"), text);
}
END_TEST

static const uint32_t bounds[] = {1, 2, 3, 5, 7, 64, 100, 1000, 65536, 1u << 31, UINT32_MAX};

START_TEST(below_stays_below_its_bound) {
    uint32_t bound = bounds[_i];
    struct random random;
    random_seed_fixed(&random, bound);
    uint32_t most = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t number = random_below(&random, bound);
        if (number > most) most = number;
    }
    ck_assert_uint_lt(most, bound);
    /* 20000 draws leave the top hundredth of the range empty with a chance of 10^-87. */
    ck_assert_uint_ge(most, bound - 1 - bound / 100);
}
END_TEST

/* Chi-square over the cells, against the value exceeded with a chance of 10^-6; the seed is fixed,
   so the result is too. */
START_TEST(below_is_uniform) {
    static const struct {
        uint32_t cells;
        double limit;
    } cases[] = {{2, 23.9}, {3, 27.6}, {16, 56.5}, {100, 180.8}};
    enum { DRAWS = 100000 };
    uint32_t cells = cases[_i].cells;
    unsigned hits[100] = {0};
    struct random random;
    random_seed_fixed(&random, 12345);
    for (unsigned i = 0; i < DRAWS; i++) hits[random_below(&random, cells)]++;
    double expected = (double)DRAWS / cells;
    double chi_square = 0;
    for (uint32_t i = 0; i < cells; i++)
        chi_square += (hits[i] - expected) * (hits[i] - expected) / expected;
    ck_assert_double_lt(chi_square, cases[_i].limit);
}
END_TEST

START_TEST(each_bit_is_set_half_the_time) {
    enum { DRAWS = 40000 };
    struct random random;
    unsigned set[64] = {0};
    random_seed_fixed(&random, 99);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t word = random_next(&random);
        for (unsigned bit = 0; bit < 64; bit++) set[bit] += (word >> bit) & 1;
    }
    /* Six standard deviations of 100. */
    for (unsigned bit = 0; bit < 64; bit++) ck_assert_int_lt(abs((int)set[bit] - DRAWS / 2), 600);
}
END_TEST

START_TEST(errno_is_kept) {
    struct random random = {.seeded = 0};
    errno = 4242;
    random_next(&random);
    random_below(&random, 10);
    ck_assert_int_eq(errno, 4242);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("random");
    TCase *group = tcase_create("random");
    tcase_add_test(group, block_function_gives_the_standards_example);
    tcase_add_test(group, stream_is_the_block_function_under_successive_keys);
    tcase_add_test(group, two_generators_seeded_by_the_kernel_differ);
    tcase_add_test(group, a_fixed_seed_repeats_and_asks_the_kernel_for_nothing);
    tcase_add_test(group, a_word_is_erased_as_it_is_taken);
    tcase_add_test(group, a_refill_replaces_the_key);
    tcase_add_test(group, a_wiped_generator_seeds_itself_again);
    tcase_add_test(group, a_copied_root_is_replaced_in_the_child);
    tcase_add_test(group, parent_and_forked_child_draw_different_numbers);
    tcase_add_test(group, no_entropy_ends_the_process_with_a_message);
    tcase_add_loop_test(group, below_stays_below_its_bound, 0, sizeof bounds / sizeof *bounds);
    tcase_add_loop_test(group, below_is_uniform, 0, 4);
    tcase_add_test(group, each_bit_is_set_half_the_time);
    tcase_add_test(group, errno_is_kept);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
