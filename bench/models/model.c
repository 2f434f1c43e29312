/*
 * bench-model: runs one model of a program on the allocator this process has, and times it.
 *
 *     bench-model NAME [--scale FACTOR] [--threads N] [--seed S]
 *
 *   server       threads replace each other's objects in shared slots, and are replaced themselves
 *   pipeline     producers and consumers of unequal speeds, messages in bounded queues
 *   trees        threads build balanced and random trees with payloads, and drop them
 *   interpreter  one thread: numbers in boxes, short strings, lists, dictionaries, frames
 *   cache        a cache with ageing, shared by threads: values of 100 B to 20 KiB that expire in
 *                bursts
 *   churn        many short threads that leave some of their blocks to others
 *   buffers      one thread: buffers of 5 to 25 MiB, replaced at random
 *   lists        one thread: a list of 20 MiB is built and dropped, again and again
 *   leavers      threads that end, and leave blocks up to 128 KiB behind
 *   handover     blocks of 8 to 16 000 bytes, a third of them handed to another thread
 *   bulk         blocks of one size, freed in batches by other threads
 *   requests     one thread: text is built, joined, encoded and taken apart, and all is dropped
 *
 * Prints CSV: a line `allocator,FILE`, a heading `measure,value`, then rows: NAME (nanoseconds of
 * the whole run per operation), operations (allocations, each with its free), checksum (the same on
 * all allocators; model.h), and on moat the locks taken per 1000 operations. At scale 1 a model
 * takes one to two seconds. bench/run-models runs it.
 */
#define _GNU_SOURCE
#include "model.h"

#include <inttypes.h>

static const struct model *const models[] = {&model_server,      &model_pipeline, &model_trees,
                                             &model_interpreter, &model_cache,    &model_churn,
                                             &model_buffers,     &model_lists,    &model_leavers,
                                             &model_handover,    &model_bulk,     &model_requests};
enum { MODELS = sizeof models / sizeof *models };

static int usage(void) {
    fprintf(stderr, "usage: bench-model NAME [--scale FACTOR] [--threads N] [--seed S]\n"
                    "NAME and its threads:");
    for (size_t i = 0; i < MODELS; i++) {
        fprintf(stderr, " %s (%u-%u)", models[i]->name, models[i]->least_threads,
                models[i]->most_threads);
    }
    fprintf(stderr, "\n");
    return 2;
}

static const struct model *find_model(const char *name) {
    for (size_t i = 0; i < MODELS; i++) {
        if (strcmp(models[i]->name, name) == 0) return models[i];
    }
    return NULL;
}

/* A number and nothing after it. */
static bool parse(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool read_arguments(int count, char **arguments, struct job *job) {
    for (int i = 2; i < count; i += 2) {
        double value;
        if (i + 1 >= count || !parse(arguments[i + 1], &value)) return false;
        if (strcmp(arguments[i], "--scale") == 0 && value > 0 && value <= 1000) {
            job->scale = value;
        } else if (strcmp(arguments[i], "--threads") == 0 && value >= 1 && value <= MOST_THREADS) {
            job->threads = (unsigned)value;
        } else if (strcmp(arguments[i], "--seed") == 0 && value >= 0 && value < 1e15) {
            job->seed = (uint64_t)value;
        } else {
            return false;
        }
    }
    return true;
}

int main(int count, char **arguments) {
    const struct model *model = count > 1 ? find_model(arguments[1]) : NULL;
    if (!model) return usage();
    struct job job = {.scale = 1, .threads = 2, .seed = 1};
    if (model->most_threads < job.threads) job.threads = model->most_threads;
    if (!read_arguments(count, arguments, &job)) return usage();
    if (job.threads < model->least_threads || job.threads > model->most_threads) return usage();
    if (sched_getaffinity(0, sizeof job.processors, &job.processors) != 0)
        give_up("the processors cannot be asked for");
    print_allocator();
    double locks = locks_taken(), began = now_ns(CLOCK_MONOTONIC);
    model->run(&job);
    double took = now_ns(CLOCK_MONOTONIC) - began, operations = (double)job.operations;
    locks = locks < 0 ? -1 : locks_taken() - locks;
    printf("measure,value\n%s,%.3f\n", model->name, took / operations);
    printf("operations,%" PRIu64 "\nchecksum,%016" PRIx64 "\n", job.operations, job.checksum);
    if (locks >= 0) printf("locks_per_1000_operations,%.4f\n", locks * 1000 / operations);
    return 0;
}
