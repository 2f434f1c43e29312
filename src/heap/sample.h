/*
 * sample: guarded samples, blocks that have OS pages of their own between inaccessible ones.
 *
 * A sample lies against the inaccessible page before it or behind it, by chance, as nearly as its
 * alignment lets it; what is left of its pages is canary. When it is freed its pages become
 * inaccessible and empty, and stay so until all other places were used: the one that was freed
 * first is used first. Who allocated it and who freed it is kept in its record, out of reach.
 *
 * Nobody owns one. There is a fixed number of places: slots of segments that hold nothing else, for
 * small blocks, and segments, for larger ones. The segments are taken when they are first needed
 * and never given back. Each place has a word, its only authority:
 *
 *   NEVER, FREED.n -> TAKEN.m     CAS acq_rel, by whoever allocates
 *   TAKEN.m        -> LIVE.m      store release; or back, if its pages cannot be had
 *   LIVE.m         -> FREEING.m   CAS acq_rel, by the one free that wins
 *   FREEING.m      -> FREED.k     store release
 *
 * Numbers come from one counter: no word comes twice, and of FREED ones the smallest is the oldest.
 * The rest of a place's record belongs to who has taken it, or frees it. The live bit of a block
 * is set before its word says LIVE, and cleared after it says FREEING.
 */
#ifndef MOAT_SAMPLE_H
#define MOAT_SAMPLE_H

#include "heap/segment.h"
#include "report/report.h"
#include "report/trace.h"

/* Segments of small places, a slot each; and those that are one large place each. */
#define SAMPLE_SHARED 2u
#define SAMPLE_WHOLE 4u
#define SAMPLE_SEGMENTS (SAMPLE_SHARED + SAMPLE_WHOLE)
#define SAMPLE_SMALL ((uint32_t)(SAMPLE_SHARED * SLOTS_PER_SEGMENT))
#define SAMPLES_MAX (SAMPLE_SMALL + SAMPLE_WHOLE)
/* No segment is taken that would leave less than so many times what samples have to others. */
#define SAMPLE_SHARE 16u

enum sample_state { SAMPLE_NEVER, SAMPLE_TAKEN, SAMPLE_LIVE, SAMPLE_FREEING, SAMPLE_FREED };
#define SAMPLE_STATE_BITS 3u

/* Of a place, about the block that is or was there. All but the traces is atomic, relaxed. */
struct sample_record {
    uintptr_t block; /* what was handed out; 0: nothing ever was */
    size_t size;     /* bytes that were asked for */
    size_t alignment;
    uintptr_t pages; /* the OS pages that can be touched while it lives, */
    size_t bytes;    /* and how many bytes they are */
    uint8_t means;   /* enum guard_means; GUARD_NONE: not known yet */
    bool has_split;  /* its pages are counted as a split */
    bool is_spoiled; /* something of the place may be accessible that should not be */
    struct trace allocated, freed;
};

struct sample_places {
    uint32_t segments[SAMPLE_SEGMENTS]; /* atomic; 0: not taken yet */
    uint64_t words[SAMPLES_MAX];        /* atomic: number above, enum sample_state below */
    struct sample_record samples[SAMPLES_MAX];
    uint64_t number;     /* atomic: the last that a word got */
    uint32_t watching;   /* atomic: whether faults are watched, or were tried to be */
    uint64_t not_before; /* atomic: nanoseconds; sample=auto: when time was saved for another one */
    uint64_t refused; /* atomic: a bit a segment that could not be had: it is not asked for again */
};

/* What a live sample's address leads to. */
struct sample_view {
    size_t size, alignment; /* as they were asked for */
    uintptr_t pages, end;   /* of the memory that can be touched around it */
};

/* A block of `size` bytes, all zero. `chance`: random bits. NULL: none can be had now; then the
   caller goes on as ever. size is not 0, alignment a power of two. */
void *sample_alloc(size_t size, size_t alignment, uint64_t chance);
/* False: no sample lives at this address. The segment holds samples. */
bool sample_find(uintptr_t address, struct sample_view *view);
/* A free in two parts: of several that claim it one wins, looks at the block, and closes it. */
bool sample_claim(uintptr_t address);
void sample_close(uintptr_t address);
/* Of a live block, or one that was claimed: the first byte around it that is not as it was left; 0:
   none, or some were opened to whoever wrote there, and that was reported. */
uintptr_t sample_damage(const struct sample_view *view, uintptr_t address);

/* For reports: what is known of the place that the address lies in. False: none was there yet. */
bool sample_describe(uintptr_t address, struct report_facts *facts);
/* A fault at the address is a sample's: what is known of it. False: it is none. */
bool sample_fault(uintptr_t address, struct report_facts *facts, bool *freed);
/* Makes the OS page of a fault accessible. False: it is not. */
bool sample_open(uintptr_t address);
/* Those of a segment that live, and their bytes as asked for. */
size_t sample_count(const struct segment *segment, size_t *bytes);
/* In a forked child: what a thread that is gone was about to do with the segment's places is
   undone or done; the bytes that can be touched, and mappings of their own. False: the segment is
   nobody's. */
bool sample_recover(struct segment *segment, size_t *bytes, size_t *splits);

#endif
