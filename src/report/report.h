/*
 * report: the last words of a process whose memory was misused.
 *
 * The first line is an interface: "moat: fatal: <kind>: <what> at 0x<address>", on stderr, nothing
 * before it. The following lines, each starting "moat:", give the block, its page and segment, the
 * thread, and one line per frame of the current stack as module+0xoffset with the module's build
 * id. Then abort. Async-signal-safe: no allocation, no stdio, no lock the failing thread may hold.
 * Of two reports at once the first prints; the others wait for the abort. Where a user wants it the
 * same goes as a line of JSON to a file, a descriptor or the system's log (sink.h).
 */
#ifndef MOAT_REPORT_H
#define MOAT_REPORT_H

#include "base/base.h"

/* kinds.def has them all, with their texts. */
enum report_kind {
#define KIND(id, name, after) REPORT_##id,
#include "report/kinds.def"
    REPORT_KINDS
};

enum report_phrase {
#define PHRASE(id, kind, text) PHRASE_##id,
#include "report/kinds.def"
    PHRASES
};

enum report_stop {
#define STOP(id, before, after) STOP_##id,
#include "report/kinds.def"
    STOPS
};

/* "double-free", "invalid-free", … in the order above. */
const char *report_kind_name(enum report_kind kind);

/* A hook (see src/README.md): the malloc that this process calls, where it is another library's or
   the program's (or may be: a program that is not position-independent and takes the address has it
   as its own); NULL: it is moat's. Not there in a prefixed build, which says nothing of it. */
extern const void *report_other_malloc(void) __attribute__((weak, visibility("hidden")));

struct trace;

/* What an instruction did at an address where it may not. */
enum report_access { ACCESS_UNKNOWN, ACCESS_READ, ACCESS_WRITE };

/* A block beside another one in its page. */
struct report_neighbour {
    uintptr_t start;
    const char *state; /* NULL: there is none */
};

/* Characters of a thread's name, as the kernel keeps it, and the zero. */
#define REPORT_THREAD_NAME 16u

/* What is known of the block. A zero field is not printed. Strings are static. */
struct report_facts {
    uintptr_t block_start; /* start of the block the address lies in */
    size_t block_size;     /* bytes */
    /* as page.c and diagnose.c say it: "in use", "free", "freed by another thread, not collected
       yet"… */
    const char *block_state;
    size_t asked_for;     /* bytes of it, where that is known */
    const char *asked_by; /* and by what: "malloc", "new", "new[]" */
    uintptr_t page_start;
    size_t page_size;      /* bytes */
    const char *page_kind; /* "small", "medium", "large", "huge", "zero-size" */
    uintptr_t segment_start;
    /* "this thread", "another thread", "no thread (abandoned)"… */
    const char *segment_owner;
    unsigned owner_thread; /* of another thread, as the kernel numbers it */
    /* and its name, ended by a zero; printed with '?' for what is not printable */
    char owner_name[REPORT_THREAD_NAME];
    struct report_neighbour before, behind;
    const char *place; /* where no block is: what there is */
    /* and the block in use that is nearest to it; it may have no bytes, but has an address */
    uintptr_t nearest_start;
    size_t nearest_size;
    uintptr_t written; /* for overflow, write-after-free: the first byte that somebody wrote */
    /* for family-mismatch: by whom it was made, and who frees it; static strings */
    const char *made_by, *freed_by;
    /* for size-mismatch, alignment-mismatch: what the caller said, bytes */
    size_t size_given;
    size_t size_expected; /* and what it should have said */
    /* of a sample: who allocated the block, and who freed it; NULL: not known */
    const struct trace *allocated, *freed;
    enum report_access access; /* for guard-hit */
};

/* Whether the address is one of the heap's. `facts` may be NULL. */
MOAT_INLINE bool report_facts_are_of_heap(const struct report_facts *facts) {
    return facts != NULL && (facts->segment_start != 0 || facts->page_start != 0);
}

/* The kind is the phrase's. */
MOAT_NORETURN MOAT_COLD void report_fatal(enum report_phrase phrase, uintptr_t address,
                                          const struct report_facts *facts);

/* Kinds after which a program can go on, a bit each. */
enum report_set {
#define MAY_GO_ON 1u
#define ALWAYS_ENDS 0u
#define KIND(id, name, after) | after << REPORT_##id
    REPORT_MAY_GO_ON = 0u
#include "report/kinds.def"
#undef MAY_GO_ON
#undef ALWAYS_ENDS
};
enum report_kind report_phrase_kind(enum report_phrase phrase);
/* A hook (see src/README.md): whether the program does go on, by an option. */
bool report_goes_on(enum report_phrase phrase);

/* Whether a module may have C++ operators of its own (report/operators.h), so that a report on
   families would not be sure. Once it is so it stays so. */
MOAT_COLD bool report_operators_elsewhere(void);

/* For sized=report: the same with "moat: error: <kind>: <what> at 0x<address>", and returns. Of
   several threads one after the other; nothing is said where one does not come to its end. Keeps
   signals away meanwhile. */
MOAT_COLD void report_and_continue(enum report_phrase phrase, uintptr_t address,
                                   const struct report_facts *facts);
/* For on=report: likewise, but each site once: a kind, and the innermost calls. After
   REPORT_SITES_MAX of them it says so, and nothing any more. */
#define REPORT_SITES_MAX 64u
MOAT_COLD void report_site_and_continue(enum report_phrase phrase, uintptr_t address,
                                        const struct report_facts *facts);

/* Of a signal handler, with the context that it was given: the stack is that of the instruction
   which faulted. Ends the process; or, with `goes_on`, as report_site_and_continue. */
MOAT_COLD void report_fault(enum report_phrase phrase, uintptr_t address,
                            const struct report_facts *facts, const void *context, bool goes_on);

/* An end that is no misuse: prints "moat: fatal: <text>\n", which is all there is to say, and
   aborts. `detail` is static and short; NULL: there is none. */
MOAT_NORETURN MOAT_COLD void report_stop(enum report_stop stop, const char *detail);

/* Prints "moat: warning: <text><detail>\n" to stderr; detail may be NULL, and ends at its zero when
   detail_length is 0. For what a
   program can live with: unknown options, refused settings, memory that ran out (verbose=1). */
void report_warning(const char *text, const char *detail, size_t detail_length);
/* A line that says whose malloc comes first, if it is not moat's; for verbose=1. */
void report_other_malloc_in_front(void);

#ifdef MOAT_HARNESS
/* A harness receives the report instead of the process ending; it must not return (longjmp). */
extern void (*harness_report_hook)(enum report_kind kind, uintptr_t address);
#endif

#endif
