/*
 * report: the last words of a process whose memory was misused (see report.h).
 *
 * The order is from safe to risky: the first line, from arguments alone, in one write; what is
 * known of the block; names of thread and program; the address's mapping; the walk of the stack;
 * abort. Whatever fails later,
 * the earlier lines are out. Signals are blocked meanwhile, so no handler of the program's runs in
 * between; SIGABRT's handler runs at the end, as with any abort().
 *
 * One word says who reports: process and thread in one, 0 for nobody. It is the only state, and the
 * workspace of the walk belongs to the thread that set it. A forked child finds its parent's word
 * and takes over, because the reporter is not in the child.
 */
#include "report/report.h"

#include "base/atomic.h"
#include "report/backtrace.h"
#include "report/report_text.h"
#include "report/who.h"
#include "os/os.h"

#define TEXT_CAPACITY 768

static const struct {
    enum report_kind kind;
    const char *text;
} phrases[PHRASES] = {
#define PHRASE(id, kind, text) [PHRASE_##id] = {REPORT_##kind, text},
#include "report/kinds.def"
};

static const struct {
    const char *before, *after; /* what is known only then */
} stops[STOPS] = {
#define STOP(id, before, after) [STOP_##id] = {before, after},
#include "report/kinds.def"
};

/* How long a thread that is not the first to report waits for the abort, milliseconds. */
#define PATIENCE 1000u

/* process id << 32 | thread id of the first reporter. */
static uint64_t reporter;
static struct backtrace_workspace workspace;
static struct backtrace backtrace;

/* --- Lines that ask the kernel ---------------------------------------------------------------- */

static bool facts_are_of_heap(const struct report_facts *facts) {
    return facts != NULL && (facts->segment_start != 0 || facts->page_start != 0);
}

/* Where an address lies that is no block's: the reader's first question about it. */
static void write_mapping(uintptr_t address, const struct report_facts *facts) {
    char text_buffer[MODULE_PATH + 80];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    const char *place = facts != NULL ? facts->place : NULL;
    if (address == 0 || (place == NULL && facts_are_of_heap(facts))) return;
    format_string(&text, "moat: the address lies in ");
    if (place != NULL)
        format_string(&text, place);
    else
        module_describe_address(&workspace.modules, address, &text);
    format_end_line(&text);
    os_write(OS_STDERR, text_buffer, text.length);
}

static void write_other_malloc(const char *before, const void *other,
                               struct module_table *modules) {
    char text_buffer[MODULE_PATH + 80];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    format_string(&text, before);
    format_string(&text, "the name malloc leads to ");
    module_describe_address(modules, (uintptr_t)other, &text);
    format_string(&text, ", not to moat");
    format_end_line(&text);
    os_write(OS_STDERR, text_buffer, text.length);
}

void report_other_malloc_in_front(void) {
    struct module_table modules;
    const void *other = report_other_malloc != NULL ? report_other_malloc() : NULL;
    if (other == NULL) return;
    module_table_reset(&modules);
    write_other_malloc("moat: warning: ", other, &modules);
}

/* Behind the numbers, which need no file. */
static void write_names(void) {
    char text_buffer[2 * WHO_NAME + 64];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    who_format_names(&text);
    if (text.length != 0) os_write(OS_STDERR, text_buffer, text.length);
}

/* The reader's second question: whose block it could be. */
static void write_likely_owner(const struct report_facts *facts) {
    const void *other = report_other_malloc != NULL ? report_other_malloc() : NULL;
    if (other == NULL || facts_are_of_heap(facts)) return;
    write_other_malloc("moat: ", other, &workspace.modules);
}

static void write_stack(uintptr_t return_address) {
    static const char none[] = "moat: stack: not available\n";
    static const char some[] = "moat: stack, innermost call first:\n";
    backtrace_capture(&workspace, &backtrace);
    backtrace_drop_until(&backtrace, return_address);
    if (backtrace.count == 0) {
        os_write(OS_STDERR, none, sizeof none - 1);
        return;
    }
    os_write(OS_STDERR, some, sizeof some - 1);
    backtrace_write(&workspace, &backtrace, OS_STDERR);
}

