/*
 * frames: unwind tables and what they mean. See the header.
 */
#include "engine/frames.h"

#include <string.h>

#include "engine/judge.h"

/* Instructions, by their numbers in DWARF 5, table 7.29. */
enum {
    NOTHING = 0x00,
    SET_LOCATION = 0x01,
    ADVANCE_1 = 0x02,
    ADVANCE_2 = 0x03,
    ADVANCE_4 = 0x04,
    OFFSET_EXTENDED = 0x05,
    RESTORE_EXTENDED = 0x06,
    UNDEFINED = 0x07,
    SAME_VALUE = 0x08,
    REGISTER = 0x09,
    REMEMBER = 0x0a,
    RESTORE_ALL = 0x0b,
    BASE = 0x0c,
    BASE_REGISTER = 0x0d,
    BASE_OFFSET = 0x0e,
    BASE_EXPRESSION = 0x0f,
    EXPRESSION = 0x10,
    OFFSET_EXTENDED_SIGNED = 0x11,
    BASE_SIGNED = 0x12,
    BASE_OFFSET_SIGNED = 0x13,
    VALUE_OFFSET = 0x14,
    VALUE_OFFSET_SIGNED = 0x15,
    VALUE_EXPRESSION = 0x16,
    ARGUMENTS_SIZE = 0x2e,
    ADVANCE = 0x40,
    OFFSET = 0x80,
    RESTORE = 0xc0
};
enum { WORD = 8, ENCODED_ABSOLUTE = 0x00, RELATIVE = 0x10, REGISTERS_NAMED = 80 };
enum { PROGRAM_BYTES = 400 }; /* about: all must fit where they are written */

/* A program that is being written. */
struct program {
    struct frames *frames;
    const struct frame_common *common;
    struct frame_entry *entry; /* NULL: that of a common one */
    struct cfi_row row, remembered[CFI_REMEMBERED];
    unsigned depth;
    uintptr_t location;
};

static struct writer *text(struct program *program) { return &program->frames->writer; }
static struct rng *chance(struct program *program) { return program->frames->random; }

static void put(struct program *program, unsigned byte) { writer_put(text(program), byte, 1); }
static void put_uleb(struct program *program, uint64_t value) {
    writer_uleb(text(program), chance(program), value);
}
static void put_sleb(struct program *program, int64_t value) {
    writer_sleb(text(program), chance(program), value);
}

/* --- Pointers -------------------------------------------------------------------------------- */

static unsigned size_of_format(unsigned encoding) {
    switch (encoding & 0x0f) {
    case 0x02:
    case 0x0a: return 2;
    case 0x03:
    case 0x0b: return 4;
    default: return 8;
    }
}

static void put_pointer(struct frames *frames, unsigned encoding, uint64_t value) {
    struct writer *writer = &frames->writer;
    if ((encoding & RELATIVE) != 0) value -= writer->at;
    if ((encoding & 0x0f) == 0x01)
        writer_uleb(writer, frames->random, value);
    else if ((encoding & 0x0f) == 0x09)
        writer_sleb(writer, frames->random, (int64_t)value);
    else
        writer_put(writer, value, size_of_format(encoding));
}

/* --- Instructions ---------------------------------------------------------------------------- */

static void set_base(struct program *program, uint64_t number, int64_t offset) {
    program->row.base_register = number;
    program->row.base_offset = offset;
    program->row.base_expression = 0;
}

static void set_rule(struct program *program, unsigned number, enum cfi_how how, int64_t operand) {
    if (number < CFI_REGISTERS) program->row.rules[number] = (struct cfi_rule){how, operand};
}

static uintptr_t put_expression(struct program *program, bool has_base) {
    struct frames *frames = program->frames;
    struct expression *expression = &frames->expressions[frames->expression_count++];
    expression_write(expression, text(program), chance(program), has_base);
    return expression->address;
}

