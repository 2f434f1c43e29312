/*
 * strict: what the strict level sees beyond the others: bytes behind and before a block, writes to
 * freed memory, frees by another family, sizes that are off by one; and right programs that it must
 * leave alone.
 *
 * A case is played for each of the sizes below, one a round, and by each way to a free.
 */
#include "ways.h"

#include "family.h"

#include <dlfcn.h>
#include <unistd.h>

#define OVERFLOW_FREED "bytes behind a block were written, as its free finds"
#define OVERFLOW_RESIZED "bytes behind a block were written, as its realloc finds"
#define WRITTEN "a freed block was written to (while it waited|before it was handed out)"
#define WRONG_FAMILY "free by another family of functions than the allocation"
#define WRONG_SIZE "sized free with the wrong size"

/* From this size on a block has a run of its own, inaccessible memory around it, and is
   inaccessible itself when it is freed. */
enum { GUARDED = 16 * 1024 };

/* Behind each are some bytes of canary: two fill a class, and the others are no multiple of a
   granule. */
static const size_t sizes[] = {1,    13,   16,    24,    40,     100,     1000,
                               4001, 4096, 16001, 20001, 300001, 3145729, 8388611};
enum { SIZES = sizeof sizes / sizeof *sizes, IN_PAGES = 10, BELOW_HUGE = 12 };

static size_t round_size(void) { return scene_size = sizes[scene_round]; }

/* The rest of a scene, by a forked child or not. */
static void go_on(enum way way, void (*rest)(void *), void *argument) {
    if (way == CHILD) in_child(rest, argument);
    rest(argument);
}

/* In an address range that is half full blocks of 16 KiB and more share pages. */
static void fill_half(void) {
    uintptr_t before = 0, block = 0;
    for (unsigned i = 0; i < 64 && (before == 0 || before / SEGMENT != block / SEGMENT); i++) {
        before = block;
        block = (uintptr_t)take(GUARDED + 1);
    }
    REQUIRE(before / SEGMENT == block / SEGMENT, "blocks of %d bytes share pages", GUARDED + 1);
}

/* --- Overflow -------------------------------------------------------------------------------- */

static void write_at(char *address) { *(volatile char *)address ^= 0x55; }

static void overflow(enum way way, size_t offset, size_t bytes) {
    char *block = take_by(way, round_size());
    for (size_t i = 0; i < bytes; i++) write_at(block + round_size() + offset + i);
    expect(OVERFLOW_FREED, block);
    give_by(way, block);
    passed();
}

static void one_byte(size_t way) { overflow((enum way)way, 0, 1); }

/* As far as there is slack: the least is what lies behind an odd size. */
static void to_granule(size_t way) { overflow((enum way)way, 0, 16 - round_size() % 16); }
static void last_of_granule(size_t way) { overflow((enum way)way, 15 - round_size() % 16, 1); }

static void one_byte_in_pages(size_t way) {
    fill_half();
    one_byte(way);
}

/* What a string that is one too long writes. */
static void zero_byte(size_t way) {
    char *block = take_by((enum way)way, round_size());
    block[round_size()] = 0;
    expect(OVERFLOW_FREED, block);
    give_by((enum way)way, block);
    passed();
}

static size_t added;
static void resize_task(void *block) {
    launder(realloc(block, round_size() + added));
    passed();
}

static void overflow_then_realloc(enum way way, size_t more) {
    char *block = take_by(way, round_size());
    write_at(block + round_size());
    added = more;
    expect(OVERFLOW_RESIZED, block);
    go_on(way, resize_task, block);
}
static void realloc_in_place(size_t way) { overflow_then_realloc((enum way)way, 0); }
static void realloc_moving(size_t way) { overflow_then_realloc((enum way)way, 100000); }

/* Of a block that was resized, in place or not. */
static void overflow_of_resized(size_t more) {
    char *block = launder(realloc(take_by(LOCAL, round_size()), round_size() + more));
    REQUIRE(block, "realloc works");
    size_t size = malloc_usable_size(block);
    REQUIRE(size == round_size() + more, "its usable size is what was asked for");
    if ((uintptr_t)(block + size) % 16 == 0) size--; /* the guard may be right there */
    block = launder(realloc(block, size));
    write_at(block + size);
    expect(OVERFLOW_FREED, block);
    give(block);
    passed();
}

