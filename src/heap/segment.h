/*
 * segment: 4 MiB of the region with pages of one kind, and who owns it.
 *
 * The owner word is the only authority: heap address | kind, or a state without a heap. A heap's
 * address is a multiple of HEAP_SIZE. What the fast path of free asks instead, page_local_heap(),
 * follows it: it names a heap later and is cleared before.
 *
 *   unused    -> owned      segment_create
 *   owned     -> unused     segment_destroy: by the owner, nothing in use
 *   owned     -> abandoned  store release, at thread end; an empty one; a look in vain
 *   abandoned -> owned      segment_reclaim: CAS acq_rel, by whoever wins
 *   unused    -> HUGE.generation -> FREEING.generation -> FREED.generation      (huge.c)
 *   HUGE      -> FREEING, RESIZING -> HUGE, or FREED when its pages have moved   (huge.c)
 *   unused    -> ZERO_SIZE                                                      (zero_size.c)
 *   unused    -> SAMPLES                                                        (sample.c)
 *
 * Structures are type-stable: never unmapped, reused only as segments. A stale remote thread may
 * still set `woken` and the wake word of the owner it read; both are hints.
 */
#ifndef MOAT_SEGMENT_H
#define MOAT_SEGMENT_H

#include "heap/page.h"
#include "meta/guard.h"

/* What of a heap a remote thread may touch; the first member of struct heap. */
struct owner {
    /* atomic: bit i: there may be one of its segments in a word of ro.woken_segments, number & 63
       == i */
    uint64_t wake;
};

/* What the owner word says of a segment, in its lowest bits. A word of an unused segment is 0: so
   is a table that nobody has written yet. The next three are enum page_kind. */
enum owner_kind {
    OWNER_UNUSED,
    OWNER_SMALL = PAGE_SMALL,
    OWNER_MEDIUM = PAGE_MEDIUM,
    OWNER_LARGE = PAGE_LARGE,
    OWNER_HUGE,    /* a live huge allocation; generation above */
    OWNER_FREEING, /* its one winning free, or a resize, is at work */
    /* was huge; kept until the segment is used anew, so that a second free is known as such */
    OWNER_FREED,
    OWNER_ZERO_SIZE, /* zero-size blocks */
    /* guarded samples; whoever looks at the three lowest bits alone takes it for OWNER_FREED */
    OWNER_SAMPLES = OWNER_FREED | 8
};
#define OWNER_KIND_MASK ((uint64_t)15)
static_assert(OWNER_SAMPLES <= OWNER_KIND_MASK, "every kind fits below the flags");
#define OWNER_ABANDONED ((uint64_t)16) /* no heap, findable through a bitmap of abandoned ones */
/* with ABANDONED: who reclaims it makes lists and counts anew from the maps (after a fork) */
#define OWNER_REBUILD ((uint64_t)32)
/* in a forked child of a build without HARDENED_MAP, which has nothing to rebuild from: the owner
   vanished inside a generic path; never reclaimed */
#define OWNER_ORPHAN ((uint64_t)64)
#define OWNER_RESIZING ((uint64_t)128) /* with FREEING: a resize, which leaves a block */
#define OWNER_FLAGS ((uint64_t)4095)
#define OWNER_GENERATION_SHIFT 12

/* Lists of a heap's segments by what can be taken from them. */
enum open_list {
    OPEN_EMPTY,
    OPEN_SMALL = PAGE_SMALL,
    OPEN_MEDIUM = PAGE_MEDIUM,
    OPEN_LISTS,
    OPEN_NONE = OPEN_LISTS
};

