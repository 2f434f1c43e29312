/*
 * fork_storm: threads that are inside stdio, the name services, the loader, locales, thread
 * creation and huge reallocations, while others fork without a pause.
 *
 *   fork_storm loader | exit [FORKS]      2000, or as many as MOAT_FORKS says
 *
 * Where a thread loads and unloads libraries, no child may call exit(): the C library's lock of
 * exit handlers may be held by that thread, for ever. So there are two storms.
 *
 * Children allocate, free blocks of threads that they do not have, fork again, execute, exit. No
 * process may wait for ever, and what is read back must be what was written. It says nothing of
 * moat: run without it (a plain build, nothing preloaded) it shows what the C library does of
 * itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

#ifdef STATIC
#include "moat.h"
#else
#include "family.h"
#endif

extern char **environ;

/* glibc 2.34 and later have _Fork(), which runs no handlers. */
extern pid_t _Fork(void) __attribute__((weak));

enum { SLOTS = 64, LINE = 3 << 20, FORKERS = 2, PATIENCE = 100 };

/* Blocks travel between threads, and into children, through these: whoever takes one frees it. */
static unsigned char *slots[SLOTS];
static bool stop, children_exit;
static unsigned left; /* forks */

static bool is_over(void) { return __atomic_load_n(&stop, __ATOMIC_RELAXED); }

/* --- Threads inside the C library ------------------------------------------------------------ */

static void *flush_all(void *unused) {
    while (!is_over()) {
        fflush(NULL);
        usleep(300);
    }
    return unused;
}

/* getline() reallocates under the lock of its stream. How much it reads is left open: a child that
   exits moves the offset, which it shares. */
static void *read_lines(void *unused) {
    FILE *file = tmpfile();
    REQUIRE(file != NULL, "tmpfile: errno %d", errno);
    for (size_t i = 0; i < LINE; i++) putc('x', file);
    while (!is_over()) {
        char *line = NULL;
        size_t size = 0;
        usleep(200);
        rewind(file);
        if (getline(&line, &size, file) > 0) REQUIRE(line[0] == 'x', "getline");
        free(line);
    }
    fclose(file);
    return unused;
}

static void *run_commands(void *unused) {
    char text[16];
    while (!is_over()) {
        FILE *out = popen("echo right", "r");
        REQUIRE(out != NULL, "popen: errno %d", errno);
        REQUIRE(fgets(text, sizeof text, out) != NULL && strcmp(text, "right\n") == 0, "popen");
        REQUIRE(pclose(out) == 0, "pclose");
        usleep(2000);
    }
    return unused;
}

#ifndef STATIC /* a static program loads nothing */
static void *look_names_up(void *unused) {
    struct addrinfo *found, wish = {.ai_family = AF_INET, .ai_flags = AI_NUMERICSERV};
    while (!is_over()) {
        usleep(100);
        REQUIRE(getpwnam("root") != NULL, "getpwnam: errno %d", errno);
        if (getaddrinfo("localhost", "80", &wish, &found) == 0) freeaddrinfo(found);
    }
    return unused;
}

static void *load_libraries(void *unused) {
    while (!is_over()) {
        void *library = dlopen("libresolv.so.2", RTLD_NOW);
        void *other = dlopen("libthread_db.so.1", RTLD_LAZY);
        if (library != NULL) dlclose(library);
        if (other != NULL) dlclose(other);
        usleep(100);
    }
    return unused;
}

static void *change_locales(void *unused) {
    while (!is_over()) {
        locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
        if (locale != (locale_t)0) freelocale(locale);
        setlocale(LC_ALL, "C.UTF-8");
        iconv_t converter = iconv_open("UTF-16", "ISO-8859-1");
        if (converter != (iconv_t)-1) iconv_close(converter);
        setlocale(LC_ALL, "C");
        usleep(100);
    }
    return unused;
}
#endif

static void *allocate_a_little(void *seed) {
    for (size_t i = 1; i < 300; i++) {
        size_t size = i * ((size_t)seed % 7 + 1) * 3;
        unsigned char *block = malloc(size);
        REQUIRE(block != NULL, "malloc");
        block[0] = block[size - 1] = (unsigned char)i;
        free(__atomic_exchange_n(&slots[i % SLOTS], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void *make_threads(void *unused) {
    for (size_t i = 0; !is_over(); i++) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, allocate_a_little, (void *)i) == 0, "pthread_create");
        pthread_join(thread, NULL);
        usleep(100);
    }
    return unused;
}

static void *resize_huge(void *unused) {
    while (!is_over()) {
        unsigned char *block = NULL;
        for (size_t size = 2 << 20; size < 40 << 20; size += size / 3) {
            block = realloc(block, size);
            REQUIRE(block != NULL, "realloc");
            block[size - 1] = 1;
            if (size > 3 << 20) REQUIRE(block[(2 << 20) - 1] == 1, "realloc lost what was there");
        }
        block = realloc(block, 3 << 20);
        free(__atomic_exchange_n(&slots[0], block, __ATOMIC_ACQ_REL));
        usleep(100);
    }
    return unused;
}

/* --- Children -------------------------------------------------------------------------------- */

static void use_allocator(void) {
    void *blocks[40];
    for (size_t i = 0; i < SLOTS; i++) {
        unsigned char *block = __atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQ_REL);
        if (i % 5 == 1 && block != NULL) block = realloc(block, 90000);
        free(block);
    }
    for (size_t i = 0; i < 40; i++) {
        size_t size = (size_t)1 << (i % 23);
        blocks[i] = malloc(size);
        REQUIRE(blocks[i] != NULL, "malloc in a child");
        memset(blocks[i], (int)i, size < 5000 ? size : 5000);
    }
    for (size_t i = 0; i < 40; i++) free(blocks[i]);
}

