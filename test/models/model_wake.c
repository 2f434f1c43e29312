/*
 * model_wake: no claim in a page that is set aside is forgotten.
 *
 * One page of two blocks in a segment of its own, two heaps and two other threads that free. The
 * owner allocates, frees, sets the page aside, polls, abandons the segment and gives it back when
 * empty; either heap reclaims it, by a bitmap or by the owner word alone, or makes it anew;
 * meanwhile it may hold a huge block. A segment that is left without room stands in a bitmap of its
 * own, which nobody searches who needs room. The program is right: misuse, and step 1, are
 * free_race's.
 *
 * Judged at rest, when nobody stands inside the allocator: claims in a page in its queue are named
 * by `pending`; in a page set aside the owner has its wake-up; what is abandoned can be found, and
 * if it has room, or a claim, by who needs room; each block is held, claimed, or on a list. With
 * owner words read late, step 5 finds any word that was there before, unless the thread learned of
 * this owner: from the block, from `pending` or from `woken`.
 */
#include "search.h"

enum { BLOCKS = 2, THREADS = 2, HEAPS = 2, ALL = (1 << BLOCKS) - 1 };
enum { HEAP_1, THREAD_1 = HEAPS, OTHERS = HEAPS + THREADS }; /* actors */
enum { CLAIMS = 1, FULL = 2 };                               /* pending: the one group, the mark */
/* The owner word: a heap is its number + 1. */
enum { UNUSED = 0, ABANDONED = HEAPS + 1, HUGE_BLOCK };

/* Late reads multiply the states: one thread frees, and the segment is not given back. So do sets
   of segments with room and without: one thread frees there too, and with two all stand in one. */
enum { SCENARIO_RIGHT, SCENARIO_LATE, SCENARIO_SETS };

enum mistake {
    CLAIM_AFTER_PENDING = RIGHT + 1,
    LOOK_BEFORE_CLAIM,
    MARK_FULL_BY_STORE,
    WAKE_CLEARED_BY_STORE,
    COLLECT_BY_STORE,
    POLL_WOKEN_FIRST,
    WAKE_BEFORE_WOKEN,
    OWNER_READ_AT_START,
    WAKE_OVER_HUGE,
    SETTLE_LEAVES_ASIDE,
    FINDABLE_BEFORE_WORD,
    RECLAIM_BY_STORE,
    SETTLE_KEEPS_MARK,
    MARK_FULL_RELAXED,
    LEAVE_WITHOUT_MARK,
    LEAVE_LOOKS_ONCE,
    LEAVE_LOOKS_FIRST,
    LEAVE_LOOKS_BY_LOAD,
    WAKE_OWNERS_ONLY,
    LEVEL_AFTER_WAKE,
    LEVEL_OF_OTHERS_CLEARED,
    MISTAKES
};

/* An actor stands before the step of its place; IDLE: outside the allocator. */
enum place {
    IDLE,
    MARK_LOAD,
    MARK_CAS,
    FORGET_LEVEL,
    FORGET_WOKEN,
    COLLECT_LOAD,
    COLLECT_PENDING,
    COLLECT_CLAIM,
    COLLECT_CLEAR,
    POLL_LOAD,
    POLL_WAKE,
    POLL_LEVEL_LOAD,
    POLL_LEVEL,
    POLL_WOKEN_LOAD,
    POLL_WOKEN,
    LEAVE_MARK,
    LEAVE_WORD,
    LEAVE_BIT,
    LEAVE_WOKEN,
    LEAVE_AGAIN,
    RECLAIM_BIT,
    RECLAIM_LOAD,
    RECLAIM_CAS,
    INIT_PENDING,
    REMOTE_2,
    REMOTE_LOOK,
    REMOTE_3,
    REMOTE_4,
    REMOTE_5,
    REMOTE_LEVEL,
    REMOTE_6,
    REMOTE_7,
    REMOTE_5_LATE, /* a step, no place */
    MALLOC,
    FREE,
    DESTROY,
    CREATE,
    HUGE_ALLOC,
    HUGE_FREE,
    STEPS
};

