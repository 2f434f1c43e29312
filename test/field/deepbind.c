/*
 * deepbind: a program and a plugin that it loads with RTLD_DEEPBIND hand blocks to and fro.
 *
 * With the flag, the plugin finds the C library's malloc before moat's, and each block that crosses
 * ends the process; so it must be gone, and nothing else of dlopen() may be. The plugin is found by
 * this program's RUNPATH, and its own library by the plugin's.
 *
 * Argument: crosses, foreign (the flag is kept), except (kept for the plugin, not for its library),
 * namespace, traced (a library behind moat has a dlopen too), resolver (an indirect function of a
 * library loads the plugin), threads; behind it "audited" where the audit library must see the
 * process. Everything else is the environment's: test/field/CMakeLists.txt.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audited.h"
#include "family.h"
#include "require.h"

#define PLUGIN "libfield_plugin.so"
#define LEAF "libfield_leaf.so"
#define DEEP (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)

/* A program that was linked before glibc 2.34 asks for the dlopen of libdl.so.2. */
#ifdef OLD_NAME
__asm__(".symver dlopen, dlopen@" OLD_NAME);
#endif

struct plugin {
    void *handle;
    void *(*make)(size_t);
    void *(*copy)(const char *);
    void (*drop)(void *);
    void *(*open)(const char *, int);
};

static struct plugin plugin_of(void *handle) {
    struct plugin plugin = {.handle = handle};
    REQUIRE(handle != NULL, "dlopen: %s", dlerror());
    void *symbol = dlsym(handle, "plugin_make");
    memcpy(&plugin.make, &symbol, sizeof symbol);
    symbol = dlsym(handle, "plugin_copy");
    memcpy(&plugin.copy, &symbol, sizeof symbol);
    symbol = dlsym(handle, "plugin_drop");
    memcpy(&plugin.drop, &symbol, sizeof symbol);
    symbol = dlsym(handle, "plugin_open");
    memcpy(&plugin.open, &symbol, sizeof symbol);
    REQUIRE(plugin.make && plugin.copy && plugin.drop && plugin.open, "dlsym: %s", dlerror());
    return plugin;
}

/* Before any constructor, and before the program has asked for a block. */
static void *opened_first;
static void open_first(int count, char **arguments, char **environment) {
    (void)environment;
    static const char *const when[] = {"crosses", "foreign", "except"};
    for (size_t i = 0; count >= 2 && i < sizeof when / sizeof *when; i++)
        if (strcmp(arguments[1], when[i]) == 0) opened_first = dlopen(PLUGIN, DEEP);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const before_all)(int, char **, char **) = open_first;

static void hand_blocks_over(const struct plugin *plugin) {
    for (size_t size = 1; size < (size_t)4 << 20; size = size * 3 + 1) {
        char *theirs = plugin->make(size), *ours = malloc(size);
        REQUIRE(theirs != NULL && ours != NULL, "no memory");
        REQUIRE(family.owns(theirs), "the plugin's malloc(%zu) is not moat's", size);
        memset(theirs, 1, size);
        memset(ours, 2, size);
        theirs = realloc(theirs, size + 100);
        free(theirs);
        plugin->drop(ours);
    }
    /* the C library's block, freed in the plugin and in the program */
    plugin->drop(strdup("the program's copy"));
    plugin->drop(plugin->copy("its own copy"));
    free(plugin->copy("the plugin's copy"));
}

static void check_foreign(const struct plugin *plugin) {
    void *theirs = plugin->make(200);
    REQUIRE(theirs != NULL && !family.owns(theirs), "the plugin has moat's malloc");
    plugin->drop(theirs);
}

/* What the C library takes from its caller's address: this program has no RUNPATH to the leaf. */
static struct plugin open_leaf(const struct plugin *plugin) {
    REQUIRE(dlopen(LEAF, DEEP) == NULL, "the program finds the plugin's library");
    REQUIRE(strstr(dlerror(), LEAF ": cannot open shared object file") != NULL,
            "dlerror() does not say what was not found");
    void *by_origin = plugin->open("$ORIGIN/leaf/" LEAF, DEEP);
    REQUIRE(by_origin != NULL, "$ORIGIN is not the plugin's folder: %s", dlerror());
    REQUIRE(dlclose(by_origin) == 0, "dlclose: %s", dlerror());
    return plugin_of(plugin->open(LEAF, DEEP));
}

static void check_crosses(void) {
    struct plugin plugin = plugin_of(opened_first), again = plugin_of(dlopen(PLUGIN, DEEP));
    REQUIRE(plugin.handle == again.handle, "two plugins");
    hand_blocks_over(&plugin);
    struct plugin leaf = open_leaf(&plugin);
    hand_blocks_over(&leaf);
    REQUIRE(dlopen(NULL, RTLD_NOW | RTLD_DEEPBIND) != NULL, "dlopen(NULL): %s", dlerror());
    char *outlives = plugin.make(1000);
    dlclose(leaf.handle);
    dlclose(again.handle);
    dlclose(plugin.handle);
    free(outlives);
}

