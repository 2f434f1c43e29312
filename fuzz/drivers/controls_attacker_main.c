/*
 * controls_attacker_main: for each oracle of `attacker` one planted bug that must be found.
 *
 *   fuzz_controls_attacker [NAME...]
 *
 * As controls_main.c, in front of moat and on the inputs that a search would try: defences that let
 * an attacker have what is promised to be impossible. The test fuzz.controls_attacker. Exit status:
 * 0; 1.
 */
#include <string.h>

#include "base/base.h"
#include "engine/control.h"
#include "engine/exploits.h"
#include "engine/wanted.h"
#include "heap/freelist.h"

enum { NOW_AND_THEN = 7, INPUTS_MAX = 20000, ATTEMPTS = 2, WORD = sizeof(uint64_t) };

static struct run run;
static struct attempt attempt;
static struct input input;
static struct subject planted;
static unsigned calls;
static bool is_time(void) { return ++calls % NOW_AND_THEN == 0; }

static bool is_now(unsigned code) { return input.ops[run.op_index].code == code; }

/* The last block that malloc gave and nobody freed, and the last that was freed and not given. */
static char *last_given, *last_freed;
static size_t last_size, freed_size;

static void *remembering_malloc(size_t size) {
    char *block = subject_moat.malloc(size);
    if (block == last_freed) last_freed = NULL;
    if (size >= 2 * WORD) last_given = block, last_size = size;
    return block;
}
static void remembering_free(void *block) {
    if (block == last_given) last_given = NULL;
    uint16_t index = shadow_find_live(&run.shadow, (uintptr_t)block, 1);
    if (index != SHADOW_NONE && run.shadow.blocks[index].usable >= 4 * GRANULE)
        last_freed = block, freed_size = run.shadow.blocks[index].usable;
    subject_moat.free(block);
}
static void remember(void) {
    planted.malloc = remembering_malloc;
    planted.free = remembering_free;
}

/* --- Two owners, and places of his choice ---------------------------------------------------- */

static void *overlapping_malloc(size_t size) {
    if (last_given != NULL && size != 0 && size <= last_size && is_time()) return last_given;
    return remembering_malloc(size);
}
static void plant_overlap(void) {
    remember();
    planted.malloc = overlapping_malloc;
}

/* Of the process's own memory. */
static _Alignas(64) char static_block[128];
static void *foreign_malloc(size_t size) {
    return size != 0 && size <= sizeof static_block && is_time() ? static_block
                                                                 : subject_moat.malloc(size);
}
static size_t foreign_size(const void *block) {
    return block == static_block ? sizeof static_block : subject_moat.usable_size(block);
}
static void plant_outside(void) {
    planted.malloc = foreign_malloc;
    planted.usable_size = foreign_size;
}

/* As long as there is memory: its page may have ended, or end right behind it. */
static bool can_shift(void) {
    uintptr_t start = (uintptr_t)last_freed + GRANULE;
    return last_freed != NULL && subject_moat.is_open(start) &&
           subject_moat.is_open(start + freed_size - 1);
}
static void *shifted_malloc(size_t size) {
    if (size > freed_size / 2 && size <= freed_size && can_shift() && is_time())
        return last_freed + GRANULE;
    return remembering_malloc(size);
}
static size_t shifted_size(const void *block) {
    bool is_shifted = last_freed != NULL && block == last_freed + GRANULE;
    return is_shifted ? freed_size : subject_moat.usable_size(block);
}
static void plant_inside(void) {
    remember();
    planted.malloc = shifted_malloc;
    planted.usable_size = shifted_size;
}

static void patient_free(void *block) {
    if (block == NULL || block != last_freed) remembering_free(block);
}
static void plant_patient(void) {
    remember();
    planted.free = patient_free;
}

static void trusting_free(void *block) {
    if (!is_now(MOVE_FAKE)) subject_moat.free(block);
}
static void plant_trusting(void) { planted.free = trusting_free; }

static void any_size(void *block, size_t size) {
    (void)size;
    subject_moat.free(block);
}
static void plant_size(void) { planted.free_sized = any_size; }

static void twofold_free(void *block) {
    subject_moat.free(block);
    if (block != NULL && is_time()) subject_moat.free(block);
}
static void plant_report(void) { planted.free = twofold_free; }

/* --- Neighbours ------------------------------------------------------------------------------ */

/* What is written behind a guard is not for the records of memory in use. */
static void touch_open(uintptr_t start, size_t size) {
    for (uintptr_t at = start; at < start + size; at++)
        if (subject_moat.is_open(at)) subject_moat.touch(at, 1);
}

static bool no_guard(uintptr_t address) {
    return subject_moat.is_open(address) || is_now(MOVE_OVERFLOW);
}
static void plant_no_guard(void) {
    planted.is_open = no_guard;
    planted.touch = touch_open;
}

static bool no_guard_below(uintptr_t address) {
    return subject_moat.is_open(address) || is_now(MOVE_UNDERFLOW);
}
static void plant_no_guard_below(void) {
    planted.is_open = no_guard_below;
    planted.touch = touch_open;
}

/* --- Links ----------------------------------------------------------------------------------- */

/* Damage of that kind goes unseen: the link is mended before somebody looks. */
static enum wound_kind mended;
static void *mending_malloc(size_t size) {
    for (unsigned i = 0; i < attempt.wound_count; i++)
        if (attempt.wounds[i].is_sure && attempt.wounds[i].kind == mended)
            *(uint64_t *)attempt.wounds[i].block.start = attempt.wounds[i].before;
    return subject_moat.malloc(size);
}
static void plant_blind(void) {
    mended = WOUND_BLIND;
    planted.malloc = mending_malloc;
}
static void plant_guess(void) {
    mended = WOUND_GUESS;
    planted.malloc = mending_malloc;
}

