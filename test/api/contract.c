/*
 * contract: the malloc family's table of inputs and results, row by row: alignment, contents,
 * usable size, zero sizes, errors.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

/* Through volatile: the compiler must not know a size to be absurd. */
static volatile size_t too_large = (size_t)PTRDIFF_MAX + 1;
static volatile size_t size_max = SIZE_MAX;
static volatile size_t near_max = SIZE_MAX - 100;
static volatile size_t one_gib = (size_t)1 << 30;
static volatile size_t above_gib = ((size_t)1 << 30) + 1;
static volatile size_t half = SIZE_MAX / 2 + 1;
static volatile size_t unavailable = (size_t)1 << 46;

/* Sizes at, below and above every boundary that a size class or a kind of page can have. */
enum { SIZES_MAX = 400 };
static size_t sizes[SIZES_MAX];
static size_t size_count;

static void collect_sizes(void) {
    for (size_t size = 1; size <= 40; size++) sizes[size_count++] = size;
    for (size_t power = 64; power <= ((size_t)2 << 20); power *= 2) {
        for (size_t eighth = 8; eighth < 16; eighth += 2) {
            size_t size = power / 8 * eighth;
            sizes[size_count++] = size - 1;
            sizes[size_count++] = size;
            sizes[size_count++] = size + 1;
        }
    }
    REQUIRE(size_count <= SIZES_MAX, "space for %zu sizes", size_count);
}

static void fill(void *block, size_t size, unsigned seed) {
    unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static bool is_filled(const void *block, size_t size, unsigned seed) {
    const unsigned char *bytes = block;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (unsigned char)(seed + i * 7 + (i >> 8))) return false;
    }
    return true;
}

static void require_fails_with(int expected, void *result, const char *call) {
    REQUIRE(result == NULL, "%s: a block instead of NULL", call);
    REQUIRE(errno == expected, "%s: errno %d instead of %d", call, errno, expected);
    errno = 0;
}

static void every_size_is_aligned_and_usable_to_its_last_byte(void) {
    static void *blocks[SIZES_MAX];
    static size_t usable[SIZES_MAX];
    for (size_t i = 0; i < size_count; i++) {
        blocks[i] = malloc(sizes[i]);
        REQUIRE(blocks[i] != NULL, "malloc(%zu)", sizes[i]);
        REQUIRE((uintptr_t)blocks[i] % 16 == 0, "malloc(%zu) gave %p", sizes[i], blocks[i]);
        usable[i] = malloc_usable_size(blocks[i]);
        REQUIRE(usable[i] >= sizes[i], "%zu usable bytes of %zu", usable[i], sizes[i]);
        fill(blocks[i], usable[i], (unsigned)i);
    }
    for (size_t i = 0; i < size_count; i++) {
        REQUIRE(malloc_usable_size(blocks[i]) == usable[i],
                "the usable size of a block of %zu changed", sizes[i]);
        REQUIRE(is_filled(blocks[i], usable[i], (unsigned)i), "a block of %zu lost its contents",
                sizes[i]);
    }
    for (size_t i = 0; i < size_count; i++) free(blocks[i]);
    REQUIRE(malloc_usable_size(NULL) == 0, "usable size of NULL");
}

static void calloc_is_zero_filled_after_dirty_frees(void) {
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < size_count; i++) {
            unsigned char *block = calloc(1, sizes[i]);
            REQUIRE(block != NULL, "calloc(1, %zu)", sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++)
                REQUIRE(block[k] == 0, "byte %zu of calloc(1, %zu)", k, sizes[i]);
            memset(block, 0xA5, malloc_usable_size(block));
            free(block);
        }
    }
    unsigned *words = calloc(1000, sizeof *words);
    for (size_t i = 0; i < 1000; i++) REQUIRE(words[i] == 0, "word %zu", i);
    free(words);
}

