/*
 * model_visit: visits to the heap of a thread that sleeps.
 *
 * One heap, its thread, a visitor, and another thread that frees; a page of two blocks that is not
 * the one the fast path allocates from. Who is inside the heap is told by `seqcount` (inside, a
 * count) and `visit`. The visitor ends the page if every block in use in it has been claimed and no
 * free of the thread is on its way, which it knows by the count of blocks in use.
 *
 * The thread's store of `seqcount` may stand in a buffer, where others do not see it. Time is one
 * rule: a visit is due when what stood there at its announcement no longer does (`unseen`). That is
 * what the delay is for. On a machine that keeps a store back for longer the visitor asks for a
 * barrier instead, when it has entered.
 *
 * Judged: thread and visitor are never inside together, nor at the lists of a page; no page ends
 * with a block in the program's hands, or while a free is about to count there; what the thread
 * does with a page that a visitor has ended is nothing; at rest the page's count is that of its
 * live bits, and an ended page has neither live bits nor claims.
 */
#include "search.h"

enum { BLOCKS = 2, LIVES = 2, ENTRIES = 6 };

enum mistake {
    NO_DELAY = RIGHT + 1,
    NO_BARRIER,
    LOOKED_FIRST,
    VISIT_NOT_READ,
    ENTERED_WITHOUT_WAIT,
    LEFT_WITHOUT_WAKE,
    COUNT_NOT_COMPARED,
    UNCLAIMED_ENDED,
    FREES_NOT_COUNTED,
    EVENT_WITHOUT_LOOK,
    MISTAKES
};

enum place {
    OUT,
    /* the thread enters */
    STORE_INSIDE,
    READ_VISIT,
    TAKE_BACK,
    WAIT,
    INSIDE,
    LEAVE,
    /* its free on the fast path */
    FREE_LIVE,
    FREE_COUNT,
    /* its store of `seqcount` is seen */
    SEEN,
    /* the other thread's */
    CLAIM,
    PENDING,
    /* the visitor */
    ANNOUNCE_READ,
    ANNOUNCE,
    DUE,
    VISIT,
    COMPARE,
    LOOK_FIRST,
    LOOK_SECOND,
    LOOK_COUNT,
    TAKE,
    END,
    GO,
    WAKE,
    STEPS,
    ASLEEP
};

/* Why the thread is inside. */
enum why { WHY_NOTHING, WHY_EVENT, WHY_GENERIC };

enum visit { NONE, ANNOUNCED, GOING_ON, AWAITED };

struct state {
    uint8_t has_barrier;          /* the scenario */
    uint8_t inside, count;        /* seqcount's parts, as others see them */
    uint8_t visit;                /* the word beside it */
    uint8_t live, claim, pending; /* a bit a block; pending: one for both */
    uint8_t used;                 /* of the page: handed out and not counted as freed */
    uint8_t ended;                /* the page is none */
    uint8_t held;                 /* by the program: a bit a block */
    uint8_t life;                 /* pages made, so that the model ends */
    uint8_t both;                 /* inside together */
    uint8_t mixed;                /* both at the page's lists, by plain stores */
    uint8_t touched;              /* an ended page was counted in, or ended again */
    uint8_t lost;                 /* a page ended that was in use */
    struct {
        uint8_t place, block, why;
        uint8_t buffered; /* its store of `seqcount` is not seen yet */
        uint8_t unseen;   /* nor was it when the visit was announced */
    } thread;
    struct {
        uint8_t place, block;
    } other;
    struct {
        uint8_t place, seen, claimed;
    } visitor;
};

enum actor { THREAD, OTHER, VISITOR };

static uint8_t bit(unsigned block) { return (uint8_t)(1u << block); }
static uint8_t bits(uint8_t of) { return (uint8_t)((of & 1) + (of >> 1 & 1)); }

static bool is_busy_inside(const struct state *state) {
    return state->thread.place == INSIDE || state->thread.place == LEAVE;
}
static bool is_visiting(const struct state *state) {
    return state->visitor.place >= LOOK_FIRST && state->visitor.place <= END;
}

