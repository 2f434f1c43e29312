/*
 * huge: runs of segments (see huge.h).
 *
 * Whoever frees or resizes first wins the owner word by a CAS (begin); the rest of the record is
 * the winner's until the word is stored again. Freed runs wait in a cache, which is dense: the
 * first `entries` places. Each system call's failure leaves the block, or the run, as it was.
 */
#include "heap/huge.h"
#include "heap/heap.h"
#include "meta/locks.h"
#include "meta/mappings.h"
#include "meta/request.h"
#include "base/thread.h"
#include "os/os.h"

/* A run this many times longer than needed is not reused. */
#define CACHE_SLACK 2

/* Less is not worth the question what the machine would give, and the most that is cached whatever
   is in use. */
#define ASKED_FROM (256 * MIB)

/* More than there are addresses for, or than the machine would give to anybody: refused before
   addresses are mapped, and tables for them. `more`: of the bytes, those that the block has not
   yet. */
static bool is_out_of_question(size_t bytes, size_t more) {
    if (bytes > ro.region_span) return true;
    return more >= ASKED_FROM && ro.overcommit != OVERCOMMIT_ALWAYS &&
           os_is_absurd(more, atomic_load_relaxed(&ro.region->memory_is_locked));
}

size_t huge_round(size_t size) {
    size_t step = ro.os_page;
    if (size > LARGE_MAX && size <= HUGE_CLASS_MAX)
        step = (size_t)1 << (high_bit(size - 1) - 3); /* an eighth of the power of two */
    size_t length = round_up(size, step);
    /* Where only the guard would need another segment, the length stops before it. */
    size_t fitting = round_up(size, ro.os_page);
    if (huge_run_length(length) > huge_run_length(fitting))
        length = ((size_t)huge_run_length(fitting) << SEGMENT_SHIFT) - ro.os_page;
    return length;
}

MOAT_COLD bool huge_may_hold(size_t size) { return size > SMALL_MAX && guard_charge_matters(); }

/* Bytes of live and cached runs, for statistics. */
MOAT_INLINE void count_bytes(size_t more, size_t fewer) {
    atomic_add_relaxed(&ro.region->committed, more - fewer);
    atomic_add_relaxed(&ro.usage->runs, more - fewer);
}

static void set_guarded(struct segment *segment, struct guarded guarded) {
    atomic_store_relaxed(&segment->committed, guarded.bytes);
    segment->run = guarded.run;
    segment->means = guarded.means;
    segment->apart = guarded.apart;
    segment->rest = guarded.rest;
}

/* A run whose memory the kernel will not take apart has no contents any more, and the kernel is
   asked again later. */
static void close_run(uint32_t index, const struct guarded *guarded) {
    if (guard_close(segment_address(index), guarded))
        region_give(index, guarded->run);
    else
        region_owe(index, guarded->run);
}

/* Without memory, and as what belongs to nobody is. */
static bool is_closed(const struct guarded *guarded) {
    return guarded->bytes == 0 && guarded->means != GUARD_COVERED;
}

/* It does not count as in use any more. */
MOAT_NOINLINE static void give_uncounted(const struct huge_entry *entry) {
    atomic_add_relaxed(&ro.region->committed, (size_t)0 - guard_reach(&entry->guarded));
    if (is_closed(&entry->guarded))
        region_give(entry->index, entry->guarded.run);
    else
        close_run(entry->index, &entry->guarded);
}

static void give_run(const struct huge_entry *entry) {
    atomic_add_relaxed(&ro.usage->runs, (size_t)0 - guard_reach(&entry->guarded));
    give_uncounted(entry);
}

static uint32_t units_of(size_t bytes) { return (uint32_t)(bytes >> SLOT_SHIFT); }

/* Whether runs stay in the cache though they are due. */
static bool keeps(const struct huge_state *huge, uint64_t now) {
    return keeping_is_on(&huge->keeping, now) &&
           keeping_fits(&ro.usage->all, usage_in_use(), units_of(ro.usage->cached)) &&
           !usage_has_surplus(now);
}

/* What is kept is looked at again after the delay. */
static void update_next_purge(struct huge_state *huge, uint64_t now) {
    uint64_t next = UINT64_MAX, again = now + ro.options.purge_delay_ms + 1;
    for (uint32_t i = 0; i < huge->entries; i++)
        if (huge->cache[i].purge_at < next) next = huge->cache[i].purge_at;
    if (next < again && keeps(huge, now)) next = again;
    atomic_store_relaxed(&huge->next_purge, next);
}