static void zero_sizes_are_unique_and_inaccessible(void) {
    enum { COUNT = 500 };
    static void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        void *aligned = NULL;
        switch (i % 6) {
        case 0: blocks[i] = malloc(0); break;
        case 1: blocks[i] = calloc(0, i); break;
        case 2: blocks[i] = calloc(i, 0); break;
        case 3: blocks[i] = aligned_alloc(64, 0); break;
        case 4: blocks[i] = realloc(NULL, 0); break;
        default:
            REQUIRE(posix_memalign(&aligned, 4096, 0) == 0 && (uintptr_t)aligned % 4096 == 0,
                    "posix_memalign of 0: %p", aligned);
            blocks[i] = aligned;
        }
        REQUIRE(blocks[i] != NULL && (uintptr_t)blocks[i] % 16 == 0, "zero-size block %zu is %p", i,
                blocks[i]);
        REQUIRE(malloc_usable_size(blocks[i]) == 0, "usable size of zero-size block %zu", i);
        REQUIRE(is_inaccessible(blocks[i]), "zero-size block %zu can be read", i);
        for (size_t k = 0; k < i; k++)
            REQUIRE(blocks[k] != blocks[i], "zero-size blocks %zu and %zu are one", k, i);
    }
    for (size_t i = 0; i < COUNT; i++) free(blocks[i]);
    char *grown = realloc(malloc(0), 100);
    memset(grown, 1, 100);
    free(grown);
}

static void realloc_keeps_the_contents(void) {
    for (size_t i = 0; i < size_count; i++) {
        for (size_t k = i % 7; k < size_count; k += 11) {
            unsigned char *block = malloc(sizes[i]);
            fill(block, sizes[i], 3);
            size_t kept = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
            /* the big ones are looked at in their first and last bytes, for time's sake */
            if (kept > 100000) {
                block = realloc(block, sizes[k]);
                REQUIRE(block != NULL && is_filled(block, 4096, 3), "realloc of %zu to %zu",
                        sizes[i], sizes[k]);
                REQUIRE(block[kept - 1] == (unsigned char)(3 + (kept - 1) * 7 + ((kept - 1) >> 8)),
                        "last byte kept of %zu", kept);
            } else {
                block = realloc(block, sizes[k]);
                REQUIRE(block != NULL && is_filled(block, kept, 3), "realloc of %zu to %zu",
                        sizes[i], sizes[k]);
            }
            REQUIRE(malloc_usable_size(block) >= sizes[k], "usable size after realloc to %zu",
                    sizes[k]);
            free(block);
        }
    }
}

static void realloc_of_size_zero_frees(void) {
    void *block = malloc(48);
    errno = 0;
    REQUIRE(realloc(block, 0) == NULL && errno == 0, "realloc(p, 0): not NULL, or errno %d", errno);
    block = malloc(48);
    REQUIRE(reallocarray(block, 0, 100) == NULL && errno == 0, "reallocarray(p, 0, n)");
}

static void free_twice_through_realloc(void *unused) {
    (void)unused;
    void *block = launder(malloc(48));
    if (realloc(block, 0) != NULL) return;
    free(block);
}

static void overflows_and_absurd_sizes_fail_with_enomem(void) {
    unsigned char *block = malloc(100), *same = launder(block);
    fill(block, 100, 9);
    errno = 0;
    require_fails_with(ENOMEM, malloc(too_large), "malloc above PTRDIFF_MAX");
    require_fails_with(ENOMEM, malloc(size_max), "malloc(SIZE_MAX)");
    require_fails_with(ENOMEM, malloc(unavailable), "malloc of 64 TiB");
    require_fails_with(ENOMEM, calloc(half, 2), "calloc with a product of 0 mod 2^64");
    require_fails_with(ENOMEM, calloc(half + 8, 2), "calloc with a product of 16 mod 2^64");
    require_fails_with(ENOMEM, calloc(size_max, size_max), "calloc(SIZE_MAX, SIZE_MAX)");
    require_fails_with(ENOMEM, calloc(1, too_large), "calloc above PTRDIFF_MAX");
    require_fails_with(ENOMEM, realloc(block, too_large), "realloc above PTRDIFF_MAX");
    require_fails_with(ENOMEM, realloc(block, unavailable), "realloc to 64 TiB");
    require_fails_with(ENOMEM, reallocarray(block, half + 8, 2),
                       "reallocarray with a product of 16 mod 2^64");
    require_fails_with(ENOMEM, reallocarray(NULL, size_max, 2), "reallocarray(NULL) with overflow");
    require_fails_with(ENOMEM, aligned_alloc(16, too_large), "aligned_alloc above PTRDIFF_MAX");
    require_fails_with(ENOMEM, aligned_alloc(one_gib, size_max), "aligned_alloc(1 GiB, SIZE_MAX)");
    require_fails_with(ENOMEM, memalign(4096, near_max), "memalign near SIZE_MAX");
    require_fails_with(ENOMEM, valloc(near_max), "valloc near SIZE_MAX");
    require_fails_with(ENOMEM, pvalloc(near_max), "pvalloc near SIZE_MAX");
    require_fails_with(ENOMEM, pvalloc(too_large), "pvalloc above PTRDIFF_MAX");
    REQUIRE(is_filled(same, 100, 9), "a block changed by a failed realloc");
    free(same);
}

