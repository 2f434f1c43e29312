/*
 * cfi: finding and running call frame information (see cfi.h).
 *
 * An entry (FDE) belongs to a function and names a common one (CIE). Linkers add a sorted index of
 * the entries, which is searched by halving; a static program may have none, and then the entries
 * are read one after the other.
 */
#include "report/cfi.h"

/* --- Entries --------------------------------------------------------------------------------- */

/* The reader covers one record after this, and `start` is where its next field lies. False at the
   end of the list. */
static bool open_record(struct dwarf_reader *reader) {
    uint64_t length = dwarf_unsigned(reader, 4);
    if (length == 0xffffffff) length = dwarf_unsigned(reader, 8);
    if (reader->failed || length == 0 || length > reader->end - reader->at) return false;
    reader->end = reader->at + length;
    return true;
}

/* The letters of a common entry's augmentation string, each with its data. */
static void read_augmentation(struct dwarf_reader *reader, const char *letters,
                              struct cfi_entry *entry) {
    uint64_t size = dwarf_uleb(reader);
    uintptr_t data_end = reader->at + size;
    for (const char *letter = letters + 1; *letter != '\0' && !reader->failed; letter++) {
        if (*letter == 'R') {
            entry->pointer_encoding = (uint8_t)dwarf_unsigned(reader, 1);
        } else if (*letter == 'P') {
            uint8_t encoding = (uint8_t)dwarf_unsigned(reader, 1);
            /* Only its length matters here: the address is not used. */
            dwarf_pointer(reader, encoding & DWARF_PTR_FORMAT, 0);
        } else if (*letter == 'L') {
            dwarf_skip(reader, 1);
        } else if (*letter == 'S') {
            entry->is_signal_frame = true;
        } else if (*letter != 'B') {
            /* unknown: the size says where its data ends, and the letters before it have been
               read */
            break;
        }
    }
    if (data_end < reader->at || data_end > reader->end) reader->failed = true;
    reader->at = data_end;
}

static bool read_common(struct dwarf_reader reader, struct cfi_entry *entry) {
    char letters[8];
    unsigned count = 0;
    if (!open_record(&reader) || dwarf_unsigned(&reader, 4) != 0) return false;
    uint64_t version = dwarf_unsigned(&reader, 1);
    do letters[count] = (char)dwarf_unsigned(&reader, 1);
    while (letters[count] != '\0' && ++count < sizeof letters);
    if (reader.failed || count == sizeof letters || (version != 1 && version != 3)) return false;
    entry->code_factor = dwarf_uleb(&reader);
    entry->data_factor = dwarf_sleb(&reader);
    entry->return_register = version == 1 ? dwarf_unsigned(&reader, 1) : dwarf_uleb(&reader);
    entry->pointer_encoding = 0;
    entry->is_signal_frame = false;
    entry->has_augmentation = letters[0] == 'z';
    if (entry->has_augmentation) read_augmentation(&reader, letters, entry);
    entry->common = reader;
    return !reader.failed && (entry->has_augmentation || letters[0] == '\0');
}

/* The entry at `reader`; `floor` is the lowest address its common entry may have. */
static bool read_entry(struct dwarf_reader reader, uintptr_t floor, struct cfi_entry *entry) {
    if (!open_record(&reader)) return false;
    uintptr_t here = reader.at;
    uint64_t back = dwarf_unsigned(&reader, 4);
    /* 0: this is a common entry */
    if (reader.failed || back == 0 || back > here - floor) return false;
    if (!read_common(dwarf_reader_at(reader.peek, here - back, reader.end), entry)) return false;
    entry->start = dwarf_pointer(&reader, entry->pointer_encoding, 0);
    entry->size = dwarf_pointer(&reader, entry->pointer_encoding & DWARF_PTR_FORMAT, 0);
    if (entry->has_augmentation) dwarf_skip(&reader, dwarf_uleb(&reader));
    entry->special = reader;
    return !reader.failed;
}

static bool find_one_by_one(struct peek *peek, uintptr_t start, uintptr_t end, uintptr_t address,
                            struct cfi_entry *entry) {
    while (start < end) {
        struct dwarf_reader record = dwarf_reader_at(peek, start, end);
        if (!open_record(&record)) return false;
        if (read_entry(dwarf_reader_at(peek, start, end), 0, entry) &&
            address - entry->start < entry->size)
            return true;
        start = record.end;
    }
    return false;
}

