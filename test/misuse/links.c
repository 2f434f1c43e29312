/*
 * links: writes to freed memory, blind or by overflow from the neighbour below.
 *
 * A damaged link is found when its block, or the one it names, comes up for allocation: each scene
 * walks the list to its end. The report names an address of the damaged page. Whatever is found
 * when, no walk ever gets a live block.
 */
#include "scene.h"

#include "family.h"

#define PAGE_MASK ((uintptr_t)0xffff)
#define MEDIUM_PAGE_MASK ((uintptr_t)0x7ffff)

enum { TAKEN = 200, TAKEN_MAX = 1200 };

static struct worker one;
static char *blocks[TAKEN_MAX];

/* The report must name an address of the page that holds `block`. */
static void expect_damage(const void *block, size_t size) {
    uintptr_t mask = size > 2 * SMALL_PAGE ? MEDIUM_PAGE_MASK : PAGE_MASK;
    uintptr_t page = (uintptr_t)block & ~mask;
    expect_within(DAMAGED_LIST, page, page | mask);
}

/* TAKEN blocks, the odd ones freed again; a freed one that is neither end of the list is returned.
   The others are held. */
static char *freed_among_held(size_t size) {
    for (unsigned i = 0; i < TAKEN; i++) blocks[i] = take(size);
    for (unsigned i = 1; i < TAKEN; i += 2) give(blocks[i]);
    for (unsigned i = 0; i < TAKEN; i += 2) hold(blocks[i], size);
    return blocks[TAKEN / 2 + 1];
}

static void walk_damaged(char *block, size_t size) {
    expect_damage(block, size);
    passed();
    walk(size);
}

/* Changes every bit of the first `bytes` bytes of a free block. */
static void flip_first(size_t bytes) {
    char *block = freed_among_held(SMALL);
    for (size_t i = 0; i < bytes; i++) block[i] = (char)~block[i];
    walk_damaged(block, SMALL);
}

static void flip_one_bit(size_t bit) {
    char *block = freed_among_held(SMALL);
    block[bit / 8] = (char)(block[bit / 8] ^ (1 << (bit % 8)));
    walk_damaged(block, SMALL);
}

static void fill(size_t size, int byte) {
    char *block = freed_among_held(size);
    memset(block, byte, size);
    walk_damaged(block, size);
}

static void zeros(size_t size) { fill(size, 0); }
static void ones(size_t size) { fill(size, 0xff); }
static void letters(size_t size) { fill(size, 'A'); }

static void write_word(char *block, uint64_t word, size_t size) {
    memcpy(block, &word, sizeof word);
    walk_damaged(block, size);
}

/* What an attacker of an unencoded list would write: an address that is to be handed out. */
static char target[64] __attribute__((aligned(16)));
static void address_of_static(size_t size) {
    write_word(freed_among_held(size), (uintptr_t)target, size);
}

static void address_of_itself(size_t size) {
    char *block = freed_among_held(size);
    write_word(block, (uintptr_t)block, size);
}

static void address_of_live(size_t size) {
    char *block = freed_among_held(size);
    write_word(block, (uintptr_t)blocks[0], size);
}

static void link_of_another(size_t size) {
    char *block = freed_among_held(size);
    memcpy(block, blocks[TAKEN / 2 + 11], sizeof(uint64_t));
    walk_damaged(block, size);
}

/* A program that keeps using an object after its free: it counts up a field, such as a reference
   count. */
static void increment(size_t size) {
    char *block = freed_among_held(size);
    uint64_t word;
    memcpy(&word, block, sizeof word);
    write_word(block, word + 1, size);
}

/* The last block freed is the head, the first the tail: their links are checked as the others. */
static void head(size_t size) {
    freed_among_held(size);
    memset(blocks[TAKEN - 1], 'A', size);
    walk_damaged(blocks[TAKEN - 1], size);
}

static void tail(size_t size) {
    freed_among_held(size);
    memset(blocks[1], 'A', size);
    walk_damaged(blocks[1], size);
}