enum { MANY = 400 };
static char *blocks[MANY];

static int compare(const void *a, const void *b) {
    const char *const *left = a, *const *right = b;
    return (*left > *right) - (*left < *right);
}

static void take_many_task(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < MANY; i++) blocks[i] = take(round_size());
}

static struct worker maker_of_many;
static void take_many(enum way way) {
    if (way != REMOTE && way != ENDED) {
        take_many_task(NULL);
        return;
    }
    worker_start(&maker_of_many);
    worker_do(&maker_of_many, take_many_task, NULL);
    if (way == ENDED) worker_end(&maker_of_many);
}

/* The byte before a block is the last one of another, whose free finds it; a block with a run of
   its own finds it itself. */
static void underflow(size_t way) {
    size_t size = round_size();
    if (size >= GUARDED) {
        char *block = take_by((enum way)way, size);
        if ((uintptr_t)block % 4096 == 0) finished(); /* a fault, see below */
        write_at(block - 1);
        expect(OVERFLOW_FREED, block);
        give_by((enum way)way, block);
        passed();
        return;
    }
    take_many((enum way)way);
    qsort(blocks, MANY, sizeof *blocks, compare);
    size_t step = SIZE_MAX;
    for (unsigned i = 1; i < MANY; i++)
        if ((size_t)(blocks[i] - blocks[i - 1]) < step) step = (size_t)(blocks[i] - blocks[i - 1]);
    for (unsigned i = 1; i < MANY; i++) {
        if ((size_t)(blocks[i] - blocks[i - 1]) != step) continue;
        write_at(blocks[i] - 1);
        expect(OVERFLOW_FREED, blocks[i - 1]);
        give_by((enum way)way, blocks[i - 1]);
        passed();
        return;
    }
    REQUIRE(false, "of %u blocks two are neighbours", MANY);
}

/* --- Beside and after blocks with a run of their own ------------------------------------------ */

static size_t guarded_size(void) {
    static const size_t guarded[] = {16384, 20480, 65536, 300032, 1048576, 3145728, 8388608};
    return guarded[scene_round % 7];
}
enum { GUARDED_SIZES = 7 };

static void write_task(void *address) {
    write_at(address);
    passed();
}

static void expect_fault_at(enum way way, char *address) {
    expect_fault(address, address);
    go_on(way, write_task, address);
}

static void fault_behind(size_t way) {
    char *block = take_by((enum way)way, guarded_size());
    expect_fault_at((enum way)way, block + guarded_size());
}

/* A jump over an OS page, as by an index that is wrong. */
static void fault_far_behind(size_t way) {
    static const size_t jumps[] = {4096, 64 * 1024, 256 * 1024 - 1};
    char *block = take_by((enum way)way, guarded_size());
    expect_fault_at((enum way)way, block + guarded_size() + jumps[scene_round / GUARDED_SIZES]);
}

/* Its first byte begins an OS page where the size is a multiple of one. */
static void fault_before(size_t way) {
    char *block = take_by((enum way)way, guarded_size());
    expect_fault_at((enum way)way, block - ((uintptr_t)block & 4095) - 1);
}

static size_t touched_offset;
static void free_and_write_task(void *block) {
    char *byte = (char *)block + touched_offset;
    give(block);
    expect_fault(byte, byte);
    write_task(byte);
}

/* The child frees it, too. */
static void fault_after_free(enum way way, size_t offset) {
    char *block = take_by(way, guarded_size());
    touched_offset = offset;
    go_on(way, free_and_write_task, block);
}
static void fault_first(size_t way) { fault_after_free((enum way)way, 0); }
static void fault_middle(size_t way) { fault_after_free((enum way)way, guarded_size() / 2); }
static void fault_last(size_t way) { fault_after_free((enum way)way, guarded_size() - 1); }

/* --- Writes after free ------------------------------------------------------------------------ */

