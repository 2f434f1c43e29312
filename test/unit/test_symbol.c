/*
 * test_symbol: the names of functions (src/report/symbol.h).
 *
 * The C library's dladdr() is the reference for what is loaded. Damaged tables stand in a module of
 * the test's own, with memory that is not there on both sides.
 */
#include "report/symbol.h"

#include "os/os.h"

#include "suite.h"
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct module_table modules;
static struct symbol symbol;

static bool find(uintptr_t address) {
    module_table_reset(&modules);
    const struct module *module = module_find(&modules, address);
    return module != NULL && symbol_find(&modules.peek, module, address, &symbol);
}

static bool is_named(const char *name) {
    return symbol.name_length == strlen(name) && memcmp(symbol.name, name, strlen(name)) == 0;
}

/* --- What is loaded --------------------------------------------------------------------------- */

START_TEST(functions_of_libraries_are_named_as_dladdr_names_them) {
    static const char *const names[] = {"qsort", "fopen",    "getaddrinfo",
                                        "abort", "snprintf", "pthread_create"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uintptr_t start = (uintptr_t)dlsym(RTLD_DEFAULT, names[i]);
        Dl_info info;
        ck_assert_uint_ne(start, 0);
        ck_assert_int_ne(dladdr((void *)(start + 2), &info), 0);
        ck_assert_msg(find(start + 2), "%s is not found", names[i]);
        ck_assert_uint_eq(symbol.start, start);
        ck_assert_ptr_eq((void *)symbol.start, info.dli_saddr);
        ck_assert_msg(symbol.name[0] != '_', "%s is %.*s", names[i], (int)symbol.name_length,
                      symbol.name);
        /* another name of the function perhaps, which leads to it */
        char name[SYMBOL_NAME + 1] = "";
        memcpy(name, symbol.name, symbol.name_length);
        ck_assert_uint_eq((uintptr_t)dlsym(RTLD_DEFAULT, name), start);
        ck_assert(!symbol.name_is_cut);
    }
}
END_TEST

/* Over all of the C library's code: where there is a name it is that of a function that covers the
   address, and where dladdr has one there is one. */
START_TEST(addresses_all_over_a_library_are_named_alike) {
    Dl_info info;
    unsigned named = 0, other = 0;
    uintptr_t middle = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort");
    module_table_reset(&modules);
    const struct module *module = module_find(&modules, middle);
    ck_assert_ptr_nonnull(module);
    for (unsigned i = 0; i < 2000; i++) {
        uintptr_t address = middle - 100000 + (uintptr_t)i * 97;
        bool found = symbol_find(&modules.peek, module, address, &symbol);
        ck_assert_int_ne(dladdr((void *)address, &info), 0);
        if (found)
            ck_assert_ptr_eq((void *)symbol.start, info.dli_saddr);
        else
            other += info.dli_saddr != NULL;
        named += found;
    }
    ck_assert_uint_gt(named, 200);
    ck_assert_uint_eq(other, 0);
}
END_TEST

START_TEST(a_function_that_is_not_exported_has_no_name) {
    ck_assert(!find((uintptr_t)&is_named + 4));
}
END_TEST

/* The addresses in its tables are those of the file: nobody relocates it. */
START_TEST(functions_of_the_kernels_image_are_named) {
    uintptr_t image = getauxval(AT_SYSINFO_EHDR);
    unsigned named = 0;
    if (image == 0) return; /* a kernel without one has nothing to name */
    const Elf64_Ehdr *header = (const void *)image;
    const Elf64_Phdr *segments = (const void *)(image + header->e_phoff);
    module_table_reset(&modules);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type != PT_LOAD) continue;
        for (size_t at = 0; at < segments[i].p_memsz; at += 8) {
            const struct module *module = module_find(&modules, image + at);
            if (module == NULL || !symbol_find(&modules.peek, module, image + at, &symbol))
                continue;
            ck_assert_uint_ge(symbol.name_length, 4);
            named += memcmp(symbol.name, "__vd", 4) == 0 || memcmp(symbol.name, "__ke", 4) == 0 ||
                     symbol.name[0] != '_';
        }
    }
    ck_assert_uint_gt(named, 10);
}
END_TEST

/* --- Tables of the test's own ----------------------------------------------------------------- */

enum { PAGES = 8, FUNCTIONS = 6, FUNCTION_SIZE = 64 };
#define AREA (PAGES * 4096)
#define DYNAMIC 0
#define SYMBOLS 1024
#define NAMES 2048
#define NAMES_SIZE 1024
#define HASH 4096
#define CODE 8192

