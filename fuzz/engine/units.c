/*
 * units: the small parts against plain models. See the header.
 *
 * The models know nothing of how a unit does it: bits are booleans, a class is looked for in a list
 * of sizes, a boundary is a remainder, a list is an array, a canary is written byte by byte. Random
 * numbers and canaries are compared with what engine/ciphers computes from the standards.
 */
#include "engine/units.h"

#include <string.h>

#include "engine/ciphers.h"
#include "engine/judge.h"
#include "harness/harness.h"
#include "heap/freelist.h"
#include "meta/canary.h"
#include "meta/locks.h"
#include "meta/ro.h"
#include "meta/size_class.h"

static bool take(struct map_word *word, uint64_t place) { return map_take(word, place); }
static uint32_t class_of(size_t size) { return size_class_of(size); }
static bool on_boundary(uint64_t offset, uint64_t reciprocal) {
    return offset_on_boundary(offset, reciprocal);
}
static uint64_t decode(uint64_t link, uint64_t secret, uintptr_t address) {
    return freelist_decode(link, secret, address);
}
static bool add(struct returns *returns) { return returns_add(returns); }
static void remove_from(struct list *list, struct list_table table, uint32_t index) {
    list_remove(list, table, index);
}

const struct units_subject units_moat = {take, class_of,    on_boundary,  decode,
                                         add,  remove_from, random_below, canary_check};
static const struct units_subject *subject;

/* A step: which of a unit's verbs, an argument that the mutator moves by one, and numbers for the
   rest. */
struct step {
    unsigned verb;
    uint32_t argument;
    struct rng random;
};

static void expect(bool holds, const char *what) {
    if (!holds) judge_fail("%s", what);
}

/* --- The live map ---------------------------------------------------------------------------- */

enum { MAP_WORDS = 6, GRANULES = MAP_WORDS * 64 };
#define MAP_BASE ((uintptr_t)0x123 << 32)

static struct map_word map[MAP_WORDS];
static struct { bool live, claim; } granules[GRANULES];

static void begin_map(void) {
    memset(map, 0, sizeof map);
    memset(granules, 0, sizeof granules);
    ro.maps = (uintptr_t)map;
    ro.map_bias = (uintptr_t)map - (MAP_BASE >> 6);
}

static void compare_map(void) {
    for (unsigned i = 0; i < MAP_WORDS; i++) {
        uint64_t live = 0, claim = 0;
        for (unsigned bit = 0; bit < 64; bit++) {
            live |= (uint64_t)granules[i * 64 + bit].live << bit;
            claim |= (uint64_t)granules[i * 64 + bit].claim << bit;
        }
        if (map[i].live != live) judge_fail("map: the live bits of word %u are others", i);
        if (map[i].claim != claim) judge_fail("map: the claims of word %u are others", i);
        judge_trace(live ^ claim << 1);
    }
}

static void clear_live(struct map_word *word, uint64_t bits) {
    map_clear_live(word, bits);
    for (unsigned i = 0; i < 64; i++)
        if ((bits >> i & 1) != 0) granules[(size_t)(word - map) * 64 + i].live = false;
}

/* What another thread's free does, and what takes it back. */
static void set_claim(struct map_word *word, uint64_t bit, unsigned granule, bool claim) {
    word->claim = claim ? word->claim | bit : word->claim & ~bit;
    granules[granule].claim = claim;
}

