/*
 * model_free_race: who frees a block, and when it is handed out again.
 *
 * One page of two blocks that share a map word: its live and claim bits, `pending`, its two lists.
 * The owner allocates, frees, collects and refills without end, and an empty page ends and begins
 * anew, with one block and with two by turns; three other threads free. A step is one access of a
 * shared word; a list changes in the step that decides it. FULL and wake-ups are model_wake's.
 *
 * Scenarios: a right program frees what it holds, once; in a wrong one every thread frees either
 * address at any time; with forged links malloc moreover meets any block of the page on its list.
 * A report ends the process. `held` and `twice` are what the program did, and judge: a block is
 * handed out when malloc reads its claim bit, and freed when its live bit is cleared or its claim
 * bit set.
 */
#include "search.h"

enum { BLOCKS = 2, THREADS = 3, ALL = (1 << BLOCKS) - 1 };
enum { OWNER = 0 }; /* actors; thread i is actor i + 1 */
enum { SCENARIO_RIGHT, SCENARIO_WRONG, SCENARIO_FORGED };

enum mistake {
    NO_LIVE_TEST = RIGHT + 1,
    LIVE_TEST_AFTER_CLAIM,
    NO_CLAIM_TEST,
    MALLOC_IGNORES_CLAIM,
    MALLOC_IGNORES_LIVE,
    FREE_IGNORES_CLAIM,
    COLLECT_IGNORES_LIVE,
    CLAIM_CLEARED_BEFORE_LIVE,
    CLAIM_CLEARED_BY_STORE,
    END_LOOKS_AT_STARTS,
    MISTAKES
};

/* A thread stands before the step of its place; IDLE: outside the allocator. */
enum place {
    IDLE,
    MALLOC_CLAIM,
    MALLOC_LIVE,
    MALLOC_STORE,
    FREE_CLAIM,
    FREE_LIVE,
    FREE_STORE,
    COLLECT_PENDING,
    COLLECT_CLAIM,
    COLLECT_LIVE,
    COLLECT_CLEAR_LIVE,
    COLLECT_CLEAR_CLAIM,
    END_CLAIM,
    END_LIVE,
    INIT_PENDING,
    REFILL,
    REMOTE_1,
    REMOTE_2,
    REMOTE_3,
    HAND_OVER,
    STEPS
};

enum verdict { GOING_ON, REPORTED, GIVEN_TWICE, MISSED, NOT_AT_ONCE, LIVE_AT_END, LEFT_BEHIND };

struct state {
    uint8_t live, claim, pending; /* pending: the one group both blocks are in */
    uint8_t wide;                 /* the page's life has one block, where there are two in others */
    uint8_t free[BLOCKS];         /* times a block is on the list; forged: [0] counts them all */
    uint8_t local_free[BLOCKS];   /* likewise */
    uint8_t held;                 /* handed out and not freed since */
    uint8_t twice;                /* freed while not held, and not reported */
    uint8_t holder[BLOCKS];       /* right program: actor + 1 that may free it; 0: nobody */
    uint8_t verdict;
    struct {
        uint8_t place, block;
        uint8_t claims; /* collect's c */
        uint8_t before; /* malloc: held or twice at hand-out; free: not held */
    } owner;
    struct {
        uint8_t place, block;
        uint8_t at_rest; /* when the free began, the block was free and collected; and still is */
    } thread[THREADS];
};

static uint8_t bit(unsigned block) { return (uint8_t)(1u << block); }

static unsigned length(const uint8_t *list) {
    unsigned sum = 0;
    for (unsigned i = 0; i < BLOCKS; i++) sum += list[i];
    return sum;
}

/* The blocks of the page's present life begin at these places. */
static unsigned block_count(const struct state *state) { return state->wide ? 1 : BLOCKS; }

/* More than two of one block on a list changes nothing any more. */
static void push(struct search *search, uint8_t *list, unsigned block) {
    bool forged = search_scenario(search) == SCENARIO_FORGED;
    uint8_t *times = &list[forged ? 0 : block];
    if (*times < 2) ++*times;
}

/* What the program did: a free of a block that is held, or the second one. */
static void note_free(struct state *state, unsigned block) {
    if (state->held & bit(block))
        state->held &= (uint8_t)~bit(block);
    else
        state->twice |= bit(block);
}

