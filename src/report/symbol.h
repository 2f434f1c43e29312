/*
 * symbol: the name of the function that an address lies in.
 *
 * Read from the table of dynamic symbols, which is mapped with every program and library that has
 * one: no file is opened. So a function has a name if its module exports it; a static one has none,
 * rather than that of a neighbour. All input is treated as damaged: reads go through peek, and
 * every loop has a bound. Async-signal-safe, allocates nothing, takes no lock. Format: System V
 * ABI, "Dynamic Section", and the GNU hash table as linkers write it.
 */
#ifndef MOAT_SYMBOL_H
#define MOAT_SYMBOL_H

#include "report/module.h"

/* Most names are shorter; those of C++ may have hundreds of characters, and are cut. */
#define SYMBOL_NAME 128
/* Symbols of a module that are looked at: the largest libraries have a third of that. */
#define SYMBOLS_MAX 262144u

struct symbol {
    uintptr_t start; /* of the function's code */
    size_t name_length;
    bool name_is_cut; /* the beginning of it is kept */
    char name[SYMBOL_NAME];
};

/* False: the module does not tell. */
bool symbol_find(struct peek *peek, const struct module *module, uintptr_t address,
                 struct symbol *symbol);

#endif