static void step_map(struct step *step) {
    unsigned granule = step->argument % GRANULES;
    uintptr_t address = MAP_BASE + granule * GRANULE + rng_below(&step->random, GRANULE);
    struct map_word *word = map_word_of(address);
    uint64_t bit = map_bit_of(address), place = map_place_of(address);
    bool live = granules[granule].live, claim = granules[granule].claim;
    expect(word == &map[granule / 64] && word == map_word_of_granule(granule) &&
               bit == (uint64_t)1 << granule % 64 && place % 64 == granule % 64,
           "map: the bit of an address lies elsewhere");
    expect(map_in_use(word, bit) == (live && !claim), "map: in use or not");
    expect(map_is_free(word, bit) == (!live && !claim), "map: free or not");
    expect(map_claimed(word, place) == claim, "map: claimed or not");
    bool done = false;
    switch (step->verb % 8) {
    case 0:
    case 1:
        done = subject->map_take(word, place);
        expect(done == (!live && !claim), "map: taken or not");
        if (done) granules[granule].live = true;
        break;
    case 2:
    case 3:
        done = map_give(word, place);
        expect(done == (live && !claim), "map: given back or not");
        if (done) granules[granule].live = false;
        break;
    case 4:
    case 5: set_claim(word, bit, granule, true); break;
    case 6: set_claim(word, bit, granule, false); break;
    default: clear_live(word, rng_next(&step->random) & rng_next(&step->random)); break;
    }
    compare_map();
    judge_trace(done);
}

/* --- Size classes ---------------------------------------------------------------------------- */

static size_t class_sizes[SIZE_CLASSES];

/* "Sixteen-byte steps up to 128 bytes, then eight steps a doubling up to 1 MiB." */
static void begin_classes(void) {
    unsigned count = 0;
    for (size_t size = 16; size <= 128; size += 16) class_sizes[count++] = size;
    for (size_t doubling = 128; doubling < LARGE_MAX; doubling *= 2)
        for (unsigned eighth = 1; eighth <= 8; eighth++)
            class_sizes[count++] = doubling + doubling / 8 * eighth;
    expect(count == SIZE_CLASSES, "classes: there are more or fewer");
}

/* A class's size, one more or one less; or any. */
static size_t draw_size(const struct step *step, size_t most) {
    size_t near = class_sizes[step->argument / 3 % SIZE_CLASSES] + step->argument % 3 - 1;
    size_t size = step->verb % 4 == 0 ? step->argument % most + 1 : near;
    return size <= most ? size : most;
}

static void judge_class(size_t size) {
    uint32_t class = subject->size_class_of(size);
    if (class >= SIZE_CLASSES) judge_fail("classes: %zu bytes have class %u", size, class);
    size_t bytes = size_class_bytes(class);
    if (bytes < size) judge_fail("classes: %zu bytes do not fit their class of %zu", size, bytes);
    if (class > 0 && class_sizes[class - 1] >= size)
        judge_fail("classes: %zu bytes fit the class below %zu", size, bytes);
    if (bytes != class_sizes[class]) judge_fail("classes: class %u has %zu bytes", class, bytes);
    expect(size <= 128 || (bytes - size) * 8 < bytes, "classes: an eighth is wasted");
    enum page_kind kind = size_class_page_kind(class);
    expect(kind == (bytes <= SMALL_MAX    ? PAGE_SMALL
                    : bytes <= MEDIUM_MAX ? PAGE_MEDIUM
                                          : PAGE_LARGE),
           "classes: another kind of page");
    judge_trace(class);
}

static void judge_aligned(size_t alignment, size_t size) {
    uint32_t class = size_class_of_aligned(alignment, size), smallest = 0;
    while (smallest < SIZE_CLASSES &&
           (class_sizes[smallest] < size || class_sizes[smallest] % alignment != 0))
        smallest++;
    if (smallest == SIZE_CLASSES) smallest = SIZE_CLASS_NONE;
    if (class != smallest)
        judge_fail("classes: %zu bytes aligned to %zu have class %u, not %u", size, alignment,
                   class, smallest);
    size_t request = aligned_request(alignment, size);
    expect(request >= size && request - size < alignment && request % alignment == 0,
           "classes: a request that is no multiple of its alignment, or not the next");
    judge_trace(class);
}

static void step_classes(struct step *step) {
    judge_class(draw_size(step, LARGE_MAX));
    judge_aligned((size_t)1 << rng_below(&step->random, 21), draw_size(step, LARGE_MAX));
}

