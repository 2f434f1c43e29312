/*
 * model_zero_size: the three levels of hints that lead to a free granule of malloc(0).
 *
 * Two map words of one granule each, in one group or in two; three threads that take a granule and
 * free it, and free what others took. A hint says "there may be one below". Words: live (of a map
 * word), hints (page.pending, a bit a map word), woken (a bit a group), open (a bit for the
 * segment).
 *
 * Judged when no thread is inside: a free granule is found from above, bit by bit; and at any time:
 * no granule belongs to two.
 */
#include "search.h"

enum { GROUPS = 2, WORDS = 2, THREADS = 3, NOBODY = 0xff };

enum mistake {
    NO_SECOND_LOOK = RIGHT + 1,
    FREE_SETS_FROM_ABOVE,
    SET_AGAIN_WITHOUT_THE_LEVEL_ABOVE,
    FREE_SETS_THE_LOWEST_ALONE,
    CLEAR_BY_STORE,
    MISTAKES
};

/* A thread stands before the step of its place. */
enum place {
    IDLE,
    LOOK_OPEN,
    LOOK_WOKEN,
    LOOK_HINTS,
    LOOK_LIVE,
    TAKE,
    CLEAR_HINT,
    LOOK_LIVE_AGAIN,
    CLEAR_WOKEN,
    LOOK_HINTS_AGAIN,
    CLEAR_OPEN,
    LOOK_WOKEN_AGAIN,
    HOLDING,
    GIVE,
    SET_HINT,
    SET_WOKEN,
    SET_OPEN,
    STEPS
};

struct state {
    uint8_t live[GROUPS][WORDS];
    uint8_t held[GROUPS][WORDS]; /* thread that has the granule; NOBODY: any may free it */
    uint8_t hints[GROUPS];
    uint8_t woken, open;
    uint8_t groups, words; /* in use */
    struct {
        uint8_t place, group, word;
        uint8_t then; /* after setting: where the search goes on, or IDLE */
    } thread[THREADS];
};

static unsigned low_bit(unsigned bits) { return bits & 1 ? 0 : 1; }

static uint8_t without(struct search *search, uint8_t bits, unsigned bit) {
    return search_has_mistake(search, CLEAR_BY_STORE) ? 0 : (uint8_t)(bits & ~(1u << bit));
}

/* What a second look found, or would have. */
static unsigned after_look(struct search *search, bool found, unsigned set, unsigned search_on) {
    return found && !search_has_mistake(search, NO_SECOND_LOOK) ? set : search_on;
}

static void look(struct state *next, unsigned i) {
    unsigned group = next->thread[i].group, word = next->thread[i].word;
    uint8_t *place = &next->thread[i].place;
    switch (*place) {
    case LOOK_OPEN: *place = next->open != 0 ? LOOK_WOKEN : IDLE; break;
    case LOOK_WOKEN:
        next->thread[i].group = next->woken != 0 ? (uint8_t)low_bit(next->woken) : 0;
        *place = next->woken != 0 ? LOOK_HINTS : CLEAR_OPEN;
        break;
    case LOOK_HINTS:
        next->thread[i].word = next->hints[group] != 0 ? (uint8_t)low_bit(next->hints[group]) : 0;
        *place = next->hints[group] != 0 ? LOOK_LIVE : CLEAR_WOKEN;
        break;
    case LOOK_LIVE: *place = next->live[group][word] ? CLEAR_HINT : TAKE; break;
    default: /* TAKE */
        *place = next->live[group][word] ? LOOK_LIVE : HOLDING;
        if (*place == HOLDING) next->held[group][word] = (uint8_t)i;
        next->live[group][word] = 1;
    }
}

static void clear(struct search *search, struct state *next, unsigned i) {
    unsigned group = next->thread[i].group, word = next->thread[i].word;
    uint8_t *place = &next->thread[i].place;
    switch (*place) {
    case CLEAR_HINT:
        next->hints[group] = without(search, next->hints[group], word);
        *place = LOOK_LIVE_AGAIN;
        break;
    case LOOK_LIVE_AGAIN:
        next->thread[i].then = LOOK_HINTS;
        *place =
            (uint8_t)after_look(search, !next->live[group][word], SET_HINT, next->thread[i].then);
        break;
    case CLEAR_WOKEN:
        next->woken = without(search, next->woken, group);
        *place = LOOK_HINTS_AGAIN;
        break;
    case LOOK_HINTS_AGAIN:
        next->thread[i].then = LOOK_WOKEN;
        *place =
            (uint8_t)after_look(search, next->hints[group] != 0, SET_WOKEN, next->thread[i].then);
        break;
    case CLEAR_OPEN:
        next->open = 0;
        *place = LOOK_WOKEN_AGAIN;
        break;
    default: /* LOOK_WOKEN_AGAIN */
        next->thread[i].then = LOOK_OPEN;
        *place = (uint8_t)after_look(search, next->woken != 0, SET_OPEN, next->thread[i].then);
    }
    if (*place == next->thread[i].then) next->thread[i].then = IDLE;
}

static void set_done(struct state *next, unsigned i) {
    next->thread[i].place = next->thread[i].then;
    next->thread[i].then = IDLE;
    if (next->thread[i].place == IDLE) next->thread[i].group = next->thread[i].word = 0;
}

