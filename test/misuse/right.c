/*
 * right: the lawful twin of each path. None of these may be reported: a check that fires here would
 * stop a correct program.
 */
#include "scene.h"

#include "family.h"
#include "prng.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static struct worker one, other;

static void local(size_t size) {
    take(size);
    for (unsigned i = 0; i < 1000; i++) give(take(size));
    family.check();
}

static void remote(size_t size) {
    worker_start(&one);
    for (unsigned i = 0; i < 300; i++) worker_do(&one, give_task, take(size));
    walk(size);
    family.check();
}

/* Two threads free neighbours at the same time, the owner a third: nobody's free is another's. */
static void give_many(void *list) {
    for (void **blocks = list; *blocks; blocks++) give(*blocks);
}

static void neighbours_at_once(size_t size) {
    enum { COUNT = 400 };
    static void *mine[COUNT + 1], *hers[COUNT + 1], *his[COUNT + 1];
    worker_start(&one);
    worker_start(&other);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            mine[i] = take(size);
            hers[i] = take(size);
            his[i] = take(size);
        }
        worker_post(&one, give_many, hers);
        worker_post(&other, give_many, his);
        give_many(mine);
        worker_wait(&one);
        worker_wait(&other);
    }
    family.check();
}

/* A block goes round: freed by another thread, taken again by its owner, freed by itself. */
static void taken_again(size_t size) {
    worker_start(&one);
    void *first = take(size);
    for (unsigned i = 0; i < 20000; i++) {
        worker_do(&one, give_task, first);
        first = take(size);
        give(first);
        first = take(size);
    }
    family.check();
}

struct left_block {
    size_t size;
    void *blocks[50];
};

static void leave_task(void *argument) {
    struct left_block *left = argument;
    for (unsigned i = 0; i < 50; i++) left->blocks[i] = take(left->size);
}

static void abandoned(size_t size) {
    struct left_block left = {size, {NULL}};
    worker_start(&one);
    worker_start(&other);
    worker_do(&one, leave_task, &left);
    worker_end(&one);
    for (unsigned i = 0; i < 25; i++) give(left.blocks[i]);
    for (unsigned i = 25; i < 50; i++) worker_do(&other, give_task, left.blocks[i]);
    walk(size);
    family.check();
}

static void child_task(void *argument) {
    struct left_block *left = argument;
    for (unsigned i = 0; i < 50; i++) give(left->blocks[i]);
    walk(left->size);
    family.check();
}

/* Blocks of a thread that the child does not have are freed in the child, some of them already
   claimed by nobody. */
static void fork_child(size_t size) {
    static struct left_block left;
    left.size = size;
    worker_start(&one);
    worker_do(&one, leave_task, &left);
    in_child(child_task, &left);
}

static void resized(size_t size) {
    uint64_t seed = 7;
    char *block = take(size);
    block[0] = 'm';
    for (unsigned i = 0; i < 2000; i++) {
        block = launder(realloc(block, 1 + prng_below(&seed, 4 * size)));
        REQUIRE(block && block[0] == 'm', "a resize keeps the contents");
    }
    give(block);
    family.check();
}

/* Any size that leads to the same block is right: what was asked for, what may be used, and what
   lies between. */
static void sized(size_t size) {
    REQUIRE(family.free_sized && family.free_aligned_sized && family.delete_sized,
            "the sized frees are there");
    family.free_sized(NULL, size);
    family.free_sized(take(size), size);
    void *block = take(size);
    family.free_sized(block, malloc_usable_size(block));
    family.delete_sized(launder(family.new_plain(size)), size);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        void *aligned = launder(aligned_alloc(alignment, size));
        REQUIRE(aligned, "aligned_alloc works");
        family.free_aligned_sized(aligned, alignment, size);
    }
    family.check();
}

/* The last byte that may be used, of every kind of block; nothing else is inaccessible. */
static void written_to_the_end(size_t size) {
    for (unsigned i = 0; i < 30; i++) {
        char *block = take(size);
        memset(block, 0xa5, malloc_usable_size(block));
    }
    family.check();
}

/* free and a failing malloc on the way keep errno as the standard and POSIX say. */
static void errno_kept(size_t size) {
    void *block = take(size);
    errno = EXDEV;
    give(block);
    give(NULL);
    REQUIRE(errno == EXDEV, "free keeps errno");
    REQUIRE(!malloc((size_t)launder((void *)SIZE_MAX)) && errno == ENOMEM,
            "a size above PTRDIFF_MAX is ENOMEM");
}

/* Links do not reach the next owner: a fresh block carries nothing that was written by the
   allocator. */
static void links_erased(size_t size) {
    enum { COUNT = 300 };
    static uint64_t *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++) memset(blocks[i] = take(size), 0, size);
    for (unsigned i = 0; i < COUNT; i++) give(blocks[i]);
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = take(size);
        REQUIRE(*blocks[i] == 0, "no link stands in a block that is handed out");
    }
}

