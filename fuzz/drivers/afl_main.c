/*
 * afl_main: a harness under AFL++, in persistent mode with inputs in shared memory.
 *
 * One process runs many inputs; the harness resets the allocator between them, and the process is
 * replaced after some thousands, so that what leaks in the harness itself does not add up. Compiled
 * by afl-clang-fast, which defines the macros; linked with one harness.
 */
#include <unistd.h>

#include "engine/target.h"

/* The macros narrow a read()'s result. */
#pragma clang diagnostic ignored "-Wconversion"
#pragma clang diagnostic ignored "-Wshorten-64-to-32"

#ifndef __AFL_FUZZ_TESTCASE_LEN
#error "compile with afl-clang-fast"
#endif

enum { INPUTS_PER_PROCESS = 10000 };

__AFL_FUZZ_INIT();

int main(int argc, char **argv) {
    LLVMFuzzerInitialize(&argc, &argv);
    __AFL_INIT();
    const uint8_t *bytes = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(INPUTS_PER_PROCESS))
        LLVMFuzzerTestOneInput(bytes, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}