/* What a heap does once a collect is done. */
enum then { THEN_REST, THEN_SEARCH, THEN_REJOIN, THEN_LEAVE, THEN_JOIN };

struct state {
    uint8_t claim, pending, woken, wake, owner, findable; /* shared words; wake: a bit a heap */
    uint8_t roomless;    /* the bitmap of abandoned segments without room */
    uint8_t level;       /* the segment's bit among all heaps', which a bit of wake leads to */
    uint8_t listed;      /* blocks on either list: owner only */
    uint8_t in_full;     /* set aside: owner only */
    uint8_t held;        /* what the program has */
    uint8_t wild;        /* a wake-up went where no heap is */
    uint8_t fresh;       /* late reads: held blocks that this owner handed out */
    uint8_t told;        /* late reads: who reads pending learns of this owner, */
    uint8_t woken_tells; /* and who reads woken */
    struct {
        uint8_t place, then, seen; /* seen: collect's c; mistakes: what a store relies on */
    } heap[HEAPS];
    struct {
        uint8_t place, block;
        uint8_t first; /* pending was {none,FULL} at step 3 */
        uint8_t owner; /* the owner word as step 5 found it */
        uint8_t knows; /* late reads: it cannot find an owner word from before this one */
    } thread[THREADS];
};

static uint8_t bit(unsigned number) { return (uint8_t)(1u << number); }
static bool is_heap(unsigned owner) { return owner - 1u < HEAPS; }

/* Until something tells it, a thread may read what the word was before. */
static void set_owner(struct state *next, unsigned owner) {
    next->owner = (uint8_t)owner;
    next->fresh = next->told = next->woken_tells = 0;
    for (unsigned i = 0; i < THREADS; i++) next->thread[i].knows = 0;
}

/* --- A heap's thread ------------------------------------------------------------------------ */

static void go(struct state *next, unsigned h, unsigned place) {
    next->heap[h].place = (uint8_t)place;
    if (place == IDLE) next->heap[h].then = next->heap[h].seen = 0;
}

static bool has_levels(const struct search *search) {
    return search_scenario(search) == SCENARIO_SETS;
}

static void go_collect(const struct search *search, struct state *next, unsigned h,
                       enum then then) {
    bool settle = then == THEN_LEAVE || then == THEN_JOIN;
    bool forgets = settle && has_levels(search);
    next->heap[h].then = (uint8_t)then;
    go(next, h, forgets ? FORGET_LEVEL : COLLECT_LOAD);
}

static void step_forget(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place;
    if (place == FORGET_LEVEL)
        next.level = 0;
    else
        next.woken = 0;
    go(&next, h, place == FORGET_LEVEL ? FORGET_WOKEN : COLLECT_LOAD);
    search_step(search, HEAP_1 + h, place, &next);
}

/* `seen` of a heap that leaves: the page has no room. */
static unsigned first_of_leave(struct search *search, const struct state *next, unsigned h) {
    if (search_has_mistake(search, FINDABLE_BEFORE_WORD)) return LEAVE_BIT;
    bool looks_first = search_has_mistake(search, LEAVE_LOOKS_FIRST);
    return looks_first && next->heap[h].seen ? LEAVE_WOKEN : LEAVE_WORD;
}

static void collect_is_done(struct search *search, struct state *next, unsigned h) {
    bool leaves_aside = search_has_mistake(search, SETTLE_LEAVES_ASIDE);
    next->heap[h].seen = 0;
    switch (next->heap[h].then) {
    case THEN_SEARCH: go(next, h, next->listed != 0 ? IDLE : MARK_LOAD); break;
    case THEN_LEAVE:
        if (!leaves_aside) next->in_full = 0;
        /* without room, as far as is known */
        next->heap[h].seen = search_scenario(search) != SCENARIO_RIGHT && next->listed == 0;
        go(next, h, next->heap[h].seen ? LEAVE_MARK : first_of_leave(search, next, h));
        break;
    case THEN_JOIN:
        if (!leaves_aside) next->in_full = 0;
        go(next, h, IDLE);
        break;
    case THEN_REJOIN:
        next->in_full = 0;
        go(next, h, IDLE);
        break;
    default: go(next, h, IDLE); break;
    }
}

