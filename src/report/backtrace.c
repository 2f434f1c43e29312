/*
 * backtrace: the calls that led here (see backtrace.h).
 *
 * The registers of this function are taken first; its own unwind table then leads to its caller,
 * and so on. Machines whose registers are not known here get an empty backtrace.
 */
#include "report/backtrace.h"

#include "os/os.h"

/* An address inside the instruction that is being executed. */
static uintptr_t inside_instruction(const struct cfi_registers *registers) {
    return registers->pc - (registers->pc_is_exact ? 0 : 1);
}

/* A caller by the frame pointer: the word it points at is the caller's, the next one the return
   address. Believed only if the stack grows the right way and the return address is in known
   code. */
static bool step_by_frame_pointer(struct backtrace_workspace *workspace,
                                  struct cfi_registers *registers) {
    struct peek *peek = &workspace->modules.peek;
    uintptr_t frame = registers->value[CFI_FRAME_POINTER];
    uintptr_t next = 0;
    uintptr_t pc = 0;
    if (frame % sizeof next != 0 || frame < registers->value[CFI_STACK_POINTER]) return false;
    if (!peek_word(peek, frame, &next) || !peek_word(peek, frame + sizeof next, &pc)) return false;
    if (pc == 0 || module_find(&workspace->modules, pc - 1) == NULL) return false;
    registers->value[CFI_FRAME_POINTER] = next;
    registers->value[CFI_STACK_POINTER] = frame + 2 * sizeof next;
    registers->pc = pc;
    registers->pc_is_exact = false;
    return true;
}

/* Leaves the row for the address in the workspace, and of the entry what cfi_apply() wants. */
static bool find_row(struct backtrace_workspace *workspace, uintptr_t address,
                     struct backtrace_memo *memo) {
    struct cfi_entry *entry = &workspace->entry;
    if (memo != NULL && memo->address == address) {
        workspace->cfi.row = memo->row;
        entry->return_register = memo->return_register;
        entry->is_signal_frame = memo->is_signal_frame;
        return true;
    }
    const struct module *module = module_find(&workspace->modules, address);
    if (module == NULL || !cfi_find(&workspace->modules.peek, module, address, entry)) return false;
    if (!cfi_run(&workspace->cfi, entry, address)) return false;
    if (memo != NULL)
        *memo = (struct backtrace_memo){address, workspace->cfi.row, entry->return_register,
                                        entry->is_signal_frame};
    return true;
}

static bool step(struct backtrace_workspace *workspace, struct cfi_registers *registers,
                 struct backtrace_memo *memos) {
    uintptr_t address = inside_instruction(registers);
    struct backtrace_memo *memo =
        memos != NULL ? &memos[(address ^ address >> 6) % BACKTRACE_MEMOS] : NULL;
    if (!find_row(workspace, address, memo)) return step_by_frame_pointer(workspace, registers);
    return cfi_apply(&workspace->modules.peek, &workspace->cfi, &workspace->entry, registers);
}

void backtrace_walk(struct backtrace_workspace *workspace, struct cfi_registers *registers,
                    struct backtrace *backtrace, struct backtrace_memo *memos) {
    while (backtrace->count < BACKTRACE_DEPTH && step(workspace, registers, memos) &&
           registers->pc != 0)
        backtrace->frames[backtrace->count++] = inside_instruction(registers);
}

MOAT_NOINLINE void backtrace_capture(struct backtrace_workspace *workspace,
                                     struct backtrace *backtrace) {
    struct cfi_registers registers = {.pc_is_exact = true};
    backtrace->count = 0;
    module_table_reset(&workspace->modules);
    if (registers_take(&registers)) backtrace_walk(workspace, &registers, backtrace, NULL);
}

void backtrace_drop_until(struct backtrace *backtrace, uintptr_t return_address) {
    unsigned first = 0;
    while (first < backtrace->count && backtrace->frames[first] != return_address - 1) first++;
    if (first == backtrace->count) return;
    backtrace->count -= first;
    for (unsigned i = 0; i < backtrace->count; i++)
        backtrace->frames[i] = backtrace->frames[first + i];
}

/* "(FUNCTION+0xN)", if it is known. */
static void format_function(struct format *format, struct backtrace_workspace *workspace,
                            const struct module *module, uintptr_t address) {
    struct symbol *symbol = &workspace->symbol;
    if (!symbol_find(&workspace->modules.peek, module, address, symbol)) return;
    format_string(format, "(");
    format_foreign(format, symbol->name, symbol->name_length);
    if (symbol->name_is_cut) format_string(format, "...");
    format_string(format, "+");
    format_hex(format, address - symbol->start);
    format_string(format, ")");
}

static void format_frame(struct format *format, struct backtrace_workspace *workspace,
                         uintptr_t address) {
    const struct module *module = module_find(&workspace->modules, address);
    if (module == NULL) {
        format_string(format, "[unknown]+");
        format_hex(format, address);
        return;
    }
    if (module->path_is_cut) format_string(format, "...");
    if (module->path_length != 0)
        format_foreign(format, module->path, module->path_length);
    else
        format_string(format, "[unknown]");
    format_function(format, workspace, module, address);
    format_string(format, "+");
    format_hex(format, address - module->bias);
    if (module->build_id_size != 0) {
        format_string(format, " build-id ");
        format_hex_bytes(format, module->build_id, module->build_id_size);
    }
}

void backtrace_write(struct backtrace_workspace *workspace, const struct backtrace *backtrace,
                     int fd) {
    for (unsigned i = 0; i < backtrace->count; i++) {
        struct format line = format_in(workspace->line, sizeof workspace->line);
        format_string(&line, "moat:   #");
        format_decimal(&line, i);
        format_string(&line, " ");
        format_frame(&line, workspace, backtrace->frames[i]);
        format_end_line(&line);
        if (!os_write(fd, workspace->line, line.length)) return;
    }
}
