/*
 * in_front: a library to preload that stands in front of functions of the C library and allocates
 * in each, as time fakers and tracers do.
 *
 * IN_FRONT() defines one: it allocates, also where an allocation has led here again, with an end;
 * then it goes on to the next library's. test/layers holds the list to what moat calls; behind it
 * stand what an allocator may be tempted to call. Their prototypes are ours: the headers' would
 * forbid some.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 3

static __thread int depth __attribute__((tls_model("initial-exec")));
unsigned long in_front_calls; /* how often anything here was called; for the program, by dlsym */

static void allocate(void) {
    __atomic_fetch_add(&in_front_calls, 1, __ATOMIC_RELAXED);
    if (depth >= DEPTH_MAX) return;
    depth++;
    char *volatile small = malloc(40);
    char *volatile other = malloc(3000);
    if (small != NULL) small[0] = 1;
    free(small);
    free(other);
    depth--;
}

/* The next library's, found once: by its version, since dlsym is one of them. */
static void *next(const char *name) {
    static const char versions[][20] = {"GLIBC_2.34",  "GLIBC_2.25",  "GLIBC_2.17",
                                        "GLIBC_2.16",  "GLIBC_2.14",  "GLIBC_2.3.2",
                                        "GLIBC_2.2.5", "GLIBCXX_3.4", "GLIBCXX_3.4.20"};
    void *address = NULL;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0] && address == NULL; i++)
        address = dlvsym(RTLD_NEXT, name, versions[i]);
    return address;
}

/* Defines `name`, which takes `parameters` and passes `arguments` on. */
#define IN_FRONT(result, name, parameters, arguments)                                              \
    result name parameters {                                                                       \
        static result(*real) parameters;                                                           \
        allocate();                                                                                \
        if (real == NULL) *(void **)&real = next(#name);                                           \
        if (real == NULL) abort();                                                                 \
        return real arguments;                                                                     \
    }

typedef void function(void);
typedef void destructor(void *);

/* What moat calls. */
IN_FRONT(void *, memset, (void *start, int byte, size_t size), (start, byte, size))
IN_FRONT(void *, memcpy, (void *to, const void *from, size_t size), (to, from, size))
IN_FRONT(int, pthread_key_create, (unsigned *key, destructor *at_end), (key, at_end))
IN_FRONT(void *, pthread_getspecific, (unsigned key), (key))
IN_FRONT(int, pthread_setspecific, (unsigned key, const void *value), (key, value))
IN_FRONT(int, pthread_atfork, (function * before, function *parent, function *child),
         (before, parent, child))
IN_FRONT(int, __register_atfork,
         (function * before, function *parent, function *child, void *module),
         (before, parent, child, module))
IN_FRONT(int *, __errno_location, (void), ())
IN_FRONT(int, fputs, (const char *text, FILE *stream), (text, stream))
IN_FRONT(void *, dlsym, (void *handle, const char *name), (handle, name))
IN_FRONT(function *, _ZSt15get_new_handlerv, (void), ())
IN_FRONT(void, _ZSt17__throw_bad_allocv, (void), ())

/* What it does not call. */
IN_FRONT(void *, memmove, (void *to, const void *from, size_t size), (to, from, size))
IN_FRONT(int, memcmp, (const void *a, const void *b, size_t size), (a, b, size))
IN_FRONT(int, clock_gettime, (int clock, void *now), (clock, now))
IN_FRONT(int, gettimeofday, (void *now, void *zone), (now, zone))
IN_FRONT(unsigned long, getauxval, (unsigned long kind), (kind))
IN_FRONT(char *, getenv, (const char *name), (name))
IN_FRONT(char *, secure_getenv, (const char *name), (name))
IN_FRONT(long, sysconf, (int name), (name))
IN_FRONT(int, getpagesize, (void), ())
IN_FRONT(long, syscall, (long number, long a, long b, long c, long d, long e, long f),
         (number, a, b, c, d, e, f))
IN_FRONT(void *, mmap, (void *at, size_t size, int access, int flags, int file, long offset),
         (at, size, access, flags, file, offset))
IN_FRONT(int, munmap, (void *at, size_t size), (at, size))
IN_FRONT(int, mprotect, (void *at, size_t size, int access), (at, size, access))
IN_FRONT(int, madvise, (void *at, size_t size, int advice), (at, size, advice))
IN_FRONT(long, getrandom, (void *bytes, size_t size, unsigned flags), (bytes, size, flags))
IN_FRONT(int, getpid, (void), ())
IN_FRONT(int, sched_yield, (void), ())
IN_FRONT(unsigned long, pthread_self, (void), ())
IN_FRONT(long, write, (int file, const void *bytes, size_t size), (file, bytes, size))
