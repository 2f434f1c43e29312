/*
 * search: looks at every state that a small model of a protocol can reach.
 *
 * A model is a structure of bytes (its state) and a function that names every step the state
 * allows. The search goes breadth first and keeps each state once, so the way to the first wrong
 * state is a shortest one; it is printed step by step. A step is one atomic access of one thread;
 * the steps of all threads interleave in every order (sequential consistency: what weaker memory
 * allows beyond that is not seen).
 *
 * A model has scenarios (what the threads may do), all of which the right protocol must pass, and
 * mistakes that can be planted: each must lead to a wrong state in its scenario, or the model
 * could not have seen it. Every step must be taken by the right protocol, or the model is idle.
 */
#ifndef MOAT_MODELS_SEARCH_H
#define MOAT_MODELS_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mistake 0 of every model is the right protocol. */
enum { RIGHT = 0 };

struct search;

/* A mistake that can be planted, and the scenario that must show it. */
struct planted {
    const char *name;
    unsigned scenario;
};

struct model {
    const char *name;
    size_t state_size; /* bytes; the state has fields of one byte only, so that it has no gaps */
    const char *const *scenarios;
    const struct planted *mistakes; /* from 1 on; [RIGHT] is not read */
    const char *const *actors;
    const char *const *steps; /* named as in the tables of doc/design.md; NULL: not a step */
    unsigned scenario_count, mistake_count, step_count;
    /* The state before the first step: all zero so far. */
    void (*start)(void *state, unsigned scenario);
    /* Calls search_step once for each step that the state allows. */
    void (*expand)(struct search *search, const void *state);
    /* What is wrong with the state; NULL: nothing. */
    const char *(*wrong)(const void *state, unsigned scenario);
};

/* What expand may ask. */
unsigned search_scenario(const struct search *search);
bool search_has_mistake(const struct search *search, unsigned mistake);

/* A step by an actor leads to the state `next`. */
void search_step(struct search *search, unsigned actor, unsigned step, const void *next);

/* main of a model: no argument: the right protocol and every mistake, one line each; the name of a
   mistake, or "right": that alone, with its steps; --list: the names. Returns the exit status. */
int search_main(const struct model *model, int argc, char **argv);

/* main of the model that `struct state`, STEPS, MISTAKES, and the tables and functions called as
   the fields of struct model are. */
#define SEARCH_MAIN(model_name)                                                                    \
    int main(int argc, char **argv) {                                                              \
        static const struct model model = {                                                        \
            .name = model_name,                                                                    \
            .state_size = sizeof(struct state),                                                    \
            .scenarios = scenarios,                                                                \
            .mistakes = mistakes,                                                                  \
            .actors = actors,                                                                      \
            .steps = steps,                                                                        \
            .scenario_count = sizeof scenarios / sizeof *scenarios,                                \
            .mistake_count = MISTAKES,                                                             \
            .step_count = STEPS,                                                                   \
            .start = start,                                                                        \
            .expand = expand,                                                                      \
            .wrong = wrong,                                                                        \
        };                                                                                         \
        return search_main(&model, argc, argv);                                                    \
    }

#endif
