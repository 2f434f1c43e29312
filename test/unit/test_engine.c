/*
 * The fuzzing engine itself: its format, its mutator, its shadow model, and that a run catches what
 * it is there to catch.
 *
 * The subject is a small allocator with a switch for each fault that can be planted in it. With
 * none planted no run may fail; with one, some run must, and with the words for that fault. The
 * allocator takes new addresses from a large reservation, keeps a record of each block, and uses a
 * freed block again when the size fits.
 */
#include "suite.h"
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "engine/crew.h"
#include "engine/dispatch.h"
#include "engine/mutate.h"

/* --- The subject ----------------------------------------------------------------------------- */

enum fault {
    FAULT_NONE,
    FAULT_OVERLAP,
    FAULT_LOST_BYTE,
    FAULT_LOST_LAST_BYTE,
    FAULT_MISALIGNED,
    FAULT_NOT_ZEROED,
    FAULT_DOUBLE_FREE_MISSED,
    FAULT_INTERIOR_MISSED,
    FAULT_WRONG_KIND,
    FAULT_WRONG_ADDRESS,
    FAULT_SPURIOUS_REPORT,
    FAULT_USABLE_CHANGES,
    FAULT_HEAP_EACH,
    FAULT_FREE_SETS_ERRNO,
    FAULT_NO_ENOMEM,
    FAULT_NULL,
    FAULT_RESIZE_LOSES,
    FAULT_LEAK,
    FAULT_WRONG_SIZE_MISSED,
    FAULTS
};

static const char *const fault_words[FAULTS] = {
    [FAULT_OVERLAP] = "overlaps",
    [FAULT_LOST_BYTE] = "contents lost",
    [FAULT_LOST_LAST_BYTE] = "contents lost",
    [FAULT_MISALIGNED] = "not aligned",
    [FAULT_NOT_ZEROED] = "zeroed block",
    [FAULT_DOUBLE_FREE_MISSED] = "was not reported",
    [FAULT_INTERIOR_MISSED] = "was not reported",
    [FAULT_WRONG_KIND] = "report ",
    [FAULT_WRONG_ADDRESS] = "report ",
    [FAULT_SPURIOUS_REPORT] = "report ",
    [FAULT_USABLE_CHANGES] = "usable size was",
    [FAULT_HEAP_EACH] = "heaps were made",
    [FAULT_FREE_SETS_ERRNO] = "left errno",
    [FAULT_NO_ENOMEM] = "left errno",
    [FAULT_NULL] = "gave NULL",
    [FAULT_RESIZE_LOSES] = "lost byte",
    [FAULT_LEAK] = "bytes committed",
    [FAULT_WRONG_SIZE_MISSED] = "was not reported",
};

struct record {
    uintptr_t start;
    size_t usable, requested, alignment;
    bool live;
    unsigned asked; /* times its usable size was asked for */
};

enum { RECORDS = 65536 };
#define ARENA_SIZE (16 * GIB)

static struct record records[RECORDS];
static unsigned record_count, calls, live_count;
static uintptr_t arena, top;
static size_t committed_now;
static enum fault planted;
static void (*report_to)(enum report_kind kind, uintptr_t address);

/* Every so many calls, from the 20th on: so that the fault is not there from the start. */
static bool strikes(enum fault fault, unsigned every) {
    return planted == fault && calls > 20 && calls % every == 0;
}

static void toy_begin(struct life life,
                      void (*on_report)(enum report_kind kind, uintptr_t address)) {
    (void)life;
    if (!arena)
        arena = (uintptr_t)mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne((void *)arena, MAP_FAILED);
    arena = round_up(arena, 4 * MIB);
    record_count = calls = live_count = 0;
    top = arena;
    committed_now = 0;
    report_to = on_report;
}

static void toy_touch(uintptr_t start, size_t size) {
    (void)start;
    (void)size;
}

static void toy_end(void) { madvise((void *)arena, round_up(top - arena, 4096), MADV_DONTNEED); }

static struct record *find(uintptr_t address, bool inside) {
    for (unsigned i = 0; i < record_count; i++) {
        struct record *record = &records[i];
        if (record->start == address ||
            (inside && address > record->start && address < record->start + record->usable))
            return record;
    }
    return NULL;
}

