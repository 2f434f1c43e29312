/*
 * cache: a cache with ageing that threads share.
 *
 * Sixteen shards, each with a lock, a hash table with chained entries and a list from the most to
 * the least recently used. A value has 100 bytes to 20 KiB, an entry (with its key of 8 to 64
 * bytes) its own block. Of five requests one stores a value, in place of the old one if the key is
 * there, and four look one up and need a block for the answer. A shard that holds more than its
 * part of the 96 MiB drops from the end of its list until it fits; now and then all that is older
 * than a limit expires at once.
 *
 * Which request finds its key depends on who comes first; so that the number of allocations does
 * not, an answer is allocated in either case.
 */
#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>

enum {
    SHARDS = 16,
    CHAINS = 4096,              /* of one shard; a power of two */
    SHARD_BYTES = 6 << 20,      /* of values, at most */
    KEYS = 60000,               /* that are asked for; small ones more often */
    REQUESTS = 2500000,         /* at scale 1 */
    REQUESTS_OF_A_BURST = 4000, /* of one thread, between two expiries of one shard */
    AGE = 20000,                /* requests to its shard after which an entry expires */
};

struct entry {
    struct entry *next;          /* in its chain */
    struct entry *newer, *older; /* in its shard's list */
    char *value;
    uint64_t born;            /* in requests to the shard */
    uint32_t key, value_size; /* value_size: bytes */
    uint32_t stamp;
    char name[]; /* 8 to 64 bytes */
};

struct shard {
    _Alignas(64) pthread_mutex_t lock; /* for all that follows */
    struct entry **chains;
    struct entry *newest, *oldest;
    size_t bytes; /* of values */
    uint64_t clock;
};

static struct shard shards[SHARDS];

static size_t name_size(uint32_t key) { return 8 + scramble(key) % 57; }

static struct entry **find(struct shard *shard, uint32_t key) {
    struct entry **at = &shard->chains[scramble(key) >> 32 & (CHAINS - 1)];
    while (*at && (*at)->key != key) {
        at = &(*at)->next;
    }
    return at;
}

static void unlist(struct shard *shard, struct entry *entry) {
    *(entry->newer ? &entry->newer->older : &shard->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &shard->oldest) = entry->newer;
}

static void list_as_newest(struct shard *shard, struct entry *entry) {
    entry->newer = NULL;
    entry->older = shard->newest;
    *(shard->newest ? &shard->newest->newer : &shard->oldest) = entry;
    shard->newest = entry;
}

static void drop_value(struct worker *worker, struct shard *shard, struct entry *entry) {
    expect_stamp(entry->value, entry->value_size, entry->stamp);
    worker->checksum += scramble(((uint64_t)entry->key << 32) + entry->stamp) + entry->value_size;
    shard->bytes -= entry->value_size;
    free(entry->value);
}

static void drop(struct worker *worker, struct shard *shard, struct entry *entry) {
    *find(shard, entry->key) = entry->next;
    unlist(shard, entry);
    drop_value(worker, shard, entry);
    free(entry);
}

/* Both blocks are made before the lock is taken, as a server would that reads its input first. */
static void store(struct worker *worker, struct shard *shard, uint32_t key) {
    size_t size = draw_size(worker, 100, 20480);
    struct entry *entry = take(worker, sizeof *entry + name_size(key));
    *entry = (struct entry){.key = key, .value_size = (uint32_t)size, .stamp = draw(worker)};
    stamp_bytes(entry->name, name_size(key), key);
    entry->value = take(worker, size);
    stamp_bytes(entry->value, size, entry->stamp);
    pthread_mutex_lock(&shard->lock);
    entry->born = shard->clock++;
    struct entry **at = find(shard, key), *old = *at;
    if (old) drop(worker, shard, old);
    at = find(shard, key);
    *at = entry;
    list_as_newest(shard, entry);
    shard->bytes += size;
    while (shard->bytes > SHARD_BYTES) drop(worker, shard, shard->oldest);
    pthread_mutex_unlock(&shard->lock);
}

/* A hit copies the beginning of the value into the answer. */
static void look_up(struct worker *worker, struct shard *shard, uint32_t key) {
    char *answer = take(worker, draw_size(worker, 64, 1024));
    answer[0] = 0;
    pthread_mutex_lock(&shard->lock);
    shard->clock++;
    struct entry *entry = *find(shard, key);
    if (entry) {
        memcpy(answer, entry->value, 64);
        expect_stamp(entry->name, name_size(key), key);
        unlist(shard, entry);
        list_as_newest(shard, entry);
    }
    pthread_mutex_unlock(&shard->lock);
    free(answer);
}

static void expire(struct worker *worker, struct shard *shard) {
    pthread_mutex_lock(&shard->lock);
    struct entry *entry = shard->oldest;
    while (entry) {
        struct entry *newer = entry->newer;
        if (entry->born + AGE < shard->clock) drop(worker, shard, entry);
        entry = newer;
    }
    pthread_mutex_unlock(&shard->lock);
}

static void ask(struct job *job, struct worker *worker) {
    size_t requests = scaled(job, REQUESTS, job->threads) / job->threads;
    for (size_t i = 0; i < requests; i++) {
        uint32_t bound = 1 + draw_below(worker, KEYS), key = draw_below(worker, bound);
        struct shard *shard = &shards[scramble(key) % SHARDS];
        if (one_in(worker, 5)) {
            store(worker, shard, key);
        } else {
            look_up(worker, shard, key);
        }
        if (i % REQUESTS_OF_A_BURST == 0) expire(worker, &shards[draw_below(worker, SHARDS)]);
    }
}

static void run(struct job *job) {
    struct worker keeper = worker_make(job, MOST_THREADS, 0);
    for (size_t i = 0; i < SHARDS; i++) {
        shards[i] = (struct shard){.chains = take_zeroed(&keeper, CHAINS, sizeof(struct entry *))};
        pthread_mutex_init(&shards[i].lock, NULL);
    }
    run_threads(job, job->threads, ask);
    for (size_t i = 0; i < SHARDS; i++) {
        while (shards[i].oldest) drop(&keeper, &shards[i], shards[i].oldest);
        free(shards[i].chains);
        pthread_mutex_destroy(&shards[i].lock);
    }
    worker_finish(job, &keeper);
}

const struct model model_cache = {"cache", run, 1, MOST_THREADS};
