/*
 * mappings_used_up: a plain program that has as many mappings as a process may have
 * (vm.max_map_count), nearly all of them its own, and goes on to allocate.
 *
 * usage: mappings_used_up first|early|last|late SIZE: the mappings are used up after one small
 * block, 1 MB of them, or 20 MB (last: after 1 MB, until no new one can be had either); then
 * 200 MiB in blocks of SIZE (0: of all kinds in turn) are taken, freed, and taken again in part.
 * Not again at the strict level: what it has closed and the kernel would not take back is nobody's
 * until then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../support/process.h"
#include "../support/require.h"

#define MIB ((size_t)1 << 20)
#define ENOUGH (200 * MIB)
/* Above this it takes minutes, and the kernel gigabytes. */
#define MOST_MAPPINGS 2000000

struct taken {
    struct taken *before;
    size_t number;
};

/* Every other page of one mapping gets another protection, until the kernel refuses. */
static void use_mappings_up(bool to_the_last) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), at = page;
    size_t most = (size_t)read_number("/proc/sys/vm/max_map_count", 65530);
    if (most > MOST_MAPPINGS) skip_test("vm.max_map_count is %zu: it would take too long", most);
    size_t size = (most + 1000) * page;
    char *filler = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(filler != MAP_FAILED, "address space for %zu mappings", most);
    while (at < size && mprotect(filler + at, page, PROT_READ) == 0) at += 2 * page;
    REQUIRE(at < size, "the kernel refuses the last of them");
    /* a new mapping it refuses one later */
    while (to_the_last && mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                               0) != MAP_FAILED)
        REQUIRE((at += page) < size + MOST_MAPPINGS * page, "and of new ones");
}

static size_t size_of(size_t size, size_t number) {
    static const size_t kinds[] = {100, 5000, 60000, 300000, 1500000};
    return size != 0 ? size : kinds[number % (sizeof kinds / sizeof kinds[0])];
}

/* Each block says its number at both ends. */
static struct taken *take(size_t size, size_t least) {
    struct taken *last = NULL;
    size_t count = 0, bytes = 0;
    for (; bytes < least; count++) {
        size_t each = size_of(size, count);
        struct taken *block = malloc(each);
        if (block == NULL) break;
        *block = (struct taken){last, count};
        ((char *)block)[each - 1] = (char)count;
        last = block;
        bytes += each;
    }
    say("%zu KiB in %zu blocks of %zu bytes", bytes / 1024, count, size);
    REQUIRE(bytes >= least, "%zu KiB", least / 1024);
    return last;
}

static void give(struct taken *last, size_t size) {
    while (last != NULL) {
        struct taken *block = last;
        size_t each = size_of(size, block->number);
        REQUIRE(((char *)block)[each - 1] == (char)block->number, "block %zu", block->number);
        last = block->before;
        free(block);
    }
}

static bool is_strict(void) {
    const char *options = getenv("MOAT_OPTIONS");
    return options != NULL && strstr(options, "strict") != NULL;
}

int main(int count, char **arguments) {
    REQUIRE(count == 3, "usage: mappings_used_up first|early|last|late SIZE");
    bool late = strcmp(arguments[1], "late") == 0, first = strcmp(arguments[1], "first") == 0;
    size_t wanted = strtoul(arguments[2], NULL, 10);
    struct taken *before = take(1000, late ? 20000000 : first ? 1 : 1000000);
    use_mappings_up(strcmp(arguments[1], "last") == 0);
    struct taken *taken = take(wanted, ENOUGH);
    give(taken, wanted);
    if (is_strict()) return 0;
    give(take(wanted, ENOUGH / 2), wanted);
    give(before, 1000);
    return 0;
}
