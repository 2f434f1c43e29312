/*
 * subject_moat: moat itself, built with its seams, as the subject of the harnesses.
 *
 * The only file of the engine that knows how moat is built inside: where its tables lie, which
 * system calls may fail, what a thread word is. Everything else sees the table of subject.h. One
 * life at a time; begin() and end() reset moat whole.
 */
#include "engine/subject.h"
#include "engine/input.h"

#include <stdio.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/strict.h"
#include "base/thread.h"
#include "harness/arena.h"
#include "harness/harness.h"
#include "meta/region.h"
#include "meta/request.h"
#include "meta/size_class.h"
#include "moat.h"
#include "process/init.h"
#include "process/state.h"

/* Kinds of call that may fail under a right allocator without ending the process; the kernel's
   random numbers may not. */
static const enum os_call fault_calls[] = {OS_RESERVE, OS_RELEASE,      OS_COMMIT, OS_DECOMMIT,
                                           OS_PROTECT, OS_PURGE,        OS_GUARD,  OS_REMAP,
                                           OS_SEAL,    HARNESS_ANY_CALL};
enum { FAULT_CALLS = sizeof fault_calls / sizeof fault_calls[0] };

/* Few layouts of tables and segments, and mostly one, so that the same OS pages serve one run after
   another, and are in the caches. All else is drawn from the whole seed. */
enum { LAYOUTS = 4, LAYOUT_ODDS = 64 };
static uint64_t layout_of(uint64_t seed) {
    return seed % LAYOUT_ODDS < LAYOUTS ? seed % LAYOUT_ODDS : 0;
}

/* A span of 16 GiB: walks over what the span could hold cost what they find. Those by the kernel go
   over all of it. */
static const char *options = "";
const char *moat_default_options(void) { return options; }

/* A quarantine that is soon full, too, and as often as not none: then what is freed is taken in. */
static const char *options_of(struct life life, bool by_kernel) {
    static const char *const strict[] = {
        "region=16G:level=strict", "region=16G:level=strict:quarantine=3",
        "region=16G:level=strict:quarantine=0", "region=16G:level=strict:quarantine=0"};
    static const char *const sampled[] = {"region=16G:sample=1", "region=16G:sample=3"};
    static const char *const both[] = {"region=16G:level=strict:sample=2",
                                       "region=16G:level=strict:quarantine=0:sample=9"};
    static const char *const kernel[] = {"", "level=strict", "sample=2", "level=strict:sample=2"};
    enum { WAYS = sizeof strict / sizeof *strict, WAY_SHIFT = 32 };
    uint64_t way = life.seed >> WAY_SHIFT;
    if (by_kernel) return kernel[life.is_strict + 2 * life.is_sampled];
    if (life.is_sampled) return life.is_strict ? both[way % 2] : sampled[way % 2];
    return life.is_strict ? strict[way % WAYS] : "region=16G";
}

/* Records that have no shared words, or whose shared words nobody came to write, or that are larger
   than an OS page: the arena does not see them touched. */
static void touch_records(void) {
    if (ro.region == NULL || !ro_is_started()) return;
    size_t bitmap = ro.region->extent / 8 + 8;
    arena_touch((uintptr_t)ro.region, offsetof(struct region, taken) + bitmap);
    arena_touch((uintptr_t)ro.region->barred, bitmap);
    arena_touch((uintptr_t)ro.region->described, bitmap);
    arena_touch((uintptr_t)ro.region->paged, bitmap);
    arena_touch((uintptr_t)ro.segments, ro.region->extent * sizeof(struct segment));
    arena_touch((uintptr_t)ro.locks, sizeof(struct lock) * LOCKS);
    arena_touch((uintptr_t)ro.pool, sizeof *ro.pool);
    arena_touch((uintptr_t)ro.huge, sizeof *ro.huge);
    arena_touch((uintptr_t)ro.zero_size, sizeof *ro.zero_size);
    if (ro.options.sample != 0) arena_touch((uintptr_t)ro.samples, sizeof *ro.samples);
    arena_touch((uintptr_t)ro.random_root, sizeof *ro.random_root);
    arena_touch((uintptr_t)ro.randoms, ro.pool->made * sizeof(struct heap_random));
    arena_touch(ro.heaps_base, ro.pool->made * HEAP_SIZE);
}

enum { THREADS = 8 };
static uintptr_t thread_words[THREADS];

