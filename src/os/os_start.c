/*
 * os_start: what the kernel tells a program at its start, and the clock it puts there (see os.h).
 *
 * The kernel lays arguments, environment and auxiliary vector behind one another on the first
 * stack. moat reads them where they lie, for getauxval() may be somebody else's function. While the
 * program is being relocated not even the C library's variables can be found: then, and where the
 * stack is not understood, the same is read from /proc. What cannot be read at all counts as the
 * worse: a process that nobody knows about is privileged.
 *
 * The clock is a function in the kernel's own image (vDSO), found by its ELF header and asked
 * without entering the kernel; where there is none, by a system call.
 */
#define _GNU_SOURCE
#include "os/kernel.h"
#include "os/os.h"
#include "os/os_seam.h"

#include <elf.h>
#include <time.h>
#include <unistd.h>

/* Kinds of what an auxiliary vector says are small numbers: what looks otherwise is none. */
#define AUXILIARY_KINDS 256u
#define AUXILIARY_MAX 64

/* Variables of the C library, where it has them. While the program is being relocated they look as
   if it had none. */
extern char **environ __attribute__((weak)); /* NOLINT(readability-redundant-declaration) */
/* Where the stack was as the program was entered, or close below. */
extern void *__libc_stack_end __attribute__((weak));

/* --- The vDSO -------------------------------------------------------------------------------- */

struct image {
    uintptr_t start, bias; /* an address in its headers plus the bias is where it lies */
    size_t size;
};

static const void *part_of(const struct image *image, uintptr_t address, size_t size) {
    uintptr_t at = image->bias + address;
    if (at < image->start || size > image->size || at - image->start > image->size - size)
        return NULL;
    return (const void *)at;
}

static bool is_clock(const struct image *image, uintptr_t names, size_t names_size,
                     const Elf64_Sym *symbol) {
    static const char wanted[2][24] = {"__vdso_clock_gettime", "__kernel_clock_gettime"};
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= names_size) return false;
    const char *name = part_of(image, names + symbol->st_name, 1);
    size_t most = names_size - symbol->st_name;
    if (name == NULL || part_of(image, names, names_size) == NULL) return false;
    for (int i = 0; i < 2; i++) {
        size_t at = 0;
        while (at < most && wanted[i][at] != '\0' && name[at] == wanted[i][at]) at++;
        if (at < most && wanted[i][at] == '\0' && name[at] == '\0') return true;
    }
    return false;
}

/* The table of symbols ends where that of their names begins: so linkers lay them. */
static os_clock *clock_among(const struct image *image, const Elf64_Dyn *dynamic, size_t entries) {
    uintptr_t symbols = 0, names = 0;
    size_t names_size = 0;
    for (size_t i = 0; i < entries && dynamic[i].d_tag != DT_NULL; i++) {
        if (dynamic[i].d_tag == DT_SYMTAB) symbols = dynamic[i].d_un.d_ptr;
        if (dynamic[i].d_tag == DT_STRTAB) names = dynamic[i].d_un.d_ptr;
        if (dynamic[i].d_tag == DT_STRSZ) names_size = dynamic[i].d_un.d_val;
    }
    for (uintptr_t at = symbols; at < names; at += sizeof(Elf64_Sym)) {
        const Elf64_Sym *symbol = part_of(image, at, sizeof *symbol);
        if (symbol == NULL) break;
        if (is_clock(image, names, names_size, symbol))
            return (os_clock *)(uintptr_t)part_of(image, symbol->st_value, 1);
    }
    return NULL;
}

/* The image, and the first part of that kind among its headers; NULL: there is none. */
static const Elf64_Phdr *find_part(uintptr_t vdso, uint32_t kind, struct image *image) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)vdso;
    const Elf64_Phdr *found = NULL;
    *image = (struct image){vdso, 0, 0};
    if (vdso == 0 || header->e_ident[EI_MAG0] != ELFMAG0 || header->e_ident[EI_MAG1] != ELFMAG1 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof(Elf64_Phdr))
        return NULL;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *row = (const Elf64_Phdr *)(vdso + header->e_phoff) + i;
        if (row->p_type == kind && found == NULL) found = row;
        if (row->p_type != PT_LOAD || image->size != 0) continue;
        image->bias = vdso + row->p_offset - row->p_vaddr;
        image->size = row->p_offset + row->p_memsz;
    }
    return found;
}

