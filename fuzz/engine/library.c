/*
 * library: the process's C library is asked the same. See the header.
 *
 * A resize is asked of a block that was made for it. What is compared is decided by the arguments
 * alone, never by how much memory there is: sizes that might be had or not are not asked for.
 */
#include "engine/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "engine/sizing.h"

enum { NAMES = 9, OLD_MAX = 64 * 1024 };
enum { MINOR_OF_ANY_THRESHOLD = 35, MINOR_OF_CHECKED_ALIGNMENT = 38 }; /* of versions 2 */
enum { MAPPED_FROM = 128 * 1024 }; /* bytes; no zeros are written there */

static struct known {
    const char *name;
    void *address;
} known[NAMES] = {{"malloc", NULL},       {"calloc", NULL},        {"realloc", NULL},
                  {"reallocarray", NULL}, {"aligned_alloc", NULL}, {"posix_memalign", NULL},
                  {"memalign", NULL},     {"valloc", NULL},        {"pvalloc", NULL}};
static void *library;
static void (*free_block)(void *block);
static void *(*make_block)(size_t size);
static int (*set_option)(int parameter, int value);
static int (*write_info)(int options, FILE *stream);
static unsigned minor_version;
static char text[200];

/* --- Differences ----------------------------------------------------------------------------- */

static bool is_no_power(const struct call *call, const struct duty *duty) {
    (void)duty;
    return !is_power_of_two(call->alignment);
}
static bool is_above_limit(const struct call *call, const struct duty *duty) {
    return duty->error == ENOMEM && call->alignment > ALIGN_MAX;
}
static bool keeps_errno(const struct call *call, const struct duty *duty) {
    return call->verb->refusal == ERRNO_KEPT && duty->error == ENOMEM;
}
static bool is_kept_empty(const struct call *call, const struct duty *duty) {
    return call->block != NULL && duty->error == 0 && duty->bytes == 0 && !duty->is_free;
}

static const struct difference {
    const char *name; /* the C library's */
    bool (*applies)(const struct call *call, const struct duty *duty);
    bool is_of_old_libraries; /* up to 2.37 */
    const char *reason;
} differences[] = {
    {"aligned_alloc", is_no_power, true,
     "C17 wants a refusal of what is no alignment; the library once took it for memalign's, which "
     "rounds it up"},
    {"aligned_alloc", is_above_limit, false, "moat has no alignment above 1 GiB (include/moat.h)"},
    {"memalign", is_above_limit, false, "likewise"},
    {"posix_memalign", is_above_limit, false, "likewise"},
    {"posix_memalign", keeps_errno, false,
     "the prefixed verb keeps errno, as POSIX lets it; the C library's sets ENOMEM"},
    {"realloc", is_kept_empty, false,
     "with zero_realloc=alloc there is a block (doc/options.md); without it both free"},
    {"reallocarray", is_kept_empty, false, "likewise"},
};

static bool may_differ(const struct call *call, const struct duty *duty) {
    for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++) {
        const struct difference *one = &differences[i];
        if (strcmp(one->name, call->verb->counterpart) != 0 || !one->applies(call, duty)) continue;
        if (!one->is_of_old_libraries || minor_version < MINOR_OF_CHECKED_ALIGNMENT) return true;
    }
    return false;
}

/* --- Asking ---------------------------------------------------------------------------------- */

static void find(void *pointer, const char *name) {
    void *address = dlsym(library, name);
    if (address == NULL) {
        fprintf(stderr, "fuzz: the C library has no %s\n", name);
        abort();
    }
    memcpy(pointer, &address, sizeof address);
}

void library_find(void) {
    if (library != NULL) return;
    library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    for (unsigned i = 0; i < NAMES; i++) find(&known[i].address, known[i].name);
    find(&free_block, "free");
    find(&make_block, "malloc");
    find(&set_option, "mallopt");
    find(&write_info, "malloc_info");
    const char *version = strchr(gnu_get_libc_version(), '.');
    minor_version = version != NULL ? (unsigned)strtoul(version + 1, NULL, 10) : 0;
    set_option(M_MMAP_THRESHOLD, MAPPED_FROM);
}

static void *address_of(const char *name) {
    for (unsigned i = 0; i < NAMES; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].address;
    return NULL;
}

/* No more than it could have without using it, or so much that nobody has it. */
static bool is_askable(const struct call *call, const struct duty *duty) {
    if (duty->error != 0) return call->verb->counterpart != NULL;
    return call->verb->counterpart != NULL && duty->alignment < ALIGNMENT_MAY_FAIL &&
           duty->bytes <= SIZE_SANE_MAX;
}

/* A product that does not wrap is asked of realloc: the library's reallocarray calls whatever
   stands in front of that. */
static struct call ask_same(const struct call *call) {
    static const struct verb as_realloc = {"realloc", RESIZE, .counterpart = "realloc"};
    struct call same = *call;
    if (call->verb->form != RESIZE_PRODUCT ||
        __builtin_mul_overflow(call->count, call->size, &same.size))
        return *call;
    same.verb = &as_realloc;
    return same;
}

const char *library_compare(const struct call *call, const struct duty *duty, int error,
                            size_t old) {
    if (!is_askable(call, duty) || may_differ(call, duty)) return NULL;
    union verb_function function;
    struct call same = ask_same(call);
    void *address = address_of(same.verb->counterpart);
    memcpy(&function, &address, sizeof address);
    if (call->block != NULL) same.block = make_block(old < OLD_MAX ? old : OLD_MAX);
    errno = CONTRACT_ERRNO;
    contract_call(&same, function);
    int same_error = errno;
    bool into = call->verb->form == GIVE_INTO;
    bool has = into ? call->status == 0 : call->result != NULL;
    bool same_has = into ? same.status == 0 : same.result != NULL;
    if (same_has) free_block(same.result);
    bool is_left = same.block != NULL && !same_has && !duty->is_free;
    if (is_left) free_block(same.block);
    if (has == same_has && call->status == same.status && error == same_error) return NULL;
    snprintf(text, sizeof text,
             "%s gave %s, %d, errno %d where the C library gives %s, %d, errno %d",
             call->verb->name, has ? "a block" : "none", call->status, error,
             same_has ? "a block" : "none", same.status, same_error);
    return text;
}

/* Parameters that set something for good are not its to try: moat takes them all. Up to 2.34 the
   library refused a threshold above 32 MiB, which moat takes. */
const char *library_compare_mallopt(int parameter, int value, int result) {
    enum { FIRST = M_ARENA_MAX, LAST = M_KEEP, FAST_DEFAULT = 64 * sizeof(size_t) / 4 };
    bool is_known = parameter >= FIRST && parameter <= LAST;
    bool is_asked = parameter == M_MXFAST ||
                    (parameter == M_MMAP_THRESHOLD && minor_version >= MINOR_OF_ANY_THRESHOLD);
    if (is_known && !is_asked) return NULL;
    int same = set_option(parameter, value);
    set_option(M_MXFAST, FAST_DEFAULT);
    set_option(M_MMAP_THRESHOLD, MAPPED_FROM);
    if (same == result) return NULL;
    snprintf(text, sizeof text, "mallopt(%d, %d) gave %d where the C library gives %d", parameter,
             value, result, same);
    return text;
}

const char *library_compare_info(int options, int result) {
    int same = options != 0 ? write_info(options, stderr) : 0;
    if (same == result) return NULL;
    snprintf(text, sizeof text, "malloc_info(%d) gave %d where the C library gives %d", options,
             result, same);
    return text;
}

void *library_block(void) {
    static void *block;
    if (block == NULL) block = make_block(1);
    return block;
}
