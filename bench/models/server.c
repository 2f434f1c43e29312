/*
 * server: threads replace each other's objects in shared slots, and are replaced themselves.
 *
 * A slot holds a session: an object of 48 to 512 bytes with a buffer of 64 bytes to 4 KiB. A
 * request draws a slot, needs some short strings while it lasts, builds a new session (a quarter of
 * the buffers grows on the way, as more input arrives) and exchanges it for the one in the slot,
 * which another thread made as a rule, and often one that has ended. After 20 000 requests a thread
 * ends and another takes its place. Some 30 MiB live.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    SLOTS = 16384,
    REQUESTS_OF_A_LIFE = 20000,
    REQUESTS = 2000000, /* at scale 1 */
    SHORT_STRINGS = 3,
};

struct session {
    uint64_t stamp;
    uint32_t size, buffer_size; /* bytes; size is the whole object's */
    char *buffer;
    char state[];
};

static _Atomic(struct session *) slots[SLOTS];

static struct session *open_session(struct worker *worker) {
    size_t size = draw_size(worker, 48, 512), buffer_size = draw_size(worker, 64, 4096);
    bool grows = one_in(worker, 4);
    struct session *session = take(worker, size);
    session->stamp = draw(worker);
    session->size = (uint32_t)size;
    session->buffer_size = (uint32_t)buffer_size;
    session->buffer = take(worker, grows ? buffer_size / 2 : buffer_size);
    stamp_bytes(session->state, size - sizeof *session, session->stamp);
    stamp_bytes(session->buffer, grows ? buffer_size / 2 : buffer_size, session->stamp);
    if (grows) {
        session->buffer = take_resized(worker, session->buffer, buffer_size);
        stamp_bytes(session->buffer + buffer_size / 2, buffer_size - buffer_size / 2,
                    session->stamp);
    }
    return session;
}

static void close_session(struct worker *worker, struct session *session) {
    if (!session) return;
    worker->checksum += scramble(session->stamp + session->size);
    expect_stamp(session->state, session->size - sizeof *session, session->stamp);
    expect_stamp(session->buffer, session->buffer_size, session->stamp);
    free(session->buffer);
    free(session);
}

static void serve(struct worker *worker) {
    char *strings[SHORT_STRINGS];
    uint32_t count = 1 + draw_below(worker, SHORT_STRINGS);
    for (uint32_t i = 0; i < count; i++) {
        size_t size = draw_size(worker, 16, 256);
        strings[i] = take(worker, size);
        stamp_bytes(strings[i], size, i);
    }
    struct session *session = open_session(worker);
    /* release: the other thread sees the whole session; acquire: this one sees that of the other */
    struct session *old =
        atomic_exchange_explicit(&slots[draw_below(worker, SLOTS)], session, memory_order_acq_rel);
    close_session(worker, old);
    for (uint32_t i = 0; i < count; i++) {
        worker->checksum += (unsigned char)strings[i][0];
        free(strings[i]);
    }
}

static void live_as_server(struct job *job, struct worker *worker) {
    size_t requests = scaled(job, REQUESTS_OF_A_LIFE, 1);
    if (requests > REQUESTS_OF_A_LIFE) requests = REQUESTS_OF_A_LIFE;
    for (size_t i = 0; i < requests; i++) {
        serve(worker);
    }
}

static void run(struct job *job) {
    struct worker first = worker_make(job, MOST_THREADS, 0);
    for (size_t i = 0; i < SLOTS; i++) {
        atomic_store_explicit(&slots[i], open_session(&first), memory_order_relaxed);
    }
    size_t lives = scaled(job, REQUESTS, 1) / REQUESTS_OF_A_LIFE / job->threads;
    run_lives(job, job->threads, 0, lives < 2 ? 2 : (unsigned)lives, live_as_server);
    for (size_t i = 0; i < SLOTS; i++) {
        close_session(&first, atomic_exchange_explicit(&slots[i], NULL, memory_order_acquire));
    }
    worker_finish(job, &first);
}

const struct model model_server = {"server", run, 1, MOST_THREADS};
