/*
 * report_json: a report as one line of JSON.
 *
 * The form is an interface, with a number of its own: doc/reports.md. All text in it is printable
 * ASCII. What does not fit is left out from the end of the stack, and counted: the line is always
 * whole.
 */
#ifndef MOAT_REPORT_JSON_H
#define MOAT_REPORT_JSON_H

#include "report/backtrace.h"
#include "report/report.h"

#define REPORT_JSON_VERSION 1u
/* The least that a line needs without its stack. */
#define REPORT_JSON_LEAST 3072u

struct report_content {
    enum report_kind kind;
    const char *what;
    bool ends; /* the process */
    uintptr_t address;
    const struct report_facts *facts; /* may be NULL */
    const struct backtrace *stack;
    uintptr_t return_address; /* of the function that reports: the stack begins with its caller, */
    const void *context;      /* or where a signal came in; NULL: it is no handler's */
};

/* `json` has a capacity of REPORT_JSON_LEAST bytes at least. */
void report_json(struct format *json, const struct report_content *content,
                 struct backtrace_workspace *workspace);

#endif