/* A page that changes hands loses the mark as well. */
static void step_collect(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place, then = next.heap[h].then;
    bool by_store = search_has_mistake(search, COLLECT_BY_STORE);
    if (place == COLLECT_LOAD) {
        bool settle = then == THEN_LEAVE || then == THEN_JOIN;
        bool any = settle && !search_has_mistake(search, SETTLE_KEEPS_MARK);
        bool needed = any ? next.pending != 0 : (next.pending & CLAIMS) != 0;
        if (by_store) next.heap[h].seen = next.pending;
        go(&next, h, COLLECT_PENDING);
        if (!needed) collect_is_done(search, &next, h);
    } else if (place == COLLECT_PENDING) {
        bool claims = ((by_store ? next.heap[h].seen : next.pending) & CLAIMS) != 0;
        next.pending = next.heap[h].seen = 0;
        go(&next, h, COLLECT_CLAIM);
        if (!claims) collect_is_done(search, &next, h);
    } else if (place == COLLECT_CLAIM) {
        next.heap[h].seen = next.claim;
        go(&next, h, COLLECT_CLEAR);
        if (next.claim == 0) collect_is_done(search, &next, h);
    } else {
        next.listed |= next.heap[h].seen;
        next.claim &= (uint8_t)~next.heap[h].seen;
        collect_is_done(search, &next, h);
    }
    search_step(search, HEAP_1 + h, place, &next);
}

static void step_mark(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place;
    bool by_store = search_has_mistake(search, MARK_FULL_BY_STORE);
    if (place == MARK_LOAD) {
        bool marked = next.pending == FULL;
        if (marked) next.in_full = 1;
        go(&next, h, marked ? IDLE : MARK_CAS);
    } else if (next.pending == 0 || by_store) {
        next.pending = FULL;
        next.in_full = 1;
        bool late = search_scenario(search) == SCENARIO_LATE;
        if (late && !search_has_mistake(search, MARK_FULL_RELAXED)) next.told = 1;
        go(&next, h, IDLE);
    } else {
        go_collect(search, &next, h, THEN_SEARCH);
    }
    search_step(search, HEAP_1 + h, place, &next);
}

static void poll_wake(struct search *search, struct state *next, unsigned h) {
    if (search_has_mistake(search, WAKE_CLEARED_BY_STORE))
        next->wake =
            (uint8_t)(next->heap[h].seen & ~bit(h)); /* of the other heap: as it was seen */
    else
        next->wake &= (uint8_t)~bit(h);
    unsigned then = has_levels(search)     ? POLL_LEVEL_LOAD
                    : next->owner == h + 1 ? POLL_WOKEN_LOAD
                                           : IDLE;
    go(next, h, search_has_mistake(search, POLL_WOKEN_FIRST) ? IDLE : then);
}

/* Bits of other heaps' segments stay. */
static void poll_level(struct search *search, struct state *next, unsigned h, unsigned place) {
    bool of_others = search_has_mistake(search, LEVEL_OF_OTHERS_CLEARED);
    bool mine = next->owner == h + 1;
    if (place == POLL_LEVEL_LOAD) {
        go(next, h, next->level && (mine || of_others) ? POLL_LEVEL : IDLE);
    } else {
        next->level = 0;
        go(next, h, mine ? POLL_WOKEN : IDLE);
    }
}

static void poll_woken(struct search *search, struct state *next, unsigned h) {
    next->woken = 0;
    if (next->in_full)
        go_collect(search, next, h, THEN_REJOIN);
    else
        go(next, h, search_has_mistake(search, POLL_WOKEN_FIRST) ? POLL_WAKE : IDLE);
}