/* A table of pairs {start of the code, entry}, 32-bit offsets from the index, sorted. */
static uintptr_t find_in_index(struct peek *peek, uintptr_t index, uintptr_t table, uint64_t count,
                               uintptr_t address) {
    uint64_t low = 0;
    uint64_t high = count;
    int32_t pair[2];
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (!peek_bytes(peek, table + middle * sizeof pair, pair, sizeof pair)) return 0;
        if (index + (uintptr_t)(intptr_t)pair[0] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !peek_bytes(peek, table + (low - 1) * sizeof pair, pair, sizeof pair)) return 0;
    return index + (uintptr_t)(intptr_t)pair[1];
}

bool cfi_find(struct peek *peek, const struct module *module, uintptr_t address,
              struct cfi_entry *entry) {
    enum { SORTED_PAIRS = 0x3b }; /* data-relative, four bytes, signed: what linkers write */
    uintptr_t index = module->eh_frame_hdr;
    if (index == 0)
        return module->eh_frame != 0 &&
               find_one_by_one(peek, module->eh_frame, module->eh_frame + module->eh_frame_size,
                               address, entry);
    struct dwarf_reader reader = dwarf_reader_at(peek, index, module->end);
    uint64_t version = dwarf_unsigned(&reader, 1);
    uint8_t frames_encoding = (uint8_t)dwarf_unsigned(&reader, 1);
    uint8_t count_encoding = (uint8_t)dwarf_unsigned(&reader, 1);
    uint8_t table_encoding = (uint8_t)dwarf_unsigned(&reader, 1);
    uintptr_t frames = dwarf_pointer(&reader, frames_encoding, index);
    if (reader.failed || version != 1) return false;
    if (table_encoding != SORTED_PAIRS || count_encoding == DWARF_PTR_OMIT)
        return find_one_by_one(peek, frames, module->end, address, entry);
    uint64_t count = dwarf_pointer(&reader, count_encoding, index);
    if (reader.failed || count > (module->end - reader.at) / 8) return false;
    uintptr_t found = find_in_index(peek, index, reader.at, count, address);
    return found >= module->start && found < module->end &&
           read_entry(dwarf_reader_at(peek, found, module->end), module->start, entry) &&
           address - entry->start < entry->size;
}

/* --- Programs -------------------------------------------------------------------------------- */

enum instruction {
    CFA_NOP = 0x00,
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE_LOC1 = 0x02,
    CFA_ADVANCE_LOC2 = 0x03,
    CFA_ADVANCE_LOC4 = 0x04,
    CFA_OFFSET_EXTENDED = 0x05,
    CFA_RESTORE_EXTENDED = 0x06,
    CFA_UNDEFINED = 0x07,
    CFA_SAME_VALUE = 0x08,
    CFA_REGISTER = 0x09,
    CFA_REMEMBER_STATE = 0x0a,
    CFA_RESTORE_STATE = 0x0b,
    CFA_DEF_CFA = 0x0c,
    CFA_DEF_CFA_REGISTER = 0x0d,
    CFA_DEF_CFA_OFFSET = 0x0e,
    CFA_DEF_CFA_EXPRESSION = 0x0f,
    CFA_EXPRESSION = 0x10,
    CFA_OFFSET_EXTENDED_SF = 0x11,
    CFA_DEF_CFA_SF = 0x12,
    CFA_DEF_CFA_OFFSET_SF = 0x13,
    CFA_VAL_OFFSET = 0x14,
    CFA_VAL_OFFSET_SF = 0x15,
    CFA_VAL_EXPRESSION = 0x16,
    /* the return address is signed: its signature is taken off in any case */
    CFA_AARCH64_NEGATE_RA_STATE = 0x2d,
    CFA_GNU_ARGS_SIZE = 0x2e,
    /* The operand is in the low six bits of these. */
    CFA_ADVANCE_LOC = 0x40,
    CFA_OFFSET = 0x80,
    CFA_RESTORE = 0xc0
};

struct run {
    struct cfi_workspace *workspace;
    const struct cfi_entry *entry;
    struct dwarf_reader reader;
    uintptr_t location; /* the row in the workspace holds from here on */
    unsigned remembered;
};

/* Registers that are not followed (vectors, flags) may be saved too: their rules are read and
   dropped. */
static void set_rule(struct run *run, uint64_t number, enum cfi_how how, int64_t operand) {
    if (number < CFI_REGISTERS) run->workspace->row.rules[number] = (struct cfi_rule){how, operand};
}

static void restore_rule(struct run *run, uint64_t number) {
    if (number < CFI_REGISTERS)
        run->workspace->row.rules[number] = run->workspace->initial.rules[number];
}

