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

#include <elf.h>

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

/* A module's dynamic symbols, by number. */
struct symbol_table {
    struct peek *peek;
    struct peek name_peek; /* symbols and names are read in turn */
    const struct module *module;
    uintptr_t symbols, names, hash, gnu_hash; /* addresses; 0: there is none */
    size_t names_size;                        /* bytes */
    /* what the loader has put right: calls, and all else */
    uintptr_t calls, relocations;        /* addresses; 0: there are none */
    size_t calls_size, relocations_size; /* bytes */
    uint32_t count;                      /* of symbols; number 0 is none */
};

/* False: the module has none that can be read. */
bool symbol_table_open(struct symbol_table *table, struct peek *peek, const struct module *module);
bool symbol_table_read(const struct symbol_table *table, uint32_t index, Elf64_Sym *symbol);
/* Whether its name begins with so many characters of the text; counting its zero: whether it is
   that. */
bool symbol_table_begins(struct symbol_table *table, const Elf64_Sym *symbol, const char *text,
                         size_t length);
/* Whether the module reaches one of these symbols as another module would: the loader decides whose
   it is. */
bool symbol_table_relocates(const struct symbol_table *table, const uint32_t *indices,
                            unsigned count);

#endif