static void reset(void) {
    if (arena_is_used()) touch_records();
    harness_reset();
}

/* Memory was locked in this life. */
static bool was_locked;

/* A process asks for membarrier once: not in the middle of an input. */
static void ask_for_barriers(void) {
    static bool asked;
    if (!asked) os_membarrier();
    asked = true;
}

static void begin(struct life life, void (*on_report)(enum report_kind kind, uintptr_t address)) {
    reset();
    ask_for_barriers();
    bool by_kernel = life.by_kernel;
    if (arena_is_used() == by_kernel && !arena_use(!by_kernel)) by_kernel = true;
    options = options_of(life, by_kernel);
    was_locked = false;
    if (life.zero_is_block) {
        static char more[128];
        snprintf(more, sizeof more, "%s%szero_realloc=alloc", options, *options ? ":" : "");
        options = more;
    }
    harness_set_seed(life.seed);
    /* where the arena has been the kernel has nothing to give */
    harness_fix_layout(layout_of(life.seed) + (by_kernel ? LAYOUTS : 0));
    harness_report_hook = on_report;
    for (unsigned i = 0; i < THREADS; i++) thread_words[i] = THREAD_NEW;
}

static void end(void) { reset(); }

static uintptr_t kept_words[LIFE_PLACES][THREADS];
_Static_assert((int)LIFE_PLACES <= (int)HARNESS_PLACES, "a life is kept in a place of the harness");

static bool keep(enum life_place place) {
    if (!arena_is_used()) return false;
    touch_records();
    memcpy(kept_words[place], thread_words, sizeof thread_words);
    return harness_keep(place);
}

static void bring_back(enum life_place place) {
    touch_records();
    harness_bring_back(place);
    memcpy(thread_words, kept_words[place], sizeof thread_words);
}

/* As the handler of process/fork.c, which is called outside the allocator, after what the kernel
   wipes. */
static void be_child(void) {
    arena_touch((uintptr_t)ro.fork_mark, sizeof *ro.fork_mark);
    *(volatile uint64_t *)ro.fork_mark = FORK_WIPED;
    fork_recover();
}

static void be_thread(unsigned number) { harness_set_thread_word(&thread_words[number]); }
static void be_nobody(void) { harness_set_thread_word(NULL); }

/* The last of the words is no other thread's. */
static void be_born(bool born) {
    static uintptr_t *before;
    if (born) before = harness_thread_word();
    harness_set_thread_word(born ? &thread_words[THREADS - 1] : before);
}

static void end_thread(void) {
    struct heap *heap = heap_of_thread();
    if (heap != NULL) heap_thread_end(heap);
}

static void lock_memory(void) {
    struct region *region = ro.region;
    was_locked = true;
    atomic_store_relaxed(&region->memory_was_locked, true);
    atomic_store_relaxed(&region->locked_on_fault, true);
    atomic_store_relaxed(&region->memory_is_locked, true);
    atomic_store_relaxed(&region->lock_follows_use, true);
}

static void abandon_thread(void) { *harness_thread_word() = THREAD_NEW; }
/* A child's memory is not locked, but it has its parent's blocks. */
static bool is_crowded(void) { return ro.region->extent > ro.region->span / 2 || was_locked; }

static bool is_open(uintptr_t address) {
    enum harness_state state = harness_range_state(address);
    return state == HARNESS_COMMITTED || state == HARNESS_READABLE;
}
static uintptr_t base(void) { return ro.region_base; }
static void fail_nth(unsigned kind, unsigned n, bool for_good) {
    enum os_call call = fault_calls[kind % FAULT_CALLS];
    if (for_good)
        harness_fail_from(call, n);
    else
        harness_fail_nth(call, n);
}

static void (*told_of_failpoint)(const char *name, uint64_t passing);
static void on_failpoint(enum failpoint point, uint64_t passing) {
    told_of_failpoint(harness_failpoint_name(point), passing);
}
static void tell_of_failpoints(void (*told)(const char *name, uint64_t passing)) {
    told_of_failpoint = told;
    harness_on_failpoint = told != NULL ? on_failpoint : NULL;
}
static void fail_at(unsigned point, unsigned n, unsigned every) {
    harness_fail_at((enum failpoint)point, n, every);
}
_Static_assert((int)FAILPOINTS == (int)INPUT_FAILPOINTS, "an input may name each of them");

