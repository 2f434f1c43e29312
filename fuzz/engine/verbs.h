/*
 * verbs: right uses of the allocator, and what must come of them.
 *
 * One function for each kind of operation: it picks its block, calls the subject, judges the
 * result, and keeps the shadow model in step. A verb for which there is no fitting block, or for
 * whose block the model has no place, does nothing. Only dispatch calls them, inside of
 * run_until_report().
 */
#ifndef ENGINE_VERBS_H
#define ENGINE_VERBS_H

#include "engine/run.h"

void verb_allocate(struct run *run, const struct input_op *op);
void verb_allocate_many(struct run *run, const struct input_op *op);
void verb_resize(struct run *run, const struct input_op *op);
void verb_free(struct run *run, const struct input_op *op);
void verb_free_many(struct run *run, const struct input_op *op);
void verb_free_null(struct run *run, const struct input_op *op);
void verb_reject(struct run *run, const struct input_op *op);
void verb_usable(struct run *run, const struct input_op *op);
void verb_owns(struct run *run, const struct input_op *op);
void verb_check(struct run *run, const struct input_op *op);
void verb_trim(struct run *run, const struct input_op *op);
void verb_clock(struct run *run, const struct input_op *op);
void verb_fault(struct run *run, const struct input_op *op);

/* A new block, or one that a resize gave, is judged, taken into the model and filled. Its index;
   SHADOW_NONE: the run is over. */
uint16_t verb_take(struct run *run, uintptr_t start, size_t requested, size_t alignment,
                   enum block_origin origin, bool zeroed);
/* The same of what a resize gave for that block, which is out of the model. */
uint16_t verb_take_resized(struct run *run, const struct shadow_block *old, uintptr_t start,
                           size_t size);
/* Compares and frees one live block; `sized`: with its size, where its origin allows that. */
void verb_free_block(struct run *run, uint16_t index, bool sized);

#endif
