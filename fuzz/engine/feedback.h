/*
 * feedback: what a run of threads at once came by, for whoever looks for inputs worth keeping.
 *
 * Beside code coverage, two kinds of pairs of places (base/seam.h) say that threads met in a new
 * way: the place that wrote a shared word and the place where another thread read it, told apart by
 * whether it was given the newest value or an old one; and of a switch the place before which one
 * thread stopped and the place before which the next goes on. Each pair has a counter, by hash.
 *
 * Each run of an input begins anew (team_run). libFuzzer finds the counters by their section;
 * whoever else drives a harness reads what feedback_for_each() names.
 */
#ifndef ENGINE_FEEDBACK_H
#define ENGINE_FEEDBACK_H

#include <stdint.h>

#include "base/seam.h"

enum { FEEDBACK_PAIRS = 1 << 14 };

enum feedback_kind { FEEDBACK_READ, FEEDBACK_READ_OLD, FEEDBACK_SWITCH };

void feedback_begin(void);
/* Either place may be NULL: a system call, or the end of an operation. */
void feedback_note(enum feedback_kind kind, const struct atomic_site *one,
                   const struct atomic_site *other);
/* Each pair since feedback_begin(), once, as a number below FEEDBACK_PAIRS. */
void feedback_for_each(void (*visit)(void *context, unsigned pair), void *context);

#endif