/* Takes an entry out of the cache; the last one moves into its place. */
MOAT_INLINE struct huge_entry take_entry(struct huge_state *huge, struct huge_entry *entry) {
    struct huge_entry taken = *entry;
    huge_set_cached(ro.usage->cached - guard_count_rest(&taken.guarded, true));
    *entry = huge->cache[--huge->entries];
    return taken;
}

/* Bytes to commit, or to give back, until a run has so many; what it has in its rest is at hand. */
static size_t distance(const struct guarded *guarded, size_t bytes) {
    if (MOAT_LIKELY(bytes == guarded->bytes)) return 0;
    if (bytes < guarded->bytes) return guarded->bytes - bytes;
    size_t reach = guard_reach(guarded);
    return bytes > reach ? bytes - reach : 0;
}

/* The same of one that goes back. Whoever looks at what is in use meanwhile shall not take it for
   a live one: it counts no more, from before it leaves the cache. */
static struct huge_entry take_to_give(struct huge_state *huge, struct huge_entry *entry,
                                      uint64_t now) {
    size_t bytes = guard_reach(&entry->guarded);
    atomic_add_relaxed(&ro.usage->runs, (size_t)0 - bytes);
    keeping_gave(&huge->keeping, units_of(bytes), now);
    return take_entry(huge, entry);
}

/* A cached run of at least `run` segments, not much longer; the one with the least to commit or to
   give back for `bytes`. */
static bool cache_take(uint32_t run, size_t bytes, uint64_t now, struct huge_entry *taken,
                       bool *may_go_back) {
    struct huge_state *huge = ro.huge;
    if (atomic_load_relaxed(&huge->next_purge) == UINT64_MAX) return false;
    locks_acquire(LOCK_HUGE_CACHE);
    struct huge_entry *best = NULL;
    size_t least = SIZE_MAX;
    for (uint32_t i = 0; i < huge->entries; i++) {
        struct huge_entry *entry = &huge->cache[i];
        if (entry->guarded.run < run || entry->guarded.run > run * CACHE_SLACK) continue;
        size_t off = distance(&entry->guarded, bytes);
        if (off < least) {
            least = off;
            best = entry;
        }
        if (off == 0) break;
    }
    *may_go_back = keeping_is_on(&huge->keeping, now);
    if (best != NULL) {
        *taken = take_entry(huge, best);
        if (now >= taken->purge_at) keeping_served(&huge->keeping, now);
        if (huge->entries == 0) atomic_store_relaxed(&huge->next_purge, UINT64_MAX);
    }
    locks_release(LOCK_HUGE_CACHE);
    return best != NULL;
}

/* Whether so many bytes may be cached of what is in use with this run. */
static bool is_a_share(size_t cached, uint32_t used, const struct huge_entry *entry) {
    size_t bytes = (size_t)used << SLOT_SHIFT, own = guard_reach(&entry->guarded);
    return bytes > own && cached <= (bytes - own) / HUGE_CACHE_SHARE;
}

/* A run that is not cached goes back. */
MOAT_NOINLINE static void turn_away(struct huge_state *huge, const struct huge_entry *entry,
                                    uint64_t now) {
    keeping_gave(&huge->keeping, units_of(guard_count_rest(&entry->guarded, true)), now);
}

/* Its first OS page is inaccessible while it waits, where most of what dangles points. All of it
   would take some ten times as long, which programs would notice. */
static bool cache_put(struct huge_entry entry, uint64_t now) {
    struct huge_state *huge = ro.huge;
    if (ro.options.purge_delay_ms == 0) return false;
    entry.front = guard_close_front(segment_address(entry.index));
    locks_acquire(LOCK_HUGE_CACHE);
    uint32_t used = usage_in_use();
    size_t bytes = guard_count_rest(&entry.guarded, false), all = ro.usage->cached + bytes;
    keeping_observe(&ro.usage->all, used, now);
    bool fits = huge->entries < HUGE_CACHE_ENTRIES &&
                (MOAT_LIKELY(all <= HUGE_CACHE_BYTES) || is_a_share(all, used, &entry)) &&
                !FAILPOINT(CACHE_FULL);
    if (fits) {
        huge->cache[huge->entries++] = entry;
        huge_set_cached(all);
        if (entry.purge_at < huge->next_purge)
            atomic_store_relaxed(&huge->next_purge, entry.purge_at);
    } else {
        turn_away(huge, &entry, now);
    }
    locks_release(LOCK_HUGE_CACHE);
    return fits;
}

