/*
 * program: inputs whose threads run at once. See the header.
 *
 * Part of the mutator that AFL++ loads, so it calls nothing but the C library.
 */
#include "engine/program.h"

#include <assert.h>
#include <string.h>

#include "engine/mutate.h"
#include "engine/sizing.h"

struct size_choice {
    uint8_t kind, weight;
    uint8_t many; /* logarithm of the blocks that are worth having at once, less one */
    uint32_t value;
};

/* A page is full with few blocks, or with many; huge; no bytes at all, and so many blocks that they
   fill a word of the map. */
static const struct size_choice sizes[] = {
    {SIZE_TINY, 3, 4, 16},          {SIZE_TINY, 3, 4, 64},      {SIZE_TINY, 4, 5, 1024},
    {SIZE_SMALL, 4, 4, 4096},       {SIZE_SMALL, 8, 3, 8192},   {SIZE_MEDIUM, 3, 3, 57344},
    {SIZE_LARGE, 2, 1, 450 * 1024}, {SIZE_LARGE, 6, 1, 983040}, {SIZE_HUGE, 5, 0, 1000},
    {SIZE_HUGE, 2, 0, 9000000},     {SIZE_ZERO, 5, 5, 0},
};

unsigned program_thread_of(const struct input *input, const struct input_op *op) {
    return op->kind / SIZE_KINDS % input->threads;
}

uint8_t program_kind(unsigned thread, unsigned size_kind) {
    return (uint8_t)(thread * SIZE_KINDS + size_kind);
}

bool program_takes_blocks(const struct input_op *op) {
    return op->code <= OP_POSIX_MEMALIGN || op->code == OP_MALLOC_MANY;
}

void program_adapt(struct input *input) {
    if (input->threads < 2) input->threads = 2;
    if (input->threads > PROGRAM_THREADS_MAX) input->threads = PROGRAM_THREADS_MAX;
    input->flags &= (uint8_t)~INPUT_CHECK_OFTEN;
    for (unsigned i = 0; i < input->op_count; i++) {
        struct input_op *op = &input->ops[i];
        bool wrong = op->code >= OP_DOUBLE_FREE, at_once = i >= input->prologue;
        if (wrong && at_once && (input->flags & INPUT_MISUSE)) op->code = OP_DOUBLE_FREE;
        if (wrong && !(at_once && (input->flags & INPUT_MISUSE))) op->code = OP_FREE;
        if (!at_once) continue;
        /* another thread may free the block meanwhile, or be in the middle of a change */
        if (op->code == OP_CHECK || op->code == OP_USABLE || op->code == OP_REJECT)
            op->code = OP_FREE;
    }
}

static const struct size_choice *draw_size(struct rng *random) {
    unsigned sum = 0;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) sum += sizes[i].weight;
    unsigned at = rng_below(random, sum), i = 0;
    while (at >= sizes[i].weight) at -= sizes[i++].weight;
    return &sizes[i];
}

static struct input_op make_op(struct rng *random, unsigned thread, unsigned code,
                               const struct size_choice *size) {
    struct input_op op = {(uint8_t)code, (uint8_t)rng_below(random, 256),
                          (uint8_t)rng_below(random, 240), program_kind(thread, size->kind),
                          size->value};
    if (code == OP_MALLOC_MANY || code == OP_FREE_MANY)
        op.other = (uint8_t)rng_below(random, size->many + 1u);
    if (code == OP_CALLOC) op.other = 0;
    /* as often as not it stays where it is */
    if (code == OP_REALLOC && size->value != 0 && rng_below(random, 2) == 0)
        op.value -= rng_below(random, size->value / 16 + 2) % size->value;
    return op;
}

/* What a program's operations are drawn from: everything, or a few kinds, which then meet much more
   often than if all others came between. */
struct palette {
    uint8_t codes[4];
    unsigned count; /* 0: everything */
};

