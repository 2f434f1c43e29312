/*
 * symbol: the name of the function that an address lies in (see symbol.h).
 *
 * The dynamic section says where symbols and their names are, and a hash table how many there are.
 * Then all symbols are looked at: the tables are sorted by nothing that helps here.
 */
#include "report/symbol.h"

#define DYNAMIC_MAX 256u
/* Of a GNU hash table; one for every few symbols. */
#define BUCKETS_MAX SYMBOLS_MAX

/* Nothing is read outside the module, whatever its tables say: there may be a device's memory. */
static bool read_at(const struct symbol_table *table, uintptr_t address, void *out, size_t size) {
    const struct module *module = table->module;
    return address >= module->start && address < module->end && size <= module->end - address &&
           peek_bytes(table->peek, address, out, size);
}

/* The dynamic linker has put most addresses right by now; in the kernel's image, and where the
   section is read-only, they are still those of the file. */
static uintptr_t place_of(const struct module *module, uintptr_t address) {
    uintptr_t moved = module->bias + address;
    if (address >= module->start && address < module->end) return address;
    return moved >= module->start && moved < module->end ? moved : 0;
}

static bool read_dynamic(struct symbol_table *table) {
    const struct module *module = table->module;
    for (unsigned i = 0; i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;
        if ((i + 1) * sizeof entry > module->dynamic_size ||
            !read_at(table, module->dynamic + i * sizeof entry, &entry, sizeof entry) ||
            entry.d_tag == DT_NULL)
            break;
        uintptr_t place = place_of(module, entry.d_un.d_ptr);
        if (entry.d_tag == DT_SYMTAB) table->symbols = place;
        if (entry.d_tag == DT_STRTAB) table->names = place;
        if (entry.d_tag == DT_HASH) table->hash = place;
        if (entry.d_tag == DT_GNU_HASH) table->gnu_hash = place;
        if (entry.d_tag == DT_STRSZ) table->names_size = entry.d_un.d_val;
        if (entry.d_tag == DT_RELA) table->relocations = place;
        if (entry.d_tag == DT_RELASZ) table->relocations_size = entry.d_un.d_val;
        if (entry.d_tag == DT_JMPREL) table->calls = place;
        if (entry.d_tag == DT_PLTRELSZ) table->calls_size = entry.d_un.d_val;
    }
    return table->symbols != 0 && table->names != 0;
}

/* The highest index in any bucket, and then along its chain, whose last entry is odd. */
static uint32_t count_by_gnu_hash(const struct symbol_table *table) {
    uint32_t head[3]; /* buckets, first symbol in them, words of the filter */
    uint32_t last = 0, value = 0;
    if (!read_at(table, table->gnu_hash, head, sizeof head) || head[0] > BUCKETS_MAX) return 0;
    uintptr_t buckets = table->gnu_hash + 16 + (uintptr_t)head[2] * sizeof(uint64_t);
    uintptr_t chains = buckets + (uintptr_t)head[0] * sizeof value;
    for (uint32_t i = 0; i < head[0]; i++) {
        if (!read_at(table, buckets + (uintptr_t)i * sizeof value, &value, sizeof value)) return 0;
        if (value > last) last = value;
    }
    if (last < head[1]) return 0;
    for (; last < SYMBOLS_MAX; last++) {
        uintptr_t at = chains + (uintptr_t)(last - head[1]) * sizeof value;
        if (!read_at(table, at, &value, sizeof value)) return 0;
        if ((value & 1) != 0) return last + 1;
    }
    return 0;
}

/* Both kinds of hash table are common; the older one says the number outright. */
static uint32_t count_symbols(const struct symbol_table *table) {
    uint32_t head[2]; /* buckets, chains: as many as symbols */
    if (table->hash == 0 || !read_at(table, table->hash, head, sizeof head))
        return table->gnu_hash != 0 ? count_by_gnu_hash(table) : 0;
    return head[1] < SYMBOLS_MAX ? head[1] : SYMBOLS_MAX;
}

static bool is_function(const Elf64_Sym *symbol) {
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF;
}

