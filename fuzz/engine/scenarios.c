/*
 * scenarios: named small programs. See the header.
 */
#include "engine/scenarios.h"

#include "engine/program.h"
#include "engine/sizing.h"

enum { OLDEST = 0, SECOND_OF_FOUR = 64, NEWEST = 255 };

#define TAKE(thread, size)                                                                         \
    { thread, OP_MALLOC, 0, 0, SIZE_SMALL, size }
/* A class whose empty pages are not kept. */
#define TAKE_MEDIUM(thread)                                                                        \
    { thread, OP_MALLOC, 0, 0, SIZE_MEDIUM, 28672 }
#define TAKE_HUGE(thread, more)                                                                    \
    { thread, OP_MALLOC, 0, 0, SIZE_HUGE, more }
/* A fourth of the only page that its segment has. */
#define TAKE_LARGE(thread)                                                                         \
    { thread, OP_MALLOC, 0, 0, SIZE_LARGE, 983040 }
#define TAKE_NOTHING(thread)                                                                       \
    { thread, OP_MALLOC, 0, 0, SIZE_ZERO, 0 }
/* `log` of the count less one. */
#define TAKE_MANY(thread, log, size)                                                               \
    { thread, OP_MALLOC_MANY, 0, log, SIZE_SMALL, size }
#define TAKE_MUCH_NOTHING(thread, log)                                                             \
    { thread, OP_MALLOC_MANY, 0, log, SIZE_ZERO, 0 }
#define FREE(thread, which)                                                                        \
    { thread, OP_FREE, which, 0, 0, 0 }
#define RESIZE_HUGE(thread, which, more)                                                           \
    { thread, OP_REALLOC, which, 0, SIZE_HUGE, more }
#define FREE_MANY(thread, log)                                                                     \
    { thread, OP_FREE_MANY, 0, log, 0, 0 }
#define CLOCK(thread)                                                                              \
    { thread, OP_CLOCK, 0, 0, 0, 200 }
#define TRIM(thread)                                                                               \
    { thread, OP_TRIM, 0, 0, 0, 0 }
/* `reborn`: what follows is another thread's. */
#define END(thread, reborn)                                                                        \
    { thread, OP_THREAD_END, 0, reborn, 0, 0 }

