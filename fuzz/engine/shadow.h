/*
 * shadow: what the allocator should believe (the shadow model).
 *
 * Every block handed out is live here until it is freed, then a grave until some new block covers
 * its address, so that freeing a grave is certainly a misuse. Live blocks never overlap each other;
 * graves overlap neither live blocks nor each other. All of it is static memory: the model never
 * calls the allocator under test. Blocks are named by a small index. One thread at a time.
 */
#ifndef ENGINE_SHADOW_H
#define ENGINE_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHADOW_BLOCKS = 16384, SHADOW_GRAVES = 2048, SHADOW_NONE = 0xffff };

enum block_origin {
    ORIGIN_MALLOC,
    ORIGIN_REALLOC,
    ORIGIN_ALIGNED,
    ORIGIN_POSIX_MEMALIGN,
    ORIGIN_NEW
};
enum block_state { BLOCK_UNUSED, BLOCK_LIVE, BLOCK_GRAVE };

struct shadow_block {
    uintptr_t start;
    size_t requested; /* bytes asked for */
    size_t usable;    /* bytes, as the allocator said right after it gave the block */
    size_t cell;      /* bytes of its page that it takes; 0: it has a run of its own, or may */
    size_t alignment; /* asked for; 16 where none was */
    uint64_t pattern; /* seed of the contents */
    uint64_t secret;  /* of its page; 0: it has none */
    uint32_t born;    /* clock of the model */
    uint32_t died;
    uint8_t owner; /* thread that allocated it */
    uint8_t state;
    uint8_t origin;
    bool whole;        /* contents are filled whole, not sampled */
    uint16_t position; /* in live[] or graves[] */
    /* Search tree by start, one for live blocks and one for graves. */
    uint16_t left, right;
    uint32_t priority;
};

struct shadow {
    struct shadow_block blocks[SHADOW_BLOCKS];
    uint16_t live[SHADOW_BLOCKS], graves[SHADOW_GRAVES], unused[SHADOW_BLOCKS];
    unsigned live_count, grave_count, unused_count;
    uint16_t live_root, grave_root;
    uint32_t clock;
    uint64_t next_pattern;
    size_t live_bytes; /* sum of usable */
    size_t full_limit; /* blocks up to this many bytes are filled whole */
    unsigned evict;    /* grave that goes next when there are too many */
    unsigned fresh;    /* blocks from here on were never used, and are not in unused[] */
    /* called before the model writes into a block; NULL: nobody wants to know */
    void (*touch)(uintptr_t start, size_t size);
};

void shadow_reset(struct shadow *shadow, uint64_t seed, size_t full_limit);
/* Makes one the same as the other, at the cost of what that has in it. */
void shadow_copy(struct shadow *to, const struct shadow *from);
bool shadow_can_take(const struct shadow *shadow, unsigned blocks);

/* Records a block. NULL and its index in *index, or a text that says what is wrong with it; it is
   not recorded then. */
const char *shadow_birth(struct shadow *shadow, struct shadow_block facts, uint16_t *index);
/* The block was freed: it becomes a grave. */
void shadow_death(struct shadow *shadow, uint16_t index);
/* A block that was freed a moment ago lives after all, with its contents. */
uint16_t shadow_revive(struct shadow *shadow, const struct shadow_block *facts);
/* The block is gone without a trace (a later address is no longer known to be free). */
void shadow_forget(struct shadow *shadow, uint16_t index);

/* The live block that covers any of [start, start + length), or SHADOW_NONE. */
uint16_t shadow_find_live(const struct shadow *shadow, uintptr_t start, size_t length);
/* The same of graves. */
uint16_t shadow_find_grave(const struct shadow *shadow, uintptr_t start, size_t length);
/* Whether a dead block's contents are still where it was, as far as its second word tells: the
   first was a link since. Its memory can be read. */
bool shadow_remains(const struct shadow_block *dead);
/* Whether the page of a grave has surely been in use, with the same block size, since the grave's
   block was alive: because another block of it was born before that death and lives now. */
bool shadow_page_survives(const struct shadow *shadow, uint16_t grave);

/* Contents. A block up to full_limit is filled whole; a larger one at its ends and at strides. */
void shadow_fill(const struct shadow *shadow, uint16_t index);
/* True when the first `limit` bytes at `start` still hold what block `facts` was filled with.
   *wrong receives the first offset. */
bool shadow_compare(const struct shadow_block *facts, uintptr_t start, size_t limit, size_t *wrong);
/* True when the block is all zero (whole up to full_limit, above that at some OS pages). *wrong
   receives the first offset. */
bool shadow_is_zero(const struct shadow *shadow, uintptr_t start, size_t size, size_t *wrong);

/* Tests the model's own structure; NULL or what is broken. */
const char *shadow_validate(const struct shadow *shadow);

#endif
