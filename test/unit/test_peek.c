/*
 * test_peek: reading through a window, which does not fault (src/os/peek.h; the rest of it is in
 * test_backtrace.c).
 */
#include "os/peek.h"

#include "os/os.h"

#include "suite.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct peek_window window;
static char bytes[3 * PEEK_WINDOW], seen[3 * PEEK_WINDOW];

static struct peek open_window(void) {
    int memory = peek_open_memory();
    ck_assert_int_ge(memory, 0);
    return peek_through(&window, memory);
}

START_TEST(all_of_it_is_read_at_any_place_and_length) {
    struct peek peek = open_window();
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7 + i / 256);
    for (size_t at = 0; at < sizeof bytes; at += 509) {
        for (size_t size = 1; size <= sizeof bytes - at; size = size * 3 + 1) {
            memset(seen, 0, size);
            ck_assert(peek_bytes(&peek, (uintptr_t)bytes + at, seen, size));
            ck_assert_mem_eq(seen, bytes + at, size);
        }
    }
    os_close(window.memory);
}
END_TEST

START_TEST(what_is_gone_is_a_failed_read) {
    struct peek peek = open_window();
    size_t page = os_page_size();
    char path[] = "/tmp/moat-peek-XXXXXX";
    int file = mkstemp(path);
    ck_assert(file >= 0 && unlink(path) == 0 && ftruncate(file, (off_t)(2 * page)) == 0);
    char *start = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(start, MAP_FAILED);
    uintptr_t second = (uintptr_t)start + page;
    ck_assert(peek_bytes(&peek, second - 8, seen, 16));
    /* the file ends: a load of the page would be SIGBUS */
    ck_assert_int_eq(ftruncate(file, (off_t)page), 0);
    peek = peek_through(&window, window.memory);
    ck_assert(peek_bytes(&peek, second - 8, seen, 8));
    ck_assert(!peek_bytes(&peek, second - 8, seen, 9));
    ck_assert(!peek_bytes(&peek, second, seen, 1));
    /* what has failed once is asked again */
    ck_assert_int_eq(ftruncate(file, (off_t)(2 * page)), 0);
    ck_assert(peek_bytes(&peek, second, seen, 1));
    ck_assert_int_eq(munmap(start, 2 * page), 0);
    peek = peek_through(&window, window.memory);
    ck_assert(!peek_bytes(&peek, second - 8, seen, 8));
    ck_assert(!peek_bytes(&peek, 0, seen, 1));
    ck_assert(!peek_bytes(&peek, UINTPTR_MAX - 3, seen, 16));
    close(file);
    os_close(window.memory);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("peek");
    TCase *windows = tcase_create("windows");
    tcase_add_test(windows, all_of_it_is_read_at_any_place_and_length);
    tcase_add_test(windows, what_is_gone_is_a_failed_read);
    suite_add_tcase(suite, windows);
    return suite_run(suite);
}
