/*
 * attempt: what an attacker has in one attempt, and the truth about it. See the header.
 *
 * Judging a new block comes in three parts: where it lies, what is still in it, and whose place it
 * was; the rest is that of every harness (verb_take()). Of a damaged link it can be said for sure
 * that it was followed if its block was freed by its owner's thread, its page has lived since, and
 * the damage stood there just before the call that handed the block out.
 */
#include "engine/attempt.h"

#include <string.h>

#include "base/base.h"
#include "base/bits.h"
#include "engine/verbs.h"
#include "heap/freelist.h"

enum { LIVE_BYTES_MAX = 64 * 1024 * 1024, OS_PAGE_LEAST = 4096 };

/* Any but those that moat's own tables are damaged, or that it was called within a call. */
static const unsigned wanted_reports =
    KIND_BIT(REPORT_DOUBLE_FREE) | KIND_BIT(REPORT_INVALID_FREE) | KIND_BIT(REPORT_CORRUPT_LINK) |
    KIND_BIT(REPORT_OVERFLOW) | KIND_BIT(REPORT_WRITE_AFTER_FREE) | KIND_BIT(REPORT_SIZE_MISMATCH);

/* All of an attempt is drawn anew but how long the quarantine is (subject_moat). */
static uint64_t seed_of(const struct input *input, unsigned number) {
    const uint64_t kept = (uint64_t)3 << 32;
    uint64_t fresh = rng_mix(input->seed ^ rng_mix(number + 1));
    return (fresh & ~kept) | (input->seed & kept);
}

void attempt_begin(struct attempt *attempt, struct run *run, const struct subject *subject,
                   const struct input *input, unsigned number) {
    static struct input fresh;
    fresh = *input;
    fresh.flags |= INPUT_MISUSE; /* no samples */
    fresh.flags &= (uint8_t)~INPUT_FORK;
    fresh.seed = seed_of(input, number);
    memset(attempt, 0, offsetof(struct attempt, by_other));
    attempt->run = run;
    run_begin(run, subject, &fresh);
}

void attempt_end(struct attempt *attempt) {
    struct run *run = attempt->run;
    if (run->over && attempt->ending == ENDS_IN_TIME) attempt->ending = ENDS_BY_REPORT;
    attempt->ended_at = attempt->moves;
    run_trace(run, attempt->reached);
    run_trace(run, attempt->ending);
    run_end(run);
}

void attempt_goes_wrong(struct attempt *attempt) {
    if (attempt->is_wrong) return;
    attempt->is_wrong = true;
    attempt->wrong_at = attempt->moves;
    attempt->run->tolerated = wanted_reports;
}

void attempt_reach(struct attempt *attempt, enum aim aim) { attempt->reached |= 1u << aim; }

void attempt_faults(struct attempt *attempt) {
    attempt->ending = ENDS_BY_FAULT;
    attempt->run->over = true;
}

void attempt_missed(struct attempt *attempt, const char *what, uintptr_t address) {
    run_fail(attempt->run, "%s at offset %#lx went unnoticed", what,
             (unsigned long)run_offset(attempt->run, address));
}

void attempt_be(const struct attempt *attempt, unsigned thread) {
    attempt->run->thread = thread;
    if (thread == 0)
        attempt->run->subject->be_nobody();
    else
        attempt->run->subject->be_thread(thread);
}

const struct shadow_block *attempt_dangling(const struct attempt *attempt, unsigned pick) {
    unsigned count = attempt->dangling_count, kept = count < DANGLING_MAX ? count : DANGLING_MAX;
    if (kept == 0) return NULL;
    unsigned age = kept - 1 - ((pick & 255) * kept >> 8);
    return &attempt->dangling[(count - 1 - age) % DANGLING_MAX];
}

bool attempt_is_open(const struct attempt *attempt, uintptr_t start, size_t size) {
    const struct subject *subject = attempt->run->subject;
    if (size == 0) return true;
    for (uintptr_t at = start; at < start + size;
         at = round_down(at, OS_PAGE_LEAST) + OS_PAGE_LEAST)
        if (!subject->is_open(at)) return false;
    return true;
}

/* --- Links ----------------------------------------------------------------------------------- */

