/*
 * shadow: what the allocator should believe. See the header.
 *
 * The two trees are treaps whose priorities come from the block's index and birth, so their shape
 * is the same in every run. live[] and graves[] hold the same blocks as the trees, in no order, so
 * that one can be picked by its number; a block that goes is replaced there by the last.
 */
#include "engine/shadow.h"

#include <string.h>

#include "base/base.h"
#include "engine/rng.h"

/* A block of no bytes still has an address of its own. */
static size_t extent(const struct shadow_block *block) { return block->usable ? block->usable : 1; }

void shadow_reset(struct shadow *shadow, uint64_t seed, size_t full_limit) {
    shadow->live_count = shadow->grave_count = shadow->unused_count = shadow->fresh = 0;
    shadow->live_root = shadow->grave_root = SHADOW_NONE;
    shadow->clock = 0;
    shadow->next_pattern = rng_mix(seed | 1);
    shadow->live_bytes = 0;
    shadow->full_limit = full_limit;
    shadow->evict = 0;
}

void shadow_copy(struct shadow *to, const struct shadow *from) {
    enum { COUNTS = offsetof(struct shadow, live_count) }; /* from there on */
    memcpy((char *)to + COUNTS, (const char *)from + COUNTS, sizeof *to - COUNTS);
    memcpy(to->blocks, from->blocks, from->fresh * sizeof from->blocks[0]);
    memcpy(to->live, from->live, from->live_count * sizeof from->live[0]);
    memcpy(to->graves, from->graves, from->grave_count * sizeof from->graves[0]);
    memcpy(to->unused, from->unused, from->unused_count * sizeof from->unused[0]);
}

bool shadow_can_take(const struct shadow *shadow, unsigned blocks) {
    return shadow->unused_count + SHADOW_BLOCKS - shadow->fresh >= blocks + 1;
}

/* Everything below `key` goes to *low, the rest to *high. */
static void tree_split(struct shadow *shadow, uint16_t root, uintptr_t key, uint16_t *low,
                       uint16_t *high) {
    while (root != SHADOW_NONE) {
        struct shadow_block *node = &shadow->blocks[root];
        if (node->start < key) {
            *low = root;
            low = &node->right;
            root = node->right;
        } else {
            *high = root;
            high = &node->left;
            root = node->left;
        }
    }
    *low = *high = SHADOW_NONE;
}

static uint16_t tree_merge(struct shadow *shadow, uint16_t low, uint16_t high) {
    uint16_t root = SHADOW_NONE, *place = &root;
    while (low != SHADOW_NONE && high != SHADOW_NONE) {
        if (shadow->blocks[low].priority > shadow->blocks[high].priority) {
            *place = low;
            place = &shadow->blocks[low].right;
            low = *place;
        } else {
            *place = high;
            place = &shadow->blocks[high].left;
            high = *place;
        }
    }
    *place = low != SHADOW_NONE ? low : high;
    return root;
}

static void tree_insert(struct shadow *shadow, uint16_t *root, uint16_t index) {
    struct shadow_block *node = &shadow->blocks[index];
    uint16_t *place = root;
    while (*place != SHADOW_NONE && shadow->blocks[*place].priority >= node->priority)
        place = node->start < shadow->blocks[*place].start ? &shadow->blocks[*place].left
                                                           : &shadow->blocks[*place].right;
    uint16_t rest = *place;
    *place = index;
    tree_split(shadow, rest, node->start, &node->left, &node->right);
}

static void tree_remove(struct shadow *shadow, uint16_t *root, uint16_t index) {
    const struct shadow_block *node = &shadow->blocks[index];
    uint16_t *place = root;
    while (*place != index) {
        struct shadow_block *at = &shadow->blocks[*place];
        place = node->start < at->start ? &at->left : &at->right;
    }
    *place = tree_merge(shadow, node->left, node->right);
}

/* The node with the greatest start that is not above `address`. */
static uint16_t tree_floor(const struct shadow *shadow, uint16_t root, uintptr_t address) {
    uint16_t best = SHADOW_NONE;
    while (root != SHADOW_NONE) {
        const struct shadow_block *node = &shadow->blocks[root];
        if (node->start <= address) {
            best = root;
            root = node->right;
        } else {
            root = node->left;
        }
    }
    return best;
}

static uint16_t tree_find(const struct shadow *shadow, uint16_t root, uintptr_t start,
                          size_t length) {
    uint16_t index = tree_floor(shadow, root, start + length - 1);
    if (index == SHADOW_NONE) return SHADOW_NONE;
    const struct shadow_block *node = &shadow->blocks[index];
    return node->start + extent(node) > start ? index : SHADOW_NONE;
}