static char first_of_name(const struct symbol_table *table, const Elf64_Sym *symbol) {
    char first = '\0';
    if (symbol->st_name >= table->names_size) return '\0';
    return read_at(table, table->names + symbol->st_name, &first, 1) ? first : '\0';
}

/* The one that begins further up; of two names of one function, one that begins with no '_'. */
static bool is_better(const struct symbol_table *table, const Elf64_Sym *now,
                      const Elf64_Sym *other) {
    if (now->st_size == 0 || other->st_value > now->st_value) return true;
    char first = first_of_name(table, other);
    return first_of_name(table, now) == '_' && first != '_' && first != '\0';
}

static bool read_name(const struct symbol_table *table, const Elf64_Sym *found,
                      struct symbol *symbol) {
    symbol->name_is_cut = false;
    symbol->name_length = 0;
    for (size_t i = found->st_name; i < table->names_size; i++) {
        char byte = '\0';
        if (!read_at(table, table->names + i, &byte, 1)) return false;
        if (byte == '\0') return symbol->name_length != 0;
        symbol->name_is_cut = symbol->name_length == SYMBOL_NAME;
        if (symbol->name_is_cut) return true;
        symbol->name[symbol->name_length++] = byte;
    }
    return false; /* it has no end */
}

bool symbol_table_open(struct symbol_table *table, struct peek *peek, const struct module *module) {
    *table = (struct symbol_table){.peek = peek, .module = module};
    if (module->dynamic == 0 || !read_dynamic(table)) return false;
    table->count = count_symbols(table);
    return true;
}

bool symbol_table_read(const struct symbol_table *table, uint32_t index, Elf64_Sym *symbol) {
    uintptr_t at = table->symbols + (uintptr_t)index * sizeof *symbol;
    return read_at(table, at, symbol, sizeof *symbol);
}

bool symbol_table_begins(struct symbol_table *table, const Elf64_Sym *symbol, const char *text,
                         size_t length) {
    struct symbol_table names = {.peek = &table->name_peek, .module = table->module};
    for (size_t i = 0; i < length; i++) {
        char byte = '\0';
        if (symbol->st_name + i >= table->names_size ||
            !read_at(&names, table->names + symbol->st_name + i, &byte, 1) || byte != text[i])
            return false;
    }
    return true;
}

bool symbol_table_relocates(const struct symbol_table *table, const uint32_t *indices,
                            unsigned count) {
    const uintptr_t starts[] = {table->calls, table->relocations};
    const size_t sizes[] = {table->calls_size, table->relocations_size};
    for (unsigned part = 0; part < 2; part++) {
        for (size_t at = 0; starts[part] != 0 && at < sizes[part]; at += sizeof(Elf64_Rela)) {
            uint64_t info = 0;
            uintptr_t from = starts[part] + at + offsetof(Elf64_Rela, r_info);
            if (!read_at(table, from, &info, sizeof info)) break;
            for (unsigned i = 0; i < count; i++)
                if (ELF64_R_SYM(info) == indices[i]) return true;
        }
    }
    return false;
}

bool symbol_find(struct peek *peek, const struct module *module, uintptr_t address,
                 struct symbol *symbol) {
    struct symbol_table table;
    Elf64_Sym found = {.st_size = 0}, one;
    if (!symbol_table_open(&table, peek, module)) return false;
    uintptr_t offset = address - module->bias;
    /* number 0 is none */
    for (uint32_t i = 1; i < table.count; i++) {
        uintptr_t at = table.symbols + (uintptr_t)i * sizeof one, value = 0;
        /* most are ruled out by their first address, and only that is read */
        if (!read_at(&table, at + offsetof(Elf64_Sym, st_value), &value, sizeof value)) break;
        if (value > offset || value < found.st_value) continue;
        if (!symbol_table_read(&table, i, &one)) break;
        if (offset - value < one.st_size && is_function(&one) && is_better(&table, &found, &one))
            found = one;
    }
    if (found.st_size == 0) return false;
    symbol->start = module->bias + found.st_value;
    return read_name(&table, &found, symbol);
}
