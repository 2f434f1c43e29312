/*
 * sized: frees that say a size or an alignment, and say a wrong one; and right ones of a block that
 * is free.
 */
#include "scene.h"

#include "family.h"

#define WRONG_SIZE "sized free with the wrong size"
#define WRONG_ALIGNMENT "aligned free with the wrong alignment"

static struct worker one;
static size_t said;

static void free_sized_task(void *block) { family.free_sized(launder(block), said); }

static void require_family(void) {
    REQUIRE(family.free_sized && family.free_aligned_sized && family.delete_sized &&
                family.delete_sized_aligned,
            "the sized frees are there");
}

static void wrong_size(size_t size, size_t wrong) {
    require_family();
    void *block = take(size);
    expect(WRONG_SIZE, block);
    family.free_sized(block, wrong);
    passed();
}

static void one_class_more(size_t size) { wrong_size(size, size + size / 4 + 16); }
static void one_class_less(size_t size) { wrong_size(size, size - size / 4 - 16); }
static void far_too_large(size_t size) { wrong_size(size, (size_t)1 << 40); }
static void beyond_ptrdiff(size_t size) { wrong_size(size, SIZE_MAX); }
static void said_zero(size_t size) { wrong_size(size, 0); }
static void zero_size_said_more(size_t wrong) { wrong_size(0, wrong); }

static void wrong_size_remote(size_t size) {
    require_family();
    worker_start(&one);
    void *block = take(size);
    said = 4 * size;
    expect(WRONG_SIZE, block);
    worker_do(&one, free_sized_task, block);
    passed();
}

static void wrong_size_of_delete(size_t size) {
    require_family();
    void *block = launder(family.new_plain(size));
    expect(WRONG_SIZE, block);
    family.delete_sized(block, 2 * size + 16);
    passed();
}

static void sized_of_freed(size_t size) {
    require_family();
    take(size);
    void *block = take(size);
    give(block);
    expect(FREED_AGAIN "|sized free of a freed block", block);
    family.free_sized(block, size);
    passed();
}

static void sized_of_claimed(size_t size) {
    require_family();
    worker_start(&one);
    take(size);
    void *block = take(size);
    worker_do(&one, give_task, block);
    expect(FREED_AGAIN "|sized free of a freed block", block);
    family.free_sized(block, size);
    passed();
}

static void delete_of_freed(size_t size) {
    require_family();
    take(size);
    void *block = take(size);
    give(block);
    expect(FREED_AGAIN "|sized free of a freed block", block);
    family.delete_sized(block, size);
    passed();
}

static void sized_of_inside(size_t offset) {
    require_family();
    char *address = (char *)take(SMALL_PAGE) + offset;
    expect("(sized )?" FREED_ANY_ADDRESS, address);
    family.free_sized(launder(address), SMALL_PAGE);
    passed();
}

/* The alignment that is said is one the block cannot have been asked for with: so many bytes have a
   block of 48, at both levels, and at 64 they would lie in a larger one. */
enum { ALIGNED_SIZE = 47 };

static void wrong_alignment(size_t wrong) {
    require_family();
    void *block = launder(aligned_alloc(16, ALIGNED_SIZE));
    REQUIRE(block, "aligned_alloc works");
    expect(WRONG_ALIGNMENT, block);
    family.free_aligned_sized(block, wrong, ALIGNED_SIZE);
    passed();
}

static void wrong_alignment_of_delete(size_t wrong) {
    require_family();
    void *block = launder(family.new_plain(ALIGNED_SIZE));
    REQUIRE(block, "new works");
    expect(WRONG_ALIGNMENT, block);
    family.delete_sized_aligned(block, ALIGNED_SIZE, wrong);
    passed();
}

static void wrong_size_right_alignment(size_t wrong) {
    require_family();
    void *block = launder(aligned_alloc(64, 256));
    REQUIRE(block, "aligned_alloc works");
    expect(WRONG_SIZE, block);
    family.free_aligned_sized(block, 64, wrong);
    passed();
}

/* sized=off: the size is not looked at. */
static void not_checked(size_t size) {
    require_family();
    family.free_sized(take(size), 8 * size);
    take(size);
}

const struct misuse_case sized_cases[] = {
    CASE("size-mismatch", "more.48", AT_ONCE, one_class_more, SMALL),
    CASE("size-mismatch", "more.4096", AT_ONCE, one_class_more, SMALL_PAGE),
    CASE("size-mismatch", "more.medium", AT_ONCE, one_class_more, MEDIUM),
    CASE("size-mismatch", "more.large", AT_ONCE, one_class_more, LARGE),
    CASE("size-mismatch", "more.huge", AT_ONCE, one_class_more, HUGE),
    CASE("size-mismatch", "less.48", AT_ONCE, one_class_less, SMALL),
    CASE("size-mismatch", "less.4096", AT_ONCE, one_class_less, SMALL_PAGE),
    CASE("size-mismatch", "less.medium", AT_ONCE, one_class_less, MEDIUM),
    CASE("size-mismatch", "less.large", AT_ONCE, one_class_less, LARGE),
    CASE("size-mismatch", "less.huge", AT_ONCE, one_class_less, HUGE),
    CASE("size-mismatch", "far-too-large.48", AT_ONCE, far_too_large, SMALL),
    CASE("size-mismatch", "beyond-ptrdiff.48", AT_ONCE, beyond_ptrdiff, SMALL),
    CASE("size-mismatch", "said-zero.48", AT_ONCE, said_zero, SMALL),
    CASE("size-mismatch", "zero-size-said.16", AT_ONCE, zero_size_said_more, 16),
    CASE("size-mismatch", "remote.48", AT_ONCE, wrong_size_remote, SMALL),
    CASE("size-mismatch", "remote.4096", AT_ONCE, wrong_size_remote, SMALL_PAGE),
    CASE("size-mismatch", "delete.48", AT_ONCE, wrong_size_of_delete, SMALL),
    CASE("size-mismatch", "aligned.1024", AT_ONCE, wrong_size_right_alignment, 1024),
    CASE("double-free", "free-sized.48", AT_ONCE, sized_of_freed, SMALL),
    CASE("double-free", "free-sized.4096", AT_ONCE, sized_of_freed, SMALL_PAGE),
    CASE("double-free", "free-sized.huge", AT_ONCE, sized_of_freed, HUGE),
    CASE("double-free", "free-sized-claimed.48", AT_ONCE, sized_of_claimed, SMALL),
    CASE("double-free", "delete.48", AT_ONCE, delete_of_freed, SMALL),
    CASE("invalid-free", "free-sized.plus-16", AT_ONCE, sized_of_inside, 16),
    CASE("alignment-mismatch", "more.64", AT_ONCE, wrong_alignment, 64),
    CASE("alignment-mismatch", "more.4096", AT_ONCE, wrong_alignment, 4096),
    CASE("alignment-mismatch", "not-a-power-of-two.48", AT_ONCE, wrong_alignment, 48),
    CASE("alignment-mismatch", "zero.48", AT_ONCE, wrong_alignment, 0),
    CASE("alignment-mismatch", "delete.64", AT_ONCE, wrong_alignment_of_delete, 64),
    CASE_OPTIONS("none", "sized-off.48", CLEAN, not_checked, SMALL, "sized=off"),
    CASES_END,
};
