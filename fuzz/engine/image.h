/*
 * image: a library in memory that the harness makes, and what is true of it.
 *
 * Its ELF header, build id, dynamic symbols with their hash tables, and unwind tables lie in the
 * first pages that are given to readers, its code behind them; and what the kernel's list of
 * mappings says of it, and its file. Which of several forms each has is drawn.
 */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include "engine/frames.h"
#include "report/module.h"

enum { IMAGE_FUNCTIONS = 16, IMAGE_NAME = 200, IMAGE_PAGES = 16, IMAGE_CODE_PAGE = 8 };
#define IMAGE_BASE GIVEN_BASE
#define IMAGE_CODE (IMAGE_BASE + (uintptr_t)IMAGE_CODE_PAGE * GIVEN_PAGE)
#define IMAGE_END (IMAGE_BASE + (uintptr_t)IMAGE_PAGES * GIVEN_PAGE)

struct image_function {
    uintptr_t start, size;
    bool is_exported, has_entry;
    char name[IMAGE_NAME + 1];
    struct frame_entry entry;
};

struct image {
    struct rng *random;
    uintptr_t bias;
    bool has_index;     /* of the unwind tables: by a header of the program */
    bool has_sections;  /* only its file says where they are */
    bool is_surrounded; /* a function's symbol covers all of the code */
    size_t build_id_size;
    uint8_t build_id[BUILD_ID_MAX];
    unsigned count;
    struct image_function functions[IMAGE_FUNCTIONS];
    uintptr_t unwind, unwind_end; /* the entries */
    struct frames frames;
};

void image_make(struct image *image, struct rng *random);
/* The function with code there, or NULL. */
const struct image_function *image_function(const struct image *image, uintptr_t address);
/* What its symbols call the code there, and from where on it has that name; NULL: nothing. */
const char *image_name(const struct image *image, uintptr_t address, uintptr_t *start);

#endif
