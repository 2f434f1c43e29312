/*
 * guard: accessible runs and what lies behind them (see guard.h).
 *
 * No lock: a run belongs to whoever opens it. The words about the kernel and the counts are atomic
 * and relaxed; two threads that find out the same at once both write the same.
 */
#include "meta/guard.h"
#include "meta/mappings.h"
#include "os/os.h"
#include "os/os_seam.h"

/* Of the mappings that a process may have, a split run takes two; half of them are for others. */
#define SPLIT_SHARE 4u

/* Beyond one of so many, what need not be split is not: each thread's stack takes two, too. */
#define SPLITS_FEW_SHARE 64u

static uintptr_t end_of(uintptr_t start, const struct guarded *guarded) {
    return start + ((uintptr_t)guarded->run << SEGMENT_SHIFT);
}

static bool may_use_markers(void);

/* Where there are markers few mappings are taken apart, and all runs merge. A process with one such
   run has hardly begun, or has none left of those it had. */
static bool mappings_may_be_short(void) {
    bool few = atomic_load_relaxed(&ro.region->splits) <= 1 && !mappings_are_short();
    return !may_use_markers() && !few;
}

MOAT_NOINLINE static bool take_after_a_look(void) {
    size_t most = ro.mappings_max / SPLIT_SHARE;
    bool matter = mappings_may_be_short();
    guard_give_split();
    if (FAILPOINT(MAPPINGS_USED_UP) || (matter && !mappings_are_left())) return false;
    if (atomic_add_relaxed(&ro.region->splits, 1) < most) return true;
    guard_give_split();
    return false;
}

/* Without a look as long as some mappings are put by. */
MOAT_INLINE bool take_split(void) {
    struct region *region = ro.region;
    bool at_hand = !IN_HARNESS && atomic_load_relaxed(&region->put_by) != 0;
    size_t most = at_hand ? ro.mappings_max / SPLIT_SHARE : 0;
    return MOAT_LIKELY(atomic_add_relaxed(&region->splits, 1) < most) || take_after_a_look();
}

bool guard_take_split(void) { return take_split(); }

void guard_give_split(void) { atomic_add_relaxed(&ro.region->splits, (size_t)-1); }

static void count_missing(void) { atomic_add_relaxed(&ro.region->guards_missing, 1); }

/* --- Markers --------------------------------------------------------------------------------- */

/* A debugger that writes a core file gives a mapping up at the first page that it cannot read: with
   the heap in such a file no marker may be. */
static bool may_use_markers(void) {
    return ro.options.guards == GUARDS_AUTO && ro.options.dump != DUMP_HEAP &&
           !atomic_load_relaxed(&ro.region->memory_is_locked) &&
           atomic_load_relaxed(&ro.region->markers) != MARKERS_REFUSED;
}

/* The first marker of all is proved: an emulator may take the advice and do nothing. A refusal
   later has its reason in the one mapping (locked memory), and one while there may be locked memory
   proves nothing. */
static bool install_in(uintptr_t start, size_t size) {
    struct region *region = ro.region;
    bool known = atomic_load_relaxed(&region->markers) == MARKERS_PROVED;
    bool installed = os_guard_install((void *)start, size);
    bool works = installed && (known || !os_can_read((const uint64_t *)start));
    if (!known && (works || !atomic_load_relaxed(&region->memory_was_locked)))
        atomic_store_relaxed(&region->markers, works ? MARKERS_PROVED : MARKERS_REFUSED);
    /* it may be there all the same, where the proof is played (under valgrind) */
    if (installed && !works) (void)os_guard_remove((void *)start, size);
    return works;
}

static bool install(uintptr_t page) {
    return !FAILPOINT(MARKER_REFUSED) && install_in(page, ro.os_page);
}

/* At the strict level a run that is new, or has another length, has this much of it inaccessible
   behind what is usable, for jumps over a single OS page; it costs no more than the one does. */
#define WIDE_GUARD (256 * KIB)

/* In the OS page behind what is usable, and in the last of the run, unless one is there. */
static bool install_markers(uintptr_t start, const struct guarded *guarded, bool has_last) {
    uintptr_t behind = start + guarded->bytes, last = end_of(start, guarded) - ro.os_page;
    size_t size = ro.os_page;
    if (ro_is_strict() && !has_last)
        size = last - behind < WIDE_GUARD ? last - behind + ro.os_page : WIDE_GUARD;
    if (FAILPOINT(MARKER_REFUSED) || !install_in(behind, size)) return false;
    return has_last || behind + size > last || install(last);
}

/* Memory that could not be opened with a guard: without, if it merges with its neighbours. At a
   limit on what is charged mappings are not what is missing. */
