/*
 * search: breadth-first search over the states of a model (see search.h).
 *
 * States lie one behind another in the order in which they were found: that array is the queue of
 * the search as well. Beside each stands the state it was first reached from, and by which step;
 * from these links the way to a wrong state is told. A table of indices, probed linearly and at
 * most half full, finds a state that was seen before.
 *
 * Memory is limited by STATES_MAX: a model that outgrows it fails, it is never cut short.
 */
#include "search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATES_MAX ((uint32_t)1 << 26)
#define STEPS_MAX 64u

struct origin {
    uint32_t from; /* index of the state before; of state 0: itself */
    uint8_t actor, step;
};

struct search {
    const struct model *model;
    unsigned scenario, mistake;
    uint32_t count, capacity; /* states found; states there is memory for */
    uint32_t looked_at;       /* the state whose steps are being named */
    unsigned char *states;
    struct origin *origins;
    uint32_t *table;                /* index + 1 of a state, 0: free; 2 * capacity entries */
    unsigned long taken[STEPS_MAX]; /* times each step was taken */
};

unsigned search_scenario(const struct search *search) { return search->scenario; }

bool search_has_mistake(const struct search *search, unsigned mistake) {
    return search->mistake == mistake;
}

static void fail(const struct model *model, const char *what) {
    printf("%s: %s\n", model->name, what);
    exit(2);
}

static unsigned char *state_at(const struct search *search, uint32_t index) {
    return search->states + (size_t)index * search->model->state_size;
}