/* Frees and allocations until the block has left quarantine and been looked at: of a page of small
   blocks any may be the next. */
static void churn(size_t size) {
    for (unsigned left = size < 1000 ? 200000 : 20000; left > 0; left--) give(take(size));
}
/* Until all that is free has served again. */
static void take_over_task(void *unused) {
    (void)unused;
    for (size_t bytes = 0; bytes < 8 * SEGMENT; bytes += round_size() + 16) take(round_size());
}

static void write_freed_task(void *block) {
    give(block);
    expect(WRITTEN, block);
    write_at((char *)block + touched_offset);
    passed();
    churn(round_size());
}

/* The child frees it, too. */
static void written_after_free(enum way way, size_t offset) {
    char *block = take_by(way, round_size());
    touched_offset = offset;
    go_on(way, write_freed_task, block);
}
static void written_first(size_t way) { written_after_free((enum way)way, 0); }
static void written_middle(size_t way) { written_after_free((enum way)way, round_size() / 2); }
static void written_last(size_t way) { written_after_free((enum way)way, round_size() - 1); }

/* A child uses a page of its parent's again when it has freed half of it itself. */
static void write_freed_and_take_over_task(void *block) {
    for (unsigned i = 1; i < MANY; i += 2) give(blocks[i]);
    write_freed_task(block);
    take_over_task(NULL);
}

/* Then it is the owner of its page who may hand it out: half of the page is free, half in use. */
static void written_without_quarantine(size_t way) {
    take_many((enum way)way);
    touched_offset = 0;
    go_on((enum way)way, write_freed_and_take_over_task, blocks[MANY / 2]);
    if (way == REMOTE) worker_do(&maker_of_many, take_over_task, NULL);
}

static void written_in_pages(size_t way) {
    fill_half();
    written_middle(way);
}

/* At once when the block is let go by force. */
static void written_then_trim(size_t unused) {
    (void)unused;
    char *block = take(round_size());
    give(block);
    write_at(block);
    expect("a freed block was written to while it waited", block);
    malloc_trim(0);
    passed();
}

/* Nothing else comes by. */
static void written_then_exit(size_t unused) {
    (void)unused;
    char *block = take(round_size());
    give(block);
    write_at(block);
    expect("a freed block was written to while it waited", block);
    passed();
    if (scene_goes_on) say("finished");
    exit(0);
}

/* --- Double frees ----------------------------------------------------------------------------- */

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

/* --- Families --------------------------------------------------------------------------------- */

typedef void *make_function(size_t size);
typedef void *make_aligned_function(size_t size, size_t alignment);
typedef void end_function(void *block);
typedef void end_aligned_function(void *block, size_t alignment);

union looked_up {
    void *address;
    make_function *make;
    make_aligned_function *make_aligned;
    end_function *end;
    end_aligned_function *end_aligned;
};

static union looked_up look_up(const char *name) {
    union looked_up found = {.address = dlsym(RTLD_DEFAULT, name)};
    REQUIRE(found.address, "there is %s", name);
    return found;
}

static const char *const makers[] = {"malloc", "_Znwm", "_Znam", "_ZnwmSt11align_val_t",
                                     "_ZnamSt11align_val_t"};
static const char *const enders[] = {"free", "_ZdlPv", "_ZdaPv", "_ZdlPvSt11align_val_t",
                                     "_ZdaPvSt11align_val_t"};
enum { FAMILIES = 5, ALIGNMENT = 64 };

static void *make_by(unsigned which, size_t size) {
    union looked_up maker = look_up(makers[which]);
    return launder(which < 3 ? maker.make(size) : maker.make_aligned(size, ALIGNMENT));
}

static void end_by(unsigned which, void *block) {
    union looked_up ender = look_up(enders[which]);
    if (which < 3)
        ender.end(launder(block));
    else
        ender.end_aligned(launder(block), ALIGNMENT);
}

/* Of an array or not, and of which of the two families of functions. */
static unsigned family_number(unsigned number) { return number < 3 ? number : number - 2; }