static void limit(size_t more) { harness_limit_committed(harness_committed_bytes() + more); }

/* Of segments alone: the tables grow with the highest segment ever used and stay. */
static void add_committed(void *context, uintptr_t start, size_t size, enum harness_state state) {
    size_t *sum = context;
    if (state == HARNESS_COMMITTED && region_contains(start)) *sum += size;
}

static size_t committed(void) {
    size_t sum = 0;
    harness_visit_ranges(add_committed, &sum);
    return sum;
}

static bool is_taken(uint32_t index) {
    return has_bit(atomic_load_relaxed(&ro.region->taken[index / 64]), index);
}
static bool is_barred(uint32_t index) {
    return has_bit(atomic_load_relaxed(&ro.region->barred[index / 64]), index);
}

/* What the kernel would not take back stands in the records as such. */
static void find_open(void *context, uintptr_t start, size_t size, enum harness_state state) {
    if (state != HARNESS_COMMITTED || !region_contains(start)) return;
    for (uintptr_t at = start; at < start + size; at = round_up(at + 1, SEGMENT_SIZE)) {
        uint32_t index = segment_index(segment_of(at));
        if (!is_taken(index) && !is_barred(index)) *(bool *)context = true;
    }
}

/* What segments and the cache of huge runs say that they have. */
struct counts {
    size_t committed, splits;
    size_t runs;         /* bytes of huge runs */
    uint64_t used, idle; /* slots of heaps' segments */
    int64_t left;        /* those that could go back, of segments that are nobody's */
    bool is_open_behind;
};

static void count_pages(const struct segment *segment, uint64_t word, struct counts *counts) {
    uint32_t dirty = segment_dirty_slots(segment);
    counts->committed += (size_t)popcount64(segment->usable) * SLOT_SIZE;
    counts->splits += segment->means == GUARD_SPLIT;
    if (owner_heap(word) != NULL) {
        counts->used += segment_slots(segment, segment->pages_used);
        counts->idle += dirty;
    } else if ((word & (OWNER_REBUILD | OWNER_ORPHAN)) == 0) { /* what a child has of its parent */
        uint32_t surplus = (uint32_t)(round_up(segment_surplus(segment), SLOT_SIZE) >> SLOT_SHIFT);
        counts->left += (int64_t)(dirty + surplus);
    }
}

/* Those without pages are found by tables of their own. */
static bool is_named(const struct segment *segment, enum owner_kind kind) {
    uint32_t index = segment_index(segment);
    if (kind == OWNER_ZERO_SIZE)
        return segment->place < ro.zero_size->count &&
               ro.zero_size->segments[segment->place] == index;
    for (uint32_t i = 0; i < SAMPLE_SEGMENTS; i++)
        if (ro.samples->segments[i] == index) return true;
    return false;
}

/* Whether what lies behind a run, all of it inaccessible as the record has it, is not. */
static bool is_open_behind(uintptr_t start, const struct guarded *guarded) {
    uintptr_t end = start + ((size_t)guarded->run << SEGMENT_SHIFT);
    if (guarded->means != GUARD_SPLIT || ro.region->guards_missing != 0) return false;
    for (uintptr_t at = start + guard_reach(guarded); at < end; at += ro.os_page)
        if (is_open(at)) return true;
    return false;
}

/* Segments that belong together; 0: to nobody. */
static uint32_t count_segment(struct segment *segment, struct counts *counts) {
    uint64_t word = atomic_load_relaxed(&segment->owner);
    struct guarded guarded;
    if (owner_has_pages(word)) {
        count_pages(segment, word, counts);
        return 1;
    }
    if (owner_kind(word) == OWNER_ZERO_SIZE || owner_kind(word) == OWNER_SAMPLES)
        return is_named(segment, owner_kind(word));
    if (!huge_find_run(segment, &guarded)) return 0;
    counts->is_open_behind |= is_open_behind(segment_start(segment), &guarded);
    counts->committed += guard_reach(&guarded);
    counts->runs += guard_reach(&guarded);
    counts->splits += guard_splits(&guarded);
    return guarded.run;
}

