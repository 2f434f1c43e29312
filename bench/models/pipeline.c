/*
 * pipeline: producers and consumers of unequal speeds, messages in bounded queues.
 *
 * Half of the threads produce and half consume, at least one of each. A producer works in spells: a
 * thousand messages as fast as it can, then some hundred with work in between, so that the queues
 * run full and empty in turn; consumers always work on each message. Each consumer has one queue
 * that all producers write to. Messages have 32 bytes to 8 KiB; one in four was built up by two
 * reallocs in the producer, and one in eight grows by a trailer in the consumer. A consumer keeps
 * the last 64 messages for a while, and frees them: all blocks die in another thread than they were
 * born in.
 */
#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>

enum {
    QUEUE_PLACES = 512, /* a power of two */
    HANDOVER = 16,      /* messages that are put into a queue or taken out at once */
    WINDOW = 64,        /* messages that a consumer keeps */
    MESSAGES = 3000000, /* at scale 1 */
    FAST_SPELL = 1000,
    SLOW_SPELL = 300,
    TRAILER = 200, /* bytes */
};

struct message {
    uint64_t stamp;
    size_t size; /* bytes of the whole block */
    char body[];
};

struct queue {
    _Alignas(64) pthread_mutex_t lock; /* for all that follows */
    pthread_cond_t not_empty, not_full;
    size_t put, taken; /* messages, ever */
    unsigned writers;  /* producers that have not ended */
    unsigned waiting;  /* of these, those that wait for room */
    struct message *places[QUEUE_PLACES];
};

/* What a producer has for one queue but not handed over yet. */
struct outbox {
    size_t count;
    struct message *messages[HANDOVER];
};

static struct queue queues[MOST_THREADS / 2];
static unsigned producers, consumers;

static void put(struct queue *queue, struct outbox *outbox) {
    pthread_mutex_lock(&queue->lock);
    while (queue->put + outbox->count - queue->taken > QUEUE_PLACES) {
        queue->waiting++;
        pthread_cond_wait(&queue->not_full, &queue->lock);
        queue->waiting--;
    }
    bool was_empty = queue->put == queue->taken;
    for (size_t i = 0; i < outbox->count; i++) {
        queue->places[queue->put++ % QUEUE_PLACES] = outbox->messages[i];
    }
    if (was_empty) pthread_cond_signal(&queue->not_empty);
    pthread_mutex_unlock(&queue->lock);
    outbox->count = 0;
}

/* Returns how many; 0 when all producers have ended. */
static size_t get(struct queue *queue, struct message **messages) {
    size_t count = 0;
    pthread_mutex_lock(&queue->lock);
    while (queue->put == queue->taken && queue->writers > 0)
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    while (count < HANDOVER && queue->put != queue->taken) {
        messages[count++] = queue->places[queue->taken++ % QUEUE_PLACES];
    }
    /* Not before the queue is half empty: who waits for room then finds room for several
     * messages, and threads change seldom. */
    if (queue->waiting > 0 && queue->put - queue->taken <= QUEUE_PLACES / 2)
        pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
    return count;
}

static void end_writing(struct queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->writers--;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_mutex_unlock(&queue->lock);
}

/* Work that is not the allocator's: about a microsecond a hundred. */
static uint64_t work(uint64_t value, unsigned turns) {
    while (turns-- > 0) value = scramble(value + turns);
    return value;
}

static struct message *make(struct worker *worker) {
    size_t size = draw_size(worker, 32, 8192);
    uint64_t stamp = draw(worker);
    struct message *message;
    if (size >= 128 && one_in(worker, 4)) {
        message = take(worker, size / 4);
        stamp_bytes(message->body, size / 4 - sizeof *message, stamp);
        message = take_resized(worker, message, size / 2);
        message = take_resized(worker, message, size);
    } else {
        message = take(worker, size);
    }
    message->stamp = stamp;
    message->size = size;
    stamp_bytes(message->body, size - sizeof *message, stamp);
    return message;
}

static void produce(struct job *job, struct worker *worker) {
    size_t messages = scaled(job, MESSAGES, producers) / producers;
    struct outbox outboxes[MOST_THREADS / 2];
    for (unsigned i = 0; i < consumers; i++) outboxes[i].count = 0;
    for (size_t i = 0; i < messages; i++) {
        unsigned to = draw_below(worker, consumers);
        struct outbox *outbox = &outboxes[to];
        outbox->messages[outbox->count++] = make(worker);
        if (outbox->count == HANDOVER) put(&queues[to], outbox);
        if (i % (FAST_SPELL + SLOW_SPELL) >= FAST_SPELL) worker->checksum += work(i, 150);
    }
    for (unsigned i = 0; i < consumers; i++) {
        put(&queues[i], &outboxes[i]);
        end_writing(&queues[i]);
    }
}

static void drop(struct worker *worker, struct message *message) {
    if (!message) return;
    expect_stamp(message->body, message->size - sizeof *message, message->stamp);
    worker->checksum += scramble(message->stamp + message->size);
    free(message);
}

static struct message *work_on(struct worker *worker, struct message *message) {
    worker->checksum += work(message->stamp, 20);
    if (message->stamp % 8 == 0) {
        message = take_resized(worker, message, message->size + TRAILER);
        stamp_bytes((char *)message + message->size, TRAILER, message->stamp);
        message->size += TRAILER;
    }
    return message;
}

static void consume(struct worker *worker, struct queue *queue) {
    struct message *window[WINDOW] = {NULL}, *messages[HANDOVER];
    size_t count, seen = 0;
    while ((count = get(queue, messages)) > 0) {
        for (size_t i = 0; i < count; i++) {
            struct message **place = &window[seen++ % WINDOW];
            drop(worker, *place);
            *place = work_on(worker, messages[i]);
        }
    }
    for (size_t i = 0; i < WINDOW; i++) {
        drop(worker, window[i]);
    }
}

static void produce_or_consume(struct job *job, struct worker *worker) {
    if (worker->seat < producers) {
        produce(job, worker);
    } else {
        consume(worker, &queues[worker->seat - producers]);
    }
}

static void run(struct job *job) {
    consumers = job->threads / 2;
    producers = job->threads - consumers;
    for (unsigned i = 0; i < consumers; i++) {
        queues[i].writers = producers;
        pthread_mutex_init(&queues[i].lock, NULL);
        pthread_cond_init(&queues[i].not_empty, NULL);
        pthread_cond_init(&queues[i].not_full, NULL);
    }
    run_threads(job, job->threads, produce_or_consume);
}

const struct model model_pipeline = {"pipeline", run, 2, MOST_THREADS};
