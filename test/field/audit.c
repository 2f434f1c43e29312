/*
 * audit: a library for LD_AUDIT that looks at every object and every binding, and changes nothing.
 * It lives in a namespace of its own, without moat, and allocates there.
 */
#include <link.h>
#include <stdint.h>
#include <stdlib.h>

static unsigned bindings;
static void *kept;

unsigned la_version(unsigned version) { return version; }

unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie) {
    (void)map, (void)space, (void)cookie;
    free(kept);
    kept = malloc(100);
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

uintptr_t la_symbind64(ElfW(Sym) * symbol, unsigned index, uintptr_t *from, uintptr_t *to,
                       unsigned *flags, const char *name) {
    (void)index, (void)from, (void)to, (void)flags, (void)name;
    bindings++;
    return symbol->st_value;
}
