/*
 * forged_links: an attacker who can read and write freed memory, and so knows the page's secret.
 *
 * link = rotl(address of the next block, 42) ^ secret ^ own address: two blocks freed one after the
 * other give the secret away. With it every forged link decodes as it should, and what is left is
 * the structural promise: a link can name nothing but a free block of its own page. The walk finds
 * the forgery, and never gets a live, misaligned or foreign address.
 */
#include "scene.h"

#include <unistd.h>

#define PAGE_MASK ((uintptr_t)0xffff)

enum { TAKEN = 200 };

static char *blocks[TAKEN];
static char *chain[4]; /* freed in this order: the list is 3, 2, 1, 0 */
static uint64_t secret;

static uint64_t rotate(uint64_t word) { return (word << 42) | (word >> 22); }

static uint64_t word_at(const void *block) {
    uint64_t word;
    memcpy(&word, block, sizeof word);
    return word;
}

static uint64_t secret_from(const char *block, const char *next) {
    return word_at(block) ^ rotate((uintptr_t)next) ^ (uintptr_t)block;
}

/* Frees blocks of one page one after the other, learns the secret, and returns one in the middle of
   the list. */
static char *learn(size_t size) {
    unsigned found = 0;
    for (unsigned i = 0; i < TAKEN; i++) blocks[i] = take(size);
    for (unsigned i = TAKEN / 2; i < TAKEN && found < 4; i++) {
        if (((uintptr_t)blocks[i] ^ (uintptr_t)blocks[0]) & ~PAGE_MASK) continue;
        chain[found++] = blocks[i];
        give(blocks[i]);
        blocks[i] = NULL;
    }
    REQUIRE(found == 4, "several of %d blocks lie in the page of the first", TAKEN);
    for (unsigned i = 0; i < TAKEN; i++) {
        if (blocks[i]) hold(blocks[i], size);
    }
    secret = secret_from(chain[1], chain[0]);
    REQUIRE(secret_from(chain[2], chain[1]) == secret, "links are encoded as SECURITY.md says");
    return chain[2];
}

static uint64_t offset_of(const char *block) { return (uintptr_t)block & PAGE_MASK; }

/* At `address`, a link as moat would write it there, that names `offset` of chain[]'s page. */
static void write_link(char *address, uint64_t offset) {
    uint64_t link =
        rotate(((uintptr_t)chain[0] & ~PAGE_MASK) + offset) ^ secret ^ (uintptr_t)address;
    memcpy(address, &link, sizeof link);
}

/* Makes `block` name `offset` of its page, and walks. */
static void forge(char *block, uint64_t offset, size_t size) {
    uintptr_t page = (uintptr_t)block & ~PAGE_MASK;
    write_link(block, offset);
    expect_within(DAMAGED_LIST, page, page | PAGE_MASK);
    passed();
    walk(size);
}

/* The same, with a link at the named address that leads back into the list. */
static void forge_prepared(char *block, char *named, size_t size) {
    write_link(named, offset_of(chain[1]));
    forge(block, (uintptr_t)named - ((uintptr_t)block & ~PAGE_MASK), size);
}

static void names_live(size_t size) {
    char *block = learn(size);
    forge_prepared(block, blocks[0], size);
}

static void names_itself(size_t size) {
    char *block = learn(size);
    forge(block, offset_of(block), size);
}

static void names_inside_of_live(size_t size) {
    char *block = learn(size);
    forge_prepared(block, blocks[0] + 16, size);
}

static void names_misaligned(size_t size) {
    char *block = learn(size);
    forge_prepared(block, blocks[0] + 1, size);
}

/* A block of the page that was never handed out nor put on a list: the last whole one that the
   segment's guard leaves in any page. */
static void names_never_carved(size_t size) {
    char *block = learn(size);
    forge_prepared(block,
                   block - offset_of(block) +
                       ((PAGE_MASK - (uintptr_t)getpagesize()) / size - 1) * size,
                   size);
}

/* A thread's first segment becomes usable in parts: with more pages than a part has, it is
   whole. */
static void make_segment_usable(void) {
    for (size_t size = 16; size <= 128; size += 16) take(size);
}

/* For a size that divides the page, the first block of the page behind: writable, as the segment
   is. */
static void names_next_page(size_t size) {
    make_segment_usable();
    char *block = learn(size);
    char *next_page = block - offset_of(block) + PAGE_MASK + 1;
    if ((uintptr_t)next_page % SEGMENT == 0) {
        forge(block, PAGE_MASK + 1, size);
    } else {
        forge_prepared(block, next_page, size);
    }
}

static void names_far_away(size_t size) {
    char *block = learn(size);
    forge(block, (uint64_t)1 << 40, size);
}

static void names_page_before(size_t size) {
    char *block = learn(size);
    forge(block, (uint64_t)0 - size, size);
}

static void names_stack(size_t size) {
    char local[1024] __attribute__((aligned(16))) = {0};
    hold(local, sizeof local);
    forge_prepared(learn(size), local + 512, size);
}

/* Naming a block before it in the list makes a ring: the second time round that block is live. */
static void ring(size_t size) {
    learn(size);
    forge(chain[1], offset_of(chain[3]), size);
}

/* A right offset in a link of another page: that page has another secret. */
static void other_page(size_t size) {
    char *block = learn(size);
    char *far = NULL;
    for (unsigned i = 0; i < 4000 && !far; i++) {
        char *fresh = take(size);
        if (((uintptr_t)fresh ^ (uintptr_t)block) & ~PAGE_MASK) far = fresh;
    }
    REQUIRE(far, "4000 blocks of %zu bytes do not fit in one page", size);
    take(size);
    give(far);
    forge(far, offset_of(far), size);
}

const struct misuse_case forged_link_cases[] = {
    CASE("corrupt-link", "forged-live.48", LATER, names_live, SMALL),
    CASE("corrupt-link", "forged-live.256", LATER, names_live, 256),
    CASE("corrupt-link", "forged-itself.48", LATER, names_itself, SMALL),
    CASE("corrupt-link", "forged-itself.256", LATER, names_itself, 256),
    CASE("corrupt-link", "forged-inside-of-live.48", LATER, names_inside_of_live, SMALL),
    CASE("corrupt-link", "forged-misaligned.48", LATER, names_misaligned, SMALL),
    CASE("corrupt-link", "forged-never-carved.48", LATER, names_never_carved, SMALL),
    CASE("corrupt-link", "forged-next-page.256", LATER, names_next_page, 256),
    CASE("corrupt-link", "forged-far-away.48", LATER, names_far_away, SMALL),
    CASE("corrupt-link", "forged-page-before.256", LATER, names_page_before, 256),
    CASE("corrupt-link", "forged-stack.48", LATER, names_stack, SMALL),
    CASE("corrupt-link", "forged-ring.48", LATER, ring, SMALL),
    CASE("corrupt-link", "forged-other-page.48", LATER, other_page, SMALL),
    CASES_END,
};
