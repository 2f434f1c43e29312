/*
 * mutate: how new inputs come from old ones. See the header.
 *
 * Operations are drawn by weight and often as recipes: short sequences that bring the allocator
 * into a state worth being in (a page full and freed from elsewhere, a thread ended with blocks
 * left, a block freed and its page purged), which single random operations would seldom reach.
 */
#include "engine/mutate.h"

#include <string.h>

#include "base/base.h"
#include "engine/sizing.h"

struct weight {
    uint8_t code, weight;
};

static const struct weight plain[] = {
    {OP_MALLOC, 24},   {OP_CALLOC, 8},         {OP_REALLOC, 12}, {OP_REALLOCARRAY, 3},
    {OP_ALIGNED, 8},   {OP_POSIX_MEMALIGN, 4}, {OP_FREE, 30},    {OP_FREE_SIZED, 8},
    {OP_FREE_NULL, 1}, {OP_USABLE, 2},         {OP_OWNS, 1},     {OP_MALLOC_MANY, 4},
    {OP_FREE_MANY, 4}, {OP_TRIM, 2},           {OP_CLOCK, 4},    {OP_CHECK, 1},
    {OP_FAULT, 2},     {OP_REJECT, 1},
};
static const struct weight with_threads[] = {
    {OP_THREAD_START, 8}, {OP_THREAD_END, 6}, {OP_FORK, 1}};

static unsigned draw(struct rng *random, const struct weight *table, unsigned count) {
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++) sum += table[i].weight;
    unsigned at = rng_below(random, sum);
    for (unsigned i = 0; i < count; i++) {
        if (at < table[i].weight) return table[i].code;
        at -= table[i].weight;
    }
    return OP_MALLOC;
}

static uint8_t draw_size_kind(struct rng *random) {
    static const struct weight kinds[] = {{SIZE_ZERO, 2},   {SIZE_TINY, 30},  {SIZE_BOUNDARY, 20},
                                          {SIZE_SMALL, 14}, {SIZE_MEDIUM, 8}, {SIZE_LARGE, 6},
                                          {SIZE_HUGE, 4},   {SIZE_LIMIT, 10}, {SIZE_ABSURD, 1}};
    return (uint8_t)draw(random, kinds, sizeof kinds / sizeof kinds[0]);
}

/* Half of the time the newest block: what was just made is what the next operation is about. */
static uint8_t draw_pick(struct rng *random) {
    return rng_below(random, 2) ? 255 : (uint8_t)rng_below(random, 256);
}

static struct input_op make_op(struct rng *random, unsigned code) {
    struct input_op op = {(uint8_t)code, draw_pick(random), (uint8_t)rng_below(random, 256),
                          draw_size_kind(random), (uint32_t)rng_next(random)};
    if (code == OP_MALLOC_MANY && rng_below(random, 4))
        op.kind = (uint8_t)(SIZE_TINY + rng_below(random, 3));
    if (code == OP_FREE_MANY || code == OP_FREE_INTERIOR || code == OP_FREE_FOREIGN ||
        code == OP_STOMP)
        op.kind = (uint8_t)rng_below(random, 256);
    return op;
}

static struct input_op random_op(struct rng *random, unsigned threads) {
    if (threads > 1 && rng_below(random, 10) == 0)
        return make_op(random,
                       draw(random, with_threads, sizeof with_threads / sizeof with_threads[0]));
    return make_op(random, draw(random, plain, sizeof plain / sizeof plain[0]));
}

enum { RECIPE_MAX = 6, RECIPE_END = 255 };

