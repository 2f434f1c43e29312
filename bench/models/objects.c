/*
 * objects: see objects.h.
 *
 * Lists grow by half with realloc; dictionaries double, into a new table that all keys move to.
 * Nothing shrinks before it is freed.
 */
#define _GNU_SOURCE
#include "objects.h"

enum { FIRST_ROOM = 4 };

static struct object begin(enum kind kind) {
    return (struct object){.references = 1, .kind = kind};
}

struct object *number_make(struct worker *worker, int64_t value) {
    struct number *number = take(worker, sizeof *number);
    *number = (struct number){begin(NUMBER), value};
    return &number->object;
}

static struct string *string_room(struct worker *worker, size_t length) {
    struct string *string = take(worker, sizeof *string + length + 1);
    *string = (struct string){.object = begin(STRING), .length = (uint32_t)length};
    return string;
}

static struct string *string_finish(struct string *string) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < string->length; i++) {
        hash = (hash ^ (unsigned char)string->bytes[i]) * 16777619u;
    }
    string->hash = hash;
    string->bytes[string->length] = '\0';
    return string;
}

struct string *string_make(struct worker *worker, const char *bytes, size_t length) {
    struct string *string = string_room(worker, length);
    memcpy(string->bytes, bytes, length);
    return string_finish(string);
}

struct string *string_join(struct worker *worker, const struct string *left,
                           const struct string *right) {
    struct string *string = string_room(worker, (size_t)left->length + right->length);
    memcpy(string->bytes, left->bytes, left->length);
    memcpy(string->bytes + left->length, right->bytes, right->length);
    return string_finish(string);
}

struct list *list_make(struct worker *worker) {
    struct list *list = take(worker, sizeof *list);
    *list = (struct list){.object = begin(LIST)};
    return list;
}

void list_append(struct worker *worker, struct list *list, struct object *item) {
    if (list->count == list->room) {
        list->room = list->room ? list->room + list->room / 2 : FIRST_ROOM;
        list->items = take_resized(worker, list->items, list->room * sizeof(struct object *));
    }
    list->items[list->count++] = item;
}

struct dictionary *dictionary_make(struct worker *worker) {
    struct dictionary *dictionary = take(worker, sizeof *dictionary);
    *dictionary = (struct dictionary){.object = begin(DICTIONARY)};
    return dictionary;
}

static bool equal(const struct string *left, const struct string *right) {
    return left == right || (left->hash == right->hash && left->length == right->length &&
                             memcmp(left->bytes, right->bytes, left->length) == 0);
}

/* Where the key is, or where it would go. */
static size_t find(const struct dictionary *dictionary, const struct string *key) {
    size_t at = key->hash & (dictionary->room - 1);
    while (dictionary->places[at].key && !equal(dictionary->places[at].key, key)) {
        at = (at + 1) & (dictionary->room - 1);
    }
    return at;
}

static void grow(struct worker *worker, struct dictionary *dictionary) {
    struct dictionary old = *dictionary;
    dictionary->room = old.room ? old.room * 2 : 2 * FIRST_ROOM;
    dictionary->places = take_zeroed(worker, dictionary->room, sizeof(struct place));
    for (size_t i = 0; i < old.room; i++) {
        if (old.places[i].key)
            dictionary->places[find(dictionary, old.places[i].key)] = old.places[i];
    }
    free(old.places);
}

struct object *dictionary_get(const struct dictionary *dictionary, const struct string *key) {
    return dictionary->room ? dictionary->places[find(dictionary, key)].value : NULL;
}

void dictionary_set(struct worker *worker, struct dictionary *dictionary, struct string *key,
                    struct object *value) {
    if (3 * (dictionary->count + 1) > 2 * dictionary->room) grow(worker, dictionary);
    struct place *place = &dictionary->places[find(dictionary, key)];
    if (place->key) {
        release(place->value);
    } else {
        place->key = share(key);
        dictionary->count++;
    }
    place->value = value;
}

/* The keys behind the hole that a search would now miss move up. */
void dictionary_remove(struct dictionary *dictionary, const struct string *key) {
    size_t mask = dictionary->room - 1, hole = dictionary->room ? find(dictionary, key) : 0;
    if (dictionary->room == 0 || !dictionary->places[hole].key) return;
    struct place gone = dictionary->places[hole];
    for (size_t at = (hole + 1) & mask; dictionary->places[at].key; at = (at + 1) & mask) {
        size_t home = dictionary->places[at].key->hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
        dictionary->places[hole] = dictionary->places[at];
        hole = at;
    }
    dictionary->places[hole] = (struct place){NULL, NULL};
    dictionary->count--;
    release(gone.key);
    release(gone.value);
}

static void release_items(struct list *list) {
    for (size_t i = 0; i < list->count; i++) {
        release(list->items[i]);
    }
    free(list->items);
}

static void release_places(struct dictionary *dictionary) {
    for (size_t i = 0; i < dictionary->room; i++) {
        if (!dictionary->places[i].key) continue;
        release(dictionary->places[i].key);
        release(dictionary->places[i].value);
    }
    free(dictionary->places);
}

void release(void *object) {
    struct object *head = object;
    if (--head->references > 0) return;
    switch (head->kind) {
    case LIST: release_items(object); break;
    case DICTIONARY: release_places(object); break;
    case NUMBER:
    case STRING: break;
    }
    free(object);
}
