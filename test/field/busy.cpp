/*
 * busy: a program that leads moat through all it does, for whatever stands beside it.
 *
 * Threads with blocks of every kind, their ends, children, memory that goes back after a delay, and
 * calls that fail for want of memory. Arguments: "in_front" where each function of the library
 * in_front that moat calls must have met a call of moat's ("strict": at that level); "audited"
 * where the audit library must see the process.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#define _Noreturn [[noreturn]]
#include "audited.h"
#include "family.h"
#include "require.h"
#undef _Noreturn
}

static const size_t too_much = static_cast<size_t>(1) << 46;

static void fill_and_free() {
    static const size_t rounds = 20, blocks = 400;
    char *held[blocks];
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < blocks; i++) {
            size_t size = i * i % 20000 + 1;
            held[i] = static_cast<char *>(i % 3 != 0 ? malloc(size) : calloc(1, size));
            REQUIRE(held[i] != nullptr, "no memory");
            held[i][size - 1] = 1;
        }
        for (size_t i = 0; i < blocks; i += 7) {
            held[i] = static_cast<char *>(realloc(held[i], 30000));
            REQUIRE(held[i] != nullptr, "no memory");
        }
        for (char *block : held) free(block);
    }
    char *huge = static_cast<char *>(malloc(3 << 20));
    REQUIRE(huge != nullptr, "no memory");
    memset(huge, 1, 3 << 20);
    huge = static_cast<char *>(realloc(huge, 90 << 20));
    REQUIRE(huge != nullptr && huge[(3 << 20) - 1] == 1, "a huge block lost its contents");
    free(huge);
    free(malloc(0));
    usleep(15000); /* longer than unused memory is kept */
    free(malloc(2 << 20));
    free(malloc(100000));
}

static void fail_for_want_of_memory() {
    errno = 0;
    REQUIRE(malloc(too_much) == nullptr && errno == ENOMEM, "errno %d", errno);
    void *block = nullptr;
    REQUIRE(posix_memalign(&block, 64, too_much) == ENOMEM, "posix_memalign");
    bool thrown = false;
    try {
        void *volatile never = operator new(too_much);
        operator delete(never);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    REQUIRE(thrown, "no exception");
}

static void *work(void *argument) {
    fill_and_free();
    return argument;
}

static void in_child(void (*act)()) {
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        act();
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "a child ended with %x", status);
}

static void fork_again() {
    fill_and_free();
    in_child(fill_and_free);
}

static void check_in_front(bool strict) {
    auto *unmet = reinterpret_cast<const char *(*)(bool)>(dlsym(RTLD_DEFAULT, "in_front_unmet"));
    REQUIRE(unmet != nullptr, "nothing stands in front");
    const char *name = unmet(strict);
    REQUIRE(name == nullptr, "no call of moat's was met by %s", name);
}

static bool has(char **arguments, const char *word) {
    while (*++arguments != nullptr)
        if (strcmp(*arguments, word) == 0) return true;
    return false;
}

int main(int, char **arguments) {
    alarm(100);
    pthread_t threads[4];
    family_find();
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    for (pthread_t &thread : threads)
        REQUIRE(pthread_create(&thread, nullptr, work, nullptr) == 0, "no thread");
    in_child(fork_again);
    for (pthread_t thread : threads) REQUIRE(pthread_join(thread, nullptr) == 0, "join");
    fill_and_free();
    fail_for_want_of_memory();
    malloc_trim(0);
    malloc_stats();
    FILE *nowhere = fopen("/dev/null", "w");
    REQUIRE(nowhere != nullptr && malloc_info(0, nowhere) == 0, "malloc_info");
    fclose(nowhere);
    REQUIRE(dlopen(nullptr, RTLD_NOW) != nullptr, "dlopen: %s", dlerror());
    if (has(arguments, "in_front")) check_in_front(has(arguments, "strict"));
    if (has(arguments, "audited")) REQUIRE(is_audited(), "no audit library sees this process");
    say("right");
    return 0;
}
