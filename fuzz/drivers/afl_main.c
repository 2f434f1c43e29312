/*
 * afl_main: a harness under AFL++, in persistent mode with inputs in shared memory.
 *
 * One process runs many inputs; the harness resets the allocator between them, and the process is
 * replaced after some thousands, so that what leaks in the harness itself does not add up. Compiled
 * by afl-clang-fast, which defines the macros; linked with one harness.
 */
#include <unistd.h>

#include "engine/feedback.h"
#include "engine/target.h"

/* The macros narrow a read()'s result. */
#pragma clang diagnostic ignored "-Wconversion"
#pragma clang diagnostic ignored "-Wshorten-64-to-32"

#ifndef __AFL_FUZZ_TESTCASE_LEN
#error "compile with afl-clang-fast"
#endif

enum { INPUTS_PER_PROCESS = 10000 };

__AFL_FUZZ_INIT();

/* Pairs of places count as edges: as one more module that the instrumentation would have made,
   known like these before the map is laid out. */
enum { WITH_THE_MODULES = 2 };
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop);
void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
static uint32_t guards[FEEDBACK_PAIRS];

__attribute__((constructor(WITH_THE_MODULES))) static void announce_pairs(void) {
    __sanitizer_cov_trace_pc_guard_init(guards, guards + FEEDBACK_PAIRS);
}

static void take_edge(void *context, unsigned pair) {
    (void)context;
    __sanitizer_cov_trace_pc_guard(&guards[pair]);
}

int main(int argc, char **argv) {
    LLVMFuzzerInitialize(&argc, &argv);
    __AFL_INIT();
    const uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(INPUTS_PER_PROCESS)) {
        LLVMFuzzerTestOneInput(bytes, (size_t)__AFL_FUZZ_TESTCASE_LEN);
        feedback_for_each(take_edge, NULL);
    }
    return 0;
}
