/*
 * image: a library in memory, and what is true of it. See the header.
 *
 * Where things lie, from its first byte: the header, notes and the dynamic section in the first
 * page, both hash tables in the second, symbols in the third, names in the fourth, unwind tables in
 * the four before the code.
 */
#include "engine/image.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "engine/judge.h"

#define NOTES (IMAGE_BASE + 0x400)
#define DYNAMIC (IMAGE_BASE + 0x800)
#define HASH (IMAGE_BASE + 0x1000)
#define GNU_HASH (IMAGE_BASE + 0x1800)
#define SYMBOLS (IMAGE_BASE + 0x2000)
#define NAMES (IMAGE_BASE + 0x3000)
#define UNWIND (IMAGE_BASE + 0x4000)

enum { SYMBOLS_MOST = 3 * IMAGE_FUNCTIONS + 8, SURROUNDED_BEFORE = 16, FILE_SECTIONS = 0x200 };
static const char surrounding[] = "_everything";

static bool toss(struct image *image, unsigned of) { return rng_below(image->random, of) == 0; }

/* --- Functions ------------------------------------------------------------------------------- */

static void draw_name(struct image *image, unsigned number, char *name) {
    int length = snprintf(name, IMAGE_NAME, "function%u", number);
    if (!toss(image, 4)) return;
    unsigned more = rng_below(image->random, IMAGE_NAME - (unsigned)length);
    memset(name + length, 'a' + (int)(number % 26), more);
    name[length + (int)more] = '\0';
}

static void draw_functions(struct image *image) {
    uintptr_t at = IMAGE_CODE + 16 + rng_below(image->random, 200);
    image->count = 1 + rng_below(image->random, IMAGE_FUNCTIONS);
    for (unsigned i = 0; i < image->count; i++) {
        struct image_function *function = &image->functions[i];
        function->start = at;
        function->size = 1 + rng_below(image->random, toss(image, 4) ? 1500 : 300);
        function->is_exported = !toss(image, 4);
        function->has_entry = !toss(image, 8);
        draw_name(image, i, function->name);
        at += function->size + (toss(image, 2) ? 0 : rng_below(image->random, 40));
    }
}

/* --- Symbols --------------------------------------------------------------------------------- */

struct symbols {
    struct image *image;
    struct writer names;
    unsigned count, imported;
    Elf64_Sym table[SYMBOLS_MOST];
};

static uint32_t add_name(struct symbols *symbols, const char *name) {
    uint32_t offset = (uint32_t)(symbols->names.at - NAMES);
    writer_copy(&symbols->names, name, strlen(name) + 1);
    return offset;
}

static void add_symbol(struct symbols *symbols, const char *name, unsigned type, uintptr_t start,
                       uintptr_t size) {
    symbols->table[symbols->count++] =
        (Elf64_Sym){.st_name = add_name(symbols, name),
                    .st_info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, type),
                    .st_shndx = start != 0 ? 7 : SHN_UNDEF,
                    .st_value = start != 0 ? start - symbols->image->bias : 0,
                    .st_size = size};
}

/* In any order, but for imported ones, which stand first. */
static void shuffle(struct symbols *symbols) {
    for (unsigned i = symbols->count - 1; i > symbols->imported; i--) {
        unsigned other =
            symbols->imported + rng_below(symbols->image->random, i - symbols->imported + 1);
        Elf64_Sym one = symbols->table[i];
        symbols->table[i] = symbols->table[other];
        symbols->table[other] = one;
    }
}

/* Imported ones have no place; beside each function may stand what is none, and a second name. */
static void write_symbols(struct symbols *symbols) {
    struct image *image = symbols->image;
    memset(symbols->table, 0, sizeof symbols->table);
    symbols->names = (struct writer){NAMES, UNWIND};
    symbols->count = 1;
    (void)add_name(symbols, "");
    for (unsigned i = rng_below(image->random, 4); i > 0; i--)
        add_symbol(symbols, "imported", STT_FUNC, 0, 0);
    symbols->imported = symbols->count;
    image->is_surrounded = toss(image, 3);
    if (image->is_surrounded)
        add_symbol(symbols, surrounding, STT_FUNC, IMAGE_CODE + SURROUNDED_BEFORE,
                   IMAGE_END - IMAGE_CODE - 2 * SURROUNDED_BEFORE);
    for (unsigned i = 0; i < image->count; i++) {
        const struct image_function *function = &image->functions[i];
        unsigned type = toss(image, 8) ? STT_GNU_IFUNC : STT_FUNC;
        if (toss(image, 8))
            add_symbol(symbols, "object", STT_OBJECT, function->start, function->size);
        if (!function->is_exported) continue;
        add_symbol(symbols, function->name, type, function->start, function->size);
        if (toss(image, 4)) add_symbol(symbols, "_other", type, function->start, function->size);
    }
    shuffle(symbols);
    struct writer table = {SYMBOLS, NAMES};
    writer_copy(&table, symbols->table, symbols->count * sizeof symbols->table[0]);
}

