/*
 * misuses: wrong uses of the allocator, and how they must be reported. See the header.
 *
 * Each misuse sets what may be reported, and at which address, and makes the call. The report hook
 * leaves the call; coming back from it means that the misuse went unseen. A grave is an address
 * that was a block and surely is none now.
 */
#include "engine/misuses.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "engine/verbs.h"

enum { DOUBLE_OR_INVALID = KIND_BIT(REPORT_DOUBLE_FREE) | KIND_BIT(REPORT_INVALID_FREE) };

static void expect(struct run *run, unsigned kinds, uintptr_t address) {
    run->expect = (struct expectation){kinds, address};
}

static void missed(struct run *run, const char *what) {
    run_fail(run, "%s at %#lx (offset %#lx) was not reported", what,
             (unsigned long)run->expect.address,
             (unsigned long)run_offset(run, run->expect.address));
}

/* While the grave's page lives on, its block is known to be free; otherwise the address may be
   anything but live. */
static unsigned grave_kinds(const struct run *run, uint16_t grave) {
    return shadow_page_survives(&run->shadow, grave) ? KIND_BIT(REPORT_DOUBLE_FREE)
                                                     : DOUBLE_OR_INVALID;
}

void misuse_grave(struct run *run, const struct input_op *op) {
    uint16_t grave = run_pick_grave(run, op->pick);
    if (grave == SHADOW_NONE) return;
    const struct shadow_block *dead = &run->shadow.blocks[grave];
    void *start = (void *)dead->start;
    size_t size = size_decode(op->kind, op->value);
    expect(run, grave_kinds(run, grave), dead->start);
    switch (op->code) {
    case OP_DOUBLE_FREE: run->subject->free(start); break;
    case OP_REALLOC_STALE:
        start = run->subject->realloc(start, size < SIZE_IMPOSSIBLE ? size : 1);
        break;
    case OP_USABLE_STALE: (void)run->subject->usable_size(start); break;
    default: run->subject->free_sized(start, dead->requested); break;
    }
    missed(run, op_name(op->code));
}

/* An offset into a block that is not its start; small, word-like, on a granule, in the middle, last
   or anywhere. */
static size_t interior_offset(const struct shadow_block *block, const struct input_op *op) {
    size_t usable = block->usable < 2 ? GRANULE : block->usable, offset;
    switch (op->other % 6) {
    case 0: offset = 1 + op->value % 15; break;
    case 1: offset = 8; break;
    case 2: offset = 16 * (1 + op->value % 64); break;
    case 3: offset = usable / 2; break;
    case 4: offset = usable - 1; break;
    default: offset = op->value; break;
    }
    offset %= usable;
    return offset ? offset : 1;
}

void misuse_interior(struct run *run, const struct input_op *op) {
    bool dead = (op->kind & 3) == 3;
    uint16_t index = dead ? run_pick_grave(run, op->pick) : run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    uintptr_t address = block->start + interior_offset(block, op);
    bool sure = !dead || shadow_page_survives(&run->shadow, index);
    expect(run, sure ? KIND_BIT(REPORT_INVALID_FREE) : DOUBLE_OR_INVALID, address);
    switch (op->code) {
    case OP_FREE_INTERIOR: run->subject->free((void *)address); break;
    case OP_REALLOC_INTERIOR:
        (void)!run->subject->realloc((void *)address, 1 + op->value % 1000);
        break;
    default: (void)run->subject->usable_size((void *)address); break;
    }
    missed(run, op_name(op->code));
}

/* Addresses that other allocators gave; made once, before the first input, so that inputs do not
   differ by who comes first. */
static char *from_library, *mapped;

void misuse_prepare(void) {
    if (from_library) return;
    from_library = malloc(100);
    mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) mapped = NULL;
}

/* An address of no block: outside the heap, or inside it where nothing is live. 0 where none is at
   hand. */
