/*
 * strict: the verbs of the strict level (see strict.h).
 *
 * A block has a base, by which its maps and its record are found: its first byte, or, of a huge
 * one, the start of its run. All that is read from a block's memory is compared, never followed.
 */
/* Blocks are copied while the thread is not busy. */
#define BYTES_BY_THE_C_LIBRARY
#include "alloc/strict.h"

#include "alloc/alloc.h"
#include "alloc/found.h"
#include "alloc/sampling.h"
#include "heap/damage.h"
#include "heap/huge.h"
#include "heap/quarantine.h"
#include "heap/strict_page.h"
#include "heap/zero_size.h"
#include "meta/canary.h"
#include "os/os.h"
#include "os/os_seam.h"

/* A live block, as its address leads to it. */
struct target {
    struct found found;
    uintptr_t address, base;
    size_t size; /* bytes from the address to the end of the block */
    size_t step; /* of its class: what it and its neighbours lie apart; 0: it has none */
    struct request request;
};

static size_t asked_for(const struct target *target) {
    return target->size - target->request.slack;
}

/* Up to so many bytes are stored granule by granule: that begins faster. The last ones may be
   stored twice, so that there is one branch for all sizes. */
#define BY_GRANULES_MAX 1024u
static_assert(sizeof(word_pair) == GRANULE, "a block is so many");

/* The thread may be busy. */
static void clear(uintptr_t from, size_t size) {
    if (IN_HARNESS && os_seam.clear((void *)from, size)) return;
    if (size == 0 || size > BY_GRANULES_MAX || (from | size) % GRANULE != 0) {
        moat_fill((void *)from, 0, size);
        return;
    }
    const word_pair zero = {0, 0};
    volatile word_pair *granule = (volatile word_pair *)from;
    size_t count = size / GRANULE;
    if (count <= 4) {
        granule[0] = granule[(count - 1) / 2] = granule[count / 2] = granule[count - 1] = zero;
        return;
    }
    for (size_t i = 0; i < count - 4; i += 4)
        granule[i] = granule[i + 1] = granule[i + 2] = granule[i + 3] = zero;
    granule += count - 4;
    granule[0] = granule[1] = granule[2] = granule[3] = zero;
}

/* --- Allocating ------------------------------------------------------------------------------ */

/* A block of a page becomes its user's. */
static void *hand_out(uintptr_t block, size_t block_size, size_t size, enum family family) {
    request_store(block, block_size, (struct request){family, block_size - size});
    canary_fill(block, block + size, block + block_size);
    return (void *)block;
}

/* Room for a byte of canary at least. */
MOAT_INLINE uint32_t class_for(size_t size, size_t alignment) {
    if (size >= LARGE_MAX || alignment > LARGE_MAX) return SIZE_CLASS_NONE;
    return size_class_of_aligned(alignment, size + 1);
}

/* Calls that may go on without a look at wake-ups and the clock, a power of two. */
#define TAKES_PER_TICK 8u

/* What others, and this thread, have let out of quarantine is taken in when the page has nothing
   else. */
static struct page *find_page(struct heap *heap, uint32_t size_class) {
    if (heap->quarantine.drawn_count != 0) quarantine_take_in(heap);
    uint32_t first = heap->queues[size_class].first;
    if (first != 0 && page_at(first)->free_count != 0 && !page_at(first)->inherited &&
        ++heap->refills % TAKES_PER_TICK != 0)
        return page_at(first);
    return heap_find_page(heap, size_class);
}

MOAT_INLINE uintptr_t take_and_leave(struct heap *heap, uint32_t size_class) {
    struct page *page = find_page(heap, size_class);
    uintptr_t block = page != NULL ? strict_page_take(page, heap) : 0;
    heap_release(heap);
    return block;
}

/* What this thread keeps in quarantine, and what it and ended ones hold unused. */
static bool find_more_memory(void) {
    struct heap *heap = heap_acquire();
    bool any = quarantine_empty(heap);
    heap_release(heap);
    return alloc_find_more_memory() || any;
}