struct family_task {
    unsigned which;
    size_t size;
    char *block;
};

static void make_task(void *argument) {
    struct family_task *task = argument;
    task->block = make_by(task->which, task->size);
}

static void end_wrongly_task(void *argument) {
    struct family_task *task = argument;
    expect(WRONG_FAMILY, task->block);
    end_by(task->which, task->block);
    passed();
}

/* As take_by. */
static char *make_in(enum way way, unsigned which, size_t size) {
    static struct family_task task;
    static struct worker owner; /* it may outlive the call */
    task = (struct family_task){which, size, NULL};
    if (way == REMOTE || way == ENDED) {
        worker_start(&owner);
        worker_do(&owner, make_task, &task);
    } else {
        make_task(&task);
    }
    if (way == ENDED) worker_end(&owner);
    return task.block;
}

static void mixed_families(enum way way, size_t size) {
    unsigned made = scene_round / FAMILIES, ended = scene_round % FAMILIES;
    bool right = family_number(made) == family_number(ended);
    struct family_task task = {ended, size, make_in(way, made, size)};
    if (right) {
        if ((made < 3) == (ended < 3)) end_by(ended, task.block);
        end_by(ended, NULL);
        task.block = make_in(way, made, size);
        task.which = family_number(made) == 0 ? 1 : 0; /* and a wrong one, for the judge */
    }
    go_on(way, end_wrongly_task, &task);
}
static void families_local(size_t size) { mixed_families(LOCAL, size); }
static void families_remote(size_t size) { mixed_families(REMOTE, size); }
static void families_ended(size_t size) { mixed_families(ENDED, size); }
static void families_child(size_t size) { mixed_families(CHILD, size); }

static void realloc_of_new_task(void *block) {
    expect("realloc of a block that malloc has not made", block);
    launder(realloc(block, 2 * scene_size));
    passed();
}

static void realloc_of_new(size_t way) {
    static const size_t of_new[] = {40, 20000, 3000000};
    scene_size = of_new[scene_round / 4];
    char *block = make_in((enum way)way, 1 + scene_round % 4, scene_size);
    go_on((enum way)way, realloc_of_new_task, block);
}
enum { ROUNDS_OF_NEW = 4 * 3 };

/* --- Sizes ------------------------------------------------------------------------------------ */

static void free_sized_task(void *block) {
    expect(WRONG_SIZE, block);
    family.free_sized(block, round_size() + added);
    passed();
}

static void off_by_one(enum way way, size_t more) {
    added = more;
    go_on(way, free_sized_task, take_by(way, round_size()));
}
static void one_more(size_t way) { off_by_one((enum way)way, 1); }
static void one_less(size_t way) { off_by_one((enum way)way, SIZE_MAX); }

static void delete_sized_task(void *block) {
    expect(WRONG_SIZE, block);
    family.delete_sized(block, round_size() + 1);
    passed();
}

static void delete_off_by_one(size_t way) {
    enum { NEW = 1 };
    go_on((enum way)way, delete_sized_task, make_in((enum way)way, NEW, round_size()));
}

/* --- Right programs --------------------------------------------------------------------------- */

/* All that malloc_usable_size() says is the program's. */
static void writes_all_usable(size_t unused) {
    (void)unused;
    for (size_t size = 1; size < 70000; size += size < 600 ? 1 : 61) {
        char *block = take(size);
        size_t usable = malloc_usable_size(block);
        REQUIRE(usable == size, "of %zu bytes %zu are usable", size, usable);
        memset(block, 0xff, usable);
        block = launder(realloc(block, size + size / 3));
        REQUIRE(malloc_usable_size(block) == size + size / 3, "as many as realloc was asked for");
        memset(block, 0xff, malloc_usable_size(block));
        give(block);
    }
}

/* Blocks are zero, and stay so when they were freed. */
static void zero_after_free(size_t unused) {
    (void)unused;
    for (unsigned turn = 0; turn < 300; turn++) {
        for (unsigned i = 0; i < IN_PAGES; i++) {
            char *block = take(sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++) REQUIRE(block[at] == 0, "a block is zero");
            memset(block, 0xaa, sizes[i]);
            give(block);
            if (sizes[i] >= GUARDED) continue;
            for (size_t at = 0; at < sizes[i]; at++)
                REQUIRE(((volatile char *)block)[at] == 0, "a freed block is zero");
        }
    }
}

