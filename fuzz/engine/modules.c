/*
 * modules: questions to the readers, and damage. See the header.
 *
 * Of what readers are given the first half is the library, with what it is damaged by; then comes a
 * stack, and a place for texts of the moment, each with pages beside it that cannot be read.
 */
#include "engine/modules.h"

#include <stdio.h>
#include <string.h>

#include "engine/image.h"
#include "engine/judge.h"
#include "engine/stacks.h"

enum { SCRATCH_PAGE = 28, SCRATCH_PAGES = 2, LINES_MOST = 40 };
#define SCRATCH (GIVEN_BASE + (uintptr_t)SCRATCH_PAGE * GIVEN_PAGE)
#define SCRATCH_END (SCRATCH + (uintptr_t)SCRATCH_PAGES * GIVEN_PAGE)
/* Looks and calls that a reader may take: one entry after the other through all of a library, from
   each of the frames of a walk. */
#define STEPS_MOST ((uint64_t)8 << 20)

const struct modules_subject modules_moat = {module_find,    symbol_find,   cfi_find,
                                             cfi_run,        cfi_apply,     cfi_expression,
                                             backtrace_walk, proc_maps_next};

static const struct modules_subject *subject;
static struct image image;
static struct stack_plan plan;
static bool is_damaged;
static struct backtrace_workspace workspace;
static struct rng *chance; /* of the step in hand */

static unsigned draw(unsigned bound) { return rng_below(chance, bound); }

static void expect(bool holds, const char *what) {
    if (!holds) judge_fail("%s", what);
}

static void forget(bool by_headers) {
    module_table_reset(&workspace.modules);
    workspace.modules.by_headers = by_headers;
    given_steps(STEPS_MOST);
}

/* --- Modules --------------------------------------------------------------------------------- */

/* Near the edge of a function or of the code, or anywhere. */
static uintptr_t draw_address(uint32_t argument) {
    const struct image_function *function = &image.functions[argument / 8 % image.count];
    switch (argument % 8) {
    case 0: return function->start - 1;
    case 1: return function->start;
    case 2: return function->start + function->size - 1;
    case 3: return function->start + function->size;
    case 4: return draw(2) == 0 ? IMAGE_CODE - draw(2) : IMAGE_END - draw(2);
    case 5: return IMAGE_BASE + draw((unsigned)GIVEN_BYTES);
    default: return function->start + draw((unsigned)function->size);
    }
}

static bool path_is_cut(void) { return strlen(given.path) >= MODULE_PATH; }

static void judge_module(const struct module *module, bool is_listed) {
    size_t length = strlen(given.path), kept = path_is_cut() ? MODULE_PATH - 1 : length;
    expect(module->start == IMAGE_BASE && module->end == IMAGE_END, "another range of the module");
    expect(module->bias == image.bias, "another bias");
    expect(module->dynamic != 0 && (module->eh_frame_hdr != 0) == image.has_index,
           "a table was found, or none");
    bool by_file = is_listed && image.has_sections && !path_is_cut();
    expect((module->eh_frame != 0) == by_file, "entries were found by the file, or not");
    expect(!by_file || (module->eh_frame == image.unwind &&
                        module->eh_frame + module->eh_frame_size == image.unwind_end),
           "other entries were found by the file");
    expect(module->build_id_size == image.build_id_size &&
               memcmp(module->build_id, image.build_id, image.build_id_size) == 0,
           "another build id");
    expect(module->path_length == (is_listed ? kept : 0), "another length of the path");
    expect(module->path_is_cut == (is_listed && path_is_cut()), "the path is cut, or not");
    expect(!is_listed || memcmp(module->path, given.path + length - kept, kept) == 0,
           "another path");
}