static const uint8_t recipes[][RECIPE_MAX] = {
    {OP_MALLOC_MANY, OP_FREE_MANY, OP_MALLOC_MANY, OP_FREE_MANY, OP_CHECK, RECIPE_END},
    {OP_MALLOC_MANY, OP_FREE_MANY, OP_CLOCK, OP_FREE, OP_TRIM, OP_CHECK},
    {OP_MALLOC, OP_REALLOC, OP_REALLOC, OP_REALLOC, OP_FREE_SIZED, RECIPE_END},
    {OP_MALLOC, OP_FREE, OP_CLOCK, OP_MALLOC, OP_FREE, OP_MALLOC},
    {OP_ALIGNED, OP_REALLOC, OP_FREE_SIZED, OP_ALIGNED, OP_FREE_SIZED, RECIPE_END},
    {OP_FAULT, OP_MALLOC, OP_FAULT, OP_REALLOC, OP_FREE, OP_CHECK},
    {OP_CALLOC, OP_FREE, OP_CALLOC, OP_FREE, OP_TRIM, OP_CALLOC},
    {OP_MALLOC_MANY, OP_FREE, OP_FREE, OP_FREE, OP_STOMP, OP_MALLOC_MANY},
    /* from here on for several threads */
    {OP_THREAD_START, OP_MALLOC_MANY, OP_THREAD_END, OP_FREE_MANY, OP_MALLOC_MANY, OP_CHECK},
    {OP_MALLOC_MANY, OP_THREAD_END, OP_TRIM, OP_FREE_MANY, OP_THREAD_START, OP_MALLOC_MANY},
    {OP_MALLOC_MANY, OP_FREE_MANY, OP_MALLOC, OP_FREE_MANY, OP_MALLOC_MANY, OP_THREAD_END},
    {OP_THREAD_START, OP_FREE_MANY, OP_THREAD_END, OP_CLOCK, OP_TRIM, OP_CHECK},
    {OP_MALLOC_MANY, OP_FORK, OP_FREE_MANY, OP_FORK, OP_CHECK, RECIPE_END},
};
enum { RECIPES = sizeof recipes / sizeof recipes[0], RECIPES_ALONE = 8 };

static void insert_recipe(struct input *input, struct rng *random) {
    const uint8_t *recipe =
        recipes[rng_below(random, input->threads > 1 ? RECIPES : RECIPES_ALONE)];
    unsigned at = rng_below(random, input->op_count + 1);
    struct input_op first = make_op(random, recipe[0]);
    for (unsigned i = 0; i < RECIPE_MAX && recipe[i] != RECIPE_END; i++) {
        struct input_op op = make_op(random, recipe[i]);
        if (rng_below(random, 2)) { /* the same size all along */
            bool has_kind = recipe[i] == OP_FREE_MANY || recipe[i] == OP_STOMP;
            op.kind = has_kind ? op.kind : first.kind;
            op.value = first.value;
        }
        if (recipe[i] == OP_FAULT && input->fault_budget < INPUT_MAX_FAULTS) input->fault_budget++;
        if (recipe[i] == OP_FORK) input->flags |= INPUT_FORK;
        if (recipe[i] == OP_STOMP) input->flags |= INPUT_MISUSE;
        input_insert(input, at++, op);
    }
}

enum { SIZES = 2 };

/* One block of one of the sizes, or many; now and then the last one changes its size. */
static unsigned insert_take(struct input *input, struct rng *random, unsigned at,
                            const struct input_op sizes[SIZES], bool many) {
    enum { OTHERS = 120, LOG_MAX = 6, RESIZE_IN = 4, ZERO_IN = 4 };
    struct input_op take = sizes[rng_below(random, SIZES)];
    take.code = many ? OP_MALLOC_MANY : rng_below(random, ZERO_IN) == 0 ? OP_CALLOC : OP_MALLOC;
    take.other = (uint8_t)(many ? 1 + rng_below(random, LOG_MAX) : take.other & ~7u);
    input_insert(input, at++, take);
    if (rng_below(random, RESIZE_IN) != 0) return at;
    take = sizes[rng_below(random, SIZES)];
    take.code = OP_REALLOC;
    take.pick = UINT8_MAX;
    take.other = OTHERS;
    input_insert(input, at++, take);
    return at;
}