static int64_t factored(const struct run *run, uint64_t count) {
    return (int64_t)(count * (uint64_t)run->entry->data_factor);
}

static uintptr_t skip_expression(struct run *run) {
    uintptr_t expression = run->reader.at;
    dwarf_skip(&run->reader, dwarf_uleb(&run->reader));
    return expression;
}

static void set_base(struct run *run, uint64_t number, int64_t offset) {
    struct cfi_row *row = &run->workspace->row;
    if (number >= CFI_REGISTERS) run->reader.failed = true;
    row->base_register = number;
    row->base_offset = offset;
    row->base_expression = 0;
}

/* Instructions about the frame's base; false if it is none of them. */
static bool run_base(struct run *run, unsigned instruction) {
    struct dwarf_reader *reader = &run->reader;
    struct cfi_row *row = &run->workspace->row;
    uint64_t number = row->base_register;
    switch (instruction) {
    case CFA_DEF_CFA:
        number = dwarf_uleb(reader);
        set_base(run, number, (int64_t)dwarf_uleb(reader));
        return true;
    case CFA_DEF_CFA_SF:
        number = dwarf_uleb(reader);
        set_base(run, number, factored(run, (uint64_t)dwarf_sleb(reader)));
        return true;
    case CFA_DEF_CFA_REGISTER: set_base(run, dwarf_uleb(reader), row->base_offset); return true;
    case CFA_DEF_CFA_OFFSET: set_base(run, number, (int64_t)dwarf_uleb(reader)); return true;
    case CFA_DEF_CFA_OFFSET_SF:
        set_base(run, number, factored(run, (uint64_t)dwarf_sleb(reader)));
        return true;
    case CFA_DEF_CFA_EXPRESSION: row->base_expression = skip_expression(run); return true;
    default: return false;
    }
}

/* Instructions about one register: a number, then what its rule needs. False if it is none of
   them. */
static bool run_register(struct run *run, unsigned instruction) {
    struct dwarf_reader *reader = &run->reader;
    bool is_one = (instruction >= CFA_OFFSET_EXTENDED && instruction <= CFA_REGISTER) ||
                  instruction == CFA_EXPRESSION || instruction == CFA_OFFSET_EXTENDED_SF ||
                  (instruction >= CFA_VAL_OFFSET && instruction <= CFA_VAL_EXPRESSION);
    if (!is_one) return false;
    uint64_t number = dwarf_uleb(reader);
    switch (instruction) {
    case CFA_OFFSET_EXTENDED:
        set_rule(run, number, CFI_AT_OFFSET, factored(run, dwarf_uleb(reader)));
        break;
    case CFA_OFFSET_EXTENDED_SF:
        set_rule(run, number, CFI_AT_OFFSET, factored(run, (uint64_t)dwarf_sleb(reader)));
        break;
    case CFA_VAL_OFFSET:
        set_rule(run, number, CFI_IS_OFFSET, factored(run, dwarf_uleb(reader)));
        break;
    case CFA_VAL_OFFSET_SF:
        set_rule(run, number, CFI_IS_OFFSET, factored(run, (uint64_t)dwarf_sleb(reader)));
        break;
    case CFA_REGISTER: set_rule(run, number, CFI_IN_REGISTER, (int64_t)dwarf_uleb(reader)); break;
    case CFA_EXPRESSION:
        set_rule(run, number, CFI_AT_EXPRESSION, (int64_t)skip_expression(run));
        break;
    case CFA_VAL_EXPRESSION:
        set_rule(run, number, CFI_IS_EXPRESSION, (int64_t)skip_expression(run));
        break;
    case CFA_UNDEFINED: set_rule(run, number, CFI_UNDEFINED, 0); break;
    case CFA_SAME_VALUE: set_rule(run, number, CFI_SAME, 0); break;
    default: restore_rule(run, number); break;
    }
    return true;
}

static void run_other(struct run *run, unsigned instruction) {
    struct dwarf_reader *reader = &run->reader;
    struct cfi_workspace *workspace = run->workspace;
    switch (instruction) {
    case CFA_NOP:
    case CFA_AARCH64_NEGATE_RA_STATE: break;
    case CFA_GNU_ARGS_SIZE: dwarf_uleb(reader); break;
    case CFA_SET_LOC: run->location = dwarf_pointer(reader, run->entry->pointer_encoding, 0); break;
    case CFA_ADVANCE_LOC1:
        run->location += dwarf_unsigned(reader, 1) * run->entry->code_factor;
        break;
    case CFA_ADVANCE_LOC2:
        run->location += dwarf_unsigned(reader, 2) * run->entry->code_factor;
        break;
    case CFA_ADVANCE_LOC4:
        run->location += dwarf_unsigned(reader, 4) * run->entry->code_factor;
        break;
    case CFA_REMEMBER_STATE:
        if (run->remembered == CFI_REMEMBERED)
            reader->failed = true;
        else
            workspace->remembered[run->remembered++] = workspace->row;
        break;
    case CFA_RESTORE_STATE:
        if (run->remembered == 0)
            reader->failed = true;
        else
            workspace->row = workspace->remembered[--run->remembered];
        break;
    default: reader->failed = true;
    }
}