/* --- Reports --------------------------------------------------------------------------------- */

/* Returns for the first reporter only. */
static void become_reporter(void) {
    uint64_t process = os_process_id();
    uint64_t self = process << 32 | os_thread_id();
    uint64_t seen = 0;
    /* pairs with nothing: no data is handed over, one thread wins */
    while (!atomic_cas_acquire(&reporter, &seen, self)) {
        /* a report inside the report, or inside SIGABRT's handler after it */
        if (seen == self) os_abort_at_once();
        /* a forked child's copy of its parent's word: `seen` is what it replaces */
        if (seen >> 32 != process) continue;
        /* the abort ends this thread too; unless a handler for SIGABRT has jumped out of it */
        os_sleep(PATIENCE);
        os_abort_at_once();
    }
}

static MOAT_NORETURN MOAT_NOINLINE void report_and_end(enum report_kind kind, const char *what,
                                                       uintptr_t address,
                                                       const struct report_facts *facts,
                                                       uintptr_t return_address) {
    char text_buffer[TEXT_CAPACITY];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    os_block_signals();
    become_reporter();
    report_format_first(&text, "fatal", kind, what, address);
    os_write(OS_STDERR, text_buffer, text.length);
    text = format_in(text_buffer, sizeof text_buffer);
    report_format_facts(&text, kind, address, facts);
    os_write(OS_STDERR, text_buffer, text.length);
    write_names();
    write_mapping(address, facts);
    write_likely_owner(facts);
    write_stack(return_address);
    os_abort();
}

#ifdef MOAT_HARNESS
void (*harness_report_hook)(enum report_kind kind, uintptr_t address);

static void call_harness(enum report_kind kind, uintptr_t address) {
    if (harness_report_hook != NULL) harness_report_hook(kind, address);
}
#else
static void call_harness(enum report_kind kind, uintptr_t address) {
    (void)kind;
    (void)address;
}
#endif

void report_fatal(enum report_phrase phrase, uintptr_t address, const struct report_facts *facts) {
    enum report_kind kind = phrases[phrase].kind;
    call_harness(kind, address);
    report_and_end(kind, phrases[phrase].text, address, facts,
                   (uintptr_t)__builtin_return_address(0));
}

MOAT_COLD void moat_check_failed(const char *what, const void *address) {
    call_harness(REPORT_CORRUPT_METADATA, (uintptr_t)address);
    report_and_end(REPORT_CORRUPT_METADATA, what, (uintptr_t)address, NULL,
                   (uintptr_t)__builtin_return_address(0));
}

void report_and_continue(enum report_phrase phrase, uintptr_t address,
                         const struct report_facts *facts) {
    enum report_kind kind = phrases[phrase].kind;
    char text_buffer[TEXT_CAPACITY];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    report_format_first(&text, "error", kind, phrases[phrase].text, address);
    report_format_facts(&text, kind, address, facts);
    os_write(OS_STDERR, text_buffer, text.length);
}

void report_stop(enum report_stop stop, const char *detail) {
    char text_buffer[200];
    struct format line = format_in(text_buffer, sizeof text_buffer);
    format_string(&line, "moat: fatal: ");
    format_string(&line, stops[stop].before);
    if (detail != NULL) format_string(&line, detail);
    format_string(&line, stops[stop].after);
    format_end_line(&line);
    os_write(OS_STDERR, text_buffer, line.length);
    os_abort();
}

void report_warning(const char *text, const char *detail, size_t detail_length) {
    enum { DETAIL_MAX = 120 };
    char text_buffer[DETAIL_MAX + 160];
    struct format line = format_in(text_buffer, sizeof text_buffer);
    if (detail != NULL && detail_length == 0)
        while (detail_length <= DETAIL_MAX && detail[detail_length] != '\0') detail_length++;
    format_string(&line, "moat: warning: ");
    format_string(&line, text);
    if (detail != NULL)
        format_foreign(&line, detail, detail_length < DETAIL_MAX ? detail_length : DETAIL_MAX);
    if (detail != NULL && detail_length > DETAIL_MAX) format_string(&line, "...");
    format_end_line(&line);
    os_write(OS_STDERR, text_buffer, line.length);
}