/* Or what is wrong: each place is free, or a block's. */
static const char *count_samples(struct counts *counts) {
    for (uint32_t place = 0; ro.options.sample != 0 && place < SAMPLES_MAX; place++) {
        const struct sample_record *sample = &ro.samples->samples[place];
        uint64_t state = ro.samples->words[place] & low_mask(SAMPLE_STATE_BITS);
        if (state == SAMPLE_TAKEN || state == SAMPLE_FREEING) return "a place of a sample is lost";
        if (state == SAMPLE_FREED && !sample->is_spoiled && is_open(sample->pages))
            return "a place of a sample is free, and can be accessed";
        counts->splits += sample->has_split; /* of one that is spoiled, too */
        if (state == SAMPLE_LIVE) counts->committed += sample->bytes;
    }
    return NULL;
}

/* What usage.h says of all. What heaps have told of themselves moat_check judges. */
static const char *misjudged(const struct counts *counts) {
    const struct usage *usage = ro.usage;
    uint64_t used = 0, idle = 0;
    size_t cached = 0;
    if (usage->is_vague) return NULL;
    for (uint32_t i = 0; i < ro.pool->made; i++) {
        used += heap_at(i)->used;
        idle += heap_at(i)->idle;
    }
    for (uint32_t i = 0; i < ro.huge->entries; i++)
        cached += guard_reach(&ro.huge->cache[i].guarded);
    if (used != counts->used || idle != counts->idle)
        return "heaps count other slots than their segments have";
    if (usage->cached != cached || usage->runs != counts->runs)
        return "other bytes of huge runs count than there are";
    return usage->left == counts->left ? NULL : "other slots count as left than there are";
}

/* What the region notes of its free segments, which spare those who look for some. */
static const char *misjudged_segments(void) {
    const struct region *region = ro.region;
    uint32_t run = 0, longest = 0;
    int64_t spare = 0;
    bool is_known = (atomic_load_relaxed(&region->news) & REGION_GIVEN) == 0;
    for (uint32_t index = 0; index < region->extent; index++) {
        bool is_free = has_bit(region_free_segments(region, index / 64), index);
        spare += is_free && has_bit(region->described[index / 64], index);
        run = is_free ? run + 1 : 0;
        /* no shorter run lies below */
        for (; is_known && longest < run && longest < RUN_LENGTHS; longest++)
            if (region->none_below[longest] > index - longest)
                return "free segments lie where nobody looks";
    }
    return region->spare == spare ? NULL : "other free segments count as spare than there are";
}

/* Each heap but the one that is nobody's is a thread's, or lies ready. */
static bool heaps_are_lost(void) {
    const struct heap_pool *pool = ro.pool;
    uint32_t ready = 0, unused = 0;
    for (uint32_t index = (uint32_t)pool->free_heaps; index != 0 && ready < pool->made; ready++)
        index = heap_at(index)->next_free;
    for (uint32_t index = HEAP_LATE + 1; index < pool->made; index++)
        unused += heap_at(index)->thread == 0;
    return ready != unused;
}

/* Calls `visit` for each page in use, of segments of that heap alone if it is not NULL; false as
   soon as that is. */
static bool for_each_page(const struct heap *heap, bool (*visit)(void *, const struct page *),
                          void *context) {
    for (uint32_t index = 1; ro_is_started() && index < ro.region->extent; index++) {
        struct segment *segment = segment_at(index);
        uint64_t word = atomic_load_relaxed(&segment->owner);
        if (!is_taken(index) || !owner_has_pages(word) || (word & OWNER_REBUILD) != 0) continue;
        if (heap != NULL && owner_heap(word) != &heap->owner) continue;
        uint64_t slots = segment_pages_in_use(segment, owner_page_kind(word));
        for (; slots != 0; slots &= slots - 1)
            if (!visit(context, segment_page(segment, low_bit(slots)))) return false;
    }
    return true;
}

/* What others free is named to the page's owner (page_claim_group): else nobody collects it. At the
   strict level it may be in quarantine first. */
static bool has_named_claims(void *context, const struct page *page) {
    enum page_kind kind = size_class_page_kind(page->size_class);
    (void)context;
    for (size_t at = 0; at < page->limit && !ro_is_strict(); at += MAP_WORD_SPAN) {
        const struct map_word *word = map_word_of(page->start + at);
        size_t offset = (page->start + at - ro.region_base) & (page_kind_size(kind) - 1);
        if ((word->live & word->claim) == 0) continue;
        if (!has_bit(page->pending, page_claim_group(kind, offset))) return false;
    }
    return true;
}

