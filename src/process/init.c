/*
 * init: from nothing to a working allocator, once.
 *
 * Runs inside the first call that needs memory, before constructors if need be. It reserves the
 * region and, in a second reservation, a place for each table at a random offset with inaccessible
 * memory on both sides; fills `ro` in and makes it read-only.
 */
#include "os/lock.h"
#include "meta/options.h"
#include "os/os.h"
#include "process/init.h"
#include "process/state.h"

/* The most a table is moved within its place, halved until the reservation fits. */
#define GAP_MAX (16 * GIB)
#define GAP_MIN (64 * KIB)

/* The one lock that exists before there is state. */
static struct lock init_lock;

enum table {
    TABLE_STATE,
    TABLE_SEGMENTS,
    TABLE_PAGES,
    TABLE_LOCAL_HEAPS,
    TABLE_MAPS,
    TABLE_HEAPS,
    TABLE_RANDOMS,
    TABLES
};

struct layout {
    size_t size[TABLES];
    uintptr_t start[TABLES];
    void *reserved;
    size_t reserved_size;
};

/* Room for whole chunks: tables become writable chunk by chunk, rounded out to OS pages. */
static void plan_sizes(struct layout *layout, size_t span, size_t heaps) {
    size_t segments = round_up(span >> SEGMENT_SHIFT, TABLE_CHUNK);
    layout->size[TABLE_STATE] = sizeof(struct state);
    layout->size[TABLE_SEGMENTS] = segments * sizeof(struct segment);
    layout->size[TABLE_PAGES] = segments * PAGE_TABLE_BYTES_PER_SEGMENT;
    layout->size[TABLE_LOCAL_HEAPS] = segments * LOCAL_TABLE_BYTES_PER_SEGMENT;
    layout->size[TABLE_MAPS] = segments * MAP_BYTES_PER_SEGMENT;
    layout->size[TABLE_HEAPS] = heaps * HEAP_SIZE;
    layout->size[TABLE_RANDOMS] = heaps * sizeof(struct heap_random);
    for (int i = 0; i < TABLES; i++) layout->size[i] = round_up(layout->size[i], ro.os_page);
}

static bool reserve_tables(struct layout *layout, struct random *random, size_t gap) {
    for (; gap >= GAP_MIN; gap /= 4) {
        layout->reserved_size = 0;
        for (int i = 0; i < TABLES; i++)
            layout->reserved_size += layout->size[i] + gap + 2 * ro.os_page;
        layout->reserved = os_reserve(layout->reserved_size, ro.os_page, 0);
        if (layout->reserved == NULL) continue;
        uintptr_t place = (uintptr_t)layout->reserved;
        for (int i = 0; i < TABLES; i++) {
            size_t offset = round_down(random_next(random) % gap, ro.os_page);
            layout->start[i] = place + ro.os_page + offset;
            place += layout->size[i] + gap + 2 * ro.os_page;
        }
        return true;
    }
    return false;
}

static void fill_ro(const struct layout *layout, const struct region_plan *plan) {
    struct state *state = (struct state *)layout->start[TABLE_STATE];
    ro.segments = (struct segment *)layout->start[TABLE_SEGMENTS];
    ro.pages = (struct page *)layout->start[TABLE_PAGES];
    ro.local_heaps = (uintptr_t *)layout->start[TABLE_LOCAL_HEAPS];
    ro.maps = layout->start[TABLE_MAPS];
    ro.map_bias = layout->start[TABLE_MAPS] - (plan->base >> 6);
    ro_store(heaps_base, layout->start[TABLE_HEAPS]);
    ro.randoms = (struct heap_random *)layout->start[TABLE_RANDOMS];
    ro.fork_mark = &ro.randoms[HEAP_LATE].fork_mark;
    ro.region = &state->region;
    ro.locks = state->locks;
    ro.abandoned = state->abandoned;
    ro.pool = &state->pool;
    ro.huge = &state->huge;
    ro.zero_size = &state->zero_size;
}

/* A free looks at the local heap and the owner word of whatever address in the range it is given:
   zeros say that nothing lives there. */
