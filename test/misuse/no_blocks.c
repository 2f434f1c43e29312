/*
 * no_blocks: frees of addresses that malloc never returned.
 *
 * Inside a block, misaligned, beyond the last block of a page; the stack, static data, code, other
 * mappings of the process, addresses that no process can have. None may be dereferenced by the
 * allocator: each is reported, and none faults.
 */
#include "scene.h"

#include "family.h"
#include "prng.h"

#include <stdio.h>
#include <sys/mman.h>

#include "process.h"

static struct worker one;

static void free_wrongly_task(void *address) { free_wrongly(FREED_ANY_ADDRESS, address); }

/* `offset` bytes into a block of 4096; misaligned when it is no multiple of 16. */
static void inside(size_t offset) { free_wrongly(FREED_INSIDE, (char *)take(SMALL_PAGE) + offset); }

static void inside_remote(size_t offset) {
    worker_start(&one);
    worker_do(&one, free_wrongly_task, (char *)take(SMALL_PAGE) + offset);
}

static void inside_freed(size_t offset) {
    char *block = take(SMALL_PAGE);
    take(SMALL_PAGE);
    give(block);
    free_wrongly(FREED_ANY_ADDRESS, block + offset);
}

/* The middle of a block of `size`. */
static void middle(size_t size) { free_wrongly(FREED_INSIDE, (char *)take(size) + size / 2); }
static void middle_granule(size_t size) { free_wrongly(FREED_INSIDE, (char *)take(size) + 16); }
static void misaligned(size_t size) { free_wrongly(FREED_INSIDE, (char *)take(size) + 1); }

static void inside_aligned(size_t alignment) {
    void *block = NULL;
    REQUIRE(posix_memalign(&block, alignment, 3 * alignment) == 0, "posix_memalign works");
    free_wrongly(FREED_INSIDE, (char *)block + alignment);
}

static void inside_zero_size(size_t offset) {
    free_wrongly(FREED_ANY_ADDRESS, (char *)take(0) + offset);
}

/* Just past the last byte that may be used: for a huge block that is guarded memory. */
static void past_the_end(size_t size) {
    char *block = take(size);
    free_wrongly(FREED_ANY_ADDRESS, block + malloc_usable_size(block));
}

static void before_the_start(size_t size) {
    free_wrongly(FREED_ANY_ADDRESS, (char *)take(size) - 16);
}

/* The block sizes of a page of 4096-byte blocks, up to its end: all but one were never handed
   out. */
static void never_allocated(size_t index) {
    char *block = take(SMALL_PAGE);
    uintptr_t page = (uintptr_t)block & ~(uintptr_t)0xffff;
    char *other = (char *)page + index * SMALL_PAGE;
    if (other == block) other = (char *)page + ((index + 8) % 16) * SMALL_PAGE;
    free_wrongly(FREED_AGAIN "|" FREED_ANY_ADDRESS, launder(other));
}

static void guard_of_segment(size_t size) {
    uintptr_t block = (uintptr_t)take(size);
    free_wrongly(FREED_ANY_ADDRESS, launder((void *)((block & ~(SEGMENT - 1)) + SEGMENT - 16)));
}

/* Where the heap may grow to, and never did: whole segments above a live block. */
static void reserved(size_t distance) {
    char *block = take(SMALL);
    char *address = launder(block + distance);
    free_wrongly(FREED_ANY_ADDRESS, address);
}

static void on_stack(size_t offset) {
    char local[64] __attribute__((aligned(16))) = "a local variable";
    free_wrongly(FREED_FOREIGN, local + offset);
}

static void stack_of_thread_task(void *offset) { on_stack(*(const size_t *)offset); }
static void on_stack_of_thread(size_t offset) {
    worker_start(&one);
    worker_do(&one, stack_of_thread_task, &offset);
}

static char data[64] __attribute__((aligned(16))) = "initialised data";
static char zeroed[1 << 20] __attribute__((aligned(4096)));

static void in_data(size_t offset) { free_wrongly(FREED_FOREIGN, data + offset); }
static void in_bss(size_t offset) { free_wrongly(FREED_FOREIGN, zeroed + offset); }

