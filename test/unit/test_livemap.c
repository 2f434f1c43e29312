/*
 * test_livemap: two bits for every granule (src/meta/livemap.h): where they lie, and the steps of
 * the table in doc/design.md, "The two bits of a block".
 */
#include "core.h"

#include "meta/livemap.h"

enum { SEGMENTS = 4 };
static struct map_word words[SEGMENTS * MAP_WORDS_PER_SEGMENT];
static const uintptr_t base = (uintptr_t)0x123 << 32;

static void setup(void) {
    harness_reset();
    ro.region_base = base;
    ro.maps = (uintptr_t)words;
    ro.map_bias = (uintptr_t)words - (base >> 6);
    memset(words, 0, sizeof words);
}

START_TEST(every_granule_has_a_bit_of_its_own) {
    for (uintptr_t offset = 0; offset < SEGMENTS * SEGMENT_SIZE; offset += GRANULE) {
        size_t granule = offset / GRANULE;
        if (map_word_of(base + offset) != &words[granule / 64] ||
            map_word_of_granule(granule) != &words[granule / 64] ||
            map_bit_of(base + offset) != (uint64_t)1 << granule % 64)
            ck_abort_msg("offset %zu", (size_t)offset);
    }
}
END_TEST

START_TEST(the_bytes_of_a_granule_share_its_bit) {
    for (uintptr_t offset = 0; offset < 4 * MAP_WORD_SPAN; offset++) {
        core_require(map_word_of(base + offset) == map_word_of(base + round_down(offset, GRANULE)));
        core_require(map_bit_of(base + offset) == map_bit_of(base + round_down(offset, GRANULE)));
    }
}
END_TEST

static struct map_word word_with(bool live, bool claim, uint64_t bit, uint64_t others) {
    return (struct map_word){(others & ~bit) | (live ? bit : 0),
                             (~others & ~bit) | (claim ? bit : 0)};
}

/* The table of what each step requires and leaves, whatever the neighbours' bits are. */
START_TEST(each_step_requires_and_leaves_what_the_table_says) {
    uint64_t random = 7;
    for (unsigned i = 0; i < 64 * 64; i++) {
        uint64_t bit = bit64(i), others = core_next(&random);
        for (unsigned state = 0; state < 4; state++) {
            bool live = (state & 1) != 0, claim = (state & 2) != 0;
            struct map_word before = word_with(live, claim, bit, others), word = before;
            core_require(map_in_use(&word, bit) == (live && !claim));
            core_require(map_is_free(&word, bit) == (!live && !claim));
            ck_assert_mem_eq(&word, &before, sizeof word);

            struct map_word taken = word_with(true, false, bit, others);
            core_require(map_take(&word, i) == (!live && !claim));
            ck_assert_mem_eq(&word, !live && !claim ? &taken : &before, sizeof word);

            word = before;
            struct map_word given = word_with(false, false, bit, others);
            core_require(map_give(&word, i) == (live && !claim));
            ck_assert_mem_eq(&word, live && !claim ? &given : &before, sizeof word);
        }
    }
}
END_TEST

START_TEST(collecting_clears_the_live_bits_it_is_given_alone) {
    uint64_t random = 9;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t live = core_next(&random), claim = core_next(&random), bits = core_next(&random);
        struct map_word word = {live, claim};
        map_clear_live(&word, bits);
        core_require(word.live == (live & ~bits));
        core_require(word.claim == claim);
    }
}
END_TEST

/* The bits of a segment that is in use lie in writable table memory, and nowhere else. */
START_TEST(the_bits_of_a_segment_can_be_written_once_it_is_taken) {
    core_start_ready(NULL);
    uint32_t index = 0;
    core_require(region_take(1, 1, &index));
    uintptr_t start = segment_address(index);
    core_require(harness_range_is((uintptr_t)map_word_of(start), MAP_TABLE_BYTES_PER_SEGMENT,
                                  HARNESS_COMMITTED));
    for (uintptr_t at = start; at < start + SEGMENT_SIZE; at += MAP_WORD_SPAN) {
        core_require(map_word_of(at)->live == 0);
        core_require(map_word_of(at)->claim == 0);
        map_word_of(at)->live = map_word_of(at)->claim = ~(uint64_t)0;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("livemap");
    TCase *group = tcase_create("livemap");
    tcase_add_checked_fixture(group, setup, core_teardown);
    tcase_set_timeout(group, 60);
    tcase_add_test(group, every_granule_has_a_bit_of_its_own);
    tcase_add_test(group, the_bytes_of_a_granule_share_its_bit);
    tcase_add_test(group, each_step_requires_and_leaves_what_the_table_says);
    tcase_add_test(group, collecting_clears_the_live_bits_it_is_given_alone);
    tcase_add_test(group, the_bits_of_a_segment_can_be_written_once_it_is_taken);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