/* The module there, after all that can be said of one was judged. */
static const struct module *find_module(uintptr_t address) {
    bool is_listed = given.has_maps && !workspace.modules.by_headers;
    const struct module *module = subject->module_find(&workspace.modules, address);
    bool is_code = address >= IMAGE_CODE && address < IMAGE_END;
    if (!is_damaged) expect((module != NULL) == is_code, "a module is found, or not");
    judge_trace(module != NULL);
    if (module == NULL) return NULL;
    if (!is_damaged) judge_module(module, is_listed);
    expect(address >= module->start && address < module->end, "a module that is elsewhere");
    expect(module->path_length < MODULE_PATH && module->build_id_size <= BUILD_ID_MAX,
           "more than there is place for");
    expect(subject->module_find(&workspace.modules, address) == module, "another one at once");
    return module;
}

/* --- Symbols --------------------------------------------------------------------------------- */

static void judge_symbol(const struct module *module, uintptr_t address, bool found) {
    const struct symbol *symbol = &workspace.symbol;
    uintptr_t start = 0;
    const char *name = image_name(&image, address, &start);
    if (given.lowest <= given.highest)
        expect(given.lowest >= module->start && given.highest <= module->end,
               "a symbol was looked for outside the module");
    if (!is_damaged) expect(found == (name != NULL), "a name is found, or not");
    if (!found) return;
    size_t length = symbol->name_length;
    expect(length > 0 && length <= SYMBOL_NAME && (!symbol->name_is_cut || length == SYMBOL_NAME) &&
               memchr(symbol->name, '\0', length) == NULL,
           "a name that is none");
    judge_trace(length << 32 | (symbol->start - GIVEN_BASE));
    if (is_damaged) return;
    size_t whole = strlen(name), kept = whole < SYMBOL_NAME ? whole : SYMBOL_NAME;
    if (length != kept || memcmp(symbol->name, name, kept) != 0)
        judge_fail("the name is %.*s, not %s", (int)length, symbol->name, name);
    expect(symbol->name_is_cut == (whole > kept), "the name is cut, or not");
    expect(symbol->start == start, "the function begins elsewhere");
}

static void step_symbol(uint32_t argument) {
    uintptr_t address = draw_address(argument);
    const struct module *module = find_module(address);
    if (module == NULL) return;
    given_steps(STEPS_MOST);
    bool found = subject->symbol_find(&workspace.modules.peek, module, address, &workspace.symbol);
    judge_symbol(module, address, found);
}

/* --- Unwind tables --------------------------------------------------------------------------- */

static bool has_table(const struct module *module) {
    return image.has_index || module->eh_frame != 0;
}

static void judge_row(const struct cfi_row *row, const struct cfi_row *wanted) {
    expect(row->base_expression == wanted->base_expression, "a row: another expression");
    if (row->base_expression == 0)
        expect(row->base_register == wanted->base_register &&
                   row->base_offset == wanted->base_offset,
               "a row: another base");
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (row->rules[i].how != wanted->rules[i].how ||
            (row->rules[i].how > CFI_UNDEFINED &&
             row->rules[i].operand != wanted->rules[i].operand))
            judge_fail("a row: another rule for register %u", i);
}

static void judge_range_of_row(const struct cfi_row *row) {
    expect(row->base_register < CFI_REGISTERS, "a row: there is no such register");
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        expect(row->rules[i].how <= CFI_IS_EXPRESSION, "a row: there is no such rule");
}

static void judge_apply(const struct frame_entry *wanted, const struct cfi_row *row) {
    struct cfi_registers before, after, model;
    memset(&before, 0, sizeof before); /* compared with what is between members */
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        before.value[i] = draw(2) == 0 ? stack_draw_address(chance) : rng_next(chance);
    if (row->base_expression == 0)
        before.value[row->base_register] = stack_draw_address(chance) - (uintptr_t)row->base_offset;
    after = model = before;
    given_steps(STEPS_MOST);
    bool done =
        subject->cfi_apply(&workspace.modules.peek, &workspace.cfi, &workspace.entry, &after);
    judge_trace(done ? after.pc : 1);
    if (!done) expect(memcmp(&after, &before, sizeof after) == 0, "registers without a caller");
    if (wanted == NULL) return;
    bool known = frames_apply(&image.frames, wanted, row, &model);
    expect(done == known, "there is a caller, or none");
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (after.value[i] != model.value[i])
            judge_fail("register %u of the caller is %#zx, not %#zx", i, (size_t)after.value[i],
                       (size_t)model.value[i]);
    expect(after.pc == model.pc && after.pc_is_exact == model.pc_is_exact, "another caller");
}