static void step_poll(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place;
    bool woken_first = search_has_mistake(search, POLL_WOKEN_FIRST);
    if (place == POLL_LOAD) {
        if (search_has_mistake(search, WAKE_CLEARED_BY_STORE)) next.heap[h].seen = next.wake;
        go(&next, h, woken_first && next.owner == h + 1 ? POLL_WOKEN_LOAD : POLL_WAKE);
    } else if (place == POLL_WAKE) {
        poll_wake(search, &next, h);
    } else if (place == POLL_LEVEL_LOAD || place == POLL_LEVEL) {
        poll_level(search, &next, h, place);
    } else if (place == POLL_WOKEN_LOAD) {
        go(&next, h, next.woken ? POLL_WOKEN : woken_first ? POLL_WAKE : IDLE);
    } else {
        poll_woken(search, &next, h);
    }
    search_step(search, HEAP_1 + h, place, &next);
}

static void leave_mark(struct search *search, struct state *next, unsigned h) {
    bool skips = search_has_mistake(search, LEAVE_WITHOUT_MARK);
    next->heap[h].seen = skips || (next->pending & CLAIMS) == 0;
    if (next->heap[h].seen && !skips) {
        bool late = search_scenario(search) == SCENARIO_LATE && next->pending != FULL;
        if (late && !search_has_mistake(search, MARK_FULL_RELAXED)) next->told = 1;
        next->pending = FULL;
    }
    go(next, h, first_of_leave(search, next, h));
}

static unsigned after_leave_bit(struct search *search, const struct state *next, unsigned h) {
    bool once = search_has_mistake(search, LEAVE_LOOKS_ONCE) ||
                search_has_mistake(search, LEAVE_LOOKS_FIRST);
    return next->heap[h].seen && !once ? LEAVE_WOKEN : IDLE;
}

static void step_leave(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place;
    bool bit_first = search_has_mistake(search, FINDABLE_BEFORE_WORD);
    bool looks_first = search_has_mistake(search, LEAVE_LOOKS_FIRST);
    if (place == LEAVE_MARK) {
        leave_mark(search, &next, h);
    } else if (place == LEAVE_WORD) {
        set_owner(&next, ABANDONED);
        go(&next, h, bit_first ? after_leave_bit(search, &next, h) : LEAVE_BIT);
    } else if (place == LEAVE_BIT) {
        if (next.heap[h].seen)
            next.roomless = 1;
        else
            next.findable = 1;
        go(&next, h, bit_first ? LEAVE_WORD : after_leave_bit(search, &next, h));
    } else if (place == LEAVE_WOKEN) {
        if (looks_first) next.heap[h].seen = next.woken == 0;
        bool by_load = search_has_mistake(search, LEAVE_LOOKS_BY_LOAD);
        if (search_scenario(search) == SCENARIO_LATE && !by_load) next.woken_tells = 1;
        go(&next, h, looks_first ? LEAVE_WORD : next.woken ? LEAVE_AGAIN : IDLE);
    } else {
        next.findable = 1;
        go(&next, h, IDLE);
    }
    search_step(search, HEAP_1 + h, place, &next);
}

static void step_reclaim(struct search *search, struct state next, unsigned h) {
    unsigned place = next.heap[h].place;
    if (place == RECLAIM_BIT) {
        if (next.findable)
            next.findable = 0;
        else
            next.roomless = 0; /* a sweep goes over these too */
        go(&next, h, RECLAIM_LOAD);
    } else if (place == RECLAIM_LOAD) {
        go(&next, h, next.owner == ABANDONED ? RECLAIM_CAS : IDLE);
    } else if (next.owner == ABANDONED || search_has_mistake(search, RECLAIM_BY_STORE)) {
        set_owner(&next, h + 1);
        go_collect(search, &next, h, THEN_JOIN);
    } else {
        go(&next, h, IDLE);
    }
    search_step(search, HEAP_1 + h, place, &next);
}

/* A new segment's page: the owner word stands before the record is made. */
static void step_init(struct search *search, struct state next, unsigned h) {
    next.pending = next.told = 0;
    next.listed = ALL;
    next.in_full = 0;
    go(&next, h, IDLE);
    search_step(search, HEAP_1 + h, INIT_PENDING, &next);
}

