/* quiet: a program that does what many do at their start, says so, and waits for the end of its
   input. For start_cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *copy = strdup("a few small blocks");
    void *table = calloc(100, sizeof(void *));
    if (!copy || !table) return 1;
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) continue;
    free(table);
    free(copy);
    return 0;
}
