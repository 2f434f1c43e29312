/*
 * indirect: a program that never says malloc itself; the C library does. A linker that looks for
 * unused libraries must not take moat for one.
 */
#include <stdio.h>
#include <string.h>

int main(void) {
    char *copy = strdup("copied"), line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long address = (unsigned long)copy, start, end;
    int in_heap = 0, found = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx", &start, &end) != 2 || address < start || address >= end)
            continue;
        found = 1;
        /* where the C library's malloc puts a small block */
        in_heap = strstr(line, "[heap]") != NULL;
    }
    if (!found || in_heap) {
        fputs("indirect: failed: strdup allocates from the C library's heap\n", stderr);
        return 1;
    }
    puts("ok");
    return 0;
}
