/*
 * score_main: how often an attacker gets what he wants.
 *
 *   fuzz_score [--runs N] [--drawn N] [--seed S] [--csv FILE] [EXPLOIT...]
 *
 * Each exploit of engine/exploits.c is tried N times (200 unless told) at both levels, each time
 * with fresh keys, and as many drawn programs of moves (1000) as a search would try, by all of
 * their aims. A line for each says how many reached the aim, the chance with its 95 % interval
 * (Wilson's), how many were stopped, and the median of the moves from the first wrong one until
 * then. Exit status: 0; 1 when even the lower end of an interval is above what SECURITY.md
 * promises; 2 for wrong use; an aim that must never be reached ends the process by abort(). The
 * test fuzz.score.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exploits.h"
#include "engine/wanted.h"

static struct run run;
static struct attempt attempt;
static struct input input;

enum { MOVES_MOST = INPUT_MAX_OPS };

struct score {
    unsigned tried, reached, stopped;
    unsigned moves[MOVES_MOST + 1]; /* stopped after so many */
};

static struct score score[AIMS];

static void count(struct score *into, bool reached) {
    into->tried++;
    into->reached += reached;
    if (attempt.ending == ENDS_IN_TIME) return;
    into->stopped++;
    into->moves[attempt.ended_at - attempt.wrong_at]++;
}

static unsigned median(const struct score *of) {
    unsigned seen = 0, moves = 0;
    while (moves < MOVES_MOST && 2 * (seen += of->moves[moves]) < of->stopped) moves++;
    return moves;
}

/* Wilson's interval, at 95 %. */
static void interval(const struct score *of, double *low, double *high) {
    const double z = 1.96;
    double runs = of->tried, share = of->reached / runs, square = z * z / runs;
    double middle = (share + square / 2) / (1 + square);
    double half = z / (1 + square) * sqrt(share * (1 - share) / runs + square / 4 / runs);
    *low = of->reached == 0 ? 0 : middle - half;
    *high = of->reached == of->tried ? 1 : middle + half;
}

/* Whether it is no more than promised. */
static bool print(FILE *csv, const char *name, enum aim aim, bool is_strict, double promised) {
    const struct score *of = &score[aim];
    double low, high;
    interval(of, &low, &high);
    bool holds = low <= promised;
    const char *level = is_strict ? "strict" : "default";
    printf("%-18s %-9s %-7s %6.2f %% (%.2f to %.2f) of %u, stopped %u, after %u moves%s\n", name,
           aim_name(aim), level, 100.0 * of->reached / of->tried, 100 * low, 100 * high, of->tried,
           of->stopped, median(of), holds ? "" : ": MORE THAN PROMISED");
    if (csv != NULL)
        fprintf(csv, "%s,%s,%s,%u,%u,%.4f,%.4f,%u,%u,%.4f\n", name, aim_name(aim), level, of->tried,
                of->reached, low, high, of->stopped, median(of), promised);
    return holds;
}

static bool try_exploit(FILE *csv, const struct exploit *exploit, bool is_strict, unsigned runs,
                        uint64_t seed) {
    memset(score, 0, sizeof score);
    exploit_make(&input, exploit, is_strict, seed);
    for (unsigned i = 0; i < runs; i++) {
        attacker_attempt(&attempt, &run, &subject_moat, &input, i);
        count(&score[exploit->aim], attempt.reached >> exploit->aim & 1);
    }
    return print(csv, exploit->name, exploit->aim, is_strict, exploit->promised[is_strict]);
}

static void try_drawn(FILE *csv, bool is_strict, unsigned programs, uint64_t seed) {
    memset(score, 0, sizeof score);
    for (unsigned i = 0; i < programs; i++) {
        struct rng random = {seed << 32 | i};
        exploit_fresh(&input, &random);
        input.flags &= (uint8_t) ~(INPUT_STRICT | INPUT_KERNEL);
        if (is_strict) input.flags |= INPUT_STRICT;
        attacker_attempt(&attempt, &run, &subject_moat, &input, 0);
        for (enum aim aim = 0; aim < AIMS; aim++) count(&score[aim], attempt.reached >> aim & 1);
    }
    for (enum aim aim = 0; aim < AIMS; aim++) print(csv, "drawn", aim, is_strict, EXPLOIT_MAY);
}

static bool is_option(const char *text) {
    static const char *const options[] = {"--runs", "--drawn", "--seed", "--csv"};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(text, options[i]) == 0) return true;
    return false;
}

static bool is_exploit(const char *name) {
    for (unsigned i = 0; i < exploit_count; i++)
        if (strcmp(exploits[i].name, name) == 0) return true;
    return false;
}

static int usage(const char *program) {
    fprintf(stderr, "usage: %s [--runs N] [--drawn N] [--seed S] [--csv FILE] [EXPLOIT...]\n",
            program);
    return 2;
}

int main(int argc, char **argv) {
    unsigned runs = 200, drawn = 1000, more = 0;
    uint64_t seed = 1;
    FILE *csv = NULL;
    int at = 1;
    bool is_right = true;
    setvbuf(stdout, NULL, _IOLBF, 0); /* a failure's text begins a line */
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        unsigned number = (unsigned)strtoul(argv[at + 1], NULL, 10);
        if (strcmp(argv[at], "--runs") == 0 && number > 0) runs = number;
        if (strcmp(argv[at], "--drawn") == 0) drawn = number;
        if (strcmp(argv[at], "--seed") == 0) seed = number;
        if (strcmp(argv[at], "--csv") == 0) csv = fopen(argv[at + 1], "w");
        is_right &= is_option(argv[at]) && (csv != NULL || strcmp(argv[at], "--csv") != 0);
    }
    for (int i = at; i < argc; i++) is_right &= is_exploit(argv[i]);
    if (!is_right) return usage(argv[0]);
    if (csv != NULL)
        fprintf(csv, "exploit,aim,level,tried,reached,low,high,stopped,moves,promised\n");
    for (unsigned i = 0; i < exploit_count; i++)
        for (unsigned strict = 0; strict < 2 && is_wanted(exploits[i].name, argv + at, argc - at);
             strict++)
            more += !try_exploit(csv, &exploits[i], strict, runs, seed);
    for (unsigned strict = 0; strict < 2 && drawn > 0 && at == argc; strict++)
        try_drawn(csv, strict, drawn, seed);
    if (csv != NULL && fclose(csv) != 0) return 1;
    return more > 0;
}