uint16_t shadow_find_live(const struct shadow *shadow, uintptr_t start, size_t length) {
    return tree_find(shadow, shadow->live_root, start, length);
}

uint16_t shadow_find_grave(const struct shadow *shadow, uintptr_t start, size_t length) {
    return tree_find(shadow, shadow->grave_root, start, length);
}

static void remove_from(struct shadow *shadow, uint16_t *list, unsigned *count, uint16_t index) {
    uint16_t last = list[--*count];
    list[shadow->blocks[index].position] = last;
    shadow->blocks[last].position = shadow->blocks[index].position;
}

static void release_grave(struct shadow *shadow, uint16_t index) {
    tree_remove(shadow, &shadow->grave_root, index);
    remove_from(shadow, shadow->graves, &shadow->grave_count, index);
    shadow->blocks[index].state = BLOCK_UNUSED;
    shadow->unused[shadow->unused_count++] = index;
}

/* The eight bytes that belong at `offset` (a multiple of 8) of a block. A sum, which loops carry
   along, and bits that all words have. */
#define WORD_STEP 0x9fb21c651e98df25u
#define WORD_BITS 0x0100000000000001u
static uint64_t word_at(uint64_t pattern, size_t offset) {
    return (pattern + offset * WORD_STEP) | WORD_BITS;
}

enum { SECOND = 8, WORD = 8 };

bool shadow_remains(const struct shadow_block *dead) {
    return dead->usable >= SECOND + WORD &&
           *(const uint64_t *)(dead->start + SECOND) == word_at(dead->pattern, SECOND);
}

/* Pages meet zeros where a page of another class was, and have a secret of their own: what is left
   of such a page's block, or NULL. */
static const char *what_is_left(const struct shadow_block *dead, const struct shadow_block *facts) {
    uintptr_t place = dead->start + SECOND;
    bool in_pages = dead->cell != 0 && dead->cell <= LARGE_MAX && facts->cell != 0 &&
                    facts->cell <= LARGE_MAX && dead->cell != facts->cell;
    if (!in_pages) return NULL;
    if (dead->secret != 0 && dead->secret == facts->secret)
        return "the page has the secret of the one that was there before";
    bool covers = place >= facts->start && place + WORD <= facts->start + facts->usable;
    if (covers && shadow_remains(dead)) return "the block has in it what one of another size held";
    return NULL;
}

const char *shadow_birth(struct shadow *shadow, struct shadow_block facts, uint16_t *index) {
    size_t length = extent(&facts);
    if (facts.usable < facts.requested) return "usable size is below what was asked for";
    if (facts.requested == 0 && facts.usable != 0) return "a zero-size block has a usable size";
    if (facts.start % (facts.alignment < GRANULE ? GRANULE : facts.alignment) != 0)
        return "the block is not aligned";
    if (facts.start + length < facts.start) return "the block wraps around the address space";
    if (shadow_find_live(shadow, facts.start, length) != SHADOW_NONE)
        return "the block overlaps a live block";
    uint16_t grave;
    while ((grave = tree_find(shadow, shadow->grave_root, facts.start, length)) != SHADOW_NONE) {
        const char *left = what_is_left(&shadow->blocks[grave], &facts);
        if (left != NULL) return left;
        release_grave(shadow, grave);
    }

    *index = shadow->unused_count > 0 ? shadow->unused[--shadow->unused_count]
                                      : (uint16_t)shadow->fresh++;
    facts.state = BLOCK_LIVE;
    facts.born = ++shadow->clock;
    facts.died = 0;
    facts.pattern = shadow->next_pattern += 0x9e3779b97f4a7c15u;
    facts.priority = (uint32_t)rng_mix(facts.born);
    facts.position = (uint16_t)shadow->live_count;
    facts.whole = facts.usable <= shadow->full_limit;
    shadow->blocks[*index] = facts;
    shadow->live[shadow->live_count++] = *index;
    shadow->live_bytes += facts.usable;
    tree_insert(shadow, &shadow->live_root, *index);
    return NULL;
}

static void unlive(struct shadow *shadow, uint16_t index) {
    tree_remove(shadow, &shadow->live_root, index);
    remove_from(shadow, shadow->live, &shadow->live_count, index);
    shadow->live_bytes -= shadow->blocks[index].usable;
}

void shadow_death(struct shadow *shadow, uint16_t index) {
    unlive(shadow, index);
    if (shadow->grave_count == SHADOW_GRAVES)
        release_grave(shadow, shadow->graves[shadow->evict++ % SHADOW_GRAVES]);
    struct shadow_block *block = &shadow->blocks[index];
    block->state = BLOCK_GRAVE;
    block->died = ++shadow->clock;
    block->position = (uint16_t)shadow->grave_count;
    shadow->graves[shadow->grave_count++] = index;
    tree_insert(shadow, &shadow->grave_root, index);
}

