/*
 * who: names and numbers of threads, as the kernel has them (see who.h).
 *
 * The C library keeps each thread's number at a place of its own, and nobody says where. But it is
 * as far from a thread-local word of the one thread as of the other: a place where this thread has
 * its own number has the other's in the other thread. That this process has a thread of that number
 * is asked of the kernel.
 */
#include "report/who.h"

#include "os/os.h"
#include "os/os_seam.h"
#include "os/peek.h"

/* How far from a thread-local word its thread's number is looked for, bytes on either side. */
#define NEAR 8192u
/* Places looked at in the other thread. */
#define TRIES 8u

static size_t read_name(const char *path, char *name, size_t size) {
    size_t length = os_read_file(path, name, size), end = 0;
    while (end < length && name[end] != '\0' && name[end] != '\n') end++;
    return end;
}

size_t who_program_name(char *name) { return read_name("/proc/self/cmdline", name, WHO_NAME); }

size_t who_thread_name(char *name) { return read_name("/proc/thread-self/comm", name, WHO_NAME); }

void who_format_names(struct format *format) {
    char name[WHO_NAME];
    size_t program = who_program_name(name);
    if (program != 0) {
        format_string(format, "moat: program ");
        format_foreign(format, name, program);
    }
    size_t thread = who_thread_name(name);
    if (thread != 0) {
        format_string(format, program != 0 ? ", thread name " : "moat: thread name ");
        format_foreign(format, name, thread);
    }
    if (program != 0 || thread != 0) format_end_line(format);
}

#define TASK_PATH 64u

/* "/proc/self/task/N/comm" */
static void thread_path(unsigned number, char path[TASK_PATH]) {
    struct format text = format_in(path, TASK_PATH - 1);
    format_string(&text, "/proc/self/task/");
    format_decimal(&text, number);
    format_string(&text, "/comm");
    path[text.length] = '\0';
}

static bool is_thread_here(unsigned number) {
    char path[TASK_PATH];
    thread_path(number, path);
    int fd = os_open_read(path);
    if (fd < 0) return false;
    os_close(fd);
    return true;
}

void who_name_of(unsigned thread, char name[REPORT_THREAD_NAME]) {
    char path[TASK_PATH];
    thread_path(thread, path);
    name[read_name(path, name, REPORT_THREAD_NAME - 1)] = '\0';
}

unsigned who_thread_of(uintptr_t own_word, uintptr_t other_word) {
    struct peek peek = {.page = 0}, other_peek = {.page = 0};
    unsigned own = os_thread_id(), answer = 0, tries = 0;
    if (IN_HARNESS && os_seam.memory_is_played()) return 0;
    uintptr_t from = round_down(own_word, sizeof own) - NEAR;
    if (own_word < NEAR || own_word == other_word) return 0;
    for (uintptr_t at = from; at < from + 2 * (uintptr_t)NEAR && tries < TRIES; at += sizeof own) {
        unsigned seen = 0;
        if (!peek_bytes(&peek, at, &seen, sizeof seen) || seen != own) continue;
        if (!peek_bytes(&other_peek, at - own_word + other_word, &seen, sizeof seen)) continue;
        if (seen == answer) continue;
        tries++;
        if (seen == own || seen == 0 || !is_thread_here(seen)) continue;
        if (answer != 0) return 0; /* two answers are none */
        answer = seen;
    }
    return answer;
}
