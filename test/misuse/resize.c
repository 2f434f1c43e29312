/*
 * resize: realloc and malloc_usable_size of addresses that are no live block.
 *
 * To the same block size as well as to others: a resize that stays in place must look at the block
 * as a moving one does.
 */
#include "scene.h"

#define RESIZED_FREED "realloc of a freed block"
#define ASKED_FREED "usable size of a freed block"
#define RESIZED_NO_BLOCK "realloc of an address .+"
#define ASKED_NO_BLOCK "usable size of an address .+"

static struct worker one;
static size_t wanted;

static void resize_task(void *block) {
    expect(RESIZED_FREED "|" FREED_AGAIN, block);
    void *moved = realloc(launder(block), wanted);
    passed();
    (void)launder(moved);
}

static void ask_task(void *block) {
    expect(ASKED_FREED, block);
    size_t usable = malloc_usable_size(launder(block));
    passed();
    (void)launder((void *)usable);
}

static void *prepare(size_t size) {
    worker_start(&one);
    take(size);
    return take(size);
}

/* A freed block of 48 bytes (or as said) to `size` bytes. */
static void of_freed(size_t size) {
    void *block = prepare(SMALL);
    give(block);
    wanted = size;
    resize_task(block);
}

static void of_freed_large(size_t size) {
    void *block = prepare(LARGE);
    give(block);
    wanted = size;
    resize_task(block);
}

static void of_freed_huge(size_t size) {
    void *block = prepare(HUGE);
    give(block);
    wanted = size;
    resize_task(block);
}

static void of_freed_zero_size(size_t size) {
    void *block = prepare(0);
    give(block);
    wanted = size;
    resize_task(block);
}

/* The free came from another thread and has not been collected. */
static void of_claimed(size_t size) {
    void *block = prepare(SMALL);
    worker_do(&one, give_task, block);
    wanted = size;
    resize_task(block);
}

static void of_freed_remote(size_t size) {
    void *block = prepare(SMALL);
    give(block);
    wanted = size;
    worker_do(&one, resize_task, block);
}

static void of_claimed_remote(size_t size) {
    void *block = prepare(SMALL);
    worker_do(&one, give_task, block);
    wanted = size;
    worker_do(&one, resize_task, block);
}

/* The old block is dead once realloc has moved it. */
static void of_moved(size_t size) {
    void *block = prepare(SMALL);
    REQUIRE(realloc(block, SMALL_PAGE) != block, "a block of 48 bytes moves to become 4096");
    wanted = size;
    resize_task(launder(block));
}

static void freed_after_move(size_t size) {
    void *block = prepare(SMALL);
    REQUIRE(realloc(block, size) != block, "a block of 48 bytes moves to become %zu", size);
    free_wrongly(FREED_AGAIN, launder(block));
}

static void freed_after_resize_to_zero(size_t size) {
    void *block = prepare(size);
    REQUIRE(!realloc(block, 0), "realloc to nothing frees");
    free_wrongly(FREED_AGAIN, launder(block));
}

static void resize_no_block(void *address) {
    expect(RESIZED_NO_BLOCK, address);
    void *moved = realloc(launder(address), SMALL);
    passed();
    (void)launder(moved);
}

static void of_inside(size_t offset) { resize_no_block((char *)take(SMALL_PAGE) + offset); }
static void of_inside_huge(size_t offset) { resize_no_block((char *)take(HUGE) + offset); }
static void of_wild(size_t address) { resize_no_block((void *)address); }

static void of_stack(size_t size) {
    char local[64] __attribute__((aligned(16))) = "a local variable";
    (void)size;
    resize_no_block(local);
}

static void array_of_freed(size_t size) {
    void *block = prepare(SMALL);
    give(block);
    expect(RESIZED_FREED, block);
    void *moved = reallocarray(launder(block), 2, size);
    passed();
    (void)launder(moved);
}

static void size_of_freed(size_t size) {
    void *block = prepare(size);
    give(block);
    ask_task(block);
}

static void size_of_claimed(size_t size) {
    void *block = prepare(size);
    worker_do(&one, give_task, block);
    ask_task(block);
}

static void size_of_freed_remote(size_t size) {
    void *block = prepare(size);
    give(block);
    worker_do(&one, ask_task, block);
}

static void size_of_no_block(void *address) {
    expect(ASKED_NO_BLOCK, address);
    size_t usable = malloc_usable_size(launder(address));
    passed();
    (void)launder((void *)usable);
}

static void size_of_inside(size_t offset) { size_of_no_block((char *)take(SMALL_PAGE) + offset); }
static void size_of_wild(size_t address) { size_of_no_block((void *)address); }

