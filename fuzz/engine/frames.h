/*
 * frames: unwind tables that the harness writes, and what they mean.
 *
 * Common entries, and for each function an entry with a little program. As it is written, each of
 * its rows is noted, from where in the code on it holds; frames_apply() computes the caller's
 * registers from one (DWARF 5, section 6.4). A plain function saves registers as compilers have
 * it: its calls can be walked through.
 */
#ifndef ENGINE_FRAMES_H
#define ENGINE_FRAMES_H

#include "engine/expression.h"
#include "report/cfi.h"

#if defined(__aarch64__)
enum { RETURN_REGISTER = 30 };
#else
enum { RETURN_REGISTER = 16 };
#endif
enum { FRAME_ROWS = 24, FRAME_COMMONS = 4, FRAME_EXPRESSIONS = 96 };

struct frame_row {
    uintptr_t from;
    struct cfi_row row;
};

/* What several functions share. */
struct frame_common {
    uintptr_t address;
    bool has_augmentation, has_special_data, is_signal_frame, is_plain;
    uint8_t encoding, version;
    uint64_t code_factor, return_register;
    int64_t data_factor;
    struct cfi_row row;
};

struct frame_entry {
    uintptr_t start, size; /* of the code */
    uintptr_t address;     /* of the entry */
    const struct frame_common *common;
    unsigned count;
    struct frame_row rows[FRAME_ROWS];
};

struct frames {
    struct rng *random;
    struct writer writer;
    struct frame_common commons[FRAME_COMMONS];
    unsigned expression_count;
    struct expression expressions[FRAME_EXPRESSIONS];
};

/* Entries are written from `start` on. The first common one is plain, the second plain and that of
   signal frames. */
void frames_begin(struct frames *frames, struct rng *random, uintptr_t start, uintptr_t end);
void frames_write(struct frames *frames, struct frame_entry *entry,
                  const struct frame_common *common, uintptr_t start, uintptr_t size);
/* No more follow: the next bytes are zeros. */
void frames_end(struct frames *frames);
const struct cfi_row *frames_row(const struct frame_entry *entry, uintptr_t address);
/* Replaces the registers by the caller's; false: there is no caller, or it cannot be told. */
bool frames_apply(const struct frames *frames, const struct frame_entry *entry,
                  const struct cfi_row *row, struct cfi_registers *registers);

#endif
