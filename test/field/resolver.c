/*
 * resolver: a library with an indirect function, whose choice depends on what dlopen() says. It is
 * resolved while the program is relocated, before a preloaded library is.
 */
#include <dlfcn.h>
#include <stddef.h>

void *resolver_handle(void);

static void *handle;

static void *get_handle(void) { return handle; }
static void *get_null(void) { return NULL; }
__attribute__((used)) static void *(*choose(void))(void) {
    handle = dlopen(FOLDER "/libfield_plugin.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    return handle != NULL ? get_handle : get_null;
}
static void *chosen(void) __attribute__((ifunc("choose")));

void *resolver_handle(void) { return chosen(); }