/* --- Boundaries of blocks -------------------------------------------------------------------- */

/* Offsets around some multiple of the size, and some that are anywhere. */
static void step_boundaries(struct step *step) {
    size_t size = step->verb % 2 == 0 ? draw_size(step, LARGE_MAX) : step->argument;
    if (size < 2) size = 2;
    uint64_t reciprocal = block_reciprocal(size);
    uint64_t near = rng_below(&step->random, (unsigned)(UINT32_MAX / size)) * (uint64_t)size;
    for (unsigned i = 0; i < 128; i++) {
        uint64_t offset = i < 64 ? (near + i - 32) % UINT32_MAX
                                 : rng_next(&step->random) >> (32 + rng_below(&step->random, 24));
        if (subject->offset_on_boundary(offset, reciprocal) != (offset % size == 0))
            judge_fail("boundaries: offset %zu of blocks of %zu", (size_t)offset, size);
    }
    judge_trace(reciprocal);
}

/* --- Links ----------------------------------------------------------------------------------- */

struct page_of_blocks {
    uintptr_t start;
    uint64_t size, blocks, limit, reciprocal;
};

static void draw_page(struct step *step, struct page_of_blocks *page) {
    uint32_t class = step->argument % SIZE_CLASSES;
    size_t bytes = page_kind_size(size_class_page_kind(class));
    page->size = class_sizes[class];
    page->start = round_down(rng_next(&step->random) >> 17, bytes);
    page->blocks = 1 + rng_below(&step->random, (unsigned)(bytes / page->size));
    page->limit = page->blocks * page->size;
    page->reciprocal = block_reciprocal(page->size);
}

static uintptr_t draw_block(struct step *step, const struct page_of_blocks *page) {
    return page->start + rng_below(&step->random, (unsigned)page->blocks) * page->size;
}

/* A link that leads to an address names a block if that is one, by arithmetic, and else none. */
static bool judge_link(const struct page_of_blocks *page, uint64_t address) {
    bool is_one = address >= page->start && address - page->start < page->limit &&
                  (address - page->start) % page->size == 0;
    if (freelist_is_block(address - page->start, page->limit, page->reciprocal) != is_one)
        judge_fail("links: what leads to offset %lld of a page of blocks of %zu is %s block",
                   (long long)(address - page->start), (size_t)page->size, is_one ? "no" : "a");
    return is_one;
}

static void step_links(struct step *step) {
    enum { ADDRESS_BITS = SEGMENT_SHIFT };
    struct page_of_blocks page;
    uint64_t cell = 0, secret = rng_next(&step->random);
    if (!HARDENED_LINKS) return;
    draw_page(step, &page);
    uintptr_t next = draw_block(step, &page), own = draw_block(step, &page);
    uint64_t link = freelist_encode(next, secret, own);
    expect(subject->freelist_decode(link, secret, own) == next,
           "links: one leads elsewhere than it was made for");
    expect(judge_link(&page, next), "links: a block is none");
    freelist_store((uintptr_t)&cell, freelist_encode(next, secret, (uintptr_t)&cell));
    expect(freelist_load((uintptr_t)&cell) == cell &&
               freelist_next(secret, (uintptr_t)&cell) == next,
           "links: one in memory leads elsewhere");
    /* Any bit: of the low ones in the link none may lead into the page. */
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t damaged = subject->freelist_decode(link ^ bit64(bit), secret, own);
        bool is_one = judge_link(&page, damaged);
        if (is_one && bit < 64 - ADDRESS_BITS) judge_fail("links: bit %u does not count", bit);
        expect(damaged != next, "links: two lead to one block");
    }
    for (unsigned i = 0; i < 16; i++) {
        uint64_t forged = rng_next(&step->random); /* or of a page with another secret */
        if (i % 2 == 0) forged = freelist_encode(next, secret ^ forged, own);
        (void)judge_link(&page, subject->freelist_decode(forged, secret, own));
    }
    judge_trace(link);
}

