/*
 * init: from nothing to a working allocator, once.
 *
 * Runs inside the first call that needs memory, before constructors if need be. It chooses a place
 * for the region and one for each table, maps the least of each that a first block needs, fills
 * `ro` in and makes it read-only.
 */
#include "os/lock.h"
#include "meta/guard.h"
#include "meta/options.h"
#include "meta/place.h"
#include "os/os.h"
#include "process/init.h"
#include "process/state.h"

/* Places are chosen anew when something else lies there. */
#define ATTEMPTS 4

/* The one lock that exists before there is state. */
static struct lock init_lock;

/* Beside the tables of the region. */
enum own_table { TABLE_STATE = REGION_TABLES, TABLE_HEAPS, TABLE_RANDOMS, TABLES };
static_assert(TABLES <= PLACE_LANES, "a lane each");

struct layout {
    struct places places;
    struct table tables[TABLES];
};

/* The most that a table can become, in bytes. */
static size_t table_most(const struct layout *layout, unsigned table) {
    switch (table) {
    case TABLE_STATE: return sizeof(struct state);
    case TABLE_HEAPS: return HEAPS_MAX * HEAP_SIZE;
    case TABLE_RANDOMS: return HEAPS_MAX * sizeof(struct heap_random);
    default:
        return region_table_bytes((enum region_table)table, layout->places.span >> SEGMENT_SHIFT);
    }
}

static bool place_tables(struct layout *layout, struct random *random) {
    for (unsigned i = 0; i < TABLES; i++) {
        size_t most = table_most(layout, i);
        if (most == 0) continue; /* of another level */
        if (!places_table(&layout->places, random, i, most, &layout->tables[i])) return false;
    }
    return table_extend(&layout->tables[TABLE_STATE], sizeof(struct state));
}

static void fill_ro(const struct layout *layout) {
    const struct table *tables = layout->tables;
    struct state *state = (struct state *)tables[TABLE_STATE].start;
    ro_store(region_base, layout->places.region);
    ro.region_span = layout->places.span;
    ro.segments = (struct segment *)tables[REGION_TABLE_SEGMENTS].start;
    ro.pages = (struct page *)tables[REGION_TABLE_PAGES].start;
    ro.local_heaps = (uintptr_t *)tables[REGION_TABLE_LOCAL_HEAPS].start;
    ro.maps = tables[REGION_TABLE_MAPS].start;
    ro.map_bias = ro.maps - (layout->places.region >> 6);
    ro.requests = (uint16_t *)tables[REGION_TABLE_REQUESTS].start;
    ro_store(heaps_base, tables[TABLE_HEAPS].start);
    ro.randoms = (struct heap_random *)tables[TABLE_RANDOMS].start;
    ro.fork_mark = &ro.randoms[HEAP_LATE].fork_mark;
    ro.region = &state->region;
    ro.locks = state->locks;
    ro.abandoned = state->abandoned;
    ro.woken_segments = state->woken_segments;
    ro.pool = &state->pool;
    ro.huge = &state->huge;
    ro.usage = &state->usage;
    ro.zero_size = &state->zero_size;
    ro.samples = &state->samples;
}

/* State that is not all-zero at birth. */
static bool fill_state(const struct layout *layout, struct random *random) {
    struct state *state = (struct state *)layout->tables[TABLE_STATE].start;
    random_start(&state->random_root, random);
    ro.random_root = &state->random_root;
    if (ro_is_strict() || ro_is_sampling())
        for (unsigned i = 0; i < 2; i++) ro.canary_key[i] = random_next(random);
    ro.thread_ended = (random_next(random) & ~THREAD_NO_HEAP) | THREAD_ENDED_PART;
    for (unsigned i = 0; i < REGION_TABLES; i++) ro.region->tables[i] = layout->tables[i];
    ro.pool->heaps = layout->tables[TABLE_HEAPS];
    ro.pool->randoms = layout->tables[TABLE_RANDOMS];
    ro.huge->next_purge = UINT64_MAX;
    if (!region_start(ro.region) || !heap_pool_init()) return false;
    *ro.fork_mark = ro_mark_recovered();
    return true;
}