os_clock *os_find_clock(uintptr_t vdso) {
    struct image image;
    const Elf64_Phdr *dynamic = find_part(vdso, PT_DYNAMIC, &image);
    if (dynamic == NULL) return NULL;
    const Elf64_Dyn *entries = part_of(&image, dynamic->p_vaddr, dynamic->p_memsz);
    if (entries == NULL) return NULL;
    return clock_among(&image, entries, dynamic->p_memsz / sizeof *entries);
}

static bool is_linux(const char *name) {
    static const char wanted[] = "Linux";
    for (size_t i = 0; i < sizeof wanted; i++)
        if (name[i] != wanted[i]) return false;
    return true;
}

/* In a note of the name "Linux", of kind 0. */
uint32_t os_find_kernel_version(uintptr_t vdso) {
    struct image image;
    const Elf64_Phdr *notes = find_part(vdso, PT_NOTE, &image);
    const char *text = notes != NULL ? part_of(&image, notes->p_vaddr, notes->p_memsz) : NULL;
    size_t left = text != NULL ? notes->p_memsz : 0;
    while (left >= sizeof(Elf64_Nhdr)) {
        const Elf64_Nhdr *note = (const Elf64_Nhdr *)(const void *)text;
        size_t name = round_up((size_t)note->n_namesz, sizeof(uint32_t)),
               size = sizeof *note + name + round_up((size_t)note->n_descsz, sizeof(uint32_t));
        if (size > left) return 0;
        if (note->n_type == 0 && note->n_namesz == sizeof "Linux" &&
            note->n_descsz == sizeof(uint32_t) && is_linux((const char *)(note + 1)))
            return *(const uint32_t *)(const void *)(text + sizeof *note + name);
        text += size;
        left -= size;
    }
    return 0;
}

static int clock_by_system_call(int clock, struct timespec *now) {
    return (int)KERNEL(SYS_clock_gettime, clock, now, 0);
}