/* Takes one that is due; force: any. */
static bool take_due(bool force, uint64_t now, struct huge_entry *due) {
    struct huge_state *huge = ro.huge;
    bool any = false;
    /* who looks in passing waits for nobody */
    if (force)
        locks_acquire(LOCK_HUGE_CACHE);
    else if (!locks_try(LOCK_HUGE_CACHE))
        return false;
    if (!force) usage_observe(now);
    bool kept = !force && keeps(huge, now);
    for (uint32_t i = kept ? 0 : huge->entries; i-- > 0 && !any;) {
        any = force || now >= huge->cache[i].purge_at;
        if (any) *due = take_to_give(huge, &huge->cache[i], now);
    }
    if (any) huge->covered -= due->guarded.means == GUARD_COVERED;
    update_next_purge(huge, now);
    locks_release(LOCK_HUGE_CACHE);
    return any;
}

/* What comes meanwhile is not waited for. */
MOAT_NOINLINE static bool give_due(bool force, uint64_t now) {
    uint32_t most = force ? HUGE_WAITING_MAX : 1, count = 0;
    struct huge_entry due;
    for (; count < most && take_due(force, now, &due); count++) give_uncounted(&due);
    return count != 0;
}

bool huge_purge(bool force, uint64_t now) {
    uint64_t next = atomic_load_relaxed(&ro.huge->next_purge);
    if (next == UINT64_MAX || (!force && now < next)) return false;
    return give_due(force, now);
}

bool huge_give_one(uint64_t now) {
    struct huge_state *huge = ro.huge;
    struct huge_entry given, *oldest = NULL;
    if (atomic_load_unseen(&ro.usage->cached) == 0 || !locks_try(LOCK_HUGE_CACHE)) return false;
    for (uint32_t i = 0; i < huge->entries; i++)
        if (oldest == NULL || huge->cache[i].purge_at < oldest->purge_at) oldest = &huge->cache[i];
    bool any = oldest != NULL;
    if (any) given = take_to_give(huge, oldest, now);
    update_next_purge(huge, now);
    locks_release(LOCK_HUGE_CACHE);
    if (any) give_uncounted(&given);
    return any;
}

MOAT_INLINE bool open_new(uint32_t index, struct guarded *guarded) {
    if (!guard_open(segment_address(index), 0, guarded)) return false;
    count_bytes(guarded->bytes, 0);
    return true;
}

/* Replaces the memory of a cached run by such as was never touched; false: it was given back. */
MOAT_COLD static bool renew(struct huge_entry *entry) {
    uintptr_t start = segment_address(entry->index);
    struct guarded old = entry->guarded;
    entry->watched = 0;
    count_bytes(0, guard_reach(&old));
    if (!guard_close(start, &old)) {
        region_owe(entry->index, old.run);
        return false;
    }
    /* a mapping like others */
    entry->guarded = (struct guarded){old.bytes, old.run, GUARD_NONE, false, 0};
    if (open_new(entry->index, &entry->guarded)) return true;
    region_give(entry->index, old.run);
    return false;
}

/* The memory of a cached run can be used again; false: it was given back. */
static bool reopen(struct huge_entry *entry) {
    if (guard_open_front(segment_address(entry->index), entry->front)) return true;
    give_run(entry);
    return false;
}

/* Segments that a resized run has no more are inaccessible: others may have them. */
static void give_surplus(uint32_t index, uint32_t old_run, uint32_t run) {
    if (run < old_run) region_give(index + run, old_run - run);
}

/* A cached run had memory up to `reach`, and has it now to where the block, or its rest, ends. */
static void note_fit(size_t reach, const struct guarded *fitted, uint64_t now) {
    struct keeping *keeping = &ro.huge->keeping;
    size_t new_reach = guard_reach(fitted);
    locks_acquire(LOCK_HUGE_CACHE);
    if (new_reach < reach)
        keeping_gave(keeping, units_of(reach - new_reach), now);
    else if (new_reach > reach)
        keeping_missed(keeping, units_of(new_reach - reach), now);
    else
        keeping_served(keeping, now);
    locks_release(LOCK_HUGE_CACHE);
}