static void report(enum report_kind kind, uintptr_t address) {
    if (planted == FAULT_WRONG_KIND) kind = REPORT_GUARD_HIT;
    if (planted == FAULT_WRONG_ADDRESS) address += 16;
    report_to(kind, address);
}

/* The live record at an address, or a report of what is there instead; NULL when a planted fault
   lets the misuse pass. */
static struct record *expect_live(const void *block) {
    struct record *record = find((uintptr_t)block, false);
    if (record && record->live) return record;
    if (record) {
        if (planted != FAULT_DOUBLE_FREE_MISSED) report(REPORT_DOUBLE_FREE, (uintptr_t)block);
    } else if (planted != FAULT_INTERIOR_MISSED || !find((uintptr_t)block, true)) {
        report(REPORT_INVALID_FREE, (uintptr_t)block);
    }
    return NULL;
}

static void *toy_aligned_alloc(size_t alignment, size_t size) {
    calls++;
    if (!is_power_of_two(alignment) || alignment > ALIGN_MAX) {
        errno = is_power_of_two(alignment) ? ENOMEM : EINVAL;
        return NULL;
    }
    size_t usable = round_up(size, GRANULE);
    if (size > PTRDIFF_MAX || usable > ARENA_SIZE / 2 || strikes(FAULT_NULL, 7)) {
        if (planted != FAULT_NO_ENOMEM) errno = ENOMEM;
        return NULL;
    }
    if (alignment < GRANULE) alignment = GRANULE;
    struct record *record = NULL;
    for (unsigned i = 0; i < record_count && !record; i++)
        if (!records[i].live && records[i].usable == usable && records[i].start % alignment == 0)
            record = &records[i];
    if (!record) {
        if (record_count == RECORDS) abort();
        record = &records[record_count++];
        record->start = round_up(top, alignment);
        record->usable = usable;
        top = record->start + (usable ? usable : GRANULE);
        if (strikes(FAULT_OVERLAP, 5) && usable) top -= GRANULE;
        if (strikes(FAULT_MISALIGNED, 5)) {
            record->start += 8;
            top += GRANULE;
        }
    }
    record->live = true;
    record->asked = 0;
    record->requested = size;
    record->alignment = alignment;
    committed_now += usable;
    live_count++;
    return (void *)record->start;
}

static void *toy_malloc(size_t size) { return toy_aligned_alloc(GRANULE, size); }

static void *toy_calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
    void *block = toy_malloc(bytes);
    if (block && planted != FAULT_NOT_ZEROED) memset(block, 0, bytes);
    return block;
}

static void release(struct record *record) {
    record->live = false;
    live_count--;
    if (planted != FAULT_LEAK) committed_now -= record->usable;
    struct record *next = record + 1;
    if (next < records + record_count && next->live && next->usable) {
        if (strikes(FAULT_LOST_BYTE, 3)) *(unsigned char *)next->start ^= 1;
        if (strikes(FAULT_LOST_LAST_BYTE, 3)) ((unsigned char *)next->start)[next->usable - 1] ^= 1;
    }
    if (planted == FAULT_FREE_SETS_ERRNO) errno = EBUSY;
}

static void toy_free(void *block) {
    calls++;
    if (!block) return;
    struct record *record = expect_live(block);
    if (!record) return;
    if (strikes(FAULT_SPURIOUS_REPORT, 5)) report(REPORT_DOUBLE_FREE, (uintptr_t)block);
    release(record);
}

static void toy_free_aligned_sized(void *block, size_t alignment, size_t size) {
    calls++;
    if (!block) return;
    struct record *record = expect_live(block);
    if (!record) return;
    bool size_fits = round_up(size, GRANULE) == record->usable;
    if (!is_power_of_two(alignment) || record->start % alignment != 0)
        report(REPORT_ALIGNMENT_MISMATCH, (uintptr_t)block);
    if (!size_fits && planted != FAULT_WRONG_SIZE_MISSED)
        report(REPORT_SIZE_MISMATCH, (uintptr_t)block);
    release(record);
}

static void toy_free_sized(void *block, size_t size) { toy_free_aligned_sized(block, 1, size); }

