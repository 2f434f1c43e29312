/*
 * report: the last words of a process whose memory was misused (see report.h).
 *
 * The order is from safe to risky: the first line, from arguments alone, in one write; what is
 * known of the block; the address's mapping; the walk of the stack; abort. Whatever fails later,
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
#include "os/os.h"

#define TEXT_CAPACITY 768

static const char *const kind_names[REPORT_KINDS] = {
#define KIND(id, name) [REPORT_##id] = name,
#include "report/kinds.def"
};

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

const char *report_kind_name(enum report_kind kind) {
    return (unsigned)kind < REPORT_KINDS ? kind_names[kind] : "unknown";
}

/* --- Lines ----------------------------------------------------------------------------------- */

static void format_first_line(struct format *text, const char *word, enum report_kind kind,
                              const char *what, uintptr_t address) {
    format_string(text, "moat: ");
    format_string(text, word);
    format_string(text, ": ");
    format_string(text, report_kind_name(kind));
    format_string(text, ": ");
    format_string(text, what);
    format_string(text, " at ");
    format_hex(text, address);
    format_end_line(text);
}

static void format_block(struct format *text, const struct report_facts *facts) {
    const char *separator = ", state: ";
    if (facts->block_start == 0 && facts->block_size == 0 && facts->block_state == NULL) return;
    format_string(text, "moat: block");
    if (facts->block_start != 0) {
        format_string(text, " ");
        format_hex(text, facts->block_start);
    }
    if (facts->block_size != 0) {
        format_string(text, " of ");
        format_decimal(text, facts->block_size);
        format_string(text, facts->block_size == 1 ? " byte" : " bytes");
    }
    if (facts->block_state != NULL) {
        format_string(text, separator);
        format_string(text, facts->block_state);
    }
    format_end_line(text);
}

static void format_page(struct format *text, const struct report_facts *facts) {
    const char *separator = " (";
    if (facts->page_start == 0 && facts->segment_start == 0) return;
    format_string(text, "moat: ");
    if (facts->page_start != 0) {
        format_string(text, "page ");
        format_hex(text, facts->page_start);
        if (facts->page_kind != NULL) {
            format_string(text, separator);
            format_string(text, facts->page_kind);
            separator = ", ";
        }
        if (facts->page_size != 0) {
            format_string(text, separator);
            format_size(text, facts->page_size);
        }
        if (facts->page_kind != NULL || facts->page_size != 0) format_string(text, ")");
        if (facts->segment_start != 0) format_string(text, " in ");
    }
    if (facts->segment_start != 0) {
        format_string(text, "segment ");
        format_hex(text, facts->segment_start);
    }
    if (facts->segment_owner != NULL) {
        format_string(text, ", owner: ");
        format_string(text, facts->segment_owner);
    }
    format_end_line(text);
}

/* 0 is a value here: free_sized(p, 0) is a wrong size too. */
static void format_given(struct format *text, enum report_kind kind,
                         const struct report_facts *facts) {
    if (kind != REPORT_SIZE_MISMATCH && kind != REPORT_ALIGNMENT_MISMATCH) return;
    format_string(text,
                  kind == REPORT_SIZE_MISMATCH ? "moat: size given: " : "moat: alignment given: ");
    format_decimal(text, facts->size_given);
    if (facts->size_expected != 0) {
        format_string(text, ", expected: ");
        format_decimal(text, facts->size_expected);
    }
    format_end_line(text);
}

static void format_facts(struct format *text, enum report_kind kind,
                         const struct report_facts *facts) {
    if (facts != NULL) {
        format_given(text, kind, facts);
        format_block(text, facts);
        format_page(text, facts);
    }
    format_string(text, "moat: thread ");
    format_decimal(text, os_thread_id());
    format_string(text, " of process ");
    format_decimal(text, os_process_id());
    format_end_line(text);
}

/* Where an address lies that is not the heap's: the reader's first question about it. */
static void write_mapping(uintptr_t address, const struct report_facts *facts) {
    char text_buffer[MODULE_PATH + 80];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    if (address == 0 || (facts != NULL && (facts->segment_start != 0 || facts->page_start != 0)))
        return;
    format_string(&text, "moat: the address lies in ");
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

/* The reader's second question: whose block it could be. */
static void write_likely_owner(const struct report_facts *facts) {
    const void *other = report_other_malloc != NULL ? report_other_malloc() : NULL;
    if (other == NULL || (facts != NULL && (facts->segment_start != 0 || facts->page_start != 0)))
        return;
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
    format_first_line(&text, "fatal", kind, what, address);
    os_write(OS_STDERR, text_buffer, text.length);
    text = format_in(text_buffer, sizeof text_buffer);
    format_facts(&text, kind, facts);
    os_write(OS_STDERR, text_buffer, text.length);
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
    format_first_line(&text, "error", kind, phrases[phrase].text, address);
    format_facts(&text, kind, facts);
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
