/* crowd: see crowd.h. */
#include "crowd.h"

#include <string.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

/* Blocks that the C library may keep for itself (stacks it caches, message buffers) beyond those it
   had at the start. */
enum { KEPT_BY_LIBRARY = 100 };

static size_t used_at_start;

size_t size_small(uint64_t *seed) { return 1 + prng_below(seed, KIB); }

size_t size_like_programs(uint64_t *seed) {
    size_t dice = prng_below(seed, 1000);
    if (dice < 880) return size_small(seed);
    if (dice < 970) return 1 + prng_below(seed, 32 * KIB);
    if (dice < 990) return 1 + prng_below(seed, 512 * KIB);
    if (dice < 992) return MIB + prng_below(seed, 2 * MIB);
    return 0;
}

static void write_ends(const struct stamped *item) {
    uint64_t far_end = ~item->stamp;
    size_t length = item->size < 8 ? item->size : 8;
    memcpy(item->block, &item->stamp, length);
    memcpy((char *)item->block + item->size - length, &far_end, length);
}

struct stamped stamped_take(size_t size, uint64_t *seed) {
    struct stamped item = {moat_malloc(size), size, prng_next(seed)};
    REQUIRE(item.block, "malloc(%zu) gives a block", size);
    REQUIRE((uintptr_t)item.block % 16 == 0, "a block is aligned to 16");
    write_ends(&item);
    return item;
}

void stamped_check(const struct stamped *item) {
    uint64_t far_end = ~item->stamp;
    size_t length = item->size < 8 ? item->size : 8;
    bool kept = memcmp((char *)item->block + item->size - length, &far_end, length) == 0;
    if (item->size >= 16) kept = kept && memcmp(item->block, &item->stamp, length) == 0;
    REQUIRE(kept, "a block of %zu bytes at %p keeps its contents", item->size, item->block);
}

void stamped_give(struct stamped item) {
    stamped_check(&item);
    moat_free(item.block);
}

void stamped_resize(struct stamped *item, size_t size, uint64_t *seed) {
    stamped_check(item);
    if (size == 0) size = 1;
    void *moved = moat_realloc(item->block, size);
    REQUIRE(moved, "realloc to %zu gives a block", size);
    if (size >= 8 && item->size >= 16)
        REQUIRE(memcmp(moved, &item->stamp, 8) == 0, "realloc keeps the contents");
    *item = (struct stamped){moved, size, prng_next(seed)};
    write_ends(item);
}

void handover_open(struct handover *queue) {
    memset(queue, 0, sizeof *queue);
    REQUIRE(pthread_mutex_init(&queue->lock, NULL) == 0 &&
                pthread_cond_init(&queue->changed, NULL) == 0,
            "a queue can be made");
}

void handover_put(struct handover *queue, struct stamped item) {
    size_t capacity = sizeof queue->items / sizeof *queue->items;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == capacity) pthread_cond_wait(&queue->changed, &queue->lock);
    queue->items[(queue->first + queue->count++) % capacity] = item;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

bool handover_get(struct handover *queue, struct stamped *item) {
    size_t capacity = sizeof queue->items / sizeof *queue->items;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->closed) pthread_cond_wait(&queue->changed, &queue->lock);
    bool found = queue->count > 0;
    if (found) {
        *item = queue->items[queue->first];
        queue->first = (queue->first + 1) % capacity;
        queue->count--;
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return found;
}

void handover_close(struct handover *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

pthread_t thread_begin(void *(*main)(void *), void *argument) {
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, main, argument) == 0, "a thread can be made");
    return thread;
}

void thread_join(pthread_t thread) {
    REQUIRE(pthread_join(thread, NULL) == 0, "a thread can be joined");
}

static struct moat_stats stats_now(void) {
    struct moat_stats stats;
    moat_stats_get(&stats);
    return stats;
}

size_t committed_now(void) { return stats_now().committed; }

void remember_start(void) {
    moat_free(moat_malloc(1));
    used_at_start = stats_now().used_blocks;
}

void require_rest(void) {
    moat_trim();
    moat_check();
    struct moat_stats stats = stats_now();
    REQUIRE(stats.used_blocks <= used_at_start + KEPT_BY_LIBRARY,
            "%zu blocks are used at the end, %zu at the start", stats.used_blocks, used_at_start);
}