/* Makes a cached run `bytes` long; false: it was given back. A program whose blocks are now longer,
   now shorter would meet page faults for all that the longer ones have more: it wants `again` what
   went back, and shorter ones leave it where it is, unless too much lies idle. */
MOAT_NOINLINE static bool fit_cached(struct huge_entry *entry, size_t bytes, bool again,
                                     uint64_t now) {
    struct guarded old = entry->guarded;
    uintptr_t start = segment_address(entry->index);
    size_t reach = guard_reach(&old);
    bool narrower = bytes <= old.bytes && again && !usage_has_surplus(now) &&
                    guard_narrow(start, &entry->guarded, bytes);
    if (!narrower && !guard_resize(start, &entry->guarded, bytes, huge_run_for(&old, bytes))) {
        give_run(entry);
        return false;
    }
    count_bytes(guard_reach(&entry->guarded), reach);
    give_surplus(entry->index, old.run, entry->guarded.run);
    note_fit(reach, &entry->guarded, now);
    if (bytes < entry->watched) entry->watched = 0;
    if (again && bytes >= reach + HUGE_PAGE)
        huge_ask_for_pages(entry->index, &entry->guarded, bytes - reach, now);
    return true;
}

/* The run becomes a live block. */
static void *make_live(uint32_t index, struct guarded guarded, size_t watched) {
    struct segment *segment = segment_at(index);
    uintptr_t start = segment_address(index);
    set_guarded(segment, guarded);
    segment->watched = watched;
    /* pairs with the fetch_and of huge_free */
    if (HARDENED_MAP) atomic_or_acq_rel(&map_word_of(start)->live, map_bit_of(start));
    /* pairs with the load of free */
    atomic_store_release(&segment->owner, huge_word(OWNER_HUGE, ++segment->generation));
    return (void *)start;
}

/* A run was not to be had from the cache: whether what went back is wanted again. */
static bool note_missed(size_t bytes, uint64_t now) {
    struct huge_state *huge = ro.huge;
    locks_acquire(LOCK_HUGE_CACHE);
    keeping_missed(&huge->keeping, units_of(bytes), now);
    bool is_on = keeping_is_on(&huge->keeping, now);
    locks_release(LOCK_HUGE_CACHE);
    return is_on;
}

/* Zero pages come cheaper from the kernel than from a fill; a new mapping, because the program may
   have laid another over the block. */
MOAT_INLINE void *alloc_from_cache(uint32_t run, size_t bytes, bool zero, uint64_t now) {
    struct huge_entry cached;
    bool may_go_back;
    if (!cache_take(run, bytes, now, &cached, &may_go_back)) return NULL;
    if (!(zero ? renew(&cached) : reopen(&cached))) return NULL;
    bool again = may_go_back && !zero;
    if (again) huge_look_at_use(&cached, bytes, now);
    bool fits = cached.guarded.bytes == bytes && cached.guarded.rest == 0;
    if (!fits && !fit_cached(&cached, bytes, again, now)) return NULL;
    return make_live(cached.index, cached.guarded, cached.watched);
}

/* Where there are no mappings for one in a hole. */
MOAT_COLD static bool take_another(uint32_t run, uint32_t *index, struct guarded *new) {
    uint32_t from = 0;
    for (unsigned tries = 0; tries < REGION_TRIES_BELOW && mappings_are_short(); tries++) {
        if (!region_take_below(run, from, index)) return false;
        region_expect_no_claims(*index, MAP_WORD_SPAN);
        if (open_new(*index, new)) return true;
        region_give(*index, run);
        from = *index + 1;
    }
    return false;
}

/* What the cache holds may be just what is missing. */
MOAT_INLINE bool take_fresh(uint32_t run, size_t bytes, size_t alignment, uint32_t *index,
                            struct guarded *new) {
    uint32_t align = alignment > SEGMENT_SIZE ? (uint32_t)(alignment >> SEGMENT_SHIFT) : 1;
    if (!region_take(run, align, index) && !(huge_purge(true, 0) && region_take(run, align, index)))
        return false;
    region_expect_no_claims(*index, MAP_WORD_SPAN);
    *new = (struct guarded){bytes, run, GUARD_NONE, false, 0};
    if (open_new(*index, new) || (huge_purge(true, 0) && open_new(*index, new))) return true;
    region_give(*index, run);
    return align == 1 && take_another(run, index, new);
}

