/*
 * attacker: the moves of an attacker, and runs of programs of them. See the header.
 *
 * Where a move finds nothing that it could be done to, it does nothing. What must be reported at
 * once is a failure if the call returns; all else is judged when blocks are handed out.
 */
#include "engine/attacker.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/bits.h"
#include "engine/verbs.h"
#include "heap/freelist.h"

enum { ATTEMPTS = 4, WORD = sizeof(uint64_t) };

/* Where he would like to have a block. */
static union {
    uint64_t words[64];
    unsigned char bytes[512];
} decoy __attribute__((aligned(64)));

/* --- Grooming -------------------------------------------------------------------------------- */

static size_t size_of(const struct input_op *op) {
    enum { SIZE_MOST = 4 * 1024 * 1024 };
    size_t size = size_decode(op->kind, op->value);
    return size <= SIZE_MOST ? size : op->value % (8 * KIB);
}

static unsigned thread_of(const struct input_op *op) {
    return op->other % 8 == 7 ? 1 + op->value % (ATTEMPT_THREADS - 1) : 0;
}

static void take(struct attempt *attempt, const struct input_op *op) {
    attempt_take(attempt, size_of(op), thread_of(op));
}

static void take_count(struct attempt *attempt, size_t size, unsigned count) {
    enum { BYTES_MAX = 2 * 1024 * 1024 };
    if (size != 0 && count > BYTES_MAX / size) count = (unsigned)(BYTES_MAX / size);
    for (; count > 0; count--)
        if (attempt_take(attempt, size, 0) == SHADOW_NONE) return;
}

static void take_many(struct attempt *attempt, const struct input_op *op) {
    take_count(attempt, size_of(op), 1u << (1 + op->other % 11));
}

static void take_like(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick);
    if (dead != NULL) take_count(attempt, dead->requested, 1u << op->other % 8);
}

/* He says: right above the last one; or, of a class of its own, at the start of its page. */
static void take_next(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block last = attempt->last;
    if (op->other & 1) {
        uint16_t index = attempt_take(attempt, 1 + op->value % KIB, 0);
        bool is_first = index != SHADOW_NONE && attempt->last.start % SLOT_SIZE == 0;
        if (is_first) attempt_reach(attempt, AIM_NEXT);
        return;
    }
    if (last.cell == 0) return;
    if (attempt_take(attempt, last.requested, 0) == SHADOW_NONE) return;
    if (attempt->last.start == last.start + last.cell) attempt_reach(attempt, AIM_NEXT);
}

static void give(struct attempt *attempt, const struct input_op *op) {
    uint16_t index = run_pick_live(attempt->run, op->pick);
    if (index != SHADOW_NONE) attempt_give(attempt, index, thread_of(op));
}

/* From the end: the last live block takes the place of the one that goes. */
static void give_many(struct attempt *attempt, const struct input_op *op) {
    enum { ALL, OF_CLASS, EACH_SECOND, NEWEST };
    struct shadow *shadow = &attempt->run->shadow;
    uint16_t picked = run_pick_live(attempt->run, op->pick);
    if (picked == SHADOW_NONE) return;
    size_t usable = shadow->blocks[picked].usable;
    unsigned count = shadow->live_count, most = count;
    if (op->kind % 4 == NEWEST) most = 1u + op->other;
    for (unsigned i = count; i-- > 0 && count - i <= most;) {
        if (op->kind % 4 == OF_CLASS && shadow->blocks[shadow->live[i]].usable != usable) continue;
        if (op->kind % 4 == EACH_SECOND && i % 2 != 0) continue;
        attempt_give(attempt, shadow->live[i], thread_of(op));
    }
}

static void trim(struct attempt *attempt, const struct input_op *op) {
    (void)op;
    attempt->run->subject->trim();
}

static void move_clock(struct attempt *attempt, const struct input_op *op) {
    attempt->run->subject->advance_clock(op->value % 5000);
}

/* --- Reading --------------------------------------------------------------------------------- */

static bool is_of_page(const struct attempt *attempt, const struct shadow_block *block) {
    return !attempt->run->is_strict && block->cell >= GRANULE && block->cell <= MEDIUM_MAX;
}