uint16_t shadow_revive(struct shadow *shadow, const struct shadow_block *facts) {
    uint16_t index = SHADOW_NONE;
    if (shadow_birth(shadow, *facts, &index) != NULL) return SHADOW_NONE;
    shadow->blocks[index].pattern = facts->pattern;
    return index;
}

void shadow_forget(struct shadow *shadow, uint16_t index) {
    unlive(shadow, index);
    shadow->blocks[index].state = BLOCK_UNUSED;
    shadow->unused[shadow->unused_count++] = index;
}

bool shadow_page_survives(const struct shadow *shadow, uint16_t grave) {
    const struct shadow_block *dead = &shadow->blocks[grave];
    /* zero-size blocks live in a segment that is never given up */
    if (dead->usable == 0) return true;
    if (dead->cell == 0 || dead->cell > LARGE_MAX) return false;
    size_t page = dead->cell <= SMALL_MAX    ? SLOT_SIZE
                  : dead->cell <= MEDIUM_MAX ? 8 * SLOT_SIZE
                                             : SEGMENT_SIZE;
    uintptr_t start = round_down(dead->start, page);
    uintptr_t at = start + page - 1;
    while (at >= start) {
        uint16_t index = tree_floor(shadow, shadow->live_root, at);
        if (index == SHADOW_NONE || shadow->blocks[index].start < start) return false;
        const struct shadow_block *block = &shadow->blocks[index];
        if (block->cell == dead->cell && block->born < dead->died) return true;
        at = block->start - 1;
    }
    return false;
}

/* One walk serves filling and comparing: calls for each run of words that the block keeps contents
   in. */
struct walk {
    const struct shadow *shadow; /* that fills; NULL: it compares */
    uint64_t pattern;
    uintptr_t start;
    size_t limit; /* bytes past this are left alone */
    bool same;
    size_t wrong;
};

/* The last bytes of a run that is no multiple of eight. */
static void walk_tail(struct walk *walk, size_t offset, size_t length) {
    uint64_t word = word_at(walk->pattern, offset);
    void *place = (void *)(walk->start + offset);
    if (walk->shadow != NULL) {
        memcpy(place, &word, length);
    } else if (memcmp(place, &word, length) != 0) {
        walk->same = false;
        walk->wrong = offset;
    }
}

/* Any processor takes two words in one step: sums that go on together. */
typedef uint64_t two_words __attribute__((vector_size(16), aligned(8), may_alias));
enum { TWO = sizeof(two_words) };

/* Where it stopped: less than a word is left. */
static size_t fill_words(uint64_t pattern, uintptr_t start, size_t from, size_t to) {
    uint64_t first = pattern + from * WORD_STEP;
    two_words sums = {first, first + 8 * WORD_STEP}, next = sums + TWO * WORD_STEP;
    for (; from + 2 * TWO <= to; from += 2 * TWO) {
        two_words *place = (two_words *)(start + from);
        place[0] = sums | WORD_BITS;
        place[1] = next | WORD_BITS;
        sums += 2 * TWO * WORD_STEP;
        next += 2 * TWO * WORD_STEP;
    }
    for (; from + 8 <= to; from += 8) *(uint64_t *)(start + from) = word_at(pattern, from);
    return from;
}

/* The first word that is not what belongs there, or where less than a word is left. */
static size_t first_wrong(uint64_t pattern, uintptr_t start, size_t from, size_t to) {
    uint64_t first = pattern + from * WORD_STEP;
    two_words sums = {first, first + 8 * WORD_STEP}, next = sums + TWO * WORD_STEP, wrong = {0};
    size_t at = from; /* without a branch for each */
    for (; at + 2 * TWO <= to; at += 2 * TWO) {
        const two_words *place = (const two_words *)(start + at);
        wrong |= (place[0] ^ (sums | WORD_BITS)) | (place[1] ^ (next | WORD_BITS));
        sums += 2 * TWO * WORD_STEP;
        next += 2 * TWO * WORD_STEP;
    }
    if ((wrong[0] | wrong[1]) == 0) from = at;
    while (from + 8 <= to && *(const uint64_t *)(start + from) == word_at(pattern, from)) from += 8;
    return from;
}

