/*
 * tracer_dlsym: a library that has a dlsym() of its own, as overlays for games do. It asks the C
 * library in its own name: who says RTLD_NEXT is told what comes behind this library, not behind
 * himself. Preloaded before moat, it leads moat's dlopen back to moat's dlopen.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *dlsym(void *restrict handle, const char *restrict name) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    void *(*real)(void *, const char *) = NULL;
    void *symbol = NULL;
    for (size_t i = 0; symbol == NULL && i < sizeof versions / sizeof *versions; i++)
        symbol = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    if (symbol == NULL) abort();
    memcpy(&real, &symbol, sizeof symbol);
    void *volatile found = real(handle, name); /* no tail call: the caller is this library */
    return found;
}
