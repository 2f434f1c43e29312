/*
 * links: attacks on what an allocator keeps inside of freed blocks.
 *
 * The attacker can write into freed blocks (a use after free, an overflow) and perhaps read them.
 * He wants malloc to give him an address of his choice, or one block twice.
 */
#include <string.h>

#include "attack.h"

enum { SIZE = 64, WORDS = SIZE / sizeof(uintptr_t), MANY = 400 };

/* What malloc is to give out: memory of the program's, made to look like a block in use. */
static union {
    char bytes[4096];
    uintptr_t words[4096 / sizeof(uintptr_t)];
} target __attribute__((aligned(64)));

static bool is_target(const char *block) {
    return block >= target.bytes && block < target.bytes + sizeof target.bytes;
}

/* Allocates until the target comes or two blocks overlap. */
static enum outcome look_for_the_damage(void) {
    static char *blocks[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        blocks[i] = take(SIZE);
        if (is_target(blocks[i])) return WON;
        memset(blocks[i], 0x41, SIZE);
    }
    return any_overlap(blocks, MANY, SIZE) ? WON : IN_VAIN;
}

/* Some freed blocks that lie on a list, the newest first, and more behind them. */
enum { FREED = 12 };
static uintptr_t *freed[FREED];
static void free_some(void) {
    for (unsigned i = 0; i < FREED; i++) freed[i] = take(SIZE);
    (void)take(SIZE); /* none of them is the last before what was never used */
    for (unsigned i = FREED; i-- > 0;) give(freed[i]);
}

static void make_a_header(void) {
    for (unsigned i = 0; i < sizeof target.words / sizeof target.words[0]; i += 2)
        target.words[i] = 0, target.words[i + 1] = SIZE + 17;
}

static enum outcome whole(void) {
    free_some();
    make_a_header();
    for (unsigned i = 0; i < FREED; i++)
        *(uintptr_t *)launder(freed[i]) = (uintptr_t)&target.words[128];
    return look_for_the_damage();
}

static enum outcome each_word(void) {
    free_some();
    make_a_header();
    for (unsigned i = 0; i < FREED; i++)
        for (unsigned word = 0; word < WORDS; word++)
            ((uintptr_t *)launder(freed[i]))[word] = (uintptr_t)&target.words[128];
    return look_for_the_damage();
}

/* A byte: links to a neighbour differ from the right one in the lowest. */
static enum outcome one_byte(void) {
    free_some();
    ((unsigned char *)launder(freed[draw(FREED)]))[draw(sizeof(uintptr_t))] =
        (unsigned char)draw(256);
    return look_for_the_damage();
}

static enum outcome one_bit(void) {
    free_some();
    ((unsigned char *)launder(freed[draw(FREED)]))[draw(sizeof(uintptr_t))] ^=
        (unsigned char)(1u << draw(8));
    return look_for_the_damage();
}

/* The first word of one freed block, read and written over that of another. */
static enum outcome copied(void) {
    free_some();
    for (unsigned i = 1; i < FREED; i++)
        *(uintptr_t *)launder(freed[i]) = *(const uintptr_t *)launder(freed[0]);
    return look_for_the_damage();
}

/* What stood in the block when it was freed before. */
static enum outcome replayed(void) {
    uintptr_t old[FREED];
    free_some();
    for (unsigned i = 0; i < FREED; i++) old[i] = *(const uintptr_t *)launder(freed[i]);
    for (unsigned i = 0; i < FREED; i++) (void)take(SIZE);
    for (unsigned i = 0; i < FREED; i++) give(freed[i]);
    for (unsigned i = 0; i < FREED; i++) *(uintptr_t *)launder(freed[i]) = old[i];
    return look_for_the_damage();
}

static uintptr_t rotate(uintptr_t value, unsigned by) {
    return by == 0 ? value : value << by | value >> (64 - by);
}

/*
 * Who knows addresses, the order of frees and some encoded links, and that a link is the next
 * block's address mixed with something by exclusive or (perhaps rotated, perhaps with the block's
 * own address or its page): what is left after that is the key. The one that explains most links is
 * believed, and a link to the target made with it.
 */
static uintptr_t mask_of(const uintptr_t *block, unsigned form) {
    uintptr_t address = (uintptr_t)block;
    return form == 0 ? 0 : form == 1 ? address : form == 2 ? address >> 12 : ~address;
}

static enum outcome key_recovered(void) {
    enum { FORMS = 4, ROTATIONS = 64 };
    free_some();
    make_a_header();
    unsigned best = 0, best_form = 0, best_rotation = 0;
    uintptr_t best_key = 0;
    for (unsigned form = 0; form < FORMS; form++)
        for (unsigned rotation = 0; rotation < ROTATIONS; rotation++)
            for (unsigned sample = 0; sample + 1 < FREED; sample++) {
                uintptr_t key = rotate(*(const uintptr_t *)launder(freed[sample]), rotation) ^
                                (uintptr_t)freed[sample + 1] ^ mask_of(freed[sample], form);
                unsigned right = 0;
                for (unsigned i = 0; i + 1 < FREED; i++)
                    right += (rotate(*(const uintptr_t *)launder(freed[i]), rotation) ^
                              mask_of(freed[i], form) ^ key) == (uintptr_t)freed[i + 1];
                if (right <= best) continue;
                best = right;
                best_form = form;
                best_rotation = rotation;
                best_key = key;
            }
    for (unsigned i = 0; i < FREED; i++) {
        uintptr_t link = (uintptr_t)&target.words[128] ^ mask_of(freed[i], best_form) ^ best_key;
        *(uintptr_t *)launder(freed[i]) = rotate(link, (64 - best_rotation) % 64);
    }
    return look_for_the_damage();
}

/* Memory that is no block, made to look like one, is freed, and waited for. */
static enum outcome forged_block(void) {
    make_a_header();
    for (unsigned i = 0; i < 20; i++) (void)take(SIZE);
    give(&target.words[128]);
    return look_for_the_damage();
}

const struct attack link_attacks[] = {
    {"link-whole", whole, "the first word of freed blocks becomes the address of the target"},
    {"link-each-word", each_word, "so does each word of them"},
    {"link-byte", one_byte, "a byte of the first word of a freed block is written"},
    {"link-bit", one_bit, "a bit of it is turned"},
    {"link-copied", copied, "the first word of one freed block is written over others'"},
    {"link-replayed", replayed,
     "the first words are what they were when the blocks were freed before"},
    {"link-key", key_recovered, "links that are read give a key, and a link is made with it"},
    {"forged-block", forged_block, "static memory that looks like a block is freed"},
    {0},
};
