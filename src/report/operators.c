/*
 * operators: whether a module may have operators new and delete of its own (see operators.h).
 *
 * The kernel's list of mappings leads to the modules: the dynamic loader's own list may be changing
 * just now, and what calls here may hold the loader's lock.
 */
#include "report/operators.h"

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
    for (uint32_t i = 1; i < table.count; i++) {
        Elf64_Sym symbol;
        if (!symbol_table_read(&table, i, &symbol)) break;
        note_name(&names, &table, i, &symbol);
    }
    if (!names.allocates) return HAS_NONE;
    for (unsigned i = 0; i < FORMS; i++)
        if (names.count[i] != 0) return judge_defined(&names, &table);
    if (names.imports_any) return names.throws && !names.imports_plain_new ? HAS_SOME : HAS_NONE;
    return names.is_cxx ? HAS_SOME : MAY_HIDE_SOME;
}

/* The name of std::bad_alloc's type, which every operator new that throws it has at hand. No part
   of it begins it anew. */
static bool mentions_bad_alloc(struct peek *peek, const struct mapping *mapping) {
    static const char text[] = "bad_alloc";
    char piece[256];
    size_t matched = 0;
    for (uintptr_t at = mapping->start; at < mapping->end; at += sizeof piece) {
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

/* Where nothing but its address stands: moat's own module. */
static bool search(struct module_table *modules) {
    const uintptr_t own = (uintptr_t)&operators_elsewhere;
    struct module module = {.start = 0, .end = 0};
    enum finding finding = HAS_NONE;
    struct mapping mapping;
    while (proc_maps_next(&modules->mappings, &mapping)) {
        if (mapping.inode == 0 || mapping.permissions[0] != 'r') continue;
        if (mapping.offset == 0 && mapping.start >= module.end &&
            module_begins_at(modules, mapping.start, &module)) {
            bool is_own = own >= module.start && own < module.end;
            finding = is_own ? HAS_NONE : judge(modules, &module);
            if (finding == HAS_SOME) return true;
        }
        if (finding == MAY_HIDE_SOME && mapping.start < module.end &&
            mapping.permissions[1] != 'w' && mentions_bad_alloc(&modules->peek, &mapping))
            return true;
    }
    return false;
}

bool operators_elsewhere(struct module_table *modules, uint64_t *seen) {
    module_table_reset(modules);
    if (!proc_maps_open(&modules->mappings)) return true;
    uint64_t print = fingerprint(&modules->mappings);
    proc_maps_close(&modules->mappings);
    if (print == *seen) return false;
    if (!proc_maps_open(&modules->mappings)) return true;
    bool any = search(modules);
    proc_maps_close(&modules->mappings);
    if (!any) *seen = print;
    return any;
}