/* Enough blocks came back: the page joins its queue. The share is the heap's choice, so both. */
static void free_own(struct search *search, const struct state *state, unsigned h, uint8_t block) {
    struct state next = *state;
    next.held &= (uint8_t)~block;
    next.fresh &= (uint8_t)~block;
    next.listed |= block;
    search_step(search, HEAP_1 + h, FREE, &next);
    if (!state->in_full) return;
    go_collect(search, &next, h, THEN_REJOIN);
    search_step(search, HEAP_1 + h, FREE, &next);
}

static void heap_goes_on(struct search *search, const struct state *state, unsigned h);

static void use_own_page(struct search *search, const struct state *state, unsigned h) {
    struct state next;
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (state->held & bit(i)) free_own(search, state, h, bit(i));
        if (state->in_full || !(state->listed & bit(i))) continue;
        next = *state;
        next.listed &= (uint8_t)~bit(i);
        next.held |= bit(i);
        if (search_scenario(search) == SCENARIO_LATE) next.fresh |= bit(i);
        search_step(search, HEAP_1 + h, MALLOC, &next);
    }
    next = *state;
    go_collect(search, &next, h, THEN_SEARCH);
    if (!state->in_full && state->listed == 0) step_collect(search, next, h);
    go_collect(search, &next, h, THEN_REST); /* a purge walk */
    if (!state->in_full && (state->pending & CLAIMS)) step_collect(search, next, h);
    go_collect(search, &next, h, THEN_LEAVE);
    heap_goes_on(search, &next, h);
    if (state->in_full || state->listed != ALL) return;
    if (search_scenario(search) == SCENARIO_LATE) return;
    next = *state;
    set_owner(&next, UNUSED);
    next.listed = 0;
    search_step(search, HEAP_1 + h, DESTROY, &next);
}

static void heap_begins(struct search *search, const struct state *state, unsigned h) {
    struct state next = *state;
    go(&next, h, POLL_LOAD);
    if (state->wake & bit(h)) step_poll(search, next, h);
    if (state->owner == h + 1) use_own_page(search, state, h);
    go(&next, h, RECLAIM_BIT);
    if (state->findable || state->roomless) step_reclaim(search, next, h);
    go(&next, h, RECLAIM_LOAD); /* the free that counted the last block comes without the bit */
    if (state->owner == ABANDONED) step_reclaim(search, next, h);
    if (state->owner != UNUSED) return;
    set_owner(&next, h + 1);
    go(&next, h, INIT_PENDING);
    search_step(search, HEAP_1 + h, CREATE, &next);
}

static void heap_goes_on(struct search *search, const struct state *state, unsigned h) {
    unsigned place = state->heap[h].place;
    if (place == IDLE)
        heap_begins(search, state, h);
    else if (place <= MARK_CAS)
        step_mark(search, *state, h);
    else if (place <= FORGET_WOKEN)
        step_forget(search, *state, h);
    else if (place <= COLLECT_CLEAR)
        step_collect(search, *state, h);
    else if (place <= POLL_WOKEN)
        step_poll(search, *state, h);
    else if (place <= LEAVE_AGAIN)
        step_leave(search, *state, h);
    else if (place <= RECLAIM_CAS)
        step_reclaim(search, *state, h);
    else
        step_init(search, *state, h);
}

/* --- A thread that frees what another owns -------------------------------------------------- */

