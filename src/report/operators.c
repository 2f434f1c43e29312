/*
 * operators: whether a module may have operators new and delete of its own (see operators.h).
 *
 * The kernel's list of mappings leads to the modules: the dynamic loader's own list may be changing
 * just now, and what calls here may hold the loader's lock. The program may be right, and goes on
 * meanwhile: nothing is touched but files that have code mapped, and those through windows.
 */
#include "report/operators.h"

#include "os/os.h"
#include "report/symbol.h"

#define TEXT(text)                                                                                 \
    { text, sizeof text - 1 }
#define WHOLE(text)                                                                                \
    { text, sizeof text }
struct name {
    const char *text;
    size_t length;
};

static const struct name forms[] = {TEXT("_Znwm"), TEXT("_Znam"), TEXT("_ZdlPv"), TEXT("_ZdaPv")};
enum { FORMS = sizeof forms / sizeof *forms };
static const struct name plain_new = WHOLE("_Znwm");

static const struct name allocators[] = {WHOLE("malloc"), WHOLE("calloc"), WHOLE("realloc"),
                                         WHOLE("aligned_alloc"), WHOLE("posix_memalign")};
enum { ALLOCATORS = sizeof allocators / sizeof *allocators };

/* What an exception is made with: its type alone is also for who catches it. */
static const struct name thrown[] = {TEXT("_ZTVSt9bad_alloc"), TEXT("_ZNSt9bad_allocC")};
enum { THROWN = sizeof thrown / sizeof *thrown };

/* Of each family there are up to six forms, and there may be versions; what is more does not
   count. */
#define KEPT 12u

struct names {
    bool allocates, is_cxx, imports_any, imports_plain_new;
    bool throws;                   /* std::bad_alloc, by itself */
    uint32_t defined[FORMS][KEPT]; /* numbers of symbols */
    unsigned count[FORMS];
};

static bool begins(struct symbol_table *table, const Elf64_Sym *symbol, const struct name *names,
                   unsigned count) {
    bool any = false;
    for (unsigned i = 0; i < count && !any; i++)
        any = symbol_table_begins(table, symbol, names[i].text, names[i].length);
    return any;
}

static void note_import(struct names *names, struct symbol_table *table, const Elf64_Sym *symbol) {
    names->allocates |= begins(table, symbol, allocators, ALLOCATORS);
    names->imports_any |= begins(table, symbol, forms, FORMS);
    names->imports_plain_new |= begins(table, symbol, &plain_new, 1);
    names->throws |= begins(table, symbol, thrown, THROWN);
}

static void note_name(struct names *names, struct symbol_table *table, uint32_t index,
                      const Elf64_Sym *symbol) {
    names->is_cxx = names->is_cxx || symbol_table_begins(table, symbol, "_Z", 2);
    if (symbol->st_shndx == SHN_UNDEF) {
        note_import(names, table, symbol);
        return;
    }
    for (unsigned i = 0; i < FORMS; i++)
        if (begins(table, symbol, &forms[i], 1) && names->count[i] < KEPT)
            names->defined[i][names->count[i]++] = index;
}

/* Symbols, and what else lies in a row; their names. Only who reports comes here, one at a time. */
static struct peek_window window, names_window;

enum finding { HAS_NONE, HAS_SOME, MAY_HIDE_SOME };

static enum finding judge_defined(const struct names *names, const struct symbol_table *table) {
    for (unsigned i = 0; i < FORMS; i++)
        if (names->count[i] == 0 ||
            !symbol_table_relocates(table, names->defined[i], names->count[i]))
            return HAS_SOME;
    return HAS_NONE;
}

static enum finding judge(struct module_table *modules, const struct module *module) {
    struct names names = {.allocates = false};
    struct symbol_table table;
    if (!symbol_table_open(&table, &modules->peek, module)) return HAS_NONE;
    table.name_peek = peek_through(&names_window, window.memory);
    for (uint32_t i = 1; i < table.count; i++) {
        Elf64_Sym symbol;
        if (!symbol_table_read(&table, i, &symbol)) break;
        note_name(&names, &table, i, &symbol);
    }
    for (unsigned i = 0; i < FORMS; i++)
        if (names.count[i] != 0) return judge_defined(&names, &table);
    if (!names.allocates) return HAS_NONE;
    if (names.imports_any) return names.throws && !names.imports_plain_new ? HAS_SOME : HAS_NONE;
    return names.is_cxx ? HAS_SOME : MAY_HIDE_SOME;
}

/* The name of std::bad_alloc's type, which every operator new that throws it has at hand. No part
   of it begins it anew. */
