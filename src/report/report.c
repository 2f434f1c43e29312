/*
 * report: the last words of a process whose memory was misused (see report.h).
 *
 * The order is from safe to risky: the first line, from arguments alone, in one write; what is
 * known of the block; names of thread and program; the address's mapping; the walk of the stack;
 * the line of JSON; abort. Whatever fails later,
 * the earlier lines are out. Signals are blocked meanwhile, so no handler of the program's runs in
 * between; SIGABRT's handler runs at the end, as with any abort().
 *
 * One word says who reports: process and thread in one, 0 for nobody. All else that is kept belongs
 * to the thread that set it, until a report that lets the program go on is over. A forked child
 * finds its parent's word and takes over, because the reporter is not in the child.
 */
#include "report/report.h"

#include "base/thread.h"
#include "report/operators.h"
#include "report/report_json.h"
#include "report/report_text.h"
#include "report/sink.h"
#include "report/trace.h"
#include "report/who.h"
#include "os/os.h"

#define TEXT_CAPACITY 1024

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

/* How long a thread waits for another one's report, milliseconds; and one that has none of its own
   for the end after it, which a handler of the program's may put off. */
#define PATIENCE 1000u
#define END_PATIENCE 60000u
#define END_STEP 10u

#define JSON_CAPACITY 16384u
static_assert(SINK_LOG_MAX >= REPORT_JSON_LEAST + SINK_HEAD,
              "what is known comes before the stack");

/* process id << 32 | thread id of the reporter. */
static uint64_t reporter;

/* The reporter's alone: a stack may be small. */
static struct {
    char text[TEXT_CAPACITY];
    char json[SINK_HEAD + JSON_CAPACITY];
    struct backtrace_workspace walk;
    struct backtrace stack;
    struct backtrace kept; /* of a trace */
    bool is_deaf;          /* descriptor 2 takes nothing any more: no time is spent on it */
} work;

/* --- Lines ----------------------------------------------------------------------------------- */

static void say(const struct format *text) {
    if (!work.is_deaf) work.is_deaf = !os_write(OS_STDERR, text->text, text->length);
}

static struct format new_text(void) { return format_in(work.text, sizeof work.text); }

/* Where an address lies that is no block's: the reader's first question about it. */
static void say_mapping(uintptr_t address, const struct report_facts *facts) {
    struct format text = new_text();
    const char *place = facts != NULL ? facts->place : NULL;
    if (address == 0 || (place == NULL && report_facts_are_of_heap(facts))) return;
    format_string(&text, "moat: the address lies in ");
    if (place != NULL)
        format_string(&text, place);
    else
        module_describe_address(&work.walk.modules, address, &text);
    format_end_line(&text);
    say(&text);
}

static void format_other_malloc(struct format *text, const char *before, const void *other,
                                struct module_table *modules) {
    format_string(text, before);
    format_string(text, "the name malloc leads to ");
    module_describe_address(modules, (uintptr_t)other, text);
    format_string(text, ", not to moat");
    format_end_line(text);
}

void report_other_malloc_in_front(void) {
    char text_buffer[MODULE_PATH + 80];
    struct format text = format_in(text_buffer, sizeof text_buffer);
    struct module_table modules;
    const void *other = report_other_malloc != NULL ? report_other_malloc() : NULL;
    if (other == NULL) return;
    module_table_reset(&modules);
    format_other_malloc(&text, "moat: warning: ", other, &modules);
    (void)os_write(OS_STDERR, text_buffer, text.length);
}

/* The reader's second question: whose block it could be. */
static void say_likely_owner(const struct report_facts *facts) {
    struct format text = new_text();
    const void *other = report_other_malloc != NULL ? report_other_malloc() : NULL;
    if (other == NULL || report_facts_are_of_heap(facts)) return;
    format_other_malloc(&text, "moat: ", other, &work.walk.modules);
    say(&text);
}

static void say_stack(void) {
    struct format text = new_text();
    format_string(&text, work.stack.count != 0 ? "moat: stack, innermost call first:\n"
                                               : "moat: stack: not available\n");
    say(&text);
    if (!work.is_deaf) backtrace_write(&work.walk, &work.stack, OS_STDERR);
}

