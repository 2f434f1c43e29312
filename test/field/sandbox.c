/*
 * sandbox: a process under a filter that kills on whatever doc/system-calls.md does not list.
 *
 * Arguments: the document, what to do, and for "start" and "refused" what the program inside does.
 * The process shuts itself in after its start: "list": threads, children with and without handlers,
 * huge blocks, memory that goes back. "no_madvise": the same without madvise (and so without
 * threads: the C library calls it as they end). "child": a child shuts itself in. "namespaces":
 * children that are each process 1 of a name space of their own lay out their heaps differently,
 * and not as their parent goes on. Or there is a filter already when a program starts, this one:
 * "start"; "killed": the same, which must end it; "refused": each call in turn is not known, or not
 * permitted. "report": a child that misuses memory, with what the document lists for a report and
 * for work alone; "refused_report": each of the calls of a report in turn is not permitted.
 *
 * NOT_LISTED has calls and advice that the filter does not know though the document lists them.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "require.h"

#ifdef STATIC
#define IS_STATIC true
#else
#define IS_STATIC false
#endif

/* --- The filter ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int number;
} known[] = {
    {"mmap", SYS_mmap},
    {"munmap", SYS_munmap},
    {"mprotect", SYS_mprotect},
    {"madvise", SYS_madvise},
    {"mremap", SYS_mremap},
    {"prlimit64", SYS_prlimit64},
    {"futex", SYS_futex},
    {"membarrier", SYS_membarrier},
    {"clock_gettime", SYS_clock_gettime},
    {"getpid", SYS_getpid},
    {"gettid", SYS_gettid},
    {"sched_yield", SYS_sched_yield},
    {"getrandom", SYS_getrandom},
    {"openat", SYS_openat},
    {"read", SYS_read},
    {"close", SYS_close},
    {"pread64", SYS_pread64},
    {"ppoll", SYS_ppoll},
    {"write", SYS_write},
    {"mseal", 462},
    {"rt_sigprocmask", SYS_rt_sigprocmask},
    {"rt_sigaction", SYS_rt_sigaction},
    {"rt_sigreturn", SYS_rt_sigreturn},
    {"nanosleep", SYS_nanosleep},
    {"tgkill", SYS_tgkill},
    {"exit_group", SYS_exit_group},
    {"socket", SYS_socket},
    {"connect", SYS_connect},
    {"sendto", SYS_sendto},
};
#define KNOWN (sizeof known / sizeof known[0])

/* What this program and the C library need for themselves. */
static const int others[] = {
    SYS_read,   SYS_write, SYS_close,           SYS_exit,           SYS_exit_group,
    SYS_clone,  SYS_wait4, SYS_clock_nanosleep, SYS_rt_sigprocmask, SYS_rt_sigaction,
    SYS_pipe2,  SYS_brk,   SYS_set_robust_list,
#ifdef SYS_clone3
    SYS_clone3,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
};

/* And to be executed and loaded. */
static const int loaders[] = {
    SYS_execve,          SYS_faccessat, SYS_fstat,      SYS_newfstatat,
    SYS_set_tid_address, SYS_getcwd,    SYS_readlinkat,
#ifdef SYS_access
    SYS_access,          SYS_readlink,
#endif
#ifdef SYS_arch_prctl
    SYS_arch_prctl,
#endif
};
/* Not in a static program, to which nobody has opened anything. */
static const int dynamic_loaders[] = {SYS_openat, SYS_pread64};

#define ADVICE_MAX 16
#define RULES_MAX 200
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct filter {
    struct sock_filter rules[RULES_MAX];
    unsigned short count;
    unsigned advice[ADVICE_MAX]; /* that madvise may be called with */
    unsigned advices, listed;
    const char *not_listed; /* names and numbers, a comma behind each */
};

static void add_rule(struct filter *filter, struct sock_filter rule) {
    REQUIRE(filter->count < RULES_MAX, "too many rules");
    filter->rules[filter->count++] = rule;
}

