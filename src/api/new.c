/*
 * new: C++'s twenty operators new and delete, from C by their mangled names.
 *
 * No part of the C++ runtime is needed: a C program that gets moat and never meets C++ runs the
 * same file. Only when memory has run out does the cold end of this file look for the runtime of
 * the program, to run its new-handler and to throw std::bad_alloc; it is compiled with
 * -fexceptions, for that exception passes through its frames.
 *
 * A program may replace single operators. The standard says what the others do then: new[] calls
 * new, the sized and the nothrow deletes call the plain one, and so on. Every derived operator here
 * asks first whether those it stands on are moat's own, so that a block of the program's own
 * operator new never reaches moat's delete. All twenty are weak, for static links with a program
 * that replaces some.
 *
 * In a process whose malloc is another's the operators stand on that, as those of a C++ runtime do:
 * off the fast path, which finds no block there.
 */
#include <dlfcn.h>
#include <stdlib.h>

#include "report/report.h"
#include "api/own.h"
#include "api/posix.h"

/* In the mangled names St11align_val_t is a size_t; RKSt9nothrow_t is a reference to an empty
   object that is never read. */
typedef const void *nothrow_t;

/* The suffix m is size_t (unsigned long) on every 64-bit system with this C++ ABI. */
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, nothrow_t tag);
void *_ZnamRKSt9nothrow_t(size_t size, nothrow_t tag);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, nothrow_t tag);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment, nothrow_t tag);
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvRKSt9nothrow_t(void *block, nothrow_t tag);
void _ZdaPvRKSt9nothrow_t(void *block, nothrow_t tag);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvSt11align_val_t(void *block, size_t alignment);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, nothrow_t tag);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, nothrow_t tag);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);

#define MOAT_OPERATOR MOAT_PUBLIC __attribute__((weak))

/* The operators others stand on. */
OWN_NAME(own_new, _Znwm);
OWN_NAME(own_new_array, _Znam);
OWN_NAME(own_new_aligned, _ZnwmSt11align_val_t);
OWN_NAME(own_new_array_aligned, _ZnamSt11align_val_t);
OWN_NAME(own_delete, _ZdlPv);
OWN_NAME(own_delete_array, _ZdaPv);
OWN_NAME(own_delete_aligned, _ZdlPvSt11align_val_t);
OWN_NAME(own_delete_array_aligned, _ZdaPvSt11align_val_t);

#define OWN_NEW IS_OWN(_Znwm, own_new)
#define OWN_NEW_ARRAY (IS_OWN(_Znam, own_new_array) && OWN_NEW)
#define OWN_NEW_ALIGNED IS_OWN(_ZnwmSt11align_val_t, own_new_aligned)
#define OWN_NEW_ARRAY_ALIGNED                                                                      \
    (IS_OWN(_ZnamSt11align_val_t, own_new_array_aligned) && OWN_NEW_ALIGNED)
#define OWN_DELETE IS_OWN(_ZdlPv, own_delete)
#define OWN_DELETE_ARRAY (IS_OWN(_ZdaPv, own_delete_array) && OWN_DELETE)
#define OWN_DELETE_ALIGNED IS_OWN(_ZdlPvSt11align_val_t, own_delete_aligned)
#define OWN_DELETE_ARRAY_ALIGNED                                                                   \
    (IS_OWN(_ZdaPvSt11align_val_t, own_delete_array_aligned) && OWN_DELETE_ALIGNED)

/* The ordinary alignment is GRANULE. `caller` is a code address in the module that asked. */
MOAT_COLD static void *new_failed(size_t size, size_t alignment, enum family family,
                                  const void *caller);
MOAT_COLD static void *new_failed_nothrow(size_t size, size_t alignment, enum family family,
                                          const void *caller);

MOAT_INLINE bool is_supported(size_t alignment) {
    return is_power_of_two(alignment) && alignment <= ALIGN_MAX;
}

/* --- Another malloc -------------------------------------------------------------------------- */

extern __typeof(malloc) own_malloc __attribute__((visibility("hidden")));
extern __typeof(free) own_free __attribute__((visibility("hidden")));

/* A malloc in front of moat's may be an allocator, or it may count and go on to moat's. Who counts
   sees no operators, and may hand out addresses inside moat's blocks: so it keeps off them. The
   first block tells; two threads find the same. */