/* --- Counts of returned blocks --------------------------------------------------------------- */

static struct {
    struct returns returns;
    uint32_t count;
    int32_t event_above;
} returned;

static void step_returns(struct step *step) {
    static const int32_t events[] = {-1, 0, 1, 2, 3, 7, 4095, RETURNS_NEVER};
    struct returns *returns = &returned.returns;
    bool event = false;
    if (returned.count > SEGMENT_SIZE / GRANULE) { /* no page has more blocks */
        returns_take(returns);
        returned.count = 0;
    }
    switch (step->verb % 8) {
    case 0:
        returned.event_above = events[step->argument % 8];
        returns_expect(returns, returned.event_above);
        break;
    case 1:
        returned.count += step->argument % 4096;
        returns_add_some(returns, (int32_t)(step->argument % 4096));
        break;
    case 2:
        returned.count = 0;
        returns_take(returns);
        break;
    default:
        returned.count++;
        event = subject->returns_add(returns);
        expect(event == ((int64_t)returned.count > returned.event_above),
               "returns: an event or none");
        break;
    }
    expect(returns_count(returns) == returned.count, "returns: another count");
    judge_trace(returned.count * 2 + event);
}

/* --- Lists ----------------------------------------------------------------------------------- */

enum { RECORDS = 24, LISTS = 2, UNTOUCHED = 0x5a5a5a5a };
/* A record that can stand in two lists at once, with others' fields around them. */
struct record {
    uint32_t before;
    struct list_node node[LISTS];
    uint32_t behind[2];
};

static struct record records[RECORDS];
static struct list lists[LISTS];
static struct {
    uint32_t order[RECORDS];
    unsigned count;
} arrays[LISTS];

static void begin_lists(void) {
    memset(records, 0x5a, sizeof records);
    memset(lists, 0, sizeof lists);
    memset(arrays, 0, sizeof arrays);
}

static void compare_list(unsigned which, struct list_table table) {
    const struct list *list = &lists[which];
    unsigned count = arrays[which].count, at = 0;
    const uint32_t *order = arrays[which].order;
    for (uint32_t index = list->first; index != 0; index = list_next(table, index), at++)
        if (at == count || order[at] != index) judge_fail("lists: record %u stands there", index);
    expect(at == count, "lists: one ends early");
    expect(list_is_empty(list) == (count == 0), "lists: empty or not");
    expect(list_last(list, table) == (count == 0 ? 0 : order[count - 1]), "lists: another last");
    for (unsigned i = 0; i < RECORDS; i++)
        expect(records[i].before == UNTOUCHED && records[i].behind[0] == UNTOUCHED &&
                   records[i].behind[1] == UNTOUCHED,
               "lists: a record is overwritten");
    expect(records[0].node[which].next == UNTOUCHED && records[0].node[which].prev == UNTOUCHED,
           "lists: record 0 is written");
}

static void step_lists(struct step *step) {
    unsigned which = step->verb % LISTS, at = 0;
    uint32_t index = 1 + step->argument % (RECORDS - 1), *order = arrays[which].order;
    unsigned *count = &arrays[which].count;
    struct list_table table = {(uintptr_t)&records[0].node[which], sizeof records[0]};
    while (at < *count && order[at] != index) at++;
    if (at < *count) {
        subject->list_remove(&lists[which], table, index);
        memmove(order + at, order + at + 1, (*count - at - 1) * sizeof *order);
        --*count;
    } else if (step->verb / LISTS % 2 == 0) {
        list_push_back(&lists[which], table, index);
        order[(*count)++] = index;
    } else {
        list_push_front(&lists[which], table, index);
        memmove(order + 1, order, (*count)++ * sizeof *order);
        order[0] = index;
    }
    for (unsigned i = 0; i < LISTS; i++)
        compare_list(i, (struct list_table){(uintptr_t)&records[0].node[i], sizeof records[0]});
    judge_trace(*count << 8 | index);
}

