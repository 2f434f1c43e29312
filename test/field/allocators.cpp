/*
 * allocators: a C++ program that uses the whole family from several threads, in a process with more
 * than one allocator. A block that one gives and another is given back ends it.
 *
 * Arguments: whose malloc comes first, "moat" or "other"; then how: "mixed" hands blocks of new to
 * free, as most C++ runtimes allow; "counted" uses neither that nor aligned blocks, for a library
 * in front that puts a header of its own before each block.
 */
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#define _Noreturn [[noreturn]]
#include "family.h"
#include "require.h"
#undef _Noreturn
void *__libc_malloc(size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);
/* Of moat or of a new C library. */
void free_sized(void *block, size_t size) __attribute__((weak));
void free_aligned_sized(void *block, size_t alignment, size_t size) __attribute__((weak));
void cfree(void *block) __attribute__((weak));
}

static bool mixed, counted;

struct alignas(128) Wide {
    char bytes[300];
};

static void use_c(size_t i) {
    auto *block = static_cast<char *>(malloc(i * 37 + 1));
    block = static_cast<char *>(realloc(block, i * 91 + 5));
    block = static_cast<char *>(reallocarray(block, i + 3, 17));
    memset(block, 1, (i + 3) * 17);
    free(block);
    free(calloc(i + 1, 9));
    free(strdup("a block that the C library asks for"));
    if (cfree != nullptr) cfree(malloc(i));
    /* by the names that lead past whoever stands in front: to themselves alone */
    __libc_free(__libc_realloc(__libc_malloc(i), i + 100));
    __libc_free(__libc_memalign(64, i));
}

static void use_aligned(size_t i) {
    void *block = nullptr;
    free(memalign(64, i + 1));
    free(aligned_alloc(64, 640));
    REQUIRE(posix_memalign(&block, 4096, i + 1) == 0, "no memory");
    free(block);
    free(valloc(i + 1));
    free(pvalloc(i + 1));
    if (free_sized != nullptr) free_sized(malloc(100), 100);
    if (free_aligned_sized != nullptr) free_aligned_sized(aligned_alloc(64, 128), 64, 128);
}

static void use_operators(size_t i) {
    delete new int;
    delete[] new int[i + 1];
    delete new Wide;
    delete[] new Wide[i % 7 + 1];
    operator delete(operator new(i), i);
    operator delete[](operator new[](i), i);
    operator delete(operator new(i, std::nothrow), std::nothrow);
    operator delete[](operator new[](i, std::nothrow), std::nothrow);
    constexpr std::align_val_t line{64};
    operator delete(operator new(i + 1, line), i + 1, line);
    operator delete[](operator new[](i + 1, line), i + 1, line);
    operator delete(operator new(i + 1, line, std::nothrow), line, std::nothrow);
    std::map<size_t, std::string> words;
    for (size_t word = 0; word < 10; word++) words[word] = std::string(i, 'x');
}

/* The compiler need not know where a block comes from. */
static void use_both(size_t i) {
    free(launder(operator new(i + 1)));
    free(launder(operator new[](i + 1)));
    free(launder(operator new(i + 1, std::align_val_t{64})));
    operator delete(launder(malloc(i + 1)));
    operator delete[](launder(malloc(i + 1)));
}

static void use_all() {
    for (size_t i = 0; i < 400; i++) {
        use_c(i);
        use_operators(i);
        if (!counted) use_aligned(i);
        if (mixed) use_both(i);
    }
    char *line = nullptr;
    size_t size = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (file != nullptr && getline(&line, &size, file) > 0) continue;
    if (file != nullptr) fclose(file);
    free(line);
    malloc_trim(0);
}

int main(int count, char **arguments) {
    REQUIRE(count == 3, "usage: allocators moat|other mixed|counted|plain");
    alarm(60);
    mixed = strcmp(arguments[2], "mixed") == 0;
    counted = strcmp(arguments[2], "counted") == 0;
    family_find();
    REQUIRE(family.owns != nullptr, "moat is not in this process");
    void *block = launder(malloc(100));
    bool expected = strcmp(arguments[1], "moat") == 0;
    REQUIRE(family.owns(block) == expected, "malloc is not of %s", arguments[1]);
    free(block);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back(use_all);
    for (std::thread &thread : threads) thread.join();
    pid_t child = fork();
    if (child == 0) {
        use_all();
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "the child ended with %d", status);
    return 0;
}
