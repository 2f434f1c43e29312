/* require: see require.h. Formats on the stack (vsnprintf with plain conversions does not allocate)
   and writes once a line. */
#include "require.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_CAPACITY = 512 };

static void write_line(const char *prefix, const char *format, va_list arguments) {
    char line[LINE_CAPACITY];
    size_t length = strlen(prefix);
    memcpy(line, prefix, length);
    int more = vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    if (more > 0) length += (size_t)more;
    if (length > sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    for (size_t done = 0; done < length;) {
        ssize_t count = write(STDOUT_FILENO, line + done, length - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return;
        done += (size_t)count;
    }
}

void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line("", format, arguments);
    va_end(arguments);
}

_Noreturn void require_failed(const char *file, int line, const char *format, ...) {
    const char *base = strrchr(file, '/');
    char prefix[160];
    snprintf(prefix, sizeof prefix, "failed: %.100s:%d: ", base ? base + 1 : file, line);
    va_list arguments;
    va_start(arguments, format);
    write_line(prefix, format, arguments);
    va_end(arguments);
    _exit(1);
}

_Noreturn void skip_test(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line("skipped: ", format, arguments);
    va_end(arguments);
    _exit(TEST_SKIPPED);
}