static void note_hand_out(struct state *state, unsigned block) {
    unsigned before = GOING_ON;
    if (state->twice & bit(block)) before = MISSED;
    if (state->held & bit(block)) before = GIVEN_TWICE;
    state->owner.before = (uint8_t)before;
    state->held |= bit(block);
    state->twice &= (uint8_t)~bit(block);
    for (unsigned i = 0; i < THREADS; i++)
        if (state->thread[i].block == block) state->thread[i].at_rest = 0;
}

static void owner_is_idle(struct state *state) {
    state->owner.place = IDLE;
    state->owner.block = state->owner.claims = state->owner.before = 0;
}

static void step_malloc(struct search *search, struct state next) {
    unsigned place = next.owner.place, block = next.owner.block;
    bool forged = search_scenario(search) == SCENARIO_FORGED;
    if (place == MALLOC_CLAIM) {
        if ((next.claim & bit(block)) && !search_has_mistake(search, MALLOC_IGNORES_CLAIM))
            next.verdict = REPORTED;
        note_hand_out(&next, block);
        next.owner.place = MALLOC_LIVE;
    } else if (place == MALLOC_LIVE) {
        if ((next.live & bit(block)) && !search_has_mistake(search, MALLOC_IGNORES_LIVE))
            next.verdict = REPORTED;
        next.owner.place = MALLOC_STORE;
    } else {
        next.live |= bit(block);
        next.free[forged ? 0 : block]--;
        next.verdict = next.owner.before;
        if (search_scenario(search) == SCENARIO_RIGHT) next.holder[block] = OWNER + 1;
        owner_is_idle(&next);
    }
    search_step(search, OWNER, place, &next);
}

static void step_free(struct search *search, struct state next) {
    unsigned place = next.owner.place, block = next.owner.block;
    if (place == FREE_CLAIM) {
        if ((next.claim & bit(block)) && !search_has_mistake(search, FREE_IGNORES_CLAIM))
            next.verdict = REPORTED;
        next.owner.before = (next.held & bit(block)) == 0;
        next.owner.place = FREE_LIVE;
    } else if (place == FREE_LIVE) {
        if (!(next.live & bit(block))) next.verdict = REPORTED;
        next.owner.place = FREE_STORE;
    } else {
        next.live &= (uint8_t)~bit(block);
        push(search, next.local_free, block);
        note_free(&next, block);
        if (next.owner.before) next.verdict = NOT_AT_ONCE;
        owner_is_idle(&next);
    }
    search_step(search, OWNER, place, &next);
}

static void clear_live(struct search *search, struct state *next) {
    next->live &= (uint8_t)~next->owner.claims;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (next->owner.claims & bit(i)) push(search, next->local_free, i);
}

static void clear_claim(struct search *search, struct state *next) {
    uint8_t cleared = search_has_mistake(search, CLAIM_CLEARED_BY_STORE) ? ALL : next->owner.claims;
    next->claim &= (uint8_t)~cleared;
}

static void step_collect(struct search *search, struct state next) {
    unsigned place = next.owner.place;
    bool claim_first = search_has_mistake(search, CLAIM_CLEARED_BEFORE_LIVE);
    if (place == COLLECT_PENDING) {
        next.pending = 0;
        next.owner.place = COLLECT_CLAIM;
    } else if (place == COLLECT_CLAIM) {
        next.owner.claims = next.claim;
        next.owner.place = next.claim != 0 ? COLLECT_LIVE : IDLE;
    } else if (place == COLLECT_LIVE) {
        if ((next.owner.claims & ~next.live) && !search_has_mistake(search, COLLECT_IGNORES_LIVE))
            next.verdict = REPORTED;
        next.owner.place = claim_first ? COLLECT_CLEAR_CLAIM : COLLECT_CLEAR_LIVE;
    } else if (place == COLLECT_CLEAR_LIVE) {
        clear_live(search, &next);
        next.owner.place = COLLECT_CLEAR_CLAIM;
        if (claim_first) owner_is_idle(&next);
    } else {
        clear_claim(search, &next);
        next.owner.place = COLLECT_CLEAR_LIVE;
        if (!claim_first) owner_is_idle(&next);
    }
    search_step(search, OWNER, place, &next);
}

