/*
 * place: random bases (see place.h).
 *
 * Runs once, in init, which alone holds the structure. All distances are fractions of the address
 * space that a process has: 47 bits on most machines, 39 on small ones.
 */
#include "meta/place.h"
#include "base/bits.h"
#include "meta/region.h"
#include "os/os.h"

/* Of the address space: the region begins between an eighth and five eighths, and takes at most a
   quarter; an island is a sixteenth, or 512 GiB. Programs, libraries and stacks lie above. */
#define FIRST_SHARE 8u
#define RANGE_SHARE 2u
#define SPAN_SHARE 4u
#define ISLAND_SHARE 16u
#define ISLAND_MAX (512 * GIB)
/* Nothing is chosen nearer than this to where the kernel puts mappings. */
#define CLEARANCE_SHARE 64u
/* Places that are drawn before one is taken that has a neighbour: up to two in three are passed
   over, where addresses are few. */
#define DRAWS 64
/* ThreadSanitizer maps only some address ranges: there a hole is the kernel's own choice, and the
   span small enough for it. */
#define SPAN_UNDER_SANITIZER (64 * GIB)
#define ATTEMPTS 8

/* What programs map at addresses that are written into them, of what lies where the region or an
   island could: they warn or end if something is there. Most such places lie below an eighth of 47
   bits (test_place.c). */
static const struct claim {
    uintptr_t start;
    size_t size;
} claims[] = {
    {16 * 1024 * GIB, 16 * 1024 * GIB}, /* GNU clisp; a view of the heap of Java's ZGC */
    {48 * 1024 * GIB, 512 * GIB},       /* Clozure CL */
};

/* The highest address that a process shows without being asked leads to the number of bits. */
static uintptr_t space_above(uintptr_t address) { return (uintptr_t)2 << high_bit(address); }

void places_learn(struct places *places, size_t cap) {
    size_t page = os_page_size();
    /* the loader was mapped without a wish */
    places->kernel = ro.os.loader != 0 ? ro.os.loader : os_find_hole(page, page, 0);
    uintptr_t stack = space_above((uintptr_t)__builtin_frame_address(0));
    uintptr_t mapping = places->kernel != 0 ? space_above(places->kernel) : 0;
    places->space = stack > mapping ? stack : mapping;
    size_t span =
        UNDER_THREAD_SANITIZER ? SPAN_UNDER_SANITIZER : REGION_MAX_SEGMENTS * SEGMENT_SIZE;
    if (span > places->space / SPAN_SHARE) span = places->space / SPAN_SHARE;
    if (cap != 0 && span > cap) span = cap;
    places->span = round_down(span, SEGMENT_SIZE);
}

static bool overlap(uintptr_t one, size_t size, uintptr_t other, size_t other_size) {
    return one < other + other_size && other < one + size;
}

static bool is_near_kernel(const struct places *places, uintptr_t start, size_t size) {
    uintptr_t clearance = places->space / CLEARANCE_SHARE;
    return places->kernel != 0 && overlap(start, size, places->kernel - clearance, 2 * clearance);
}

static bool is_claimed(uintptr_t start, size_t size) {
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        if (overlap(start, size, claims[i].start, claims[i].size)) return true;
    return false;
}

/* Neither the kernel nor the program goes there by himself. */
static bool is_quiet(const struct places *places, uintptr_t start, size_t size) {
    return !is_near_kernel(places, start, size) && !is_claimed(start, size);
}

static uintptr_t island_size(const struct places *places) {
    uintptr_t size = places->space / ISLAND_SHARE;
    return size < ISLAND_MAX ? size : ISLAND_MAX;
}

void places_bound_span(struct places *places, size_t bytes_per_table_byte) {
    size_t most = (island_size(places) / PLACE_LANES / 2) * bytes_per_table_byte;
    if (places->span > most) places->span = round_down(most, SEGMENT_SIZE);
}

/* A multiple of the unit in the part of the address space that is used. */
static uintptr_t somewhere(const struct places *places, struct random *random, uintptr_t unit) {
    uint64_t units = places->space / RANGE_SHARE / unit;
    return places->space / FIRST_SHARE + random_next(random) % units * unit;
}

static void shuffle_lanes(struct places *places, struct random *random) {
    for (unsigned i = 0; i < PLACE_LANES; i++) {
        unsigned other = random_below(random, i + 1);
        places->order[i] = places->order[other];
        places->order[other] = (uint8_t)i;
    }
}

void places_choose(struct places *places, struct random *random) {
    if (UNDER_THREAD_SANITIZER) {
        places->region = os_find_hole(places->span, SEGMENT_SIZE, 0);
        return;
    }
    for (int draw = 0; draw < DRAWS; draw++) {
        places->region = somewhere(places, random, SEGMENT_SIZE);
        if (is_quiet(places, places->region, places->span)) break;
    }
    uintptr_t size = island_size(places), beside = 0;
    for (int draw = 0; draw < DRAWS; draw++) {
        places->island = somewhere(places, random, size);
        if (!is_quiet(places, places->island, size) ||
            overlap(places->island, size, places->region, places->span))
            continue;
        beside = places->island;
        if (os_is_free(beside, size)) break;
    }
    /* where nothing is free, as under a sanitizer, still not over the region */
    if (beside != 0) places->island = beside;
    shuffle_lanes(places, random);
}

bool places_table(const struct places *places, struct random *random, unsigned number, size_t size,
                  struct table *table) {
    size_t page = os_page_size(), hole = round_up(size, page) + page;
    if (UNDER_THREAD_SANITIZER) {
        uintptr_t found = os_find_hole(hole, page, 0);
        return found != 0 && table_place(table, found + page);
    }
    size_t lane = island_size(places) / PLACE_LANES;
    if (hole + 2 * page > lane) return false;
    uintptr_t first = places->island + places->order[number] * lane;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uintptr_t start =
            first + page + round_down(random_next(random) % (lane - hole - page), page);
        if (table_place(table, start)) return true;
    }
    return false;
}