/* The step after `place`; the mistakes change the order, or what is asked in between. */
static unsigned after_remote(struct search *search, const struct state *next, unsigned i,
                             unsigned place) {
    bool late_claim = search_has_mistake(search, CLAIM_AFTER_PENDING);
    bool early_owner = search_has_mistake(search, OWNER_READ_AT_START);
    bool early_wake = search_has_mistake(search, WAKE_BEFORE_WOKEN);
    bool early_look = search_has_mistake(search, LOOK_BEFORE_CLAIM);
    bool over_huge = search_has_mistake(search, WAKE_OVER_HUGE);
    unsigned owner = next->thread[i].owner;
    bool writable = is_heap(owner) || (over_huge && owner == HUGE_BLOCK);
    bool tells = owner == ABANDONED && !search_has_mistake(search, WAKE_OWNERS_ONLY);
    unsigned levels = has_levels(search) && !search_has_mistake(search, LEVEL_AFTER_WAKE);
    unsigned last = writable ? (levels ? REMOTE_LEVEL : REMOTE_6) : tells ? REMOTE_7 : IDLE;
    unsigned wakes = !next->thread[i].first ? IDLE : early_wake ? REMOTE_5 : REMOTE_4;
    switch (place) {
    case REMOTE_2:
        if (early_look) return next->thread[i].first ? IDLE : REMOTE_3;
        return late_claim ? wakes : REMOTE_LOOK;
    case REMOTE_LOOK:
        if (early_look) return REMOTE_2;
        return next->pending & CLAIMS ? IDLE : REMOTE_3;
    case REMOTE_3: return late_claim ? REMOTE_2 : wakes;
    case REMOTE_4: return early_wake ? IDLE : !early_owner ? REMOTE_5 : last;
    case REMOTE_5:
        if (early_owner) return REMOTE_2;
        return last != IDLE ? last : early_wake ? REMOTE_4 : IDLE;
    case REMOTE_LEVEL: return search_has_mistake(search, LEVEL_AFTER_WAKE) ? IDLE : REMOTE_6;
    case REMOTE_6:
        if (has_levels(search) && search_has_mistake(search, LEVEL_AFTER_WAKE)) return REMOTE_LEVEL;
        return early_wake ? REMOTE_4 : IDLE;
    default: return early_wake ? REMOTE_4 : IDLE;
    }
}

static void end_step(struct search *search, struct state *next, unsigned i, unsigned step) {
    unsigned then = after_remote(search, next, i, next->thread[i].place);
    next->thread[i].place = (uint8_t)then;
    if (then == IDLE) {
        next->thread[i].block = next->thread[i].first = 0;
        next->thread[i].owner = next->thread[i].knows = 0;
    }
    search_step(search, THREAD_1 + i, step, next);
}

/* Step 5 by a thread that nothing told of this owner: any that was is possible. */
static void read_late(struct search *search, const struct state *state, unsigned i) {
    if (search_scenario(search) != SCENARIO_LATE || state->thread[i].knows) return;
    for (unsigned owner = 1; owner <= ABANDONED; owner++) {
        struct state next = *state;
        next.thread[i].owner = (uint8_t)owner;
        if (owner != state->owner) end_step(search, &next, i, REMOTE_5_LATE);
    }
}

static void step_remote(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place, owner = next.thread[i].owner;
    if (place == REMOTE_2) {
        next.claim |= bit(next.thread[i].block);
    } else if (place == REMOTE_LOOK) {
        if (search_has_mistake(search, LOOK_BEFORE_CLAIM))
            next.thread[i].first = (next.pending & CLAIMS) != 0;
    } else if (place == REMOTE_3) {
        next.thread[i].first = next.pending == FULL;
        next.pending |= CLAIMS;
        next.thread[i].knows |= next.told;
        next.told = next.thread[i].knows;
    } else if (place == REMOTE_4) {
        next.woken = 1;
        next.thread[i].knows |= next.woken_tells;
    } else if (place == REMOTE_5) {
        read_late(search, &next, i);
        next.thread[i].owner = next.owner;
    } else if (place == REMOTE_LEVEL) {
        next.level = 1;
    } else if (place == REMOTE_7) {
        next.findable = 1;
    } else if (is_heap(owner)) {
        next.wake |= bit(owner - 1);
    } else {
        next.wild = 1;
    }
    end_step(search, &next, i, place);
}

