/*
 * moat-run: runs a program with moat in place of its allocator.
 *
 *   moat-run PROGRAM [ARGS...]
 *
 * Finds the library beside itself (a build tree) or in the library folder of its installation, puts
 * it in front of whatever LD_PRELOAD holds already, and becomes the program. It refuses what the
 * dynamic linker would silently run without the library: a statically linked program, one of
 * another word size, one that gains privileges. Exit status, as env(1): 125 a fault of moat-run's
 * own, 126 the program cannot be run, 127 it was not found; otherwise the program's.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { EXIT_OWN_FAULT = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int status, const char *format,
                                                                 ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("moat-run: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(status);
}

/* result receives directory/name; false when that is too long for a path. */
static bool join(char result[PATH_MAX], const char *directory, const char *name) {
    int length = snprintf(result, PATH_MAX, "%s/%s", directory, name);
    return length >= 0 && length < PATH_MAX;
}

/* The library this program was built or installed with. */
static void find_library(char library[PATH_MAX]) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        fail(EXIT_OWN_FAULT, "cannot read /proc/self/exe: %s (is /proc mounted?)", strerror(errno));
    self[length] = '\0';
    *strrchr(self, '/') = '\0';

    static const char *const places[] = {MOAT_LIBRARY, MOAT_LIBDIR_FROM_BINDIR "/" MOAT_LIBRARY};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char candidate[PATH_MAX];
        if (!join(candidate, self, places[i]) || access(candidate, R_OK) != 0) continue;
        if (!realpath(candidate, library))
            fail(EXIT_OWN_FAULT, "%s: %s", candidate, strerror(errno));
        return;
    }
    fail(EXIT_OWN_FAULT, "%s is neither in %s nor in %s/%s: build or install moat completely",
         MOAT_LIBRARY, self, self, MOAT_LIBDIR_FROM_BINDIR);
}

/* Whether a list as in LD_PRELOAD (colons or spaces between) names the library. */
static bool preload_names(const char *list, const char *library) {
    size_t length = strlen(library);
    for (const char *entry = list + strspn(list, ": "); *entry; entry += strspn(entry, ": ")) {
        size_t entry_length = strcspn(entry, ": ");
        if (entry_length == length && strncmp(entry, library, length) == 0) return true;
        entry += entry_length;
    }
    return false;
}

static void set_preload(const char *library) {
    if (strpbrk(library, ": ")) {
        fail(EXIT_OWN_FAULT,
             "'%s' has a space or a colon in its path, which LD_PRELOAD cannot name: move moat "
             "elsewhere",
             library);
    }
    const char *others = getenv("LD_PRELOAD");
    if (others && preload_names(others, library)) return;

    const char *separator = others && *others ? ":" : "";
    size_t size = strlen(library) + strlen(separator) + (others ? strlen(others) : 0) + 1;
    char *list = malloc(size);
    if (!list) fail(EXIT_OWN_FAULT, "out of memory");
    snprintf(list, size, "%s%s%s", library, separator, others ? others : "");
    if (setenv("LD_PRELOAD", list, 1) != 0)
        fail(EXIT_OWN_FAULT, "cannot set LD_PRELOAD: %s", strerror(errno));
    free(list);
}

/* Where execvp() will find the program; false if nowhere. */
static bool find_program(char path[PATH_MAX], const char *name) {
    if (strchr(name, '/'))
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && access(path, F_OK) == 0;

    const char *search = getenv("PATH");
    if (!search) search = "/bin:/usr/bin";
    for (;;) {
        size_t length = strcspn(search, ":");
        char directory[PATH_MAX];
        if (length < sizeof directory) {
            snprintf(directory, sizeof directory, "%.*s", (int)length, length ? search : "");
            if (join(path, length ? directory : ".", name) && access(path, X_OK) == 0) return true;
        }
        if (!search[length]) return false;
        search += length + 1;
    }
}

static bool has_interpreter(int fd, const Elf64_Ehdr *header) {
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        off_t offset = (off_t)(header->e_phoff + (uint64_t)i * header->e_phentsize);
        /* exec will say what is wrong */
        if (pread(fd, &segment, sizeof segment, offset) != (ssize_t)sizeof segment) return true;
        if (segment.p_type == PT_INTERP) return true;
    }
    return false;
}

/* Refuses what would run without the library and say nothing. */
static void check_program(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) return;
    if (S_ISDIR(status.st_mode)) fail(EXIT_CANNOT_RUN, "%s is a directory", path);
    bool gains = ((status.st_mode & S_ISUID) && status.st_uid != getuid()) ||
                 ((status.st_mode & S_ISGID) && status.st_gid != getgid());
    if (!gains && getuid() != 0) gains = getxattr(path, "security.capability", NULL, 0) > 0;
    if (gains) {
        fail(EXIT_CANNOT_RUN,
             "%s gains privileges when it starts, so the dynamic linker ignores LD_PRELOAD: link "
             "moat into it",
             path);
    }

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return; /* executable but not readable: nothing can be known */
    Elf64_Ehdr header = {0};
    ssize_t got = pread(fd, &header, sizeof header, 0);
    if (got >= EI_NIDENT && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) {
        if (header.e_ident[EI_CLASS] != ELFCLASS64)
            fail(EXIT_CANNOT_RUN, "%s is no 64-bit program", path);
        if (got == (ssize_t)sizeof header && !has_interpreter(fd, &header)) {
            fail(EXIT_CANNOT_RUN,
                 "%s is statically linked, which LD_PRELOAD cannot reach: link it with moat.o",
                 path);
        }
    }
    close(fd);
}

static const char usage[] =
    "Usage: moat-run PROGRAM [ARGS...]\n"
    "       moat-run --help | --version | --library\n"
    "Runs PROGRAM with moat in place of its memory allocator.\n"
    "  --library  prints the path of the library that is preloaded\n"
    "MOAT_OPTIONS=key=value:key=value in the environment sets moat's options.\n";

int main(int argc, char **argv) {
    char library[PATH_MAX];
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout) < 0;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) return puts("moat " MOAT_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "--library") == 0) {
        find_library(library);
        return puts(library) < 0;
    }
    if (argc > 1 && strcmp(argv[1], "--") == 0) {
        first = 2;
    } else if (argc > 1 && argv[1][0] == '-') {
        fprintf(stderr, "moat-run: unknown option '%s'\n%s", argv[1], usage);
        return EXIT_OWN_FAULT;
    }
    if (first >= argc) {
        fputs(usage, stderr);
        return EXIT_OWN_FAULT;
    }

    find_library(library);
    char path[PATH_MAX];
    if (!find_program(path, argv[first])) fail(EXIT_NOT_FOUND, "%s: not found", argv[first]);
    check_program(path);
    set_preload(library);
    execvp(argv[first], argv + first);
    fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN, "%s: %s", argv[first],
         strerror(errno));
}
