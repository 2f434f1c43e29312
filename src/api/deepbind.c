/*
 * deepbind: dlopen() without RTLD_DEEPBIND, in libmoat.so alone (never in a static program).
 *
 * A library that is loaded with that flag finds the C library's malloc before moat's, while the C
 * library goes on with moat's: the first block that crosses ends the process. So moat takes the
 * flag off, unless the option deepbind says otherwise. What depended on the flag, a library with
 * functions of the program's names, is named there.
 *
 * The C library takes its caller's address for two things, whose RUNPATH it searches and in which
 * namespace it works. So the name `dlopen` is a few lines of assembler (dlopen_PROCESSOR.S): they
 * ask deepbind_prepare() and leave by a jump, as if moat had not been there. A processor without
 * such a file keeps its flag. dlmopen() is left alone: a namespace has a C library of its own.
 *
 * Nothing is kept: a pointer to a function in writable memory would be one more thing to forge. May
 * be called before moat's constructors, and by an indirect function while the program is relocated:
 * then moat itself may not be relocated yet, and no function outside can be called from here.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include "meta/ro.h"
#include "os/os.h"
#include "process/init.h"

/* Both in registers: known to dlopen_PROCESSOR.S. */
struct deepbind_call {
    uintptr_t next;  /* the function to go on to */
    uintptr_t flags; /* for it */
};

struct deepbind_call deepbind_prepare(const char *file, int flags);

extern __typeof(dlopen) own_dlopen __asm__("moat_own_dlopen") __attribute__((visibility("hidden")));

/* --- The flag -------------------------------------------------------------------------------- */

static const char *last_component(const char *path) {
    const char *last = path;
    for (; *path != '\0'; path++)
        if (*path == '/') last = path + 1;
    return last;
}

static bool is_stripped(const char *file) {
    switch (ro.options.deepbind) {
    case DEEPBIND_KEEP: return false;
    case DEEPBIND_STRIP_EXCEPT:
        return file == NULL || (!option_list_has(&ro.options.deepbind_names, file) &&
                                !option_list_has(&ro.options.deepbind_names, last_component(file)));
    case DEEPBIND_STRIP: break;
    }
    return true;
}

/* --- The next dlopen, before moat is relocated ----------------------------------------------- */

/* What an entry of a dynamic section points at. The loader has made some of them addresses. */
static uintptr_t dynamic_address(const struct link_map *map, ElfW(Sxword) tag) {
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag != tag) continue;
        return entry->d_un.d_ptr < map->l_addr ? entry->d_un.d_ptr + map->l_addr
                                               : entry->d_un.d_ptr;
    }
    return 0;
}

static bool is_name(const char *a, const char *b) {
    while (*a == *b && *a != '\0') {
        a++;
        b++;
    }
    return *a == *b;
}

static uint32_t gnu_hash(const char *name) {
    uint32_t hash = 5381;
    for (; *name != '\0'; name++) hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* By the table that the loader itself uses; 0: the object defines no such function. */
static uintptr_t find_in(const struct link_map *map, const char *name) {
    const uint32_t *table = (const uint32_t *)dynamic_address(map, DT_GNU_HASH);
    const ElfW(Sym) *symbols = (const ElfW(Sym) *)dynamic_address(map, DT_SYMTAB);
    const char *names = (const char *)dynamic_address(map, DT_STRTAB);
    if (table == NULL || symbols == NULL || names == NULL || table[0] == 0) return 0;
    uint32_t buckets = table[0], first = table[1], bloom_words = table[2];
    const uint32_t *bucket = table + 4 + (size_t)bloom_words * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chain = bucket + buckets;
    uint32_t hash = gnu_hash(name), index = bucket[hash % buckets];
    if (index < first) return 0;
    for (;; index++) { /* a chain ends with a hash that is odd */
        uint32_t other = chain[index - first];
        const ElfW(Sym) *symbol = &symbols[index];
        if ((other | 1) == (hash | 1) && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            symbol->st_shndx != SHN_UNDEF && is_name(names + symbol->st_name, name))
            return map->l_addr + symbol->st_value;
        if (other & 1) return 0;
    }
}

/* The loader's list, which the program's own dynamic section leads to; NULL: not known. */
static const struct link_map *loaded_objects(void) {
    ElfW(auxv_t) vector[64];
    size_t entries =
        os_read_file("/proc/self/auxv", (char *)vector, sizeof vector) / sizeof *vector;
    const ElfW(Phdr) *headers = NULL;
    size_t count = 0;
    for (size_t i = 0; i < entries; i++) {
        if (vector[i].a_type == AT_PHDR) headers = (const ElfW(Phdr) *)vector[i].a_un.a_val;
        if (vector[i].a_type == AT_PHNUM) count = vector[i].a_un.a_val;
    }
    uintptr_t bias = 0, dynamic = 0;
    for (size_t i = 0; headers != NULL && i < count; i++) {
        if (headers[i].p_type == PT_PHDR) bias = (uintptr_t)headers - headers[i].p_vaddr;
        if (headers[i].p_type == PT_DYNAMIC) dynamic = headers[i].p_vaddr;
    }
    if (dynamic == 0) return NULL;
    const struct link_map program = {.l_addr = 0, .l_ld = (ElfW(Dyn) *)(bias + dynamic)};
    const struct r_debug *debug = (const struct r_debug *)dynamic_address(&program, DT_DEBUG);
    return debug != NULL ? debug->r_map : NULL;
}

extern const ElfW(Dyn) own_dynamic[] __asm__("_DYNAMIC") __attribute__((visibility("hidden")));

/* As RTLD_NEXT: in the order in which the loader searches what was there at the start. Only then is
   it called, when nobody changes the list, or where the answer comes before whatever was added. */
static uintptr_t find_behind_moat(const char *name) {
    bool behind = false;
    for (const struct link_map *map = loaded_objects(); map != NULL; map = map->l_next) {
        uintptr_t found = behind ? find_in(map, name) : 0;
        if (found != 0) return found;
        if (map->l_ld == own_dynamic) behind = true;
    }
    return 0;
}

/* --- Both ------------------------------------------------------------------------------------ */

/* NULL until moat is relocated. */
#pragma weak dlsym

static void *refuse(const char *file, int flags) {
    (void)file;
    (void)flags;
    return NULL; /* dlerror() has what dlsym() said */
}

/* Another library may have replaced dlsym() itself and ask in its own name: then the next dlopen is
   this one again. */
static uintptr_t next_dlopen(void) {
    uintptr_t next = dlsym != NULL ? (uintptr_t)dlsym(RTLD_NEXT, "dlopen") : 0;
    if (next == 0 || next == (uintptr_t)&own_dlopen) next = find_behind_moat("dlopen");
    return next != 0 ? next : (uintptr_t)&refuse;
}

/* As good as dlopen() itself: may lock and allocate, unless moat is not relocated. */
struct deepbind_call deepbind_prepare(const char *file, int flags) {
    struct deepbind_call call = {next_dlopen(), (uintptr_t)(unsigned)flags};
    if (!(flags & RTLD_DEEPBIND)) return call;
    /* The options come with the first block, which may not have been asked for yet. */
    if (!ro_is_started() && dlsym != NULL) (void)init_once();
    if (is_stripped(file)) call.flags &= ~(uintptr_t)RTLD_DEEPBIND;
    return call;
}
