/*
 * interpreter: what the run-time system of a script language asks of malloc: one thread, tiny
 * objects, most of them for a moment.
 *
 * Five scripts, as such programs do them, drawn in turn: a recursive function (a frame for each
 * call, its numbers in boxes); words that are joined to a text and split again; lists that are
 * filtered, mapped and joined; a dictionary that counts words and forgets some; objects, each a
 * dictionary of fields, that are changed in place. The last hundred results stay in a global
 * dictionary, so that short lives end among long ones. Most blocks have 16 to 64 bytes.
 */
#define _GNU_SOURCE
#include "objects.h"

enum {
    SCRIPTS = 15000, /* run at scale 1 */
    NAMES = 100,     /* global results */
    WORDS = 500,     /* different ones */
    FIBONACCI = 15,
    LOCALS = 3,
};

static struct string *words[WORDS], *names[NAMES], *field_names[4];

struct frame {
    struct frame *caller;
    struct object *locals[LOCALS];
};

static struct frame *enter(struct worker *worker, struct frame *caller) {
    struct frame *frame = take(worker, sizeof *frame);
    *frame = (struct frame){.caller = caller};
    return frame;
}

static void leave(struct frame *frame) {
    for (size_t i = 0; i < LOCALS; i++) {
        if (frame->locals[i]) release(frame->locals[i]);
    }
    free(frame);
}

static struct object *fibonacci(struct worker *worker, struct frame *caller,
                                struct object *argument) {
    if (number_of(argument) < 2) return share(argument);
    struct frame *frame = enter(worker, caller);
    frame->locals[0] = number_make(worker, number_of(argument) - 1);
    frame->locals[1] = fibonacci(worker, frame, frame->locals[0]);
    release(frame->locals[0]);
    frame->locals[0] = number_make(worker, number_of(argument) - 2);
    frame->locals[2] = fibonacci(worker, frame, frame->locals[0]);
    struct object *result =
        number_make(worker, number_of(frame->locals[1]) + number_of(frame->locals[2]));
    leave(frame);
    return result;
}

static struct object *script_calls(struct worker *worker) {
    struct object *argument = number_make(worker, FIBONACCI),
                  *result = fibonacci(worker, NULL, argument);
    worker->checksum += scramble((uint64_t)number_of(result));
    release(argument);
    return result;
}

/* A text of a dozen words, by a new string for each step as + does it, and the list of its
 * words. */
static struct object *script_text(struct worker *worker) {
    struct list *texts = list_make(worker);
    for (size_t i = 0; i < 40; i++) {
        struct string *text = string_make(worker, "", 0);
        for (size_t part = 0; part < 12; part++) {
            struct string *longer = string_join(worker, text, words[draw_below(worker, WORDS)]);
            release(text);
            text = longer;
        }
        struct list *parts = list_make(worker);
        for (size_t from = 0, to; from < text->length; from = to + 1) {
            for (to = from; to < text->length && text->bytes[to] != ' ';) to++;
            struct string *part = string_make(worker, text->bytes + from, to - from);
            worker->checksum += part->hash;
            list_append(worker, parts, &part->object);
        }
        release(text);
        list_append(worker, texts, &parts->object);
    }
    return &texts->object;
}

static struct object *script_lists(struct worker *worker) {
    struct list *all = list_make(worker), *kept = list_make(worker), *doubled = list_make(worker);
    for (int64_t i = 0; i < 1000; i++) {
        list_append(worker, all, number_make(worker, draw(worker) % 10000));
    }
    for (size_t i = 0; i < all->count; i++) {
        if (number_of(all->items[i]) % 3 == 0) list_append(worker, kept, share(all->items[i]));
    }
    for (size_t i = 0; i < kept->count; i++) {
        struct object *twice = number_make(worker, 2 * number_of(kept->items[i]));
        worker->checksum += scramble((uint64_t)number_of(twice));
        list_append(worker, doubled, twice);
    }
    release(all);
    release(kept);
    return &doubled->object;
}

static struct object *script_counts(struct worker *worker) {
    struct dictionary *counts = dictionary_make(worker);
    for (size_t i = 0; i < 1500; i++) {
        struct string *word = words[draw_below(worker, 1 + draw_below(worker, WORDS))];
        struct string *copy = string_make(worker, word->bytes, word->length);
        struct object *count = dictionary_get(counts, copy);
        int64_t next = count ? number_of(count) + 1 : 1;
        if (next % 8 == 0) {
            dictionary_remove(counts, copy);
        } else {
            dictionary_set(worker, counts, copy, number_make(worker, next));
        }
        release(copy);
    }
    worker->checksum += scramble(counts->count);
    return &counts->object;
}

static struct object *script_objects(struct worker *worker) {
    struct list *objects = list_make(worker);
    for (size_t i = 0; i < 100; i++) {
        struct dictionary *fields = dictionary_make(worker);
        for (size_t field = 0; field < 3; field++) {
            dictionary_set(worker, fields, field_names[field],
                           number_make(worker, draw(worker) % 1000));
        }
        dictionary_set(worker, fields, field_names[3], share(words[draw_below(worker, WORDS)]));
        list_append(worker, objects, &fields->object);
    }
    for (size_t step = 0; step < 1000; step++) {
        struct dictionary *fields =
            (struct dictionary *)objects->items[draw_below(worker, (uint32_t)objects->count)];
        struct string *field = field_names[draw_below(worker, 3)];
        int64_t value = number_of(dictionary_get(fields, field)) + 1;
        dictionary_set(worker, fields, field, number_make(worker, value));
        worker->checksum += (uint64_t)value;
    }
    return &objects->object;
}

typedef struct object *script(struct worker *worker);
static script *const scripts[] = {script_calls, script_text, script_lists, script_counts,
                                  script_objects};

/* Letters and a blank behind them. */
static struct string *make_word(struct worker *worker) {
    char letters[16];
    size_t length = 2 + draw_below(worker, 11);
    for (size_t i = 0; i + 1 < length; i++) {
        letters[i] = (char)('a' + draw_below(worker, 26));
    }
    letters[length - 1] = ' ';
    return string_make(worker, letters, length);
}

static void make_words(struct worker *worker, struct string **strings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        strings[i] = make_word(worker);
    }
}

static void release_words(struct string **strings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        release(strings[i]);
    }
}

static void interpret(struct job *job, struct worker *worker) {
    enum {
        FIELDS = sizeof field_names / sizeof *field_names,
        KINDS = sizeof scripts / sizeof *scripts
    };
    size_t runs = scaled(job, SCRIPTS, KINDS);
    make_words(worker, words, WORDS);
    make_words(worker, names, NAMES);
    make_words(worker, field_names, FIELDS);
    struct dictionary *globals = dictionary_make(worker);
    for (size_t i = 0; i < runs; i++) {
        struct object *result = scripts[draw_below(worker, KINDS)](worker);
        dictionary_set(worker, globals, names[draw_below(worker, NAMES)], result);
    }
    release(globals);
    release_words(words, WORDS);
    release_words(names, NAMES);
    release_words(field_names, FIELDS);
}

/* In the main thread, as interpreters run. */
static void run(struct job *job) {
    struct worker worker = worker_make(job, 0, 0);
    pin_to(&job->processors, 0);
    interpret(job, &worker);
    worker_finish(job, &worker);
}

const struct model model_interpreter = {"interpreter", run, 1, 1};
