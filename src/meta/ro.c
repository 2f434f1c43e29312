/*
 * ro: the pages of what never changes after initialisation (see ro.h).
 *
 * Zero until initialisation fills them, so they take no space in the file and every fast path
 * before that takes its slow branch. Its parts are as large as its alignment: no other variable
 * shares an OS page with them when they become read-only.
 */
#include "meta/ro.h"
#include "report/report.h"
#include "report/sink.h"

static_assert(offsetof(struct ro_pages, extent) == RO_ALIGNMENT &&
                  offsetof(struct ro_pages, gap) == 2 * RO_ALIGNMENT,
              "each part fills its pages exactly");
static_assert(offsetof(struct ro_pages, values.os) == 0, "os_facts is another name of it");

struct ro_pages moat_ro_pages __attribute__((aligned(RO_ALIGNMENT)));

bool report_goes_on(enum report_phrase phrase) {
    return (ro.options.going_on >> report_phrase_kind(phrase) & 1) != 0;
}

struct report_target report_target(void) {
    return (struct report_target){ro.options.report, ro.options.report_where.text};
}
