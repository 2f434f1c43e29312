/*
 * histogram: counts of durations in buckets whose width grows with the value, for a program that
 * may not allocate.
 *
 * Values are 64-bit counts of ticks. Below 64 each value has a bucket of its own; above, each power
 * of two is divided into 64 buckets, so that a bucket's width is at most 1/64 of its least value.
 * All of it is one static array of 30 KB, of which a run touches a few cache lines. A percentile is
 * given as the greatest value of its bucket: at most 1.6 % too large, never too small.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    SUB_BITS = 6,
    SUB_BUCKETS = 1 << SUB_BITS,
    BUCKETS = (64 - SUB_BITS + 1) * SUB_BUCKETS,
};

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t greatest;
};

static inline size_t bucket_of(uint64_t value) {
    if (value < SUB_BUCKETS) return (size_t)value;
    unsigned shift = 63u - SUB_BITS - (unsigned)__builtin_clzll(value);
    return ((size_t)shift << SUB_BITS) + (size_t)(value >> shift);
}

static inline uint64_t least_of_bucket(size_t bucket) {
    if (bucket < SUB_BUCKETS) return bucket;
    unsigned shift = (unsigned)(bucket >> SUB_BITS) - 1;
    return (uint64_t)((bucket & (SUB_BUCKETS - 1)) | SUB_BUCKETS) << shift;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->counts[bucket_of(value)]++;
    if (value > histogram->greatest) histogram->greatest = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    if (from->greatest > into->greatest) into->greatest = from->greatest;
}

static inline uint64_t histogram_count(const struct histogram *histogram) {
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        count += histogram->counts[i];
    }
    return count;
}

/* The value that this share of all values (0 to 1) does not exceed. 0 for an empty histogram. */
static inline uint64_t histogram_percentile(const struct histogram *histogram, double share) {
    uint64_t count = histogram_count(histogram), seen = 0;
    uint64_t wanted = (uint64_t)((double)count * share + 0.999999);
    if (count == 0) return 0;
    if (wanted < 1) wanted = 1;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen < wanted) continue;
        uint64_t last = i + 1 < BUCKETS ? least_of_bucket(i + 1) - 1 : UINT64_MAX;
        return last < histogram->greatest ? last : histogram->greatest;
    }
    return histogram->greatest;
}

#endif
