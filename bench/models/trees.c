/*
 * trees: threads build balanced and random trees with payloads, and drop them.
 *
 * A balanced tree of 4095 nodes is built from the leaves up, walked and dropped. A random one grows
 * by the insertion of 3000 drawn keys, loses its smaller half again, and is walked and dropped; its
 * nodes have payloads of 8 to 256 bytes in blocks of their own. Of the random trees each thread
 * keeps the last sixteen, and one in eight goes to a shared place instead, where the thread that
 * puts the next one there drops it.
 */
#define _GNU_SOURCE
#include "model.h"

enum {
    DEPTH = 12,    /* of the balanced trees */
    KEYS = 3000,   /* of a random tree */
    KEPT = 16,     /* random trees of one thread */
    PLACES = 16,   /* of trees on their way to another thread */
    ROUNDS = 2000, /* at scale 1; in each a tree of either kind */
};

struct node {
    struct node *left, *right;
    uint32_t key, payload_size;
    char *payload; /* NULL in balanced trees */
};

static _Atomic(struct node *) places[PLACES];

static struct node *make_node(struct worker *worker, uint32_t key, size_t payload_size) {
    struct node *node = take(worker, sizeof *node);
    *node = (struct node){.key = key, .payload_size = (uint32_t)payload_size};
    if (payload_size > 0) {
        node->payload = take(worker, payload_size);
        stamp_bytes(node->payload, payload_size, key);
    }
    return node;
}

static void drop_node(struct node *node) {
    expect_stamp(node->payload, node->payload_size, node->key);
    free(node->payload);
    free(node);
}

static struct node *build_balanced(struct worker *worker, unsigned depth) {
    if (depth == 0) return NULL;
    struct node *left = build_balanced(worker, depth - 1),
                *right = build_balanced(worker, depth - 1);
    struct node *node = make_node(worker, draw(worker), 0);
    node->left = left;
    node->right = right;
    return node;
}

static uint64_t walk(const struct node *node) {
    return node ? scramble(node->key + node->payload_size) + walk(node->left) + walk(node->right)
                : 0;
}

static void drop_tree(struct node *node) {
    if (!node) return;
    drop_tree(node->left);
    drop_tree(node->right);
    drop_node(node);
}

static void insert(struct worker *worker, struct node **root) {
    uint32_t key = draw(worker);
    while (*root) {
        root = key < (*root)->key ? &(*root)->left : &(*root)->right;
    }
    *root = make_node(worker, key, draw_size(worker, 8, 256));
}

/* Takes out the `count` least keys. */
static void remove_least(struct worker *worker, struct node **root, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct node **least = root, *node;
        while ((*least)->left) {
            least = &(*least)->left;
        }
        node = *least;
        *least = node->right;
        worker->checksum += scramble(node->key);
        drop_node(node);
    }
}

static struct node *build_random(struct worker *worker) {
    struct node *root = NULL;
    for (size_t i = 0; i < KEYS; i++) {
        insert(worker, &root);
    }
    remove_least(worker, &root, KEYS / 2);
    return root;
}

static void finish(struct worker *worker, struct node *tree) {
    worker->checksum += walk(tree);
    drop_tree(tree);
}

static void grow_trees(struct job *job, struct worker *worker) {
    struct node *kept[KEPT] = {NULL};
    size_t rounds = scaled(job, ROUNDS, job->threads) / job->threads;
    for (size_t i = 0; i < rounds; i++) {
        finish(worker, build_balanced(worker, DEPTH));
        struct node *tree = build_random(worker);
        uint32_t at = draw_below(worker, KEPT);
        /* release: whoever takes it sees the whole tree; acquire: this thread sees that of the
         * other */
        if (one_in(worker, 8))
            tree = atomic_exchange_explicit(&places[draw_below(worker, PLACES)], tree,
                                            memory_order_acq_rel);
        finish(worker, kept[at]);
        kept[at] = tree;
    }
    for (size_t i = 0; i < KEPT; i++) {
        finish(worker, kept[i]);
    }
}

static void run(struct job *job) {
    struct worker last = worker_make(job, MOST_THREADS, 0);
    run_threads(job, job->threads, grow_trees);
    for (size_t i = 0; i < PLACES; i++) {
        finish(&last, atomic_exchange_explicit(&places[i], NULL, memory_order_acquire));
    }
    worker_finish(job, &last);
}

const struct model model_trees = {"trees", run, 1, MOST_THREADS};
