/*
 * asks: verbs that ask, set or tidy, and what they must answer. See the header.
 */
#define _GNU_SOURCE
#include "engine/asks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/bends.h"
#include "engine/contract.h"
#include "engine/library.h"
#include "engine/named.h"
#include "engine/verbs.h"
#include "harness/harness.h"
#include "meta/guard.h"
#include "moat.h"

enum { TEXT_MAX = 8192 };

const struct asks asks_moat = {
    .usable_size = named_usable_size,
    .trim = named_trim,
    .mallopt = named_mallopt,
    .mallinfo = named_mallinfo,
    .mallinfo2 = named_mallinfo2,
    .info = named_info,
    .stats = named_stats,
    .version = moat_version,
    .set_limit = {named_setrlimit, named_setrlimit64},
    .change_limit = {named_prlimit, named_prlimit64},
};

/* The streams are made once, without buffers of their own: where stdio allocates is not judged. */
static char text[TEXT_MAX];
static FILE *page, *full;

void asks_prepare(void) {
    if (page != NULL) return;
    page = fmemopen(text, sizeof text, "w");
    full = fopen("/dev/full", "w");
    if (page == NULL || full == NULL) abort();
    setvbuf(page, NULL, _IONBF, 0);
    setvbuf(full, NULL, _IONBF, 0);
}

static void expect_same(struct run *run, const char *what, size_t seen, size_t expected) {
    if (seen != expected) run_fail(run, "%s says %zu, expected %zu", what, seen, expected);
}

static void ask_usable(struct run *run, const struct asks *asks, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    expect_same(run, "malloc_usable_size of NULL", asks->usable_size(NULL), 0);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    expect_same(run, "malloc_usable_size", asks->usable_size((void *)block->start), block->usable);
    verb_usable(run, op);
}

static void ask_owns(struct run *run, const struct asks *asks, const struct input_op *op) {
    (void)asks;
    if (run->subject->owns(library_block())) run_fail(run, "owns a block of the C library");
    verb_owns(run, op);
}

static void ask_trim(struct run *run, const struct asks *asks, const struct input_op *op) {
    int gave = asks->trim(bends_draw(op).size);
    if (gave != 0 && gave != 1) run_fail(run, "malloc_trim gave %d", gave);
    run_trace(run, (uint64_t)gave);
    run_empties_quarantine(run);
}

static void ask_mallopt(struct run *run, const struct asks *asks, const struct input_op *op) {
    struct bends bends = bends_draw(op);
    int parameter = (int)(bends.choice % 24) - 16, value = (int)(uint32_t)bends.size;
    int result = asks->mallopt(parameter, value);
    const char *differs = library_compare_mallopt(parameter, value, result);
    if (differs != NULL) run_fail(run, "%s", differs);
    /* what the library is not asked about */
    if (result != 0 && result != 1) run_fail(run, "mallopt gave %d", result);
    if (result == 0 && parameter != M_MXFAST)
        run_fail(run, "mallopt(%d, %d) gave 0", parameter, value);
}

static void ask_info(struct run *run, const struct asks *asks, const struct input_op *op) {
    (void)op;
    struct moat_stats stats;
    moat_stats_get(&stats);
    struct mallinfo2 wide = asks->mallinfo2();
    expect_same(run, "mallinfo2.arena", wide.arena, stats.committed - stats.huge_bytes);
    expect_same(run, "mallinfo2.hblks", wide.hblks, stats.huge);
    expect_same(run, "mallinfo2.hblkhd", wide.hblkhd, stats.huge_bytes);
    expect_same(run, "mallinfo2.uordblks", wide.uordblks, stats.used_bytes);
    if (wide.uordblks + wide.fordblks < stats.committed)
        run_fail(run, "mallinfo2 has less in it than is committed");
    struct mallinfo narrow = asks->mallinfo();
    const size_t whole[] = {wide.arena, wide.hblks, wide.hblkhd, wide.uordblks, wide.fordblks};
    const int cut[] = {narrow.arena, narrow.hblks, narrow.hblkhd, narrow.uordblks, narrow.fordblks};
    for (unsigned i = 0; i < sizeof whole / sizeof whole[0]; i++)
        expect_same(run, "mallinfo", (size_t)cut[i], whole[i] < INT_MAX ? whole[i] : INT_MAX);
    size_t with_bytes = 0;
    for (unsigned i = 0; i < run->shadow.live_count; i++)
        with_bytes += run->shadow.blocks[run->shadow.live[i]].usable != 0;
    if (stats.used_blocks < with_bytes || stats.used_bytes < run->shadow.live_bytes)
        run_fail(run, "%zu blocks of %zu bytes are in use of %zu of %zu", stats.used_blocks,
                 stats.used_bytes, with_bytes, run->shadow.live_bytes);
}

/* The number of an element. */
static size_t read_row(struct run *run, const char *name) {
    char mark[64];
    snprintf(mark, sizeof mark, "<%s", name);
    const char *at = strstr(text, mark);
    const char *number = at != NULL ? strchr(at, '>') : NULL;
    if (number == NULL) run_fail(run, "malloc_info has no %s", name);
    return strtoull(number + 1, NULL, 10);
}

