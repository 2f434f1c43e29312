/*
 * libraries: blocks cross between a program and a library that it loads and unloads. Arguments: the
 * library; "keep": by deepbind=keep in the environment a library with RTLD_DEEPBIND has the C
 * library's allocator, and a block of that is recognised by its address when it reaches moat.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

static void *(*make)(size_t);
static void (*drop)(void *);

static void *load(const char *name, int flags) {
    void *library = dlopen(name, flags);
    REQUIRE(library != NULL, "%s", dlerror());
    void *symbol = dlsym(library, "plugin_make");
    memcpy(&make, &symbol, sizeof make);
    symbol = dlsym(library, "plugin_drop");
    memcpy(&drop, &symbol, sizeof drop);
    return library;
}

static void free_foreign(void *block) { free(block); }
static void resize_foreign(void *block) { block = realloc(block, 4000); }

static void check_deep(const char *name) {
    void *deep = load(name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    void *foreign = make(200);
    REQUIRE(foreign != NULL && !family.owns(foreign),
            "under RTLD_DEEPBIND the library has moat's malloc");
    require_report("invalid-free", "free of an address outside the heap", free_foreign, foreign);
    char text[16384];
    int status = run_child(10, resize_foreign, foreign, text, sizeof text);
    REQUIRE(status != 0 && strncmp(text, "moat: fatal: invalid-free: ", 27) == 0,
            "realloc of a foreign block: %.100s", text);
    drop(foreign);
    dlclose(deep);
}

int main(int count, char **arguments) {
    require_moat(30);
    REQUIRE(count == 2 || count == 3, "usage: libraries LIBRARY [keep]");
    if (count == 3) {
        check_deep(arguments[1]);
        return 0;
    }
    for (unsigned round = 0; round < 50; round++) {
        void *library = load(arguments[1], RTLD_NOW | (round % 2 ? RTLD_GLOBAL : RTLD_LOCAL));
        void *theirs = make(200), *ours = malloc(200);
        REQUIRE(family.owns(theirs), "the library's block is not moat's");
        free(theirs);
        drop(ours);
        void *outlives = make(1000);
        dlclose(library);
        memset(outlives, 1, 1000);
        free(outlives);
    }
    return 0;
}
