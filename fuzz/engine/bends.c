/*
 * bends: arguments where contracts bend. See the header.
 *
 * The upper bits of an operation's value say whether its size is plain, and then the lower ones
 * mean what they mean everywhere; so a size is edited by small steps. The rest is drawn from the
 * operation's bytes.
 */
#include "engine/bends.h"

#include "base/base.h"
#include "engine/rng.h"
#include "engine/sizing.h"

enum { PLAIN_BITS = 28, BITS = 64 };

static size_t draw_edge(struct rng *random) {
    static const size_t edges[] = {0,
                                   PTRDIFF_MAX,
                                   SIZE_MAX,
                                   SIZE_MAX / 2 + 1,
                                   UINT32_MAX,
                                   INT32_MAX,
                                   SIZE_IMPOSSIBLE,
                                   (size_t)1 << 48,
                                   SIZE_MAX - ALIGN_MAX,
                                   PTRDIFF_MAX - ALIGN_MAX,
                                   SIZE_MAX - SEGMENT_SIZE,
                                   PTRDIFF_MAX - SEGMENT_SIZE,
                                   SIZE_MAX - SLOT_SIZE,
                                   LARGE_MAX,
                                   SMALL_MAX,
                                   4 * KIB};
    static const size_t distances[] = {0,  1,  2,  7,       8,           9,           15,
                                       16, 17, 31, 4 * KIB, 4 * KIB - 1, 4 * KIB + 1, 64 * KIB};
    size_t edge = edges[rng_below(random, sizeof edges / sizeof edges[0])];
    size_t distance = distances[rng_below(random, sizeof distances / sizeof distances[0])];
    return rng_below(random, 2) ? edge + distance : edge - distance;
}

static size_t near_power(struct rng *random, unsigned least) {
    return ((size_t)1 << (least + rng_below(random, BITS - least))) + rng_below(random, 3) - 1;
}

static size_t draw_alignment(struct rng *random) {
    static const size_t none[] = {0,
                                  3,
                                  5,
                                  6,
                                  7,
                                  9,
                                  12,
                                  24,
                                  40,
                                  48,
                                  56,
                                  100,
                                  63,
                                  4 * KIB + 8,
                                  SIZE_MAX,
                                  3 * KIB,
                                  SIZE_MAX - 4 * KIB + 1,
                                  SIZE_MAX / 2,
                                  SIZE_MAX / 2 + 2,
                                  3 * GIB};
    switch (rng_below(random, 8)) {
    case 0: return none[rng_below(random, sizeof none / sizeof none[0])];
    case 1: return near_power(random, 0);
    case 2: return (size_t)1 << (24 + rng_below(random, BITS - 24));
    case 3: return (size_t)1 << rng_below(random, 4); /* below a pointer's size, or that */
    default: return alignment_decode((uint8_t)rng_below(random, 256));
    }
}

static size_t draw_size(const struct input_op *op, struct rng *random, size_t alignment) {
    switch (op->value >> PLAIN_BITS) {
    case 10:
    case 11:
    case 12: return draw_edge(random);
    case 13: return near_power(random, 0);
    case 14:
    case 15:
        if (alignment == 0 || alignment > SIZE_SANE_MAX) return draw_edge(random);
        return alignment * (1 + rng_below(random, 4)) + rng_below(random, 3) - 1;
    default: return size_decode(op->kind, op->value & (((uint32_t)1 << PLAIN_BITS) - 1));
    }
}

/* `each` is the size, and the product that or something else. */
static void draw_product(struct bends *bends, struct rng *random) {
    size_t size = bends->size, nonzero = size != 0 ? size : 1 + rng_below(random, 100);
    bends->each = size;
    switch (rng_below(random, 16)) {
    case 0: bends->count = 0; break;
    case 1: bends->count = SIZE_MAX / nonzero + 1 + rng_below(random, 3); break;
    case 2: bends->count = SIZE_MAX / nonzero; break;
    case 3: bends->count = PTRDIFF_MAX / nonzero + rng_below(random, 2); break;
    case 4:
        bends->count = near_power(random, 16);
        bends->each = near_power(random, 16);
        break;
    case 5: /* what is left of the product in half a word is next to nothing */
        bends->count = ((size_t)1 << 16) + rng_below(random, 2);
        bends->each = ((size_t)1 << 16) + rng_below(random, 2);
        break;
    case 6:
        bends->count = draw_edge(random);
        bends->each = rng_below(random, 2) ? draw_edge(random) : 0;
        break;
    default:
        bends->count = 1 + rng_below(random, 8);
        bends->each = size / bends->count;
        break;
    }
    if (rng_below(random, 2) == 0) return;
    size = bends->count;
    bends->count = bends->each;
    bends->each = size;
}

struct bends bends_draw(const struct input_op *op) {
    struct rng random = {(uint64_t)op->value << 32 | (uint64_t)op->pick << 16 |
                         (uint64_t)op->other << 8 | op->code};
    struct bends bends = {.alignment = draw_alignment(&random)};
    bends.size = draw_size(op, &random, bends.alignment);
    draw_product(&bends, &random);
    bends.choice = (uint32_t)rng_next(&random);
    return bends;
}
