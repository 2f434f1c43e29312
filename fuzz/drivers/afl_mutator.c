/*
 * afl_mutator: the engine's mutator and trimmer as an AFL++ custom mutator (a shared object with
 * engine/input.c, mutate.c, program.c and sizing.c; AFL_CUSTOM_MUTATOR_LIBRARY names it).
 *
 * It is built twice: with AT_ONCE for the harnesses whose threads run at once, and without for the
 * others. Both mutate as their harnesses do for libFuzzer.
 *
 * Trimming takes out whole operations, then bytes of the schedule: half of them at a time, then
 * quarters, down to one.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/mutate.h"
#include "engine/program.h"

/* An input that cannot be read is replaced by one with several threads: it serves all others. */
enum { FRESH_THREADS = 3 };

struct afl_state {
    struct rng random;
    uint8_t bytes[INPUT_MAX_SIZE];
    struct input trimmed;   /* what is known to behave the same */
    struct input candidate; /* what is being tried */
    unsigned chunk, at;     /* operations taken out of trimmed, from `at` on */
    int step, steps;
};

void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *state);
size_t afl_custom_fuzz(void *data, uint8_t *bytes, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t max_size);
int32_t afl_custom_init_trim(void *data, uint8_t *bytes, size_t size);
size_t afl_custom_trim(void *data, uint8_t **out);
int32_t afl_custom_post_trim(void *data, uint8_t success);

void *afl_custom_init(void *afl, unsigned seed) {
    (void)afl;
    struct afl_state *state = calloc(1, sizeof *state);
    if (state) state->random.state = seed;
    return state;
}

void afl_custom_deinit(void *state) { free(state); }

size_t afl_custom_fuzz(void *data, uint8_t *bytes, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t max_size) {
    struct afl_state *state = data;
    size_t capacity = max_size < sizeof state->bytes ? max_size : sizeof state->bytes;
    *out = state->bytes;
    bool cross = other && other_size && rng_below(&state->random, 8) == 0;
    uint64_t seed = rng_next(&state->random);
    if (cross && AT_ONCE)
        return program_cross_bytes(bytes, size, other, other_size, state->bytes, capacity, seed);
    if (cross)
        return mutate_cross_bytes(bytes, size, other, other_size, state->bytes, capacity,
                                  FRESH_THREADS, seed);
    if (size > capacity) size = capacity;
    memcpy(state->bytes, bytes, size);
    if (AT_ONCE) return program_mutate_bytes(state->bytes, size, capacity, seed);
    return mutate_bytes(state->bytes, size, capacity, FRESH_THREADS, seed);
}

/* The most steps a trim can take: every chunk length, each over the whole input. */
static int count_steps(unsigned operations) {
    int steps = 0;
    for (unsigned chunk = (operations + 1) / 2; chunk > 0; chunk = chunk > 1 ? (chunk + 1) / 2 : 0)
        steps += (int)((operations + chunk - 1) / chunk);
    return steps;
}

int32_t afl_custom_init_trim(void *data, uint8_t *bytes, size_t size) {
    struct afl_state *state = data;
    if (!input_decode(&state->trimmed, bytes, size)) return 0;
    state->chunk = (state->trimmed.op_count + 1) / 2;
    state->at = 0;
    state->step = 0;
    state->steps = count_steps(state->trimmed.op_count) + 1;
    return state->steps;
}

size_t afl_custom_trim(void *data, uint8_t **out) {
    struct afl_state *state = data;
    struct input *candidate = &state->candidate;
    *candidate = state->trimmed;
    unsigned at = state->at, chunk = state->chunk;
    if (chunk == 0) {
        candidate->schedule_length /= 2;
    } else {
        input_remove(candidate, at, chunk);
    }
    *out = state->bytes;
    return input_encode(candidate, state->bytes, sizeof state->bytes);
}

int32_t afl_custom_post_trim(void *data, uint8_t success) {
    struct afl_state *state = data;
    if (state->chunk == 0) return state->steps;
    if (success)
        state->trimmed = state->candidate;
    else
        state->at += state->chunk;
    if (state->at >= state->trimmed.op_count) {
        state->at = 0;
        state->chunk = state->chunk > 1 ? (state->chunk + 1) / 2 : 0;
    }
    return ++state->step < state->steps ? state->step : state->steps;
}
