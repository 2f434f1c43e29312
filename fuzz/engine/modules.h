/*
 * modules: what a report reads of a damaged process, from memory that the harness gives it.
 *
 * Each operation of an input is a question to the readers of src/report/ and os/proc_maps.h, or
 * damage to what they read. As long as nothing is damaged, what they say must be what is true of
 * engine/image.h's library, its unwind tables and the walks that its stack was laid out for;
 * afterwards they must stay within what they were given, end, and say nothing that cannot be. One
 * thread at a time.
 */
#ifndef ENGINE_MODULES_H
#define ENGINE_MODULES_H

#include "engine/input.h"
#include "report/backtrace.h"

/* What is judged: moat's, or with a planted bug. */
struct modules_subject {
    const struct module *(*module_find)(struct module_table *table, uintptr_t address);
    bool (*symbol_find)(struct peek *peek, const struct module *module, uintptr_t address,
                        struct symbol *symbol);
    bool (*cfi_find)(struct peek *peek, const struct module *module, uintptr_t address,
                     struct cfi_entry *entry);
    bool (*cfi_run)(struct cfi_workspace *workspace, struct cfi_entry *entry, uintptr_t address);
    bool (*cfi_apply)(struct peek *peek, const struct cfi_workspace *workspace,
                      const struct cfi_entry *entry, struct cfi_registers *registers);
    bool (*cfi_expression)(struct peek *peek, uintptr_t address, uintptr_t base,
                           const struct cfi_registers *registers, uintptr_t *value);
    void (*backtrace_walk)(struct backtrace_workspace *workspace, struct cfi_registers *registers,
                           struct backtrace *backtrace, struct backtrace_memo *memos);
    bool (*proc_maps_next)(struct proc_maps *maps, struct mapping *mapping);
};
extern const struct modules_subject modules_moat;

/* Returns a hash of all that was seen. Ends the process by abort(), with a message, where a reader
   does not do what is said above; a read past what it was given faults. */
uint64_t modules_run(const struct modules_subject *subject, const struct input *input);

#endif
