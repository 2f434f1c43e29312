/*
 * frees: a block is freed twice, one way or another. Won if two owners get it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "attack.h"

enum { SIZE = 80, MANY = 3000 };

static enum outcome two_owners(size_t size) {
    static char *blocks[MANY];
    static char *sorted[MANY];
    for (unsigned i = 0; i < MANY; i++) sorted[i] = blocks[i] = take(size);
    for (unsigned gap = MANY / 2; gap > 0; gap /= 2) /* Shell's sort */
        for (unsigned i = gap; i < MANY; i++)
            for (unsigned j = i; j >= gap && sorted[j] < sorted[j - gap]; j -= gap) {
                char *other = sorted[j];
                sorted[j] = sorted[j - gap];
                sorted[j - gap] = other;
            }
    for (unsigned i = 1; i < MANY; i++)
        if (sorted[i] < sorted[i - 1] + size) return WON;
    return IN_VAIN;
}

static enum outcome at_once(void) {
    char *block = take(SIZE);
    give(block);
    give(block);
    return two_owners(SIZE);
}

static enum outcome others_between(void) {
    char *block = take(SIZE), *other = take(SIZE);
    give(block);
    give(other);
    give(block);
    return two_owners(SIZE);
}

static enum outcome many_between(void) {
    static char *others[500];
    char *block = take(SIZE);
    for (unsigned i = 0; i < 500; i++) others[i] = take(SIZE);
    give(block);
    for (unsigned i = 0; i < 500; i++) give(others[i]);
    give(block);
    return two_owners(SIZE);
}

/* What an allocator wrote into the block to know it again is written over. */
static enum outcome marks_cleared(void) {
    char *block = take(SIZE);
    give(block);
    memset(launder(block), 0, SIZE);
    give(block);
    return two_owners(SIZE);
}

static enum outcome by_realloc(void) {
    char *block = take(SIZE);
    give(block);
    char *again = launder(realloc(launder(block), SIZE - 8));
    char *other = take(SIZE);
    if (again != NULL && again < other + SIZE && other < again + SIZE - 8) return WON;
    return two_owners(SIZE);
}

/* C23's, or C++'s operator delete(void *, size_t), where the allocator has them; C++'s own is a
   free. */
extern void free_sized(void *block, size_t size) __attribute__((weak));
extern void _ZdlPvm(void *block, size_t size) __attribute__((weak));

static void give_sized(void *block, size_t size) {
    if (free_sized != NULL)
        free_sized(launder(block), size);
    else if (_ZdlPvm != NULL)
        _ZdlPvm(launder(block), size);
    else
        give(block);
}

static enum outcome by_size(void) {
    char *block = take(SIZE);
    give(block);
    give_sized(block, SIZE);
    return two_owners(SIZE);
}

/* By then the block is another's, who asked for another size that leads to blocks of the same one
   in most allocators. Whoever comes next shares it with him. */
static enum outcome stale_size(void) {
    enum { OLD_SIZE = 79, OTHER_SIZE = 74 };
    static char *later[MANY];
    char *block = take(OLD_SIZE);
    give(block);
    for (unsigned i = 0; i < 4 * MANY; i++) give(take(OTHER_SIZE));
    unsigned i = 0;
    do later[i] = take(OTHER_SIZE);
    while (later[i] != block && ++i < MANY);
    if (i == MANY) return IN_VAIN; /* nobody has got it */
    give_sized(block, OLD_SIZE);
    for (i = 0; i < MANY; i++)
        if (launder(take(OTHER_SIZE)) == block) return WON;
    return IN_VAIN;
}

static enum outcome of_a_large_one(void) {
    enum { LARGE = 200 << 10 };
    char *block = take(LARGE);
    give(block);
    give(block);
    char *one = take(LARGE), *two = take(LARGE);
    return one < two + LARGE && two < one + LARGE ? WON : IN_VAIN;
}

static void *free_it(void *block) {
    give(block);
    return NULL;
}

static void run(void *(*what)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, what, argument) != 0) exit(IMPOSSIBLE);
    pthread_join(thread, NULL);
}

static enum outcome by_another_thread(void) {
    char *block = take(SIZE);
    give(block);
    run(free_it, block);
    return two_owners(SIZE);
}

static enum outcome by_two_others(void) {
    char *block = take(SIZE);
    run(free_it, block);
    run(free_it, block);
    return two_owners(SIZE);
}

static pthread_barrier_t start;
static void *free_at_start(void *block) {
    pthread_barrier_wait(&start);
    give(block);
    return NULL;
}
static void *resize_at_start(void *block) {
    pthread_barrier_wait(&start);
    void *resized = launder(realloc(launder(block), 2 * SIZE));
    if (resized != NULL) memset(resized, 1, 2 * SIZE);
    return NULL;
}

/* Two threads at the same moment, as near as they can. */
static enum outcome race(void *(*one)(void *), void *(*two)(void *)) {
    char *block = take(SIZE);
    pthread_t other;
    pthread_barrier_init(&start, NULL, 2);
    if (pthread_create(&other, NULL, one, block) != 0) return IMPOSSIBLE;
    two(block);
    pthread_join(other, NULL);
    return two_owners(SIZE);
}

static enum outcome free_and_free(void) { return race(free_at_start, free_at_start); }
static enum outcome free_and_resize(void) { return race(free_at_start, resize_at_start); }

const struct attack free_attacks[] = {
    {"free-twice", at_once, "a block is freed twice in a row"},
    {"free-twice-another-between", others_between, "with the free of another block between"},
    {"free-twice-500-between", many_between, "with 500 frees between"},
    {"free-twice-cleared", marks_cleared, "and the freed block is written over between"},
    {"free-twice-realloc", by_realloc, "a freed block is resized"},
    {"free-twice-sized", by_size, "the second time with the block's size"},
    {"free-stale-size", stale_size,
     "a block that is another's by now is freed with its former owner's size"},
    {"free-twice-large", of_a_large_one, "a block of 200 KiB is freed twice"},
    {"free-twice-threads", by_another_thread, "the second time by another thread"},
    {"free-twice-remote", by_two_others, "by two threads that do not own it, one after the other"},
    {"free-race-free", free_and_free, "by two threads at the same moment"},
    {"free-race-realloc", free_and_resize, "a free and a realloc at the same moment"},
    {0},
};