static void aligned_alloc_takes_every_power_of_two_to_1_gib(void) {
    static const size_t some[] = {0, 1, 15, 100, 4096, 70000, 3000000};
    for (volatile size_t alignment = 1; alignment <= one_gib; alignment *= 2) {
        for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
            char *block = aligned_alloc(alignment, some[i]);
            REQUIRE(block != NULL, "aligned_alloc(%zu, %zu): errno %d", alignment, some[i], errno);
            REQUIRE((uintptr_t)block % alignment == 0, "aligned_alloc(%zu, %zu) gave %p", alignment,
                    some[i], (void *)block);
            REQUIRE(malloc_usable_size(block) >= some[i], "its usable size");
            memset(block, 0x5A, malloc_usable_size(block));
            free(block);
        }
    }
    static const volatile size_t wrong[] = {0, 3, 24, 4097, ((size_t)1 << 30) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        errno = 0;
        require_fails_with(EINVAL, aligned_alloc(wrong[i], 64),
                           "aligned_alloc with a wrong alignment");
    }
    /* right ones that cannot be had, and sizes that cannot */
    for (volatile size_t alignment = (size_t)1 << 31; alignment != 0; alignment *= 2) {
        require_fails_with(ENOMEM, aligned_alloc(alignment, 64), "aligned_alloc above 1 GiB");
        require_fails_with(ENOMEM, aligned_alloc(alignment, size_max), "the same, of SIZE_MAX");
    }
}

static void posix_memalign_checks_and_leaves_the_result_alone(void) {
    static const volatile size_t wrong[] = {0, 1, 2, 4, 3, 24, 12, 4097, SIZE_MAX};
    void *untouched = &untouched;
    void *result = untouched;
    errno = 77;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int error = posix_memalign(&result, wrong[i], 64);
        REQUIRE(error == EINVAL && result == untouched, "posix_memalign with alignment %zu: %d",
                wrong[i], error);
    }
    REQUIRE(errno == 77, "posix_memalign with a wrong alignment set errno to %d", errno);
    REQUIRE(posix_memalign(&result, 64, too_large) == ENOMEM && result == untouched,
            "posix_memalign above PTRDIFF_MAX");
    REQUIRE(posix_memalign(&result, 64, unavailable) == ENOMEM && result == untouched,
            "posix_memalign of 64 TiB");
    REQUIRE(posix_memalign(&result, (size_t)1 << 31, 64) == ENOMEM && result == untouched,
            "posix_memalign at 2 GiB");
    REQUIRE(errno == ENOMEM, "without memory posix_memalign set errno to %d", errno);
    errno = 77;
    for (size_t alignment = sizeof(void *); alignment <= (size_t)1 << 30; alignment *= 2) {
        REQUIRE(posix_memalign(&result, alignment, 333) == 0, "posix_memalign at %zu", alignment);
        REQUIRE((uintptr_t)result % alignment == 0, "posix_memalign at %zu gave %p", alignment,
                result);
        memset(result, 1, malloc_usable_size(result));
        free(result);
    }
}

