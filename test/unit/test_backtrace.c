/*
 * test_backtrace: walking the stack of a process that may be damaged (src/report/backtrace.h and
 * what is under it: peek, mappings, module, dwarf, cfi).
 *
 * The C library's own backtrace() is the reference wherever the stack is sound.
 */
#include "report/backtrace.h"

#include "os/os.h"

#include "suite.h"
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct backtrace_workspace workspace;
static struct backtrace ours;
static void *theirs[BACKTRACE_DEPTH + 8];
static int theirs_count;
static volatile unsigned sink;

/* --- Counting allocations -------------------------------------------------------------------- */

static volatile unsigned long allocations;

#if !SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *block, size_t size) {
    allocations++;
    return __libc_realloc(block, size);
}
#endif

/* --- The reference --------------------------------------------------------------------------- */

/* Both walks, from the same function. */
static MOAT_NOINLINE void walk_both(void) {
    theirs_count = backtrace(theirs, BACKTRACE_DEPTH + 8);
    backtrace_capture(&workspace, &ours);
    sink++; /* not a jump to the walk, which would leave this frame out */
}

/* Frame by frame the same calls: theirs are return addresses, ours lie inside the call (or are
   exact, behind a signal). The first is in walk_both() in both, at two different calls; a
   sanitizer's wrapper around theirs may stand before it. */
static void assert_same_walk(unsigned at_least) {
    ck_assert_uint_ge(ours.count, at_least);
    void **reference = theirs;
    if (SANITIZED && ours.frames[1] != (uintptr_t)theirs[1] - 1) {
        reference++;
        theirs_count--;
    }
    unsigned expected = theirs_count < BACKTRACE_DEPTH ? (unsigned)theirs_count : BACKTRACE_DEPTH;
    ck_assert_uint_eq(ours.count, expected);
    unsigned exact = 0;
    for (unsigned i = 1; i < expected; i++) {
        if (ours.frames[i] == (uintptr_t)reference[i])
            exact++;
        else
            ck_assert_uint_eq(ours.frames[i], (uintptr_t)reference[i] - 1);
    }
    ck_assert_uint_le(exact, 1);
}

static MOAT_NOINLINE void descend(unsigned depth) {
    /* A frame of varying size, so that nothing but the tables can tell where the caller is. */
    volatile char text_buffer[depth * 24 + 8];
    text_buffer[0] = 0;
    if (depth == 0)
        walk_both();
    else
        descend(depth - 1);
    sink += (unsigned)text_buffer[0] + depth;
}

START_TEST(a_walk_gives_the_same_calls_as_the_c_library) {
    descend(6);
    assert_same_walk(8);
}
END_TEST

START_TEST(a_deep_stack_ends_at_the_bound) {
    descend(200);
    assert_same_walk(BACKTRACE_DEPTH);
}
END_TEST

static int compare(const void *a, const void *b) {
    walk_both();
    return *(const int *)a - *(const int *)b;
}

START_TEST(a_walk_passes_through_libraries) {
    int numbers[] = {3, 1, 2};
    qsort(numbers, 3, sizeof *numbers, compare);
    ck_assert_int_eq(numbers[0], 1);
    assert_same_walk(4);
}
END_TEST

static void *walk_in_thread(void *unused) {
    descend(3);
    return unused;
}

START_TEST(a_walk_ends_where_a_thread_begins) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, walk_in_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    assert_same_walk(5);
}
END_TEST

static void walk_in_handler(int signal) {
    (void)signal;
    descend(2);
}

static void catch_user_signal(int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = walk_in_handler;
    action.sa_flags = flags;
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
}

START_TEST(a_walk_passes_through_a_signal_handler) {
    catch_user_signal(0);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    assert_same_walk(6);
}
END_TEST

START_TEST(a_walk_passes_from_a_signal_stack_to_the_ordinary_one) {
    stack_t other = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18, .ss_flags = 0};
    ck_assert_ptr_nonnull(other.ss_sp);
    ck_assert_int_eq(sigaltstack(&other, NULL), 0);
    catch_user_signal(SA_ONSTACK);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    assert_same_walk(6);
    other.ss_flags = SS_DISABLE;
    sigaltstack(&other, NULL);
    free(other.ss_sp);
}
END_TEST

static volatile bool interrupted;

