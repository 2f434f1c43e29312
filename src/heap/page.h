/*
 * page: a run of blocks of one size inside a segment.
 *
 * A page is described by the record of its first slot, found from any address by shifts alone. The
 * first cache line belongs to the heap that owns the segment and to nobody else; remote threads
 * write only `pending`, on the second.
 *
 *   free         blocks to allocate from: the head of a list, free_count of them
 *   local_free   blocks the owner has freed: the head of a list, page_returned() of them
 *   claim bits   blocks other threads have freed: a set, named by `pending`, no list at all
 *
 * Lists are linked through the blocks (freelist.h). Heads and counts are trusted, links are not.
 * The counts end the lists: that the last block is taken is known without waiting for its link to
 * come from memory.
 *
 * Four functions bring freed blocks to `free`; all are the owner's:
 *
 *   function        called by                      takes claims in   drops PENDING_FULL
 *   page_refill     the refill of malloc           no: gives up      no
 *   page_collect    the search, queues, purges     yes               if there were claims
 *   page_settle     a page that changes hands      yes               always
 *   page_rebuild    the same, after a fork         by the maps       always
 *
 * Invariant at rest: used + free_count + page_returned() == carved <= capacity, and the page has
 * `used` live bits; used is what page_used() makes of the other three.
 */
#ifndef MOAT_PAGE_H
#define MOAT_PAGE_H

#include "meta/ro.h"
#include "base/list.h"
#include "heap/freelist.h"
#include "heap/returns.h"
#include "meta/livemap.h"
#include "meta/random.h"
#include "meta/region.h"
#include "meta/size_class.h"

struct report_facts;

/* A page that is set aside joins its queue again when one block in REJOIN_SHARE was returned, at
   the latest after REJOIN_MOST. In a large heap whose blocks are replaced at random nearly every
   free meets such a page: at the first block each free and each malloc took a generic path. What
   waits is 3 % of a heap at most; where memory is short, nothing. */
#define REJOIN_SHARE 32u
#define REJOIN_MOST 16u

struct MOAT_LINE page {
    /* Owner only. Heads are addresses of blocks below start + limit, whether or not the list is
       empty. */
    uintptr_t free;       /* head of the list to allocate from */
    uintptr_t local_free; /* head of the owner's freed blocks */
    uint32_t free_count;  /* blocks on `free` */
    uint32_t block_size;  /* bytes; 0: the page is not in use */
    union {
        uint64_t secret; /* of the links; new in every life of the page */
        uint64_t hints;  /* zero-size: atomic, any thread, see zero_size.h */
    };
    uint64_t reciprocal; /* of block_size: block_reciprocal() */
    uintptr_t start;     /* address of the first block */
    uint64_t limit;      /* carved * block_size: links that lead so far or further are false */
    uint8_t size_class;
    bool in_full; /* set aside, in no queue */
    /* In a forked child, of a page that its parent had: no block of it is handed out before enough
       of what was in use have been freed. */
    bool inherited;
    /* the memory of every block handed out so far had never been handed out before */
    bool never_reused;
    /* Of local_free. A free counts down on this line; what it counts from lies on the next, which
       only rare paths touch. */
    struct returns returns;
    struct list_node in_queue; /* of the class; owner only */
    /* Bytes from the start that pages which ended here had carved, since the memory last came from
       the kernel or was cleared; owner only. */
    uint32_t touched;
    /* Bytes from the start that may be resident though they are cleared; owner only. */
    uint32_t resident;
    uint16_t carved;   /* blocks put on a list so far; owner only */
    uint16_t capacity; /* blocks that fit; owner only */
    uint16_t left;     /* inherited: blocks in use at the fork; owner only */
    /* Any thread. */
    uint64_t pending; /* atomic: map words with claims, and PENDING_FULL */
};

static_assert(sizeof(struct page) == 128, "the fast path finds a record by a shift");
static_assert(offsetof(struct page, returns.event_above) == 64, "a local free writes one line");
static_assert(offsetof(struct page, pending) > 64, "remote threads write another line");
static_assert(sizeof(struct page) * SLOTS_PER_SEGMENT == PAGE_TABLE_BYTES_PER_SEGMENT,
              "region.c commits the table by this size");
static_assert(SLOT_SIZE / GRANULE <= UINT16_MAX, "carved and capacity hold every block of a page");

/* pending: bit g < 63 names a group of map words of the page, see page_claim_group; bit 63 asks the
   first claim to wake the owner. It is set while the page is set aside, and may outlast that: see
   page_mark_full. */
#define PENDING_FULL ((uint64_t)1 << 63)

/* A page without blocks, of no class: what an unused entry of a heap's direct table points to.
   Read-only. */