static void *toy_realloc(void *block, size_t size) {
    calls++;
    if (!block) return toy_malloc(size);
    struct record *record = expect_live(block);
    if (!record) return NULL;
    if (size == 0) {
        release(record);
        return NULL;
    }
    if (round_up(size, GRANULE) == record->usable) return block;
    void *moved = toy_malloc(size);
    if (!moved) return NULL;
    size_t kept = size < record->usable ? size : record->usable;
    memcpy(moved, block, planted == FAULT_RESIZE_LOSES && kept > 0 ? kept - 1 : kept);
    if (planted == FAULT_RESIZE_LOSES && kept > 0) ((unsigned char *)moved)[kept - 1] = 0x55;
    release(record);
    return moved;
}

static void *toy_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (!__builtin_mul_overflow(count, size, &bytes)) return toy_realloc(block, bytes);
    errno = ENOMEM;
    return NULL;
}

static int toy_posix_memalign(void **result, size_t alignment, size_t size) {
    int before = errno;
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0) return EINVAL;
    void *block = toy_aligned_alloc(alignment, size);
    errno = before;
    if (!block) return ENOMEM;
    *result = block;
    return 0;
}

static size_t toy_usable_size(const void *block) {
    struct record *record = block ? expect_live(block) : NULL;
    if (!record) return 0;
    return planted == FAULT_USABLE_CHANGES && record->asked++ > 0 ? record->usable + GRANULE
                                                                  : record->usable;
}

static bool toy_owns(const void *address) { return (uintptr_t)address - arena < top - arena; }
static bool toy_trim(void) { return false; }
static size_t toy_check(void) { return 0; }
static void toy_abandon_thread(void) {}
static uintptr_t toy_base(void) { return arena; }
static size_t toy_committed(void) { return committed_now; }
static size_t toy_used_blocks(void) { return live_count; }
static void toy_advance_clock(uint64_t milliseconds) { (void)milliseconds; }
static void toy_fail_nth(unsigned kind, unsigned n, bool for_good) {
    (void)kind, (void)n, (void)for_good;
}
static void toy_limit(size_t more) { (void)more; }
static void toy_fail_none(void) {}
static uint64_t toy_failures(void) { return 0; }
static unsigned toy_heaps(void) { return planted == FAULT_HEAP_EACH ? 3 : 2; }

static const struct subject toy = {
    .malloc = toy_malloc,
    .calloc = toy_calloc,
    .realloc = toy_realloc,
    .reallocarray = toy_reallocarray,
    .aligned_alloc = toy_aligned_alloc,
    .posix_memalign = toy_posix_memalign,
    .free = toy_free,
    .free_sized = toy_free_sized,
    .free_aligned_sized = toy_free_aligned_sized,
    .usable_size = toy_usable_size,
    .owns = toy_owns,
    .trim = toy_trim,
    .check = toy_check,
    .begin = toy_begin,
    .touch = toy_touch,
    .end = toy_end,
    .abandon_thread = toy_abandon_thread,
    .base = toy_base,
    .committed = toy_committed,
    .used_blocks = toy_used_blocks,
    .advance_clock = toy_advance_clock,
    .fail_nth = toy_fail_nth,
    .limit = toy_limit,
    .fail_none = toy_fail_none,
    .failures = toy_failures,
    .heaps = toy_heaps,
    .fault_kinds = 0,
};

/* --- Runs ------------------------------------------------------------------------------------ */

static struct run run;
static struct input input, other_input;
static sigjmp_buf failed;
static char failure[400];

static void take_failure(const char *text) {
    strncpy(failure, text, sizeof failure - 1);
    siglongjmp(failed, 1);
}

/* False when the run failed; the text is in `failure`. One thread: the jump out of a failure must
   stay on it. */
static bool run_alone(enum fault fault) {
    planted = fault;
    failure[0] = 0;
    run_failure_handler = take_failure;
    if (sigsetjmp(failed, 0) != 0) {
        toy_end();
        return false;
    }
    dispatch_input(&run, &toy, &input);
    return true;
}

static void make_input(uint64_t seed, unsigned threads) {
    struct rng random = {seed};
    mutate_make(&input, &random, threads, 0);
    for (unsigned i = 0; i < 6; i++) mutate_edit(&input, &random);
    /* The toy has no faults to inject and looks through all its records: keep runs small. */
    for (unsigned i = 0; i < input.op_count; i++)
        if (input.ops[i].code == OP_MALLOC_MANY) input.ops[i].other %= 5;
}

