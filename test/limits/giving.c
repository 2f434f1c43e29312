/*
 * giving: memory that is not needed any more goes back to the kernel, by itself while the program
 * does ordinary things, and at once when malloc_trim asks. Measured by the kernel: resident memory.
 */
#include "limits.h"

#include "worker.h"

#include <time.h>
#include <unistd.h>

#define PEAK (256 * MIB)
#define LEFT_BY_ITSELF (64 * MIB)
#define LEFT_BY_TRIM (16 * MIB)

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What a program that is not busy does: a few small blocks, now and then. True once resident memory
   is below the bound, which must be within two seconds. */
static bool ordinary_activity_until(size_t bound) {
    uint64_t seed = 1, limit = now_ms() + 2000;
    void *few[100] = {NULL};
    bool below = false;
    while (!below && now_ms() < limit) {
        for (unsigned i = 0; i < 100; i++) {
            free(few[i]);
            few[i] = launder(malloc(1 + prng_below(&seed, 2000)));
        }
        usleep(2000);
        below = process_resident(0) < bound;
    }
    for (unsigned i = 0; i < 100; i++) free(few[i]);
    return below;
}

/* Resident to the last page: the pile writes only the ends of its blocks. */
static void fill_and_touch(struct pile *pile, size_t size) {
    while (pile->bytes < PEAK) {
        REQUIRE(pile_add(pile, size), "256 MiB can be had");
        if (size <= 8 * KIB) continue;
        char *block = (char *)pile->top;
        for (size_t at = 4 * KIB; at + 4 * KIB < size; at += 4 * KIB) block[at] = 1;
    }
    REQUIRE(process_resident(0) >= PEAK / 10 * 9, "the peak is resident");
}

static void free_task(void *pile) { pile_free(pile); }
static size_t task_size;
static void fill_task(void *pile) { fill_and_touch(pile, task_size); }

static void require_back(void) {
    REQUIRE(ordinary_activity_until(LEFT_BY_ITSELF),
            "memory goes back within two seconds: %zu MiB are resident", process_resident(0) / MIB);
}

static void by_itself(const char *size) {
    struct pile pile = {NULL, 0, 0};
    fill_and_touch(&pile, size_from(size));
    pile_free(&pile);
    require_back();
}

/* A thread filled it and ended; the main thread frees. */
static void of_ended_thread(const char *size) {
    struct pile pile = {NULL, 0, 0};
    struct worker owner;
    task_size = size_from(size);
    worker_start(&owner);
    worker_do(&owner, fill_task, &pile);
    worker_end(&owner);
    pile_free(&pile);
    require_back();
}

/* A thread filled and freed it, and ended. */
static void by_ended_thread(const char *size) {
    struct pile pile = {NULL, 0, 0};
    struct worker owner;
    task_size = size_from(size);
    worker_start(&owner);
    worker_do(&owner, fill_task, &pile);
    worker_do(&owner, free_task, &pile);
    worker_end(&owner);
    require_back();
}

/* The main thread filled it, another one frees. */
static void by_other_thread(const char *size) {
    struct pile pile = {NULL, 0, 0};
    struct worker other;
    fill_and_touch(&pile, size_from(size));
    worker_start(&other);
    worker_do(&other, free_task, &pile);
    require_back();
    worker_end(&other);
}

static void by_trim(const char *size) {
    struct pile pile = {NULL, 0, 0};
    fill_and_touch(&pile, size_from(size));
    pile_free(&pile);
    REQUIRE(malloc_trim(0) == 1, "malloc_trim gives memory back");
    REQUIRE(process_resident(0) < LEFT_BY_TRIM,
            "malloc_trim gives it back at once: %zu MiB are resident", process_resident(0) / MIB);
    REQUIRE(malloc_trim(0) == 0, "a second time there is nothing to give");
}

/* purge_delay=0: nothing waits but for the next look at the clock, which counts milliseconds.
   Allocations without a pause bring such looks with them; a fast machine makes thousands of them in
   the millisecond of the peak. */
static void without_delay(const char *size) {
    struct pile pile = {NULL, 0, 0};
    uint64_t seed = 1, limit;
    bool below = false;
    fill_and_touch(&pile, size_from(size));
    pile_free(&pile);
    for (limit = now_ms() + 100; !below && now_ms() < limit;
         below = process_resident(0) < LEFT_BY_ITSELF)
        for (unsigned i = 0; i < 2000; i++) free(launder(malloc(1 + prng_below(&seed, 4000))));
    REQUIRE(below, "without a delay memory goes back soon: %zu MiB are resident",
            process_resident(0) / MIB);
}

const struct scenario giving_scenarios[] = {
    {"back-by-itself", by_itself},
    {"back-of-ended-thread", of_ended_thread},
    {"back-by-ended-thread", by_ended_thread},
    {"back-by-other-thread", by_other_thread},
    {"back-by-trim", by_trim},
    {"back-without-delay", without_delay},
    {NULL, NULL},
};
