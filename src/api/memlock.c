/*
 * memlock: mlockall() and munlockall(), for programs whose heap moat is (see
 * alloc/memory_lock.h).
 *
 * Each does what the C library's does, which is the system call alone, and tells the heap; and
 * where the kernel refuses for the heap's inaccessible memory, all else is locked.
 */
#include <errno.h>
#include <sys/mman.h>

#include "alloc/memory_lock.h"
#include "api/posix.h"

MOAT_PUBLIC int mlockall(int flags) {
    bool ready = alloc_is_ready(); /* or there is no heap yet, nor memory to begin one */
    if (ready) memory_lock_begins();
    int error = os_lock_all(flags);
    struct memory_lock lock = {(flags & MCL_CURRENT) != 0, (flags & MCL_FUTURE) != 0,
                               (flags & MCL_ONFAULT) != 0};
    if (error == 0 && ready) memory_lock_changed(lock);
    if (error == ENOMEM && ready && memory_lock_by_parts(lock, flags & ~MCL_CURRENT)) error = 0;
    return posix_status(error);
}

MOAT_PUBLIC int munlockall(void) {
    int error = os_unlock_all();
    if (error == 0 && alloc_is_ready()) memory_unlocked();
    return posix_status(error);
}