struct segment {
    /* Read by everyone who frees; written when ownership changes. */
    uint64_t owner; /* atomic */
    /* Owner only from here to the line's end. One bit per first slot of a page. */
    uint64_t free_pages;
    /* free pages whose memory was touched and not purged; a subset of free_pages */
    uint64_t dirty;
    uint64_t untouched; /* free pages whose memory was never handed out since the kernel gave it */
    struct list_node in_heap; /* the heap's segments of one list */
    struct list_node in_open; /* the heap's segments with a free page, by kind */
    uint32_t pages_used;
    union {
        uint32_t run;   /* huge: segments taken */
        uint32_t place; /* zero-size: in the table of such segments; samples: its first slot */
    };
    union {
        /* milliseconds: when the dirty pages, or the empty segment, are given back */
        uint64_t purge_at;
        uint16_t rest; /* huge: see struct guarded; of whoever may close the run */
    };
    /* Any thread. */
    /* atomic: bit per first slot: a full page there has claims */
    MOAT_LINE uint64_t woken;
    int64_t remaining; /* atomic, a hint: blocks not freed yet in an abandoned segment */
    /* huge: bytes usable; its owner (the FREEING winner, or the allocating thread) writes it,
       atomic */
    size_t committed;
    /* of huge allocations that began here; written by the thread that takes the run */
    uint64_t generation;
    union {
        uint64_t usable; /* owner only: slots whose memory can be used */
        uint64_t hints;  /* zero-size: atomic, any thread, see zero_size.h */
    };
    /* Owner only: slots whose last OS page has a marker, each the last slot of a page. A bit is set
       before its marker is made, and cleared after it is gone. */
    uint64_t guarded;
    union {
        /* Owner only: classes that a free slot may remember, a bit for each number & 63: the pages
           of a segment are of one kind, whose classes have different ones */
        uint64_t classes;
        /* huge: bytes in which marks show what was not written to; whoever takes the run, and the
           FREEING winner */
        size_t watched;
    };
    /* huge, in a resize: first segment of the run its pages are on their way to; 0: none. Its owner
       (the FREEING winner) writes it */
    uint32_t moving_to;
    uint8_t open_list; /* owner only: enum open_list, the list it is in */
    uint8_t means;     /* enum guard_means, of whoever may close the run */
    bool apart;        /* huge: see struct guarded */
    uint8_t alignment; /* zero-size: its blocks are multiples of this power of two */
};

static_assert(sizeof(struct segment) == SEGMENT_TABLE_BYTES_PER_SEGMENT,
              "the fast path finds a record by a shift");
static_assert(offsetof(struct segment, woken) == 64, "remote threads write a line of their own");

MOAT_INLINE uint32_t segment_index(const struct segment *segment) {
    return (uint32_t)(segment - ro.segments);
}
MOAT_INLINE struct segment *segment_at(uint32_t index) { return &ro.segments[index]; }
MOAT_INLINE struct list_table segments_in_heap(void) {
    return (struct list_table){(uintptr_t)ro.segments + offsetof(struct segment, in_heap),
                               sizeof(struct segment)};
}
MOAT_INLINE struct list_table segments_open(void) {
    return (struct list_table){(uintptr_t)ro.segments + offsetof(struct segment, in_open),
                               sizeof(struct segment)};
}
MOAT_INLINE uintptr_t segment_start(const struct segment *segment) {
    return segment_address(segment_index(segment));
}
/* The address must lie in the range the tables cover. */
MOAT_INLINE struct segment *segment_of(uintptr_t address) {
    return &ro.segments[(address - ro.region_base) >> SEGMENT_SHIFT];
}

MOAT_INLINE enum owner_kind owner_kind(uint64_t word) {
    return (enum owner_kind)(word & OWNER_KIND_MASK);
}
/* The same where nobody asks for samples: of eight kinds a switch needs no compare for others. */
MOAT_INLINE enum owner_kind owner_kind_but_samples(uint64_t word) {
    return (enum owner_kind)(word & ((OWNER_SAMPLES ^ OWNER_FREED) - 1));
}
/* The word of a segment with pages of the kind: a heap's, or OWNER_ABANDONED and OWNER_ORPHAN. */
MOAT_INLINE uint64_t owner_word(uint64_t heap_or_flags, enum page_kind kind) {
    return heap_or_flags | (uint64_t)kind;
}
MOAT_INLINE struct owner *owner_heap(uint64_t word) {
    return (struct owner *)(word & ~OWNER_FLAGS);
}
/* Whether the word says that the segment holds pages (owned, abandoned or orphaned). */
MOAT_INLINE bool owner_has_pages(uint64_t word) {
    return (word & OWNER_KIND_MASK) - OWNER_SMALL <= (uint64_t)(OWNER_LARGE - OWNER_SMALL);
}
/* The segment holds pages. */
MOAT_INLINE enum page_kind owner_page_kind(uint64_t word) {
    return (enum page_kind)(word & OWNER_KIND_MASK);
}

/* The record of the page that holds an address of a segment of that kind. */
MOAT_INLINE struct page *page_of(uintptr_t address, enum page_kind kind) {
    uintptr_t offset = address - ro.region_base;
    return &ro.pages[round_down(offset, page_kind_size(kind)) >> SLOT_SHIFT];
}
MOAT_INLINE struct segment *page_segment(const struct page *page) {
    return segment_at(page_index(page) / SLOTS_PER_SEGMENT);
}
MOAT_INLINE unsigned page_slot(const struct page *page) {
    return page_index(page) % SLOTS_PER_SEGMENT;
}

