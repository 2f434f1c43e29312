/*
 * fuzz_units: the small parts that all else rests on, each against a plain model.
 *
 * Each operation of an input is a step of the live map, size classes, boundaries of blocks, links,
 * counts of returned blocks, lists, random numbers or canaries. engine/units.h says more.
 */
#include "engine/units.h"

#define PARTS_RUN(input) units_run(&units_moat, (input))
#include "engine/parts.h"
