/*
 * ro: the pages of what never changes after initialisation (see ro.h).
 *
 * Zero until initialisation fills them, so they take no space in the file and every fast path
 * before that takes its slow branch. The union is as large as its alignment: no other variable
 * shares its OS pages when they become read-only.
 */
#include "meta/ro.h"

static_assert(sizeof(union ro_pages) == RO_ALIGNMENT, "the structure fills its pages exactly");
static_assert(offsetof(union ro_pages, values.os) == 0, "os_facts is another name of it");

union ro_pages moat_ro_pages __attribute__((aligned(RO_ALIGNMENT)));
