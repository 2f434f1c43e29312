/*
 * ways: see ways.h.
 */
#include "ways.h"

struct worker other_thread;
static char *subject;

static void take_task(void *size) { subject = take(*(size_t *)size); }

char *take_by(enum way way, size_t size) {
    struct worker owner;
    worker_start(&other_thread);
    if (way == REMOTE) worker_do(&other_thread, take_task, &size);
    if (way == ENDED) {
        worker_start(&owner);
        worker_do(&owner, take_task, &size);
        worker_end(&owner);
    }
    if (way == LOCAL || way == CHILD) take_task(&size);
    return launder(subject);
}

void give_by(enum way way, char *block) {
    if (way == CHILD)
        in_child(give_task, block);
    else
        give(block);
}
