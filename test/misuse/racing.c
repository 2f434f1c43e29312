/*
 * racing: two frees of one block at the same time, one process a round.
 *
 * Where an atomic exchange decides (two remote frees, huge, zero-size) the loser is stopped at its
 * free. When one of the two is the owner, the report may wait until the owner takes or collects
 * that block; so each scene goes on allocating from the same page, and whatever happens, the block
 * is not handed out without a report.
 */
#include "scene.h"

static struct worker one, other;

/* The second thread's start is shifted by the round, so that each pair of steps of the two frees
   meets in some round. */
static void race_late(void *block) {
    gate_pass((scene_round * 7) % 120);
    give(block);
}

static void race_early(void *block) {
    gate_pass(40);
    give(block);
}

static void start_both(size_t size) {
    worker_start(&one);
    worker_start(&other);
    take(size);
    gate_reset();
}

static void race_remotes(void *block) {
    expect(FREED_AGAIN, block);
    worker_post(&one, race_early, block);
    worker_post(&other, race_late, block);
    worker_wait(&one);
    worker_wait(&other);
    passed();
}

/* Both threads are strangers to the block. */
static void two_remotes(size_t size) {
    start_both(size);
    race_remotes(take(size));
    walk(size);
}

/* The owner and a stranger. */
static void owner_and_remote(size_t size) {
    start_both(size);
    void *block = take(size);
    expect(FREED_AGAIN, block);
    worker_post(&one, race_early, block);
    race_late(block);
    worker_wait(&one);
    passed();
    walk(size);
}

/* The same in a page that is full and set aside: the remote free also wakes, the owner's brings the
   page back. */
static void owner_and_remote_full(size_t size) {
    start_both(size);
    void *block = take(size);
    for (size_t filled = 0; filled < ((size_t)128 << 10); filled += size) take(size);
    expect(FREED_AGAIN, block);
    worker_post(&one, race_early, block);
    race_late(block);
    worker_wait(&one);
    passed();
    walk(size);
}

struct left_block {
    size_t size;
    void *block;
};

static void leave_task(void *argument) {
    struct left_block *left = argument;
    take(left->size);
    left->block = take(left->size);
}

/* The owner has ended; one of the two may become the new owner while the other is remote. Either
   may own the page afterwards. */
static void abandoned(size_t size) {
    struct worker owner;
    struct left_block left = {size, NULL};
    start_both(size);
    worker_start(&owner);
    worker_do(&owner, leave_task, &left);
    worker_end(&owner);
    race_remotes(left.block);
    worker_do(&one, walk_task, &size);
    worker_do(&other, walk_task, &size);
    walk(size);
}

/* A free and a resize of one block: one of the two comes second and is stopped, then or at the next
   take of the block. */
static void race_resize(void *block) {
    gate_pass((scene_round * 7) % 120);
    void *moved = realloc(launder(block), SMALL_PAGE);
    REQUIRE(moved || scene_goes_on, "realloc gives a block");
}

static void free_and_resize(size_t size) {
    start_both(size);
    void *block = take(size);
    expect(FREED_AGAIN "|realloc of a freed block", block);
    worker_post(&one, race_early, block);
    race_resize(block);
    worker_wait(&one);
    passed();
    walk(size);
}

const struct misuse_case racing_cases[] = {
    CASE_ROUNDS("double-free", "two-at-once-remote.48", AT_ONCE, two_remotes, SMALL, 60),
    CASE_ROUNDS("double-free", "two-at-once-remote.4096", AT_ONCE, two_remotes, SMALL_PAGE, 60),
    CASE_ROUNDS("double-free", "two-at-once-remote.medium", AT_ONCE, two_remotes, MEDIUM, 30),
    CASE_ROUNDS("double-free", "two-at-once-remote.large", AT_ONCE, two_remotes, LARGE, 30),
    CASE_ROUNDS("double-free", "two-at-once-remote.huge", AT_ONCE, two_remotes, HUGE, 60),
    CASE_ROUNDS("double-free", "two-at-once-remote.zero-size", AT_ONCE, two_remotes, 0, 60),
    CASE_ROUNDS("double-free", "two-at-once-owner.16", LATER, owner_and_remote, SMALLEST, 60),
    CASE_ROUNDS("double-free", "two-at-once-owner.48", LATER, owner_and_remote, SMALL, 120),
    CASE_ROUNDS("double-free", "two-at-once-owner.4096", LATER, owner_and_remote, SMALL_PAGE, 120),
    CASE_ROUNDS("double-free", "two-at-once-owner.medium", LATER, owner_and_remote, MEDIUM, 40),
    CASE_ROUNDS("double-free", "two-at-once-owner.large", LATER, owner_and_remote, LARGE, 40),
    CASE_ROUNDS("double-free", "two-at-once-owner.huge", AT_ONCE, owner_and_remote, HUGE, 40),
    CASE_ROUNDS("double-free", "two-at-once-owner.zero-size", AT_ONCE, owner_and_remote, 0, 40),
    CASE_ROUNDS("double-free", "two-at-once-owner-full.48", LATER, owner_and_remote_full, SMALL,
                60),
    CASE_ROUNDS("double-free", "two-at-once-owner-full.4096", LATER, owner_and_remote_full,
                SMALL_PAGE, 60),
    CASE_ROUNDS("double-free", "two-at-once-abandoned.48", LATER, abandoned, SMALL, 80),
    CASE_ROUNDS("double-free", "two-at-once-abandoned.4096", LATER, abandoned, SMALL_PAGE, 80),
    CASE_ROUNDS("double-free", "two-at-once-free-and-realloc.48", LATER, free_and_resize, SMALL,
                60),
    CASES_END,
};