static unsigned draw_any_code(struct rng *random) {
    static const uint8_t codes[] = {
        OP_FREE,   OP_FREE,   OP_FREE,   OP_FREE,       OP_FREE,       OP_FREE_SIZED,  OP_MALLOC,
        OP_MALLOC, OP_MALLOC, OP_MALLOC, OP_FREE_MANY,  OP_FREE_MANY,  OP_MALLOC_MANY, OP_REALLOC,
        OP_CALLOC, OP_TRIM,   OP_CLOCK,  OP_THREAD_END, OP_THREAD_END, OP_FREE_SIZED,  OP_ALIGNED,
    };
    return codes[rng_below(random, sizeof codes)];
}

static struct palette draw_palette(struct rng *random) {
    struct palette palette = {{0}, 0};
    if (rng_below(random, 2) == 0) return palette;
    palette.count = 2 + rng_below(random, 3);
    for (unsigned i = 0; i < palette.count; i++) palette.codes[i] = (uint8_t)draw_any_code(random);
    return palette;
}

static unsigned draw_code(struct rng *random, const struct palette *palette) {
    if (palette == NULL || palette->count == 0) return draw_any_code(random);
    return palette->codes[rng_below(random, palette->count)];
}

static void append(struct input *input, struct input_op op) {
    if (input->op_count < INPUT_MAX_OPS) input->ops[input->op_count++] = op;
}

static void make_schedule(struct input *input, struct rng *random) {
    /* few preemptions reach what many switches pass by */
    static const uint8_t kinds[] = {SCHEDULE_RAW,  SCHEDULE_PCT,  SCHEDULE_PCT,   SCHEDULE_PCT,
                                    SCHEDULE_WALK, SCHEDULE_WALK, SCHEDULE_RANDOM};
    input->scheduler = kinds[rng_below(random, sizeof kinds)];
    input->schedule_length = 2 + rng_below(random, 10);
    for (unsigned i = 0; i < input->schedule_length; i++)
        input->schedule[i] = (uint8_t)rng_below(random, 256);
}

/* A second free in the place of an operation, and as likely as not of a block that another thread
   frees at the time. */
static void add_misuse(struct input *input, struct rng *random) {
    unsigned first = input->prologue, count = input->op_count - first;
    struct input_op *op = &input->ops[first + rng_below(random, count)];
    input->flags |= INPUT_MISUSE;
    op->code = OP_DOUBLE_FREE;
    op->pick = (uint8_t)rng_below(random, 256);
    /* of a sample, too: run.c has which inputs have them */
    if (rng_below(random, 4) == 0) input->seed |= (uint64_t)7 << 40;
}

/* From somewhere in the prologue on there is little memory left. */
static void add_shortage(struct input *input, struct rng *random) {
    enum { A_LIMIT = 8, SEGMENTS_MAX = 5 }; /* see verb_fault(); the limit is in bytes */
    struct input_op op = {.code = OP_FAULT, .other = A_LIMIT};
    op.kind = program_kind(0, SIZE_ZERO);
    op.value = (uint32_t)rng_below(random, SEGMENTS_MAX << 20);
    if (input->prologue == 0) return;
    input->flags |= INPUT_SHORTAGE;
    input->fault_budget = 1;
    input_insert(input, rng_below(random, input->prologue), op);
}

/* A fork in the place of an operation. */
static void add_fork(struct input *input, struct rng *random) {
    unsigned first = input->prologue, count = input->op_count - first;
    input->flags |= INPUT_FORK;
    input->ops[first + rng_below(random, count)].code = OP_FORK;
}