static void thread_begins(struct search *search, const struct state *state, unsigned i) {
    unsigned place = search_has_mistake(search, CLAIM_AFTER_PENDING)   ? REMOTE_3
                     : search_has_mistake(search, LOOK_BEFORE_CLAIM)   ? REMOTE_LOOK
                     : search_has_mistake(search, OWNER_READ_AT_START) ? REMOTE_5
                                                                       : REMOTE_2;
    for (unsigned block = 0; block < BLOCKS; block++) {
        if (!(state->held & bit(block))) continue;
        struct state next = *state;
        next.held &= (uint8_t)~bit(block);
        next.fresh &= (uint8_t)~bit(block);
        next.thread[i].knows = (state->fresh & bit(block)) != 0;
        next.thread[i].block = (uint8_t)block;
        next.thread[i].place = (uint8_t)place;
        step_remote(search, next, i);
    }
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    for (unsigned h = 0; h < HEAPS; h++) heap_goes_on(search, state, h);
    for (unsigned i = 0; i < THREADS; i++) {
        if (i != 0 && search_scenario(search) != SCENARIO_RIGHT) break;
        if (state->thread[i].place == IDLE)
            thread_begins(search, state, i);
        else
            step_remote(search, *state, i);
    }
    struct state next = *state;
    set_owner(&next, state->owner == UNUSED ? HUGE_BLOCK : UNUSED);
    if (state->owner == UNUSED) search_step(search, OTHERS, HUGE_ALLOC, &next);
    if (state->owner == HUGE_BLOCK) search_step(search, OTHERS, HUGE_FREE, &next);
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    (void)scenario;
    state->owner = UNUSED;
}

static bool is_at_rest(const struct state *state) {
    for (unsigned h = 0; h < HEAPS; h++)
        if (state->heap[h].place != IDLE) return false;
    for (unsigned i = 0; i < THREADS; i++)
        if (state->thread[i].place != IDLE) return false;
    return true;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    if (state->wild) return "a wake-up is written through a word that names no heap";
    if (!is_at_rest(state)) return NULL;
    bool pages = is_heap(state->owner) || state->owner == ABANDONED;
    uint8_t sets[3] = {state->held, state->claim, state->listed};
    if (pages && (((sets[0] ^ sets[1] ^ sets[2]) != ALL) || (sets[0] & sets[1] & sets[2])))
        return "a block is in two places, or in none";
    if (!pages && (state->held | state->claim)) return "a block is in use where no page is";
    if (state->owner == ABANDONED && !state->findable && !state->roomless)
        return "an abandoned segment is not found";
    if (state->owner == ABANDONED && !state->findable && (state->listed | state->claim))
        return "an abandoned segment with room is not found by who needs it";
    if (state->claim == 0) return NULL;
    if (!state->in_full)
        return state->pending & CLAIMS ? NULL : "a claim that no collect will look for";
    bool will_poll = state->woken && (state->wake & bit(state->owner - 1u)) &&
                     (state->level || scenario != SCENARIO_SETS);
    return is_heap(state->owner) && will_poll ? NULL : "a claim in a page set aside, no wake-up";
}

static const char *const scenarios[] = {"a right program", "owner words are read late",
                                        "segments without room stand apart, wake-ups have levels"};
