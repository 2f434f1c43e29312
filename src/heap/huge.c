/*
 * huge: runs of segments (see huge.h).
 *
 * Whoever frees or resizes first wins the owner word by a CAS (begin); the rest of the record is
 * the winner's until the word is stored again. Freed runs wait in a cache, which is dense: the
 * first `entries` places. Each system call's failure leaves the block, or the run, as it was.
 */
#include "heap/huge.h"
#include "meta/locks.h"
#include "base/thread.h"
#include "os/os.h"

/* A run this many times longer than needed is not reused. */
#define CACHE_SLACK 2

/* Smaller blocks are not worth the question what the machine has. */
#define ASKED_FROM GIB

/* More than there are addresses for, or than the machine would give to anybody. */
static bool is_out_of_question(size_t bytes) {
    return bytes > ro.region_span || (bytes >= ASKED_FROM && os_is_absurd(bytes));
}

/* Segments for `bytes` and the inaccessible OS page behind them. */
static uint32_t run_length(size_t bytes) {
    return (uint32_t)((bytes + ro.os_page + SEGMENT_SIZE - 1) >> SEGMENT_SHIFT);
}

size_t huge_round(size_t size) {
    size_t step = ro.os_page;
    if (size > LARGE_MAX && size <= HUGE_CLASS_MAX)
        step = (size_t)1 << (high_bit(size - 1) - 3); /* an eighth of the power of two */
    size_t length = round_up(size, step);
    /* Where only the guard would need another segment, the length stops before it. */
    size_t fitting = round_up(size, ro.os_page);
    if (run_length(length) > run_length(fitting))
        length = ((size_t)run_length(fitting) << SEGMENT_SHIFT) - ro.os_page;
    return length;
}

static uint64_t generation_of(uint64_t word) { return word >> OWNER_GENERATION_SHIFT; }
static uint64_t huge_word(enum owner_kind state, uint64_t generation) {
    return (uint64_t)state | generation << OWNER_GENERATION_SHIFT;
}

static bool huge_commit(uintptr_t start, size_t from, size_t to) {
    if (from >= to) return true;
    if (!os_commit((void *)(start + from), to - from)) return false;
    atomic_add_relaxed(&ro.region->committed, to - from);
    return true;
}

static bool huge_decommit(uintptr_t start, size_t from, size_t to) {
    if (from >= to) return true;
    if (!region_decommit(start + from, to - from)) return false;
    atomic_add_relaxed(&ro.region->committed, from - to);
    return true;
}

/* Gives a run back; a run whose memory the kernel will not take apart stays taken, without its
   contents. */
static void give_run(uint32_t index, uint32_t run, size_t committed) {
    uintptr_t start = segment_address(index);
    if (huge_decommit(start, 0, committed))
        region_give(index, run);
    else
        os_purge((void *)start, committed);
}

static void update_next_purge(struct huge_state *huge) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < huge->entries; i++)
        if (huge->cache[i].purge_at < next) next = huge->cache[i].purge_at;
    atomic_store_relaxed(&huge->next_purge, next);
}

/* Takes an entry out of the cache; the last one moves into its place. */
static struct huge_entry take_entry(struct huge_state *huge, struct huge_entry *entry) {
    struct huge_entry taken = *entry;
    huge->cached -= taken.committed;
    *entry = huge->cache[--huge->entries];
    return taken;
}

static size_t distance(size_t one, size_t other) { return one > other ? one - other : other - one; }

/* A cached run of at least `run` segments, not much longer; the one with the least to commit or to
   give back for `bytes`. */
static bool cache_take(uint32_t run, size_t bytes, struct huge_entry *taken) {
    struct huge_state *huge = ro.huge;
    if (atomic_load_relaxed(&huge->next_purge) == UINT64_MAX) return false;
    locks_acquire(LOCK_HUGE_CACHE);
    struct huge_entry *best = NULL;
    for (uint32_t i = 0; i < huge->entries; i++) {
        struct huge_entry *entry = &huge->cache[i];
        if (entry->run < run || entry->run > run * CACHE_SLACK) continue;
        if (best == NULL || distance(entry->committed, bytes) < distance(best->committed, bytes))
            best = entry;
    }
    if (best != NULL) {
        *taken = take_entry(huge, best);
        if (huge->entries == 0) atomic_store_relaxed(&huge->next_purge, UINT64_MAX);
    }
    locks_release(LOCK_HUGE_CACHE);
    return best != NULL;
}

