/*
 * test_module: finding modules by their headers alone, as samples do (src/report/module.h). The
 * rest of it is tried with the walks, in test_backtrace.c.
 */
#include "report/module.h"

#include "suite.h"
#include <sys/mman.h>

/* As far as is searched below an address, and what counts as one place. */
#define SEARCHED ((size_t)16 * MIB)
#define PLACE ((size_t)2 * MIB)

static struct module_table table;

static bool is_found(const void *code) { return module_find(&table, (uintptr_t)code) != NULL; }

static void begin(void) {
    module_table_reset(&table);
    table.by_headers = true;
}

/* As in a program with generated code, or with code far behind its header. */
START_TEST(of_places_without_a_module_few_are_searched_and_each_once) {
    const char *code = (const char *)(uintptr_t)&module_find;
    size_t size = SEARCHED + (MODULE_IN_VAIN + 2) * PLACE;
    void *mapped = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(mapped, MAP_FAILED);
    const char *nowhere = (const char *)round_up((uintptr_t)mapped, PLACE) + SEARCHED;

    begin();
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(!is_found(nowhere + i % (MODULE_IN_VAIN - 1) * PLACE));
    ck_assert_uint_eq(table.in_vain_count, MODULE_IN_VAIN - 1);
    ck_assert(is_found(code));

    begin();
    for (unsigned i = 0; i <= MODULE_IN_VAIN; i++) ck_assert(!is_found(nowhere + i * PLACE));
    ck_assert_uint_eq(table.in_vain_count, MODULE_IN_VAIN);
    ck_assert(!is_found(code));

    begin();
    ck_assert(is_found(code));
    munmap(mapped, size);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("module");
    TCase *headers = tcase_create("headers");
    tcase_add_test(headers, of_places_without_a_module_few_are_searched_and_each_once);
    suite_add_tcase(suite, headers);
    return suite_run(suite);
}