static void walk_once_in_handler(int signal) {
    (void)signal;
    if (!interrupted) walk_both();
    interrupted = true;
}

/* A timer stops the process at instructions nobody chose, prologues among them: the unwind rows of
   every instruction are used. */
START_TEST(a_walk_is_right_at_any_instruction) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = walk_once_in_handler;
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    for (useconds_t round = 0; round < 60; round++) {
        interrupted = false;
        int numbers[64];
        ualarm(100 + round * 7, 0);
        while (!interrupted) {
            char text[64];
            for (int i = 0; i < 64; i++) numbers[i] = (i * 37) % 64;
            sink += (unsigned)snprintf(text, sizeof text, "%d %s", numbers[5], "word");
        }
        assert_same_walk(4);
    }
}
END_TEST

START_TEST(a_walk_allocates_nothing) {
    if (SANITIZED) {
        printf("skipped: a sanitizer's allocator is in the place of the counting one\n");
        return;
    }
    free(malloc(1)); /* the counter counts */
    ck_assert_uint_gt(allocations, 0);
    unsigned long before = allocations;
    backtrace_capture(&workspace, &ours);
    int null = open("/dev/null", O_WRONLY);
    backtrace_write(&workspace, &ours, null);
    unsigned long after = allocations;
    close(null);
    ck_assert_uint_eq(after, before);
    ck_assert_uint_gt(ours.count, 2);
}
END_TEST

static MOAT_NOINLINE uintptr_t capture_dropping_itself(void) {
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    backtrace_capture(&workspace, &ours);
    backtrace_drop_until(&ours, caller);
    return caller;
}

START_TEST(frames_below_a_return_address_are_dropped) {
    uintptr_t caller = capture_dropping_itself();
    ck_assert_uint_eq(ours.frames[0], caller - 1);
    unsigned count = ours.count;
    backtrace_drop_until(&ours, 1); /* not there: nothing happens */
    ck_assert_uint_eq(ours.count, count);
    ck_assert_uint_eq(ours.frames[0], caller - 1);
}
END_TEST

/* --- Damage ---------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A word an overflow could leave: bytes of text, small numbers, and pointers into the stack, code,
   and nothing. */
static uintptr_t damaged_word(uintptr_t stack) {
    uint64_t random = next_random();
    switch (random % 8) {
    case 0: return 0x4141414141414141;
    case 1: return 0;
    case 2: return ~(uintptr_t)0 - random % 4096;
    case 3: return stack + (random >> 8) % 65536 - 32768;
    case 4: return (uintptr_t)&damaged_word + (random >> 8) % 4096;
    case 5: return (uintptr_t)&qsort + (random >> 8) % 4096;
    case 6: return stack & ~(uintptr_t)0xfff;
    default: return random;
    }
}

/* Overwrites everything above its own frame again and again and walks each time. Cannot return. */
__attribute__((noinline, noreturn, no_sanitize("address"), no_sanitize("thread"))) static void
damage_and_walk(unsigned rounds) {
    volatile uintptr_t *frame = __builtin_frame_address(0);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < 256; i++) frame[i] = damaged_word((uintptr_t)frame);
        backtrace_capture(&workspace, &ours);
        if (ours.count > BACKTRACE_DEPTH) _exit(1);
    }
    _exit(0);
}

static void *damage_thread(void *unused) {
    (void)unused;
    damage_and_walk(3000);
}

static void in_child(void (*body)(void), int expected_status) {
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        body();
        _exit(99);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected_status,
                  "the child ended with status 0x%x", (unsigned)status);
}

static void damage_a_thread(void) {
    /* A stack of its own with space above the frame: what is damaged is stack, and nothing else. */
    pthread_t thread;
    pthread_create(&thread, NULL, damage_thread, NULL);
    pthread_join(thread, NULL);
}

START_TEST(a_walk_over_a_damaged_stack_ends) { in_child(damage_a_thread, 0); }
END_TEST

/* Random programs and expressions, as a damaged or hostile table would hold them: no crash, no
   endless loop. */