/*
 * The links of an earlier life of two blocks, one naming the other, `named`, which is in use now
 * and holds its old link as its contents. The page's secret is the same, so both links are right,
 * and only the maps can tell.
 */
static void replayed(size_t size) {
    for (unsigned i = 0; i < TAKEN; i++) blocks[i] = take(size);
    char *named = blocks[TAKEN / 2], *block = blocks[TAKEN / 2 + 1];
    uint64_t link, link_of_named;
    give(blocks[TAKEN / 2 + 2]);
    give(named);
    give(block);
    memcpy(&link, block, sizeof link);
    memcpy(&link_of_named, named, sizeof link_of_named);
    unsigned found = 0;
    for (unsigned i = 0; i < TAKEN_MAX && found < 2; i++) {
        char *again = take(size);
        found += again == named || again == block;
    }
    REQUIRE(found == 2, "freed blocks are handed out again");
    hold(named, size);
    give(blocks[0]);
    give(block);
    give(blocks[1]);
    memcpy(block, &link, sizeof link);
    memcpy(named, &link_of_named, sizeof link_of_named);
    walk_damaged(block, size);
}

/* A free block right above one in use, and the block below it. */
static char *find_above(size_t size, char **below) {
    for (unsigned i = 0; i < TAKEN_MAX; i++) blocks[i] = take(size);
    for (unsigned i = 0; i < TAKEN_MAX; i++) {
        for (unsigned j = 0; j < TAKEN_MAX; j++) {
            bool same_page =
                ((uintptr_t)blocks[i] & ~PAGE_MASK) == ((uintptr_t)blocks[j] & ~PAGE_MASK);
            if (blocks[j] != blocks[i] + size || !same_page) continue;
            *below = blocks[i];
            return blocks[j];
        }
    }
    REQUIRE(false, "some two of %d blocks lie side by side", TAKEN_MAX);
    return NULL;
}

/* The lower block's owner writes `bytes` bytes too many, each different from what stood there. */
static void overflow(size_t bytes) {
    char *below, *block = find_above(SMALL, &below);
    for (unsigned i = 0; i < TAKEN_MAX; i++) {
        if (i % 3 == 0 && blocks[i] != below && blocks[i] != block) give(blocks[i]);
    }
    give(block);
    /* One more, so that the damaged block is in mid-list. */
    for (unsigned i = 1; i < TAKEN_MAX; i += 3) {
        if (blocks[i] == below || blocks[i] == block) continue;
        give(blocks[i]);
        break;
    }
    hold(below, SMALL);
    for (size_t i = 0; i < bytes; i++) below[SMALL + i] = (char)~below[SMALL + i];
    walk_damaged(block, SMALL);
}

/* The classic: a string's terminating zero one byte too far. Harmless only if that byte of the link
   was zero. */
static void overflow_zero(size_t size) {
    char *below, *block = find_above(size, &below);
    give(block);
    hold(below, size);
    bool changes = below[size] != 0;
    below[size] = 0;
    if (changes) walk_damaged(block, size);
}

/* The top two bytes alone may name another free block of the page: never a live one. */
static void top_two_bytes(size_t size) {
    char *block = freed_among_held(size);
    block[6] = (char)(block[6] ^ (char)(scene_round * 37 + 1));
    block[7] = (char)(block[7] ^ (char)(scene_round * 11));
    walk_damaged(block, size);
}

/* Another thread's stale pointer writes, and the owner walks. */
static void letters_task(void *block) { memset(block, 'A', SMALL); }
static void from_other_thread(size_t size) {
    worker_start(&one);
    char *block = freed_among_held(size);
    worker_do(&one, letters_task, block);
    walk_damaged(block, size);
}

/* Claimed blocks have no link: a write before they are collected damages nothing, and the walk is
   clean. */