static bool cache_put(struct huge_entry entry) {
    struct huge_state *huge = ro.huge;
    if (ro.options.purge_delay_ms == 0 || entry.committed > HUGE_CACHE_BYTES) return false;
    locks_acquire(LOCK_HUGE_CACHE);
    bool fits =
        huge->entries < HUGE_CACHE_ENTRIES && huge->cached + entry.committed <= HUGE_CACHE_BYTES;
    if (fits) {
        huge->cache[huge->entries++] = entry;
        huge->cached += entry.committed;
        if (entry.purge_at < huge->next_purge)
            atomic_store_relaxed(&huge->next_purge, entry.purge_at);
    }
    locks_release(LOCK_HUGE_CACHE);
    return fits;
}

bool huge_purge(bool force, uint64_t now) {
    struct huge_state *huge = ro.huge;
    uint64_t next = atomic_load_relaxed(&huge->next_purge);
    if (next == UINT64_MAX || (!force && now < next)) return false;
    struct huge_entry due[HUGE_CACHE_ENTRIES];
    int count = 0;
    locks_acquire(LOCK_HUGE_CACHE);
    for (uint32_t i = huge->entries; i-- > 0 && (force || count == 0);)
        if (force || now >= huge->cache[i].purge_at)
            due[count++] = take_entry(huge, &huge->cache[i]);
    update_next_purge(huge);
    locks_release(LOCK_HUGE_CACHE);
    for (int i = 0; i < count; i++) give_run(due[i].index, due[i].run, due[i].committed);
    return count > 0;
}

/* Replaces a cached run by one of which nothing is committed. */
MOAT_COLD static bool renew(struct huge_entry *entry) {
    if (!huge_decommit(segment_address(entry->index), 0, entry->committed)) return false;
    entry->committed = 0;
    return true;
}

/* A place of the cache may hold what another place, or a user, has too. The runs stay taken. */
void huge_forget_cache(void) {
    ro.huge->entries = 0;
    ro.huge->cached = 0;
    atomic_store_relaxed(&ro.huge->next_purge, UINT64_MAX);
}

/* Makes a cached run exactly `bytes` long; false: it was given back. */ static bool
fit_cached(struct huge_entry *entry, size_t bytes) {
    uintptr_t start = segment_address(entry->index);
    uint32_t run = run_length(bytes);
    if (huge_commit(start, entry->committed, bytes) &&
        huge_decommit(start, bytes, entry->committed)) {
        if (run < entry->run) region_give(entry->index + run, entry->run - run);
        entry->run = run;
        return true;
    }
    give_run(entry->index, entry->run, entry->committed);
    return false;
}

/* The run becomes a live block. */
static void *make_live(uint32_t index, uint32_t run, size_t bytes) {
    struct segment *segment = segment_at(index);
    uintptr_t start = segment_address(index);
    segment->run = run;
    atomic_store_relaxed(&segment->committed, bytes);
    /* pairs with the fetch_and of huge_free */
    if (HARDENED_MAP) atomic_or_acq_rel(&map_word_of(start)->live, map_bit_of(start));
    /* pairs with the load of free */
    atomic_store_release(&segment->owner, huge_word(OWNER_HUGE, ++segment->generation));
    return (void *)start;
}

void *huge_alloc(size_t size, size_t alignment, bool zero) {
    THREAD_INSIDE();
    size_t bytes = huge_round(size);
    if (is_out_of_question(bytes)) return NULL;
    uint32_t run = run_length(bytes), index;
    huge_purge(false, os_milliseconds());
    struct huge_entry cached;
    if (alignment <= SEGMENT_SIZE && cache_take(run, bytes, &cached)) {
        /* Zero pages come cheaper from the kernel than from a fill; a new mapping, because the
           program may have laid another over the block. */
        if (!zero || renew(&cached)) {
            if (fit_cached(&cached, bytes)) return make_live(cached.index, cached.run, bytes);
        } else {
            give_run(cached.index, cached.run, cached.committed);
        }
    }
    uint32_t align = alignment > SEGMENT_SIZE ? (uint32_t)(alignment >> SEGMENT_SHIFT) : 1;
    if (!region_take(run, align, &index) &&
        !(huge_purge(true, 0) && region_take(run, align, &index)))
        return NULL;
    if (!huge_commit(segment_address(index), 0, bytes) &&
        !(huge_purge(true, 0) && huge_commit(segment_address(index), 0, bytes))) {
        region_give(index, run);
        return NULL;
    }
    return make_live(index, run, bytes);
}