static uint32_t other_malloc;
enum { OTHER_UNKNOWN, OTHER_ALLOCATES, OTHER_COUNTS };

static bool other_allocates(void) {
    if (IS_OWN(malloc, own_malloc)) return false;
    if (MOAT_UNLIKELY(atomic_load_relaxed(&other_malloc) == OTHER_UNKNOWN)) {
        void *block = malloc(1);
        if (block == NULL) return false;
        atomic_store_relaxed(&other_malloc, alloc_owns(block) ? OTHER_COUNTS : OTHER_ALLOCATES);
        free(block);
    }
    return atomic_load_relaxed(&other_malloc) == OTHER_ALLOCATES;
}

/* Where a block goes that is none of moat's: to the free of whoever has made it. */
static bool goes_elsewhere(const void *block) {
    return block != NULL && !IS_OWN(free, own_free) && !alloc_owns(block);
}

/* For the strict level, which tells families apart. A program that has replaced one of two
   operators which belong together may mix them with malloc's: there nothing is known of a block. */
static enum family family_of_new(enum family family) {
    bool own = family == FAMILY_NEW_ARRAY ? OWN_DELETE_ARRAY && OWN_DELETE_ARRAY_ALIGNED
                                          : OWN_DELETE && OWN_DELETE_ALIGNED;
    return own ? family : FAMILY_MALLOC;
}
static enum family family_of_delete(enum family family) {
    bool own = family == FAMILY_NEW_ARRAY ? OWN_NEW_ARRAY && OWN_NEW_ARRAY_ALIGNED
                                          : OWN_NEW && OWN_NEW_ALIGNED;
    return own && family_of_new(family) == family ? family : FAMILY_ANY;
}

MOAT_NOINLINE static void *new_slow(size_t size) {
    if (other_allocates()) return malloc(size);
    return alloc_mark_family(alloc_block_slow(size), family_of_new(FAMILY_NEW));
}

MOAT_NOINLINE static void *new_slow_array(size_t size) {
    if (other_allocates()) return malloc(size);
    return alloc_mark_family(alloc_block_slow(size), family_of_new(FAMILY_NEW_ARRAY));
}

static void *new_slow_aligned(size_t size, size_t alignment, enum family family) {
    size_t rounded = 0;
    if (!other_allocates())
        return alloc_mark_family(alloc_aligned(alignment, size), family_of_new(family));
    if (__builtin_add_overflow(size, alignment - 1, &rounded)) return NULL;
    return aligned_alloc(alignment, round_down(rounded, alignment));
}

MOAT_INLINE void delete_slow_of(void *block, enum family family) {
    if (goes_elsewhere(block))
        free(block);
    else
        alloc_delete_slow(block, family_of_delete(family));
}
MOAT_NOINLINE static void delete_slow(void *block) { delete_slow_of(block, FAMILY_NEW); }
MOAT_NOINLINE static void delete_slow_array(void *block) {
    delete_slow_of(block, FAMILY_NEW_ARRAY);
}

MOAT_INLINE void delete_block(void *block) {
    if (MOAT_UNLIKELY(!alloc_free_fast(block))) delete_slow(block);
}
MOAT_INLINE void delete_array(void *block) {
    if (MOAT_UNLIKELY(!alloc_free_fast(block))) delete_slow_array(block);
}

static void delete_aligned_sized(void *block, size_t size, size_t alignment, enum family family) {
    if (goes_elsewhere(block))
        free(block);
    else
        alloc_free_aligned_sized(block, alignment, size, family_of_delete(family));
}

MOAT_NOINLINE static void delete_sized_slow(void *block, size_t size) {
    delete_aligned_sized(block, size, GRANULE, FAMILY_NEW);
}
MOAT_NOINLINE static void delete_sized_slow_array(void *block, size_t size) {
    delete_aligned_sized(block, size, GRANULE, FAMILY_NEW_ARRAY);
}

MOAT_INLINE void delete_block_sized(void *block, size_t size) {
    if (MOAT_UNLIKELY(!alloc_free_sized_fast(block, size))) delete_sized_slow(block, size);
}
MOAT_INLINE void delete_array_sized(void *block, size_t size) {
    if (MOAT_UNLIKELY(!alloc_free_sized_fast(block, size))) delete_sized_slow_array(block, size);
}

