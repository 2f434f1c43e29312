/*
 * report_line: reads moat's report as a user's script would.
 *
 * The first line is an interface: "moat: fatal: <kind>: <what> at 0x<address>", or "moat: error: …"
 * where the program goes on. Nothing may stand before it, every line after it starts with "moat:",
 * and there is at least one such line.
 */
#ifndef TEST_REPORT_LINE_H
#define TEST_REPORT_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report_line {
    bool ends; /* the program */
    char kind[64];
    char what[160];
    uintptr_t address;
};

/* `text` is all of standard error. False: `why` says what is wrong with it. */
bool report_line_parse(const char *text, struct report_line *line, char *why, size_t why_size);
/* The first line of the next report in the text, which may begin anywhere; NULL: there is none,
   else what follows. */
const char *report_line_next(const char *text, struct report_line *line);
/* Whether the whole of `text` matches the extended regular expression. */
bool matches_whole(const char *text, const char *pattern);

#endif
