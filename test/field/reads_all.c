/*
 * reads_all: a program that reads whatever the kernel's list of mappings says can be read and
 * written, as conservative collectors and leak checkers do.
 */
#include "require.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 200, MAPPINGS = 5000, STEP = 4096 };

static void *blocks[BLOCKS];
static struct { uintptr_t start, end; } mappings[MAPPINGS];

/* Nothing is allocated between the list and the reading. */
static size_t list(void) {
    static char line[4096];
    size_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    REQUIRE(file != NULL, "the list can be read");
    while (count < MAPPINGS && fgets(line, sizeof line, file) != NULL) {
        char *rest = NULL;
        mappings[count].start = strtoul(line, &rest, 16);
        mappings[count].end = strtoul(rest + 1, &rest, 16);
        count += strncmp(rest, " rw", 3) == 0 && strstr(line, "[v") == NULL;
    }
    REQUIRE(fclose(file) == 0, "the list is closed");
    return count;
}

int main(void) {
    unsigned sum = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(i * 300 + 1);
        REQUIRE(blocks[i] != NULL, "a block");
        memset(blocks[i], 1, i * 300 + 1);
    }
    size_t count = list();
    for (size_t i = 0; i < count; i++)
        for (uintptr_t at = mappings[i].start; at < mappings[i].end; at += STEP)
            sum += *(const volatile unsigned char *)at;
    say("%zu mappings, sum %u", count, sum);
    for (size_t i = 0; i < BLOCKS; i++) free(blocks[i]);
    return 0;
}
