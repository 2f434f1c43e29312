/*
 * record: the calls of one run, as lines of C. See the header.
 *
 * Blocks have numbers in the order in which they are given. An address is written as a block and a
 * distance from its start.
 */
#include "engine/record.h"

#include <stdlib.h>
#include <unistd.h>

#include "moat.h"

enum { BLOCKS_MAX = 1 << 18 };

static struct {
    FILE *file;
    const struct run *run;
    const struct subject *inner;
    struct subject outer;
    struct {
        uintptr_t start;
        size_t size;
    } blocks[BLOCKS_MAX];
    unsigned count;
    uintptr_t poked; /* the engine has written there since the last call; 0: nowhere */
    size_t poked_size;
} record;

/* --- Addresses and blocks -------------------------------------------------------------------- */

/* The newest block that has the address, or that lies nearest below it in the same segment. */
static unsigned block_of(uintptr_t address) {
    unsigned nearest = BLOCKS_MAX;
    for (unsigned i = record.count; i-- > 0;) {
        uintptr_t start = record.blocks[i].start;
        if (address < start || address - start >= (uintptr_t)1 << 22) continue;
        if (address - start < record.blocks[i].size + (record.blocks[i].size == 0)) return i;
        if (nearest == BLOCKS_MAX || start > record.blocks[nearest].start) nearest = i;
    }
    return nearest;
}

static void print_address(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    unsigned block = address != 0 ? block_of(address) : BLOCKS_MAX;
    if (address == 0)
        fprintf(record.file, "NULL");
    else if (block == BLOCKS_MAX)
        fprintf(record.file, "outside(%#lx)", (unsigned long)(address < 8192 ? address : 0));
    else if (address == record.blocks[block].start)
        fprintf(record.file, "start(%u)", block);
    else
        fprintf(record.file, "start(%u) + %lu", block,
                (unsigned long)(address - record.blocks[block].start));
}

/* The number of a block that a call has given. */
static void give(void *start) {
    if (start == NULL || record.count == BLOCKS_MAX) return;
    record.blocks[record.count].start = (uintptr_t)start;
    record.blocks[record.count++].size = record.inner->usable_size(start);
}

/* What the engine has written since, but for what it fills blocks with. */
static void print_poked(void) {
    if (record.poked == 0) return;
    fprintf(record.file, "    poke(");
    print_address((void *)record.poked);
    fprintf(record.file, ", (unsigned char[]){");
    for (size_t i = 0; i < record.poked_size; i++)
        fprintf(record.file, "%s%u", i != 0 ? ", " : "",
                *(const volatile unsigned char *)(record.poked + i));
    fprintf(record.file, "}, %zu);\n", record.poked_size);
    record.poked = 0;
}

static bool is_misuse(void) { return record.run->expect.kinds != 0; }

static unsigned code(void) {
    const struct run *run = record.run;
    return run->op_index < run->input->op_count ? run->input->ops[run->op_index].code : OP_CODES;
}

static void begin_line(void) {
    print_poked();
    fprintf(record.file, "    ");
}

/* A call that must not come back is followed by what it is when it does. */
static void end_line(void) {
    if (is_misuse()) fprintf(record.file, " failed(\"%s was not reported\");", op_name(code()));
    fprintf(record.file, "\n");
    fflush(record.file); /* the call may be the last thing that happens */
}

/* --- Verbs ----------------------------------------------------------------------------------- */

static void *record_malloc(size_t size) {
    begin_line();
    fprintf(record.file, "given(%u, moat_malloc(%zuu), %zuu, 16, 0);", record.count, size, size);
    end_line();
    void *block = record.inner->malloc(size);
    give(block);
    return block;
}

static void *record_calloc(size_t count, size_t size) {
    size_t total;
    bool overflows = __builtin_mul_overflow(count, size, &total);
    begin_line();
    fprintf(record.file, "given(%u, moat_calloc(%zuu, %zuu), %zuu, 16, 1);", record.count, count,
            size, overflows ? SIZE_MAX : total);
    end_line();
    void *block = record.inner->calloc(count, size);
    give(block);
    return block;
}

static void *record_aligned_alloc(size_t alignment, size_t size) {
    begin_line();
    fprintf(record.file, "given(%u, moat_aligned_alloc(%zuu, %zuu), %zuu, %zuu, 0);", record.count,
            alignment, size, size, alignment);
    end_line();
    void *block = record.inner->aligned_alloc(alignment, size);
    give(block);
    return block;
}

static int record_posix_memalign(void **result, size_t alignment, size_t size) {
    begin_line();
    fprintf(record.file, "given(%u, by_posix_memalign(%zuu, %zuu), %zuu, %zuu, 0);", record.count,
            alignment, size, size, alignment < sizeof(void *) ? 0 : alignment);
    end_line();
    int error = record.inner->posix_memalign(result, alignment, size);
    if (error == 0) give(*result);
    return error;
}

static void begin_resize(const void *block) {
    begin_line();
    fprintf(record.file, "resized(%u, ", record.count);
    print_address(block);
    fprintf(record.file, ", moat_realloc");
}

static void *record_realloc(void *block, size_t size) {
    begin_resize(block);
    fprintf(record.file, "(leaving(");
    print_address(block);
    fprintf(record.file, "), %zuu), %zuu);", size, size);
    end_line();
    void *moved = record.inner->realloc(block, size);
    give(moved);
    return moved;
}

static void *record_reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    bool overflows = __builtin_mul_overflow(count, size, &total);
    begin_resize(block);
    fprintf(record.file, "array(leaving(");
    print_address(block);
    fprintf(record.file, "), %zuu, %zuu), %zuu);", count, size, overflows ? SIZE_MAX : total);
    end_line();
    void *moved = record.inner->reallocarray(block, count, size);
    give(moved);
    return moved;
}