START_TEST(damaged_tables_end_the_walk) {
    static uint8_t text[64];
    static struct cfi_workspace cfi;
    struct cfi_registers registers = {.pc = 1};
    struct peek peek = {.page = 0};
    unsigned sound = 0;
    for (unsigned i = 0; i < CFI_REGISTERS; i++) registers.value[i] = (uintptr_t)text + 8 * i;
    for (unsigned round = 0; round < 200000; round++) {
        for (unsigned i = 0; i < sizeof text; i++) text[i] = (uint8_t)next_random();
        uintptr_t value = 0;
        text[0] &= 0x3f; /* the expression's length: inside the text */
        cfi_expression(&peek, (uintptr_t)text, round, &registers, &value);
        uintptr_t half = (uintptr_t)text + sizeof text / 2;
        struct cfi_entry entry = {.common = dwarf_reader_at(&peek, (uintptr_t)text, half),
                                  .special =
                                      dwarf_reader_at(&peek, half, (uintptr_t)text + sizeof text),
                                  .code_factor = next_random() % 4,
                                  .data_factor = -8,
                                  .return_register = next_random() % (CFI_REGISTERS + 4)};
        struct cfi_registers copy = registers;
        if (!cfi_run(&cfi, &entry, next_random() % 512)) continue;
        sound++;
        cfi_apply(&peek, &cfi, &entry, &copy);
    }
    ck_assert_uint_gt(sound, 0); /* or the second half of the loop was never tried */
}
END_TEST

START_TEST(expressions_compute) {
    static const struct {
        uint8_t text[16];
        uintptr_t base, expected;
    } cases[] = {
        {{2, 0x08, 200}, 0, 200},                          /* const1u */
        {{2, 0x09, 200}, 0, (uintptr_t)-56},               /* const1s */
        {{3, 0x10, 0x80, 0x01}, 0, 128},                   /* constu */
        {{2, 0x11, 0x7f}, 0, (uintptr_t)-1},               /* consts */
        {{2, 0x23, 5}, 10, 15},                            /* base, plus_uconst */
        {{3, 0x73, 0x78, 0x96}, 0, 1003 - 8},              /* breg3 -8, nop */
        {{4, 0x92, 3, 0x08, 0x96}, 0, 1003 + 8},           /* bregx 3 +8 */
        {{3, 0x35, 0x33, 0x1c}, 0, 2},                     /* 5 - 3 */
        {{4, 0x35, 0x33, 0x16, 0x1c}, 0, (uintptr_t)-2},   /* swap */
        {{5, 0x35, 0x33, 0x14, 0x22, 0x1e}, 0, 40},        /* 5 * (3 + 5): over */
        {{4, 0x35, 0x12, 0x1e, 0x1f}, 0, (uintptr_t)-25},  /* dup, mul, neg */
        {{3, 0x34, 0x33, 0x24}, 0, 32},                    /* shl */
        {{4, 0x34, 0x1f, 0x31, 0x26}, 0, (uintptr_t)-2},   /* shra */
        {{3, 0x3f, 0x3b, 0x2a}, 0, 1},                     /* 15 >= 11 */
        {{3, 0x3b, 0x3f, 0x2a}, 0, 0},                     /* 11 >= 15 */
        {{4, 0x3a, 0x36, 0x27, 0x20}, 0, ~(uintptr_t)0xc}, /* not (10 xor 6) */
    };
    struct peek peek = {.page = 0};
    struct cfi_registers registers = {.pc = 1};
    for (unsigned i = 0; i < CFI_REGISTERS; i++) registers.value[i] = 1000 + i;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uintptr_t value = 0;
        ck_assert_msg(
            cfi_expression(&peek, (uintptr_t)cases[i].text, cases[i].base, &registers, &value),
            "case %zu", i);
        ck_assert_msg(value == cases[i].expected, "case %zu gave %zd", i, (ssize_t)value);
    }
    static const uint8_t bad[][4] = {{1, 0x22},       {1, 0x13}, {1, 0x06},      {0},
                                     {2, 0x8f, 0x80}, {1, 0xff}, {2, 0x30, 0x06}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uintptr_t value = 0;
        ck_assert_msg(!cfi_expression(&peek, (uintptr_t)bad[i], 0, &registers, &value),
                      "bad case %zu", i);
    }
}
END_TEST

/* --- Code without tables --------------------------------------------------------------------- */