static char *area; /* between two pages that cannot be read */
static struct module forged;
static struct peek peek;

static void add_dynamic(unsigned place, int64_t tag, uint64_t value) {
    Elf64_Dyn entry = {.d_tag = tag, .d_un.d_val = value};
    memcpy(area + DYNAMIC + place * sizeof entry, &entry, sizeof entry);
}

static void set_symbol(unsigned index, uint32_t name, unsigned type, uint64_t value,
                       uint64_t size) {
    Elf64_Sym one = {.st_name = name,
                     .st_info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, type),
                     .st_shndx = 7,
                     .st_value = value,
                     .st_size = size};
    memcpy(area + SYMBOLS + index * sizeof one, &one, sizeof one);
}

static void set_words(size_t at, const uint32_t *words, size_t count) {
    memcpy(area + at, words, count * sizeof *words);
}

/* A module with functions "function1" to "function5" of 64 bytes one behind the other. */
static void forge(void) {
    static const uint32_t hash[] = {1, FUNCTIONS};
    memset(area, 0, AREA);
    add_dynamic(0, DT_SYMTAB, (uintptr_t)area + SYMBOLS);
    add_dynamic(1, DT_STRTAB, (uintptr_t)area + NAMES);
    add_dynamic(2, DT_STRSZ, NAMES_SIZE);
    add_dynamic(3, DT_HASH, (uintptr_t)area + HASH);
    for (unsigned i = 1; i < FUNCTIONS; i++) {
        snprintf(area + NAMES + i * 16, 16, "function%u", i);
        set_symbol(i, i * 16, STT_FUNC, CODE + i * FUNCTION_SIZE, FUNCTION_SIZE);
    }
    set_words(HASH, hash, 2);
    forged = (struct module){.start = (uintptr_t)area,
                             .end = (uintptr_t)area + AREA,
                             .bias = (uintptr_t)area,
                             .dynamic = (uintptr_t)area + DYNAMIC,
                             .dynamic_size = 16 * sizeof(Elf64_Dyn)};
    peek = (struct peek){.page = 0};
}

static void setup(void) {
    char *whole = mmap(NULL, AREA + 2 * 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(whole, MAP_FAILED);
    area = whole + 65536;
    ck_assert_int_eq(mprotect(area, AREA, PROT_READ | PROT_WRITE), 0);
    forge();
}

static void teardown(void) { munmap(area - 65536, AREA + 2 * 65536); }

static bool find_in(uintptr_t offset) {
    return symbol_find(&peek, &forged, (uintptr_t)area + offset, &symbol);
}

static bool third_is_found(void) {
    return find_in(CODE + 3 * FUNCTION_SIZE + 5) && is_named("function3") &&
           symbol.start == (uintptr_t)area + CODE + 3 * FUNCTION_SIZE;
}

START_TEST(each_function_reaches_from_its_first_byte_to_its_last) {
    for (unsigned i = 1; i < FUNCTIONS; i++) {
        char name[16];
        snprintf(name, sizeof name, "function%u", i);
        ck_assert(find_in(CODE + i * FUNCTION_SIZE) && is_named(name));
        ck_assert(find_in(CODE + i * FUNCTION_SIZE + FUNCTION_SIZE - 1) && is_named(name));
    }
    ck_assert(!find_in(CODE + FUNCTION_SIZE - 1));
    ck_assert(!find_in(CODE + FUNCTIONS * FUNCTION_SIZE));
}
END_TEST

START_TEST(addresses_as_in_the_file_are_understood) {
    add_dynamic(0, DT_SYMTAB, SYMBOLS);
    add_dynamic(1, DT_STRTAB, NAMES);
    add_dynamic(3, DT_HASH, HASH);
    ck_assert(third_is_found());
}
END_TEST

/* As a prelinked file, or a program at a fixed address: its addresses are those of memory. */
START_TEST(a_module_without_a_bias_is_understood) {
    for (unsigned i = 1; i < FUNCTIONS; i++)
        set_symbol(i, i * 16, STT_FUNC, (uintptr_t)area + CODE + i * FUNCTION_SIZE, FUNCTION_SIZE);
    forged.bias = 0;
    ck_assert(third_is_found());
}
END_TEST

/* buckets 2, symbols from 1 on, one word of filter; bucket 0: from 1, bucket 1: from 4 */
static const uint32_t gnu_hash[] = {2, 1, 1, 6, 0, 0, 1, 4, 2, 2, 3, 2, 5};

START_TEST(either_kind_of_hash_table_tells_how_many_there_are) {
    set_words(HASH, gnu_hash, sizeof gnu_hash / sizeof *gnu_hash);
    add_dynamic(3, DT_GNU_HASH, (uintptr_t)area + HASH);
    ck_assert(third_is_found());
    ck_assert(find_in(CODE + 5 * FUNCTION_SIZE));
    /* without the last chain */
    area[HASH + 4 * 7] = 1;
    area[HASH + 4 * 10] = 3;
    ck_assert(third_is_found());
    ck_assert(!find_in(CODE + 5 * FUNCTION_SIZE));
    /* and without any table */
    add_dynamic(3, DT_DEBUG, 0);
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE + 5));
}
END_TEST

