/*
 * make_seeds: writes the seeds of the corpora, one named situation each.
 *
 *   cmake --build build --target make_seeds && build/fuzz/make_seeds corpus
 *
 * The seeds in corpus/ are this program's output, as fuzz.seeds, a test, sees: change it, not them,
 * and keep what a fuzzer found in corpus/<harness>/regressions/. A situation is a list of
 * operations with the thread that carries each out; the schedule is made from that. Those named
 * report-… must end in a report: the replay program checks it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/exploits.h"
#include "engine/input.h"
#include "engine/mutate.h"
#include "engine/program.h"
#include "engine/sizing.h"

enum { NEWEST = 255, OLDEST = 0, STEPS_MAX = 24 };

struct step {
    uint8_t thread; /* counted among those alive */
    struct input_op op;
};

struct situation {
    const char *name;
    uint8_t flags, fault_budget, threads;
    struct step steps[STEPS_MAX]; /* up to the first with code OP_CODES */
};

#define AT(thread, code, pick, other, kind, value)                                                 \
    {                                                                                              \
        thread, { OP_##code, pick, other, kind, value }                                            \
    }
#define DO(code, pick, other, kind, value) AT(0, code, pick, other, kind, value)
#define END                                                                                        \
    {                                                                                              \
        0, { OP_CODES, 0, 0, 0, 0 }                                                                \
    }
#define MALLOC(size_kind, value) DO(MALLOC, 0, 0, size_kind, value)
#define FREE_NEWEST DO(FREE, NEWEST, 0, 0, 0)
#define FREE_OLDEST DO(FREE, OLDEST, 0, 0, 0)
#define CHECK DO(CHECK, 0, 0, 0, 0)
/* `log` of the count less one. */
#define MANY(log, size_kind, value) DO(MALLOC_MANY, 0, log, size_kind, value)

static const struct situation ops_situations[] = {
    {"sizes-tiny",
     INPUT_CHECK_OFTEN,
     0,
     1,
     {MALLOC(SIZE_TINY, 0), MALLOC(SIZE_TINY, 1), MALLOC(SIZE_TINY, 16), MALLOC(SIZE_TINY, 17),
      MALLOC(SIZE_TINY, 128), MALLOC(SIZE_TINY, 129), MALLOC(SIZE_TINY, 1024), FREE_OLDEST,
      FREE_NEWEST, MALLOC(SIZE_TINY, 16), END}},
    {"sizes-limits",
     0,
     0,
     1,
     {MALLOC(SIZE_LIMIT, 0), MALLOC(SIZE_LIMIT, 0x10010), MALLOC(SIZE_LIMIT, 1),
      MALLOC(SIZE_LIMIT, 0x10011), MALLOC(SIZE_LIMIT, 2), MALLOC(SIZE_LIMIT, 0x10012),
      MALLOC(SIZE_LIMIT, 9), FREE_OLDEST, FREE_OLDEST, FREE_NEWEST, CHECK, END}},
    {"sizes-huge",
     INPUT_FULL_CONTENTS,
     0,
     1,
     {MALLOC(SIZE_HUGE, 1), MALLOC(SIZE_HUGE, 5000000), MALLOC(SIZE_LARGE, 500000), FREE_OLDEST,
      MALLOC(SIZE_HUGE, 4000000), FREE_OLDEST, DO(CLOCK, 0, 0, 0, 1000), FREE_NEWEST, CHECK, END}},
    {"sizes-zero-absurd",
     0,
     0,
     1,
     {MALLOC(SIZE_ZERO, 0), MALLOC(SIZE_ZERO, 0), MALLOC(SIZE_ABSURD, 0), MALLOC(SIZE_ABSURD, 1),
      DO(CALLOC, 0, 3, SIZE_ABSURD, 3), FREE_OLDEST, MALLOC(SIZE_ZERO, 0),
      DO(REALLOC, NEWEST, 0, SIZE_ABSURD, 2), DO(REALLOC, NEWEST, 0, SIZE_TINY, 40), CHECK, END}},
    {"page-fill",
     0,
     0,
     1,
     {MANY(10, SIZE_TINY, 48), MANY(10, SIZE_TINY, 48), DO(FREE_MANY, 10, 9, 2, 0),
      MANY(9, SIZE_TINY, 48), DO(FREE_MANY, NEWEST, 10, 1, 0), CHECK, DO(TRIM, 0, 0, 0, 0),
      MANY(8, SIZE_TINY, 64), END}},
    {"page-fill-medium-large",
     0,
     0,
     1,
     {MANY(5, SIZE_MEDIUM, 100), MANY(3, SIZE_LARGE, 500000), DO(FREE_MANY, 0, 4, 0, 0),
      MANY(4, SIZE_MEDIUM, 50000), CHECK, DO(FREE_MANY, 0, 10, 3, 0), DO(CLOCK, 0, 0, 0, 1400),
      MALLOC(SIZE_TINY, 9), END}},
    {"resize",
     0,
     0,
     1,
     {MALLOC(SIZE_TINY, 20), DO(REALLOC, NEWEST, 0, SIZE_TINY, 30),
      DO(REALLOC, NEWEST, 0, SIZE_TINY, 300), DO(REALLOC, NEWEST, 0, SIZE_MEDIUM, 0),
      DO(REALLOC, NEWEST, 0, SIZE_LARGE, 100), DO(REALLOC, NEWEST, 0, SIZE_HUGE, 100),
      DO(REALLOC, NEWEST, 0, SIZE_HUGE, 9000000), DO(REALLOC, NEWEST, 0, SIZE_HUGE, 100),
      DO(REALLOCARRAY, NEWEST, 3, SIZE_TINY, 90), DO(FREE_SIZED, NEWEST, 0, 0, 0),
      MALLOC(SIZE_TINY, 4), DO(REALLOC, NEWEST, 0, SIZE_ZERO, 0), DO(REALLOC, 0, 250, SIZE_TINY, 8),
      END}},
    {"shrink-then-sized-free",
     0,
     0,
     1,
     {MALLOC(SIZE_TINY, 100), DO(REALLOC, NEWEST, 0, SIZE_TINY, 70),
      DO(FREE_SIZED, NEWEST, 0, 0, 0), DO(ALIGNED, 0, 6, SIZE_TINY, 40),
      DO(REALLOC, NEWEST, 0, SIZE_TINY, 40), DO(FREE_SIZED, NEWEST, 0, 0, 0), END}},
    {"zeroed-again",
     0,
     0,
     1,
     {DO(CALLOC, 0, 0, SIZE_TINY, 200), FREE_NEWEST, DO(CALLOC, 0, 0, SIZE_TINY, 200), FREE_NEWEST,
      DO(CALLOC, 0, 0, SIZE_MEDIUM, 7), FREE_NEWEST, DO(CALLOC, 0, 0, SIZE_MEDIUM, 7),
      DO(CALLOC, 0, 0, SIZE_HUGE, 7), FREE_NEWEST, DO(CALLOC, 0, 8, SIZE_HUGE, 7), END}},
    {"aligned",
     INPUT_CHECK_OFTEN,
     0,
     1,
     {DO(ALIGNED, 0, 6, SIZE_TINY, 40), DO(ALIGNED, 0, 7, SIZE_TINY, 1),
      DO(ALIGNED, 0, 0, SIZE_TINY, 5), DO(ALIGNED, 0, 140, SIZE_TINY, 100),
      DO(ALIGNED, 0, 152, SIZE_TINY, 100), DO(POSIX_MEMALIGN, 0, 245, SIZE_TINY, 5),
      DO(ALIGNED, 0, 12, SIZE_ZERO, 0), DO(FREE_SIZED, OLDEST, 0, 0, 0),
      DO(FREE_SIZED, NEWEST, 0, 0, 0), DO(FREE_SIZED, NEWEST, 0, 0, 0), END}},
    {"rejected",
     0,
     0,
     1,
     {MALLOC(SIZE_TINY, 9), DO(REJECT, NEWEST, 0, SIZE_TINY, 3),
      DO(REJECT, NEWEST, 1, SIZE_TINY, 3), DO(REJECT, NEWEST, 2, SIZE_TINY, 3),
      DO(REJECT, NEWEST, 3, SIZE_TINY, 3), DO(REJECT, NEWEST, 4, SIZE_TINY, 3),
      DO(REJECT, NEWEST, 5, SIZE_TINY, 3), DO(REJECT, NEWEST, 6, SIZE_TINY, 3),
      DO(REJECT, NEWEST, 7, SIZE_TINY, 3), DO(FREE_NULL, 0, 0, 0, 0), DO(OWNS, 0, 0, 0, 5),
      DO(USABLE, 0, 0, 0, 0), END}},
    {"faults",
     INPUT_CHECK_OFTEN,
     8,
     1,
     {DO(FAULT, 0, 0, 0, 2), MALLOC(SIZE_SMALL, 5000), DO(FAULT, 0, 0, 0, 2),
      MALLOC(SIZE_LARGE, 5000), DO(FAULT, 0, 0, 0, 2), MALLOC(SIZE_HUGE, 5000),
      DO(FAULT, 0, 0, 0, 6), MALLOC(SIZE_HUGE, 9), DO(FAULT, 0, 0, 0, 7),
      DO(REALLOC, NEWEST, 0, SIZE_HUGE, 9000000), DO(FAULT, 0, 0, 0, 3), FREE_NEWEST,
      DO(FAULT, 0, 1, 0, 9), DO(TRIM, 0, 0, 0, 0), MALLOC(SIZE_LARGE, 70000), END}},
    {"purge",
     0,
     0,
     1,
     {MANY(9, SIZE_TINY, 100), MANY(4, SIZE_MEDIUM, 9), DO(FREE_MANY, 0, 10, 0, 0),
      DO(CLOCK, 0, 0, 0, 1400), MALLOC(SIZE_TINY, 10), FREE_NEWEST, MANY(8, SIZE_TINY, 100),
      DO(TRIM, 0, 0, 0, 0), DO(CALLOC, 0, 0, SIZE_MEDIUM, 9), CHECK, END}},
#define MISUSE(seed_name, code, pick, other, kind, value)                                          \
    {                                                                                              \
        seed_name, INPUT_MISUSE, 0, 1, {                                                           \
            MALLOC(SIZE_TINY, 48), MALLOC(SIZE_TINY, 48), FREE_OLDEST,                             \
                DO(code, pick, other, kind, value), END                                            \
        }                                                                                          \
    }
    MISUSE("report-double-free", DOUBLE_FREE, NEWEST, 0, 0, 0),
    MISUSE("report-resize-freed", REALLOC_STALE, NEWEST, 0, SIZE_TINY, 40),
    MISUSE("report-resize-freed-to-nothing", REALLOC_STALE, NEWEST, 0, SIZE_ZERO, 0),
    MISUSE("report-usable-size-freed", USABLE_STALE, NEWEST, 0, 0, 0),
    MISUSE("report-sized-free-freed", FREE_SIZED_STALE, NEWEST, 0, 0, 0),
    MISUSE("report-interior", FREE_INTERIOR, NEWEST, 2, 0, 0),
    MISUSE("report-misaligned", FREE_INTERIOR, NEWEST, 1, 0, 0),
    MISUSE("report-interior-of-freed", FREE_INTERIOR, NEWEST, 2, 3, 0),
    MISUSE("report-resize-interior", REALLOC_INTERIOR, NEWEST, 3, 0, 0),
    MISUSE("report-resize-misaligned", REALLOC_INTERIOR, NEWEST, 1, 0, 0),
    MISUSE("report-usable-size-misaligned", USABLE_INTERIOR, NEWEST, 1, 0, 0),
    MISUSE("report-usable-size-interior", USABLE_INTERIOR, NEWEST, 4, 0, 0),
    MISUSE("report-stack", FREE_FOREIGN, 0, 0, 2, 0),
    MISUSE("report-static", FREE_FOREIGN, 0, 1, 2, 0),
    MISUSE("report-c-library", FREE_FOREIGN, 0, 2, 2, 0),
    MISUSE("report-small-number", FREE_FOREIGN, 0, 3, 2, 0),
    MISUSE("report-not-canonical", FREE_FOREIGN, 0, 4, 2, 7),
    MISUSE("report-never-a-block", FREE_FOREIGN, 0, 6, 2, 4000000),
    MISUSE("report-guard", FREE_FOREIGN, 0, 7, 2, 0),
    MISUSE("report-resize-foreign", FREE_FOREIGN, 0, 0, 0, 0),
    MISUSE("report-usable-size-foreign", FREE_FOREIGN, 0, 1, 1, 0),
    MISUSE("report-size-too-large", FREE_WRONG_SIZE, 0, 1, 0, 0),
    MISUSE("report-size-too-small", FREE_WRONG_SIZE, 0, 0, 0, 5),
    {"report-alignment",
     INPUT_MISUSE,
     0,
     1,
     {DO(ALIGNED, 0, 6, SIZE_TINY, 64), DO(FREE_WRONG_ALIGNMENT, 0, 0, 0, 0), END}},
    {"report-alignment-no-power-of-two",
     INPUT_MISUSE,
     0,
     1,
     {DO(ALIGNED, 0, 6, SIZE_TINY, 64), DO(FREE_WRONG_ALIGNMENT, 0, 1, 0, 0), END}},
    {"report-double-free-medium",
     INPUT_MISUSE,
     0,
     1,
     {MANY(1, SIZE_MEDIUM, 9), FREE_NEWEST, DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-large",
     INPUT_MISUSE,
     0,
     1,
     {MANY(1, SIZE_LARGE, 9), FREE_NEWEST, DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-huge",
     INPUT_MISUSE,
     0,
     1,
     {MALLOC(SIZE_HUGE, 9), FREE_NEWEST, DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-zero",
     INPUT_MISUSE,
     0,
     1,
     {MALLOC(SIZE_ZERO, 9), FREE_NEWEST, DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-later",
     INPUT_MISUSE,
     0,
     1,
     {MANY(9, SIZE_TINY, 48), FREE_OLDEST, MALLOC(SIZE_TINY, 64), DO(TRIM, 0, 0, 0, 0),
      DO(CLOCK, 0, 0, 0, 1000), MALLOC(SIZE_TINY, 64), DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"write-after-free",
     INPUT_MISUSE,
     0,
     1,
     {MANY(6, SIZE_TINY, 48), DO(FREE_MANY, 0, 4, 2, 0), DO(STOMP, NEWEST, 7, 1, 0x41414141),
      DO(STOMP, 100, 2, 0, 0xff), MANY(9, SIZE_TINY, 48), CHECK, END}},
    {"report-write-then-double-free",
     INPUT_MISUSE,
     0,
     1,
     {MANY(2, SIZE_TINY, 48), FREE_OLDEST, DO(STOMP, NEWEST, 15, 1, 0x41414141),
      DO(DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
};

/* What the strict level alone sees; `other` says where, and by which verb. */
#define BESIDE(seed_name, size_kind, value, other)                                                 \
    {                                                                                              \
        seed_name, INPUT_MISUSE, 0, 1, {                                                           \
            MALLOC(size_kind, value), DO(OVERFLOW, NEWEST, other, 0, 0), END                       \
        }                                                                                          \
    }
static const struct situation strict_situations[] = {
    BESIDE("report-overflow", SIZE_TINY, 40, 0),
    BESIDE("report-overflow-by-a-zero", SIZE_TINY, 40, 16),
    BESIDE("report-overflow-of-the-last-byte", SIZE_TINY, 40, 1),
    BESIDE("report-overflow-by-a-whole-class", SIZE_TINY, 48, 0),
    BESIDE("report-overflow-then-realloc", SIZE_TINY, 40, 32),
    BESIDE("report-overflow-of-a-run", SIZE_LARGE, 1001, 0),
    BESIDE("report-underflow-of-a-run", SIZE_LARGE, 1001, 2),
    BESIDE("report-overflow-of-a-huge-block", SIZE_HUGE, 1001, 1),
    {"report-deleted",
     INPUT_MISUSE,
     0,
     1,
     {MALLOC(SIZE_TINY, 40), DO(FREE_OTHER_FAMILY, NEWEST, 0, 0, 0), END}},
    {"report-new-then-realloc",
     INPUT_MISUSE,
     0,
     1,
     {DO(MALLOC, 0, 7, SIZE_TINY, 40), DO(FREE_OTHER_FAMILY, NEWEST, 1, 0, 0), END}},
    {"report-new-then-free",
     INPUT_MISUSE,
     0,
     1,
     {DO(MALLOC, 0, 7, SIZE_TINY, 40), DO(FREE_OTHER_FAMILY, NEWEST, 0, 0, 0), END}},
    {"report-one-byte-less",
     INPUT_MISUSE,
     0,
     1,
     {MALLOC(SIZE_TINY, 40), DO(FREE_WRONG_SIZE, NEWEST, 2, 0, 0), END}},
    {"report-write-in-quarantine",
     INPUT_MISUSE,
     0,
     1,
     {MALLOC(SIZE_TINY, 40), FREE_NEWEST, DO(STOMP, NEWEST, 8, 0, 33), END}},
    {"quarantine-wraps",
     0,
     0,
     1,
     {MANY(8, SIZE_TINY, 40), DO(FREE_MANY, 0, 8, 0, 0), MANY(8, SIZE_TINY, 40),
      DO(FREE_MANY, NEWEST, 8, 3, 0), MANY(8, SIZE_TINY, 40), CHECK, END}},
    {"resized-where-it-is",
     INPUT_CHECK_OFTEN,
     0,
     1,
     {MALLOC(SIZE_SMALL, 5000), DO(REALLOC, NEWEST, 0, SIZE_SMALL, 4700),
      DO(REALLOC, NEWEST, 0, SIZE_SMALL, 4900), MALLOC(SIZE_HUGE, 100),
      DO(REALLOC, NEWEST, 0, SIZE_HUGE, 9), DO(REALLOC, NEWEST, 0, SIZE_HUGE, 5000), END}},
};

/* A block of thread 1 freed by thread `first`, then again by thread `second`; another keeps its
   page. */
#define TWICE(seed_name, first, second, size_kind, value)                                          \
    {                                                                                              \
        seed_name, INPUT_MISUSE, 0, 3, {                                                           \
            AT(1, MALLOC_MANY, 0, 1, size_kind, value), AT(first, FREE, OLDEST, 0, 0, 0),          \
                AT(second, DOUBLE_FREE, NEWEST, 0, 0, 0), END                                      \
        }                                                                                          \
    }

static const struct situation threads_situations[] = {
    {"hand-over",
     INPUT_CHECK_OFTEN,
     0,
     3,
     {AT(0, MALLOC, 0, 0, SIZE_TINY, 48), AT(1, FREE, NEWEST, 0, 0, 0),
      AT(1, MALLOC, 0, 0, SIZE_MEDIUM, 48), AT(2, FREE, NEWEST, 0, 0, 0),
      AT(2, MALLOC, 0, 0, SIZE_HUGE, 48), AT(0, REALLOC, NEWEST, 0, SIZE_HUGE, 9000000),
      AT(1, FREE, NEWEST, 0, 0, 0), AT(0, MALLOC, 0, 0, SIZE_TINY, 48), END}},
    {"full-page-woken",
     0,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 10, SIZE_TINY, 48), AT(0, FREE_MANY, 0, 3, 0, 0),
      AT(1, MALLOC_MANY, 0, 4, SIZE_TINY, 48), AT(0, FREE_MANY, 100, 10, 2, 0),
      AT(1, MALLOC_MANY, 0, 10, SIZE_TINY, 48), AT(0, FREE_MANY, NEWEST, 10, 1, 0),
      AT(1, CHECK, 0, 0, 0, 0), AT(1, MALLOC_MANY, 0, 9, SIZE_TINY, 48), END}},
    {"full-large-pages-woken",
     0,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 2, SIZE_LARGE, 600000), AT(1, MALLOC_MANY, 0, 4, SIZE_MEDIUM, 50000),
      AT(0, FREE_MANY, 0, 10, 0, 0), AT(1, MALLOC_MANY, 0, 4, SIZE_MEDIUM, 50000),
      AT(1, MALLOC_MANY, 0, 1, SIZE_LARGE, 600000), AT(1, CHECK, 0, 0, 0, 0), END}},
    {"medium-blocks-freed-remotely",
     0,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 6, SIZE_MEDIUM, 900), AT(0, FREE_MANY, 0, 6, 0, 0),
      AT(1, MALLOC_MANY, 0, 5, SIZE_MEDIUM, 900), AT(0, FREE_MANY, 0, 6, 2, 0),
      AT(1, TRIM, 0, 0, 0, 0), AT(1, CHECK, 0, 0, 0, 0), END}},
    {"abandoned-and-reclaimed",
     0,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 8, SIZE_TINY, 48), AT(1, MALLOC_MANY, 0, 3, SIZE_MEDIUM, 48),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(0, CHECK, 0, 0, 0, 0), AT(0, FREE_MANY, 0, 6, 0, 0),
      AT(0, MALLOC_MANY, 0, 9, SIZE_TINY, 48), AT(0, CHECK, 0, 0, 0, 0),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(1, FREE_MANY, 0, 8, 0, 0),
      AT(1, MALLOC_MANY, 0, 8, SIZE_TINY, 48), AT(0, TRIM, 0, 0, 0, 0), END}},
    {"abandoned-freed-by-one-that-only-frees",
     0,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 9, SIZE_TINY, 200), AT(1, THREAD_END, 0, 0, 0, 0),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(1, FREE_MANY, 0, 10, 0, 0), AT(1, CHECK, 0, 0, 0, 0),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(0, CLOCK, 0, 0, 0, 1000),
      AT(0, MALLOC, 0, 0, SIZE_TINY, 200), AT(0, CHECK, 0, 0, 0, 0), END}},
    {"late-destructors",
     0,
     0,
     3,
     {AT(1, MALLOC_MANY, 0, 3, SIZE_TINY, 100), AT(1, THREAD_END, 0, 4, 1, 0x00640000),
      AT(1, MALLOC_MANY, 0, 3, SIZE_TINY, 100), AT(1, THREAD_END, 0, 4, 0, 0x00640080),
      AT(0, CHECK, 0, 0, 0, 0), AT(0, THREAD_START, 0, 0, 0, 0),
      AT(1, THREAD_END, 0, 2, 0, 0x00100000), AT(0, TRIM, 0, 0, 0, 0), END}},
    {"first-allocation-in-a-destructor",
     0,
     0,
     3,
     {AT(1, THREAD_END, 0, 1, 1, 0x00640000), AT(1, THREAD_END, 0, 2, 1, 0x00640000),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(1, THREAD_END, 0, 4, 1, 0x00640000),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(1, THREAD_END, 0, 1, 0, 0x00640000), END}},
    {"empty-aligned-blocks-handed-over",
     0,
     0,
     2,
     {AT(1, ALIGNED, 0, 12, SIZE_ZERO, 0), AT(0, ALIGNED, 0, 150, SIZE_ZERO, 0),
      AT(1, FREE_SIZED, NEWEST, 0, 0, 0), AT(0, FREE_SIZED, NEWEST, 0, 0, 0), END}},
    {"threads-born-and-ending",
     0,
     0,
     2,
     {AT(0, THREAD_START, 0, 0, 0, 0), AT(1, MALLOC, 0, 0, SIZE_TINY, 30),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(0, THREAD_START, 0, 0, 0, 0),
      AT(1, MALLOC, 0, 0, SIZE_TINY, 30), AT(1, THREAD_END, 0, 0, 0, 0),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(1, FREE, 0, 0, 0, 0), AT(1, THREAD_END, 0, 0, 0, 0),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(0, MALLOC, 0, 0, SIZE_TINY, 30), END}},
    {"fork",
     INPUT_FORK,
     0,
     3,
     {AT(0, MALLOC_MANY, 0, 6, SIZE_TINY, 48), AT(1, MALLOC_MANY, 0, 6, SIZE_TINY, 48),
      AT(2, FREE_MANY, 0, 5, 2, 0), AT(1, FORK, 0, 0, 0, 3), AT(0, FREE_MANY, 0, 5, 0, 0),
      AT(0, FORK, 0, 0, 0, 4), AT(2, CHECK, 0, 0, 0, 0), END}},
    {"fork-with-abandoned",
     INPUT_FORK,
     0,
     3,
     {AT(1, MALLOC_MANY, 0, 6, SIZE_TINY, 48), AT(1, THREAD_END, 0, 0, 0, 0),
      AT(0, MALLOC, 0, 0, SIZE_HUGE, 9), AT(0, FORK, 0, 0, 0, 3), AT(0, FREE_MANY, 0, 5, 0, 0),
      END}},
    {"faults-across-threads",
     0,
     4,
     3,
     {AT(1, FAULT, 0, 0, 0, 2), AT(1, MALLOC, 0, 0, SIZE_TINY, 40), AT(2, FAULT, 0, 1, 0, 9),
      AT(2, MALLOC, 0, 0, SIZE_LARGE, 40), AT(1, MALLOC, 0, 0, SIZE_TINY, 40),
      AT(0, FAULT, 0, 0, 0, 3), AT(0, FREE_MANY, 0, 4, 0, 0), AT(1, THREAD_END, 0, 0, 0, 0), END}},
    TWICE("report-local-local", 1, 1, SIZE_TINY, 48),
    TWICE("report-local-remote", 1, 0, SIZE_TINY, 48),
    TWICE("report-remote-local", 0, 1, SIZE_TINY, 48),
    TWICE("report-remote-remote", 0, 2, SIZE_TINY, 48),
    TWICE("report-remote-remote-same", 0, 0, SIZE_TINY, 48),
    TWICE("report-remote-local-4k", 0, 1, SIZE_SMALL, 4096),
    TWICE("report-remote-remote-4k", 0, 2, SIZE_SMALL, 4096),
    TWICE("report-remote-remote-large", 0, 2, SIZE_LARGE, 4096),
    TWICE("report-remote-remote-huge", 0, 2, SIZE_HUGE, 4096),
    TWICE("report-remote-remote-zero", 0, 2, SIZE_ZERO, 0),
    {"report-double-free-after-collect",
     INPUT_MISUSE,
     0,
     3,
     {AT(1, MALLOC_MANY, 0, 8, SIZE_TINY, 48), AT(0, FREE, OLDEST, 0, 0, 0),
      AT(1, TRIM, 0, 0, 0, 0), AT(2, DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-of-abandoned",
     INPUT_MISUSE,
     0,
     3,
     {AT(1, MALLOC_MANY, 0, 3, SIZE_TINY, 48), AT(1, FREE, OLDEST, 0, 0, 0),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(1, DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-double-free-after-page-reuse",
     INPUT_MISUSE,
     0,
     3,
     {AT(1, MALLOC, 0, 0, SIZE_TINY, 48), AT(0, FREE, OLDEST, 0, 0, 0), AT(1, TRIM, 0, 0, 0, 0),
      AT(1, CLOCK, 0, 0, 0, 1000), AT(1, MALLOC_MANY, 0, 9, SIZE_TINY, 200),
      AT(2, DOUBLE_FREE, NEWEST, 0, 0, 0), END}},
    {"report-interior-remote",
     INPUT_MISUSE,
     0,
     2,
     {AT(1, MALLOC, 0, 0, SIZE_TINY, 100), AT(0, FREE_INTERIOR, NEWEST, 2, 0, 1), END}},
    {"report-misaligned-remote",
     INPUT_MISUSE,
     0,
     2,
     {AT(1, MALLOC, 0, 0, SIZE_TINY, 100), AT(0, FREE_INTERIOR, NEWEST, 1, 0, 1), END}},
    {"report-foreign-in-worker",
     INPUT_MISUSE,
     0,
     2,
     {AT(1, MALLOC, 0, 0, SIZE_TINY, 100), AT(1, FREE_FOREIGN, NEWEST, 0, 2, 1), END}},
    {"report-wrong-size-remote",
     INPUT_MISUSE,
     0,
     2,
     {AT(1, MALLOC, 0, 0, SIZE_TINY, 100), AT(0, FREE_WRONG_SIZE, NEWEST, 1, 0, 1), END}},
    {"write-after-remote-free",
     INPUT_MISUSE,
     0,
     2,
     {AT(1, MALLOC_MANY, 0, 5, SIZE_TINY, 48), AT(0, FREE_MANY, 0, 3, 2, 0),
      AT(0, STOMP, NEWEST, 7, 1, 0x41414141), AT(1, TRIM, 0, 0, 0, 0),
      AT(1, MALLOC_MANY, 0, 9, SIZE_TINY, 48), END}},
};

/* What blocks do that are guarded samples: all of them, at the strict level every second. */
static const struct situation sampled_ops[] = {
    {"life",
     INPUT_CHECK_OFTEN,
     0,
     1,
     {MALLOC(SIZE_TINY, 0),
      MALLOC(SIZE_TINY, 1),
      MALLOC(SIZE_TINY, 40),
      MALLOC(SIZE_SMALL, 4096),
      MALLOC(SIZE_MEDIUM, 9),
      MALLOC(SIZE_LARGE, 9),
      MALLOC(SIZE_HUGE, 9),
      MALLOC(SIZE_ZERO, 0),
      DO(CALLOC, 0, 2, SIZE_TINY, 300),
      DO(MALLOC, 0, 7, SIZE_TINY, 40),
      DO(USABLE, 0, 0, 0, 0),
      DO(USABLE, NEWEST, 0, 0, 0),
      DO(OWNS, 0, 0, 0, 5),
      FREE_OLDEST,
      DO(FREE_SIZED, NEWEST, 0, 0, 0),
      DO(FREE_SIZED, NEWEST, 0, 0, 0),
      DO(FREE_SIZED, 100, 0, 0, 0),
      DO(TRIM, 0, 0, 0, 0),
      CHECK,
      END}},
    {"resized",
     0,
     0,
     1,
     {MALLOC(SIZE_TINY, 100), DO(REALLOC, NEWEST, 0, SIZE_TINY, 97),
      DO(REALLOC, NEWEST, 0, SIZE_TINY, 112), DO(REALLOC, NEWEST, 0, SIZE_TINY, 8),
      DO(REALLOC, NEWEST, 0, SIZE_MEDIUM, 100), DO(REALLOC, NEWEST, 0, SIZE_LARGE, 100),
      DO(REALLOC, NEWEST, 0, SIZE_HUGE, 100), DO(REALLOC, NEWEST, 0, SIZE_HUGE, 9000000),
      DO(REALLOC, NEWEST, 0, SIZE_LARGE, 90), DO(REALLOCARRAY, NEWEST, 3, SIZE_TINY, 90),
      DO(REALLOC, NEWEST, 0, SIZE_ABSURD, 0), DO(REJECT, NEWEST, 7, SIZE_TINY, 3),
      DO(FREE_SIZED, NEWEST, 0, 0, 0), MALLOC(SIZE_TINY, 4), DO(REALLOC, NEWEST, 0, SIZE_ZERO, 0),
      DO(REALLOC, 0, 250, SIZE_TINY, 8), END}},
    {"aligned",
     INPUT_CHECK_OFTEN,
     0,
     1,
     {DO(ALIGNED, 0, 6, SIZE_TINY, 40), DO(ALIGNED, 0, 7, SIZE_TINY, 1),
      DO(ALIGNED, 0, 140, SIZE_TINY, 100), DO(ALIGNED, 0, 150, SIZE_TINY, 100),
      DO(ALIGNED, 0, 152, SIZE_TINY, 100), DO(ALIGNED, 0, 241, SIZE_LARGE, 100),
      DO(POSIX_MEMALIGN, 0, 245, SIZE_TINY, 5), DO(POSIX_MEMALIGN, 0, 5, SIZE_TINY, 50),
      DO(ALIGNED, 0, 12, SIZE_ZERO, 0), DO(ALIGNED, 0, 6, SIZE_HUGE, 9),
      DO(FREE_SIZED, OLDEST, 0, 0, 0), DO(FREE_SIZED, OLDEST, 0, 0, 0),
      DO(FREE_SIZED, NEWEST, 0, 0, 0), DO(FREE_SIZED, NEWEST, 0, 0, 0),
      DO(FREE_SIZED, NEWEST, 0, 0, 0), DO(FREE_SIZED, NEWEST, 0, 0, 0), END}},
    /* more large blocks than there are places, then places for the second time */
    {"places-run-out",
     0,
     0,
     1,
     {MANY(2, SIZE_LARGE, 90000), MANY(2, SIZE_TINY, 48), DO(FREE_MANY, 0, 3, 2, 0x5555), CHECK,
      MANY(1, SIZE_LARGE, 90000), MANY(2, SIZE_TINY, 900), DO(FREE_MANY, 0, 2, 4, 0), CHECK, END}},
    {"faults",
     INPUT_CHECK_OFTEN,
     8,
     1,
     {DO(FAULT, 0, 0, 0, 2), MALLOC(SIZE_TINY, 50), DO(FAULT, 0, 0, 0, 9), MALLOC(SIZE_TINY, 50),
      MALLOC(SIZE_LARGE, 5000), DO(FAULT, 0, 0, 0, 3), FREE_NEWEST, DO(FAULT, 0, 0, 0, 6),
      FREE_NEWEST, DO(FAULT, 0, 0, 0, 9), FREE_OLDEST, MALLOC(SIZE_TINY, 50),
      MALLOC(SIZE_LARGE, 5000), DO(FAULT, 0, 0, 0, 6), MALLOC(SIZE_TINY, 50), CHECK, END}},
    {"shortage",
     INPUT_SHORTAGE,
     8,
     1,
     {MALLOC(SIZE_TINY, 50), MALLOC(SIZE_LARGE, 50), DO(FAULT, 0, 0, 0, 6), FREE_NEWEST,
      FREE_NEWEST, MALLOC(SIZE_TINY, 50), DO(FAULT, 0, 0, 0, 0), MANY(2, SIZE_TINY, 50),
      DO(FAULT, 0, 8, 0, 4096), MANY(3, SIZE_TINY, 50), MALLOC(SIZE_LARGE, 50), CHECK, END}},
    {"by-the-kernel",
     INPUT_KERNEL,
     0,
     1,
     {MALLOC(SIZE_TINY, 40), MALLOC(SIZE_LARGE, 40), MANY(3, SIZE_TINY, 200),
      DO(REALLOC, NEWEST, 0, SIZE_MEDIUM, 5), DO(FREE_MANY, 0, 3, 0, 5), MANY(3, SIZE_TINY, 90),
      DO(TRIM, 0, 0, 0, 0), CHECK, END}},
};

static const struct situation sampled_threads[] = {
    {"freed-elsewhere",
     INPUT_CHECK_OFTEN,
     0,
     3,
     {AT(0, MALLOC, 0, 0, SIZE_TINY, 48), AT(1, FREE, NEWEST, 0, 0, 0),
      AT(1, MALLOC, 0, 0, SIZE_MEDIUM, 48), AT(2, FREE_SIZED, NEWEST, 0, 0, 0),
      AT(2, MALLOC_MANY, 0, 3, SIZE_TINY, 48), AT(0, REALLOC, NEWEST, 0, SIZE_TINY, 700),
      AT(1, FREE_MANY, 0, 2, 0, 0), AT(0, MALLOC, 0, 0, SIZE_LARGE, 48),
      AT(1, REALLOC, NEWEST, 0, SIZE_HUGE, 48), AT(2, TRIM, 0, 0, 0, 0), END}},
    {"thread-ends",
     0,
     0,
     3,
     {AT(1, MALLOC_MANY, 0, 3, SIZE_TINY, 48), AT(1, MALLOC, 0, 0, SIZE_LARGE, 48),
      AT(1, THREAD_END, 0, 0, 0, 0), AT(0, CHECK, 0, 0, 0, 0), AT(0, FREE_MANY, 0, 2, 0, 0),
      AT(0, THREAD_START, 0, 0, 0, 0), AT(2, FREE_MANY, 0, 3, 0, 0),
      AT(2, MALLOC_MANY, 0, 3, SIZE_TINY, 90), AT(1, THREAD_END, 0, 4, 1, 0x00640000),
      AT(1, THREAD_END, 0, 2, 0, 0x00640080), AT(0, TRIM, 0, 0, 0, 0), END}},
    {"fork",
     INPUT_FORK,
     0,
     3,
     {AT(0, MALLOC_MANY, 0, 3, SIZE_TINY, 48), AT(1, MALLOC_MANY, 0, 3, SIZE_TINY, 700),
      AT(1, MALLOC, 0, 0, SIZE_LARGE, 48), AT(1, FORK, 0, 0, 0, 3), AT(1, THREAD_END, 0, 0, 0, 0),
      AT(0, FORK, 0, 0, 0, 4), AT(1, FREE_MANY, 0, 3, 2, 0),
      AT(0, MALLOC_MANY, 0, 2, SIZE_TINY, 48), AT(1, CHECK, 0, 0, 0, 0), END}},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Seeds of inputs: is_sampled() of engine/run.c tells them apart. */
#define PLAIN_SEED ((uint64_t)1)
#define SAMPLED_SEED ((uint64_t)7 << 40 | PLAIN_SEED)

static void write_file(const char *path, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* As it is, and at the strict level: at the end of its name, or behind the mark of a report. */
static void write_seed(const char *folder, const char *harness, const struct situation *situation,
                       bool is_strict, bool is_sampled) {
    static const char mark[] = "report-";
    bool reports = strncmp(situation->name, mark, sizeof mark - 1) == 0;
    static struct input input;
    static uint8_t bytes[INPUT_MAX_SIZE];
    char path[4096];
    memset(&input, 0, sizeof input);
    input.threads = situation->threads;
    input.scheduler = SCHEDULER_TAPE;
    input.flags = (uint8_t)(situation->flags | (is_strict ? INPUT_STRICT : 0));
    input.fault_budget = situation->fault_budget;
    input.seed = is_sampled ? SAMPLED_SEED : PLAIN_SEED;
    for (const struct step *step = situation->steps; step->op.code != OP_CODES; step++) {
        if (situation->threads > 1) input.schedule[input.schedule_length++] = step->thread;
        input.ops[input.op_count++] = step->op;
    }
    size_t size = input_encode(&input, bytes, sizeof bytes);
    snprintf(path, sizeof path, "%s/%s/%s%s%s%s", folder, harness, is_strict && reports ? mark : "",
             is_sampled ? "sampled-" : "", is_strict ? "strict-" : "",
             situation->name + (is_strict && reports ? sizeof mark - 1 : 0));
    write_file(path, bytes, size);
}

/* Programs whose threads run at once, texts of options, calls by public names, steps of units and
   questions to readers are not told: they are drawn. */
static void write_drawn(const char *folder, const char *name, const struct input *input) {
    static uint8_t bytes[INPUT_MAX_SIZE];
    char path[4096];
    size_t size = input_encode(input, bytes, sizeof bytes);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_file(path, bytes, size);
}

static void write_program(const char *folder, unsigned number) {
    static struct input input;
    char name[64];
    struct rng random = {number};
    program_make(&input, &random);
    input.failpoint = input.fail_first = input.fail_every = 0; /* a search adds them */
    snprintf(name, sizeof name, "interleave/program-%02u", number);
    write_drawn(folder, name, &input);
}

/* Operations as they are drawn: items of texts, steps of units, questions to readers, calls. The
   last at both levels, and each third with system calls that fail. */
static void write_operations(const char *folder, const char *path, unsigned number, unsigned count,
                             bool are_calls) {
    enum { FAULTS = 8 };
    static struct input input;
    char name[64];
    struct rng random = {number};
    mutate_make(&input, &random, 1, count);
    input.failpoint = input.fail_first = input.fail_every = 0;
    if (are_calls && number % 2 == 0) input.flags |= INPUT_STRICT;
    if (are_calls && number % 3 == 0) input.fault_budget = FAULTS;
    snprintf(name, sizeof name, "%s-%02u", path, number);
    write_drawn(folder, name, &input);
}

/* At both levels. */
static void write_exploits(const char *folder) {
    static struct input input;
    char name[64];
    for (unsigned i = 0; i < 2 * exploit_count; i++) {
        const struct exploit *exploit = &exploits[i / 2];
        exploit_make(&input, exploit, i % 2, 1);
        snprintf(name, sizeof name, "attacker/%s%s", i % 2 ? "strict-" : "", exploit->name);
        write_drawn(folder, name, &input);
    }
}

static void make_folder(const char *folder, const char *harness) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, harness);
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return;
    perror(path);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    enum { PROGRAMS = 32, TEXTS = 12, ITEMS = 24, UNITS = 8, MODULES = 12, STEPS = 64 };
    enum { LISTS_OF_CALLS = 16, CALLS = 40 };
    static const char *const folders[] = {"ops",   "threads", "interleave", "options",
                                          "units", "modules", "api",        "attacker"};
    for (unsigned i = 0; i < COUNT(folders); i++) make_folder(argv[1], folders[i]);
    for (unsigned strict = 0; strict < 2; strict++) {
        for (unsigned i = 0; i < COUNT(ops_situations); i++)
            write_seed(argv[1], "ops", &ops_situations[i], strict, false);
        for (unsigned i = 0; i < COUNT(threads_situations); i++)
            write_seed(argv[1], "threads", &threads_situations[i], strict, false);
        for (unsigned i = 0; i < COUNT(sampled_ops); i++)
            write_seed(argv[1], "ops", &sampled_ops[i], strict, true);
        for (unsigned i = 0; i < COUNT(sampled_threads); i++)
            write_seed(argv[1], "threads", &sampled_threads[i], strict, true);
    }
    for (unsigned i = 0; i < COUNT(strict_situations); i++)
        write_seed(argv[1], "ops", &strict_situations[i], true, false);
    for (unsigned i = 1; i <= PROGRAMS; i++) write_program(argv[1], i);
    for (unsigned i = 1; i <= TEXTS; i++)
        write_operations(argv[1], "options/items", i, ITEMS, false);
    for (unsigned i = 1; i <= LISTS_OF_CALLS; i++)
        write_operations(argv[1], "api/calls", i, CALLS, true);
    for (unsigned i = 1; i <= UNITS; i++) write_operations(argv[1], "units/steps", i, STEPS, false);
    for (unsigned i = 1; i <= MODULES; i++)
        write_operations(argv[1], "modules/questions", i, STEPS, false);
    write_exploits(argv[1]);
    printf("%zu seeds for ops, %zu for threads, %d for interleave, %d for options, %d for api, "
           "%d for units, %d for modules, %u for attacker\n",
           2 * (COUNT(ops_situations) + COUNT(sampled_ops)) + COUNT(strict_situations),
           2 * (COUNT(threads_situations) + COUNT(sampled_threads)), PROGRAMS, TEXTS,
           LISTS_OF_CALLS, UNITS, MODULES, 2 * exploit_count);
    return 0;
}