/* Situations that operations drawn one by one seldom make. */
enum { PART_MAX = 6, PART_END = 255, BY_SECOND = 64, BY_THIRD = 128 };
enum { HUGE_VALUES = 3 << 22 }; /* up to three segments more */
static_assert((int)OP_CODES <= (int)BY_SECOND, "a prologue's codes say whose they are");
/* Of a recipe's blocks. */
enum sizing {
    AS_DRAWN,
    HUGE_EACH, /* each of another size */
    BIG        /* of pages that go back as soon as they are empty */
};
static const struct recipe {
    uint8_t threads; /* at least */
    uint8_t sizing;
    /* the prologue, the first thread's where nothing else is said; then each thread's, a fourth as
       the second */
    uint8_t parts[4][PART_MAX];
} recipes[] = {
    /* a page is full when its thread ends, and blocks of it are freed */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_THREAD_END, OP_MALLOC, PART_END},
      {OP_FREE, OP_FREE, PART_END},
      {OP_MALLOC, OP_TRIM, PART_END}}},
    /* and when it sets the page aside */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_MALLOC, OP_FREE, OP_MALLOC_MANY, OP_FREE, PART_END},
      {OP_FREE, OP_FREE, OP_FREE_MANY, PART_END},
      {OP_FREE, OP_MALLOC, OP_FREE, PART_END}}},
    /* threads end and are born while heaps lie ready */
    {3,
     AS_DRAWN,
     {{OP_MALLOC, OP_THREAD_END, PART_END},
      {OP_MALLOC, OP_THREAD_END, OP_MALLOC, OP_THREAD_END, OP_MALLOC},
      {OP_MALLOC, OP_THREAD_END, OP_MALLOC, PART_END},
      {OP_THREAD_END, OP_MALLOC, OP_THREAD_END, OP_MALLOC, PART_END}}},
    /* who frees, who gives back, who ends, all of them the same few blocks */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, OP_FREE_MANY, PART_END},
      {OP_FREE_MANY, OP_TRIM, OP_MALLOC, PART_END},
      {OP_FREE_MANY, OP_THREAD_END, OP_MALLOC_MANY, PART_END},
      {OP_TRIM, OP_CLOCK, OP_TRIM, PART_END}}},
    /* all that was freed is taken again, and one of it was freed twice */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_FREE, OP_MALLOC_MANY, OP_MALLOC_MANY, PART_END},
      {OP_DOUBLE_FREE, OP_MALLOC_MANY, PART_END},
      {OP_FREE, OP_TRIM, OP_MALLOC_MANY, PART_END}}},
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_TRIM, OP_MALLOC, OP_THREAD_END, OP_MALLOC, PART_END},
      {OP_FREE, OP_DOUBLE_FREE, PART_END},
      {OP_THREAD_END, OP_MALLOC_MANY, OP_TRIM, PART_END}}},
    /* what was freed before is taken in, and freed again */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, BY_SECOND | OP_FREE_MANY, PART_END},
      {OP_TRIM, OP_MALLOC_MANY, PART_END},
      {OP_DOUBLE_FREE, PART_END},
      {OP_MALLOC, PART_END}}},
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, BY_SECOND | OP_FREE, BY_SECOND | OP_FREE, PART_END},
      {OP_MALLOC_MANY, PART_END},
      {OP_DOUBLE_FREE, PART_END},
      {OP_FREE, PART_END}}},
    /* two heaps lie ready; one is taken while two come and go */
    {3,
     AS_DRAWN,
     {{OP_MALLOC, BY_SECOND | OP_MALLOC, BY_THIRD | OP_MALLOC, OP_THREAD_END,
       BY_SECOND | OP_THREAD_END, BY_THIRD | OP_THREAD_END},
      {OP_MALLOC, PART_END},
      {OP_MALLOC, OP_THREAD_END, OP_MALLOC, PART_END},
      {OP_MALLOC, PART_END}}},
    /* what is left is taken over, given back and freed into at once */
    {3,
     AS_DRAWN,
     {{OP_MALLOC_MANY, OP_THREAD_END, PART_END},
      {OP_MALLOC, PART_END},
      {OP_FREE, OP_FREE, PART_END},
      {OP_MALLOC, OP_TRIM, PART_END}}},
    /* one thread frees the last blocks of a page, another the first ones */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, BY_SECOND | OP_FREE_MANY, PART_END},
      {OP_FREE, OP_FREE, OP_MALLOC, PART_END},
      {OP_FREE, OP_FREE, PART_END},
      {OP_FREE, OP_TRIM, PART_END}}},
    /* what is left of a page is looked after while its thread wakes up, and frees its last block */
    {2,
     AS_DRAWN,
     {{OP_MALLOC, OP_MALLOC, BY_SECOND | OP_FREE, BY_SECOND | OP_TRIM, BY_SECOND | OP_CLOCK,
       PART_END},
      {OP_FREE, OP_MALLOC, OP_FREE, PART_END},
      {OP_TRIM, OP_TRIM, PART_END},
      {OP_TRIM, OP_CLOCK, OP_TRIM, PART_END}}},
    {2,
     BIG,
     {{OP_MALLOC, OP_MALLOC, BY_SECOND | OP_FREE, BY_SECOND | OP_TRIM, BY_SECOND | OP_CLOCK,
       PART_END},
      {OP_FREE, OP_MALLOC, OP_FREE, PART_END},
      {OP_TRIM, OP_TRIM, PART_END},
      {OP_TRIM, OP_CLOCK, OP_TRIM, PART_END}}},
    /* nothing but one operation each */
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END}, {OP_MALLOC, PART_END}, {OP_FREE, PART_END}, {OP_FREE, PART_END}}},
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_REALLOC, PART_END},
      {OP_FREE, OP_MALLOC, PART_END},
      {OP_REALLOC, PART_END}}},
    /* a child is made while a thread looks after what another has left; while others free, change
       sizes, or get the first blocks without bytes */
    {3,
     BIG,
     {{OP_MALLOC, OP_MALLOC, BY_SECOND | OP_FREE, BY_SECOND | OP_TRIM, BY_SECOND | OP_CLOCK,
       PART_END},
      {OP_FREE, PART_END},
      {OP_TRIM, PART_END},
      {OP_FORK, PART_END}}},
    {3,
     BIG,
     {{OP_MALLOC_MANY, BY_SECOND | OP_MALLOC_MANY, BY_THIRD | OP_MALLOC, PART_END},
      {OP_FREE, OP_MALLOC, PART_END},
      {OP_FORK, PART_END},
      {OP_FREE_MANY, OP_THREAD_END, PART_END}}},
    {2,
     AS_DRAWN,
     {{OP_MALLOC_MANY, PART_END},
      {OP_FREE, OP_REALLOC, OP_FREE_MANY, PART_END},
      {OP_FORK, PART_END},
      {OP_FREE_MANY, OP_MALLOC, PART_END}}},
    {2,
     AS_DRAWN,
     {{PART_END},
      {OP_ALIGNED, OP_ALIGNED, OP_FREE, PART_END},
      {OP_FORK, OP_ALIGNED, PART_END},
      {OP_ALIGNED, PART_END}}},
    {2,
     HUGE_EACH,
     {{OP_MALLOC, OP_MALLOC, OP_REALLOC, OP_FREE, OP_MALLOC, PART_END},
      {OP_REALLOC, OP_REALLOC, OP_FREE, PART_END},
      {OP_FORK, OP_REALLOC, PART_END},
      {OP_REALLOC, OP_MALLOC, PART_END}}},
    {2,
     HUGE_EACH,
     {{OP_MALLOC, OP_FREE, OP_TRIM, OP_MALLOC, OP_FREE, OP_MALLOC},
      {OP_REALLOC, OP_REALLOC, OP_MALLOC, PART_END},
      {OP_FORK, OP_FREE, PART_END},
      {OP_FREE, OP_MALLOC, OP_REALLOC, PART_END}}},
};
enum { RECIPES = sizeof recipes / sizeof recipes[0], FIRST_WITH_FORK = RECIPES - 6 };

