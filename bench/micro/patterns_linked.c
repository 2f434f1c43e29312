/*
 * patterns_linked: bench-micro's patterns that build structures out of small nodes and walk them.
 *
 *   list-build   a list of a million nodes of 48 bytes is built in order; ns per node. Taking it
 *                down is not timed.
 *   list-walk    such a list, built once, is walked; ns per node. Shows how near to each other the
 *                allocator puts what is allocated one after the other: run it in a process of its
 *                own (--only list-walk), where the list gets memory that nobody used before.
 *   tree         a balanced binary tree of 32 767 nodes of 32 bytes is built from the root down,
 *                walked in the order of its keys, and dropped; ns per node for the three together
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

enum {
    LIST_NODES = 1000000,
    TREE_LEVELS = 15,
    TREE_NODES = (1 << TREE_LEVELS) - 1,
};

struct list_node {
    struct list_node *next;
    uint64_t values[5];
};
_Static_assert(sizeof(struct list_node) == 48, "the size that the target speaks of");

struct tree_node {
    struct tree_node *left, *right;
    uint64_t key, value;
};

static struct list_node *list;
static volatile uint64_t sum_of_walk; /* volatile: the walks are not compiled away */

static void build_list(size_t nodes) {
    struct list_node **end = &list;
    for (size_t i = 0; i < nodes; i++) {
        struct list_node *node = take(sizeof *node);
        node->values[0] = i;
        *end = node;
        end = &node->next;
    }
    *end = NULL;
}

static void drop_list(void) {
    while (list) {
        struct list_node *next = list->next;
        free(list);
        list = next;
    }
}

static bool prepare_list(size_t nodes) {
    build_list(nodes);
    return true;
}

static void finish_list(size_t nodes) {
    (void)nodes;
    drop_list();
}

static void run_list_build(size_t operations) {
    for (size_t done = 0; done < operations; done += LIST_NODES) {
        drop_list(); /* nothing there, unless --scale asks for several in one slice */
        build_list(LIST_NODES);
    }
}

static void run_list_walk(size_t operations) {
    uint64_t sum = 0;
    for (size_t done = 0; done < operations; done += LIST_NODES) {
        for (const struct list_node *node = list; node; node = node->next) {
            sum += node->values[0];
        }
    }
    sum_of_walk = sum;
}

/* The recursion is as deep as the tree has levels. */
static struct tree_node *build_tree(unsigned levels, uint64_t first_key) {
    if (levels == 0) return NULL;
    uint64_t half = (uint64_t)1 << (levels - 1);
    struct tree_node *node = take(sizeof *node);
    node->key = first_key + half - 1;
    node->value = node->key * 3;
    node->left = build_tree(levels - 1, first_key);
    node->right = build_tree(levels - 1, first_key + half);
    return node;
}

static uint64_t walk_tree(const struct tree_node *node) {
    if (!node) return 0;
    uint64_t left = walk_tree(node->left);
    return walk_tree(node->right) + (left ^ node->value);
}

static void drop_tree(struct tree_node *node) {
    if (!node) return;
    drop_tree(node->left);
    drop_tree(node->right);
    free(node);
}

static void run_tree(size_t operations) {
    uint64_t sum = 0;
    for (size_t done = 0; done < operations; done += TREE_NODES) {
        struct tree_node *root = build_tree(TREE_LEVELS, 0);
        sum += walk_tree(root);
        drop_tree(root);
    }
    sum_of_walk = sum;
}

const struct pattern linked_patterns[] = {
    {.name = "list-build",
     .run = run_list_build,
     .reset = drop_list,
     .operations = LIST_NODES,
     .unit = LIST_NODES},
    {.name = "list-walk",
     .prepare = prepare_list,
     .run = run_list_walk,
     .finish = finish_list,
     .operations = LIST_NODES,
     .unit = LIST_NODES,
     .amount = LIST_NODES},
    {.name = "tree", .run = run_tree, .operations = (size_t)TREE_NODES * 16, .unit = TREE_NODES},
    {.name = NULL},
};
