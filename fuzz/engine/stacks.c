/*
 * stacks: stacks of calls and the walks that they must give. See the header.
 *
 * Each function's frame lies above those of the functions that it has called, so that no word is
 * written twice.
 */
#include "engine/stacks.h"

enum { WORD = 8, ABOVE = 512, CANDIDATES = 12 };
#define STACK (GIVEN_BASE + (uintptr_t)STACK_PAGE * GIVEN_PAGE)
#define STACK_END (STACK + (uintptr_t)STACK_PAGES * GIVEN_PAGE)

struct layout {
    const struct image *image;
    struct rng *random;
    bool has_table;
};

void stack_begin(struct rng *random) {
    struct writer writer = {STACK, STACK_END};
    while (writer.at < STACK_END) writer_put(&writer, rng_next(random), WORD);
    given_set_readable(STACK_PAGE, STACK_PAGES, true);
}

uintptr_t stack_draw_address(struct rng *random) {
    return STACK + rng_below(random, (unsigned)(STACK_END - STACK) / WORD) * WORD;
}

static void write_word(uintptr_t address, uint64_t value) {
    struct writer writer = {address, STACK_END};
    writer_put(&writer, value, WORD);
}

/* NULL: the code there has no table that can be found. */
static const struct frame_entry *entry_at(const struct layout *layout, uintptr_t address) {
    const struct image_function *function = image_function(layout->image, address);
    return layout->has_table && function != NULL && function->has_entry ? &function->entry : NULL;
}

/* Where the frame of the function that executes the instruction ends; 0: it cannot be left. */
static uintptr_t end_of_frame(const struct layout *layout, uintptr_t address,
                              const struct cfi_registers *registers) {
    const struct frame_entry *entry = entry_at(layout, address);
    uintptr_t stack = registers->value[CFI_STACK_POINTER], end = 0;
    uintptr_t pointer = registers->value[CFI_FRAME_POINTER];
    bool is_pointed_at = pointer >= stack && pointer < STACK_END && pointer % WORD == 0;
    if (entry == NULL) {
        end = is_pointed_at ? pointer + 2 * WORD : 0;
    } else if (entry->common->is_plain) {
        const struct cfi_row *row = frames_row(entry, address);
        if (row->base_register == CFI_STACK_POINTER || is_pointed_at)
            end = registers->value[row->base_register] + (uintptr_t)row->base_offset;
    }
    return end < STACK_END - ABOVE ? end : 0;
}

/* An instruction that can be left with these registers; 0: none was found. */
static uintptr_t draw_instruction(const struct layout *layout,
                                  const struct cfi_registers *registers) {
    for (unsigned i = 0; i < CANDIDATES; i++) {
        const struct image_function *function =
            &layout->image->functions[rng_below(layout->random, layout->image->count)];
        uintptr_t address =
            function->start + rng_below(layout->random, (unsigned)function->size + 8);
        if (address < IMAGE_END && end_of_frame(layout, address, registers) != 0) return address;
    }
    return 0;
}

/* Leaves the frame: the registers are those of the caller, whose instruction is drawn. False: there
   is none. */
static bool leave(const struct layout *layout, uintptr_t address, struct cfi_registers *registers) {
    const struct frame_entry *entry = entry_at(layout, address);
    uintptr_t end = end_of_frame(layout, address, registers);
    uintptr_t pointer = end + rng_below(layout->random, 16) * WORD;
    bool is_exact = entry != NULL && entry->common->is_signal_frame;
    struct cfi_registers caller = *registers;
    caller.value[CFI_STACK_POINTER] = end;
    if (entry == NULL) {
        write_word(end - 2 * WORD, pointer);
        caller.value[CFI_FRAME_POINTER] = pointer;
    } else {
        const struct cfi_row *row = frames_row(entry, address);
        const struct cfi_rule *rule = &row->rules[CFI_FRAME_POINTER];
        if (rule->how == CFI_AT_OFFSET) {
            write_word(end + (uintptr_t)rule->operand, pointer);
            caller.value[CFI_FRAME_POINTER] = pointer;
        }
    }
    uintptr_t next = rng_below(layout->random, 24) == 0 ? 0 : draw_instruction(layout, &caller);
    uintptr_t returns_to = next != 0 ? next + !is_exact : 0;
    write_word(end - WORD, returns_to);
    if (entry == NULL) {
        *registers = caller;
        registers->pc = returns_to;
        registers->pc_is_exact = false;
    } else if (!frames_apply(&layout->image->frames, entry, frames_row(entry, address),
                             registers)) {
        return false;
    }
    return next != 0;
}

void stack_draw(struct stack_plan *plan, const struct image *image, struct rng *random,
                bool has_table) {
    struct layout layout = {image, random, has_table};
    struct cfi_registers registers = {.pc_is_exact = rng_below(random, 2) == 0};
    for (unsigned i = 0; i < CFI_REGISTERS; i++) registers.value[i] = rng_next(random);
    registers.value[CFI_STACK_POINTER] = STACK + rng_below(random, 64) * WORD;
    registers.value[CFI_FRAME_POINTER] =
        registers.value[CFI_STACK_POINTER] + rng_below(random, 16) * WORD;
    uintptr_t address = draw_instruction(&layout, &registers);
    /* or one that nobody knows, from which nothing leads on */
    bool leads_on = address != 0;
    registers.pc = leads_on ? address + !registers.pc_is_exact : STACK;
    if (!leads_on) registers.value[CFI_FRAME_POINTER] = 1;
    plan->registers = registers;
    plan->count = 0;
    while (leads_on && plan->count < BACKTRACE_DEPTH && leave(&layout, address, &registers)) {
        address = registers.pc - !registers.pc_is_exact;
        plan->frames[plan->count++] = address;
    }
}