static uint64_t hash_of(const unsigned char *state, size_t size) {
    uint64_t hash = 0;
    for (size_t i = 0; i < size; i += sizeof hash) {
        uint64_t word = 0;
        size_t rest = size - i < sizeof word ? size - i : sizeof word;
        memcpy(&word, state + i, rest);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    return hash * 0x9e3779b97f4a7c15;
}

/* Where the table has the state, or will have it. */
static uint32_t *place_of(const struct search *search, const unsigned char *state) {
    uint32_t mask = 2 * search->capacity - 1;
    uint64_t hash = hash_of(state, search->model->state_size);
    for (uint32_t at = (uint32_t)(hash >> 32) & mask;; at = (at + 1) & mask) {
        uint32_t *entry = &search->table[at];
        if (*entry == 0) return entry;
        if (memcmp(state_at(search, *entry - 1), state, search->model->state_size) == 0)
            return entry;
    }
}

/* Twice the memory, a power of two; every state is entered anew. */
static void grow(struct search *search) {
    const struct model *model = search->model;
    if (search->capacity >= STATES_MAX) fail(model, "more states than STATES_MAX");
    search->capacity = search->capacity == 0 ? 1u << 16 : 2 * search->capacity;
    search->states = realloc(search->states, search->capacity * model->state_size);
    search->origins = realloc(search->origins, search->capacity * sizeof *search->origins);
    free(search->table);
    search->table = calloc(2 * (size_t)search->capacity, sizeof *search->table);
    if (search->states == NULL || search->origins == NULL || search->table == NULL)
        fail(model, "out of memory");
    for (uint32_t i = 0; i < search->count; i++) *place_of(search, state_at(search, i)) = i + 1;
}

static void add(struct search *search, const void *state, struct origin origin) {
    if (search->count == search->capacity) grow(search);
    uint32_t *place = place_of(search, state);
    if (*place != 0) return;
    memcpy(state_at(search, search->count), state, search->model->state_size);
    search->origins[search->count] = origin;
    *place = ++search->count;
}

void search_step(struct search *search, unsigned actor, unsigned step, const void *next) {
    search->taken[step]++;
    add(search, next,
        (struct origin){search->looked_at, .actor = (uint8_t)actor, .step = (uint8_t)step});
}

/* Expands states in the order they were found; what is wrong with the first that is, its index in
   looked_at; NULL: nothing is, and all were seen. A state may move in memory while it is expanded,
   so a copy is. */
static const char *look_at_all(struct search *search) {
    const struct model *model = search->model;
    unsigned char *state = calloc(1, model->state_size);
    if (state == NULL) fail(model, "out of memory");
    const char *wrong = NULL;
    model->start(state, search->scenario);
    add(search, state, (struct origin){0, 0, 0});
    for (search->looked_at = 0; search->looked_at < search->count; search->looked_at++) {
        memcpy(state, state_at(search, search->looked_at), model->state_size);
        wrong = model->wrong(state, search->scenario);
        if (wrong != NULL) break;
        model->expand(search, state);
    }
    free(state);
    return wrong;
}

static unsigned way_length(const struct search *search) {
    unsigned length = 0;
    for (uint32_t at = search->looked_at; at != 0; at = search->origins[at].from) length++;
    return length;
}

static void print_way(const struct search *search) {
    const struct model *model = search->model;
    unsigned length = way_length(search);
    uint32_t *way = malloc((length + 1) * sizeof *way);
    if (way == NULL) fail(model, "out of memory");
    unsigned left = length;
    for (uint32_t at = search->looked_at; at != 0; at = search->origins[at].from) way[--left] = at;
    for (unsigned i = 0; i < length; i++) {
        struct origin origin = search->origins[way[i]];
        printf("  %3u  %-9s %s\n", i + 1, model->actors[origin.actor], model->steps[origin.step]);
    }
    free(way);
}

static void finish(struct search *search) {
    free(search->states);
    free(search->origins);
    free(search->table);
}

static double seconds_since(clock_t start) {
    return (double)(clock() - start) / (double)CLOCKS_PER_SEC;
}

/* The right protocol in every scenario: nothing may be wrong, and no step may be missing. */
static bool run_right(const struct model *model) {
    unsigned long taken[STEPS_MAX] = {0};
    bool good = true;
    for (unsigned scenario = 0; scenario < model->scenario_count; scenario++) {
        struct search search = {.model = model, .scenario = scenario, .mistake = RIGHT};
        clock_t start = clock();
        const char *wrong = look_at_all(&search);
        for (unsigned i = 0; i < model->step_count; i++) taken[i] += search.taken[i];
        printf("%s, %s: %u states, %.2f s: %s\n", model->name, model->scenarios[scenario],
               search.count, seconds_since(start), wrong != NULL ? wrong : "nothing wrong");
        if (wrong != NULL) print_way(&search);
        good = good && wrong == NULL;
        finish(&search);
    }
    for (unsigned i = 0; i < model->step_count && good; i++) {
        if (taken[i] != 0 || model->steps[i] == NULL) continue;
        printf("%s: no thread ever takes the step: %s\n", model->name, model->steps[i]);
        good = false;
    }
    return good;
}

/* A planted mistake: its scenario must show it. */
static bool run_mistake(const struct model *model, unsigned mistake, bool tell) {
    const struct planted *planted = &model->mistakes[mistake];
    struct search search = {.model = model, .scenario = planted->scenario, .mistake = mistake};
    clock_t start = clock();
    const char *wrong = look_at_all(&search);
    printf("%s, %s, %s: ", model->name, planted->name, model->scenarios[planted->scenario]);
    if (wrong != NULL)
        printf("found in %u steps, %.2f s: %s\n", way_length(&search), seconds_since(start), wrong);
    else
        puts("NOT FOUND");
    if (wrong != NULL && tell) print_way(&search);
    finish(&search);
    return wrong != NULL;
}

static int list_names(const struct model *model) {
    puts("right");
    for (unsigned i = 1; i < model->mistake_count; i++) puts(model->mistakes[i].name);
    return 0;
}

int search_main(const struct model *model, int argc, char **argv) {
    if (model->step_count > STEPS_MAX) fail(model, "more steps than STEPS_MAX");
    if (argc == 2) {
        if (strcmp(argv[1], "--list") == 0) return list_names(model);
        if (strcmp(argv[1], "right") == 0) return run_right(model) ? 0 : 1;
        for (unsigned i = 1; i < model->mistake_count; i++)
            if (strcmp(argv[1], model->mistakes[i].name) == 0)
                return run_mistake(model, i, true) ? 0 : 1;
        fail(model, "no such mistake: see --list");
    }
    bool good = run_right(model);
    for (unsigned i = 1; i < model->mistake_count; i++) good = run_mistake(model, i, false) && good;
    return good ? 0 : 1;
}
