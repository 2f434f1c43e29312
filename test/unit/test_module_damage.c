/*
 * test_module_damage: libraries whose headers are damaged (src/report/module.h). How those that are
 * sound are found, test_module, test_backtrace and test_symbol see.
 */
#include "report/module.h"

#include "suite.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 65536, INSIDE = 100 };

static struct module_table modules;
static char *start; /* of a library that has nothing but a header */

static void setup(void) {
    start = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(start, MAP_FAILED);
    module_table_reset(&modules);
    modules.by_headers = true;
}

static void teardown(void) { munmap(start, PAGE); }

/* One segment of code, of so many bytes. */
static const struct module *find_with_segment(uint64_t size) {
    Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
                         .e_type = ET_DYN,
                         .e_phoff = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 1};
    Elf64_Phdr segment = {.p_type = PT_LOAD, .p_flags = PF_X, .p_memsz = size};
    memcpy(start, &header, sizeof header);
    memcpy(start + sizeof header, &segment, sizeof segment);
    const struct module *module = module_find(&modules, (uintptr_t)start + INSIDE);
    return module != NULL && module->start == (uintptr_t)start ? module : NULL;
}

/* What is found covers the address that was asked for, and so is found again at once. */
static void check_found(uint64_t size) {
    const struct module *module = find_with_segment(size);
    ck_assert_ptr_nonnull(module);
    ck_assert_uint_eq(module->end, (uintptr_t)start + size);
    ck_assert_ptr_eq(module_find(&modules, (uintptr_t)start + INSIDE), module);
}

START_TEST(a_segment_of_any_length_is_found) { check_found(INSIDE + 1); }
END_TEST

START_TEST(a_segment_up_to_the_end_of_memory_is_found) {
    check_found(UINT64_MAX - (uintptr_t)start);
}
END_TEST

START_TEST(a_segment_past_the_end_of_memory_counts_for_nothing) {
    ck_assert_ptr_null(find_with_segment(0 - (uint64_t)(uintptr_t)start));
    ck_assert_ptr_null(find_with_segment(UINT64_MAX));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("module_damage");
    TCase *headers = tcase_create("headers");
    tcase_add_checked_fixture(headers, setup, teardown);
    tcase_add_test(headers, a_segment_of_any_length_is_found);
    tcase_add_test(headers, a_segment_up_to_the_end_of_memory_is_found);
    tcase_add_test(headers, a_segment_past_the_end_of_memory_counts_for_nothing);
    suite_add_tcase(suite, headers);
    return suite_run(suite);
}
