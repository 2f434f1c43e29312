/*
 * rows: the tables of src/ as the compiler reads them, a row a line, cells between tabs. The
 * scripts beside this file compare them with the documents.
 *
 *   stats     name, meaning
 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

static void print_stats(void) {
#define STAT(name, line, unit, text, meaning) printf("%s\t%s\n", #name, meaning);
#include "alloc/stats.def"
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*print)(void);
    } tables[] = {{"stats", print_stats}};
    for (size_t i = 0; count == 2 && i < sizeof tables / sizeof *tables; i++) {
        if (strcmp(arguments[1], tables[i].name) != 0) continue;
        tables[i].print();
        return 0;
    }
    fprintf(stderr, "usage: rows TABLE\n");
    return 2;
}
