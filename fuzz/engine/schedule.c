/*
 * schedule: which virtual thread runs next. See the header.
 */
#include "engine/schedule.h"

#include <string.h>

enum { PRIORITY_RANGE = 1 << 16 };

static unsigned nth_of(unsigned set, unsigned n) {
    for (unsigned i = n % (unsigned)__builtin_popcount(set); i > 0; i--) set &= set - 1;
    return (unsigned)__builtin_ctz(set);
}

int schedule_named(const char *name) {
    static const char *const names[] = {"raw", "pct", "random", "walk"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

void schedule_begin(struct schedule *schedule, const struct input *input, unsigned kind,
                    unsigned round, const uint32_t expected[VIEWS_THREADS]) {
    uint64_t steps = 0;
    *schedule = (struct schedule){.input = input,
                                  .random = {rng_mix(round) ^ input->seed ^ 0x7363686564756c65},
                                  .kind = kind,
                                  .threads = input->threads};
    memcpy(schedule->left, expected, sizeof schedule->left);
    for (unsigned i = 0; i < VIEWS_THREADS; i++) {
        steps += expected[i];
        schedule->priority[i] =
            SCHEDULE_DEPTH_MAX + 1 + rng_below(&schedule->random, PRIORITY_RANGE);
    }
    unsigned depth = 1 + rng_below(&schedule->random, SCHEDULE_DEPTH_MAX);
    for (unsigned i = 0; i + 1 < depth; i++)
        schedule->change[i] = 1 + rng_below(&schedule->random, (unsigned)steps + 1);
}

/* A byte of the input: its low two bits a thread, the others how long it runs. */
static unsigned next_raw(struct schedule *schedule, unsigned self, unsigned ready) {
    const struct input *input = schedule->input;
    if (schedule->keep > 0) {
        schedule->keep--;
        return self;
    }
    if (schedule->used == input->schedule_length) return self;
    unsigned byte = input->schedule[schedule->used++], length = byte >> 2;
    schedule->keep = length < 32 ? length : 32u << ((length - 32) / 4);
    return nth_of(ready, byte & 3);
}

static unsigned highest(const struct schedule *schedule, unsigned ready) {
    unsigned best = (unsigned)__builtin_ctz(ready);
    for (unsigned i = 0; i < VIEWS_THREADS; i++)
        if (ready >> i & 1 && schedule->priority[i] > schedule->priority[best]) best = i;
    return best;
}

static unsigned next_by_priority(struct schedule *schedule, unsigned self, unsigned ready) {
    for (unsigned i = 0; i < SCHEDULE_DEPTH_MAX; i++)
        if (schedule->change[i] == schedule->step) schedule->priority[self] = i;
    return highest(schedule, ready);
}

static unsigned next_of_walk(struct schedule *schedule, unsigned ready) {
    unsigned sum = 0;
    for (unsigned i = 0; i < VIEWS_THREADS; i++)
        if (ready >> i & 1) sum += schedule->left[i] + 1;
    unsigned at = rng_below(&schedule->random, sum);
    for (unsigned i = 0; i < VIEWS_THREADS; i++) {
        if (!(ready >> i & 1)) continue;
        if (at <= schedule->left[i]) {
            if (schedule->left[i] > 0) schedule->left[i]--;
            return i;
        }
        at -= schedule->left[i] + 1;
    }
    return (unsigned)__builtin_ctz(ready);
}

unsigned schedule_next(struct schedule *schedule, unsigned self, unsigned ready) {
    schedule->step++;
    switch (schedule->kind) {
    case SCHEDULE_RAW: return next_raw(schedule, self, ready);
    case SCHEDULE_PCT: return next_by_priority(schedule, self, ready);
    case SCHEDULE_WALK: return next_of_walk(schedule, ready);
    default: return nth_of(ready, rng_below(&schedule->random, VIEWS_THREADS * 3));
    }
}

unsigned schedule_yield(struct schedule *schedule, unsigned self, unsigned ready) {
    if (schedule->kind == SCHEDULE_PCT) {
        /* what it waits for is another's to do, whose priority may be lower */
        schedule->priority[self] = 0;
        return highest(schedule, ready);
    }
    return nth_of(ready, rng_below(&schedule->random, VIEWS_THREADS * 3));
}

unsigned schedule_choose_value(struct schedule *schedule, unsigned count) {
    enum { OLD_ONE_IN = 4 };
    if (rng_below(&schedule->random, OLD_ONE_IN) != 0) return 0;
    return rng_below(&schedule->random, count);
}