/* A page that a child leaves alone, and that is in no queue, is back with its few last blocks. */
static bool serves_with_few(void *context, const struct page *page) {
    (void)context;
    return !page->inherited || !page->in_full || page_used(page) > page_few_left(page);
}

static const char *left_over(void) {
    struct counts counts = {0};
    bool open = false;
    if (!ro_is_started()) return NULL;
    for (uint32_t index = 0, run; index < ro.region->extent; index += run) {
        run = 1;
        if (!is_taken(index) || is_barred(index)) continue;
        run = count_segment(segment_at(index), &counts);
        if (run == 0) return "a segment is taken, and nobody's";
    }
    if (counts.is_open_behind) return "what lies behind a huge block can be accessed";
    const char *wrong = count_samples(&counts);
    if (wrong != NULL) return wrong;
    harness_visit_ranges(find_open, &open);
    if (open) return "memory is nobody's, and can be accessed";
    if (!for_each_page(NULL, has_named_claims, NULL))
        return "a freed block lies where nobody is told to look";
    if (!for_each_page(NULL, serves_with_few, NULL))
        return "a page is left alone that has few blocks of the parent";
    if (atomic_load_relaxed(&ro.region->committed) != counts.committed)
        return "another number of bytes is counted as committed than there are";
    if (atomic_load_relaxed(&ro.region->splits) != counts.splits)
        return "another number of mappings is counted than there are";
    if (heaps_are_lost()) return "a heap is no thread's, and does not lie ready";
    wrong = misjudged_segments();
    return wrong != NULL ? wrong : misjudged(&counts);
}

/* No other thread goes on at these looks. */
static uint64_t owner_of(uintptr_t block) {
    return *(const volatile uint64_t *)&segment_of(block)->owner;
}

/* --- Pages that a child has of its parent ----------------------------------------------------- */

static uint32_t blocks_in(const struct page *page) {
    const struct map_word *words = map_word_of(page->start);
    uint32_t blocks = 0;
    for (size_t at = 0; at < page->limit; at += MAP_WORD_SPAN, words++)
        blocks += popcount64(words->live & ~words->claim);
    return blocks;
}

/* As doc/decisions/0029-children-leave-pages-alone.md has it. */
struct inherited {
    uint32_t calls; /* of others: a block that is about to be freed by them may count as in use */
    int64_t idle;   /* bytes of sparse pages that are left alone */
    const char *wrong;
};
static bool judge_page(void *context, const struct page *page) {
    struct inherited *all = context;
    uint32_t blocks = blocks_in(page);
    bool is_right = page->left - blocks <= all->calls;
    if (page->inherited && is_right) blocks = page->left;
    uint32_t unused = page->carved - blocks;
    int64_t bytes = (int64_t)unused * page->block_size;
    bool is_cheap = blocks == 0 || unused <= page->carved / 4;
    if (!page->inherited && all->calls == 0 && (is_cheap || bytes <= ro.usage->inheritable))
        all->wrong = "a page of the parent serves that could be left alone";
    if (page->inherited && !is_right)
        all->wrong = "other blocks count as the parent's than a page has";
    if (page->inherited && !is_cheap) all->idle += bytes;
    return all->wrong == NULL;
}

static const char *misjudges_pages(unsigned calls) {
    const struct heap *heap = heap_of_thread();
    struct inherited all = {calls, 0, NULL};
    if (heap == NULL || heap == heap_at(HEAP_LATE)) return NULL;
    if (!for_each_page(heap, judge_page, &all)) return all.wrong;
    int64_t most = ((int64_t)usage_in_use() / 16 + IDLE_LEAST) << SLOT_SHIFT;
    return all.idle <= most ? NULL : "more is left alone than may lie idle";
}

static bool is_left_alone(uintptr_t block) {
    if (!region_contains(block)) return false;
    uint64_t word = owner_of(block);
    return owner_has_pages(word) && page_of(block, owner_page_kind(word))->inherited;
}

static bool has_no_room(void *context, const struct page *page) {
    return !page->inherited || page->size_class != *(uint32_t *)context || page->free_count == 0;
}
static bool spares(size_t size) {
    const struct heap *heap = heap_of_thread();
    uint32_t size_class = size_class_of(ro_is_strict() ? size + 1 : size);
    return heap != NULL && !for_each_page(heap, has_no_room, &size_class);
}