static uint64_t milliseconds_by(os_clock *ask, int clock) {
    struct timespec now = {0, 0}; /* and stays, if there should be no such clock */
    if (IN_HARNESS) return os_seam.milliseconds();
    (void)ask(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t nanoseconds_by(os_clock *ask, int clock) {
    struct timespec now = {0, 0};
    if (IN_HARNESS) return os_seam.nanoseconds();
    (void)ask(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The kernel's image reads the processor's counter for an exact clock, which a program may have
   forbidden itself (PR_SET_TSC): it would be killed. The coarse ones stand in memory. */
uint64_t os_milliseconds(void) { return milliseconds_by(os_facts.clock, CLOCK_MONOTONIC_COARSE); }
uint64_t os_nanoseconds_coarsely(void) {
    return nanoseconds_by(os_facts.clock, CLOCK_MONOTONIC_COARSE);
}

/* A filter may refuse the call: then by what the coarse clock says, which lags a tick at most. */
enum { COARSE_LAG_MS = 10 };
uint64_t os_milliseconds_exactly(void) {
    uint64_t now = milliseconds_by(clock_by_system_call, CLOCK_MONOTONIC);
    return now != 0 ? now : os_milliseconds() + COARSE_LAG_MS;
}
uint64_t os_nanoseconds(void) {
    uint64_t now = nanoseconds_by(clock_by_system_call, CLOCK_MONOTONIC);
    return now != 0 ? now : os_nanoseconds_coarsely();
}

/* --- The auxiliary vector -------------------------------------------------------------------- */

struct start {
    const uintptr_t *environment; /* a vector of strings */
    Elf64_auxv_t auxiliary[AUXILIARY_MAX];
    size_t count; /* of the auxiliary vector's pairs; 0: not known */
};

static const Elf64_auxv_t *find_fact(const struct start *start, uint64_t kind) {
    for (size_t i = 0; i < start->count; i++)
        if (start->auxiliary[i].a_type == kind) return &start->auxiliary[i];
    return NULL;
}

/* Whether it is one: it has an end, and what the kernel always says. */
static bool check_auxiliary(struct start *start, size_t pairs) {
    start->count = 0;
    while (start->count < pairs && start->auxiliary[start->count].a_type != AT_NULL)
        if (start->auxiliary[start->count++].a_type >= AUXILIARY_KINDS) pairs = 0;
    bool complete = start->count < pairs && find_fact(start, AT_PAGESZ) != NULL &&
                    find_fact(start, AT_SECURE) != NULL && find_fact(start, AT_PHDR) != NULL;
    if (!complete) start->count = 0;
    return complete;
}

static bool copy_auxiliary(struct start *start, const Elf64_auxv_t *from) {
    for (size_t pairs = 0; pairs < AUXILIARY_MAX && from->a_type < AUXILIARY_KINDS; from++) {
        start->auxiliary[pairs++] = *from;
        if (from->a_type == AT_NULL) return check_auxiliary(start, pairs);
    }
    return false;
}

/* The words from `at` on up to a null, which every stack has at its very top. */
static size_t count_words(const uintptr_t *at) {
    size_t count = 0;
    while (at[count] != 0) count++;
    return count;
}

/* From the number of arguments on: that many, a null, the environment, a null, the auxiliary
   vector. */
static bool read_start_at(struct start *start, const uintptr_t *at) {
    size_t arguments = *at++;
    if (arguments == 0 || count_words(at) != arguments) return false;
    start->environment = at += arguments + 1;
    return copy_auxiliary(start, (const Elf64_auxv_t *)(at + count_words(at) + 1));
}

/* In a static program the C library's word leads some words below the number of arguments. */
static bool read_start_from_stack(struct start *start) {
    enum { WORDS_BELOW = 2 };
    if (&__libc_stack_end == NULL || __libc_stack_end == NULL) return false;
    const uintptr_t *end = __libc_stack_end;
    for (size_t i = 0; i <= WORDS_BELOW; i++)
        if (read_start_at(start, end + i)) return true;
    return false;
}

static bool read_auxiliary_from_proc(struct start *start) {
    size_t size =
        os_read_file("/proc/self/auxv", (char *)start->auxiliary, sizeof start->auxiliary);
    return check_auxiliary(start, size / sizeof start->auxiliary[0]);
}

void os_read_facts(struct os_facts *facts) {
    struct start start = {0};
    facts->no_advice = false;
    facts->no_files = false;
    facts->loader = 0;
    facts->kernel = 0;
    facts->page_size = CPU_OS_PAGE_MAX;
    facts->privileged = true;
    facts->clock = clock_by_system_call;
    if (!read_start_from_stack(&start) && !read_auxiliary_from_proc(&start)) return;
    const Elf64_auxv_t *page = find_fact(&start, AT_PAGESZ), *secure = find_fact(&start, AT_SECURE),
                       *vdso = find_fact(&start, AT_SYSINFO_EHDR),
                       *loader = find_fact(&start, AT_BASE);
    if (IN_HARNESS && os_seam.page_size() != 0)
        facts->page_size = os_seam.page_size();
    else if (is_power_of_two(page->a_un.a_val) && page->a_un.a_val <= CPU_OS_PAGE_MAX)
        facts->page_size = page->a_un.a_val;
    facts->privileged = secure->a_un.a_val != 0;
    /* a harness plays the kernel, whose choice it is, and other machines */
    if (loader != NULL && !IN_HARNESS) facts->loader = loader->a_un.a_val;
    os_clock *clock = vdso != NULL ? os_find_clock(vdso->a_un.a_val) : NULL;
    if (clock != NULL) facts->clock = clock;
    if (vdso != NULL && !IN_HARNESS) facts->kernel = os_find_kernel_version(vdso->a_un.a_val);
}

/* Before the start they are read each time. */
static struct os_facts facts_now(void) {
    struct os_facts now = os_facts;
    if (now.page_size == 0) os_read_facts(&now);
    return now;
}

size_t os_page_size(void) { return facts_now().page_size; }

bool os_is_privileged(void) { return facts_now().privileged; }

/* --- Filters of system calls ----------------------------------------------------------------- */

/* A line that is looked for in a text which comes in pieces. */
struct line {
    const char *text; /* between the ends of lines */
    size_t matched;   /* bytes of it */
    bool seen;
};

static void line_feed(struct line *line, char byte) {
    line->matched = byte == line->text[line->matched] ? line->matched + 1 : byte == '\n';
    if (line->text[line->matched] != '\0') return;
    line->seen = true;
    line->matched = 1; /* its end is the next one's beginning */
}

/* In pieces: the first call of a process may come on a small stack. One holds all that matters but
   for a process of many groups. */
static bool is_filtered(int status) {
    struct line one_thread = {"\nThreads:\t1\n", 0, false};
    struct line no_filter = {"\nSeccomp:\t0\n", 0, false};
    char piece[1024];
    for (;;) {
        size_t got = os_read_on(status, piece, sizeof piece);
        for (size_t i = 0; i < got; i++) {
            line_feed(&one_thread, piece[i]);
            line_feed(&no_filter, piece[i]);
        }
        if (one_thread.seen && no_filter.seen) return false;
        if (got == 0) return true;
    }
}

/* prctl() would say it too, and a filter may not know it; files are read by whatever loads a
   program. The file speaks of the first thread: which this one is if there is no other, as nearly
   always at the start, and the file that speaks of this one costs half as much again. */
bool os_may_be_filtered(void) {
    int status = os_open_read("/proc/self/status");
    if (status < 0) return true;
    bool filtered = is_filtered(status);
    os_close(status);
    return filtered;
}

/* --- The environment ------------------------------------------------------------------------- */

/* The value in an entry of the form NAME=VALUE; NULL: another name. */
static const char *value_in(const char *entry, const char *name) {
    while (*name != '\0' && *entry == *name) {
        entry++;
        name++;
    }
    return *name == '\0' && *entry == '=' ? entry + 1 : NULL;
}

static const char *search(const char *const *vector, const char *name) {
    for (; *vector != NULL; vector++) {
        const char *value = value_in(*vector, name);
        if (value != NULL) return value;
    }
    return NULL;
}

/* Finds NAME=VALUE in a file of strings behind one another, each with its end, byte by byte. */
struct finder {
    const char *name;
    char *value;
    size_t size, length; /* of the value: room, and what is there */
    size_t matched;      /* bytes of the name */
    enum { IN_NAME, IN_VALUE, ELSEWHERE } where;
};

/* True: that was the end of the value. One that does not fit counts as absent. */
static bool finder_feed(struct finder *finder, char byte) {
    if (finder->where == IN_VALUE && finder->length == finder->size) finder->where = ELSEWHERE;
    if (finder->where == IN_VALUE) {
        finder->value[finder->length++] = byte;
        return byte == '\0';
    }
    if (byte == '\0') {
        finder->where = IN_NAME;
        finder->matched = 0;
    } else if (finder->where == IN_NAME) {
        char wanted = finder->name[finder->matched++];
        finder->length = 0;
        if (wanted == '\0' && byte == '=')
            finder->where = IN_VALUE;
        else if (wanted != byte)
            finder->where = ELSEWHERE;
    }
    return false;
}

const char *os_environment_in_file(const char *path, const char *name, char *value, size_t size) {
    struct finder finder = {name, value, size, 0, 0, IN_NAME};
    char piece[1024];
    uint64_t offset = 0;
    bool found = false;
    int file = os_open_read(path);
    if (file < 0) return NULL;
    while (!found) {
        size_t got = os_read_at(file, piece, sizeof piece, offset);
        if (got == 0) break;
        for (size_t i = 0; i < got && !found; i++) found = finder_feed(&finder, piece[i]);
        offset += got;
    }
    os_close(file);
    return found ? value : NULL;
}

/* What the program has made of its environment, if it could do anything yet; else what it was
   given. */
const char *os_environment(const char *name) {
    static char value[4096];
    struct start start = {0};
    if (&environ != NULL && environ != NULL) return search((const char *const *)environ, name);
    if (read_start_from_stack(&start)) return search((const char *const *)start.environment, name);
    return os_environment_in_file("/proc/self/environ", name, value, sizeof value);
}