/* The last block is freed, or all, backwards. */
static unsigned insert_give(struct input *input, struct rng *random, unsigned at, bool many) {
    enum { BACKWARDS = 1, ALL = 10 };
    struct input_op give = make_op(random, many ? OP_FREE_MANY : OP_FREE);
    give.pick = UINT8_MAX;
    if (many) give.kind = BACKWARDS;
    if (many) give.other = ALL;
    input_insert(input, at++, give);
    return at;
}

/* A program that goes back and forth: it gives back what it wants again a moment later, of one size
   or of two, which differ a little, or are of two kinds of page. So what an allocator keeps for it,
   and what becomes of that, is reached. */
static void insert_rhythm(struct input *input, struct rng *random) {
    enum { BEATS_MAX = 6, PAUSE = 150, SHORT_PAUSE = 60 }; /* milliseconds */
    static const uint8_t kinds[] = {SIZE_HUGE, SIZE_HUGE, SIZE_LARGE, SIZE_LARGE, SIZE_MEDIUM};
    struct input_op sizes[SIZES];
    for (unsigned i = 0; i < SIZES; i++) {
        sizes[i] = make_op(random, OP_MALLOC);
        sizes[i].kind = kinds[rng_below(random, sizeof kinds)];
    }
    if (rng_below(random, 2) == 0) { /* the second is up to a half shorter */
        size_t bytes = size_decode(sizes[0].kind, sizes[0].value);
        size_t least = size_decode(sizes[0].kind, 0);
        uint32_t shorter = rng_below(random, (unsigned)(bytes / 2 + 1));
        sizes[1] = sizes[0];
        sizes[1].value = shorter < bytes - least ? (uint32_t)(bytes - least) - shorter : 0;
        sizes[0].value = (uint32_t)(bytes - least);
    }
    bool many = sizes[0].kind != SIZE_HUGE && rng_below(random, 2) == 0;
    bool piles_up = rng_below(random, 4) == 0; /* nothing is given back before the last beat */
    unsigned at = rng_below(random, input->op_count + 1), beats = 3 + rng_below(random, BEATS_MAX);
    for (unsigned beat = 0; beat < beats; beat++) {
        if (rng_below(random, 8) == 0) {
            if (input->fault_budget < INPUT_MAX_FAULTS) input->fault_budget++;
            input_insert(input, at++, make_op(random, OP_FAULT));
        }
        at = insert_take(input, random, at, sizes, many);
        if (piles_up ? beat + 1 == beats : rng_below(random, 8) != 0)
            at = insert_give(input, random, at, many || piles_up);
        struct input_op pause = make_op(random, OP_CLOCK);
        pause.value =
            beat == 0 ? PAUSE + rng_below(random, 2 * PAUSE) : rng_below(random, SHORT_PAUSE);
        if (beat == 0 || rng_below(random, 3) == 0) input_insert(input, at++, pause);
        if (rng_below(random, 4) == 0) input_insert(input, at++, make_op(random, OP_TRIM));
    }
}

/* A huge block changes its size while one of the first calls fails that this takes, and the block
   is used on. */
static void insert_cornered(struct input *input, struct rng *random) {
    enum { CHANGES_MAX = 3, FIRST_CALLS = 3, OTHERS = 120 };
    unsigned at = rng_below(random, input->op_count + 1);
    struct input_op op = make_op(random, rng_below(random, 4) == 0 ? OP_CALLOC : OP_MALLOC);
    op.kind = SIZE_HUGE;
    op.other = 0;
    input_insert(input, at++, op);
    for (unsigned count = 1 + rng_below(random, CHANGES_MAX); count > 0; count--) {
        op = make_op(random, OP_FAULT);
        op.other = (uint8_t)rng_below(random, FIRST_CALLS);
        if (input->fault_budget < INPUT_MAX_FAULTS) input->fault_budget++;
        input_insert(input, at++, op);
        op = make_op(random, OP_REALLOC);
        op.pick = UINT8_MAX;
        op.other = OTHERS;
        op.kind = SIZE_HUGE;
        input_insert(input, at++, op);
        if (rng_below(random, 2) == 0) input_insert(input, at++, make_op(random, OP_CHECK));
    }
}

