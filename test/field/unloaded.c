/*
 * unloaded: a library that moat is linked into goes while threads live that have called it. They
 * end, the process forks, and the library comes again. Argument: the library.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

typedef int use(void);

static void *use_and_unload(void *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != NULL, "dlopen: %s", dlerror());
    use *inside_use = NULL;
    *(void **)&inside_use = dlsym(library, "inside_use");
    REQUIRE(inside_use != NULL && inside_use() == 0, "the library allocates");
    REQUIRE(dlclose(library) == 0, "dlclose: %s", dlerror());
    return path;
}

int main(int count, char **arguments) {
    REQUIRE(count == 2, "usage: unloaded LIBRARY");
    for (unsigned i = 0; i < 10; i++) {
        pthread_t thread;
        int status = 0;
        REQUIRE(pthread_create(&thread, NULL, use_and_unload, arguments[1]) == 0, "pthread_create");
        REQUIRE(pthread_join(thread, NULL) == 0, "pthread_join");
        pid_t child = fork();
        if (child == 0) _exit(use_and_unload(arguments[1]) == NULL);
        REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child: %#x",
                (unsigned)status);
    }
    return 0;
}
