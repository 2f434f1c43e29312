/*
 * throw_plugin_host: a C program without a C++ runtime, and C++ libraries that come by
 * dlopen(RTLD_LOCAL): nothing of their runtime is in the global scope where moat is. Arguments: the
 * libraries. Before the first, with no runtime at all, new out of memory must end with one clear
 * line.
 */
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "api.h"

static void new_without_a_runtime(void *unused) {
    (void)unused;
    (void)family.new_plain((size_t)1 << 46);
}

int main(int count, char **names) {
    require_moat(30);
    REQUIRE(count > 1, "usage: throw_plugin_host LIBRARY...");
    REQUIRE(dlopen("libstdc++.so.6", RTLD_NOLOAD | RTLD_LAZY) == NULL,
            "this program has libstdc++ already");
    char text[1024];
    int status = run_child(10, new_without_a_runtime, NULL, text, sizeof text);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x without a runtime",
            status);
    REQUIRE(strncmp(text, "moat: fatal: out-of-memory: ", 28) == 0, "without a runtime: %.200s",
            text);
    for (int i = 1; i < count; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        REQUIRE(library != NULL, "%s", dlerror());
        void *symbol = dlsym(library, "plugin_run");
        int (*run)(void);
        memcpy(&run, &symbol, sizeof run);
        int step = run();
        REQUIRE(step == 0, "%s: step %d failed", names[i], step);
        dlclose(library);
    }
    return 0;
}