static void walk_words(struct walk *walk, size_t from, size_t to) {
    if (!walk->same) return;
    if (to > walk->limit) to = walk->limit;
    if (from >= to) return;
    size_t end = 0;
    if (walk->shadow != NULL) {
        if (walk->shadow->touch != NULL) walk->shadow->touch(walk->start + from, to - from);
        end = fill_words(walk->pattern, walk->start, from, to);
    } else {
        end = first_wrong(walk->pattern, walk->start, from, to);
        walk->same = end + 8 > to;
        walk->wrong = end;
    }
    if (walk->same && end < to) walk_tail(walk, end, to - end);
}

static void walk_word(struct walk *walk, size_t offset) {
    uint64_t *place = (uint64_t *)(walk->start + offset), word = word_at(walk->pattern, offset);
    if (offset + 8 > walk->limit) {
        walk_words(walk, offset, offset + 8);
    } else if (walk->shadow != NULL) {
        if (walk->shadow->touch != NULL) walk->shadow->touch((uintptr_t)place, 8);
        *place = word;
    } else if (walk->same && *place != word) {
        walk->same = false;
        walk->wrong = offset;
    }
}

static void walk_block(struct walk *walk, size_t usable, bool whole) {
    if (whole) {
        walk_words(walk, 0, usable);
        return;
    }
    enum { END = 64, SAMPLES = 32, STEP = 4096 };
    size_t stride = round_up(usable / SAMPLES, STEP);
    walk_words(walk, 0, END);
    for (size_t offset = stride; offset + END < usable; offset += stride) walk_word(walk, offset);
    walk_words(walk, round_down(usable - END, 8), usable);
}

void shadow_fill(const struct shadow *shadow, uint16_t index) {
    const struct shadow_block *block = &shadow->blocks[index];
    struct walk walk = {shadow, block->pattern, block->start, SIZE_MAX, true, 0};
    walk_block(&walk, block->usable, block->whole);
}

bool shadow_compare(const struct shadow_block *facts, uintptr_t start, size_t limit,
                    size_t *wrong) {
    struct walk walk = {NULL, facts->pattern, start, limit, true, 0};
    walk_block(&walk, facts->usable, facts->whole);
    *wrong = walk.wrong;
    return walk.same;
}

bool shadow_is_zero(const struct shadow *shadow, uintptr_t start, size_t size, size_t *wrong) {
    enum { STEP = 4096, SAMPLE = 64, SAMPLES = 64 };
    const unsigned char *bytes = (const unsigned char *)start;
    /* looking at an OS page that nobody wrote costs as much as writing it */
    bool whole = size <= shadow->full_limit;
    size_t step = whole ? SAMPLE : round_up(size / SAMPLES, STEP), last = size - SAMPLE;
    for (size_t from = 0; from < size; from += step) {
        if (!whole && from < last && from + step > last) step = last - from; /* the end too */
        size_t length = size - from < SAMPLE ? size - from : SAMPLE;
        uint64_t seen = 0;
        for (size_t i = 0; i + 8 <= length; i += 8) {
            uint64_t word;
            memcpy(&word, bytes + from + i, 8);
            seen |= word;
        }
        for (size_t i = round_down(length, 8); i < length; i++) seen |= bytes[from + i];
        if (seen == 0) continue;
        *wrong = from;
        while (bytes[*wrong] == 0) ++*wrong;
        return false;
    }
    return true;
}

/* Nodes of a tree in order: starts ascend and ranges are disjoint. */
static unsigned validate_tree(const struct shadow *shadow, uint16_t root, unsigned state,
                              uintptr_t *end, const char **broken) {
    if (root == SHADOW_NONE || *broken) return 0;
    const struct shadow_block *node = &shadow->blocks[root];
    unsigned count = 1 + validate_tree(shadow, node->left, state, end, broken);
    if (node->start < *end) *broken = "blocks of one tree overlap";
    if (node->state != state) *broken = "a block is in the wrong tree";
    *end = node->start + extent(node);
    return count + validate_tree(shadow, node->right, state, end, broken);
}

const char *shadow_validate(const struct shadow *shadow) {
    const char *broken = NULL;
    uintptr_t end = 0;
    unsigned live = validate_tree(shadow, shadow->live_root, BLOCK_LIVE, &end, &broken);
    end = 0;
    unsigned graves = validate_tree(shadow, shadow->grave_root, BLOCK_GRAVE, &end, &broken);
    if (broken) return broken;
    if (live != shadow->live_count || graves != shadow->grave_count)
        return "a tree and its list have different lengths";
    if (live + graves + shadow->unused_count != shadow->fresh) return "a block is lost";
    for (unsigned i = 0; i < graves; i++) {
        const struct shadow_block *grave = &shadow->blocks[shadow->graves[i]];
        if (shadow_find_live(shadow, grave->start, extent(grave)) != SHADOW_NONE)
            return "a grave overlaps a live block";
    }
    return NULL;
}