/* Of a live block the contents are compared before. */
static void begin_free(const char *name, const void *block) {
    begin_line();
    fprintf(record.file, "%s(%s", name, is_misuse() ? "" : "leaving(");
    print_address(block);
    fprintf(record.file, is_misuse() ? "" : ")");
}

static void record_free(void *block) {
    begin_free("moat_free", block);
    fprintf(record.file, ");");
    end_line();
    record.inner->free(block);
}

static void record_free_sized(void *block, size_t size) {
    begin_free("moat_free_sized", block);
    fprintf(record.file, ", %zuu);", size);
    end_line();
    record.inner->free_sized(block, size);
}

static void record_free_aligned_sized(void *block, size_t alignment, size_t size) {
    begin_free("moat_free_aligned_sized", block);
    fprintf(record.file, ", %zuu, %zuu);", alignment, size);
    end_line();
    record.inner->free_aligned_sized(block, alignment, size);
}

/* The engine asks of each new block too, as given() does. */
static size_t record_usable_size(const void *block) {
    if (is_misuse() || code() == OP_USABLE) {
        begin_line();
        fprintf(record.file, is_misuse() ? "(void)moat_usable_size(" : "usable(");
        print_address(block);
        fprintf(record.file, ");");
        end_line();
    }
    return record.inner->usable_size(block);
}

static bool record_owns(const void *address) {
    begin_line();
    fprintf(record.file, "owned(");
    print_address(address);
    fprintf(record.file, ");");
    end_line();
    return record.inner->owns(address);
}

static bool record_trim(void) {
    begin_line();
    fprintf(record.file, "(void)moat_trim();");
    end_line();
    return record.inner->trim();
}

static size_t record_check(void) {
    begin_line();
    fprintf(record.file, "(void)moat_check();");
    end_line();
    return record.inner->check();
}

/* --- What else a run does -------------------------------------------------------------------- */

static void record_begin(struct life life,
                         void (*on_report)(enum report_kind kind, uintptr_t address)) {
    record.inner->begin(life, on_report);
    record.count = 0;
    rewind(record.file); /* of the last run alone */
    if (ftruncate(fileno(record.file), 0) != 0) abort();
    fprintf(record.file, "/* options: %s */\n", moat_default_options());
}

static void record_touch(uintptr_t start, size_t size) {
    print_poked();
    record.poked = start;
    record.poked_size = size;
    record.inner->touch(start, size);
}

static void record_advance_clock(uint64_t milliseconds) {
    begin_line();
    fprintf(record.file, "pass(%lu);", (unsigned long)milliseconds);
    end_line();
    record.inner->advance_clock(milliseconds);
}

static size_t record_used_blocks(void) {
    begin_line();
    fprintf(record.file, "at_rest();");
    end_line();
    return record.inner->used_blocks();
}

static void record_fail_nth(unsigned kind, unsigned n, bool for_good) {
    fprintf(record.file, "    " RECORD_NEEDS "a system call is refused */\n");
    record.inner->fail_nth(kind, n, for_good);
}

static void record_fail_at(unsigned point, unsigned n, unsigned every) {
    fprintf(record.file, "    " RECORD_NEEDS "a failpoint goes wrong */\n");
    record.inner->fail_at(point, n, every);
}

static void record_limit(size_t more) {
    fprintf(record.file, "    " RECORD_NEEDS "memory is limited */\n");
    record.inner->limit(more);
}

static uint64_t record_link_to(uintptr_t block, uintptr_t address) {
    fprintf(record.file, "    " RECORD_NEEDS "a link is made with its page's secret */\n");
    return record.inner->link_to(block, address);
}

static void *record_new_block(size_t size) {
    fprintf(record.file, "    " RECORD_NEEDS "a block is had from another family */\n");
    void *block = record.inner->new_block(size);
    give(block);
    return block;
}

static void record_delete_block(void *block) {
    fprintf(record.file, "    " RECORD_NEEDS "a block is freed by another family */\n");
    record.inner->delete_block(block);
}

static const struct subject *stand_between(const struct run *run, const struct subject *inner) {
    record.run = run;
    record.inner = inner;
    record.outer = *inner;
    record.outer.malloc = record_malloc;
    record.outer.calloc = record_calloc;
    record.outer.realloc = record_realloc;
    record.outer.reallocarray = record_reallocarray;
    record.outer.aligned_alloc = record_aligned_alloc;
    record.outer.posix_memalign = record_posix_memalign;
    record.outer.free = record_free;
    record.outer.free_sized = record_free_sized;
    record.outer.free_aligned_sized = record_free_aligned_sized;
    record.outer.usable_size = record_usable_size;
    record.outer.owns = record_owns;
    record.outer.trim = record_trim;
    record.outer.check = record_check;
    record.outer.begin = record_begin;
    record.outer.touch = record_touch;
    record.outer.advance_clock = record_advance_clock;
    record.outer.used_blocks = record_used_blocks;
    record.outer.fail_nth = record_fail_nth;
    record.outer.fail_at = inner->fail_at != NULL ? record_fail_at : NULL;
    record.outer.limit = record_limit;
    record.outer.link_to = inner->link_to != NULL ? record_link_to : NULL;
    record.outer.new_block = inner->new_block != NULL ? record_new_block : NULL;
    record.outer.delete_block = inner->delete_block != NULL ? record_delete_block : NULL;
    return &record.outer;
}

void record_to(FILE *file) {
    record.file = file;
    run_stand_between = stand_between;
}