static const struct size_choice big_sizes[] = {
    {SIZE_MEDIUM, 0, 3, 0}, {SIZE_MEDIUM, 0, 3, 57344}, {SIZE_LARGE, 0, 1, 450 * 1024}};
enum { BIG_SIZES = sizeof big_sizes / sizeof big_sizes[0] };

/* Four blocks of its size are all of a segment: nothing else is there with room. */
static const struct size_choice fills_segment = {SIZE_LARGE, 0, 1, 983040};

static void follow(struct input *input, struct rng *random, const struct size_choice *size) {
    unsigned number = rng_below(random, RECIPES);
    /* children cost more than what else there is */
    if (number >= FIRST_WITH_FORK && rng_below(random, 3) != 0)
        number = rng_below(random, FIRST_WITH_FORK);
    const struct recipe *recipe = &recipes[number];
    if (recipe->sizing == BIG) size = &big_sizes[rng_below(random, BIG_SIZES)];
    if (rng_below(random, 4) == 0) size = &fills_segment;
    if (input->threads < recipe->threads) input->threads = recipe->threads;
    for (unsigned part = 0; part <= input->threads; part++) {
        const uint8_t *codes = recipe->parts[part < 4 ? part : part - 2];
        unsigned thread = part == 0 ? 0 : part - 1;
        if (part == 1) input->prologue = (uint8_t)input->op_count;
        unsigned length = 0;
        while (length < PART_MAX && codes[length] != PART_END) length++;
        /* the shorter it is the likelier is each order of what is left */
        if (part > 0 && rng_below(random, 2) != 0) length = 1 + rng_below(random, length);
        for (unsigned i = 0; i < length; i++) {
            unsigned by = part > 0 ? thread : codes[i] / BY_SECOND, code = codes[i] % BY_SECOND;
            struct size_choice huge = {SIZE_HUGE, 0, 0, rng_below(random, HUGE_VALUES)};
            struct input_op op =
                make_op(random, by, code, recipe->sizing == HUGE_EACH ? &huge : size);
            if (code == OP_MALLOC_MANY) op.other = size->many;
            if (code == OP_FORK) input->flags |= INPUT_FORK;
            if (code == OP_DOUBLE_FREE) input->flags |= INPUT_MISUSE;
            /* who has ended has no heap any more; another that is born takes one */
            if (code == OP_THREAD_END && rng_below(random, 4) != 0) op.other |= 1;
            append(input, op);
        }
    }
    make_schedule(input, random);
}