/* Given blocks full of a pattern, all freed, in as many pages as a segment has; when blocks of
   another size take their memory, then none of these has the pattern in it. The memory does not go
   back by the clock. */
static void another_class(size_t size) {
    enum { BLOCKS = 120000, SIZE = 48, PATTERN = 0xa5 };
    static char *old[BLOCKS];
    size_t reused = 0;
    for (unsigned i = 0; i < BLOCKS; i++) memset(old[i] = take(SIZE), PATTERN, SIZE);
    char *lowest = old[0], *highest = old[0];
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (old[i] < lowest) lowest = old[i];
        if (old[i] > highest) highest = old[i];
        give(old[i]);
    }
    for (size_t bytes = 0; bytes < 4 * SEGMENT; bytes += size) {
        char *block = take(size);
        reused += block >= lowest && block <= highest;
        for (size_t i = 0; i < size; i++)
            REQUIRE(block[i] != (char)PATTERN, "byte %zu of a block was another class's", i);
    }
    REQUIRE(reused != 0, "memory of the first class serves the other one");
    finished();
}

const struct misuse_case right_cases[] = {
    CASE("none", "local.48", CLEAN, local, SMALL),
    CASE("none", "local.medium", CLEAN, local, MEDIUM),
    CASE("none", "local.large", CLEAN, local, LARGE),
    CASE("none", "local.huge", CLEAN, local, HUGE),
    CASE("none", "local.zero-size", CLEAN, local, 0),
    CASE("none", "remote.48", CLEAN, remote, SMALL),
    CASE("none", "remote.4096", CLEAN, remote, SMALL_PAGE),
    CASE("none", "remote.medium", CLEAN, remote, MEDIUM),
    CASE("none", "remote.large", CLEAN, remote, LARGE),
    CASE("none", "remote.huge", CLEAN, remote, HUGE),
    CASE("none", "remote.zero-size", CLEAN, remote, 0),
    CASE("none", "neighbours-at-once.16", CLEAN, neighbours_at_once, SMALLEST),
    CASE("none", "neighbours-at-once.48", CLEAN, neighbours_at_once, SMALL),
    CASE("none", "neighbours-at-once.4096", CLEAN, neighbours_at_once, SMALL_PAGE),
    CASE("none", "taken-again.48", CLEAN, taken_again, SMALL),
    CASE("none", "taken-again.4096", CLEAN, taken_again, SMALL_PAGE),
    CASE("none", "abandoned.48", CLEAN, abandoned, SMALL),
    CASE("none", "abandoned.large", CLEAN, abandoned, LARGE),
    CASE("none", "abandoned.huge", CLEAN, abandoned, HUGE),
    CASE("none", "fork-child.48", CLEAN, fork_child, SMALL),
    CASE("none", "fork-child.large", CLEAN, fork_child, LARGE),
    CASE("none", "resized.48", CLEAN, resized, SMALL),
    CASE("none", "resized.medium", CLEAN, resized, MEDIUM),
    CASE("none", "resized.large", CLEAN, resized, LARGE),
    CASE("none", "sized.1", CLEAN, sized, 1),
    CASE("none", "sized.48", CLEAN, sized, SMALL),
    CASE("none", "sized.4097", CLEAN, sized, 4097),
    CASE("none", "sized.large", CLEAN, sized, LARGE),
    CASE("none", "sized.huge", CLEAN, sized, HUGE),
    CASE("none", "written-to-the-end.1", CLEAN, written_to_the_end, 1),
    CASE("none", "written-to-the-end.medium", CLEAN, written_to_the_end, MEDIUM),
    CASE("none", "written-to-the-end.large", CLEAN, written_to_the_end, LARGE),
    CASE("none", "written-to-the-end.huge", CLEAN, written_to_the_end, HUGE),
    CASE("none", "errno-kept.48", CLEAN, errno_kept, SMALL),
    CASE("none", "errno-kept.huge", CLEAN, errno_kept, HUGE),
    CASE_OPTIONS("none", "another-class.1008", CLEAN, another_class, 1008, "purge_delay=3600000"),
    CASE_OPTIONS("none", "another-class.8192", CLEAN, another_class, 8191, "purge_delay=3600000"),
    CASE_OPTIONS("none", "another-class.medium", CLEAN, another_class, MEDIUM,
                 "purge_delay=3600000"),
    CASE_OPTIONS("none", "another-class.large", CLEAN, another_class, LARGE, "purge_delay=3600000"),
    CASE("none", "links-erased.48", CLEAN, links_erased, SMALL),
    CASE("none", "links-erased.1024", CLEAN, links_erased, 1024),
    CASES_END,
};