/* Runs the instructions up to the address; the row that holds there is left in the workspace. */
static bool run_until(struct run *run, uintptr_t address) {
    struct dwarf_reader *reader = &run->reader;
    while (!reader->failed && reader->at < reader->end && run->location <= address) {
        unsigned instruction = (unsigned)dwarf_unsigned(reader, 1);
        unsigned operand = instruction & 0x3f;
        unsigned kind = instruction & 0xc0;
        struct cfi_row *row = &run->workspace->row;
        if (kind == CFA_ADVANCE_LOC) {
            run->location += operand * run->entry->code_factor;
        } else if (kind == CFA_OFFSET) {
            set_rule(run, operand, CFI_AT_OFFSET, factored(run, dwarf_uleb(reader)));
        } else if (kind == CFA_RESTORE) {
            if (operand < CFI_REGISTERS)
                row->rules[operand] = run->workspace->initial.rules[operand];
        } else if (!run_base(run, instruction) && !run_register(run, instruction)) {
            run_other(run, instruction);
        }
    }
    return !reader->failed;
}

bool cfi_run(struct cfi_workspace *workspace, struct cfi_entry *entry, uintptr_t address) {
    workspace->row = (struct cfi_row){.base_register = 0};
    workspace->initial = workspace->row;
    struct run run = {.workspace = workspace,
                      .entry = entry,
                      .reader = entry->common,
                      .location = entry->start,
                      .remembered = 0};
    if (!run_until(&run, UINTPTR_MAX)) return false;
    workspace->initial = workspace->row;
    run.reader = entry->special;
    run.location = entry->start;
    return run_until(&run, address);
}

/* --- Registers ------------------------------------------------------------------------------- */

static bool value_by_rule(struct peek *peek, const struct cfi_rule *rule, uintptr_t base,
                          const struct cfi_registers *registers, uintptr_t *value) {
    uintptr_t place = 0;
    switch (rule->how) {
    case CFI_SAME: return true;
    case CFI_UNDEFINED: *value = 0; return true;
    case CFI_AT_OFFSET: return peek_word(peek, base + (uintptr_t)rule->operand, value);
    case CFI_IS_OFFSET: *value = base + (uintptr_t)rule->operand; return true;
    case CFI_IN_REGISTER:
        if ((uint64_t)rule->operand >= CFI_REGISTERS) return false;
        *value = registers->value[rule->operand];
        return true;
    case CFI_AT_EXPRESSION:
        return cfi_expression(peek, (uintptr_t)rule->operand, base, registers, &place) &&
               peek_word(peek, place, value);
    case CFI_IS_EXPRESSION:
        return cfi_expression(peek, (uintptr_t)rule->operand, base, registers, value);
    default: return false;
    }
}

bool cfi_apply(struct peek *peek, const struct cfi_workspace *workspace,
               const struct cfi_entry *entry, struct cfi_registers *registers) {
    const struct cfi_row *row = &workspace->row;
    struct cfi_registers caller = *registers;
    uintptr_t base = 0;
    if (row->base_expression != 0) {
        if (!cfi_expression(peek, row->base_expression, 0, registers, &base)) return false;
    } else {
        base = registers->value[row->base_register] + (uintptr_t)row->base_offset;
    }
    if (entry->return_register >= CFI_REGISTERS) return false;
    /* the outermost frame says so */
    if (row->rules[entry->return_register].how == CFI_UNDEFINED) return false;
    /* unless a rule says otherwise, as a signal frame's does */
    caller.value[CFI_STACK_POINTER] = base;
    for (unsigned i = 0; i < CFI_REGISTERS; i++)
        if (!value_by_rule(peek, &row->rules[i], base, registers, &caller.value[i])) return false;
    caller.pc = registers_code_address(caller.value[entry->return_register]);
    caller.pc_is_exact = entry->is_signal_frame;
    *registers = caller;
    return true;
}
