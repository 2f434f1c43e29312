/*
 * sandbox: a seccomp filter on this process and its children, by plain BPF, as container run times
 * install them.
 *
 * One rule: a system call (any arguments, or one value of its third) fails with an errno, kills the
 * process, or raises SIGSYS in the calling thread. Further rules stack.
 */
#ifndef TEST_SANDBOX_H
#define TEST_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sandbox_action { SANDBOX_ERRNO, SANDBOX_KILL, SANDBOX_TRAP };

#define SANDBOX_ANY_ARGUMENT UINT32_MAX

/* `third`: the low half of the call's third argument (the advice of madvise), or
   SANDBOX_ANY_ARGUMENT. False: no seccomp here. */
bool sandbox_add(long call, uint32_t third, enum sandbox_action action, int error);

#ifdef __cplusplus
}
#endif

#endif