MOAT_COLD static uintptr_t retake(uint32_t size_class) {
    uintptr_t block = 0;
    if (find_more_memory()) block = take_and_leave(heap_acquire(), size_class);
    if (block != 0) return block;
    struct heap *late = heap_acquire_late();
    late->cannot_grow = true;
    struct page *page = heap_find_page(late, size_class);
    late->cannot_grow = false;
    if (page != NULL) block = strict_page_take(page, late);
    heap_release(late);
    return block;
}

/* What was written to while it was free stays handed out, to nobody. */
static void *block_of_class(size_t size, uint32_t size_class, enum family family) {
    size_t block_size = size_class_bytes(size_class);
    for (;;) {
        uintptr_t block = take_and_leave(heap_acquire(), size_class);
        if (MOAT_UNLIKELY(block == 0)) block = retake(size_class);
        if (MOAT_UNLIKELY(block == 0)) return NULL;
        uintptr_t written = zero_check(block, block + block_size);
        if (MOAT_LIKELY(written == 0)) return hand_out(block, block_size, size, family);
        damage_report(PHRASE_WRITTEN_WHILE_FREE, block, written);
    }
}

/* Addresses are not to run out because each block takes a segment; where a limit may end the memory
   of the process, blocks that fit share pages; but for large ones where it is a limit on locked
   memory, of which a page of such blocks would take all there is. */
static bool may_have_run(size_t size, size_t alignment) {
    if (guard_lock_is_counted()) return (size > alignment ? size : alignment) > MEDIUM_MAX;
    uint32_t extent = atomic_load_relaxed(&ro.region->extent);
    return extent <= ro.region->span / 2 && !heap_is_limited();
}

/* What a run is to be. */
struct guarded_request {
    size_t size, bytes, lead;
    enum family family;
};

static void prepare_run(uintptr_t run, const void *context) {
    const struct guarded_request *request = context;
    uintptr_t block = run + request->lead;
    request_store_run(run, request->family, request->lead, request->size);
    canary_fill(run, run, block);
    canary_fill(run, block + request->size, run + request->bytes);
}

/* huge_alloc_again or huge_alloc_exact. */
typedef void *huge_source(size_t bytes, size_t alignment,
                          void (*prepare)(uintptr_t run, const void *context), const void *context);

static void *guarded_block(huge_source *source, size_t size, size_t alignment, enum family family) {
    size_t bytes = round_up(size, ro.os_page);
    size_t lead = round_down(bytes - size, alignment > GRANULE ? alignment : GRANULE);
    struct guarded_request request = {size, bytes, lead, family};
    uintptr_t run = (uintptr_t)source(bytes, alignment, prepare_run, &request);
    return run != 0 ? (void *)(run + lead) : NULL;
}

static void *empty_block(size_t alignment, enum family family) {
    void *block = alloc_empty(alignment);
    if (block != NULL) request_store((uintptr_t)block, GRANULE, (struct request){family, 0});
    return block;
}

static void *sample_block(size_t size, size_t alignment, enum family family) {
    void *block = sampling_take(size, alignment);
    if (block != NULL) request_store((uintptr_t)block, GRANULE, (struct request){family, 0});
    return block;
}

/* Of a block of a page all becomes resident, behind what was asked for by the canary: so a run of
   its own has not only what is this large, but what an alignment makes so. A run has what was asked
   for, and the rest of an OS page. */
#define RUN_ABOVE (size_class_of(GUARDED_FROM))

/* NULL: it is none for a run, while a page can have it; or there is no memory. */
MOAT_NOINLINE static void *block_of_run(size_t size, size_t alignment, enum family family,
                                        bool zero) {
    bool fits = class_for(size, alignment) != SIZE_CLASS_NONE;
    void *block = NULL;
    if (!zero) block = guarded_block(huge_alloc_again, size, alignment, family);
    if (block == NULL && (!fits || may_have_run(size, alignment)))
        block = guarded_block(huge_alloc_exact, size, alignment, family);
    return block;
}

/* Where no page has it: what was found on the way may do for a run, which takes less than a page.
   Of more than there are addresses for, nothing that is given back could help. */
