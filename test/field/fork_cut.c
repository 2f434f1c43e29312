/*
 * fork_cut: whether what a forked child has of its parent's memory is a consistent cut, which
 * process/fork.c rests on.
 *
 * Threads write increasing numbers into many pages of memory in turn, and copy what the next thread
 * wrote last. A child must find every number that came before one that it finds, and no copy
 * without its original. It knows nothing of moat: what fails here is the machine's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

enum { THREADS = 3, PAGES = 512, COPIES = 5, LAST = PAGES + COPIES, ALL, WORDS = 512 };

/* A word in each page: numbers in the first PAGES, then copies, then the last number. */
static volatile uint64_t *memory[THREADS];
static volatile bool stop;

static volatile uint64_t *word_of(size_t thread, size_t page) {
    return &memory[thread][page * WORDS];
}
/* Not in the order of addresses, in which the kernel copies. */
static size_t page_of_number(uint64_t number) { return (size_t)(number * 197 % PAGES); }

static void *write_numbers(void *argument) {
    size_t self = (size_t)argument;
    for (uint64_t number = 1; !stop; number++) {
        __atomic_store_n(word_of(self, page_of_number(number)), number, __ATOMIC_RELEASE);
        if (number % 7 == 0) {
            uint64_t theirs =
                __atomic_load_n(word_of((self + 1) % THREADS, LAST), __ATOMIC_ACQUIRE);
            __atomic_store_n(word_of(self, PAGES + number % COPIES), theirs, __ATOMIC_RELEASE);
        }
        __atomic_store_n(word_of(self, LAST), number, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void require_cut(size_t thread) {
    uint64_t most = 0, last = *word_of(thread, LAST);
    for (size_t page = 0; page < PAGES; page++)
        if (*word_of(thread, page) > most) most = *word_of(thread, page);
    for (uint64_t number = most; number > 0 && most - number < PAGES; number--)
        REQUIRE(*word_of(thread, page_of_number(number)) == number,
                "number %zu is there, and %zu, which came before, is not", (size_t)most,
                (size_t)number);
    REQUIRE(last == most || last + 1 == most, "the last number is %zu, not %zu", (size_t)last,
            (size_t)most);
    for (size_t copy = 0; copy < COPIES; copy++)
        REQUIRE(*word_of(thread, PAGES + copy) <= *word_of((thread + 1) % THREADS, LAST),
                "a copy is there without its original");
}

int main(int count, char **arguments) {
    pthread_t threads[THREADS];
    int forks = count > 1 ? atoi(arguments[1]) : 300, moved = 0;
    alarm(200);
    for (size_t i = 0; i < THREADS; i++) {
        memory[i] = mmap(NULL, ALL * WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory[i] != MAP_FAILED, "mmap: errno %d", errno);
        /* a page is copied or not, and not many at once */
        madvise((void *)(uintptr_t)memory[i], ALL * WORDS * sizeof(uint64_t), MADV_NOHUGEPAGE);
    }
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, write_numbers, (void *)i) == 0, "pthread_create");
    for (int i = 0; i < forks; i++) {
        int status;
        uint64_t before = *word_of(0, LAST);
        pid_t child = fork();
        REQUIRE(child >= 0, "fork: errno %d", errno);
        if (child == 0) {
            for (size_t thread = 0; thread < THREADS; thread++) require_cut(thread);
            _exit(0);
        }
        moved += *word_of(0, LAST) != before;
        REQUIRE(waitpid(child, &status, 0) == child && status == 0, "child %d: status %#x", i,
                (unsigned)status);
    }
    REQUIRE(moved > 0, "no thread ran during a fork");
    stop = true;
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    say("%d forks, a thread went on during %d", forks, moved);
    return 0;
}
