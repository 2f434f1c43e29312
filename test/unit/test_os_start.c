/*
 * test_os_start: what the kernel says at the start, wherever it can still be read, and the clock of
 * the kernel's image.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "suite.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static char **first_environment; /* on the first stack */

static void check_facts(bool privileged) {
    struct os_facts facts;
    os_read_facts(&facts);
    ck_assert_uint_eq(facts.page_size, (size_t)sysconf(_SC_PAGESIZE));
    ck_assert_int_eq(facts.privileged, privileged);
    struct timespec now = {-1, -1}, expected;
    ck_assert_int_eq(facts.clock(CLOCK_MONOTONIC_COARSE, &now), 0);
    ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC_COARSE, &expected), 0);
    ck_assert_int_le(expected.tv_sec - now.tv_sec, 1);
}

/* Nothing can be read from /proc any more. */
static void forbid_files(void) {
    struct rlimit none = {0, 0};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
}

START_TEST(the_stack_says_what_the_c_library_was_told) {
    forbid_files();
    check_facts(getauxval(AT_SECURE) != 0);
    ck_assert_int_eq(os_is_privileged(), getauxval(AT_SECURE) != 0);
}
END_TEST

/* A program that empties its environment in place leaves a vector that seems to end early. */
START_TEST(an_environment_emptied_in_place_is_not_misread) {
    ck_assert_ptr_nonnull(first_environment[0]);
    first_environment[0] = NULL;
    check_facts(getauxval(AT_SECURE) != 0); /* from /proc */
}
END_TEST

START_TEST(who_knows_nothing_says_privileged) {
    first_environment[0] = NULL;
    forbid_files();
    check_facts(true);
    ck_assert(os_is_privileged());
}
END_TEST

START_TEST(the_environment_is_found_before_the_c_library_knows_it) {
    ck_assert_ptr_nonnull(getenv("PATH"));
    const char *path = strdup(getenv("PATH"));
    environ = NULL;
    ck_assert_str_eq(os_environment("PATH"), path);
    ck_assert_ptr_null(os_environment("MOAT_NO_SUCH_VARIABLE"));
}
END_TEST

START_TEST(a_variable_is_found_in_a_file_of_strings) {
    static const char before[] = "PA=1\0PATHS=2\0XPATH=3\0NAME=PATH=4\0PATH\0=5",
                      after[] = "PATH=right=value\0PATH=second";
    char path[] = "/tmp/moat-test-start-XXXXXX", value[16];
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, before, sizeof before), sizeof before);
    ck_assert_ptr_null(os_environment_in_file(path, "PATH", value, sizeof value));
    /* across the pieces in which it is read */
    static char filling[1500];
    memset(filling, 'x', sizeof filling - 1);
    ck_assert_int_eq(write(fd, filling, sizeof filling), sizeof filling);
    ck_assert_int_eq(write(fd, after, sizeof after), sizeof after);
    ck_assert_str_eq(os_environment_in_file(path, "PATH", value, sizeof value), "right=value");
    ck_assert_str_eq(os_environment_in_file(path, "PA", value, sizeof value), "1");
    ck_assert_str_eq(os_environment_in_file(path, "", value, sizeof value), "5");
    /* no room for it: the next of the name, if any, is taken */
    ck_assert_str_eq(os_environment_in_file(path, "PATH", value, 7), "second");
    ck_assert_ptr_null(os_environment_in_file(path, "PATH", value, 6));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ptr_null(os_environment_in_file(path, "PATH", value, sizeof value));
}
END_TEST

START_TEST(the_kernels_image_has_a_clock) {
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (vdso == 0) return; /* under an emulator: then check_facts() has asked the kernel */
    os_clock *clock = os_find_clock(vdso);
    ck_assert_ptr_nonnull(clock);
    struct timespec now = {0, 0};
    ck_assert_int_eq(clock(CLOCK_MONOTONIC_COARSE, &now), 0);
    ck_assert(now.tv_sec != 0 || now.tv_nsec != 0);
}
END_TEST