#if defined(__x86_64__)
START_TEST(a_walk_passes_through_generated_code_by_the_frame_pointer) {
    /* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
    static const uint8_t code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    memcpy(page, code, sizeof code);
    ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    void (*generated)(void (*)(void)) = NULL;
    memcpy(&generated, &page, sizeof generated);
    generated(walk_both);
    /* This walk's own frames: walk_both, the generated code, this function, and its callers. */
    ck_assert_uint_ge(ours.count, 5);
    ck_assert_uint_eq(ours.frames[1], (uintptr_t)page + 5);
    Dl_info info;
    ck_assert_int_ne(dladdr((void *)ours.frames[2], &info), 0);
    Dl_info self;
    ck_assert_int_ne(dladdr((void *)(uintptr_t)&walk_both, &self), 0);
    ck_assert_ptr_eq(info.dli_fbase, self.dli_fbase);
    munmap(page, 4096);
}
END_TEST
#endif

/* --- What is printed ------------------------------------------------------------------------- */

/* What the dynamic linker knows of the module that an address lies in. */
struct known {
    uintptr_t bias;
    char path[4096];
    char build_id[2 * BUILD_ID_MAX + 1];
};

static void note_build_id(struct known *known, const char *notes, size_t size) {
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
        const Elf64_Nhdr *note = (const void *)(notes + at);
        const uint8_t *id = (const uint8_t *)(note + 1) + round_up(note->n_namesz, 4);
        if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4)
            for (unsigned i = 0; i < note->n_descsz; i++)
                sprintf(known->build_id + 2 * i, "%02x", id[i]);
        at += sizeof *note + round_up(note->n_namesz, 4) + round_up(note->n_descsz, 4);
    }
}

static void look_up(uintptr_t address, struct known *known) {
    Dl_info info;
    *known = (struct known){.bias = 0};
    ck_assert_int_ne(dladdr((void *)address, &info), 0);
    const Elf64_Ehdr *header = info.dli_fbase;
    const Elf64_Phdr *segments = (const void *)((const char *)info.dli_fbase + header->e_phoff);
    known->bias = header->e_type == ET_EXEC ? 0 : (uintptr_t)info.dli_fbase;
    /* The program's own name is what it was called by, which may be relative to a directory left
       since. */
    if (realpath(strstr(info.dli_fname, ".so") != NULL ? info.dli_fname : "/proc/self/exe",
                 known->path) == NULL)
        snprintf(known->path, sizeof known->path, "%s", info.dli_fname);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_NOTE && known->build_id[0] == '\0')
            note_build_id(known, (const char *)(known->bias + segments[i].p_vaddr),
                          segments[i].p_memsz);
}

static char printed[32768];

static void print_frames(void) {
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    backtrace_write(&workspace, &ours, fileno(file));
    rewind(file);
    printed[fread(printed, 1, sizeof printed - 1, file)] = '\0';
    fclose(file);
}

/* "(FUNCTION+0xN)" at `text`, if dladdr knows a function there, by one of its names. Returns what
   follows. */
static char *skip_function(char *text, uintptr_t address) {
    Dl_info info;
    ck_assert_int_ne(dladdr((void *)address, &info), 0);
    if (info.dli_saddr == NULL) return text;
    char *plus = strchr(text, '+'), *after = NULL;
    ck_assert_msg(text[0] == '(' && plus != NULL, "%s is not named: %.80s", info.dli_sname, text);
    *plus = '\0';
    /* in its own module: a sanitizer has functions of the same names */
    void *module = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    ck_assert_ptr_eq(dlsym(module != NULL ? module : RTLD_DEFAULT, text + 1), info.dli_saddr);
    if (module != NULL) dlclose(module);
    ck_assert_uint_eq(strtoull(plus + 1, &after, 16), address - (uintptr_t)info.dli_saddr);
    ck_assert_int_eq(*after, ')');
    return after + 1;
}

START_TEST(each_frame_is_a_line_with_module_function_offset_and_build_id) {
    int numbers[] = {2, 1};
    qsort(numbers, 2, sizeof *numbers, compare); /* frames in two modules */
    print_frames();
    ck_assert_ptr_nonnull(strstr(printed, "build-id "));
    ck_assert_ptr_nonnull(strstr(printed, "libc.so"));
    ck_assert_ptr_nonnull(strstr(printed, "(qsort"));
    char *rest = printed;
    for (unsigned i = 0; i < ours.count; i++) {
        struct known known;
        char expected[8192];
        look_up(ours.frames[i], &known);
        snprintf(expected, sizeof expected, "moat:   #%u %s", i, known.path);
        ck_assert_msg(strncmp(rest, expected, strlen(expected)) == 0, "frame %u is %s, not %s", i,
                      rest, expected);
        rest = skip_function(rest + strlen(expected), ours.frames[i]);
        snprintf(expected, sizeof expected, "+0x%" PRIxPTR "%s%s\n", ours.frames[i] - known.bias,
                 known.build_id[0] != '\0' ? " build-id " : "", known.build_id);
        ck_assert_msg(strncmp(rest, expected, strlen(expected)) == 0, "frame %u goes on %s, not %s",
                      i, rest, expected);
        rest += strlen(expected);
    }
    ck_assert_str_eq(rest, "");
}
END_TEST