/* A block that is much larger than what was asked for, by its alignment, and then takes more of
   that. */
static void insert_aligned_growth(struct input *input, struct rng *random) {
    enum { SHIFT_MIN = 7, SHIFTS = 10, BY_SHIFT = 17, FIRST = 136 };
    struct input_op op = make_op(random, OP_ALIGNED);
    unsigned shift = SHIFT_MIN + rng_below(random, SHIFTS);
    op.other = (uint8_t)(FIRST + shift); /* alignment_decode(): 136 is a multiple of 17 */
    op.kind = SIZE_TINY;
    op.value %= 1u << SHIFT_MIN;
    unsigned at = rng_below(random, input->op_count + 1);
    input_insert(input, at++, op);
    for (unsigned i = 1 + rng_below(random, 3); i > 0; i--) {
        size_t size = ((size_t)1 << shift) - rng_below(random, 1u << (shift - 2));
        op = make_op(random, OP_REALLOC);
        op.pick = UINT8_MAX;
        op.other %= 200;
        op.kind = size <= SMALL_MAX ? SIZE_SMALL : SIZE_MEDIUM;
        op.value = (uint32_t)(size <= SMALL_MAX ? size : size - SMALL_MAX);
        input_insert(input, at++, op);
    }
}

/* Addresses of no bytes, with alignments of all sizes. */
static void insert_empty(struct input *input, struct rng *random) {
    enum { SOME = 128, COUNT_MAX = 5 };
    unsigned at = rng_below(random, input->op_count + 1);
    for (unsigned count = 2 + rng_below(random, COUNT_MAX); count > 0; count--) {
        struct input_op op =
            make_op(random, rng_below(random, 4) == 0 ? OP_POSIX_MEMALIGN : OP_ALIGNED);
        op.kind = SIZE_ZERO;
        op.other = (uint8_t)(SOME + rng_below(random, UINT8_MAX + 1 - SOME));
        input_insert(input, at++, op);
        if (rng_below(random, 4) == 0) input_insert(input, at++, make_op(random, OP_FREE));
    }
}

/* A misuse ends the run, so it goes near the end of the operations. */
static void append_misuse(struct input *input, struct rng *random) {
    unsigned code = OP_DOUBLE_FREE + rng_below(random, OP_CODES - OP_DOUBLE_FREE);
    if (rng_below(random, 3) == 0) code = OP_DOUBLE_FREE;
    if (code >= OP_OVERFLOW) input->flags |= INPUT_STRICT;
    input->flags |= INPUT_MISUSE;
    unsigned at =
        input->op_count - rng_below(random, input->op_count < 8 ? input->op_count + 1 : 8);
    if (rng_below(random, 2)) input_insert(input, at++, make_op(random, OP_FREE));
    input_insert(input, at++, make_op(random, code));
    if (code != OP_STOMP) return;
    /* what was written into is taken again, if blocks of its size are */
    struct input_op again = make_op(random, rng_below(random, 2) ? OP_MALLOC_MANY : OP_MALLOC);
    const struct input_op *like = &input->ops[rng_below(random, at)];
    if (like->code <= OP_CALLOC || like->code == OP_MALLOC_MANY) {
        again.kind = like->kind;
        again.value = like->value;
    }
    input_insert(input, at, again);
}

static void edit_op(struct input *input, struct rng *random) {
    if (input->op_count == 0) return;
    struct input_op *op = &input->ops[rng_below(random, input->op_count)];
    switch (rng_below(random, 7)) {
    case 0: *op = random_op(random, input->threads); break;
    case 1: op->pick = draw_pick(random); break;
    case 2: op->other = (uint8_t)rng_below(random, 256); break;
    case 3: op->kind = draw_size_kind(random); break;
    case 4: op->value = (uint32_t)rng_next(random); break;
    case 5: op->value += rng_below(random, 5) - 2u; break;
    default: op->value ^= 1u << rng_below(random, 32); break;
    }
}