static void load_word(struct filter *filter, size_t offset) {
    add_rule(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void answer(struct filter *filter, unsigned what) {
    add_rule(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

/* The next rule is for that value alone. */
static void if_equal(struct filter *filter, unsigned value, unsigned char rules) {
    add_rule(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, rules));
}

static void allow(struct filter *filter, int number) {
    if_equal(filter, (unsigned)number, 1);
    answer(filter, SECCOMP_RET_ALLOW);
}

/* With listed advice alone. */
static void allow_madvise(struct filter *filter) {
    if_equal(filter, SYS_madvise, (unsigned char)(2 + 2 * filter->advices));
    load_word(filter, offsetof(struct seccomp_data, args[2]));
    for (unsigned i = 0; i < filter->advices; i++) allow(filter, (int)filter->advice[i]);
    answer(filter, SECCOMP_RET_KILL_PROCESS);
}

static bool is_listed(const struct filter *filter, const char *name) {
    char word[64];
    snprintf(word, sizeof word, ",%s,", name);
    return strstr(filter->not_listed, word) == NULL;
}

static void allow_name(struct filter *filter, const char *name) {
    size_t i = 0;
    while (i < KNOWN && strcmp(known[i].name, name) != 0) i++;
    REQUIRE(i < KNOWN, "the document lists %s, which is new", name);
    filter->listed++;
    if (known[i].number != SYS_madvise && is_listed(filter, name)) allow(filter, known[i].number);
}

/* A row of the document: names of calls in its first column, advice as numbers in its second, each
   between backticks. */
static void allow_row(struct filter *filter, char *row) {
    const char *second = strchr(row + 1, '|');
    bool inside = false;
    REQUIRE(second != NULL, "half a row: %s", row);
    for (char *word = row, *end; (end = strpbrk(word, "`\n")) != NULL && *end == '`';
         word = end + 1, inside = !inside) {
        *end = '\0';
        if (!inside) continue;
        if (word < second)
            allow_name(filter, word);
        else if (word[strspn(word, "0123456789")] == '\0' && is_listed(filter, word) &&
                 filter->advices < ADVICE_MAX)
            filter->advice[filter->advices++] = (unsigned)atoi(word);
    }
}

static bool has_option(const char *option) {
    const char *options = getenv("MOAT_OPTIONS");
    return options != NULL && strstr(options, option) != NULL;
}

/* Which of the document's lists are allowed beside those of work, and of samples if there are
   any. */
enum lists { LISTS_OF_WORK, LISTS_OF_START, LISTS_OF_REPORT };

static bool is_section(const char *line, enum lists lists) {
    return strcmp(line, "## Work\n") == 0 || strcmp(line, "## A child of fork\n") == 0 ||
           (has_option("sample=1") && strcmp(line, "## Guarded samples\n") == 0) ||
           (lists == LISTS_OF_START && strcmp(line, "## Start\n") == 0) ||
           (lists == LISTS_OF_REPORT && strcmp(line, "## A report\n") == 0);
}

static void allow_listed(struct filter *filter, const char *document, enum lists lists) {
    char line[500];
    bool wanted = false;
    FILE *file = fopen(document, "r");
    REQUIRE(file != NULL, "no %s", document);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "## ", 3) == 0) wanted = is_section(line, lists);
        if (wanted && line[0] == '|' && strchr(line, '`') != NULL) allow_row(filter, line);
    }
    fclose(file);
    REQUIRE(filter->listed > 8, "the document is not understood");
    if (is_listed(filter, "madvise")) allow_madvise(filter);
}

static void begin(struct filter *filter, const char *not_listed) {
    *filter = (struct filter){.not_listed = not_listed};
    load_word(filter, offsetof(struct seccomp_data, nr));
}