static void write_base(struct program *program) {
    int64_t factor = program->common->data_factor, small = (int64_t)rng_below(chance(program), 40);
    unsigned number = rng_below(chance(program), CFI_REGISTERS);
    bool by_expression = program->row.base_expression != 0;
    int64_t offset = program->row.base_offset;
    switch (rng_below(chance(program), by_expression ? 3 : 6)) {
    case 0:
        put(program, BASE);
        put_uleb(program, number);
        put_uleb(program, (uint64_t)small * WORD);
        set_base(program, number, small * WORD);
        break;
    case 1:
        put(program, BASE_SIGNED);
        put_uleb(program, number);
        put_sleb(program, small - 20);
        set_base(program, number, (small - 20) * factor);
        break;
    case 2:
        put(program, BASE_EXPRESSION);
        program->row.base_expression = put_expression(program, false);
        break;
    case 3:
        put(program, BASE_REGISTER);
        put_uleb(program, number);
        set_base(program, number, offset);
        break;
    case 4:
        put(program, BASE_OFFSET);
        put_uleb(program, (uint64_t)small);
        set_base(program, program->row.base_register, small);
        break;
    default:
        put(program, BASE_OFFSET_SIGNED);
        put_sleb(program, small - 20);
        set_base(program, program->row.base_register, (small - 20) * factor);
        break;
    }
}

/* An instruction, the register's number, and a count of factors. */
static void write_offset(struct program *program, unsigned number, int64_t count) {
    int64_t factor = program->common->data_factor;
    enum cfi_how how = CFI_AT_OFFSET;
    unsigned which = rng_below(chance(program), 5);
    static const uint8_t codes[] = {OFFSET, OFFSET_EXTENDED, VALUE_OFFSET, OFFSET_EXTENDED_SIGNED,
                                    VALUE_OFFSET_SIGNED};
    if (number >= 0x40 && which == 0) which = 1;
    put(program, codes[which] + (which == 0 ? number : 0));
    if (which != 0) put_uleb(program, number);
    if (which > 2) {
        count -= 20;
        put_sleb(program, count);
    } else {
        put_uleb(program, (uint64_t)count);
    }
    if (codes[which] == VALUE_OFFSET || codes[which] == VALUE_OFFSET_SIGNED) how = CFI_IS_OFFSET;
    set_rule(program, number, how, count * factor);
}

static void write_restore(struct program *program, unsigned number) {
    struct cfi_rule rule = {CFI_SAME, 0};
    if (number < CFI_REGISTERS) rule = program->common->row.rules[number];
    if (number < 0x40 && rng_below(chance(program), 2) == 0) {
        put(program, RESTORE + number);
    } else {
        put(program, RESTORE_EXTENDED);
        put_uleb(program, number);
    }
    set_rule(program, number, rule.how, rule.operand);
}

static void write_register(struct program *program) {
    /* mostly those that are followed; the others' rules are read, too */
    unsigned number = rng_below(
        chance(program), rng_below(chance(program), 4) == 0 ? REGISTERS_NAMED : CFI_REGISTERS);
    unsigned other = rng_below(chance(program), CFI_REGISTERS);
    static const uint8_t codes[] = {UNDEFINED, SAME_VALUE, REGISTER, EXPRESSION, VALUE_EXPRESSION};
    static const enum cfi_how hows[] = {CFI_UNDEFINED, CFI_SAME, CFI_IN_REGISTER, CFI_AT_EXPRESSION,
                                        CFI_IS_EXPRESSION};
    unsigned which = rng_below(chance(program), 12);
    int64_t operand = 0;
    if (which > 6) {
        write_offset(program, number, (int64_t)rng_below(chance(program), 40));
    } else if (which > 4) {
        if (program->entry != NULL) write_restore(program, number);
    } else {
        put(program, codes[which]);
        put_uleb(program, number);
        if (codes[which] == REGISTER) {
            operand = other;
            put_uleb(program, other);
        } else if (codes[which] == EXPRESSION || codes[which] == VALUE_EXPRESSION) {
            operand = (int64_t)put_expression(program, true);
        }
        set_rule(program, number, hows[which], operand);
    }
}

