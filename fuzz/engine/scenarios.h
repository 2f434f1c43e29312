/*
 * scenarios: small programs by name, each of one of the protocols of doc/design.md, to be run in
 * every interleaving.
 */
#ifndef ENGINE_SCENARIOS_H
#define ENGINE_SCENARIOS_H

#include "engine/input.h"

enum { SCENARIO_STEPS_MAX = 12 };

enum scenario_life {
    LIFE_DEFAULT,
    LIFE_STRICT, /* without a quarantine, so that what is freed is collected */
    LIFE_SAMPLED /* each block is a sample */
};

/* An operation of an input, and the thread it belongs to. */
struct scenario_step {
    uint8_t thread, code, pick, other, kind;
    uint32_t value;
};

struct scenario {
    const char *name;
    enum scenario_life life;
    uint8_t threads;
    uint8_t prologue; /* steps that come before the threads run at once */
    struct scenario_step steps[SCENARIO_STEPS_MAX];
    uint8_t count;
};

extern const struct scenario scenarios[];
extern const unsigned scenarios_count;

void scenario_make(const struct scenario *scenario, struct input *input);

/* With so many all its interleavings are run in a matter of seconds. */
unsigned scenario_preemptions(const struct scenario *scenario);

#endif
