/*
 * fixed: the pages of what never changes after initialisation (see fixed.h).
 *
 * Zero until initialisation fills them, so they cost no room in the file and every fast path before that takes its slow branch.
 * The union is as large as its alignment: no other variable shares its OS pages when they become read-only.
 */
#include "meta/fixed.h"

static_assert(sizeof(union fixed_pages) == FIXED_ALIGNMENT, "the structure fills its pages exactly");

union fixed_pages moat_fixed_pages __attribute__((aligned(FIXED_ALIGNMENT)));