const struct misuse_case resize_cases[] = {
    CASE("double-free", "realloc.same-class", AT_ONCE, of_freed, 48),
    CASE("double-free", "realloc.one-byte-less", AT_ONCE, of_freed, 47),
    CASE("double-free", "realloc.smaller", AT_ONCE, of_freed, 16),
    CASE("double-free", "realloc.larger", AT_ONCE, of_freed, 100),
    CASE("double-free", "realloc.to-medium", AT_ONCE, of_freed, MEDIUM),
    CASE("double-free", "realloc.to-huge", AT_ONCE, of_freed, HUGE),
    CASE("double-free", "realloc.to-zero", AT_ONCE, of_freed, 0),
    CASE("double-free", "realloc-large.same-class", AT_ONCE, of_freed_large, LARGE),
    CASE("double-free", "realloc-large.smaller", AT_ONCE, of_freed_large, 100),
    CASE("double-free", "realloc-huge.same-size", AT_ONCE, of_freed_huge, HUGE),
    CASE("double-free", "realloc-huge.larger", AT_ONCE, of_freed_huge, 2 * HUGE),
    CASE("double-free", "realloc-huge.smaller", AT_ONCE, of_freed_huge, 100),
    CASE("double-free", "realloc-zero-size.one-byte", AT_ONCE, of_freed_zero_size, 1),
    CASE("double-free", "realloc-claimed.same-class", AT_ONCE, of_claimed, 48),
    CASE("double-free", "realloc-claimed.larger", AT_ONCE, of_claimed, 1000),
    CASE("double-free", "realloc-claimed.to-zero", AT_ONCE, of_claimed, 0),
    CASE("double-free", "realloc-remote.same-class", AT_ONCE, of_freed_remote, 48),
    CASE("double-free", "realloc-remote.larger", AT_ONCE, of_freed_remote, 1000),
    CASE("double-free", "realloc-claimed-remote.same-class", AT_ONCE, of_claimed_remote, 48),
    CASE("double-free", "realloc-claimed-remote.larger", AT_ONCE, of_claimed_remote, 1000),
    CASE("double-free", "realloc-moved.same-class", AT_ONCE, of_moved, 48),
    CASE("double-free", "realloc-moved.larger", AT_ONCE, of_moved, 1000),
    CASE("double-free", "free-after-move.4096", AT_ONCE, freed_after_move, SMALL_PAGE),
    CASE("double-free", "free-after-move.huge", AT_ONCE, freed_after_move, HUGE),
    CASE("double-free", "free-after-realloc-to-zero.48", AT_ONCE, freed_after_resize_to_zero,
         SMALL),
    CASE("double-free", "free-after-realloc-to-zero.huge", AT_ONCE, freed_after_resize_to_zero,
         HUGE),
    CASE("double-free", "reallocarray.same-class", AT_ONCE, array_of_freed, 24),
    CASE("double-free", "reallocarray.larger", AT_ONCE, array_of_freed, 600),
    CASE("double-free", "usable-size.48", AT_ONCE, size_of_freed, SMALL),
    CASE("double-free", "usable-size.4096", AT_ONCE, size_of_freed, SMALL_PAGE),
    CASE("double-free", "usable-size.large", AT_ONCE, size_of_freed, LARGE),
    CASE("double-free", "usable-size.huge", AT_ONCE, size_of_freed, HUGE),
    CASE("double-free", "usable-size.zero-size", AT_ONCE, size_of_freed, 0),
    CASE("double-free", "usable-size-claimed.48", AT_ONCE, size_of_claimed, SMALL),
    CASE("double-free", "usable-size-remote.48", AT_ONCE, size_of_freed_remote, SMALL),
    CASE("invalid-free", "realloc.plus-1", AT_ONCE, of_inside, 1),
    CASE("invalid-free", "realloc.plus-16", AT_ONCE, of_inside, 16),
    CASE("invalid-free", "realloc-huge.plus-4096", AT_ONCE, of_inside_huge, 4096),
    CASE("invalid-free", "realloc.stack", AT_ONCE, of_stack, 0),
    CASE("invalid-free", "realloc.wild", AT_ONCE, of_wild, 0x4141414141414141),
    CASE("invalid-free", "usable-size.plus-8", AT_ONCE, size_of_inside, 8),
    CASE("invalid-free", "usable-size.plus-16", AT_ONCE, size_of_inside, 16),
    CASE("invalid-free", "usable-size.wild", AT_ONCE, size_of_wild, 0x4141414141414141),
    CASES_END,
};
