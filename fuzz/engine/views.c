/*
 * views: what each virtual thread may see of the shared words. See the header.
 *
 * A word's newest value is the one in memory: natively every access is the newest there is. Of a
 * store only its place in the order is known when it is announced; its value is read when the
 * thread makes its next step, before anybody else can run. If memory has another value then what
 * was stored last, somebody wrote it plainly, and the word begins anew.
 */
#include "engine/views.h"

#include <stddef.h>
#include <string.h>

#include "engine/feedback.h"

/* Who gives a page of large blocks back looks at all of its map words, 8192 and more. */
enum { WORDS_SHIFT = 15, WORDS = 1 << WORDS_SHIFT, HISTORY = 6 };

struct store {
    uint64_t value;
    struct view message; /* what who acquires it learns */
    uint32_t clock;      /* of the thread that made it; 0: known to everybody */
    uint8_t by;
    bool in_one_order; /* by an access that says seq_cst */
    /* clock of each thread when it first read this store; 0: it has not */
    uint32_t read[VIEWS_THREADS];
};

struct word {
    const volatile void *address;
    const struct atomic_site *writer; /* of the newest value; NULL: it was there */
    uint32_t run;                     /* that it was last used in */
    uint8_t size;
    uint8_t threads; /* a bit for each that touched it in this run */
    uint8_t before;  /* and in the runs that are remembered */
    bool is_written; /* in any of these */
    uint8_t count;   /* stores kept, the newest last */
    uint8_t by;      /* the thread of `writer` */
};

static struct {
    struct word words[WORDS];
    struct store stores[WORDS][HISTORY]; /* apart: most runs never look at them */
    uint32_t run;
    uint32_t first_run; /* words used since then are remembered */
    unsigned used;
    bool tracks;
    unsigned (*choose)(unsigned count);
    struct view views[VIEWS_THREADS];
    /* The access that was announced last. */
    struct word *word;
    const struct atomic_site *site;
    unsigned thread;
    uint8_t kind, order;
    bool is_open; /* its store's value is not known yet */
    const struct atomic_site *weak;
    uint8_t weak_order;
} state;

void (*views_on_site)(const struct atomic_site *site);

void views_begin(bool keep, bool tracks, unsigned (*choose)(unsigned count)) {
    state.run++;
    if (!keep) {
        state.first_run = state.run;
        state.used = 0;
    }
    state.tracks = tracks;
    state.choose = choose;
    memset(state.views, 0, sizeof state.views);
    for (unsigned i = 0; i < VIEWS_THREADS; i++) state.views[i].clock[i] = 1;
    state.word = NULL;
    state.is_open = false;
}

uint64_t views_native(const volatile void *address, unsigned size) {
    switch (size) {
    case 1: return *(const volatile uint8_t *)address;
    case 2: return *(const volatile uint16_t *)address;
    case 4: return *(const volatile uint32_t *)address;
    default: return *(const volatile uint64_t *)address;
    }
}

static struct word *slot_of(const volatile void *address) {
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9e3779b97f4a7c15u;
    for (unsigned i = (unsigned)(hash >> (64 - WORDS_SHIFT)), tries = 0; tries < 64; tries++, i++) {
        struct word *word = &state.words[i % WORDS];
        if (word->run < state.first_run || word->address == address) return word;
    }
    return NULL; /* too many: this one is not watched */
}

static struct store *stores_of(const struct word *word) { return state.stores[word - state.words]; }

static void begin_history(struct word *word, uint64_t value) {
    word->count = 1;
    stores_of(word)[0] = (struct store){.value = value};
}

struct word *views_find(const volatile void *address, unsigned size) {
    if (state.word != NULL && state.word->address == address)
        return state.word; /* as often as not */
    struct word *word = slot_of(address);
    if (word == NULL) return NULL;
    if (word->run < state.first_run || word->address != address) {
        *word = (struct word){.address = address, .size = (uint8_t)size};
        state.used++;
    } else if (word->run != state.run) {
        word->before |= word->threads;
        word->threads = 0;
        word->count = 0;
        word->writer = NULL;
    }
    word->run = state.run;
    return word;
}

static struct store *newest(struct word *word) { return &stores_of(word)[word->count - 1]; }

static void join(struct view *into, const struct view *from) {
    for (unsigned i = 0; i < VIEWS_THREADS; i++)
        if (from->clock[i] > into->clock[i]) into->clock[i] = from->clock[i];
}