static void step_frame(uint32_t argument) {
    uintptr_t address = draw_address(argument);
    const struct module *module = find_module(address);
    if (module == NULL) return;
    const struct image_function *function = image_function(&image, address);
    const struct frame_entry *wanted = NULL;
    if (!is_damaged && function != NULL && function->has_entry && has_table(module))
        wanted = &function->entry;
    struct cfi_entry *entry = &workspace.entry;
    given_steps(STEPS_MOST);
    bool found = subject->cfi_find(&workspace.modules.peek, module, address, entry);
    if (module->eh_frame_hdr != 0)
        expect(given.highest <= module->end, "an entry was looked for behind the module");
    if (!is_damaged) expect(found == (wanted != NULL), "an entry is found, or not");
    judge_trace(found);
    if (!found) return;
    expect(address - entry->start < entry->size, "an entry for other code");
    if (wanted != NULL) {
        expect(entry->start == wanted->start && entry->size == wanted->size, "other code");
        expect(entry->return_register == wanted->common->return_register, "another register");
        expect(entry->is_signal_frame == wanted->common->is_signal_frame,
               "a signal's frame or not");
    }
    bool done = subject->cfi_run(&workspace.cfi, entry, address);
    if (!is_damaged) expect(done, "a program fails");
    if (!done) return;
    judge_range_of_row(&workspace.cfi.row);
    if (wanted != NULL) judge_row(&workspace.cfi.row, frames_row(wanted, address));
    judge_apply(wanted, &workspace.cfi.row);
}

/* Bytes that nobody wrote as a program: it stays within them. */
static void step_program(uint32_t argument) {
    struct cfi_entry entry = {.code_factor = draw(5), .data_factor = (int64_t)draw(17) - 8};
    uintptr_t start = SCRATCH + draw(64), middle = start + draw(48), end = middle + draw(96);
    struct writer writer = {start, end};
    while (writer.at < end) writer_put(&writer, rng_next(chance) >> draw(7), 1);
    entry.common = dwarf_reader_at(&workspace.modules.peek, start, middle);
    entry.special = dwarf_reader_at(&workspace.modules.peek, middle, end);
    entry.start = IMAGE_CODE;
    entry.size = 4096;
    entry.return_register = draw(CFI_REGISTERS + 2);
    bool done = subject->cfi_run(&workspace.cfi, &entry, IMAGE_CODE + argument % 4096);
    if (given.lowest <= given.highest)
        expect(given.lowest >= start && given.highest <= end, "a program is read past its end");
    judge_trace(done);
    if (!done) return;
    judge_range_of_row(&workspace.cfi.row);
    workspace.entry = entry;
    judge_apply(NULL, &workspace.cfi.row);
}

/* --- Expressions and numbers ----------------------------------------------------------------- */

static void step_expression(uint32_t argument) {
    static struct expression expression;
    struct cfi_registers registers = {.pc = 1};
    struct writer writer = {SCRATCH_END - draw(160), GIVEN_BASE + GIVEN_BYTES};
    uintptr_t base = argument % 4 == 0   ? 0
                     : argument % 4 == 1 ? rng_next(chance)
                                         : stack_draw_address(chance);
    uintptr_t value = 0, wanted = 0, start = writer.at;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        registers.value[i] = draw(2) == 0 ? stack_draw_address(chance) : rng_next(chance);
    expression_write(&expression, &writer, chance, base != 0);
    bool is_invented = argument / 4 % 4 == 0;
    if (is_invented) {
        writer.at = start + 1;
        for (unsigned i = draw(100); i > 0; i--) writer_put(&writer, rng_next(chance), 1);
    }
    /* all of its text can be read, or it has no value */
    bool known = writer.at <= SCRATCH_END &&
                 expression_value(&expression, base != 0 ? &base : NULL, &registers, &wanted);
    bool done = subject->cfi_expression(&workspace.modules.peek, start, base, &registers, &value);
    judge_trace(done ? value : 1);
    if (is_invented) return;
    expect(done == known, "an expression has a value, or none");
    if (done && value != wanted)
        judge_fail("an expression is %#zx, not %#zx", (size_t)value, (size_t)wanted);
}