static struct wound *find_wound(struct attempt *attempt, uintptr_t start) {
    for (unsigned i = 0; i < attempt->wound_count; i++)
        if (attempt->wounds[i].block.start == start) return &attempt->wounds[i];
    return NULL;
}

static void forget_wound(struct attempt *attempt, uintptr_t start) {
    struct wound *wound = find_wound(attempt, start);
    if (wound != NULL) *wound = attempt->wounds[--attempt->wound_count];
}

void attempt_wound(struct attempt *attempt, uintptr_t start, size_t size, enum wound_kind kind,
                   uintptr_t target) {
    const struct shadow *shadow = &attempt->run->shadow;
    uintptr_t end = start + size;
    if (attempt->run->is_strict) return; /* there are no links */
    while (end > start) {
        uint16_t grave = shadow_find_grave(shadow, start, end - start);
        if (grave == SHADOW_NONE) return;
        const struct shadow_block *dead = &shadow->blocks[grave];
        end = dead->start;
        if (dead->usable < GRANULE || dead->start + sizeof(uint64_t) <= start) continue;
        struct wound *wound = find_wound(attempt, dead->start);
        if (wound == NULL && attempt->wound_count == WOUNDS_MAX) continue;
        if (wound == NULL) {
            wound = &attempt->wounds[attempt->wound_count++];
            *wound = (struct wound){.block = *dead, .grave = grave, .kind = kind};
            wound->before = *(const uint64_t *)dead->start;
        }
        wound->kind = kind;
        wound->target = target;
    }
}

/* Just before an allocation. */
static void look_at_wounds(struct attempt *attempt) {
    const struct shadow *shadow = &attempt->run->shadow;
    for (unsigned i = 0; i < attempt->wound_count; i++) {
        struct wound *wound = &attempt->wounds[i];
        const struct shadow_block *dead = &shadow->blocks[wound->grave];
        wound->is_sure = dead->state == BLOCK_GRAVE && dead->start == wound->block.start &&
                         dead->died == wound->block.died && !attempt->by_other[wound->grave] &&
                         shadow_page_survives(shadow, wound->grave) &&
                         *(const uint64_t *)dead->start != wound->before;
        if (wound->is_sure) wound->block.pattern = *(const uint64_t *)dead->start;
    }
}

/* The block was handed out, so what stood in it was taken for a link. */
static void judge_wound(struct attempt *attempt, const struct wound *wound, uintptr_t start) {
    const uint64_t low = ((uint64_t)1 << FREELIST_ROTATION) - 1;
    uint64_t stood = wound->block.pattern;
    if (!wound->is_sure) return;
    if (wound->kind == WOUND_KNOWN) {
        attempt->expected = wound->target;
        return;
    }
    if (wound->kind == WOUND_GUESS || ((stood ^ wound->before) & low) != 0)
        run_fail(attempt->run,
                 "a link that was %s was followed: %#lx in the place of %#lx, at %#lx",
                 wound->kind == WOUND_GUESS ? "made without its page's secret" : "damaged",
                 (unsigned long)stood, (unsigned long)wound->before, (unsigned long)start);
    attempt_reach(attempt, AIM_LINK);
}

/* --- Where a block lies ---------------------------------------------------------------------- */

/* A new block is accessible memory of the heap, and no part of a free block of its size. */
static void judge_place(struct attempt *attempt, uintptr_t start, size_t usable, size_t cell) {
    struct run *run = attempt->run;
    if (!run->subject->owns((const void *)start) || !attempt_is_open(attempt, start, usable))
        run_fail(run, "%#lx, of %zu bytes, is no place for a block", (unsigned long)start, usable);
    uint16_t grave = shadow_find_grave(&run->shadow, start, 1);
    if (grave == SHADOW_NONE || cell == 0) return;
    const struct shadow_block *dead = &run->shadow.blocks[grave];
    if (dead->cell == cell && dead->start != start && cell <= LARGE_MAX)
        run_fail(run, "the block begins at byte %zu of a free one of %zu bytes",
                 (size_t)(start - dead->start), cell);
}

