/*
 * units: the small parts that all else rests on, each against a plain model of what its header
 * promises.
 *
 * Each operation of an input is a step of one of them: the live map, size classes, boundaries of
 * blocks, links, counts of returned blocks, lists, random numbers, canaries. What a unit keeps (the
 * map's bits, the records of the lists) lasts for the run. One thread at a time.
 */
#ifndef ENGINE_UNITS_H
#define ENGINE_UNITS_H

#include "base/list.h"
#include "engine/input.h"
#include "heap/returns.h"
#include "meta/livemap.h"
#include "meta/random.h"

/* What is judged: moat's, or with a planted bug. */
struct units_subject {
    bool (*map_take)(struct map_word *word, uint64_t place);
    uint32_t (*size_class_of)(size_t size);
    bool (*offset_on_boundary)(uint64_t offset, uint64_t reciprocal);
    uint64_t (*freelist_decode)(uint64_t link, uint64_t secret, uintptr_t address);
    bool (*returns_add)(struct returns *returns);
    void (*list_remove)(struct list *list, struct list_table table, uint32_t index);
    uint32_t (*random_below)(struct random *random, uint32_t bound);
    uintptr_t (*canary_check)(uintptr_t block, uintptr_t from, uintptr_t to);
};
extern const struct units_subject units_moat;

/* Returns a hash of all that was seen. Ends the process by abort(), with a message, where a unit
   does not keep a promise. */
uint64_t units_run(const struct units_subject *subject, const struct input *input);

#endif
