/*
 * peek: reading memory that may not be there (see peek.h).
 *
 * The loads are plain volatile ones in functions that sanitizers leave alone: what is read here is
 * other functions' stack, with red zones and words that other threads write, and none of that is an
 * error of this program.
 */
#include "os/peek.h"

#include "os/os.h"
#include "os/os_seam.h"

#define PEEK_UNCHECKED __attribute__((no_sanitize("address"), no_sanitize("thread")))

static uintptr_t shift_of(uintptr_t address, size_t size) {
    return IN_HARNESS ? os_seam.peek(address, size) : 0;
}

static bool page_is_readable(struct peek *peek, uintptr_t address) {
    if (peek->page_size == 0) peek->page_size = os_page_size();
    uintptr_t page = round_down(address, peek->page_size);
    if (page == 0) return false;
    if (page == peek->page) return true;
    if (!os_can_read((const void *)page)) return false;
    peek->page = page;
    return true;
}

static bool fill(struct peek_window *window, uintptr_t address) {
    window->start = address;
    window->have = os_read_at(window->memory, window->bytes, sizeof window->bytes, address);
    return window->have != 0;
}

static bool look_through(struct peek_window *window, uintptr_t address, char *to, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (address + i - window->start >= window->have && !fill(window, address + i)) return false;
        to[i] = window->bytes[address + i - window->start];
    }
    return true;
}

struct peek peek_through(struct peek_window *window, int memory) {
    window->memory = memory;
    window->start = 0;
    window->have = 0;
    return (struct peek){.window = window};
}

/* An emulator may show its own memory, where other things are. */
static bool shows_ours(int memory) {
    static const char known[] = "moat looks at itself";
    char seen[sizeof known];
    if (os_read_at(memory, seen, sizeof seen, (uintptr_t)known) != sizeof seen) return false;
    for (size_t i = 0; i < sizeof seen; i++)
        if (seen[i] != known[i]) return false;
    return true;
}

int peek_open_memory(void) {
    int memory = os_open_read("/proc/thread-self/mem");
    if (memory < 0) memory = os_open_read("/proc/self/mem"); /* kernels before 3.17 */
    if (memory < 0 || shows_ours(memory)) return memory;
    os_close(memory);
    return -1;
}

PEEK_UNCHECKED bool peek_bytes(struct peek *peek, uintptr_t address, void *out, size_t size) {
    if (peek->window != NULL) return look_through(peek->window, address, out, size);
    volatile char *to = out;
    uintptr_t end = 0, shift = shift_of(address, size);
    if (__builtin_add_overflow(address, size, &end)) return false;
    for (uintptr_t at = address; at < end; at++) {
        if ((at == address || (at & (peek->page_size - 1)) == 0) && !page_is_readable(peek, at))
            return false;
        *to++ = *(const volatile char *)(at + shift);
    }
    return true;
}

PEEK_UNCHECKED bool peek_word(struct peek *peek, uintptr_t address, uintptr_t *out) {
    if (address % sizeof *out != 0) return peek_bytes(peek, address, out, sizeof *out);
    uintptr_t shift = shift_of(address, sizeof *out);
    if (!page_is_readable(peek, address)) return false;
    *out = *(const volatile uintptr_t *)(address + shift);
    return true;
}