static bool open_tables(const struct layout *layout) {
    static const enum table read_anywhere[] = {TABLE_SEGMENTS, TABLE_PAGES, TABLE_LOCAL_HEAPS,
                                               TABLE_MAPS};
    if (!os_commit((void *)layout->start[TABLE_STATE], layout->size[TABLE_STATE])) return false;
    for (size_t i = 0; i < sizeof read_anywhere / sizeof read_anywhere[0]; i++) {
        enum table table = read_anywhere[i];
        if (!os_protect_read((void *)layout->start[table], layout->size[table])) return false;
    }
    return true;
}

/* From here on a pointer, NULL too while the base is still 0 elsewhere, may lead to the segment
   table: it must be readable. */
static void publish_range(const struct region_plan *plan) {
    ro_store(region_base, plan->base);
    ro_store(region_granules, plan->span >> GRANULE_SHIFT);
    /* pairs with nothing: free loads it relaxed (see ro_load); the release keeps the order */
    atomic_store_release(&ro.region_span, plan->span);
}

/* State that is not all-zero at birth. */
static bool fill_state(const struct region_plan *plan, struct random *random, size_t heaps) {
    region_init(ro.region, plan, random);
    ro.huge->next_purge = UINT64_MAX;
    ro.pool->limit = (uint32_t)heaps;
    if (!heap_pool_init()) return false;
    *ro.fork_mark = FORK_RECOVERED;
    return true;
}

/* The whole of `ro` is read-only from here on. */
static void publish(size_t heaps) {
    atomic_store_release(&ro.heaps_max, heaps); /* pairs with ro_is_started */
    if (!HARDENED_RO) return;
    if (os_protect_read(&moat_ro_pages, sizeof moat_ro_pages) && !IN_HARNESS)
        os_seal(&moat_ro_pages, sizeof moat_ro_pages);
}

/* What a failed start has reserved goes back, and nothing is owned: but for the key, which the next
   attempt takes up. */
static void take_down(const struct region_plan *plan, const struct layout *layout) {
    uint32_t exit_key = ro.exit_key;
    ro_store(region_span, 0);
    ro_store(region_granules, 0);
    ro_store(region_base, 0);
    ro_store(heaps_base, 0);
    os_unreserve((void *)plan->base, plan->window);
    if (layout->reserved != NULL) os_unreserve(layout->reserved, layout->reserved_size);
    __builtin_memset(&ro, 0, sizeof ro);
    ro.exit_key = exit_key;
}

static bool build(struct random *random) {
    struct region_plan plan;
    struct layout layout;
    size_t limit = os_address_space_limit();
    bool limited = limit != SIZE_MAX;
    size_t heaps = limited ? HEAPS_MAX_LIMITED : HEAPS_MAX;
    os_read_facts(&ro.os);
    options_load(&ro.options);
    ro.os_page = ro.os.page_size;
    if (!region_reserve(random, limit, ro.options.region_limit, &plan)) return false;
    plan_sizes(&layout, plan.span, heaps);
    if (!reserve_tables(&layout, random, limited ? MIB : GAP_MAX)) {
        take_down(&plan, &layout);
        return false;
    }
    fill_ro(&layout, &plan);
    os_wipe_on_fork((void *)layout.start[TABLE_RANDOMS], layout.size[TABLE_RANDOMS]);
    bool open = open_tables(&layout);
    if (open) publish_range(&plan);
    if (!open || !fill_state(&plan, random, heaps)) {
        take_down(&plan, &layout);
        return false;
    }
    publish(heaps);
    return true;
}

bool init_once(void) {
    struct random random;
    uintptr_t outside = thread_enter();
    /* moat_default_options() that allocates, or a signal handler */
    if (outside == THREAD_BUSY) heap_report_reentry();
    lock_acquire(&init_lock);
    bool ready = ro_is_started(), first = false;
    if (!ready) {
        if (moat_refuse_sanitizers != NULL) moat_refuse_sanitizers();
        __builtin_memset(&random, 0, sizeof random);
        ready = first = build(&random);
        __builtin_memset(&random, 0, sizeof random);
        /* the keys of the layout do not stay on the stack */
        __asm__ volatile("" : : "r"(&random) : "memory");
    }
    lock_release(&init_lock);
    thread_leave(outside);
    if (first) (void)fork_register(); /* may allocate */
    return ready;
}
