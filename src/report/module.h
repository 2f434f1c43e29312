/*
 * module: the programs and libraries of this process, found from an address in their code.
 *
 * A module is known by its mapped ELF header: from it come the load bias, the build id and the
 * unwind tables. Found through the kernel's list of mappings; where there is none (a sandbox
 * without /proc), by looking for the header page by page below the address, and then the path is
 * unknown. What has been found is kept in a small table, oldest replaced first. Async-signal-safe,
 * allocates nothing, takes no lock (the dynamic linker's list is not touched: another thread may be
 * changing it).
 */
#ifndef MOAT_MODULE_H
#define MOAT_MODULE_H

#include "base/format.h"
#include "os/proc_maps.h"
#include "os/peek.h"

#define MODULE_TABLE 16
/* Searches in vain among headers, until the table is reset. */
#define MODULE_IN_VAIN 8
#define MODULE_PATH 256
#define BUILD_ID_MAX 32

struct module {
    uintptr_t start, end; /* from the ELF header to the end of the last segment */
    /* address - bias is what addr2line and a disassembly of the file call it */
    uintptr_t bias;
    uintptr_t dynamic;      /* address of the dynamic section; 0: none */
    size_t dynamic_size;    /* bytes */
    uintptr_t eh_frame_hdr; /* address of the sorted table of unwind entries; 0: none */
    /* without one: address and size of the entries themselves; 0: none */
    uintptr_t eh_frame;
    size_t eh_frame_size; /* bytes */
    size_t build_id_size; /* bytes; 0: none */
    uint8_t build_id[BUILD_ID_MAX];
    size_t path_length;     /* 0: unknown */
    bool path_is_cut;       /* the file has a longer name than fits: the end of it is kept */
    char path[MODULE_PATH]; /* no terminating zero when path_is_cut */
};

struct module_table {
    struct peek peek;
    unsigned count; /* modules found so far; the latest MODULE_TABLE of them are kept */
    struct module modules[MODULE_TABLE];
    struct proc_maps mappings; /* while one list is read */
    /* No file is opened: modules are found by their headers alone, a few MiB below the code. */
    bool by_headers;
    unsigned in_vain_count;
    /* Where none was found so, multiples of SEARCHED_AT_ONCE: not searched again. When the list is
       full nothing is: a program may have generated code in any number of places. */
    uintptr_t in_vain[MODULE_IN_VAIN];
};

/* Before the first use. */
void module_table_reset(struct module_table *table);
/* The module that has code at the address, or NULL. Valid until the next call. */
const struct module *module_find(struct module_table *table, uintptr_t address);
/* Whether a module's ELF header is there; fills all of `module` but the path, and the tables that
   only a file has. */
bool module_begins_at(struct module_table *table, uintptr_t start, struct module *module);
/* Appends what is mapped at the address: a file's path, "[stack]", "memory that no file backs",
   "nothing". */
void module_describe_address(struct module_table *table, uintptr_t address, struct format *format);

#endif
