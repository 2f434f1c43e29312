/*
 * test_link: the codec of free-list links (src/heap/freelist.h): the boundary test for all offsets,
 * round trips, and what damage can do.
 *
 * A link decodes to an address, of which an offset in the low 22 bits counts; 42 more must be the
 * start's. They come from the low 42 bits of the stored word, so what changes only those is always
 * caught; what changes the upper 22 alone may name another block of the same page.
 */
#include "core.h"

#include "heap/freelist.h"
#include "meta/size_class.h"

static uint64_t random_state;

/* A page, two blocks of it, and the link from one to the other, by chance. */
struct sample {
    uint64_t secret, reciprocal, link;
    uintptr_t start, from, next;
    size_t size;
    uint32_t limit;
};

static size_t some_blocks(const struct sample *sample) { return sample->limit / sample->size; }

static struct sample make_sample(uint32_t size_class) {
    size_t size = size_class_bytes(size_class),
           page = page_kind_size(size_class_page_kind(size_class));
    size_t blocks = 1 + core_below(&random_state, (page - 4 * KIB) / size);
    struct sample sample = {
        .secret = core_next(&random_state), .reciprocal = block_reciprocal(size), .size = size};
    sample.limit = (uint32_t)(blocks * size);
    sample.start = (core_next(&random_state) & 0x7fffffffffff) / page * page;
    sample.from = sample.start + core_below(&random_state, blocks) * size;
    sample.next = sample.start + core_below(&random_state, blocks) * size;
    sample.link = freelist_encode(sample.next, sample.secret, sample.from);
    return sample;
}

/* What pop and validate accept at that place. */
enum verdict { CAUGHT, SAME, OTHER_BLOCK };

static enum verdict judge(const struct sample *sample, uint64_t link, uintptr_t at) {
    uint64_t decoded = freelist_decode(link, sample->secret, at), offset = decoded - sample->start;
    if (decoded == sample->next) return SAME;
    if (!freelist_is_block(offset, sample->limit, sample->reciprocal)) return CAUGHT;
    core_require(offset < sample->limit);
    core_require(offset % sample->size == 0);
    return OTHER_BLOCK;
}

START_TEST(the_boundary_test_is_the_remainder_for_every_offset_of_every_class) {
    for (uint32_t size_class = 0; size_class < SIZE_CLASSES; size_class++) {
        uint64_t reciprocal = block_reciprocal(size_class_bytes(size_class));
        size_t size = size_class_bytes(size_class),
               page = page_kind_size(size_class_page_kind(size_class)), remainder = 0;
        for (size_t offset = 0; offset < page; offset++) {
            if (offset_on_boundary(offset, reciprocal) != (remainder == 0))
                ck_abort_msg("block size %zu, offset %zu", size_class_bytes(size_class), offset);
            if (++remainder == size) remainder = 0;
        }
    }
}
END_TEST

/* The decoded number may be anything below 2^32 when the test is used without the limit. */
START_TEST(the_boundary_test_is_the_remainder_up_to_32_bits) {
    for (unsigned i = 0; i < 3000000; i++) {
        size_t size = size_class_bytes((uint32_t)core_below(&random_state, SIZE_CLASSES));
        uint64_t offset = core_next(&random_state) >> 32;
        if (i % 4 == 0) offset -= offset % size;
        core_require(offset_on_boundary(offset, block_reciprocal(size)) == (offset % size == 0));
    }
}
END_TEST

START_TEST(a_link_decodes_to_what_was_encoded) {
    for (unsigned i = 0; i < 200000; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        core_require(freelist_decode(sample.link, sample.secret, sample.from) == sample.next);
        core_require(
            freelist_is_block(sample.next - sample.start, sample.limit, sample.reciprocal));
    }
}
END_TEST

START_TEST(every_single_changed_bit_is_caught_or_names_a_block_of_the_page) {
    size_t others = 0, changes = 0;
    for (unsigned i = 0; i < 30000; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        for (unsigned bit = 0; bit < 64; bit++) {
            enum verdict verdict = judge(&sample, sample.link ^ bit64(bit), sample.from);
            core_require(verdict != SAME);
            if (bit < FREELIST_ROTATION) core_require(verdict == CAUGHT);
            others += verdict == OTHER_BLOCK;
            changes++;
        }
    }
    /* Even so, most are caught: the block boundary test sees most changes of an offset. */
    core_require(others > 0);
    core_require(others * 8 < changes);
}
END_TEST