static void write_hash(const struct symbols *symbols) {
    struct writer writer = {HASH, GNU_HASH};
    writer_put(&writer, 1, 4);
    writer_put(&writer, symbols->count, 4);
}

/* Two buckets, each with half of the symbols; or with the first of them both, and an empty one. */
static void write_gnu_hash(const struct symbols *symbols) {
    struct writer writer = {GNU_HASH, SYMBOLS};
    unsigned defined = symbols->count - symbols->imported, half = defined / 2;
    unsigned words = 1 + rng_below(symbols->image->random, 3);
    writer_put(&writer, 2, 4);
    writer_put(&writer, symbols->imported, 4);
    writer_put(&writer, words, 4);
    writer_put(&writer, 6, 4);
    for (unsigned i = 0; i < words; i++) writer_put(&writer, rng_next(symbols->image->random), 8);
    writer_put(&writer, half != 0 ? symbols->imported + half : 0, 4);
    writer_put(&writer, defined != 0 ? symbols->imported : 0, 4);
    for (unsigned i = 0; i < defined; i++) {
        bool is_last = i + 1 == half || i + 1 == defined;
        writer_put(&writer, (rng_next(symbols->image->random) & ~(uint64_t)1) | is_last, 4);
    }
}

static void write_dynamic(const struct symbols *symbols) {
    struct image *image = symbols->image;
    struct writer writer = {DYNAMIC, HASH};
    Elf64_Dyn entries[6] = {{DT_STRTAB, {NAMES}},
                            {DT_SYMTAB, {SYMBOLS}},
                            {DT_STRSZ, {symbols->names.at - NAMES}},
                            {DT_SONAME, {1}}};
    unsigned count = 4, kinds = rng_below(image->random, 3), first = rng_below(image->random, 8);
    if (kinds != 0) entries[count++] = (Elf64_Dyn){DT_HASH, {HASH}};
    if (kinds != 1) entries[count++] = (Elf64_Dyn){DT_GNU_HASH, {GNU_HASH}};
    for (unsigned i = 0; i < count; i++) {
        Elf64_Dyn *entry = &entries[(first + i) % count];
        /* as in the file, where nobody has put it right */
        bool is_address = entry->d_tag != DT_STRSZ && entry->d_tag != DT_SONAME;
        if (is_address && toss(image, 2)) entry->d_un.d_ptr -= image->bias;
        writer_copy(&writer, entry, sizeof *entry);
    }
    writer_put(&writer, DT_NULL, 8);
    writer_put(&writer, 0, 8);
}

/* --- Build id -------------------------------------------------------------------------------- */

/* Returns how many bytes the notes have. */
static size_t write_notes(struct image *image, size_t alignment) {
    static const uint8_t sizes[] = {20, 20, 16, 8, 32, 40, 0};
    struct writer writer = {NOTES, DYNAMIC};
    unsigned kinds = rng_below(image->random, 4); /* 1: another note first; 2: no build id */
    unsigned size = sizes[rng_below(image->random, sizeof sizes)];
    image->build_id_size = 0;
    if (kinds & 1) {
        unsigned own = rng_below(image->random, 9);
        writer_put(&writer, 6, 4);
        writer_put(&writer, own, 4);
        writer_put(&writer, NT_GNU_BUILD_ID, 4);
        writer_copy(&writer, "other\0\0", 8);
        writer_put(&writer, rng_next(image->random), own < 8 ? own : 8);
        if (own > 8) writer_put(&writer, 0, own - 8);
        while (writer.at % alignment != 0) writer_put(&writer, 0, 1);
    }
    if (!(kinds & 2)) {
        writer_put(&writer, 4, 4);
        writer_put(&writer, size, 4);
        writer_put(&writer, NT_GNU_BUILD_ID, 4);
        writer_copy(&writer, "GNU", 4);
        for (unsigned i = 0; i < size; i++) {
            uint8_t byte = (uint8_t)rng_next(image->random);
            writer_put(&writer, byte, 1);
            if (size <= BUILD_ID_MAX) image->build_id[i] = byte;
        }
        if (size <= BUILD_ID_MAX) image->build_id_size = size;
    }
    while (writer.at % alignment != 0) writer_put(&writer, 0, 1);
    return writer.at - NOTES;
}