/* *taken: bytes of memory that was not at hand, where too much lies idle, which is to be made up
   for when the thread is no more inside. */
MOAT_INLINE void *alloc_inside(size_t size, size_t alignment, bool zero, size_t *taken) {
    THREAD_INSIDE();
    size_t bytes = huge_round(size);
    if (is_out_of_question(bytes, bytes)) return NULL;
    uint32_t run = huge_run_length(bytes);
    void *block = NULL;
    uint64_t now = os_milliseconds();
    if (atomic_load_relaxed(&ro.huge->next_purge) != UINT64_MAX) {
        huge_purge(false, now);
        if (alignment <= SEGMENT_SIZE) block = alloc_from_cache(run, bytes, zero, now);
    }
    if (block != NULL) return block;
    bool is_on = note_missed(bytes, now);
    struct guarded new;
    uint32_t index;
    if (!take_fresh(run, bytes, alignment, &index, &new)) return NULL;
    if (is_on && !zero) huge_ask_for_pages(index, &new, bytes, now);
    if (usage_has_surplus(now)) *taken = bytes;
    return make_live(index, new, 0);
}

void *huge_alloc(size_t size, size_t alignment, bool zero) {
    size_t taken = 0;
    void *block = alloc_inside(size, alignment, zero, &taken);
    if (MOAT_UNLIKELY(taken != 0)) heap_make_up(taken);
    return block;
}

void *huge_alloc_exact(size_t bytes, size_t alignment,
                       void (*prepare)(uintptr_t run, const void *context), const void *context) {
    THREAD_INSIDE();
    struct guarded new;
    uint32_t index;
    if (is_out_of_question(bytes, bytes)) return NULL;
    if (!take_fresh(huge_run_length(bytes), bytes, alignment, &index, &new)) return NULL;
    prepare(segment_address(index), context);
    return make_live(index, new, 0);
}

/* Wins the right to free or resize: the CAS on the word the kind was read from. */
MOAT_INLINE bool huge_begin(struct segment *segment, uint64_t word, uint64_t what) {
    uint64_t expected = word;
    uintptr_t start = segment_start(segment);
    uint64_t freeing = huge_word(OWNER_FREEING, huge_generation_of(word)) | what;
    /* pairs with make_live, and with the stores that end a resize */
    if (!atomic_cas_acq_rel(&segment->owner, &expected, freeing)) return false;
    if (HARDENED_MAP)
        MOAT_CHECK(atomic_load_relaxed(&map_word_of(start)->live) & map_bit_of(start),
                   "huge block without its live bit", start);
    return true;
}