static bool open_without(uintptr_t start, size_t size, bool refused) {
    bool opened = region_commit(start, size);
    bool gave_up = !opened && !guard_charge_matters() && mappings_give_up();
    if (gave_up) opened = region_commit(start, size);
    if (opened ? refused : gave_up) mappings_run_short();
    return opened;
}

/* All of the run is accessible: guards behind its usable part, by whatever means there are. */
static void guard_tail(uintptr_t start, struct guarded *guarded, bool markers, bool has_last) {
    guarded->means = GUARD_NONE;
    if (ro.options.guards == GUARDS_OFF) return;
    if (markers && install_markers(start, guarded, has_last)) {
        guarded->means = GUARD_MARKER;
        return;
    }
    uintptr_t behind = start + guarded->bytes;
    if (!mappings_are_short() && guard_take_split()) {
        if (region_decommit(behind, end_of(start, guarded) - behind)) {
            guarded->means = GUARD_SPLIT;
            return;
        }
        guard_give_split();
    }
    count_missing();
}

bool guard_mark(uintptr_t page) {
    if (!may_use_markers()) return false;
    if (install(page)) return true;
    if (atomic_load_relaxed(&ro.region->markers) == MARKERS_PROVED) count_missing();
    return false;
}

bool guard_unmark(uintptr_t start, size_t size) { return os_guard_remove((void *)start, size); }

/* --- Places of samples ------------------------------------------------------------------------ */

enum guard_means guard_place(uintptr_t start) {
    if (!may_use_markers() || guard_charge_matters()) return GUARD_SPLIT;
    if (!region_commit(start, SEGMENT_SIZE)) return GUARD_SPLIT;
    if (install_in(start, SEGMENT_SIZE)) return GUARD_MARKER;
    return region_decommit(start, SEGMENT_SIZE) ? GUARD_SPLIT : GUARD_NONE;
}

bool guard_reveal(uintptr_t start, size_t size, enum guard_means means) {
    return means == GUARD_MARKER ? os_guard_remove((void *)start, size)
                                 : region_commit(start, size);
}

bool guard_hide(uintptr_t start, size_t size, uint8_t *means) {
    bool marked = *means == GUARD_MARKER && may_use_markers();
    if (marked && os_guard_install((void *)start, size)) return true;
    if (region_decommit(start, size)) {
        *means = GUARD_SPLIT;
        return true;
    }
    (void)os_purge((void *)start, size);
    return false;
}

/* --- Runs ------------------------------------------------------------------------------------ */

/* What is kept of a limit, or what the kernel says of it. */
MOAT_INLINE bool is_set(bool *kept, size_t (*limit)(void)) {
    if (MOAT_UNLIKELY(atomic_load_unseen(&ro.region->limits_kept))) return atomic_load_unseen(kept);
    return limit() != SIZE_MAX;
}

static bool is_charged(void) {
    return ro.overcommit == OVERCOMMIT_NEVER || is_set(&ro.region->data_limited, os_data_limit);
}

size_t guard_data_limit(void) {
    return atomic_load_unseen(&ro.region->limits_kept) ? SIZE_MAX : os_data_limit();
}

bool guard_charge_matters(void) { return is_charged() || guard_lock_is_counted(); }

bool guard_space_is_limited(void) {
    return is_set(&ro.region->space_limited, os_address_space_limit);
}

void guard_keep_limits(void) {
    struct region *region = ro.region;
    if (atomic_load_unseen(&region->limits_kept)) return;
    atomic_store_unseen(&region->data_limited, os_data_limit() != SIZE_MAX);
    atomic_store_unseen(&region->space_limited, os_address_space_limit() != SIZE_MAX);
    atomic_store_unseen(&region->limits_kept, true);
}

void guard_ask_for_limits(void) { atomic_store_unseen(&ro.region->limits_kept, false); }

/* Linux 6.13 */
#define KERNEL_OF_MARKERS 0x060d00u

bool guard_splits_matter(void) {
    return os_facts.kernel < KERNEL_OF_MARKERS || ro.options.guards != GUARDS_AUTO ||
           ro.options.dump == DUMP_HEAP || os_facts.no_advice || ro.overcommit == OVERCOMMIT_NEVER;
}

static bool splits_are_few(void) {
    return atomic_load_relaxed(&ro.region->splits) < ro.mappings_max / SPLITS_FEW_SHARE;
}

bool guard_may_take_runs(void) { return splits_are_few() && !guard_space_is_limited(); }

bool guard_may_open_parts(void) {
    bool merge_as_a_whole = ro.options.guards == GUARDS_OFF || may_use_markers();
    return splits_are_few() || !merge_as_a_whole ||
           guard_charge_matters(); /* asks the kernel: last */
}

