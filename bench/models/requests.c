/*
 * requests: one thread answers requests, each by text that is built, joined, encoded and taken
 * apart, as scripts do that make pages.
 *
 * A request makes a few thousand strings of 0 to 700 bytes; joins them in a buffer that grows in
 * small steps to a megabyte, and writes that larger into another; notes in arrays that double what
 * it finds there, with a small block for each; and drops everything. So small blocks, large ones
 * and huge ones come and go by turns, ten megabytes and more each time.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    REQUESTS = 60, /* at scale 1 */
    STRINGS = 3000,
    LONGEST = 700, /* bytes of a string */
    FOUND = 40000,
    TOKEN = 40,       /* the longest, bytes */
    STEP = 4096,      /* by which a buffer grows */
    FIRST_PLACES = 8, /* of an array that doubles */
};

struct text {
    char *bytes;
    size_t length, room;
};

struct string {
    uint32_t length, stamp;
    char bytes[];
};

struct match {
    struct string *string;
    size_t at;
};

static void append(struct worker *worker, struct text *text, const char *bytes, size_t length) {
    if (text->length + length > text->room) {
        text->room = (text->length + length + STEP - 1) / STEP * STEP;
        text->bytes = take_resized(worker, text->bytes, text->room);
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static struct string *make_string(struct worker *worker, size_t most) {
    uint32_t length = draw_below(worker, (uint32_t)most + 1);
    struct string *string = take(worker, sizeof *string + length);
    *string = (struct string){.length = length, .stamp = draw(worker)};
    stamp_bytes(string->bytes, length, string->stamp);
    return string;
}

static void drop_string(struct worker *worker, struct string *string) {
    worker->checksum += scramble(((uint64_t)string->length << 32) + string->stamp);
    expect_stamp(string->bytes, string->length, string->stamp);
    free(string);
}

/* Every fourth byte twice, as an encoding makes text longer. */
static struct text encode(struct worker *worker, const struct text *text) {
    struct text encoded = {NULL, 0, 0};
    for (size_t i = 0; i < text->length; i += 64) {
        char part[80];
        size_t count = text->length - i < 64 ? text->length - i : 64, made = 0;
        for (size_t j = 0; j < count; j++) {
            part[made++] = text->bytes[i + j];
            if (j % 4 == 0) part[made++] = text->bytes[i + j];
        }
        append(worker, &encoded, part, made);
    }
    return encoded;
}

static void answer(struct worker *worker) {
    static struct string *strings[STRINGS];
    struct text joined = {NULL, 0, 0};
    for (size_t i = 0; i < STRINGS; i++) strings[i] = make_string(worker, LONGEST);
    for (size_t i = 0; i < STRINGS; i++)
        append(worker, &joined, strings[i]->bytes, strings[i]->length);
    struct text encoded = encode(worker, &joined);
    for (size_t i = 0; i < STRINGS; i++) drop_string(worker, strings[i]);

    struct match *found = NULL;
    for (size_t i = 0, places = 0; i < FOUND; i++) {
        if (i == places) {
            places = places != 0 ? 2 * places : FIRST_PLACES;
            found = take_resized(worker, found, places * sizeof *found);
        }
        found[i] = (struct match){make_string(worker, TOKEN), i};
    }
    worker->checksum += scramble(joined.length) + scramble(encoded.length);
    free(joined.bytes);
    for (size_t i = 0; i < FOUND; i++) drop_string(worker, found[i].string);
    free(found);
    free(encoded.bytes);
}

static void serve(struct job *job, struct worker *worker) {
    for (size_t left = scaled(job, REQUESTS, 3); left > 0; left--) answer(worker);
}

static void run(struct job *job) { run_threads(job, 1, serve); }

const struct model model_requests = {"requests", run, 1, 1};
