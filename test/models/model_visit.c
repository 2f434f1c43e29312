/*
 * model_visit: visits to the heap of a thread that sleeps.
 *
 * One heap, its thread, a visitor, and another thread that frees; a page of two blocks that is not
 * the one the fast path allocates from. Who is inside the heap is told by `seqcount` (inside,
 * visited, a count) and `announced`. The visitor ends the page if every block in use in it has been
 * claimed and no free of the thread is on its way, which it knows by the count.
 *
 * Time is in the model as one rule: a visit is due when whatever its thread had begun before the
 * announcement, without having seen it, is over (`unseen`). That is what the delay is for.
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
    ANNOUNCED_NOT_READ,
    ENTERED_WITHOUT_WAIT,
    COUNT_NOT_COMPARED,
    UNCLAIMED_ENDED,
    FREES_NOT_COUNTED,
    EVENT_WITHOUT_LOOK,
    MISTAKES
};

enum place {
    OUT,
    /* the thread enters */
    READ_ANNOUNCED,
    STORE_INSIDE,
    ADD_INSIDE,
    WAIT,
    CLEAR_ANNOUNCED,
    INSIDE,
    LEAVE,
    /* its free on the fast path */
    FREE_LIVE,
    FREE_COUNT,
    /* the other thread's */
    CLAIM,
    PENDING,
    /* the visitor */
    ANNOUNCE_READ,
    ANNOUNCE,
    DUE,
    VISIT,
    LOOK_FIRST,
    LOOK_SECOND,
    LOOK_COUNT,
    TAKE,
    END,
    GO,
    STEPS
};

/* Why the thread is inside. */
enum why { WHY_NOTHING, WHY_EVENT, WHY_GENERIC };

struct state {
    uint8_t inside, visited, count, announced; /* seqcount's parts, and the flag beside it */
    uint8_t live, claim, pending;              /* a bit a block; pending: one for both */
    uint8_t used;    /* of the page: handed out and not counted as freed */
    uint8_t ended;   /* the page is none */
    uint8_t held;    /* by the program: a bit a block */
    uint8_t life;    /* pages made, so that the model ends */
    uint8_t both;    /* inside together */
    uint8_t mixed;   /* both at the page's lists, by plain stores */
    uint8_t touched; /* an ended page was counted in, or ended again */
    uint8_t lost;    /* a page ended that was in use */
    struct {
        uint8_t place, block, why, unseen;
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
    unsigned place = state->thread.place;
    return place == INSIDE || place == CLEAR_ANNOUNCED || place == LEAVE;
}
static bool is_visiting(const struct state *state) {
    return state->visitor.place >= LOOK_FIRST && state->visitor.place <= GO;
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

static void step_thread(struct search *search, struct state next) {
    unsigned place = next.thread.place;
    switch (place) {
    case READ_ANNOUNCED: {
        bool read = next.announced && !search_has_mistake(search, ANNOUNCED_NOT_READ);
        next.thread.place = read ? ADD_INSIDE : STORE_INSIDE;
        break;
    }
    case STORE_INSIDE:
        next.inside = 1;
        next.thread.unseen = 0;
        next.thread.place = INSIDE;
        break;
    case ADD_INSIDE:
        next.inside = 1;
        next.thread.place = next.visited && !search_has_mistake(search, ENTERED_WITHOUT_WAIT)
                                ? WAIT
                                : CLEAR_ANNOUNCED;
        break;
    case WAIT:
        if (next.visited) return;
        next.thread.place = CLEAR_ANNOUNCED;
        break;
    case CLEAR_ANNOUNCED:
        next.announced = 0;
        next.thread.place = INSIDE;
        break;
    case INSIDE:
        work_inside(search, &next);
        next.thread.place = LEAVE;
        break;
    case LEAVE:
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
        next.thread.place = next.used == 0 ? READ_ANNOUNCED : OUT;
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
    next.thread.place = READ_ANNOUNCED;
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
        next.announced = 1;
        /* stands between the look at the flag and the store */
        next.thread.unseen = next.thread.place == STORE_INSIDE;
        next.visitor.place = DUE;
        break;
    case DUE: /* all that had not seen the announcement is over */
        if (next.thread.unseen && !search_has_mistake(search, NO_DELAY)) return;
        next.visitor.place = VISIT;
        if (!next.announced || next.inside || next.count != next.visitor.seen) give_up(&next);
        break;
    case VISIT:
        if ((next.inside || next.count != next.visitor.seen) && compares) {
            give_up(&next);
        } else {
            next.visited = 1;
            next.visitor.place = !next.ended && next.pending ? LOOK_FIRST : GO;
        }
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
    default:
        next.visited = 0;
        next.visitor.place = DUE; /* of the next one */
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
    (void)scenario;
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
    bool rests = state->thread.place == OUT && state->other.place == OUT && !is_visiting(state);
    if (!rests) return NULL;
    if (state->ended && (state->live | state->claim) != 0) return "an ended page has a block";
    if (!state->ended && state->used != bits(state->live)) return "a page counts wrong";
    if (state->claim != 0 && !state->pending) return "a claim that no collect will look for";
    return NULL;
}

static const char *const scenarios[] = {"a thread sleeps, or does not"};
static const char *const actors[] = {"the thread", "another", "the visitor"};
static const struct planted mistakes[MISTAKES] = {
    [NO_DELAY] = {"no-delay", 0},
    [ANNOUNCED_NOT_READ] = {"announced-not-read", 0},
    [ENTERED_WITHOUT_WAIT] = {"entered-without-wait", 0},
    [COUNT_NOT_COMPARED] = {"count-not-compared", 0},
    [UNCLAIMED_ENDED] = {"unclaimed-ended", 0},
    [FREES_NOT_COUNTED] = {"frees-not-counted", 0},
    [EVENT_WITHOUT_LOOK] = {"event-without-look", 0},
};
static const char *const steps[STEPS] = {
    [READ_ANNOUNCED] = "enter: announced is read",
    [STORE_INSIDE] = "enter, not announced: seqcount = inside",
    [ADD_INSIDE] = "enter, announced: seqcount += inside",
    [WAIT] = "enter, visited: waits until it is not",
    [CLEAR_ANNOUNCED] = "enter: announced = 0",
    [INSIDE] = "the generic path",
    [LEAVE] = "leave: seqcount = outside, counted",
    [FREE_LIVE] = "free by the owner 1: live &= ~block",
    [FREE_COUNT] = "free by the owner 2: the block is counted",
    [CLAIM] = "remote free 2: claim |= block",
    [PENDING] = "remote free 3: pending |= group",
    [ANNOUNCE_READ] = "announce: seqcount is read",
    [ANNOUNCE] = "announce: announced -> 1",
    [DUE] = "visit is due: seqcount is read",
    [VISIT] = "visit: seqcount, as it was -> visited",
    [LOOK_FIRST] = "visit: live and claim of the first block",
    [LOOK_SECOND] = "visit: live and claim of the second block",
    [LOOK_COUNT] = "visit: the count of blocks in use",
    [TAKE] = "visit: claims are taken in",
    [END] = "visit: the page ends",
    [GO] = "visit ends: seqcount -= visited",
};

int main(int argc, char **argv) {
    static const struct model model = {
        .name = "visit",
        .state_size = sizeof(struct state),
        .scenarios = scenarios,
        .mistakes = mistakes,
        .actors = actors,
        .steps = steps,
        .scenario_count = sizeof scenarios / sizeof scenarios[0],
        .mistake_count = MISTAKES,
        .step_count = STEPS,
        .start = start,
        .expand = expand,
        .wrong = wrong,
    };
    return search_main(&model, argc, argv);
}