/* A library for which the flag is kept also has the C library's dlopen: what it opens with the flag
   has it too. */
static void check_except(void) {
    struct plugin plugin = plugin_of(opened_first);
    check_foreign(&plugin);
    struct plugin leaf = plugin_of(plugin.open(LEAF, DEEP));
    check_foreign(&leaf);
    dlclose(leaf.handle);
    leaf = plugin_of(dlopen(FOLDER "/leaf/" LEAF, DEEP));
    hand_blocks_over(&leaf);
}

/* A namespace has a C library of its own, and what is opened in it stays in it. */
static void check_namespace(void) {
    Lmid_t outer = LM_ID_BASE, inner = LM_ID_BASE;
    struct plugin plugin = plugin_of(dlmopen(LM_ID_NEWLM, PLUGIN, RTLD_NOW | RTLD_DEEPBIND));
    check_foreign(&plugin);
    struct plugin leaf = plugin_of(plugin.open(LEAF, DEEP));
    REQUIRE(dlinfo(plugin.handle, RTLD_DI_LMID, &outer) == 0, "dlinfo: %s", dlerror());
    REQUIRE(dlinfo(leaf.handle, RTLD_DI_LMID, &inner) == 0, "dlinfo: %s", dlerror());
    REQUIRE(outer != LM_ID_BASE && inner == outer, "the namespaces are %ld and %ld", (long)outer,
            (long)inner);
    check_foreign(&leaf);
}

/* The library behind moat sees what the C library would have seen. */
static void check_traced(void) {
    int (*last_flags)(void) = NULL;
    const void *(*last_caller)(void) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "traced_flags");
    memcpy(&last_flags, &symbol, sizeof symbol);
    symbol = dlsym(RTLD_DEFAULT, "traced_caller");
    memcpy(&last_caller, &symbol, sizeof symbol);
    REQUIRE(last_flags != NULL && last_caller != NULL, "the tracer is not here");
    struct plugin plugin = plugin_of(dlopen(FOLDER "/" PLUGIN, DEEP));
    Dl_info caller, self;
    REQUIRE(dladdr(last_caller(), &caller) != 0 && dladdr((const void *)&family, &self) != 0,
            "no object has the caller's address");
    REQUIRE(caller.dli_fbase == self.dli_fbase, "dlopen was called from %s", caller.dli_fname);
    REQUIRE(last_flags() == DEEP || last_flags() == (DEEP & ~RTLD_DEEPBIND), "flags %x",
            (unsigned)last_flags());
    hand_blocks_over(&plugin);
}

static void check_resolver(void) {
    void *(*resolver_handle)(void) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "resolver_handle");
    memcpy(&resolver_handle, &symbol, sizeof symbol);
    REQUIRE(resolver_handle != NULL, "the library with the resolver is not here");
    struct plugin plugin = plugin_of(resolver_handle());
    hand_blocks_over(&plugin);
}

static void *open_and_close(void *unused) {
    for (unsigned round = 0; round < 300; round++) {
        struct plugin plugin = plugin_of(dlopen(PLUGIN, DEEP));
        char *block = plugin.make(round + 1);
        dlclose(plugin.handle);
        free(block);
    }
    return unused;
}

static void check_threads(void) {
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, open_and_close, NULL) == 0, "no thread");
    for (size_t i = 0; i < 8; i++) pthread_join(threads[i], NULL);
}

int main(int count, char **arguments) {
    const char *how = count >= 2 ? arguments[1] : "";
    bool audited = count == 3 && strcmp(arguments[2], "audited") == 0;
    alarm(60);
    family_find();
    REQUIRE(family_is_moat(), "malloc is not moat's");
    REQUIRE(is_audited() == audited, "audit library: %d", !audited);
    if (strcmp(how, "crosses") == 0) {
        check_crosses();
    } else if (strcmp(how, "foreign") == 0) {
        struct plugin plugin = plugin_of(opened_first);
        check_foreign(&plugin);
    } else if (strcmp(how, "except") == 0) {
        check_except();
    } else if (strcmp(how, "namespace") == 0) {
        check_namespace();
    } else if (strcmp(how, "traced") == 0) {
        check_traced();
    } else if (strcmp(how, "resolver") == 0) {
        check_resolver();
    } else {
        REQUIRE(strcmp(how, "threads") == 0, "usage: deepbind HOW");
        check_threads();
    }
    return 0;
}