static uintptr_t foreign_address(struct run *run, const struct input_op *op, bool *outside) {
    static char at_rest[64];
    *outside = true;
    switch (op->other % 9) {
    case 0: return (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)15;
    case 1: return (uintptr_t)at_rest + op->value % sizeof at_rest;
    case 2: return (uintptr_t)from_library;
    case 3: return 16 + op->value % 4096;
    case 4: return (uintptr_t)0x8000000000000000u + ((uintptr_t)op->value << 4);
    case 5: return (uintptr_t)mapped;
    default: break;
    }
    *outside = false;
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return 0;
    uintptr_t start = run->shadow.blocks[index].start, address;
    switch (op->other % 9) {
    /* its segment */
    case 6: address = round_down(start, SEGMENT_SIZE) + op->value % SEGMENT_SIZE; break;
    case 7:
        address = round_up(start + 1, SEGMENT_SIZE) - 16;
        break; /* a guard */
    /* just behind it */
    default: address = start + run->shadow.blocks[index].usable + op->value % 64; break;
    }
    if (shadow_find_live(&run->shadow, address, 1) != SHADOW_NONE) return 0;
    return address;
}

void misuse_foreign(struct run *run, const struct input_op *op) {
    bool outside;
    uintptr_t address = foreign_address(run, op, &outside);
    if (address == 0) return;
    expect(run, outside ? KIND_BIT(REPORT_INVALID_FREE) : DOUBLE_OR_INVALID, address);
    switch (op->kind % 4) {
    case 0: (void)!run->subject->realloc((void *)address, 1 + op->value % 1000); break;
    case 1: (void)run->subject->usable_size((void *)address); break;
    default: run->subject->free((void *)address); break;
    }
    missed(run, "use of a foreign address");
}

/* A size that belongs to another block size for sure, at the strict level any other; SIZE_MAX where
   none does. */
static size_t wrong_size(const struct run *run, const struct shadow_block *block,
                         const struct input_op *op) {
    if (run->is_strict && op->other & 2) {
        size_t down = 1 + op->value % 16;
        return op->other & 4 || block->usable < down ? block->usable + down : block->usable - down;
    }
    if (op->other & 1 || block->usable == 0) return block->usable + 1 + op->value % 100000;
    /* what shrank in place may answer to less */
    if (block->origin != ORIGIN_MALLOC || block->usable < 32) return SIZE_MAX;
    return op->value % (block->usable / 2 + 1);
}

void misuse_wrong_size(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    size_t size = wrong_size(run, block, op);
    if (size == SIZE_MAX || block->origin == ORIGIN_POSIX_MEMALIGN || block->origin == ORIGIN_NEW)
        return;
    expect(run, KIND_BIT(REPORT_SIZE_MISMATCH), block->start);
    if (block->origin == ORIGIN_ALIGNED)
        run->subject->free_aligned_sized((void *)block->start, block->alignment, size);
    else
        run->subject->free_sized((void *)block->start, size);
    missed(run, op_name(op->code));
}

void misuse_wrong_alignment(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    /* the first that the address does not have */
    size_t alignment = (block->start & (0 - block->start)) << 1;
    if (op->other & 1) alignment = 3 * alignment_decode((uint8_t)op->value);
    if (block->origin != ORIGIN_ALIGNED || alignment > ALIGN_MAX) return;
    expect(run, KIND_BIT(REPORT_ALIGNMENT_MISMATCH) | KIND_BIT(REPORT_SIZE_MISMATCH), block->start);
    run->subject->free_aligned_sized((void *)block->start, alignment, block->requested);
    missed(run, op_name(op->code));
}

/* At the strict level any byte of a free block may be looked at. What is surely in quarantine is
   let out by a trim, which must report it, if the input asks; else it may be reported at any time
   until it is handed out. */