static void walk_without_descriptors(void) {
    struct backtrace before;
    FILE *file = tmpfile();
    backtrace_capture(&workspace, &before);
    struct rlimit none = {0, 0};
    if (file == NULL || setrlimit(RLIMIT_NOFILE, &none) != 0) _exit(2);
    backtrace_capture(&workspace, &ours);
    backtrace_write(&workspace, &ours, fileno(file));
    rewind(file);
    printed[fread(printed, 1, sizeof printed - 1, file)] = '\0';
    if (ours.count != before.count) _exit(3);
    for (unsigned i = 1; i < ours.count; i++)
        if (ours.frames[i] != before.frames[i]) _exit(4);
    if (strncmp(printed, "moat:   #0 [unknown]+0x", 23) != 0) _exit(5);
    if (strstr(printed, " build-id ") == NULL) _exit(6);
    _exit(0);
}

/* No list of mappings, as in a sandbox without /proc: the same frames, named by build id alone. */
START_TEST(without_a_list_of_mappings_modules_are_found_all_the_same) {
    in_child(walk_without_descriptors, 0);
}
END_TEST

static void *walk_after_main(void *main_thread) {
    pthread_join(*(pthread_t *)main_thread, NULL);
    backtrace_capture(&workspace, &ours);
    print_frames();
    _exit(ours.count >= 2 && strstr(printed, "[unknown]") == NULL &&
                  strstr(printed, "test_backtrace") != NULL
              ? 0
              : 1);
}

static void end_the_first_thread(void) {
    static pthread_t main_thread;
    pthread_t thread;
    main_thread = pthread_self();
    if (pthread_create(&thread, NULL, walk_after_main, &main_thread) != 0) _exit(2);
    pthread_exit(NULL);
}

START_TEST(a_walk_works_after_the_first_thread_ended) { in_child(end_the_first_thread, 0); }
END_TEST

START_TEST(an_address_is_described_by_what_is_mapped_there) {
    char text_buffer[512];
    int on_stack = 0;
    void *anonymous = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(anonymous, MAP_FAILED);
    const struct {
        uintptr_t address;
        const char *part;
    } cases[] = {{(uintptr_t)&on_stack, "[stack] (rw"},
                 {(uintptr_t)&look_up, "test_backtrace (r-xp)"},
                 {(uintptr_t)anonymous, "(r--p)"},
                 {1, "no mapping"},
                 {UINTPTR_MAX, "no mapping"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct format format = format_in(text_buffer, sizeof text_buffer - 1);
        module_describe_address(&workspace.modules, cases[i].address, &format);
        text_buffer[format.length] = '\0';
        ck_assert_msg(strstr(text_buffer, cases[i].part) != NULL, "case %zu gave %s", i,
                      text_buffer);
    }
}
END_TEST

/* --- Reading --------------------------------------------------------------------------------- */

START_TEST(reading_stops_where_memory_ends) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(start, MAP_FAILED);
    memset(start, 7, 3 * page);
    ck_assert_int_eq(mprotect(start + page, page, PROT_NONE), 0);
    ck_assert_int_eq(munmap(start + 2 * page, page), 0);
    struct peek peek = {.page = 0};
    char bytes[32];
    uintptr_t word = 0;
    uintptr_t end = (uintptr_t)start + page;
    ck_assert(peek_bytes(&peek, end - 32, bytes, 32));
    ck_assert_int_eq(bytes[31], 7);
    ck_assert(peek_word(&peek, end - 8, &word));
    ck_assert_uint_eq(word, 0x0707070707070707);
    ck_assert(!peek_bytes(&peek, end - 31, bytes, 32));
    ck_assert(!peek_word(&peek, end - 7, &word));
    ck_assert(!peek_word(&peek, end, &word));
    ck_assert(!peek_word(&peek, end + page, &word));
    ck_assert(!peek_word(&peek, 0, &word));
    ck_assert(!peek_word(&peek, 8, &word));
    ck_assert(!peek_word(&peek, UINTPTR_MAX - 7, &word));
    ck_assert(!peek_bytes(&peek, UINTPTR_MAX - 7, bytes, 32));
    ck_assert(!peek_word(&peek, (uintptr_t)1 << 63, &word));
    munmap(start, 2 * page);
}
END_TEST

