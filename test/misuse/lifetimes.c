/*
 * lifetimes: second frees that come when something else has happened in between: other operations
 * on the page, another life of the page's memory, the end of the owner, a fork, the end of the
 * program.
 */
#include "scene.h"

#include "prng.h"

#include <pthread.h>
#include <unistd.h>

enum { MANY = 300 };

static struct worker one;
static void *blocks[64 * 1024];

/* Frees, takes, resizes and asks, all around the freed block and never on it. */
static void many_operations(size_t size) {
    uint64_t seed = 1;
    size--; /* a byte of canary fits too */
    for (size_t i = 0; i < MANY; i++) blocks[i] = take(size);
    void *block = take(size);
    give(block);
    for (size_t i = 0; i < MANY / 2; i++) give(blocks[i]);
    for (unsigned step = 0; step < 5000; step++) {
        size_t i = MANY / 2 + prng_below(&seed, MANY / 2);
        size_t new_size = size - prng_below(&seed, 8);
        void *resized = launder(realloc(blocks[i], new_size));
        REQUIRE(resized == blocks[i], "a resize within the block size stays in place");
        REQUIRE(malloc_usable_size(resized) >= new_size, "it has what was asked for");
        give(take(size + 1024));
    }
    free_wrongly(FREED_AGAIN, block);
}

/* The block is handed out and freed again many times; the last owner has freed it. */
static void many_owners(size_t size) {
    void *block = take(size);
    take(size);
    give(block);
    for (unsigned i = 0; i < 3000; i++) give(take(size));
    for (unsigned i = 0; i < 100; i++) blocks[i] = take(size);
    for (unsigned i = 0; i < 100; i++) give(blocks[i]);
    free_wrongly(FREED_AGAIN, block);
}

/*
 * The page's memory now holds blocks of another size, of the same owner, and the stale address lies
 * inside one of them. (If it were the start of one, no allocator without tags could tell its free
 * from a right one.)
 */
static void page_reused(size_t size) {
    enum { OLD = 40000, KEEP = 4000 };
    for (unsigned i = 0; i < OLD; i++) blocks[i] = take(SMALL);
    /* One in KEEP stays, so that the segment stays with its owner; the pages between are empty. */
    for (unsigned i = 0; i < OLD; i++) {
        if (i % KEEP != 0) give(blocks[i]);
    }
    for (unsigned taken = 0; taken < 4 * OLD * SMALL / size; taken++) {
        char *fresh = take(size);
        for (unsigned i = 1; i < OLD; i++) {
            char *old = blocks[i];
            if (i % KEEP == 0 || old <= fresh || old >= fresh + size) continue;
            free_wrongly(FREED_INSIDE, old);
            if (scene_goes_on) finished();
        }
    }
    REQUIRE(false, "freed pages of %zu-byte blocks are used again for blocks of %zu", SMALL, size);
}

/* Everything is free, given back to the kernel, and no page knows the block any more. */
static void after_trim(size_t size) {
    for (unsigned i = 0; i < 1000; i++) blocks[i] = take(size);
    for (unsigned i = 0; i < 1000; i++) give(blocks[i]);
    malloc_trim(0);
    free_wrongly(FREED_AGAIN "|" FREED_ANY_ADDRESS, blocks[500]);
}

struct left_block {
    size_t size;
    bool freed;
    void *block;
};

static void leave_task(void *argument) {
    struct left_block *left = argument;
    take(left->size);
    left->block = take(left->size);
    if (left->freed) give(left->block);
}

static void *left_by_ended_thread(size_t size, bool freed) {
    struct left_block left = {size, freed, NULL};
    struct worker owner;
    worker_start(&one);
    worker_start(&owner);
    worker_do(&owner, leave_task, &left);
    worker_end(&owner);
    return left.block;
}