/* --- Format ---------------------------------------------------------------------------------- */

START_TEST(an_input_survives_being_written_and_read) {
    static uint8_t bytes[INPUT_MAX_SIZE], again[INPUT_MAX_SIZE];
    for (uint64_t seed = 0; seed < 500; seed++) {
        make_input(seed, 1 + (unsigned)(seed % 2) * 3);
        size_t size = input_encode(&input, bytes, sizeof bytes);
        ck_assert(input_decode(&other_input, bytes, size));
        ck_assert(input_is_valid(&other_input));
        ck_assert_uint_eq(other_input.op_count, input.op_count);
        ck_assert_uint_eq(other_input.schedule_length, input.schedule_length);
        ck_assert_mem_eq(other_input.ops, input.ops, input.op_count * sizeof input.ops[0]);
        ck_assert_uint_eq(input_encode(&other_input, again, sizeof again), size);
        ck_assert_mem_eq(bytes, again, size);
    }
}
END_TEST

START_TEST(every_operation_has_a_name_and_a_function) {
    for (unsigned code = 0; code < OP_CODES; code++) {
        ck_assert_msg(dispatch_knows(code), "nothing carries out operation %u", code);
        ck_assert_str_ne(op_name(code), "?");
    }
    ck_assert(!dispatch_knows(OP_CODES));
    ck_assert_str_eq(op_name(OP_CODES), "?");
}
END_TEST

START_TEST(any_bytes_with_the_mark_and_the_version_are_an_input) {
    static uint8_t bytes[3000];
    struct rng random = {1};
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = rng_below(&random, sizeof bytes);
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)rng_next(&random);
        bytes[0] = 'm';
        bytes[1] = INPUT_VERSION;
        ck_assert_int_eq(input_decode(&input, bytes, size), size >= INPUT_HEADER_SIZE);
        if (size >= INPUT_HEADER_SIZE) ck_assert(input_is_valid(&input));
    }
    bytes[1] = INPUT_VERSION + 1;
    ck_assert(!input_decode(&input, bytes, sizeof bytes));
    bytes[1] = INPUT_VERSION;
    bytes[0] = 'M';
    ck_assert(!input_decode(&input, bytes, sizeof bytes));
}
END_TEST

START_TEST(what_an_engine_tries_first_is_an_input_without_operations) {
    static const uint8_t bytes[INPUT_HEADER_SIZE] = {'\n'};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        make_input(7, 4);
        ck_assert_int_eq(input_accept(&input, bytes, size, 3), size < 2);
        if (size >= 2) continue;
        ck_assert(input_is_valid(&input));
        ck_assert_uint_eq(input.op_count, 0);
        ck_assert_uint_eq(input.threads, 3);
    }
}
END_TEST

START_TEST(taking_out_an_operation_leaves_the_schedule_as_it_was) {
    static uint8_t bytes[INPUT_MAX_SIZE];
    make_input(7, 4);
    ck_assert_uint_gt(input.schedule_length, 4);
    ck_assert_uint_gt(input.op_count, 4);
    size_t size = input_encode(&input, bytes, sizeof bytes);
    memmove(bytes + INPUT_HEADER_SIZE, bytes + INPUT_HEADER_SIZE + INPUT_OP_SIZE,
            size - INPUT_HEADER_SIZE - INPUT_OP_SIZE);
    bytes[8]--;
    ck_assert(input_decode(&other_input, bytes, size - INPUT_OP_SIZE));
    ck_assert_uint_eq(other_input.op_count, input.op_count - 1);
    ck_assert_uint_eq(other_input.schedule_length, input.schedule_length);
    ck_assert_mem_eq(other_input.schedule, input.schedule, input.schedule_length);
    ck_assert_mem_eq(&other_input.ops[0], &input.ops[1], sizeof input.ops[0]);
}
END_TEST