/* A file with a table of one symbol, laid out as a linker does. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr load, dynamic, note;
    Elf64_Dyn entries[4];
    Elf64_Sym symbols[2];
    char names[64];
    struct {
        Elf64_Nhdr head;
        char name[8];
        uint32_t what;
    } notes[2];
};

#define AT(member) offsetof(struct image, member)

static void make_image(struct image *image, const char *name) {
    *image = (struct image){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, 'L', 'F', ELFCLASS64},
                   .e_phoff = AT(load),
                   .e_phnum = 3,
                   .e_phentsize = sizeof(Elf64_Phdr)},
        .load = {.p_type = PT_LOAD, .p_vaddr = 0x7000, .p_memsz = sizeof *image},
        .dynamic = {.p_type = PT_DYNAMIC,
                    .p_vaddr = 0x7000 + AT(entries),
                    .p_memsz = sizeof image->entries},
        .note = {.p_type = PT_NOTE, .p_vaddr = 0x7000 + AT(notes), .p_memsz = sizeof image->notes},
        .notes = {{{5, 4, 0}, "Made", 1}, {{sizeof "Linux", 4, 0}, "Linux", 0x060d01}},
        .entries = {{DT_SYMTAB, {0x7000 + AT(symbols)}},
                    {DT_STRTAB, {0x7000 + AT(names)}},
                    {DT_STRSZ, {sizeof image->names}}},
        .symbols = {{0}, {.st_name = 1, .st_shndx = 1, .st_value = 0x7000 + AT(names)}},
    };
    strcpy(image->names + 1, name);
}

static bool has_clock(const struct image *image) {
    os_clock *clock = os_find_clock((uintptr_t)image);
    if (clock != NULL) ck_assert_uint_eq((uintptr_t)clock, (uintptr_t)image + AT(names));
    return clock != NULL;
}

START_TEST(only_a_whole_image_with_the_right_name_has_a_clock) {
    struct image image;
    ck_assert_ptr_null(os_find_clock(0));
    make_image(&image, "__vdso_clock_gettime");
    ck_assert(has_clock(&image));
    make_image(&image, "__kernel_clock_gettime");
    ck_assert(has_clock(&image));
    make_image(&image, "__vdso_clock_gettime64");
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_getres");
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.header.e_ident[EI_CLASS] = ELFCLASS32;
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.symbols[1].st_shndx = SHN_UNDEF;
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.symbols[1].st_value = 0x7000 + sizeof image; /* the first byte behind it */
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.entries[1].d_un.d_ptr = SIZE_MAX - 8; /* names that reach over its end */
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.entries[2].d_un.d_val = 21; /* the name has no end within the names */
    ck_assert(!has_clock(&image));
    make_image(&image, "__vdso_clock_gettime");
    image.dynamic.p_type = PT_NULL;
    ck_assert(!has_clock(&image));
}
END_TEST

START_TEST(the_kernels_image_says_its_version) {
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    unsigned major = 0, minor = 0;
    struct utsname name;
    ck_assert_int_eq(uname(&name), 0);
    ck_assert_int_eq(sscanf(name.release, "%u.%u", &major, &minor), 2);
    uint32_t version = os_find_kernel_version(vdso);
    /* emulators have images of their own */
    if (version != 0) ck_assert_uint_eq(version >> 8, major << 8 | minor);
}
END_TEST

START_TEST(a_version_stands_in_a_whole_note_of_the_right_name) {
    struct image image;
    ck_assert_uint_eq(os_find_kernel_version(0), 0);
    make_image(&image, "");
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0x060d01);
    image.notes[1].head.n_type = 1;
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
    make_image(&image, "");
    image.notes[1].name[0] = 'l';
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
    make_image(&image, "");
    image.notes[0].head.n_descsz = UINT32_MAX; /* beyond the end of all */
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
    make_image(&image, "");
    image.note.p_memsz = sizeof image.notes - 1; /* and of the second */
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
    make_image(&image, "");
    image.note.p_memsz = sizeof image; /* reaches over the image's end */
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
    make_image(&image, "");
    image.note.p_type = PT_NULL;
    ck_assert_uint_eq(os_find_kernel_version((uintptr_t)&image), 0);
}
END_TEST

int main(int count, char **arguments, char **environment) {
    (void)count;
    (void)arguments;
    first_environment = environment;
    Suite *suite = suite_create("os_start");
    TCase *tcase = tcase_create("start");
    tcase_add_test(tcase, the_stack_says_what_the_c_library_was_told);
    tcase_add_test(tcase, an_environment_emptied_in_place_is_not_misread);
    tcase_add_test(tcase, who_knows_nothing_says_privileged);
    tcase_add_test(tcase, the_environment_is_found_before_the_c_library_knows_it);
    tcase_add_test(tcase, a_variable_is_found_in_a_file_of_strings);
    tcase_add_test(tcase, the_kernels_image_has_a_clock);
    tcase_add_test(tcase, only_a_whole_image_with_the_right_name_has_a_clock);
    tcase_add_test(tcase, the_kernels_image_says_its_version);
    tcase_add_test(tcase, a_version_stands_in_a_whole_note_of_the_right_name);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
