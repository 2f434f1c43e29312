/*
 * report_text: the lines of a report that need nothing but what the caller knows.
 *
 * No system call but for the numbers of thread and process. The first line is an interface
 * (report.h).
 */
#ifndef MOAT_REPORT_TEXT_H
#define MOAT_REPORT_TEXT_H

#include "base/format.h"
#include "report/report.h"

/* "moat: WORD: <kind>: <what> at 0x<address>" */
void report_format_first(struct format *text, const char *word, enum report_kind kind,
                         const char *what, uintptr_t address);
/* A line for each thing that is known, and one with thread and process. `facts` may be NULL. */
void report_format_facts(struct format *text, enum report_kind kind, uintptr_t address,
                         const struct report_facts *facts);

#endif
