/*
 * model_heap_pool: the stack of heaps that ended threads returned.
 *
 * Three heaps, made already and on the stack; three threads take one and return it. The word
 * `pool.free_heaps` is the top's number and the count of heaps ever taken; each heap has its
 * `next_free` and the thread that owns it. The model ends at TAKES_MAX takes: enough for a top
 * that is taken and returned twice while another thread stands before its CAS.
 *
 * Judged: no heap belongs to two threads, the owner of a heap is who took it, and when no thread
 * is inside, each heap is on the stack or with one thread.
 */
#include "search.h"

enum { HEAPS = 3, THREADS = 3, TAKES_MAX = 6 };

enum mistake {
    NO_COUNT = RIGHT + 1,
    COUNT_NOT_COMPARED_AT_RETURN,
    NEXT_STORED_AFTER_CAS,
    TAKE_BY_STORE,
    OWNER_CLEARED_AFTER_RETURN,
    MISTAKES
};

/* A thread stands before the step of its place; IDLE: without a heap; HOLDING: with one. */
enum place {
    IDLE,
    TAKE_LOAD,
    TAKE_NEXT,
    TAKE_CAS,
    TAKE_OWNER,
    HOLDING,
    RETURN_OWNER,
    RETURN_LOAD,
    RETURN_NEXT,
    RETURN_CAS,
    STEPS
};

struct word {
    uint8_t top;   /* heap's number from 1; 0: none */
    uint8_t taken; /* heaps ever taken */
};

struct state {
    struct word free_heaps;
    uint8_t next_free[HEAPS + 1];
    uint8_t owner[HEAPS + 1]; /* thread + 1 */
    struct {
        uint8_t place;
        uint8_t heap; /* the heap that is this thread's */
        uint8_t next;
        struct word seen;
    } thread[THREADS];
};

static void take_cas(struct search *search, struct state *next, unsigned i) {
    struct word seen = next->thread[i].seen;
    bool same_count = seen.taken == next->free_heaps.taken || search_has_mistake(search, NO_COUNT);
    bool same = seen.top == next->free_heaps.top && same_count;
    if (!same && !search_has_mistake(search, TAKE_BY_STORE)) {
        next->thread[i].seen = next->free_heaps; /* a CAS that fails has loaded */
        next->thread[i].next = 0;
        next->thread[i].place = next->free_heaps.top != 0 ? TAKE_NEXT : IDLE;
        if (next->thread[i].place == IDLE) next->thread[i].seen = (struct word){0, 0};
        return;
    }
    next->free_heaps.top = next->thread[i].next;
    next->free_heaps.taken++;
    next->thread[i].heap = seen.top;
    next->thread[i].seen = (struct word){0, 0};
    next->thread[i].next = 0;
    next->thread[i].place = TAKE_OWNER;
}

static void take(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place;
    if (place == TAKE_LOAD) {
        next.thread[i].seen = next.free_heaps;
        next.thread[i].place = TAKE_NEXT;
        if (next.free_heaps.top == 0) {
            next.thread[i].seen = (struct word){0, 0};
            next.thread[i].place = IDLE;
        }
    } else if (place == TAKE_NEXT) {
        next.thread[i].next = next.next_free[next.thread[i].seen.top];
        next.thread[i].place = TAKE_CAS;
    } else if (place == TAKE_CAS) {
        take_cas(search, &next, i);
    } else {
        next.owner[next.thread[i].heap] = (uint8_t)(i + 1);
        next.thread[i].place = HOLDING;
    }
    search_step(search, i, place, &next);
}

static void is_returned(struct state *next, unsigned i) {
    next->thread[i].place = IDLE;
    next->thread[i].heap = 0;
    next->thread[i].seen = (struct word){0, 0};
}

/* The step after one of a return: a mistake puts one step last. */
static unsigned after_return(struct search *search, unsigned place) {
    bool next_late = search_has_mistake(search, NEXT_STORED_AFTER_CAS);
    bool owner_late = search_has_mistake(search, OWNER_CLEARED_AFTER_RETURN);
    switch (place) {
    case RETURN_OWNER: return owner_late ? IDLE : RETURN_LOAD;
    case RETURN_LOAD: return next_late ? RETURN_CAS : RETURN_NEXT;
    case RETURN_NEXT: return next_late ? IDLE : RETURN_CAS;
    default: return next_late ? RETURN_NEXT : owner_late ? RETURN_OWNER : IDLE;
    }
}

