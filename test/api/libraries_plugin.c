/* libraries_plugin: a library that allocates and frees, with a constructor and a destructor that
   do. */
#include <stdlib.h>
#include <string.h>

void *plugin_make(size_t size);
void plugin_drop(void *block);

static char *at_start;

__attribute__((constructor)) static void start(void) {
    at_start = malloc(300);
    if (at_start) memset(at_start, 7, 300);
}
__attribute__((destructor)) static void end(void) { free(at_start); }

void *plugin_make(size_t size) { return malloc(size); }
void plugin_drop(void *block) { free(block); }