const struct scenario scenarios[] = {
    {"free-free",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE(0, 64), TAKE(0, 64), FREE(0, OLDEST), FREE(1, NEWEST)},
     4},
    {"free-pop", LIFE_DEFAULT, 2, 1, {TAKE_MANY(0, 1, 1024), TAKE(0, 1024), FREE(1, OLDEST)}, 3},
    {"free-collect",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_MANY(0, 2, 8192), FREE(1, OLDEST), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST)},
     5},
    /* two claims of one group, of which one is named */
    {"claim-trim",
     LIFE_DEFAULT,
     2,
     3,
     {TAKE(0, 64), TAKE(0, 64), FREE(1, OLDEST), FREE(1, OLDEST), TRIM(0)},
     5},
    {"free-mark-full",
     LIFE_DEFAULT,
     2,
     1,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST)},
     4},
    {"free-wake",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), FREE(1, OLDEST), TAKE_MANY(0, 1, 8192)},
     4},
    {"wake-two-segments",
     LIFE_DEFAULT,
     2,
     8,
     {TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0),
      TAKE_LARGE(0), TAKE_LARGE(0), FREE(1, OLDEST), FREE(1, NEWEST), TAKE_LARGE(0)},
     11},
    {"free-abandon", LIFE_DEFAULT, 2, 1, {TAKE_MANY(0, 1, 1024), END(0, 1), FREE(1, OLDEST)}, 3},
    {"wake-abandon",
     LIFE_DEFAULT,
     2,
     4,
     {TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), END(0, 1), FREE(1, OLDEST)},
     6},
    {"free-adopt",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_MANY(0, 2, 8192), END(0, 1), FREE(0, OLDEST), TAKE(1, 8192)},
     4},
    {"free-sweep", LIFE_DEFAULT, 2, 2, {TAKE(0, 8192), END(0, 0), FREE(0, OLDEST), TRIM(1)}, 4},
    /* the owner takes in what the other frees, and ends the page */
    {"free-retire",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_MEDIUM(0), TAKE_MEDIUM(0), FREE(0, OLDEST), FREE(1, NEWEST), TRIM(0)},
     5},
    /* and his own last free does, while the other's is between its steps */
    {"free-page-event",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_MEDIUM(0), TAKE_MEDIUM(0), FREE(1, NEWEST), TRIM(0), FREE(0, OLDEST)},
     5},
    {"heap-pool",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE(0, 64), TAKE(1, 64), END(0, 1), TAKE(0, 64), END(1, 1), TAKE(1, 64)},
     6},
    {"huge-free-resize",
     LIFE_DEFAULT,
     2,
     2,
     {TAKE_HUGE(0, 5000), TAKE_HUGE(1, 5000), FREE(0, OLDEST), RESIZE_HUGE(1, NEWEST, 3000000)},
     4},
    {"huge-free-take",
     LIFE_DEFAULT,
     2,
     1,
     {TAKE_HUGE(0, 5000), FREE(1, OLDEST), TAKE_HUGE(0, 5000)},
     3},
    {"segment-give-take",
     LIFE_DEFAULT,
     2,
     3,
     {TAKE_LARGE(0), TAKE(1, 64), FREE(0, OLDEST), TRIM(0), TAKE_LARGE(1)},
     5},
    {"visit",
     LIFE_DEFAULT,
     2,
     4,
     {TAKE_MANY(0, 3, 8192), TAKE(0, 8192), TAKE(1, 64), FREE_MANY(1, 3), TRIM(1), CLOCK(1),
      TRIM(1), TAKE(0, 8192)},
     8},
    /* of a full page all but one block were freed by others; its thread frees that, and before it
       goes on a visitor ends the page */
    {"visit-page-event",
     LIFE_DEFAULT,
     2,
     9,
     {TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE_LARGE(0), TAKE(1, 64), FREE(1, OLDEST),
      FREE(1, SECOND_OF_FOUR), TRIM(1), CLOCK(1), FREE(0, NEWEST), TRIM(1)},
     11},
    {"zero-size",
     LIFE_DEFAULT,
     2,
     1,
     {TAKE_NOTHING(0), FREE(0, OLDEST), TAKE_NOTHING(1), FREE(1, NEWEST)},
     4},
    /* the last granule of a word was taken */
    {"zero-size-full",
     LIFE_DEFAULT,
     2,
     1,
     {TAKE_MUCH_NOTHING(0, 5), TAKE_NOTHING(0), FREE(1, OLDEST)},
     3},
    {"strict-claim-trim",
     LIFE_STRICT,
     2,
     3,
     {TAKE(0, 64), TAKE(0, 64), FREE(1, OLDEST), FREE(1, OLDEST), TRIM(0)},
     5},
    {"strict-free-collect",
     LIFE_STRICT,
     2,
     2,
     {TAKE_MANY(0, 2, 8192), FREE(1, OLDEST), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST)},
     5},
    {"sample-free-take", LIFE_SAMPLED, 2, 1, {TAKE(0, 64), FREE(1, OLDEST), TAKE(0, 64)}, 3},
    {"free-free-pop",
     LIFE_DEFAULT,
     3,
     1,
     {TAKE_MANY(0, 1, 1024), TAKE(0, 1024), FREE(1, OLDEST), FREE(2, NEWEST)},
     4},
    {"free-free-collect",
     LIFE_DEFAULT,
     3,
     1,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), FREE(1, OLDEST), FREE(2, NEWEST)},
     4},
    {"free-free-mark-full",
     LIFE_DEFAULT,
     3,
     1,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), TAKE(0, 8192), FREE(1, OLDEST), FREE(2, NEWEST)},
     5},
    {"free-free-wake",
     LIFE_DEFAULT,
     3,
     2,
     {TAKE_MANY(0, 2, 8192), TAKE(0, 8192), FREE(1, OLDEST), FREE(2, NEWEST),
      TAKE_MANY(0, 1, 8192)},
     5},
    {"free-free-sweep",
     LIFE_DEFAULT,
     3,
     3,
     {TAKE(0, 8192), TAKE(0, 8192), END(0, 0), FREE(0, OLDEST), FREE(1, NEWEST), TRIM(2)},
     6},
    {"free-free-retire",
     LIFE_DEFAULT,
     3,
     3,
     {TAKE_MEDIUM(0), TAKE_MEDIUM(0), TAKE_MEDIUM(0), FREE(0, OLDEST), FREE(1, OLDEST),
      FREE(2, NEWEST), TRIM(0)},
     7},
    {"huge-free-resize-take",
     LIFE_DEFAULT,
     3,
     2,
     {TAKE_HUGE(0, 5000), TAKE_HUGE(1, 5000), FREE(0, OLDEST), RESIZE_HUGE(1, NEWEST, 3000000),
      TAKE_HUGE(2, 5000)},
     5},
    {"zero-size-three",
     LIFE_DEFAULT,
     3,
     1,
     {TAKE_NOTHING(0), FREE(0, OLDEST), TAKE_NOTHING(1), FREE(1, NEWEST), TAKE_NOTHING(2)},
     5},
    {"free-abandon-adopt",
     LIFE_DEFAULT,
     3,
     1,
     {TAKE_MANY(0, 1, 8192), END(0, 1), FREE(1, OLDEST), TAKE(2, 8192)},
     4},
    /* the only abandoned segment is taken while another is left */
    {"abandon-adopt",
     LIFE_DEFAULT,
     3,
     3,
     {TAKE(2, 8192), TAKE(0, 8192), END(0, 1), END(2, 1), TAKE(1, 8192)},
     5},
};
const unsigned scenarios_count = sizeof scenarios / sizeof scenarios[0];

/* What run_begin() and the subject make of a seed. */
static const uint64_t seeds[] = {0, UINT64_C(2) << 32, UINT64_C(7) << 40};

void scenario_make(const struct scenario *scenario, struct input *input) {
    *input = (struct input){.threads = scenario->threads,
                            .prologue = scenario->prologue,
                            .op_count = scenario->count,
                            .flags = scenario->life == LIFE_STRICT ? INPUT_STRICT : 0,
                            .seed = seeds[scenario->life]};
    for (unsigned i = 0; i < scenario->count; i++) {
        const struct scenario_step *step = &scenario->steps[i];
        input->ops[i] = (struct input_op){step->code, step->pick, step->other,
                                          program_kind(step->thread, step->kind), step->value};
    }
}

unsigned scenario_preemptions(const struct scenario *scenario) {
    return scenario->threads == 2 ? 3 : 2;
}
