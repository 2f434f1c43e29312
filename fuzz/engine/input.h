/*
 * input: the format of a fuzz input, version 1.
 *
 *   0 'm'   1 version   2 prologue   3 threads   4 scheduler   5 fault budget   6 flags
 *   7 failpoint   8..9 number of operations (little endian)   10 its first passing   11 the next
 *   12..19 seed (little endian)
 *   20..   operations, eight bytes each: code, pick, other, kind, value (little endian)
 *   …end   the schedule, read backwards from the last byte
 *
 * Operations grow from the front and the schedule from the back, so that editing one does not shift
 * the other. Every field is brought into range when it is read: any bytes with the right first two
 * are a valid input. A change of meaning of any field, or of the order of the operation codes, is a
 * new version.
 */
#ifndef ENGINE_INPUT_H
#define ENGINE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INPUT_VERSION = 1,
    INPUT_HEADER_SIZE = 20,
    INPUT_FAULT_BUDGET_AT = 5,
    INPUT_OP_SIZE = 8,
    INPUT_MAX_OPS = 1024,
    INPUT_MAX_SCHEDULE = 1024,
    INPUT_MAX_SIZE = INPUT_HEADER_SIZE + INPUT_MAX_OPS * INPUT_OP_SIZE + INPUT_MAX_SCHEDULE,
    INPUT_MAX_THREADS = 6,
    INPUT_MAX_FAULTS = 15,
    INPUT_FAILPOINT_AT = 7,
    INPUT_FAILPOINTS = 20, /* there are (base/seam.h) */
};

/* Who runs next in `threads`. */
enum input_scheduler {
    /* the schedule's bytes: low three bits the thread, the others how many operations it keeps the
       turn */
    SCHEDULER_TAPE,
    SCHEDULER_ROUND_ROBIN, /* each in turn */
    SCHEDULER_RANDOM,      /* drawn from the seed for each operation */
    SCHEDULER_BURSTS,      /* drawn from the seed, for several operations */
    SCHEDULERS
};

/* And where threads run at once; README.md describes them. */
enum { SCHEDULE_RAW, SCHEDULE_PCT, SCHEDULE_RANDOM, SCHEDULE_WALK };

enum input_flag {
    INPUT_MISUSE = 1, /* operations that misuse are carried out; without it they do nothing */
    INPUT_FORK = 2,   /* forks are carried out */
    INPUT_FULL_CONTENTS = 4, /* blocks up to 1 MiB are filled and compared whole, not sampled */
    INPUT_CHECK_OFTEN = 8,   /* moat_check after every operation */
    /* memory is had from the kernel, whose protection catches what it catches, and not played */
    INPUT_KERNEL = 16,
    INPUT_STALE = 32,    /* in `interleave`: loads may be given old values */
    INPUT_SHORTAGE = 64, /* a call that fails goes on failing, until a second fault ends that */
    INPUT_STRICT = 128,  /* level=strict */
    INPUT_FLAGS = 255
};

enum op_code {
    OP_MALLOC,
    OP_CALLOC,
    OP_REALLOC,
    OP_REALLOCARRAY,
    OP_ALIGNED,
    OP_POSIX_MEMALIGN,
    OP_FREE,
    OP_FREE_SIZED,  /* or free_aligned_sized, or plain free: what fits the block's origin */
    OP_FREE_NULL,   /* the verbs that accept NULL */
    OP_USABLE,      /* usable size and contents of one block */
    OP_OWNS,        /* moat_owns of a block and of the stack */
    OP_MALLOC_MANY, /* several blocks of one size: fills pages */
    OP_FREE_MANY,   /* several frees: oldest first, newest first, strided, or of one size */
    OP_TRIM,
    OP_CLOCK,  /* the virtual clock moves: purges fall due */
    OP_CHECK,  /* moat_check and all contents */
    OP_FAULT,  /* one of the next system calls fails */
    OP_REJECT, /* bad alignments and overflowing products */
    OP_THREAD_START,
    OP_THREAD_END,
    OP_FORK,
    OP_DOUBLE_FREE, /* the first misuse */
    OP_FREE_INTERIOR,
    OP_FREE_FOREIGN,
    OP_REALLOC_STALE,
    OP_REALLOC_INTERIOR,
    OP_USABLE_STALE,
    OP_USABLE_INTERIOR,
    OP_FREE_SIZED_STALE,
    OP_FREE_WRONG_SIZE,
    OP_FREE_WRONG_ALIGNMENT,
    OP_STOMP,    /* writes into a freed block: may be reported later as a damaged list, or never */
    OP_OVERFLOW, /* from here on for the strict level: writes beside a block, and frees it */
    OP_FREE_OTHER_FAMILY,
    OP_CODES
};

struct input_op {
    uint8_t code;   /* enum op_code */
    uint8_t pick;   /* which block, scaled to those there are */
    uint8_t other;  /* alignment, count, pattern: depends on the code */
    uint8_t kind;   /* enum size_kind, see sizing.h */
    uint32_t value; /* scaled by kind to a size; or the code's own argument */
};

struct input {
    uint8_t prologue; /* in `interleave`: operations that are over before threads run at once */
    uint8_t threads;  /* 1..INPUT_MAX_THREADS; those there are at the start */
    uint8_t scheduler;
    uint8_t fault_budget; /* system calls that may fail in this run */
    uint8_t flags;
    /* A failpoint of src/ (base/seam.h), from 1 on, that goes wrong in this run, at its passing
       `fail_first` and then at each `fail_every`-th; 0, or more than there are: none. */
    uint8_t failpoint, fail_first, fail_every;
    uint64_t seed;
    unsigned op_count;
    unsigned schedule_length;
    struct input_op ops[INPUT_MAX_OPS];
    uint8_t schedule[INPUT_MAX_SCHEDULE]; /* in the order of use */
};

static inline bool op_is_misuse(unsigned code) { return code >= OP_DOUBLE_FREE && code < OP_CODES; }
static inline bool op_needs_threads(unsigned code) {
    return code >= OP_THREAD_START && code <= OP_FORK;
}
const char *op_name(unsigned code);

/* False when the bytes are no input of this version. */
bool input_decode(struct input *input, const uint8_t *bytes, size_t size);
/* The same for what an engine runs. Before it has any input it tries no byte and one, and takes a
   target that reaches nothing by them for one that is not instrumented: they are an input without
   operations. */
bool input_accept(struct input *input, const uint8_t *bytes, size_t size, unsigned threads);
/* Writes at most `capacity` bytes and returns how many; drops schedule first, then operations, that
   do not fit. 0: not even a header. */
size_t input_encode(const struct input *input, uint8_t *bytes, size_t capacity);
/* One more operation, unless there are too many; and so many less, as far as there are. What is in
   the prologue stays there: it moves with its operations. */
void input_insert(struct input *input, unsigned at, struct input_op op);
void input_remove(struct input *input, unsigned at, unsigned count);
/* Whether every field is in its range. */
bool input_is_valid(const struct input *input);

#endif
