/*
 * feedback: pairs of places. See the header.
 */
#include "engine/feedback.h"

#include <stddef.h>

/* A name that libFuzzer gives, which reads them and clears them before an input. */
static volatile uint8_t counters[FEEDBACK_PAIRS]
    __attribute__((section("__libfuzzer_extra_counters"), used));

static struct {
    uint16_t pairs[FEEDBACK_PAIRS];
    unsigned count;
} noted;

void feedback_begin(void) {
    for (unsigned i = 0; i < noted.count; i++) counters[noted.pairs[i]] = 0;
    noted.count = 0;
}

/* The same in each process of a program, wherever it lies. */
static uint32_t number_of(const struct atomic_site *site) {
    static const char here;
    return site == NULL ? 0 : (uint32_t)((uintptr_t)site - (uintptr_t)&here);
}

void feedback_note(enum feedback_kind kind, const struct atomic_site *one,
                   const struct atomic_site *other) {
    uint64_t key = ((uint64_t)number_of(one) << 32 | number_of(other)) + (unsigned)kind;
    unsigned pair = (unsigned)(key * 0x9e3779b97f4a7c15u >> 50);
    if (counters[pair] == 0) noted.pairs[noted.count++] = (uint16_t)pair;
    if (counters[pair] != UINT8_MAX) counters[pair]++;
}

void feedback_for_each(void (*visit)(void *context, unsigned pair), void *context) {
    for (unsigned i = 0; i < noted.count; i++) visit(context, noted.pairs[i]);
}