/* From leaked links and the addresses of the blocks they lead to the secret follows. */
static void learn(struct attempt *attempt, const struct input_op *op) {
    uint16_t index = run_pick_live(attempt->run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &attempt->run->shadow.blocks[index];
    if (!is_of_page(attempt, block)) return;
    attempt->key = attempt->run->subject->secret(block->start);
    attempt->key_of = *block;
}

static void read_dangling(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick);
    if (dead == NULL || dead->usable < 2 * WORD) return;
    attempt_goes_wrong(attempt);
    if (!attempt_is_open(attempt, dead->start, 2 * WORD)) {
        attempt_faults(attempt);
        return;
    }
    if (shadow_remains(dead)) attempt_reach(attempt, AIM_REMAINS);
    attempt->link = *(const uint64_t *)dead->start;
}

/* --- Writing --------------------------------------------------------------------------------- */

/* Changes each byte; twice is no way back. */
static void scramble(struct attempt *attempt, uintptr_t start, size_t size, uint32_t value) {
    attempt_wound(attempt, start, size, WOUND_BLIND, 0);
    attempt->run->subject->touch(start, size);
    for (size_t i = 0; i < size; i++) ((unsigned char *)start)[i] += (unsigned char)(value | 1);
}

static void write_dangling(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick);
    if (dead == NULL || dead->usable < WORD) return;
    size_t offset =
        op->other & 1 ? op->value % (dead->usable - WORD + 1) : dead->usable / 2 & ~(size_t)7;
    if (offset + WORD > dead->usable) offset = 0;
    attempt_goes_wrong(attempt);
    if (attempt_is_open(attempt, dead->start + offset, WORD))
        scramble(attempt, dead->start + offset, WORD, op->value);
    else
        attempt_faults(attempt);
}

/* Whose block his write is in. A write that goes up is stopped before those of another class. */
static void meet_others(struct attempt *attempt, const struct shadow_block *from, uintptr_t start,
                        uintptr_t end) {
    struct run *run = attempt->run;
    while (end > start) {
        uint16_t index = shadow_find_live(&run->shadow, start, end - start);
        if (index == SHADOW_NONE) return;
        const struct shadow_block *met = &run->shadow.blocks[index];
        end = met->start;
        if (met->start == from->start) continue;
        bool is_alike = met->cell == from->cell && met->cell != 0;
        attempt_reach(attempt, is_alike ? AIM_NEIGHBOUR : AIM_STRANGER);
        if (is_alike || start < from->start || run_by_kernel || run->input->flags & INPUT_KERNEL)
            continue;
        run_fail(run, "an overflow from a block of %zu bytes reaches one of %zu, %zu bytes above",
                 from->usable, met->usable, (size_t)(met->start - from->start));
    }
}

/* Bytes from where he begins to where memory ends, or enough. */
static size_t reach_up(const struct attempt *attempt, uintptr_t start, size_t size) {
    enum { OS_PAGE = 4096 };
    uintptr_t at = start;
    while (at < start + size && attempt->run->subject->is_open(at))
        at = round_down(at, OS_PAGE) + OS_PAGE;
    return at < start + size ? at - start : size;
}

static size_t reach_down(const struct attempt *attempt, uintptr_t end, size_t size) {
    enum { OS_PAGE = 4096 };
    uintptr_t at = end;
    while (at > end - size && attempt->run->subject->is_open(at - 1))
        at = round_down(at - 1, OS_PAGE);
    return at > end - size ? end - at : size;
}

static size_t length_of(const struct input_op *op) {
    switch (op->other % 4) {
    case 0: return 1 + op->value % 16;
    case 1: return 1 + op->value % 1024;
    case 2: return 1 + op->value % (8 * KIB);
    default: return SLOT_SIZE + op->value % (4 * SLOT_SIZE);
    }
}

