/*
 * buffers: large buffers, replaced at random.
 *
 * One thread has twenty places. Each step draws a place and a size of 5 to 25 MiB, makes a buffer
 * of it, writes all of it, and drops what lay in the place before: as programs do that decode
 * pictures, or read files in pieces. About 300 MiB are live. Every byte is written, so what is
 * measured is how often the kernel has to find, clear and map memory anew.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    PLACES = 20,
    LEAST = 5 << 20, /* bytes of a buffer */
    MOST = 25 << 20,
    STEPS = 500, /* at scale 1 */
};

struct buffer {
    size_t size;
    uint64_t stamp;
    char rest[];
};

static void drop(struct worker *worker, struct buffer *buffer) {
    if (!buffer) return;
    worker->checksum += scramble(buffer->stamp + buffer->size);
    expect_stamp(buffer->rest, buffer->size - sizeof *buffer, buffer->stamp);
    free(buffer);
}

static struct buffer *make(struct worker *worker) {
    size_t size = LEAST + draw_below(worker, MOST - LEAST);
    struct buffer *buffer = take(worker, size);
    buffer->size = size;
    buffer->stamp = draw(worker);
    stamp_bytes(buffer->rest, size - sizeof *buffer, buffer->stamp);
    return buffer;
}

static void replace_at_random(struct job *job, struct worker *worker) {
    struct buffer *places[PLACES] = {NULL};
    for (size_t steps = scaled(job, STEPS, 40); steps > 0; steps--) {
        struct buffer **place = &places[draw_below(worker, PLACES)];
        struct buffer *old = *place;
        *place = make(worker);
        drop(worker, old);
    }
    for (size_t i = 0; i < PLACES; i++) drop(worker, places[i]);
}

static void run(struct job *job) { run_threads(job, 1, replace_at_random); }

const struct model model_buffers = {"buffers", run, 1, 1};
