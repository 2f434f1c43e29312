/*
 * explore: every interleaving of a small program. See the header.
 *
 * The path holds a node for each place where more than one thread could go on, and one for each
 * load that may be given an old value. What a thread that has not begun, makes a system call, or is
 * between two operations, will touch is unknown, so it is independent of nothing: which block an
 * operation is about depends on what others have returned by then.
 */
#include "engine/explore.h"

#include "engine/team.h"

enum { DEPTH_MAX = 8192 };

struct node {
    uint8_t ready, done, sleep; /* sets of threads: could go on; tried; need not be tried */
    uint8_t self, chosen;
    uint8_t preemptions; /* before this node */
    uint8_t values;      /* a load's: so many it may be given, `chosen` is one; else 0 */
    uint8_t old;         /* values that were not the newest, before this node */
    unsigned switched;   /* the last place to switch before this node, and one more; 0: none */
    struct team_access next[VIEWS_THREADS];
};

static struct {
    struct node path[DEPTH_MAX];
    unsigned depth;  /* nodes that the run has come to */
    unsigned length; /* nodes of the path that is given */
    struct explore_bounds bounds;
    unsigned deepest;
} search;

static bool are_independent(const struct team_access *one, const struct team_access *other) {
    if (one->word == NULL || other->word == NULL) return false;
    return one->word != other->word || (!one->writes && !other->writes);
}

static bool preempts(const struct node *node, unsigned thread) {
    return thread != node->self && (node->ready >> node->self & 1) != 0;
}

/* Threads that a node may still try. */
static unsigned open_choices(const struct node *node) {
    unsigned open = node->ready & ~(unsigned)node->done & ~(unsigned)node->sleep;
    if (node->preemptions < search.bounds.preemptions || !(node->ready >> node->self & 1))
        return open;
    return open & (1u << node->self);
}

/* What need not be tried after the chosen step: threads whose step was tried before it, or slept
   already, and does not touch what it touches. */
static unsigned sleep_after(const struct node *node) {
    unsigned before = node->sleep | node->done, sleep = 0;
    for (unsigned i = 0; i < VIEWS_THREADS; i++)
        if (before >> i & 1 && i != node->chosen &&
            are_independent(&node->next[i], &node->next[node->chosen]))
            sleep |= 1u << i;
    return sleep;
}

/* With what the nodes before it come to. */
static struct node *new_node(void) {
    struct node *node = &search.path[search.length++];
    *node = (struct node){0};
    if (node == search.path) return node;
    const struct node *before = node - 1;
    bool is_switch = before->values == 0;
    node->switched = is_switch ? search.length - 1 : before->switched;
    node->old = (uint8_t)(before->old + (!is_switch && before->chosen != 0));
    node->preemptions =
        (uint8_t)(before->preemptions + (is_switch && preempts(before, before->chosen)));
    return node;
}

static void new_switch(unsigned self, unsigned ready) {
    struct node *node = new_node();
    node->ready = (uint8_t)ready;
    node->self = (uint8_t)self;
    for (unsigned i = 0; i < VIEWS_THREADS; i++) node->next[i] = team_pending(i);
    if (node->switched != 0) node->sleep = (uint8_t)sleep_after(&search.path[node->switched - 1]);
    unsigned open = open_choices(node);
    /* nothing new lies ahead, but for what the bound on preemptions has cut off elsewhere */
    if (open == 0) node->done = node->ready;
    if (open == 0) open = ready;
    node->chosen = (uint8_t)(open >> self & 1 ? self : (unsigned)__builtin_ctz(open));
}

static unsigned choose(void *context, unsigned self, unsigned ready) {
    (void)context;
    if (search.depth == DEPTH_MAX) return ready >> self & 1 ? self : (unsigned)__builtin_ctz(ready);
    if (search.depth == search.length) new_switch(self, ready);
    unsigned chosen = search.path[search.depth++].chosen;
    if (search.depth > search.deepest) search.deepest = search.depth;
    return ready >> chosen & 1 ? chosen : (unsigned)__builtin_ctz(ready);
}

/* A load that may be given an old value. */
static unsigned choose_value(void *context, unsigned count) {
    (void)context;
    if (search.depth == DEPTH_MAX) return 0;
    if (search.depth == search.length) new_node()->values = (uint8_t)count;
    const struct node *node = &search.path[search.depth++];
    if (search.depth > search.deepest) search.deepest = search.depth;
    return node->chosen < count ? node->chosen : 0;
}

/* Whether a load is given the next older value. */
static bool takes_older(struct node *node) {
    if (node->old == search.bounds.old || node->chosen + 1 == node->values) return false;
    node->chosen++;
    return true;
}

/* The next path; false: all were run. */
static bool backtrack(void) {
    while (search.length > 0) {
        struct node *node = &search.path[search.length - 1];
        if (node->values != 0) {
            if (takes_older(node)) return true;
            search.length--;
            continue;
        }
        node->done |= (uint8_t)(1u << node->chosen);
        unsigned open = open_choices(node);
        if (open != 0) {
            node->chosen = (uint8_t)__builtin_ctz(open);
            return true;
        }
        search.length--;
    }
    return false;
}

struct explore_result explore(struct run *run, const struct subject *subject,
                              const struct input *input, struct explore_bounds bounds) {
    struct team_plan plan = {.next = choose,
                             .yield = choose,
                             .value = bounds.old != 0 ? choose_value : NULL,
                             .between = true};
    struct explore_result result = {0, 0, 0, true};
    search.bounds = bounds;
    search.length = search.deepest = 0;
    for (bool more = true; more;) {
        if (result.runs == bounds.runs) {
            result.complete = false;
            break;
        }
        search.depth = 0;
        team_run_with(run, subject, input, &plan);
        plan.keep = plan.again = true;
        result.runs++;
        unsigned shared = views_shared_words();
        if (shared != result.shared)
            search.length = 0; /* there are more places to switch than the path has */
        else
            more = backtrack();
        result.shared = shared;
    }
    team_leave(run);
    result.deepest = search.deepest;
    result.complete &= search.deepest < DEPTH_MAX;
    return result;
}