static void overflow(struct attempt *attempt, const struct input_op *op) {
    uint16_t index = run_pick_live(attempt->run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *from = &attempt->run->shadow.blocks[index];
    if (from->usable == 0) return;
    uintptr_t start = from->start + from->usable;
    size_t wanted = length_of(op), size = reach_up(attempt, start, wanted);
    attempt_goes_wrong(attempt);
    attempt->is_broken[index] = size != 0;
    meet_others(attempt, from, start, start + size);
    scramble(attempt, start, size, op->value);
    if (size < wanted) attempt_faults(attempt);
}

static void underflow(struct attempt *attempt, const struct input_op *op) {
    uint16_t index = run_pick_live(attempt->run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *from = &attempt->run->shadow.blocks[index];
    if (from->usable == 0) return;
    size_t wanted = length_of(op), size = reach_down(attempt, from->start, wanted);
    uintptr_t start = from->start - size, segment = round_down(from->start, SEGMENT_SIZE);
    attempt_goes_wrong(attempt);
    if (start < segment)
        run_fail(attempt->run, "an underflow of %zu bytes leaves its segment", size);
    meet_others(attempt, from, start, from->start);
    scramble(attempt, start, size, op->value);
    if (size < wanted) attempt_faults(attempt);
}

/* --- Links ----------------------------------------------------------------------------------- */

/* A free block that surely holds a link; else he leaves what he writes there to chance. */
static bool holds_link(const struct attempt *attempt, const struct shadow_block *dead) {
    uint16_t grave = shadow_find_grave(&attempt->run->shadow, dead->start, 1);
    return is_of_page(attempt, dead) && grave != SHADOW_NONE &&
           attempt->run->shadow.blocks[grave].start == dead->start &&
           shadow_page_survives(&attempt->run->shadow, grave);
}

static void write_link(struct attempt *attempt, const struct shadow_block *dead, uint64_t link,
                       enum wound_kind kind, uintptr_t target) {
    attempt_goes_wrong(attempt);
    if (!attempt_is_open(attempt, dead->start, WORD)) {
        attempt_faults(attempt);
        return;
    }
    if (kind != WOUND_BLIND && !holds_link(attempt, dead)) attempt->has_left_words = true;
    attempt_wound(attempt, dead->start, WORD, kind, target);
    attempt->run->subject->touch(dead->start, WORD);
    *(uint64_t *)dead->start = link;
}

enum damage {
    ZEROS,
    LETTERS,
    LOW_BYTES,
    TOP_BYTES,
    ONE_BIT,
    COUNT_UP,
    RANDOM,
    POINTER,
    NO_SECRET,
    LINK_READ,
    DAMAGES
};

/* Of a free block, or of one that dangles: what stands in its first word becomes something else. */
static void damage(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick);
    const struct shadow_block *other = attempt_dangling(attempt, op->kind);
    if (dead == NULL || dead->usable < WORD) return;
    if (!attempt_is_open(attempt, dead->start, WORD)) {
        attempt_goes_wrong(attempt);
        attempt_faults(attempt);
        return;
    }
    uint64_t link = *(const uint64_t *)dead->start, bits = op->value | 1;
    uint64_t random = rng_mix(op->value ^ attempt->run->input->seed) | 1;
    enum wound_kind kind = WOUND_BLIND;
    switch ((enum damage)(op->other % DAMAGES)) {
    case ZEROS: link = 0; break;
    case LETTERS: link = 0x4141414141414141; break;
    case LOW_BYTES: link ^= bits & low_mask(8 * (1 + op->kind % 4u)); break;
    case TOP_BYTES: link ^= random << 48; break;
    case ONE_BIT: link ^= bit64(op->kind); break;
    case COUNT_UP: link++; break;
    case RANDOM: link = random; break;
    case POINTER: link = other->start, kind = WOUND_GUESS; break;
    case NO_SECRET:
        link = rotl64(other->start, FREELIST_ROTATION) ^ dead->start;
        kind = WOUND_GUESS;
        break;
    default:
        if (attempt->link == 0) return;
        link = attempt->link;
        break;
    }
    if (link == *(const uint64_t *)dead->start && kind != WOUND_GUESS) return;
    if (op->other % DAMAGES == LINK_READ && !holds_link(attempt, dead))
        attempt->has_left_words = true;
    write_link(attempt, dead, link, kind, 0);
}

static uintptr_t page_start(const struct shadow_block *block) {
    return round_down(block->start, block->cell <= SMALL_MAX ? SLOT_SIZE : 8 * SLOT_SIZE);
}

/* Where he wants the list to lead. */
static uintptr_t target_of(const struct attempt *attempt, const struct input_op *op,
                           const struct shadow_block *dead) {
    const struct shadow_block *other = attempt_dangling(attempt, op->kind);
    uint16_t live = run_pick_live(attempt->run, op->kind);
    uintptr_t owned = live == SHADOW_NONE ? other->start : attempt->run->shadow.blocks[live].start;
    switch (op->other % 8) {
    case 0: return (uintptr_t)decoy.bytes;
    case 1: return dead->start + GRANULE * (1 + op->value % 4);
    case 2: return dead->start;
    case 3: return owned + GRANULE;
    case 4: return dead->start + 8 * dead->cell;
    case 5: return other->start;
    default: return owned;
    }
}

static bool is_inside(const struct shadow_block *dead, uintptr_t address) {
    return address > dead->start && address + WORD <= dead->start + dead->usable;
}

/* What his link leads to has one, too. */
static void forge(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick), *of = &attempt->key_of;
    if (dead == NULL || attempt->key == 0 || !is_of_page(attempt, dead)) return;
    uintptr_t target = target_of(attempt, op, dead);
    bool is_another = page_start(dead) != page_start(of) || dead->cell != of->cell;
    if (is_inside(dead, target) && attempt_is_open(attempt, target, WORD)) {
        attempt->run->subject->touch(target, WORD);
        *(uint64_t *)target = freelist_encode(target, attempt->key, target);
    }
    decoy.words[0] = freelist_encode(target, attempt->key, (uintptr_t)decoy.bytes);
    write_link(attempt, dead, freelist_encode(target, attempt->key, dead->start),
               is_another ? WOUND_GUESS : WOUND_KNOWN, target);
}