static void aligned_ones(size_t unused) {
    (void)unused;
    for (size_t alignment = 8; alignment <= 4 << 20; alignment *= 2)
        for (size_t size = 1; size < 3 << 20; size = size * 3 + 1) {
            void *block = NULL;
            REQUIRE(posix_memalign(&block, alignment, size) == 0, "%zu aligned to %zu", size,
                    alignment);
            REQUIRE((uintptr_t)block % alignment == 0, "a multiple of %zu", alignment);
            REQUIRE(malloc_usable_size(block) == size, "as large as was asked for");
            memset(block, 1, size);
            block = launder(realloc(launder(block), size + 100));
            for (size_t i = 0; i < size; i += size / 7 + 1)
                REQUIRE(((char *)block)[i] == 1, "realloc keeps what was there");
            give(block);
        }
}

static void right_families(size_t unused) {
    (void)unused;
    for (unsigned i = 0; i < FAMILIES; i++)
        for (unsigned k = 0; k < SIZES; k++) end_by(i, make_by(i, sizes[k]));
}

static void grows_and_shrinks(size_t unused) {
    (void)unused;
    char *block = NULL;
    for (size_t size = 1; size < 12 << 20; size += size / 3 + 1) {
        block = launder(realloc(block, size));
        REQUIRE(size < 2 || block[size / 2 - 1] == (char)0x77, "what was written stays");
        memset(block, 0x77, size);
    }
    block = launder(realloc(block, 12 << 20));
    memset(block, 0x77, 12 << 20);
    for (size_t size = 12 << 20; size > 1; size -= size / 3 + 1) {
        block = launder(realloc(block, size));
        REQUIRE(block[0] == 0x77 && block[size - 1] == 0x77, "what was written stays");
    }
    give(block);
}

static void fork_task(void *block) {
    for (unsigned i = 0; i < 3000; i++) {
        char *other = take(i % 3000 + 1);
        memset(other, 1, i % 3000 + 1);
        give(other);
    }
    give(block);
    malloc_trim(0);
    REQUIRE(family.check() > 0, "the invariants hold in the child");
}

static volatile bool churning = true;
static void churn_task(void *unused) {
    (void)unused;
    while (churning)
        for (unsigned i = 0; i < 100; i++) give(take(i * 37));
}

/* While another thread has blocks in quarantine, and is in the midst of frees. */
static void forks_while_others_free(size_t unused) {
    (void)unused;
    worker_start(&other_thread);
    worker_post(&other_thread, churn_task, NULL);
    usleep(1000 * (1 + scene_round));
    for (unsigned i = 0; i < 500; i++) give(take(i));
    in_child(fork_task, take(77));
}

#define CASE_STRICT(kind, path, outcome, play, size, rounds)                                       \
    { kind, path, outcome, play, size, rounds, "level=strict" }
#define CASE_STRICT_WITH(kind, path, outcome, play, size, rounds, more)                            \
    { kind, path, outcome, play, size, rounds, "level=strict:" more }