/* --- Unwind tables --------------------------------------------------------------------------- */

static void write_index(struct image *image, bool is_sorted) {
    struct writer writer = {UNWIND, image->unwind};
    unsigned entries = 0;
    for (unsigned i = 0; i < image->count; i++) entries += image->functions[i].has_entry;
    writer_put(&writer, 1, 1);
    writer_put(&writer, 0x1b, 1);
    writer_put(&writer, is_sorted ? 0x03 : DWARF_PTR_OMIT, 1);
    writer_put(&writer, is_sorted || toss(image, 2) ? 0x3b : DWARF_PTR_OMIT, 1);
    writer_put(&writer, image->unwind - writer.at, 4);
    if (!is_sorted) return;
    writer_put(&writer, entries, 4);
    for (unsigned i = 0; i < image->count; i++) {
        if (!image->functions[i].has_entry) continue;
        writer_put(&writer, image->functions[i].start - UNWIND, 4);
        writer_put(&writer, image->functions[i].entry.address - UNWIND, 4);
    }
}

/* The entries in another order than the code's, and the index before them. */
static void write_unwind(struct image *image) {
    struct frames *frames = &image->frames;
    unsigned first = rng_below(image->random, image->count);
    image->unwind = UNWIND + 16 + 8 * IMAGE_FUNCTIONS;
    frames_begin(frames, image->random, image->unwind, IMAGE_CODE);
    for (unsigned i = 0; i < image->count; i++) {
        struct image_function *function = &image->functions[(first + i) % image->count];
        const struct frame_common *common =
            &frames->commons[toss(image, 2) ? 0 : rng_below(image->random, FRAME_COMMONS)];
        if (function->has_entry)
            frames_write(frames, &function->entry, common, function->start, function->size);
    }
    frames_end(frames);
    image->unwind_end = frames->writer.at;
    image->has_index = !toss(image, 4);
    image->has_sections = !image->has_index && !toss(image, 4);
    if (image->has_index) write_index(image, !toss(image, 4));
}

/* --- Headers --------------------------------------------------------------------------------- */

static Elf64_Phdr segment_of(const struct image *image, uint32_t type, uint32_t flags,
                             uintptr_t start, size_t size, size_t alignment) {
    return (Elf64_Phdr){.p_type = type,
                        .p_flags = flags,
                        .p_offset = start - IMAGE_BASE,
                        .p_vaddr = start - image->bias,
                        .p_filesz = size,
                        .p_memsz = size,
                        .p_align = alignment};
}

static void write_headers(struct image *image, size_t notes_size, size_t alignment) {
    Elf64_Ehdr header = {.e_type = image->bias != 0 ? ET_DYN : ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_entry = IMAGE_CODE - image->bias,
                         .e_phoff = sizeof header,
                         .e_shoff = FILE_SECTIONS,
                         .e_ehsize = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_shentsize = sizeof(Elf64_Shdr),
                         .e_shnum = 3,
                         .e_shstrndx = 2};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    struct writer writer = {IMAGE_BASE, NOTES};
    Elf64_Phdr segments[8];
    unsigned count = 0;
    segments[count++] = segment_of(image, PT_NOTE, PF_R, NOTES, notes_size, alignment);
    segments[count++] =
        segment_of(image, PT_LOAD, PF_R, IMAGE_BASE, IMAGE_CODE - IMAGE_BASE, GIVEN_PAGE);
    segments[count++] =
        segment_of(image, PT_LOAD, PF_R | PF_X, IMAGE_CODE, IMAGE_END - IMAGE_CODE, GIVEN_PAGE);
    segments[count++] = segment_of(image, PT_DYNAMIC, PF_R, DYNAMIC, HASH - DYNAMIC, 8);
    if (image->has_index)
        segments[count++] = segment_of(image, PT_GNU_EH_FRAME, PF_R, UNWIND, 12, 4);
    segments[count++] = segment_of(image, PT_GNU_STACK, PF_R | PF_W, 0, 0, 16);
    header.e_phnum = (uint16_t)count;
    writer_copy(&writer, &header, sizeof header);
    writer_copy(&writer, segments, count * sizeof segments[0]);
}