/* What a thread has is freed by another, which looks after it while it sleeps; at once with what it
   does when it wakes. */
static void add_visit(struct input *input, struct rng *random, const struct size_choice *size) {
    unsigned visitor = 1 + rng_below(random, input->threads - 1u);
    static const uint8_t codes[] = {OP_FREE_MANY, OP_MALLOC, OP_TRIM, OP_CLOCK, OP_TRIM};
    unsigned before = rng_below(random, sizeof codes);
    for (unsigned i = 0; i < sizeof codes; i++) {
        if (i == before) input->prologue = (uint8_t)input->op_count;
        append(input, make_op(random, visitor, codes[i], size));
    }
}

static void draw_all(struct input *input, struct rng *random,
                     const struct size_choice *const chosen[2]) {
    struct palette palette = draw_palette(random);
    unsigned before = 1 + rng_below(random, 4), each = 1 + rng_below(random, 3);
    if (rng_below(random, 8) == 0) each += 4;
    for (unsigned i = 0; i < before; i++) {
        unsigned code = i == 0 ? OP_MALLOC_MANY : draw_code(random, &palette);
        unsigned thread = rng_below(random, 3) == 0 ? rng_below(random, input->threads) : 0;
        struct input_op op = make_op(random, thread, code, chosen[rng_below(random, 2)]);
        if (i == 0) op.other = chosen[0]->many;
        append(input, op);
    }
    input->prologue = (uint8_t)input->op_count;
    if (rng_below(random, 8) == 0) add_visit(input, random, chosen[0]);
    for (unsigned thread = 0; thread < input->threads; thread++)
        for (unsigned i = 0; i < each; i++) {
            /* one draw after the other: compilers differ in the order of arguments */
            const struct size_choice *size = chosen[rng_below(random, 2)];
            unsigned code = draw_code(random, &palette);
            append(input, make_op(random, thread, code, size));
        }
    if (rng_below(random, 6) == 0) add_misuse(input, random);
    make_schedule(input, random);
}

