/*
 * guard: which memory of a run of segments can be touched.
 *
 * A run's first `bytes` are for its user; behind them, and at the run's end, inaccessible memory
 * keeps an overflow from what follows. Where the kernel has guard markers all of the run becomes
 * accessible but for two OS pages with a marker: neighbours stay one mapping, and a hundred
 * thousand huge blocks are a few. Elsewhere, and where the charge for what nobody uses matters,
 * only the user's part becomes accessible, which costs two mappings: these are counted, and past a
 * quarter of what a process may have guards are left out rather than memory refused.
 *
 * Inside a run, between the pages of a segment, there are guards by markers alone.
 */
#ifndef MOAT_GUARD_H
#define MOAT_GUARD_H

#include "meta/region.h"

/* What keeps the memory behind a run's usable part from being touched. */
enum guard_means {
    GUARD_NONE, /* nothing: by option; or it could not be had, and counts as missing */
    GUARD_MARKER,
    GUARD_SPLIT,
    GUARD_COVERED /* markers, in all that a covered run can have and nobody uses */
};

/* Part of an accessible run. */
struct guarded {
    size_t bytes;  /* usable, a multiple of the OS page; the run has one more at least */
    uint32_t run;  /* segments */
    uint8_t means; /* enum guard_means */
    bool apart;    /* its pages were moved here: they are a mapping of their own, and a split */
    uint16_t rest; /* OS pages behind `bytes`, inaccessible from there on, with what was in them */
};

/* Where the memory of an open run ends. */
MOAT_INLINE size_t guard_reach(const struct guarded *guarded) {
    return guarded->bytes + guarded->rest * ro.os_page;
}

/* All rests of live blocks' runs together, bytes: few, because none goes back before its run does.
   Those of runs that wait to be used again are no rests: they are cached, as the runs are. */
#define GUARD_REST_MAX (8 * MIB)

/* Makes the run at `start` usable, but for its first `from` bytes, which are so already, and sets
   its means. False: nothing changed. */
bool guard_open(uintptr_t start, size_t from, struct guarded *guarded);
/* An open run gets another usable part and length. What it has more must be inaccessible
   address space of its own, what it has less becomes so. False: nothing changed; only if what it
   was to have more is open, and could not be closed again, is `run` the new length. */
bool guard_resize(uintptr_t start, struct guarded *guarded, size_t bytes, uint32_t run);
/* An open run gets a smaller usable part, or keeps it; what it has less is its rest, and serves
   without a page fault when the run is resized to have it again. False: nothing changed, and
   guard_resize is what is left, which takes the rest away: that would be too much, or what nobody
   uses must not be charged, or have addresses. */
bool guard_narrow(uintptr_t start, struct guarded *guarded, size_t bytes);
/* A run with its rest comes to those that count, or leaves them. Returns where its memory ends. */
MOAT_INLINE size_t guard_count_rest(const struct guarded *guarded, bool comes) {
    size_t rest = guarded->rest;
    if (MOAT_LIKELY(rest == 0)) return guarded->bytes;
    atomic_add_relaxed(&ro.region->rests, comes ? rest : (size_t)0 - rest);
    return guard_reach(guarded);
}
/* In a forked child, after a resize that did not come to its end: the first `bytes` of the run are
   usable, as what they hold, and the rest is inaccessible: GUARD_SPLIT. */
void guard_reopen(uintptr_t start, size_t bytes, uint32_t run);
/* Makes an open run inaccessible. False: the kernel cannot split its mapping; the contents are gone
   all the same. */
bool guard_close(uintptr_t start, const struct guarded *guarded);

/* Covered runs, of blocks up to this size, are closed and opened by one call each, without a change
   of any mapping: markers lie in all that is not used of their first bytes, so many and an OS page
   more, and in the run's last OS page. Each page takes some time, so larger ones are not. */
#define GUARD_COVERED_MAX LARGE_MAX
/* Makes an open run that has markers, and no mapping of its own, inaccessible and empty; what it
   has is 0 bytes then. Its address space stays charged, and so do tables of the kernel's. False: it
   has none, or the kernel refuses; guard_close is what is left. */