static void stomp_strict(struct run *run, const struct input_op *op, uint16_t grave) {
    const struct shadow_block *dead = &run->shadow.blocks[grave];
    bool kept_back = run_is_kept_back(run, grave);
    if (dead->usable == 0 || (!kept_back && !shadow_page_survives(&run->shadow, grave))) return;
    /* behind what was asked for as well */
    size_t ends[] = {0, dead->usable - 1, dead->usable, dead->cell - 1};
    size_t offset = op->other & 4 ? ends[op->other % 4] : op->value % dead->cell;
    unsigned char *byte = (unsigned char *)dead->start + offset;
    run->subject->touch((uintptr_t)byte, 1);
    *byte = (unsigned char)(op->value | 1);
    bool is_first = run->tolerated == 0; /* else an earlier one may be met before it */
    run->tolerated |= KIND_BIT(REPORT_WRITE_AFTER_FREE);
    if (!kept_back || (op->other & 8) == 0) return;
    expect(run, KIND_BIT(REPORT_WRITE_AFTER_FREE), dead->start);
    if (is_first) run->tolerated = 0;
    run->subject->trim();
    missed(run, "a write into a block in quarantine");
}

/* The first byte behind what was asked for, or the last of the block, or the one before it: none of
   them is 0, nor what it was made to be. 0: the block has none for sure. */
static uintptr_t beside(const struct run *run, const struct shadow_block *block,
                        const struct input_op *op) {
    enum { OS_PAGE = 4096 };
    uintptr_t end = block->start + block->usable;
    if (block->usable == 0) return 0;
    if (block->cell != 0) {
        uintptr_t last = block->start + block->cell - 1;
        return op->other & 1 ? last : end + op->value % (last - end + 1);
    }
    if (!run_stands_alone(run, block->usable)) return 0;
    bool before = (op->other & 2) != 0;
    if (before) return block->start % OS_PAGE != 0 ? block->start - 1 : 0;
    if (end % OS_PAGE == 0) return 0;
    return op->other & 1 ? round_up(end, OS_PAGE) - 1 : end;
}

void misuse_overflow(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE || !run->is_strict) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    unsigned char *byte = (unsigned char *)beside(run, block, op);
    if (byte == NULL) return;
    void *start = (void *)block->start;
    run->subject->touch((uintptr_t)byte, 1);
    *byte = op->other & 16 ? 0 : (unsigned char)~*byte;
    expect(run, KIND_BIT(REPORT_OVERFLOW), block->start);
    if (block->origin == ORIGIN_NEW)
        run->subject->delete_block(start);
    else if (op->other & 32)
        start = run->subject->realloc(start, 1 + op->value % (2 * block->usable));
    else
        run->subject->free(start);
    missed(run, op_name(op->code));
}

/* Freed by who has not made it; or resized. */
void misuse_family(struct run *run, const struct input_op *op) {
    uint16_t index = run_pick_live(run, op->pick);
    if (index == SHADOW_NONE || !run->is_strict) return;
    const struct shadow_block *block = &run->shadow.blocks[index];
    void *start = (void *)block->start;
    expect(run, KIND_BIT(REPORT_FAMILY_MISMATCH), block->start);
    if (block->origin != ORIGIN_NEW)
        run->subject->delete_block(start);
    else if (op->other & 1)
        start = run->subject->realloc(start, 1 + op->value % 1000);
    else if (op->other & 2)
        run->subject->free_sized(start, block->requested);
    else
        run->subject->free(start);
    missed(run, op_name(op->code));
}

/* By somebody who knows the page's secret: the list leads to another block, free or in use, or
   beside one; or into the free block itself, which has a link there, too. */
static void forge_link(struct run *run, const struct input_op *op,
                       const struct shadow_block *dead) {
    uint16_t index =
        op->kind & 4 ? run_pick_live(run, op->value & 255) : run_pick_grave(run, op->value & 255);
    uintptr_t block = dead->start, target = block;
    if (op->kind & 8 && dead->usable >= 2 * GRANULE) {
        target += GRANULE * (1 + op->other % (dead->usable / GRANULE - 1));
        run->subject->touch(target, sizeof(uint64_t));
        *(uint64_t *)target = run->subject->link_to(target, block);
    } else {
        if (index != SHADOW_NONE) target = run->shadow.blocks[index].start;
        if (op->kind & 16) target += 1 + op->other % (8 * GRANULE);
    }
    *(uint64_t *)block = run->subject->link_to(block, target);
}