/* Another allocator serves no child of _Fork(). */
static bool is_moat(void) {
#ifdef STATIC
    return true;
#else
    return family_is_moat();
#endif
}

static void check(void) {
#ifdef STATIC
    REQUIRE(moat_check() > 0, "moat_check()");
#else
    if (family.check != NULL) REQUIRE(family.check() > 0, "moat_check()");
#endif
}

static void require_end(pid_t child, const char *what) {
    int status;
    REQUIRE(child > 0, "%s: errno %d", what, errno);
    while (waitpid(child, &status, 0) != child) REQUIRE(errno == EINTR, "waitpid");
    REQUIRE(status == 0, "%s: status %#x%s", what, (unsigned)status,
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it waits for ever" : "");
}

static _Noreturn void be_child(unsigned number) {
    alarm(PATIENCE);
    if (number % 8 == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(errno);
    }
    use_allocator();
    if (number % 4 == 1) check();
    if (number % 8 == 2) {
        pid_t again = fork();
        if (again == 0) {
            alarm(PATIENCE);
            use_allocator();
            _exit(0);
        }
        require_end(again, "a child's child");
    }
    if (number % 8 == 3) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, allocate_a_little, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    if (number % 8 == 4 && children_exit) exit(0);
    _exit(0);
}

/* The C library's own locks are as they were then: such a child uses the allocator alone. */
static void fork_without_handlers(void) {
    pid_t child = _Fork();
    if (child == 0) {
        alarm(PATIENCE);
        use_allocator();
        _exit(0);
    }
    require_end(child, "_Fork");
}

static void fork_once(unsigned number) {
    static char *const arguments[] = {(char *)"true", NULL};
    pid_t child;
    switch (number % 32) {
    case 9:
    case 26:
        if (_Fork != NULL && is_moat()) fork_without_handlers();
        return;
    case 5:
        child = vfork();
        if (child == 0) {
            execv("/bin/true", arguments);
            _exit(127);
        }
        require_end(child, "vfork and exec");
        return;
    case 13:
        REQUIRE(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0,
                "posix_spawn");
        require_end(child, "posix_spawn");
        return;
    case 21: REQUIRE(system("true") == 0, "system"); return;
    default:
        child = fork();
        if (child == 0) be_child(number);
        require_end(child, "fork");
    }
}

static void *fork_on(void *unused) {
    for (unsigned number; (number = __atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED)) - 1 < 1u << 31;)
        fork_once(number);
    return unused;
}

int main(int count, char **arguments) {
    static void *(*const works[])(void *) = {
#ifndef STATIC
        load_libraries, look_names_up, change_locales,
#endif
        flush_all,      read_lines,    run_commands,   make_threads, resize_huge,
    };
    enum { WORKS = sizeof works / sizeof works[0] };
    pthread_t workers[WORKS], forkers[FORKERS];
    REQUIRE(count > 1, "fork_storm loader | exit [FORKS]");
    children_exit = strcmp(arguments[1], "exit") == 0;
    const char *wish = count > 2 ? arguments[2] : getenv("MOAT_FORKS");
    left = wish != NULL ? (unsigned)strtoul(wish, NULL, 10) : 2000;
    alarm(PATIENCE + left / 20);
#ifndef STATIC
    family_find();
#endif
#ifndef STATIC
    size_t first = children_exit ? 1 : 0;
#else
    size_t first = 0;
#endif
    for (size_t i = first; i < WORKS; i++)
        REQUIRE(pthread_create(&workers[i], NULL, works[i], NULL) == 0, "pthread_create");
    for (size_t i = 0; i < FORKERS; i++)
        REQUIRE(pthread_create(&forkers[i], NULL, fork_on, NULL) == 0, "pthread_create");
    fork_on(NULL);
    for (size_t i = 0; i < FORKERS; i++) pthread_join(forkers[i], NULL);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t i = first; i < WORKS; i++) pthread_join(workers[i], NULL);
    check();
    return 0;
}