static void install(const struct filter *filter) {
    struct sock_fprog program = {filter->count, (struct sock_filter *)filter->rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        skip_test("no seccomp here");
}

static void shut_in(const char *document, const char *not_listed, bool start) {
    static struct filter filter;
    begin(&filter, not_listed);
    allow_listed(&filter, document, start ? LISTS_OF_START : LISTS_OF_WORK);
    for (size_t i = 0; i < COUNT(others); i++) allow(&filter, others[i]);
    for (size_t i = 0; start && i < COUNT(loaders); i++) allow(&filter, loaders[i]);
    for (size_t i = 0; start && !IS_STATIC && i < COUNT(dynamic_loaders); i++)
        allow(&filter, dynamic_loaders[i]);
    answer(&filter, SECCOMP_RET_KILL_PROCESS);
    install(&filter);
}

/* --- What goes on inside --------------------------------------------------------------------- */

static void use_heap(void) {
    char *held[300];
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 300; i++) {
            size_t size = i * i % 90000 + 1;
            held[i] = i % 2 != 0 ? malloc(size) : calloc(1, size);
            if (held[i] == NULL) _exit(3);
            held[i][size - 1] = 1;
        }
        for (size_t i = 0; i < 300; i++) free(held[i]);
    }
    char *huge = malloc(3 << 20);
    if (huge == NULL) _exit(3);
    memset(huge, 1, 3 << 20);
    huge = realloc(huge, 90 << 20);
    if (huge == NULL || huge[(3 << 20) - 1] != 1) _exit(4);
    free(huge);
    free(malloc((size_t)40 << 40)); /* absurd */
    free(malloc(0));
    usleep(15000); /* longer than unused memory is kept */
    free(malloc(2 << 20));
    malloc_trim(0);
}

static void *work(void *argument) {
    use_heap();
    return argument;
}

static void expect_good_end(pid_t child, const char *kind) {
    int status = 0;
    REQUIRE(child > 0, "%s: no child, errno %d", kind, errno);
    REQUIRE(waitpid(child, &status, 0) == child && status == 0, "%s: status %x", kind, status);
}

static void have_children(bool without_handlers) {
    pid_t child = fork();
    if (child == 0) {
        use_heap();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            use_heap();
            _exit(0);
        }
        expect_good_end(grandchild, "fork in a child");
        _exit(0);
    }
    expect_good_end(child, "fork");
    if (!without_handlers) return;
    child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        use_heap();
        _exit(0);
    }
    expect_good_end(child, "clone");
}

static void have_threads(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0, "no thread");
    have_children(true);
    for (int i = 0; i < 4; i++) REQUIRE(pthread_join(threads[i], NULL) == 0, "join");
}

/* As servers do that let a child look at what a stranger sends. */
static void have_child_shut_in(const char *document, const char *not_listed) {
    pid_t child = fork();
    if (child == 0) {
        shut_in(document, not_listed, false);
        use_heap();
        have_children(true);
        _exit(0);
    }
    expect_good_end(child, "a child that shuts itself in");
}

/* --- Process 1, many times ------------------------------------------------------------------- */

#define CHILDREN 16
#define DRAWS 64

/* Where blocks of sizes that nobody has asked for yet come to lie: each begins a page at a place
   and a block that are random numbers. */
static void draw(uintptr_t *where) {
    for (size_t i = 0; i < DRAWS; i++) where[i] = (uintptr_t)malloc(1100 + 37 * i);
}

static void compare_children(void) {
    static uintptr_t drawn[CHILDREN + 1][DRAWS];
    int ends[CHILDREN][2], start[2];
    REQUIRE(pipe(start) == 0, "pipe");
    for (int i = 0; i < CHILDREN; i++) {
        REQUIRE(pipe(ends[i]) == 0, "pipe");
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
        if (child < 0) skip_test("no process name spaces for this user: errno %d", errno);
        if (child != 0) continue;
        char byte;
        close(start[1]);
        if (getpid() != 1 || read(start[0], &byte, 1) != 0) _exit(5); /* all at once */
        draw(drawn[i]);
        _exit(write(ends[i][1], drawn[i], sizeof drawn[i]) == sizeof drawn[i] ? 0 : 6);
    }
    close(start[1]);
    for (int i = 0; i < CHILDREN; i++)
        REQUIRE(read(ends[i][0], drawn[i], sizeof drawn[i]) == sizeof drawn[i], "child %d", i);
    for (int i = 0; i < CHILDREN; i++) REQUIRE(wait(NULL) > 0, "wait");
    draw(drawn[CHILDREN]);
    for (int i = 0; i <= CHILDREN; i++)
        for (int j = 0; j < i; j++)
            REQUIRE(memcmp(drawn[i], drawn[j], sizeof drawn[i]) != 0,
                    "children %d and %d draw the same numbers", j, i);
}

