/*
 * sample: what guarded samples see, with every allocation a sample as long as there are places:
 * accesses beside a block and after its free, by each way to it, and each misuse that is stopped
 * without samples too.
 *
 * A case is played for each of the sizes below, one a round. A sample lies against the guard before
 * it or behind it by chance: a scene that needs one side takes blocks until it has such a one.
 */
#include "ways.h"

#include "family.h"

#include <signal.h>
#include <unistd.h>

#define BESIDE "access beside a block"
#define AFTER_FREE "access to a freed block"

static const size_t sizes[] = {16, 48, 1008, 4096, 8192, 20000, 57344, 65536, 307200, 3145728};
enum { SIZES = sizeof sizes / sizeof *sizes, SMALL_SIZES = 6, PAGE = 4096, TRIES = 60 };

static size_t round_size(void) { return scene_size = sizes[scene_round]; }

/* --- Ways to a block -------------------------------------------------------------------------- */

/* One whose first byte begins an OS page. */
static char *take_left(size_t size) {
    for (unsigned i = 0; i < TRIES; i++) {
        char *block = take(size);
        if ((uintptr_t)block % PAGE == 0) return block;
        give(block);
    }
    REQUIRE(false, "of %d samples one lies at the beginning", TRIES);
    return NULL;
}

/* One whose last byte ends an OS page. */
static char *take_right(size_t size) {
    for (unsigned i = 0; i < TRIES; i++) {
        char *block = take(size);
        if (((uintptr_t)block + size) % PAGE == 0) return block;
        give(block);
    }
    REQUIRE(false, "of %d samples one lies at the end", TRIES);
    return NULL;
}

/* --- Accesses --------------------------------------------------------------------------------- */

static void write_at(char *address) { *(volatile char *)address = 1; }
static void read_at(const char *address) { (void)*(const volatile char *)address; }

static void write_behind(size_t distance) {
    char *block = take_right(round_size());
    expect(BESIDE, block + round_size() + distance);
    write_at(block + round_size() + distance);
    passed();
}
static void read_behind(size_t distance) {
    char *block = take_right(round_size());
    expect(BESIDE, block + round_size() + distance);
    read_at(block + round_size() + distance);
    passed();
}
static void write_before(size_t distance) {
    char *block = take_left(round_size());
    expect(BESIDE, block - 1 - distance);
    write_at(block - 1 - distance);
    passed();
}
static void read_before(size_t distance) {
    char *block = take_left(round_size());
    expect(BESIDE, block - 1 - distance);
    read_at(block - 1 - distance);
    passed();
}

