/*
 * micro: nanoseconds per operation of the allocator this process runs on, in patterns of malloc and
 * free and their relatives.
 *
 *     bench-micro [--only NAME] [--scale FACTOR] [--slices N] [--clock wall|processor]
 *                 [--huge-heap]
 *     bench-micro --list
 *
 * Runs pair, batch, random, wide and remote, or the one that --only names; --list names all,
 * micro_patterns.h says where each is described. Prints CSV: a line `allocator,FILE`, a heading,
 * and a line for each pattern with the median, the least and the greatest of its slices (after one
 * that is thrown away). Each block gets one byte written, as every program would at least. The
 * harness's own work (a random number, a table look-up, the byte) is included and the same for all:
 * compare, do not take as absolute. Built with -fno-builtin, so that no pair of malloc and free is
 * compiled away. Threads stay on fixed processors. With --clock processor the patterns of one
 * thread are timed by that thread's processor time, which other processes on a busy machine disturb
 * less; those of several threads are always timed by the wall clock. bench/run-micro runs this
 * program.
 */
#define _GNU_SOURCE
#include "micro_patterns.h"

#include <string.h>

enum { MOST_SLICES = 64 };

cpu_set_t allowed;

static const struct pattern *const families[] = {small_patterns, remote_patterns, linked_patterns,
                                                 large_patterns, growth_patterns};
enum { FAMILIES = sizeof families / sizeof *families };

struct options {
    double scale;
    size_t slices;
    clockid_t clock;
    const char *only; /* NULL: the patterns that run by default */
    bool huge_heap;
    bool list;
};

static void measure(const struct pattern *pattern, const struct options *options) {
    double times[MOST_SLICES];
    clockid_t clock = pattern->traits & THREADS ? CLOCK_MONOTONIC : options->clock;
    size_t operations = (size_t)((double)pattern->operations * options->scale);
    if (operations < pattern->unit) operations = pattern->unit;
    operations -= operations % pattern->unit;
    if (pattern->prepare && !pattern->prepare(pattern->amount)) return;
    pattern->run(operations);
    if (pattern->reset) pattern->reset();
    for (size_t slice = 0; slice < options->slices; slice++) {
        double start = now_ns(clock);
        pattern->run(operations);
        times[slice] = (now_ns(clock) - start) / (double)operations;
        if (pattern->reset) pattern->reset();
    }
    if (pattern->finish) pattern->finish(pattern->amount);
    double median = median_of(times, options->slices);
    printf("%s,%.3f,%.3f,%.3f,%zu\n", pattern->name, median, times[0], times[options->slices - 1],
           operations * options->slices);
}

static bool is_wanted(const struct pattern *pattern, const struct options *options) {
    if (!options->only) return pattern->traits & BY_DEFAULT;
    if (pattern->traits & HUGE_HEAP && !options->huge_heap) return false;
    return strcmp(options->only, pattern->name) == 0 ||
           (pattern->group && strcmp(options->only, pattern->group) == 0);
}

/* A group by its own name, once. */
static void list_names(void) {
    const char *last_group = NULL;
    for (size_t i = 0; i < FAMILIES; i++) {
        for (const struct pattern *pattern = families[i]; pattern->name; pattern++) {
            if (!pattern->group) puts(pattern->name);
            if (pattern->group && pattern->group != last_group) puts(pattern->group);
            last_group = pattern->group;
        }
    }
}

static int usage(void) {
    fprintf(stderr,
            "usage: bench-micro [--only NAME] [--scale FACTOR] [--slices 1..%d]\n"
            "                   [--clock wall|processor] [--huge-heap]\n"
            "       bench-micro --list    the names there are\n",
            MOST_SLICES);
    return 2;
}

/* Reads the option that takes a value. False: there is no such option, or no such value. */
static bool read_value(struct options *options, const char *option, const char *value) {
    char *end = NULL;
    if (!value || !*value) return false;
    if (strcmp(option, "--scale") == 0) {
        options->scale = strtod(value, &end);
        return !*end && options->scale > 0 && options->scale <= 1000;
    }
    if (strcmp(option, "--slices") == 0) {
        options->slices = strtoul(value, &end, 10);
        return !*end && options->slices >= 1 && options->slices <= MOST_SLICES;
    }
    if (strcmp(option, "--only") == 0) {
        options->only = value;
        return true;
    }
    if (strcmp(option, "--clock") != 0) return false;
    options->clock = strcmp(value, "processor") == 0 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    return strcmp(value, "processor") == 0 || strcmp(value, "wall") == 0;
}

static bool read_arguments(struct options *options, int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--list") == 0) {
            options->list = true;
        } else if (strcmp(arguments[i], "--huge-heap") == 0) {
            options->huge_heap = true;
        } else {
            /* past the last one stands NULL */
            if (!read_value(options, arguments[i], arguments[i + 1])) return false;
            i++;
        }
    }
    return true;
}

/* Whether there was anything to run. */
static bool run_wanted(const struct options *options) {
    bool any = false;
    for (size_t i = 0; i < FAMILIES; i++) {
        for (const struct pattern *pattern = families[i]; pattern->name; pattern++) {
            if (!is_wanted(pattern, options)) continue;
            any = true;
            measure(pattern, options);
        }
    }
    return any;
}

int main(int count, char **arguments) {
    struct options options = {.scale = 1, .slices = 15, .clock = CLOCK_MONOTONIC};
    if (!read_arguments(&options, count, arguments)) return usage();
    if (options.list) {
        list_names();
        return 0;
    }
    sched_getaffinity(0, sizeof allowed, &allowed);
    print_allocator();
    if (pin_to(&allowed, 0) < 2)
        fprintf(stderr,
                "bench-micro: one processor only: remote shows the scheduler, not the allocator\n");
    printf("pattern,median_ns,least_ns,greatest_ns,operations\n");
    if (run_wanted(&options)) return 0;
    fprintf(stderr, "bench-micro: no pattern '%s'%s\n", options.only,
            options.huge_heap ? "" : ", or it is one for --huge-heap");
    return usage();
}
