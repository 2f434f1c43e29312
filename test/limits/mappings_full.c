/*
 * mappings_full: the kernel's limit on the number of mappings (vm.max_map_count) is reached.
 * Protecting, guarding and giving back may all be refused then; allocation fails cleanly or
 * succeeds, frees always work, and everything works again afterwards.
 */
#include "limits.h"

#include <sys/mman.h>
#include <unistd.h>

/* Above this the filling takes minutes and the kernel gigabytes. */
#define MOST_MAPPINGS 2000000L

static char *filler;
static size_t filler_size;

/* Every other page of one mapping gets another protection, until the kernel refuses. */
static void fill_mappings(void) {
    long most = read_number("/proc/sys/vm/max_map_count", 65530);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (most > MOST_MAPPINGS)
        skip_test("vm.max_map_count is %ld: filling it would take too long", most);
    filler_size = ((size_t)most + 1000) * page;
    filler = mmap(NULL, filler_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(filler != MAP_FAILED, "address space can be reserved");
    size_t at = page;
    while (at < filler_size && mprotect(filler + at, page, PROT_READ) == 0) at += 2 * page;
    REQUIRE(at < filler_size && errno == ENOMEM, "the kernel refuses further mappings");
    /* The refusal comes when two more are needed: this takes the last one, if it is there. */
    (void)mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void release_mappings(void) {
    REQUIRE(munmap(filler, filler_size) == 0, "the mappings can be released");
}

static const size_t sizes[] = {48, 1000, 4096, 20 * KIB, 300 * KIB, 3 * MIB, 9 * MIB};
enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 12 };

static void require_each(bool must_succeed) {
    for (unsigned i = 0; i < SIZES; i++) {
        struct pile pile = {NULL, 0, 0};
        while (pile.count < 200 && pile.bytes < 64 * MIB && pile_add(&pile, sizes[i])) continue;
        if (must_succeed)
            REQUIRE(pile.count == 200 || pile.bytes >= 64 * MIB, "blocks of %zu bytes can be had",
                    sizes[i]);
        pile_free(&pile);
    }
}

/* From the first allocations on: nothing was prepared when the mappings were still there. */
static void allocate_when_full(const char *argument) {
    (void)argument;
    fill_mappings();
    require_each(false);
    malloc_trim(0);
    require_each(false);
    moat_check();
    release_mappings();
    require_each(true);
}

static size_t reserved_now(void) {
    struct moat_stats stats;
    moat_stats_get(&stats);
    return stats.reserved;
}

static void fill_piles(struct pile *piles, struct pile *others) {
    for (unsigned i = 0; i < SIZES; i++)
        for (unsigned k = 0; k < 2 * EACH; k++)
            REQUIRE(pile_add(k % 2 == 0 ? &piles[i] : &others[i], sizes[i]),
                    "blocks of %zu bytes can be had", sizes[i]);
}

static void free_piles(struct pile *piles) {
    for (unsigned i = 0; i < SIZES; i++) pile_free(&piles[i]);
}

static void free_half_when_full(void) {
    struct pile freed[SIZES] = {{NULL, 0, 0}}, kept[SIZES] = {{NULL, 0, 0}};
    fill_piles(freed, kept);
    fill_mappings();
    free_piles(freed);
    malloc_trim(0);
    moat_check();
    require_each(false);
    release_mappings();
    malloc_trim(0);
    require_each(true);
    free_piles(kept);
    require_each(true);
    moat_check();
}

/* Blocks of every kind, which were allocated before, are freed when the kernel refuses to take
   their memory apart, being between others. It takes it when it can again: however often that
   happens, about as many addresses serve: the region doubles once at most, as it is cut up. */
static void free_when_full(const char *argument) {
    (void)argument;
    free_half_when_full();
    size_t before = reserved_now();
    for (unsigned i = 0; i < 16; i++) free_half_when_full();
    say("%zu bytes of addresses after the first round, %zu after the last", before, reserved_now());
    REQUIRE(reserved_now() <= 2 * before, "no address is lost for good");
}

/* Moved, grown, shrunk: by mremap or in place, whatever the kernel still allows. */
static void resize_when_full(const char *argument) {
    char *block = launder(malloc(5 * MIB));
    REQUIRE(block, "a huge block can be had");
    (void)argument;
    memset(block, 'r', 5 * MIB);
    fill_mappings();
    static const size_t steps[] = {3 * MIB, 8 * MIB, 1000, 40 * MIB, 2 * MIB, 17 * MIB};
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        errno = 0;
        char *resized = launder(realloc(block, steps[i]));
        REQUIRE(resized || errno == ENOMEM, "realloc gives a block or ENOMEM");
        if (resized) block = resized;
        REQUIRE(block[0] == 'r' && block[999] == 'r', "the contents are kept");
    }
    release_mappings();
    free(block);
    require_each(true);
}

/* Guards cost no mappings where the kernel can install them inside one: the count must not grow
   with the heap. */
static void guards_cost_no_mappings(const char *argument) {
    struct pile pile = {NULL, 0, 0};
    struct moat_stats stats;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)argument;
    REQUIRE(probe != MAP_FAILED, "a page can be mapped");
    if (madvise(probe, page, 102 /* MADV_GUARD_INSTALL */) != 0)
        skip_test("this kernel has no MADV_GUARD_INSTALL (Linux 6.13)");
    size_t before = process_mappings();
    pile_fill(&pile, 1000, 400 * MIB);
    size_t after = process_mappings();
    moat_stats_get(&stats);
    say("%zu segments, %zu mappings before, %zu after", stats.segments, before, after);
    REQUIRE(stats.segments >= 100, "400 MiB are at least a hundred segments");
    REQUIRE(after <= before + 10, "guards inside a mapping do not split it: %zu, then %zu", before,
            after);
    REQUIRE(stats.guards_missing == 0, "no guard is missing");
    pile_free(&pile);
}

const struct scenario mapping_scenarios[] = {
    {"allocate-when-full", allocate_when_full},
    {"free-when-full", free_when_full},
    {"resize-when-full", resize_when_full},
    {"guards-cost-no-mappings", guards_cost_no_mappings},
    {NULL, NULL},
};