/* What was written as one is read as that; past the end there is nothing, and nobody looks. */
static void step_numbers(uint32_t argument) {
    struct writer writer = {SCRATCH + draw(64), SCRATCH_END};
    uintptr_t start = writer.at;
    uint64_t bits = rng_next(chance) >> draw(64), got = 0;
    if (draw(2) == 0) bits = 0 - bits;
    unsigned size = 1 + draw(8), kind = argument % 4;
    uint64_t mask = size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1, wanted = bits;
    if (kind == 0) writer_uleb(&writer, chance, bits);
    if (kind == 1) writer_sleb(&writer, chance, (int64_t)bits);
    if (kind > 1) {
        writer_put(&writer, bits, size);
        wanted = bits & mask;
        if (kind == 3 && (bits >> (8 * size - 1) & 1) != 0) wanted |= ~mask;
    }
    struct dwarf_reader reader = dwarf_reader_at(&workspace.modules.peek, start, writer.at);
    if (kind == 0) got = dwarf_uleb(&reader);
    if (kind == 1) got = (uint64_t)dwarf_sleb(&reader);
    if (kind == 2) got = dwarf_unsigned(&reader, size);
    if (kind == 3) got = (uint64_t)dwarf_signed(&reader, size);
    expect(!reader.failed && reader.at == writer.at, "a number is longer or shorter");
    if (got != wanted) judge_fail("a number is %#zx, not %#zx", (size_t)got, (size_t)wanted);
    expect(dwarf_unsigned(&reader, 1) == 0 && reader.failed && dwarf_uleb(&reader) == 0,
           "a number behind the end");
    expect(given.highest <= writer.at, "somebody looked behind the end");
    judge_trace(got);
}

/* --- Mappings -------------------------------------------------------------------------------- */

struct line {
    struct mapping mapping;
    size_t name_at; /* in the text */
};

/* What is no line of the list. */
static size_t write_wrong_line(char *out, size_t room) {
    static const char *const wrong[] = {"",
                                        "00400000",
                                        "00400000-",
                                        "00400000-00500000 r-x",
                                        "00400000+00500000 r-xp 00000000 fe:01 1 /a",
                                        "00400000-00500000 r-xp 00000000 fe01 1 /a",
                                        "00400000-00500000 r-xp 00000000 fe:01 x /a",
                                        "00400000-00500000 r-xp g0000000 fe:01 1 /a",
                                        "-00500000 r-xp 00000000 fe:01 1 /a",
                                        "VmPeak:     1234 kB"};
    return (size_t)snprintf(out, room, "%s\n", wrong[draw(sizeof wrong / sizeof wrong[0])]);
}

static size_t write_line(char *out, size_t room, struct line *line) {
    static const char permissions[][5] = {"r--p", "r-xp", "rw-p", "---p", "rwxs"};
    struct mapping *mapping = &line->mapping;
    unsigned major = draw(4096), minor = draw(1 << 20);
    *mapping = (struct mapping){.start = rng_next(chance) >> draw(64),
                                .end = rng_next(chance) >> draw(64),
                                .offset = rng_next(chance) >> draw(64),
                                .device = (uint64_t)major << 32 | minor,
                                .inode = rng_next(chance) >> draw(64)};
    memcpy(mapping->permissions, permissions[draw(5)], 4);
    mapping->name_length = draw(3) == 0 ? 0 : draw(32) == 0 ? 3000 + draw(3000) : draw(100);
    size_t length =
        (size_t)snprintf(out, room, "%08zx-%08zx %.4s %08zx %02x:%02x %zu ", (size_t)mapping->start,
                         (size_t)mapping->end, mapping->permissions, (size_t)mapping->offset, major,
                         minor, (size_t)mapping->inode);
    for (unsigned i = draw(20); i > 0; i--) out[length++] = ' ';
    line->name_at = (size_t)(out - given.maps) + length;
    for (size_t i = 0; i < mapping->name_length; i++)
        out[length++] = (char)(i == 0 ? '/' : ' ' + draw('~' - ' ' + 1));
    out[length++] = '\n';
    return length;
}

