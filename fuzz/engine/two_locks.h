/*
 * two_locks: verbs that take two locks, malloc in this order and free in that.
 *
 * A bug that the programs of controls plant in front of moat, each with a lock of its own: how who
 * does not get it waits says which oracle shall find it.
 */
#ifndef ENGINE_TWO_LOCKS_H
#define ENGINE_TWO_LOCKS_H

#include "base/atomic.h"
#include "engine/subject.h"

static struct {
    uint32_t words[2]; /* 1: somebody has it */
    void (*lock)(uint32_t *word);
} two_locks;

static void two_locks_unlock(uint32_t *word) {
    atomic_store_release(word, 0u); /* pairs with two_locks.lock */
}

static void two_locks_begin(struct life life,
                            void (*on_report)(enum report_kind kind, uintptr_t address)) {
    subject_moat.begin(life, on_report);
    two_locks.words[0] = two_locks.words[1] = 0;
}

static void *two_locks_malloc(size_t size) {
    two_locks.lock(&two_locks.words[0]);
    two_locks.lock(&two_locks.words[1]);
    void *block = subject_moat.malloc(size);
    two_locks_unlock(&two_locks.words[1]);
    two_locks_unlock(&two_locks.words[0]);
    return block;
}

static void two_locks_free(void *block) {
    two_locks.lock(&two_locks.words[1]);
    two_locks.lock(&two_locks.words[0]);
    subject_moat.free(block);
    two_locks_unlock(&two_locks.words[0]);
    two_locks_unlock(&two_locks.words[1]);
}

static void two_locks_plant(struct subject *planted, void (*lock)(uint32_t *word)) {
    two_locks.lock = lock;
    planted->begin = two_locks_begin;
    planted->malloc = two_locks_malloc;
    planted->free = two_locks_free;
}

#endif
