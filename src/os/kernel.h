/*
 * kernel: the way into the kernel (for the files of os/ alone).
 *
 * moat enters the kernel by an instruction of its own. No function that a program, or another
 * preloaded library, may have replaced runs in between: such a function may allocate, and here the
 * thread may be busy. errno is not touched: a result is the kernel's, or its negated error number.
 */
#ifndef MOAT_KERNEL_H
#define MOAT_KERNEL_H

#include "base/base.h"
#include "base/cpu.h"
#include "os/os_seam.h"

#include <sys/syscall.h>

#if CPU_HAS_SYSTEM_CALL
MOAT_INLINE long kernel_enter(long number, long a, long b, long c, long d, long e, long f) {
    return cpu_system_call(number, a, b, c, d, e, f);
}
#else
#include <errno.h>
#include <unistd.h>
/* By the C library, with errno kept: there nothing may stand in front of its syscall(). */
MOAT_INLINE long kernel_enter(long number, long a, long b, long c, long d, long e, long f) {
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1) {
        result = -(long)errno;
        errno = saved;
    }
    return result;
}
#endif

/* A harness may answer in the kernel's place. */
MOAT_INLINE long kernel_call(long number, long a, long b, long c, long d, long e, long f) {
    if (IN_HARNESS) {
        const long arguments[] = {a, b, c, d, e, f};
        long result = 0;
        if (os_seam.kernel(number, arguments, &result)) return result;
    }
    return kernel_enter(number, a, b, c, d, e, f);
}

#define KERNEL(number, a, b, c) kernel_call((number), (long)(a), (long)(b), (long)(c), 0, 0, 0)

/* The kernel's error numbers end there; what lies below as a negative number is an address. */
MOAT_INLINE bool kernel_failed(long result) { return result < 0 && result >= -4095; }

#endif