START_TEST(a_linear_overflow_of_one_to_five_bytes_is_always_caught) {
    for (unsigned i = 0; i < 400000; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        unsigned bytes = 1 + i % 5;
        uint64_t mask = low_mask(8 * bytes), written = i % 3 == 0   ? 0
                                                       : i % 3 == 1 ? ~(uint64_t)0
                                                                    : core_next(&random_state);
        uint64_t link = (sample.link & ~mask) | (written & mask);
        if (link == sample.link) continue; /* the bytes that stood there */
        core_require(judge(&sample, link, sample.from) == CAUGHT);
    }
}
END_TEST

/* The whole space of one overflowing byte, wherever it meets the word's first five. */
START_TEST(every_value_of_each_of_the_first_five_bytes_is_caught) {
    for (unsigned i = 0; i < 400; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        for (unsigned byte = 0; byte < 5; byte++)
            for (uint64_t change = 1; change < 256; change++)
                core_require(judge(&sample, sample.link ^ change << (8 * byte), sample.from) ==
                             CAUGHT);
    }
}
END_TEST

START_TEST(a_link_copied_from_another_block_of_the_page_is_always_caught) {
    for (unsigned i = 0; i < 400000; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        uintptr_t to = sample.start + core_below(&random_state, some_blocks(&sample)) * sample.size;
        if (to == sample.from) continue;
        uint64_t decoded = freelist_decode(sample.link, sample.secret, to);
        core_require(!freelist_is_block(decoded - sample.start, sample.limit, sample.reciprocal));
    }
}
END_TEST

/* Pairs of every two blocks of one page of the smallest class, all next blocks sampled. */
START_TEST(links_copied_between_any_two_small_blocks_are_caught) {
    struct sample sample = make_sample(0);
    sample.limit = 64 * KIB - 4 * KIB;
    for (uint32_t from = 0; from < sample.limit; from += 16)
        for (uint32_t to = 0; to < sample.limit; to += 16) {
            if (from == to) continue;
            uintptr_t next = sample.start + (from * 7 + to * 3) % sample.limit / 16 * 16;
            uint64_t link = freelist_encode(next, sample.secret, sample.start + from),
                     decoded = freelist_decode(link, sample.secret, sample.start + to);
            core_require(
                !freelist_is_block(decoded - sample.start, sample.limit, sample.reciprocal));
        }
}
END_TEST

/* Eight blind bytes pass with 2^-42 at most; none of half a million may, nor the words programs
   leave behind. */
START_TEST(blind_words_are_caught) {
    static const uint64_t typical[] = {
        0, 1, ~(uint64_t)0, 0x4141414141414141, 0x7fff12345678, 0xdeadbeefdeadbeef, 16, 4096};
    for (unsigned i = 0; i < 500000; i++) {
        struct sample sample = make_sample(i % SIZE_CLASSES);
        core_require(judge(&sample, core_next(&random_state), sample.from) == CAUGHT);
        core_require(judge(&sample, typical[i % 8], sample.from) == CAUGHT);
    }
}
END_TEST

START_TEST(links_are_stored_and_loaded_whole) {
    uint64_t words[3] = {1, 2, 3};
    freelist_store((uintptr_t)&words[1], 0x0123456789abcdef);
    core_require(words[0] == 1);
    core_require(words[2] == 3);
    ck_assert_uint_eq(freelist_load((uintptr_t)&words[1]), 0x0123456789abcdef);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("link");
    TCase *group = tcase_create("link");
    tcase_set_timeout(group, 60);
    tcase_add_test(group, the_boundary_test_is_the_remainder_for_every_offset_of_every_class);
    tcase_add_test(group, the_boundary_test_is_the_remainder_up_to_32_bits);
    tcase_add_test(group, a_link_decodes_to_what_was_encoded);
    tcase_add_test(group, every_single_changed_bit_is_caught_or_names_a_block_of_the_page);
    tcase_add_test(group, a_linear_overflow_of_one_to_five_bytes_is_always_caught);
    tcase_add_test(group, every_value_of_each_of_the_first_five_bytes_is_caught);
    tcase_add_test(group, a_link_copied_from_another_block_of_the_page_is_always_caught);
    tcase_add_test(group, links_copied_between_any_two_small_blocks_are_caught);
    tcase_add_test(group, blind_words_are_caught);
    tcase_add_test(group, links_are_stored_and_loaded_whole);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
