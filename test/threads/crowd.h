/*
 * crowd: what the thread tests share: stamped blocks, a bounded queue, and the state of the heap
 * when all is over.
 *
 * The tests call the prefixed names, so that the same programs run on libmoat.so (where the C
 * library's own allocations go through moat too) and, under a sanitizer, beside its allocator. A
 * block carries its size and a stamp at both ends; whoever gets it checks them, so that two owners
 * of one block, or a block that lost its contents, are noticed by the next reader.
 */
#ifndef THREADS_CROWD_H
#define THREADS_CROWD_H

#include "moat.h"
#include "prng.h"
#include "require.h"

#include <pthread.h>
#include <stdatomic.h>

/* Counts are divided by this under a sanitizer, which makes everything about ten times slower. */
#ifdef MOAT_SANITIZED
#define SLOWER 10u
#else
#define SLOWER 1u
#endif

struct scenario {
    const char *name;
    void (*play)(void);
};

extern const struct scenario handing_scenarios[], birth_scenarios[], server_scenarios[],
    ending_scenarios[];

struct stamped {
    void *block;
    size_t size;
    uint64_t stamp;
};

/* Sizes as programs ask for them: mostly small, some of every kind of page, a few huge, now and
   then none at all. */
size_t size_like_programs(uint64_t *seed);
/* Up to 1 KiB. */
size_t size_small(uint64_t *seed);

struct stamped stamped_take(size_t size, uint64_t *seed);
/* Requires that the contents are what was written. */
void stamped_check(const struct stamped *item);
/* Checks and frees. */
void stamped_give(struct stamped item);
/* Checks, changes the size, and stamps anew. */
void stamped_resize(struct stamped *item, size_t size, uint64_t *seed);

/* A bounded queue for any number of producers and consumers; its items are no allocation. */
struct handover {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stamped items[256];
    size_t first, count;
    bool closed;
};

void handover_open(struct handover *queue);
void handover_put(struct handover *queue, struct stamped item);
/* False when the queue is closed and empty. */
bool handover_get(struct handover *queue, struct stamped *item);
void handover_close(struct handover *queue);

pthread_t thread_begin(void *(*main)(void *), void *argument);
void thread_join(pthread_t thread);

/* Bytes that may be touched, now. */
size_t committed_now(void);
/* At rest: nothing of the test is allocated any more. Tests the invariants, and that no block is
   counted as used that nobody has. */
void require_rest(void);
/* Called once before the scenario: what the process itself uses. */
void remember_start(void);

#endif