static void move_ops(struct input *input, struct rng *random) {
    if (input->op_count < 2) return;
    unsigned from = rng_below(random, input->op_count), to = rng_below(random, input->op_count);
    struct input_op op = input->ops[from];
    if (rng_below(random, 2)) { /* swap */
        input->ops[from] = input->ops[to];
        input->ops[to] = op;
        return;
    }
    unsigned count = 1 + rng_below(random, 8); /* repeat a stretch */
    for (unsigned i = 0; i < count && from + i < input->op_count; i++) {
        op = input->ops[from + i];
        input_insert(input, to, op);
    }
}

static void edit_schedule(struct input *input, struct rng *random) {
    unsigned length = input->schedule_length, at = rng_below(random, length + 1);
    uint8_t byte = (uint8_t)rng_below(random, 256);
    if (rng_below(random, 2)) byte &= 0x1f; /* short turns */
    switch (rng_below(random, 4)) {
    case 0:
    case 1:
        if (length > 0) input->schedule[at % length] = byte;
        break;
    case 2:
        if (length == INPUT_MAX_SCHEDULE) return;
        memmove(&input->schedule[at + 1], &input->schedule[at], length - at);
        input->schedule[at] = byte;
        input->schedule_length++;
        break;
    default:
        if (at >= length) return;
        memmove(&input->schedule[at], &input->schedule[at + 1], length - at - 1);
        input->schedule_length--;
        break;
    }
}

/* Mostly soon, and as often as not again and again. */
void mutate_failpoint(struct input *input) {
    enum { INPUTS_TO_ONE = 8, SOON = 4, LATER = 64, EVERY_MAX = 8 };
    struct rng random = {rng_mix(input->seed) ^ 0x6661696c};
    input->failpoint = input->fail_first = input->fail_every = 0;
    if (rng_below(&random, INPUTS_TO_ONE) != 0) return;
    input->failpoint = (uint8_t)(1 + rng_below(&random, INPUT_FAILPOINTS));
    unsigned within = rng_below(&random, 2) == 0 ? SOON : LATER;
    input->fail_first = (uint8_t)rng_below(&random, within);
    if (rng_below(&random, 2) == 0)
        input->fail_every = (uint8_t)(1 + rng_below(&random, EVERY_MAX));
}

static void edit_header(struct input *input, struct rng *random) {
    switch (rng_below(random, 5)) {
    case 0:
        input->seed = rng_next(random);
        mutate_failpoint(input);
        break;
    case 1:
        input->flags ^= (uint8_t)(1u << rng_below(random, 4));
        if (rng_below(random, 4) == 0) input->flags ^= INPUT_SHORTAGE;
        if (rng_below(random, 4) == 0) input->flags ^= INPUT_STRICT;
        input->flags &= (uint8_t)~INPUT_KERNEL;
        if (rng_below(random, 8) == 0) input->flags |= INPUT_KERNEL; /* it is slow */
        break;
    case 2: input->scheduler = (uint8_t)rng_below(random, SCHEDULERS); break;
    case 3: input->fault_budget = (uint8_t)rng_below(random, 4); break;
    default:
        if (input->threads > 1)
            input->threads = (uint8_t)(2 + rng_below(random, INPUT_MAX_THREADS - 1));
        break;
    }
}

void mutate_edit(struct input *input, struct rng *random) {
    unsigned edits = 1 + rng_below(random, 4);
    for (unsigned i = 0; i < edits; i++) {
        switch (rng_below(random, 15)) {
        case 0:
        case 1:
        case 2: edit_op(input, random); break;
        case 3:
        case 4:
            input_insert(input, rng_below(random, input->op_count + 1),
                         random_op(random, input->threads));
            break;
        case 5:
            input_remove(input, rng_below(random, input->op_count + 1), 1 + rng_below(random, 4));
            break;
        case 6: move_ops(input, random); break;
        case 7:
        case 8: insert_recipe(input, random); break;
        case 9: append_misuse(input, random); break;
        case 10: edit_header(input, random); break;
        case 11: insert_rhythm(input, random); break;
        case 12: insert_aligned_growth(input, random); break;
        case 13: insert_empty(input, random); break;
        default:
            if (input->threads > 1)
                edit_schedule(input, random);
            else
                edit_op(input, random);
            break;
        }
    }
}