static void ask_xml(struct run *run, const struct asks *asks, const struct input_op *op) {
    int options = (int)(bends_draw(op).size & (op->kind % 2 ? UINT32_MAX : 0));
    rewind(page);
    memset(text, 0, sizeof text);
    struct moat_stats stats;
    moat_stats_get(&stats);
    errno = CONTRACT_ERRNO;
    int result = asks->info(options, page);
    if (errno != CONTRACT_ERRNO) run_fail(run, "malloc_info left errno %d", errno);
    fflush(page);
    const char *differs = library_compare_info(options, result);
    if (differs != NULL) run_fail(run, "%s", differs);
    if (options != 0) {
        if (text[0] != '\0') run_fail(run, "malloc_info refused and wrote");
    } else {
        size_t end = strlen(text);
        if (strncmp(text, "<malloc", 7) != 0 || end < 10 || strcmp(text + end - 10, "</malloc>\n"))
            run_fail(run, "malloc_info wrote: %.100s", text);
#define STAT(name, line, unit, words, meaning)                                                     \
    expect_same(run, "malloc_info's " #name, read_row(run, #name), stats.name);
#include "alloc/stats.def"
    }
    errno = CONTRACT_ERRNO;
    result = asks->info(0, full);
    if (result != -1 || errno != ENOSPC || !ferror(full))
        run_fail(run, "malloc_info to what is full gave %d, errno %d", result, errno);
    clearerr(full);
    errno = CONTRACT_ERRNO;
}

/* Lines that malloc_stats wrote, each by a call of its own. */
static unsigned lines;
static bool are_whole;
static bool hear(long number, const long *arguments, long *result) {
    if (number != SYS_write || arguments[0] != STDERR_FILENO) return false;
    const char *bytes = (const char *)arguments[1];
    size_t length = (size_t)arguments[2];
    lines++;
    are_whole &= length > 6 && strncmp(bytes, "moat: ", 6) == 0 && bytes[length - 1] == '\n';
    *result = arguments[2];
    return true;
}

static void ask_stats(struct run *run, const struct asks *asks, const struct input_op *op) {
    enum { ROWS = sizeof(struct moat_stats) / sizeof(size_t) };
    (void)op;
    lines = 0;
    are_whole = true;
    harness_set_kernel(hear);
    asks->stats();
    harness_set_kernel(NULL);
    expect_same(run, "malloc_stats, in lines,", lines, ROWS);
    if (!are_whole) run_fail(run, "malloc_stats wrote what is no line of its own");
}

static void ask_version(struct run *run, const struct asks *asks, const struct input_op *op) {
    char expected[32];
    (void)op;
    snprintf(expected, sizeof expected, "%d.%d.%d", MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR,
             MOAT_VERSION_PATCH);
    if (strcmp(asks->version(), expected) != 0)
        run_fail(run, "moat_version gave %s", asks->version());
}

/* What the kernel was asked for, and what it answers. */
static struct {
    long process, resource, wanted, before, answer;
    unsigned calls;
} limit;
static bool hear_limit(long number, const long *arguments, long *result) {
    if (number != SYS_prlimit64) return false;
    limit.process = arguments[0];
    limit.resource = arguments[1];
    limit.wanted = arguments[2];
    limit.before = arguments[3];
    limit.calls++;
    *result = limit.answer;
    return true;
}

static int call_limit(const struct asks *asks, const struct bends *bends, pid_t process,
                      int resource, const struct rlimit *wanted, struct rlimit *before) {
    unsigned name = bends->choice % 2;
    harness_set_kernel(hear_limit);
    int result = before == NULL && process == 0
                     ? asks->set_limit[name](resource, wanted)
                     : asks->change_limit[name](process, resource, wanted, before);
    harness_set_kernel(NULL);
    return result;
}

/* Each is the system call, and its answer; and what the heap was told of limits holds no more once
   one of memory has changed. */
static void ask_limit(struct run *run, const struct asks *asks, const struct input_op *op) {
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, 99};
    static const long answers[] = {0, 0, -EPERM, -EINVAL};
    static struct rlimit wanted = {1 << 30, RLIM_INFINITY}, before;
    struct bends bends = bends_draw(op);
    unsigned choice = (unsigned)(bends.choice / 2);
    int resource = resources[choice % 5];
    const struct rlimit *set = choice / 5 % 4 != 0 ? &wanted : NULL;
    struct rlimit *had = choice / 20 % 2 != 0 ? &before : NULL;
    pid_t process = choice / 40 % 3 == 0 ? 1 : 0;
    guard_keep_limits(); /* as a child of fork has them */
    limit.calls = 0;
    limit.answer = answers[op->value % 4];
    errno = CONTRACT_ERRNO;
    int result = call_limit(asks, &bends, process, resource, set, had);
    int error = limit.answer != 0 ? (int)-limit.answer : CONTRACT_ERRNO;
    if (result != (limit.answer != 0 ? -1 : 0) || errno != error)
        run_fail(run, "a limit gave %d, errno %d, expected errno %d", result, errno, error);
    errno = CONTRACT_ERRNO;
    if (limit.calls != 1 || limit.process != process || limit.resource != resource ||
        limit.wanted != (long)set || limit.before != (long)had)
        run_fail(run, "a limit is another for the kernel than for its caller");
    bool of_memory = resource == RLIMIT_AS || resource == RLIMIT_DATA;
    bool holds = limit.answer != 0 || set == NULL || !of_memory;
    if (atomic_load_unseen(&ro.region->limits_kept) != holds)
        run_fail(run, "what was told of limits holds although one has changed, or the other way");
    guard_ask_for_limits();
}

/* They have little to say. */
static void ask_other(struct run *run, const struct asks *asks, const struct input_op *op) {
    (op->kind % 2 != 0 ? ask_limit : ask_version)(run, asks, op);
}

void asks_carry_out(struct run *run, const struct asks *asks, const struct input_op *op) {
    static void (*const table[])(struct run * run, const struct asks *asks,
                                 const struct input_op *op) = {
        ask_usable, ask_owns, ask_trim, ask_mallopt, ask_info, ask_xml, ask_stats, ask_other};
    errno = CONTRACT_ERRNO;
    table[op->other % (sizeof table / sizeof table[0])](run, asks, op);
    if (errno != CONTRACT_ERRNO) run_fail(run, "a verb that asks left errno %d", errno);
}