static void abandoned_free_free(size_t size) {
    void *block = left_by_ended_thread(size, false);
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

/* By a thread that never allocates: the first free gives the segment back with its last block. */
static void leave_alone_task(void *argument) {
    struct left_block *left = argument;
    left->block = take(left->size);
}

static void free_last_twice_task(void *block) {
    give(block);
    free_wrongly(FREED_AGAIN "|" FREED_ANY_ADDRESS, block);
}

static void abandoned_last_block(size_t size) {
    struct left_block left = {size, false, NULL};
    struct worker owner;
    worker_start(&one);
    worker_start(&owner);
    worker_do(&owner, leave_alone_task, &left);
    worker_end(&owner);
    worker_do(&one, free_last_twice_task, left.block);
}

static void abandoned_freed_by_owner(size_t size) {
    free_wrongly(FREED_AGAIN, left_by_ended_thread(size, true));
}

static void abandoned_then_other(size_t size) {
    void *block = left_by_ended_thread(size, false);
    give(block);
    worker_do(&one, free_again_task, block);
}

static void allocate_task(void *size) {
    for (unsigned i = 0; i < 200; i++) take(*(const size_t *)size);
}

/* Another thread has most likely taken the segment over by allocating; then come two frees from
   here. */
static void reclaimed(size_t size) {
    void *block = left_by_ended_thread(size, false);
    worker_do(&one, allocate_task, &size);
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

/* A block whose owner has ended and which was freed remotely while it lived. */
static void abandoned_remote(size_t size) {
    struct left_block left = {size, false, NULL};
    struct worker owner;
    worker_start(&owner);
    worker_do(&owner, leave_task, &left);
    give(left.block);
    worker_end(&owner);
    free_wrongly(FREED_AGAIN, left.block);
}

static void fork_freed_before(size_t size) {
    take(size);
    void *block = take(size);
    give(block);
    in_child(free_again_task, block);
}

static void free_twice_task(void *block) {
    give(block);
    free_wrongly(FREED_AGAIN, block);
}

static void fork_twice_in_child(size_t size) {
    take(size);
    in_child(free_twice_task, take(size));
}

/* The owner of the block is a thread that the child does not have. */
static void fork_vanished_owner(size_t size) {
    struct left_block left = {size, false, NULL};
    worker_start(&one);
    worker_do(&one, leave_task, &left);
    in_child(free_twice_task, left.block);
}

static void fork_vanished_owner_freed(size_t size) {
    struct left_block left = {size, true, NULL};
    worker_start(&one);
    worker_do(&one, leave_task, &left);
    in_child(free_again_task, left.block);
}

/* The block waits in the remote set when the process forks. */
static void fork_claimed(size_t size) {
    take(size);
    void *block = take(size);
    worker_start(&one);
    worker_do(&one, give_task, block);
    in_child(free_again_task, block);
}

static void *at_end_block;
static void free_at_end(void) {
    free_wrongly(FREED_AGAIN, at_end_block);
    finished();
}

static void in_exit_handler(size_t size) {
    REQUIRE(atexit(free_at_end) == 0, "an exit handler can be set");
    take(size);
    at_end_block = take(size);
    give(at_end_block);
    exit(0);
}

/* A destructor of a key made first runs, in each pass, before moat's own: it puts itself off until
   moat's exit hook has run. */
static pthread_key_t late_key;
static void late_destructor(void *block) {
    static __thread unsigned pass;
    if (++pass < 3) {
        pthread_setspecific(late_key, block);
        return;
    }
    free_wrongly(FREED_AGAIN, block);
}

static void late_task(void *size) {
    take(*(const size_t *)size);
    void *block = take(*(const size_t *)size);
    give(block);
    pthread_setspecific(late_key, block);
}

static void in_thread_destructor(size_t size) {
    REQUIRE(pthread_key_create(&late_key, late_destructor) == 0, "a key can be made");
    worker_start(&one);
    worker_do(&one, late_task, &size);
    worker_end(&one);
}

const struct misuse_case lifetime_cases[] = {
    CASE("double-free", "many-operations.48", AT_ONCE, many_operations, SMALL),
    CASE("double-free", "many-operations.4096", AT_ONCE, many_operations, SMALL_PAGE),
    CASE("double-free", "many-owners.48", AT_ONCE, many_owners, SMALL),
    CASE("double-free", "many-owners.4096", AT_ONCE, many_owners, SMALL_PAGE),
    CASE("double-free", "many-owners.medium", AT_ONCE, many_owners, MEDIUM),
    CASE("invalid-free", "page-reused.1024", AT_ONCE, page_reused, 1024),
    CASE("invalid-free", "page-reused.4096", AT_ONCE, page_reused, SMALL_PAGE),
    CASE("double-free|invalid-free", "after-trim.48", AT_ONCE, after_trim, SMALL),
    CASE("double-free|invalid-free", "after-trim.medium", AT_ONCE, after_trim, MEDIUM),
    CASE("double-free|invalid-free", "after-trim.large", AT_ONCE, after_trim, LARGE),
    CASE("double-free", "abandoned-twice.48", AT_ONCE, abandoned_free_free, SMALL),
    CASE("double-free", "abandoned-twice.4096", AT_ONCE, abandoned_free_free, SMALL_PAGE),
    CASE("double-free", "abandoned-twice.medium", AT_ONCE, abandoned_free_free, MEDIUM),
    CASE("double-free", "abandoned-twice.large", AT_ONCE, abandoned_free_free, LARGE),
    CASE("double-free", "abandoned-twice.huge", AT_ONCE, abandoned_free_free, HUGE),
    CASE("double-free|invalid-free", "abandoned-last-block.48", AT_ONCE, abandoned_last_block,
         SMALL),
    CASE("double-free|invalid-free", "abandoned-last-block.medium", AT_ONCE, abandoned_last_block,
         MEDIUM),
    CASE("double-free|invalid-free", "abandoned-last-block.large", AT_ONCE, abandoned_last_block,
         LARGE),
    CASE("double-free", "abandoned-freed-by-owner.48", AT_ONCE, abandoned_freed_by_owner, SMALL),
    CASE("double-free", "abandoned-freed-by-owner.4096", AT_ONCE, abandoned_freed_by_owner,
         SMALL_PAGE),
    CASE("double-free", "abandoned-freed-by-owner.large", AT_ONCE, abandoned_freed_by_owner, LARGE),
    CASE("double-free", "abandoned-then-other.48", AT_ONCE, abandoned_then_other, SMALL),
    CASE("double-free", "abandoned-then-other.large", AT_ONCE, abandoned_then_other, LARGE),
    CASE("double-free", "abandoned-reclaimed.48", AT_ONCE, reclaimed, SMALL),
    CASE("double-free", "abandoned-reclaimed.4096", AT_ONCE, reclaimed, SMALL_PAGE),
    CASE("double-free", "abandoned-remote.48", AT_ONCE, abandoned_remote, SMALL),
    CASE("double-free", "abandoned-remote.4096", AT_ONCE, abandoned_remote, SMALL_PAGE),
    CASE("double-free", "fork-freed-before.48", AT_ONCE, fork_freed_before, SMALL),
    CASE("double-free", "fork-freed-before.4096", AT_ONCE, fork_freed_before, SMALL_PAGE),
    CASE("double-free", "fork-freed-before.huge", AT_ONCE, fork_freed_before, HUGE),
    CASE("double-free", "fork-freed-before.zero-size", AT_ONCE, fork_freed_before, 0),
    CASE("double-free", "fork-twice-in-child.48", AT_ONCE, fork_twice_in_child, SMALL),
    CASE("double-free", "fork-twice-in-child.large", AT_ONCE, fork_twice_in_child, LARGE),
    CASE("double-free", "fork-twice-in-child.huge", AT_ONCE, fork_twice_in_child, HUGE),
    CASE("double-free", "fork-vanished-owner.48", AT_ONCE, fork_vanished_owner, SMALL),
    CASE("double-free", "fork-vanished-owner.4096", AT_ONCE, fork_vanished_owner, SMALL_PAGE),
    CASE("double-free", "fork-vanished-owner-freed.48", AT_ONCE, fork_vanished_owner_freed, SMALL),
    CASE("double-free", "fork-claimed.48", AT_ONCE, fork_claimed, SMALL),
    CASE("double-free", "fork-claimed.4096", AT_ONCE, fork_claimed, SMALL_PAGE),
    CASE("double-free", "in-exit-handler.48", AT_ONCE, in_exit_handler, SMALL),
    CASE("double-free", "in-thread-destructor.48", AT_ONCE, in_thread_destructor, SMALL),
    CASES_END,
};