bool guard_cover(uintptr_t start, struct guarded *guarded);
/* The first `bytes` of a covered run become usable, and are zero. False: some may be. */
bool guard_uncover(uintptr_t start, size_t bytes, struct guarded *guarded);
/* Whether there are covered runs now, of blocks of that size. */
bool guard_may_cover(size_t bytes);

/* Makes the first OS page of an open run inaccessible that nobody uses for a while: by a marker,
   and the page is zero later; else by protection, which is not counted as a split: few runs wait
   so, and mostly the border of what is inaccessible before it moves. Returns the means; GUARD_NONE:
   neither could be had, which counts as missing, or guards are off. */
uint8_t guard_close_front(uintptr_t start);
/* The same page is accessible again. False: it is not, or may not be. */
bool guard_open_front(uintptr_t start, uint8_t means);

/* Gives up an open run at whose first `bytes` something else may lie: only what is behind them
   becomes inaccessible. */
void guard_leave(uintptr_t start, const struct guarded *guarded, size_t bytes);

/* Makes part of a run usable that nobody has opened: [from, to), which leaves the run's last OS
   page out. A run with such parts is open as a split. False: nothing changed. */
bool guard_open_part(uintptr_t start, size_t from, size_t to);
/* A marker in an OS page of an accessible run, in which nobody has anything. It stays, whatever is
   purged, until the run is closed or guard_unmark() takes it away. False: markers are not to be had
   here, or not wanted; where they are had otherwise this one counts as missing. */
bool guard_mark(uintptr_t page);
/* Takes all markers in [start, start + size) away. False: some may still be there. */
bool guard_unmark(uintptr_t start, size_t size);

/*
 * Places of samples. guard_place makes an inaccessible run of one segment ready for them, and says
 * how its parts are opened: by taking markers away, or as mappings of their own (GUARD_SPLIT, which
 * the caller counts); GUARD_NONE: it is of no use, and the kernel will not take it back now.
 * guard_hide makes a part inaccessible and empty; it is a split from then on if markers are refused
 * by now. False: it may be accessible, or not.
 */
enum guard_means guard_place(uintptr_t start);
bool guard_reveal(uintptr_t start, size_t size, enum guard_means means);
bool guard_hide(uintptr_t start, size_t size, uint8_t *means);

/* At the start: whether guards will take mappings apart, so that their number matters. Where there
   are markers only memory that is locked, or a limit that comes later, leads to that. */
bool guard_splits_matter(void);
/* Whether memory that nobody uses must not be charged: there is a limit on data, or on locked
   memory that was met, or the machine counts each page. */
bool guard_charge_matters(void);
/* The limit on data, bytes; SIZE_MAX: none, or it is not asked for. */
size_t guard_data_limit(void);
/* Whether it is a limit on locked memory. */
MOAT_INLINE bool guard_lock_is_counted(void) {
    return atomic_load_relaxed(&ro.region->lock_follows_use);
}
/* Whether address space is limited. */
bool guard_space_is_limited(void);
/* Limits are asked for when they matter, since a program may set them late. But children shut
   themselves into sandboxes that kill on the question (those of sshd before a login): in a child of
   fork what it is told once holds, until it sets a limit itself. */
void guard_keep_limits(void);
void guard_ask_for_limits(void);

/* Whether part of a run is opened where that is enough for now: it is charged less, and costs two
   mappings. Not where the whole would cost none and those run short before the charge does, as with
   very many threads. */
bool guard_may_open_parts(void);

/* Whether blocks may have runs of their own that would not need any: few mappings are taken apart,
   and addresses are not limited. */
bool guard_may_take_runs(void);

/* Asks for a mapping of its own, which an operation costs for as long as its result lives; false:
   there are too many. */
bool guard_take_split(void);
void guard_give_split(void);
/* In a forked child: how many of them an open run has. */
MOAT_INLINE size_t guard_splits(const struct guarded *guarded) {
    return (size_t)(guarded->means == GUARD_SPLIT) + guarded->apart;
}

#endif
