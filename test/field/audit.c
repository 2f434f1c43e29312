/*
 * audit: a library for LD_AUDIT that looks at every object and every binding, and changes nothing
 * but what one function answers, by which a program sees that it is there (audited.h). It lives in
 * a namespace of its own, without moat, and allocates there.
 */
#include <link.h>
#include <stdint.h>
#include <stdio.h>

#include "audited.h"

static unsigned bindings;
static void *kept;

static const char *say_bindings(void) {
    static char text[40];
    snprintf(text, sizeof text, AUDITED_ANSWER "%u", __atomic_load_n(&bindings, __ATOMIC_RELAXED));
    return text;
}

unsigned la_version(unsigned version) { return version; }

unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie) {
    (void)map, (void)space, (void)cookie;
    free(kept);
    kept = malloc(100);
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

uintptr_t la_symbind64(ElfW(Sym) * symbol, unsigned index, uintptr_t *from, uintptr_t *to,
                       unsigned *flags, const char *name) {
    (void)index, (void)from, (void)to, (void)flags;
    __atomic_fetch_add(&bindings, 1, __ATOMIC_RELAXED);
    return strcmp(name, AUDITED_FUNCTION) == 0 ? (uintptr_t)say_bindings : symbol->st_value;
}