MOAT_COLD static void *last_run(size_t size, size_t alignment, enum family family) {
    void *block = NULL;
    bool fits = class_for(size, alignment) != SIZE_CLASS_NONE;
    if (fits || (size <= ro.region_span && find_more_memory()))
        block = guarded_block(huge_alloc_exact, size, alignment, family);
    if (block == NULL) region_explain_failure(fits ? SEGMENT_SIZE : size);
    return block;
}

void *strict_block(size_t size, size_t alignment, enum family family, bool zero) {
    if (size > PTRDIFF_MAX) return NULL;
    if (size == 0) return empty_block(alignment, family);
    void *sample = ro_is_sampling() ? sample_block(size, alignment, family) : NULL;
    if (sample != NULL) return sample;
    uint32_t size_class = class_for(size, alignment);
    bool may_have = size_class > RUN_ABOVE;
    void *block = may_have ? block_of_run(size, alignment, family, zero) : NULL;
    if (block == NULL && size_class != SIZE_CLASS_NONE)
        block = block_of_class(size, size_class, family);
    if (block != NULL) return block;
    if (may_have) return last_run(size, alignment, family);
    region_explain_failure(SEGMENT_SIZE);
    return NULL;
}

/* --- Finding --------------------------------------------------------------------------------- */

/* Of an address in a huge block's first segment, or in one that was: where its run begins. 0: there
   is no block, or the address is not the one that was handed out. */
MOAT_INLINE uintptr_t base_of(uintptr_t address) {
    struct segment *segment = segment_of(address);
    uintptr_t run = segment_start(segment);
    switch (owner_kind(atomic_load_relaxed(&segment->owner))) {
    case OWNER_SMALL:
    case OWNER_MEDIUM:
    case OWNER_LARGE:
    case OWNER_SAMPLES:
    case OWNER_ZERO_SIZE: return address;
    case OWNER_HUGE:
    case OWNER_FREEING:
    case OWNER_FREED: return address - run == request_lead(run) ? run : 0;
    case OWNER_UNUSED: break;
    }
    return 0;
}

/* Without total store order what was stored before the block was handed over may not have arrived.
   */
MOAT_INLINE uintptr_t find_base(uintptr_t address) {
    uintptr_t base = base_of(address);
    if (base != 0 || CPU_HAS_TOTAL_STORE_ORDER) return base;
    os_membarrier(); /* pairs with every store of other threads before it */
    return base_of(address);
}

static bool is_sample(const struct target *target) {
    return owner_kind(target->found.word) == OWNER_SAMPLES;
}

static bool is_huge(const struct target *target) {
    return owner_kind(target->found.word) == OWNER_HUGE;
}

/* Its base is the first byte that can be touched, its end that of its last OS page. */
static bool find_sample(struct target *target, enum verb verb) {
    struct sample_view view;
    if (!sample_find(target->address, &view)) {
        diagnose_not_live(target->address, verb);
        return false;
    }
    target->request.family = request_load(target->address, GRANULE).family;
    target->base = view.pages;
    target->size = view.end - target->address;
    target->request.slack = target->size - view.size;
    uint32_t size_class = class_for(view.size, view.alignment);
    target->step = size_class != SIZE_CLASS_NONE ? size_class_bytes(size_class) : 0;
    return true;
}

/* The distance was looked at before the word, which may be of a later life of the run by now; what
   is said of a life after that the word does not fit. */
static bool find_huge(struct target *target, enum verb verb) {
    uintptr_t run = target->base;
    size_t lead = target->address - run, size = request_size(run);
    if (lead != request_lead(run)) {
        diagnose_not_live(target->address, verb);
        return false;
    }
    target->size = round_up(lead + size, ro.os_page) - lead;
    target->request.slack = target->size - size;
    target->request.family = request_load(run, GRANULE).family;
    target->step = 0;
    return true;
}