START_TEST(the_list_of_mappings_is_read_line_by_line) {
    static struct proc_maps mappings;
    static char line[8192];
    struct mapping mapping;
    /* More lines than one buffer holds, and so none that is moved meanwhile. */
    for (unsigned i = 0; i < 200; i++)
        ck_assert_ptr_ne(
            mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
            MAP_FAILED);
    FILE *file = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert(proc_maps_open(&mappings));
    unsigned lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t start = 0, end = 0, offset = 0, inode = 0;
        unsigned major = 0, minor = 0;
        char permissions[8] = "", name[4096] = "";
        int fields =
            sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %" SCNxPTR " %x:%x %" SCNuPTR " %4095[^\n]",
                   &start, &end, permissions, &offset, &major, &minor, &inode, name);
        ck_assert_int_ge(fields, 7);
        ck_assert(proc_maps_next(&mappings, &mapping));
        ck_assert_uint_eq(mapping.start, start);
        ck_assert_uint_eq(mapping.end, end);
        ck_assert_uint_eq(mapping.offset, offset);
        ck_assert_uint_eq(mapping.device, (uint64_t)major << 32 | minor);
        ck_assert_uint_eq(mapping.inode, inode);
        ck_assert_mem_eq(mapping.permissions, permissions, 4);
        ck_assert_uint_eq(mapping.name_length, strlen(name));
        ck_assert_mem_eq(mapping.name, name, strlen(name));
        lines++;
    }
    ck_assert(!proc_maps_next(&mappings, &mapping));
    proc_maps_close(&mappings);
    fclose(file);
    ck_assert_uint_gt(lines, 200);
}
END_TEST

int main(void) {
    /* loads the C library's unwinder, which allocates: not in a signal handler */
    backtrace(theirs, 1);
    Suite *suite = suite_create("backtrace");
    TCase *walks = tcase_create("walks");
    tcase_set_timeout(walks, 60);
    tcase_add_test(walks, a_walk_gives_the_same_calls_as_the_c_library);
    tcase_add_test(walks, a_deep_stack_ends_at_the_bound);
    tcase_add_test(walks, a_walk_passes_through_libraries);
    tcase_add_test(walks, a_walk_ends_where_a_thread_begins);
    tcase_add_test(walks, a_walk_passes_through_a_signal_handler);
    tcase_add_test(walks, a_walk_passes_from_a_signal_stack_to_the_ordinary_one);
    tcase_add_test(walks, a_walk_is_right_at_any_instruction);
    tcase_add_test(walks, a_walk_allocates_nothing);
    tcase_add_test(walks, frames_below_a_return_address_are_dropped);
#if defined(__x86_64__)
    tcase_add_test(walks, a_walk_passes_through_generated_code_by_the_frame_pointer);
#endif
    suite_add_tcase(suite, walks);
    TCase *damage = tcase_create("damage");
    tcase_set_timeout(damage, 60);
    tcase_add_test(damage, a_walk_over_a_damaged_stack_ends);
    tcase_add_test(damage, damaged_tables_end_the_walk);
    tcase_add_test(damage, expressions_compute);
    suite_add_tcase(suite, damage);
    TCase *text = tcase_create("text");
    tcase_set_timeout(text, 60);
    tcase_add_test(text, each_frame_is_a_line_with_module_function_offset_and_build_id);
    tcase_add_test(text, without_a_list_of_mappings_modules_are_found_all_the_same);
    tcase_add_test(text, a_walk_works_after_the_first_thread_ended);
    tcase_add_test(text, an_address_is_described_by_what_is_mapped_there);
    tcase_add_test(text, reading_stops_where_memory_ends);
    tcase_add_test(text, the_list_of_mappings_is_read_line_by_line);
    suite_add_tcase(suite, text);
    return suite_run(suite);
}