/* --- A filter that is there before the start -------------------------------------------------- */

static _Noreturn void become(char *program, char *inside) {
    char *arguments[] = {program, "-", "inside", inside, NULL};
    execv(program, arguments);
    _exit(9);
}

/* One call is answered by an error, all others are allowed. */
static _Noreturn void become_without(char *program, char *inside, int number, unsigned error) {
    static struct filter filter;
    begin(&filter, "");
    if_equal(&filter, (unsigned)number, 1);
    answer(&filter, SECCOMP_RET_ERRNO | error);
    answer(&filter, SECCOMP_RET_ALLOW);
    install(&filter);
    become(program, inside);
}

/* Not those that whoever loads a program cannot do without, nor those that memory comes from. */
static void refuse_each(char *program, char *inside) {
    static const char needed[] = ",mmap,munmap,mprotect,openat,read,close,pread64,write,futex,";
    static const unsigned errors[] = {EPERM, ENOSYS};
    const struct filter filter = {.not_listed = needed};
    for (size_t i = 0; i < KNOWN; i++)
        for (size_t j = 0; j < COUNT(errors) && is_listed(&filter, known[i].name); j++) {
            pid_t child = fork();
            if (child == 0) become_without(program, inside, known[i].number, errors[j]);
            expect_good_end(child, known[i].name);
        }
}

/* --- Reports --------------------------------------------------------------------------------- */

/* With samples the first free makes the block inaccessible, and the misuse is a read. */
static const char *wanted_kind(void) {
    return has_option("sample=1") ? "guard-hit" : "double-free";
}

static void misuse(void *block) {
    free(launder(block));
    if (has_option("sample=1"))
        (void)*(volatile char *)launder(block);
    else
        free(launder(block));
}

/* With nothing beside what is listed. */
static _Noreturn void misuse_shut_in(const char *document) {
    static struct filter filter;
    void *block = malloc(2000);
    begin(&filter, ",");
    allow_listed(&filter, document, LISTS_OF_REPORT);
    answer(&filter, SECCOMP_RET_KILL_PROCESS);
    install(&filter);
    misuse(block);
    syscall(SYS_exit_group, 0); /* with on=report */
    __builtin_unreachable();
}

static _Noreturn void misuse_without(int number) {
    static struct filter filter;
    void *block = malloc(2000);
    begin(&filter, "");
    if_equal(&filter, (unsigned)number, 1);
    answer(&filter, SECCOMP_RET_ERRNO | EPERM);
    answer(&filter, SECCOMP_RET_ALLOW);
    install(&filter);
    misuse(block);
    _exit(0);
}

/* What a child says on descriptor 2; `number`: of the call that it does without, 0: of all but
   those of the document. */
static int hear_misuse(const char *document, int number, char *text, size_t size) {
    int ends[2], status = 0;
    size_t length = 0;
    REQUIRE(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (number != 0) misuse_without(number);
        misuse_shut_in(document);
    }
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && length < size - 1; length += (size_t)got) {
        got = read(ends[0], text + length, size - 1 - length);
        if (got < 0) got = 0;
    }
    text[length] = '\0';
    close(ends[0]);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "no child");
    return status;
}

