/*
 * bench-memory: scenes about memory and growth: what is given back, and what grows with threads and
 * segments.
 *
 *     bench-memory SCENE [--peak MIB] [--births N] [--segments N] [--scale FACTOR] [--seed S]
 *
 *   give-back      a peak of 2 GiB is freed; resident memory during two seconds of light activity,
 *                  and after malloc_trim
 *   births         100 000 threads are born and end; memory after the first 1000 and after all
 *   many-segments  10 000 pieces of 4 MiB with one live block each; malloc and free, and the end of
 *                  their thread
 *   threads        the same amount of small-block work by 1, 2, 4 ... 64 threads
 *
 * Prints CSV: a line `allocator,FILE`, a heading `measure,value`, then rows, whose names end in
 * their unit (each scene's file says what they are). --scale is the amount of timed work. Scenes
 * that need more memory than the machine has left do with less, and say how much. bench/run-memory
 * runs it.
 */
#define _GNU_SOURCE
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct scene_options options = {.peak = (size_t)2 << 30, .births = 100000, .segments = 10000};

static const struct scene *const scenes[] = {&scene_give_back, &scene_births, &scene_segments,
                                             &scene_threads};
enum { SCENES = sizeof scenes / sizeof *scenes };

/* The file's beginning as a string; its length, or negative. */
static ssize_t read_file(const char *path, char *text, size_t room) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t length = 0, got;
    while ((got = read(file, text + length, room - 1 - (size_t)length)) > 0) length += got;
    close(file);
    text[length] = '\0';
    return length;
}

/* The number behind `name` in lines such as `Rss:   123 kB`, in bytes; negative if there is
 * none. */
static double field_of(const char *path, const char *name) {
    char text[8192];
    const char *at = read_file(path, text, sizeof text) > 0 ? strstr(text, name) : NULL;
    return at ? strtod(at + strlen(name), NULL) * 1024 : -1;
}

static double pages_of_statm(int index) {
    char text[256], *at = text;
    double pages = 0;
    if (read_file("/proc/self/statm", text, sizeof text) <= 0)
        give_up("/proc/self/statm cannot be read");
    for (int i = 0; i <= index; i++) pages = strtod(at, &at);
    return pages * (double)sysconf(_SC_PAGESIZE);
}

double resident_bytes(void) {
    double bytes = field_of("/proc/self/smaps_rollup", "\nRss:");
    return bytes >= 0 ? bytes : pages_of_statm(1);
}

double mapped_bytes(void) { return pages_of_statm(0); }

double available_bytes(void) {
    double bytes = field_of("/proc/meminfo", "\nMemAvailable:");
    if (bytes < 0) give_up("/proc/meminfo does not say how much memory is available");
    return bytes;
}

void print_row(const char *name, double value) { printf("%s,%.3f\n", name, value); }

void print_locks(const char *name, double before, double operations) {
    if (before >= 0) print_row(name, (locks_taken() - before) * 1000 / operations);
}

void sleep_seconds(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

static int usage(void) {
    fprintf(stderr, "usage: bench-memory SCENE [--peak MIB] [--births N] [--segments N]\n"
                    "                    [--scale FACTOR] [--seed S]\n"
                    "SCENE:");
    for (size_t i = 0; i < SCENES; i++) {
        fprintf(stderr, " %s", scenes[i]->name);
    }
    fprintf(stderr, "\n");
    return 2;
}

static bool read_argument(const char *name, const char *text, struct job *job) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0') return false;
    if (strcmp(name, "--peak") == 0 && value >= 1 && value <= 1e6) {
        options.peak = (size_t)value << 20;
    } else if (strcmp(name, "--births") == 0 && value >= 100 && value <= 1e8) {
        options.births = (size_t)value;
    } else if (strcmp(name, "--segments") == 0 && value >= 1 && value <= 1e6) {
        options.segments = (size_t)value;
    } else if (strcmp(name, "--scale") == 0 && value > 0 && value <= 1000) {
        job->scale = value;
    } else if (strcmp(name, "--seed") == 0 && value >= 0 && value < 1e15) {
        job->seed = (uint64_t)value;
    } else {
        return false;
    }
    return true;
}

int main(int count, char **arguments) {
    static char output[4096];
    struct job job = {.scale = 1, .threads = 2, .seed = 1};
    const struct scene *scene = NULL;
    for (size_t i = 0; i < SCENES && count > 1; i++) {
        if (strcmp(scenes[i]->name, arguments[1]) == 0) scene = scenes[i];
    }
    if (!scene || count % 2 != 0) return usage();
    for (int i = 2; i < count; i += 2) {
        if (!read_argument(arguments[i], arguments[i + 1], &job)) return usage();
    }
    if (sched_getaffinity(0, sizeof job.processors, &job.processors) != 0)
        give_up("the processors cannot be asked for");
    setvbuf(stdout, output, _IOLBF, sizeof output);
    print_allocator();
    printf("measure,value\n");
    scene->run(&job);
    return 0;
}