/* A copy that is too long, as programs do it. */
static void run_on(size_t unused) {
    (void)unused;
    char *block = take_left(round_size());
    uintptr_t end = ((uintptr_t)block + round_size() + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    expect(BESIDE, (char *)end);
    for (char *at = block;; at += 8) write_at(at);
}

static void write_task(void *address) { write_at(address); }

static void after_free(enum way way, size_t share) {
    char *block = take_by(way, round_size());
    char *byte = block + (round_size() - 1) * share / 2;
    give(block);
    expect(AFTER_FREE, byte);
    if (way == CHILD)
        in_child(write_task, byte);
    else if (way == REMOTE)
        worker_do(&other_thread, write_task, byte);
    else
        write_at(byte);
    passed();
}
static void after_free_first(size_t way) { after_free((enum way)way, 0); }
static void after_free_last(size_t way) { after_free((enum way)way, 2); }

static void read_after_realloc(size_t more) {
    char *block = take(round_size());
    char *moved = launder(realloc(block, round_size() + more));
    REQUIRE(moved && moved != block, "realloc moves a sample");
    expect(AFTER_FREE, block);
    read_at(block);
    passed();
}

/* Kept out of use: many others come and go before. */
static void after_many_others(size_t unused) {
    (void)unused;
    char *block = take(round_size());
    give(block);
    for (unsigned i = 0; i < 100; i++) give(take(round_size() % 5000 + i));
    expect(AFTER_FREE, block);
    write_at(block);
    passed();
}

/* On a stack that is as small as the system lets it be. */
static void on_a_small_stack(size_t unused) {
    (void)unused;
    static char stack[8192];
    stack_t small = {.ss_sp = stack, .ss_size = sizeof stack};
    REQUIRE(sigaltstack(&small, NULL) == 0, "a stack for signals can be set");
    char *block = take(round_size());
    give(block);
    expect(AFTER_FREE, block);
    write_at(block);
    passed();
}

/* Where the pages are not those of the block's end the free finds it. */
static void found_by_free(size_t way) {
    size_t size = round_size() - 8;
    char *block = take_by((enum way)way, size);
    char *wrong = (uintptr_t)block % PAGE == 0 ? block + size : block - 1;
    *(volatile char *)wrong ^= 0x55;
    expect("bytes behind a block were written, as its free finds", block);
    give_by((enum way)way, block);
    passed();
}

/* --- What is stopped without samples too ------------------------------------------------------ */

static void freed_twice(size_t way) {
    char *block = take_by((enum way)way, round_size());
    give(block);
    expect(FREED_AGAIN, block);
    give_by((enum way)way, block);
    passed();
}

static void freed_twice_by_others(size_t unused) {
    (void)unused;
    char *block = take_by(REMOTE, round_size());
    worker_do(&other_thread, give_task, block);
    free_wrongly(FREED_AGAIN, block);
}

static void freed_inside(size_t offset) {
    free_wrongly(FREED_INSIDE, take(round_size() + 64) + offset);
}

static void freed_beside(size_t unused) {
    (void)unused;
    free_wrongly(FREED_NO_BLOCK, take_left(round_size()) - 16);
}

static void realloc_of_freed(size_t more) {
    char *block = take(round_size());
    give(block);
    expect("realloc of a freed block", block);
    launder(realloc(block, round_size() + more));
    passed();
}

static void size_of_freed(size_t unused) {
    (void)unused;
    char *block = take(round_size());
    give(block);
    expect("usable size of a freed block", block);
    (void)malloc_usable_size(block);
    passed();
}

static void wrong_size(size_t unused) {
    (void)unused;
    char *block = take(round_size());
    expect("sized free with the wrong size", block);
    family.free_sized(block, round_size() * 2);
    passed();
}

static void wrong_alignment(size_t unused) {
    (void)unused;
    char *block = take(47); /* of a class of 48 bytes at both levels */
    expect("aligned free with the wrong alignment", block);
    family.free_aligned_sized(block, 64, 47);
    passed();
}

/* --- Right programs --------------------------------------------------------------------------- */

/* More than there are places, of all sizes, some freed by another thread, some by a child. */
static void free_all_task(void *blocks) {
    for (unsigned i = 0; i < 300; i += 2) give(((char **)blocks)[i]);
}

static void comes_and_goes(size_t unused) {
    (void)unused;
    static char *blocks[300];
    worker_start(&other_thread);
    for (unsigned turn = 0; turn < 4; turn++) {
        for (unsigned i = 0; i < 300; i++) {
            size_t size = i * 37 % 9000;
            blocks[i] = i % 3 == 0 ? calloc(1, size) : i % 3 == 1 ? take(size) : valloc(size);
            REQUIRE(blocks[i], "there is a block");
            for (size_t at = 0; i % 3 == 0 && at < size; at++)
                REQUIRE(blocks[i][at] == 0, "calloc gives zeros");
            memset(blocks[i], 0x33, malloc_usable_size(blocks[i]));
            if (i % 7 == 0) blocks[i] = launder(realloc(blocks[i], size + 1 + i * 11));
        }
        worker_do(&other_thread, free_all_task, blocks);
        for (unsigned i = 1; i < 300; i += 2) give(blocks[i]);
        malloc_trim(0);
    }
    (void)family.check();
}

static void child_task(void *blocks) {
    free_all_task(blocks);
    for (unsigned i = 0; i < 1000; i++) give(take(i));
    malloc_trim(0);
    (void)family.check();
}

static volatile bool churning = true;
static void churn_task(void *unused) {
    (void)unused;
    while (churning)
        for (unsigned i = 0; i < 100; i++) give(take(i * 37));
}

static void forks_while_others_sample(size_t unused) {
    (void)unused;
    static char *blocks[300];
    for (unsigned i = 0; i < 300; i++) blocks[i] = take(i);
    worker_start(&other_thread);
    worker_post(&other_thread, churn_task, NULL);
    usleep(1000 * (1 + scene_round));
    in_child(child_task, blocks);
}

static void end_at_once(int number) { _exit(number); }

/* A program that has a handler of its own before the first sample keeps it, and gets the fault. */
static void own_handler(size_t unused) {
    (void)unused;
    signal(SIGSEGV, end_at_once);
    char *block = take(round_size());
    give(block);
    expect_fault(block, block);
    write_at(block);
    passed();
}

/* It may set one later, too. */
static void own_handler_later(size_t unused) {
    (void)unused;
    char *block = take_right(round_size());
    expect_fault(block + round_size(), block + round_size());
    write_at(block + round_size());
    passed();
}

#define CASE_SAMPLE(kind, path, outcome, play, size, rounds)                                       \
    { kind, path, outcome, play, size, rounds, "sample=1" }
#define CASE_SAMPLE_WITH(kind, path, outcome, play, size, rounds, more)                            \
    { kind, path, outcome, play, size, rounds, "sample=1:" more }

const struct misuse_case sample_cases[] = {
    CASE_SAMPLE("guard-hit", "write-behind.first", AT_ONCE, write_behind, 0, SIZES),
    CASE_SAMPLE("guard-hit", "write-behind.last", AT_ONCE, write_behind, PAGE - 1, SIZES),
    CASE_SAMPLE("guard-hit", "read-behind.first", AT_ONCE, read_behind, 0, SIZES),
    CASE_SAMPLE("guard-hit", "write-before.first", AT_ONCE, write_before, 0, SIZES),
    CASE_SAMPLE("guard-hit", "write-before.last", AT_ONCE, write_before, PAGE - 1, SIZES),
    CASE_SAMPLE("guard-hit", "read-before.first", AT_ONCE, read_before, 0, SIZES),
    CASE_SAMPLE("guard-hit", "run-on", AT_ONCE, run_on, 0, SIZES),
    CASE_SAMPLE("guard-hit", "freed-first.local", AT_ONCE, after_free_first, LOCAL, SIZES),
    CASE_SAMPLE("guard-hit", "freed-first.remote", AT_ONCE, after_free_first, REMOTE, SIZES),
    CASE_SAMPLE("guard-hit", "freed-first.ended", AT_ONCE, after_free_first, ENDED, SIZES),
    CASE_SAMPLE("guard-hit", "freed-first.child", AT_ONCE, after_free_first, CHILD, SIZES),
    CASE_SAMPLE("guard-hit", "freed-last.local", AT_ONCE, after_free_last, LOCAL, SIZES),
    CASE_SAMPLE("guard-hit", "freed-by-realloc", AT_ONCE, read_after_realloc, 1, SIZES),
    CASE_SAMPLE("guard-hit", "freed-long-ago", AT_ONCE, after_many_others, 0, SMALL_SIZES),
    CASE_SAMPLE("guard-hit", "small-stack", AT_ONCE, on_a_small_stack, 0, SIZES),
    CASE_SAMPLE_WITH("guard-hit", "behind-mprotect", AT_ONCE, write_behind, 0, SIZES,
                     "guards=mprotect"),
    CASE_SAMPLE_WITH("guard-hit", "freed-mprotect", AT_ONCE, after_free_first, LOCAL, SIZES,
                     "guards=mprotect"),
    CASE_SAMPLE_WITH("guard-hit", "behind-strict", AT_ONCE, write_behind, 0, SIZES, "level=strict"),
    CASE_SAMPLE_WITH("guard-hit", "before-strict", AT_ONCE, write_before, 0, SIZES, "level=strict"),
    CASE_SAMPLE_WITH("guard-hit", "freed-strict", AT_ONCE, after_free_last, REMOTE, SIZES,
                     "level=strict"),
    CASE_SAMPLE("overflow", "sample.local", AT_ONCE, found_by_free, LOCAL, SIZES),
    CASE_SAMPLE("overflow", "sample.remote", AT_ONCE, found_by_free, REMOTE, SIZES),
    CASE_SAMPLE("overflow", "sample.child", AT_ONCE, found_by_free, CHILD, SIZES),
    CASE_SAMPLE_WITH("overflow", "sample-strict.ended", AT_ONCE, found_by_free, ENDED, SIZES,
                     "level=strict"),
    CASE_SAMPLE("double-free", "sample.local", AT_ONCE, freed_twice, LOCAL, SIZES),
    CASE_SAMPLE("double-free", "sample.remote", AT_ONCE, freed_twice, REMOTE, SIZES),
    CASE_SAMPLE("double-free", "sample.ended", AT_ONCE, freed_twice, ENDED, SIZES),
    CASE_SAMPLE("double-free", "sample.child", AT_ONCE, freed_twice, CHILD, SIZES),
    CASE_SAMPLE("double-free", "sample.by-others", AT_ONCE, freed_twice_by_others, 0, SIZES),
    CASE_SAMPLE("double-free", "sample.realloc", AT_ONCE, realloc_of_freed, 0, SIZES),
    CASE_SAMPLE("double-free", "sample.realloc-more", AT_ONCE, realloc_of_freed, 9999, SIZES),
    CASE_SAMPLE("double-free", "sample.usable-size", AT_ONCE, size_of_freed, 0, SIZES),
    CASE_SAMPLE_WITH("double-free", "sample-strict.remote", AT_ONCE, freed_twice, REMOTE, SIZES,
                     "level=strict"),
    CASE_SAMPLE("invalid-free", "sample.plus-1", AT_ONCE, freed_inside, 1, SIZES),
    CASE_SAMPLE("invalid-free", "sample.plus-16", AT_ONCE, freed_inside, 16, SIZES),
    CASE_SAMPLE("invalid-free", "sample.beside", AT_ONCE, freed_beside, 0, SIZES),
    CASE_SAMPLE("size-mismatch", "sample", AT_ONCE, wrong_size, 0, SIZES),
    CASE_SAMPLE("alignment-mismatch", "sample", AT_ONCE, wrong_alignment, 0, 1),
    CASE_SAMPLE("guard", "sample.own-handler", FAULT, own_handler, 0, SIZES),
    CASE_SAMPLE("guard", "sample.own-handler-later", FAULT, own_handler_later, 0, SIZES),
    CASE_SAMPLE("none", "sample.comes-and-goes", CLEAN, comes_and_goes, 0, 1),
    CASE_SAMPLE_WITH("none", "sample.comes-and-goes-mprotect", CLEAN, comes_and_goes, 0, 1,
                     "guards=mprotect"),
    CASE_SAMPLE_WITH("none", "sample.comes-and-goes-strict", CLEAN, comes_and_goes, 0, 1,
                     "level=strict"),
    CASE_SAMPLE("none", "sample.forks", CLEAN, forks_while_others_sample, 0, 20),
    CASE_SAMPLE_WITH("none", "sample.forks-strict", CLEAN, forks_while_others_sample, 0, 10,
                     "level=strict"),
    CASES_END,
};
