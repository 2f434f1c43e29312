/*
 * introspection: mallinfo, malloc_info, malloc_stats, mallopt, malloc_trim and moat's own
 * questions, with numbers compared to what the program knows it holds.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "moat.h"

enum { BLOCKS = 200, BLOCK_SIZE = 1000, HUGE_SIZE = 20 << 20 };

static void numbers_follow_what_is_allocated(void) {
    static void *blocks[BLOCKS];
    struct moat_stats before, with, after;
    family.stats_get(&before);
    struct mallinfo2 info_before = mallinfo2();
    for (size_t i = 0; i < BLOCKS; i++) blocks[i] = malloc(BLOCK_SIZE);
    void *huge = malloc(HUGE_SIZE);
    family.stats_get(&with);
    struct mallinfo2 info_with = mallinfo2();
    REQUIRE(with.used_blocks >= before.used_blocks + BLOCKS, "used blocks %zu, then %zu",
            before.used_blocks, with.used_blocks);
    REQUIRE(with.used_bytes >= before.used_bytes + BLOCKS * BLOCK_SIZE, "used bytes %zu, then %zu",
            before.used_bytes, with.used_bytes);
    REQUIRE(with.huge == before.huge + 1 && with.huge_bytes >= before.huge_bytes + HUGE_SIZE,
            "huge %zu, %zu bytes", with.huge, with.huge_bytes);
    REQUIRE(with.committed >= with.huge_bytes && with.reserved >= with.committed,
            "reserved %zu committed %zu", with.reserved, with.committed);
    REQUIRE(info_with.uordblks >= info_before.uordblks + BLOCKS * BLOCK_SIZE,
            "mallinfo2 uordblks %zu", info_with.uordblks);
    REQUIRE(info_with.hblks == info_before.hblks + 1 && info_with.hblkhd >= HUGE_SIZE,
            "mallinfo2 hblkhd %zu", info_with.hblkhd);
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    free(huge);
    family.stats_get(&after);
    REQUIRE(after.huge == before.huge, "huge %zu after the free, %zu before", after.huge,
            before.huge);
    REQUIRE(after.used_blocks < before.used_blocks + BLOCKS / 2, "used blocks %zu after the frees",
            after.used_blocks);
}

static void the_old_mallinfo_shows_no_remainders(void) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo narrow = mallinfo();
#pragma GCC diagnostic pop
    REQUIRE(narrow.uordblks >= 0 && narrow.arena > 0 && narrow.fordblks >= 0 && narrow.hblkhd >= 0,
            "a negative field");
}

static void malloc_info_writes_xml_to_the_callers_stream(void) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    REQUIRE(malloc_info(1, stream) == EINVAL, "options other than 0");
    REQUIRE(malloc_info(0, stream) == 0, "malloc_info(0)");
    fclose(stream);
    REQUIRE(strncmp(text, "<malloc version=\"", 17) == 0, "begins %.20s", text);
    REQUIRE(strstr(text, "<used_blocks>") && strstr(text, "</used_blocks>"),
            "no used_blocks in %.200s", text);
    REQUIRE(length > 10 && strcmp(text + length - 10, "</malloc>\n") == 0, "ends %s",
            text + length - 10);
    free(text);
    stream = fopen("/dev/full", "w");
    REQUIRE(stream != NULL, "/dev/full: errno %d", errno);
    setvbuf(stream, NULL, _IONBF, 0);
    REQUIRE(malloc_info(0, stream) == -1, "a stream that cannot be written");
    fclose(stream);
}

static void print_stats(void *unused) {
    (void)unused;
    malloc_stats();
}

static void malloc_stats_speaks_on_standard_error(void) {
    char text[4096];
    int status = run_child(10, print_stats, NULL, text, sizeof text);
    REQUIRE(status == 0, "status %#x", status);
    REQUIRE(strstr(text, "moat: segments in use: ") != NULL, "printed %.200s", text);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        REQUIRE(strncmp(line, "moat: ", 6) == 0 && strchr(line, '\n'), "line %.60s", line);
    }
}

static void mallopt_accepts_what_it_knows_and_ignores_it(void) {
    static const int known[] = {M_MXFAST,         M_TRIM_THRESHOLD, M_TOP_PAD,
                                M_MMAP_THRESHOLD, M_MMAP_MAX,       M_CHECK_ACTION,
                                M_PERTURB,        M_ARENA_TEST,     M_ARENA_MAX};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        REQUIRE(mallopt(known[i], 1) == 1, "mallopt(%d)", known[i]);
    /* as the C library: what it does not know is no error, one value is */
    REQUIRE(mallopt(0, 1) == 1 && mallopt(12345, 1) == 1 && mallopt(-100, 1) == 1,
            "an unknown parameter was refused");
    REQUIRE(mallopt(M_MXFAST, 160) == 1 && mallopt(M_MXFAST, 161) == 0, "M_MXFAST");
    REQUIRE(mallopt(M_MXFAST, -1) == 0, "M_MXFAST below 0");
    REQUIRE(mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1, "M_MMAP_THRESHOLD of 1 GiB");
    REQUIRE(mallopt(M_MMAP_THRESHOLD, -1) == 1, "M_MMAP_THRESHOLD below 0");
}

static void malloc_trim_gives_memory_back(void) {
    struct moat_stats before, after;
    enum { COUNT = 400, SIZE = 50000 };
    static char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = malloc(SIZE);
        memset(blocks[i], 1, SIZE);
    }
    for (size_t i = 0; i < COUNT; i++) free(blocks[i]);
    family.stats_get(&before);
    REQUIRE(malloc_trim(0) == 1, "malloc_trim() after 20 MB of frees gave nothing back");
    family.stats_get(&after);
    REQUIRE(after.committed < before.committed, "committed %zu before malloc_trim(), %zu after",
            before.committed, after.committed);
}

static void ownership_is_by_address(void) {
    int local;
    static int global;
    void *block = malloc(10), *zero = malloc(0), *huge = malloc(HUGE_SIZE);
    REQUIRE(family.owns(block) && family.owns(zero) && family.owns(huge), "a block is not owned");
    REQUIRE(!family.owns(&local) && !family.owns(&global) && !family.owns(NULL) &&
                !family.owns((void *)UINTPTR_MAX),
            "an address outside is owned");
    free(block);
    free(zero);
    free(huge);
}

int main(void) {
    require_moat(60);
    numbers_follow_what_is_allocated();
    the_old_mallinfo_shows_no_remainders();
    malloc_info_writes_xml_to_the_callers_stream();
    malloc_stats_speaks_on_standard_error();
    mallopt_accepts_what_it_knows_and_ignores_it();
    malloc_trim_gives_memory_back();
    ownership_is_by_address();
    return 0;
}
