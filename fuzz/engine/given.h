/*
 * given: memory and files for readers that trust nothing, and what they do with them.
 *
 * The readers of src/report/ see GIVEN_BYTES at GIVEN_BASE, of which some pages can be read.
 * Nothing is mapped there: what stands there lies elsewhere, where only the reads of os/peek.h are
 * led, so that any other read faults. Their system calls are answered here: whether a page can be
 * read, the list of mappings, the module's file, what they write. Each look and each call is a
 * step, and who takes too many does not end. One thread at a time.
 */
#ifndef ENGINE_GIVEN_H
#define ENGINE_GIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GIVEN_PAGE = 4096, GIVEN_PAGES = 32, GIVEN_TEXT = 32768 };
#define GIVEN_BYTES ((size_t)GIVEN_PAGES * GIVEN_PAGE)
#define GIVEN_BASE ((uintptr_t)0x31 << 40)

struct given {
    bool readable[GIVEN_PAGES];
    /* The list of mappings, and how much of a file one call gives at most. */
    bool has_maps;
    char maps[GIVEN_TEXT];
    size_t maps_size, piece;
    /* A file; no path: there is none. */
    char path[512];
    uint8_t file[GIVEN_PAGE];
    size_t file_size;
    /* What was written, to whatever descriptor. */
    char written[GIVEN_TEXT];
    size_t written_size;
    /* Of memory: the lowest and the highest address that was looked at since given_steps(). */
    uintptr_t lowest, highest;
};
extern struct given given;

/* From now on; nothing can be read yet, and all is 0. */
void given_begin(void);
void given_end(void);
/* From now on so many steps; the readers fail with one more. */
void given_steps(uint64_t most);
void given_set_readable(unsigned first, unsigned count, bool readable);
/* Where the bytes of a range lie, whether or not it can be read: to write them. */
uint8_t *given_place(uintptr_t address, size_t size);
/* A value there as a reader should see it; false: not all of it can be read. */
bool given_value(uintptr_t address, size_t size, uint64_t *value);

#endif
