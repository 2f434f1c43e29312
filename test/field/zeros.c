/*
 * zeros: what calloc() hands out is zero, whatever was written into free memory.
 *
 *   zeros dangling    by pointers to blocks that were freed
 *   zeros shared      by a shared mapping that the program had laid over blocks before it freed
 *                     them, which its file still writes into
 *   zeros laid        the same, but nothing is written then
 *
 * The first words of a freed block are let be: what is written there is reported. So is the first
 * OS page of a huge one, which is inaccessible.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "family.h"
#include "require.h"

enum { BLOCKS = 64, LET_BE = 16, ROUNDS = 20 };
static unsigned char *blocks[BLOCKS];

static const size_t sizes[] = {40,    100,    500,    1024,    3000,    8000,
                               20000, 100000, 700000, 1500000, 5000000, 20000000};
#define SIZES (sizeof sizes / sizeof sizes[0])

static unsigned count_of(size_t size) { return size < 1000000 ? BLOCKS : size < 10000000 ? 8 : 2; }

static void require_zeros(const unsigned char *block, size_t size) {
    REQUIRE(block != NULL, "no memory for %zu bytes", size);
    for (size_t i = 0; i < size; i++)
        REQUIRE(block[i] == 0, "byte %zu of %zu is %x", i, size, block[i]);
}

static void take(size_t size, unsigned count, bool cleared) {
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = cleared ? calloc(1, size) : malloc(size);
        if (cleared) require_zeros(blocks[i], size);
        REQUIRE(blocks[i] != NULL, "no memory for %zu bytes", size);
        memset(blocks[i], 0x5a, size);
    }
}

/* What is inaccessible, or has gone back, cannot be written to. */
static bool is_there(const unsigned char *at) {
    static int ends[2];
    char byte;
    if (ends[1] == 0) REQUIRE(pipe(ends) == 0, "a pipe");
    return write(ends[1], at, 1) == 1 && read(ends[0], &byte, 1) == 1;
}

static void write_dangling(unsigned char *volatile block, size_t size, size_t page) {
    if (size < page) {
        memset(block + LET_BE, 0xa5, size - LET_BE);
        return;
    }
    for (size_t at = page; at < size; at += page)
        if (is_there(block + at)) memset(block + at, 0xa5, size - at < LET_BE ? size - at : LET_BE);
}

static void write_by_dangling_pointers(size_t size, size_t page) {
    unsigned count = count_of(size);
    for (unsigned round = 0; round < (size < 1000000 ? ROUNDS : 3); round++) {
        take(size, count, round != 0);
        for (unsigned i = 0; i < count; i++) free(blocks[i]);
        for (unsigned i = 0; i < count; i++) write_dangling(launder(blocks[i]), size, page);
    }
    take(size, count, true);
    for (unsigned i = 0; i < count; i++) free(blocks[i]);
}

/* A page of the file over each block, in its middle; false: none has a whole page. */
static bool lay_over(int file, unsigned count, size_t size, size_t page) {
    for (unsigned i = 0; i < count; i++) {
        uintptr_t middle = ((uintptr_t)blocks[i] + size / 2) & ~(page - 1);
        if (middle < (uintptr_t)blocks[i] + LET_BE || middle + page > (uintptr_t)blocks[i] + size)
            return false;
        void *laid = mmap((void *)middle, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                          file, (off_t)(i * page));
        REQUIRE(laid == (void *)middle, "a mapping at a fixed address");
        memset(laid, 0xc3, page);
    }
    return true;
}

static void write_by_a_shared_mapping(size_t size, size_t page, bool quiet) {
    unsigned count = count_of(size);
    int file = memfd_create("zeros", 0);
    REQUIRE(file >= 0 && ftruncate(file, (off_t)(count * page)) == 0, "a file");
    unsigned char *theirs = mmap(NULL, count * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    REQUIRE(theirs != MAP_FAILED, "a mapping");
    for (unsigned round = 0; round < 3; round++) {
        take(size, count, false);
        if (!lay_over(file, count, size, page)) break;
        for (unsigned i = 0; i < count; i++) free(blocks[i]);
        if (!quiet) memset(theirs, 0x3c, count * page);
        take(size, count, true);
        for (unsigned i = 0; i < count; i++) free(blocks[i]);
    }
    munmap(theirs, count * page);
    close(file);
}

int main(int argument_count, char **arguments) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const char *how = argument_count > 1 ? arguments[1] : "";
    bool quiet = strcmp(how, "laid") == 0, shared = quiet || strcmp(how, "shared") == 0;
    REQUIRE(shared || strcmp(how, "dangling") == 0, "usage: zeros dangling | shared | laid");
    alarm(100);
    family_find();
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    for (size_t i = 0; i < SIZES; i++)
        if (shared)
            write_by_a_shared_mapping(sizes[i], page, quiet);
        else
            write_by_dangling_pointers(sizes[i], page);
    say("right");
    return 0;
}
