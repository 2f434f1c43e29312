/*
 * deepbind_plugin: a library that allocates, frees, and opens libraries of its own. The C library
 * loads it, and a second copy of it under another name from its folder `leaf`.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *plugin_make(size_t size);
void *plugin_copy(const char *text);
void plugin_drop(void *block);
void *plugin_open(const char *file, int flags);

void *plugin_make(size_t size) { return malloc(size); }
void *plugin_copy(const char *text) { return strdup(text); }
void plugin_drop(void *block) { free(block); }
void *plugin_open(const char *file, int flags) {
    void *volatile handle = dlopen(file, flags); /* no tail call: the caller is this library */
    return handle;
}