/* All but what it says of names that are too long for it. */
static bool is_same(const struct mapping *got, const struct line *line) {
    const struct mapping *wanted = &line->mapping;
    size_t length = got->name_length;
    bool is_cut = length < wanted->name_length && length >= 4096;
    return got->start == wanted->start && got->end == wanted->end &&
           got->offset == wanted->offset && got->device == wanted->device &&
           got->inode == wanted->inode && memcmp(got->permissions, wanted->permissions, 4) == 0 &&
           (length == wanted->name_length || is_cut) &&
           memcmp(got->name, given.maps + line->name_at, length) == 0;
}

static void step_maps(uint32_t argument) {
    static struct line lines[LINES_MOST];
    static char kept[GIVEN_TEXT];
    struct mapping mapping;
    unsigned count = 0;
    size_t kept_size = given.maps_size, at = 0;
    memcpy(kept, given.maps, kept_size);
    for (unsigned i = argument % LINES_MOST; i > 0 && at < GIVEN_TEXT / 2; i--)
        at += draw(8) == 0 ? write_wrong_line(given.maps + at, GIVEN_TEXT - at)
                           : write_line(given.maps + at, GIVEN_TEXT - at, &lines[count++]);
    given.maps_size = at;
    given.piece = draw(2) == 0 ? GIVEN_PAGE : 1 + draw(200);
    given.has_maps = true;
    expect(proc_maps_open(&workspace.modules.mappings), "the list cannot be read");
    for (unsigned i = 0; i < count; i++) {
        expect(subject->proc_maps_next(&workspace.modules.mappings, &mapping),
               "the list ends early");
        if (!is_same(&mapping, &lines[i])) judge_fail("line %u of the list is another", i);
        judge_trace(mapping.start ^ mapping.name_length);
    }
    expect(!subject->proc_maps_next(&workspace.modules.mappings, &mapping),
           "a line behind the end");
    proc_maps_close(&workspace.modules.mappings);
    memcpy(given.maps, kept, kept_size);
    given.maps_size = kept_size;
}

static void step_describe(uint32_t argument) {
    static char text[600], wanted[600];
    uintptr_t address = draw_address(argument);
    struct format format = format_in(text, 1 + draw(sizeof text - 1));
    module_describe_address(&workspace.modules, address, &format);
    expect(format.length <= format.capacity, "more text than there is place for");
    judge_trace(format.length);
    if (is_damaged) return;
    if (!given.has_maps)
        snprintf(wanted, sizeof wanted, "memory that is not known (no list of mappings)");
    else if (address < IMAGE_END)
        snprintf(wanted, sizeof wanted, "%s (%s)", given.path,
                 address < IMAGE_CODE ? "r--p" : "r-xp");
    else
        snprintf(wanted, sizeof wanted, "memory that no file backs (rw-p)");
    size_t length = strlen(wanted);
    if (address < IMAGE_BASE) return;
    if (length > format.capacity) length = format.capacity;
    if (format.length != length || memcmp(text, wanted, length) != 0)
        judge_fail("memory is described as %.*s, not %s", (int)format.length, text, wanted);
}

/* --- Walks ----------------------------------------------------------------------------------- */

static void expect_line(const char **text, const char *wanted) {
    size_t length = strlen(wanted);
    if (strncmp(*text, wanted, length) != 0)
        judge_fail("a frame goes on %.80s, not %s", *text, wanted);
    *text += length;
}

