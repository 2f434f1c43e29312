/*
 * who: names and numbers of threads, as the kernel has them.
 *
 * Read from /proc, where there is one; nothing is known otherwise. Async-signal-safe, allocates
 * nothing.
 */
#ifndef MOAT_WHO_H
#define MOAT_WHO_H

#include "base/format.h"
#include "report/report.h"

/* Characters of a name that are kept. The kernel's names of threads have 15; that of a program is
   what it was called by, or calls itself. */
#define WHO_NAME 100

/* The names alone, into WHO_NAME characters; the length, 0: not known. */
size_t who_program_name(char *name);
size_t who_thread_name(char *name);
/* The name of another thread of this process, by its number, ended by a zero; empty: not known. */
void who_name_of(unsigned thread, char name[REPORT_THREAD_NAME]);
/* "moat: program NAME, thread name NAME\n" of the calling thread, as far as it is known. */
void who_format_names(struct format *format);
/* The kernel's number of another thread, 0: not known. Each thread is named by the address of one
   and the same thread-local word. */
unsigned who_thread_of(uintptr_t own_word, uintptr_t other_word);

#endif