/* --- Freeing --------------------------------------------------------------------------------- */

/* A pointer that dangles is freed. It is a new owner's block by now, or no block at all. */
static void free_again(struct attempt *attempt, const struct input_op *op) {
    const struct shadow_block *dead = attempt_dangling(attempt, op->pick);
    const struct subject *subject = attempt->run->subject;
    if (dead == NULL) return;
    void *start = (void *)dead->start;
    uint16_t live = shadow_find_live(&attempt->run->shadow, dead->start, 1);
    bool is_stale = live != SHADOW_NONE && attempt->run->shadow.blocks[live].start == dead->start;
    unsigned thread = thread_of(op);
    attempt_goes_wrong(attempt);
    attempt_be(attempt, thread);
    if (is_stale || op->other / 8 % 4 == 0)
        subject->free(start);
    else if (op->other / 8 % 4 == 1)
        start = subject->realloc(start, 1 + op->value % 1000);
    else if (op->other / 8 % 4 == 2)
        (void)subject->usable_size(start);
    else
        subject->free_sized(start, dead->requested);
    attempt_be(attempt, 0);
    if (!is_stale) attempt_missed(attempt, "a second free", (uintptr_t)start);
    attempt_reach(attempt, AIM_STALE);
    attempt_given(attempt, live, thread);
}

/* What looks like the header of a chunk of other allocators: two sizes, a flag. */
static void write_header(struct attempt *attempt, uintptr_t start, size_t size) {
    uint64_t words[2] = {0, size | 1};
    if (!attempt_is_open(attempt, start, sizeof words)) return;
    attempt->run->subject->touch(start, sizeof words);
    memcpy((void *)start, words, sizeof words);
}

static void free_fake(struct attempt *attempt, const struct input_op *op) {
    struct run *run = attempt->run;
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    uintptr_t address = (uintptr_t)decoy.bytes + 2 * WORD;
    if (op->other % 4 != 0 && block->usable > 2 * GRANULE) {
        address = block->start + GRANULE * (1 + op->value % (block->usable / GRANULE - 1));
        write_header(attempt, address - 2 * WORD, block->usable);
    }
    if (op->other % 4 == 3) address++;
    decoy.words[1] = (op->value & 0xfff0) | 1;
    attempt_goes_wrong(attempt);
    run->subject->free((void *)address);
    attempt_missed(attempt, "a free of what is no block", address);
}

