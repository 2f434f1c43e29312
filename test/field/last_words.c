/*
 * last_words: a report is made wherever the misuse is, by the library as it is shipped, as text on
 * descriptor 2 and as a line of JSON.
 *
 * Arguments: the file that MOAT_OPTIONS has for the JSON, and where: "plain"; "small_stack": in a
 * handler, on the least stack for signals that a report is promised to fit on; "locks": in such a
 * handler that interrupted the allocator while it had its locks; "child": of fork, while another
 * thread of the parent is in a report of its own; "closed", "full": what descriptor 2 is.
 *
 * "hit_" before one of these: the misuse is a read of a freed sample (sample=1), by the program
 * itself and not by its handler.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "require.h"
#include "sandbox.h"
#include "worker.h"

#define PAGE ((size_t)4096)
/* Beside what the kernel itself stores there. */
#define REPORT_STACK ((size_t)6 * 1024)

static void *foreign; /* freed by the thread that made it: its report names that thread */

static void make_foreign(void *unused) {
    (void)unused;
    foreign = malloc(200);
    free(launder(foreign));
}

/* Where samples are made it is one, with the stacks of its allocation and its free. */
static bool hits;

static void misuse(int signal) {
    (void)signal;
    if (hits)
        (void)*(volatile char *)launder(foreign);
    else
        free(launder(foreign));
}

static void catch (int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    REQUIRE(sigaction(number, &action, NULL) == 0, "no handler");
}

/* Ends at inaccessible memory. */
static void take_small_stack(void) {
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + REPORT_STACK;
    size_t whole = (size + PAGE - 1) / PAGE * PAGE;
    char *space =
        mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(space != MAP_FAILED && mprotect(space, PAGE, PROT_NONE) == 0, "no stack");
    stack_t stack = {.ss_sp = space + PAGE + (whole - size), .ss_size = size};
    REQUIRE(sigaltstack(&stack, NULL) == 0, "no stack for signals");
}

static void on_small_stack(void) {
    take_small_stack();
    catch (SIGUSR1, misuse, SA_ONSTACK);
    raise(SIGUSR1);
}

/* moat's own handler takes the fault there. */
static void hit_on_small_stack(void) {
    take_small_stack();
    misuse(0);
}

/* More of the heap is made usable under the region's lock. */
static void with_locks(void) {
    take_small_stack();
    catch (SIGSYS, misuse, SA_ONSTACK);
    if (!sandbox_add(SYS_mprotect, SANDBOX_ANY_ARGUMENT, SANDBOX_TRAP, 0)) _exit(TEST_SKIPPED);
    for (int i = 0; i < 64; i++) launder(malloc(300000));
}

/* The parent's report is over but for its end. */
static void fork_and_misuse(int signal) {
    int status = 0;
    (void)signal;
    catch (SIGABRT, SIG_DFL, 0);
    pid_t child = fork();
    if (child == 0) misuse(0);
    if (waitpid(child, &status, 0) != child) _exit(2);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) _exit(3);
}

static void in_child(void) {
    catch (SIGABRT, fork_and_misuse, 0);
    misuse(0);
}

static void with_closed(void) {
    close(STDERR_FILENO);
    misuse(0);
}

/* A pipe that nobody empties; writing to it would block for ever. */
static void with_full(void) {
    static const char some[4096];
    int ends[2];
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) _exit(4);
    while (write(ends[1], some, sizeof some) > 0) continue;
    if (fcntl(ends[1], F_SETFL, 0) != 0 || dup2(ends[1], STDERR_FILENO) < 0) _exit(5);
    misuse(0);
}

static void plainly(void) { misuse(0); }

#define GUARD_HIT "guard-hit"

static const struct place {
    const char *name;
    void (*misuse)(void);
    const char *kind;
    unsigned reports;
    bool is_heard; /* on descriptor 2 */
} places[] = {
    {"plain", plainly, "double-free", 1, true},
    {"small_stack", on_small_stack, "double-free", 1, true},
    {"locks", with_locks, "reentrant-call", 1, true},
    {"child", in_child, "double-free", 2, true},
    {"closed", with_closed, "double-free", 1, false},
    {"full", with_full, "double-free", 1, false},
    {"hit_plain", plainly, GUARD_HIT, 1, true},
    {"hit_small_stack", hit_on_small_stack, GUARD_HIT, 1, true},
    {"hit_closed", with_closed, GUARD_HIT, 1, false},
    {"hit_full", with_full, GUARD_HIT, 1, false},
};