/* --- Random numbers -------------------------------------------------------------------------- */

static struct random generator;
static struct cipher_stream stream; /* what it should give */
static struct lock locks[LOCKS];

static void begin_random(uint64_t seed) {
    random_seed_fixed(&generator, seed);
    cipher_stream_begin(&stream, seed);
    memset(locks, 0, sizeof locks);
    ro.locks = locks;
    ro.random_root = NULL;
}

static void expect_erased(const struct random *random) {
    for (unsigned i = random->left; i < RANDOM_WORDS; i++)
        expect(random->words[i] == 0, "random: a number that was handed out is kept");
}

static uint64_t draw(struct random *random) {
    uint64_t number = random_next(random);
    expect_erased(random);
    return number;
}

/* As the kernel leaves a generator in a forked child: its stream is another, and has no number of
   this one. */
static uint64_t judge_wiped(void) {
    static uint64_t numbers[2 * RANDOM_WORDS];
    static struct random other;
    for (unsigned i = 0; i < RANDOM_WORDS; i++) {
        numbers[i] = draw(&generator);
        expect(numbers[i] == cipher_stream_next(&stream), "random: another number");
    }
    memset(&other, 0, sizeof other);
    for (unsigned i = 0; i < RANDOM_WORDS; i++) numbers[RANDOM_WORDS + i] = draw(&other);
    for (unsigned i = 0; i < 2 * RANDOM_WORDS; i++)
        for (unsigned j = 0; j < i; j++)
            expect(numbers[i] != numbers[j], "random: a number comes again");
    return numbers[RANDOM_WORDS];
}

/* Seeds that come from a root: none is another's, and none is left in it. */
static void judge_root(void) {
    static struct random_root root, recovered;
    uint64_t first[3], key[4];
    random_start(&root, &generator);
    for (unsigned i = 0; i < 4; i++)
        expect(root.key[i] == cipher_stream_next(&stream), "random: another root");
    memcpy(key, root.key, sizeof key);
    ro.random_root = &root;
    first[0] = judge_wiped();
    first[1] = judge_wiped();
    recovered = root;
    random_recover(&recovered);
    ro.random_root = &recovered;
    first[2] = judge_wiped();
    ro.random_root = NULL;
    expect(root.steps == 2, "random: the root was not replaced with each seed");
    expect(memcmp(key, root.key, sizeof key) != 0 && memcmp(key, recovered.key, sizeof key) != 0 &&
               memcmp(root.key, recovered.key, sizeof key) != 0,
           "random: a root comes again");
    expect(first[0] != first[1] && first[1] != first[2] && first[0] != first[2],
           "random: a seed comes again");
}

static void step_random(struct step *step) {
    uint32_t bound = step->argument, got = 0;
    uint64_t wanted = 0;
    switch (step->verb % 8) {
    case 0: begin_random(rng_next(&step->random)); break;
    case 1: judge_root(); break;
    case 2:
        harness_set_seed(step->argument);
        (void)judge_wiped();
        break;
    case 3:
    case 4:
        bound >>= rng_below(&step->random, 32);
        if (bound == 0) bound = 1;
        wanted = bound == 1
                     ? 0
                     : (uint64_t)(((unsigned __int128)cipher_stream_next(&stream) * bound) >> 64);
        got = subject->random_below(&generator, bound);
        if (got >= bound) judge_fail("random: %u is not below %u", got, bound);
        if (got != wanted) judge_fail("random: %u below %u, not %u", got, bound, (unsigned)wanted);
        break;
    default:
        for (unsigned i = step->argument % 30; i > 0; i--)
            expect(draw(&generator) == cipher_stream_next(&stream), "random: another number");
        break;
    }
    judge_trace(got);
}

/* --- Canaries -------------------------------------------------------------------------------- */

enum { MEMORY = 256, BYTE_BEFORE = 0xc3 };

static unsigned char memory[MEMORY] __attribute__((aligned(GRANULE)));

