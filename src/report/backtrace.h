/*
 * backtrace: the calls that led here.
 *
 * Walks the current stack by the unwind tables every program has, so that frame pointers are not
 * needed; where a function has no table, by the frame pointer, if that leads back into known code.
 * The walk trusts nothing it reads (peek), ends after BACKTRACE_DEPTH frames, takes no lock,
 * allocates nothing and is async-signal-safe. The C runtime's own unwinder is none of that: it
 * allocates in static programs, and follows a damaged stack until it faults.
 *
 * The workspace is too large for small stacks: keep it static. One walk at a time may use it.
 */
#ifndef MOAT_BACKTRACE_H
#define MOAT_BACKTRACE_H

#include "report/cfi.h"
#include "report/symbol.h"

#define BACKTRACE_DEPTH 32
#define BACKTRACE_LINE (MODULE_PATH + SYMBOL_NAME + 2 * BUILD_ID_MAX + 112)

struct backtrace_workspace {
    struct module_table modules;
    struct cfi_workspace cfi;
    struct cfi_entry entry;
    struct symbol symbol;
    char line[BACKTRACE_LINE];
};

/* An address inside each instruction that is being executed, innermost first: the call's own last
   byte in a caller, the exact instruction where a signal came in. */
struct backtrace {
    uintptr_t frames[BACKTRACE_DEPTH];
    unsigned count;
};

/* How frames were left that were met before, by the place in the code. Whoever has one forgets it
   (all zero) when modules may have changed. */
#define BACKTRACE_MEMOS 64u
struct backtrace_memo {
    uintptr_t address; /* 0: none */
    struct cfi_row row;
    uint64_t return_register;
    bool is_signal_frame;
};

/* Walks from the caller of this function. */
void backtrace_capture(struct backtrace_workspace *workspace, struct backtrace *backtrace);
/* Adds the callers of the function that has these registers, with the modules that the workspace
   knows already. `memos`: BACKTRACE_MEMOS of them, or NULL. */
void backtrace_walk(struct backtrace_workspace *workspace, struct cfi_registers *registers,
                    struct backtrace *backtrace, struct backtrace_memo *memos);
/* Forgets the frames inside the function that returns to `return_address`; does nothing if that is
   not there. */
void backtrace_drop_until(struct backtrace *backtrace, uintptr_t return_address);
/* Writes one line a frame: "moat: #N MODULE(FUNCTION+0xN)+0xOFFSET build-id HEX", without the
   parenthesis where the function is not known. OFFSET is what addr2line -e MODULE wants. */
void backtrace_write(struct backtrace_workspace *workspace, const struct backtrace *backtrace,
                     int fd);

#endif