/* A page whose blocks are all on its lists ends, and begins anew with blocks of another size. */
static void step_end(struct search *search, struct state next) {
    unsigned place = next.owner.place;
    bool starts_only = search_has_mistake(search, END_LOOKS_AT_STARTS);
    if (place == END_CLAIM) {
        unsigned seen = starts_only ? next.claim & ((1u << block_count(&next)) - 1) : next.claim;
        if (next.claim != 0) next.verdict = seen != 0 ? REPORTED : LEFT_BEHIND;
        next.owner.place = END_LIVE;
    } else if (place == END_LIVE) {
        if (next.live != 0) next.verdict = LIVE_AT_END;
        next.owner.place = INIT_PENDING;
    } else {
        next.pending = 0;
        next.wide = !next.wide;
        for (unsigned i = 0; i < BLOCKS; i++) next.free[i] = next.local_free[i] = 0;
        for (unsigned i = 0; i < block_count(&next); i++) push(search, next.free, i);
        owner_is_idle(&next);
    }
    search_step(search, OWNER, place, &next);
}

/* What an idle owner begins: the first step of a verb is taken later. */
static void owner_begins(struct search *search, const struct state *state) {
    unsigned scenario = search_scenario(search);
    struct state next;
    for (unsigned block = 0; block < BLOCKS; block++) {
        next = *state;
        next.owner.block = (uint8_t)block;
        next.owner.place = MALLOC_CLAIM;
        bool listed = scenario == SCENARIO_FORGED ? length(state->free) != 0 : state->free[block];
        if (listed && block < block_count(state)) step_malloc(search, next);
        next.owner.place = FREE_CLAIM;
        if (scenario == SCENARIO_RIGHT) next.holder[block] = 0;
        if (scenario != SCENARIO_RIGHT || state->holder[block] == OWNER + 1)
            step_free(search, next);
    }
    next = *state;
    next.owner.place = COLLECT_PENDING;
    if (state->pending) step_collect(search, next);
    next.owner.place = END_CLAIM;
    if (length(state->free) + length(state->local_free) == block_count(state))
        step_end(search, next);
    if (length(state->free) != 0 || length(state->local_free) == 0 || state->pending) return;
    next = *state;
    for (unsigned i = 0; i < BLOCKS; i++) {
        next.free[i] = state->local_free[i];
        next.local_free[i] = 0;
    }
    search_step(search, OWNER, REFILL, &next);
}

static void owner_goes_on(struct search *search, const struct state *state) {
    unsigned place = state->owner.place;
    if (place == IDLE)
        owner_begins(search, state);
    else if (place <= MALLOC_STORE)
        step_malloc(search, *state);
    else if (place <= FREE_STORE)
        step_free(search, *state);
    else if (place <= COLLECT_CLEAR_CLAIM)
        step_collect(search, *state);
    else
        step_end(search, *state);
}

static void remote_1(struct search *search, struct state *next, unsigned i) {
    uint8_t mask = bit(next->thread[i].block);
    if (!(next->live & mask) && !search_has_mistake(search, NO_LIVE_TEST)) next->verdict = REPORTED;
    next->thread[i].place = search_has_mistake(search, LIVE_TEST_AFTER_CLAIM) ? REMOTE_3 : REMOTE_2;
}

static void remote_2(struct search *search, struct state *next, unsigned i) {
    uint8_t mask = bit(next->thread[i].block);
    next->thread[i].place = search_has_mistake(search, LIVE_TEST_AFTER_CLAIM) ? REMOTE_1 : REMOTE_3;
    if ((next->claim & mask) && !search_has_mistake(search, NO_CLAIM_TEST)) {
        next->verdict = REPORTED;
        return;
    }
    next->claim |= mask;
    if (next->thread[i].at_rest) next->verdict = NOT_AT_ONCE;
    note_free(next, next->thread[i].block);
}

static void step_remote(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    if (place == REMOTE_1) {
        remote_1(search, &next, i);
    } else if (place == REMOTE_2) {
        remote_2(search, &next, i);
    } else {
        next.pending = 1;
        next.thread[i].place = next.thread[i].block = next.thread[i].at_rest = 0;
    }
    search_step(search, i + 1, place, &next);
}

static void thread_begins(struct search *search, const struct state *state, unsigned i) {
    bool right = search_scenario(search) == SCENARIO_RIGHT;
    for (unsigned block = 0; block < BLOCKS; block++) {
        if (right && state->holder[block] != i + 2) continue;
        struct state next = *state;
        next.holder[block] = 0;
        next.thread[i].block = (uint8_t)block;
        next.thread[i].at_rest = ((state->held | state->live | state->claim) & bit(block)) == 0;
        next.thread[i].place =
            search_has_mistake(search, LIVE_TEST_AFTER_CLAIM) ? REMOTE_2 : REMOTE_1;
        step_remote(search, next, i);
    }
}

