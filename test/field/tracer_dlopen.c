/*
 * tracer_dlopen: a library that has a dlopen() of its own, as tracers do, and goes on to the next.
 * It says what it was called with. Preloaded before or behind moat.
 */
#include <dlfcn.h>
#include <string.h>

int traced_flags(void);
const void *traced_caller(void);

static int last_flags;
static const void *last_caller;

int traced_flags(void) { return last_flags; }
const void *traced_caller(void) { return last_caller; }

void *dlopen(const char *file, int flags) {
    void *(*next)(const char *, int) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "dlopen");
    memcpy(&next, &symbol, sizeof symbol);
    last_flags = flags;
    last_caller = __builtin_return_address(0);
    return next(file, flags);
}