/* A filter made before the call was may end the process at it. */
static bool may_seal(void) {
    return ro.options.seal == SEAL_ON || (ro.options.seal == SEAL_AUTO && !os_may_be_filtered());
}

/* The whole of `ro` is read-only from here on. The extent before others see that the start is over:
   then they open and close its page as the region grows. */
static void publish(void) {
    bool sealed = HARDENED_RO && may_seal();
    if (HARDENED_RO && os_protect_read(&moat_ro_pages.extent, 2 * RO_ALIGNMENT) && sealed)
        os_seal(moat_ro_pages.gap, RO_ALIGNMENT);
    atomic_store_release(&ro.heaps_max, HEAPS_MAX); /* pairs with ro_is_started */
    if (HARDENED_RO && os_protect_read(&ro, RO_ALIGNMENT) && sealed) os_seal(&ro, RO_ALIGNMENT);
}

/* What a failed start has mapped goes back, and nothing is owned: but for the options and what the
   kernel said, which the next attempt takes up. */
static void take_down(struct layout *layout) {
    const struct os_facts facts = ro.os;
    const struct options options = ro.options;
    if (ro.region != NULL) {
        region_remove(ro.region);
        for (unsigned i = 0; i < REGION_TABLES; i++) layout->tables[i] = ro.region->tables[i];
        layout->tables[TABLE_HEAPS] = ro.pool->heaps;
        layout->tables[TABLE_RANDOMS] = ro.pool->randoms;
    }
    for (unsigned i = 0; i < TABLES; i++) table_remove(&layout->tables[i]);
    ro_store(region_base, 0);
    ro_store(heaps_base, 0);
    __builtin_memset(&ro, 0, sizeof ro);
    ro.os = facts;
    ro.os_page = facts.page_size;
    ro.options = options;
}

MOAT_COLD static bool build(struct random *random) {
    struct layout layout;
    os_read_facts(&ro.os);
    options_load(&ro.options);
    ro.os.no_advice = !ro.options.madvise_used;
    ro.os.no_files = !ro.options.files_used;
    ro.os_page = ro.os.page_size;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        __builtin_memset(&layout, 0, sizeof layout);
        ro.overcommit = os_overcommit_mode(); /* taken down with the rest after a failure */
        ro.mappings_max = guard_splits_matter() ? os_mappings_max() : OS_MAPPINGS_DEFAULT;
        places_learn(&layout.places, ro.options.region_limit);
        if (ro_is_strict())
            places_bound_span(&layout.places, SEGMENT_SIZE / REQUEST_TABLE_BYTES_PER_SEGMENT);
        places_choose(&layout.places, random);
        bool placed = place_tables(&layout, random);
        if (placed) fill_ro(&layout);
        if (placed && fill_state(&layout, random)) {
            publish();
            return true;
        }
        take_down(&layout);
    }
    return false;
}

/* What was mapped for a start that did not come to its end stays where it is. */
void init_forget(void) {
    if (ro_extent() != 0 && (!HARDENED_RO || os_protect_write(&moat_ro_pages.extent, RO_ALIGNMENT)))
        atomic_store_relaxed(&moat_ro_pages.extent, 0u);
    ro_store(region_base, 0);
    ro_store(heaps_base, 0);
    __builtin_memset(&ro, 0, sizeof ro);
    lock_reset(&init_lock);
}

bool init_once(void) {
    struct random random;
    uintptr_t outside = thread_enter();
    /* moat_default_options() that allocates, or a signal handler */
    if (outside == THREAD_BUSY) heap_report_reentry();
    lock_acquire(&init_lock);
    bool ready = ro_is_started();
    if (!ready) {
        if (thread_is_relocated() && moat_refuse_sanitizers != NULL) moat_refuse_sanitizers();
        __builtin_memset(&random, 0, sizeof random);
        ready = build(&random);
        __builtin_memset(&random, 0, sizeof random);
        /* the keys of the layout do not stay on the stack */
        __asm__ volatile("" : : "r"(&random) : "memory");
    }
    lock_release(&init_lock);
    thread_leave(outside);
    return ready;
}