static bool is_hit(const struct place *place) { return strcmp(place->kind, GUARD_HIT) == 0; }

static struct worker other;

static _Noreturn void play(const struct place *place) {
    alarm(60);
    hits = is_hit(place);
    worker_start(&other);
    worker_do(&other, make_foreign, NULL);
    place->misuse();
    _exit(0);
}

/* --- What is heard ---------------------------------------------------------------------------- */

static char text[1 << 16], line[1 << 16];

static size_t read_all(int fd, char *to, size_t size) {
    size_t length = 0;
    ssize_t got = 1;
    while (got > 0 && length < size - 1) {
        got = read(fd, to + length, size - 1 - length);
        if (got > 0) length += (size_t)got;
    }
    to[length] = '\0';
    return length;
}

static int hear(const struct place *place) {
    int ends[2], status = 0;
    REQUIRE(pipe(ends) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        if (dup2(ends[1], STDERR_FILENO) < 0) _exit(6);
        close(ends[0]);
        close(ends[1]);
        play(place);
    }
    close(ends[1]);
    read_all(ends[0], text, sizeof text);
    close(ends[0]);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "no child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED)
        skip_test("this kernel has no seccomp filters");
    return status;
}

static unsigned count(const char *whole, const char *part) {
    unsigned found = 0;
    for (; (whole = strstr(whole, part)) != NULL; whole++) found++;
    return found;
}

static void check_text(const struct place *place) {
    char first[64];
    snprintf(first, sizeof first, "moat: fatal: %s: ", place->kind);
    unsigned wanted = place->is_heard ? place->reports : 0;
    REQUIRE(count(text, first) == wanted, "%u reports: %s", count(text, first), text);
    if (is_hit(place)) {
        REQUIRE(count(text, "\nmoat: stack of its allocation, by thread ") == wanted &&
                    count(text, "\nmoat: stack of its free, by thread ") == wanted,
                "whose it was: %s", text);
        bool is_strict = strstr(getenv("MOAT_OPTIONS"), "level=strict") != NULL;
        REQUIRE(count(text, "\nmoat: of it 200 bytes were asked for by malloc\n") ==
                    (is_strict ? wanted : 0),
                "who asked for it: %s", text);
        REQUIRE(count(text, "\nmoat:   #2 /") == 3 * wanted, "not three stacks: %s", text);
    } else {
        REQUIRE(count(text, "\nmoat:   #2 /") == wanted, "no stack: %s", text);
    }
    REQUIRE(wanted == 0 || strncmp(text, first, strlen(first)) == 0, "not first: %s", text);
    if (wanted != 0 && strcmp(place->kind, "double-free") == 0)
        REQUIRE(strstr(text, "owner: another thread (") != NULL, "whose it is: %s", text);
}

/* Each line is whole. */
static void check_lines(const struct place *place, const char *path) {
    char start[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0, "no %s", path);
    read_all(fd, line, sizeof line);
    close(fd);
    snprintf(start, sizeof start, "{\"version\":1,\"kind\":\"%s\",", place->kind);
    REQUIRE(count(line, start) == place->reports && count(line, "\n") == place->reports &&
                count(line, is_hit(place) ? "],\"omitted\":0}}\n" : "],\"omitted\":0}\n") ==
                    place->reports,
            "the lines are: %s", line);
}

int main(int count_of_arguments, char **arguments) {
    REQUIRE(count_of_arguments == 3, "FILE WHERE");
    size_t i = 0;
    while (i < sizeof places / sizeof *places && strcmp(places[i].name, arguments[2]) != 0) i++;
    REQUIRE(i < sizeof places / sizeof *places, "no such place: %s", arguments[2]);
    family_find();
    REQUIRE(family_is_moat(), "libmoat.so is not in this process");
    unlink(arguments[1]);
    int status = hear(&places[i]);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x; said: %s", status,
            text);
    check_text(&places[i]);
    check_lines(&places[i], arguments[1]);
    unlink(arguments[1]);
    say("right");
    _exit(0);
}