/* First slots of all pages of a segment of that kind that can hold a block: the last small page has
   none where the OS page is 64 KiB. */
uint64_t segment_page_slots(enum page_kind kind);
/* Usable bytes of the page at a slot: its size less its guard, or the segment's. */
size_t segment_page_bytes(const struct segment *segment, enum page_kind kind, unsigned slot);

/* A new segment owned by `owner` (owner word value), usable and guarded; of it only what a first
   page needs, 256 KiB of small pages, if that is wanted or all there is. NULL: out of memory,
   nothing changed. */
struct segment *segment_create(uint64_t owner_word, bool sparing, struct random *random);
/* Gives an empty segment back to the region. Owner only. */
void segment_destroy(struct segment *segment);
/* Whether an empty segment's memory would go back to the kernel for pages of another kind, rather
   than be cleared. */
bool segment_is_worn(const struct segment *segment);
/* An empty segment takes pages of another kind; nothing is left in its memory. False: guards of its
   pages stand in the way. Owner only. */
bool segment_retype(struct segment *segment, uint64_t owner_word);
/*
 * Slots remember their class: it stays in the record of a page that has ended. A page is made in
 * the lowest slot that had pages of its class before, one whose memory has not gone back first;
 * else at random in one that was never used; else in one of another class, whose memory went back,
 * or is cleared. So what dangles from a page that has ended meets objects of its own size for as
 * long as there is room elsewhere, and zeros at first after that.
 *
 * The segment must have a free slot. NULL: there is no memory for more of the segment. Owner only.
 */
struct page *segment_page_create(struct segment *segment, uint32_t size_class,
                                 struct random *random);
/* Whether a free slot has had pages of the class. Owner only. */
bool segment_remembers(struct segment *segment, uint32_t size_class);
/* Takes a page without blocks in use back. Owner only. */
void segment_page_destroy(struct segment *segment, struct page *page);
/* First slots of the pages in use. */
MOAT_INLINE uint64_t segment_pages_in_use(const struct segment *segment, enum page_kind kind) {
    return segment_page_slots(kind) & ~segment->free_pages;
}
MOAT_INLINE struct page *segment_page(const struct segment *segment, unsigned slot) {
    return page_at(segment_index(segment) * (uint32_t)SLOTS_PER_SEGMENT + slot);
}
/* Gives the memory of dirty pages back to the kernel. Owner only. True if there was any. */
bool segment_purge(struct segment *segment);
/* Whether free pages can be touched, where that is what counts, as with little locked memory; and
   makes them inaccessible, as if they had not become usable yet. False: the kernel refuses. Owner
   only. */
bool segment_may_close(const struct segment *segment);
bool segment_close(struct segment *segment);
/* Does whichever of these is to be done. */
bool segment_give_unused(struct segment *segment);
/* Of a large page in use: what a larger one has left behind its blocks, bytes, resident though it
   was cleared. Owner only. */
size_t segment_surplus(const struct segment *segment);
/* Gives that back. True if there was any. */
bool segment_trim(struct segment *segment);

/* Abandoned segments: bitmaps of hints beside the owner words. One for each kind of page, the first
   three values being enum page_kind, so that who needs pages of one kind takes no segments away
   from those who need another; one for segments without pages, which serve any; and one for
   segments that have no room, until a block of theirs is freed. A segment stands in the one that
   was right when it was abandoned last (in a forked child, of its kind); older bits mean
   nothing. */
enum abandoned_set { ABANDONED_EMPTY, ABANDONED_FULL = PAGE_KINDS, ABANDONED_SETS };
struct abandoned {
    uint64_t summary[REGION_WORDS / 64]; /* atomic: words that may have a bit */
    uint64_t words[REGION_WORDS];        /* atomic */
};
void abandoned_add(unsigned set, uint32_t index);
/* The first abandoned segment of the set at or after `from`, its bit cleared; false if none was
   seen. The owner word decides. */
bool abandoned_find(unsigned set, uint32_t from, uint32_t *index);
/* Owner word ABANDONED -> heap; false when another thread was faster or it is not abandoned. `seen`
   receives the word before. */
bool segment_reclaim(struct segment *segment, const struct owner *heap, uint64_t *seen);

/* In a forked child: makes anew which pages there are, and each of them, from the maps: the
   owner may have vanished between any two steps. A page without a block in use becomes a free
   one. Returns the blocks in use. */
int64_t segment_rebuild(struct segment *segment, enum page_kind kind, struct random *random);

bool segment_validate(const struct segment *segment);

#endif