static void note(struct state *next) {
    if (is_busy_inside(next) && is_visiting(next)) next->both = 1;
}

static void collect(struct state *next) {
    next->pending = 0;
    next->used = (uint8_t)(next->used - bits(next->claim & next->live));
    next->live &= (uint8_t)~next->claim;
    next->claim = 0;
}

static void end_page(struct state *next) {
    if (next->ended) next->touched = 1;
    if (next->held != 0 || next->live != 0) next->lost = 1;
    if (next->thread.place == FREE_COUNT) next->lost = 1; /* about to count there */
    next->ended = 1;
}

/* The page's life inside a generic path, as one step: nobody else is there. */
static void work_inside(struct search *search, struct state *next) {
    bool is_mine = !next->ended || search_has_mistake(search, EVENT_WITHOUT_LOOK);
    if (next->thread.why == WHY_EVENT) {
        if (is_mine && next->used == 0) end_page(next);
    } else if (!next->ended) {
        collect(next);
        if (next->used == 0 && next->thread.block) end_page(next);
    } else if (next->life < LIVES) {
        next->life++;
        next->ended = 0;
        next->live = next->held = 3;
        next->used = BLOCKS;
    }
}

static void make_seen(struct state *next) {
    if (next->thread.buffered) next->inside = 1;
    next->thread.buffered = next->thread.unseen = 0;
}

static void take_back(struct search *search, struct state *next) {
    if (next->visit == NONE || next->visit == ANNOUNCED) {
        next->visit = NONE;
        next->thread.place = INSIDE;
        next->thread.buffered = !next->inside; /* who looked first stores last */
    } else {
        next->visit = AWAITED;
        next->thread.place = search_has_mistake(search, ENTERED_WITHOUT_WAIT) ? INSIDE : WAIT;
    }
}

static uint8_t first_step(const struct search *search) {
    return search_has_mistake(search, LOOKED_FIRST) ? READ_VISIT : STORE_INSIDE;
}

static void step_thread(struct search *search, struct state next) {
    bool looks_first = search_has_mistake(search, LOOKED_FIRST);
    unsigned place = next.thread.place;
    switch (place) {
    case STORE_INSIDE:
        next.thread.buffered = 1;
        next.thread.place = looks_first ? INSIDE : READ_VISIT;
        break;
    case READ_VISIT:
        next.thread.place = looks_first ? STORE_INSIDE : INSIDE;
        if (next.visit != NONE && !search_has_mistake(search, VISIT_NOT_READ))
            next.thread.place = TAKE_BACK;
        break;
    case TAKE_BACK: /* an exchange: the buffer is empty */
        make_seen(&next);
        take_back(search, &next);
        break;
    case WAIT: /* the kernel looks once more */
        next.thread.place = next.visit == AWAITED ? ASLEEP : TAKE_BACK;
        break;
    case ASLEEP: return;
    case INSIDE:
        work_inside(search, &next);
        next.thread.place = LEAVE;
        break;
    case LEAVE:
        next.thread.buffered = next.thread.unseen = 0;
        next.inside = 0;
        next.count++;
        next.thread.place = OUT;
        next.thread.why = WHY_NOTHING;
        next.thread.block = 0;
        break;
    case FREE_LIVE:
        next.live &= (uint8_t)~bit(next.thread.block);
        next.thread.place = FREE_COUNT;
        break;
    default:
        if (next.ended) next.touched = 1;
        next.used--;
        next.thread.block = 0;
        next.thread.place = next.used == 0 ? first_step(search) : OUT;
        next.thread.why = next.used == 0 ? WHY_EVENT : WHY_NOTHING;
        break;
    }
    note(&next);
    search_step(search, THREAD, place, &next);
}

static void begin_free(struct search *search, const struct state *state, unsigned block) {
    struct state next = *state;
    next.held &= (uint8_t)~bit(block);
    next.thread.block = (uint8_t)block;
    next.thread.place = FREE_LIVE;
    step_thread(search, next);
}

static void begin_generic(struct search *search, const struct state *state, bool ends) {
    struct state next = *state;
    next.thread.why = WHY_GENERIC;
    next.thread.block = ends; /* whether an empty page is to end */
    next.thread.place = first_step(search);
    step_thread(search, next);
}

