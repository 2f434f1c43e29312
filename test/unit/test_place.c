/*
 * test_place: what is chosen for the region and the tables' island (src/meta/place.c).
 */
#include "core.h"

#include "meta/place.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define TIB (1024 * GIB)
#define SPACE ((uintptr_t)1 << 47)
#define KERNEL ((uintptr_t)0x7f1234567000) /* where its mappings lie in most processes */
#define LEGACY_KERNEL (SPACE / 3)          /* without a limit of the stack */
enum { CHOICES = 100000 };

/* Where well-known programs map memory, or expect it, at addresses that are written into them. */
static const struct claim {
    const char *who;
    uintptr_t start, end;
} claims[] = {
    {"what has 32 bits: LuaJIT, wine, x32, emulators' guests", 0, 4 * GIB},
    {"Java's compressed pointers", 0, 32 * GIB},
    {"AddressSanitizer's shadow", 0x7fff8000, 0x10007fff8000},
    {"DPDK", 4 * GIB, 260 * GIB},
    {"SBCL's dynamic space", 0x1000000000, 0x3000000000},
    {"GHC's heap, 1 TiB", 0x4200000000, 0x14200000000},
    {"Go's first arena, of 1 TiB", 0xc000000000, 0x1c000000000},
    {"ZGC: three views of 4 TiB", 0x40000000000, 0xc0000000000},
    {"ZGC: the third", 0x100000000000, 0x140000000000},
    {"clisp", 0x100000000000, 0x200000000000},
    {"Clozure CL", 0x300000000000, 0x308000000000},
    {"programs, from two thirds on", 0x555555554000, SPACE},
};

static void expect_nobodys(uintptr_t start, size_t size) {
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        if (start < claims[i].end && claims[i].start < start + size)
            ck_abort_msg("%#lx is %s's", start, claims[i].who);
}

static void expect_apart(const struct places *places) {
    core_require(places->island + 512 * GIB <= places->region ||
                 places->region + places->span <= places->island);
}

static const uintptr_t kernels[] = {KERNEL, LEGACY_KERNEL, 0};

START_TEST(nothing_is_chosen_where_a_program_insists_on_its_place) {
    struct places places = {.space = SPACE, .kernel = kernels[_i], .span = 1 * TIB};
    struct random random;
    random_seed_fixed(&random, 1);
    for (int choice = 0; choice < CHOICES; choice++) {
        places_choose(&places, &random);
        core_require(places.region % SEGMENT_SIZE == 0);
        expect_nobodys(places.region, places.span);
        expect_nobodys(places.island, 512 * GIB);
        expect_apart(&places);
    }
}
END_TEST

/* The figures of SECURITY.md: of 48 TiB but for half a TiB, and one before that. */
START_TEST(every_part_of_the_rest_is_chosen_alike) {
    enum { PARTS = 128 }; /* each half a TiB */
    static unsigned regions[PARTS], islands[PARTS];
    struct places places = {.space = SPACE, .kernel = KERNEL, .span = 1 * TIB};
    struct random random;
    unsigned region_parts = 0, island_parts = 0;
    random_seed_fixed(&random, 2);
    for (int choice = 0; choice < CHOICES; choice++) {
        places_choose(&places, &random);
        regions[places.region / (512 * GIB) - 32]++;
        islands[places.island / (512 * GIB) - 32]++;
    }
    for (unsigned part = 0; part < PARTS; part++) {
        region_parts += regions[part] > CHOICES / PARTS;
        island_parts += islands[part] > CHOICES / PARTS;
    }
    ck_assert_uint_eq(region_parts, 96 - 3);
    ck_assert_uint_eq(island_parts, 96 - 1);
}
END_TEST

/* The region may take a quarter of it then, and an island is a sixteenth. */
START_TEST(where_addresses_are_few_there_is_room_for_both) {
    const uintptr_t space = (uintptr_t)1 << 39;
    struct places places = {.space = space, .kernel = space - 4 * GIB, .span = space / 4};
    struct random random;
    random_seed_fixed(&random, 3);
    for (int choice = 0; choice < CHOICES; choice++) {
        places_choose(&places, &random);
        core_require(places.region + places.span <= space && places.island + 32 * GIB <= space);
        core_require(places.island + 32 * GIB <= places.region ||
                     places.region + places.span <= places.island);
    }
}
END_TEST

static unsigned islands_asked;
static uintptr_t first_island;

/* Something lies in the first island that is asked about. */
static bool take_the_first(long number, const long *arguments, long *result) {
    if (number != SYS_mmap || arguments[1] != (long)(512 * GIB)) return false;
    core_require((arguments[3] & (MAP_PRIVATE | MAP_SHARED)) == 0);
    *result = islands_asked++ == 0 ? -EEXIST : -EINVAL;
    if (islands_asked == 1) first_island = (uintptr_t)arguments[0];
    return true;
}

START_TEST(an_island_in_which_something_is_mapped_is_passed_over) {
    struct places places = {.space = SPACE, .kernel = KERNEL, .span = 1 * TIB};
    struct random random;
    if (UNDER_THREAD_SANITIZER) return;
    random_seed_fixed(&random, 4);
    harness_set_kernel(take_the_first);
    places_choose(&places, &random);
    harness_set_kernel(NULL);
    ck_assert_uint_eq(islands_asked, 2);
    ck_assert_uint_ne(places.island, first_island);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("place");
    TCase *group = tcase_create("place");
    tcase_add_loop_test(group, nothing_is_chosen_where_a_program_insists_on_its_place, 0,
                        sizeof kernels / sizeof *kernels);
    tcase_add_test(group, every_part_of_the_rest_is_chosen_alike);
    tcase_add_test(group, where_addresses_are_few_there_is_room_for_both);
    tcase_add_test(group, an_island_in_which_something_is_mapped_is_passed_over);
    suite_add_tcase(suite, group);
    return suite_run(suite);
}