const struct misuse_case strict_cases[] = {
    CASE_STRICT("overflow", "one-byte.local", AT_ONCE, one_byte, LOCAL, SIZES),
    CASE_STRICT("overflow", "one-byte.remote", AT_ONCE, one_byte, REMOTE, SIZES),
    CASE_STRICT("overflow", "one-byte.ended", AT_ONCE, one_byte, ENDED, SIZES),
    CASE_STRICT("overflow", "one-byte.child", AT_ONCE, one_byte, CHILD, SIZES),
    CASE_STRICT("overflow", "zero-byte.local", AT_ONCE, zero_byte, LOCAL, SIZES),
    CASE_STRICT("overflow", "zero-byte.remote", AT_ONCE, zero_byte, REMOTE, SIZES),
    CASE_STRICT("overflow", "zero-byte.ended", AT_ONCE, zero_byte, ENDED, SIZES),
    CASE_STRICT("overflow", "zero-byte.child", AT_ONCE, zero_byte, CHILD, SIZES),
    CASE_STRICT("overflow", "to-granule.local", AT_ONCE, to_granule, LOCAL, SIZES),
    CASE_STRICT("overflow", "to-granule.remote", AT_ONCE, to_granule, REMOTE, SIZES),
    CASE_STRICT("overflow", "to-granule.ended", AT_ONCE, to_granule, ENDED, SIZES),
    CASE_STRICT("overflow", "to-granule.child", AT_ONCE, to_granule, CHILD, SIZES),
    CASE_STRICT("overflow", "last-of-granule.local", AT_ONCE, last_of_granule, LOCAL, SIZES),
    CASE_STRICT("overflow", "last-of-granule.remote", AT_ONCE, last_of_granule, REMOTE, SIZES),
    CASE_STRICT("overflow", "last-of-granule.ended", AT_ONCE, last_of_granule, ENDED, SIZES),
    CASE_STRICT("overflow", "last-of-granule.child", AT_ONCE, last_of_granule, CHILD, SIZES),
    CASE_STRICT("overflow", "underflow.local", AT_ONCE, underflow, LOCAL, SIZES),
    CASE_STRICT("overflow", "underflow.remote", AT_ONCE, underflow, REMOTE, SIZES),
    CASE_STRICT("overflow", "underflow.ended", AT_ONCE, underflow, ENDED, SIZES),
    CASE_STRICT("overflow", "underflow.child", AT_ONCE, underflow, CHILD, SIZES),
    CASE_STRICT("overflow", "realloc-in-place.local", AT_ONCE, realloc_in_place, LOCAL, SIZES),
    CASE_STRICT("overflow", "realloc-in-place.remote", AT_ONCE, realloc_in_place, REMOTE, SIZES),
    CASE_STRICT("overflow", "realloc-in-place.ended", AT_ONCE, realloc_in_place, ENDED, SIZES),
    CASE_STRICT("overflow", "realloc-in-place.child", AT_ONCE, realloc_in_place, CHILD, SIZES),
    CASE_STRICT("overflow", "realloc-moving.local", AT_ONCE, realloc_moving, LOCAL, SIZES),
    CASE_STRICT("overflow", "realloc-moving.remote", AT_ONCE, realloc_moving, REMOTE, SIZES),
    CASE_STRICT("overflow", "realloc-moving.ended", AT_ONCE, realloc_moving, ENDED, SIZES),
    CASE_STRICT("overflow", "realloc-moving.child", AT_ONCE, realloc_moving, CHILD, SIZES),
    CASE_STRICT("overflow", "of-resized", AT_ONCE, overflow_of_resized, 1, SIZES),
    CASE_STRICT("overflow", "of-moved", AT_ONCE, overflow_of_resized, 5000, SIZES),
    CASE_STRICT_WITH("overflow", "in-pages.local", AT_ONCE, one_byte_in_pages, LOCAL, BELOW_HUGE,
                     "region=64M"),
    CASE_STRICT_WITH("overflow", "in-pages.remote", AT_ONCE, one_byte_in_pages, REMOTE, BELOW_HUGE,
                     "region=64M"),
    CASE_STRICT_WITH("overflow", "in-pages.ended", AT_ONCE, one_byte_in_pages, ENDED, BELOW_HUGE,
                     "region=64M"),
    CASE_STRICT_WITH("overflow", "in-pages.child", AT_ONCE, one_byte_in_pages, CHILD, BELOW_HUGE,
                     "region=64M"),
    CASE_STRICT("guard", "strict-behind.local", FAULT, fault_behind, LOCAL, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-behind.remote", FAULT, fault_behind, REMOTE, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-behind.ended", FAULT, fault_behind, ENDED, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-behind.child", FAULT, fault_behind, CHILD, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-far-behind.local", FAULT, fault_far_behind, LOCAL,
                3 * GUARDED_SIZES),
    CASE_STRICT("guard", "strict-far-behind.ended", FAULT, fault_far_behind, ENDED,
                3 * GUARDED_SIZES),
    CASE_STRICT("guard", "strict-before.local", FAULT, fault_before, LOCAL, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-before.remote", FAULT, fault_before, REMOTE, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-before.ended", FAULT, fault_before, ENDED, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-before.child", FAULT, fault_before, CHILD, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-first.local", FAULT, fault_first, LOCAL, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-first.remote", FAULT, fault_first, REMOTE, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-first.ended", FAULT, fault_first, ENDED, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-first.child", FAULT, fault_first, CHILD, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-middle.local", FAULT, fault_middle, LOCAL, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-middle.remote", FAULT, fault_middle, REMOTE, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-middle.ended", FAULT, fault_middle, ENDED, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-middle.child", FAULT, fault_middle, CHILD, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-last.local", FAULT, fault_last, LOCAL, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-last.remote", FAULT, fault_last, REMOTE, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-last.ended", FAULT, fault_last, ENDED, GUARDED_SIZES),
    CASE_STRICT("guard", "strict-freed-last.child", FAULT, fault_last, CHILD, GUARDED_SIZES),
    CASE_STRICT("write-after-free", "first.local", LATER, written_first, LOCAL, IN_PAGES),
    CASE_STRICT("write-after-free", "first.remote", LATER, written_first, REMOTE, IN_PAGES),
    CASE_STRICT("write-after-free", "first.ended", LATER, written_first, ENDED, IN_PAGES),
    CASE_STRICT("write-after-free", "first.child", LATER, written_first, CHILD, IN_PAGES),
    CASE_STRICT("write-after-free", "middle.local", LATER, written_middle, LOCAL, IN_PAGES),
    CASE_STRICT("write-after-free", "middle.remote", LATER, written_middle, REMOTE, IN_PAGES),
    CASE_STRICT("write-after-free", "middle.ended", LATER, written_middle, ENDED, IN_PAGES),
    CASE_STRICT("write-after-free", "middle.child", LATER, written_middle, CHILD, IN_PAGES),
    CASE_STRICT("write-after-free", "last.local", LATER, written_last, LOCAL, IN_PAGES),
    CASE_STRICT("write-after-free", "last.remote", LATER, written_last, REMOTE, IN_PAGES),
    CASE_STRICT("write-after-free", "last.ended", LATER, written_last, ENDED, IN_PAGES),
    CASE_STRICT("write-after-free", "last.child", LATER, written_last, CHILD, IN_PAGES),
    CASE_STRICT_WITH("write-after-free", "in-pages.local", LATER, written_in_pages, LOCAL,
                     BELOW_HUGE, "region=64M"),
    CASE_STRICT_WITH("write-after-free", "in-pages.remote", LATER, written_in_pages, REMOTE,
                     BELOW_HUGE, "region=64M"),
    CASE_STRICT_WITH("write-after-free", "in-pages.ended", LATER, written_in_pages, ENDED,
                     BELOW_HUGE, "region=64M"),
    CASE_STRICT_WITH("write-after-free", "in-pages.child", LATER, written_in_pages, CHILD,
                     BELOW_HUGE, "region=64M"),
    CASE_STRICT("write-after-free", "trim", AT_ONCE, written_then_trim, 0, IN_PAGES),
    CASE_STRICT("write-after-free", "exit", LATER, written_then_exit, 0, IN_PAGES),
    CASE_STRICT_WITH("write-after-free", "no-quarantine.local", LATER, written_without_quarantine,
                     LOCAL, IN_PAGES, "quarantine=0"),
    CASE_STRICT_WITH("write-after-free", "no-quarantine.remote", LATER, written_without_quarantine,
                     REMOTE, IN_PAGES, "quarantine=0"),
    CASE_STRICT_WITH("write-after-free", "no-quarantine.ended", LATER, written_without_quarantine,
                     ENDED, IN_PAGES, "quarantine=0"),
    CASE_STRICT_WITH("write-after-free", "no-quarantine.child", LATER, written_without_quarantine,
                     CHILD, IN_PAGES, "quarantine=0"),
    CASE_STRICT("double-free", "strict.local", AT_ONCE, freed_twice, LOCAL, SIZES),
    CASE_STRICT("double-free", "strict.remote", AT_ONCE, freed_twice, REMOTE, SIZES),
    CASE_STRICT("double-free", "strict.ended", AT_ONCE, freed_twice, ENDED, SIZES),
    CASE_STRICT("double-free", "strict.child", AT_ONCE, freed_twice, CHILD, SIZES),
    CASE_STRICT("double-free", "strict.by-others", AT_ONCE, freed_twice_by_others, 0, SIZES),
    CASE_STRICT("family-mismatch", "small.local", AT_ONCE, families_local, 40, FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "small.remote", AT_ONCE, families_remote, 40,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "small.ended", AT_ONCE, families_ended, 40, FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "small.child", AT_ONCE, families_child, 40, FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "medium.local", AT_ONCE, families_local, 20000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "medium.remote", AT_ONCE, families_remote, 20000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "medium.ended", AT_ONCE, families_ended, 20000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "medium.child", AT_ONCE, families_child, 20000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "huge.local", AT_ONCE, families_local, 3000000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "huge.remote", AT_ONCE, families_remote, 3000000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "huge.ended", AT_ONCE, families_ended, 3000000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "huge.child", AT_ONCE, families_child, 3000000,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "zero-size.local", AT_ONCE, families_local, 0,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "zero-size.remote", AT_ONCE, families_remote, 0,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "zero-size.ended", AT_ONCE, families_ended, 0,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "zero-size.child", AT_ONCE, families_child, 0,
                FAMILIES *FAMILIES),
    CASE_STRICT("family-mismatch", "realloc.local", AT_ONCE, realloc_of_new, LOCAL, ROUNDS_OF_NEW),
    CASE_STRICT("family-mismatch", "realloc.remote", AT_ONCE, realloc_of_new, REMOTE,
                ROUNDS_OF_NEW),
    CASE_STRICT("family-mismatch", "realloc.ended", AT_ONCE, realloc_of_new, ENDED, ROUNDS_OF_NEW),
    CASE_STRICT("family-mismatch", "realloc.child", AT_ONCE, realloc_of_new, CHILD, ROUNDS_OF_NEW),
    CASE_STRICT("size-mismatch", "strict.one-more.local", AT_ONCE, one_more, LOCAL, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-more.remote", AT_ONCE, one_more, REMOTE, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-more.ended", AT_ONCE, one_more, ENDED, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-more.child", AT_ONCE, one_more, CHILD, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-less.local", AT_ONCE, one_less, LOCAL, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-less.remote", AT_ONCE, one_less, REMOTE, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-less.ended", AT_ONCE, one_less, ENDED, SIZES),
    CASE_STRICT("size-mismatch", "strict.one-less.child", AT_ONCE, one_less, CHILD, SIZES),
    CASE_STRICT("size-mismatch", "strict.delete.local", AT_ONCE, delete_off_by_one, LOCAL, SIZES),
    CASE_STRICT("size-mismatch", "strict.delete.remote", AT_ONCE, delete_off_by_one, REMOTE, SIZES),
    CASE_STRICT("size-mismatch", "strict.delete.ended", AT_ONCE, delete_off_by_one, ENDED, SIZES),
    CASE_STRICT("size-mismatch", "strict.delete.child", AT_ONCE, delete_off_by_one, CHILD, SIZES),
    CASE_STRICT("none", "strict.usable", CLEAN, writes_all_usable, 0, 1),
    CASE_STRICT("none", "strict.zero", CLEAN, zero_after_free, 0, 1),
    CASE_STRICT("none", "strict.aligned", CLEAN, aligned_ones, 0, 1),
    CASE_STRICT("none", "strict.families", CLEAN, right_families, 0, 1),
    CASE_STRICT("none", "strict.grows", CLEAN, grows_and_shrinks, 0, 1),
    CASE_STRICT("none", "strict.forks", CLEAN, forks_while_others_free, 0, 20),
    CASES_END,
};
