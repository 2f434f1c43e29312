/*
 * limits: setrlimit() and prlimit(), for programs whose heap moat is: a forked child that limits
 * its own memory has the heap ask for limits again (see guard_keep_limits).
 *
 * Each does what the C library's does, which is the system call alone. Weak: a static program that
 * needs the C library's own under another name has those.
 */
#include <sys/resource.h>
#include <sys/types.h>

#include "alloc/memory_lock.h"
#include "api/posix.h"

/* Not inline: the C library's headers say that a pointer of setrlimit() is not NULL, which a
   compiler would take for a fact; the kernel does not. */
MOAT_NOINLINE static int change(pid_t process, int resource, const void *wanted, void *before) {
    int error = os_limit(process, resource, wanted, before);
    bool of_memory = resource == RLIMIT_AS || resource == RLIMIT_DATA;
    if (error == 0 && wanted != NULL && of_memory && alloc_is_ready()) memory_limited();
    return posix_status(error);
}

MOAT_WEAK int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
    return change(0, (int)resource, limit, NULL);
}

MOAT_WEAK int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit) {
    return change(0, (int)resource, limit, NULL);
}

MOAT_WEAK int prlimit(pid_t process, enum __rlimit_resource resource, const struct rlimit *wanted,
                      struct rlimit *before) {
    return change(process, (int)resource, wanted, before);
}

MOAT_WEAK int prlimit64(pid_t process, enum __rlimit_resource resource,
                        const struct rlimit64 *wanted, struct rlimit64 *before) {
    return change(process, (int)resource, wanted, before);
}
