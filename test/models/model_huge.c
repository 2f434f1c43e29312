/*
 * model_huge: who frees a huge block, or resizes it.
 *
 * One run of segments: the owner word of its first (kind and generation), its live bit, and the
 * cache that freed runs wait in, whose lock makes each of its verbs one step. Three threads
 * allocate the run, free it, and resize it in place or by moving its pages (the run is given back
 * then as by a free, and the block is elsewhere). It is allocated LIVES times at most.
 *
 * Scenarios: in a right program one thread at a time frees or resizes what is in use; in a wrong
 * one each does so at any time. `life` and `held` are what the program did, and judge: who
 * wins a life began in it, nobody works on a run beside another, and no second free wins.
 */
#include "search.h"

enum { THREADS = 3, LIVES = 4 };
enum { SCENARIO_RIGHT, SCENARIO_WRONG };
enum { UNUSED, HUGE_BLOCK, FREEING, FREED }; /* kinds of owner word */

enum mistake {
    NO_GENERATION = RIGHT + 1,
    BEGIN_BY_STORE,
    RESIZE_WITHOUT_FREEING,
    LIVE_CLEARED_AFTER_CACHE,
    FREED_AFTER_CACHE,
    OWNER_BEFORE_LIVE,
    MISTAKES
};

/* A thread stands before the step of its place; IDLE: outside the allocator. */
enum place {
    IDLE,
    ALLOC_TAKE,
    ALLOC_LIVE,
    ALLOC_WORD,
    FREE_LOAD,
    FREE_BEGIN,
    FREE_CHECK,
    FREE_LIVE,
    FREE_WORD,
    FREE_CACHE,
    RESIZE_LOAD,
    RESIZE_LIVE,
    RESIZE_BEGIN,
    RESIZE_CHECK,
    RESIZE_WORD,
    STEPS
};

enum verdict { GOING_ON, REPORTED, OTHER_LIFE, SECOND_FREE, NO_LIVE_BIT, CACHED_TWICE };

struct word {
    uint8_t kind, generation;
};

struct state {
    struct word owner;
    uint8_t live;
    uint8_t cached;
    uint8_t generation; /* of the segment's record */
    uint8_t life;       /* times the run was allocated */
    uint8_t held;       /* the program has the block; 2: and a thread frees or resizes it */
    uint8_t verdict;
    struct {
        uint8_t place, life; /* life: when the verb began */
        uint8_t works;       /* the run is this thread's to change */
        struct word seen;
    } thread[THREADS];
};

static void is_done(struct state *next, unsigned i) {
    next->thread[i].place = next->thread[i].life = next->thread[i].works = 0;
    next->thread[i].seen = (struct word){0, 0};
}

static void alloc_is_done(struct state *next, unsigned i) {
    next->held = 1;
    is_done(next, i);
}

static void alloc(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    bool word_first = search_has_mistake(search, OWNER_BEFORE_LIVE);
    if (place == ALLOC_TAKE) {
        next.cached = 0;
        next.life++;
        next.thread[i].works = 1;
        next.thread[i].place = word_first ? ALLOC_WORD : ALLOC_LIVE;
    } else if (place == ALLOC_LIVE) {
        next.live = 1;
        next.thread[i].place = ALLOC_WORD;
        if (word_first) alloc_is_done(&next, i);
    } else {
        if (!search_has_mistake(search, NO_GENERATION)) next.generation++;
        next.owner = (struct word){HUGE_BLOCK, next.generation};
        next.thread[i].works = 0;
        next.thread[i].place = ALLOC_LIVE;
        if (!word_first) alloc_is_done(&next, i);
    }
    search_step(search, i, place, &next);
}

static void load_word(struct state *next, unsigned i, unsigned then) {
    next->thread[i].seen = next->owner;
    next->thread[i].life = next->life;
    next->thread[i].place = (uint8_t)then;
    if (next->owner.kind != HUGE_BLOCK) next->verdict = REPORTED;
}

/* The CAS from the very word that was read. */
static void begin(struct search *search, struct state *next, unsigned i, unsigned then) {
    struct word seen = next->thread[i].seen;
    bool same = seen.kind == next->owner.kind && seen.generation == next->owner.generation;
    if (!same && !search_has_mistake(search, BEGIN_BY_STORE)) {
        next->verdict = REPORTED;
        return;
    }
    if (next->thread[i].life != next->life) next->verdict = OTHER_LIFE;
    if (next->held == 0) next->verdict = SECOND_FREE;
    next->owner = (struct word){FREEING, seen.generation};
    next->thread[i].works = 1;
    next->thread[i].place = (uint8_t)then;
}

/* The step after one of a free: a mistake puts one step last. */
static unsigned after_free(struct search *search, unsigned place) {
    bool live_late = search_has_mistake(search, LIVE_CLEARED_AFTER_CACHE);
    bool word_late = search_has_mistake(search, FREED_AFTER_CACHE);
    switch (place) {
    case FREE_CHECK: return live_late ? FREE_WORD : FREE_LIVE;
    case FREE_LIVE: return live_late ? IDLE : word_late ? FREE_CACHE : FREE_WORD;
    case FREE_WORD: return word_late ? IDLE : FREE_CACHE;
    default: return live_late ? FREE_LIVE : word_late ? FREE_WORD : IDLE;
    }
}

