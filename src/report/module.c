/*
 * module: the programs and libraries of this process (see module.h).
 *
 * Nothing found in memory or in a file is trusted: every address is read through peek, every count
 * is bounded, and a header counts only if one of its executable segments covers the address asked
 * for.
 */
#include "report/module.h"

#include "os/os.h"

#include <elf.h>

#define PROGRAM_HEADERS_MAX 64
#define SECTION_HEADERS_MAX 512
#define NOTES_MAX 16
/* How far below an address its ELF header is looked for, without a list of mappings. */
#define SCAN_BYTES (256 * MIB)
/* The same where the program goes on, and shall not wait. */
#define SHORT_SCAN_BYTES (16 * MIB)
/* Code so near to some whose module was not found is not looked for again. */
#define SEARCHED_AT_ONCE ((size_t)2 * MIB)

void module_table_reset(struct module_table *table) {
    table->peek = (struct peek){.page = 0};
    table->count = 0;
    table->in_vain_count = 0;
    table->by_headers = false;
}

static bool is_elf(const Elf64_Ehdr *header) {
    return header->e_ident[EI_MAG0] == ELFMAG0 && header->e_ident[EI_MAG1] == ELFMAG1 &&
           header->e_ident[EI_MAG2] == ELFMAG2 && header->e_ident[EI_MAG3] == ELFMAG3 &&
           header->e_ident[EI_CLASS] == ELFCLASS64 &&
           (header->e_type == ET_EXEC || header->e_type == ET_DYN) &&
           header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum <= PROGRAM_HEADERS_MAX;
}

/* --- Build id -------------------------------------------------------------------------------- */

static void read_build_id(struct peek *peek, struct module *module, uintptr_t notes, size_t size,
                          size_t alignment) {
    if (alignment < 4) alignment = 4;
    if (!is_power_of_two(alignment)) return;
    for (unsigned i = 0; i < NOTES_MAX && size >= sizeof(Elf64_Nhdr); i++) {
        Elf64_Nhdr note;
        char name[4];
        if (!peek_bytes(peek, notes, &note, sizeof note)) return;
        size_t name_size = round_up(note.n_namesz, 4);
        size_t whole = round_up(sizeof note + name_size + round_up(note.n_descsz, 4), alignment);
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof name &&
            note.n_descsz <= BUILD_ID_MAX && whole <= size &&
            peek_bytes(peek, notes + sizeof note, name, sizeof name) && name[0] == 'G' &&
            name[1] == 'N' && name[2] == 'U') {
            if (peek_bytes(peek, notes + sizeof note + name_size, module->build_id, note.n_descsz))
                module->build_id_size = note.n_descsz;
            return;
        }
        if (whole >= size) return;
        notes += whole;
        size -= whole;
    }
}

/* --- The mapped header ----------------------------------------------------------------------- */

struct segments_seen {
    bool any;            /* a PT_LOAD was seen: the bias is known */
    bool covers_address; /* an executable one covers the address asked for */
};

static void note_load(struct module *module, const Elf64_Phdr *load, uintptr_t address,
                      struct segments_seen *seen) {
    /* The first one tells the bias: the header at `start` is byte 0 of the file. */
    if (!seen->any) module->bias = module->start - (load->p_vaddr - load->p_offset);
    seen->any = true;
    uintptr_t start = module->bias + load->p_vaddr, end = 0;
    if (__builtin_add_overflow(start, load->p_memsz, &end)) return; /* nothing goes on at 0 */
    if (end > module->end) module->end = end;
    if ((load->p_flags & PF_X) != 0 && address - start < load->p_memsz) seen->covers_address = true;
}

/* Fills everything but the path from the header at `start`; false if there is none, or none with
   code at the address (ANYWHERE: at any). */
#define ANYWHERE 0u
static bool read_header(struct peek *peek, uintptr_t start, uintptr_t address,
                        struct module *module) {
    Elf64_Ehdr header;
    if (!peek_bytes(peek, start, &header, sizeof header) || !is_elf(&header)) return false;
    *module = (struct module){.start = start, .end = start};
    struct segments_seen seen = {false, false};
    /* Twice: notes and tables are at addresses that need the bias. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < header.e_phnum; i++) {
            Elf64_Phdr segment;
            if (!peek_bytes(peek, start + header.e_phoff + i * sizeof segment, &segment,
                            sizeof segment))
                return false;
            uintptr_t place = module->bias + segment.p_vaddr;
            if (pass == 0 && segment.p_type == PT_LOAD) note_load(module, &segment, address, &seen);
            if (pass == 1 && segment.p_type == PT_GNU_EH_FRAME) module->eh_frame_hdr = place;
            if (pass == 1 && segment.p_type == PT_DYNAMIC) {
                module->dynamic = place;
                module->dynamic_size = segment.p_memsz;
            }
            if (pass == 1 && segment.p_type == PT_NOTE && module->build_id_size == 0)
                read_build_id(peek, module, place, segment.p_memsz, segment.p_align);
        }
        if (!seen.covers_address && address != ANYWHERE) return false;
    }
    return true;
}

/* --- Unwind tables of a program without an index of them ------------------------------------- */

/* The string table's `name` at `offset` in the file. */
static bool section_is_named(int fd, uint64_t offset, const char *name, size_t size) {
    char have[16];
    if (os_read_at(fd, have, size, offset) != size) return false;
    for (size_t i = 0; i < size; i++)
        if (have[i] != name[i]) return false;
    return true;
}

static void find_section(int fd, const Elf64_Ehdr *header, struct module *module) {
    static const char name[] = ".eh_frame";
    Elf64_Shdr names, section;
    if (header->e_shentsize != sizeof section || header->e_shnum > SECTION_HEADERS_MAX) return;
    if (os_read_at(fd, &names, sizeof names, header->e_shoff + header->e_shstrndx * sizeof names) !=
        sizeof names)
        return;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (os_read_at(fd, &section, sizeof section, header->e_shoff + i * sizeof section) !=
            sizeof section)
            return;
        if ((section.sh_flags & SHF_ALLOC) == 0 ||
            !section_is_named(fd, names.sh_offset + section.sh_name, name, sizeof name))
            continue;
        module->eh_frame = module->bias + section.sh_addr;
        module->eh_frame_size = section.sh_size;
        return;
    }
}