static bool acquires(unsigned order) {
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}
static bool releases(unsigned order) {
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool is_weakened(const struct atomic_site *site) {
    const struct atomic_site *weak = state.weak;
    return weak != NULL && site->line == weak->line && site->kind == weak->kind &&
           strcmp(site->file, weak->file) == 0;
}

void views_leave(void) {
    if (!state.is_open) return;
    newest(state.word)->value = views_native(state.word->address, state.word->size);
    state.is_open = false;
}

static void read_store(struct store *store, bool acquire) {
    struct view *view = &state.views[state.thread];
    if (store->read[state.thread] == 0) store->read[state.thread] = view->clock[state.thread];
    if (acquire) join(view, &store->message);
}

/* `continues`: a read-modify-write hands on what the store before it carried. */
static void add_store(bool release, bool continues) {
    struct word *word = state.word;
    struct view message = {{0}};
    if (continues) message = newest(word)->message;
    if (release) join(&message, &state.views[state.thread]);
    if (word->count == HISTORY)
        memmove(stores_of(word), stores_of(word) + 1, (HISTORY - 1) * sizeof(struct store));
    else
        word->count++;
    *newest(word) = (struct store){.message = message,
                                   .clock = state.views[state.thread].clock[state.thread],
                                   .by = (uint8_t)state.thread,
                                   .in_one_order = state.order == __ATOMIC_SEQ_CST};
    state.is_open = true;
}

/* The word's newest value was read, or an old one in its place. */
static void note_read(enum feedback_kind kind) {
    const struct word *word = state.word;
    if (word->writer != NULL && word->by != state.thread)
        feedback_note(kind, word->writer, state.site);
}

static void note_write(void) {
    state.word->writer = state.site;
    state.word->is_written = true;
    state.word->by = (uint8_t)state.thread;
}

void views_step(unsigned thread, const struct atomic_site *site, struct word *word) {
    views_leave();
    state.word = word;
    if (views_on_site != NULL) views_on_site(site);
    if (word == NULL) {
        views_barrier(); /* what it carries nobody knows: rather too much than too little */
        return;
    }
    word->threads |= (uint8_t)(1u << thread);
    state.thread = thread;
    state.site = site;
    state.kind = site->kind;
    state.order = site->order;
    if (site->kind == ATOMIC_CHANGE || site->kind == ATOMIC_TRY) note_read(FEEDBACK_READ);
    if (site->kind == ATOMIC_CHANGE || site->kind == ATOMIC_STORE) note_write();
    if (!state.tracks) return;
    if (is_weakened(site)) state.order = state.weak_order;
    uint64_t value = views_native(word->address, word->size);
    if (word->count == 0 || newest(word)->value != value) begin_history(word, value);
    state.views[thread].clock[thread]++;
    if (state.kind == ATOMIC_STORE) {
        add_store(releases(state.order), false);
    } else if (state.kind == ATOMIC_CHANGE) {
        read_store(newest(word), acquires(state.order));
        add_store(releases(state.order), true);
    }
}

/* The oldest store that the thread may still read: not older than one it knows of; and, in the one
   order of all that say seq_cst, which is that of the run, not older than the last of these. */
static unsigned oldest_visible(const struct word *word, unsigned thread) {
    const struct view *view = &state.views[thread];
    for (unsigned i = word->count; i-- > 1;) {
        const struct store *store = &stores_of(word)[i];
        if (state.order == __ATOMIC_SEQ_CST && store->in_one_order) return i;
        if (store->clock == 0 || view->clock[store->by] >= store->clock) return i;
        for (unsigned u = 0; u < VIEWS_THREADS; u++)
            if (store->read[u] != 0 && view->clock[u] >= store->read[u]) return i;
    }
    return 0;
}

uint64_t views_loaded(uint64_t value) {
    struct word *word = state.word;
    if (word == NULL) return value;
    unsigned back = 0;
    if (!state.tracks) {
        note_read(FEEDBACK_READ);
        return value;
    }
    if (state.choose != NULL) {
        unsigned count = word->count - oldest_visible(word, state.thread);
        if (count > 1) back = state.choose(count);
    }
    note_read(back == 0 ? FEEDBACK_READ : FEEDBACK_READ_OLD);
    struct store *store = &stores_of(word)[word->count - 1 - back];
    read_store(store, acquires(state.order));
    return back == 0 ? value : store->value;
}

void views_tried(bool exchanged) {
    if (state.word == NULL) return;
    if (exchanged) note_write();
    if (!state.tracks) return;
    if (exchanged) {
        /* what was seen was replaced, so its value is known already */
        read_store(newest(state.word), acquires(state.order));
        add_store(releases(state.order), true);
    } else {
        read_store(newest(state.word), state.order == __ATOMIC_ACQ_REL);
    }
}

bool views_is_shared(const struct word *word, unsigned thread) {
    if (word == NULL) return true;
    unsigned threads = word->before | word->threads;
    return word->is_written && (threads & ~(1u << thread)) != 0;
}

unsigned views_shared_words(void) {
    unsigned shared = 0;
    for (unsigned i = 0; i < WORDS; i++) {
        const struct word *word = &state.words[i];
        unsigned threads = word->before | word->threads;
        bool is_shared = word->is_written && (threads & (threads - 1)) != 0;
        if (word->run >= state.first_run && is_shared) shared++;
    }
    return shared;
}

void views_publish(unsigned thread, struct view *view) {
    state.views[thread].clock[thread]++;
    *view = state.views[thread];
}

void views_receive(unsigned thread, const struct view *view) { join(&state.views[thread], view); }

void views_barrier(void) {
    struct view all = {{0}};
    for (unsigned i = 0; i < VIEWS_THREADS; i++) state.views[i].clock[i]++;
    for (unsigned i = 0; i < VIEWS_THREADS; i++) join(&all, &state.views[i]);
    for (unsigned i = 0; i < VIEWS_THREADS; i++) join(&state.views[i], &all);
}

uint32_t views_event(unsigned thread) { return state.views[thread].clock[thread] + 1; }

bool views_knows(unsigned thread, unsigned other, uint32_t event) {
    return state.views[thread].clock[other] >= event;
}

void views_weaken(const struct atomic_site *site, uint8_t order) {
    state.weak = site;
    state.weak_order = order;
}
