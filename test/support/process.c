/* process: see process.h. */
#include "process.h"

#include "require.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[1 << 17];

/* The file's beginning, NUL-terminated, in `text`; false if it cannot be read. */
static bool slurp(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    if (fd < 0) return false;
    for (;;) {
        ssize_t count = read(fd, text + length, sizeof text - 1 - length);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        length += (size_t)count;
    }
    close(fd);
    text[length] = '\0';
    return length > 0;
}

static void slurp_of(pid_t process, const char *name) {
    char path[64];
    if (process == 0) {
        snprintf(path, sizeof path, "/proc/self/%s", name);
    } else {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)process, name);
    }
    REQUIRE(slurp(path), "%s can be read", path);
}

static size_t field(pid_t process, const char *file, const char *name) {
    slurp_of(process, file);
    char *found = strstr(text, name);
    REQUIRE(found, "%s has %s", file, name);
    return (size_t)strtoull(found + strlen(name), NULL, 10) * 1024;
}

size_t process_resident(pid_t process) { return field(process, "status", "\nVmRSS:"); }
size_t process_virtual(pid_t process) { return field(process, "status", "\nVmSize:"); }
size_t process_data(void) { return field(0, "status", "\nVmData:"); }
size_t process_private_dirty(pid_t process) {
    return field(process, "smaps_rollup", "\nPrivate_Dirty:");
}
size_t process_huge_pages(pid_t process) {
    return field(process, "smaps_rollup", "\nAnonHugePages:");
}

/* A full map count has thirty times what `text` holds, so count as it streams by. */
size_t process_mappings(void) {
    size_t lines = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0, "/proc/self/maps can be read");
    for (;;) {
        ssize_t count = read(fd, text, sizeof text);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        for (ssize_t i = 0; i < count; i++) lines += text[i] == '\n';
    }
    close(fd);
    return lines;
}

void process_mapping(size_t index, uintptr_t *start, uintptr_t *end) {
    size_t lines = 0;
    slurp_of(0, "maps");
    for (const char *at = text; *at; at++) lines += *at == '\n';
    REQUIRE(lines > 0, "the process has mappings");
    char *at = text;
    for (index %= lines; index > 0; index--) at = strchr(at, '\n') + 1;
    *start = (uintptr_t)strtoull(at, &at, 16);
    REQUIRE(*at == '-', "a line of maps begins with a range");
    *end = (uintptr_t)strtoull(at + 1, NULL, 16);
}

/* getdents64 by hand: opendir() would allocate. */
size_t process_descriptors(void) {
    struct entry {
        uint64_t inode;
        int64_t offset;
        unsigned short length;
        unsigned char type;
        char name[];
    };
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t found = 0;
    REQUIRE(fd >= 0, "/proc/self/fd can be read");
    for (;;) {
        long count = syscall(SYS_getdents64, fd, text, sizeof text);
        if (count <= 0) break;
        for (long at = 0; at < count;) {
            const struct entry *entry = (const struct entry *)(const void *)(text + at);
            found += entry->name[0] != '.';
            at += entry->length;
        }
    }
    close(fd);
    return found - 1;
}

long read_number(const char *path, long otherwise) {
    return slurp(path) ? strtol(text, NULL, 10) : otherwise;
}