/* Its header, and three sections: none, the unwind tables, names. */
static void write_file(const struct image *image) {
    static const char names[] = "\0.eh_frame\0.shstrtab";
    size_t names_at = FILE_SECTIONS + 3 * sizeof(Elf64_Shdr);
    Elf64_Shdr sections[3] = {
        {.sh_type = SHT_NULL},
        {.sh_name = 1,
         .sh_type = SHT_PROGBITS,
         .sh_flags = SHF_ALLOC,
         .sh_addr = image->unwind - image->bias,
         .sh_size = image->unwind_end - image->unwind},
        {.sh_name = 11, .sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof names}};
    memcpy(given.file, given_place(IMAGE_BASE, sizeof(Elf64_Ehdr)), sizeof(Elf64_Ehdr));
    memcpy(given.file + FILE_SECTIONS, sections, sizeof sections);
    memcpy(given.file + names_at, names, sizeof names);
    given.file_size = names_at + sizeof names;
}

/* What is below and above is the program's, which nobody looks into. */
static void write_maps(struct image *image) {
    static const char lead[] = "/usr/lib/";
    size_t path = rng_below(image->random, 4) == 0 ? 300 : 20;
    memset(given.path, 'm', path);
    memcpy(given.path, lead, sizeof lead - 1);
    memcpy(given.path + path - 3, ".so", 4);
    given.maps_size = (size_t)snprintf(
        given.maps, sizeof given.maps,
        "00400000-00500000 r-xp 00000000 fe:01 %u                       /usr/bin/program\n"
        "%lx-%lx r--p 00000000 fe:01 77                     %s\n"
        "%lx-%lx r-xp %08lx fe:01 77                     %s\n"
        "%lx-%lx rw-p 00000000 00:00 0 \n"
        "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n",
        rng_below(image->random, 100000), (unsigned long)IMAGE_BASE, (unsigned long)IMAGE_CODE,
        given.path, (unsigned long)IMAGE_CODE, (unsigned long)IMAGE_END,
        (unsigned long)(IMAGE_CODE - IMAGE_BASE), given.path, (unsigned long)IMAGE_END,
        (unsigned long)(GIVEN_BASE + GIVEN_BYTES));
}

void image_make(struct image *image, struct rng *random) {
    static struct symbols symbols;
    size_t alignment = rng_below(random, 2) == 0 ? 4 : 8;
    image->random = random;
    image->bias = rng_below(random, 4) == 0 ? 0 : IMAGE_BASE;
    draw_functions(image);
    symbols.image = image;
    write_symbols(&symbols);
    write_hash(&symbols);
    write_gnu_hash(&symbols);
    write_dynamic(&symbols);
    write_unwind(image);
    write_headers(image, write_notes(image, alignment), alignment);
    given.file_size = 0;
    if (image->has_sections) write_file(image);
    write_maps(image);
    given_set_readable(0, IMAGE_PAGES, true);
}

/* --- What is true of it ---------------------------------------------------------------------- */

const struct image_function *image_function(const struct image *image, uintptr_t address) {
    for (unsigned i = 0; i < image->count; i++)
        if (address - image->functions[i].start < image->functions[i].size)
            return &image->functions[i];
    return NULL;
}

const char *image_name(const struct image *image, uintptr_t address, uintptr_t *start) {
    const struct image_function *function = image_function(image, address);
    if (function != NULL && function->is_exported) {
        *start = function->start;
        return function->name;
    }
    *start = IMAGE_CODE + SURROUNDED_BEFORE;
    bool is_inside = address - *start < IMAGE_END - IMAGE_CODE - 2 * SURROUNDED_BEFORE;
    return image->is_surrounded && is_inside ? surrounding : NULL;
}