static void in_code(size_t size) {
    (void)size;
    union {
        void (*function)(size_t);
        void *address;
    } code = {.function = in_code};
    free_wrongly(FREED_FOREIGN, code.address);
}

static void in_string(size_t size) {
    (void)size;
    free_wrongly(FREED_FOREIGN, launder("a string literal"));
}

static void in_libc(size_t size) {
    (void)size;
    free_wrongly(FREED_FOREIGN, launder(stdout));
}

static void *map(size_t size, int protection) {
    void *mapping = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapping != MAP_FAILED, "mmap works");
    return mapping;
}

static void in_mapping(size_t size) {
    free_wrongly(FREED_FOREIGN, (char *)map(size, PROT_READ | PROT_WRITE) + 16);
}
static void in_inaccessible_mapping(size_t size) {
    free_wrongly(FREED_FOREIGN, map(size, PROT_NONE));
}

static void in_unmapped(size_t size) {
    void *mapping = map(size, PROT_NONE);
    REQUIRE(munmap(mapping, size) == 0, "munmap works");
    free_wrongly(FREED_FOREIGN, mapping);
}

/* One mapping of the process after the other, moat's own tables among them: an address in its
   middle that can be no block. */
static void every_mapping(size_t size) {
    uintptr_t start, end;
    take(size);
    process_mapping(scene_round, &start, &end);
    free_wrongly(FREED_ANY_ADDRESS, launder((void *)((start + (end - start) / 2) | 8)));
}

static void wild(size_t address) { free_wrongly(FREED_FOREIGN, launder((void *)address)); }

/* Any 64-bit word, as a corrupted pointer may be. */
static void random_word(size_t size) {
    uint64_t state = scene_round;
    take(size);
    free_wrongly(FREED_ANY_ADDRESS, launder((void *)(uintptr_t)(prng_next(&state) | 1)));
}

/* A word below 2^47: more often a canonical address of user space, and sometimes inside the
   region. */
static void random_user_address(size_t size) {
    uint64_t state = ~(uint64_t)scene_round;
    take(size);
    free_wrongly(FREED_ANY_ADDRESS, launder((void *)(uintptr_t)((prng_next(&state) >> 17) | 8)));
}

/* Before anything was allocated by this thread, in a process that has hardly allocated. */
static void first_call(size_t offset) { free_wrongly(FREED_FOREIGN, zeroed + offset); }