START_TEST(the_prologue_goes_with_its_operations) {
    make_input(7, 4);
    input.op_count = 10;
    input.prologue = 4;
    struct input_op op = {.code = OP_CHECK};
    input_insert(&input, 4, op); /* the first of those after it */
    ck_assert_uint_eq(input.prologue, 4);
    input_insert(&input, 3, op);
    ck_assert_uint_eq(input.prologue, 5);
    ck_assert_uint_eq(input.op_count, 12);
    input_remove(&input, 5, 3);
    ck_assert_uint_eq(input.prologue, 5);
    input_remove(&input, 1, 2);
    ck_assert_uint_eq(input.prologue, 3);
    input_remove(&input, 2, 4); /* its last one and three others */
    ck_assert_uint_eq(input.prologue, 2);
    ck_assert_uint_eq(input.op_count, 3);
    input_remove(&input, 3, 1);
    ck_assert_uint_eq(input.op_count, 3);
}
END_TEST

START_TEST(what_is_cut_together_begins_with_both_prologues) {
    struct rng random = {5};
    unsigned longer = 0;
    for (unsigned round = 0; round < 1000; round++) {
        make_input(7, 4);
        other_input = input;
        for (unsigned i = 0; i < input.op_count; i++) input.ops[i].value = i < 4 ? 1 : 2;
        other_input = input;
        input.prologue = other_input.prologue = 4;
        mutate_cross(&input, &other_input, &random);
        for (unsigned i = 0; i < input.op_count; i++)
            if (i < input.prologue && input.ops[i].value == 1) longer += i >= 4;
        /* nothing that ran at once in either is in front */
        for (unsigned i = 0; i < input.prologue && i < input.op_count; i++)
            ck_assert_uint_eq(input.ops[i].value, 1);
    }
    ck_assert_uint_gt(longer, 0);
}
END_TEST

/* --- Mutator --------------------------------------------------------------------------------- */

START_TEST(the_mutator_writes_valid_inputs_only) {
    static uint8_t bytes[INPUT_MAX_SIZE], crossed[INPUT_MAX_SIZE];
    unsigned seen[OP_CODES] = {0};
    size_t size = 0;
    for (uint64_t seed = 1; seed < 20000; seed++) {
        size_t capacity = seed % 3 == 0 ? 600 : sizeof bytes;
        size = mutate_bytes(bytes, size > capacity ? capacity : size, capacity,
                            seed % 5000 < 2500 ? 1 : 4, seed);
        ck_assert_uint_le(size, capacity);
        ck_assert(input_decode(&input, bytes, size));
        ck_assert(input_is_valid(&input));
        for (unsigned i = 0; i < input.op_count; i++) seen[input.ops[i].code] = 1;
        if (seed % 100 == 0) {
            size_t length = mutate_cross_bytes(bytes, size, crossed, sizeof crossed, crossed,
                                               sizeof crossed, 1, seed);
            ck_assert(input_decode(&input, crossed, length));
            ck_assert(input_is_valid(&input));
        }
        if (seed % 2500 == 0) size = 0; /* from nothing again */
    }
    for (unsigned code = 0; code < OP_CODES; code++)
        ck_assert_msg(seen[code], "the mutator never made %s", op_name(code));
}
END_TEST

START_TEST(the_mutator_repeats_itself_for_the_same_seed) {
    static uint8_t one[INPUT_MAX_SIZE], two[INPUT_MAX_SIZE];
    size_t one_size = 0, two_size = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        one_size = mutate_bytes(one, one_size, sizeof one, 3, seed);
        two_size = mutate_bytes(two, two_size, sizeof two, 3, seed);
        ck_assert_uint_eq(one_size, two_size);
        ck_assert_mem_eq(one, two, one_size);
    }
}
END_TEST

START_TEST(sizes_and_alignments_stay_in_their_ranges) {
    struct rng random = {3};
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t kind = (uint8_t)rng_below(&random, 256);
        size_t size = size_decode(kind, (uint32_t)rng_next(&random));
        if (kind % SIZE_KINDS == SIZE_ABSURD)
            ck_assert_uint_ge(size, SIZE_IMPOSSIBLE);
        else
            ck_assert_uint_le(size, SIZE_SANE_MAX);
        size_t alignment = alignment_decode(kind);
        ck_assert(is_power_of_two(alignment) && alignment <= ALIGN_MAX);
    }
}
END_TEST

/* --- Shadow model ---------------------------------------------------------------------------- */