/* Upwards, each level if the one below was 0; a mistake goes downwards, or stops too soon. */
static void set(struct search *search, struct state *next, unsigned i) {
    unsigned group = next->thread[i].group, word = next->thread[i].word;
    bool by_free = next->thread[i].then == IDLE;
    bool from_above = by_free && search_has_mistake(search, FREE_SETS_FROM_ABOVE);
    bool alone = by_free ? search_has_mistake(search, FREE_SETS_THE_LOWEST_ALONE)
                         : search_has_mistake(search, SET_AGAIN_WITHOUT_THE_LEVEL_ABOVE);
    uint8_t *place = &next->thread[i].place;
    uint8_t before = 0;
    unsigned higher = IDLE;
    if (*place == SET_HINT) {
        before = next->hints[group];
        next->hints[group] |= (uint8_t)(1u << word);
        higher = from_above ? IDLE : SET_WOKEN;
    } else if (*place == SET_WOKEN) {
        before = from_above ? 0 : next->woken;
        next->woken |= (uint8_t)(1u << group);
        higher = from_above ? SET_HINT : SET_OPEN;
    } else {
        next->open = 1;
        higher = from_above ? SET_WOKEN : IDLE;
    }
    if (before == 0 && higher != IDLE && !alone)
        *place = (uint8_t)higher;
    else
        set_done(next, i);
}

static void give(struct search *search, struct state *next, unsigned i) {
    next->live[next->thread[i].group][next->thread[i].word] = 0;
    bool above = search_has_mistake(search, FREE_SETS_FROM_ABOVE);
    next->thread[i].place = above ? SET_OPEN : SET_HINT;
}

static void step_of(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    if (place <= TAKE)
        look(&next, i);
    else if (place < HOLDING)
        clear(search, &next, i);
    else if (place == GIVE)
        give(search, &next, i);
    else
        set(search, &next, i);
    if (next.thread[i].place == IDLE || next.thread[i].place == HOLDING)
        next.thread[i].group = next.thread[i].word = 0;
    search_step(search, i, place, &next);
}

/* An idle thread allocates, or frees a granule of anybody's: its first step comes at once. */
static void begin(struct search *search, const struct state *state, unsigned i) {
    struct state next = *state;
    next.thread[i].place = LOOK_OPEN;
    step_of(search, next, i);
    for (uint8_t group = 0; group < state->groups; group++)
        for (uint8_t word = 0; word < state->words; word++) {
            if (!state->live[group][word]) continue;
            if (state->held[group][word] != NOBODY) continue;
            next = *state;
            next.thread[i].place = GIVE;
            next.thread[i].group = group;
            next.thread[i].word = word;
            step_of(search, next, i);
        }
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    for (unsigned i = 0; i < THREADS; i++) {
        struct state next = *state;
        if (state->thread[i].place == HOLDING) {
            /* it hands the granule on: from now on any thread may free it */
            for (unsigned group = 0; group < GROUPS; group++)
                for (unsigned word = 0; word < WORDS; word++)
                    if (next.held[group][word] == i) next.held[group][word] = NOBODY;
            next.thread[i].place = IDLE;
            search_step(search, i, HOLDING, &next);
        } else if (state->thread[i].place == IDLE) {
            begin(search, state, i);
        } else {
            step_of(search, next, i);
        }
    }
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    state->groups = scenario == 0 ? 1 : 2;
    state->words = scenario == 0 ? 2 : 1;
    for (unsigned group = 0; group < GROUPS; group++)
        for (unsigned word = 0; word < WORDS; word++) {
            state->held[group][word] = NOBODY;
            state->live[group][word] = 1;
        }
    for (unsigned group = 0; group < state->groups; group++)
        state->hints[group] = (uint8_t)((1u << state->words) - 1);
    state->woken = (uint8_t)((1u << state->groups) - 1);
    state->open = 1;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    (void)scenario;
    for (unsigned i = 0; i < THREADS; i++)
        if (state->thread[i].place != IDLE) return NULL;
    for (unsigned group = 0; group < state->groups; group++)
        for (unsigned word = 0; word < state->words; word++) {
            if (state->live[group][word]) continue;
            bool found = (state->hints[group] >> word & 1) && (state->woken >> group & 1);
            if (!found || !state->open) return "a free granule cannot be found";
        }
    return NULL;
}

static const char *const scenarios[] = {"one group of two words", "two groups of one word"};
static const char *const actors[] = {"thread 1", "thread 2", "thread 3"};
static const struct planted mistakes[MISTAKES] = {
    [NO_SECOND_LOOK] = {"no-second-look", 0},
    [FREE_SETS_FROM_ABOVE] = {"free-sets-from-above", 0},
    [SET_AGAIN_WITHOUT_THE_LEVEL_ABOVE] = {"set-again-without-the-level-above", 0},
    [FREE_SETS_THE_LOWEST_ALONE] = {"free-sets-the-lowest-alone", 1},
    [CLEAR_BY_STORE] = {"clear-by-store", 0},
};
static const char *const steps[STEPS] = {
    [LOOK_OPEN] = "looks at open",
    [LOOK_WOKEN] = "looks at woken",
    [LOOK_HINTS] = "looks at the hints of a group",
    [LOOK_LIVE] = "looks at live",
    [TAKE] = "live |= bit",
    [CLEAR_HINT] = "hints &= ~word",
    [LOOK_LIVE_AGAIN] = "looks at live again",
    [CLEAR_WOKEN] = "woken &= ~group",
    [LOOK_HINTS_AGAIN] = "looks at the hints again",
    [CLEAR_OPEN] = "open &= ~segment",
    [LOOK_WOKEN_AGAIN] = "looks at woken again",
    [HOLDING] = "hands its granule on",
    [GIVE] = "live &= ~bit",
    [SET_HINT] = "hints |= word",
    [SET_WOKEN] = "woken |= group",
    [SET_OPEN] = "open |= segment",
};

SEARCH_MAIN("zero_size")