void mutate_make(struct input *input, struct rng *random, unsigned threads, unsigned count) {
    memset(input, 0, sizeof *input);
    input->threads = (uint8_t)threads;
    input->seed = rng_next(random);
    mutate_failpoint(input);
    input->scheduler = threads > 1 ? (uint8_t)rng_below(random, SCHEDULERS) : 0;
    if (count == 0) count = 4 + rng_below(random, 40);
    for (unsigned i = 0; i < count; i++)
        input_insert(input, input->op_count, random_op(random, threads));
    if (threads == 1) return;
    input->schedule_length = 8 + rng_below(random, 24);
    for (unsigned i = 0; i < input->schedule_length; i++)
        input->schedule[i] = (uint8_t)(rng_next(random) & 0x3f);
}

void mutate_fresh(struct input *input, struct rng *random, unsigned threads) {
    mutate_make(input, random, threads, 0);
    for (unsigned rounds = rng_below(random, 3); rounds > 0; rounds--) mutate_edit(input, random);
    if (rng_below(random, 4) == 0) insert_rhythm(input, random);
    if (rng_below(random, 2) == 0) input->fault_budget = (uint8_t)(1 + rng_below(random, 4));
    if (rng_below(random, 4) == 0) input->flags |= INPUT_SHORTAGE;
    if (rng_below(random, 8) == 0) insert_cornered(input, random);
    if (rng_below(random, 4) == 0) input->flags |= INPUT_STRICT;
    if (rng_below(random, 3) == 0) append_misuse(input, random);
}

void mutate_cross(struct input *into, const struct input *from, struct rng *random) {
    unsigned keep = rng_below(random, into->op_count + 1),
             start = rng_below(random, from->op_count + 1);
    unsigned count = from->op_count - start;
    if (count > INPUT_MAX_OPS - keep) count = INPUT_MAX_OPS - keep;
    memcpy(&into->ops[keep], &from->ops[start], count * sizeof into->ops[0]);
    into->op_count = keep + count;
    if (keep <= into->prologue) { /* what was over first in the other one still is */
        unsigned over = from->prologue > start ? from->prologue - start : 0;
        if (over > count) over = count;
        into->prologue = (uint8_t)(keep + over > UINT8_MAX ? UINT8_MAX : keep + over);
    }
    into->flags |= from->flags & (INPUT_MISUSE | INPUT_FORK);
    if (from->fault_budget > into->fault_budget) into->fault_budget = from->fault_budget;
    if (rng_below(random, 2) == 0) return;
    memcpy(into->schedule, from->schedule, from->schedule_length);
    into->schedule_length = from->schedule_length;
}

static struct input first, second;

size_t mutate_bytes(uint8_t *bytes, size_t size, size_t max_size, unsigned threads, uint64_t seed) {
    struct rng random = {seed};
    if (input_decode(&first, bytes, size))
        mutate_edit(&first, &random);
    else
        mutate_make(&first, &random, threads, 0);
    return input_encode(&first, bytes, max_size);
}

size_t mutate_cross_bytes(const uint8_t *one, size_t one_size, const uint8_t *other,
                          size_t other_size, uint8_t *out, size_t max_size, unsigned threads,
                          uint64_t seed) {
    struct rng random = {seed};
    if (!input_decode(&first, one, one_size)) mutate_make(&first, &random, threads, 0);
    if (input_decode(&second, other, other_size)) mutate_cross(&first, &second, &random);
    return input_encode(&first, out, max_size);
}
