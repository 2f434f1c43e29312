#!/bin/sh
# generate-c.sh N: a C program of about 16 N lines on standard output, which prints one number when it is run.
exec awk -v count="${1:?usage: generate-c.sh N}" 'BEGIN {
    print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
    for (i = 0; i < count; i++) {
        printf "struct s%d { int a[%d]; struct s%d *next; double d; const char *name; };\n", i, i % 7 + 1, i
        printf "static const char *const names%d[] = {\"n%d\", \"m%d\", \"long name %d\"};\n", i, i, i * 3, i * 7
        printf "static unsigned f%d(unsigned x, struct s%d *s) {\n", i, i
        printf "    unsigned h = %uu;\n", i * 2654435 % 4000000000
        printf "    for (unsigned i = 0; i < x %% %du + 3; i++) {\n", i % 13 + 5
        printf "        h = h * %du + (unsigned)s->a[i %% %du];\n", i * 2 + 31, i % 7 + 1
        printf "        switch (h %% 5) {\n        case 0: h ^= %du; break;\n        case 1: h += i; break;\n", i
        printf "        case 2: h -= (unsigned)strlen(s->name); break;\n"
        printf "        default: h = (h << 3) | (h >> 29);\n        }\n    }\n"
        printf "    return h;\n}\n"
    }
    print "int main(void) {\n    unsigned total = 0;"
    for (i = 0; i < count; i++)
        printf "    { struct s%d *s = calloc(1, sizeof *s); s->name = names%d[%d]; total ^= f%d(%du + total, s); free(s); }\n", \
            i, i, i % 3, i, i * 11
    print "    printf(\"%u\\n\", total);\n    return 0;\n}"
}'