static_assert(SIZE_CLASSES < UINT8_MAX,
              "a class fits into a page's record, and one value means none");
extern const struct page page_empty;

MOAT_INLINE uint32_t page_index(const struct page *page) { return (uint32_t)(page - ro.pages); }
MOAT_INLINE struct page *page_at(uint32_t index) { return &ro.pages[index]; }
MOAT_INLINE struct list_table pages_in_queue(void) {
    return (struct list_table){(uintptr_t)ro.pages + offsetof(struct page, in_queue),
                               sizeof(struct page)};
}

/* A bit of `pending` stands for 1, 8 or 64 map words of the three kinds of page. The group of an
   address `offset` bytes into its page. The last two groups share a bit: 63 bits name 64 groups. */
MOAT_INLINE unsigned page_claim_group(enum page_kind kind, size_t offset) {
    unsigned group = (unsigned)(offset / MAP_WORD_SPAN) >> page_kind_shift(kind);
    return group < 62 ? group : 62;
}

/* Whether blocks of the page wait to be collected. */
MOAT_INLINE bool page_has_claims(const struct page *page) {
    return (atomic_load_relaxed(&page->pending) & ~PENDING_FULL) != 0;
}

/* Blocks on local_free. */
MOAT_INLINE uint32_t page_returned(const struct page *page) {
    return returns_count(&page->returns);
}

/* Blocks handed out, claimed ones included until they are collected. */
MOAT_INLINE int32_t page_used(const struct page *page) {
    return (int32_t)page->carved - (int32_t)page->free_count - (int32_t)page_returned(page);
}

/* Whether it has a block to hand out that needs no claim. */
MOAT_INLINE bool page_has_room(const struct page *page) {
    return page->free_count != 0 || page_returned(page) != 0 || page->carved < page->capacity;
}

/* From now on the local free that empties the page has more to do. Exact while nothing is taken
   from the page. */
MOAT_INLINE void page_watch(struct page *page) {
    returns_expect(&page->returns, (int32_t)page->carved - (int32_t)page->free_count - 1);
}

/* The page is in no queue until enough blocks are returned; or until one is. */
MOAT_INLINE void page_set_aside(struct page *page, bool until_one) {
    uint32_t share = page->capacity / REJOIN_SHARE;
    uint32_t enough = until_one || share == 0 ? 1 : share < REJOIN_MOST ? share : REJOIN_MOST;
    page->in_full = true;
    returns_expect(&page->returns, (int32_t)enough - 1);
}

/* Blocks in use that nobody has claimed yet, of a page at rest. */
uint32_t page_unclaimed(const struct page *page);

/* In a forked child, of a page that its parent had, with so many blocks in use: sets what
   `inherited` is. */
void page_inherit(struct page *page, uint32_t used);

/* An inherited page serves again when so many of its blocks are in use or fewer: less than three
   quarters of those at the fork, at the strict level half. Of two and more no single free does. */
MOAT_INLINE int32_t page_few_left(const struct page *page) {
    return (page->left - 1) * (ro_is_strict() ? 2 : 3) / 4;
}

/* It is set aside until then. */
MOAT_INLINE void page_set_apart(struct page *page) {
    page->in_full = true;
    returns_expect(&page->returns,
                   (int32_t)page->carved - (int32_t)page->free_count - 1 - page_few_left(page));
}

/*
 * The heap whose thread's frees into a page are local, found without a look at the segment; 0:
 * nobody's. A word of a table apart, since everyone who frees reads it, and the owner writes the
 * page's record at every call.
 *
 * Invariant: it names a heap only while the page is small, in use, and of a segment whose owner
 * word names that heap; written by that heap's thread alone, or for it in a forked child. The only
 * thread for which it can be its own heap is the one that wrote it, so a plain load tells the
 * truth. Pages of other kinds have several slots: they are found by way of their segment.
 */
MOAT_INLINE uintptr_t page_local_heap(const struct page *page) {
    return atomic_load_relaxed(&ro.local_heaps[page_index(page)]);
}

MOAT_INLINE void page_give_to(const struct page *page, uintptr_t heap) {
    uintptr_t local = size_class_page_kind(page->size_class) == PAGE_SMALL ? heap : 0;
    if (page_local_heap(page) != local)
        atomic_store_relaxed(&ro.local_heaps[page_index(page)], local);
}

/* Takes a block off `free`, marks it live and erases its link. NULL, and nothing has changed, when
   the list is empty or damaged: page_pop tells these apart. So a fast path has one way out, and no
   call in it. Owner only. */