/* The program passes a block on, by means the allocator does not see. */
static void hand_over(struct search *search, const struct state *state, unsigned i) {
    for (unsigned block = 0; block < BLOCKS; block++) {
        if (state->holder[block] != OWNER + 1) continue;
        struct state next = *state;
        next.holder[block] = (uint8_t)(i + 2);
        search_step(search, OWNER, HAND_OVER, &next);
    }
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    if (state->verdict == REPORTED) return;
    owner_goes_on(search, state);
    for (unsigned i = 0; i < THREADS; i++) {
        if (state->owner.place == IDLE) hand_over(search, state, i);
        if (state->thread[i].place == IDLE)
            thread_begins(search, state, i);
        else
            step_remote(search, *state, i);
    }
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    for (unsigned i = 0; i < BLOCKS; i++) state->free[scenario == SCENARIO_FORGED ? 0 : i]++;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    switch (state->verdict) {
    case REPORTED: return scenario == SCENARIO_RIGHT ? "a right program is reported" : NULL;
    case GIVEN_TWICE: return "a block is handed out that is held";
    case MISSED: return "a block is handed out whose second free was not reported";
    case LIVE_AT_END: return "a page ends with a live block";
    case LEFT_BEHIND: return "a page ends with a claim that nobody saw";
    case NOT_AT_ONCE: return "a second free goes through that meets nobody";
    default: break;
    }
    uint8_t looks_held = state->live & (uint8_t)~state->claim;
    return looks_held & ~state->held ? "a freed block looks like one in use" : NULL;
}

static const char *const scenarios[] = {"a right program", "any thread frees any block",
                                        "the same with forged links"};
static const char *const actors[] = {"owner", "thread 1", "thread 2", "thread 3"};
static const struct planted mistakes[MISTAKES] = {
    [NO_LIVE_TEST] = {"no-live-test", SCENARIO_WRONG},
    [LIVE_TEST_AFTER_CLAIM] = {"live-test-after-claim", SCENARIO_RIGHT},
    [NO_CLAIM_TEST] = {"no-claim-test", SCENARIO_WRONG},
    [MALLOC_IGNORES_CLAIM] = {"malloc-ignores-claim", SCENARIO_WRONG},
    [MALLOC_IGNORES_LIVE] = {"malloc-ignores-live", SCENARIO_FORGED},
    [FREE_IGNORES_CLAIM] = {"free-ignores-claim", SCENARIO_WRONG},
    [COLLECT_IGNORES_LIVE] = {"collect-ignores-live", SCENARIO_WRONG},
    [CLAIM_CLEARED_BEFORE_LIVE] = {"claim-cleared-before-live", SCENARIO_RIGHT},
    [CLAIM_CLEARED_BY_STORE] = {"claim-cleared-by-store", SCENARIO_RIGHT},
    [END_LOOKS_AT_STARTS] = {"end-looks-at-starts", SCENARIO_WRONG},
};
static const char *const steps[STEPS] = {
    [MALLOC_CLAIM] = "malloc: claim bit is 0",
    [MALLOC_LIVE] = "malloc: live bit is 0",
    [MALLOC_STORE] = "malloc: live |= bit",
    [FREE_CLAIM] = "free by the owner: claim bit is 0",
    [FREE_LIVE] = "free by the owner: live bit is 1",
    [FREE_STORE] = "free by the owner: live &= ~bit; on local_free",
    [COLLECT_PENDING] = "collect: pending -> {none,0}",
    [COLLECT_CLAIM] = "collect: c = claim",
    [COLLECT_LIVE] = "collect: each bit of c: live",
    [COLLECT_CLEAR_LIVE] = "collect: live &= ~c; on local_free",
    [COLLECT_CLEAR_CLAIM] = "collect: claim &= ~c",
    [END_CLAIM] = "the page ends: no claim in any word",
    [END_LIVE] = "the page ends: no live bit in any word",
    [INIT_PENDING] = "a page is made: pending = {none,0}",
    [REFILL] = "refill: nothing is claimed; local_free becomes free",
    [REMOTE_1] = "remote free 1: live bit is 1",
    [REMOTE_2] = "remote free 2: claim |= bit",
    [REMOTE_3] = "remote free 3: pending |= group",
    [HAND_OVER] = "the program hands a block to another thread",
};

SEARCH_MAIN("free_race")
