/*
 * sampling: which allocations become guarded samples (see sampling.h).
 */
#include "alloc/sampling.h"

#include "alloc/diagnose.h"
#include "heap/damage.h"
#include "heap/heap.h"
#include "os/os.h"
#include "report/registers.h"

/* With sample=auto: allocations from one sample to the next, if there is time for it; and how much
   time goes by for each unit that samples take. */
#define AUTO_DISTANCE 1000u
#define AUTO_SHARE 200u

static bool is_auto(void) { return ro.options.sample == SAMPLE_AUTO; }

/* From 1 to twice as many less one, each with the same chance: `sample` on average. */
static uint64_t draw_distance(struct heap *heap) {
    uint32_t mean = is_auto() ? AUTO_DISTANCE : ro.options.sample;
    return 1 + random_below(heap_random(heap), 2 * mean - 1);
}

/* A handler that allocates in between may be left out of the count. */
static bool is_not_due(void) {
    struct heap *heap = heap_of_thread();
    if (heap == NULL || heap->until_sample <= 1) return false;
    heap->until_sample--;
    return true;
}

/* Whether this allocation is one, and then random bits. */
static bool is_due(uint64_t *chance) {
    if (is_not_due()) return false;
    struct heap *heap = heap_acquire();
    if (heap->until_sample == 0) heap->until_sample = draw_distance(heap);
    bool due = --heap->until_sample == 0;
    if (due) {
        heap->until_sample = draw_distance(heap);
        *chance = random_next(heap_random(heap));
    }
    heap_release(heap);
    return due;
}

/* --- What samples may cost -------------------------------------------------------------------- */

uint64_t sampling_clock(void) { return is_auto() ? os_nanoseconds() : 0; }

static bool is_affordable(uint64_t now) {
    return now >= atomic_load_relaxed(&ro.samples->not_before);
}

/* Time that was not used is not saved up. */
void sampling_charge(uint64_t since) {
    if (!is_auto()) return;
    uint64_t now = os_nanoseconds(), seen = atomic_load_relaxed(&ro.samples->not_before), next;
    if (now <= since) return;
    do next = (seen > since ? seen : since) + (now - since) * AUTO_SHARE;
    while (!atomic_cas_acq_rel(&ro.samples->not_before, &seen, next)); /* pairs with itself */
}

/* --- Faults ----------------------------------------------------------------------------------- */

/* A signal handler, wherever the thread was. Takes no lock of the allocator's. */
static void on_fault(uintptr_t address, const void *context) {
    struct report_facts facts = {0};
    bool writes = false, freed = false;
    if (!sample_fault(address, &facts, &freed)) {
        os_let_fault();
        return;
    }
    diagnose_sample_request(&facts);
    if (registers_tell_access(context, &writes)) facts.access = writes ? ACCESS_WRITE : ACCESS_READ;
    enum report_phrase phrase = freed ? PHRASE_HIT_FREED : PHRASE_HIT_BESIDE;
    bool goes_on = ro.options.sample_continue && sample_open(address);
    report_fault(phrase, address, &facts, context, goes_on);
}

/* With the first sample, unless the program has a handler. */
static void watch(void) {
    if (MOAT_LIKELY(atomic_load_relaxed(&ro.samples->watching) != 0)) return;
    if (atomic_exchange_relaxed(&ro.samples->watching, 1u) == 0) (void)os_catch_faults(on_fault);
}

void *sampling_take(size_t size, size_t alignment) {
    uint64_t chance = 0;
    if (size == 0 || !is_due(&chance)) return NULL;
    uint64_t since = sampling_clock();
    if (is_auto() && !is_affordable(since)) return NULL;
    void *block = sample_alloc(size, alignment, chance);
    if (block != NULL) watch();
    sampling_charge(since);
    return block;
}

bool sampling_free(uintptr_t address) {
    struct sample_view view;
    uint64_t since = sampling_clock();
    if (!sample_find(address, &view) || !sample_claim(address)) return false;
    uintptr_t written = sample_damage(&view, address);
    if (MOAT_UNLIKELY(written != 0)) damage_report(PHRASE_OVERFLOW_FOUND_BY_FREE, address, written);
    sample_close(address);
    sampling_charge(since);
    return true;
}

bool sampling_is_sample(const void *block) {
    const struct segment *segment = segment_of((uintptr_t)block);
    return owner_kind(atomic_load_relaxed(&segment->owner)) == OWNER_SAMPLES;
}