MOAT_INLINE void *page_try_pop(struct page *page) {
    if (MOAT_UNLIKELY(atomic_equals_relaxed(&page->free_count, 0))) return NULL;
    uintptr_t address = page->free;
    uintptr_t next = freelist_next(page->secret, address);
    if (MOAT_UNLIKELY(!freelist_is_block(next - page->start, page->limit, page->reciprocal)))
        return NULL;
    if (HARDENED_MAP && MOAT_UNLIKELY(!map_take(map_word_of(address), map_place_of(address))))
        return NULL;
    page->free = next;
    page->free_count--;
    /* The next take of this page will wait for that link: bring it near. (Of the last block it
       names any block of the page.) */
    __builtin_prefetch((const void *)next, 1);
    freelist_store(address, 0);
    if (address == 0) __builtin_unreachable();
    return (void *)address;
}

/* Ends the process: a block that was to be taken has a bit set. */
MOAT_NORETURN MOAT_COLD void page_report_bad_block(const struct page *page, uintptr_t address);
/* The same from a list that is not empty, with the report if it is damaged. */
void *page_pop(struct page *page);

/* Puts a block on local_free; its live bit is clear already. Owner only. True: the page has more to
   do (heap_page_event). */
MOAT_INLINE bool page_push(struct page *page, uintptr_t address) {
    freelist_store(address, freelist_encode(page->local_free, page->secret, address));
    page->local_free = address;
    atomic_signal_barrier(); /* counted last: a visitor who sees the count rests on the rest */
    return returns_add(&page->returns);
}

/* local_free becomes `free`, which must be empty. */
MOAT_INLINE void page_refill_list(struct page *page) {
    page->free = page->local_free;
    page->free_count = page_returned(page);
    returns_take(&page->returns);
    page->never_reused = false;
}

/* The cheap part of collect: when nothing is claimed, the owner's freed blocks become the list to
   allocate from. `free` must be empty, the page the first of its queue; false: there are none, or
   page_collect has more to do. Owner only. */
MOAT_INLINE bool page_refill(struct page *page) {
    if (page_returned(page) == 0 || page_has_claims(page)) return false;
    page_refill_list(page);
    return true;
}

/* Makes the record of a page of `class` that starts at `start`; nothing is carved. `bytes`: its
   size less any guard. */
void page_init(struct page *page, uintptr_t start, size_t bytes, uint32_t size_class,
               bool never_used, struct random *random);
/* Ends the page's life: nothing may be live or claimed in it. */
void page_retire(struct page *page);
/* Puts fresh blocks on the empty list `free`, about one OS page of them, in an order that cannot be
   foretold. */
void page_carve(struct page *page, struct random *random);
/* Moves claimed blocks to local_free, and drops PENDING_FULL. Owner only. */
void page_take_claims(struct page *page, enum page_kind kind);
/* local_free becomes `free`, which is empty; what is watched for goes with it. Owner only. */
void page_take_returned(struct page *page);

/* Takes claims in, then, when `free` is empty, what was returned. Owner only; drops PENDING_FULL if
   there were claims. */
MOAT_INLINE void page_collect(struct page *page, enum page_kind kind) {
    if (page_has_claims(page)) page_take_claims(page, kind);
    if (page->free_count == 0 && page_returned(page) != 0) page_take_returned(page);
}

/* Hints, for pages whose claims will be taken in: memory is asked for the record; then, by what the
   record says, for the first map word with claims; then, by what that says, for the blocks. */
MOAT_INLINE void page_expect(const struct page *page) {
    __builtin_prefetch(page, 1);
    __builtin_prefetch(&page->pending, 1);
}
void page_expect_words(const struct page *page);
void page_expect_blocks(const struct page *page);

/* The same for a page that changes hands: drops PENDING_FULL in any case. */
void page_settle(struct page *page, enum page_kind kind);
/* Sets a page aside if no claim has come: pending {none, -} -> {none, FULL}. False: collect
   instead. Owner only. A mark that was left from the last time does as well, and spares pages that
   are filled and freed into by turns an instruction that waits for all stores before it. */
bool page_mark_full(struct page *page);
/* In a forked child: makes lists and counts anew from the maps (allocated = live and not
   claimed). `start`, `bytes`: of the page, whose record means something only if a block is in
   use. Returns how many are; 0: the page is not in use. */
uint32_t page_rebuild(struct page *page, uintptr_t start, size_t bytes, struct random *random);

/* For a report: the page, and the block that the address would lie in, whether or not it was carved
   already; a page that was never used has none. `kind`: of the pages of its segment. */
MOAT_COLD void page_describe(const struct page *page, enum page_kind kind, uintptr_t address,
                             struct report_facts *facts);

/* Walks both lists and the maps; false if an invariant of this file does not hold. Owner, at
   rest. */
bool page_validate(const struct page *page, size_t bytes);

#endif