static const char *const actors[] = {"heap 1", "heap 2", "thread 1", "thread 2", "others"};
static const struct planted mistakes[MISTAKES] = {
    [CLAIM_AFTER_PENDING] = {"claim-after-pending", SCENARIO_RIGHT},
    [LOOK_BEFORE_CLAIM] = {"look-before-claim", SCENARIO_RIGHT},
    [MARK_FULL_BY_STORE] = {"mark-full-by-store", SCENARIO_RIGHT},
    [WAKE_CLEARED_BY_STORE] = {"wake-cleared-by-store", SCENARIO_RIGHT},
    [COLLECT_BY_STORE] = {"collect-by-store", SCENARIO_RIGHT},
    [POLL_WOKEN_FIRST] = {"poll-woken-first", SCENARIO_RIGHT},
    [WAKE_BEFORE_WOKEN] = {"wake-before-woken", SCENARIO_RIGHT},
    [OWNER_READ_AT_START] = {"owner-read-at-start", SCENARIO_RIGHT},
    [WAKE_OVER_HUGE] = {"wake-over-huge", SCENARIO_RIGHT},
    [SETTLE_LEAVES_ASIDE] = {"settle-leaves-aside", SCENARIO_RIGHT},
    [FINDABLE_BEFORE_WORD] = {"findable-before-word", SCENARIO_RIGHT},
    [RECLAIM_BY_STORE] = {"reclaim-by-store", SCENARIO_RIGHT},
    [SETTLE_KEEPS_MARK] = {"settle-keeps-mark", SCENARIO_LATE},
    [MARK_FULL_RELAXED] = {"mark-full-relaxed", SCENARIO_LATE},
    [LEAVE_WITHOUT_MARK] = {"leave-without-mark", SCENARIO_SETS},
    [LEAVE_LOOKS_ONCE] = {"leave-looks-once", SCENARIO_SETS},
    [LEAVE_LOOKS_FIRST] = {"leave-looks-first", SCENARIO_SETS},
    [LEAVE_LOOKS_BY_LOAD] = {"leave-looks-by-load", SCENARIO_LATE},
    [WAKE_OWNERS_ONLY] = {"wake-owners-only", SCENARIO_SETS},
    [LEVEL_AFTER_WAKE] = {"level-after-wake", SCENARIO_SETS},
    [LEVEL_OF_OTHERS_CLEARED] = {"level-of-others-cleared", SCENARIO_SETS},
};
static const char *const steps[STEPS] = {
    [MARK_LOAD] = "mark full: pending is {none,FULL} already",
    [MARK_CAS] = "mark full: pending {none,0} -> {none,FULL}",
    [FORGET_LEVEL] = "a segment changes hands: its bit among all heaps' -> 0",
    [FORGET_WOKEN] = "a segment changes hands: woken -> 0",
    [COLLECT_LOAD] = "collect: pending has claims",
    [COLLECT_PENDING] = "collect: pending -> {none,0}",
    [COLLECT_CLAIM] = "collect: c = claim",
    [COLLECT_CLEAR] = "collect: claim &= ~c",
    [POLL_LOAD] = "poll: wake is not 0",
    [POLL_WAKE] = "poll: wake -> 0",
    [POLL_LEVEL_LOAD] = "poll: the segment has its bit among all heaps', and is this heap's",
    [POLL_LEVEL] = "poll: that bit -> 0",
    [POLL_WOKEN_LOAD] = "poll: woken is not 0",
    [POLL_WOKEN] = "poll: woken -> 0",
    [LEAVE_MARK] = "leave 1, without room: pending {none,0} -> {none,FULL}",
    [LEAVE_WORD] = "leave 2: owner = ABANDONED",
    [LEAVE_BIT] = "leave 3: bit in a bitmap of abandoned segments",
    [LEAVE_WOKEN] = "leave 4, without room: w = woken",
    [LEAVE_AGAIN] = "leave 5, w: bit in the bitmap of segments with room",
    [RECLAIM_BIT] = "reclaim: bit in the bitmap of abandoned segments cleared",
    [RECLAIM_LOAD] = "reclaim: owner is ABANDONED",
    [RECLAIM_CAS] = "reclaim: owner ABANDONED -> this heap",
    [INIT_PENDING] = "a page is made: pending = {none,0}",
    [REMOTE_2] = "remote free 2: claim |= bit",
    [REMOTE_LOOK] = "remote free 3: pending has the group already: done",
    [REMOTE_3] = "remote free 3: pending |= group",
    [REMOTE_4] = "remote free 4: woken |= page",
    [REMOTE_5] = "remote free 5: o = owner",
    [REMOTE_LEVEL] = "remote free 6: the segment's bit among all heaps'",
    [REMOTE_6] = "remote free 7: o.wake |= bit",
    [REMOTE_7] = "remote free 6, o is abandoned: bit in the bitmap of segments with room",
    [REMOTE_5_LATE] = "remote free 5: o = owner, as it was before",
    [MALLOC] = "malloc",
    [FREE] = "free by the owner",
    [DESTROY] = "segment_destroy: owner = UNUSED",
    [CREATE] = "segment_create: owner = this heap",
    [HUGE_ALLOC] = "the segment becomes a huge block",
    [HUGE_FREE] = "the huge block is freed",
};

SEARCH_MAIN("wake")