/* Reports, and is false, unless it is a live block. */
MOAT_INLINE bool find(struct target *target, uintptr_t address, enum verb verb) {
    target->address = target->base = address;
    if (region_may_hold(address)) target->base = find_base(address);
    if (target->base == 0) {
        diagnose_not_live(address, verb);
        return false;
    }
    target->found = alloc_find_live(target->base, address, verb);
    if (target->found.segment == NULL) return false;
    if (MOAT_UNLIKELY(is_sample(target))) return find_sample(target, verb);
    if (MOAT_UNLIKELY(is_huge(target))) return find_huge(target, verb);
    target->size = target->found.block_size;
    target->step = target->found.size_class != SIZE_CLASS_NONE ? target->size : 0;
    target->request = request_load(address, target->size);
    return true;
}

void strict_set_family(void *block, enum family family) {
    request_set_family(find_base((uintptr_t)block), family);
}

size_t strict_usable_size(uintptr_t address) {
    struct target target;
    return find(&target, address, VERB_SIZE_QUERY) ? asked_for(&target) : 0;
}

/* --- Freeing --------------------------------------------------------------------------------- */

/* What lies around the bytes that were asked for; 0: it is as it was left. */
MOAT_INLINE uintptr_t check_canaries(const struct target *target) {
    uintptr_t end = target->address + target->size;
    if (is_sample(target))
        return sample_damage(
            &(struct sample_view){.size = asked_for(target), .pages = target->base, .end = end},
            target->address);
    uintptr_t wrong = canary_check(target->base, end - target->request.slack, end);
    if (wrong == 0 && target->base != target->address)
        wrong = canary_check(target->base, target->base, target->address);
    return wrong;
}

static void check_alignment(const struct target *target, size_t alignment) {
    bool fits = alignment <= GRANULE || (target->step & (alignment - 1)) == 0;
    if (is_power_of_two(alignment) && (target->address & (alignment - 1)) == 0 && fits) return;
    diagnose_mismatch(PHRASE_WRONG_ALIGNMENT, target->address, alignment,
                      (size_t)1 << low_bit(target->address));
}

/* Of a block that this thread has won. False: it is damaged, and stays as it is for good. */
MOAT_INLINE bool check_freeing(const struct target *target, const struct freeing *how) {
    bool is_known = true;
    if (how->family != FAMILY_ANY && how->family != target->request.family)
        is_known = diagnose_family(PHRASE_WRONG_FAMILY, target->address, target->request.family,
                                   how->family);
    uintptr_t wrong = check_canaries(target);
    if (MOAT_UNLIKELY(wrong != 0)) {
        damage_report(PHRASE_OVERFLOW_FOUND_BY_FREE, target->address, wrong);
        return false;
    }
    if (ro.options.sized == SIZED_OFF || !is_known) return true;
    if (how->has_alignment) check_alignment(target, how->alignment);
    if (how->has_size && how->size != asked_for(target))
        diagnose_mismatch(PHRASE_WRONG_SIZE, target->address, how->size, asked_for(target));
    return true;
}

/* Whether the page is one of such blocks as were found. A block with a claim keeps its page. */
static bool has_its_size(const struct target *target) {
    uint64_t owner = atomic_load_relaxed(&target->found.segment->owner);
    return owner_has_pages(owner) &&
           page_of(target->base, owner_page_kind(owner))->block_size == target->found.block_size;
}

/* The claim came after the block was freed and taken in, by a second free that overlapped the
   first; or so late that a block of another size begins there. */
static bool is_late(const struct target *target) {
    struct map_word *word = map_word_of(target->base);
    uint64_t bit = map_bit_of(target->base);
    if ((atomic_load_relaxed(&word->live) & bit) != 0 && has_its_size(target)) return false;
    atomic_and_release(&word->claim, ~bit); /* pairs with collect_word */
    return true;
}

static bool free_in_page(const struct target *target, const struct freeing *how,
                         struct heap *heap) {
    if (remote_claim(target->base) != REMOTE_FREED || is_late(target)) return false;
    if (!check_freeing(target, how)) return true;
    clear(target->base, target->found.block_size);
    quarantine_put(heap, target->base, target->found.block_size);
    return true;
}