/* What is written of a frame in the library's code. */
static void judge_line(const char **text, unsigned number, uintptr_t address) {
    char wanted[MODULE_PATH + 64];
    uintptr_t start = 0;
    const char *name = image_name(&image, address, &start);
    size_t length = strlen(given.path), kept = path_is_cut() ? MODULE_PATH - 1 : length;
    bool is_listed = given.has_maps && !workspace.modules.by_headers;
    snprintf(wanted, sizeof wanted, "moat:   #%u %s%s", number,
             is_listed && path_is_cut() ? "..." : "",
             is_listed ? given.path + length - kept : "[unknown]");
    expect_line(text, wanted);
    if (name != NULL) {
        snprintf(wanted, sizeof wanted, "(%.*s%s+0x%zx)", SYMBOL_NAME, name,
                 strlen(name) > SYMBOL_NAME ? "..." : "", (size_t)(address - start));
        expect_line(text, wanted);
    }
    snprintf(wanted, sizeof wanted, "+0x%zx", (size_t)(address - image.bias));
    expect_line(text, wanted);
    if (image.build_id_size != 0) expect_line(text, " build-id ");
    for (size_t i = 0; i < image.build_id_size; i++) {
        snprintf(wanted, sizeof wanted, "%02x", image.build_id[i]);
        expect_line(text, wanted);
    }
    expect_line(text, "\n");
}