START_TEST(what_is_no_function_of_the_module_gives_no_name) {
    static const struct {
        unsigned type;
        uint16_t section;
        bool found;
    } cases[] = {{STT_FUNC, 7, true},          {STT_GNU_IFUNC, 7, true},
                 {STT_OBJECT, 7, false},       {STT_TLS, 7, false},
                 {STT_FUNC, SHN_UNDEF, false}, {STT_SECTION, 7, false},
                 {STT_NOTYPE, 7, false},       {15, 7, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_symbol(3, 48, cases[i].type, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
        memcpy(area + SYMBOLS + 3 * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_shndx),
               &cases[i].section, sizeof cases[i].section);
        ck_assert_msg(third_is_found() == cases[i].found, "case %zu", i);
    }
}
END_TEST

START_TEST(of_several_functions_the_innermost_and_of_its_names_the_plain_one_is_taken) {
    set_symbol(1, 16, STT_FUNC, CODE, 4096);
    ck_assert(third_is_found());
    memcpy(area + NAMES + 48, "_under", 7);
    ck_assert(find_in(CODE + 3 * FUNCTION_SIZE + 5) && is_named("_under"));
    set_symbol(4, 64, STT_FUNC, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
    ck_assert(find_in(CODE + 3 * FUNCTION_SIZE + 5) && is_named("function4"));
    set_symbol(2, 48, STT_FUNC, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
    ck_assert(find_in(CODE + 3 * FUNCTION_SIZE + 5) && is_named("function4"));
}
END_TEST

START_TEST(names_are_cut_where_they_are_too_long_and_left_out_where_they_are_none) {
    memset(area + NAMES + 48, 'x', 500);
    ck_assert(find_in(CODE + 3 * FUNCTION_SIZE));
    ck_assert(symbol.name_is_cut);
    ck_assert_uint_eq(symbol.name_length, SYMBOL_NAME);
    area[NAMES + 48 + SYMBOL_NAME] = '\0';
    ck_assert(find_in(CODE + 3 * FUNCTION_SIZE));
    ck_assert(!symbol.name_is_cut);
    ck_assert_uint_eq(symbol.name_length, SYMBOL_NAME);
    set_symbol(3, 0, STT_FUNC, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE)); /* empty */
    set_symbol(3, NAMES_SIZE, STT_FUNC, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE)); /* behind the names */
    set_symbol(3, NAMES_SIZE - 4, STT_FUNC, CODE + 3 * FUNCTION_SIZE, FUNCTION_SIZE);
    memset(area + NAMES + NAMES_SIZE - 4, 'x', 4);
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE)); /* it does not end */
}
END_TEST

/* The end of what is mapped in the midst of a table, and tables that say they are elsewhere. */
START_TEST(tables_that_are_not_there_give_no_name) {
    static const int64_t tags[] = {DT_SYMTAB, DT_STRTAB, DT_STRSZ, DT_HASH};
    const uint64_t values[] = {0,
                               1,
                               (uintptr_t)area - 4096,
                               (uintptr_t)area + AREA,
                               (uintptr_t)area + AREA - 8,
                               (uintptr_t)area + AREA - 1,
                               UINT64_MAX,
                               UINT64_MAX - 7,
                               (uint64_t)1 << 63,
                               (uintptr_t)&modules};
    for (unsigned tag = 0; tag < 4; tag++)
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            forge();
            add_dynamic(tag, tags[tag], values[i]);
            bool found = third_is_found();
            /* any size of the names that is large enough will do */
            ck_assert_msg(!found || tags[tag] == DT_STRSZ, "tag %u, value %zu", tag, i);
        }
    forge();
    forged.dynamic = (uintptr_t)area + AREA;
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE));
    forged.dynamic = (uintptr_t)area + AREA - 20;
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE));
    forge();
    forged.dynamic_size = 15;
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE));
    forged.dynamic = 0; /* a static program */
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE));
}
END_TEST