/* A thread without a heap has no generator: then of the block's address and life what nobody knows
   who does not know the key. It is no block's canary, since it is of no block's address. */
static uint64_t draw(const struct target *target, struct heap *heap) {
    if (heap != NULL) return random_next(heap_random(heap));
    return canary_of(target->base ^ target->found.word);
}
static_assert(OWNER_HUGE % GRANULE != 0, "what is hashed is no address of a block");

static bool free_huge(const struct target *target, const struct freeing *how, struct heap *heap) {
    if (!huge_claim(target->found.segment, target->found.word)) return false;
    if (!check_freeing(target, how)) return true;
    huge_close(target->found.segment, target->found.word, draw(target, heap));
    return true;
}

static bool free_sample(const struct target *target, const struct freeing *how) {
    uint64_t since = sampling_clock();
    if (!sample_claim(target->address)) return false;
    (void)check_freeing(target, how); /* what is damaged goes away with its pages */
    sample_close(target->address);
    sampling_charge(since);
    return true;
}

/* Inside the allocator from the claim on: a handler that forks then leaves what it finds to the
   thread that it interrupted. */
static bool free_inside(const struct target *target, const struct freeing *how, bool in_page) {
    uintptr_t outside = thread_enter();
    struct heap *heap = is_heap(outside) ? (struct heap *)outside : NULL;
    MOAT_CHECK(heap == NULL || heap->thread == thread_identity(),
               "thread word names another thread's heap", heap);
    bool freed = MOAT_LIKELY(in_page) ? free_in_page(target, how, heap)
                 : is_sample(target)  ? free_sample(target, how)
                                      : free_huge(target, how, heap);
    thread_leave_generic(outside);
    if (MOAT_LIKELY(freed)) alloc_note_free(heap, in_page ? target->found.segment : NULL);
    return freed;
}

static bool free_empty(const struct target *target, const struct freeing *how) {
    if (!check_freeing(target, how)) return true;
    if (!zero_size_free(target->base)) return false;
    alloc_note_free(heap_of_thread(), NULL);
    return true;
}

static void free_target(const struct target *target, const struct freeing *how) {
    bool is_empty = owner_kind(target->found.word) == OWNER_ZERO_SIZE;
    bool freed = MOAT_UNLIKELY(is_empty)
                     ? free_empty(target, how)
                     : free_inside(target, how, owner_has_pages(target->found.word));
    if (MOAT_UNLIKELY(!freed)) diagnose_not_live(target->address, VERB_FREE);
}

void strict_free(uintptr_t address, const struct freeing *how) {
    struct target target;
    if (find(&target, address, VERB_FREE)) free_target(&target, how);
}

void strict_look_back(void) {
    uintptr_t outside = thread_enter();
    const struct heap *heap = is_heap(outside) ? (const struct heap *)outside : NULL;
    if (heap != NULL && heap->thread == thread_identity()) quarantine_check(heap);
    thread_leave_generic(outside);
}

/* --- Resizing -------------------------------------------------------------------------------- */

/*
 * A block that stays where it is. After each store record and canary agree: a smaller one has its
 * canary before its record says so, and of a larger one the record comes before what was canary
 * becomes zero.
 */
static void fill_canary(const struct target *target, size_t from, size_t to) {
    if (from < to) canary_fill(target->base, target->address + from, target->address + to);
}

static void *set_size(const struct target *target, size_t new_size) {
    size_t old_size = asked_for(target);
    struct request request = {target->request.family, target->size - new_size};
    fill_canary(target, new_size, old_size);
    request_change(target->base, target->request, request);
    if (new_size > old_size) clear(target->address + old_size, new_size - old_size);
    return (void *)target->address;
}

/* What a huge block has in its last OS page. */
static size_t slack_end(const struct target *target, size_t size) {
    size_t lead = target->address - target->base;
    return round_up(lead + size, ro.os_page) - lead;
}

/* What lies behind its end is zero but for what it has itself: its last OS page, or more where the
   kernel has refused to take the rest when it became smaller. */