static void write_other(struct program *program) {
    switch (rng_below(chance(program), 4)) {
    case 0: put(program, NOTHING); break;
    case 1:
        put(program, ARGUMENTS_SIZE);
        put_uleb(program, rng_below(chance(program), 300));
        break;
    case 2:
        if (program->depth == CFI_REMEMBERED || program->entry == NULL) break;
        put(program, REMEMBER);
        program->remembered[program->depth++] = program->row;
        break;
    default:
        if (program->depth == 0) break;
        put(program, RESTORE_ALL);
        program->row = program->remembered[--program->depth];
        break;
    }
}

/* --- Rows ------------------------------------------------------------------------------------ */

static void note_row(struct program *program) {
    struct frame_entry *entry = program->entry;
    if (entry->count == FRAME_ROWS) judge_fail("too many rows");
    entry->rows[entry->count++] = (struct frame_row){program->location, program->row};
}

/* The next instructions hold a bit further on in the code; false: that is behind its end. */
static bool advance(struct program *program) {
    uint64_t factor = program->common->code_factor;
    uint64_t left = program->entry->start + program->entry->size - program->location;
    uint64_t count = rng_below(chance(program), rng_below(chance(program), 4) == 0 ? 300 : 20);
    unsigned by = rng_below(chance(program), 5);
    if (program->entry->count + 2 > FRAME_ROWS || count * factor >= left) return false;
    note_row(program);
    program->location += count * factor;
    if (by == 4) {
        put(program, SET_LOCATION);
        put_pointer(program->frames, program->common->encoding, program->location);
    } else if (by == 3) {
        put(program, ADVANCE_4);
        writer_put(text(program), count, 4);
    } else if (by == 2 || count > 255) {
        put(program, ADVANCE_2);
        writer_put(text(program), count, 2);
    } else if (by == 1 || count > 63) {
        put(program, ADVANCE_1);
        put(program, (unsigned)count);
    } else {
        put(program, ADVANCE + (unsigned)count);
    }
    return true;
}

static void write_odd(struct program *program) {
    const struct frames *frames = program->frames;
    uintptr_t start = frames->writer.at;
    for (unsigned left = rng_below(chance(program), 24); left > 0; left--) {
        if (frames->writer.at - start > PROGRAM_BYTES) break;
        if (frames->expression_count == FRAME_EXPRESSIONS) break;
        unsigned kind = rng_below(chance(program), 8);
        if (kind < 2 && program->entry != NULL)
            (void)advance(program);
        else if (kind < 4)
            write_base(program);
        else if (kind < 7)
            write_register(program);
        else
            write_other(program);
    }
}

/* A function pushes registers, makes room, and may point at its frame; before its end it has the
   stack of its caller again. */
static void write_plain(struct program *program) {
    static const uint8_t saved[] = {CFI_FRAME_POINTER, 3, 12, 13};
    int64_t offset = program->row.base_offset, factor = program->common->data_factor;
    bool by_frame = rng_below(chance(program), 3) == 0;
    for (unsigned i = 0; i < 4 && advance(program); i++) {
        offset += WORD;
        put(program, BASE_OFFSET);
        put_uleb(program, (uint64_t)offset);
        set_base(program, CFI_STACK_POINTER, offset);
        if (rng_below(chance(program), 4) != 0) {
            put(program, OFFSET + saved[i]);
            put_uleb(program, (uint64_t)(-offset / factor));
            set_rule(program, saved[i], CFI_AT_OFFSET, -offset);
        }
        if (i > 0 || !by_frame || !advance(program)) continue;
        put(program, BASE_REGISTER);
        put_uleb(program, CFI_FRAME_POINTER);
        set_base(program, CFI_FRAME_POINTER, offset);
        break;
    }
    if (!advance(program)) return;
    put(program, BASE);
    put_uleb(program, CFI_STACK_POINTER);
    put_uleb(program, WORD);
    set_base(program, CFI_STACK_POINTER, WORD);
    put(program, RESTORE + CFI_FRAME_POINTER); /* its word is below the stack by now */
    set_rule(program, CFI_FRAME_POINTER, CFI_SAME, 0);
}

/* --- Entries --------------------------------------------------------------------------------- */

/* The length of a record is known at its end. */
struct record {
    uintptr_t length, start;
    bool is_long;
};