void program_make(struct input *input, struct rng *random) {
    memset(input, 0, sizeof *input);
    input->threads = (uint8_t)(2 + (rng_below(random, 4) == 0) + (rng_below(random, 12) == 0));
    input->seed = rng_next(random);
    mutate_failpoint(input);
    if (rng_below(random, 4) == 0) input->flags |= INPUT_STALE;
    if (rng_below(random, 4) == 0) input->flags |= INPUT_STRICT;
    enum { FORK_IN = 24, SHORT_IN = 12 }; /* a child is played, for as much as a run costs */
    const struct size_choice *chosen[2] = {draw_size(random), draw_size(random)};
    if (rng_below(random, 3) != 0) chosen[1] = chosen[0];
    if (rng_below(random, 2) == 0)
        follow(input, random, chosen[0]);
    else
        draw_all(input, random, chosen);
    if (rng_below(random, SHORT_IN) == 0) add_shortage(input, random);
    if (rng_below(random, FORK_IN) == 0) add_fork(input, random);
}

/* Another operation in its place, or one more, or one less; for any thread. */
static void edit_one(struct input *input, struct rng *random) {
    const struct size_choice *size = draw_size(random);
    unsigned at = rng_below(random, input->op_count + 1);
    unsigned code = draw_code(random, NULL), thread = rng_below(random, input->threads);
    struct input_op op = make_op(random, thread, code, size);
    if (input->op_count > 0 && rng_below(random, 3) != 0) {
        const struct input_op *like = &input->ops[rng_below(random, input->op_count)];
        op.kind = program_kind(program_thread_of(input, &op), like->kind % SIZE_KINDS);
        op.value = like->value;
    }
    switch (rng_below(random, 3)) {
    case 0:
        if (at < input->op_count) input->ops[at] = op;
        break;
    case 1: input_insert(input, at, op); break;
    default: input_remove(input, at, 1); break;
    }
}

void program_edit(struct input *input, struct rng *random) {
    unsigned edits = 1 + rng_below(random, 3);
    program_adapt(input);
    for (unsigned i = 0; i < edits; i++) {
        switch (rng_below(random, 8)) {
        case 0:
        case 1: /* another schedule */
            input->seed = rng_next(random);
            if (rng_below(random, 2) == 0) mutate_failpoint(input);
            break;
        case 2: make_schedule(input, random); break;
        case 3: input->flags ^= rng_below(random, 3) == 0 ? INPUT_STRICT : INPUT_STALE; break;
        case 4:
            if (input->schedule_length > 0)
                input->schedule[rng_below(random, input->schedule_length)] =
                    (uint8_t)rng_below(random, 256);
            break;
        case 5:
            if (input->op_count > 0)
                input->ops[rng_below(random, input->op_count)].pick =
                    (uint8_t)rng_below(random, 256);
            break;
        default: edit_one(input, random); break;
        }
    }
    program_adapt(input);
}

static struct input program, other_program;

size_t program_mutate_bytes(uint8_t *bytes, size_t size, size_t max_size, uint64_t seed) {
    struct rng random = {seed};
    if (input_decode(&program, bytes, size) && rng_below(&random, 8) != 0)
        program_edit(&program, &random);
    else
        program_make(&program, &random);
    return input_encode(&program, bytes, max_size);
}

size_t program_cross_bytes(const uint8_t *one, size_t one_size, const uint8_t *other,
                           size_t other_size, uint8_t *out, size_t max_size, uint64_t seed) {
    struct rng random = {seed};
    if (!input_decode(&program, one, one_size)) program_make(&program, &random);
    if (input_decode(&other_program, other, other_size)) {
        if (other_program.threads > program.threads) program.threads = other_program.threads;
        mutate_cross(&program, &other_program, &random);
    }
    program_adapt(&program);
    return input_encode(&program, out, max_size);
}
