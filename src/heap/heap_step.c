/*
 * heap_step: memory that lies idle goes back as other memory is taken, while more of it lies idle
 * than may (usage.h): by a purge walk that waits for no time, or at once for what a huge block
 * took.
 */
#include "heap/heap.h"
#include "heap/huge.h"
#include "os/os.h"

/* Units that lie idle where the heap's thread can give them back. */
static int64_t idle_here(const struct heap *heap) {
    const struct usage *usage = ro.usage;
    size_t cached = atomic_load_unseen(&usage->cached) >> SLOT_SHIFT;
    int64_t left = atomic_load_unseen(&usage->left);
    return (int64_t)(heap->idle + cached) + left;
}

/* Whether some of the surplus lies here. Not so soon after a walk that gave nothing, but for a
   segment more. */
static bool may_begin(const struct heap *heap) {
    int64_t idle = idle_here(heap);
    const struct in_step *in_step = &heap->in_step;
    return idle >= (int64_t)USED_UNTOLD &&
           (heap->now >= in_step->rests || idle > in_step->rests_from);
}

void heap_step_begin(struct heap *heap) {
    if (!may_begin(heap)) return;
    heap->purge_at = 0;
    heap->purge_gave = heap->in_step.is_on = true;
}

void heap_step_end(struct heap *heap, bool gave) {
    struct in_step *in_step = &heap->in_step;
    if (!in_step->is_on) return;
    in_step->is_on = false;
    if (in_step->gave || gave || !usage_has_surplus(heap->now)) return;
    in_step->rests = heap->purge_at;
    in_step->rests_from = idle_here(heap) + (int64_t)SLOTS_PER_SEGMENT;
}

/* Bytes that a step gives back, about; and so many steps may give nothing. */
#define GIVEN_BY_A_STEP (2 * MIB)
#define STEPS_IN_VAIN 8u

void heap_make_up(size_t bytes) {
    struct heap *heap = heap_of_thread();
    if (heap != NULL)
        heap_enter(heap);
    else if ((heap = heap_try_late()) == NULL)
        return;
    heap->now = os_milliseconds();
    bool before = heap->in_step.is_on;
    unsigned in_vain = 0;
    heap->in_step.is_on = may_begin(heap);
    for (size_t steps = bytes / GIVEN_BY_A_STEP + 1;
         steps > 0 && in_vain < STEPS_IN_VAIN && heap_is_in_step(heap); steps--)
        in_vain += !heap_purge(heap, false);
    heap->in_step.is_on &= before;
    heap_release(heap);
}
