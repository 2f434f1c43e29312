/*
 * finding: what an input's failure is, so that it is known again in another input.
 *
 * An input runs in a child process, which may come to any end. What it said is kept, and of that
 * the words of whoever found something: without the numbers, which differ from input to input. Two
 * findings with the same words are the same.
 */
#ifndef ENGINE_FINDING_H
#define ENGINE_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct finding {
    char words[320];  /* numbers are # */
    char said[16384]; /* the end of what was printed */
};

/* Runs an input, which ends the process if it fails; false: it does not. */
bool finding_of(void (*run)(const uint8_t *bytes, size_t size), const uint8_t *bytes, size_t size,
                struct finding *finding);
bool finding_is_same(const struct finding *one, const struct finding *other);

#endif