/* --- What a new block tells ------------------------------------------------------------------ */

static uint64_t told;
static void *telling_malloc(size_t size) {
    uint64_t *block = subject_moat.malloc(size);
    bool has_room = size >= 2 * WORD && size <= SMALL_MAX;
    if (has_room && is_time()) block[1] = told != 0 ? told : subject_moat.secret((uintptr_t)block);
    return block;
}
static void plant_secret(void) {
    told = 0;
    planted.malloc = telling_malloc;
}
/* Of a heap that is elsewhere. */
static uintptr_t low_base(void) { return SEGMENT_SIZE; }
static void plant_address(void) {
    told = SEGMENT_SIZE + 1;
    planted.base = low_base;
    planted.malloc = telling_malloc;
}

/* A link is left where a page of another class was. */
static void *keeping_malloc(size_t size) {
    uint64_t *block = subject_moat.malloc(size);
    uint16_t grave = shadow_find_grave(&run.shadow, (uintptr_t)block, size);
    if (grave == SHADOW_NONE || size < 2 * WORD) return block;
    const struct shadow_block *dead = &run.shadow.blocks[grave];
    if (dead->secret != 0 && dead->cell != subject_moat.usable_size(block))
        block[1] = freelist_encode(dead->start, dead->secret, (uintptr_t)&block[1]);
    return block;
}
static void plant_old_link(void) { planted.malloc = keeping_malloc; }

static void *leaking_malloc(size_t size) {
    uint64_t *block = subject_moat.malloc(size);
    if (block != NULL && size != 0 && is_time()) *block = 0x2bca286d0000;
    return block;
}
static void plant_link(void) { planted.malloc = leaking_malloc; }

static void *dirty_malloc(size_t size) {
    unsigned char *block = subject_moat.malloc(size);
    if (block != NULL && size > GRANULE && is_time()) block[size - 1] = 1;
    return block;
}
static void plant_not_zero(void) { planted.malloc = dirty_malloc; }

/* What looks like another class in the place of the one that was there. */
static size_t halved_size(const void *block) {
    size_t size = subject_moat.usable_size(block);
    uint16_t grave = shadow_find_grave(&run.shadow, (uintptr_t)block, 1);
    return grave != SHADOW_NONE && size >= 2 * GRANULE && size <= SMALL_MAX ? size / 2 : size;
}
static void *small_malloc(size_t size) {
    void *block = subject_moat.malloc(size <= SMALL_MAX ? 2 * size : size);
    /* what is left of the other class would be found first */
    if (block != NULL) memset(block, 0, subject_moat.usable_size(block));
    return block;
}
static void plant_class(void) {
    planted.malloc = small_malloc;
    planted.usable_size = halved_size;
}
static uint64_t no_secret(uintptr_t block) {
    (void)block;
    return 0;
}
static void plant_other_class(void) {
    plant_class();
    planted.secret = no_secret;
}

/* --- What must be found ---------------------------------------------------------------------- */

static const struct control {
    const char *name;
    void (*plant)(void);
    const char *says; /* the oracle's words */
    bool is_strict;
} controls[] = {
    {"overlap", plant_overlap, "overlaps a live block", false},
    {"outside", plant_outside, "is no place for a block", false},
    {"inside", plant_inside, "begins at byte 16 of a free one", false},
    {"second free", plant_patient, "a second free at", false},
    {"no block", plant_trusting, "a free of what is no block at", false},
    {"size", plant_size, "a free with the size of another class at", false},
    {"report", plant_report, "report double-free", false},
    {"overflow", plant_no_guard, "an overflow from a block of", false},
    {"underflow", plant_no_guard_below, "leaves its segment", false},
    {"damaged link", plant_blind, "a link that was damaged was followed", false},
    {"guessed link", plant_guess, "made without its page's secret was followed", false},
    {"secret", plant_secret, "tells the secret of its page", false},
    {"address", plant_address, "tells an address of the heap", false},
    {"old link", plant_old_link, "tells a link of a page that was there", false},
    {"link left", plant_link, "begins with", false},
    {"not zero", plant_not_zero, "of a new block of", true},
    {"another class", plant_other_class, "while its segment has slots", false},
};
enum { CONTROLS = sizeof controls / sizeof controls[0] };

static void search(const void *argument) {
    const struct control *control = argument;
    planted = subject_moat;
    control->plant();
    for (uint64_t seed = 0; seed < INPUTS_MAX; seed++) {
        struct rng random = {seed};
        exploit_fresh(&input, &random);
        input.flags &= (uint8_t) ~(INPUT_STRICT | INPUT_KERNEL);
        if (control->is_strict) input.flags |= INPUT_STRICT;
        for (unsigned i = 0; i < ATTEMPTS; i++) {
            last_given = last_freed = NULL;
            attacker_attempt(&attempt, &run, &planted, &input, i);
        }
    }
}

int main(int argc, char **argv) {
    unsigned missed = 0;
    for (unsigned i = 0; i < CONTROLS; i++) {
        if (is_wanted(controls[i].name, argv + 1, argc - 1))
            missed += !control_finds(controls[i].name, controls[i].says, "", search, &controls[i]);
    }
    return missed > 0;
}