static struct place *place_of(struct attempt *attempt, uintptr_t segment) {
    for (unsigned i = 0; i < attempt->place_count; i++)
        if (attempt->places[i].segment == segment) return &attempt->places[i];
    if (attempt->place_count == PLACES_MAX) return NULL;
    struct place *place = &attempt->places[attempt->place_count++];
    *place = (struct place){.segment = segment};
    return place;
}

static bool has_small_page(size_t cell) { return cell != 0 && cell <= SMALL_MAX; }

static void note_place(struct attempt *attempt, uintptr_t start, size_t usable, size_t cell) {
    uintptr_t segment = round_down(start, SEGMENT_SIZE);
    for (; segment < start + usable; segment += SEGMENT_SIZE) {
        struct place *place = place_of(attempt, segment);
        if (place == NULL) return;
        if (has_small_page(cell))
            place->slots |= bit64((unsigned)((start - segment) >> SLOT_SHIFT));
        else
            place->is_mixed = true;
    }
}

/* Whether the segment has surely been one of small pages since before the block died, and has slots
   that no page was ever in. Some are used that nobody here sees. */
static bool has_slots_to_spare(struct attempt *attempt, const struct shadow_block *dead) {
    enum { UNSEEN = 4 };
    const struct shadow *shadow = &attempt->run->shadow;
    uintptr_t segment = round_down(dead->start, SEGMENT_SIZE);
    const struct place *place = place_of(attempt, segment);
    bool by_kernel = (attempt->run->input->flags & INPUT_KERNEL) != 0 || run_by_kernel;
    if (by_kernel || place == NULL || place->is_mixed ||
        popcount64(place->slots) + UNSEEN >= SLOTS_PER_SEGMENT)
        return false;
    for (unsigned i = 0; i < shadow->live_count; i++) {
        const struct shadow_block *block = &shadow->blocks[shadow->live[i]];
        if (round_down(block->start, SEGMENT_SIZE) == segment && block->born < dead->died)
            return true;
    }
    return false;
}

/* --- What is in it --------------------------------------------------------------------------- */

/* Whether the word at that address is a link of the page that the dead block was in. */
static bool is_old_link(const struct shadow_block *dead, uint64_t word, uintptr_t address) {
    uintptr_t page = round_down(dead->start, SLOT_SIZE);
    return dead->secret != 0 && freelist_decode(word, dead->secret, address) - page < SLOT_SIZE;
}

static void judge_word(struct attempt *attempt, uintptr_t address, uint64_t word,
                       const struct shadow_block *dead, uint64_t secret) {
    enum { SPAN_SHIFT = 34 };
    struct run *run = attempt->run;
    const char *what = NULL;
    bool is_address = (word - run->subject->base()) >> SPAN_SHIFT == 0;
    if (is_address) what = "an address of the heap";
    if (secret != 0 && word == secret) what = "the secret of its page";
    if (dead != NULL && is_old_link(dead, word, address)) what = "a link of a page that was there";
    if (what != NULL)
        run_fail(run, "a new block tells %s: %#lx at %#lx", what, (unsigned long)word,
                 (unsigned long)address);
}

/* At the default level, where contents remain; and of pages, which moat writes into. `dead`: a
   block of another class that was there. */
static void judge_contents(struct attempt *attempt, uintptr_t start, size_t usable, size_t cell,
                           const struct shadow_block *dead) {
    enum { ENDS = 2048, WORD = sizeof(uint64_t) };
    if (attempt->run->is_strict || attempt->has_left_words || cell == 0 || cell > MEDIUM_MAX)
        return;
    uint64_t secret = attempt->run->subject->secret(start);
    for (size_t at = WORD; at + WORD <= usable; at += WORD) {
        if (at == ENDS && usable > 2 * ENDS) at = usable - ENDS;
        uint64_t word = *(const uint64_t *)(start + at);
        if (word != 0) judge_word(attempt, start + at, word, dead, secret);
    }
}

/* --- Whose place it was ---------------------------------------------------------------------- */