static void claimed(size_t size) {
    worker_start(&one);
    for (unsigned i = 0; i < TAKEN; i++) blocks[i] = take(size);
    for (unsigned i = 0; i < TAKEN; i += 2) hold(blocks[i], size);
    for (unsigned i = 1; i < TAKEN; i += 2) worker_do(&one, give_task, blocks[i]);
    for (unsigned i = 1; i < TAKEN; i += 2) memset(blocks[i], 'A', size);
    walk(size);
    family.check();
}

const struct misuse_case link_cases[] = {
    CASE("corrupt-link", "flip-first-bytes.1", LATER, flip_first, 1),
    CASE("corrupt-link", "flip-first-bytes.2", LATER, flip_first, 2),
    CASE("corrupt-link", "flip-first-bytes.3", LATER, flip_first, 3),
    CASE("corrupt-link", "flip-first-bytes.4", LATER, flip_first, 4),
    CASE("corrupt-link", "flip-first-bytes.5", LATER, flip_first, 5),
    CASE("corrupt-link", "flip-first-bytes.6", LATER, flip_first, 6),
    CASE("corrupt-link", "flip-first-bytes.7", LATER, flip_first, 7),
    CASE("corrupt-link", "flip-first-bytes.8", LATER, flip_first, 8),
    CASE("corrupt-link", "flip-bit.0", LATER, flip_one_bit, 0),
    CASE("corrupt-link", "flip-bit.12", LATER, flip_one_bit, 12),
    CASE("corrupt-link", "flip-bit.39", LATER, flip_one_bit, 39),
    CASE("corrupt-link", "zeros.16", LATER, zeros, SMALLEST),
    CASE("corrupt-link", "zeros.48", LATER, zeros, SMALL),
    CASE("corrupt-link", "zeros.1024", LATER, zeros, 1024),
    CASE("corrupt-link", "ones.48", LATER, ones, SMALL),
    CASE("corrupt-link", "letters.16", LATER, letters, SMALLEST),
    CASE("corrupt-link", "letters.48", LATER, letters, SMALL),
    CASE("corrupt-link", "letters.1024", LATER, letters, 1024),
    CASE("corrupt-link", "letters.medium", LATER, letters, MEDIUM),
    CASE("corrupt-link", "address-of-static.48", LATER, address_of_static, SMALL),
    CASE("corrupt-link", "address-of-itself.48", LATER, address_of_itself, SMALL),
    CASE("corrupt-link", "address-of-live.48", LATER, address_of_live, SMALL),
    CASE("corrupt-link", "link-of-another.48", LATER, link_of_another, SMALL),
    CASE("corrupt-link", "link-of-another.1024", LATER, link_of_another, 1024),
    CASE("corrupt-link", "increment.48", LATER, increment, SMALL),
    CASE("corrupt-link", "head.48", LATER, head, SMALL),
    CASE("corrupt-link", "tail.48", LATER, tail, SMALL),
    CASE("corrupt-link", "replayed.48", LATER, replayed, SMALL),
    CASE("corrupt-link", "replayed.256", LATER, replayed, 256),
    CASE("corrupt-link", "overflow.1", LATER, overflow, 1),
    CASE("corrupt-link", "overflow.2", LATER, overflow, 2),
    CASE("corrupt-link", "overflow.3", LATER, overflow, 3),
    CASE("corrupt-link", "overflow.4", LATER, overflow, 4),
    CASE("corrupt-link", "overflow.5", LATER, overflow, 5),
    CASE("corrupt-link", "overflow.8", LATER, overflow, 8),
    CASE_ROUNDS("corrupt-link", "overflow-zero.48", LATER_OR_HARMLESS, overflow_zero, SMALL, 20),
    CASE_ROUNDS("corrupt-link", "top-two-bytes.48", LATER_OR_HARMLESS, top_two_bytes, SMALL, 60),
    CASE("corrupt-link", "from-other-thread.48", LATER, from_other_thread, SMALL),
    CASE("none", "write-to-claimed.48", CLEAN, claimed, SMALL),
    CASES_END,
};
