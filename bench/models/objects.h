/*
 * objects: the values of the interpreter model: numbers in boxes, strings, lists and dictionaries,
 * with counted references.
 *
 * A function that makes an object returns it with one reference, the caller's. What is put into a
 * list or a dictionary takes over the caller's reference; what is looked at there stays theirs.
 * Used by interpreter.c alone; one thread.
 */
#ifndef BENCH_OBJECTS_H
#define BENCH_OBJECTS_H

#include "model.h"

enum kind { NUMBER, STRING, LIST, DICTIONARY };

struct object {
    uint32_t references;
    enum kind kind;
};

struct number {
    struct object object;
    int64_t value;
};

struct string {
    struct object object;
    uint32_t length; /* bytes, without the zero at the end */
    uint32_t hash;
    char bytes[];
};

struct list {
    struct object object;
    size_t count, room; /* items */
    struct object **items;
};

/* A place without a key is free; searches go on to the next place. */
struct place {
    struct string *key;
    struct object *value;
};

struct dictionary {
    struct object object;
    size_t count, room; /* room: a power of two, 0 before the first key */
    struct place *places;
};

struct object *number_make(struct worker *worker, int64_t value);
struct string *string_make(struct worker *worker, const char *bytes, size_t length);
struct string *string_join(struct worker *worker, const struct string *left,
                           const struct string *right);
struct list *list_make(struct worker *worker);
void list_append(struct worker *worker, struct list *list, struct object *item);
struct dictionary *dictionary_make(struct worker *worker);
/* NULL: no such key. */
struct object *dictionary_get(const struct dictionary *dictionary, const struct string *key);
/* Takes over the value, and shares the key. */
void dictionary_set(struct worker *worker, struct dictionary *dictionary, struct string *key,
                    struct object *value);
void dictionary_remove(struct dictionary *dictionary, const struct string *key);

static inline void *share(void *object) {
    ((struct object *)object)->references++;
    return object;
}

/* Gives up one reference; the last one frees the object and gives up what it holds. */
void release(void *object);

static inline int64_t number_of(const struct object *object) {
    if (object->kind != NUMBER) give_up("a value is of the wrong kind");
    return ((const struct number *)object)->value;
}

#endif