static bool mentions_bad_alloc(struct peek *peek, uintptr_t start, uintptr_t end) {
    static const char text[] = "bad_alloc";
    char piece[256];
    size_t matched = 0;
    for (uintptr_t at = start; at < end; at += sizeof piece) {
        if (!peek_bytes(peek, at, piece, sizeof piece)) return false;
        for (size_t i = 0; i < sizeof piece; i++) {
            matched = piece[i] == text[matched] ? matched + 1 : piece[i] == text[0];
            if (matched == sizeof text - 1) return true;
        }
    }
    return false;
}

static bool is_code(const struct mapping *mapping) {
    return mapping->inode != 0 && mapping->permissions[2] == 'x';
}

/* Of the modules' code, by which their coming and going is known. */
static uint64_t fingerprint(struct proc_maps *mappings) {
    struct mapping mapping;
    uint64_t print = 0xcbf29ce484222325;
    while (proc_maps_next(mappings, &mapping)) {
        if (!is_code(&mapping)) continue;
        print = (print ^ mapping.start ^ mapping.inode << 16) * 0x9e3779b97f4a7c15;
        print ^= print >> 29;
    }
    return print | 1;
}

/* The first mapping of a file, and what is known of the module there. */
struct beginning {
    uintptr_t start; /* 0: it is none's */
    uint64_t device, inode;
    uintptr_t end; /* of what follows without a gap, can be read and not written; until judged */
    bool is_judged;
    enum finding finding;
};

static bool is_of(const struct beginning *first, const struct mapping *mapping) {
    return first->start != 0 && mapping->device == first->device && mapping->inode == first->inode;
}

static bool is_constant(const struct mapping *mapping) {
    return mapping->permissions[0] == 'r' && mapping->permissions[1] != 'w';
}

/* Code of a small module may lie in the page of the file that its header is in, mapped again. */
static void note_mapping(struct beginning *first, const struct mapping *mapping) {
    bool goes_on = mapping->start == first->end && is_of(first, mapping);
    if (mapping->offset == 0 && !(goes_on && is_code(mapping)))
        *first = (struct beginning){.start = mapping->permissions[0] == 'r' ? mapping->start : 0,
                                    .device = mapping->device,
                                    .inode = mapping->inode,
                                    .end = mapping->start};
    if (mapping->start == first->end && !first->is_judged && is_constant(mapping))
        first->end = mapping->end;
}

/* Where nothing but its address stands: moat's own module. */
static enum finding judge_code(struct module_table *modules, const struct beginning *first,
                               const struct mapping *code) {
    const uintptr_t own = (uintptr_t)&operators_elsewhere;
    struct module module;
    bool begins = module_begins_at(modules, first->start, &module) && code->start < module.end;
    if (!begins && code->offset == 0) begins = module_begins_at(modules, code->start, &module);
    if (!begins || (own >= module.start && own < module.end)) return HAS_NONE;
    enum finding finding = judge(modules, &module);
    if (finding != MAY_HIDE_SOME) return finding;
    return mentions_bad_alloc(&modules->peek, first->start, first->end) ? HAS_SOME : finding;
}

/* A file is looked at when the list comes to its code: with a file of data, and with a module that
   is mapped as data, a program may do anything. */
static bool search(struct module_table *modules) {
    struct beginning first = {.start = 0};
    struct mapping mapping;
    while (proc_maps_next(&modules->mappings, &mapping)) {
        if (mapping.inode == 0) continue;
        note_mapping(&first, &mapping);
        if (!is_of(&first, &mapping)) continue;
        if (is_code(&mapping) && !first.is_judged) {
            first.is_judged = true;
            first.finding = judge_code(modules, &first, &mapping);
        }
        if (first.finding == HAS_SOME) return true;
        if (first.finding == MAY_HIDE_SOME && mapping.start >= first.end && is_constant(&mapping) &&
            mentions_bad_alloc(&modules->peek, mapping.start, mapping.end))
            return true;
    }
    return false;
}

/* Whether there is one; `print`: of what was searched. */
static bool look(struct module_table *modules, uint64_t seen, uint64_t *print) {
    if (!proc_maps_open(&modules->mappings)) return true;
    *print = fingerprint(&modules->mappings);
    proc_maps_close(&modules->mappings);
    if (*print == seen) return false;
    int memory = peek_open_memory();
    if (memory < 0) return true;
    modules->peek = peek_through(&window, memory);
    bool any = !proc_maps_open(&modules->mappings);
    if (!any) {
        any = search(modules);
        proc_maps_close(&modules->mappings);
    }
    os_close(memory);
    return any;
}

bool operators_elsewhere(struct module_table *modules, uint64_t *seen) {
    uint64_t print = 0;
    module_table_reset(modules);
    bool any = look(modules, *seen, &print);
    module_table_reset(modules);
    if (!any) *seen = print;
    return any;
}