static void meet_grave(struct attempt *attempt, const struct shadow_block *dead, uintptr_t start,
                       size_t cell) {
    bool in_pages = dead->cell != 0 && cell != 0 && dead->cell <= LARGE_MAX && cell <= LARGE_MAX;
    if (!in_pages || dead->cell == cell) {
        attempt_reach(attempt, AIM_RECLAIM);
        if (dead->start == start && !attempt->run->is_strict && shadow_remains(dead))
            attempt_reach(attempt, AIM_REMAINS);
        return;
    }
    attempt_reach(attempt, AIM_CONFUSION);
    if (has_small_page(cell) && has_small_page(dead->cell) && has_slots_to_spare(attempt, dead))
        run_fail(attempt->run,
                 "memory of blocks of %zu bytes serves %zu bytes, while its segment has slots "
                 "that were never used",
                 dead->cell, cell);
}

/* The graves in its place, from above. One of another class, or NULL. */
static const struct shadow_block *meet_graves(struct attempt *attempt, uintptr_t start,
                                              size_t usable, size_t cell) {
    const struct shadow *shadow = &attempt->run->shadow;
    const struct shadow_block *other = NULL;
    uintptr_t end = start + usable;
    while (end > start) {
        uint16_t grave = shadow_find_grave(shadow, start, end - start);
        if (grave == SHADOW_NONE) break;
        const struct shadow_block *dead = &shadow->blocks[grave];
        meet_grave(attempt, dead, start, cell);
        if (dead->cell != cell) other = dead;
        end = dead->start;
    }
    return other;
}

static void judge_new(struct attempt *attempt, uintptr_t start, size_t size) {
    struct run *run = attempt->run;
    size_t usable = run->subject->usable_size((const void *)start);
    size_t cell = run->is_strict ? run->subject->cell(size, 1) : usable;
    if (usable == 0) return; /* it is nowhere */
    judge_place(attempt, start, usable, cell);
    const struct shadow_block *other = meet_graves(attempt, start, usable, cell);
    judge_contents(attempt, start, usable, cell, other);
    note_place(attempt, start, usable, cell);
}

/* --- Taking and giving ----------------------------------------------------------------------- */

static void judge_order(struct attempt *attempt, const struct shadow_block *taken) {
    if (attempt->expected != 0 && taken->cell == attempt->last.cell) {
        if (taken->start == attempt->expected) attempt_reach(attempt, AIM_ORDER);
        attempt->expected = 0;
    }
    struct wound *wound = find_wound(attempt, taken->start);
    if (wound != NULL) judge_wound(attempt, wound, taken->start);
    forget_wound(attempt, taken->start);
}

uint16_t attempt_take(struct attempt *attempt, size_t size, unsigned thread) {
    struct run *run = attempt->run;
    if (!shadow_can_take(&run->shadow, 1) || run->shadow.live_bytes + size > LIVE_BYTES_MAX)
        return SHADOW_NONE;
    look_at_wounds(attempt);
    attempt_be(attempt, thread);
    void *block = run->subject->malloc(size);
    attempt_be(attempt, 0);
    if (block == NULL) run_fail(run, "malloc of %zu bytes gave NULL", size);
    /* what moat says of a block that it has just given is no end of the attack */
    unsigned tolerated = run->tolerated;
    run->tolerated = 0;
    judge_new(attempt, (uintptr_t)block, size);
    run->thread = thread;
    uint16_t index = verb_take(run, (uintptr_t)block, size, 1, ORIGIN_MALLOC, false);
    run->thread = 0;
    run->tolerated = tolerated;
    attempt->is_broken[index] = false;
    judge_order(attempt, &run->shadow.blocks[index]);
    if (thread == 0) attempt->last = run->shadow.blocks[index];
    return index;
}

void attempt_given(struct attempt *attempt, uint16_t index, unsigned thread) {
    struct shadow *shadow = &attempt->run->shadow;
    if (attempt->is_broken[index]) attempt_reach(attempt, AIM_UNSEEN);
    forget_wound(attempt, shadow->blocks[index].start);
    attempt->by_other[index] = shadow->blocks[index].owner != thread;
    shadow_death(shadow, index);
    attempt->dangling[attempt->dangling_count++ % DANGLING_MAX] = shadow->blocks[index];
}

void attempt_give(struct attempt *attempt, uint16_t index, unsigned thread) {
    attempt_be(attempt, thread);
    attempt->run->subject->free((void *)attempt->run->shadow.blocks[index].start);
    attempt_be(attempt, 0);
    attempt_given(attempt, index, thread);
}