/* A static program has its .eh_frame mapped, but only the section headers, which are not mapped,
   say where. */
static void find_eh_frame(struct peek *peek, struct module *module) {
    if (module->eh_frame_hdr != 0 || module->path_length == 0 || module->path_is_cut) return;
    int fd = os_open_read(module->path);
    if (fd < 0) return;
    Elf64_Ehdr on_disk, mapped;
    bool same = os_read_at(fd, &on_disk, sizeof on_disk, 0) == sizeof on_disk &&
                peek_bytes(peek, module->start, &mapped, sizeof mapped) &&
                on_disk.e_entry == mapped.e_entry && on_disk.e_shoff == mapped.e_shoff &&
                on_disk.e_shnum == mapped.e_shnum;
    if (same) find_section(fd, &on_disk, module);
    os_close(fd);
}

/* --- Finding --------------------------------------------------------------------------------- */

static void keep_path(struct module *module, const struct mapping *mapping) {
    size_t length = mapping->name_length;
    module->path_is_cut = length >= MODULE_PATH;
    if (module->path_is_cut) length = MODULE_PATH - 1;
    const char *from = mapping->name + (mapping->name_length - length);
    for (size_t i = 0; i < length; i++) module->path[i] = from[i];
    module->path[length] = '\0';
    module->path_length = length;
}

/* The start of the file that the address lies in, from the kernel's list. */
static bool find_by_mappings(struct module_table *table, uintptr_t address, struct module *module) {
    struct mapping mapping;
    uintptr_t start = 0;
    uint64_t device = 0, inode = 0;
    while (proc_maps_next(&table->mappings, &mapping) && mapping.start <= address) {
        if (mapping.offset == 0) {
            start = mapping.start;
            device = mapping.device;
            inode = mapping.inode;
        }
        if (address >= mapping.end) continue;
        if (start == 0 || mapping.device != device || mapping.inode != inode) return false;
        if (!read_header(&table->peek, start, address, module)) return false;
        keep_path(module, &mapping);
        return true;
    }
    return false;
}

static bool scan(struct module_table *table, uintptr_t address, size_t most,
                 struct module *module) {
    size_t step = os_page_size();
    uintptr_t page = round_down(address, step);
    for (size_t back = 0; back < most && back < page; back += step)
        if (read_header(&table->peek, page - back, address, module)) return true;
    return false;
}

/* A search in vain is some thousand system calls. */
static bool find_by_header(struct module_table *table, uintptr_t address, struct module *module) {
    uintptr_t area = round_down(address, SEARCHED_AT_ONCE);
    if (table->in_vain_count == MODULE_IN_VAIN) return false;
    for (unsigned i = 0; i < table->in_vain_count; i++)
        if (table->in_vain[i] == area) return false;
    if (scan(table, address, SHORT_SCAN_BYTES, module)) return true;
    table->in_vain[table->in_vain_count++] = area;
    return false;
}

bool module_begins_at(struct module_table *table, uintptr_t start, struct module *module) {
    return read_header(&table->peek, start, ANYWHERE, module);
}

const struct module *module_find(struct module_table *table, uintptr_t address) {
    unsigned kept = table->count < MODULE_TABLE ? table->count : MODULE_TABLE;
    for (unsigned i = 0; i < kept; i++)
        if (address >= table->modules[i].start && address < table->modules[i].end)
            return &table->modules[i];
    struct module *module = &table->modules[table->count % MODULE_TABLE];
    bool found = false;
    if (table->by_headers) {
        found = find_by_header(table, address, module);
    } else if (proc_maps_open(&table->mappings)) {
        found = find_by_mappings(table, address, module);
        proc_maps_close(&table->mappings);
    } else {
        found = scan(table, address, SCAN_BYTES, module);
    }
    if (!found) {
        *module = (struct module){.start = 0, .end = 0};
        return NULL;
    }
    find_eh_frame(&table->peek, module);
    table->count++;
    return module;
}

void module_describe_address(struct module_table *table, uintptr_t address, struct format *format) {
    struct mapping mapping;
    if (!proc_maps_open(&table->mappings)) {
        format_string(format, "memory that is not known (no list of mappings)");
        return;
    }
    bool inside = false;
    while (!inside && proc_maps_next(&table->mappings, &mapping) && mapping.start <= address)
        inside = address < mapping.end;
    proc_maps_close(&table->mappings);
    if (!inside) {
        format_string(format, "no mapping");
        return;
    }
    if (mapping.name_length != 0)
        format_foreign(format, mapping.name, mapping.name_length);
    else
        format_string(format, "memory that no file backs");
    format_string(format, " (");
    format_foreign(format, mapping.permissions, sizeof mapping.permissions);
    format_string(format, ")");
}