static void delete_aligned(void *block, size_t alignment, enum family family) {
    if (goes_elsewhere(block))
        free(block);
    else
        alloc_free_aligned(block, alignment, family_of_delete(family));
}

/* --- new ------------------------------------------------------------------------------------- */

/* `family` is known where each of these is compiled. */
MOAT_INLINE void *try_new(size_t size, enum family family) {
    void *block = alloc_block_fast(size);
    if (MOAT_LIKELY(block != NULL)) return block;
    return family == FAMILY_NEW ? new_slow(size) : new_slow_array(size);
}

MOAT_INLINE void *new_block(size_t size, enum family family) {
    void *block = try_new(size, family);
    if (MOAT_LIKELY(block != NULL)) return block;
    return new_failed(size, GRANULE, family, __builtin_return_address(0));
}

MOAT_INLINE void *new_block_nothrow(size_t size, enum family family) {
    void *block = try_new(size, family);
    if (MOAT_LIKELY(block != NULL)) return block;
    return new_failed_nothrow(size, GRANULE, family, __builtin_return_address(0));
}

MOAT_INLINE void *new_aligned(size_t size, size_t alignment, enum family family) {
    bool supported = MOAT_LIKELY(is_supported(alignment));
    void *block = supported ? new_slow_aligned(size, alignment, family) : NULL;
    if (MOAT_LIKELY(block != NULL)) return block;
    return new_failed(size, alignment, family, __builtin_return_address(0));
}

MOAT_INLINE void *new_aligned_nothrow(size_t size, size_t alignment, enum family family) {
    bool supported = MOAT_LIKELY(is_supported(alignment));
    void *block = supported ? new_slow_aligned(size, alignment, family) : NULL;
    if (MOAT_LIKELY(block != NULL)) return block;
    return new_failed_nothrow(size, alignment, family, __builtin_return_address(0));
}

MOAT_OPERATOR void *_Znwm(size_t size) { return new_block(size, FAMILY_NEW); }
MOAT_OPERATOR void *_Znam(size_t size) {
    return OWN_NEW ? new_block(size, FAMILY_NEW_ARRAY) : _Znwm(size);
}
MOAT_OPERATOR void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
    return new_aligned(size, alignment, FAMILY_NEW);
}
MOAT_OPERATOR void *_ZnamSt11align_val_t(size_t size, size_t alignment) {
    return OWN_NEW_ALIGNED ? new_aligned(size, alignment, FAMILY_NEW_ARRAY)
                           : _ZnwmSt11align_val_t(size, alignment);
}

/* A replaced throwing operator that does throw here ends the program: a frame of C cannot turn the
   exception into NULL. */
MOAT_OPERATOR void *_ZnwmRKSt9nothrow_t(size_t size, nothrow_t tag) {
    (void)tag;
    return OWN_NEW ? new_block_nothrow(size, FAMILY_NEW) : _Znwm(size);
}
MOAT_OPERATOR void *_ZnamRKSt9nothrow_t(size_t size, nothrow_t tag) {
    (void)tag;
    return OWN_NEW_ARRAY ? new_block_nothrow(size, FAMILY_NEW_ARRAY) : _Znam(size);
}
MOAT_OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                       nothrow_t tag) {
    (void)tag;
    return OWN_NEW_ALIGNED ? new_aligned_nothrow(size, alignment, FAMILY_NEW)
                           : _ZnwmSt11align_val_t(size, alignment);
}
MOAT_OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                       nothrow_t tag) {
    (void)tag;
    return OWN_NEW_ARRAY_ALIGNED ? new_aligned_nothrow(size, alignment, FAMILY_NEW_ARRAY)
                                 : _ZnamSt11align_val_t(size, alignment);
}

/* --- delete ---------------------------------------------------------------------------------- */

/* The size a program passes to a sized delete is the one it passed to operator new; a replaced
   operator new that stands on malloc may have asked for more. Then the size says nothing and is not
   checked. */

