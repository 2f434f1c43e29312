/*
 * in_front: a library to preload that stands in front of functions of the C library and allocates
 * in each, as time fakers and tracers do.
 *
 * IN_FRONT() defines one: it allocates, also where an allocation has led here again, with an end;
 * then it goes on to the next library's. test/layers holds the list to what moat calls; behind it
 * stand what an allocator may be tempted to call. Their prototypes are ours: the headers' would
 * forbid some. Whose call it was is told by the address that it returns to, so that the program's
 * own calls prove nothing.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 3

static __thread int depth __attribute__((tls_model("initial-exec")));

/* A function here, and whether moat has called it. */
struct met {
    const char *name;
    bool by_moat;
};

static uintptr_t moat_from, moat_to; /* to is 0: not looked for yet */

static int find_moat(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size, (void)unused;
    uintptr_t end = 0;
    if (strstr(object->dlpi_name, "libmoat.so") == NULL) return 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_vaddr + part->p_memsz > end)
            end = part->p_vaddr + part->p_memsz;
    }
    moat_from = object->dlpi_addr;
    __atomic_store_n(&moat_to, object->dlpi_addr + end, __ATOMIC_RELEASE);
    return 1;
}

static void note(struct met *met, const void *caller) {
    static bool looked;
    if (!__atomic_exchange_n(&looked, true, __ATOMIC_RELAXED)) dl_iterate_phdr(find_moat, NULL);
    uintptr_t to = __atomic_load_n(&moat_to, __ATOMIC_ACQUIRE);
    if ((uintptr_t)caller >= moat_from && (uintptr_t)caller < to)
        __atomic_store_n(&met->by_moat, true, __ATOMIC_RELAXED);
}

static void allocate(void) {
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

/* Defines `name`, which takes `parameters` and passes `arguments` on; `caller` calls it. */
#define IN_FRONT_FOR(caller, result, name, parameters, arguments)                                  \
    static struct met met_##name = {#name, false};                                                 \
    result name parameters {                                                                       \
        static result(*real) parameters;                                                           \
        note(&met_##name, caller);                                                                 \
        allocate();                                                                                \
        if (real == NULL) *(void **)&real = next(#name);                                           \
        if (real == NULL) abort();                                                                 \
        return real arguments;                                                                     \
    }
#define IN_FRONT(result, name, parameters, arguments)                                              \
    IN_FRONT_FOR(__builtin_return_address(0), result, name, parameters, arguments)

typedef void function(void);
typedef void destructor(void *);

/* What moat calls. */
IN_FRONT(void *, memset, (void *start, int byte, size_t size), (start, byte, size))
IN_FRONT(void *, memcpy, (void *to, const void *from, size_t size), (to, from, size))
IN_FRONT(int, pthread_key_create, (unsigned *key, destructor *at_end), (key, at_end))
IN_FRONT(int, pthread_key_delete, (unsigned key), (key))
IN_FRONT(void *, pthread_getspecific, (unsigned key), (key))
IN_FRONT(int, pthread_setspecific, (unsigned key, const void *value), (key, value))
IN_FRONT(unsigned long, pthread_self, (void), ())
IN_FRONT(int, pthread_getcpuclockid, (unsigned long thread, int *clock), (thread, clock))
IN_FRONT(int, pthread_atfork, (function * before, function *parent, function *child),
         (before, parent, child))
/* by a jump: the handler tells whose it is */
IN_FRONT_FOR((const void *)child, int, __register_atfork,
             (function * before, function *parent, function *child, void *module),
             (before, parent, child, module))
IN_FRONT(int *, __errno_location, (void), ())
IN_FRONT(int, fputs, (const char *text, FILE *stream), (text, stream))
IN_FRONT(void *, dlsym, (void *handle, const char *name), (handle, name))
IN_FRONT(function *, _ZSt15get_new_handlerv, (void), ())
IN_FRONT(void, _ZSt17__throw_bad_allocv, (void), ())

/* Which of what moat calls it has not called here; NULL: none. For the program, by dlsym.
   pthread_atfork, of which each library has its own, goes on to __register_atfork; the strict level
   fills memory by itself; pthread_key_delete is for the end. */
const char *in_front_unmet(bool strict) {
    const struct met *const all[] = {
        &met_memcpy,
        &met_pthread_key_create,
        &met_pthread_getspecific,
        &met_pthread_setspecific,
        &met_pthread_self,
        &met_pthread_getcpuclockid,
        &met___register_atfork,
        &met___errno_location,
        &met_fputs,
        &met_dlsym,
        &met__ZSt15get_new_handlerv,
        &met__ZSt17__throw_bad_allocv,
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!__atomic_load_n(&all[i]->by_moat, __ATOMIC_RELAXED)) return all[i]->name;
    return strict || __atomic_load_n(&met_memset.by_moat, __ATOMIC_RELAXED) ? NULL : "memset";
}

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
IN_FRONT(long, write, (int file, const void *bytes, size_t size), (file, bytes, size))