enum huge_result huge_free(struct segment *segment, uint64_t word) {
    THREAD_INSIDE();
    if (!huge_begin(segment, word, 0)) return HUGE_LOST;
    uintptr_t start = segment_start(segment);
    struct huge_entry entry = {segment_index(segment), huge_guarded_of(segment), segment->watched,
                               0, GUARD_NONE};
    /* pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, huge_generation_of(word)));
    uint64_t now = os_milliseconds();
    entry.purge_at = now + ro.options.purge_delay_ms;
    if (!cache_put(entry, now)) give_run(&entry);
    huge_purge(false, now);
    return HUGE_OK;
}

/* --- Strict level ---------------------------------------------------------------------------- */

/* Milliseconds that the addresses of a freed block stay inaccessible. */
#define CLOSED_TIME 1000u

/* Puts a closed run among those that wait, in the place of one drawn by chance; that one is last
   now, or, if there is no room, `entry`: true. So who takes the last one takes any of the others
   with the same chance, and not the one that has just come. */
static bool keep_closed(struct huge_entry *entry, uint64_t chance) {
    struct huge_state *huge = ro.huge;
    struct huge_entry come = *entry;
    locks_acquire(LOCK_HUGE_CACHE);
    uint32_t others = huge->entries;
    bool full = others == HUGE_WAITING_MAX;
    struct huge_entry *last = full ? entry : &huge->cache[huge->entries++];
    struct huge_entry *place = &huge->cache[others != 0 ? chance % others : 0];
    *last = *place;
    *place = come;
    huge->covered += come.guarded.means == GUARD_COVERED;
    if (full) huge->covered -= last->guarded.means == GUARD_COVERED;
    if (come.purge_at < huge->next_purge) atomic_store_relaxed(&huge->next_purge, come.purge_at);
    locks_release(LOCK_HUGE_CACHE);
    return full;
}

/* Takes the last covered one, if enough of them wait. */
static bool take_covered(struct huge_entry *taken) {
    struct huge_state *huge = ro.huge;
    uint32_t least = ro.options.quarantine == 0 ? 0 : HUGE_WAITING_LEAST;
    locks_acquire(LOCK_HUGE_CACHE);
    struct huge_entry *entry = &huge->cache[huge->entries];
    bool any = huge->covered > least;
    if (any) {
        do entry--;
        while (entry->guarded.means != GUARD_COVERED);
        *taken = take_entry(huge, entry);
        huge->covered--;
    }
    locks_release(LOCK_HUGE_CACHE);
    return any;
}

void *huge_alloc_again(size_t bytes, size_t alignment,
                       void (*prepare)(uintptr_t run, const void *context), const void *context) {
    THREAD_INSIDE();
    struct huge_entry entry;
    if (alignment > SEGMENT_SIZE || !guard_may_cover(bytes) || !take_covered(&entry)) return NULL;
    uintptr_t run = segment_address(entry.index);
    if (!guard_uncover(run, bytes, &entry.guarded)) {
        close_run(entry.index, &entry.guarded);
        return NULL;
    }
    count_bytes(bytes, 0);
    prepare(run, context);
    return make_live(entry.index, entry.guarded, 0);
}

bool huge_claim(struct segment *segment, uint64_t word) { return huge_begin(segment, word, 0); }

/* Without a quarantine those alone that the next block may be had from. */
static bool may_wait(const struct huge_entry *entry) {
    return ro.options.quarantine != 0 || entry->guarded.means == GUARD_COVERED;
}

/* By markers if that can be; else as what belongs to nobody is. */
static bool close_whole(uintptr_t start, struct guarded *guarded) {
    if (guard_cover(start, guarded)) return true;
    bool closed = guard_close(start, guarded);
    *guarded = (struct guarded){0, guarded->run, GUARD_NONE, false, 0};
    return closed;
}

void huge_close(struct segment *segment, uint64_t word, uint64_t chance) {
    uintptr_t start = segment_start(segment);
    uint64_t now = os_milliseconds();
    struct huge_entry entry = {segment_index(segment), huge_guarded_of(segment), 0,
                               now + CLOSED_TIME, GUARD_NONE};
    /* pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, huge_generation_of(word)));
    count_bytes(0, entry.guarded.bytes);
    if (!close_whole(start, &entry.guarded))
        region_owe(entry.index, entry.guarded.run);
    else if (!may_wait(&entry) || keep_closed(&entry, chance))
        give_run(&entry);
    huge_purge(false, now);
}

/* --- Resizing -------------------------------------------------------------------------------- */

/* Something else may lie in the first `bytes` of the run by now: nobody may have its segments. */
static void leave_run(uint32_t index, const struct guarded *guarded, size_t bytes) {
    uintptr_t start = segment_address(index);
    guard_leave(start, guarded, bytes);
    region_bar(index, guarded->run);
}

/* A longer run with the old one's pages in it: no copy. False: nothing changed. The last page that
   is moved over is open before, as a move needs it. */
static bool move_pages(struct segment *segment, struct guarded *new, uint32_t *index) {
    size_t old_bytes = segment->committed;
    if (!region_take(new->run, 1, index)) return false;
    region_expect_no_claims(*index, MAP_WORD_SPAN);
    uintptr_t from = segment_start(segment), to = segment_address(*index);
    if (guard_open(to, old_bytes - ro.os_page, new)) {
        /* pairs with undo_move, in a forked child */
        atomic_store_release(&segment->moving_to, *index);
        enum os_move move = os_move_pages((void *)from, (void *)to, old_bytes);
        if (move != OS_MOVE_LOST) region_advise(move == OS_MOVED ? from : to, old_bytes);
        if (move == OS_MOVED) return true;
        atomic_store_relaxed(&segment->moving_to, 0u);
        if (move == OS_MOVE_LOST) {
            leave_run(*index, new, old_bytes);
            return false;
        }
        close_run(*index, new);
        return false;
    }
    region_give(*index, new->run);
    return false;
}

/* Moved pages stay a mapping of their own. A forked child brings them back if the old block does
   not say yet that it is freed, so the new one is complete before that. */
static enum huge_result huge_move(struct segment *segment, uint64_t word, size_t bytes,
                                  void **block) {
    struct guarded new = {bytes, huge_run_length(bytes), GUARD_NONE, false, 0},
                   old = huge_guarded_of(segment);
    uint32_t index;
    if (!guard_take_split()) return HUGE_NO_MEMORY;
    if (!move_pages(segment, &new, &index)) {
        guard_give_split();
        return HUGE_NO_MEMORY;
    }
    new.apart = true;
    count_bytes(bytes, guard_reach(&old));
    uintptr_t start = segment_start(segment);
    if (ro_is_strict()) request_copy_run(start, segment_address(index));
    *block = make_live(index, new, 0);
    /* pairs with make_live */
    if (HARDENED_MAP) atomic_and_acq_rel(&map_word_of(start)->live, ~map_bit_of(start));
    atomic_store_release(&segment->owner, huge_word(OWNER_FREED, huge_generation_of(word)));
    atomic_store_release(&segment->moving_to, 0u); /* after that; pairs with undo_move */
    close_run(segment_index(segment), &old);
    return HUGE_OK;
}

/* In place: within the run, or with free segments behind it. */
static bool resize_in_place(struct segment *segment, size_t bytes) {
    struct guarded old = huge_guarded_of(segment), new = old;
    uint32_t index = segment_index(segment), run = huge_run_for(&old, bytes);
    if (bytes == old.bytes) return true;
    bool longer = run > old.run;
    if (longer && (FAILPOINT(RUN_HEMMED_IN) || !region_extend(index, old.run, run - old.run)))
        return false;
    if (!guard_resize(segment_start(segment), &new, bytes, run)) {
        if (longer && new.run == run)
            region_owe(index + old.run, run - old.run);
        else if (longer)
            region_give(index + old.run, run - old.run);
        return false;
    }
    count_bytes(guard_reach(&new), guard_reach(&old));
    set_guarded(segment, new);
    if (bytes < segment->watched) segment->watched = 0; /* marks went with what they were in */
    give_surplus(index, old.run, run);
    return true;
}

MOAT_INLINE enum huge_result resize_inside(struct segment *segment, uint64_t word, size_t bytes,
                                           void **block, size_t *more) {
    THREAD_INSIDE();
    size_t old = atomic_load_relaxed(&segment->committed);
    *more = bytes > old ? bytes - old : 0;
    if (is_out_of_question(bytes, *more)) return HUGE_NO_MEMORY;
    if (!huge_begin(segment, word, OWNER_RESIZING)) return HUGE_LOST;
    enum huge_result result = resize_in_place(segment, bytes) ? HUGE_OK : HUGE_NO_MEMORY;
    if (result != HUGE_OK && huge_run_length(bytes) > segment->run)
        result = huge_move(segment, word, bytes, block);
    /* after a move it says FREED already; pairs with the load of free */
    if (*block == (void *)segment_start(segment)) atomic_store_release(&segment->owner, word);
    return result;
}

enum huge_result huge_resize(struct segment *segment, uint64_t word, size_t bytes, void **block) {
    size_t more;
    enum huge_result result = resize_inside(segment, word, bytes, block, &more);
    if (result == HUGE_OK && more != 0 && usage_has_surplus(os_milliseconds())) heap_make_up(more);
    return result;
}

MOAT_COLD void *huge_resize_to_class(void *block, size_t new_size) {
    struct segment *segment = segment_of((uintptr_t)block);
    uint64_t word = atomic_load_relaxed(&segment->owner);
    if (owner_kind(word) != OWNER_HUGE || new_size > LARGE_MAX || !huge_may_hold(new_size))
        return NULL;
    size_t bytes = huge_round(size_class_bytes(size_class_of(new_size)));
    return huge_resize(segment, word, bytes, &block) == HUGE_OK ? block : NULL;
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
        case OWNER_ZERO_SIZE:
        case OWNER_SAMPLES: return freed;
        }
    }
    return freed;
}