/* What was kept of a sample. */
static void say_trace(const char *of, const struct trace *trace) {
    struct format text = new_text();
    if (trace == NULL || work.is_deaf) return;
    format_string(&text, "moat: stack of its ");
    format_string(&text, of);
    format_string(&text, ", by thread ");
    format_decimal(&text, trace->thread);
    format_string(&text, ":");
    format_end_line(&text);
    say(&text);
    work.kept.count = trace->count < TRACE_DEPTH ? trace->count : TRACE_DEPTH;
    for (unsigned i = 0; i < work.kept.count; i++) work.kept.frames[i] = trace->frames[i];
    backtrace_write(&work.walk, &work.kept, OS_STDERR);
}

static void deliver(const struct report_content *content) {
    struct report_target target = report_target();
    size_t most = target.sink == SINK_SYSLOG ? SINK_LOG_MAX - SINK_HEAD : JSON_CAPACITY;
    struct format json = format_in(work.json + SINK_HEAD, most);
    if (target.sink == SINK_STDERR) return;
    report_json(&json, content, &work.walk);
    sink_deliver(target, work.json, json.length);
}

/* --- Who reports ----------------------------------------------------------------------------- */

/* False: another thread is in a report, and does not come to its end. */
static bool become_reporter(void) {
    uint64_t process = os_process_id();
    uint64_t self = process << 32 | os_thread_id();
    uint64_t seen = 0;
    unsigned waited = 0;
    /* pairs with leave_reporter; when a report was the end, one thread wins and nothing follows */
    while (!atomic_cas_acquire(&reporter, &seen, self)) {
        /* a report inside the report, or inside SIGABRT's handler after it */
        if (seen == self) os_abort_at_once();
        /* a forked child's copy of its parent's word: `seen` is what it replaces */
        if (seen != 0 && seen >> 32 != process) continue;
        if (waited++ == PATIENCE) return false;
        os_sleep(1);
        seen = 0;
    }
    return true;
}

static void leave_reporter(void) {
    atomic_store_release(&reporter, (uint64_t)0); /* pairs with become_reporter */
}

void moat_stay(void) {
    uint64_t process = os_process_id();
    uint64_t self = process << 32 | os_thread_id();
    for (unsigned waited = 0; waited < END_PATIENCE; waited += END_STEP) {
        /* a child has its parent's word, and no report */
        if (atomic_load_relaxed(&moat_ending) != process) return;
        if (atomic_load_relaxed(&reporter) == self) return; /* in a handler for the abort */
        os_sleep(END_STEP);
    }
    os_abort_at_once();
}

/* --- Sites ----------------------------------------------------------------------------------- */

/* Innermost calls that make a site: the misuse, how it came to moat, and who called it. */
#define SITE_CALLS 8u

/* Under the reporter's word, but for the count. */
static uint64_t sites[REPORT_SITES_MAX];
static uint32_t site_count; /* atomic: REPORT_SITES_MAX + 1: that there are no more has been said */