static void set_huge_size(const struct target *target, size_t old_size, size_t new_size) {
    size_t old_end = target->base + target->found.block_size - target->address;
    size_t new_end = slack_end(target, new_size);
    fill_canary(target, new_size, new_size < old_size && old_size < new_end ? old_size : new_end);
    request_change_size(target->base, old_size, new_size);
    size_t zero_to = new_size < old_end ? new_size : old_end;
    if (zero_to > old_size) clear(target->address + old_size, zero_to - old_size);
}

/* A block with a run of its own keeps the distance to the run's start. NULL: it does not work. */
static void *resize_huge(const struct target *target, size_t new_size) {
    size_t lead = target->address - target->base, old_size = asked_for(target);
    size_t bytes = round_up(lead + new_size, ro.os_page);
    bool shrinks = new_size < old_size;
    struct target resized = *target;
    void *run = (void *)target->base;
    enum huge_result result = HUGE_OK;
    if (shrinks) set_huge_size(target, old_size, new_size);
    if (bytes != target->found.block_size)
        result = huge_resize(target->found.segment, target->found.word, bytes, &run);
    if (result == HUGE_LOST) diagnose_not_live(target->address, VERB_RESIZE);
    if (result != HUGE_OK) return shrinks ? (void *)target->address : NULL;
    resized.base = (uintptr_t)run;
    resized.address = resized.base + lead;
    if (resized.base != target->base) canary_fill(resized.base, resized.base, resized.address);
    if (!shrinks) set_huge_size(&resized, old_size, new_size);
    return (void *)resized.address;
}

static void *move(struct target *target, size_t new_size) {
    size_t old_size = asked_for(target);
    size_t copied = old_size < new_size ? old_size : new_size;
    void *moved = strict_block(new_size, GRANULE, target->request.family, false);
    if (moved == NULL) return NULL;
    const void *from = (const void *)target->address;
    if (!IN_HARNESS || !os_seam.copy(moved, from, copied)) {
        if (MOAT_LIKELY(thread_is_relocated()))
            __builtin_memcpy(moved, from, copied);
        else
            moat_copy(moved, from, copied);
    }
    strict_free(target->address, &(struct freeing){.family = FAMILY_ANY});
    return moved;
}

/* What looks wrong may be of a block that another thread is freeing meanwhile: it is looked up once
   more, and that is reported then. */
MOAT_COLD static bool find_again(struct target *target) {
    if (!CPU_HAS_TOTAL_STORE_ORDER) os_membarrier(); /* pairs with the claim of that free */
    return find(target, target->address, VERB_RESIZE);
}

void *strict_resize(void *block, size_t new_size) {
    struct target target;
    if (!find(&target, (uintptr_t)block, VERB_RESIZE)) return NULL;
    uintptr_t wrong = check_canaries(&target);
    bool is_right = wrong == 0 && target.request.family == FAMILY_MALLOC;
    if (MOAT_UNLIKELY(!is_right)) {
        if (!find_again(&target)) return NULL;
        wrong = check_canaries(&target);
    }
    if (target.request.family != FAMILY_MALLOC)
        (void)diagnose_family(PHRASE_REALLOC_WRONG_FAMILY, target.address, target.request.family,
                              FAMILY_MALLOC);
    if (MOAT_UNLIKELY(wrong != 0)) {
        damage_report(PHRASE_OVERFLOW_FOUND_BY_REALLOC, target.address, wrong);
        /* what was reported once is made good */
        fill_canary(&target, asked_for(&target), target.size);
        canary_fill(target.base, target.base, target.address);
    }
    if (new_size > PTRDIFF_MAX) return NULL;
    if (is_huge(&target) && new_size >= GUARDED_FROM) {
        void *resized = resize_huge(&target, new_size);
        if (resized != NULL) return resized;
    } else if (target.found.size_class != SIZE_CLASS_NONE && new_size != 0 &&
               class_for(new_size, GRANULE) == target.found.size_class &&
               request_can_change(target.request.slack, target.size - new_size)) {
        return set_size(&target, new_size);
    }
    return move(&target, new_size);
}