/* A segment's tail is its guard alone. */
static bool has_long_tail(const struct guarded *guarded) {
    return ((size_t)guarded->run << SEGMENT_SHIFT) - guarded->bytes > ro.os_page;
}

/* All of it, for markers; or if there are to be no guards. Memory that may be marked is not locked
   ever. The limits are asked for last, which is a system call. */
MOAT_INLINE bool open_whole(uintptr_t start, size_t size, const struct guarded *guarded, bool off) {
    if (!off && !may_use_markers()) return false;
    if (has_long_tail(guarded) && is_charged()) return false;
    return off ? region_commit(start, size) : os_commit((void *)start, size);
}

/* Not with a guard that is a split; `refused`: the kernel would not have it. */
MOAT_NOINLINE static bool open_otherwise(uintptr_t start, size_t from, struct guarded *guarded,
                                         bool refused) {
    size_t rest = ((size_t)guarded->run << SEGMENT_SHIFT) - from;
    if (!open_without(start + from, rest, refused)) return false;
    guard_tail(start, guarded, may_use_markers(), false);
    return true;
}

bool guard_open(uintptr_t start, size_t from, struct guarded *guarded) {
    uintptr_t first = start + from;
    size_t rest = ((size_t)guarded->run << SEGMENT_SHIFT) - from;
    bool off = ro.options.guards == GUARDS_OFF;
    if (open_whole(first, rest, guarded, off)) {
        guard_tail(start, guarded, !off, false);
        return true;
    }
    if (!take_split()) return open_otherwise(start, from, guarded, false);
    guarded->means = GUARD_SPLIT;
    if (MOAT_LIKELY(region_commit(first, guarded->bytes - from))) return true;
    guard_give_split();
    return open_otherwise(start, from, guarded, true);
}

bool guard_open_part(uintptr_t start, size_t from, size_t to) {
    return region_commit(start + from, to - from);
}

/* Inaccessible memory behind an open run becomes accessible with it. */
static bool add_segments(uintptr_t end, size_t size) {
    return size == 0 || region_commit(end, size);
}

static bool grow_open(uintptr_t start, struct guarded *old, const struct guarded *new) {
    uintptr_t old_end = end_of(start, old), usable_end = start + new->bytes;
    size_t more = end_of(start, new) - old_end;
    if (!add_segments(old_end, more)) return false;
    bool proved = atomic_load_relaxed(&ro.region->markers) == MARKERS_PROVED;
    if (old->means == GUARD_NONE && !proved) return true;
    /* what is usable now, or was once, has no marker left inside */
    uintptr_t behind = start + old->bytes, to = usable_end < old_end ? usable_end : old_end;
    if (os_guard_remove((void *)behind, to - behind)) return true;
    if (more != 0 && !region_decommit(old_end, more)) old->run = new->run;
    return false;
}

/* Locked memory stays, with what is in it; at the strict level what a block grows by is zero. */
static void empty(uintptr_t from, uintptr_t to) {
    if (os_purge((void *)from, to - from) || !ro_is_strict()) return;
    if (!IN_HARNESS || !os_seam.clear((void *)from, to - from))
        __builtin_memset((void *)from, 0, to - from);
}

static bool shrink_open(uintptr_t start, const struct guarded *old, const struct guarded *new) {
    uintptr_t end = end_of(start, new), old_end = end_of(start, old);
    if (end < old_end && !region_decommit(end, old_end - end)) return false;
    uintptr_t reach = start + guard_reach(old), usable_end = reach < end ? reach : end;
    if (start + new->bytes < usable_end) empty(start + new->bytes, usable_end);
    return true;
}

static bool has_markers(uint8_t means) { return means == GUARD_MARKER || means == GUARD_COVERED; }

/* Of an open run. */
MOAT_INLINE void set_rest(struct guarded *guarded, uint16_t rest) {
    if (rest != guarded->rest)
        atomic_add_relaxed(&ro.region->rests, (size_t)rest - (size_t)guarded->rest);
    guarded->rest = rest;
}

/* Less is usable by then; what was behind it is closed already. */
static bool close_behind(uintptr_t start, const struct guarded *guarded, size_t bytes) {
    if (bytes == guarded->bytes || ro.options.guards == GUARDS_OFF) return true;
    uintptr_t behind = start + bytes;
    if (guarded->means == GUARD_MARKER) return may_use_markers() && install(behind);
    return guarded->means == GUARD_SPLIT && os_protect_none((void *)behind, guarded->bytes - bytes);
}