MOAT_OPERATOR void _ZdlPv(void *block) { delete_block(block); }
MOAT_OPERATOR void _ZdaPv(void *block) {
    if (OWN_DELETE) {
        delete_array(block);
    } else {
        _ZdlPv(block);
    }
}
MOAT_OPERATOR void _ZdlPvRKSt9nothrow_t(void *block, nothrow_t tag) {
    (void)tag;
    _ZdlPv(block);
}
MOAT_OPERATOR void _ZdaPvRKSt9nothrow_t(void *block, nothrow_t tag) {
    (void)tag;
    _ZdaPv(block);
}
MOAT_OPERATOR void _ZdlPvm(void *block, size_t size) {
    if (OWN_DELETE && OWN_NEW) {
        delete_block_sized(block, size);
    } else {
        _ZdlPv(block);
    }
}
MOAT_OPERATOR void _ZdaPvm(void *block, size_t size) {
    if (OWN_DELETE_ARRAY && OWN_NEW_ARRAY) {
        delete_array_sized(block, size);
    } else {
        _ZdaPv(block);
    }
}

MOAT_OPERATOR void _ZdlPvSt11align_val_t(void *block, size_t alignment) {
    if (OWN_NEW_ALIGNED) {
        delete_aligned(block, alignment, FAMILY_NEW);
    } else {
        own_delete(block);
    }
}
MOAT_OPERATOR void _ZdaPvSt11align_val_t(void *block, size_t alignment) {
    if (OWN_DELETE_ALIGNED && OWN_NEW_ARRAY_ALIGNED) {
        delete_aligned(block, alignment, FAMILY_NEW_ARRAY);
    } else {
        _ZdlPvSt11align_val_t(block, alignment);
    }
}
MOAT_OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                       nothrow_t tag) {
    (void)tag;
    _ZdlPvSt11align_val_t(block, alignment);
}
MOAT_OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment,
                                                       nothrow_t tag) {
    (void)tag;
    _ZdaPvSt11align_val_t(block, alignment);
}
MOAT_OPERATOR void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment) {
    if (OWN_DELETE_ALIGNED && OWN_NEW_ALIGNED) {
        delete_aligned_sized(block, size, alignment, FAMILY_NEW);
    } else {
        _ZdlPvSt11align_val_t(block, alignment);
    }
}
MOAT_OPERATOR void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment) {
    if (OWN_DELETE_ARRAY_ALIGNED && OWN_NEW_ARRAY_ALIGNED) {
        delete_aligned_sized(block, size, alignment, FAMILY_NEW_ARRAY);
    } else {
        _ZdaPvSt11align_val_t(block, alignment);
    }
}

/* --- Out of memory --------------------------------------------------------------------------- */

/* Weak: there in a program linked with a C++ runtime. */
typedef void (*new_handler)(void);
extern new_handler std_get_new_handler(void) __asm__("_ZSt15get_new_handlerv")
    __attribute__((weak));
extern void std_throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));
/* Weak too, so that a static program does not get the loader linked in for this; dlopen() and
   dladdr() are looked up, for their names alone make the linker warn there. */
#pragma weak dlsym

/* A function found by name: data and code pointers differ in type alone on every system that has
   dlsym(). */
union found {
    void *address;
    void *(*open)(const char *name, int flags);
    int (*describe)(const void *address, Dl_info *module);
    new_handler (*get_new_handler)(void);
    void (*throw_bad_alloc)(void);
    void *(*allocate_exception)(size_t size);
    void (*throw_exception)(void *exception, void *type, void *destructor);
    void *(*new_nothrow)(size_t size, nothrow_t tag);
    void *(*new_aligned_nothrow)(size_t size, size_t alignment, nothrow_t tag);
};

static void *find_global(const char *name) {
    return dlsym != NULL ? dlsym(RTLD_DEFAULT, name) : NULL;
}

/* In a library that is loaded already, and in what it depends on. The reference that dlopen() takes
   on it stays: what is found must. */
static void *find_in_library(const char *library, const char *name) {
    union found dynamic = {.address = find_global("dlopen")};
    void *handle = dynamic.address != NULL ? dynamic.open(library, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    /* A handle was found, so dlsym, which is weak, is there. */
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage) */
    return handle != NULL ? dlsym(handle, name) : NULL;
}

/* By their file names: a runtime that came with a dlopen'ed library is in no scope but that
   library's own. */
static void *find_in_runtimes(const char *name) {
    static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1", "libc++.so.1"};
    void *address = NULL;
    for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0] && address == NULL; i++) {
        address = find_in_library(runtimes[i], name);
    }
    return address;
}