static void judge_text(const struct backtrace *backtrace) {
    given.written_size = 0;
    given_steps(BACKTRACE_DEPTH * STEPS_MOST);
    backtrace_write(&workspace, backtrace, 2);
    given.written[given.written_size] = '\0';
    const char *text = given.written;
    unsigned lines = 0;
    for (size_t i = 0; i < given.written_size; i++) {
        lines += text[i] == '\n';
        expect(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'), "a line with other bytes");
    }
    expect(lines == backtrace->count, "more or fewer lines than frames");
    if (is_damaged) return;
    for (unsigned i = 0; i < backtrace->count; i++) judge_line(&text, i, backtrace->frames[i]);
}

static void judge_drop(const struct backtrace *backtrace) {
    struct backtrace less = *backtrace;
    unsigned first = backtrace->count != 0 ? draw(backtrace->count) : 0;
    uintptr_t after = draw(4) != 0 && backtrace->count != 0 ? backtrace->frames[first] + 1 : 1;
    for (first = 0; first < backtrace->count && backtrace->frames[first] + 1 != after;) first++;
    if (first == backtrace->count) first = 0;
    backtrace_drop_until(&less, after);
    expect(less.count == backtrace->count - first &&
               memcmp(less.frames, backtrace->frames + first, less.count * sizeof less.frames[0]) ==
                   0,
           "other frames are dropped");
}

static void step_walk(uint32_t argument) {
    static struct backtrace_memo memos[BACKTRACE_MEMOS];
    struct backtrace backtrace = {.count = 0};
    bool has_table = image.has_index || (image.has_sections && given.has_maps && !path_is_cut() &&
                                         !workspace.modules.by_headers);
    stack_draw(&plan, &image, chance, has_table);
    memset(memos, 0, sizeof memos);
    for (unsigned round = argument % 2; round < 3; round++) {
        struct cfi_registers registers = plan.registers;
        backtrace.count = 0;
        given_steps(BACKTRACE_DEPTH * STEPS_MOST);
        subject->backtrace_walk(&workspace, &registers, &backtrace, round == 0 ? NULL : memos);
        expect(backtrace.count <= BACKTRACE_DEPTH, "more frames than there is place for");
        for (unsigned i = 0; i < backtrace.count; i++) judge_trace(backtrace.frames[i]);
        if (is_damaged) continue;
        if (backtrace.count != plan.count)
            judge_fail("%u frames, not %u", backtrace.count, plan.count);
        for (unsigned i = 0; i < plan.count; i++)
            if (backtrace.frames[i] != plan.frames[i])
                judge_fail("frame %u is %#zx, not %#zx", i, (size_t)backtrace.frames[i],
                           (size_t)plan.frames[i]);
    }
    judge_text(&backtrace);
    judge_drop(&backtrace);
    if (draw(16) != 0) return;
    /* of its own stack it is given nothing */
    backtrace_capture(&workspace, &backtrace);
    expect(backtrace.count <= 1, "frames of a stack that cannot be read");
}

/* --- Damage ---------------------------------------------------------------------------------- */

static uint64_t draw_value(void) {
    switch (draw(7)) {
    case 0: return 0;
    case 1: return UINT64_MAX - draw(64);
    case 2: return IMAGE_BASE + draw((unsigned)GIVEN_BYTES);
    case 3: return draw(IMAGE_PAGES * GIVEN_PAGE);
    case 4: return (uint64_t)1 << draw(64);
    case 5: return draw(64);
    default: return rng_next(chance);
    }
}

/* Mostly where headers and tables are. */
static uintptr_t draw_place(uint32_t argument) {
    static const unsigned starts[] = {0,      0x40,   0x400,  0x800, 0x1000,
                                      0x1800, 0x2000, 0x4000, 0x4090};
    static const unsigned sizes[] = {0x40, 0x150, 0x80, 0x80, 8, 0xc0, 0x600, 0x90, 0x1000};
    unsigned which = argument % 10;
    if (which == 9) return IMAGE_BASE + draw(IMAGE_PAGES * GIVEN_PAGE - 8);
    return IMAGE_BASE + starts[which] + draw(sizes[which]);
}

static void step_damage(uint32_t argument) {
    static const uint8_t sizes[] = {1, 1, 2, 4, 8, 8};
    uintptr_t place = draw_place(argument / 8);
    unsigned size = sizes[draw(6)];
    struct writer writer = {size == 8 ? place & ~(uintptr_t)7 : place, IMAGE_END};
    is_damaged = true;
    switch (argument % 8) {
    case 0: *given_place(place, 1) ^= (uint8_t)(1u << draw(8)); break;
    case 1: given_set_readable(draw(STACK_PAGE + STACK_PAGES), 1, draw(2) != 0); break;
    case 2: given.maps[draw((unsigned)given.maps_size)] = (char)draw(256); break;
    case 3: given.file[draw(sizeof given.file)] = (uint8_t)draw(256); break;
    case 4:
        memcpy(given.file + (draw(sizeof given.file / 8) & ~7u), &(uint64_t){draw_value()}, 8);
        break;
    default: writer_put(&writer, draw_value(), size); break;
    }
}

static void make(void) {
    memset(given_place(GIVEN_BASE, GIVEN_BYTES), 0, GIVEN_BYTES);
    given_set_readable(0, GIVEN_PAGES, false);
    image_make(&image, chance);
    stack_begin(chance);
    given_set_readable(SCRATCH_PAGE, SCRATCH_PAGES, true);
    is_damaged = false;
}

static void step_make(uint32_t argument) {
    if (argument % 8 == 0) make();
}

/* --- A run ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*step)(uint32_t argument);
} steps[] = {{"symbol", step_symbol},     {"frame", step_frame},
             {"program", step_program},   {"expression", step_expression},
             {"numbers", step_numbers},   {"maps", step_maps},
             {"describe", step_describe}, {"walk", step_walk},
             {"damage", step_damage},     {"make", step_make},
             {"frame", step_frame},       {"symbol", step_symbol}};
enum { STEPS = sizeof steps / sizeof steps[0] };

uint64_t modules_run(const struct modules_subject *chosen, const struct input *input) {
    struct rng random = {rng_mix(input->seed)};
    subject = chosen;
    judge_begin();
    given_begin();
    given_steps(STEPS_MOST);
    chance = &random;
    make();
    for (unsigned i = 0; i < input->op_count; i++) {
        const struct input_op *op = &input->ops[i];
        unsigned which = op->value % STEPS;
        random = judge_random(input, op);
        judge_step(steps[which].name);
        given.has_maps = op->other % 4 != 0;
        given.piece = GIVEN_PAGE;
        /* the long search, far below the code, is seldom */
        forget(op->other % 64 != 0 && op->other % 2 == 0);
        steps[which].step(op->value / STEPS);
    }
    given_end();
    return judge_seen();
}