static void free_sized(struct attempt *attempt, const struct input_op *op) {
    uint16_t index = run_pick_live(attempt->run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &attempt->run->shadow.blocks[index];
    if (block->usable == 0) return;
    attempt_goes_wrong(attempt);
    attempt->run->subject->free_sized((void *)block->start,
                                      2 * block->usable + 1 + op->value % 9000);
    attempt_missed(attempt, "a free with the size of another class", block->start);
}

/* --- A program ------------------------------------------------------------------------------- */

static const struct row {
    const char *name;
    void (*carry_out)(struct attempt *attempt, const struct input_op *op);
} table[OP_CODES] = {
    [MOVE_TAKE] = {"take", take},
    [MOVE_TAKE_LIKE] = {"take like", take_like},
    [OP_POSIX_MEMALIGN] = {"take like", take_like},
    [MOVE_TAKE_MANY] = {"take many", take_many},
    [MOVE_NEXT] = {"next", take_next},
    [MOVE_GIVE] = {"give", give},
    [OP_FREE_SIZED] = {"give", give},
    [MOVE_GIVE_MANY] = {"give many", give_many},
    [MOVE_TRIM] = {"trim", trim},
    [MOVE_CLOCK] = {"clock", move_clock},
    [MOVE_LEARN] = {"learn", learn},
    [OP_REJECT] = {"learn", learn},
    [MOVE_READ] = {"read", read_dangling},
    [OP_USABLE] = {"read", read_dangling},
    [MOVE_WRITE] = {"write", write_dangling},
    [OP_FREE_NULL] = {"write", write_dangling},
    [MOVE_OVERFLOW] = {"overflow", overflow},
    [OP_CHECK] = {"overflow", overflow},
    [OP_USABLE_INTERIOR] = {"overflow", overflow},
    [MOVE_UNDERFLOW] = {"underflow", underflow},
    [MOVE_DAMAGE] = {"damage", damage},
    [OP_OWNS] = {"damage", damage},
    [OP_THREAD_START] = {"damage", damage},
    [OP_THREAD_END] = {"damage", damage},
    [MOVE_FORGE] = {"forge", forge},
    [OP_FAULT] = {"forge", forge},
    [OP_FORK] = {"forge", forge},
    [MOVE_AGAIN] = {"free again", free_again},
    [OP_REALLOC_STALE] = {"free again", free_again},
    [OP_FREE_SIZED_STALE] = {"free again", free_again},
    [MOVE_FAKE] = {"free fake", free_fake},
    [OP_FREE_FOREIGN] = {"free fake", free_fake},
    [OP_REALLOC_INTERIOR] = {"free fake", free_fake},
    [MOVE_SIZED] = {"free sized", free_sized},
};

static struct attempt *acting;

static void move(struct run *run, const void *argument) {
    const struct input_op *op = argument;
    if (run_verbose)
        fprintf(stderr, "fuzz: %u %s pick %u other %u kind %u value %u, %u live\n", run->op_index,
                table[op->code].name, op->pick, op->other, op->kind, op->value,
                run->shadow.live_count);
    table[op->code].carry_out(acting, op);
    run_trace(run, run->shadow.live_count);
}

void attacker_attempt(struct attempt *attempt, struct run *run, const struct subject *subject,
                      const struct input *input, unsigned number) {
    attempt_begin(attempt, run, subject, input, number);
    acting = attempt;
    for (; run->op_index < input->op_count && !run->over; run->op_index++) {
        attempt->moves = run->op_index;
        run_until_report(run, move, &input->ops[run->op_index]);
    }
    attempt_end(attempt);
}

void attacker_run(struct run *run, const struct subject *subject, const struct input *input) {
    static struct attempt attempt;
    uint64_t trace = 0;
    int reported = -1;
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        attacker_attempt(&attempt, run, subject, input, i);
        trace = rng_mix(trace ^ run->trace);
        if (reported < 0) reported = run->reported;
    }
    run->trace = trace;
    run->reported = reported;
}