static void give_back(struct search *search, struct state next, unsigned i) {
    unsigned place = next.thread[i].place, heap = next.thread[i].heap;
    struct word seen = next.thread[i].seen;
    unsigned then = after_return(search, place);
    if (place == RETURN_OWNER) {
        next.owner[heap] = 0;
    } else if (place == RETURN_LOAD) {
        next.thread[i].seen = next.free_heaps;
    } else if (place == RETURN_NEXT) {
        next.next_free[heap] = seen.top;
    } else {
        bool same = seen.top == next.free_heaps.top && seen.taken == next.free_heaps.taken;
        if (search_has_mistake(search, COUNT_NOT_COMPARED_AT_RETURN))
            same = seen.top == next.free_heaps.top;
        if (same) {
            next.free_heaps = (struct word){(uint8_t)heap, seen.taken};
        } else {
            next.thread[i].seen = next.free_heaps; /* a CAS that fails has loaded */
            then = after_return(search, RETURN_LOAD);
        }
    }
    next.thread[i].place = (uint8_t)then;
    if (then == IDLE) is_returned(&next, i);
    search_step(search, i, place, &next);
}

static void expand(struct search *search, const void *of) {
    const struct state *state = of;
    bool late = search_has_mistake(search, OWNER_CLEARED_AFTER_RETURN);
    for (unsigned i = 0; i < THREADS; i++) {
        struct state next = *state;
        unsigned place = state->thread[i].place;
        if (place == IDLE) next.thread[i].place = TAKE_LOAD;
        if (place == HOLDING) next.thread[i].place = late ? RETURN_LOAD : RETURN_OWNER;
        if (place == IDLE && state->free_heaps.taken >= TAKES_MAX) continue;
        if (next.thread[i].place < HOLDING)
            take(search, next, i);
        else
            give_back(search, next, i);
    }
}

static void start(void *of, unsigned scenario) {
    struct state *state = of;
    (void)scenario;
    for (uint8_t heap = 1; heap < HEAPS; heap++) state->next_free[heap] = heap + 1;
    state->free_heaps.top = 1;
}

/* Whether a thread has the heap: from the CAS that took it to the CAS that returns it. */
static unsigned owners_of(const struct state *state, unsigned heap) {
    unsigned owners = 0;
    for (unsigned i = 0; i < THREADS; i++) owners += state->thread[i].heap == heap;
    return owners;
}

static bool is_at_rest(const struct state *state) {
    for (unsigned i = 0; i < THREADS; i++)
        if (state->thread[i].place != IDLE && state->thread[i].place != HOLDING) return false;
    return true;
}

static const char *wrong(const void *of, unsigned scenario) {
    const struct state *state = of;
    unsigned met[HEAPS + 1] = {0};
    bool rests = is_at_rest(state);
    (void)scenario;
    for (unsigned i = 0; i < THREADS; i++) {
        unsigned heap = state->thread[i].heap;
        if (state->thread[i].place == HOLDING && state->owner[heap] != i + 1)
            return "a heap in use has lost its thread";
    }
    for (unsigned at = state->free_heaps.top; rests && at != 0; at = state->next_free[at])
        if (met[at]++ != 0) return "the stack runs in a circle";
    for (unsigned heap = 1; heap <= HEAPS; heap++) {
        unsigned owners = owners_of(state, heap);
        if (rests && owners + met[heap] == 0) return "a heap is lost";
        if (rests && owners != 0 && met[heap] != 0) return "a heap in use is on the stack";
        if (rests && owners > 1) return "a heap belongs to two threads";
    }
    return NULL;
}

static const char *const scenarios[] = {"threads come and go"};
static const char *const actors[] = {"thread 1", "thread 2", "thread 3"};
static const struct planted mistakes[MISTAKES] = {
    [NO_COUNT] = {"no-count", 0},
    [COUNT_NOT_COMPARED_AT_RETURN] = {"count-not-compared-at-return", 0},
    [NEXT_STORED_AFTER_CAS] = {"next-stored-after-cas", 0},
    [TAKE_BY_STORE] = {"take-by-store", 0},
    [OWNER_CLEARED_AFTER_RETURN] = {"owner-cleared-after-return", 0},
};
static const char *const steps[STEPS] = {
    [TAKE_LOAD] = "take_returned: seen := free_heaps",
    [TAKE_NEXT] = "take_returned: next := seen.top->next_free",
    [TAKE_CAS] = "take_returned: seen -> {seen.taken + 1, next}",
    [TAKE_OWNER] = "the heap has its thread",
    [RETURN_OWNER] = "return_heap: thread = 0",
    [RETURN_LOAD] = "return_heap: seen := free_heaps",
    [RETURN_NEXT] = "return_heap: next_free := seen.top",
    [RETURN_CAS] = "return_heap: seen -> {seen.taken, this}",
};

SEARCH_MAIN("heap_pool")
