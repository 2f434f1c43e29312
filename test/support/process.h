/*
 * process: what the kernel says about a process: memory, mappings, descriptors.
 *
 * Reads /proc with plain system calls into buffers of its own; allocates nothing, so that a test
 * can measure itself. Not thread-safe (one static buffer).
 */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All in bytes; `process` 0 is the caller. */
size_t process_resident(pid_t process);
/* Private_Dirty of smaps_rollup. */
size_t process_private_dirty(pid_t process);
/* AnonHugePages of smaps_rollup. */
size_t process_huge_pages(pid_t process);
size_t process_virtual(pid_t process);
/* What counts against RLIMIT_DATA: private writable memory. */
size_t process_data(void);
/* Number of mappings of the caller (lines of maps). */
size_t process_mappings(void);
/* The caller's mapping number `index` (modulo their count): a static buffer is parsed, nothing is
   touched. */
void process_mapping(size_t index, uintptr_t *start, uintptr_t *end);
/* Open descriptors of the caller, not counting the one that looks. */
size_t process_descriptors(void);
/* First number in a small file such as /proc/sys/vm/max_map_count; `otherwise` if it cannot be
   read. */
long read_number(const char *path, long otherwise);

#endif