static bool has_blocks(void *context, const struct page *page) {
    (void)context;
    return blocks_in(page) != 0;
}
static bool keeps_empty_page(void) { return !for_each_page(NULL, has_blocks, NULL); }

static size_t used_blocks(void) {
    struct moat_stats stats;
    moat_stats_get(&stats);
    return stats.used_blocks;
}

static size_t cell(size_t size, size_t alignment) {
    if (size >= GUARDED_FROM || alignment > GUARDED_FROM) return 0;
    uint32_t size_class = size_class_of_aligned(alignment, size + 1);
    return size_class == SIZE_CLASS_NONE ? 0 : size_class_bytes(size_class);
}

static bool is_sample(uintptr_t block) {
    return ro_is_sampling() && region_contains(block) &&
           owner_kind(owner_of(block)) == OWNER_SAMPLES;
}

static bool has_run(uintptr_t block) {
    return region_contains(block) && owner_kind(owner_of(block)) == OWNER_HUGE;
}

/* Of one with a run of its own the map has the run's first address. */
static bool lives(uintptr_t block) {
    if (!region_contains(block)) return false;
    uint64_t word = owner_of(block);
    uintptr_t base = block;
    if (owner_kind(word) == OWNER_HUGE) base = segment_start(segment_of(block));
    if (owner_kind(word) == OWNER_HUGE && block - base != (ro_is_strict() ? request_lead(base) : 0))
        return false;
    return map_in_use(map_word_of(base), map_bit_of(base));
}

/* Of a block of a page; a sample has none. */
static uint64_t secret(uintptr_t block) {
    if (is_sample(block)) return 0;
    enum page_kind kind = owner_page_kind(owner_of(block));
    return page_of(block, kind)->secret;
}

static uint64_t link_to(uintptr_t block, uintptr_t address) {
    return freelist_encode(address, secret(block), block);
}

/* As api/new.c has it. */
static void *new_block(size_t size) {
    return alloc_mark_family(alloc_block_slow(size), FAMILY_NEW);
}
static void delete_block(void *block) { alloc_delete_slow(block, FAMILY_NEW); }

static bool quarantine_holds(unsigned blocks, size_t bytes) {
    return blocks <= ro.options.quarantine && bytes <= ro.options.quarantine_bytes;
}

static unsigned heaps(void) { return ro_is_started() ? ro.pool->made : 0; }

const struct subject subject_moat = {
    .malloc = moat_malloc,
    .calloc = moat_calloc,
    .realloc = moat_realloc,
    .reallocarray = moat_reallocarray,
    .aligned_alloc = moat_aligned_alloc,
    .posix_memalign = moat_posix_memalign,
    .free = moat_free,
    .free_sized = moat_free_sized,
    .free_aligned_sized = moat_free_aligned_sized,
    .usable_size = moat_usable_size,
    .owns = moat_owns,
    .trim = moat_trim,
    .check = moat_check,
    .begin = begin,
    .touch = arena_touch,
    .end = end,
    .keep = keep,
    .bring_back = bring_back,
    .be_child = be_child,
    .misjudges_pages = misjudges_pages,
    .is_left_alone = is_left_alone,
    .spares = spares,
    .keeps_empty_page = keeps_empty_page,
    .lock_memory = lock_memory,
    .abandon_thread = abandon_thread,
    .be_thread = be_thread,
    .be_nobody = be_nobody,
    .be_born = be_born,
    .end_thread = end_thread,
    .set_scheduler = harness_set_scheduler,
    .is_open = is_open,
    .is_sample = is_sample,
    .has_run = has_run,
    .lives = lives,
    .is_crowded = is_crowded,
    .erases_links = true,
    .base = base,
    .committed = committed,
    .used_blocks = used_blocks,
    .left_over = left_over,
    .heaps = heaps,
    .advance_clock = harness_clock_advance,
    .fail_nth = fail_nth,
    .limit = limit,
    .fail_none = harness_fail_none,
    .failures = harness_failures,
    .fault_kinds = FAULT_CALLS,
    .fail_at = fail_at,
    .tell_of_failpoints = tell_of_failpoints,
    .nudges = harness_nudges,
    .fail_points = FAILPOINTS,
    .link_to = link_to,
    .secret = secret,
    .cell = cell,
    .new_block = new_block,
    .delete_block = delete_block,
    .quarantine_holds = quarantine_holds,
};