bool guard_narrow(uintptr_t start, struct guarded *guarded, size_t bytes) {
    size_t *rests = &ro.region->rests, rest = (guard_reach(guarded) - bytes) / ro.os_page;
    size_t more = rest - guarded->rest;
    bool fits = (atomic_add_relaxed(rests, more) + more) * ro.os_page <= GUARD_REST_MAX;
    if (fits && rest <= UINT16_MAX && !atomic_load_relaxed(&ro.region->memory_is_locked) &&
        !guard_charge_matters() && !guard_space_is_limited() &&
        close_behind(start, guarded, bytes)) {
        guarded->bytes = bytes;
        guarded->rest = (uint16_t)rest;
        return true;
    }
    atomic_add_relaxed(rests, (size_t)0 - more);
    return false;
}

/* The rest is a mapping of its own: it may have become accessible before what lies behind it was
   refused. */
static void close_again(uintptr_t from, uintptr_t to) {
    if (from < to && !os_protect_none((void *)from, to - from)) count_missing();
}

bool guard_resize(uintptr_t start, struct guarded *guarded, size_t bytes, uint32_t run) {
    struct guarded new = {bytes, run, guarded->means, guarded->apart, guarded->rest};
    uint8_t old_means = guarded->means;
    bool grows = bytes > guarded->bytes;
    size_t reach = guard_reach(guarded), rest = grows && reach > bytes ? reach - bytes : 0;
    if (bytes == guarded->bytes && run == guarded->run && guarded->rest == 0) return true;
    if (guarded->means == GUARD_SPLIT) {
        uintptr_t old_end = start + guarded->bytes, new_end = start + bytes;
        if (grows && !region_commit(old_end, new_end - old_end)) {
            close_again(old_end, reach < bytes ? start + reach : new_end);
            return false;
        }
        if (!grows && !region_decommit(new_end, start + reach - new_end)) return false;
    } else {
        bool ok = grows ? grow_open(start, guarded, &new) : shrink_open(start, guarded, &new);
        if (!ok) return false;
        guard_tail(start, &new, may_use_markers(), has_markers(old_means) && run == guarded->run);
        if (new.means == GUARD_SPLIT) rest = 0; /* the guard is all that is behind it */
    }
    set_rest(&new, (uint16_t)(rest / ro.os_page));
    *guarded = new;
    return true;
}

void guard_reopen(uintptr_t start, size_t bytes, uint32_t run) {
    size_t size = (size_t)run << SEGMENT_SHIFT;
    (void)os_commit((void *)start, bytes);
    if (may_use_markers()) (void)os_guard_remove((void *)start, bytes);
    (void)region_decommit(start + bytes, size - bytes);
}

/* Where each byte is charged, address space that nobody uses is none to keep. */
bool guard_may_cover(size_t bytes) {
    return bytes <= GUARD_COVERED_MAX && may_use_markers() && ro.overcommit != OVERCOMMIT_NEVER;
}

bool guard_cover(uintptr_t start, struct guarded *guarded) {
    bool again = guarded->means == GUARD_COVERED;
    if (!has_markers(guarded->means) || guarded->apart || !guard_may_cover(guarded->bytes))
        return false;
    size_t size = again ? guarded->bytes : GUARD_COVERED_MAX + ro.os_page;
    if (!os_guard_install((void *)start, size)) return false;
    guarded->bytes = 0;
    guarded->means = GUARD_COVERED;
    return true;
}

bool guard_uncover(uintptr_t start, size_t bytes, struct guarded *guarded) {
    guarded->bytes = bytes;
    return os_guard_remove((void *)start, bytes);
}

uint8_t guard_close_front(uintptr_t start) {
    if (ro.options.guards == GUARDS_OFF) return GUARD_NONE;
    if (may_use_markers() && install(start)) return GUARD_MARKER;
    if (os_protect_none((void *)start, ro.os_page)) return GUARD_SPLIT;
    count_missing();
    return GUARD_NONE;
}

bool guard_open_front(uintptr_t start, uint8_t means) {
    if (means == GUARD_MARKER) return os_guard_remove((void *)start, ro.os_page);
    return means == GUARD_NONE || os_commit((void *)start, ro.os_page);
}

static void give_counts(const struct guarded *guarded) {
    (void)guard_count_rest(guarded, false);
    if (guarded->means == GUARD_SPLIT) guard_give_split();
    if (guarded->apart) guard_give_split();
}

void guard_leave(uintptr_t start, const struct guarded *guarded, size_t bytes) {
    give_counts(guarded);
    (void)region_decommit(start + bytes, end_of(start, guarded) - start - bytes);
}

/* Where lock follows use, a new mapping in place of what is inaccessible would count first. */
bool guard_close(uintptr_t start, const struct guarded *guarded) {
    size_t size = (size_t)guarded->run << SEGMENT_SHIFT;
    if (guarded->means == GUARD_SPLIT && guard_lock_is_counted()) size = guard_reach(guarded);
    give_counts(guarded);
    if (region_decommit(start, size)) return true;
    (void)os_purge((void *)start, guard_reach(guarded));
    return false;
}