static struct shadow shadow;

/* Against a plain array of who covers what, on a small address range that is never touched. */
START_TEST(the_shadow_model_agrees_with_a_plain_array) {
    enum { SPACE = 4096, BASE = 1 << 20 };
    static uint16_t cover[SPACE];
    struct rng random = {5};
    shadow_reset(&shadow, 5, 4096);
    memset(cover, 0xff, sizeof cover);
    for (unsigned round = 0; round < 30000; round++) {
        if (shadow.live_count > 0 && rng_below(&random, 2)) {
            uint16_t index = shadow.live[rng_below(&random, shadow.live_count)];
            for (unsigned i = 0; i < SPACE; i++)
                if (cover[i] == index) cover[i] = SHADOW_NONE;
            shadow_death(&shadow, index);
        } else {
            unsigned at = rng_below(&random, SPACE / 16 - 20),
                     length = 16 * (1 + rng_below(&random, 12));
            struct shadow_block facts = {
                .start = BASE + at * 16, .requested = length, .usable = length, .alignment = 1};
            bool taken = false;
            for (unsigned i = 0; i < length; i++) taken |= cover[at * 16 + i] != SHADOW_NONE;
            uint16_t index = SHADOW_NONE;
            const char *broken = shadow_birth(&shadow, facts, &index);
            ck_assert_msg((broken != NULL) == taken, "round %u: %s", round,
                          broken ? broken : "an overlap was missed");
            for (unsigned i = 0; !broken && i < length; i++) cover[at * 16 + i] = index;
        }
        if (round % 500 == 0) ck_assert_ptr_null(shadow_validate(&shadow));
        uintptr_t probe = rng_below(&random, SPACE);
        ck_assert_uint_eq(shadow_find_live(&shadow, BASE + probe, 1), cover[probe]);
    }
}
END_TEST

START_TEST(contents_are_compared_to_the_last_byte) {
    static unsigned char memory[300 * 1024] __attribute__((aligned(16)));
    static const size_t sizes[] = {1, 7, 8, 16, 100, 4096, 70001};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i], wrong = 0;
        shadow_reset(&shadow, i, 128 * 1024);
        struct shadow_block facts = {
            .start = (uintptr_t)memory, .requested = size, .usable = size, .alignment = 16};
        uint16_t index;
        ck_assert_ptr_null(shadow_birth(&shadow, facts, &index));
        memory[size] = 0x77;
        shadow_fill(&shadow, index);
        ck_assert_uint_eq(memory[size], 0x77);
        ck_assert(shadow_compare(&shadow.blocks[index], (uintptr_t)memory, size, &wrong));
        size_t step = size < 5000 ? 1 : 997;
        for (size_t at = 0; at < size; at += step) {
            memory[at] ^= 0x10;
            ck_assert(!shadow_compare(&shadow.blocks[index], (uintptr_t)memory, size, &wrong));
            ck_assert_uint_eq(wrong, at & ~(size_t)7);
            ck_assert(shadow_compare(&shadow.blocks[index], (uintptr_t)memory, at, &wrong));
            memory[at] ^= 0x10;
        }
        memory[size - 1] ^= 0x80;
        ck_assert(!shadow_compare(&shadow.blocks[index], (uintptr_t)memory, size, &wrong));
    }
    memset(memory, 0, sizeof memory);
    size_t wrong = 0;
    ck_assert(shadow_is_zero(&shadow, (uintptr_t)memory, sizeof memory - 3, &wrong));
    memory[sizeof memory - 4] = 1;
    ck_assert(!shadow_is_zero(&shadow, (uintptr_t)memory, sizeof memory - 3, &wrong));
    ck_assert_uint_eq(wrong, sizeof memory - 4);
}
END_TEST

/* --- Whole runs ------------------------------------------------------------------------------ */

enum { RUNS = 200 };

START_TEST(a_right_allocator_is_never_blamed) {
    unsigned reports = 0;
    for (uint64_t seed = 0; seed < RUNS; seed++) {
        make_input(seed, 1);
        ck_assert_msg(run_alone(FAULT_NONE), "seed %llu: %s", (unsigned long long)seed, failure);
        if (run.reported >= 0) reports++;
    }
    ck_assert_msg(reports > RUNS / 20, "only %u runs ended in a report: misuses are not reached",
                  reports);
}
END_TEST