/* So many blocks of the size that lists are followed to their ends. */
static void take_again(struct run *run, size_t size) {
    enum { BLOCKS = 40, TINY_MAX = 1024 };
    if (size > TINY_MAX) return;
    struct input_op op = {.code = OP_MALLOC, .kind = SIZE_TINY, .value = (uint32_t)size};
    for (unsigned i = 0; i < BLOCKS && !run->over; i++) verb_allocate(run, &op);
}

/* Where a block of that size lies some blocks behind, in the same page: it is nobody's, and may
   never have been. 0: no such place. */
static uintptr_t place_behind(const struct run *run, const struct input_op *op,
                              const struct shadow_block *block, size_t count) {
    const struct subject *subject = run->subject;
    size_t size = block->usable, offset = op->value % (size - count + 1);
    if (op->kind & 1) offset = op->kind & 2 ? 0 : size - count; /* an end more often than not */
    uintptr_t place = block->start + size * (1 + op->other % 8) + offset;
    bool same_segment = (block->start ^ place) < SEGMENT_SIZE && subject->secret != NULL;
    bool has_page = size <= LARGE_MAX && block->alignment <= SMALL_MAX;
    if (!same_segment || !has_page || !subject->is_open(place)) return 0;
    bool same_page = subject->secret(block->start) != 0 &&
                     subject->secret(place) == subject->secret(block->start);
    return same_page && shadow_find_live(&run->shadow, place, count) == SHADOW_NONE ? place : 0;
}

/* A write past the end of a block, into memory that is nobody's. Whoever asks for zeros gets them
   nevertheless. */
static void stomp_behind(struct run *run, const struct input_op *op) {
    enum { COUNT = 8, TAKEN = 16, BYTES_MAX = 4 * 1024 * 1024 };
    uint16_t index = run_pick_live(run, op->pick);
    if (op->kind & 4) { /* of a page that may be new */
        struct input_op one = {.code = OP_MALLOC, .kind = SIZE_MEDIUM, .value = op->value >> 8};
        verb_allocate(run, &one);
        if (!run->over && run->shadow.live_count > 0)
            index = run->shadow.live[run->shadow.live_count - 1];
    }
    if (run->over || index == SHADOW_NONE || run->shadow.blocks[index].usable < COUNT) return;
    const struct shadow_block block = run->shadow.blocks[index];
    uintptr_t place = place_behind(run, op, &block, COUNT);
    if (place == 0) return;
    run->subject->touch(place, COUNT);
    memset((void *)place, (int)(op->value | 1), COUNT);
    run->tolerated |= KIND_BIT(REPORT_CORRUPT_LINK);
    for (unsigned i = 0; i < TAKEN && i * block.usable < BYTES_MAX && !run->over; i++) {
        if (!shadow_can_take(&run->shadow, 1)) return;
        void *taken = run->subject->calloc(1, block.usable);
        if (taken != NULL) verb_take(run, (uintptr_t)taken, block.usable, 1, ORIGIN_MALLOC, true);
    }
}

/* A write after free into the word that may hold a link. The run goes on: the list may be reported
   as damaged from now on, and what is handed out must still overlap nothing. */
void misuse_stomp(struct run *run, const struct input_op *op) {
    uint16_t grave = run_pick_grave(run, op->pick);
    if (op->kind & 128 && !run->is_strict) {
        stomp_behind(run, op);
        return;
    }
    if (grave == SHADOW_NONE) return;
    const struct shadow_block *dead = &run->shadow.blocks[grave];
    if (run->is_strict) {
        stomp_strict(run, op, grave);
        return;
    }
    if (dead->usable < GRANULE || !shadow_page_survives(&run->shadow, grave)) return;
    unsigned char *bytes = (unsigned char *)dead->start;
    unsigned count = 1 + op->other % 16;
    run->subject->touch(dead->start, count);
    if (op->kind & 2 && run->subject->link_to != NULL)
        forge_link(run, op, dead);
    else
        for (unsigned i = 0; i < count; i++)
            bytes[i] = (unsigned char)(op->kind & 1 ? op->value >> (i % 4 * 8)
                                                    : bytes[i] ^ (op->value | 1));
    run->tolerated |= KIND_BIT(REPORT_CORRUPT_LINK);
    if (op->kind & 64) take_again(run, dead->requested);
}
