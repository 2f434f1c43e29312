/*
 * hunt: a search without a fuzzing engine. See the header.
 */
#include "engine/hunt.h"

#include <string.h>

#include "engine/feedback.h"
#include "engine/rng.h"

enum { KEPT_MAX = 4096, LATEST = 32, STORE_SIZE = 4 << 20 };

static struct {
    const struct hunt_source *source;
    struct rng random;
    uint64_t seed, number;
    bool learns, is_new;
    uint8_t known[FEEDBACK_PAIRS];
    struct {
        uint32_t at, size;
    } kept[KEPT_MAX];
    unsigned count;
    uint32_t used;
    uint8_t store[STORE_SIZE];
    uint8_t bytes[INPUT_MAX_SIZE];
    size_t size;
} hunt;

void hunt_begin(const struct hunt_source *source, uint64_t seed, bool learns) {
    hunt.source = source;
    hunt.random = (struct rng){rng_mix(seed)};
    hunt.seed = seed << 32;
    hunt.number = 0;
    hunt.learns = learns;
    hunt.count = 0;
    hunt.used = 0;
    memset(hunt.known, 0, sizeof hunt.known);
}

static void make_fresh(void) {
    static struct input input;
    hunt.source->make(&input, hunt.seed | hunt.number, 0);
    hunt.size = input_encode(&input, hunt.bytes, sizeof hunt.bytes);
}

/* As likely as not one of the latest: what it came by is known least. */
static void change_kept(void) {
    unsigned latest = hunt.count < LATEST ? hunt.count : LATEST;
    unsigned back = rng_below(&hunt.random, rng_below(&hunt.random, 2) == 0 ? latest : hunt.count);
    unsigned which = hunt.count - 1 - back;
    hunt.size = hunt.kept[which].size;
    memcpy(hunt.bytes, &hunt.store[hunt.kept[which].at], hunt.size);
    hunt.size = hunt.source->mutate(hunt.bytes, hunt.size, sizeof hunt.bytes,
                                    (unsigned)rng_next(&hunt.random));
}

const uint8_t *hunt_next(size_t *size) {
    if (hunt.count == 0 || rng_below(&hunt.random, 2) == 0)
        make_fresh();
    else
        change_kept();
    hunt.number++;
    *size = hunt.size;
    return hunt.bytes;
}

static void look_at(void *context, unsigned pair) {
    (void)context;
    if (hunt.known[pair] == 0) hunt.is_new = true;
    hunt.known[pair] = 1;
}

void hunt_ran(void) {
    if (!hunt.learns) return;
    hunt.is_new = false;
    feedback_for_each(look_at, NULL);
    if (!hunt.is_new || hunt.count == KEPT_MAX || hunt.used + hunt.size > STORE_SIZE) return;
    memcpy(&hunt.store[hunt.used], hunt.bytes, hunt.size);
    hunt.kept[hunt.count].at = hunt.used;
    hunt.kept[hunt.count++].size = (uint32_t)hunt.size;
    hunt.used += (uint32_t)hunt.size;
}

unsigned hunt_kept(void) { return hunt.count; }