/* SipHash, and 1 where a byte of it is 0. */
static unsigned char canary_byte(uintptr_t block, unsigned at) {
    unsigned char byte = (unsigned char)(cipher_siphash13(ro.canary_key, block) >> 8 * (at % 8));
    return byte != 0 ? byte : 1;
}

static void judge_zeros(struct step *step) {
    unsigned from = rng_below(&step->random, MEMORY / GRANULE) * (unsigned)GRANULE;
    unsigned to =
        from + rng_below(&step->random, (MEMORY - from) / GRANULE + 1) * (unsigned)GRANULE;
    uintptr_t wrong = 0;
    memset(memory, 0, sizeof memory);
    for (unsigned marks = rng_below(&step->random, 4); marks > 0; marks--)
        memory[rng_below(&step->random, MEMORY)] = (unsigned char)rng_below(&step->random, 256);
    for (unsigned i = to; i-- > from;)
        if (memory[i] != 0) wrong = (uintptr_t)&memory[i];
    expect(zero_check((uintptr_t)memory + from, (uintptr_t)memory + to) == wrong,
           "canary: zeros or not");
    judge_trace(to - from);
}

static void step_canary(struct step *step) {
    unsigned from = step->argument % MEMORY, to = step->argument / MEMORY % (MEMORY + 1);
    uintptr_t block = round_down(rng_next(&step->random) >> 16, GRANULE), wrong = 0;
    uintptr_t start = (uintptr_t)memory + from, end = (uintptr_t)memory + to;
    for (unsigned i = 0; i < 2; i++) ro.canary_key[i] = rng_next(&step->random);
    uint64_t value = canary_of(block);
    for (unsigned i = 0; i < 8; i++)
        expect((unsigned char)(value >> 8 * i) == canary_byte(block, i), "canary: another value");
    memset(memory, BYTE_BEFORE, sizeof memory);
    canary_fill(block, start, end);
    for (unsigned i = 0; i < MEMORY; i++)
        if (memory[i] != (i >= from && i < to ? canary_byte(block, i) : BYTE_BEFORE))
            judge_fail("canary: byte %u of one from %u to %u", i, from, to);
    expect(subject->canary_check(block, start, end) == 0, "canary: a whole one is damaged");
    for (unsigned marks = 1 + rng_below(&step->random, 3); marks > 0; marks--)
        memory[rng_below(&step->random, MEMORY)] ^=
            (unsigned char)(1 + rng_below(&step->random, 255));
    for (unsigned i = to; i-- > from;)
        if (memory[i] != canary_byte(block, i)) wrong = (uintptr_t)&memory[i];
    expect(subject->canary_check(block, start, end) == wrong, "canary: a changed byte is not seen");
    judge_zeros(step);
    judge_trace(value);
}

/* --- A run ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*step)(struct step *step);
} units[] = {{"map", step_map},       {"classes", step_classes}, {"boundaries", step_boundaries},
             {"links", step_links},   {"returns", step_returns}, {"lists", step_lists},
             {"random", step_random}, {"canary", step_canary}};
enum { UNITS = sizeof units / sizeof units[0] };

uint64_t units_run(const struct units_subject *chosen, const struct input *input) {
    subject = chosen;
    judge_begin();
    harness_reset();
    harness_set_seed(input->seed);
    begin_map();
    begin_classes();
    begin_lists();
    begin_random(input->seed);
    returned.count = 0;
    returned.event_above = RETURNS_NEVER;
    returned.returns = (struct returns){RETURNS_NEVER, RETURNS_NEVER};
    for (unsigned i = 0; i < input->op_count; i++) {
        const struct input_op *op = &input->ops[i];
        unsigned unit = op->value % UNITS;
        struct step step = {op->other, op->value / UNITS, judge_random(input, op)};
        judge_step(units[unit].name);
        units[unit].step(&step);
    }
    harness_reset();
    return judge_seen();
}
