/*
 * trace: the calls that led to an event (see trace.h).
 */
#include "report/trace.h"

#include "report/backtrace.h"
#include "os/os.h"
#include "os/os_seam.h"

/* Milliseconds that what is known of modules is believed. */
#define BELIEVED 1000u

static struct backtrace_workspace workspace;
static struct backtrace stack;
static struct backtrace_memo memos[BACKTRACE_MEMOS];
static uint64_t learned_at;
static bool is_learned;

void trace_recover(void) { is_learned = false; }

/* Another page may be unmapped since; a module is unmapped rarely. */
static void begin(uint64_t now) {
    if (is_learned && now - learned_at < BELIEVED) {
        workspace.modules.peek = (struct peek){.page = 0};
        return;
    }
    is_learned = false;
    module_table_reset(&workspace.modules);
    workspace.modules.by_headers = true;
    for (unsigned i = 0; i < BACKTRACE_MEMOS; i++) memos[i].address = 0;
    learned_at = now;
    is_learned = true;
}

MOAT_NOINLINE void trace_take(struct trace *trace, uintptr_t return_address, uint64_t now) {
    struct cfi_registers registers = {.pc_is_exact = true};
    trace->thread = os_thread_id();
    trace->count = 0;
    stack.count = 0;
    if (IN_HARNESS && os_seam.memory_is_played()) {
        trace->frames[trace->count++] = return_address;
        return;
    }
    begin(now);
    if (!registers_take(&registers)) return;
    backtrace_walk(&workspace, &registers, &stack, memos);
    backtrace_drop_until(&stack, return_address);
    unsigned count = stack.count < TRACE_DEPTH ? stack.count : TRACE_DEPTH;
    for (unsigned i = 0; i < count; i++) trace->frames[i] = stack.frames[i];
    trace->count = count;
}