static struct record begin_record(struct frames *frames) {
    struct record record = {.is_long = rng_below(frames->random, 8) == 0};
    if (record.is_long) writer_put(&frames->writer, UINT32_MAX, 4);
    record.length = frames->writer.at;
    writer_put(&frames->writer, 0, record.is_long ? 8 : 4);
    record.start = frames->writer.at;
    return record;
}

static void end_record(struct frames *frames, struct record record) {
    while (frames->writer.at % 8 != 0) writer_put(&frames->writer, NOTHING, 1);
    struct writer length = {record.length, record.start};
    writer_put(&length, frames->writer.at - record.start, record.is_long ? 8 : 4);
}

static void write_factors(struct frames *frames, const struct frame_common *common) {
    struct writer *writer = &frames->writer;
    writer_uleb(writer, frames->random, common->code_factor);
    writer_sleb(writer, frames->random, common->data_factor);
    if (common->version == 1)
        writer_put(writer, common->return_register, 1);
    else
        writer_uleb(writer, frames->random, common->return_register);
}

/* Its letters, each with its data. */
static void write_augmentation(struct frames *frames, struct frame_common *common) {
    struct writer *writer = &frames->writer;
    bool has_handler = rng_below(frames->random, 3) == 0,
         is_known = rng_below(frames->random, 8) != 0;
    char letters[8] = "z", *at = letters + 1;
    common->has_special_data = rng_below(frames->random, 3) == 0;
    if (has_handler) *at++ = 'P';
    if (common->has_special_data) *at++ = 'L';
    if (common->is_signal_frame) *at++ = 'S';
    *at++ = 'R';
    if (!is_known) *at++ = 'x';
    writer_copy(writer, letters, (size_t)(at - letters) + 1);
    write_factors(frames, common);
    writer_uleb(writer, frames->random,
                1u + (has_handler ? 5 : 0) + common->has_special_data + (is_known ? 0 : 3));
    if (has_handler) writer_put(writer, (uint64_t)0x12345678 << 8 | 0x9b, 5);
    if (common->has_special_data) writer_put(writer, 0x1b, 1);
    writer_put(writer, common->encoding, 1);
    if (!is_known) writer_put(writer, 0xabcdef, 3);
}

static void write_common(struct frames *frames, struct frame_common *common) {
    static const uint8_t encodings[] = {0x1b, 0x1b, 0x1c, 0x00, 0x04, 0x10, 0x14, 0x01, 0x09, 0x19};
    static const int8_t data_factors[] = {-8, -8, -4, 8, 1};
    struct writer *writer = &frames->writer;
    struct record record;
    struct program program = {.frames = frames, .common = common};
    common->code_factor = rng_below(frames->random, 3) == 0 ? 4 : 1;
    common->data_factor = common->is_plain ? -8 : data_factors[rng_below(frames->random, 5)];
    common->version = rng_below(frames->random, 2) == 0 ? 1 : 3;
    common->return_register = RETURN_REGISTER;
    if (!common->is_plain && rng_below(frames->random, 4) == 0)
        common->return_register = rng_below(frames->random, CFI_REGISTERS + 2);
    common->has_augmentation = common->is_signal_frame || rng_below(frames->random, 8) != 0;
    common->encoding = ENCODED_ABSOLUTE;
    if (common->has_augmentation)
        common->encoding = encodings[rng_below(frames->random, sizeof encodings)];
    common->address = writer->at;
    record = begin_record(frames);
    writer_put(writer, 0, 4);
    writer_put(writer, common->version, 1);
    if (common->has_augmentation) {
        write_augmentation(frames, common);
    } else {
        writer_put(writer, 0, 1);
        write_factors(frames, common);
    }
    if (common->is_plain) {
        put(&program, BASE);
        put_uleb(&program, CFI_STACK_POINTER);
        put_uleb(&program, WORD);
        set_base(&program, CFI_STACK_POINTER, WORD);
        put(&program, OFFSET + RETURN_REGISTER);
        put_uleb(&program, 1);
        set_rule(&program, RETURN_REGISTER, CFI_AT_OFFSET, -WORD);
    } else {
        write_odd(&program);
    }
    common->row = program.row;
    end_record(frames, record);
}