static void step_other(struct search *search, struct state next) {
    unsigned place = next.other.place;
    if (place == CLAIM) {
        next.claim |= bit(next.other.block);
        next.other.place = PENDING;
    } else {
        next.pending = 1;
        next.other.place = OUT;
        next.other.block = 0;
    }
    search_step(search, OTHER, place, &next);
}

/* Claims with a mark are taken, and a page whose blocks are all free ends. */
static void take_claims(struct state *next) {
    if (next->pending) collect(next);
    next->visitor.place = (uint8_t)(next->used == 0 ? END : GO);
}

static unsigned after_look(struct search *search, const struct state *state, unsigned block) {
    bool free_for_all = (state->live & ~state->claim & bit(block)) == 0;
    if (!free_for_all && !search_has_mistake(search, UNCLAIMED_ENDED)) return GO;
    return block == 0 ? LOOK_SECOND : LOOK_COUNT;
}

static void give_up(struct state *next) {
    next->visitor.place = OUT;
    next->visitor.seen = 0;
}

static void step_visitor(struct search *search, struct state next) {
    unsigned place = next.visitor.place;
    bool compares = !search_has_mistake(search, COUNT_NOT_COMPARED);
    switch (place) {
    case ANNOUNCE_READ:
        if (next.inside) return;
        next.visitor.seen = next.count;
        next.visitor.place = ANNOUNCE;
        break;
    case ANNOUNCE:
        next.visit |= ANNOUNCED;
        next.thread.unseen = next.thread.buffered;
        next.visitor.place = DUE;
        break;
    case DUE: /* what was in the buffer at the announcement is seen */
        if (!next.has_barrier && next.thread.unseen && !search_has_mistake(search, NO_DELAY))
            return;
        next.visitor.place = VISIT;
        if (next.visit == NONE || next.inside || next.count != next.visitor.seen) give_up(&next);
        break;
    case VISIT:
        if (next.visit == ANNOUNCED) {
            next.visit = GOING_ON;
            next.visitor.place = COMPARE;
            if (next.has_barrier && !search_has_mistake(search, NO_BARRIER)) make_seen(&next);
        } else {
            give_up(&next);
        }
        break;
    case COMPARE:
        next.visitor.place = !next.ended && next.pending ? LOOK_FIRST : GO;
        if ((next.inside || next.count != next.visitor.seen) && compares) next.visitor.place = GO;
        break;
    case LOOK_FIRST:
    case LOOK_SECOND: {
        unsigned block = place == LOOK_FIRST ? 0 : 1;
        next.visitor.claimed = (uint8_t)(next.visitor.claimed + bits(next.live & bit(block)));
        next.visitor.place = (uint8_t)after_look(search, &next, block);
        if (next.visitor.place == GO) next.visitor.claimed = 0;
        break;
    }
    case LOOK_COUNT: {
        bool same = next.used == next.visitor.claimed;
        next.visitor.place = same || search_has_mistake(search, FREES_NOT_COUNTED) ? TAKE : GO;
        next.visitor.claimed = 0;
        break;
    }
    case TAKE:
        if (next.thread.place == FREE_LIVE || next.thread.place == FREE_COUNT) next.mixed = 1;
        take_claims(&next);
        break;
    case END:
        end_page(&next);
        next.visitor.place = GO;
        break;
    case GO:
        next.visitor.place = next.visit == AWAITED ? WAKE : DUE; /* of the next one */
        if (search_has_mistake(search, LEFT_WITHOUT_WAKE)) next.visitor.place = DUE;
        next.visit = ANNOUNCED;
        break;
    default:
        if (next.thread.place == ASLEEP) next.thread.place = TAKE_BACK;
        next.visitor.place = DUE;
        break;
    }
    note(&next);
    search_step(search, VISITOR, place, &next);
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    if (state->thread.place != OUT) {
        step_thread(search, *state);
    } else if (state->count < ENTRIES) {
        for (unsigned block = 0; block < BLOCKS; block++)
            if (state->held & bit(block)) begin_free(search, state, block);
        begin_generic(search, state, false);
        begin_generic(search, state, true);
    }
    if (state->thread.buffered) {
        struct state next = *state;
        make_seen(&next);
        search_step(search, THREAD, SEEN, &next);
    }
    if (state->other.place != OUT) step_other(search, *state);
    for (unsigned block = 0; state->other.place == OUT && block < BLOCKS; block++) {
        if (!(state->held & bit(block))) continue;
        struct state next = *state;
        next.held &= (uint8_t)~bit(block);
        next.other.block = (uint8_t)block;
        next.other.place = CLAIM;
        step_other(search, next);
    }
    struct state next = *state;
    if (next.visitor.place == OUT) next.visitor.place = ANNOUNCE_READ;
    step_visitor(search, next);
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    state->has_barrier = (uint8_t)scenario;
    state->live = state->held = 3;
    state->used = BLOCKS;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    (void)scenario;
    if (state->both) return "thread and visitor are inside together";
    if (state->mixed) return "thread and visitor are at the lists of a page together";
    if (state->lost) return "a page ends that is in use";
    if (state->touched) return "a page is touched that has ended";
    bool sleeps_on = state->thread.place == ASLEEP && state->visit != AWAITED;
    if (sleeps_on && state->visitor.place != WAKE) return "a thread waits for nobody";
    bool rests = state->thread.place == OUT && state->other.place == OUT && !is_visiting(state);
    if (!rests) return NULL;
    if (state->ended && (state->live | state->claim) != 0) return "an ended page has a block";
    if (!state->ended && state->used != bits(state->live)) return "a page counts wrong";
    if (state->claim != 0 && !state->pending) return "a claim that no collect will look for";
    return NULL;
}