/* In the module that called new: its runtime may have another name, or be linked into it. */
static void *find_by_caller(const char *name, const void *caller) {
    Dl_info module;
    union found dynamic = {.address = find_global("dladdr")};
    if (dynamic.address == NULL || dynamic.describe(caller, &module) == 0) return NULL;
    return find_in_library(module.dli_fname, name);
}

static void *find(const char *name, const void *caller) {
    void *address = find_global(name);
    if (address == NULL) address = find_by_caller(name, caller);
    if (address == NULL) address = find_in_runtimes(name);
    return address;
}

static new_handler current_new_handler(const void *caller) {
    if (std_get_new_handler != NULL) return std_get_new_handler();
    union found get = {.address = find("_ZSt15get_new_handlerv", caller)};
    return get.address != NULL ? get.get_new_handler() : NULL;
}

/* A runtime linked into a library has only the functions that library needs, and its operator new
   needs these: the object is one pointer to its table of virtual functions, which follow the
   table's two header words (Itanium C++ ABI, 2.5.2). */
static void throw_by_hand(const void *caller) {
    union found allocate = {.address = find("__cxa_allocate_exception", caller)};
    union found raise = {.address = find("__cxa_throw", caller)};
    void *type = find("_ZTISt9bad_alloc", caller);
    void *destructor = find("_ZNSt9bad_allocD1Ev", caller);
    void **table = find("_ZTVSt9bad_alloc", caller);
    if (allocate.address == NULL || raise.address == NULL || type == NULL || destructor == NULL ||
        table == NULL)
        return;
    void **exception = allocate.allocate_exception(sizeof *exception);
    *exception = table + 2;
    raise.throw_exception(exception, type, destructor);
}

MOAT_NORETURN static void throw_bad_alloc(const void *caller) {
    if (std_throw_bad_alloc != NULL) std_throw_bad_alloc();
    union found raise = {.address = find("_ZSt17__throw_bad_allocv", caller)};
    if (raise.address != NULL) raise.throw_bad_alloc();
    throw_by_hand(caller);
    report_stop(STOP_NO_CXX_RUNTIME, NULL);
}

static void *try_again(size_t size, size_t alignment, enum family family) {
    if (alignment > GRANULE) return new_slow_aligned(size, alignment, family);
    return family == FAMILY_NEW ? new_slow(size) : new_slow_array(size);
}

/* The standard's loop: as long as there is a handler, let it free something and try again. A
   handler may also throw, or not return. An alignment that can never be had is not worth its
   trouble. */
static void *new_failed(size_t size, size_t alignment, enum family family, const void *caller) {
    if (!is_supported(alignment)) throw_bad_alloc(caller);
    for (;;) {
        new_handler handler = current_new_handler(caller);
        if (handler == NULL) throw_bad_alloc(caller);
        handler();
        void *block = try_again(size, alignment, family);
        if (block != NULL) return block;
    }
}

/* The same, but the end is NULL. Without a handler that is all. With one, which may throw, the
   runtime's own nothrow operator takes over: it calls the throwing one (above) and catches what
   comes out, as no frame of C can. A static program does not have it; there a handler that throws
   ends the program. */
static void *new_failed_nothrow(size_t size, size_t alignment, enum family family,
                                const void *caller) {
    if (!is_supported(alignment)) return NULL;
    new_handler handler = current_new_handler(caller);
    if (handler == NULL) return NULL;
    union found runtime = {.address = find_in_runtimes(alignment <= GRANULE
                                                           ? "_ZnwmRKSt9nothrow_t"
                                                           : "_ZnwmSt11align_val_tRKSt9nothrow_t")};
    if (runtime.address != NULL) {
        void *block = alignment <= GRANULE ? runtime.new_nothrow(size, &runtime)
                                           : runtime.new_aligned_nothrow(size, alignment, &runtime);
        /* it knows of no arrays */
        bool own = block != NULL && alloc_owns(block) && OWN_NEW && OWN_NEW_ALIGNED;
        return own ? alloc_mark_family(block, family_of_new(family)) : block;
    }
    for (; handler != NULL; handler = current_new_handler(caller)) {
        handler();
        void *block = try_again(size, alignment, family);
        if (block != NULL) return block;
    }
    return NULL;
}