/* From the stack that was walked just now. */
static uint64_t site_of(enum report_kind kind) {
    uint64_t hash = 0xcbf29ce484222325 + (uint64_t)kind;
    for (unsigned i = 0; i < work.stack.count && i < SITE_CALLS; i++) {
        hash = (hash ^ work.stack.frames[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool is_new_site(enum report_kind kind) {
    uint64_t site = site_of(kind);
    uint32_t count = site_count;
    for (uint32_t i = 0; i < count && i < REPORT_SITES_MAX; i++)
        if (sites[i] == site) return false;
    if (count > REPORT_SITES_MAX) return false;
    if (count < REPORT_SITES_MAX)
        sites[count] = site;
    else
        report_warning("this many places have been reported, and no further ones are", NULL, 0);
    atomic_store_relaxed(&site_count, count + 1);
    return count < REPORT_SITES_MAX;
}

/* --- Reports --------------------------------------------------------------------------------- */

static void walk(const struct report_content *content) {
    struct cfi_registers registers = {.pc_is_exact = true};
    work.stack.count = 0;
    if (content->context == NULL) {
        backtrace_capture(&work.walk, &work.stack);
        backtrace_drop_until(&work.stack, content->return_address);
    } else if (registers_of_context(content->context, &registers)) {
        module_table_reset(&work.walk.modules);
        work.stack.frames[work.stack.count++] = registers.pc;
        backtrace_walk(&work.walk, &registers, &work.stack, NULL);
    }
}

static MOAT_NOINLINE void make_report(struct report_content *content) {
    struct format text = new_text();
    work.is_deaf = false;
    report_format_first(&text, content->ends ? "fatal" : "error", content->kind, content->what,
                        content->address);
    say(&text);
    text = new_text();
    report_format_facts(&text, content->kind, content->address, content->facts);
    say(&text);
    text = new_text();
    who_format_names(&text);
    say(&text);
    say_mapping(content->address, content->facts);
    say_likely_owner(content->facts);
    walk(content);
    say_stack();
    if (content->facts != NULL) {
        say_trace("allocation", content->facts->allocated);
        say_trace("free", content->facts->freed);
    }
    content->stack = &work.stack;
    deliver(content);
}

static MOAT_NORETURN MOAT_NOINLINE void report_and_end(struct report_content content) {
    content.ends = true;
    (void)os_block_signals();
    /* else the other's abort ends this thread too, unless a handler for SIGABRT has jumped out */
    if (!become_reporter()) os_abort_at_once();
    /* before the first line: it is seen by whoever has seen that */
    (void)atomic_exchange_relaxed(&moat_ending, (uint32_t)os_process_id());
    make_report(&content);
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

static struct report_content content_of(enum report_phrase phrase, uintptr_t address,
                                        const struct report_facts *facts,
                                        uintptr_t return_address) {
    return (struct report_content){.kind = phrases[phrase].kind,
                                   .what = phrases[phrase].text,
                                   .address = address,
                                   .facts = facts,
                                   .return_address = return_address};
}

void report_fatal(enum report_phrase phrase, uintptr_t address, const struct report_facts *facts) {
    call_harness(phrases[phrase].kind, address);
    report_and_end(content_of(phrase, address, facts, (uintptr_t)__builtin_return_address(0)));
}

MOAT_COLD void moat_check_failed(const char *what, const void *address) {
    call_harness(REPORT_CORRUPT_METADATA, (uintptr_t)address);
    report_and_end(
        (struct report_content){.kind = REPORT_CORRUPT_METADATA,
                                .what = what,
                                .address = (uintptr_t)address,
                                .return_address = (uintptr_t)__builtin_return_address(0)});
}

enum report_kind report_phrase_kind(enum report_phrase phrase) { return phrases[phrase].kind; }

static void report_going_on(struct report_content content, bool once) {
    uint64_t signals = os_block_signals();
    if (become_reporter()) {
        if (once) walk(&content);
        if (!once || is_new_site(content.kind)) make_report(&content);
        leave_reporter();
    }
    os_restore_signals(signals);
}

void report_and_continue(enum report_phrase phrase, uintptr_t address,
                         const struct report_facts *facts) {
    report_going_on(content_of(phrase, address, facts, (uintptr_t)__builtin_return_address(0)),
                    false);
}

void report_site_and_continue(enum report_phrase phrase, uintptr_t address,
                              const struct report_facts *facts) {
    /* from here on no walk is worth its time */
    if (atomic_load_relaxed(&site_count) > REPORT_SITES_MAX) return;
    report_going_on(content_of(phrase, address, facts, (uintptr_t)__builtin_return_address(0)),
                    true);
}

void report_fault(enum report_phrase phrase, uintptr_t address, const struct report_facts *facts,
                  const void *context, bool goes_on) {
    struct report_content content = content_of(phrase, address, facts, 0);
    content.context = context;
    if (goes_on && atomic_load_relaxed(&site_count) > REPORT_SITES_MAX) return;
    if (!goes_on) call_harness(content.kind, address);
    if (!goes_on) report_and_end(content);
    report_going_on(content, true);
}

/* What was searched in vain under the reporter's word; what was found for good. */
static uint64_t modules_seen;
static uint32_t operators_found; /* atomic, a boolean */

bool report_operators_elsewhere(void) {
    if (atomic_load_relaxed(&operators_found) != 0) return true;
    uint64_t signals = os_block_signals();
    bool any = true;
    if (become_reporter()) {
        any = operators_elsewhere(&work.walk.modules, &modules_seen);
        if (any) atomic_store_relaxed(&operators_found, 1u);
        leave_reporter();
    }
    os_restore_signals(signals);
    return any;
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