void frames_begin(struct frames *frames, struct rng *random, uintptr_t start, uintptr_t end) {
    frames->random = random;
    frames->writer = (struct writer){start, end};
    frames->expression_count = 0;
    memset(frames->commons, 0, sizeof frames->commons);
    for (unsigned i = 0; i < FRAME_COMMONS; i++) {
        frames->commons[i].is_plain = i < 2;
        frames->commons[i].is_signal_frame = i % 2 == 1;
        write_common(frames, &frames->commons[i]);
    }
}

void frames_write(struct frames *frames, struct frame_entry *entry,
                  const struct frame_common *common, uintptr_t start, uintptr_t size) {
    struct program program = {.frames = frames, .common = common, .entry = entry};
    struct writer *writer = &frames->writer;
    entry->start = start;
    entry->size = size;
    entry->address = writer->at;
    entry->common = common;
    entry->count = 0;
    program.row = common->row;
    program.location = start;
    struct record record = begin_record(frames);
    writer_put(writer, writer->at - common->address, 4);
    put_pointer(frames, common->encoding, start);
    put_pointer(frames, common->encoding & 0x0f, size);
    if (common->has_augmentation) {
        unsigned data = common->has_special_data ? 4 : 0;
        writer_uleb(writer, frames->random, data);
        writer_put(writer, rng_next(frames->random), data);
    }
    if (common->is_plain)
        write_plain(&program);
    else
        write_odd(&program);
    note_row(&program);
    end_record(frames, record);
}

void frames_end(struct frames *frames) { writer_put(&frames->writer, 0, 4); }

/* --- What they mean -------------------------------------------------------------------------- */

const struct cfi_row *frames_row(const struct frame_entry *entry, uintptr_t address) {
    const struct cfi_row *row = NULL;
    for (unsigned i = 0; i < entry->count && entry->rows[i].from <= address; i++)
        row = &entry->rows[i].row;
    return row;
}

static bool by_expression(const struct frames *frames, uintptr_t address, const uintptr_t *base,
                          const struct cfi_registers *registers, uintptr_t *value) {
    for (unsigned i = 0; i < frames->expression_count; i++)
        if (frames->expressions[i].address == address)
            return expression_value(&frames->expressions[i], base, registers, value);
    return false;
}

static bool by_rule(const struct frames *frames, const struct cfi_rule *rule, uintptr_t base,
                    const struct cfi_registers *registers, uintptr_t *value) {
    uintptr_t place = base + (uintptr_t)rule->operand, *pushed = base != 0 ? &base : NULL;
    uint64_t seen = 0;
    switch (rule->how) {
    case CFI_UNDEFINED: *value = 0; break;
    case CFI_AT_EXPRESSION:
        if (!by_expression(frames, (uintptr_t)rule->operand, pushed, registers, &place))
            return false;
        /* fall through */
    case CFI_AT_OFFSET:
        if (!given_value(place, WORD, &seen)) return false;
        *value = seen;
        break;
    case CFI_IS_OFFSET: *value = place; break;
    case CFI_IN_REGISTER: *value = registers->value[rule->operand]; break;
    case CFI_IS_EXPRESSION:
        return by_expression(frames, (uintptr_t)rule->operand, pushed, registers, value);
    default: break;
    }
    return true;
}

bool frames_apply(const struct frames *frames, const struct frame_entry *entry,
                  const struct cfi_row *row, struct cfi_registers *registers) {
    struct cfi_registers caller = *registers;
    uintptr_t base = registers->value[row->base_register] + (uintptr_t)row->base_offset;
    uint64_t number = entry->common->return_register;
    if (row->base_expression != 0 &&
        !by_expression(frames, row->base_expression, NULL, registers, &base))
        return false;
    if (number >= CFI_REGISTERS || row->rules[number].how == CFI_UNDEFINED) return false;
    caller.value[CFI_STACK_POINTER] = base;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (!by_rule(frames, &row->rules[i], base, registers, &caller.value[i])) return false;
    caller.pc = caller.value[number];
    caller.pc_is_exact = entry->common->is_signal_frame;
    *registers = caller;
    return true;
}
