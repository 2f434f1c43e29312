/*
 * list: the one kind of list for records of a table (a heap's segments, the pages of a class).
 *
 * A list is the index of its first record; 0 is none, for record 0 of each table is never in use. A
 * record has a struct list_node for each list it can stand in, written by whoever owns the list.
 * Nothing here allocates, locks or fails. A record that stands in the list must not be pushed, one
 * that does not must not be removed.
 *
 *     list_push_back(&heap->queues[size_class], pages_in_queue(), page_index(page));
 */
#ifndef MOAT_LIST_H
#define MOAT_LIST_H

#include "base/base.h"

struct list {
    uint32_t first; /* 0: empty */
};

struct list_node {
    uint32_t next; /* 0: this is the last */
    uint32_t prev; /* of the first: the last, so that a list is one word */
};

/* Where the nodes of a table's records lie. */
struct list_table {
    uintptr_t base; /* of record 0 */
    size_t stride;  /* bytes from one to the next */
};

MOAT_INLINE struct list_node *list_node(struct list_table table, uint32_t index) {
    return (struct list_node *)(table.base + index * table.stride);
}

MOAT_INLINE bool list_is_empty(const struct list *list) { return list->first == 0; }

MOAT_INLINE uint32_t list_next(struct list_table table, uint32_t index) {
    return list_node(table, index)->next;
}

/* 0: the list is empty. */
MOAT_INLINE uint32_t list_last(const struct list *list, struct list_table table) {
    return list->first != 0 ? list_node(table, list->first)->prev : 0;
}

MOAT_INLINE void list_push_front(struct list *list, struct list_table table, uint32_t index) {
    uint32_t second = list->first, last = index;
    if (second != 0) {
        last = list_node(table, second)->prev;
        list_node(table, second)->prev = index;
    }
    *list_node(table, index) = (struct list_node){.next = second, .prev = last};
    list->first = index;
}

MOAT_INLINE void list_push_back(struct list *list, struct list_table table, uint32_t index) {
    uint32_t first = list->first;
    if (first == 0) {
        list_push_front(list, table, index);
        return;
    }
    uint32_t last = list_node(table, first)->prev;
    *list_node(table, index) = (struct list_node){.next = 0, .prev = last};
    list_node(table, last)->next = index;
    list_node(table, first)->prev = index;
}

MOAT_INLINE void list_remove(struct list *list, struct list_table table, uint32_t index) {
    const struct list_node *node = list_node(table, index);
    if (node->next != 0)
        list_node(table, node->next)->prev = node->prev;
    else
        list_node(table, list->first)->prev = node->prev; /* the one before is the last now */
    if (list->first == index)
        list->first = node->next;
    else
        list_node(table, node->prev)->next = node->next;
}

#endif