static void the_older_aligned_functions_work(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *symbol = dlsym(RTLD_DEFAULT, "cfree"); /* no header declares it any more */
    void (*old_free)(void *);
    REQUIRE(symbol != NULL, "cfree is not there");
    memcpy(&old_free, &symbol, sizeof old_free);
    for (size_t alignment = 0; alignment <= 5000; alignment += 8) {
        void *block = memalign(alignment, 40); /* as glibc's: rounded up to a power of two */
        size_t power = 16;
        while (power < alignment) power *= 2;
        REQUIRE(block != NULL && (uintptr_t)block % power == 0, "memalign(%zu) gave %p", alignment,
                block);
        free(block);
    }
    errno = 0;
    require_fails_with(ENOMEM, memalign(above_gib, 40), "memalign above 1 GiB");
    require_fails_with(EINVAL, memalign(size_max, 40), "memalign(SIZE_MAX)");
    static const size_t some[] = {0, 1, 100, 4096, 4097, 100000};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        void *whole = pvalloc(some[i]);
        void *block = valloc(some[i]);
        size_t rounded = (some[i] + page - 1) / page * page;
        REQUIRE(block != NULL && (uintptr_t)block % page == 0, "valloc(%zu) gave %p", some[i],
                block);
        REQUIRE(whole != NULL && (uintptr_t)whole % page == 0, "pvalloc(%zu) gave %p", some[i],
                whole);
        REQUIRE(malloc_usable_size(whole) >= rounded, "pvalloc(%zu) has %zu bytes", some[i],
                malloc_usable_size(whole));
        memset(whole, 1, rounded);
        free(block);
        old_free(whole);
    }
}

static void frees_and_successes_keep_errno(void) {
    errno = 4711;
    free(NULL);
    for (size_t i = 0; i < size_count; i++) {
        void *block = realloc(calloc(1, sizes[i]), sizes[i] * 2);
        REQUIRE(block != NULL && errno == 4711, "errno %d after allocating %zu", errno, sizes[i]);
        free(block);
        REQUIRE(errno == 4711, "errno %d after free of %zu", errno, sizes[i]);
    }
    void *zero = malloc(0);
    free(zero);
    (void)malloc_trim(0);
    REQUIRE(errno == 4711, "errno %d after free of a zero-size block or malloc_trim", errno);
}

static void sized_frees_take_the_right_size(void) {
    family.free_sized(NULL, 10);
    family.free_aligned_sized(NULL, 64, 10);
    for (size_t i = 0; i < size_count; i++) {
        family.free_sized(malloc(sizes[i]), sizes[i]);
        family.free_aligned_sized(aligned_alloc(64, sizes[i]), 64, sizes[i]);
    }
    family.free_sized(malloc(0), 0);
}

static void free_with_wrong_size(void *unused) {
    (void)unused;
    family.free_sized(launder(malloc(48)), 480);
}

static void free_with_wrong_alignment(void *unused) {
    (void)unused;
    family.free_aligned_sized(launder(aligned_alloc(64, 64)), 4096, 64);
}

static void free_stack(void *unused) {
    (void)unused;
    char here[64];
    free(launder(here + 16));
}

int main(void) {
    require_moat(250);
    REQUIRE(family.free_sized && family.free_aligned_sized,
            "free_sized and free_aligned_sized exist");
    collect_sizes();
    every_size_is_aligned_and_usable_to_its_last_byte();
    calloc_is_zero_filled_after_dirty_frees();
    zero_sizes_are_unique_and_inaccessible();
    realloc_keeps_the_contents();
    realloc_of_size_zero_frees();
    require_report("double-free", "second free of a block", free_twice_through_realloc, NULL);
    overflows_and_absurd_sizes_fail_with_enomem();
    aligned_alloc_takes_every_power_of_two_to_1_gib();
    posix_memalign_checks_and_leaves_the_result_alone();
    the_older_aligned_functions_work();
    frees_and_successes_keep_errno();
    sized_frees_take_the_right_size();
    require_report("size-mismatch", "sized free with the wrong size", free_with_wrong_size, NULL);
    require_report("alignment-mismatch", "aligned free with the wrong alignment",
                   free_with_wrong_alignment, NULL);
    require_report("invalid-free", "free of an address outside the heap", free_stack, NULL);
    REQUIRE(family.check() > 0, "moat_check() saw no page");
    return 0;
}
