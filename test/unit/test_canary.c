/*
 * test_canary: bytes behind a block (src/meta/canary.h), and what of them an attacker may know.
 */
#include "core.h"

#include "meta/canary.h"

static void setup(void) { core_start_ready("level=strict:region=1G"); }

START_TEST(no_byte_of_a_canary_is_zero) {
    uint64_t seed = 1;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t value = canary_of(core_next(&seed) & ~(uint64_t)15);
        for (unsigned byte = 0; byte < 8; byte++) core_require((value >> 8 * byte & 0xff) != 0);
    }
}
END_TEST

/* Addresses that differ in one bit have canaries that differ in about half of theirs. */
START_TEST(a_canary_tells_nothing_of_another) {
    uint64_t seed = 2, differing = 0;
    enum { PAIRS = 20000 };
    for (unsigned i = 0; i < PAIRS; i++) {
        uint64_t block = core_next(&seed) & ~(uint64_t)15;
        uint64_t other = block ^ bit64(4 + core_below(&seed, 43));
        differing += popcount64(canary_of(block) ^ canary_of(other));
    }
    ck_assert_uint_gt(differing, (uint64_t)PAIRS * 31);
    ck_assert_uint_lt(differing, (uint64_t)PAIRS * 33);
}
END_TEST

START_TEST(it_depends_on_the_secret_of_the_process) {
    uint64_t one = canary_of(0x1000);
    ck_assert_uint_eq(canary_of(0x1000), one);
    core_start("level=strict:region=1G");
    harness_set_seed(7);
    ck_assert(init_once());
    ck_assert_uint_ne(canary_of(0x1000), one);
}
END_TEST

START_TEST(each_byte_that_is_changed_is_found_and_no_other) {
    static unsigned char memory[80] __attribute__((aligned(16)));
    uintptr_t start = (uintptr_t)memory;
    for (size_t from = 0; from < 40; from++) {
        for (size_t to = from; to <= 64; to++) {
            memset(memory, 0, sizeof memory);
            canary_fill(start, start + from, start + to);
            for (size_t i = 0; i < sizeof memory; i++)
                core_require((memory[i] != 0) == (i >= from && i < to));
            core_require(canary_check(start, start + from, start + to) == 0);
            for (size_t i = from; i < to; i += 3) {
                memory[i] ^= 1;
                core_require(canary_check(start, start + from, start + to) == start + i);
                memory[i] ^= 1;
            }
        }
    }
}
END_TEST

START_TEST(each_byte_that_is_not_zero_is_found) {
    static unsigned char memory[96] __attribute__((aligned(16)));
    uintptr_t start = (uintptr_t)memory;
    ck_assert_uint_eq(zero_check(start, start + sizeof memory), 0);
    for (size_t i = 0; i < sizeof memory; i++) {
        memory[i] = (unsigned char)(1 << i % 8);
        core_require(zero_check(start, start + sizeof memory) == start + i);
        memory[i] = 0;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("canary");
    TCase *group = tcase_create("canary");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_add_test(group, no_byte_of_a_canary_is_zero);
    tcase_add_test(group, a_canary_tells_nothing_of_another);
    tcase_add_test(group, it_depends_on_the_secret_of_the_process);
    tcase_add_test(group, each_byte_that_is_changed_is_found_and_no_other);
    tcase_add_test(group, each_byte_that_is_not_zero_is_found);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