static void expect_report(const char *document) {
    static char text[1 << 16];
    char first[64];
    bool goes_on = has_option("on=report");
    snprintf(first, sizeof first, "moat: %s: %s: ", goes_on ? "error" : "fatal", wanted_kind());
    int status = hear_misuse(document, 0, text, sizeof text);
    if (status == TEST_SKIPPED << 8) skip_test("no seccomp here");
    REQUIRE(goes_on ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
            "status %x; said: %s", status, text);
    REQUIRE(strncmp(text, first, strlen(first)) == 0, "said: %.200s", text);
    REQUIRE(strstr(text, "\nmoat: block 0x") != NULL && strstr(text, "\nmoat: program ") != NULL,
            "not all that is known: %s", text);
    REQUIRE(strstr(text, "\nmoat:   #3 /") != NULL, "no stack with names: %s", text);
}

/* The process ends whatever is missing, and says what it can. */
static void expect_ends(const char *document) {
    static const char *const calls[] = {
        "rt_sigprocmask", "gettid", "getpid",    "openat",       "read",   "pread64",    "close",
        "ppoll",          "write",  "nanosleep", "rt_sigaction", "tgkill", "exit_group",
    };
    static char text[1 << 16];
    char first[64];
    snprintf(first, sizeof first, "moat: fatal: %s: ", wanted_kind());
    for (size_t i = 0; i < COUNT(calls); i++) {
        size_t k = 0;
        while (strcmp(known[k].name, calls[i]) != 0) k++;
        int status = hear_misuse(document, known[k].number, text, sizeof text);
        if (status == TEST_SKIPPED << 8) skip_test("no seccomp here");
        REQUIRE(WIFSIGNALED(status) || WEXITSTATUS(status) == 127, "without %s: status %x",
                calls[i], status);
        REQUIRE(strcmp(calls[i], "write") == 0 || strncmp(text, first, strlen(first)) == 0,
                "without %s said: %.200s", calls[i], text);
    }
}

/* Ends with a word or is killed, as the caller expects. */
static void run_inside(const char *what) {
    if (strcmp(what, "threads") == 0) have_threads();
    have_children(strcmp(what, "threads") == 0);
}

static void expect_killed(const char *document, const char *not_listed, char *program) {
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        shut_in(document, not_listed, true);
        become(program, "alone");
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "no child");
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %x", status);
}

/* True: done. */
static bool run_before_start(int count, char **arguments) {
    const char *what = arguments[2];
    if (count == 4 && strcmp(what, "inside") == 0) {
        run_inside(arguments[3]);
        return true;
    }
    if (count == 4 && strcmp(what, "refused") == 0) {
        refuse_each(arguments[0], arguments[3]);
        return true;
    }
    if (count == 4 && strcmp(what, "killed") == 0) {
        expect_killed(arguments[1], arguments[3], arguments[0]);
        return true;
    }
    if (count != 5 || strcmp(what, "start") != 0) return false;
    shut_in(arguments[1], arguments[4], true);
    become(arguments[0], arguments[3]);
}

int main(int count, char **arguments) {
    REQUIRE(count >= 3, "DOCUMENT WHAT [INSIDE] [NOT_LISTED]");
    if (strcmp(arguments[2], "inside") != 0) alarm(100); /* which is kept across exec */
    if (!IS_STATIC) family_find();
    void *first = malloc(10);
    REQUIRE(first != NULL && (IS_STATIC || family_is_moat()), "libmoat.so is not in this process");
    free(first);
    const char *not_listed = count == 4 ? arguments[3] : ",";
    if (run_before_start(count, arguments)) {
        /* done */
    } else if (strcmp(arguments[2], "report") == 0) {
        expect_report(arguments[1]);
    } else if (strcmp(arguments[2], "refused_report") == 0) {
        expect_ends(arguments[1]);
    } else if (strcmp(arguments[2], "list") == 0) {
        shut_in(arguments[1], not_listed, false);
        have_threads();
        have_children(true);
    } else if (strcmp(arguments[2], "child") == 0) {
        have_child_shut_in(arguments[1], not_listed);
    } else if (strcmp(arguments[2], "no_madvise") == 0) {
        shut_in(arguments[1], ",madvise,", false);
        have_children(false);
    } else {
        shut_in(arguments[1], not_listed, false);
        compare_children();
    }
    use_heap();
    say("right");
    _exit(0);
}