START_TEST(a_planted_fault_is_caught) {
    enum fault fault = (enum fault)_i;
    unsigned caught = 0;
    for (uint64_t seed = 0; seed < RUNS && caught == 0; seed++) {
        make_input(seed, 1);
        /* Where it does another harm first, by what the C library's allocator makes of it, that
           is what is seen: another run shows it by its own. */
        if (!run_alone(fault) && strstr(failure, fault_words[fault]) != NULL) caught++;
    }
    ck_assert_msg(caught > 0, "fault %d was not seen as what it is in %d runs", _i, RUNS);
}
END_TEST

START_TEST(the_same_input_is_the_same_run) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        make_input(seed, 1);
        ck_assert(run_alone(FAULT_NONE));
        uint64_t trace = run.trace;
        ck_assert(run_alone(FAULT_NONE));
        ck_assert_uint_eq(run.trace, trace);
        input.seed++;
        input.flags ^= INPUT_FULL_CONTENTS;
    }
}
END_TEST

START_TEST(threads_take_turns_in_the_same_order_each_time) {
    unsigned reports = 0;
    planted = FAULT_NONE;
    run_failure_handler = NULL;
    crew_pin();
    for (uint64_t seed = 0; seed < 40; seed++) {
        make_input(seed, 4);
        crew_run(&run, &toy, &input);
        uint64_t trace = run.trace;
        if (run.reported >= 0) reports++;
        for (unsigned i = 0; i < 2; i++) {
            crew_run(&run, &toy, &input);
            ck_assert_msg(run.trace == trace, "seed %llu: the runs differ",
                          (unsigned long long)seed);
        }
    }
    ck_assert_msg(reports > 1, "only %u runs ended in a report", reports);
}
END_TEST

/* The schedule decides: two inputs that differ in it alone have different traces. */
START_TEST(the_schedule_decides_who_runs) {
    planted = FAULT_NONE;
    run_failure_handler = NULL;
    make_input(11, 4);
    input.scheduler = SCHEDULER_TAPE;
    input.flags = 0;
    input.schedule_length = 40;
    memset(input.schedule, 0, input.schedule_length);
    crew_run(&run, &toy, &input);
    uint64_t alone = run.trace;
    for (unsigned i = 0; i < input.schedule_length; i++) input.schedule[i] = (uint8_t)(i % 4);
    crew_run(&run, &toy, &input);
    ck_assert_uint_ne(run.trace, alone);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("engine");
    TCase *parts = tcase_create("parts");
    tcase_add_test(parts, an_input_survives_being_written_and_read);
    tcase_add_test(parts, every_operation_has_a_name_and_a_function);
    tcase_add_test(parts, any_bytes_with_the_mark_and_the_version_are_an_input);
    tcase_add_test(parts, what_an_engine_tries_first_is_an_input_without_operations);
    tcase_add_test(parts, the_prologue_goes_with_its_operations);
    tcase_add_test(parts, what_is_cut_together_begins_with_both_prologues);
    tcase_add_test(parts, taking_out_an_operation_leaves_the_schedule_as_it_was);
    tcase_add_test(parts, the_mutator_writes_valid_inputs_only);
    tcase_add_test(parts, the_mutator_repeats_itself_for_the_same_seed);
    tcase_add_test(parts, sizes_and_alignments_stay_in_their_ranges);
    tcase_add_test(parts, the_shadow_model_agrees_with_a_plain_array);
    tcase_add_test(parts, contents_are_compared_to_the_last_byte);
    TCase *runs = tcase_create("runs");
    tcase_add_test(runs, a_right_allocator_is_never_blamed);
    tcase_add_loop_test(runs, a_planted_fault_is_caught, FAULT_NONE + 1, FAULTS);
    tcase_add_test(runs, the_same_input_is_the_same_run);
    tcase_add_test(runs, threads_take_turns_in_the_same_order_each_time);
    tcase_add_test(runs, the_schedule_decides_who_runs);
    tcase_set_timeout(parts, 120);
    tcase_set_timeout(runs, 120);
    suite_add_tcase(suite, parts);
    suite_add_tcase(suite, runs);
    return suite_run(suite);
}