/* Wins the right to free or resize: the CAS on the word the kind was read from. */
static bool huge_begin(struct segment *segment, uint64_t word) {
    uint64_t expected = word;
    uintptr_t start = segment_start(segment);
    uint64_t freeing = huge_word(OWNER_FREEING, generation_of(word));
    /* pairs with make_live, and with the stores that end a resize */
    if (!atomic_cas_acq_rel(&segment->owner, &expected, freeing)) return false;
    if (HARDENED_MAP)
        MOAT_CHECK(atomic_load_relaxed(&map_word_of(start)->live) & map_bit_of(start),
                   "huge block without its live bit", start);
    return true;
}

enum huge_result huge_free(struct segment *segment, uint64_t word) {
    THREAD_INSIDE();
    if (!huge_begin(segment, word)) return HUGE_LOST;
    uintptr_t start = segment_start(segment);
    struct huge_entry entry = {segment_index(segment), segment->run, segment->committed, 0};
    /* pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, generation_of(word)));
    uint64_t now = os_milliseconds();
    entry.purge_at = now + ro.options.purge_delay_ms;
    if (!cache_put(entry)) give_run(entry.index, entry.run, entry.committed);
    huge_purge(false, now);
    return HUGE_OK;
}

/* Moves the pages to a longer run: no copy. */ static enum huge_result
huge_move(struct segment *segment, uint64_t word, size_t bytes, void **block) {
    uint32_t run = run_length(bytes), index;
    size_t old_bytes = segment->committed;
    if (!region_take(run, 1, &index)) return HUGE_NO_MEMORY;
    void *from = (void *)segment_start(segment), *to = (void *)segment_address(index);
    if (!huge_commit((uintptr_t)to, old_bytes, bytes)) {
        region_give(index, run);
        return HUGE_NO_MEMORY;
    }
    bool moved = os_move_pages(from, to, old_bytes);
    region_advise((uintptr_t)(moved ? from : to), old_bytes);
    if (!moved) {
        if (huge_decommit((uintptr_t)to, old_bytes, bytes)) region_give(index, run);
        return HUGE_NO_MEMORY;
    }
    uintptr_t start = segment_start(segment); /*
pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    uint32_t old_run = segment->run;
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, generation_of(word)));
    region_give(segment_index(segment), old_run);
    *block = make_live(index, run, bytes);
    return HUGE_OK;
}

enum huge_result huge_resize(struct segment *segment, uint64_t word, size_t new_size,
                             void **block) {
    THREAD_INSIDE();
    size_t bytes = huge_round(new_size);
    if (is_out_of_question(bytes)) return HUGE_NO_MEMORY;
    if (!huge_begin(segment, word)) return HUGE_LOST;
    uintptr_t start = segment_start(segment);
    size_t old = segment->committed;
    uint32_t run = run_length(bytes);
    if (run > segment->run &&
        region_extend(segment_index(segment), segment->run, run - segment->run))
        segment->run = run;
    if (run > segment->run) {
        enum huge_result result = huge_move(segment, word, bytes, block);
        /* pairs with the load of free */
        if (result != HUGE_OK) atomic_store_release(&segment->owner, word);
        return result;
    }
    bool ok = bytes >= old ? huge_commit(start, old, bytes) : huge_decommit(start, bytes, old);
    if (ok) atomic_store_relaxed(&segment->committed, bytes);
    /* what is no longer needed of the run is inaccessible already */
    if (ok && run < segment->run) {
        region_give(segment_index(segment) + run, segment->run - run);
        segment->run = run;
    }
    atomic_store_release(&segment->owner, word); /* pairs with the load of free */
    return ok ? HUGE_OK : HUGE_NO_MEMORY;
}

/* Segments inside a run may still say FREED, of a run that began there before: a live block that
   covers the address counts more. */
struct segment *huge_find(uintptr_t address) {
    struct segment *freed = NULL;
    for (uint32_t index = segment_index(segment_of(address)) + 1; index-- > 0;) {
        struct segment *segment = segment_at(index);
        uint64_t word = atomic_load_acquire(&segment->owner); /* pairs with make_live */
        bool covers = address - segment_start(segment) < atomic_load_relaxed(&segment->committed);
        switch (owner_kind(word)) {
        case OWNER_UNUSED: break;
        case OWNER_FREED:
            if (covers && freed == NULL) freed = segment;
            break;
        case OWNER_HUGE:
        case OWNER_FREEING:
            /* if it ends before the address, nothing further down reaches over it */
            return covers ? segment : freed;
        case OWNER_SMALL:
        case OWNER_MEDIUM:
        case OWNER_LARGE:
        case OWNER_ZERO_SIZE: return freed;
        }
    }
    return freed;
}