static const char *const scenarios[] = {"stores are seen in time", "stores are seen by a barrier"};
static const char *const actors[] = {"the thread", "another", "the visitor"};
static const struct planted mistakes[MISTAKES] = {
    [NO_DELAY] = {"no-delay", 0},
    [NO_BARRIER] = {"no-barrier", 1},
    [LOOKED_FIRST] = {"looked-first", 0},
    [VISIT_NOT_READ] = {"visit-not-read", 0},
    [ENTERED_WITHOUT_WAIT] = {"entered-without-wait", 0},
    [LEFT_WITHOUT_WAKE] = {"left-without-wake", 0},
    [COUNT_NOT_COMPARED] = {"count-not-compared", 1},
    [UNCLAIMED_ENDED] = {"unclaimed-ended", 0},
    [FREES_NOT_COUNTED] = {"frees-not-counted", 0},
    [EVENT_WITHOUT_LOOK] = {"event-without-look", 0},
};
static const char *const steps[STEPS] = {
    [STORE_INSIDE] = "enter: seqcount = inside",
    [READ_VISIT] = "enter: visit is read",
    [TAKE_BACK] = "enter: visit, announced -> none, or going on -> awaited",
    [WAIT] = "enter, visited: falls asleep if visit is awaited",
    [INSIDE] = "the generic path",
    [LEAVE] = "leave: seqcount = outside, counted",
    [FREE_LIVE] = "free by the owner 1: live &= ~block",
    [FREE_COUNT] = "free by the owner 2: the block is counted",
    [SEEN] = "the thread's seqcount is seen by all",
    [CLAIM] = "remote free 2: claim |= block",
    [PENDING] = "remote free 3: pending |= group",
    [ANNOUNCE_READ] = "announce: seqcount is read",
    [ANNOUNCE] = "announce: visit |= announced",
    [DUE] = "visit is due: both words are read",
    [VISIT] = "visit: visit, announced -> going on",
    [COMPARE] = "visit: seqcount is compared",
    [LOOK_FIRST] = "visit: live and claim of the first block",
    [LOOK_SECOND] = "visit: live and claim of the second block",
    [LOOK_COUNT] = "visit: the count of blocks in use",
    [TAKE] = "visit: claims are taken in",
    [END] = "visit: the page ends",
    [GO] = "visit ends: visit -> announced",
    [WAKE] = "visit ends: its thread is woken",
};

SEARCH_MAIN("visit")