/* --- Bounds ----------------------------------------------------------------------------------- */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

START_TEST(damaged_tables_neither_fault_nor_hang) {
    unsigned found = 0;
    for (unsigned round = 0; round < 100000; round++) {
        if (round % 8 == 0) forge();
        if (round % 3 == 0) {
            set_words(HASH, gnu_hash, sizeof gnu_hash / sizeof *gnu_hash);
            add_dynamic(3, DT_GNU_HASH, (uintptr_t)area + HASH);
        }
        uint64_t random = next_random();
        size_t at = random % 4 == 0 ? HASH + next_random() % 64 : next_random() % (NAMES + 128);
        uint64_t value = random >> 32;
        if (random % 5 == 0) value = (uintptr_t)area + next_random() % (AREA + 64) - 32;
        memcpy(area + at, &value, random % 3 == 0 ? 8 : 1);
        found += find_in(CODE + next_random() % 512);
    }
    ck_assert_uint_gt(found, 0);
}
END_TEST

static uint64_t milliseconds_of_cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The largest tables that are believed: each frame of a report may meet them. */
START_TEST(the_most_that_is_looked_at_is_bounded) {
    size_t size = (size_t)SYMBOLS_MAX * 2 * sizeof(Elf64_Sym);
    char *large = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(large, MAP_FAILED);
    char *small = area;
    area = large;
    forge();
    forged.end = (uintptr_t)large + size;
    static const uint32_t endless[] = {SYMBOLS_MAX, 0, 0, 0};
    static const uint32_t all[] = {1, UINT32_MAX};
    uint64_t before = milliseconds_of_cpu();
    /* chains without an end, over buckets as many as there may be */
    set_words(HASH, endless, 4);
    add_dynamic(3, DT_GNU_HASH, (uintptr_t)large + HASH);
    ck_assert(!find_in(CODE + 3 * FUNCTION_SIZE));
    /* as many symbols as a table can have */
    set_words(HASH, all, 2);
    add_dynamic(3, DT_HASH, (uintptr_t)large + HASH);
    set_symbol(SYMBOLS_MAX - 1, 16, STT_FUNC, 2 * CODE, 16);
    set_symbol(SYMBOLS_MAX, 16, STT_FUNC, 3 * CODE, 16);
    ck_assert(third_is_found());
    ck_assert(find_in(2 * CODE));
    ck_assert(!find_in(3 * CODE));
    uint64_t took = milliseconds_of_cpu() - before;
    ck_assert_msg(took < 2000, "%llu ms", (unsigned long long)took);
    area = small;
    munmap(large, size);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("symbol");
    TCase *loaded = tcase_create("loaded");
    TCase *tables = tcase_create("tables");
    tcase_add_test(loaded, functions_of_libraries_are_named_as_dladdr_names_them);
    tcase_add_test(loaded, addresses_all_over_a_library_are_named_alike);
    tcase_add_test(loaded, a_function_that_is_not_exported_has_no_name);
    tcase_add_test(loaded, functions_of_the_kernels_image_are_named);
    tcase_add_checked_fixture(tables, setup, teardown);
    tcase_add_test(tables, each_function_reaches_from_its_first_byte_to_its_last);
    tcase_add_test(tables, addresses_as_in_the_file_are_understood);
    tcase_add_test(tables, a_module_without_a_bias_is_understood);
    tcase_add_test(tables, either_kind_of_hash_table_tells_how_many_there_are);
    tcase_add_test(tables, what_is_no_function_of_the_module_gives_no_name);
    tcase_add_test(tables,
                   of_several_functions_the_innermost_and_of_its_names_the_plain_one_is_taken);
    tcase_add_test(tables, names_are_cut_where_they_are_too_long_and_left_out_where_they_are_none);
    tcase_add_test(tables, tables_that_are_not_there_give_no_name);
    tcase_add_test(tables, damaged_tables_neither_fault_nor_hang);
    tcase_add_test(tables, the_most_that_is_looked_at_is_bounded);
    suite_add_tcase(suite, loaded);
    suite_add_tcase(suite, tables);
    tcase_set_timeout(tables, 60);
    return suite_run(suite);
}