static void give_back(struct search *search, struct state *next, unsigned i, unsigned place) {
    if (place == FREE_CHECK) {
        next->held = 0;
        if (!next->live) next->verdict = NO_LIVE_BIT;
    } else if (place == FREE_LIVE) {
        next->live = 0;
    } else if (place == FREE_WORD) {
        next->owner = (struct word){FREED, next->thread[i].seen.generation};
    } else {
        if (next->cached) next->verdict = CACHED_TWICE;
        next->cached = 1;
        next->thread[i].works = 0;
    }
    unsigned then = after_free(search, place);
    next->thread[i].place = (uint8_t)then;
    if (then == IDLE) is_done(next, i);
}

static void free_run(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    if (place == FREE_LOAD)
        load_word(&next, i, FREE_BEGIN);
    else if (place == FREE_BEGIN)
        begin(search, &next, i, FREE_CHECK);
    else
        give_back(search, &next, i, place);
    search_step(search, i, place, &next);
}

static void resize(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    bool bare = search_has_mistake(search, RESIZE_WITHOUT_FREEING);
    if (place == RESIZE_LOAD) {
        load_word(&next, i, RESIZE_LIVE);
    } else if (place == RESIZE_LIVE) {
        if (!next.live) next.verdict = REPORTED;
        next.thread[i].place = bare ? RESIZE_CHECK : RESIZE_BEGIN;
        next.thread[i].works = bare;
    } else if (place == RESIZE_BEGIN) {
        begin(search, &next, i, RESIZE_CHECK);
    } else if (place == RESIZE_CHECK) {
        if (!next.live) next.verdict = NO_LIVE_BIT;
        next.thread[i].place = FREE_LIVE; /* the pages are moved: this run goes as by a free */
        next.held = 0;
        search_step(search, i, place, &next);
        next.held = 2;
        next.thread[i].place = RESIZE_WORD;
    } else {
        next.owner = (struct word){HUGE_BLOCK, next.thread[i].seen.generation};
        next.held = 1;
        is_done(&next, i);
    }
    search_step(search, i, place, &next);
}

static void go_on(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    if (place <= ALLOC_WORD)
        alloc(search, next, i);
    else if (place <= FREE_CACHE)
        free_run(search, next, i);
    else
        resize(search, next, i);
}

static void begins(struct search *search, const struct state *state, unsigned i) {
    bool right = search_scenario(search) == SCENARIO_RIGHT;
    struct state next = *state;
    next.thread[i].place = ALLOC_TAKE;
    if (state->cached && state->life < LIVES) go_on(search, next, i);
    if (right ? state->held != 1 : state->life == 0) return;
    if (right) next.held = 2;
    next.thread[i].place = FREE_LOAD;
    go_on(search, next, i);
    next.thread[i].place = RESIZE_LOAD;
    go_on(search, next, i);
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    if (state->verdict == REPORTED) return;
    for (unsigned i = 0; i < THREADS; i++) {
        if (state->thread[i].place == IDLE)
            begins(search, state, i);
        else
            go_on(search, *state, i);
    }
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    (void)scenario;
    state->cached = 1;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    unsigned workers = 0;
    for (unsigned i = 0; i < THREADS; i++) workers += state->thread[i].works;
    switch (state->verdict) {
    case REPORTED: return scenario == SCENARIO_RIGHT ? "a right program is reported" : NULL;
    case OTHER_LIFE: return "a verb that began in an earlier life of the run wins a later one";
    case SECOND_FREE: return "a second free wins";
    case NO_LIVE_BIT: return "who won a huge block does not find its live bit";
    case CACHED_TWICE: return "a run is given back twice";
    default: return workers > 1 ? "two threads change one run" : NULL;
    }
}

static const char *const scenarios[] = {"a right program", "any thread frees and resizes"};
static const char *const actors[] = {"thread 1", "thread 2", "thread 3"};
static const struct planted mistakes[MISTAKES] = {
    [NO_GENERATION] = {"no-generation", SCENARIO_WRONG},
    [BEGIN_BY_STORE] = {"begin-by-store", SCENARIO_WRONG},
    [RESIZE_WITHOUT_FREEING] = {"resize-without-freeing", SCENARIO_WRONG},
    [LIVE_CLEARED_AFTER_CACHE] = {"live-cleared-after-cache", SCENARIO_RIGHT},
    [FREED_AFTER_CACHE] = {"freed-after-cache", SCENARIO_RIGHT},
    [OWNER_BEFORE_LIVE] = {"owner-before-live", SCENARIO_WRONG},
};
static const char *const steps[STEPS] = {
    [ALLOC_TAKE] = "malloc: the run leaves the cache",
    [ALLOC_LIVE] = "malloc: live |= bit",
    [ALLOC_WORD] = "malloc: owner = HUGE.g+1",
    [FREE_LOAD] = "free: owner is HUGE.g",
    [FREE_BEGIN] = "free: HUGE.g -> FREEING.g",
    [FREE_CHECK] = "free: live bit is 1",
    [FREE_LIVE] = "free: live &= ~bit",
    [FREE_WORD] = "free: owner = FREED.g",
    [FREE_CACHE] = "free: the run enters the cache",
    [RESIZE_LOAD] = "resize: owner is HUGE.g",
    [RESIZE_LIVE] = "resize: live bit is 1",
    [RESIZE_BEGIN] = "resize: HUGE.g -> FREEING.g",
    [RESIZE_CHECK] = "resize: live bit is 1; in place, or the pages move",
    [RESIZE_WORD] = "resize: back to HUGE.g",
};

SEARCH_MAIN("huge")
