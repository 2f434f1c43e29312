/*
 * lists: one thread builds a list and drops it, again and again.
 *
 * A round builds a list of nodes of 24 to 72 bytes up to some 20 MiB, walks it, and frees it from
 * the front; then a little is done with what is left, and the next round begins. All that a round
 * took is free at its end, and wanted again at once.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    NODES = 400000, /* of one list */
    ROUNDS = 24,    /* at scale 1 */
};

struct node {
    struct node *next;
    uint32_t size, stamp;
    char rest[];
};

static struct node *build(struct worker *worker, size_t nodes) {
    struct node *list = NULL;
    for (; nodes > 0; nodes--) {
        size_t size = sizeof *list + 8 + draw_below(worker, 49);
        struct node *node = take(worker, size);
        *node = (struct node){.next = list, .size = (uint32_t)size, .stamp = draw(worker)};
        stamp_bytes(node->rest, size - sizeof *node, node->stamp);
        list = node;
    }
    return list;
}

static void drop(struct worker *worker, struct node *list) {
    while (list) {
        struct node *next = list->next;
        worker->checksum += scramble(((uint64_t)list->size << 32) + list->stamp);
        expect_stamp(list->rest, list->size - sizeof *list, list->stamp);
        free(list);
        list = next;
    }
}

static void build_and_drop(struct job *job, struct worker *worker) {
    for (size_t rounds = scaled(job, ROUNDS, 3); rounds > 0; rounds--) {
        drop(worker, build(worker, NODES));
        drop(worker, build(worker, NODES / 100));
    }
}

static void run(struct job *job) { run_threads(job, 1, build_and_drop); }

const struct model model_lists = {"lists", run, 1, 1};