const struct misuse_case no_block_cases[] = {
    CASE("invalid-free", "inside.plus-1", AT_ONCE, inside, 1),
    CASE("invalid-free", "inside.plus-8", AT_ONCE, inside, 8),
    CASE("invalid-free", "inside.plus-16", AT_ONCE, inside, 16),
    CASE("invalid-free", "inside.plus-1024", AT_ONCE, inside, 1024),
    CASE("invalid-free", "inside.last-byte", AT_ONCE, inside, 4095),
    CASE("invalid-free", "inside-remote.plus-1", AT_ONCE, inside_remote, 1),
    CASE("invalid-free", "inside-remote.plus-8", AT_ONCE, inside_remote, 8),
    CASE("invalid-free", "inside-remote.plus-16", AT_ONCE, inside_remote, 16),
    CASE("invalid-free", "inside-freed.plus-8", AT_ONCE, inside_freed, 8),
    CASE("invalid-free", "inside-freed.plus-16", AT_ONCE, inside_freed, 16),
    CASE("invalid-free", "middle.48", AT_ONCE, middle_granule, SMALL),
    CASE("invalid-free", "middle.medium", AT_ONCE, middle, MEDIUM),
    CASE("invalid-free", "middle.large", AT_ONCE, middle, LARGE),
    CASE("invalid-free", "middle.huge", AT_ONCE, middle, HUGE),
    CASE("invalid-free", "second-segment.huge", AT_ONCE, middle, (size_t)16 << 20),
    CASE("invalid-free", "misaligned.16", AT_ONCE, misaligned, SMALLEST),
    CASE("invalid-free", "misaligned.48", AT_ONCE, misaligned, SMALL),
    CASE("invalid-free", "misaligned.medium", AT_ONCE, misaligned, MEDIUM),
    CASE("invalid-free", "misaligned.large", AT_ONCE, misaligned, LARGE),
    CASE("invalid-free", "misaligned.huge", AT_ONCE, misaligned, HUGE),
    CASE("invalid-free", "inside-aligned.64", AT_ONCE, inside_aligned, 64),
    CASE("invalid-free", "inside-aligned.4096", AT_ONCE, inside_aligned, 4096),
    CASE("invalid-free", "inside-aligned.8m", AT_ONCE, inside_aligned, (size_t)8 << 20),
    CASE("invalid-free", "inside-zero-size.plus-1", AT_ONCE, inside_zero_size, 1),
    CASE("invalid-free", "inside-zero-size.plus-8", AT_ONCE, inside_zero_size, 8),
    CASE("invalid-free", "past-the-end.huge", AT_ONCE, past_the_end, HUGE),
    CASE("invalid-free", "before-the-start.huge", AT_ONCE, before_the_start, HUGE),
    CASE("invalid-free", "before-the-start.large", AT_ONCE, before_the_start, LARGE),
    CASE("double-free|invalid-free", "never-allocated.first", AT_ONCE, never_allocated, 0),
    CASE("double-free|invalid-free", "never-allocated.middle", AT_ONCE, never_allocated, 7),
    CASE("double-free|invalid-free", "never-allocated.last", AT_ONCE, never_allocated, 15),
    CASE("invalid-free", "guard-of-segment.small", AT_ONCE, guard_of_segment, SMALL),
    CASE("invalid-free", "guard-of-segment.large", AT_ONCE, guard_of_segment, LARGE),
    CASE("invalid-free", "reserved.next-segment", AT_ONCE, reserved, (size_t)64 << 20),
    CASE("invalid-free", "reserved.far", AT_ONCE, reserved, (size_t)4 << 30),
    CASE("invalid-free", "stack.local", AT_ONCE, on_stack, 0),
    CASE("invalid-free", "stack.misaligned", AT_ONCE, on_stack, 3),
    CASE("invalid-free", "stack.of-thread", AT_ONCE, on_stack_of_thread, 16),
    CASE("invalid-free", "static.data", AT_ONCE, in_data, 0),
    CASE("invalid-free", "static.bss", AT_ONCE, in_bss, 4096),
    CASE("invalid-free", "static.code", AT_ONCE, in_code, 0),
    CASE("invalid-free", "static.string", AT_ONCE, in_string, 0),
    CASE("invalid-free", "static.libc", AT_ONCE, in_libc, 0),
    CASE("invalid-free", "mapping.readable", AT_ONCE, in_mapping, 1 << 16),
    CASE("invalid-free", "mapping.inaccessible", AT_ONCE, in_inaccessible_mapping, 1 << 16),
    CASE("invalid-free", "mapping.unmapped", AT_ONCE, in_unmapped, 1 << 16),
    CASE_ROUNDS("invalid-free", "mapping.every", AT_ONCE, every_mapping, SMALL, 80),
    CASE("invalid-free", "wild.one", AT_ONCE, wild, 1),
    CASE("invalid-free", "wild.16", AT_ONCE, wild, 16),
    CASE("invalid-free", "wild.last-byte", AT_ONCE, wild, SIZE_MAX),
    CASE("invalid-free", "wild.last-granule", AT_ONCE, wild, SIZE_MAX - 15),
    CASE("invalid-free", "wild.not-canonical", AT_ONCE, wild, (size_t)0xdead000000000010),
    CASE("invalid-free", "wild.letters", AT_ONCE, wild, (size_t)0x4141414141414141),
    CASE("invalid-free", "wild.kernel", AT_ONCE, wild, (size_t)0xffff800000000000),
    CASE("invalid-free", "wild.end-of-user-space", AT_ONCE, wild, (size_t)0x00007ffffffffff0),
    CASE_ROUNDS("invalid-free", "wild.random", AT_ONCE, random_word, SMALL, 40),
    CASE_ROUNDS("invalid-free", "wild.random-user", AT_ONCE, random_user_address, SMALL, 80),
    CASE("invalid-free", "first-call.bss", AT_ONCE, first_call, 64),
    CASES_END,
};
